"""What a test leaves at work is found, by name."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, cast

import pytest

from tests import leaks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.leaks import Leaks


@pytest.fixture
def found(request: pytest.FixtureRequest) -> Leaks:
    return cast("Leaks", request.config.pluginmanager.getplugin("leaks"))


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "_ENDING", 0.0)


@pytest.fixture
def thread() -> Iterator[threading.Thread]:
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="forgotten")
    thread.start()
    yield thread
    end.set()
    thread.join()


@pytest.mark.usefixtures("thread")
def test_a_thread_is_named(found: Leaks) -> None:
    assert found.left() == ["the thread 'forgotten'"]


def test_a_process_is_named(found: Leaks) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        (name,) = found.left()
        assert name.startswith(f"the process {child.pid}, ['")
        assert str(child.pid) in leaks.descendants()[0]
    assert found.left() == leaks.descendants() == []


def test_a_port_is_named_and_a_connection_is_none(found: Leaks) -> None:
    with socket.socket() as listener, socket.socket() as other:
        listener.bind(("127.0.0.1", 0))
        assert found.left() == []
        listener.listen()
        other.connect(listener.getsockname())
        assert found.left() == [f"the listening socket {listener.getsockname()}"]
    assert found.left() == []


@pytest.mark.usefixtures("thread", "hurried")
def test_what_is_left_fails_the_test(found: Leaks) -> None:
    with pytest.raises(pytest.fail.Exception, match="left at work: the thread 'forgotten'"):
        leaks.fail_unless_gone(found.left)


def test_what_is_about_to_end_is_waited_for(found: Leaks) -> None:
    late = threading.Timer(0.05, lambda: None)
    late.start()
    leaks.fail_unless_gone(found.left)
    assert not late.is_alive()


def test_every_thread_that_is_waved_through_has_a_reason() -> None:
    assert all(len(why.split()) > 5 for why in (*leaks.FOR_EVER.values(), *leaks.SHARED.values()))
