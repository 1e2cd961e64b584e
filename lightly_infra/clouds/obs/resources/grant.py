"""Statements of an OBS bucket's policy as a Pulumi resource."""

from __future__ import annotations

import json
from typing import Any

import pulumi  # noqa: TC002 - Pulumi reads the resource's annotations when it runs
from pulumi.dynamic import CheckFailure, CheckResult, CreateResult, DiffResult, ReadResult, Resource, UpdateResult

from lightly_infra.clouds.obs import policy
from lightly_infra.clouds.obs.resources.session import ObsProvider, ServerArgs, check_server
from lightly_infra.dynamic import changed, without_provider


class Provider(ObsProvider):
    """Adds statements to a bucket's policy, and takes away no others than it has added."""

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Every statement needs an id, by which it is found again."""
        failures = check_server(news)
        if isinstance(news.get("statements"), str):
            sids = [it.get("Sid") for it in json.loads(news["statements"])]
            if not all(sids) or len(set(sids)) < len(sids):
                failures.append(CheckFailure("statements", "each needs a 'Sid' of its own"))
        return CheckResult(news, failures)

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Another bucket or user is another grant; what is granted changes in place."""
        replaces = changed(olds, news, "bucket")
        if _users(olds["statements"]) != _users(news["statements"]):
            replaces.append("statements")  # the one before is let in until Lightly has been told the other
        return DiffResult(replaces=replaces)

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Adds the statements; those that are there already, word for word, are ours."""
        statements = json.loads(props["statements"])
        self.obs(props).put_statements(props["bucket"], statements)
        return CreateResult(f"{props['bucket']}/{statements[0]['Sid']}", without_provider(props))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """What there is: changed statements show as drift; without any the grant is gone."""
        known = without_provider(props)
        wanted = json.loads(known["statements"])
        actual = self.obs(props).statements(known["bucket"], _sids(wanted))
        if not actual:
            return ReadResult("", {})
        if len(actual) == len(wanted) and policy.same(actual, wanted):
            return ReadResult(id_, known)
        drifted = known | {"statements": policy.to_json(actual)}
        return ReadResult(id_, drifted, dict(drifted))

    def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Puts the new statements in the place of the old ones, in one call."""
        wanted = json.loads(news["statements"])
        # What drifted is ours as well, under the ids it was made with.
        ours = _sids(json.loads(olds["statements"])) | _sids(wanted)
        self.obs(news).put_statements(news["bucket"], wanted, replacing=ours)
        return UpdateResult(without_provider(news))

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        """Takes the statements away, and leaves all others."""
        self.obs(props).remove_statements(props["bucket"], _sids(json.loads(props["statements"])))


def _users(statements: str) -> list[Any] | None:
    """Whom statements let in; None while they are not known."""
    try:
        return [it.get("Principal") for it in json.loads(statements)]
    except ValueError:  # Pulumi's stand-in for what is not known yet
        return None


def _sids(statements: list[policy.Statement]) -> frozenset[str]:
    return frozenset(it["Sid"] for it in statements)


class GrantArgs(ServerArgs):
    """What is granted, on which bucket."""

    bucket: pulumi.Input[str]
    """The bucket; another one makes another grant."""

    statements: pulumi.Input[str]
    """A JSON list of statements, each with a `Sid` that no other of the bucket's policy has."""


class Grant(Resource, module="obs", name="Grant"):
    """Statements of a bucket's policy. Several grants of one bucket do not disturb each other, nor anybody else's."""

    bucket: pulumi.Output[str]
    statements: pulumi.Output[str]

    def __init__(self, resource_name: str, args: GrantArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(Provider(), resource_name, {**args}, opts)
