"""A bucket on OBS as a Pulumi resource."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any, NotRequired

import pulumi  # noqa: TC002 - Pulumi reads the resource's annotations when it runs
from pulumi.dynamic import CheckResult, CreateResult, DiffResult, ReadResult, Resource, UpdateResult

from lightly_infra import paths
from lightly_infra.clouds.obs import policy
from lightly_infra.clouds.obs.resources.session import ObsProvider, ServerArgs, check_server
from lightly_infra.dynamic import changed, without_provider

if TYPE_CHECKING:
    from collections.abc import Mapping


class Provider(ObsProvider):
    """Makes private buckets, takes over those that it left behind, and deletes them only when they are empty."""

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Chooses a name where none is given, and keeps the one that it chose before."""
        if news.get("bucket") is None:
            generated = f"{paths.slug(news['stem'])}-{secrets.token_hex(4)}"
            news = news | {"bucket": olds.get("bucket") or generated}
        return CheckResult(news, check_server(news))

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Another name or region is another bucket; the way to reach it and its lifecycle change in place."""
        # Never deleted first: where the name stays, making another is refused, and nothing has been touched by then.
        return DiffResult(replaces=changed(olds, news, "bucket", "region"))

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Makes the bucket, or takes the empty one that an earlier deployment left behind."""
        self.obs(props).make_bucket(props["bucket"], json.loads(props["lifecycle"]), props.get("tags"))
        return CreateResult(props["bucket"], without_provider(props))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """What there is: another lifecycle shows as drift, a deleted bucket as gone."""
        rules = self.obs(props).lifecycle(id_)
        if rules is None:
            return ReadResult("", {})
        known = without_provider(props)
        if policy.same(rules, json.loads(known["lifecycle"])):
            return ReadResult(id_, known)
        actual = known | {"lifecycle": policy.to_json(rules)}
        return ReadResult(id_, actual, dict(actual))

    def update(self, id_: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Sets the lifecycle anew."""
        self.obs(news).put_lifecycle(id_, json.loads(news["lifecycle"]))
        return UpdateResult(without_provider(news))

    def delete(self, id_: str, props: dict[str, Any]) -> None:
        """Deletes the bucket if it is empty; one with something in it is an error."""
        self.obs(props).delete_bucket(id_)


class BucketResourceArgs(ServerArgs):
    """A bucket to make."""

    bucket: NotRequired[pulumi.Input[str]]
    """Its name. Default: the resource's name and a random suffix."""

    lifecycle: NotRequired[pulumi.Input[str]]
    """A JSON list of its rules, which change in place. Default: nothing expires, unfinished uploads are aborted."""

    tags: NotRequired[Mapping[str, str]]
    """Its tags, set as it is made where the cloud takes them. Default: none."""


class Bucket(Resource, module="obs", name="Bucket"):
    """A private bucket, with lifecycle rules of its own; its `id` is its name."""

    bucket: pulumi.Output[str]

    def __init__(
        self, resource_name: str, args: BucketResourceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        # Only what is mentioned here has an output.
        defaults = {"bucket": None, "stem": resource_name, "lifecycle": policy.to_json(policy.lifecycle())}
        super().__init__(Provider(), resource_name, {**defaults, **args}, opts)
