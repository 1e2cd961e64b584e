"""`check` and `rotate` on stacks of the real Pulumi CLI, as processes, in a project of its own."""

from __future__ import annotations

import copy
import json
import re
import shutil
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra.sandbox.environment import Sandbox
from tests.e2e.clouds import CLOUDS
from tests.e2e.real import COMMENT, PASSPHRASE, REGION, Project, document
from tests.sandbox.liveness import within

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from subprocess import CompletedProcess

pytestmark = pytest.mark.skipif(
    shutil.which("pulumi") is None, reason="the Pulumi CLI is not on PATH: what is about stacks of its own is left out"
)

TOKEN = "canary-token-5c2e71"
KEYS = {"kind": "keys", "rotate_every_days": 30}


def datasets(**of_the_input: Any) -> dict[str, Any]:
    made = {"create": True, "prefix": "lightly/", "access": "delegated"}
    source = {"create": True, "prefix": "raw/", "access": KEYS, **of_the_input}
    return {
        "street-scenes": {"type": "Images", "verify_deadline": 20, "input": {"s3": source}, "lightly": {"s3": made}}
    }


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(engine="embedded", token=TOKEN, clouds=["s3"]) as running:
        running.cloud("s3")
        yield running


@pytest.fixture
def project(tmp_path: Path, sandbox: Sandbox) -> Project:
    return Project(tmp_path, sandbox, datasets())


def no_secret(done: CompletedProcess[str], sandbox: Sandbox) -> None:
    for secret in (TOKEN, PASSPHRASE, *sandbox.lightly.secrets):
        assert secret not in done.stdout + done.stderr


def fill(sandbox: Sandbox) -> None:
    """Puts an image under the prefix of the Input, which is noticed when there is none."""
    s3 = sandbox.aws.client("s3")
    for bucket in s3.list_buckets()["Buckets"]:
        s3.put_object(Bucket=bucket["Name"], Key="raw/image.png", Body=b"an image")


def states(told: dict[str, Any]) -> dict[tuple[str, str | None], str]:
    return {(it["subject"], it["datasource"]): it["state"] for it in told["findings"]}


def test_a_stack_from_its_first_day_to_its_last_check(project: Project, sandbox: Sandbox) -> None:
    """One stack, for each takes long to deploy: refused, healthy, expiring, renewed, broken."""
    # nothing is deployed yet
    done = project.lightly_infra("check", "--stack", "dev", "--json")
    assert (done.returncode, document(done)["state"]) == (2, "unknown")
    assert "run `pulumi up` first" in done.stderr
    project.up()
    fill(sandbox)

    # healthy
    done = project.lightly_infra("check", "--stack", "dev", "--json")
    told = document(done)
    assert (done.returncode, told["state"]) == (0, "healthy"), done.stdout + done.stderr
    assert states(told) == {
        ("permissions", None): "healthy",
        ("credential", "input"): "healthy",
        ("credential", "lightly"): "healthy",
        ("drift", None): "healthy",
        ("left behind", None): "healthy",
    }
    no_secret(done, sandbox)

    # renewed, once it was confirmed
    before = project.file.read_text(encoding="utf-8")
    done = project.lightly_infra("rotate", "--stack", "dev")
    assert (done.returncode, project.file.read_text(encoding="utf-8")) == (2, before)
    assert "add --yes" in done.stderr
    (dataset,) = sandbox.lightly.datasets.values()
    old = dataset.datasources["INPUT"]["s3AccessKeyId"]
    done = project.lightly_infra("rotate", "--stack", "dev", "--yes", "--json")
    told = document(done)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (told["ok"], told["key"], told["value"]) == (True, "lightly-infra:rotation", 1)
    assert dataset.datasources["INPUT"]["s3AccessKeyId"] != old
    text = project.file.read_text(encoding="utf-8")
    assert COMMENT in text
    assert "lightly-infra:rotation:" in text
    assert "commit the stack's file" in done.stderr
    no_secret(done, sandbox)

    # asked for, and not done yet: the credential is due, and drift shows it as well
    done = project.lightly_infra("rotate", "--stack", "dev", "--yes", "--no-up", "--json")
    assert (done.returncode, document(done)["value"]) == (0, 2)
    done = project.lightly_infra("check", "--stack", "dev", "--json")
    told = document(done)
    assert (done.returncode, told["state"]) == (3, "expiring"), done.stdout
    assert states(told)["credential", "input"] == states(told)["drift", None] == "expiring"
    assert states(told)["permissions", None] == "healthy"
    no_secret(done, sandbox)

    # broken
    CLOUDS["s3"].take_away(sandbox)
    done = project.lightly_infra("check", "--stack", "dev", "--no-drift")
    assert done.returncode == 1
    assert "Lightly has not got the permissions" in done.stdout.replace("\n", " ")
    assert "The stack is broken" in done.stdout
    no_secret(done, sandbox)


