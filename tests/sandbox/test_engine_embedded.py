"""What only concerns the embedded engine: what it refuses, what it starts, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pulumi
import pytest
from pulumi import ResourceOptions
from pulumi.runtime import register_resource_transform
from pulumi.runtime.settings import get_monitor, get_root_resource

from lightly_infra.sandbox.engine.embedded import EmbeddedEngine
from lightly_infra.sandbox.engine.interface import Program
from lightly_infra.sandbox.process import Child
from lightly_infra.updates.changes import Failure, Operation
from tests.sandbox.engine_fixtures import Cloud, Note, Thing
from tests.sandbox.engine_harness import PROVIDERS, Bench, bench, by_name
from tests.sandbox.liveness import alive, children_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Bench]:
    with bench("embedded", tmp_path) as made:
        yield made


class Elsewhere(pulumi.CustomResource):
    """A resource of a provider that nobody emulates."""

    def __init__(self) -> None:
        super().__init__("elsewhere:index:Thing", "e", {})


class Remote(pulumi.ComponentResource):
    """A component that a plugin would build."""

    def __init__(self) -> None:
        super().__init__("fake:index:Remote", "r", {}, remote=True)


def hooked() -> None:
    hook = pulumi.ResourceHook("greet", lambda _: None)
    Thing("a", opts=ResourceOptions(hooks=pulumi.ResourceHookBinding(after_create=[hook])))


def a_dynamic_provider_of_its_own() -> None:
    Note("n", opts=ResourceOptions(provider=pulumi.ProviderResource("pulumi-python", "p", {})))


@pytest.mark.parametrize(
    ("program", "named"),
    [
        (lambda: Thing("a", opts=ResourceOptions(import_="id-1")), "importing resources"),
        (lambda: Thing("a", opts=ResourceOptions(replacement_trigger="x")), "replacement triggers"),
        (lambda: Thing("a", opts=ResourceOptions(transforms=[lambda _: None])), "resource transforms"),
        (lambda: register_resource_transform(lambda _: None), "resource transforms of the stack"),
        (hooked, "resource hooks (greet)"),
        (lambda: Thing("a", note=pulumi.RemoteAsset("http://127.0.0.1:1/x")), "assets from URIs (pulumi.RemoteAsset)"),
        (lambda: Thing("a", note={"in": [pulumi.FileArchive(".")]}), "archives (pulumi.AssetArchive"),
        (lambda: pulumi.StackReference("org/other/dev"), "stack references"),
        (Elsewhere, "provider 'elsewhere' (emulated providers: fake, fake-native, random)"),
        (Remote, "remote components"),
        (a_dynamic_provider_of_its_own, "explicit providers for dynamic resources"),
        (lambda: pulumi.runtime.invoke("elsewhere:index:f", {}), "provider 'elsewhere'"),
        (lambda: pulumi.runtime.call("fake:index:m", {}), "methods of remote components (fake:index:m)"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(embedded: Bench, program: Callable[[], object], named: str) -> None:
    for result in (embedded.preview(program), embedded.up(program)):
        assert len(result.failures) == 1
        assert result.failures[0].message.startswith(f"the embedded engine does not support {named}")
        assert "pulumi engine" in result.failures[0].message
    assert embedded.cloud.things == {}


def test_one_engine_after_another_in_one_process_share_nothing(tmp_path: Path) -> None:
    for round_ in range(3):
        directory = tmp_path / str(round_)
        directory.mkdir()
        with bench("embedded", directory) as made:
            made.config = {"fake:region": f"r{round_}"}
            result = made.up(lambda: pulumi.export("region", Thing("a").region))
            assert (result.counts, result.outputs) == ({"create": 1}, {"region": f"r{round_}"})
    assert (get_root_resource(), get_monitor()) == (None, None)
    assert "FAKE_CLOUD" not in os.environ


def test_engines_in_several_threads_take_turns(tmp_path: Path) -> None:
    results: dict[int, dict[str, Any]] = {}

    def work(number: int) -> None:
        directory = tmp_path / str(number)
        directory.mkdir()
        with bench("embedded", directory) as made:
            made.config = {"fake:region": f"r{number}"}
            results[number] = dict(made.up(lambda: pulumi.export("region", Thing("a").region)).outputs)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: {"region": f"r{number}"} for number in range(4)}


def test_what_was_done_before_an_interrupt_is_not_forgotten(embedded: Bench) -> None:
    def interrupted() -> None:
        Thing("a").arn.apply(lambda _: signal.raise_signal(signal.SIGINT))

    with pytest.raises(KeyboardInterrupt):
        embedded.up(interrupted)
    assert list(embedded.resources()) == ["a"]
    embedded.seen.clear()
    assert by_name(embedded.up(lambda: Thing("a"))) == {"a": "same"}


needs_procfs = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")


@needs_procfs
def test_nothing_is_left_running_after_close(tmp_path: Path) -> None:
    before = children_of(os.getpid())
    with bench("embedded", tmp_path) as made:
        made.up(lambda: Note("n"))
        started = children_of(os.getpid()) - before
        assert len(started) == 1
        made.up(lambda: Note("n"))
        assert children_of(os.getpid()) - before == started, "the same process serves all runs"
    assert not children_of(os.getpid()) & started


@needs_procfs
def test_the_dynamic_provider_does_not_outlive_a_killed_engine(tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from tests.sandbox.engine_fixtures import Note\n"
        "from tests.sandbox.engine_harness import bench\n"
        "from tests.sandbox.liveness import alive, children_of\n"
        "with bench('embedded', Path(sys.argv[1])) as made:\n"
        "    made.up(lambda: Note('n'))\n"
        "    print(*children_of(os.getpid()), flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as engine:
        assert engine.stdout is not None
        child = int(engine.stdout.readline())
        engine.kill()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and _is_running(child):
        time.sleep(0.05)
    assert not _is_running(child)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_dynamic_provider_that_dies_is_a_failure_and_the_next_run_starts_it_again(embedded: Bench) -> None:
    failed = embedded.up(lambda: Note("n", kills=True))
    assert len(failed.failures) == 1
    assert failed.failures[0].message.startswith("the dynamic provider's process ended")
    assert embedded.up(lambda: Note("n")).counts == {"create": 1}


def test_a_host_of_dynamic_providers_that_does_not_answer_is_replaced_though_it_has_not_ended_yet(
    embedded: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process closes its connections before it counts as ended, and it may take long to die."""
    before = children_of(os.getpid())
    assert embedded.up(lambda: Note("n")).counts == {"create": 1}
    (host,) = children_of(os.getpid()) - before
    os.kill(host, signal.SIGKILL)
    monkeypatch.setattr(Child, "running", property(lambda child: child.pid == host or alive(child.pid)))
    failed = embedded.up(lambda: Note("n", size=2))
    assert [it.message for it in failed.failures] == ["the dynamic provider's process ended."]
    assert embedded.up(lambda: Note("n", size=2)).counts == {"update": 1}


