"""The embedded engine's side of the program: the SDK's test seam, on which a real program runs unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime import mocks
from pulumi.runtime.proto import engine_pb2, resource_pb2
from pulumi.runtime.settings import configure

from lightly_infra.sandbox.engine.deployment import Deployment, Stopped
from lightly_infra.sandbox.engine.interface import UnsupportedFeature
from lightly_infra.sandbox.engine.program import ProgramRun, chain
from lightly_infra.sandbox.engine.provider import ProviderError
from lightly_infra.sandbox.engine.urns import STACK_TYPE
from lightly_infra.sandbox.engine.values import Properties, from_struct, to_struct
from lightly_infra.updates.messages import describe

if TYPE_CHECKING:
    from lightly_infra.sandbox.engine.interface import Program
    from lightly_infra.sandbox.engine.providers import Providers
    from lightly_infra.updates.changes import OnLog

_SEVERITIES: Final = {engine_pb2.INFO: "info", engine_pb2.WARNING: "warning"}
# Resource references are left out: a resource passed as a property then arrives as its id, which is what providers
# that take no references get from the real engine too.
_FEATURES: Final = (
    resource_pb2.RESOURCE_MONITOR_FEATURE_SECRETS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_ALIAS_SPECS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_DELETED_WITH,
    resource_pb2.RESOURCE_MONITOR_FEATURE_REPLACE_WITH,
    resource_pb2.RESOURCE_MONITOR_FEATURE_ERROR_HOOKS,
    # Claimed so that the SDK asks and we can refuse by name, instead of it asking people to update their CLI.
    resource_pb2.RESOURCE_MONITOR_FEATURE_TRANSFORMS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_INVOKE_TRANSFORMS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_PARAMETERIZATION,
    resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_HOOKS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_STATE_MIGRATIONS,
)


class InvokeError(grpc.RpcError):  # type: ignore[misc]  # grpc ships no types
    """A function that failed, as the SDK has it from the real engine: the program may catch it and go on."""

    def code(self) -> grpc.StatusCode:
        """GRPC's own for what it knows no more of."""
        return grpc.StatusCode.UNKNOWN

    def details(self) -> str:
        """What the provider said."""
        return str(self)


class _NoMocks(mocks.Mocks):
    """The base class wants mocks; ours never asks them."""

    def call(self, args: mocks.MockCallArgs) -> NoReturn:
        raise NotImplementedError(args.token)

    def new_resource(self, args: mocks.MockResourceArgs) -> NoReturn:
        raise NotImplementedError(args.typ)


