"""A project of the Pulumi CLI on disk: what a user's own stack is, but for its clouds, which are the sandbox's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from platformdirs import user_cache_path

from lightly_infra.sandbox.engine.plugin import write_plugins
from lightly_infra.sandbox.environment import PROVIDERS

if TYPE_CHECKING:
    import signal
    import threading
    from collections.abc import Mapping

    from lightly_infra.sandbox.environment import Sandbox

REGION = "eu-central-1"
PASSPHRASE = "canary-passphrase-3b1d"
COMMENT = "# what the team has agreed upon"


class Project:
    """A project with one stack, and the commands that a user runs in it."""

    def __init__(self, directory: Path, sandbox: Sandbox, datasets: Mapping[str, Any], stack: str = "dev") -> None:
        self.directory, self.sandbox, self.stack = directory / "project", sandbox, stack
        for name in ("project", "home", "state", "bin"):
            (directory / name).mkdir()
        write_plugins(directory / "bin", PROVIDERS)
        (self.directory / "Pulumi.yaml").write_text("name: acme\nruntime: python\n", encoding="utf-8")
        (self.directory / "__main__.py").write_text(
            "from lightly_infra.stack import main\n\nmain()\n", encoding="utf-8"
        )
        self._environment = {
            "PATH": os.pathsep.join((str(directory / "bin"), os.path.dirname(sys.executable), os.environ["PATH"])),  # noqa: PTH120
            "HOME": str(directory / "home"),
            "PULUMI_HOME": str(directory / "home"),
            "PULUMI_BACKEND_URL": (directory / "state").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "XDG_CACHE_HOME": str(user_cache_path()),
            "COLUMNS": "200",
            **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
        }
        self.extra: dict[str, str] = {}
        """What commands see besides."""
        self.pulumi("stack", "init", stack)
        self.write({"aws:region": REGION, "lightly-infra:datasets": dict(datasets)})

    @property
    def file(self) -> Path:
        """The stack's file."""
        return self.directory / f"Pulumi.{self.stack}.yaml"

    def write(self, config: Mapping[str, Any]) -> None:
        """Writes the stack's config, with a comment of the user's in it; how secrets are encrypted stays."""
        kept = yaml.safe_load(self.file.read_text(encoding="utf-8"))
        text = yaml.safe_dump({**kept, "config": dict(config)}, sort_keys=False)
        self.file.write_text(text.replace("config:\n", f"config:\n  {COMMENT}\n"), encoding="utf-8")

    def attempt(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Runs the Pulumi CLI, which may fail."""
        return self._run(["pulumi", *args, "--non-interactive"])

    def pulumi(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Runs the Pulumi CLI."""
        done = self.attempt(*args)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def up(self) -> None:
        """What a user does first."""
        self.pulumi("up", "--yes", "--skip-preview", "--stack", self.stack)

    def lightly_infra(self, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs our command line in the project."""
        command = os.path.join(os.path.dirname(sys.executable), "lightly-infra")  # noqa: PTH118, PTH120
        return self._run([command, *args], **environment)

    def interrupted(
        self, *args: str, when: threading.Event, number: signal.Signals, group: bool
    ) -> subprocess.CompletedProcess[str]:
        """Runs our command line, which gets a signal once that has come: as from a terminal, to all of its group."""
        command = [os.path.join(os.path.dirname(sys.executable), "lightly-infra"), *args]  # noqa: PTH118, PTH120
        with subprocess.Popen(
            command,
            cwd=self.directory,
            env={**self._environment, **self.sandbox.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        ) as process:
            came = when.wait(120)
            (os.killpg if group else os.kill)(process.pid, number)
            out, err = process.communicate(timeout=120)
        assert came, out + err
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    @property
    def locks(self) -> Path:
        """Where the stack's locks are."""
        return self.directory.parent / "state" / ".pulumi" / "locks" / "organization" / "acme" / self.stack

    @property
    def home(self) -> str:
        """The CLI's."""
        return self._environment["PULUMI_HOME"]

    def processes(self) -> set[int]:
        """What the CLI, or we, have started for this project and that still runs. Looks at /proc."""
        found, home = set(), f"PULUMI_HOME={self.home}".encode()
        for environ in Path("/proc").glob("[0-9]*/environ"):
            try:
                if home in environ.read_bytes().split(b"\0"):
                    found.add(int(environ.parent.name))
            except OSError:
                continue  # it ended meanwhile, or is another user's
        return found

    def _run(self, command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.directory,
            env={**self._environment, **self.sandbox.environment, **self.extra, **environment},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=180,
            check=False,
        )


def document(done: subprocess.CompletedProcess[str]) -> Any:
    """What a command has printed with `--json`."""
    return json.loads(done.stdout)