def test_external_ids_are_renewed_on_their_own(project: Project, sandbox: Sandbox) -> None:
    project.write({"aws:region": REGION, "lightly-infra:datasets": datasets(access="delegated")})
    project.up()
    (dataset,) = sandbox.lightly.datasets.values()
    before = copy.deepcopy(dataset.datasources)

    refused = project.lightly_infra("rotate", "--stack", "dev", "--yes", "--json")
    done = project.lightly_infra("rotate", "--stack", "dev", "--yes", "--external-ids", "--json")

    assert refused.returncode == 2
    assert "no credential is renewed here" in document(refused)["failures"][0]["message"]
    assert "--external-ids" in refused.stderr
    assert (done.returncode, document(done)["key"]) == (0, "lightly-infra:external_id_rotation"), done.stderr
    assert all(dataset.datasources[it]["s3ExternalId"] != before[it]["s3ExternalId"] for it in before)


def test_an_update_that_fails_leaves_the_old_credential_and_says_how_to_go_on(
    project: Project, sandbox: Sandbox
) -> None:
    project.up()
    (dataset,) = sandbox.lightly.datasets.values()
    old = dict(dataset.datasources["INPUT"])
    sandbox.lightly.fail_next("PUT", "datasource$", 500, times=100, error=lambda _: TOKEN)

    done = project.lightly_infra("rotate", "--stack", "dev", "--yes", "--json")

    assert done.returncode == 1
    assert not document(done)["ok"]
    assert document(done)["failures"]
    assert "run again, continues from here" in done.stderr
    assert dataset.datasources["INPUT"] == old
    no_secret(done, sandbox)


@pytest.mark.parametrize("command", [["check"], ["rotate", "--yes"]])
def test_a_stack_that_is_not_there_is_refused(project: Project, command: list[str]) -> None:
    done = project.lightly_infra(*command, "--stack", "nowhere", "--json")

    assert done.returncode == 2
    assert "no stack named 'nowhere' found" in document(done)["failures"][0]["message"]
    assert "Traceback" not in done.stderr


def test_the_selected_stack_stays_selected(project: Project) -> None:
    project.pulumi("stack", "init", "other")

    project.lightly_infra("check", "--stack", "dev")

    assert "other*" in project.pulumi("stack", "ls").stdout


def test_no_token_is_said(project: Project) -> None:
    project.up()

    done = project.lightly_infra("check", "--stack", "dev", LIGHTLY_TOKEN="")

    assert done.returncode == 2
    assert "LIGHTLY_TOKEN is not set" in done.stderr


def test_what_lightly_repeats_is_told_without_its_secrets(project: Project, sandbox: Sandbox) -> None:
    project.up()
    said = " ".join((TOKEN, *sandbox.lightly.secrets))
    sandbox.lightly.fail_next("GET", "verify$", 500, times=100, error=lambda _: said)

    alone = project.lightly_infra("check", "--stack", "dev", "--no-drift", "--json")
    drifted = project.lightly_infra("check", "--stack", "dev", "--json")

    for done in (alone, drifted):
        assert (done.returncode, document(done)["state"]) == (2, "unknown"), "it could not be asked"
        assert "[redacted]" in done.stdout
        no_secret(done, sandbox)
    assert states(document(drifted))["drift", None] == "unknown"


def test_drift_is_found_and_left_as_it_is(project: Project, sandbox: Sandbox) -> None:
    project.up()
    iam = sandbox.aws.client("iam")
    user = next(it["UserName"] for it in iam.list_users()["Users"])
    iam.tag_user(UserName=user, Tags=[{"Key": "managed-by", "Value": "somebody else"}])

    done = project.lightly_infra("check", "--stack", "dev", "--json")

    told = document(done)
    assert (done.returncode, told["state"]) == (3, "expiring"), done.stdout
    (drift,) = [it for it in told["findings"] if it["subject"] == "drift"]
    (change,) = drift["details"]["changes"]
    assert (change["operation"], change["type"]) == ("update", "aws:iam/user:User")
    assert {"Key": "managed-by", "Value": "somebody else"} in iam.list_user_tags(UserName=user)["Tags"]
    no_secret(done, sandbox)


