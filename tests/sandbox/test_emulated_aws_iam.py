from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from lightly_infra.sandbox.aws.ministack import Credentials
from lightly_infra.sandbox.engine.interface import Secret
from lightly_infra.sandbox.resource_type import ResourceError
from tests.sandbox.emulated_provider import Driver, Refused, unique

if TYPE_CHECKING:
    from lightly_infra.sandbox.aws.ministack import Ministack
    from tests.sandbox.emulated_provider import Made

ROLE = "aws:iam/role:Role"
ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
USER = "aws:iam/user:User"
USER_POLICY = "aws:iam/userPolicy:UserPolicy"
ACCESS_KEY = "aws:iam/accessKey:AccessKey"


def _trust(external_id: str = "0123456789", **statement: object) -> str:
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": "arn:aws:iam::916419735646:root"},
                    "Action": "sts:AssumeRole",
                    "Condition": {"StringEquals": {"sts:ExternalId": external_id}},
                    **statement,
                }
            ],
        }
    )


def _policy(*actions: str) -> str:
    statement = {"Effect": "Allow", "Action": list(actions) or ["s3:GetObject"], "Resource": "arn:aws:s3:::b/*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture(params=["role", "user"])
def owner(request: pytest.FixtureRequest, aws: Driver) -> tuple[str, str, Made]:
    """What an inline policy can be in: its input's name, the policy's type, and one such."""
    if request.param == "role":
        return "role", ROLE_POLICY, aws.create(ROLE, {"name": unique("role"), "assumeRolePolicy": _trust()})
    return "user", USER_POLICY, aws.create(USER, {"name": unique("user")})


@pytest.fixture
def boundary(ministack: Ministack) -> str:
    return ministack.client("iam").create_policy(PolicyName=unique("boundary"), PolicyDocument=_policy())["Policy"][
        "Arn"
    ]


def test_a_role_has_the_outputs_of_the_real_provider(aws: Driver, boundary: str) -> None:
    name = unique("role")
    inputs = {
        "name": name,
        "assumeRolePolicy": _trust(),
        "description": "Lightly reads here",
        "maxSessionDuration": 43200,
        "path": "/lightly/",
        "permissionsBoundary": boundary,
        "tags": {"a": "b"},
    }
    made = aws.create(ROLE, inputs)
    assert made.id == name
    outputs = dict(made.outputs)
    assert outputs.pop("createDate").startswith("20")
    assert outputs.pop("uniqueId").startswith("AROA")
    assert outputs == {
        **inputs,
        "id": name,
        "arn": f"arn:aws:iam::123456789012:role/lightly/{name}",
        "forceDetachPolicies": False,
        "tagsAll": {"a": "b"},
    }
    assert aws.drifted(made, inputs) == []


def test_a_role_changes_in_place_and_drift_is_seen(aws: Driver, ministack: Ministack, boundary: str) -> None:
    iam = ministack.client("iam")
    before = {"name": unique("role"), "assumeRolePolicy": _trust(), "tags": {"a": "1", "b": "1"}}
    made = aws.create(ROLE, before)
    after = {
        "name": made.id,
        "assumeRolePolicy": _trust("another-one"),
        "description": "changed",
        "maxSessionDuration": 7200,
        "permissionsBoundary": boundary,
        "tags": {"a": "2"},
    }
    changes = aws.diff(made, after)
    assert set(changes.diffs) == set(after) - {"name"}
    assert not changes.replaces
    changed = aws.update(made, after)
    assert aws.drifted(changed, after) == []

    iam.update_assume_role_policy(RoleName=made.id, PolicyDocument=_trust("a stranger's"))
    iam.delete_role_permissions_boundary(RoleName=made.id)
    iam.tag_role(RoleName=made.id, Tags=[{"Key": "c", "Value": "3"}])
    iam.update_role(RoleName=made.id, MaxSessionDuration=3600, Description="theirs")
    assert set(aws.drifted(changed, after)) == set(after) - {"name"}

    bare = {"name": made.id, "assumeRolePolicy": _trust()}
    seen = aws.refresh(changed)
    assert seen is not None
    assert aws.drifted(aws.update(seen, bare), bare) == []
    aws.delete(changed)
    aws.delete(changed)
    assert aws.refresh(changed) is None


def test_name_and_path_of_a_role_replace_it(aws: Driver) -> None:
    inputs = {"name": unique("role"), "assumeRolePolicy": _trust()}
    made = aws.create(ROLE, inputs)
    assert list(aws.diff(made, {**inputs, "name": "another"}).replaces) == ["name"]
    moved = aws.diff(made, {**inputs, "path": "/elsewhere/"})
    assert list(moved.replaces) == ["path"]
    assert moved.deleteBeforeReplace, "two roles cannot have the one name that was given"
    automatic = aws.create(ROLE, {"assumeRolePolicy": _trust()}, name=unique("auto"))
    assert automatic.id.startswith("auto-")


def test_a_role_that_exists_is_not_created_again(aws: Driver) -> None:
    inputs = {"name": unique("role"), "assumeRolePolicy": _trust()}
    aws.create(ROLE, inputs)
    with pytest.raises(ResourceError, match="EntityAlreadyExists"):
        aws.create(ROLE, inputs)


def test_a_role_with_policies_is_deleted_only_when_told_so(aws: Driver, ministack: Ministack, boundary: str) -> None:
    inputs = {"name": unique("role"), "assumeRolePolicy": _trust()}
    made = aws.create(ROLE, inputs)
    aws.create(ROLE_POLICY, {"role": made.id, "name": "p", "policy": _policy()})
    ministack.client("iam").attach_role_policy(RoleName=made.id, PolicyArn=boundary)
    with pytest.raises(ResourceError, match="DeleteConflict"):
        aws.delete(made)
    aws.delete(aws.update(made, {**inputs, "forceDetachPolicies": True}))
    assert aws.refresh(made) is None


@pytest.mark.parametrize(
    ("inputs", "why"),
    [
        ({"assumeRolePolicy": "{"}, "assumeRolePolicy: MalformedPolicyDocument: .*not valid JSON"),
        ({"assumeRolePolicy": _trust(Effect="Maybe")}, "Effect must be Allow or Deny"),
        ({"assumeRolePolicy": _trust(Resource="*")}, "Resource has no place"),
        ({"assumeRolePolicy": _trust(Action=[])}, "Action is empty"),
        ({"assumeRolePolicy": _trust(Principal={"AWS": "arn:aws:s3:::b"})}, "invalid principal 'arn:aws:s3:::b'"),
        ({"assumeRolePolicy": _trust(Principal={"Somebody": "x"})}, "Principal must be"),
        ({"assumeRolePolicy": _trust("x" * 2048)}, "LimitExceeded: .*2048 is the most"),
        ({}, "assumeRolePolicy: is required"),
        ({"maxSessionDuration": 3599}, "maxSessionDuration: 3599 is outside 3600 to 43200 seconds"),
        ({"maxSessionDuration": 43201}, "maxSessionDuration: 43201 is outside"),
        ({"name": "x" * 65}, "name: .*65 characters; 64 is the most"),
        ({"namePrefix": "x" * 39}, "namePrefix: .*39 characters; 38 is the most"),
        ({"name": "a b"}, "name: 'a b' is no IAM name"),
        ({"path": "lightly"}, "path: .*slash"),
        ({"description": "x" * 1001}, "description: 1001 characters"),
        (
            {"managedPolicyArns": ["x"]},
            "managedPolicyArns: .*does not support this input; it honours assumeRolePolicy,",
        ),
    ],
)
def test_a_role_that_iam_or_the_emulator_does_not_take_is_refused(
    aws: Driver, inputs: dict[str, Any], why: str
) -> None:
    valid = {"assumeRolePolicy": _trust()} if inputs and "assumeRolePolicy" not in inputs else {}
    with pytest.raises(Refused, match=why):
        aws.check(ROLE, {**valid, **inputs})


def test_all_that_is_wrong_is_said_at_once(aws: Driver) -> None:
    with pytest.raises(Refused) as refused:
        aws.check(ROLE, {"assumeRolePolicy": "{", "maxSessionDuration": 1, "colour": "red"})
    assert all(name in str(refused.value) for name in ("assumeRolePolicy", "maxSessionDuration", "colour"))


def test_an_inline_policy_lives_its_life(aws: Driver, owner: tuple[str, str, Made]) -> None:
    key, type_name, holder = owner
    inputs = {key: holder.id, "name": "access", "policy": _policy()}
    made = aws.create(type_name, inputs)
    assert made.id == f"{holder.id}:access"
    assert made.outputs == {**inputs, "id": made.id}
    assert aws.drifted(made, inputs) == []

    changed = aws.update(made, {**inputs, "policy": _policy("s3:GetObject", "s3:PutObject")})
    assert not aws.diff(changed, {**inputs, "policy": _policy("s3:PutObject", "s3:GetObject")}).diffs
    assert aws.drifted(changed, inputs) == ["policy"]
    assert set(aws.diff(made, {**inputs, key: "another", "name": "other"}).replaces) == {key, "name"}
    assert aws.diff(made, {**inputs, key: "another"}).deleteBeforeReplace

    aws.delete(changed)
    assert aws.refresh(changed) is None
    aws.delete(changed)


def test_an_inline_policy_without_a_name_gets_one(aws: Driver, owner: tuple[str, str, Made]) -> None:
    key, type_name, holder = owner
    made = aws.create(type_name, {key: holder.id, "policy": _policy()}, name="access")
    assert made.outputs["name"].startswith("access-")
    prefixed = aws.create(type_name, {key: holder.id, "namePrefix": "pre-", "policy": _policy()})
    assert prefixed.outputs["name"].startswith("pre-")
    assert aws.drifted(prefixed, {key: holder.id, "namePrefix": "pre-", "policy": _policy()}) == []


def test_a_malformed_inline_policy_is_refused(aws: Driver, owner: tuple[str, str, Made]) -> None:
    key, type_name, holder = owner
    for policy, why in [("nonsense", "not valid JSON"), (_trust(), "Resource and NotResource")]:
        with pytest.raises(Refused, match=why):
            aws.check(type_name, {key: holder.id, "policy": policy})


def test_the_inline_policies_of_one_owner_have_a_quota(aws: Driver, owner: tuple[str, str, Made]) -> None:
    key, type_name, holder = owner
    quota = {"role": 10_240, "user": 2_048}[key]
    aws.create(type_name, {key: holder.id, "name": "first", "policy": _policy("s3:" + "x" * (quota // 2))})
    # White space does not count, and a policy that is put anew counts once.
    spaced = json.dumps(json.loads(_policy("s3:" + "x" * (quota // 4))), indent=400)
    second = aws.create(type_name, {key: holder.id, "name": "second", "policy": spaced})
    aws.update(second, {key: holder.id, "name": "second", "policy": spaced})
    with pytest.raises(ResourceError, match=f"LimitExceeded: .*{key} .*{quota} is the most"):
        aws.create(type_name, {key: holder.id, "name": "third", "policy": _policy("s3:" + "x" * (quota // 4))})


def test_an_inline_policy_needs_its_owner(aws: Driver, owner: tuple[str, str, Made]) -> None:
    key, type_name, _ = owner
    with pytest.raises(ResourceError, match="NoSuchEntity"):
        aws.create(type_name, {key: unique("nobody"), "policy": _policy()})


def test_a_user_lives_its_life(aws: Driver, ministack: Ministack, boundary: str) -> None:
    name = unique("user")
    inputs = {"name": name, "path": "/lightly/", "tags": {"a": "1", "b": "1"}, "permissionsBoundary": boundary}
    made = aws.create(USER, inputs)
    assert made.outputs["arn"] == f"arn:aws:iam::123456789012:user/lightly/{name}"
    assert made.outputs["uniqueId"].startswith("AIDA")
    assert aws.drifted(made, inputs) == []

    after = {"name": name, "path": "/lightly/", "tags": {"a": "2"}}
    changed = aws.update(made, after)
    assert aws.drifted(changed, after) == []
    ministack.client("iam").tag_user(UserName=name, Tags=[{"Key": "c", "Value": "3"}])
    ministack.client("iam").put_user_permissions_boundary(UserName=name, PermissionsBoundary=boundary)
    assert set(aws.drifted(changed, after)) == {"tags", "permissionsBoundary"}
    aws.delete(changed)
    aws.delete(changed)
    assert aws.refresh(changed) is None


def test_a_user_is_looked_up_by_its_name(aws: Driver, boundary: str) -> None:
    given = {"name": unique("user"), "path": "/people/", "tags": {"team": "a"}, "permissionsBoundary": boundary}
    made = aws.create(USER, given)
    found = aws.invoke("aws:iam/getUser:getUser", {"userName": made.id})
    assert found == {
        "arn": made.outputs["arn"],
        "id": made.outputs["uniqueId"],
        "path": "/people/",
        "permissionsBoundary": boundary,
        "tags": {"team": "a"},
        "userId": made.outputs["uniqueId"],
        "userName": made.id,
    }
    with pytest.raises(ResourceError, match="NoSuchEntity"):
        aws.invoke("aws:iam/getUser:getUser", {"userName": unique("nobody")})


def test_a_user_cannot_be_renamed_here_and_is_told_so(aws: Driver) -> None:
    made = aws.create(USER, {"name": unique("user")})
    for change in ({"name": "another"}, {"name": made.id, "path": "/x/"}):
        assert not aws.diff(made, change).replaces
        with pytest.raises(ResourceError, match=r"ministack cannot change the (name|path) of a user"):
            aws.update(made, change)


def test_a_user_with_keys_is_deleted_only_when_told_so(aws: Driver) -> None:
    inputs = {"name": unique("user")}
    made = aws.create(USER, inputs)
    aws.create(ACCESS_KEY, {"user": made.id})
    aws.create(USER_POLICY, {"user": made.id, "policy": _policy()})
    with pytest.raises(ResourceError, match="DeleteConflict"):
        aws.delete(made)
    aws.delete(aws.update(made, {**inputs, "forceDestroy": True}))
    assert aws.refresh(made) is None


def test_an_access_key_opens_what_its_user_may_and_is_secret(aws: Driver, ministack: Ministack) -> None:
    user = aws.create(USER, {"name": unique("user")})
    made = aws.create(ACCESS_KEY, {"user": user.id})
    secret = made.outputs["secret"]
    assert isinstance(secret, Secret)
    assert isinstance(made.outputs["sesSmtpPasswordV4"], Secret)
    assert made.outputs["status"] == "Active"
    assert abs(datetime.now(UTC) - datetime.fromisoformat(made.outputs["createDate"])) < timedelta(minutes=5)
    identity = ministack.client("sts", credentials=Credentials(made.id, secret.value)).get_caller_identity()
    assert identity["Arn"] == user.outputs["arn"]

    refreshed = aws.refresh(made)
    assert refreshed is not None
    assert refreshed.outputs == made.outputs, "the secret stays, though AWS never tells it again"
    assert aws.drifted(made, {"user": user.id}) == []

    off = aws.update(made, {"user": user.id, "status": "Inactive"})
    assert off.outputs["secret"].value == secret.value
    assert aws.drifted(off, {"user": user.id}) == ["status"]
    assert list(aws.diff(made, {"user": "another"}).replaces) == ["user"]
    aws.delete(off)
    assert aws.refresh(off) is None
    aws.delete(off)
    aws.delete(user)
    assert aws.refresh(off) is None


def test_an_access_key_can_be_made_inactive(aws: Driver, ministack: Ministack) -> None:
    user = aws.create(USER, {"name": unique("user")})
    aws.create(ACCESS_KEY, {"user": user.id, "status": "Inactive"})
    keys = ministack.client("iam").list_access_keys(UserName=user.id)["AccessKeyMetadata"]
    assert [key["Status"] for key in keys] == ["Inactive"]
    with pytest.raises(Refused, match="is not Active or Inactive"):
        aws.check(ACCESS_KEY, {"user": user.id, "status": "Paused"})


def test_a_key_that_a_crash_left_behind_goes_with_its_user(aws: Driver, ministack: Ministack) -> None:
    user = aws.create(USER, {"name": unique("user"), "forceDestroy": True})
    known = aws.create(ACCESS_KEY, {"user": user.id})
    orphan = ministack.client("iam").create_access_key(UserName=user.id)["AccessKey"]
    aws.delete(known)
    aws.delete(user)
    credentials = Credentials(orphan["AccessKeyId"], orphan["SecretAccessKey"])
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        ministack.client("sts", credentials=credentials).get_caller_identity()


def test_a_user_has_two_access_keys_at_most(aws: Driver) -> None:
    user = aws.create(USER, {"name": unique("user")})
    aws.create(ACCESS_KEY, {"user": user.id})
    aws.create(ACCESS_KEY, {"user": user.id})
    with pytest.raises(ResourceError, match=r"LimitExceeded: .*AccessKeysPerUser: 2"):
        aws.create(ACCESS_KEY, {"user": user.id})


def test_an_access_key_needs_its_user(aws: Driver) -> None:
    with pytest.raises(ResourceError, match="NoSuchEntity"):
        aws.create(ACCESS_KEY, {"user": unique("nobody")})
