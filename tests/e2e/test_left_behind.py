"""What a killed run has left on AWS is listed with the commands that remove it; storage that is kept is no orphan."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

from lightly_infra import stack
from lightly_infra.clouds import rest
from lightly_infra.clouds.aws.policy import access_policy, to_json, trust_policy
from lightly_infra.health import State
from lightly_infra.leftovers import Known
from lightly_infra.ownership import Owner, label
from lightly_infra.permissions import Purpose
from lightly_infra.sandbox.engine.environment import environment
from lightly_infra.sandbox.engine.interface import Program
from lightly_infra.sandbox.environment import Sandbox
from lightly_infra.sandbox.project import settings
from lightly_infra.stack import leftovers
from tests.e2e.clouds import CLOUDS, PROJECT, dataset
from tests.e2e.runs import deploy

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from lightly_infra.health import Finding

DOCUMENT = access_policy(purpose=Purpose.INPUT, bucket_arn="arn:aws:s3:::acme-raw", prefix="raw/")
TRUST = trust_policy(external_id="canary-external-id")


def carry_out(client: Any, command: str) -> None:
    """Runs a command of the AWS CLI, whose words are the API's own."""
    _, _, operation, *options = shlex.split(command)
    words = {it.removeprefix("--"): value for it, value in zip(options[::2], options[1::2], strict=True)}
    given = {"".join(part.title() for part in name.split("-")): value for name, value in words.items()}
    getattr(client, operation.replace("-", "_"))(**given)


