"""Every change of `docs/transitions.md`, run on one stack: what is made, removed, kept, and when."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from docs.transitions import TRANSITIONS
from lightly_infra.sandbox.environment import Sandbox
from lightly_infra.updates.changes import Operation
from tests.e2e.clouds import CLOUDS
from tests.e2e.runs import attempt, changed, deploy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightly_infra.sandbox.engine.interface import Program, Result
    from lightly_infra.sandbox.environment import EngineName

Make = Callable[..., "Program"]

# What the table speaks of, by the last part of a resource's type.
WORDS = {
    "Bucket": "bucket",
    "BlobContainer": "container",
    "StorageAccount": "account",
    "ResourceGroup": "resource group",
    "Role": "role",
    "User": "user",
    "AccessKey": "key",
    "Account": "service account",
    "Key": "key",
    "Dataset": "dataset",
    "RolePolicy": "grant",
    "UserPolicy": "grant",
    "Grant": "grant",
    "BucketIAMMember": "grant",
}
IDENTITIES = {"role", "service account"}


class Stack:
    """A stack, its YAML, and what is said while it changes."""

    def __init__(self, engine: EngineName, make: Make) -> None:
        self.said: list[str] = []
        self.sandbox = Sandbox(engine=engine, on_log=lambda _, message: self.said.append(message))
        self.datasets: dict[str, Any] = {}
        self._make = make

    @property
    def program(self) -> Program:
        """Of the YAML as it was deployed last."""
        return self._make(self.datasets)

    def begin(self, **datasets: Any) -> None:
        """Deploys a YAML to start from."""
        self.datasets = datasets
        result = attempt(self.sandbox, self._make(datasets))
        assert not result.failures, result.failures

    def run(self, name: str, **datasets: Any) -> None:
        """Goes through a change of the table, and compares."""
        row, program = TRANSITIONS[name], self._make(datasets)
        before = copy.deepcopy(self.sandbox.lightly.datasets)
        del self.said[:]
        if row.refused:
            for result in (self.sandbox.preview(program), self.sandbox.up(program)):
                assert "conflicts with what is already deployed" in str(result.failures), (name, result)
                assert not [it for it in result.changes if it.operation is not Operation.SAME], (name, result.changes)
            assert self.sandbox.lightly.datasets == before, name
            return
        foreseen = done(self.sandbox.preview(program))
        result = deploy(self.sandbox, program)
        found = done(result)
        assert found == foreseen, name
        made, removed, stays = found
        one = IDENTITIES if "identity" in row.made | row.removed else set[str]()
        assert words(made, one) == row.made, (name, result.changes)
        assert words(removed, one) == row.removed, (name, result.changes)
        assert stays == row.stays, (name, result.changes)
        told, gone = times(result)
        assert bool(told) is row.told, (name, result.changes)
        assert not told or not gone or max(told) < min(gone), f"{name}: Lightly was told only after it had lost the old"
        self.datasets = datasets
        if datasets:
            assert self.sandbox.report(result).ok, name


def words(found: frozenset[str], one: set[str]) -> frozenset[str]:
    """What was done, with one word for every identity where the table has one; keys go without saying then.

    So does what an identity is granted: what is made and goes with it.
    """
    found -= {"grant"} if found & {*IDENTITIES, "user", "key"} else set()
    return found if not one else frozenset("identity" if it in one else it for it in found - {"key", "user"})


def done(result: Result) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """What is made, removed, and stays, in the table's words."""
    assert not result.failures, result.failures
    kinds: dict[str, set[str]] = {}
    for operation, kind, _ in changed(result):
        if kind in WORDS:
            kinds.setdefault(operation, set()).add(WORDS[kind])
    replaced = kinds.get("replace", set())
    made, removed = kinds.get("create", set()) | replaced, kinds.get("delete", set()) | replaced
    return frozenset(made), frozenset(removed), frozenset(kinds.get("keep", set()))


def times(result: Result) -> tuple[list[int], list[int]]:
    """When Lightly was told, and when an identity was deleted, among all changes."""
    told, gone = [], []
    for at, it in enumerate(result.changes):
        kind = it.type.rsplit(":", 1)[-1]
        if kind == "Datasource" and it.operation in {Operation.UPDATE, Operation.CREATE, Operation.REPLACE}:
            told.append(at)
        if WORDS.get(kind) in {*IDENTITIES, "user", "key"} and it.operation is Operation.DELETE:
            gone.append(at)
    return told, gone