class Monitor(mocks.MockMonitor):
    """Answers what the SDK sends to the engine. The SDK calls it from threads of its own, several at a time."""

    def __init__(self, deployment: Deployment, providers: Providers, *, preview: bool) -> None:
        super().__init__(_NoMocks())
        self._deployment = deployment
        self._providers = providers
        self._preview = preview

    def RegisterResource(  # noqa: N802 - the protocol's name, as all below
        self, request: resource_pb2.RegisterResourceRequest
    ) -> resource_pb2.RegisterResourceResponse:
        """Brings a resource into being and tells its id and outputs."""
        state = self._deployment.register(request)
        # A component's outputs are what it registers itself.
        outputs = to_struct(state.outputs if state.custom else {}, secrets=True, unknowns=True)
        return resource_pb2.RegisterResourceResponse(urn=state.urn, id=state.id, object=outputs)

    def ReadResource(self, request: resource_pb2.ReadResourceRequest) -> resource_pb2.ReadResourceResponse:  # noqa: N802
        """Reads a resource that someone else owns."""
        state = self._deployment.read(request)
        outputs = to_struct(state.outputs, secrets=True, unknowns=True)
        return resource_pb2.ReadResourceResponse(urn=state.urn, id=state.id, properties=outputs)

    def RegisterResourceOutputs(  # noqa: N802
        self, request: resource_pb2.RegisterResourceOutputsRequest
    ) -> empty_pb2.Empty:
        """Records a component's outputs."""
        self._deployment.register_outputs(request.urn, from_struct(request.outputs))
        return empty_pb2.Empty()

    def Invoke(self, request: resource_pb2.ResourceInvokeRequest) -> resource_pb2.ResourceInvokeResponse:  # noqa: N802
        """Calls a provider's function; it is unknown what it returns as long as its provider is."""
        if request.tok.startswith("pulumi:pulumi:"):
            return self._own_function(request.tok, from_struct(request.args))
        try:
            provider = self._providers.for_function(request.tok, request.provider)
            if provider is None:
                return resource_pb2.ResourceInvokeResponse(unknown=True)
            arguments = from_struct(request.args)
            returned, failures = provider.invoke(request.tok, arguments, preview=self._preview)
        except UnsupportedFeature as error:
            raise self._deployment.fail("", error) from error
        except ProviderError as error:
            raise InvokeError(str(error)) from error
        fields: dict[str, Any] = {"return": to_struct(returned, secrets=True), "failures": failures}
        return resource_pb2.ResourceInvokeResponse(**fields)

    def _own_function(self, token: str, arguments: Properties) -> resource_pb2.ResourceInvokeResponse:
        """What this very stack had after the last run; there is no other one."""
        program, resources = self._deployment.program, self._deployment.last_run()
        argument = {"readStackOutputs": "name", "readStackResourceOutputs": "stackName"}.get(token.rpartition(":")[2])
        if argument is None:
            raise self._refuse(f"function {token}")
        name = arguments[argument]
        if name not in {program.stack, f"organization/{program.project}/{program.stack}"}:
            raise InvokeError(f"unknown stack {name!r}")
        outputs: Properties = {it.urn: {"type": it.type, "outputs": it.outputs} for it in resources}
        if argument == "name":
            outputs = next((it.outputs for it in resources if it.type == STACK_TYPE), {})
        fields: dict[str, Any] = {"return": to_struct({"name": name, "outputs": outputs}, secrets=True)}
        return resource_pb2.ResourceInvokeResponse(**fields)

    def GetDeploymentInfo(self, request: empty_pb2.Empty) -> resource_pb2.DeploymentInfo:  # noqa: N802, ARG002
        """What the SDK may ask for."""
        return resource_pb2.DeploymentInfo(supportedFeatures=_FEATURES)

    def ExistsResource(self, request: resource_pb2.ExistsResourceRequest) -> NoReturn:  # noqa: N802
        """Refused."""
        raise self._refuse(f"asking whether a resource exists ({request.type})")

    def Call(self, request: resource_pb2.ResourceCallRequest) -> NoReturn:  # noqa: N802
        """Refused."""
        raise self._refuse(f"methods of remote components ({request.tok})")

    def RegisterStackTransform(self, request: Any) -> NoReturn:  # noqa: N802, ARG002
        """Refused."""
        raise self._refuse("resource transforms of the stack; `register_stack_transformation` works")

    def RegisterStackInvokeTransform(self, request: Any) -> NoReturn:  # noqa: N802, ARG002
        """Refused."""
        raise self._refuse("invoke transforms")

    def RegisterResourceHook(self, request: Any) -> NoReturn:  # noqa: N802
        """Refused."""
        raise self._refuse(f"resource hooks ({request.name})")

    def RegisterErrorHook(self, request: resource_pb2.RegisterErrorHookRequest) -> empty_pb2.Empty:  # noqa: N802
        """Takes a hook, which the program serves."""
        self._deployment.hooks.register(request)
        return empty_pb2.Empty()

    def SignalAndWaitForShutdown(self, request: empty_pb2.Empty) -> empty_pb2.Empty:  # noqa: N802, ARG002
        """The program has nothing more to declare. It lives on, for its hooks, while the rest is done."""
        self._deployment.finish()
        return empty_pb2.Empty()

    def RegisterPackage(self, request: Any) -> NoReturn:  # noqa: N802
        """Refused."""
        raise self._refuse(f"parameterized packages ({request.name})")

    def _refuse(self, feature: str) -> Stopped:
        return self._deployment.fail("", UnsupportedFeature(feature))


class Log(mocks.MockEngine):
    """Where `pulumi.log` goes: errors are failures, as on the real engine; the rest is told on."""

    def __init__(self, deployment: Deployment, tell: OnLog) -> None:
        super().__init__(None)
        self._deployment = deployment
        self._tell = tell

    def Log(self, request: engine_pb2.LogRequest) -> None:  # noqa: N802
        """Passes a message on, but for the SDK's own debugging."""
        if request.severity == engine_pb2.ERROR:
            self._deployment.add_failures(request.urn, [request.message])
        elif request.severity in _SEVERITIES:
            self._tell(_SEVERITIES[request.severity], request.message)

    def RequirePulumiVersion(self, request: Any) -> empty_pb2.Empty:  # noqa: N802, ARG002
        """There is no CLI whose version could be wrong."""
        return empty_pb2.Empty()


def run_program(program: Program, deployment: Deployment, monitor: Monitor, log: Log, *, preview: bool) -> None:
    """Runs the program to its end; when this returns nothing of it is under way any more.

    What goes wrong is recorded in the deployment.
    """

    def prepare() -> None:
        settings: dict[str, Any] = {
            "monitor": monitor,
            "monitor_features": set(_FEATURES),
            "engine": log,
            "project": program.project,
            "stack": program.stack,
            "root_directory": None,
            "organization": "organization",
            "dry_run": preview,
            "callbacks": None,
            "outputs": set(),
            "package_refs": {},
        }
        configure(mocks.MockSettings(**settings))  # type: ignore[no-untyped-call]  # the SDK's, without types

    def on_error(error: Exception) -> None:
        deployment.stopped = True
        if not any(isinstance(cause, Stopped) for cause in chain(error)):
            deployment.add_failures("", [describe(error)])

    run = ProgramRun(program)
    try:
        run.run(prepare, on_error)
    finally:
        run.close()
