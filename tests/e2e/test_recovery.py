"""The recovery page: what it quotes is what the Pulumi CLI says, and what it says to do then helps."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "recovery.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.skipif(shutil.which("pulumi") is None, reason="the Pulumi CLI is not on PATH")


class Project:
    """A project with a stack `dev`, whose state is in files."""

    def __init__(self, folder: Path) -> None:
        self.backend = folder / "backend"
        self.backend.mkdir()
        self._folder = folder
        self._environment = os.environ | {
            "PULUMI_BACKEND_URL": f"file://{self.backend}",
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        (folder / "Pulumi.yaml").write_text("name: acme\nruntime: python\n", encoding="utf-8")
        self.pulumi("stack", "init", "dev")

    def pulumi(self, *args: str) -> str:
        """All that the CLI says."""
        command = ["pulumi", *args, "--non-interactive", "--color", "never"]
        run = subprocess.run(
            command, cwd=self._folder, env=self._environment, capture_output=True, text=True, check=False, timeout=60
        )
        return run.stdout + run.stderr


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_the_lock_of_a_killed_run_goes_with_cancel(project: Project) -> None:
    locks = project.backend / ".pulumi" / "locks" / "organization" / "acme" / "dev"
    locks.mkdir(parents=True, exist_ok=True)
    killed = {"pid": 1, "username": "ci", "hostname": "runner", "timestamp": datetime.now(UTC).isoformat()}
    (locks / "603d6e13-e984-4b73-b767-28e72d962d62.json").write_text(json.dumps(killed), encoding="utf-8")
    quoted = "error: the stack is currently locked by 1 lock(s)."
    assert quoted in PAGE

    assert quoted in project.pulumi("refresh", "--stack", "dev", "--yes")
    assert "has been canceled!" in project.pulumi("cancel", "--stack", "dev", "--yes")
    assert quoted not in project.pulumi("refresh", "--stack", "dev", "--yes")


def test_an_empty_file_beside_the_state_is_moved_away(project: Project) -> None:
    (state,) = (project.backend / ".pulumi" / "stacks").rglob("dev.json")
    beside = state.with_name("dev.json.attrs")
    beside.write_bytes(b"")
    quoted = "error: failed to load checkpoint: EOF"
    assert quoted in PAGE

    assert quoted in project.pulumi("stack", "--stack", "dev")
    beside.unlink()
    assert "Current stack is dev" in project.pulumi("stack", "--stack", "dev")


def test_the_options_that_the_page_names_exist(project: Project) -> None:
    assert "--clear-pending-creates" in PAGE
    assert "--clear-pending-creates" in project.pulumi("refresh", "--help")
    assert "--show-urns" in project.pulumi("stack", "--help")
    assert "--force" in project.pulumi("state", "delete", "--help")
