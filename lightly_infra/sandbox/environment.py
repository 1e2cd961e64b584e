"""The sandbox: emulated clouds, an emulated Lightly and an engine, together on this machine."""

from __future__ import annotations

import dataclasses
import logging
import secrets
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib import import_module
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Literal, Self, cast

from lightly_infra import epochs, paths, retention
from lightly_infra.clouds.aws import policy
from lightly_infra.clouds.aws.connection import Settings as Acting
from lightly_infra.lightly.models import DatasetType
from lightly_infra.sandbox import project, report
from lightly_infra.sandbox.cloud import CannotSeed, CannotStart, EmulatedCloud, Source
from lightly_infra.sandbox.deployed import Deployed
from lightly_infra.sandbox.engine.environment import environment
from lightly_infra.sandbox.lightly import LightlyServer
from lightly_infra.stack import inputs

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from lightly_infra.health import Finding
    from lightly_infra.sandbox.aws.cloud import AwsCloud
    from lightly_infra.sandbox.azure.cloud import AzureCloud
    from lightly_infra.sandbox.engine.interface import Engine, Program, Result
    from lightly_infra.sandbox.gcp.cloud import GcpCloud
    from lightly_infra.sandbox.obs.cloud import ObsCloud
    from lightly_infra.sandbox.probe import Attempt
    from lightly_infra.stack import Settings
    from lightly_infra.updates.changes import OnChange, OnLog

EngineName = Literal["auto", "embedded", "pulumi"]
CloudName = Literal["s3", "azure", "gcs", "obs"]

CLOUDS: Final[Mapping[CloudName, str]] = {
    "s3": "lightly_infra.sandbox.aws.cloud:AwsCloud",
    "azure": "lightly_infra.sandbox.azure.cloud:AzureCloud",
    "gcs": "lightly_infra.sandbox.gcp.cloud:GcpCloud",
    "obs": "lightly_infra.sandbox.obs.cloud:ObsCloud",
}
"""The emulated clouds, as `module:class` by their key in the YAML. Only those that a program uses are loaded."""

PROVIDERS: Final = {
    "aws": "lightly_infra.sandbox.aws.provider:AwsProvider",
    "azure-native": "lightly_infra.sandbox.azure.provider:AzureNativeProvider",
    "gcp": "lightly_infra.sandbox.gcp.provider:GcpProvider",
    "random": "lightly_infra.sandbox.random:RandomProvider",
}
"""The emulated providers, as `module:factory` by the package they stand in for; OBS needs none."""

_TYPES: Final[Mapping[str, CloudName]] = {
    "S3": "s3",
    "S3DelegatedAccess": "s3",
    "AZURE": "azure",
    "GCS": "gcs",
    "OBS": "obs",
}
"""Which cloud serves a type of datasource, as the API calls it."""

_SCHEMES: Final[Mapping[str, CloudName]] = {"s3": "s3", "azure": "azure", "gs": "gcs", "obs": "obs"}


_LOGGER: Final = logging.getLogger(__name__)


