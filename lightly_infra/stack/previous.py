"""What this stack had after its last run, as the engine's own functions tell it: to preview and up alike.

They take the state from the backend, so nothing is asked of any cloud. Where they tell nothing, nothing is known, and
nobody may conclude that nothing was there: a stack that never finished a run, a backend that refuses, secrets that
cannot be decrypted, a program in a unit test.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import pulumi
from google.protobuf import struct_pb2
from google.protobuf.json_format import MessageToDict
from pulumi.runtime import settings
from pulumi.runtime.proto import resource_pb2

from lightly_infra.permissions import Purpose
from lightly_infra.stack.builder import resource_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lightly_infra.spec import DatasetSpec

_STACK_OUTPUTS: Final = "pulumi:pulumi:readStackOutputs"
_RESOURCE_OUTPUTS: Final = "pulumi:pulumi:readStackResourceOutputs"

# The engine's mark of a secret (pulumi/runtime/rpc.py).
_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
_SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - names a kind of value, is no password

# The outputs that tell something of each dataset.
_BY_KEY: Final = ("datasets", "worker_config", "credentials")

_REGISTRATION: Final = "pulumi-python:dynamic/lightly:Dataset"
_DATASOURCE: Final = "pulumi-python:dynamic/lightly:Datasource"

Kind: TypeAlias = Literal["bucket", "container", "account", "resource group", "role", "user", "service account", "key"]

# What is made here, by its type: what it is, and the output that other people know it by.
_MADE: Final[Mapping[str, tuple[Kind, str]]] = {
    "aws:s3/bucket:Bucket": ("bucket", "bucket"),
    "aws:iam/role:Role": ("role", "arn"),
    "aws:iam/user:User": ("user", "name"),
    "aws:iam/accessKey:AccessKey": ("key", "id"),
    "azure-native:resources:ResourceGroup": ("resource group", "name"),
    "azure-native:storage:StorageAccount": ("account", "name"),
    "azure-native:storage:BlobContainer": ("container", "name"),
    "gcp:storage/bucket:Bucket": ("bucket", "name"),
    "gcp:serviceaccount/account:Account": ("service account", "email"),
    "gcp:serviceaccount/key:Key": ("key", "name"),
    "pulumi-python:dynamic/obs:Bucket": ("bucket", "bucket"),
}


@dataclass(frozen=True)
class Resource:
    """A resource of the state, with all of its outputs but secrets."""

    urn: str
    type: str
    outputs: Mapping[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        """Its name in the program."""
        return self.urn.split("::", 3)[3]


@dataclass(frozen=True)
class Dataset:
    """A dataset that was registered."""

    resource: str
    """The name of its resource: the slug of the key that it was first deployed under."""

    key: str | None
    """Its key in the YAML of the last run; None where the last run did not get so far as to export it."""

    id: str | None
    """Its id at Lightly; None where it is not known: no datasource of it was registered yet."""

    name: str
    type: str
    on_destroy: str
    """`keep` or `delete`."""

    adopted: bool
    """Whether it was somebody else's, or is named by its id, so that it is never deleted."""

    datasources: Mapping[Purpose, Mapping[str, Any]]
    """What Lightly was told, by the Python names of its API, but for secrets; without those not registered yet."""


@dataclass(frozen=True)
class Made:
    """Storage or an identity that this stack has made."""

    kind: Kind
    name: str
    """As the YAML and the cloud know it: a name, a role's ARN, a service account's e-mail, the id or path of a key."""

    resource: Resource

    dataset: str | None
    """The resource name of the dataset it was made for; None for what has a name of its own, such as a share."""


