"""How Lightly gets in: what the identities are, and that their secrets are secret under every name."""

from __future__ import annotations

import json
import re
from typing import Any

import pulumi
import pytest

from lightly_infra.clouds import aws
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

OWN_ROLE = "arn:aws:iam::123456789012:role/ours"
BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"
GIVEN = "given-canary-external-id"


def delegated(args: aws.DelegatedAccessArgs | None = None, *, preview: bool = False) -> Recording:
    return run(lambda: aws.DelegatedAccess("lightly", args), preview=preview)


def keys(args: aws.AccessKeysArgs | None = None, *, preview: bool = False) -> Recording:
    return run(lambda: aws.AccessKeys("lightly", args), preview=preview)


def everything_in_the_open(recording: Recording) -> str:
    return " ".join(in_the_open(it.inputs) for it in recording.resources) + in_the_open(recording.outputs)


# -- a role


def test_a_role_and_an_external_id_are_made_under_the_component() -> None:
    recording = delegated()
    component = recording.one("lightly-infra:aws:DelegatedAccess")
    assert [(it.type, it.name, it.parent) for it in recording.custom] == [
        ("random:index/randomPassword:RandomPassword", "lightly", component.urn),
        ("aws:iam/role:Role", "lightly", component.urn),
    ]


def test_the_external_id_is_minted_of_32_letters_and_digits() -> None:
    assert delegated().one("random:").inputs == {"length": 32, "special": False}


def test_the_role_trusts_lightlys_account_with_the_minted_id() -> None:
    trust = delegated().one("iam/role").inputs["assumeRolePolicy"]
    assert isinstance(trust, Secret)
    (statement,) = json.loads(trust.value)["Statement"]
    assert statement["Principal"] == {"AWS": "arn:aws:iam::916419735646:root"}
    assert statement["Condition"] == {"StringEquals": {"sts:ExternalId": MINTED_EXTERNAL_ID}}


def test_the_role_trusts_another_account_of_lightlys_if_told_to() -> None:
    trust = delegated({"lightly_account_id": "111122223333"}).one("iam/role").inputs["assumeRolePolicy"]
    assert json.loads(trust.value)["Statement"][0]["Principal"] == {"AWS": "arn:aws:iam::111122223333:root"}


def test_a_session_may_last_12_hours() -> None:
    assert delegated().one("iam/role").inputs["maxSessionDuration"] == 12 * 60 * 60


def test_the_role_is_bounded_and_tagged_if_told_to() -> None:
    role = delegated({"permissions_boundary": BOUNDARY, "tags": {"team": "vision"}}).one("iam/role")
    assert role.inputs["permissionsBoundary"] == BOUNDARY
    assert role.inputs["tags"] == made_by("lightly").tags | {"team": "vision"}
    assert "permissionsBoundary" not in delegated().one("iam/role").inputs


def test_the_role_alone_may_do_nothing() -> None:
    recording = delegated()
    assert not recording.of("Policy")
    assert not {"inlinePolicies", "managedPolicyArns"} & set(recording.one("iam/role").inputs)


def test_a_given_external_id_is_used_instead_of_a_minted_one() -> None:
    recording = delegated({"external_id": GIVEN})
    assert not recording.of("random:")
    trust = recording.one("iam/role").inputs["assumeRolePolicy"]
    assert isinstance(trust, Secret)
    assert GIVEN in trust.value


@pytest.mark.parametrize(
    ("args", "external_id"),
    [({}, MINTED_EXTERNAL_ID), ({"external_id": GIVEN}, GIVEN), ({"external_id": GIVEN, "role_arn": OWN_ROLE}, GIVEN)],
)
def test_the_external_id_is_secret_wherever_it_goes(args: aws.DelegatedAccessArgs, external_id: str) -> None:
    recording = delegated(args)
    assert external_id not in everything_in_the_open(recording)
    component = recording.one("lightly-infra:aws:DelegatedAccess")
    assert recording.outputs_of(component)["external_id"] == Secret(external_id)


def test_the_role_itself_is_no_secret() -> None:
    recording = delegated()
    arn = recording.outputs_of(recording.one("lightly-infra:aws:DelegatedAccess"))["role_arn"]
    assert arn == f"arn:aws:iam::{ACCOUNT}:role/lightly-0a1b2c3"


