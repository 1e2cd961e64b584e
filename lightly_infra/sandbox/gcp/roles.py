"""Roles: those of the project, which are first deleted softly, and the few of Google's own that we know."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lightly_infra.sandbox import missing_extra
from lightly_infra.sandbox.gcp.errors import already_exists, failed_precondition, invalid, not_found

try:
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route
except ImportError as missing:
    raise missing_extra(missing) from missing

if TYPE_CHECKING:
    from starlette.requests import Request

ROLE_ID: Final = re.compile(r"[a-zA-Z0-9_.]{3,64}")
STAGES: Final = ("ALPHA", "BETA", "DEPRECATED", "DISABLED", "EAP", "GA")
_TITLE: Final = 100  # characters ("Creating and managing custom roles", IAM documentation)
_NAME: Final = "projects/{project}/roles/{role}"

# "IAM roles for Cloud Storage", Cloud Storage documentation: what they hold of the permissions that are enforced here.
_OBJECT: Final = frozenset(f"storage.objects.{it}" for it in ("create", "delete", "get", "list", "update"))
_BUCKET: Final = frozenset(
    f"storage.buckets.{it}" for it in ("get", "update", "delete", "list", "getIamPolicy", "setIamPolicy")
)
_LEGACY_READER: Final = frozenset({"storage.buckets.get", "storage.objects.list"})
_LEGACY_WRITER: Final = _LEGACY_READER | {"storage.objects.create", "storage.objects.delete"}
KMS_USER: Final = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
PREDEFINED: Final = {
    "roles/storage.admin": _OBJECT | _BUCKET,
    "roles/storage.objectAdmin": _OBJECT,
    "roles/storage.objectUser": _OBJECT,
    "roles/storage.objectViewer": frozenset({"storage.objects.get", "storage.objects.list"}),
    "roles/storage.objectCreator": frozenset({"storage.objects.create"}),
    "roles/storage.legacyBucketReader": _LEGACY_READER,
    "roles/storage.legacyBucketWriter": _LEGACY_WRITER,
    "roles/storage.legacyBucketOwner": _LEGACY_WRITER
    | {"storage.buckets.update", "storage.buckets.getIamPolicy", "storage.buckets.setIamPolicy"},
    "roles/storage.legacyObjectReader": frozenset({"storage.objects.get"}),
    "roles/storage.legacyObjectOwner": frozenset({"storage.objects.get", "storage.objects.update"}),
    KMS_USER: frozenset({"cloudkms.cryptoKeyVersions.useToDecrypt", "cloudkms.cryptoKeyVersions.useToEncrypt"}),
}


@dataclass
class _Role:
    title: str
    description: str
    stage: str
    permissions: frozenset[str]
    deleted: bool = False
    etag: int = field(default=1)

    def document(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = {
            "name": name,
            "title": self.title,
            "stage": self.stage,
            "includedPermissions": sorted(self.permissions),
            "etag": f"BwW{self.etag:05}=",
        }
        return (
            found
            | ({"description": self.description} if self.description else {})
            | ({"deleted": True} if self.deleted else {})
        )


class Roles:
    """The custom roles of all projects, and their part of the `iam` API."""

    def __init__(self) -> None:
        self._roles: dict[str, _Role] = {}
        self._reserved: set[str] = set()

    def reserve(self, project: str, role_id: str) -> None:
        """Has a role deleted for more than 7 days: it cannot come back, and its id stays taken until the 37th day."""
        name = _NAME.format(project=project, role=role_id)
        self._roles.pop(name, None)
        self._reserved.add(name)

    def exists(self, name: str) -> bool:
        """Whether a policy may name it."""
        return name in PREDEFINED or name in self._roles

    def permissions(self, name: str) -> frozenset[str]:
        """What it grants: nothing while it is deleted or disabled."""
        role = self._roles.get(name)
        if role is None:
            return PREDEFINED.get(name, frozenset())
        return frozenset() if role.deleted or role.stage == "DISABLED" else role.permissions

    def routes(self) -> list[Route]:
        """Its part of the `iam` API."""
        one = "/v1/projects/{project}/roles/{role}"
        return [
            Route("/v1/projects/{project}/roles", self._create, methods=["POST"]),
            Route("/v1/projects/{project}/roles", self._list, methods=["GET"]),
            Route(f"{one}:undelete", self._undelete, methods=["POST"]),
            Route(one, self._get, methods=["GET"]),
            Route(one, self._patch, methods=["PATCH"]),
            Route(one, self._delete, methods=["DELETE"]),
        ]

    async def _create(self, request: Request) -> Response:
        body = await request.json()
        role_id = str(body.get("roleId", ""))
        name = _NAME.format(project=request.path_params["project"], role=role_id)
        if not ROLE_ID.fullmatch(role_id):
            raise invalid(f"The role_id ({role_id}) must match the pattern [a-zA-Z0-9_\\.]{{3,64}}.")
        if name in self._reserved or (name in self._roles and self._roles[name].deleted):
            raise failed_precondition(f"You can't create a role_id ({role_id}) which has been marked for deletion.")
        if name in self._roles:
            raise already_exists(f"A role named {role_id} in projects/{request.path_params['project']} already exists.")
        role = _Role("", "", "ALPHA", frozenset())
        _fill(role, body.get("role", {}))
        self._roles[name] = role
        return JSONResponse(role.document(name))

    async def _list(self, request: Request) -> Response:
        """All at once, without deleted ones and without their permissions, as the BASIC view has them."""
        start = _NAME.format(project=request.path_params["project"], role="")
        there = [it.document(name) for name, it in self._roles.items() if name.startswith(start) and not it.deleted]
        return JSONResponse({"roles": [{k: v for k, v in it.items() if k != "includedPermissions"} for it in there]})

    async def _get(self, request: Request) -> Response:
        name, role = self._role(request)
        return JSONResponse(role.document(name))

    async def _patch(self, request: Request) -> Response:
        name, role = self._role(request)
        if role.deleted:
            raise failed_precondition(f"The role named {name} has been deleted. Undelete it before changing it.")
        _fill(role, await request.json())
        role.etag += 1
        return JSONResponse(role.document(name))

    async def _delete(self, request: Request) -> Response:
        name, role = self._role(request)
        if role.deleted:
            role_id = name.rpartition("/")[2]
            raise failed_precondition(f"You can't delete role_id ({role_id}) which has been marked for deletion.")
        role.deleted = True
        return JSONResponse(role.document(name))

    async def _undelete(self, request: Request) -> Response:
        name, role = self._role(request)
        if not role.deleted:
            raise failed_precondition(f"The role named {name} is not deleted.")
        role.deleted = False
        return JSONResponse(role.document(name))

    def _role(self, request: Request) -> tuple[str, _Role]:
        name = _NAME.format(**request.path_params)
        if name not in self._roles:
            raise not_found(f"The role named {name} was not found.")
        return name, self._roles[name]


def _fill(role: _Role, given: dict[str, Any]) -> None:
    """Takes over what is given; refuses what makes no role."""
    permissions = frozenset(map(str, given.get("includedPermissions", role.permissions)))
    known = frozenset[str]().union(*PREDEFINED.values())
    if unknown := sorted(permissions - known):
        raise invalid(f"Permission {unknown[0]} is not valid.")
    if len(title := str(given.get("title", role.title))) > _TITLE:
        raise invalid(f"The title has {len(title)} characters; {_TITLE} is the most.")
    if (stage := str(given.get("stage", role.stage))) not in STAGES:
        raise invalid(f"{stage} is no launch stage: {', '.join(STAGES)}.")
    role.permissions, role.title, role.stage = permissions, title, stage
    role.description = str(given.get("description", role.description))
