"""Buckets, and their part of Cloud Storage's JSON API.

A bucket's settings are kept and told again; of them uniform bucket-level access, public access prevention, versioning
and the default key have effect. Nothing is ever deleted by a lifecycle, and nothing stays after it is deleted (soft
delete). What is not known is refused by name.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from lightly_infra.sandbox import missing_extra
from lightly_infra.sandbox.gcp import authorise, lifecycle
from lightly_infra.sandbox.gcp.errors import Refusal, invalid, unsupported
from lightly_infra.sandbox.gcp.iam import project_number, service_agent
from lightly_infra.sandbox.gcp.policies import Binding, Policy, publics

try:
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route
except ImportError as missing:
    raise missing_extra(missing) from missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from lightly_infra.sandbox.gcp.authorise import Authoriser
    from lightly_infra.sandbox.gcp.kms import Keys
    from lightly_infra.sandbox.gcp.policies import PolicyReader

_API: Final = "/storage/v1/b"
# "Bucket naming guidelines", Cloud Storage documentation. With dots it is a domain, of 63 characters between two.
_NAME: Final = re.compile(r"(?=.{3,222}$)(?!\d+(?:\.\d+){3}$)(?!.*\.\.)(?!.*[^.]{64})[a-z0-9][a-z0-9._-]*[a-z0-9]")
_RESERVED: Final = re.compile(r"goog|.*g[o0]{2}g[l1]e")
CLASSES: Final = ("STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE")
_SETTINGS: Final = {
    "encryption": {"defaultKmsKeyName"},
    "iamConfiguration": {"uniformBucketLevelAccess", "bucketPolicyOnly", "publicAccessPrevention"},
    "labels": None,
    "lifecycle": {"rule"},
    "softDeletePolicy": {"retentionDurationSeconds"},
    "storageClass": None,
    "versioning": {"enabled"},
}
_FIXED: Final = frozenset({"name", "location", "kind", "id"})
_WITHOUT_MEANING: Final = frozenset({"prettyPrint", "projection", "fields", "alt", "project", "userProject"})
_ACL: Final = "Read more at https://cloud.google.com/storage/docs/uniform-bucket-level-access"


@dataclass(eq=False)
class StoredObject:
    """An object, or a former version of one."""

    name: str
    content: bytes
    generation: int
    settings: dict[str, Any]
    created: str
    kms_key: str | None
    metageneration: int = 1


@dataclass
class Bucket:
    """A bucket and what it holds."""

    name: str
    project: str
    location: str
    settings: dict[str, Any]
    policy: Policy
    created: str
    objects: dict[str, StoredObject] = field(default_factory=dict)
    former: list[StoredObject] = field(default_factory=list)
    """Versions that are not current any more."""
    metageneration: int = 1

    @property
    def uniform(self) -> bool:
        """Whether only policies decide, and no ACLs."""
        return bool(self.settings["iamConfiguration"]["uniformBucketLevelAccess"].get("enabled"))

    @property
    def private(self) -> bool:
        """Whether nothing may be made public."""
        return bool(self.settings["iamConfiguration"]["publicAccessPrevention"] == "enforced")

    @property
    def versioned(self) -> bool:
        """Whether former versions stay."""
        return bool(self.settings.get("versioning", {}).get("enabled"))

    @property
    def kms_key(self) -> str | None:
        """The key for objects that come without one."""
        key = self.settings.get("encryption", {}).get("defaultKmsKeyName")
        return str(key) if key else None

    def document(self, base: str) -> dict[str, Any]:
        """As the API says it."""
        return self.settings | {
            "kind": "storage#bucket",
            "id": self.name,
            "name": self.name,
            "selfLink": f"{base}{_API}/{self.name}",
            "projectNumber": project_number(self.project),
            "location": self.location,
            "locationType": "multi-region" if self.location in ("EU", "US", "ASIA") else "region",
            "timeCreated": self.created,
            "updated": self.created,
            "metageneration": str(self.metageneration),
            "etag": f"CA{self.metageneration}=",
        }


class Buckets:
    """All buckets, and their part of the JSON API.

    Attributes:
        all: By name.
        domains: Names with dots whose domains are the user's, by their verification.
    """

    def __init__(self, authoriser: Authoriser, reader: PolicyReader, keys: Keys) -> None:
        self._authoriser = authoriser
        self._reader = reader
        self._keys = keys
        self.all: dict[str, Bucket] = {}
        self.domains: set[str] = set()

    def find(self, request: Request) -> Bucket:
        """The bucket that the path names. That there is none is told to anybody."""
        name = request.path_params["bucket"]
        if name not in self.all:
            raise Refusal(404, "The specified bucket does not exist.")
        return self.all[name]

    def routes(self) -> list[Route]:
        """Their part of the API."""
        one = f"{_API}/{{bucket}}"
        return [
            Route("/storage/v1/projects/{project}/serviceAccount", self._service_agent, methods=["GET"]),
            Route(_API, self._insert, methods=["POST"]),
            Route(_API, self._list, methods=["GET"]),
            Route(f"{one}/iam", self._get_policy, methods=["GET"]),
            Route(f"{one}/iam", self._set_policy, methods=["PUT"]),
            Route(one, self._get, methods=["GET"]),
            Route(one, self._patch, methods=["PATCH"]),
            Route(one, self._delete, methods=["DELETE"]),
        ]

    async def _service_agent(self, request: Request) -> Response:
        self._authoriser.administrator(request, "resourcemanager.projects.get")
        email = service_agent(request.path_params["project"])
        return JSONResponse({"kind": "storage#serviceAccount", "email_address": email})

    async def _insert(self, request: Request) -> Response:
        self._authoriser.administrator(request, "storage.buckets.create")
        project, body = request.query_params.get("project"), await request.json()
        if not project:
            raise Refusal(400, "Required parameter: project", reason="required")
        name = str(body.get("name", ""))
        if not _NAME.fullmatch(name) or _RESERVED.match(name):
            raise invalid(f"Invalid bucket name: '{name}'")
        if "." in name and name not in self.domains:
            raise Refusal(403, "The bucket you tried to create requires domain ownership verification.")
        if name in self.all:
            raise _taken(mine=self.all[name].project == project)
        settings: dict[str, Any] = {
            "storageClass": "STANDARD",
            "iamConfiguration": {
                "uniformBucketLevelAccess": {"enabled": False},
                "publicAccessPrevention": "inherited",
            },
            "softDeletePolicy": {"retentionDurationSeconds": str(7 * 24 * 60 * 60)},
        }
        settings = _merged(settings, _known(body))
        location = str(body.get("location", "US")).upper()
        bucket = Bucket(name, project, location, settings, Policy(_owners(project)), now())
        _check(bucket)
        self._keys.check_usable(bucket.kms_key, project)
        self.all[name] = bucket
        return JSONResponse(bucket.document(base(request)))

    async def _list(self, request: Request) -> Response:
        self._authoriser.administrator(request, "storage.buckets.list")
        project = request.query_params.get("project")
        found = [it.document(base(request)) for it in self.all.values() if it.project == project]
        return JSONResponse({"kind": "storage#buckets", "items": found})

    async def _get(self, request: Request) -> Response:
        return JSONResponse(self._allowed(request, "storage.buckets.get").document(base(request)))

    async def _patch(self, request: Request) -> Response:
        bucket, body = self._allowed(request, "storage.buckets.update"), await request.json()
        changed = replace(bucket, settings=_merged(bucket.settings, _known(body)))
        _check(changed)
        if bucket.policy.conditional and not changed.uniform:
            raise Refusal(
                412, f"Uniform bucket-level access cannot be disabled while the policy has conditions. {_ACL}"
            )
        if changed.private and publics(bucket.policy.bindings):
            raise _public(publics(bucket.policy.bindings))
        if changed.kms_key != bucket.kms_key:
            self._keys.check_usable(changed.kms_key, bucket.project)
        bucket.settings = changed.settings
        bucket.metageneration += 1
        return JSONResponse(bucket.document(base(request)))

    async def _delete(self, request: Request) -> Response:
        bucket = self._allowed(request, "storage.buckets.delete")
        if bucket.objects or bucket.former:
            raise Refusal(409, "The bucket you tried to delete is not empty.")
        del self.all[bucket.name]
        return Response(status_code=204)

    async def _get_policy(self, request: Request) -> Response:
        bucket = self._allowed(request, "storage.buckets.getIamPolicy")
        requested = int(request.query_params.get("optionsRequestedPolicyVersion", "1"))
        return JSONResponse(_policy(bucket, requested))

    async def _set_policy(self, request: Request) -> Response:
        bucket, body = self._allowed(request, "storage.buckets.setIamPolicy"), await request.json()
        bindings = self._reader.read(body)
        if any(it.condition for it in bindings) and not bucket.uniform:
            raise invalid(f"Conditions need uniform bucket-level access, which this bucket does not have. {_ACL}")
        if bucket.private and publics(bindings):
            raise _public(publics(bindings))
        bucket.policy.replace(bindings, body.get("etag"))
        return JSONResponse(_policy(bucket, 3))

    def _allowed(self, request: Request, permission: str) -> Bucket:
        check_parameters(request, _WITHOUT_MEANING | {"optionsRequestedPolicyVersion"})
        caller = self._authoriser.caller(request)
        bucket = self.find(request)
        self._authoriser.require(caller, permission, authorise.bucket(bucket.name), bucket.policy)
        return bucket


def check_parameters(request: Request, known: frozenset[str]) -> None:
    """Refuses what would change the answer and is not emulated."""
    if unknown := sorted(set(request.query_params) - known):
        raise unsupported(f"the parameter {unknown[0]!r}")


def base(request: Request) -> str:
    """Where the emulator is."""
    return str(request.base_url).rstrip("/")


def now() -> str:
    """The time as the API writes it."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _known(body: dict[str, Any]) -> dict[str, Any]:
    """The settings in a request's body."""
    for name, value in body.items():
        if name in _FIXED:
            continue
        if name not in _SETTINGS:
            raise unsupported(f"the setting {name!r} of a bucket")
        inner = _SETTINGS[name]
        if inner is not None and isinstance(value, dict) and (unknown := sorted(set(value) - inner)):
            raise unsupported(f"the setting {name}.{unknown[0]} of a bucket")
    return {name: value for name, value in body.items() if name in _SETTINGS}


