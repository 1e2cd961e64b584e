"""What a stack had after its last run, as its own program is told."""

from __future__ import annotations

import copy
from typing import Any

import pulumi
import pytest

from lightly_infra import spec
from lightly_infra.permissions import Purpose
from lightly_infra.stack import previous
from tests.pulumi_mocks import run

DATASET = "pulumi-python:dynamic/lightly:Dataset"
DATASOURCE = "pulumi-python:dynamic/lightly:Datasource"
SECRET = "canary-external-id-0001"
ID = "0123456789abcdef01234567"
BROUGHT = {"bucket": "acme-raw", "prefix": "raw/", "access": "delegated"}


def urn(type_: str, name: str) -> str:
    return f"urn:pulumi:test::lightly-infra::{type_}::{name}"


def marked(value: Any) -> dict[str, Any]:
    return {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "value": value}


STACK = urn("pulumi:pulumi:Stack", "lightly-infra-test")
STATE: dict[str, dict[str, Any]] = {
    STACK: {
        "type": "pulumi:pulumi:Stack",
        "outputs": {"datasets": {"Street Scenes": {"id": ID}}, "secret": marked(SECRET)},
    },
    urn(DATASET, "street-scenes"): {
        "type": DATASET,
        "outputs": {"name": "Street Scenes", "type": "Images", "on_destroy": "delete", "adopted": False},
    },
    urn(f"lightly-infra:index:Dataset${DATASOURCE}", "street-scenes-input"): {
        "type": DATASOURCE,
        "outputs": {"dataset_id": ID, "full_path": "s3://acme-raw/raw/", "s3_external_id": marked(SECRET)},
    },
    urn("lightly-infra:aws:DelegatedAccess$aws:iam/role:Role", "lightly-street-scenes-input"): {
        "type": "aws:iam/role:Role",
        "outputs": {"arn": "arn:aws:iam::123456789012:role/made", "name": "made"},
    },
    urn("lightly-infra:aws:AccessKeys$aws:iam/user:User", "lightly-acme-shared-17"): {
        "type": "aws:iam/user:User",
        "outputs": {"name": "user-of-a-share"},
    },
}


def known(state: dict[str, dict[str, Any]] | None) -> previous.Previous | None:
    found: list[previous.Previous | None] = []
    run(lambda: found.append(previous.read()), previous=state)
    return found[0]


def test_datasets_are_told_with_their_key_their_id_and_what_lightly_was_told() -> None:
    (dataset,) = known_datasets().values()
    assert (dataset.key, dataset.resource, dataset.id) == ("Street Scenes", "street-scenes", ID)
    assert (dataset.name, dataset.type, dataset.on_destroy) == ("Street Scenes", "Images", "delete")
    assert dataset.datasources[Purpose.INPUT]["full_path"] == "s3://acme-raw/raw/"


def test_what_was_made_is_told_by_the_name_that_the_yaml_knows_and_the_dataset_it_was_made_for() -> None:
    read = known(STATE)
    assert read is not None
    assert {(it.kind, it.name, it.dataset) for it in read.made} == {
        ("role", "arn:aws:iam::123456789012:role/made", "street-scenes"),
        ("user", "user-of-a-share", None),
    }


def test_secrets_are_not_there() -> None:
    read = known(STATE)
    assert read is not None
    assert SECRET not in str([it.outputs for it in read.resources]) + str(read.datasets)


def test_a_dataset_whose_first_run_failed_half_way_has_neither_key_nor_id() -> None:
    state = {name: it for name, it in copy.deepcopy(STATE).items() if it["type"] != DATASOURCE}
    state[STACK]["outputs"] = {"other": 1}
    (dataset,) = known_datasets(state).values()
    assert (dataset.key, dataset.id, dataset.datasources) == (None, None, {})


@pytest.mark.parametrize(("given", "adopted"), [({}, False), ({"dataset_id": ID}, True), ({"adopted": True}, True)])
def test_a_dataset_that_is_named_by_its_id_is_never_deleted(given: dict[str, Any], *, adopted: bool) -> None:
    state = copy.deepcopy(STATE)
    state[urn(DATASET, "street-scenes")]["outputs"] |= given
    (dataset,) = known_datasets(state).values()
    assert dataset.adopted is adopted


def test_what_was_exported_is_told_by_the_keys_of_today() -> None:
    registered = {"type": "Images", "on_destroy": "keep", "dataset_id": "a" * 24}
    resources = [
        previous.Resource(urn(DATASET, name), DATASET, registered | {"name": name, "dataset_id": id_})
        for name, id_ in (("aaa", "a" * 24), ("bbb", "b" * 24))
    ]
    told = {"aaa": {"id": "a" * 24}, "bbb": {"id": "b" * 24}, "gone": {"id": "c" * 24}}
    outputs = {"datasets": told, "credentials": {"aaa": {"kind": "of a"}}, "worker_config": {}, "other": {"aaa": 1}}
    declared = {"input": {"s3": BROUGHT}, "lightly": {"s3": BROUGHT | {"prefix": "lightly/"}}}

    def renamed(**formerly: str) -> Any:
        datasets = {
            key: {**declared, "lightly": {"s3": BROUGHT | {"prefix": f"{key}/"}}, "formerly": it}
            for key, it in formerly.items()
        }
        return previous.Previous(resources, outputs).renamed(outputs, spec.parse(datasets, {"region": "eu-west-1"}))

    found = renamed(ccc="aaa", bbb="bbb")
    assert found["datasets"] == {"ccc": told["aaa"], "bbb": told["bbb"], "gone": told["gone"]}
    assert (found["credentials"], found["other"]) == ({"ccc": {"kind": "of a"}}, {"aaa": 1})
    assert renamed(aaa="bbb", bbb="aaa")["datasets"] == {"bbb": told["aaa"], "aaa": told["bbb"], "gone": told["gone"]}
    assert renamed(bbb="aaa")["datasets"] == {"bbb": told["aaa"], "gone": told["gone"]}, (
        "that of another dataset is not shown"
    )


@pytest.mark.parametrize("state", [None, {}, {STACK: {"type": "pulumi:pulumi:Stack", "outputs": {}}}])
def test_nothing_is_known_of_a_stack_that_has_no_outputs_or_whose_backend_refuses(state: Any) -> None:
    assert known(state) is None


def test_nothing_is_known_in_a_users_own_unit_test() -> None:
    class Mocks(pulumi.runtime.Mocks):
        def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
            return args.name, args.inputs

        def call(self, args: pulumi.runtime.MockCallArgs) -> Any:
            raise NotImplementedError(args.token)

    monitor = pulumi.runtime.mocks.MockMonitor(Mocks())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pulumi.runtime.settings.get_monitor", lambda: monitor)
        assert previous.read() is None


def known_datasets(state: dict[str, dict[str, Any]] | None = None) -> Any:
    read = known(STATE if state is None else state)
    assert read is not None
    return read.datasets
