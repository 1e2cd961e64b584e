"""One run over a stack: registrations as they come in, deletes at the end, or refresh and destroy without a program."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from lightly_infra.sandbox.engine.diffing import difference
from lightly_infra.sandbox.engine.generator import StepGenerator
from lightly_infra.sandbox.engine.goals import external_of, goal_of
from lightly_infra.sandbox.engine.interface import Result, UnsupportedFeature
from lightly_infra.sandbox.engine.provider import ProviderError
from lightly_infra.sandbox.engine.state import ResourceState, delete_waves, dependencies_of
from lightly_infra.sandbox.engine.steps import Delete, Forget, ProtectedError, Run, Step, StepError
from lightly_infra.sandbox.engine.urns import STACK_TYPE
from lightly_infra.sandbox.engine.values import Properties, plain
from lightly_infra.updates.changes import Failure, Operation
from lightly_infra.updates.messages import join_unique, last_message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from pulumi.runtime.proto import resource_pb2

    from lightly_infra.sandbox.engine.hooks import ErrorHooks
    from lightly_infra.sandbox.engine.interface import Program

PARALLEL: Final = 16  # steps at a time; the real engine's default is four per processor


class Stopped(Exception):
    """Something failed: the program is not to go on. Only what is under way is finished."""

    def __init__(self) -> None:
        super().__init__("the run has failed and is shutting down")


class Deployment:
    """Takes what the program registers, in any order and from any thread."""

    def __init__(self, run: Run, program: Program) -> None:
        self.program = program
        self._run = run
        self._generator = StepGenerator(run, program)
        self._generating = threading.Lock()
        self._recording = threading.Lock()
        self._news: dict[str, ResourceState] = {}
        self._stack_outputs: Properties = {}
        self._failures: list[Failure] = []
        self._under_way = 0
        self._idle = threading.Condition()
        self._finished = False
        self.stopped = False

    @property
    def hooks(self) -> ErrorHooks:
        """The program's error hooks."""
        return self._run.hooks

    def last_run(self) -> list[ResourceState]:
        """What the stack had before this run, without what is still to be deleted."""
        return [state for state in self._run.snapshot.base if not state.delete]

    def register(self, request: resource_pb2.RegisterResourceRequest) -> ResourceState:
        """Brings one resource to what the program asks, and waits until it is there.

        Raises:
            Stopped: This or another resource failed.
        """

        def plan(urn: str) -> tuple[ResourceState, list[Step]]:
            goal = goal_of(request)
            self._run.scrubber.learn(goal.properties)
            return self._generator.register(urn, goal)

        return self._carry_out(request, plan)

    def read(self, request: resource_pb2.ReadResourceRequest) -> ResourceState:
        """Reads a resource that someone else owns.

        Raises:
            Stopped: This or another resource failed.
        """

        def plan(urn: str) -> tuple[ResourceState, list[Step]]:
            new = external_of(urn, request)
            return new, self._generator.read(new)

        return self._carry_out(request, plan)

    def register_outputs(self, urn: str, outputs: Properties) -> None:
        """Records what a component says it gives; the stack's own outputs count once the run is over."""
        self._run.scrubber.learn(outputs)
        with self._recording:
            if self._news[urn].type == STACK_TYPE:
                self._stack_outputs = outputs
            else:
                self._news[urn].outputs = outputs

    def fail(self, urn: str, error: Exception) -> Stopped:
        """Records why a resource failed, and has everything not yet begun stop."""
        messages = error.messages if isinstance(error, StepError) else (last_message(str(error)),)
        self.add_failures(urn, messages)
        self.stopped = True
        return Stopped()

    def add_failures(self, urn: str, messages: Iterable[str]) -> None:
        """Records why a resource, or the program, failed."""
        with self._recording:
            for message in join_unique(messages):
                failure = Failure(urn, self._run.scrubber.scrub(message))
                if failure not in self._failures:
                    self._failures.append(failure)

    def finish(self) -> None:
        """After the program: deletes what it no longer declares, unless something failed; settles stack outputs.

        Called a second time it does nothing.
        """
        if self._finished:
            return
        self._finished = True
        if not self.stopped:
            self._delete_undeclared()
        stack = next((state for state in self._news.values() if state.type == STACK_TYPE), None)
        if stack is not None:
            # An output that a failed program did not come to may still be true.
            stack.outputs = {**(stack.outputs if self.stopped else {}), **self._stack_outputs}

    def destroy(self) -> None:
        """Deletes everything that may be deleted."""
        self._delete({state: _delete_step(state) for state in self._run.snapshot.base})

    def refresh(self) -> None:
        """Reads everything back."""
        snapshot, gone = self._run.snapshot, set[str]()
        found: dict[ResourceState, ResourceState] = {}

        def read_back(old: ResourceState) -> None:
            if not old.managed or old.pending_replacement:
                return
            provider = self._run.providers.of(old)
            identity, inputs, outputs = provider.read(old.urn, old.id, old.inputs, old.outputs)
            if not identity or outputs is None:
                gone.add(old.urn)
                self._run.changed(old, Operation.DELETE)
                return
            new = dataclasses.replace(
                old, id=identity, inputs=old.inputs if inputs is None else inputs, outputs=outputs
            )
            self._run.settle(new)
            # The change an unchanged program would now make, seen from the other side.
            change = difference(self._run.providers, new, old.inputs, new, old.ignore_changes)
            drifted = new.outputs != old.outputs if old.external else change.changes
            found[old] = new
            self._run.changed(new, Operation.UPDATE if drifted else Operation.SAME, change.keys if drifted else ())

        self._in_parallel(snapshot.base, read_back)
        for old in snapshot.base:
            if old.urn not in gone or old.delete:
                snapshot.add(found.get(old, old).without(gone), instead_of=old)
            else:
                snapshot.drop(old)

    def result(self, *, with_outputs: bool) -> Result:
        """What the run did."""
        outputs: Mapping[str, Any] = {}
        if with_outputs:
            stack = next((s for s in self._run.snapshot.resources() if s.type == STACK_TYPE), None)
            outputs = plain(stack.outputs) if stack else {}
        return Result(tuple(self._run.changes), outputs, tuple(self._failures))

    def _carry_out(
        self,
        request: resource_pb2.RegisterResourceRequest | resource_pb2.ReadResourceRequest,
        plan: Callable[[str], tuple[ResourceState, list[Step]]],
    ) -> ResourceState:
        """Plans what a request needs, one at a time, and does it, several at a time."""
        urn = ""
        with self._generating:
            self._check_running()
            try:
                urn = self._generator.urn_for(request.type, request.name, request.parent)
                new, steps = plan(urn)
            except (StepError, ProviderError, UnsupportedFeature) as error:
                self.fail(urn, error)
                raise self._stop() from error
        self._apply(urn, steps)
        self._news[urn] = new
        return new

    def _check_running(self) -> None:
        if self.stopped:
            raise self._stop()

    def _stop(self) -> Stopped:
        """What the program is told of a failure, once nothing is under way: until then its error hooks must live."""
        with self._idle:
            self._idle.wait_for(lambda: self._under_way == 0)
        return Stopped()

    @contextmanager
    def _busy(self) -> Iterator[None]:
        with self._idle:
            self._under_way += 1
        try:
            yield
        finally:
            with self._idle:
                self._under_way -= 1
                self._idle.notify_all()

    def _apply(self, urn: str, steps: list[Step]) -> None:
        for step in steps:
            self._check_running()
            try:
                with self._busy():
                    step.apply(self._run)
            except (StepError, ProviderError, UnsupportedFeature) as error:
                self.fail(urn, error)
                raise self._stop() from error

    def _delete_undeclared(self) -> None:
        condemned: dict[ResourceState, Step] = {}
        for state in self._run.snapshot.base:
            if state.delete:
                condemned[state] = Delete(state, replacing=True)
            elif not self._generator.is_kept(state):
                condemned[state] = _delete_step(state)
        self._delete(condemned)

    def _delete(self, condemned: Mapping[ResourceState, Step]) -> None:
        resources = self._run.snapshot.base
        self._run.deleted |= {state.urn for state in condemned}
        spared: set[ResourceState] = set()

        def delete(state: ResourceState) -> None:
            try:
                condemned[state].apply(self._run)
            except ProtectedError as error:
                self.add_failures(state.urn, error.messages)
                spared.update(_all_dependencies(state, resources))

        for wave in delete_waves(condemned.keys(), resources):
            if self.stopped:
                return
            self._in_parallel([state for state in wave if state not in spared], delete)

    def _in_parallel(self, states: Iterable[ResourceState], action: Callable[[ResourceState], None]) -> None:
        def guarded(state: ResourceState) -> None:
            if self.stopped:
                return
            try:
                action(state)
            except (StepError, ProviderError, UnsupportedFeature) as error:
                self.fail(state.urn, error)

        with ThreadPoolExecutor(PARALLEL) as pool:
            list(pool.map(guarded, states))


def _delete_step(state: ResourceState) -> Step:
    return Forget(state) if state.pending_replacement else Delete(state, replacing=state.delete)


def _all_dependencies(state: ResourceState, resources: list[ResourceState]) -> set[ResourceState]:
    found: set[ResourceState] = set()
    waiting = [state]
    while waiting:
        for dependency in dependencies_of(waiting.pop(), resources):
            if dependency not in found:
                found.add(dependency)
                waiting.append(dependency)
    return found
