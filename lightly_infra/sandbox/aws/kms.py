"""Emulated KMS keys and grants. ministack keeps them and uses them, but enforces none of their permissions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from botocore.exceptions import ClientError

from lightly_infra.sandbox.aws.policies import PolicyKind, refuse_policy
from lightly_infra.sandbox.aws.session import REGION, TAGS, AwsType, refused, tag_list
from lightly_infra.sandbox.resource_type import Input, Naming, Shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightly_infra.sandbox.resource_type import Properties

_WINDOW: Final = (7, 30)  # days that a key can be waiting for its deletion
_POLICY: Final = "default"  # the only policy a key has


class Key(AwsType):
    """A symmetric key."""

    type_name = "aws:kms/key:Key"
    inputs: ClassVar[Mapping[str, Input]] = {
        "description": Input(computed=True),
        "policy": Input(document=True, computed=True, refuse=lambda policy: refuse_policy(policy, PolicyKind.RESOURCE)),
        "deletionWindowInDays": Input(
            default=_WINDOW[1],
            refuse=lambda days: (
                None if _WINDOW[0] <= days <= _WINDOW[1] else f"{days} is outside {_WINDOW[0]} to {_WINDOW[1]} days"
            ),
        ),
        "enableKeyRotation": Input(default=False),
        "tags": TAGS,
        "region": REGION,
    }

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """Create the key."""
        client = self.session.kms(inputs)
        policy: Any = {"Policy": inputs["policy"]} if inputs.get("policy") else {}
        key = client.create_key(Description=inputs.get("description", ""), Tags=_tags(inputs), **policy)["KeyMetadata"]
        if inputs.get("enableKeyRotation"):
            client.enable_key_rotation(KeyId=key["KeyId"])
        return key["KeyId"], self._live(key["KeyId"], inputs)

    def read(self, resource_id: str, olds: Properties) -> Properties | None:
        """The key as it is; one that waits for its deletion counts as gone."""
        key = self.session.kms(olds).describe_key(KeyId=resource_id)["KeyMetadata"]
        return None if key["KeyState"] == "PendingDeletion" else self._live(resource_id, olds)

    def update(self, resource_id: str, olds: Properties, inputs: Properties) -> Properties:
        """Change what changed."""
        client = self.session.kms(inputs)
        changed = {name for name, spec in self.inputs.items() if not spec.same(olds.get(name), inputs.get(name))}
        if "description" in changed:
            client.update_key_description(KeyId=resource_id, Description=inputs.get("description", ""))
        if "policy" in changed and inputs.get("policy"):
            client.put_key_policy(KeyId=resource_id, PolicyName=_POLICY, Policy=inputs["policy"])
        if "enableKeyRotation" in changed:
            switch = client.enable_key_rotation if inputs["enableKeyRotation"] else client.disable_key_rotation
            switch(KeyId=resource_id)
        if "tags" in changed:
            gone = sorted(set(olds.get("tags", {})) - set(inputs.get("tags", {})))
            if gone:
                client.untag_resource(KeyId=resource_id, TagKeys=gone)
            if inputs.get("tags"):
                client.tag_resource(KeyId=resource_id, Tags=_tags(inputs))
        return self._live(resource_id, inputs)

    def delete(self, resource_id: str, olds: Properties) -> None:
        """Schedule the deletion: KMS deletes no key at once."""
        days = olds.get("deletionWindowInDays", _WINDOW[1])
        self.session.kms(olds).schedule_key_deletion(KeyId=resource_id, PendingWindowInDays=days)

    def _live(self, key_id: str, known: Properties) -> Properties:
        client = self.session.kms(known)
        key = client.describe_key(KeyId=key_id)["KeyMetadata"]
        tags = {tag["TagKey"]: tag["TagValue"] for tag in client.list_resource_tags(KeyId=key_id)["Tags"]}
        return {
            "arn": key["Arn"],
            "keyId": key["KeyId"],
            "description": key.get("Description", ""),
            "policy": client.get_key_policy(KeyId=key_id, PolicyName=_POLICY)["Policy"],
            "deletionWindowInDays": known.get("deletionWindowInDays", _WINDOW[1]),
            "enableKeyRotation": client.get_key_rotation_status(KeyId=key_id)["KeyRotationEnabled"],
            "isEnabled": key["Enabled"],
            "keyUsage": key["KeyUsage"],
            "customerMasterKeySpec": key["KeySpec"],
            "multiRegion": key["MultiRegion"],
            "region": self.session.region_of(known),
            "tags": tags or None,
            "tagsAll": tags,
        }


class Grant(AwsType):
    """A grant: what a principal may do with a key. Its id is `key:grant`; no part of it can change."""

    type_name = "aws:kms/grant:Grant"
    naming = Naming(256)
    secret_outputs = frozenset({"grantToken"})
    _shape: ClassVar = Shape(
        {"encryptionContextEquals": "EncryptionContextEquals", "encryptionContextSubset": "EncryptionContextSubset"}
    )
    inputs: ClassVar[Mapping[str, Input]] = {
        "keyId": Input(required=True, replaces=True),
        "granteePrincipal": Input(required=True, replaces=True),
        "operations": Input(required=True, replaces=True),
        "constraints": Input(replaces=True, shape=_shape),
        "name": Input(replaces=True, computed=True),
        "retiringPrincipal": Input(replaces=True),
        "retireOnDelete": Input(default=False),
        "region": REGION,
    }

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """Create the grant; its principals must exist, as KMS demands and ministack does not."""
        given: Any = {"GranteePrincipal": inputs["granteePrincipal"], "Name": inputs.get("name")}
        given["RetiringPrincipal"] = inputs.get("retiringPrincipal")
        for principal in (inputs["granteePrincipal"], inputs.get("retiringPrincipal")):
            self._refuse_stranger(principal)
        for constraint in self._shape.to_api(inputs.get("constraints", [])):
            given["Constraints"] = given.get("Constraints", {}) | constraint
        wanted = {name: value for name, value in given.items() if value} | {"Operations": inputs["operations"]}
        # By a name and the same parameters KMS gives back the grant that there is ("CreateGrant"); ministack does not.
        client = self.session.kms(inputs)
        pages = client.get_paginator("list_grants").paginate(KeyId=inputs["keyId"])
        grants = (grant for page in pages for grant in page["Grants"])
        answer: Any = next((it for it in grants if it.get("Name") and wanted.items() <= dict(it).items()), None)
        answer = answer or client.create_grant(KeyId=inputs["keyId"], **wanted)
        made = {"grantId": answer["GrantId"], "grantToken": answer.get("GrantToken")}
        return f"{inputs['keyId']}:{answer['GrantId']}", inputs | made | {"region": self.session.region_of(inputs)}

    def read(self, resource_id: str, olds: Properties) -> Properties | None:
        """The grant as it is. KMS tells its token at creation only."""
        key, _, grant_id = resource_id.rpartition(":")
        pages = self.session.kms(olds).get_paginator("list_grants").paginate(KeyId=key)
        grants = [grant for page in pages for grant in page["Grants"] if grant["GrantId"] == grant_id]
        if not grants:
            return None
        live = grants[0]
        constraints = self._shape.from_api(live.get("Constraints", {}))
        return {
            "keyId": key,
            "grantId": grant_id,
            "grantToken": olds.get("grantToken"),
            "granteePrincipal": live["GranteePrincipal"],
            "operations": live["Operations"],
            "constraints": [constraints] if constraints else None,
            "name": live.get("Name") or None,
            "retiringPrincipal": live.get("RetiringPrincipal") or None,
            "retireOnDelete": olds.get("retireOnDelete", False),
            "region": self.session.region_of(olds),
        }

    def update(self, resource_id: str, olds: Properties, inputs: Properties) -> Properties:  # noqa: ARG002
        """Only how it will be deleted can change, and that is ours to remember."""
        return olds | inputs

    def delete(self, resource_id: str, olds: Properties) -> None:
        """Revoke the grant, or retire it if that was asked for."""
        key, _, grant_id = resource_id.rpartition(":")
        client = self.session.kms(olds)
        end = client.retire_grant if olds.get("retireOnDelete") else client.revoke_grant
        end(KeyId=key, GrantId=grant_id)

    def _refuse_stranger(self, principal: str | None) -> None:
        prefix = f"arn:aws:iam::{self.session.account()}:"
        if not principal or not principal.startswith(prefix):
            return
        kind, _, path = principal.removeprefix(prefix).partition("/")
        name = path.rpartition("/")[2]
        try:
            if kind == "role":
                self.session.iam().get_role(RoleName=name)
            elif kind == "user":
                self.session.iam().get_user(UserName=name)
        except ClientError as error:
            raise refused("InvalidArnException", f"the principal {principal!r} does not exist") from error


def _tags(inputs: Properties) -> list[Any]:
    return [{"TagKey": key, "TagValue": value} for key, value in tag_list(inputs.get("tags"))]
