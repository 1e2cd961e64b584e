"""The sandbox: an emulated AWS account, an emulated Lightly and an engine, together on this machine."""

from __future__ import annotations

import secrets
import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from lightly_infra import paths
from lightly_infra.clouds.aws import policy
from lightly_infra.sandbox import report, seed
from lightly_infra.sandbox.aws.ministack import Ministack
from lightly_infra.sandbox.lightly import LightlyServer
from lightly_infra.sandbox.probe import AwsEndpoint

if TYPE_CHECKING:
    from lightly_infra.sandbox.engine.interface import Engine, OnChange, OnLog, Program, Result

EngineName = Literal["auto", "embedded", "pulumi"]

PROVIDERS: Final = {
    "aws": "lightly_infra.sandbox.aws.provider:AwsProvider",
    "random": "lightly_infra.sandbox.random:RandomProvider",
}
"""The emulated providers, as `module:factory` by the package they stand in for."""


class Sandbox:
    """One stack's world, gone when it is closed. A context manager; `start` and `stop` do the same by hand.

    Attributes:
        aws: The emulated account, empty but for what `up` prepares: see `seed`.
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
        on_log: OnLog | None = None,
    ) -> None:
        """Starts nothing yet.

        Args:
            engine: `pulumi` is the real CLI, `embedded` needs none, `auto` takes the CLI where it is on PATH.
            region: AWS_REGION of programs and providers.
            token: Default: a random one.
            lightly_account_id: The AWS account that the emulated Lightly comes from.
            on_log: Takes what programs log, by severity. Default: Python's logging.

        Raises:
            EngineMissing: `engine` is `pulumi`, and there is no Pulumi CLI on PATH.
        """
        self._engine_name = choose_engine(engine)
        self._region = region
        self._lightly_account_id = lightly_account_id
        self._on_log = on_log
        self._engine: Engine | None = None
        self._running = ExitStack()
        self.token = secrets.token_hex(20) if token is None else token
        self.aws = Ministack()
        self.lightly: LightlyServer

    def start(self) -> Self:
        """Starts the emulators and the engine; what was started is stopped again when one of them fails."""
        with ExitStack() as started:
            started.enter_context(self.aws)
            endpoint = AwsEndpoint(self.aws.endpoint, self.aws.ca_bundle, self._lightly_account_id)
            # An empty token is never accepted: a server needs one even when programs have none.
            self.lightly = started.enter_context(LightlyServer(self.token or secrets.token_hex(20), aws=endpoint))
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
        """The variables that send programs, providers and any other client here."""
        return {
            **self.aws.environment(self._region),
            "LIGHTLY_SERVER_LOCATION": self.lightly.url,
            "LIGHTLY_TOKEN": self.token,
        }

    def put_images(self, bucket: str, prefix: str) -> None:
        """Plays the user's part for a program of one's own: makes the bucket, with images under the prefix."""
        seed.put_images(self.aws.client("s3", self._region), bucket, self._region, paths.normalise_prefix(prefix))

    def preview(self, program: Program, on_change: OnChange | None = None) -> Result:
        """What `up` would do; nothing is made."""
        return self.engine.preview(program, on_change)

    def up(self, program: Program, on_change: OnChange | None = None) -> Result:
        """Prepares what the program takes as given, and deploys it.

        Raises:
            CannotSeed: the stack needs what an emulated account cannot have.
        """
        seed.prepare(self.aws, self.lightly, program)
        return self.engine.up(program, on_change)

    def refresh(self, program: Program, on_change: OnChange | None = None) -> Result:
        """Reads every resource back and records what has drifted."""
        return self.engine.refresh(program, on_change)

    def destroy(self, program: Program, on_change: OnChange | None = None) -> Result:
        """Deletes what the stack made and may delete."""
        return self.engine.destroy(program, on_change)

    def export(self) -> dict[str, Any]:
        """The stack's state, without secrets in clear."""
        return self.engine.export()

    def report(self, result: Result) -> report.Report:
        """What was made by `up`, and what the emulated Lightly proved of it."""
        return report.make(self.engine.name, self.lightly, result)

    def _make_engine(self) -> Engine:
        if self._engine_name == "pulumi":
            from lightly_infra.sandbox.engine.pulumi_cli import PulumiEngine

            return PulumiEngine(PROVIDERS, self.environment, on_log=self._on_log)
        from lightly_infra.sandbox.engine.embedded import EmbeddedEngine

        return EmbeddedEngine(PROVIDERS, self.environment, on_log=self._on_log)


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