@contextmanager
def asked(sandbox: Sandbox, request: str) -> Iterator[threading.Event]:
    """Is set when Lightly gets a request: the CLI is in the midst of it."""
    came, note = threading.Event(), sandbox.lightly._note

    def noted(method: str, path: str) -> Any:
        if re.search(request, f"{method} {path}"):
            came.set()
        return note(method, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox.lightly, "_note", noted)
        yield came


def test_interrupted_the_cli_stops_in_its_own_way_and_the_next_run_ends_what_was_held(
    project: Project, sandbox: Sandbox
) -> None:
    """During `rotate`, as by Ctrl-C; during `check`, as by a CI runner; with a lock that was left. Then revoked."""
    project.up()
    (dataset,) = sandbox.lightly.datasets.values()
    old = dataset.datasources["INPUT"]["s3AccessKeyId"]

    with asked(sandbox, "PUT .*/datasource$") as came:
        args = ("rotate", "--stack", "dev", "--yes", "--json")
        rotation = project.interrupted(*args, when=came, number=signal.SIGINT, group=True)
    with asked(sandbox, "GET .*/datasource/all$") as came:
        check = project.interrupted("check", "--stack", "dev", when=came, number=signal.SIGTERM, group=False)

    (failure,) = document(rotation)["failures"]
    assert failure["message"].startswith("interrupted; ")
    assert "`lightly-infra rotate --stack dev` goes on from here" in failure["message"]
    assert "interrupted; nothing was changed" in check.stderr
    for done in (rotation, check):
        assert done.returncode == 130, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        no_secret(done, sandbox)
    assert list(project.locks.glob("*")) == []
    assert within(5, lambda: project.processes() == set())

    lock = {"pid": 4711, "username": "somebody", "hostname": "elsewhere", "timestamp": "2026-11-27T12:00:00Z"}
    (project.locks / "dead.json").write_text(json.dumps(lock), encoding="utf-8")
    locked = project.lightly_infra("rotate", "--stack", "dev", "--yes", "--json")
    assert locked.returncode == 1
    assert "created by somebody@elsewhere (pid 4711)" in document(locked)["failures"][0]["message"]
    assert "pulumi cancel" in locked.stderr
    assert "Traceback" not in locked.stderr
    project.pulumi("cancel", "--yes", "--stack", "dev")

    done = project.lightly_infra("rotate", "--stack", "dev", "--yes", "--json", "--revoke-previous")
    assert (done.returncode, document(done)["value"]) == (0, 4), done.stderr
    iam = sandbox.aws.client("iam")
    users = [it["UserName"] for it in iam.list_users()["Users"]]
    keys = {key["AccessKeyId"] for it in users for key in iam.list_access_keys(UserName=it)["AccessKeyMetadata"]}
    assert dataset.datasources["INPUT"]["s3AccessKeyId"] in keys
    assert old not in keys


def test_what_was_changed_or_deleted_by_hand_is_mended_by_the_command_that_check_names(
    project: Project, sandbox: Sandbox
) -> None:
    project.up()
    fill(sandbox)
    iam, s3 = sandbox.aws.client("iam"), sandbox.aws.client("s3")
    for user in iam.list_users()["Users"]:
        name = user["UserName"]
        for policy in iam.list_user_policies(UserName=name)["PolicyNames"]:
            iam.delete_user_policy(UserName=name, PolicyName=policy)
        for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
            iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    for role in iam.list_roles()["Roles"]:
        for policy in iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]:
            iam.delete_role_policy(RoleName=role["RoleName"], PolicyName=policy)
    for bucket in s3.list_buckets()["Buckets"]:
        s3.delete_public_access_block(Bucket=bucket["Name"])
    (dataset,) = sandbox.lightly.datasets.values()
    dataset.datasources["LIGHTLY"]["fullPath"] += "elsewhere/"

    done = project.lightly_infra("check", "--stack", "dev", "--json")

    (drift,) = [it for it in document(done)["findings"] if it["subject"] == "drift"]
    assert (done.returncode, drift["state"]) == (1, "broken")
    gone = {it["type"].rpartition(":")[2] for it in drift["details"]["changes"] if it["gone"]}
    assert gone >= {"AccessKey", "UserPolicy", "RolePolicy", "BucketPublicAccessBlock"}
    assert "Datasource" in {it["type"].rpartition(":")[2] for it in drift["details"]["changes"] if not it["gone"]}
    command, *_ = re.findall("run `pulumi ([^`]*)`", drift["message"])
    project.pulumi(*command.split(), "--yes", "--skip-preview", "--stack", "dev")
    done = project.lightly_infra("check", "--stack", "dev", "--json")
    assert (done.returncode, document(done)["state"]) == (0, "healthy"), done.stdout
