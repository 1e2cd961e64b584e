from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import pytest

from lightly_infra.sandbox import process
from tests.sandbox.liveness import alive, within

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and /proc-free liveness checks are POSIX")

ENVIRONMENT = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}


def _module(directory: Path, text: str) -> dict[str, str]:
    """An environment in which `python -m thing` runs `text`."""
    (directory / "thing.py").write_text(textwrap.dedent(text))
    return {**ENVIRONMENT, "PYTHONPATH": str(directory)}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    directory = tmp_path / "workspace"
    directory.mkdir()
    return directory


@pytest.fixture
def sleeper(tmp_path: Path, workspace: Path) -> Iterator[process.Child]:
    env = _module(tmp_path, "import time; print('here', flush=True); time.sleep(60)")
    child = process.start("the sleeper", "thing", env=env, workspace=workspace)
    yield child
    child.stop()


def _parent(tmp_path: Path, workspace: Path) -> tuple[subprocess.Popen[str], int]:
    """A process that starts a child and then does nothing; and the child's id."""
    env = _module(tmp_path, "import time; time.sleep(60)")
    script = f"""
        import pathlib, sys, time
        from lightly_infra.sandbox import process
        child = process.start("it", "thing", env={env!r}, workspace=pathlib.Path({str(workspace)!r}))
        print(child.pid, flush=True)
        time.sleep(60)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


@posix
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_child_goes_when_its_parent_is_killed_and_takes_its_workspace_along(
    tmp_path: Path, workspace: Path, end: signal.Signals
) -> None:
    parent, child = _parent(tmp_path, workspace)
    try:
        assert alive(child)
        parent.send_signal(end)
        parent.wait(5)
        assert within(5, lambda: not alive(child))
        assert within(1, lambda: not workspace.exists())
    finally:
        parent.kill()
        parent.communicate()


@posix
def test_a_child_is_in_a_session_of_its_own_so_that_ctrl_c_reaches_the_parent_alone(sleeper: process.Child) -> None:
    assert os.getsid(sleeper.pid) == sleeper.pid
    assert os.getsid(sleeper.pid) != os.getsid(0)


def test_stopping_ends_the_child_and_may_be_repeated(sleeper: process.Child, workspace: Path) -> None:
    sleeper.stop()
    sleeper.stop()
    assert not sleeper.running
    assert workspace.exists()


@posix
def test_a_child_that_does_not_listen_is_ended(
    tmp_path: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_GRACE", 0.1)
    env = _module(
        tmp_path,
        """
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("deaf", flush=True)
        time.sleep(60)
        """,
    )
    child = process.start("the deaf one", "thing", env=env, workspace=workspace)
    assert within(5, lambda: child.tail() == "deaf")
    child.stop()
    assert not child.running


def test_a_child_that_dies_while_starting_fails_at_once_with_its_last_words(tmp_path: Path, workspace: Path) -> None:
    env = _module(tmp_path, "raise SystemExit('no such luck')")
    child = process.start("the unlucky one", "thing", env=env, workspace=workspace)
    begun = time.monotonic()
    with pytest.raises(process.ChildError, match=r"the unlucky one ended while it was starting(?s:.*)no such luck"):
        process.wait_until_healthy(lambda: False, child, seconds=60)
    assert time.monotonic() - begun < 10
    child.stop()


def test_a_child_that_never_becomes_healthy_fails_after_the_deadline(sleeper: process.Child) -> None:
    assert within(5, lambda: sleeper.tail() == "here")
    with pytest.raises(process.ChildError, match=r"did not become ready within 0.05 s(?s:.*)here"):
        process.wait_until_healthy(lambda: False, sleeper, seconds=0.05)


def test_a_probe_that_cannot_connect_yet_is_asked_again(sleeper: process.Child) -> None:
    asked = 0

    def probe() -> bool:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise ConnectionRefusedError
        return asked == 3

    process.wait_until_healthy(probe, sleeper, seconds=5)
    assert asked == 3


def test_a_child_sees_the_environment_it_was_given_its_arguments_and_no_input(tmp_path: Path, workspace: Path) -> None:
    env = _module(
        tmp_path,
        """
        import os, sys
        print(sorted(set(os.environ) - {"LC_CTYPE"}), sys.argv[1:], repr(sys.stdin.read()))
        """,
    )
    child = process.start("the child", "thing", "a", "b c", env=env, workspace=workspace)
    assert within(10, lambda: not child.running)
    assert child.tail() == f"{sorted(env)} ['a', 'b c'] ''"
    child.stop()


def test_modules_beside_the_runner_shadow_nothing(tmp_path: Path, workspace: Path) -> None:
    # sandbox/random.py must not be what a child gets for `import random`.
    env = _module(tmp_path, "import random; print(random.random() < 1)")
    child = process.start("the child", "thing", env=env, workspace=workspace)
    assert within(10, lambda: not child.running)
    assert child.tail() == "True"
    child.stop()


def test_a_free_port_can_be_listened_on() -> None:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", process.free_port()))
