"""The Pulumi CLI when this process is interrupted, by a CLI that tells what reaches it."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from pulumi import automation
from pulumi.automation.events import CancelEvent, EngineEvent, StdoutEngineEvent

from lightly_infra.updates.changes import Interrupted
from lightly_infra.updates.command import Command, _Run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Ends once it got so many signals.
CLI = f"""#!{sys.executable} -S
import os, signal, sys
if "version" in sys.argv:
    print("v3.999.0")
    sys.exit()
got = []
def take(number, _):
    got.append(number)
    print("got", signal.Signals(number).name, flush=True)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, take)
print("alone in its session" if os.getsid(0) == os.getpid() else "not alone", flush=True)
print("ready", flush=True)
signal.alarm(10)  # a test that fails ends all the same
while len(got) < int(os.environ["ENDS_AFTER"]):
    signal.sigtimedwait([], 0.01)
sys.exit(int(os.environ["CODE"]))
"""
ANY = EngineEvent(0, 0, stdout_event=StdoutEngineEvent("", "never"))
LAST = EngineEvent(0, 0, cancel_event=CancelEvent())


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    (tmp_path / "pulumi").write_text(CLI, encoding="utf-8")
    (tmp_path / "pulumi").chmod(0o700)
    monkeypatch.setenv("PATH", os.pathsep.join((str(tmp_path), os.environ["PATH"])))
    return Command()


def interrupt(number: int = signal.SIGINT) -> None:
    """As a terminal or a CI runner does it."""
    os.kill(os.getpid(), number)


class Run:
    """A run of the CLI: what it said, and what is done when it says something."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self.said: list[str] = []
        self.when: dict[str, Callable[[], object]] = {}

    def __call__(self, *args: str, ends_after: int, code: int = 255) -> automation.CommandResult:
        return self.command.run([*args], ".", {"ENDS_AFTER": str(ends_after), "CODE": str(code)}, self._heard)

    def _heard(self, line: str) -> None:
        self.said.append(line)
        self.when.pop(line, lambda: None)()


@pytest.fixture
def run(command: Command) -> Run:
    return Run(command)


def test_what_is_not_interrupted_gives_its_output_or_its_error(run: Run) -> None:
    assert run("stack", ends_after=0, code=0).stdout == "alone in its session\nready"
    with pytest.raises(automation.CommandError, match="code: 255"):
        run("stack", ends_after=0)


@pytest.mark.parametrize(
    ("sent", "got"), [(signal.SIGINT, "SIGINT"), (signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGTERM")]
)
@pytest.mark.parametrize("code", [0, 255])
def test_the_cli_is_interrupted_once_and_waited_for(run: Run, sent: int, got: str, code: int) -> None:
    handlers = [signal.getsignal(it) for it in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    run.when["ready"] = lambda: interrupt(sent)

    with pytest.raises(Interrupted) as caught:
        run("stack", ends_after=1, code=code)

    assert run.said == ["alone in its session", "ready", f"got {got}"]
    assert not caught.value.terminated
    assert [signal.getsignal(it) for it in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == handlers


def test_a_second_interruption_reaches_the_cli_and_is_told(run: Run) -> None:
    run.when |= {"ready": interrupt, "got SIGINT": lambda: interrupt(signal.SIGTERM)}

    with pytest.raises(Interrupted) as caught:
        run("stack", ends_after=2)

    assert caught.value.terminated


class Process:
    """The CLI's process."""

    def __init__(self) -> None:
        self.got: list[signal.Signals] = []
        self.send_signal = self.got.append


def test_an_update_is_interrupted_between_its_first_event_and_its_last(command: Command) -> None:
    heard: list[EngineEvent] = []
    process, follow = Process(), command.following(heard.append)
    command._run = run = _Run(waits=True)
    run.interrupt(signal.SIGINT)
    run.started(process)  # type: ignore[arg-type] # all that it uses

    assert process.got == []
    follow(ANY)
    assert process.got == [signal.SIGINT]
    follow(LAST)
    run.interrupt(signal.SIGINT)
    assert (heard, process.got) == ([ANY, LAST], [signal.SIGINT])


def test_whoever_interrupts_an_update_three_times_waits_for_no_event() -> None:
    process, run = Process(), _Run(waits=True)
    run.started(process)  # type: ignore[arg-type] # all that it uses

    for _ in range(2):
        run.interrupt(signal.SIGINT)
        assert process.got == []
    run.interrupt(signal.SIGINT)
    assert len(process.got) == 3
