"""An existing dataset: what its datasources point to is shown before it is replaced, and it is never deleted."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra.lightly import models
from lightly_infra.lightly.client import LightlyClient
from lightly_infra.sandbox.environment import EngineName, Sandbox
from tests.e2e.runs import kinds_changed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lightly_infra.sandbox.engine.interface import Program

    Make = Callable[..., Program]

Datasets = dict[str, Any]
NAME = "street-scenes"
ELSEWHERE = {"type": "GCS", "gcs_project_id": "acme-vision", "gcs_credentials": "{}"}


@pytest.fixture
def logged() -> list[str]:
    return []


@pytest.fixture
def sandbox(engine: EngineName, logged: list[str]) -> Iterator[Sandbox]:
    with Sandbox(engine=engine, clouds=["s3"], on_log=lambda _, message: logged.append(message)) as running:
        yield running


@pytest.fixture(params=["id", "name"])
def adopting(request: pytest.FixtureRequest, sandbox: Sandbox, street_scenes: Datasets) -> Datasets:
    """The YAML that adopts a dataset whose Input is on Google Cloud and whose Lightly bucket is another one."""
    with client(sandbox) as lightly:
        existing = lightly.create_dataset(NAME, models.DatasetType.IMAGES)
        for purpose, path in (("INPUT", "gs://acme-old/raw/"), ("LIGHTLY", "gs://acme-old/lightly/")):
            lightly.set_datasource(existing, models.parse_config({**ELSEWHERE, "purpose": purpose, "full_path": path}))
    street_scenes[NAME] |= {"id": existing} if request.param == "id" else {"adopt": True}
    return street_scenes


def client(sandbox: Sandbox) -> LightlyClient:
    return LightlyClient(sandbox.token, base_url=sandbox.lightly.url)


def datasources(sandbox: Sandbox) -> dict[str, dict[str, str]]:
    (dataset,) = sandbox.lightly.datasets.values()
    return copy.deepcopy(dataset.datasources)


DIFFERENCES = (
    "INPUT: type GCS -> S3DelegatedAccess; path gs://acme-old/raw/ -> s3://acme-raw/street-scenes/",
    "LIGHTLY: type GCS -> S3DelegatedAccess; path gs://acme-old/lightly/ -> one that is made here",
)


def test_datasources_that_point_elsewhere_are_shown_and_left_by_preview_and_up(
    sandbox: Sandbox, program: Make, adopting: Datasets
) -> None:
    before = datasources(sandbox)

    for run in (sandbox.preview, sandbox.up):
        (failure,) = run(program(adopting)).failures
        assert all(f"\n  {it}" in failure.message for it in DIFFERENCES), failure.message
        assert "replace_datasources: true" in failure.message

    assert datasources(sandbox) == before
    assert [it["Name"] for it in sandbox.aws.client("s3").list_buckets()["Buckets"]] == ["acme-raw", "not-for-lightly"]
    assert [it for it in sandbox.aws.client("iam").list_roles()["Roles"] if "lightly" in it["RoleName"]] == []


def test_they_are_shown_and_replaced_where_the_yaml_allows_it(
    sandbox: Sandbox, program: Make, adopting: Datasets, logged: list[str]
) -> None:
    adopting[NAME]["replace_datasources"] = True

    assert not sandbox.preview(program(adopting)).failures
    assert all(any(it in line for line in logged) for it in DIFFERENCES), logged
    result = sandbox.up(program(adopting))

    assert sandbox.report(result).ok
    assert datasources(sandbox)["INPUT"]["fullPath"] == "s3://acme-raw/street-scenes/"
    assert kinds_changed(sandbox.up(program(adopting))) == set()


def test_once_adopted_it_follows_the_yaml_like_any_other_and_is_never_deleted(
    sandbox: Sandbox, program: Make, adopting: Datasets
) -> None:
    adopting[NAME] |= {"replace_datasources": True, "on_destroy": "delete"}
    sandbox.up(program(adopting))
    del adopting[NAME]["replace_datasources"]
    assert kinds_changed(sandbox.up(program(adopting))) == set()

    adopting[NAME]["input"]["s3"]["prefix"] = "night/"
    assert kinds_changed(sandbox.up(program(adopting))) == {
        ("update", "RolePolicy"),
        ("update", "Datasource"),
        ("update", "Verification"),
    }

    assert not sandbox.destroy(program(adopting)).failures
    assert len(sandbox.lightly.datasets) == 1


def test_a_preview_without_a_token_shows_no_differences_and_does_not_fail(
    engine: EngineName, program: Make, street_scenes: Datasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LIGHTLY_TOKEN", raising=False)
    street_scenes[NAME]["adopt"] = True
    with Sandbox(engine=engine, clouds=["s3"], token="") as sandbox:
        assert not sandbox.preview(program(street_scenes)).failures
