# ruff: noqa: N802, ARG002 - the names and arguments of the provider protocol
"""A tiny cloud for tests of the engines: one emulated provider and dynamic ones, both keeping things in files.

Files, because the real engine starts its plugins anew for each run. `FAKE_CLOUD` names the directory.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pulumi
from google.protobuf import empty_pb2, struct_pb2
from google.protobuf.json_format import MessageToDict
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)
from pulumi.runtime.proto import provider_pb2 as messages
from pulumi.runtime.proto import provider_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Mapping

REPLACING = ("name", "zone")


class Cloud:
    """Things by id, and a diary of what was done to them."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)

    def note(self, *words: object) -> None:
        line = " ".join(str(word) for word in words) + "\n"
        with (self.directory / "diary").open("a") as diary:
            diary.write(line)

    @property
    def diary(self) -> list[str]:
        path = self.directory / "diary"
        return path.read_text().splitlines() if path.exists() else []

    def forget_diary(self) -> None:
        (self.directory / "diary").unlink(missing_ok=True)

    @property
    def things(self) -> dict[str, dict[str, Any]]:
        return {path.stem: json.loads(path.read_text()) for path in self.directory.glob("*.json")}

    def named(self, name: str) -> dict[str, Any]:
        return next(thing for thing in self.things.values() if thing["name"] == name)

    def id_of(self, name: str) -> str:
        return next(key for key, thing in self.things.items() if thing["name"] == name)

    def get(self, id_: str) -> dict[str, Any] | None:
        return self.things.get(id_)

    def put(self, id_: str, thing: Mapping[str, Any]) -> None:
        (self.directory / f"{id_}.json").write_text(json.dumps(dict(thing)))

    def remove(self, id_: str) -> None:
        (self.directory / f"{id_}.json").unlink()

    def create(self, thing: Mapping[str, Any]) -> str:
        self.note("begin", "create", thing["name"])
        wait_for = self.directory / str(thing.get("meets") or "")
        if thing.get("meets"):  # two creates that wait for each other only end when they run at the same time
            self.note("meet")
            deadline = time.monotonic() + 20
            while self.diary.count("meet") < 2:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"nobody met {thing['name']} at {wait_for}")
                time.sleep(0.01)
        if thing.get("fails"):
            raise RuntimeError(str(thing["fails"]))
        id_ = f"id-{uuid.uuid4().hex[:8]}"
        self.put(id_, thing)
        self.note("end", "create", thing["name"])
        return id_

    def update(self, id_: str, thing: Mapping[str, Any]) -> None:
        self.note("update", thing["name"])
        if thing.get("fails"):
            raise RuntimeError(str(thing["fails"]))
        self.put(id_, thing)

    def delete(self, id_: str, name: str) -> None:
        self.note("begin", "delete", name)
        if (self.directory / f"keep-{name}").exists():
            raise RuntimeError(f"{name} cannot be deleted now")
        self.remove(id_)
        self.note("end", "delete", name)


