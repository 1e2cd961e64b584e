"""Runs a program against a monitor that records all it is asked for, so that tests can look at every request.

It answers as the engine would: outputs are the inputs and what the cloud adds, and what is said to be secret is
secret in the answer too. In a preview, what the cloud adds is unknown.
"""

from __future__ import annotations

import asyncio
import base64
import contextvars
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from unittest.mock import patch
from urllib.parse import quote

from google.protobuf import empty_pb2, struct_pb2
from google.protobuf.json_format import MessageToDict, ParseDict
from pulumi.runtime import mocks, rpc, set_all_config
from pulumi.runtime.proto import engine_pb2, provider_pb2, resource_pb2
from pulumi.runtime.settings import configure, set_root_resource
from pulumi.runtime.stack import run_in_stack

from lightly_infra.ownership import Owner

PROJECT: Final = "lightly-infra"
STACK: Final = "test"
STACK_TYPE: Final = "pulumi:pulumi:Stack"
ORGANIZATION: Final = "organization"
ACCOUNT: Final = "123456789012"
MINTED_EXTERNAL_ID: Final = "minted0canary0external0id0000001"
SECRET_ACCESS_KEY: Final = "canary-secret-access-key"
DATASET_ID: Final = "0123456789abcdef01234567"

PROJECT_ID: Final = "acme-vision-prod"
RANDOM_SUFFIX: Final = "0a1b2c3d"
GCS_AGENT: Final = "service-123456789012@gs-project-accounts.iam.gserviceaccount.com"
GOOGLE_KEY: Final = '{"type": "service_account", "private_key": "canary-google-key"}'

AZURE_SUBSCRIPTION: Final = "/subscriptions/12345678-1234-1234-1234-123456789012"
Answer: TypeAlias = tuple[dict[str, Any], list[tuple[str, str]] | None]
"""What is found, and instead of it (property, reason) where the cloud refuses."""


def made_by(component: str) -> Owner:
    """What marks whatever a component of the recorded stack has made."""
    return Owner(f"{ORGANIZATION}/{PROJECT}/{STACK}", component)


def _azure_sas(args: Mapping[str, Any]) -> Answer:
    """As Azure makes it, with a signature that depends on all that is signed, and without a question mark."""
    signed = "+".join(str(args[name]) for name in sorted(args))
    said = f"sv=2015-04-05&sr={args['resource']}&se={quote(args['sharedAccessExpiryTime'])}&sp={args['permissions']}"
    return {"serviceSasToken": f"{said}&spr={args['protocols']}&sig=canary{quote(signed, safe='')}"}, []


def _iam_user(args: Mapping[str, Any]) -> Answer:
    return {"userName": args["userName"], "arn": f"arn:aws:iam::{ACCOUNT}:user/people/{args['userName']}"}, []


LOOKED_UP: Final[Mapping[str, dict[str, Any] | Callable[[Mapping[str, Any]], Answer]]] = {
    "aws:iam/getUser:getUser": _iam_user,
    "azure-native:storage:getManagementPolicy": {"policy": {"rules": []}},
    "azure-native:storage:getStorageAccount": {"allowSharedKeyAccess": True},
    "azure-native:storage:listStorageAccountServiceSAS": _azure_sas,
    "gcp:storage/getBucket:getBucket": {"lifecycleRules": []},
    "gcp:storage/getProjectServiceAccount:getProjectServiceAccount": {"emailAddress": GCS_AGENT},
}
"""What the clouds answer when they are asked for something, by the token of the call."""

_SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # the engine's mark of a secret
_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"


@dataclass(frozen=True)
class Secret:
    """A value that travelled marked as a secret."""

    value: Any


class Unknown:
    """A value that a preview does not know."""


@dataclass(frozen=True)
class Recorded:
    """One resource, as the program asked for it."""

    urn: str
    type: str
    name: str
    custom: bool
    parent: str
    inputs: Mapping[str, Any]
    depends_on: frozenset[str]
    """URNs, of what its inputs come from too."""
    protect: bool
    retain_on_delete: bool
    deleted_with: str
    """URN of what takes it along when it is deleted; empty for nothing."""
    secret_outputs: frozenset[str]
    provider: str
    """`<urn>::<id>` of an explicit provider; empty for the default one."""

    def __repr__(self) -> str:
        return f"<{self.type} {self.name}>"


