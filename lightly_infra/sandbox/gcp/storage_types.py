"""The emulated provider's buckets and objects."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import quote

from lightly_infra.clouds.gcp import policy
from lightly_infra.sandbox.gcp import lifecycle
from lightly_infra.sandbox.gcp.clients import GoogleError
from lightly_infra.sandbox.gcp.session import NAME_OF_PROJECT, GcpType
from lightly_infra.sandbox.resource_type import Input, Naming, ResourceError, Shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lightly_infra.sandbox.resource_type import Properties, Refusal, Value

_LABEL: Final = re.compile(r"[\w-]{0,63}")


def _refuse_name(name: str) -> str | None:
    try:
        policy.check_bucket(name)
    except ValueError as error:
        return str(error)
    return None


def _one_of(*known: str) -> Input:
    return Input(
        computed=True,
        refuse=lambda value: None if value in known else f"expected to be one of {', '.join(known)}, got {value}",
    )


_VERSIONING: Final = Shape({"enabled": "enabled"})
_ENCRYPTION: Final = Shape({"defaultKmsKeyName": "defaultKmsKeyName"})
_SOFT_DELETE: Final = Shape({"retentionDurationSeconds": "retentionDurationSeconds"})


@dataclass(frozen=True)
class _Kept(Input):
    """An input that stays as it is in the cloud where the program leaves it out: no difference, and no change."""

    def same(self, old: Value, new: Value) -> bool:
        """Whether the program says nothing, or what it has said before."""
        return not new or bool(old == new)


class Bucket(GcpType):
    """A bucket. It is never emptied: deleting one that holds anything fails."""

    type_name = "gcp:storage/bucket:Bucket"
    naming = Naming(63, lower=True)
    inputs: ClassVar[Mapping[str, Input]] = {
        "name": Input(replaces=True, computed=True, refuse=_refuse_name),
        "location": Input(required=True, replaces=True),
        "project": NAME_OF_PROJECT,
        "encryption": Input(shape=_ENCRYPTION),
        "forceDestroy": Input(
            default=False,
            refuse=lambda value: "the emulated bucket is never emptied: only false is supported" if value else None,
        ),
        "labels": Input(),
        "lifecycleRules": Input(shape=lifecycle.SHAPE, refuse=lifecycle.refuse),
        "publicAccessPrevention": _one_of("enforced", "inherited"),
        "softDeletePolicy": Input(computed=True, shape=_SOFT_DELETE),
        "storageClass": Input(default="STANDARD"),
        "uniformBucketLevelAccess": Input(default=False),
        "versioning": _Kept(computed=True, shape=_VERSIONING),  # as in the real provider's schema
    }

    def complete(self, inputs: Properties) -> Properties:
        """Locations are upper-case; the real provider takes both for the same."""
        location = inputs.get("location")
        return super().complete(inputs | ({"location": location.upper()} if isinstance(location, str) else {}))

    def refusals(self, inputs: Properties) -> Iterable[Refusal]:
        """Labels that are none."""
        yield from super().refusals(inputs)
        labels = inputs.get("labels")
        for key, value in labels.items() if isinstance(labels, dict) else ():
            if isinstance(value, str) and not (key and _LABEL.fullmatch(key) and _LABEL.fullmatch(value)):
                yield "labels", f"{key!r}: {value!r} is no label: letters, digits, _ and -, at most 63"

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """Create the bucket."""
        name = self.naming.chosen(inputs)
        body = {"name": name, "location": inputs["location"]} | self._settings(inputs, {})
        found = self.session.api.call("POST", "/storage/v1/b", body, params={"project": inputs["project"]})
        return name, self._outputs(found, inputs)

    def read(self, resource_id: str, olds: Properties) -> Properties | None:
        """The bucket as it is."""
        return self._outputs(self.session.api.call("GET", _bucket(resource_id)), olds)

    def update(self, resource_id: str, olds: Properties, inputs: Properties) -> Properties:
        """Change its settings."""
        body = self._settings(inputs, olds)
        return self._outputs(self.session.api.call("PATCH", _bucket(resource_id), body), inputs)

    def delete(self, resource_id: str, olds: Properties) -> None:  # noqa: ARG002 - the id is enough
        """Delete the bucket when it is empty."""
        try:
            self.session.api.call("DELETE", _bucket(resource_id))
        except GoogleError as error:
            if error.status != 409:  # noqa: PLR2004 - HTTP's conflict
                raise
            raise ResourceError(
                f"Error trying to delete bucket {resource_id} containing objects without `force_destroy` set to true"
            ) from error

    def _settings(self, inputs: Properties, olds: Properties) -> dict[str, Any]:
        """What the API is told; null takes away."""
        labels = dict.fromkeys(olds.get("effectiveLabels", {})) | self.session.labels | inputs.get("labels", {})
        access: dict[str, Any] = {"uniformBucketLevelAccess": {"enabled": inputs["uniformBucketLevelAccess"]}}
        if inputs.get("publicAccessPrevention"):
            access["publicAccessPrevention"] = inputs["publicAccessPrevention"]
        settings = {
            "encryption": _ENCRYPTION.to_api(inputs.get("encryption")),
            "iamConfiguration": access,
            "labels": labels,
            "lifecycle": {"rule": lifecycle.to_api(inputs.get("lifecycleRules", []))},
            "storageClass": inputs["storageClass"],
        }
        if inputs.get("versioning"):
            settings["versioning"] = _VERSIONING.to_api(inputs["versioning"])
        if inputs.get("softDeletePolicy"):
            seconds = inputs["softDeletePolicy"].get("retentionDurationSeconds")
            settings["softDeletePolicy"] = {"retentionDurationSeconds": str(seconds)}
        return settings

    def _outputs(self, found: dict[str, Any], known: Properties) -> Properties:
        labels = found.get("labels", {})
        ours = {key: value for key, value in labels.items() if key not in self.session.labels}
        access = found["iamConfiguration"]
        seconds = int(found["softDeletePolicy"]["retentionDurationSeconds"])
        return {
            "name": found["name"],
            "location": found["location"],
            "project": known.get("project") or self.session.project,
            "encryption": _ENCRYPTION.from_api(found.get("encryption")),
            "forceDestroy": known.get("forceDestroy", False),
            "labels": ours or None,
            "lifecycleRules": lifecycle.from_api(found.get("lifecycle", {}).get("rule", ())) or None,
            "publicAccessPrevention": access["publicAccessPrevention"],
            "softDeletePolicy": {"retentionDurationSeconds": seconds},
            "storageClass": found["storageClass"],
            "uniformBucketLevelAccess": access["uniformBucketLevelAccess"]["enabled"],
            "versioning": _VERSIONING.from_api(found.get("versioning")),
            "effectiveLabels": labels,
            "pulumiLabels": self.session.labels | ours,
            "projectNumber": int(found["projectNumber"]),
            "selfLink": found["selfLink"],
            "timeCreated": found["timeCreated"],
            "updated": found["updated"],
            "url": f"gs://{found['name']}",
        }


class BucketObject(GcpType):
    """An object whose content stands in the program; no `source` is supported."""

    type_name = "gcp:storage/bucketObject:BucketObject"
    also_nameable = frozenset({"name"})
    secret_outputs = frozenset({"content"})
    inputs: ClassVar[Mapping[str, Input]] = {
        "bucket": Input(required=True, replaces=True),
        "name": Input(required=True, replaces=True),
        "content": Input(
            required=True,
            refuse=lambda text: (
                None if text else "must not be empty: the real provider takes no object without content"
            ),
        ),
        "contentType": Input(default="text/plain; charset=utf-8"),
    }

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """Write the object."""
        return f"{inputs['bucket']}-{inputs['name']}", self.update("", {}, inputs)

    def read(self, resource_id: str, olds: Properties) -> Properties | None:  # noqa: ARG002 - the id is ambiguous
        """The object with its content."""
        if not olds:
            raise ResourceError("importing objects is not emulated")
        path = _object(olds)
        found = self.session.api.call("GET", path)
        content = self.session.api.download(path)
        return _object_outputs(found) | {"content": content.decode(errors="replace")}

    def update(self, resource_id: str, olds: Properties, inputs: Properties) -> Properties:  # noqa: ARG002
        """Write the object again."""
        found = self.session.api.call(
            "POST",
            f"/upload{_bucket(inputs['bucket'])}/o",
            params={"uploadType": "media", "name": inputs["name"]},
            content=inputs["content"].encode(),
            kind=inputs["contentType"],
        )
        return _object_outputs(found) | inputs

    def delete(self, resource_id: str, olds: Properties) -> None:  # noqa: ARG002
        """Delete the object; with versioning its versions stay."""
        self.session.api.call("DELETE", _object(olds))


def _bucket(name: str) -> str:
    return f"/storage/v1/b/{quote(name, safe='')}"


def _object(properties: Properties) -> str:
    return f"{_bucket(properties['bucket'])}/o/{quote(properties['name'], safe='')}"


def _object_outputs(found: dict[str, Any]) -> Properties:
    return {
        "bucket": found["bucket"],
        "name": found["name"],
        "contentType": found["contentType"],
        "crc32c": found["crc32c"],
        "generation": int(found["generation"]),
        "kmsKeyName": found.get("kmsKeyName", ""),
        "md5hash": found["md5Hash"],
        "md5hexhash": base64.b64decode(found["md5Hash"]).hex(),
        "mediaLink": found["mediaLink"],
        "outputName": found["name"],
        "selfLink": found["selfLink"],
        "storageClass": found["storageClass"],
    }