def faults(thing: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    if isinstance(thing.get("size"), float) and thing["size"] < 0:
        found.append(("size", "must not be negative"))
    if thing.get("label") == "bad":
        found.append(("label", "must not be bad"))
    return found


class FakeProvider(provider_pb2_grpc.ResourceProviderServicer):
    """Serves `fake:index:Thing`: `name` replaces, `zone` replaces and deletes first."""

    package = "fake"

    def __init__(self, env: Mapping[str, str]) -> None:
        self.cloud = Cloud(env["FAKE_CLOUD"])
        self.region = ""

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return messages.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        return messages.DiffResponse()

    def Configure(self, request: Any, context: Any) -> Any:
        self.region = request.variables.get(f"{self.package}:config:region", "")
        token = request.variables.get(f"{self.package}:config:token", "")
        self.cloud.note("configure", self.package, self.region, token)
        return messages.ConfigureResponse(acceptSecrets=False, supportsPreview=False)

    def Check(self, request: Any, context: Any) -> Any:
        failures = [messages.CheckFailure(property=p, reason=r) for p, r in faults(MessageToDict(request.news))]
        inputs = struct_pb2.Struct()
        inputs.CopyFrom(request.news)
        if "color" not in inputs:
            inputs["color"] = "grey"
        return messages.CheckResponse(inputs=inputs, failures=failures)

    def Diff(self, request: Any, context: Any) -> Any:
        old, new = MessageToDict(request.old_inputs), MessageToDict(request.news)
        changed = sorted(k for k in {*old, *new} if old.get(k) != new.get(k))
        changed = [key for key in changed if key not in request.ignoreChanges]
        return messages.DiffResponse(
            changes=messages.DiffResponse.DIFF_SOME if changed else messages.DiffResponse.DIFF_NONE,
            diffs=changed,
            replaces=[key for key in changed if key in REPLACING],
            deleteBeforeReplace="zone" in changed,
        )

    def Create(self, request: Any, context: Any) -> Any:
        thing = MessageToDict(request.properties)
        id_ = self.cloud.create(thing)
        return messages.CreateResponse(id=id_, properties=self._outputs(thing))

    def Read(self, request: Any, context: Any) -> Any:
        thing = self.cloud.get(request.id)
        if thing is None:
            return messages.ReadResponse()
        inputs = struct_pb2.Struct()
        inputs.update(thing)
        return messages.ReadResponse(id=request.id, properties=self._outputs(thing), inputs=inputs)

    def Update(self, request: Any, context: Any) -> Any:
        thing = MessageToDict(request.news)
        self.cloud.update(request.id, thing)
        return messages.UpdateResponse(properties=self._outputs(thing))

    def Delete(self, request: Any, context: Any) -> Any:
        self.cloud.delete(request.id, request.properties["name"])
        return empty_pb2.Empty()

    def Invoke(self, request: Any, context: Any) -> Any:
        self.cloud.note("ask", request.tok, request.args["question"])
        if request.args["question"] == "unanswerable":
            context.abort(grpc.StatusCode.UNKNOWN, "nobody knows")
        result = struct_pb2.Struct()
        result.update({"answer": f"{request.args['question']}!", "region": self.region})
        answer = messages.InvokeResponse()
        getattr(answer, "return").CopyFrom(result)
        return answer

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return messages_plugin_info()

    def _outputs(self, thing: Mapping[str, Any]) -> struct_pb2.Struct:
        outputs = struct_pb2.Struct()
        outputs.update(dict(thing))
        outputs.update({"arn": f"arn:{thing['name']}", "region": self.region})
        if "password" in thing:
            outputs["derived"] = f"<{thing['password']}>"
        return outputs


class NativeProvider(FakeProvider):
    """The same for a package with a dash, as azure-native has, whose types need not be of any one form."""

    package = "fake-native"

    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__(env)
        self.cloud.note("start", env.get("FAKE_ENDPOINT", "nowhere"))


def messages_plugin_info() -> Any:
    from pulumi.runtime.proto import plugin_pb2

    return plugin_pb2.PluginInfo(version="1.0.0")


class Thing(pulumi.CustomResource):
    """A thing of the fake cloud."""

    arn: pulumi.Output[str]
    region: pulumi.Output[str]
    derived: pulumi.Output[str]
    color: pulumi.Output[str]
    name: pulumi.Output[str]
    size: pulumi.Output[int]
    note: pulumi.Output[Any]
    tags: pulumi.Output[Any]
    password: pulumi.Output[str]

    def __init__(self, name: str, *, opts: pulumi.ResourceOptions | None = None, **props: Any) -> None:
        outputs = dict.fromkeys(("arn", "region", "derived", "color"))
        given = {"name": name, **props}
        super().__init__("fake:index:Thing", name, {**outputs, **given}, opts)


def thing_called(resource: str, name: str, opts: pulumi.ResourceOptions | None = None, **props: Any) -> Thing:
    """A thing whose resource name stays while its name in the cloud, which replaces it, may change."""
    thing = Thing.__new__(Thing)
    outputs = dict.fromkeys(("arn", "region", "derived", "color"))
    given = {**outputs, "name": name, **props}
    pulumi.CustomResource.__init__(thing, "fake:index:Thing", resource, given, opts)
    return thing


class FakeCloudProvider(pulumi.ProviderResource):
    """An explicit provider of the fake cloud."""

    def __init__(self, name: str, region: pulumi.Input[str], opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("fake", name, {"region": region}, opts)


def ask(question: pulumi.Input[str]) -> pulumi.Output[Any]:
    return pulumi.Output.from_input(question).apply(
        lambda q: pulumi.runtime.invoke("fake:index:ask", {"question": q}).value
    )


class Box(pulumi.ComponentResource):
    """A component with one thing in it."""

    def __init__(self, name: str, *, opts: pulumi.ResourceOptions | None = None, size: pulumi.Input[int] = 1) -> None:
        super().__init__("test:index:Box", name, None, opts)
        self.thing = Thing(f"{name}-thing", size=size, opts=pulumi.ResourceOptions(parent=self))
        self.arn = self.thing.arn
        self.register_outputs({"arn": self.arn})


class NoteProvider(ResourceProvider):
    """A dynamic provider whose notes are kept in the fake cloud too; `name` replaces."""

    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        token = req.config.get("test:token") or ""
        self._cloud().note("configure", "note", req.config.get("test:plain") or "", token)

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        return CheckResult(news, [CheckFailure(p, r) for p, r in faults(news)])

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        return DiffResult(replaces=["name"] if olds["name"] != news["name"] else [])

    def create(self, props: dict[str, Any]) -> CreateResult:
        own = _own(props)
        if props.get("kills"):
            os._exit(3)
        if props.get("raises"):
            raise NoteError(f"cannot write {props['name']}:\n  the pen is empty\nbuy ink, not {props['raises']}")
        return CreateResult(self._cloud().create(own), {**own, "stamp": f"stamp of {props['name']}"})

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        thing = self._cloud().get(id_)
        if thing is None:
            return ReadResult("", {})
        return ReadResult(id_, {**thing, "stamp": props["stamp"]}, thing)

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        own = _own(news)
        self._cloud().update(_id, own)
        return UpdateResult({**own, "stamp": f"stamp of {news['name']}"})

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        self._cloud().delete(_id, _props["name"])

    @staticmethod
    def _cloud() -> Cloud:
        return Cloud(os.environ["FAKE_CLOUD"])


def _own(props: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in props.items() if not key.startswith("__")}


class NoteError(Exception):
    """What the dynamic provider raises."""


class Note(Resource, module="test", name="Note"):
    """A dynamic resource."""

    stamp: pulumi.Output[str]
    name: pulumi.Output[str]
    size: pulumi.Output[int]

    def __init__(self, name: str, *, opts: pulumi.ResourceOptions | None = None, **props: Any) -> None:
        super().__init__(NoteProvider(), name, {"stamp": None, "name": name, **props}, opts)
