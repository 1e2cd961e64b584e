"""The component that joins an Input and a Lightly datasource into a registered, verified dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NotRequired, TypedDict

import pulumi

from lightly_infra import provider
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


class Dataset(Component):
    """Registers both datasources and proves that Lightly can use them."""

    dataset_id: pulumi.Output[str]
    """The dataset's id at Lightly."""

    url: pulumi.Output[str]
    """The dataset's page in Lightly's app."""

    verified: bool
    """Whether the permissions are proved; not when a datasource shuts Lightly's own servers out."""

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
        registered = [
            provider.Datasource(
                f"{name}-{source.purpose.lower()}",
                {"dataset_id": self.dataset_id, "purpose": source.purpose.value, "config": source.config},
                # The grants first: a datasource must not be seen before it works.
                self.child(depends_on=[source]),
            )
            for source in sources
        ]
        self.verified = all(source.verifiable for source in sources)
        if self.verified:
            verification: provider.VerificationArgs = {
                "dataset_id": self.dataset_id,
                "triggers": [it for source in sources for it in (source.granted, *_plain(source.config))],
                "secrets": [secret for source in sources for secret in source.secrets.values()],
                "deadline": args.get("verify_deadline", max(source.settles for source in sources)),
            }
            provider.Verification(name, verification, self.child(depends_on=registered))
        else:
            pulumi.log.warn(
                f"{name}: not verified, because a datasource admits some source addresses only and Lightly's "
                "servers are not among them; the worker config needs datasource.bypass_verify: true",
                resource=self,
            )
        self.register_outputs({"dataset_id": self.dataset_id, "url": self.url})


def _plain(config: Mapping[str, pulumi.Input[Any]]) -> list[pulumi.Input[Any]]:
    return [value for name, value in config.items() if name not in ALL_SECRET_FIELDS]
