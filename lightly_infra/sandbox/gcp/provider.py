"""The emulated `gcp` provider: the resource types and functions that this project uses, acting on the emulated cloud.

It honours what it declares and refuses the rest by name. Names must be given, but a bucket's: the real provider makes
up others too.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import httpx

from lightly_infra.sandbox.engine.values import holds_unknown
from lightly_infra.sandbox.gcp import iam_types, lifecycle, member_types, storage_types
from lightly_infra.sandbox.gcp.clients import GoogleError
from lightly_infra.sandbox.gcp.session import Session
from lightly_infra.sandbox.resource_provider import ResourceProvider
from lightly_infra.sandbox.resource_type import ResourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lightly_infra.sandbox.resource_type import Properties, Refusal

_TYPES: Final = (
    storage_types.Bucket,
    storage_types.BucketObject,
    iam_types.Account,
    member_types.BucketMember,
    member_types.CryptoKeyMember,
    iam_types.CustomRole,
    iam_types.Key,
)
# Who the real provider is and how it calls: without meaning here, so that a real stack's configuration can stay.
_WITHOUT_MEANING: Final = frozenset(
    {
        "accessToken",
        "billingProject",
        "credentials",
        "disableGlobalProjectWarning",
        "impersonateServiceAccount",
        "impersonateServiceAccountDelegates",
        "region",
        "requestTimeout",
        "scopes",
        "userProjectOverride",
        "zone",
    }
)
_NOT_FOUND: Final = 404


class GcpProvider(ResourceProvider):
    """Build it with the environment: STORAGE_EMULATOR_HOST, GOOGLE_OAUTH_ACCESS_TOKEN and GOOGLE_PROJECT."""

    package = "gcp"
    sdk = "pulumi-gcp"
    settings = frozenset({"project", "defaultLabels", "addPulumiAttributionLabel", *_WITHOUT_MEANING})

    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__()
        self._session = Session(env)
        self.add_types(*(one(self._session) for one in _TYPES))
        self.functions = {
            "gcp:organizations/getClientConfig:getClientConfig": (frozenset(), self._client_config),
            "gcp:projects/getIamCustomRole:getIamCustomRole": (frozenset({"project", "roleId"}), self._role),
            "gcp:storage/getBucket:getBucket": (frozenset({"name", "project"}), self._bucket),
            "gcp:storage/getProjectServiceAccount:getProjectServiceAccount": (
                frozenset({"project", "userProject"}),
                self._project_service_account,
            ),
        }

    def refuse_configuration(self, config: Properties) -> Iterable[Refusal]:
        """Labels that are no map."""
        labels = config.get("defaultLabels")
        if labels is not None and not holds_unknown(labels) and not isinstance(_parsed(labels), dict):
            yield "defaultLabels", "must be a map of labels"

    def configure(self, config: Properties) -> None:
        """Take over project and labels."""
        attribution = _parsed(config.get("addPulumiAttributionLabel", True))
        self._session.use(
            project=config.get("project"),
            labels=_parsed(config.get("defaultLabels")) or {},
            attribution=attribution is not False,
        )

    def explain(self, error: Exception) -> str | None:
        """Google's own words, as its Go client says them."""
        if isinstance(error, GoogleError):
            return str(error)
        if isinstance(error, httpx.TransportError):
            return f"the emulated Google Cloud did not answer: {type(error).__name__}"
        return None

    def is_gone(self, error: Exception) -> bool:
        """Whether Google does not know it."""
        return isinstance(error, GoogleError) and error.status == _NOT_FOUND

    def _bucket(self, args: Properties) -> Properties:
        """Of what the real function tells: what a bucket is, and its lifecycle."""
        found = self._session.api.call("GET", f"/storage/v1/b/{quote(args['name'], safe='')}")
        rules = lifecycle.looked_up(found.get("lifecycle", {}).get("rule", ()))
        same = ("location", "name", "selfLink", "storageClass")
        return {"id": found["name"], "lifecycleRules": rules, **{name: found[name] for name in same}}

    def _role(self, args: Properties) -> Properties:
        """Of what the real function tells: which role it is, and whether it is deleted."""
        name = f"projects/{args.get('project') or self._session.project}/roles/{args['roleId']}"
        found = self._session.api.call("GET", f"/v1/{name}")
        return {"id": name, "name": name, "deleted": found.get("deleted", False), "roleId": args["roleId"]}

    def _client_config(self, args: Properties) -> Properties:  # noqa: ARG002 - it takes none
        """Who the provider acts as; the token is secret in the real schema, and not marked so by the bridge."""
        return {"id": "client", "accessToken": self._session.api.token, "project": self._session.project}

    def _project_service_account(self, args: Properties) -> Properties:
        project = args.get("project") or self._session.project
        if not project:
            raise ResourceError("project: required field is not set: set it, or gcp:project")
        found = self._session.api.call("GET", f"/storage/v1/projects/{project}/serviceAccount")
        email = found["email_address"]
        return {"emailAddress": email, "id": email, "member": f"serviceAccount:{email}", "project": project}


def _parsed(value: object) -> Any:
    """A setting with structure: the SDK sends it as JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