def test_identities_that_no_state_knows_are_listed_and_removed_by_the_commands_told(
    sandbox: Sandbox, program: Callable[..., Program], street_scenes: dict[str, Any]
) -> None:
    street_scenes["street-scenes"]["input"]["s3"]["access"] = {"kind": "keys", "rotate_every_days": 30}
    declared = program(street_scenes)
    deploy(sandbox, declared)

    def found() -> list[Finding]:
        known = Known.of(sandbox.export()["deployment"]["resources"])
        with environment(sandbox.environment):
            return list(leftovers.find(settings(declared), known))

    assert [it.message for it in found()] == ["nothing on s3"]
    iam, s3 = sandbox.aws.client("iam"), sandbox.aws.client("s3")
    made = next(it for it in iam.list_users()["Users"])
    tags = iam.list_user_tags(UserName=made["UserName"])["Tags"]
    iam.create_user(UserName="lightly-orphan", Tags=tags)
    iam.create_user(UserName="lightly-of-another-stack", Tags=[{**it, "Value": "else"} for it in tags])
    iam.create_access_key(UserName="lightly-orphan")
    iam.put_user_policy(UserName="lightly-orphan", PolicyName="left", PolicyDocument=to_json(DOCUMENT))
    iam.create_role(RoleName="lightly-orphan", AssumeRolePolicyDocument=to_json(TRUST), Tags=tags)
    s3.create_bucket(Bucket="acme-kept", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    s3.put_bucket_tagging(Bucket="acme-kept", Tagging={"TagSet": tags})

    role, user, bucket = found()

    assert [it.state for it in (role, user, bucket)] == [State.EXPIRING, State.EXPIRING, State.HEALTHY]
    assert bucket.message.startswith("kept: S3 bucket acme-kept")
    for it in (role, user):
        commands = re.findall("`([^`]*)`", it.message)
        assert commands == it.details["commands"]
        for command in commands:
            carry_out(iam, command)
    (after,) = found()
    assert after.details["name"] == "acme-kept"
    assert iam.get_user(UserName="lightly-of-another-stack")


def test_a_bucket_on_obs_is_kept_and_what_cannot_be_listed_is_told_with_the_command_that_does() -> None:
    obs, gcs = dataset(CLOUDS["obs"], CLOUDS["obs"]), dataset(CLOUDS["gcs"], CLOUDS["gcs"])
    config = {"aws:region": "eu-central-1", stack.DATASETS_KEY: json.dumps({"one": obs, "other": gcs})}
    read = stack.Settings.read(config, secret_keys={stack.DATASETS_KEY})
    owner = Owner("acme/vision/prod", "lightly-one-input")
    known = Known(frozenset({owner.stack, label(owner.stack)}), frozenset())

    with Sandbox(engine="embedded", clouds=["obs"]) as sandbox:
        s3 = sandbox.obs._server.buckets()
        s3.create_bucket(Bucket="acme-kept", CreateBucketConfiguration={"LocationConstraint": "eu-de"})  # type: ignore[typeddict-item] # of OBS
        tags: Any = [{"Key": key, "Value": value} for key, value in owner.tags.items()]
        s3.put_bucket_tagging(Bucket="acme-kept", Tagging={"TagSet": tags})
        with environment(sandbox.environment):
            kept, unlisted = leftovers.find(read, known)

    assert kept.message.startswith("kept: OBS bucket acme-kept, made for lightly-one-input")
    assert (unlisted.state, unlisted.details["cloud"]) == (State.UNKNOWN, "gcs")
    assert "`gcloud iam service-accounts list --project " in unlisted.message


def test_on_google_cloud_the_program_lists_what_the_check_compares(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = CLOUDS["gcs"]
    config = {stack.DATASETS_KEY: json.dumps({"street-scenes": dataset(cloud, cloud)})}
    declared = Program(stack.main, "acme", "test", config)
    with Sandbox(engine="embedded", clouds=["gcs"]) as sandbox:
        deploy(sandbox, declared)
        api = sandbox.gcp._api

        def found() -> list[Finding]:
            known = Known.of(sandbox.export()["deployment"]["resources"])
            with environment(sandbox.environment), leftovers.asked() as listed:
                assert not sandbox.drift(declared).failures
                return list(leftovers.find(settings(declared), known, listed))

        assert [it.message for it in found()] == ["nothing on gcs"]
        made = f"/v1/projects/{PROJECT}"
        account, *_ = api.call("GET", f"{made}/serviceAccounts")["accounts"]
        role, *_ = api.call("GET", f"{made}/roles")["roles"]
        bucket = next(it for it in api.call("GET", f"/storage/v1/b?project={PROJECT}")["items"] if it.get("labels"))
        key = api.call("POST", f"/v1/{account['name']}/keys", {})
        for number, said in (("lightly-orphan", account["description"]), ("theirs-entirely", "Reads what others do.")):
            body = {"accountId": number, "serviceAccount": {"description": said}}
            api.call("POST", f"{made}/serviceAccounts", body)
        orphan = {"description": role["description"], "includedPermissions": ["storage.objects.get"]}
        api.call("POST", f"{made}/roles", {"roleId": "lightly_orphan", "role": orphan})
        kept = {"name": "acme-kept", "location": "EU", "labels": bucket["labels"]}
        api.call("POST", f"/storage/v1/b?project={PROJECT}", kept | {"iamConfiguration": bucket["iamConfiguration"]})

        by_kind = {it.details["kind"].partition(" ")[0]: it for it in found()}

        assert by_kind.keys() == {"key", "service", "custom", "bucket"}
        assert by_kind["key"].details["name"] == key["name"]
        assert by_kind["bucket"].message.startswith("kept: bucket acme-kept, made for lightly-street-scenes-")
        for it in by_kind.values():
            for command in it.details["commands"]:
                on_google_cloud(api, command)
        (after,) = found()
        assert after.details["name"] == "acme-kept"
        assert len(api.call("GET", f"{made}/serviceAccounts")["accounts"]) == 3, "two of the stack's, and theirs"

        def refuse(*_: object) -> bytes:
            raise rest.Unanswered("403: Permission 'iam.serviceAccounts.list' denied on resource")

        monkeypatch.setattr(rest.Rest, "get", refuse)
        (unknown,) = found()
        assert unknown.state is State.UNKNOWN
        assert "403" in unknown.message
        assert "`gcloud iam service-accounts list --project " in unknown.message


def on_google_cloud(api: Any, command: str) -> None:
    """Runs a command of gcloud."""
    words = [it for it in shlex.split(command) if not it.startswith("--")]
    given = dict(it.removeprefix("--").partition("=")[::2] for it in shlex.split(command) if it.startswith("--"))
    match words[2:]:
        case ["service-accounts", "delete", account]:
            api.call("DELETE", f"/v1/projects/{given['project']}/serviceAccounts/{account}")
        case ["service-accounts", "keys", "delete", key]:
            api.call("DELETE", f"/v1/projects/-/serviceAccounts/{given['iam-account']}/keys/{key}")
        case ["roles", "delete", role]:
            api.call("DELETE", f"/v1/projects/{given['project']}/roles/{role}")
        case _:
            raise AssertionError(command)
