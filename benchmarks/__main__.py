"""Speed, as ratios measured side by side in one run: `make bench`. Fails when a limit is passed.

Absolute times are shown for orientation and depend on the machine; the limits on seconds are the issues',
for two cores.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from lightly_infra import stack
from lightly_infra.sandbox.engine.interface import Program
from lightly_infra.sandbox.environment import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 7
MANY = 12


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    what: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the limit, if there is one, is kept."""
        return self.limit is None or self.value <= self.limit


def seconds(action: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def python(code: str) -> Callable[[], object]:
    """Runs code in a fresh interpreter."""
    return lambda: subprocess.run([sys.executable, "-c", code], check=True)


def ratio(one: Callable[[], object], other: Callable[[], object]) -> float:
    """Median time of `one` by that of `other`, taken in turns so that both meet the same machine."""
    times = [(seconds(one), seconds(other)) for _ in range(ROUNDS)]
    return statistics.median(it[0] for it in times) / statistics.median(it[1] for it in times)


def program(count: int) -> Program:
    """The shipped program with so many datasets."""
    datasets = {
        f"dataset-{index}": {
            "type": "Images",
            "input": {"s3": {"bucket": "acme-raw", "prefix": f"{index}/", "access": "delegated"}},
            "lightly": {"s3": {"create": True, "prefix": "lightly/", "access": "delegated"}},
        }
        for index in range(count)
    }
    config = {"aws:region": "eu-central-1", stack.DATASETS_KEY: json.dumps(datasets)}
    return Program(stack.main, "benchmark", "sandbox", config)


def imports() -> list[Figure]:
    """What importing costs."""
    return [
        Figure(
            "import lightly_infra / import pulumi",
            ratio(python("import lightly_infra"), python("import pulumi")),
            "x",
            limit=1.15,
        ),
        *(
            Figure(
                f"import the components of {cloud} / import {sdk}", ratio(python(ours), python(f"import {sdk}")), "x"
            )
            for cloud, ours, sdk in (
                (
                    "AWS",
                    "from lightly_infra.clouds.aws import S3Datasource, Bucket, DelegatedAccess",
                    "pulumi_aws.s3, pulumi_aws.iam, pulumi_aws.kms, pulumi_random",
                ),
                (
                    "Azure",
                    "from lightly_infra.clouds.azure import AzureDatasource, Container",
                    "pulumi_azure_native.resources, pulumi_azure_native.storage",
                ),
                (
                    "Google Cloud",
                    "from lightly_infra.clouds.gcp import GCSDatasource, Bucket, ServiceAccount",
                    "pulumi_gcp.storage, pulumi_gcp.serviceaccount, pulumi_gcp.projects, pulumi_random",
                ),
                ("OBS", "from lightly_infra.clouds.obs import OBSDatasource, Bucket", "pulumi"),
            )
        ),
    ]


def deployments() -> list[Figure]:
    """What deploying into the sandbox costs, and how it grows."""
    sandbox = Sandbox(engine="embedded")
    ready = seconds(sandbox.start)
    try:
        one = seconds(lambda: sandbox.up(program(1)))
        many = seconds(lambda: sandbox.up(program(1 + MANY)))
        same = seconds(lambda: sandbox.up(program(1 + MANY)))
    finally:
        sandbox.stop()
    return [
        Figure("sandbox ready", ready, "s", limit=3),
        Figure("first up, one dataset", one, "s"),
        Figure(f"each of {MANY} more datasets / the first", many / MANY / one, "x", limit=1.5),
        Figure("unchanged up / the up that made it", same / many, "x"),
    ]


def demo() -> list[Figure]:
    """What a user waits for."""
    command = [str(Path(sys.executable).with_name("lightly-infra")), "sandbox", "up", "--stack"]
    runs = {
        stack: seconds(lambda: subprocess.run([*command, stack], check=True, stdout=subprocess.DEVNULL))  # noqa: B023
        for stack in ("aws-delegated", "mixed")
    }
    return [
        *(Figure(f"sandbox up --stack {stack}", run, "s") for stack, run in runs.items()),
        Figure("make demo, after set-up", sum(runs.values()), "s", limit=60),
    ]


def main() -> int:
    """Measures, prints and judges."""
    table = Table("Measured", "Value", "Limit")
    figures = [*imports(), *deployments(), *demo()]
    for it in figures:
        limit = "" if it.limit is None else f"{it.limit:g} {it.unit}"
        table.add_row(it.what, f"{it.value:.2f} {it.unit}", limit, style=None if it.holds else "bold red")
    Console().print(table)
    return 0 if all(it.holds for it in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
