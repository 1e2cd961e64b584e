"""The whole program behind `stacks/`: the YAML in, components out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.runtime import config as runtime_config

from lightly_infra import paths, spec
from lightly_infra.dataset import Dataset, DatasetArgs
from lightly_infra.lightly.models import DatasetType
from lightly_infra.permissions import Purpose
from lightly_infra.provider import Dataset as Registration
from lightly_infra.provider import DatasetResourceArgs
from lightly_infra.provider.session import TOKEN_CONFIG_KEY
from lightly_infra.stack.builder import Builders
from lightly_infra.stack.settings import DATASETS_KEY, LIGHTLY_ACCOUNT_KEY, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightly_infra.clouds.interface import CloudDatasource

__all__ = ["DATASETS_KEY", "LIGHTLY_ACCOUNT_KEY", "Settings", "deploy", "main"]


def main() -> None:
    """Runs the stack: every dataset that its config declares.

    Raises:
        pulumi.RunError: the config is wrong or the token missing; nothing has been touched by then.
    """
    try:
        settings = Settings.of_stack()
    except spec.SpecError as error:
        lines = "".join(f"\n  {problem}" for problem in error.problems)
        raise pulumi.RunError(f"the config of stack {pulumi.get_stack()!r} does not hold:{lines}") from None
    # Said here, once, instead of by every resource; a preview needs no token.
    if not pulumi.runtime.is_dry_run() and not _has_token():
        raise pulumi.RunError(
            "no Lightly token: set LIGHTLY_TOKEN in the environment, or run "
            f"`pulumi config set --secret {TOKEN_CONFIG_KEY}`; nothing was changed"
        )
    deploy(settings)


def deploy(settings: Settings) -> None:
    """Declares all datasets and exports what they became."""
    program = _Program(settings)
    built = {key: program.dataset(key, dataset) for key, dataset in settings.datasets.items()}
    pulumi.export("datasets", {key: it.outputs() for key, it in built.items()})
    pulumi.export("credentials", {key: it.credentials() for key, it in built.items()})


def _has_token() -> bool:
    return bool(os.environ.get("LIGHTLY_TOKEN") or runtime_config.get_config(TOKEN_CONFIG_KEY))


@dataclass(frozen=True)
class _Built:
    dataset: Dataset
    registration: Registration
    sources: Mapping[Purpose, CloudDatasource]

    def outputs(self) -> dict[str, Any]:
        bypass = {} if self.dataset.verified else {"worker_config": {"datasource": {"bypass_verify": True}}}
        return {
            "id": self.dataset.dataset_id,
            "name": self.registration.name,
            "type": self.registration.type,
            "url": self.dataset.url,
            "verified": self.dataset.verified,
            **{purpose.lower(): {"path": it.path, **it.identity} for purpose, it in self.sources.items()},
            **bypass,
        }

    def credentials(self) -> dict[str, Any]:
        return {purpose.lower(): dict(it.secrets) for purpose, it in self.sources.items()}


class _Program:
    """Makes datasets; the clouds' builders make what they stand on."""

    def __init__(self, settings: Settings) -> None:
        self._first: list[Registration] = []
        self._builders = Builders(settings)

    def dataset(self, key: str, wanted: spec.DatasetSpec) -> _Built:
        name = paths.slug(key)
        registration = self._register(name, key, wanted)
        # All that costs money waits until Lightly knows the dataset: a refused token stops here.
        opts = pulumi.ResourceOptions(depends_on=[registration])
        sources = {
            purpose: self._builders.of(cloud.cloud).datasource(
                f"lightly-{name}-{purpose.lower()}", purpose, cloud.datasource, wanted, opts
            )
            for purpose, cloud in wanted.datasources.items()
        }
        args: DatasetArgs = {
            "registration": registration,
            "input": sources[Purpose.INPUT],
            "lightly": sources[Purpose.LIGHTLY],
        }
        if wanted.verify_deadline is not None:
            args["verify_deadline"] = wanted.verify_deadline
        return _Built(Dataset(name, args), registration, sources)

    def _register(self, name: str, key: str, wanted: spec.DatasetSpec) -> Registration:
        args: DatasetResourceArgs = {"adopt": wanted.adopt, "on_destroy": wanted.on_destroy}
        if wanted.id is not None:
            args["dataset_id"] = wanted.id
        if wanted.name is not None or wanted.id is None:
            args["name"] = wanted.name or key
        if wanted.type is not None or wanted.id is None:
            args["type"] = wanted.type or DatasetType.IMAGES
        # The others wait for the first: what is wrong with the token or the network is said once.
        registration = Registration(name, args, pulumi.ResourceOptions(depends_on=list(self._first)))
        self._first = self._first or [registration]
        return registration