@pytest.fixture
def stack(engine: EngineName, program: Make) -> Iterator[Stack]:
    made = Stack(engine, program)
    with made.sandbox:
        yield made


def dataset(source: dict[str, Any], target: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"verify_deadline": 5, "input": copy.deepcopy(source), "lightly": copy.deepcopy(target), **more}


def on_s3(access: Any = "delegated", target: Any = None, prefix: str = "raw/", **more: Any) -> dict[str, Any]:
    made = {"create": True} if target is None else target
    source = {"bucket": "acme-raw", "prefix": prefix, "access": access}
    return dataset({"s3": source}, {"s3": {"prefix": "lightly/", "access": access, **made}}, **more)


def bucket_of(stack: Stack) -> str:
    (registered,) = stack.sandbox.lightly.datasets.values()
    return registered.datasources["LIGHTLY"]["fullPath"].split("/")[2]


def test_storage_that_was_made_stays_and_can_be_named(stack: Stack) -> None:
    stack.begin(scenes=on_s3())
    bucket = bucket_of(stack)
    stack.run("made-to-existing", scenes=on_s3(target={"bucket": bucket}))
    assert any(f"aws s3 rb --force s3://{bucket}" in it for it in stack.said), stack.said
    assert bucket_of(stack) == bucket
    stack.run("existing-to-made", scenes=on_s3(target={"bucket": bucket, "create": True}))
    stack.run("prefix", scenes=on_s3(target={"bucket": bucket}, prefix="raw/new/"))
    stack.run("name", scenes=on_s3(target={"bucket": bucket}, prefix="raw/new/", name="Street scenes"))
    s3 = stack.sandbox.aws.client("s3")
    assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())


def test_an_access_changes_without_lightly_being_cut_off(stack: Stack) -> None:
    stack.begin(scenes=on_s3())
    stack.run("role-to-keys", scenes=on_s3("keys"))
    stack.run("keys-to-role", scenes=on_s3())
    stack.run("into-a-share", scenes=on_s3({"kind": "delegated", "share": "acme"}))
    stack.run("share-renamed", scenes=on_s3({"kind": "delegated", "share": "other"}))
    stack.run("out-of-a-share", scenes=on_s3())
    (registered,) = stack.sandbox.lightly.datasets.values()
    role = registered.datasources["INPUT"]["s3ARN"]
    named = {"kind": "delegated", "role_arn": role, "external_id": "canary-external-id-0001"}
    stack.run("named-as-own", scenes=on_s3(named, target={"bucket": bucket_of(stack)}))


def test_a_key_and_then_a_bucket_change(stack: Stack) -> None:
    stack.begin(scenes=on_s3(name="Scenes"))
    (id_,) = stack.sandbox.lightly.datasets
    stack.run("formerly", streets=on_s3(name="Scenes", formerly="scenes"))
    assert set(stack.sandbox.lightly.datasets) == {id_}
    assert not [it for it in stack.said if "another key" in it]
    stack.run("formerly-not-the-first", roads=on_s3(name="Roads", formerly="streets"))
    stack.run("key", roads=on_s3(name="Roads"))
    assert any("roads: looks like 'streets' under another key" in it for it in stack.said), stack.said
    stack.run("another-bucket", roads=on_s3(name="Roads", target={"bucket": "acme-b"}))


def test_a_dataset_leaves_and_what_it_made_stays(stack: Stack) -> None:
    ours, other = on_s3(target={"create": True, "bucket": "acme-lightly"}), on_s3(prefix="raw/b/")
    other["lightly"]["s3"] = {**other["lightly"]["s3"], "create": False, "bucket": "acme-lightly", "prefix": "b/"}
    stack.begin(maker=ours, other=other)
    stack.run("maker-leaves", other=other)