def test_nothing_secret_shows_when_a_program_is_printed() -> None:
    program = Program(lambda: None, "p", "s", {"p:token": "canary"}, frozenset({"p:token"}))
    assert "canary" not in repr(program)


def test_a_change_that_nobody_listens_to_is_in_the_result_all_the_same(tmp_path: Path) -> None:
    with EmbeddedEngine(PROVIDERS, {"FAKE_CLOUD": str(tmp_path)}) as engine:
        result = engine.up(Program(lambda: (Thing("a"), None)[1], "test", "dev"))
    assert [(change.name, change.operation) for change in result.changes] == [("a", Operation.CREATE)]
    assert result.failures == ()
    assert Failure("u", "m") == Failure("u", "m")
    assert Cloud(tmp_path).named("a")


def test_when_the_program_ended_before_a_provider_failed_its_error_hooks_are_left_out(embedded: Bench) -> None:
    """The real engine then tells that it cannot reach the hook, and not what the provider said."""

    def program() -> None:
        hook = pulumi.ErrorHook("late", lambda _: pulumi.log.error("never told") or False)
        opts = ResourceOptions(hooks=pulumi.ResourceHookBinding(on_error=[hook]))
        Thing("b", meets="m", fails="no room", opts=opts)
        Thing("a").arn.apply(lambda _: 1 / 0)

    late = threading.Timer(1.0, lambda: embedded.cloud.note("meet"))
    late.start()
    failed = embedded.up(program)
    late.join()
    assert {it.message for it in failed.failures} == {"no room", "ZeroDivisionError: division by zero"}


def test_what_programs_log_goes_to_python_when_nobody_else_wants_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def program() -> None:
        pulumi.log.warn("w")
        pulumi.log.info("i")

    caplog.set_level("INFO", "lightly_infra.sandbox.program")
    with EmbeddedEngine(PROVIDERS, {"FAKE_CLOUD": str(tmp_path)}) as engine:
        engine.up(Program(program, "test", "dev"))
    assert [(it.levelname, it.message) for it in caplog.records] == [("WARNING", "w"), ("INFO", "i")]
