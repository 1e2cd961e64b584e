"""What was made for a deployed stack and its state does not know, on each cloud that the stack uses."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pulumi.runtime.sync_await import _sync_await

from lightly_infra import health, ownership
from lightly_infra.leftovers import CannotListError, Marked
from lightly_infra.spec.gcs import GcsSpec
from lightly_infra.spec.obs import ObsSpec
from lightly_infra.spec.s3 import S3Spec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lightly_infra.leftovers import Known, Leftover
    from lightly_infra.spec.fields import DatasourceSpec
    from lightly_infra.stack.builder import Builders
    from lightly_infra.stack.settings import Settings

# Where it cannot be listed. `{stack}` is what the marks say of the stack.
_BY_HAND: Final[Mapping[str, str]] = {
    "azure": "az resource list --tag 'lightly-infra:stack={stack}' --output table",
    "gcs": "gcloud iam service-accounts list --project {project} --filter 'description~\"of stack {stack}\\.\"'",
}
_ASKED: Final = "LIGHTLY_INFRA_MARKED"
"""Names the file that the program writes what it has listed to: it alone knows who the stack's providers act as."""

Answer = dict[str, Any]


@contextmanager
def asked() -> Iterator[Path]:
    """Has programs that run within list what this package has made, into a file."""
    with tempfile.TemporaryDirectory(prefix="lightly-infra-") as folder:
        file = Path(folder) / "marked.json"
        os.environ[_ASKED] = str(file)
        try:
            yield file
        finally:
            del os.environ[_ASKED]


def answer(settings: Settings, builders: Builders) -> None:
    """In the program: lists what was asked for, if anything was."""
    if file := os.environ.get(_ASKED):
        clouds = sorted(_BY_HAND.keys() & _clouds(settings).keys())
        Path(file).write_text(json.dumps(_sync_await(_listed(builders, clouds))), encoding="utf-8")


async def _listed(builders: Builders, clouds: Sequence[str]) -> dict[str, Answer]:
    async def one(cloud: str) -> Answer:
        try:
            return {"marked": [asdict(it) for it in await builders.of(cloud).marked() if it.is_ours]}
        except CannotListError as error:
            return {"refused": str(error)}

    return dict(zip(clouds, await asyncio.gather(*map(one, clouds)), strict=True))


def find(settings: Settings, known: Known, told: Path | None = None) -> Iterator[health.Finding]:
    """Of every cloud that the stack uses.

    Args:
        settings: The stack's.
        known: What its state knows.
        told: What the stack's program has listed.
    """
    answers: dict[str, Answer] = json.loads(told.read_bytes()) if told and told.is_file() else {}
    for cloud, sources in _clouds(settings).items():
        try:
            found = [it for source in sources for it in _of(cloud, source, settings, known, answers.get(cloud, {}))]
            yield from health.leftovers(cloud, found)
        except CannotListError as error:
            yield health.not_listed(cloud, str(error))


def _clouds(settings: Settings) -> dict[str, list[DatasourceSpec]]:
    """Of every cloud that the stack uses, a datasource for each place where things of it may be."""
    clouds: dict[str, dict[Any, DatasourceSpec]] = {}
    for dataset in settings.datasets.values():
        for cloud in dataset.datasources.values():
            clouds.setdefault(cloud.cloud, {}).setdefault(_asked_at(cloud.datasource), cloud.datasource)
    return {cloud: list(sources.values()) for cloud, sources in clouds.items()}


def _asked_at(source: DatasourceSpec) -> object:
    """What has to be asked on its own: a server of OBS. Elsewhere one answer is about all regions and projects."""
    return (source.endpoint, source.region) if isinstance(source, ObsSpec) else None


def _of(cloud: str, source: DatasourceSpec, settings: Settings, known: Known, answer: Answer) -> Iterator[Leftover]:
    if not known.stacks:
        raise CannotListError("nothing in the state carries marks yet: run `pulumi up`, which adds them")
    if isinstance(source, S3Spec):
        from lightly_infra.clouds.aws import leftovers

        return leftovers.find(settings.config, source.region, known)
    if isinstance(source, ObsSpec):
        from lightly_infra.clouds.obs import connection
        from lightly_infra.clouds.obs import leftovers as of_obs

        if source.region is None:
            raise CannotListError("region is missing: name the bucket's, or set obs:region for the stack")
        server = connection.Server(source.endpoint, source.region, source.addressing)
        acting = connection.Settings.read(os.environ, settings.config.get)
        return iter(of_obs.find(server, acting, known))
    if "marked" in answer:
        return known.leftovers(Marked(**it) for it in answer["marked"])
    why = answer.get("refused", "the stack's program has not listed it")
    raise CannotListError(f"{why}; {' and '.join(_by_hand(cloud, settings, known))} shows what there is")


def _by_hand(cloud: str, settings: Settings, known: Known) -> Iterator[str]:
    """The commands that list it, one for each project."""
    # A stack's name in full has slashes, which its label cannot have.
    tag = next((it for it in known.stacks if "/" in it), None)
    label = next((it for it in known.stacks if "/" not in it), None) or ownership.label(tag or "")
    stack = label if cloud == "gcs" else tag or label
    sources = [it.datasource for dataset in settings.datasets.values() for it in dataset.datasources.values()]
    for project in sorted({it.project for it in sources if isinstance(it, GcsSpec)}) if cloud == "gcs" else [""]:
        yield f"`{_BY_HAND[cloud].format(stack=stack, project=project)}`"