def test_on_obs_a_bucket_that_leaves_the_stack_goes_on_to_let_in_who_names_it(stack: Stack) -> None:
    def on_obs(prefix: str, **more: Any) -> dict[str, Any]:
        made = {**CLOUDS["obs"].made, "bucket": "acme-lightly", "prefix": prefix, **more}
        source = {"bucket": "acme-raw", "prefix": prefix, "access": "delegated"}
        return dataset({"s3": source}, {"obs": made})

    def let_in() -> set[str]:
        answer = stack.sandbox.obs.client().get_bucket_policy(Bucket="acme-lightly")
        return {it["Sid"] for it in json.loads(answer["Policy"])["Statement"]}

    stack.begin(maker=on_obs("a/"), other=on_obs("b/", create=False))
    both = let_in()
    stack.run("maker-leaves", other=on_obs("b/", create=False))
    left = let_in()
    assert left < both
    assert left
    stack.sandbox.destroy(stack.program)
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        let_in()


def test_what_is_deployed_decides_what_becomes_of_a_dataset_that_leaves(stack: Stack) -> None:
    last = on_s3(prefix="raw/last/")
    plain, goes = on_s3(prefix="raw/plain/"), on_s3(prefix="raw/goes/", on_destroy="delete")
    stack.begin(plain=plain, goes=goes, last=last)
    stack.run("leaves", goes=goes, last=last)
    stack.run("leaves-and-goes", last=last)
    assert {it.name for it in stack.sandbox.lightly.datasets.values()} == {"plain", "last"}


@pytest.mark.parametrize("then", ["deleted after all", "kept"])
def test_a_dataset_that_lightly_refuses_to_delete_can_be_left_in_both_directions(
    sandbox: Sandbox, program: Make, then: str
) -> None:
    last, goes = on_s3(prefix="raw/last/"), on_s3(prefix="raw/goes/", on_destroy="delete")
    deploy(sandbox, program({"last": last, "goes": goes}))
    (id_,) = [it.id for it in sandbox.lightly.datasets.values() if it.name == "goes"]
    sandbox.lightly.fail_next("DELETE", "", status=403)

    refused = sandbox.up(program({"last": last}))

    assert refused.failed
    assert id_ in sandbox.lightly.datasets
    if then == "kept":
        back = deploy(sandbox, program({"last": last, "goes": {**goes, "on_destroy": "keep"}}))
        assert sandbox.report(back).ok
        assert id_ in sandbox.lightly.datasets, "it is the same dataset, as it was"
    deploy(sandbox, program({"last": last}))
    assert (id_ in sandbox.lightly.datasets) is (then == "kept")


def test_the_lightly_bucket_moves_to_another_cloud(stack: Stack) -> None:
    stack.begin(scenes=on_s3())
    moved = on_s3()
    moved["lightly"] = {"gcs": dict(CLOUDS["gcs"].made)}
    stack.run("another-cloud", scenes=moved)


@pytest.mark.parametrize("cloud", CLOUDS.values(), ids=lambda it: it.key)
def test_on_every_cloud_storage_that_was_made_stays(stack: Stack, cloud: Any) -> None:
    if cloud.key == "s3":
        pytest.skip("has tests of its own, above")
    source, made = {cloud.key: dict(cloud.brought)}, dict(cloud.made)
    stack.begin(scenes=dataset(source, {cloud.key: made}))
    (registered,) = stack.sandbox.lightly.datasets.values()
    told = registered.datasources["LIGHTLY"]
    named = {name: it for name, it in made.items() if name not in {"create", "location"}}
    if cloud.key == "azure":
        exported = stack.sandbox.export()["deployment"]["resources"]
        (group,) = [it["outputs"]["name"] for it in exported if it["type"] == "azure-native:resources:ResourceGroup"]
        named |= {"account": told["accountName"], "resource_group": group}
        assert named["container"] == told["fullPath"].split("/")[0]
        stays, back, again = "container-to-existing", "container-to-made", {**named, "create": "container"}
    else:
        named["bucket"] = told["fullPath"].split("/")[2]
        stays, back, again = "made-to-existing", "existing-to-made", {**made, "bucket": named["bucket"]}
    stack.run(stays, scenes=dataset(source, {cloud.key: named}))
    assert registered.datasources["LIGHTLY"]["fullPath"] == told["fullPath"]
    stack.run(back, scenes=dataset(source, {cloud.key: again}))
