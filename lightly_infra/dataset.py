"""The component that joins an Input and a Lightly datasource into a registered, verified dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NotRequired, TypedDict

import pulumi

from lightly_infra import epochs, expiry, provider
from lightly_infra.component import Component
from lightly_infra.lightly.models import ALL_SECRET_FIELDS
from lightly_infra.permissions import Purpose

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightly_infra.clouds.interface import CloudDatasource

APP_URL: Final = "https://app.lightly.ai/dataset/{}"
"""A dataset's page in Lightly's app."""


class DatasetArgs(TypedDict):
    """A dataset and its two datasources, on any clouds."""

    registration: provider.Dataset
    """The dataset at Lightly. It is a resource of its own, so that what costs money can wait for it: a refused
    token then fails before anything is made."""

    input: CloudDatasource
    """Where the images or videos are. Lightly lists and reads there."""

    lightly: CloudDatasource
    """Where Lightly keeps what it makes. It lists, reads, writes, overwrites and deletes there."""

    verify_deadline: NotRequired[float]
    """Seconds to wait for permissions to take effect. Default: what the slower of the clouds may take (`settles`)."""

    thumb_suffixes: NotRequired[Mapping[Purpose, pulumi.Input[str]]]
    """Where Lightly puts thumbnails below a datasource's path. Default: Lightly's own."""

    warn_days: NotRequired[int]
    """How many days before a credential expires every `pulumi up` says so. Default: 14."""


class Dataset(Component):
    """Registers both datasources and proves that Lightly can use them."""

    dataset_id: pulumi.Output[str]
    """The dataset's id at Lightly."""

    url: pulumi.Output[str]
    """The dataset's page in Lightly's app."""

    verified: bool
    """Whether the permissions are proved; not when a datasource shuts Lightly's own servers out."""

    registered: Mapping[Purpose, provider.Datasource]
    """Both datasources as Lightly knows them."""

    def __init__(self, name: str, args: DatasetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("index:Dataset", name, opts)
        for purpose, given in ((Purpose.INPUT, args["input"]), (Purpose.LIGHTLY, args["lightly"])):
            if given.purpose is not purpose:
                raise ValueError(
                    f"{name}.{purpose.lower()}: the datasource's purpose is {given.purpose}, which grants the wrong "
                    f"permissions; build it with {purpose}"
                )
        self.dataset_id = args["registration"].id
        self.url = self.dataset_id.apply(APP_URL.format)
        sources = [args["input"], args["lightly"]]
        suffixes = {it: {"thumb_suffix": suffix} for it, suffix in args.get("thumb_suffixes", {}).items()}
        self.verified = all(source.verifiable for source in sources)
        deadline = args.get("verify_deadline", max(source.settles for source in sources))
        for source in sources:
            self._warn(f"{name}.{source.purpose.lower()}", source, args.get("warn_days", expiry.WARN_DAYS))
        configs = {source.purpose: {**source.config, **suffixes.get(source.purpose, {})} for source in sources}
        self.registered = {
            source.purpose: provider.Datasource(
                f"{name}-{source.purpose.lower()}",
                {
                    "dataset_id": self.dataset_id,
                    "purpose": source.purpose.value,
                    "config": configs[source.purpose],
                    "deadline": deadline if self.verified else None,
                },
                # The grants first: a datasource must not be seen before it works.
                self.child(depends_on=[source]),
            )
            for source in sources
        }
        verification: provider.VerificationArgs = {
            "dataset_id": self.dataset_id,
            "triggers": [it for source in sources for it in (source.granted, *_plain(source.config))],
            "datasources": [{**config, "purpose": purpose.value} for purpose, config in configs.items()],
            "deadline": deadline if self.verified else None,
        }
        provider.Verification(name, verification, self.child(depends_on=list(self.registered.values())))
        if not self.verified:
            pulumi.log.warn(
                f"{name}: not verified, because a datasource admits some source addresses only and Lightly's "
                "servers are not among them; the worker config needs datasource.bypass_verify: true",
                resource=self,
            )
        self.register_outputs({"dataset_id": self.dataset_id, "url": self.url})

    def _warn(self, name: str, source: CloudDatasource, warn_days: int) -> None:
        """Says that a credential expires soon, where it is known when."""
        credential, now = source.credential, epochs.now()

        def look(expires: str | None) -> None:
            if expires is None:
                return
            left = expiry.days_left(expires, now)
            if expiry.is_near(left, warn_days, credential.rotate_every_days):
                said = expiry.said(credential.kind, expires, left, credential.rotate_every_days)
                pulumi.log.warn(f"{name}: {said}", resource=self)

        pulumi.Output.from_input(credential.expires).apply(look)


def _plain(config: Mapping[str, pulumi.Input[Any]]) -> list[pulumi.Input[Any]]:
    return [value for name, value in config.items() if name not in ALL_SECRET_FIELDS]
