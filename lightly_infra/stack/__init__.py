"""The whole program behind `stacks/`: the YAML in, components out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.runtime import config as runtime_config

from lightly_infra import spec
from lightly_infra.dataset import Dataset, DatasetArgs
from lightly_infra.lightly.models import DatasetType
from lightly_infra.permissions import Purpose
from lightly_infra.provider import Dataset as Registration
from lightly_infra.provider import DatasetResourceArgs
from lightly_infra.provider.session import TOKEN_CONFIG_KEY
from lightly_infra.stack import leftovers, lifecycles, previous, transitions
from lightly_infra.stack.builder import Builders, datasource_name, resource_name
from lightly_infra.stack.settings import DATASETS_KEY, LIGHTLY_ACCOUNT_KEY, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightly_infra.clouds.interface import CloudDatasource, Credential

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
        raise pulumi.RunError(f"the config of stack {pulumi.get_stack()!r} is invalid:{lines}") from None
    # Said here, once, instead of by every resource; a preview needs no token.
    if not pulumi.runtime.is_dry_run() and not _has_token():
        raise pulumi.RunError(
            "no Lightly token: set LIGHTLY_TOKEN in the environment, or run "
            f"`pulumi config set --secret {TOKEN_CONFIG_KEY}`; nothing was changed"
        )
    deploy(settings)


def deploy(settings: Settings) -> None:
    """Declares all datasets and exports what they became.

    Raises:
        pulumi.RunError: a bucket of the user's own deletes too early for a dataset that does not take it, or the change
            would take away what the YAML names.
    """
    before = previous.read()
    if before is not None:
        transitions.check(settings.datasets, before)
    builders = Builders(settings, before)
    lifecycles.check(settings, builders, before)
    leftovers.answer(settings, builders)
    staying = transitions.Staying(before) if before is not None else None
    program = _Program(settings, builders)
    built = {key: program.dataset(key, dataset) for key, dataset in settings.datasets.items()}
    if staying is not None:
        staying.tell()
    pulumi.export("datasets", {key: it.outputs() for key, it in built.items()})
    pulumi.export("worker_config", {key: it.worker_config() for key, it in settings.datasets.items()})
    pulumi.export("credentials", {key: it.credentials() for key, it in built.items()})


def _has_token() -> bool:
    return bool(os.environ.get("LIGHTLY_TOKEN") or runtime_config.get_config(TOKEN_CONFIG_KEY))


@dataclass(frozen=True)
class _Built:
    dataset: Dataset
    registration: Registration
    sources: Mapping[Purpose, CloudDatasource]
    needs_worker: str | None
    """Which versions of the Lightly Worker know its worker config."""

    def outputs(self) -> dict[str, Any]:
        return {
            "id": self.dataset.dataset_id,
            "name": self.registration.name,
            "type": self.registration.type,
            "url": self.dataset.url,
            "verified": self.dataset.verified,
            **{purpose.lower(): {"path": it.path, **it.identity} for purpose, it in self.sources.items()},
            **({"worker": self.needs_worker} if self.needs_worker else {}),
        }

    def credentials(self) -> dict[str, Any]:
        return {
            purpose.lower(): _known(it.credential, self.dataset.registered[purpose])
            for purpose, it in self.sources.items()
        }


def _known(credential: Credential, registered: pulumi.Resource) -> pulumi.Output[dict[str, Any]]:
    """What is known of a credential once it is registered: what nobody knows, or does not apply, is left out."""
    return pulumi.Output.all(registered.urn, pulumi.Output.all(**vars(credential))).apply(
        lambda known: {name: value for name, value in known[1].items() if value is not None}
    )


class _Program:
    """Makes datasets; the clouds' builders make what they stand on."""

    def __init__(self, settings: Settings, builders: Builders) -> None:
        self._first: list[Registration] = []
        self._builders = builders
        self._warn_days = settings.warn_days

    def dataset(self, key: str, wanted: spec.DatasetSpec) -> _Built:
        name = resource_name(key, wanted)
        registration = self._register(name, key, wanted)
        # All that costs money waits until Lightly knows the dataset: a refused token stops here.
        opts = pulumi.ResourceOptions(depends_on=[registration])
        sources = {
            purpose: self._builders.of(cloud.cloud).datasource(
                datasource_name(key, wanted, purpose), purpose, cloud.datasource, opts
            )
            for purpose, cloud in wanted.datasources.items()
        }
        args: DatasetArgs = {
            "registration": registration,
            "input": sources[Purpose.INPUT],
            "lightly": sources[Purpose.LIGHTLY],
            "warn_days": self._warn_days,
        }
        if wanted.verify_deadline is not None:
            args["verify_deadline"] = wanted.verify_deadline
        if suffixes := {
            purpose: it.datasource.thumb_suffix
            for purpose, it in wanted.datasources.items()
            if it.datasource.thumb_suffix is not None
        }:
            args["thumb_suffixes"] = suffixes
        return _Built(Dataset(name, args), registration, sources, wanted.needs_worker)

    def _register(self, name: str, key: str, wanted: spec.DatasetSpec) -> Registration:
        args: DatasetResourceArgs = {"adopt": wanted.adopt, "on_destroy": wanted.on_destroy}
        if wanted.id is not None:
            args["dataset_id"] = wanted.id
        if wanted.take_over is not None:
            args["take_over"] = wanted.take_over
        if wanted.name is not None or wanted.id is None:
            args["name"] = wanted.name or key
        if wanted.type is not None or wanted.id is None:
            args["type"] = wanted.type or DatasetType.IMAGES
        if wanted.id is not None or wanted.adopt:
            args["datasources"] = {purpose.value: it.datasource.told for purpose, it in wanted.datasources.items()}
            args["replace_datasources"] = wanted.replace_datasources
        # The others wait for the first: what is wrong with the token or the network is said once.
        opts = pulumi.ResourceOptions(
            depends_on=list(self._first),
            # What is never deleted is not shown as if it were.
            retain_on_delete=wanted.on_destroy == "keep" or wanted.id is not None,
        )
        registration = Registration(name, args, opts)
        self._first = self._first or [registration]
        return registration
