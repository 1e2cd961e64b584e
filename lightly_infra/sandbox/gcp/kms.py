"""The policies of Cloud KMS keys, and whether Cloud Storage may use a key. Nothing is encrypted; no key has versions.

That a key lies in the bucket's location is not checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lightly_infra.sandbox import missing_extra
from lightly_infra.sandbox.gcp.errors import Refusal, not_found
from lightly_infra.sandbox.gcp.iam import service_agent
from lightly_infra.sandbox.gcp.policies import Policy
from lightly_infra.sandbox.gcp.roles import KMS_USER

try:
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route
except ImportError as missing:
    raise missing_extra(missing) from missing

if TYPE_CHECKING:
    from starlette.requests import Request

    from lightly_infra.sandbox.gcp.policies import PolicyReader

_NAME: Final = "projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}"


class Keys:
    """All keys, and their part of the `cloudkms` API."""

    def __init__(self, reader: PolicyReader) -> None:
        self._reader = reader
        self.policies: dict[str, Policy] = {}

    def put(self, name: str) -> None:
        """Has a key there, of a name such as `projects/P/locations/L/keyRings/R/cryptoKeys/K`."""
        self.policies.setdefault(name, Policy())

    def check_usable(self, key: str | None, project: str) -> None:
        """Refuses when Cloud Storage may not use the key for a bucket of the project."""
        if key is None:
            return
        policy = self.policies.get(key)
        agent = f"serviceAccount:{service_agent(project)}"
        if policy is None or not any(it.role == KMS_USER and agent in it.members for it in policy.bindings):
            raise Refusal(
                403,
                "Permission denied on Cloud KMS key. Please ensure that your Cloud Storage service account has been "
                "authorized to use this key.",
            )

    def routes(self) -> list[Route]:
        """Their part of the API."""
        one = f"/v1/{_NAME}"
        return [
            Route(f"{one}:getIamPolicy", self._get_policy, methods=["GET"]),
            Route(f"{one}:setIamPolicy", self._set_policy, methods=["POST"]),
        ]

    async def _get_policy(self, request: Request) -> Response:
        requested = int(request.query_params.get("options.requestedPolicyVersion", "1"))
        return JSONResponse(self._policy(request).document(requested))

    async def _set_policy(self, request: Request) -> Response:
        policy, given = self._policy(request), (await request.json()).get("policy")
        policy.replace(self._reader.read(given), given.get("etag"))
        return JSONResponse(policy.document(3))

    def _policy(self, request: Request) -> Policy:
        name = _NAME.format(**request.path_params)
        if name not in self.policies:
            raise not_found(f"CryptoKey {name} not found.")
        return self.policies[name]