class Sandbox:
    """One stack's world, gone when it is closed. A context manager; `start` and `stop` do the same by hand.

    Clouds start when they are first used, and are empty but for what `up` and `preview` prepare: what the stack takes
    as given.

    Attributes:
        lightly: The emulated Lightly API.
        token: What the emulated Lightly accepts; empty to run programs without a token.
    """

    def __init__(
        self,
        *,
        engine: EngineName = "auto",
        region: str = "eu-central-1",
        token: str | None = None,
        lightly_account_id: str = policy.LIGHTLY_ACCOUNT_ID,
        clouds: Collection[CloudName] = tuple(CLOUDS),
        on_log: OnLog | None = None,
    ) -> None:
        """Starts nothing yet.

        Args:
            engine: `pulumi` is the real CLI, `embedded` needs none, `auto` takes the CLI where it is on PATH.
            region: AWS_REGION of programs and providers.
            token: Default: a random one.
            lightly_account_id: The AWS account that the emulated Lightly comes from.
            clouds: What a program may use whose config does not tell. One that cannot be had is left out.
            on_log: Takes what programs log, by severity. Default: Python's logging.

        Raises:
            EngineMissing: `engine` is `pulumi`, and there is no Pulumi CLI on PATH.
        """
        self._engine_name = choose_engine(engine)
        self._region = region
        self._lightly_account_id = lightly_account_id
        self._clouds = tuple(clouds)
        self._on_log = on_log
        self._engine: Engine | None = None
        self._running = ExitStack()
        self._started: dict[CloudName, EmulatedCloud] = {}
        self._starting = Lock()
        self._locks: dict[CloudName, Lock] = {}
        self._environment: dict[str, str] = {}
        self._expiring: tuple[Finding, ...] = ()
        self.token = secrets.token_hex(20) if token is None else token
        self.lightly: LightlyServer

    def start(self) -> Self:
        """Starts Lightly and the engine; what was started is stopped again when one of them fails."""
        with ExitStack() as started:
            started.callback(self._stop_clouds)
            probers = {kind: self._prober(cloud) for kind, cloud in _TYPES.items()}
            # An empty token is never accepted: a server needs one even when programs have none.
            self.lightly = started.enter_context(LightlyServer(self.token or secrets.token_hex(20), probers=probers))
            self._environment |= {"LIGHTLY_SERVER_LOCATION": self.lightly.url, "LIGHTLY_TOKEN": self.token}
            self._engine = self._make_engine()
            started.callback(self._engine.close)
            self._running = started.pop_all()
        return self

    def stop(self) -> None:
        """Stops everything that was started. May be called again."""
        self._running.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def engine(self) -> Engine:
        """The engine, with the stack's state."""
        if self._engine is None:
            raise RuntimeError("the sandbox is not running: use it in a 'with' block, or call start()")
        return self._engine

    @property
    def environment(self) -> dict[str, str]:
        """The variables that send programs, providers and any other client here; more with each cloud that starts."""
        return dict(self._environment)

    @property
    def aws(self) -> AwsCloud:
        """The emulated AWS account."""
        return cast("AwsCloud", self.cloud("s3"))

    @property
    def azure(self) -> AzureCloud:
        """The emulated Azure subscription."""
        return cast("AzureCloud", self.cloud("azure"))

    @property
    def gcp(self) -> GcpCloud:
        """The emulated Google Cloud."""
        return cast("GcpCloud", self.cloud("gcs"))

    @property
    def obs(self) -> ObsCloud:
        """The emulated OBS."""
        return cast("ObsCloud", self.cloud("obs"))

    def cloud(self, name: CloudName) -> EmulatedCloud:
        """An emulated cloud by its key in the YAML, started if it is not running.

        Raises:
            CannotStart: its emulator is not on this machine, and cannot be had.
        """
        if self._engine is None:
            raise RuntimeError("the sandbox is not running: use it in a 'with' block, or call start()")
        return self._start_cloud(name)

    def put_images(self, path: str) -> None:
        """Plays the user's part for a program of one's own: makes the bucket, with images under the prefix.

        Args:
            path: Such as `s3://acme-raw/street-scenes/` (also without its scheme), `gs://…`, `obs://…` or
                `azure://ACCOUNT/CONTAINER/PREFIX`.

        Raises:
            ValueError: it is no such path.
        """
        scheme, _, rest = path.rpartition("://")
        cloud = _SCHEMES.get(scheme or "s3")
        if cloud is None:
            raise ValueError(f"{path!r}: no cloud has paths like this; use one of {', '.join(_SCHEMES)}")
        parts = rest.split("/", 2 if cloud == "azure" else 1)
        place, prefix = (parts[:-1], parts[-1]) if len(parts) > 1 + (cloud == "azure") else (parts, "")
        self.cloud(cloud).put_images("/".join(place), paths.normalise_prefix(prefix))

    def preview(self, program: Program, on_change: OnChange | None = None) -> Result:
        """What `up` would do; nothing is made but what the program takes as given. Raises as `up` does."""
        self._prepare(program)
        return self.engine.preview(program, on_change)

    def up(self, program: Program, on_change: OnChange | None = None) -> Result:
        """Prepares what the program takes as given, and deploys it.

        Raises:
            CannotSeed: the stack needs what an emulated cloud cannot have.
            CannotStart: it needs a cloud whose emulator cannot be had.
        """
        self._prepare(program)
        result = self.engine.up(program, on_change)
        self._expiring = self._look_at_inputs(program, result)
        return result

    def refresh(self, program: Program, on_change: OnChange | None = None) -> Result:
        """Reads every resource back and records what has drifted."""
        return self.engine.refresh(program, on_change)

    def drift(self, program: Program, on_change: OnChange | None = None) -> Result:
        """What `up` would do to each resource if all were read back before. Notes nothing."""
        return self.engine.drift(program, on_change)

    def destroy(self, program: Program, on_change: OnChange | None = None) -> Result:
        """Deletes what the stack made and may delete."""
        return self.engine.destroy(program, on_change)

    def export(self) -> dict[str, Any]:
        """The stack's state, without secrets in clear."""
        return self.engine.export()

    def report(self, result: Result) -> report.Report:
        """What was made by `up`, and what the emulated Lightly proved of it."""
        return report.make(self.engine.name, self.lightly, result, self._expiring)

    def deployed(self, program: Program, result: Result) -> Deployed:
        """What `up` has deployed, for `lightly-infra check`."""
        return Deployed(
            program.stack, result.outputs, _settings(program), {self.token, *self.lightly.secrets}, self, program
        )

    def _look_at_inputs(self, program: Program, result: Result) -> tuple[Finding, ...]:
        """Where runs have an expected length: ages some inputs, and says which of them a run would skip."""
        settings, now = _settings(program), epochs.now()
        if all(it.input.datasource.expected_run_days is None for it in settings.datasets.values()):
            return ()
        with environment(self._environment):
            for _, bucket, source in inputs.sources(settings, result.outputs):
                kept = retention.shortest(inputs.rules(bucket, source, Acting(), now), source.prefix, now)
                if source.expected_run_days is not None and kept is not None:
                    self.aws.put_aged_images(bucket, source.prefix, kept, now)
            return tuple(inputs.expiring(settings, result.outputs, now=now))

    def _prepare(self, program: Program) -> None:
        """Starts the clouds that the program needs, and has them play the user's part; side by side."""
        settings = project.settings(program)
        for key, dataset in settings.datasets.items():
            for field, given in (("id", dataset.id), ("take_over", dataset.take_over)):
                kind = dataset.type or DatasetType.IMAGES
                if given is not None and self.lightly.put_dataset(given, dataset.name or key, kind):
                    self._say(
                        f"{key}.{field}: the sandbox made up dataset {given} ({kind}, empty); a real `up` needs one "
                        "that exists"
                    )
        sources = _sources(settings)
        wanted = sources or {name: [] for name in self._clouds}

        def prepare(name: CloudName, given: list[Source]) -> None:
            try:
                self._start_cloud(name).prepare(given)
            except CannotStart:
                if name in sources:  # otherwise nobody has said that it is needed
                    raise

        with ThreadPoolExecutor(len(CLOUDS)) as pool:
            for each in [pool.submit(prepare, name, given) for name, given in wanted.items()]:
                each.result()

    def _say(self, message: str) -> None:
        if self._on_log is not None:
            self._on_log("info", message)
        else:
            _LOGGER.info(message)

    def _start_cloud(self, name: CloudName) -> EmulatedCloud:
        with self._starting:  # clouds start side by side, each of them once
            cloud = self._started.get(name) or self._make_cloud(name)
            self._started[name] = cloud
            lock = self._locks.setdefault(name, Lock())
        with lock:
            cloud.start()
            self._environment.update(cloud.environment())
        return cloud

    def _make_cloud(self, name: CloudName) -> EmulatedCloud:
        module, _, factory = CLOUDS[name].partition(":")
        # AWS alone has settings that are the sandbox's.
        settings = {"region": self._region, "lightly_account_id": self._lightly_account_id} if name == "s3" else {}
        cloud: EmulatedCloud = getattr(import_module(module), factory)(**settings)
        return cloud

    def _stop_clouds(self) -> None:
        with ExitStack() as stopping:
            for cloud in self._started.values():
                stopping.callback(cloud.stop)
        self._started.clear()

    def _prober(self, name: CloudName) -> Any:
        def probe(datasource: Mapping[str, str], others: Collection[Mapping[str, str]]) -> list[Attempt]:
            return self._start_cloud(name).probe(datasource, others)

        return probe

    def _make_engine(self) -> Engine:
        if self._engine_name == "pulumi":
            from lightly_infra.sandbox.engine.pulumi_cli import PulumiEngine

            return PulumiEngine(PROVIDERS, self._environment, on_log=self._on_log)
        from lightly_infra.sandbox.engine.embedded import EmbeddedEngine

        return EmbeddedEngine(PROVIDERS, self._environment, on_log=self._on_log)


