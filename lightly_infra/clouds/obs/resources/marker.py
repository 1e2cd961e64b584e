"""An empty object that stands for a directory, as a Pulumi resource."""

from __future__ import annotations

from typing import Any

import pulumi  # noqa: TC002 - Pulumi reads the resource's annotations when it runs
from pulumi.dynamic import CheckResult, CreateResult, DiffResult, ReadResult, Resource, UpdateResult

from lightly_infra.clouds.obs.resources.session import ObsProvider, ServerArgs, check_server
from lightly_infra.dynamic import changed, without_provider


class Provider(ObsProvider):
    """Makes marker objects."""

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """The endpoint and the bucket must be ones."""
        return CheckResult(news, check_server(news))

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Another bucket or key is another object."""
        return DiffResult(replaces=changed(olds, news, "bucket", "key"))

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Makes the object where there is none."""
        self.obs(props).put_marker(props["bucket"], props["key"])
        return CreateResult(f"{props['bucket']}/{props['key']}", without_provider(props))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Whether it is there."""
        known = without_provider(props)
        if not self.obs(props).has_marker(known["bucket"], known["key"]):
            return ReadResult("", {})
        return ReadResult(id_, known)

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Nothing but the way to reach it can change."""
        return UpdateResult(without_provider(news))

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        """Deletes the object."""
        self.obs(props).delete_marker(props["bucket"], props["key"])


class MarkerArgs(ServerArgs):
    """Which directory."""

    bucket: pulumi.Input[str]
    """The bucket."""

    key: str
    """The directory, with a slash at its end."""


class Marker(Resource, module="obs", name="Marker"):
    """A directory that exists even while nothing is in it."""

    def __init__(self, resource_name: str, args: MarkerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(Provider(), resource_name, {**args}, opts)
