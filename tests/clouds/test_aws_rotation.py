"""How what lets Lightly into S3 is renewed: two generations live, and Lightly is told the newer one."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import pulumi
import pytest

from lightly_infra.clouds import aws
from lightly_infra.clouds.aws import policy
from lightly_infra.permissions import Purpose
from tests.pulumi_mocks import (
    ACCOUNT,
    MINTED_EXTERNAL_ID,
    SECRET_ACCESS_KEY,
    Recording,
    Secret,
    in_the_open,
    made_by,
    run,
)

DAY = date(2026, 11, 22)  # day 20,779: epoch 230 of 90 days, which lasts until 2026-12-02
KEY = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"
GIVEN = "given-canary-external-id"
BEFORE = "former-canary-external-id"
CONFIG = ("config", "identity", "secrets", "principal_arns")


def made(make: Any, args: Any, *, name: str = "lightly", on_kms: bool = False, preview: bool = False) -> Recording:
    """An access with a datasource that uses it."""

    def program() -> None:
        access = make(name, args)
        source: aws.S3DatasourceArgs = {
            "purpose": Purpose.INPUT,
            "bucket": "acme-raw",
            "prefix": "raw/",
            "region": "eu-central-1",
            "access": access,
        }
        if on_kms:
            source["kms_key_arn"] = KEY
        raw = aws.S3Datasource("raw", source)
        for it in CONFIG:
            pulumi.export(it, dict(getattr(access, it)))
        pulumi.export("credential", {it: value for it, value in vars(raw.credential).items() if value is not None})

    return run(program, preview=preview)


def keys(*, name: str = "lightly", on_kms: bool = False, preview: bool = False, **args: Any) -> Recording:
    given = {"rotate_every_days": 90, "on": DAY} | args
    return made(aws.AccessKeys, given, name=name, on_kms=on_kms, preview=preview)


def role(*, preview: bool = False, **args: Any) -> Recording:
    return made(aws.DelegatedAccess, args, preview=preview)


def names(recording: Recording) -> set[tuple[str, str]]:
    return {(it.type.rpartition(":")[2], it.name) for it in recording.custom}


def of_epoch(number: int) -> set[tuple[str, str]]:
    return {("User", f"lightly-{number}"), ("AccessKey", f"lightly-{number}"), ("UserPolicy", f"raw-{number}")}


# -- keys


def test_this_epoch_and_the_one_before_each_have_a_user_with_a_key_and_the_policy() -> None:
    recording = keys()
    assert names(recording) == of_epoch(230) | of_epoch(229)
    for number in (230, 229):
        user = f"lightly-{number}-0a1b2c3"
        assert recording.one("iam/accessKey", f"lightly-{number}").inputs == {"user": user}
        assert recording.one("iam/userPolicy", f"raw-{number}").inputs["user"] == user
    new, old = recording.of("iam/userPolicy")
    assert new.inputs["policy"] == old.inputs["policy"]
    assert {it.parent for it in recording.of("iam/user:")} == {recording.one("aws:AccessKeys").urn}


def test_users_whose_long_names_begin_alike_are_told_apart() -> None:
    long = "lightly-street-scenes-of-all-cities-in-all-seasons-by-"
    one, other = (set(names(keys(name=f"{long}{it}"))) for it in ("day", "night"))
    users = [{name for kind, name in it if kind.endswith("User")} for it in (one, other)]

    assert all(users)
    assert not users[0] & users[1]
    assert all(len(name) + len("-1234567") <= 64 for name in users[0] | users[1])


def test_lightly_is_told_the_key_of_this_epoch() -> None:
    outputs = keys().stack_outputs
    assert outputs["config"] == {
        "type": "S3",
        "s3_access_key_id": "AKIAEXAMPLE230",
        "s3_secret_access_key": Secret(f"{SECRET_ACCESS_KEY}230"),
    }
    assert outputs["identity"] == {
        "access_key_id": "AKIAEXAMPLE230",
        "user_arn": f"arn:aws:iam::{ACCOUNT}:user/lightly-230-0a1b2c3",
    }
    assert outputs["secrets"] == {"secret_access_key": Secret(f"{SECRET_ACCESS_KEY}230")}
    assert outputs["credential"] == {
        "kind": "access key",
        "created": "2026-11-24T10:11:12Z",
        "epoch": 230,
        "rotate_every_days": 90,
    }


def test_both_keys_are_secret_wherever_they_go() -> None:
    recording = keys()
    for it in recording.of("iam/accessKey"):
        assert {"secret", "sesSmtpPasswordV4"} <= it.secret_outputs
    shown = " ".join(in_the_open(it.inputs) for it in recording.resources) + in_the_open(recording.outputs)
    assert "canary" not in shown


def test_nothing_changes_until_the_epochs_last_day_and_then_one_generation_moves_on() -> None:
    last = date(2026, 12, 2)
    assert names(keys(on=last)) == names(keys())
    assert names(keys(on=last + timedelta(days=1))) == of_epoch(231) | of_epoch(230)


def test_a_forced_renewal_moves_on_at_once() -> None:
    recording = keys(rotation=1)
    assert names(recording) == of_epoch(231) | of_epoch(230)
    assert recording.stack_outputs["credential"]["epoch"] == 231


def test_without_a_day_it_is_today(monkeypatch: pytest.MonkeyPatch) -> None:
    from lightly_infra import epochs

    monkeypatch.setattr(epochs, "today", lambda: DAY)
    recording = made(aws.AccessKeys, {"rotate_every_days": 90})
    assert names(recording) == of_epoch(230) | of_epoch(229)


def test_users_of_an_epoch_go_with_keys_that_a_crash_left_behind_and_are_bounded_and_tagged_alike() -> None:
    for it in keys(permissions_boundary=BOUNDARY, tags={"team": "vision"}).of("iam/user:"):
        tags = made_by("lightly").tags | {"team": "vision"}
        assert it.inputs == {"forceDestroy": True, "permissionsBoundary": BOUNDARY, "tags": tags}


def test_every_live_user_may_use_the_kms_key() -> None:
    grants = keys(on_kms=True).of("kms/grant")
    assert {it.name: it.inputs["granteePrincipal"] for it in grants} == {
        f"raw-{number}": f"arn:aws:iam::{ACCOUNT}:user/lightly-{number}-0a1b2c3" for number in (230, 229)
    }


def test_the_longest_names_of_the_yaml_leave_room_for_the_number_and_stay_apart() -> None:
    stem = f"lightly-{'s' * 38}"
    found = {
        it.name
        for end in ("input", "lightly", "shared")
        for it in keys(name=f"{stem}-{end}", rotate_every_days=1, rotation=999_999).of("iam/user:")
    }
    assert len(found) == 6
    # Pulumi adds 8 characters to a user's name, which has 64 at most.
    assert max(map(len, found)) == 56


def test_without_rotation_all_is_called_as_it_always_was() -> None:
    recording = made(aws.AccessKeys, {}, on_kms=True)
    assert names(recording) == {
        *(("User", "lightly"), ("AccessKey", "lightly")),
        *(("UserPolicy", "raw"), ("Grant", "raw")),
    }
    assert recording.one("iam/user:").inputs == {"forceDestroy": True, "tags": made_by("lightly").tags}
    assert recording.stack_outputs["credential"] == {"kind": "access key", "created": "2026-11-24T10:11:12Z"}


def test_an_epoch_lasts_a_day_or_more() -> None:
    with pytest.raises(ValueError, match="one day or more"):
        keys(rotate_every_days=0)


def test_a_preview_needs_nothing_to_be_known() -> None:
    assert len(keys(preview=True).custom) == 6


# -- a user of the user's own


def test_a_user_of_yours_gets_a_key_and_the_policy_and_is_not_changed() -> None:
    recording = made(aws.AccessKeys, {"user": "ours"}, on_kms=True)
    arn = f"arn:aws:iam::{ACCOUNT}:user/people/ours"
    assert names(recording) == {("AccessKey", "lightly"), ("UserPolicy", "raw"), ("Grant", "raw")}
    assert recording.one("iam/accessKey").inputs == {"user": "ours"}
    assert recording.one("iam/userPolicy").inputs["user"] == "ours"
    assert recording.one("kms/grant").inputs["granteePrincipal"] == arn
    assert recording.stack_outputs["identity"] == {"user_arn": arn, "access_key_id": "AKIAEXAMPLE"}
    assert recording.calls == [("aws:iam/getUser:getUser", {"userName": "ours"})]


def test_a_user_of_the_program_itself_is_named_by_its_output() -> None:
    def program() -> None:
        import pulumi_aws

        theirs = pulumi_aws.iam.User("theirs")
        access = aws.AccessKeys("lightly", {"user": theirs.name})
        pulumi.export("identity", dict(access.identity))

    recording = run(program)
    assert recording.one("iam/accessKey").inputs == {"user": "theirs-0a1b2c3"}
    assert recording.stack_outputs["identity"]["user_arn"].endswith(":user/people/theirs-0a1b2c3")
    assert run(program, preview=True).calls == [], "it is not there yet"


def test_a_user_of_yours_has_no_room_for_three_keys() -> None:
    with pytest.raises(ValueError, match=r"lightly: rotate_every_days: a user has room for two keys, .* leave 'user'"):
        keys(user="ours")


# -- keys of the user's own


@pytest.mark.parametrize("later", [False, True])
def test_a_key_of_yours_is_used_as_it_is_and_nothing_is_made_or_granted(later: bool) -> None:
    secret = pulumi.Output.from_input(SECRET_ACCESS_KEY) if later else SECRET_ACCESS_KEY
    recording = made(aws.BroughtKeys, {"access_key_id": "AKIAOURS", "secret_access_key": secret}, on_kms=True)
    assert recording.custom == []
    assert recording.stack_outputs == {
        "config": {
            "type": "S3",
            "s3_access_key_id": "AKIAOURS",
            "s3_secret_access_key": Secret(SECRET_ACCESS_KEY),
        },
        "identity": {"access_key_id": "AKIAOURS"},
        "secrets": {"secret_access_key": Secret(SECRET_ACCESS_KEY)},
        "principal_arns": {},
        "credential": {"kind": "access key"},
    }
    assert "canary" not in in_the_open(recording.outputs)
    assert recording.outputs_of(recording.one("aws:BroughtKeys"))["access_key_id"] == "AKIAOURS"


# -- external ids


def accepted(recording: Recording) -> Any:
    trust = recording.one("iam/role:").inputs["assumeRolePolicy"]
    assert isinstance(trust, Secret)
    (statement,) = json.loads(trust.value)["Statement"]
    return statement["Condition"]["StringEquals"]["sts:ExternalId"]


def told(recording: Recording) -> str:
    secret = recording.stack_outputs["config"]["s3_external_id"]
    assert isinstance(secret, Secret)
    return str(secret.value)


@pytest.mark.parametrize(
    ("rotation", "minted", "numbers"),
    [
        (0, {"lightly"}, [""]),
        (1, {"lightly-1", "lightly"}, ["1", ""]),
        (2, {"lightly-2", "lightly-1"}, ["2", "1"]),
        (12, {"lightly-12", "lightly-11"}, ["12", "11"]),
    ],
)
def test_an_external_id_is_renewed_when_asked_and_the_role_takes_the_one_before_as_well(
    rotation: int, minted: set[str], numbers: list[str]
) -> None:
    recording = role(rotation=rotation)
    ids = [f"{MINTED_EXTERNAL_ID}{it}" for it in numbers]
    assert {it.name for it in recording.of("random:")} == minted
    assert accepted(recording) == (ids if len(ids) > 1 else ids[0])
    assert told(recording) == ids[0]
    assert recording.stack_outputs["credential"] == {"kind": "role"} | ({"epoch": rotation} if rotation else {})


def test_an_external_id_that_was_never_renewed_is_asked_for_as_it_always_was() -> None:
    trust = role(rotation=0).one("iam/role:").inputs["assumeRolePolicy"]
    assert trust.value == policy.to_json(policy.trust_policy(external_id=MINTED_EXTERNAL_ID))
    assert trust == role().one("iam/role:").inputs["assumeRolePolicy"]


def test_lightly_is_told_after_the_role_takes_the_new_one() -> None:
    def program() -> None:
        from lightly_infra import provider

        access = aws.DelegatedAccess("lightly", {"rotation": 1})
        config = {**access.config, "full_path": "s3://acme-raw/", "s3_region": "eu-central-1"}
        provider.Datasource("raw", {"dataset_id": "0" * 24, "purpose": "INPUT", "config": config})

    recording = run(program)
    assert recording.one("iam/role:").urn in recording.waits_for(recording.one("lightly:Datasource"))


def test_given_ids_are_renewed_by_giving_the_one_before_too() -> None:
    recording = role(external_id=GIVEN, previous_external_id=BEFORE, rotation=3)
    assert recording.of("random:") == []
    assert accepted(recording) == [GIVEN, BEFORE]
    assert told(recording) == GIVEN
    shown = " ".join(in_the_open(it.inputs) for it in recording.resources) + in_the_open(recording.outputs)
    assert "canary" not in shown


def test_the_same_id_twice_is_one() -> None:
    assert accepted(role(external_id=GIVEN, previous_external_id=GIVEN)) == GIVEN


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (
            {"external_id": GIVEN, "role_arn": "arn:aws:iam::123456789012:role/ours"},
            "lightly: previous_external_id: a role of your own is not changed; let its trust policy take both",
        ),
        ({}, "lightly: previous_external_id is for an external_id of your own; raise 'rotation'"),
    ],
)
def test_a_previous_id_that_no_role_can_take_is_refused(args: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        role(previous_external_id=BEFORE, **args)
    assert "canary" not in str(caught.value)