def _settings(program: Program) -> Settings:
    """The stack's, but for who acts on clouds: here that is the emulated ones' administrator."""
    return dataclasses.replace(project.settings(program), config={})


def _sources(settings: Settings) -> dict[CloudName, list[Source]]:
    """What a stack's config declares, by cloud."""
    sources: dict[CloudName, list[Source]] = {}
    for key, dataset in settings.datasets.items():
        for purpose, cloud in dataset.datasources.items():
            source = Source(f"{key}.{purpose.lower()}.{cloud.cloud}", purpose, cloud.datasource, dataset.type)
            sources.setdefault(cast("CloudName", cloud.cloud), []).append(source)
    return sources


class EngineMissing(RuntimeError):
    """The engine that was asked for is not on this machine."""


def choose_engine(wanted: EngineName) -> Literal["embedded", "pulumi"]:
    """The engine to use: what was asked for, or for `auto` the real one where there is one.

    Raises:
        EngineMissing: `pulumi` was asked for and is not on PATH.
    """
    found = shutil.which("pulumi") is not None
    if wanted == "pulumi" and not found:
        raise EngineMissing("--engine pulumi needs the Pulumi CLI on PATH: install it, or use --engine embedded")
    if wanted == "auto":
        return "pulumi" if found else "embedded"
    return wanted


__all__ = ["CLOUDS", "PROVIDERS", "CannotSeed", "CannotStart", "EngineMissing", "Sandbox", "choose_engine"]
