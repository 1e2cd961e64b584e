"""Emulated IAM roles, users and access keys; inline policies are in `iam_policies.py`.

Quotas are those of the IAM user guide, "IAM and AWS STS quotas"; ministack knows none of them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Any, ClassVar, Final

from botocore.exceptions import ClientError

from lightly_infra.sandbox.aws import policies
from lightly_infra.sandbox.aws.policies import PolicyKind, refuse_policy
from lightly_infra.sandbox.aws.session import TAGS, AwsType, as_text, is_gone, refused, tag_list
from lightly_infra.sandbox.resource_type import Input, Naming

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lightly_infra.sandbox.resource_type import Properties

_SESSION: Final = (3600, 43200)  # seconds: an hour to twelve
_DESCRIPTION: Final = 1000  # characters
_KEYS_PER_USER: Final = 2
_NAME: Final = re.compile(r"[\w+=,.@-]+", re.ASCII)
_PATH: Final = re.compile(r"/|/[!-~]+/")


def refuse_name(name: str) -> str | None:
    """Why IAM refuses the name of a role, a user or a policy, or None."""
    return None if _NAME.fullmatch(name) else f"{name!r} is no IAM name: letters, digits and _+=,.@- only"


def _refuse_path(path: str) -> str | None:
    return None if _PATH.fullmatch(path) else f"{path!r} is no path: it must begin and end with a slash"


def _refuse_session(seconds: object) -> str | None:
    if isinstance(seconds, int) and _SESSION[0] <= seconds <= _SESSION[1]:
        return None
    return f"{seconds} is outside {_SESSION[0]} to {_SESSION[1]} seconds"


def _refuse_trust(policy: str) -> str | None:
    if (length := policies.size(policy)) > policies.TRUST_POLICY_CHARACTERS:
        return f"LimitExceeded: {length} characters; {policies.TRUST_POLICY_CHARACTERS} is the most"
    return refuse_policy(policy, PolicyKind.TRUST)


_IDENTITY: Final[Mapping[str, Input]] = {
    "permissionsBoundary": Input(),
    "tags": TAGS,
}


class Role(AwsType):
    """A role and its trust policy."""

    type_name = "aws:iam/role:Role"
    naming = Naming(64, prefix="namePrefix")
    inputs: ClassVar[Mapping[str, Input]] = {
        "assumeRolePolicy": Input(required=True, document=True, refuse=_refuse_trust),
        "description": Input(
            refuse=lambda text: (
                f"{len(text)} characters; {_DESCRIPTION} is the most" if len(text) > _DESCRIPTION else None
            )
        ),
        "forceDetachPolicies": Input(default=False),
        "maxSessionDuration": Input(default=3600, refuse=_refuse_session),
        "name": Input(replaces=True, computed=True, refuse=refuse_name),
        "namePrefix": Input(replaces=True, computed=True),
        "path": Input(default="/", replaces=True, refuse=_refuse_path),
        **_IDENTITY,
    }

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """Create the role."""
        given: Any = {
            "Description": inputs.get("description"),
            "PermissionsBoundary": inputs.get("permissionsBoundary"),
            "MaxSessionDuration": inputs.get("maxSessionDuration"),
            "Path": inputs.get("path"),
        }
        name = self.naming.chosen(inputs)
        role = self.session.iam().create_role(
            RoleName=name,
            AssumeRolePolicyDocument=inputs["assumeRolePolicy"],
            Tags=_tags(inputs),
            **{key: value for key, value in given.items() if value is not None},
        )["Role"]
        return name, inputs | _identity(role, inputs.get("tags"), "RoleName")

    def read(self, resource_id: str, olds: Properties) -> Properties | None:
        """The role as it is."""
        role = self.session.iam().get_role(RoleName=resource_id)["Role"]
        tags = {tag["Key"]: tag["Value"] for tag in role.get("Tags", ())} or None
        return {
            "assumeRolePolicy": as_text(role["AssumeRolePolicyDocument"]),
            "description": role.get("Description") or None,
            "forceDetachPolicies": olds.get("forceDetachPolicies", False),
            "maxSessionDuration": role.get("MaxSessionDuration"),
            "namePrefix": olds.get("namePrefix"),
            "permissionsBoundary": _boundary(role),
            "tags": tags,
            **_identity(role, tags, "RoleName"),
        }

    def update(self, resource_id: str, olds: Properties, inputs: Properties) -> Properties:
        """Change what changed."""
        client, name = self.session.iam(), resource_id
        changed = {key for key, spec in self.inputs.items() if not spec.same(olds.get(key), inputs.get(key))}
        if "assumeRolePolicy" in changed:
            client.update_assume_role_policy(RoleName=name, PolicyDocument=inputs["assumeRolePolicy"])
        if "description" in changed:
            # And not update_role: ministack does not see an empty description there.
            client.update_role_description(RoleName=name, Description=inputs.get("description", ""))
        if "maxSessionDuration" in changed:
            client.update_role(RoleName=name, MaxSessionDuration=inputs["maxSessionDuration"])
        if "permissionsBoundary" in changed and inputs.get("permissionsBoundary"):
            client.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=inputs["permissionsBoundary"])
        elif "permissionsBoundary" in changed:
            _remove_boundary(lambda: client.delete_role_permissions_boundary(RoleName=name))
        if "tags" in changed:
            gone = sorted(set(olds.get("tags", {})) - set(inputs.get("tags", {})))
            if gone:
                client.untag_role(RoleName=name, TagKeys=gone)
            if inputs.get("tags"):
                client.tag_role(RoleName=name, Tags=_tags(inputs))
        role = client.get_role(RoleName=name)["Role"]
        return inputs | _identity(role, inputs.get("tags"), "RoleName")

    def delete(self, resource_id: str, olds: Properties) -> None:
        """Delete the role; one that still holds policies only with `forceDetachPolicies`."""
        client = self.session.iam()
        if olds.get("forceDetachPolicies"):
            for policy in client.list_role_policies(RoleName=resource_id)["PolicyNames"]:
                client.delete_role_policy(RoleName=resource_id, PolicyName=policy)
            for attached in client.list_attached_role_policies(RoleName=resource_id)["AttachedPolicies"]:
                client.detach_role_policy(RoleName=resource_id, PolicyArn=attached["PolicyArn"])
        client.delete_role(RoleName=resource_id)


class User(AwsType):
    """A user. AWS can rename one in place; ministack cannot, so that is refused."""

    type_name = "aws:iam/user:User"
    naming = Naming(64)
    inputs: ClassVar[Mapping[str, Input]] = {
        "forceDestroy": Input(default=False),
        "name": Input(computed=True, refuse=refuse_name),
        "path": Input(default="/", refuse=_refuse_path),
        **_IDENTITY,
    }

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """Create the user."""
        boundary: Any = (
            {"PermissionsBoundary": inputs["permissionsBoundary"]} if inputs.get("permissionsBoundary") else {}
        )
        user = self.session.iam().create_user(
            UserName=inputs["name"], Path=inputs["path"], Tags=_tags(inputs), **boundary
        )["User"]
        return inputs["name"], inputs | _identity(user, inputs.get("tags"), "UserName")

    def read(self, resource_id: str, olds: Properties) -> Properties | None:
        """The user as it is."""
        user = self.session.iam().get_user(UserName=resource_id)["User"]
        tags = {tag["Key"]: tag["Value"] for tag in user.get("Tags", ())} or None
        return {
            "forceDestroy": olds.get("forceDestroy", False),
            "permissionsBoundary": _boundary(user),
            "tags": tags,
            **_identity(user, tags, "UserName"),
        }

    def update(self, resource_id: str, olds: Properties, inputs: Properties) -> Properties:
        """Change boundary and tags."""
        client, name = self.session.iam(), resource_id
        for key in ("name", "path"):
            if olds.get(key) != inputs.get(key):
                raise refused(
                    "InvalidAction", f"ministack cannot change the {key} of a user; give the user a new resource"
                )
        if (boundary := inputs.get("permissionsBoundary")) != olds.get("permissionsBoundary"):
            if boundary:
                client.put_user_permissions_boundary(UserName=name, PermissionsBoundary=boundary)
            else:
                _remove_boundary(lambda: client.delete_user_permissions_boundary(UserName=name))
        gone = sorted(set(olds.get("tags", {})) - set(inputs.get("tags", {})))
        if gone:
            client.untag_user(UserName=name, TagKeys=gone)
        if inputs.get("tags"):
            client.tag_user(UserName=name, Tags=_tags(inputs))
        return inputs | _identity(client.get_user(UserName=name)["User"], inputs.get("tags"), "UserName")

    def delete(self, resource_id: str, olds: Properties) -> None:
        """Delete the user; one that still has keys or policies only with `forceDestroy`."""
        client = self.session.iam()
        if olds.get("forceDestroy"):
            for key in client.list_access_keys(UserName=resource_id)["AccessKeyMetadata"]:
                client.delete_access_key(UserName=resource_id, AccessKeyId=key["AccessKeyId"])
            for policy in client.list_user_policies(UserName=resource_id)["PolicyNames"]:
                client.delete_user_policy(UserName=resource_id, PolicyName=policy)
        client.delete_user(UserName=resource_id)


class AccessKey(AwsType):
    """A user's access key. AWS tells the secret at creation only, so it is kept in the state, as a secret."""

    type_name = "aws:iam/accessKey:AccessKey"
    secret_outputs = frozenset({"secret", "sesSmtpPasswordV4"})
    inputs: ClassVar[Mapping[str, Input]] = {
        "user": Input(required=True, replaces=True),
        "status": Input(
            default="Active",
            refuse=lambda status: None if status in ("Active", "Inactive") else f"{status!r} is not Active or Inactive",
        ),
    }

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """Create the key; a user has two at most."""
        client, user = self.session.iam(), inputs["user"]
        if len(client.list_access_keys(UserName=user)["AccessKeyMetadata"]) >= _KEYS_PER_USER:
            raise refused("LimitExceeded", f"Cannot exceed quota for AccessKeysPerUser: {_KEYS_PER_USER}")
        key = client.create_access_key(UserName=user)["AccessKey"]
        if inputs["status"] != "Active":
            client.update_access_key(UserName=user, AccessKeyId=key["AccessKeyId"], Status=inputs["status"])
        return key["AccessKeyId"], inputs | {
            "createDate": key["CreateDate"].isoformat(),
            "secret": key["SecretAccessKey"],
            "sesSmtpPasswordV4": _ses_password(key["SecretAccessKey"], self.session.region),
        }

    def read(self, resource_id: str, olds: Properties) -> Properties | None:
        """The key as it is, with the secret that is known."""
        client = self.session.iam()
        user = olds.get("user") or client.get_access_key_last_used(AccessKeyId=resource_id)["UserName"]
        keys = client.list_access_keys(UserName=user)["AccessKeyMetadata"]
        live = next((key for key in keys if key["AccessKeyId"] == resource_id), None)
        if live is None:
            return None
        kept = {name: olds.get(name) for name in self.secret_outputs}
        return kept | {"user": user, "status": live["Status"], "createDate": live["CreateDate"].isoformat()}

    def update(self, resource_id: str, olds: Properties, inputs: Properties) -> Properties:
        """Switch the key on or off."""
        self.session.iam().update_access_key(UserName=inputs["user"], AccessKeyId=resource_id, Status=inputs["status"])
        return olds | inputs

    def delete(self, resource_id: str, olds: Properties) -> None:
        """Delete the key."""
        self.session.iam().delete_access_key(UserName=olds["user"], AccessKeyId=resource_id)


def _ses_password(secret: str, region: str) -> str:
    """The SMTP password that belongs to a secret key ("Obtaining Amazon SES SMTP credentials", SES guide)."""
    signature = f"AWS4{secret}".encode()
    for part in ("11111111", region, "ses", "aws4_request", "SendRawEmail"):
        signature = hmac.new(signature, part.encode(), hashlib.sha256).digest()
    return base64.b64encode(b"\x04" + signature).decode()


def _identity(live: Any, tags: Mapping[str, str] | None, name: str) -> Properties:
    return {
        "arn": live["Arn"],
        "createDate": live["CreateDate"].isoformat(),
        "name": live[name],
        "path": live["Path"],
        "tagsAll": dict(tags or {}),
        "uniqueId": live["RoleId" if name == "RoleName" else "UserId"],
    }


def _boundary(live: Any) -> str | None:
    arn = live.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
    return str(arn) if arn else None


def _remove_boundary(remove: Callable[[], object]) -> None:
    try:
        remove()
    except ClientError as error:
        if not is_gone(error):  # somebody else removed it
            raise


def _tags(inputs: Properties) -> list[Any]:
    return [{"Key": key, "Value": value} for key, value in tag_list(inputs.get("tags"))]
