"""The Pulumi CLI on PATH, which stops in its own way when this process is interrupted."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, Any, Final

from pulumi import automation
from pulumi.automation.errors import create_command_error
from semver import VersionInfo

from lightly_infra.updates.changes import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pulumi.automation import EngineEvent, OnOutput

# What a terminal, a CI runner and a terminal that closes send. The CLI takes no SIGHUP: it would die with its lock.
_SIGNALS: Final = {signal.SIGINT: signal.SIGINT, signal.SIGTERM: signal.SIGTERM, signal.SIGHUP: signal.SIGTERM}

_PATIENCE: Final = 3  # interruptions
_LAST_WORDS: Final = 5.0  # seconds: a plugin that outlives a CLI that was killed may keep its output open


class Command(automation.PulumiCommand):
    """The CLI, whichever version it is.

    It runs in a session of its own, so that a terminal's Ctrl-C reaches it once, through here. Interruptions of an
    update wait until the CLI can take them: before its first event, and after its last, it dies of a signal and leaves
    its lock and its plugins behind. Whoever interrupts three times waits no longer.
    """

    def __init__(self) -> None:
        super().__init__(skip_version_check=True)
        if self.version is None:  # a CLI built from source tells none; it is taken to be a current one
            self.version = VersionInfo(3, 999)
        self._run: _Run | None = None

    def following(self, on_event: Callable[[EngineEvent], None]) -> Callable[[EngineEvent], None]:
        """Notices from an update's events, which go on to `on_event`, when the CLI can be interrupted."""

        def follow(event: EngineEvent) -> None:
            run = self._run
            if run is not None:
                run.follow(ends=event.summary_event is not None or event.cancel_event is not None)
            # What a program and its plugins cry when they are stopped tells nothing.
            if event.diagnostic_event is None or run is None or not run.interruptions:
                on_event(event)

        return follow

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: OnOutput | None = None,
        on_error: OnOutput | None = None,
    ) -> automation.CommandResult:
        """Runs the CLI to its end.

        Raises:
            CommandError: It fails.
            Interrupted: It has ended, and this process was interrupted meanwhile.
        """
        is_update = "--event-log" in args
        self._run = run = _Run(waits=is_update)
        environment = {**os.environ, **additional_env, "PULUMI_AUTOMATION_API": "true"}
        with (
            _handling(run.interrupt),
            subprocess.Popen(  # noqa: S603 - the CLI, with arguments of our own
                [self.command, "--non-interactive", *args],
                cwd=cwd,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            ) as process,
        ):
            run.started(process)
            out, err = _Reader(process.stdout, on_output), _Reader(process.stderr, on_error)
            code = process.wait()
            result = automation.CommandResult(stdout=out.text(), stderr=err.text(), code=code)
        if run.interruptions:
            raise Interrupted(terminated=run.interruptions > 1 and code != 0)
        if code != 0:
            raise create_command_error(result)
        return result


class _Run:
    """One run of the CLI, and the signals that wait for it."""

    def __init__(self, *, waits: bool) -> None:
        self.interruptions = 0
        self._waits = waits
        self._ended = False
        self._pending: list[signal.Signals] = []
        self._process: subprocess.Popen[str] | None = None
        # A handler may come in at any line of the thread that holds it.
        self._lock = threading.RLock()

    def started(self, process: subprocess.Popen[str]) -> None:
        with self._lock:
            self._process = process
            self._pass_on()

    def follow(self, *, ends: bool) -> None:
        with self._lock:
            self._ended |= ends
            self._waits = self._ended
            self._pass_on()

    def interrupt(self, number: signal.Signals) -> None:
        with self._lock:
            self.interruptions += 1
            self._pending.append(number)
            self._waits &= self.interruptions < _PATIENCE
            self._pass_on()

    def _pass_on(self) -> None:
        if self._process is None or self._waits:
            return
        for number in self._pending:
            self._process.send_signal(number)
        self._pending.clear()


class _Reader:
    """Reads a stream of the CLI in a thread of its own."""

    def __init__(self, stream: Any, on_line: OnOutput | None) -> None:
        self._lines: list[str] = []
        self._thread = threading.Thread(target=self._read, args=(stream, on_line), daemon=True)
        self._thread.start()

    def text(self) -> str:
        """All of it, once the CLI has ended."""
        self._thread.join(_LAST_WORDS)
        return "\n".join(self._lines)

    def _read(self, stream: Any, on_line: OnOutput | None) -> None:
        for line in stream:
            self._lines.append(line.rstrip())
            if on_line is not None:
                on_line(self._lines[-1])


@contextlib.contextmanager
def _handling(handle: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Takes the signals that interrupt a process; they go to its main thread, so that in others nothing is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(number: int, _: object) -> None:
        handle(_SIGNALS[signal.Signals(number)])

    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
