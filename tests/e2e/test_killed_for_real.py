"""A run of the real CLI that was killed: `pulumi cancel` and the same again, or the command that the message names.

Every call of every operation on every cloud is what CI tries (`THOROUGH=1 make test`); otherwise one of each.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from lightly_infra.sandbox.environment import Sandbox
from tests.e2e import killing
from tests.e2e.clouds import CLOUDS
from tests.e2e.real import Project, document

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from subprocess import CompletedProcess

pytestmark = pytest.mark.skipif(
    shutil.which("pulumi") is None, reason="the Pulumi CLI is not on PATH: what is about stacks of its own is left out"
)

OPERATIONS: Final = ("up", "prefix", "rotate", "revoke", "destroy")
# Without THOROUGH: the call at which each is killed, where something was made, changed or deleted that is not noted.
USUAL: Final = {"up": 4, "prefix": 2, "rotate": 3, "revoke": 5, "destroy": 2}
ALL: Final = [(cloud, operation) for cloud in CLOUDS for operation in OPERATIONS]
SOME: Final = [("s3", "up"), ("gcs", "up"), ("azure", "prefix"), ("s3", "revoke"), ("gcs", "destroy")]
KEYS: Final[dict[str, dict[str, Any]]] = {
    "s3": {"access": {"kind": "keys", "rotate_every_days": 30}},
    "gcs": {"access": {"rotate_every_days": 30}},
    "azure": {"rotate_every_days": 30, "container": "raw", "container_wide": True},
    "obs": {},
}


class Stack:
    """A stack whose runs are killed."""

    def __init__(self, folder: Path, sandbox: Sandbox, cloud: str) -> None:
        made = dict(CLOUDS[cloud].made)  # type: ignore[index] # one of its keys
        self.sandbox = sandbox
        self.wanted: dict[str, Any] = {
            "type": "Images",
            "on_destroy": "delete",
            "verify_deadline": 30,
            "input": {cloud: {**deepcopy(made), "prefix": "raw/", **KEYS[cloud]}},
            "lightly": {cloud: deepcopy(made)},
        }
        self._source = self.wanted["input"][cloud]
        self.project = Project(folder, sandbox, {})
        killing.prepare(self.project)
        self.write()
        self.obeyed: list[str] = []

    def write(self, **fields: Any) -> None:
        """The stack's file, in which `rotate` has raised a number."""
        config = yaml.safe_load(self.project.file.read_text(encoding="utf-8"))["config"]
        self.project.write({**config, "lightly-infra:datasets": {"scenes": {**self.wanted, **fields}}})

    def run(self, operation: str, at: int) -> CompletedProcess[str]:
        """What is killed."""
        if operation in {"rotate", "revoke"}:
            more = ["--revoke-previous"] if operation == "revoke" else []
            return self.project.lightly_infra("rotate", "--stack", "dev", "--yes", *more)
        if operation == "prefix":
            self._source["prefix"] = f"raw-{at}/"
            self.write()
        command = "destroy" if operation == "destroy" else "up"
        return self.project.attempt(command, "--yes", "--skip-preview", "--stack", "dev")

    def until_done(self, command: str) -> None:
        """Runs it again, obeying what the messages of failures say."""
        for _ in range(4):
            done = self.project.attempt(command, "--yes", "--skip-preview", "--stack", "dev")
            if done.returncode == 0:
                return
            self._obey(done.stdout + done.stderr)
        pytest.fail(done.stdout + done.stderr)

    def is_well(self, cloud: str) -> None:
        """Whether all is as declared, and what the killed runs left is listed, where `check` can."""
        done = self.project.lightly_infra("check", "--stack", "dev", "--json")
        found = document(done)["findings"]
        (drift,) = (it for it in found if it["subject"] == "drift")
        assert drift["state"] == "healthy", drift
        left = [it for it in found if it["subject"] == "left behind"]
        assert left
        assert ("unknown" in {it["state"] for it in left}) == (cloud == "azure"), left

    def _obey(self, said: str) -> None:
        said = " ".join(said.split())
        if found := re.search(r"left it, set `take_over: ([0-9a-f]{24})`", said):
            self.write(take_over=found[1])
        elif found := re.search(r"`pulumi (import [^`]*)`", said):
            self.project.pulumi(*shlex.split(found[1]), "--yes", "--skip-preview", "--stack", "dev")
        elif found := re.search(r"gcloud iam roles delete (\S+) --project=([^\s`]+)`", said):
            self.sandbox.gcp._api.call("DELETE", f"/v1/projects/{found[2]}/roles/{found[1]}")
        else:
            pytest.fail(f"no command is named in: {said}")
        self.obeyed.append(found[0])


def keys(sandbox: Sandbox) -> set[str]:
    """The ids of all access keys on AWS."""
    if "s3" not in sandbox._started:
        return set()
    iam = sandbox.aws.client("iam")
    users = [it["UserName"] for it in iam.list_users()["Users"]]
    return {key["AccessKeyId"] for it in users for key in iam.list_access_keys(UserName=it)["AccessKeyMetadata"]}


@pytest.fixture
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    cloud = request.node.callspec.params["cloud"]
    with Sandbox(engine="embedded", clouds=[cloud]) as running:
        running.cloud(cloud)
        yield running


@pytest.mark.parametrize(("cloud", "operation"), ALL if os.environ.get("THOROUGH") else SOME)
def test_killed_the_next_run_converges(tmp_path: Path, sandbox: Sandbox, cloud: str, operation: str) -> None:
    if cloud == "obs" and operation in {"rotate", "revoke"}:
        pytest.skip("keys of OBS are brought: nothing is renewed")
    stack = Stack(tmp_path, sandbox, cloud)
    every = bool(os.environ.get("THOROUGH"))
    at, came = 1 if every else USUAL[operation], True
    while came:
        if operation != "up":
            stack.until_done("up")
        before = keys(sandbox)
        with killing.killed_at(stack.project, at) as left:
            done = stack.run(operation, at)
        came = left.read_text(encoding="utf-8") in {"0", "-1"} and done.returncode != 0
        assert came or done.returncode == 0, done.stdout + done.stderr
        if came:
            stack.project.attempt("cancel", "--yes", "--stack", "dev")
        if operation == "revoke" and came:
            again = stack.run(operation, at)
            assert again.returncode == 0, again.stdout + again.stderr
        if operation != "destroy":
            stack.until_done("up")
            (dataset,) = sandbox.lightly.datasets.values()
            assert set(dataset.datasources) == {"INPUT", "LIGHTLY"}
            if operation == "revoke":
                assert not before & keys(sandbox), "what Lightly held has ended"
            stack.write()  # `take_over` has done its work
            stack.is_well(cloud)
        if operation in {"up", "destroy"} or not came or not every:
            stack.until_done("destroy")
            assert not sandbox.lightly.datasets
        print(f"{cloud} {operation} {at} killed={came} obeyed={stack.obeyed}", flush=True)  # noqa: T201
        if not every:
            assert came
            break
        at += 1