def test_a_role_of_the_users_own_is_used_as_it_is() -> None:
    recording = delegated({"role_arn": OWN_ROLE, "external_id": GIVEN})
    assert recording.custom == []
    assert recording.outputs_of(recording.one("lightly-infra:"))["role_arn"] == OWN_ROLE


def test_a_role_of_the_program_itself_is_named_by_its_output() -> None:
    def program() -> None:
        import pulumi_aws

        ours = pulumi_aws.iam.Role("ours", assume_role_policy="{}")
        access = aws.DelegatedAccess("lightly", {"role_arn": ours.arn, "external_id": GIVEN})
        pulumi.export("told", dict(access.config))

    recording = run(program)
    arn = f"arn:aws:iam::{ACCOUNT}:role/ours-0a1b2c3"
    assert [it.name for it in recording.custom] == ["ours"]
    assert recording.outputs_of(recording.one("lightly-infra:"))["role_arn"] == arn
    assert recording.stack_outputs["told"] == {
        "type": "S3DelegatedAccess",
        "s3_arn": arn,
        "s3_external_id": Secret(GIVEN),
    }


def test_a_role_of_the_users_own_gets_no_policy() -> None:
    def program() -> None:
        access = aws.DelegatedAccess("lightly", {"role_arn": OWN_ROLE, "external_id": GIVEN})
        access.grant("raw", "{}", pulumi.ResourceOptions())
        assert access.principal_arns == {}

    assert run(program).custom == []


def test_a_role_of_the_users_own_needs_its_external_id() -> None:
    with pytest.raises(ValueError, match=re.escape("lightly: role_arn needs external_id: give the one that")):
        delegated({"role_arn": OWN_ROLE})


# -- a user


def test_a_user_and_one_key_are_made_under_the_component() -> None:
    recording = keys()
    component = recording.one("lightly-infra:aws:AccessKeys")
    assert [(it.type, it.name, it.parent) for it in recording.custom] == [
        ("aws:iam/user:User", "lightly", component.urn),
        ("aws:iam/accessKey:AccessKey", "lightly", component.urn),
    ]
    assert recording.one("iam/user").inputs == {"forceDestroy": True, "tags": made_by("lightly").tags}
    assert recording.one("iam/accessKey").inputs == {"user": "lightly-0a1b2c3"}


def test_the_user_is_bounded_and_tagged_if_told_to() -> None:
    args: aws.AccessKeysArgs = {"permissions_boundary": BOUNDARY, "tags": {"team": "vision"}}
    tags = made_by("lightly").tags | {"team": "vision"}
    assert keys(args).one("iam/user").inputs == {"forceDestroy": True, "permissionsBoundary": BOUNDARY, "tags": tags}
    assert "permissionsBoundary" not in keys().one("iam/user").inputs


@pytest.mark.parametrize(("access", "type_"), [(aws.DelegatedAccess, "iam/role"), (aws.AccessKeys, "iam/user")])
def test_bounds_and_tags_may_be_known_only_later(access: type[Any], type_: str) -> None:
    def program() -> None:
        later = pulumi.Output.from_input
        access("lightly", {"permissions_boundary": later(BOUNDARY), "tags": {"team": later("vision")}})

    inputs = run(program).one(type_).inputs
    assert (inputs["permissionsBoundary"], inputs["tags"]) == (BOUNDARY, made_by("lightly").tags | {"team": "vision"})


def test_the_user_alone_may_do_nothing() -> None:
    assert not keys().of("Policy")


def test_the_secret_access_key_is_secret_wherever_it_goes() -> None:
    recording = keys()
    assert {"secret", "sesSmtpPasswordV4"} <= recording.one("iam/accessKey").secret_outputs
    assert "canary" not in everything_in_the_open(recording)
    outputs = recording.outputs_of(recording.one("lightly-infra:aws:AccessKeys"))
    assert outputs == {
        "user_arn": f"arn:aws:iam::{ACCOUNT}:user/lightly-0a1b2c3",
        "access_key_id": "AKIAEXAMPLE",
        "secret_access_key": Secret(SECRET_ACCESS_KEY),
    }


@pytest.mark.parametrize("make", [delegated, keys])
def test_a_preview_needs_nothing_to_be_known(make: type) -> None:
    assert len(make(preview=True).custom) == 2
