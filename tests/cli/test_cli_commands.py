"""The commands about deployed stacks, on a stack that is made up: what they ask, tell and refuse."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from lightly_infra import cli, deployed, epochs, spec
from lightly_infra.cli import rotate
from lightly_infra.cli.check import Log
from lightly_infra.deployed import CannotAsk
from lightly_infra.leftovers import Known
from lightly_infra.lightly import operations
from lightly_infra.lightly.errors import PermissionsMissing
from lightly_infra.stack.settings import EXTERNAL_ID_ROTATION_KEY, ROTATION_KEY, Settings
from lightly_infra.updates.changes import Change, Failure, Operation

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typer.testing import Result

TOKEN = "canary-token-7f01"
KEYS = {"kind": "keys", "rotate_every_days": 30}
EPOCH = epochs.epoch(epochs.today(), days=30)
PURPOSES = ("input", "lightly")
S3 = {"bucket": "acme-raw", "region": "eu-central-1"}


def datasets(access: Any) -> dict[str, spec.DatasetSpec]:
    source, target = {**S3, "prefix": "raw/", "access": access}, {**S3, "prefix": "made/", "access": access}
    return spec.parse({"scenes": {"input": {"s3": source}, "lightly": {"s3": target}}})


class MadeUp:
    """A stack as `deployed.Deployed` has it."""

    failures: tuple[Failure, ...] = ()
    changes: tuple[Change, ...] = ()

    def __init__(self, access: Any = KEYS) -> None:
        self.name = "dev"
        self.settings = Settings(datasets(access), config={"lightly-infra:token": TOKEN})
        self.secrets = {"canary-secret"}
        self.known = Known.of(())
        self.outputs: dict[str, Any] = {
            "datasets": {"scenes": {"id": "ab" * 12, "verified": True, "input": {"path": "s3://acme-raw/raw/"}}},
            "credentials": {
                "scenes": {it: {"kind": "access key", "epoch": EPOCH, "rotate_every_days": 30} for it in PURPOSES}
            },
        }
        self.set: list[tuple[str, str]] = []
        self.ups: list[dict[str, str]] = []

    def __call__(self, name: str, _: Path, *, on_log: Callable[[str, str], None]) -> MadeUp:
        self.name = name
        on_log("warning", "a rule deletes early")
        return self

    def drift(self, on_change: Callable[[Change], None]) -> tuple[tuple[Change, ...], tuple[Failure, ...]]:
        for change in self.changes:
            on_change(change)
        return self.changes, self.failures

    def up(self, on_change: Callable[[Change], None]) -> tuple[tuple[Change, ...], tuple[Failure, ...]]:
        self.ups.append(dict(self.set))
        if not self.failures:
            counts = {key: int(value) for key, value in self.set}
            self.outputs = copy.deepcopy(self.outputs)
            for known in self.outputs["credentials"]["scenes"].values():
                forced = counts.get(ROTATION_KEY, self.settings.rotation)
                if known["kind"] == "role":
                    known["epoch"] = counts.get(EXTERNAL_ID_ROTATION_KEY, self.settings.external_id_rotation)
                elif "rotate_every_days" in known:
                    known["epoch"] = epochs.epoch(epochs.today(), days=known["rotate_every_days"], forced=forced)
        return self.drift(on_change)

    def set_config(self, key: str, value: str) -> None:
        self.set.append((key, value))


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> MadeUp:
    made = MadeUp()
    monkeypatch.setattr(deployed, "Deployed", made)
    monkeypatch.delenv("LIGHTLY_TOKEN", raising=False)
    monkeypatch.setattr(operations, "verify_until_allowed", lambda *_, **__: None)
    return made


def run(*args: str) -> Result:
    return CliRunner().invoke(cli.app, [*args, "--stack", "dev"])


def document(result: Result) -> Any:
    return json.loads(result.stdout)


def test_a_check_has_all_subjects_and_the_programs_warnings(stack: MadeUp) -> None:
    stack.changes = (Change("urn:x::y::t::n", "t", "n", Operation.UPDATE, ("tags",)),)

    result = run("check", "--json")

    told = document(result)
    assert (result.exit_code, told["state"], told["stack"]) == (3, "expiring", "dev")
    assert [it["subject"] for it in told["findings"]] == [
        "permissions",
        "credential",
        "credential",
        "left behind",
        "drift",
    ]
    assert told["warnings"] == ["a rule deletes early"]


@pytest.mark.usefixtures("stack")
def test_what_lightly_cannot_do_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionsMissing("it can't read", missing=("read",))

    monkeypatch.setattr(operations, "verify_until_allowed", refused)

    result = run("check", "--no-drift")

    assert result.exit_code == 1
    assert "it can't read" in result.stdout


def test_what_is_not_verified_is_not_asked(stack: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.outputs["datasets"]["scenes"]["verified"] = False
    monkeypatch.setattr(operations, "verify_until_allowed", lambda *_, **__: pytest.fail("it was asked"))

    assert "not asked" in document(run("check", "--no-drift", "--json"))["findings"][0]["message"]


def test_nothing_deployed_and_no_token_are_refused(stack: MadeUp) -> None:
    stack.settings = Settings(datasets(KEYS))
    without_token = run("check", "--json")
    stack.outputs = {}
    without_outputs = run("check", "--json")

    assert (without_token.exit_code, without_outputs.exit_code) == (2, 2)
    assert "LIGHTLY_TOKEN is not set" in document(without_token)["failures"][0]["message"]
    assert "run `pulumi up` first" in document(without_outputs)["failures"][0]["message"]
    assert set(document(without_token)) == {"state", "stack", "findings", "warnings", "failures"}


def test_roles_to_assume_that_are_none_are_refused(stack: MadeUp) -> None:
    stack.settings = Settings(datasets(KEYS), config={"lightly-infra:token": TOKEN, "aws:assumeRoles": "{}"})

    result = run("check", "--json")

    assert result.exit_code == 2
    assert "aws:assumeRoles" in document(result)["failures"][0]["message"]


@pytest.mark.parametrize("command", [("check",), ("rotate", "--yes")])
def test_what_the_cli_does_not_give_away_is_said(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise CannotAsk("no stack named 'dev' found")

    monkeypatch.setattr(deployed, "Deployed", refuse)

    result = run(*command, "--json")

    assert (result.exit_code, document(result)["failures"][0]["message"]) == (2, "no stack named 'dev' found")


def test_a_rotation_raises_the_number_by_one_and_updates(stack: MadeUp) -> None:
    result = run("rotate", "--yes", "--json")

    told = document(result)
    assert (result.exit_code, stack.set) == (0, [(ROTATION_KEY, "1")])
    assert (told["ok"], told["key"], told["value"]) == (True, ROTATION_KEY, 1)
    assert told["credentials"] == [
        {
            "dataset": "scenes",
            "datasource": purpose,
            "kind": "access key",
            "created": None,
            "expires": None,
            "epoch": EPOCH + 1,
            "signed_with": None,
            "renewed": True,
            "note": None,
        }
        for purpose in PURPOSES
    ]


@pytest.mark.usefixtures("stack")
def test_people_get_a_table_of_credentials() -> None:
    result = run("rotate", "--yes")

    assert "Credentials of stack dev" in result.stdout
    assert "access key" in result.stdout


def test_a_rotation_can_leave_the_update_for_later(stack: MadeUp) -> None:
    stack.failures = (Failure("", "nobody may see this"),)

    result = run("rotate", "--yes", "--no-up")

    assert (result.exit_code, stack.set) == (0, [(ROTATION_KEY, "1")])
    assert "before `pulumi up`" in result.stdout


def test_an_update_that_fails_is_told_with_how_to_go_on(stack: MadeUp) -> None:
    stack.failures = (Failure("", "Lightly said no"),)

    result = run("rotate", "--yes", "--json")

    assert (result.exit_code, document(result)["ok"]) == (1, False)
    assert document(result)["failures"] == [{"resource": "", "message": "Lightly said no"}]
    assert "`lightly-infra rotate --stack dev`, run again, continues from here" in result.stderr
    assert document(result)["credentials"][0]["renewed"] is False


def of_epoch(stack: MadeUp, behind: int) -> None:
    number = epochs.epoch(epochs.today(), days=30, forced=stack.settings.rotation) - behind
    for known in stack.outputs["credentials"]["scenes"].values():
        known["epoch"] = number


@pytest.mark.parametrize(("behind", "asked"), [(0, [(ROTATION_KEY, "4")]), (1, []), (2, [])])
def test_a_renewal_that_is_outstanding_is_finished_before_another_is_begun(
    stack: MadeUp, behind: int, asked: list[tuple[str, str]]
) -> None:
    """Another generation would end the one that Lightly still holds."""
    stack.settings = replace(stack.settings, rotation=3)
    of_epoch(stack, behind)

    result = run("rotate", "--yes", "--json")

    assert (result.exit_code, stack.set) == (0, asked)
    assert document(result)["value"] == (4 if asked else 3)
    assert ("a renewal is outstanding" in result.stderr) == (not asked)


@pytest.mark.parametrize(("done", "asked"), [(2, [("lightly-infra:external_id_rotation", "3")]), (1, [])])
def test_so_it_is_with_external_ids(monkeypatch: pytest.MonkeyPatch, done: int, asked: list[tuple[str, str]]) -> None:
    made = MadeUp("delegated")
    made.settings = replace(made.settings, external_id_rotation=2)
    made.outputs["credentials"]["scenes"] = {it: {"kind": "role", "epoch": done} for it in PURPOSES}
    monkeypatch.setattr(deployed, "Deployed", made)

    assert run("rotate", "--yes", "--external-ids").exit_code == 0
    assert made.set == asked


def test_without_anybody_to_ask_nothing_is_done(stack: MadeUp) -> None:
    result = run("rotate", "--json")

    assert (result.exit_code, stack.set) == (2, [])
    assert "add --yes" in document(result)["failures"][0]["message"]


@pytest.mark.parametrize(("answer", "asked"), [(True, [(ROTATION_KEY, "1")]), (False, [])])
def test_somebody_is_asked_first(
    stack: MadeUp, monkeypatch: pytest.MonkeyPatch, answer: bool, asked: list[tuple[str, str]]
) -> None:
    questions: list[str] = []

    def confirm(question: str, **_: object) -> bool:
        questions.append(question)
        return answer

    monkeypatch.setattr(typer, "confirm", confirm)
    monkeypatch.setattr(rotate, "_somebody_is_there", lambda: True)

    result = run("rotate")

    assert questions == [f"Set {ROTATION_KEY} to 1 and run `pulumi up` for stack 'dev'?"]
    assert (result.exit_code, stack.set) == (0 if answer else 2, asked)


@pytest.mark.parametrize(
    ("access", "args", "told"),
    [
        ("keys", (), "write rotate_every_days"),
        ("delegated", (), "`--external-ids` renews external ids"),
        (KEYS, ("--external-ids",), "no external id is minted here"),
    ],
)
def test_what_cannot_rotate_is_refused(
    access: Any, args: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = MadeUp(access)
    monkeypatch.setattr(deployed, "Deployed", made)

    result = run("rotate", "--yes", "--json", *args)

    assert (result.exit_code, made.set) == (2, [])
    assert told in document(result)["failures"][0]["message"]
    assert set(document(result)) == {"ok", "stack", "key", "value", "credentials", "failures"}


def test_minted_external_ids_have_a_number_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    made = MadeUp("delegated")
    made.outputs["credentials"]["scenes"] = {it: {"kind": "role"} for it in PURPOSES}
    monkeypatch.setattr(deployed, "Deployed", made)

    assert run("rotate", "--yes", "--external-ids").exit_code == 0
    assert made.set == [("lightly-infra:external_id_rotation", "1")]


def test_what_a_program_logs_is_told_and_its_warnings_are_kept() -> None:
    class Told:
        def __init__(self) -> None:
            self.lines: list[tuple[str, str]] = []

        def log(self, severity: str, message: str) -> None:
            self.lines.append((severity, message))

    told = Told()
    log = Log(told)  # type: ignore[arg-type] # all that it uses
    log("warning", "careful")
    log("info", "hello")

    assert (log.warnings, told.lines) == (["careful"], [("info", "hello")])


# -- what is not renewed, and what is ended


def mixed(monkeypatch: pytest.MonkeyPatch, source: dict[str, Any], known: dict[str, Any]) -> MadeUp:
    """A stack whose Input is renewed, and whose Lightly datasource is something else."""
    made = MadeUp()
    declared = {"scenes": {"input": {"s3": {**S3, "prefix": "raw/", "access": KEYS}}, "lightly": source}}
    made.settings = replace(made.settings, datasets=spec.parse(declared))
    made.outputs["credentials"]["scenes"]["lightly"] = known
    monkeypatch.setattr(deployed, "Deployed", made)
    return made


KEY = {"kind": "access key"}
OF_THE_USER = {"kind": "keys", "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "canary-secret-key"}
GCS = {"bucket": "acme-lightly", "prefix": "made/", "project": "acme-vision"}


@pytest.mark.parametrize(
    ("source", "known", "renewed", "how"),
    [
        (
            {"s3": {**S3, "prefix": "made/", "access": "keys"}},
            KEY,
            False,
            "write rotate_every_days and run `pulumi up`",
        ),
        ({"s3": {**S3, "prefix": "made/", "access": {"kind": "keys", "user": "theirs"}}}, KEY, False, "remove 'user'"),
        ({"s3": {**S3, "prefix": "made/", "access": OF_THE_USER}}, KEY, False, "pulumi config set --secret --path"),
        ({"gcs": GCS}, {"kind": "service account key"}, False, "write rotate_every_days and run `pulumi up`"),
        ({"s3": {**S3, "prefix": "made/", "access": "delegated"}}, {"kind": "role"}, None, "`--external-ids`"),
    ],
)
def test_what_a_renewal_leaves_out_is_told_with_how_it_is_renewed(
    source: dict[str, Any], known: dict[str, Any], renewed: bool | None, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed(monkeypatch, source, known)

    result = run("rotate", "--yes", "--json")
    mixed(monkeypatch, source, known)
    shown = run("rotate", "--yes")

    one, other = document(result)["credentials"]
    assert (one["renewed"], other["renewed"]) == (True, renewed)
    assert other["note"].startswith("not renewed: ")
    assert how in other["note"]
    assert result.exit_code == shown.exit_code == (3 if renewed is False else 0)
    assert "not renewed" in " ".join(shown.stdout.split())
    assert "canary" not in result.output + shown.output


def test_a_renewal_that_asks_the_user_for_what_it_cannot_do_is_no_success_for_no_up(stack: MadeUp) -> None:
    result = run("rotate", "--yes", "--no-up", "--json")

    assert (result.exit_code, stack.ups) == (0, [])
    assert {it["renewed"] for it in document(result)["credentials"]} == {False}


@pytest.mark.parametrize("outstanding", [False, True])
def test_what_lightly_holds_is_ended_by_going_past_it(stack: MadeUp, outstanding: bool) -> None:
    """Two generations live: what is neither the newest nor the one before is deleted once the newest works."""
    of_epoch(stack, int(outstanding))

    result = run("rotate", "--yes", "--json", "--revoke-previous")

    assert (result.exit_code, document(result)["value"]) == (0, 3)
    assert stack.ups == [*([{}] if outstanding else []), {ROTATION_KEY: "3"}]
    assert {it["epoch"] for it in document(result)["credentials"]} == {EPOCH + 3}


def test_an_external_id_is_ended_once_lightly_has_been_told_another(monkeypatch: pytest.MonkeyPatch) -> None:
    made = MadeUp("delegated")
    made.outputs["credentials"]["scenes"] = {it: {"kind": "role"} for it in PURPOSES}
    monkeypatch.setattr(deployed, "Deployed", made)

    result = run("rotate", "--yes", "--external-ids", "--revoke-previous", "--json")

    assert result.exit_code == 0
    assert made.ups == [{EXTERNAL_ID_ROTATION_KEY: "1"}, {EXTERNAL_ID_ROTATION_KEY: "2"}]


def test_a_revocation_that_fails_goes_no_further(stack: MadeUp) -> None:
    of_epoch(stack, 1)
    stack.failures = (Failure("", "Lightly said no"),)

    result = run("rotate", "--yes", "--revoke-previous")

    assert (result.exit_code, stack.ups, stack.set) == (1, [{}], [])
    assert "`lightly-infra rotate --stack dev --revoke-previous`, run again" in result.stderr


def test_the_sas_before_is_ended_by_a_command_that_is_told_and_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    source = {"azure": {"resource_group": "acme", "account": "acmedata", "container": "made", "prefix": ""}}
    known = {"kind": "SAS", "epoch": EPOCH, "rotate_every_days": 90, "signed_with": "key1", "expires": "2027-01-01"}
    mixed(monkeypatch, source, known)

    result = run("rotate", "--yes", "--revoke-previous", "--json")

    _, sas = document(result)["credentials"]
    assert (result.exit_code, sas["renewed"]) == (3, True)
    assert "`az storage account keys renew --account-name acmedata --key key1`" in sas["note"]
    assert "all else that uses that key" in sas["note"]


def test_the_cost_of_a_revocation_is_told_before(stack: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    questions: list[str] = []
    monkeypatch.setattr(typer, "confirm", lambda question, **_: questions.append(question))
    monkeypatch.setattr(rotate, "_somebody_is_there", lambda: True)

    refused, later = run("rotate", "--revoke-previous"), run("rotate", "--revoke-previous", "--no-up", "--yes")

    assert (refused.exit_code, later.exit_code, stack.set) == (2, 2, [])
    assert "runs under way fail" in questions[0]
    assert f"Set {ROTATION_KEY} to 3 and run `pulumi up`" in questions[0]
