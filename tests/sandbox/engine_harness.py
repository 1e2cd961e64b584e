"""Runs the same programs on both engines of the sandbox, over the fake cloud."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra.sandbox.engine.embedded import EmbeddedEngine
from lightly_infra.sandbox.engine.interface import Engine, Program, Result
from lightly_infra.sandbox.engine.pulumi_cli import PulumiEngine
from tests.sandbox.engine_fixtures import Cloud

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lightly_infra.updates.changes import Change

PROVIDERS = {
    "fake": "tests.sandbox.engine_fixtures:FakeProvider",
    "fake-native": "tests.sandbox.engine_fixtures:NativeProvider",
    "random": "lightly_infra.sandbox.random:RandomProvider",
}
ENGINES = ("embedded", "pulumi")


class Bench:
    """An engine at work on the fake cloud."""

    def __init__(self, engine: Engine, cloud: Cloud, env: dict[str, str]) -> None:
        self.engine = engine
        self.cloud = cloud
        self.env = env
        self.config = {"fake:region": "mars"}
        self.secret_keys: frozenset[str] = frozenset()
        self.seen: list[Change] = []
        self.logged: list[tuple[str, str]] = []

    def program(self, run: Callable[[], object]) -> Program:
        def body() -> None:
            run()

        return Program(body, "test", "dev", self.config, self.secret_keys)

    def preview(self, run: Callable[[], object]) -> Result:
        return self._started(self.engine.preview(self.program(run), self.seen.append))

    def up(self, run: Callable[[], object]) -> Result:
        return self._started(self.engine.up(self.program(run), self.seen.append))

    def refresh(self) -> Result:
        return self._started(self.engine.refresh(self.program(lambda: None), self.seen.append))

    def drift(self, run: Callable[[], object]) -> Result:
        return self.engine.drift(self.program(run))

    def destroy(self) -> Result:
        return self._started(self.engine.destroy(self.program(lambda: None), self.seen.append))

    def resources(self) -> dict[str, dict[str, Any]]:
        """What the state holds, by name, without stack and providers."""
        exported = self.engine.export()["deployment"].get("resources") or []
        return {
            resource["urn"].rpartition("::")[2]: resource
            for resource in exported
            if not resource["type"].startswith("pulumi:")
        }

    def done(self, word: str) -> list[str]:
        """The diary's lines with that word, such as "end create"."""
        return [line for line in self.cloud.diary if word in line]

    def _started(self, result: Result) -> Result:
        assert list(result.changes) == self.seen, "every change is announced as it happens"
        self.seen.clear()
        return result


@contextmanager
def bench(name: str, directory: Path) -> Iterator[Bench]:
    cloud = Cloud(directory)
    logged: list[tuple[str, str]] = []

    def on_log(severity: str, message: str) -> None:
        logged.append((severity, message))

    env = {"FAKE_CLOUD": str(directory)}
    engine: Engine = EmbeddedEngine(PROVIDERS, env, on_log=on_log)
    if name == "pulumi":
        engine = PulumiEngine(PROVIDERS, env, on_log=on_log)
    try:
        made = Bench(engine, cloud, env)
        made.logged = logged
        yield made
    finally:
        engine.close()


def on_both_engines() -> pytest.MarkDecorator:
    """Parametrises a test over the engines; the real one needs the Pulumi CLI."""
    needs_cli = pytest.mark.skipif(
        shutil.which("pulumi") is None, reason="the Pulumi CLI is not on PATH: left out on the pulumi engine"
    )
    return pytest.mark.parametrize("engine_name", ["embedded", pytest.param("pulumi", marks=needs_cli)], ids=ENGINES)


def by_name(result: Result) -> dict[str, str]:
    """The operations of a run by the resource's name."""
    return {change.name: change.operation.value for change in result.changes}