class Previous:
    """What a stack had after its last run."""

    def __init__(self, resources: Sequence[Resource], outputs: Mapping[str, Any]) -> None:
        """Takes the resources of the state, and the stack's outputs, both without secrets."""
        self.resources = resources
        self._exported = _mapping(outputs.get("datasets"))

    def of(self, type_: str) -> list[Resource]:
        """The resources of a type, such as `aws:iam/role:Role`."""
        return [it for it in self.resources if it.type == type_]

    @cached_property
    def datasets(self) -> Mapping[str, Dataset]:
        """The datasets, by the names of their resources."""
        sources = {it.name: it.outputs for it in self.of(_DATASOURCE)}
        found = {it.name: self._dataset(it, sources) for it in self.of(_REGISTRATION)}
        # A key may have changed since its resources were named: the id tells whose they are.
        keys = {_mapping(exported).get("id"): key for key, exported in self._exported.items()}
        return {name: replace(it, key=keys.get(it.id)) if it.id else it for name, it in found.items()}

    def renamed(self, outputs: Mapping[str, Any], datasets: Mapping[str, DatasetSpec]) -> dict[str, Any]:
        """The stack's outputs, with what they tell of each dataset under the key that it has now.

        Args:
            outputs: as the last run left them.
            datasets: of today.
        """
        was = {key: self.datasets.get(resource_name(key, dataset)) for key, dataset in datasets.items()}
        keys = {it.key: key for key, it in was.items() if it is not None and it.key is not None}

        def by_key(exported: Mapping[str, Any]) -> dict[str, Any]:
            # A key that belongs to another dataset now tells nothing of that one.
            taken = {*keys.values()} - {*keys}
            return {keys.get(key, key): it for key, it in exported.items() if key not in taken}

        return {name: by_key(it) if name in _BY_KEY and isinstance(it, dict) else it for name, it in outputs.items()}

    @cached_property
    def made(self) -> Sequence[Made]:
        """The storage and the identities that the stack has made."""
        return [*self._made()]

    def _dataset(self, it: Resource, sources: Mapping[str, Mapping[str, Any]]) -> Dataset:
        own = {purpose: sources.get(f"{it.name}-{purpose.lower()}", {}) for purpose in _PURPOSES}
        ids = [it.outputs.get("dataset_id"), *(source.get("dataset_id") for source in own.values())]
        return Dataset(
            resource=it.name,
            key=None,
            id=next(filter(None, map(_text, ids)), None),
            name=str(it.outputs.get("name")),
            type=str(it.outputs.get("type")),
            on_destroy=str(it.outputs.get("on_destroy")),
            adopted=bool(it.outputs.get("adopted") or it.outputs.get("dataset_id")),
            datasources={purpose: source for purpose, source in own.items() if source},
        )

    def _made(self) -> Iterator[Made]:
        for it in self.resources:
            kind, output = _MADE.get(it.type, (None, ""))
            name = _text(it.outputs.get(output))
            if kind is not None and name is not None:
                yield Made(kind, name, it, self._owner(it.name))

    @cached_property
    def _starts(self) -> Mapping[str, str]:
        return {f"lightly-{it}-{purpose.lower()}": it for it in self.datasets for purpose in _PURPOSES}

    def _owner(self, name: str) -> str | None:
        return next((it for start, it in self._starts.items() if name == start or name.startswith(f"{start}-")), None)


_PURPOSES: Final = (Purpose.INPUT, Purpose.LIGHTLY)


def read() -> Previous | None:
    """What the running stack had after its last run; None if that is not known, which is no error.

    Secrets are left out before anything else sees the answer.
    """
    stack = pulumi.get_stack()
    names = (f"{pulumi.get_organization()}/{pulumi.get_project()}/{stack}", stack)
    return next((found for name in names if (found := _read(name)) is not None), None)


def _read(name: str) -> Previous | None:
    try:
        outputs = _invoke(_STACK_OUTPUTS, "name", name)
        # A backend of files dies of the second question where a stack has no state at all ("invalid memory address" in
        # GetStackResourceOutputs, CLI 3.260).
        resources = _invoke(_RESOURCE_OUTPUTS, "stackName", name) if outputs else {}
    except Exception:  # noqa: BLE001 - a refusal, no such function, mocks: whatever it is, nothing is known
        return None
    found = [Resource(urn, str(it["type"]), _mapping(it["outputs"])) for urn, it in sorted(resources.items())]
    return Previous(found, outputs) if found else None


def _invoke(function: str, argument: str, stack: str) -> dict[str, Any]:
    """What one of the engine's own functions tells.

    Not by the SDK's `invoke`: there an error that is none of gRPC's ends the program, and secrets come in plain.
    """
    args = struct_pb2.Struct()
    args[argument] = stack
    monitor: Any = settings.get_monitor()
    answer = monitor.Invoke(resource_pb2.ResourceInvokeRequest(tok=function, args=args))
    if answer.failures:
        raise ValueError(function)
    return _mapping(_without_secrets(MessageToDict(getattr(answer, "return")))["outputs"])


def _without_secrets(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_secrets(it) for it in value]
    if not isinstance(value, dict):
        return value
    if value.get(_SIGNATURE) == _SECRET:
        return None
    return {name: _without_secrets(it) for name, it in value.items()}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
