"""The command line as a process, on a machine that has nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

ROOT = Path(__file__).parents[2]
COMMAND = [str(Path(sys.executable).with_name("lightly-infra"))]

# No token, no cloud account, no Pulumi CLI: what a fresh machine has, once Azurite is installed.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "COLUMNS": "200"}
ENVIRONMENT |= {"XDG_CACHE_HOME": str(user_cache_path())}
ENVIRONMENT |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}


def run(
    *args: str, cwd: Path = ROOT, environment: dict[str, str] | None = None, timeout: float = 90
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *args],
        cwd=cwd,
        env=ENVIRONMENT | (environment or {}),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def document(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)
