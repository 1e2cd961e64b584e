"""The emulated provider's service accounts, keys and custom roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from lightly_infra.sandbox.gcp.clients import GoogleError
from lightly_infra.sandbox.gcp.iam import ACCOUNT_ID
from lightly_infra.sandbox.gcp.roles import ROLE_ID, STAGES
from lightly_infra.sandbox.gcp.session import NAME_OF_PROJECT, GcpType, saying
from lightly_infra.sandbox.resource_type import Input, ResourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightly_infra.sandbox.resource_type import Properties

_NOT_FOUND: Final = 404
_CONFLICT: Final = 409


class Account(GcpType):
    """A service account."""

    type_name = "gcp:serviceaccount/account:Account"
    also_nameable = frozenset({"accountId"})
    inputs: ClassVar[Mapping[str, Input]] = {
        "accountId": Input(
            required=True,
            replaces=True,
            refuse=lambda name: (
                None if ACCOUNT_ID.fullmatch(name) else f"{name!r} doesn't match regexp ^{ACCOUNT_ID.pattern}$"
            ),
        ),
        "createIgnoreAlreadyExists": Input(),
        "description": Input(),
        "disabled": Input(default=False),
        "displayName": Input(),
        "project": NAME_OF_PROJECT,
    }

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """Create the account, or take the one that is there over as it is, if that was asked for."""
        given = {name: inputs.get(name, "") for name in ("displayName", "description")}
        path = f"/v1/projects/{inputs['project']}/serviceAccounts"
        with saying("Error creating service account"):
            try:
                found = self.session.api.call("POST", path, {"accountId": inputs["accountId"], "serviceAccount": given})
            except GoogleError as error:
                if error.status != _CONFLICT or not inputs.get("createIgnoreAlreadyExists"):
                    raise
                email = f"{inputs['accountId']}@{inputs['project']}.iam.gserviceaccount.com"
                found = self.session.api.call("GET", f"{path}/{email}")
                return found["name"], self._outputs(found, inputs)
        if inputs["disabled"]:
            self.session.api.call("POST", f"/v1/{found['name']}:disable")
        return found["name"], self._outputs(found | {"disabled": inputs["disabled"]}, inputs)

    def read(self, resource_id: str, olds: Properties) -> Properties | None:
        """The account as it is."""
        return self._outputs(self.session.api.call("GET", f"/v1/{resource_id}"), olds)

    def update(self, resource_id: str, olds: Properties, inputs: Properties) -> Properties:
        """Change its words, and whether it is disabled."""
        given = {name: inputs.get(name, "") for name in ("displayName", "description")}
        body = {"serviceAccount": given, "updateMask": "display_name,description"}
        self.session.api.call("PATCH", f"/v1/{resource_id}", body)
        if olds.get("disabled") != inputs["disabled"]:
            self.session.api.call("POST", f"/v1/{resource_id}:{'disable' if inputs['disabled'] else 'enable'}")
        return self._outputs(self.session.api.call("GET", f"/v1/{resource_id}"), inputs)

    def delete(self, resource_id: str, olds: Properties) -> None:  # noqa: ARG002 - the id is enough
        """Delete the account with its keys."""
        self.session.api.call("DELETE", f"/v1/{resource_id}")

    def _outputs(self, found: dict[str, Any], known: Properties) -> Properties:
        return {
            "createIgnoreAlreadyExists": known.get("createIgnoreAlreadyExists"),
            "accountId": found["email"].partition("@")[0],
            "description": found["description"] or None,
            "disabled": found["disabled"],
            "displayName": found["displayName"] or None,
            "email": found["email"],
            "member": f"serviceAccount:{found['email']}",
            "name": found["name"],
            "project": found["projectId"],
            "uniqueId": found["uniqueId"],
        }


class Key(GcpType):
    """A service account's key. Google tells the private half at creation only, so it is kept in the state, secret.

    `publicKey` is not emulated: it is absent.
    """

    type_name = "gcp:serviceaccount/key:Key"
    secret_outputs = frozenset({"privateKey"})
    inputs: ClassVar[Mapping[str, Input]] = {
        "serviceAccountId": Input(required=True, replaces=True),
        "keepers": Input(replaces=True),
        "keyAlgorithm": Input(default="KEY_ALG_RSA_2048", replaces=True),
        "privateKeyType": Input(default="TYPE_GOOGLE_CREDENTIALS_FILE", replaces=True),
    }

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """Create the key; an account has ten at most."""
        body = {name: inputs[name] for name in ("keyAlgorithm", "privateKeyType")}
        with saying("Error creating service account key"):
            found = self.session.api.call("POST", f"/v1/{self._account(inputs['serviceAccountId'])}/keys", body)
        return found["name"], inputs | _key_outputs(found) | {"privateKey": found["privateKeyData"]}

    def read(self, resource_id: str, olds: Properties) -> Properties | None:
        """The key as it is, with the private half that is known."""
        found = self.session.api.call("GET", f"/v1/{resource_id}")
        kept = ("serviceAccountId", "keepers", "privateKey", "privateKeyType")
        return {name: olds.get(name) for name in kept} | _key_outputs(found)

    def delete(self, resource_id: str, olds: Properties) -> None:  # noqa: ARG002 - the id is enough
        """Delete the key."""
        self.session.api.call("DELETE", f"/v1/{resource_id}")

    def _account(self, given: str) -> str:
        """An account by its whole name, its email or its id in the provider's project."""
        if given.startswith("projects/"):
            return given
        email = given if "@" in given else f"{given}@{self.session.project}.iam.gserviceaccount.com"
        return f"projects/-/serviceAccounts/{email}"