def _merged(old: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(old) if isinstance(old, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged


def _check(bucket: Bucket) -> None:
    if bucket.settings["storageClass"] not in CLASSES:
        raise invalid(f"Invalid storage class: {bucket.settings['storageClass']}")
    if bucket.settings["iamConfiguration"]["publicAccessPrevention"] not in ("inherited", "enforced"):
        raise invalid("Invalid value for publicAccessPrevention")
    lifecycle.check(bucket.settings.get("lifecycle", {}).get("rule", []))


def _owners(project: str) -> Sequence[Binding]:
    """What every new bucket grants; nobody is a project's owner here."""
    owners = (f"projectEditor:{project}", f"projectOwner:{project}")
    return (
        Binding("roles/storage.legacyBucketOwner", owners),
        Binding("roles/storage.legacyBucketReader", (f"projectViewer:{project}",)),
    )


def _policy(bucket: Bucket, requested: int) -> dict[str, Any]:
    resource = authorise.bucket(bucket.name).name
    return bucket.policy.document(requested) | {"kind": "storage#policy", "resourceId": resource}


def _public(members: Sequence[str]) -> Refusal:
    return Refusal(
        412,
        f"The member bindings {' and '.join(members)} are not allowed since public access prevention is enforced.",
    )


def _taken(*, mine: bool) -> Refusal:
    if mine:
        return Refusal(409, "Your previous request to create the named bucket succeeded and you already own it.")
    return Refusal(
        409,
        "The requested bucket name is not available. The bucket namespace is shared by all users of the system. "
        "Please select a different name and try again.",
    )
