"""Error hooks: functions of the program that are told when a provider has failed, and may have it try again.

They live in the program, which serves them over gRPC for as long as it runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

import grpc
from pulumi.runtime.proto import callback_pb2, callback_pb2_grpc, resource_pb2

from lightly_infra.sandbox.engine.plugins import CHANNEL_OPTIONS
from lightly_infra.sandbox.engine.provider import ProviderError
from lightly_infra.sandbox.engine.steps import StepError
from lightly_infra.sandbox.engine.values import to_struct

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightly_infra.sandbox.engine.state import ResourceState

MOST_TRIES: Final = 100  # the real engine's maxErrorHookRetries

_T = TypeVar("_T")


@dataclass
class ErrorHooks:
    """The error hooks of one run. `warn` is told of each retry."""

    warn: Callable[[str], None]
    _callbacks: dict[str, callback_pb2.Callback] = field(default_factory=dict)

    def register(self, request: resource_pb2.RegisterErrorHookRequest) -> None:
        """Takes a hook.

        Raises:
            ValueError: There is one of this name already.
        """
        if request.name in self._callbacks:
            raise ValueError(f'resource hook already registered for name "{request.name}"')
        self._callbacks[request.name] = request.callback

    def trying(
        self, action: Callable[[], _T], *, new: ResourceState | None = None, old: ResourceState | None = None
    ) -> _T:
        """Has a provider act, again as long as it fails and a hook wants that.

        Args:
            action: What the provider does.
            new: What the resource shall be, unless it is deleted.
            old: What it was, unless it is created.

        Raises:
            ProviderError: The provider failed.
            StepError: A hook did, or it wanted too many tries.
        """
        operation = "create" if old is None else "update" if new is not None else "delete"
        errors: list[str] = []
        while True:
            try:
                return action()
            except ProviderError as error:
                errors.insert(0, str(error))
                if len(errors) == MOST_TRIES:
                    self.warn(f"maximum number of error hook retries ({MOST_TRIES}) reached")
                    raise StepError("maximum number of error hook retries reached") from error
                if not self._want_retry(_request(operation, new, old, errors), new or old):
                    raise
            self.warn(f"retrying {operation} due to on-error hook request ({len(errors)}/{MOST_TRIES})")

    def _want_retry(self, request: resource_pb2.ErrorHookRequest, state: ResourceState | None) -> bool:
        # What is deleted may name hooks that are no more, or whose program does not run.
        names = [name for name in (state.error_hooks if state else ()) if name in self._callbacks]
        answers = [_call(name, self._callbacks[name], request) for name in names]
        return any(answers)


def _request(
    operation: str, new: ResourceState | None, old: ResourceState | None, errors: list[str]
) -> resource_pb2.ErrorHookRequest:
    request = resource_pb2.ErrorHookRequest(failed_operation=operation, errors=errors)
    if old is not None:
        request.old_inputs.CopyFrom(to_struct(old.inputs, secrets=True))
        request.old_outputs.CopyFrom(to_struct(old.outputs, secrets=True))
    if new is not None:
        request.new_inputs.CopyFrom(to_struct(new.inputs, secrets=True))
    state = new or old
    if state is not None:
        request.urn, request.id, request.name, request.type = state.urn, state.id, state.name, state.type
    return request


def _call(name: str, callback: callback_pb2.Callback, request: resource_pb2.ErrorHookRequest) -> bool:
    with grpc.insecure_channel(callback.target, options=CHANNEL_OPTIONS) as channel:
        try:
            answer = callback_pb2_grpc.CallbacksStub(channel).Invoke(
                callback_pb2.CallbackInvokeRequest(token=callback.token, request=request.SerializeToString())
            )
        except grpc.RpcError:
            return False  # the program ended before the provider failed: what counts is the provider's error
    response = resource_pb2.ErrorHookResponse.FromString(answer.response)
    if response.error:
        raise StepError(f'error hooks execution failed: error hook "{name}" failed: {response.error}')
    return bool(response.retry)