class CustomRole(GcpType):
    """A project's own role. One that was deleted under its id lately comes back; a deleted one is read as it is."""

    type_name = "gcp:projects/iAMCustomRole:IAMCustomRole"
    also_nameable = frozenset({"roleId"})
    inputs: ClassVar[Mapping[str, Input]] = {
        "roleId": Input(
            required=True,
            replaces=True,
            refuse=lambda name: (
                None if ROLE_ID.fullmatch(name) else f"{name!r} doesn't match regexp ^{ROLE_ID.pattern}$"
            ),
        ),
        "title": Input(required=True),
        "permissions": Input(required=True, refuse=lambda names: None if names else "needs one at least"),
        "description": Input(),
        "project": NAME_OF_PROJECT,
        "stage": Input(
            default="GA",
            refuse=lambda stage: None if stage in STAGES else f"{stage!r} is not one of {', '.join(STAGES)}",
        ),
    }

    def complete(self, inputs: Properties) -> Properties:
        """Permissions are a set: any order of them is the same."""
        names = inputs.get("permissions")
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            inputs = inputs | {"permissions": sorted(set(names))}
        return super().complete(inputs)

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """Create the role, or undelete it."""
        name = f"projects/{inputs['project']}/roles/{inputs['roleId']}"
        existing = self._find(name)
        if existing is None:
            body = {"roleId": inputs["roleId"], "role": _role(inputs)}
            with saying(f"Error creating the custom project role {name}"):
                found = self.session.api.call("POST", f"/v1/projects/{inputs['project']}/roles", body)
            return name, _role_outputs(found)
        if not existing.get("deleted"):
            raise ResourceError(f"Custom project role {name} already exists and must be imported")
        return name, self.update(name, {}, inputs)

    def read(self, resource_id: str, olds: Properties) -> Properties | None:  # noqa: ARG002 - the id is enough
        """The role as it is."""
        return _role_outputs(self.session.api.call("GET", f"/v1/{resource_id}"))

    def update(self, resource_id: str, olds: Properties, inputs: Properties) -> Properties:  # noqa: ARG002
        """Change the role; one that is deleted comes back first."""
        existing = self._find(resource_id)
        if existing is not None and existing.get("deleted"):
            with saying(f"Error undeleting the custom project role {inputs['title']}"):
                self.session.api.call("POST", f"/v1/{resource_id}:undelete", {})
        with saying(f"Error updating the custom project role {inputs['title']}"):
            return _role_outputs(self.session.api.call("PATCH", f"/v1/{resource_id}", _role(inputs)))

    def delete(self, resource_id: str, olds: Properties) -> None:
        """Delete the role, softly. One that somebody has deleted already is an error, as with the real provider.

        That one calls the API without looking, and has no case for its refusal (terraform-provider-google,
        `resourceGoogleProjectIamCustomRoleDelete`).
        """
        with saying(f"Error deleting the custom project role {olds['title']}"):
            self.session.api.call("DELETE", f"/v1/{resource_id}")

    def _find(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self.session.api.call("GET", f"/v1/{name}")
        except GoogleError as error:
            if error.status != _NOT_FOUND:
                raise
            return None
        return found


def _key_outputs(found: dict[str, Any]) -> Properties:
    return {
        "keyAlgorithm": found["keyAlgorithm"],
        "name": found["name"],
        "validAfter": found["validAfterTime"],
        "validBefore": found["validBeforeTime"],
    }


def _role(inputs: Properties) -> dict[str, Any]:
    return {
        "title": inputs["title"],
        "description": inputs.get("description", ""),
        "stage": inputs["stage"],
        "includedPermissions": inputs["permissions"],
    }


def _role_outputs(found: dict[str, Any]) -> Properties:
    _, project, _, role_id = found["name"].split("/")
    return {
        "deleted": found.get("deleted", False),
        "description": found.get("description"),
        "name": found["name"],
        "permissions": found["includedPermissions"],
        "project": project,
        "roleId": role_id,
        "stage": found["stage"],
        "title": found["title"],
    }