@dataclass
class Recording:
    """All that a program asked for."""

    resources: list[Recorded] = field(default_factory=list)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What components and the stack registered, by URN."""
    warnings: list[str] = field(default_factory=list)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """What was looked up: the token of the call, and its arguments."""

    def of(self, type_: str) -> list[Recorded]:
        """All of a type, or of a part of its name such as `iam/`."""
        return sorted((it for it in self.resources if type_ in it.type), key=lambda it: it.name)

    def one(self, type_: str, name: str | None = None) -> Recorded:
        found = [it for it in self.of(type_) if name is None or it.name == name]
        assert len(found) == 1, f"{len(found)} of {type_} {name or ''} among {self.resources}"
        return found[0]

    def outputs_of(self, resource: Recorded) -> dict[str, Any]:
        return self.outputs[resource.urn]

    @property
    def stack_outputs(self) -> dict[str, Any]:
        return next(values for urn, values in self.outputs.items() if f"::{STACK_TYPE}::" in urn)

    @property
    def custom(self) -> list[Recorded]:
        return [it for it in self.resources if it.custom]

    def waits_for(self, resource: Recorded) -> frozenset[str]:
        """URNs of all that must be there before `resource`, directly or not."""
        found: set[str] = set()
        pending = [resource.urn]
        known = {it.urn: it for it in self.resources}
        while pending:
            for urn in known[pending.pop()].depends_on - found:
                found.add(urn)
                pending += [urn] if urn in known else []
        return frozenset(found)


def secret_values(value: object) -> Iterator[Any]:
    """Everything marked as a secret in a value."""
    if isinstance(value, Secret):
        yield value.value
    elif isinstance(value, Mapping):
        for it in value.values():
            yield from secret_values(it)
    elif isinstance(value, list):
        for it in value:
            yield from secret_values(it)


def in_the_open(value: object) -> str:
    """All text in a value that is not marked as a secret."""
    if isinstance(value, Secret):
        return ""
    if isinstance(value, Mapping):
        return " ".join(f"{name} {in_the_open(it)}" for name, it in value.items())
    if isinstance(value, list):
        return " ".join(map(in_the_open, value))
    return str(value)


def run(
    program: Callable[[], object],
    *,
    preview: bool = False,
    config: Mapping[str, str] | None = None,
    secret_keys: Iterable[str] = (),
    previous: Mapping[str, Mapping[str, Any]] | None = None,
) -> Recording:
    """Runs a program to its end, and raises what it raises.

    Args:
        program: what to run.
        preview: whether nothing is made, so that what the cloud adds is unknown.
        config: the stack's.
        secret_keys: what of it is secret.
        previous: what the stack had after its last run, types and outputs by URN; None if the backend refuses to tell.
    """
    monitor = _Monitor(preview=preview, previous=previous)
    with ExitStack() as patched:
        # Where programs ask a cloud themselves and not through Pulumi: nothing ever expires there.
        for cloud in ("aws", "obs"):
            patched.enter_context(patch(f"lightly_infra.clouds.{cloud}.lifecycle.read", return_value=[]))
        patched.enter_context(patch("lightly_infra.stack.contents.look", return_value={}))
        # The SDK keeps its settings in context variables; a context of its own leaves nothing behind.
        contextvars.copy_context().run(_run, program, monitor, preview, dict(config or {}), list(secret_keys))
    return monitor.recording


def _run(
    program: Callable[[], object], monitor: _Monitor, preview: bool, config: dict[str, str], secret_keys: list[str]
) -> None:
    settings = mocks.MockSettings(  # type: ignore[no-untyped-call]  # the SDK's own test seam
        monitor=monitor,
        monitor_features=set(monitor.features),
        engine=_Engine(monitor.recording),
        project=PROJECT,
        stack=STACK,
        root_directory=None,
        organization=ORGANIZATION,
        dry_run=preview,
        callbacks=None,
        outputs=set(),
        package_refs={},
    )
    configure(settings)
    set_root_resource(None)  # type: ignore[arg-type]  # as the SDK itself does between programs
    set_all_config(config, secret_keys)
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(4))

    def main() -> None:
        program()

    try:
        loop.run_until_complete(run_in_stack(main))
    finally:
        for task in (tasks := asyncio.all_tasks(loop)):
            task.cancel()
        loop.run_until_complete(asyncio.wait(tasks) if tasks else asyncio.sleep(0))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


class _Engine(mocks.MockEngine):
    def __init__(self, recording: Recording) -> None:
        super().__init__(None)
        self._recording = recording

    def Log(self, request: engine_pb2.LogRequest) -> None:  # noqa: N802 - the protocol's name
        if request.severity == engine_pb2.WARNING:
            self._recording.warnings.append(request.message)


class _NoMocks(mocks.Mocks):
    def __init__(self, calls: list[tuple[str, dict[str, Any]]]) -> None:
        self.calls = calls

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        assert args.token in LOOKED_UP, f"nothing but {list(LOOKED_UP)} is to be looked up, but {args.token} was"
        self.calls.append((args.token, dict(args.args)))
        answer = LOOKED_UP[args.token]
        return answer(args.args) if callable(answer) else (answer, [])

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        raise NotImplementedError(args.typ)


class _RefusedError(Exception):
    """What a backend says that does not tell what a stack had."""


class _Monitor(mocks.MockMonitor):
    def __init__(self, *, preview: bool, previous: Mapping[str, Mapping[str, Any]] | None) -> None:
        self.recording = Recording()
        self._previous = previous
        super().__init__(_NoMocks(self.recording.calls))
        self.features = self.GetDeploymentInfo(empty_pb2.Empty()).supportedFeatures  # type: ignore[no-untyped-call]
        self._preview = preview
        self._lock = threading.Lock()

    def RegisterResource(  # noqa: N802 - the protocol's name
        self, request: resource_pb2.RegisterResourceRequest
    ) -> resource_pb2.RegisterResourceResponse:
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == STACK_TYPE:
            return resource_pb2.RegisterResourceResponse(urn=urn)
        inputs = MessageToDict(request.object)
        recorded = Recorded(
            urn=urn,
            type=request.type,
            name=request.name,
            custom=request.custom,
            parent=request.parent,
            inputs=_read(inputs),
            depends_on=frozenset(request.dependencies),
            protect=request.protect,
            retain_on_delete=request.retainOnDelete,
            deleted_with=request.deletedWith,
            secret_outputs=frozenset(request.additionalSecretOutputs),
            provider=request.provider,
        )
        with self._lock:
            assert urn not in {it.urn for it in self.recording.resources}, f"twice: {urn}"
            self.recording.resources.append(recorded)
        id_, added = _made(recorded)
        if self._preview:
            id_, added = "", dict.fromkeys(added, rpc.UNKNOWN)
        outputs = inputs | {
            name: _marked(value) if name in recorded.secret_outputs else value for name, value in added.items()
        }
        answer = ParseDict(outputs if request.custom else {}, struct_pb2.Struct())
        return resource_pb2.RegisterResourceResponse(urn=urn, id=id_ if request.custom else "", object=answer)

    def Invoke(  # noqa: N802 - the protocol's name
        self, request: resource_pb2.ResourceInvokeRequest
    ) -> resource_pb2.ResourceInvokeResponse:
        if request.tok.startswith("pulumi:pulumi:readStack"):
            return self._last_run(request.tok)
        # As the SDK's own does, which leaves an event loop open in this thread.
        called = mocks.MockCallArgs(token=request.tok, args=_read(MessageToDict(request.args)), provider="")
        found, refused = self.mocks.call(called)
        answer = resource_pb2.ResourceInvokeResponse(
            failures=[provider_pb2.CheckFailure(property=name, reason=reason) for name, reason in refused or []]
        )
        getattr(answer, "return").update(found)
        return answer

    def _last_run(self, token: str) -> resource_pb2.ResourceInvokeResponse:
        if self._previous is None:
            raise _RefusedError(token)
        outputs: Mapping[str, Any] = self._previous
        if token == "pulumi:pulumi:readStackOutputs":
            outputs = next((it["outputs"] for it in outputs.values() if it["type"] == STACK_TYPE), {})
        answer = resource_pb2.ResourceInvokeResponse()
        ParseDict({"outputs": dict(outputs)}, getattr(answer, "return"))
        return answer

    def RegisterResourceOutputs(  # noqa: N802 - the protocol's name
        self, request: resource_pb2.RegisterResourceOutputsRequest
    ) -> empty_pb2.Empty:
        with self._lock:
            self.recording.outputs[request.urn] = _read(MessageToDict(request.outputs))
        return empty_pb2.Empty()


def _made(of: Recorded) -> tuple[str, dict[str, Any]]:
    """The id of what the cloud makes, and the outputs that it adds to the inputs."""
    physical, iam = f"{of.name}-0a1b2c3", f"arn:aws:iam::{ACCOUNT}"
    bucket = of.inputs.get("bucket") or physical
    account = f"{of.inputs.get('accountId')}@{PROJECT_ID}.iam.gserviceaccount.com"
    group = of.inputs.get("resourceGroupName", f"{of.name}{RANDOM_SUFFIX}")
    storage = of.inputs.get("accountName", f"{of.name}{RANDOM_SUFFIX}")
    container = of.inputs.get("containerName")
    # What is renewed has a number at the end of its name, and so has its value.
    number = of.name.rpartition("-")[2]
    number = number if number.isdecimal() else ""
    google_key = GOOGLE_KEY.replace("canary-google-key", f"canary-google-key{number}")
    made: dict[str, tuple[str, dict[str, Any]]] = {
        "aws:s3/bucket:Bucket": (bucket, {"bucket": bucket, "arn": f"arn:aws:s3:::{bucket}"}),
        "aws:iam/role:Role": (physical, {"name": physical, "arn": f"{iam}:role/{physical}"}),
        "aws:iam/user:User": (physical, {"name": physical, "arn": f"{iam}:user/{physical}"}),
        "aws:iam/accessKey:AccessKey": (
            f"AKIAEXAMPLE{number}",
            {
                "secret": f"{SECRET_ACCESS_KEY}{number}",
                "sesSmtpPasswordV4": "canary-smtp",
                "createDate": "2026-11-24T10:11:12+00:00",
            },
        ),
        "random:index/randomPassword:RandomPassword": (
            "none",
            {"result": f"{MINTED_EXTERNAL_ID}{number}", "bcryptHash": "canary-hash"},
        ),
        "random:index/randomString:RandomString": (RANDOM_SUFFIX, {"result": RANDOM_SUFFIX}),
        "gcp:storage/bucket:Bucket": (of.inputs.get("name", physical), {"name": of.inputs.get("name", physical)}),
        "gcp:serviceaccount/account:Account": (account, {"email": account}),
        "gcp:serviceaccount/key:Key": (
            "key",
            {
                "privateKey": base64.b64encode(google_key.encode()).decode(),
                "validAfter": "2026-11-24T10:11:12Z",
                "validBefore": "9999-12-31T23:59:59Z",
            },
        ),
        "gcp:projects/iAMCustomRole:IAMCustomRole": (
            f"projects/{PROJECT_ID}/roles/{of.inputs.get('roleId')}",
            {"name": f"projects/{PROJECT_ID}/roles/{of.inputs.get('roleId')}"},
        ),
        "azure-native:resources:ResourceGroup": (
            f"{AZURE_SUBSCRIPTION}/resourceGroups/{group}",
            {"name": group, "location": of.inputs.get("location", "westeurope")},
        ),
        "azure-native:storage:StorageAccount": (
            f"{AZURE_SUBSCRIPTION}/resourceGroups/{group}/storageAccounts/{storage}",
            {"name": storage},
        ),
        "azure-native:storage:BlobContainer": (
            f"{AZURE_SUBSCRIPTION}/resourceGroups/{group}/storageAccounts/{storage}/containers/{container}",
            {"name": container},
        ),
        "pulumi-python:dynamic/obs:Bucket": (bucket, {"bucket": bucket}),
        "pulumi-python:dynamic/lightly:Dataset": (
            of.inputs.get("dataset_id", DATASET_ID),
            {"name": of.inputs.get("name", "theirs"), "type": of.inputs.get("type", "Images"), "adopted": False},
        ),
        "pulumi-python:dynamic/lightly:Verification": (
            DATASET_ID,
            dict.fromkeys(("can_list", "can_read", "can_write", "can_overwrite"), True),
        ),
    }
    return made.get(of.type, (physical, {}))


def _marked(value: object) -> dict[str, Any]:
    return {_SIGNATURE: _SECRET, "value": value}


def _read(value: Any) -> Any:
    """What came over the wire, with secrets and unknowns as objects."""
    if isinstance(value, dict):
        if value.get(_SIGNATURE) == _SECRET:
            return Secret(_read(value["value"]))
        return {name: _read(it) for name, it in value.items()}
    if isinstance(value, list):
        return [_read(it) for it in value]
    if value == rpc.UNKNOWN:
        return Unknown()
    return value
