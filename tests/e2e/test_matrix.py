"""The same life of a dataset on every cloud, and every Input cloud with every Lightly cloud."""

from __future__ import annotations

import copy
import itertools
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra.permissions import Operation as Allowed
from lightly_infra.permissions import Purpose, is_granted
from lightly_infra.sandbox.cloud import CannotStart
from lightly_infra.sandbox.environment import EngineName, Sandbox
from lightly_infra.sandbox.probe import BESIDE, ELSEWHERE
from lightly_infra.updates.changes import Operation
from tests.e2e.clouds import CLOUDS, Cloud, dataset, secrets_behind, secrets_in
from tests.e2e.runs import attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lightly_infra.sandbox.engine.interface import Program, Result
    from lightly_infra.sandbox.lightly_rules import Dataset

    Make = Callable[..., Program]

Datasets = dict[str, Any]


@pytest.fixture(params=CLOUDS)
def cloud(request: pytest.FixtureRequest) -> Cloud:
    return CLOUDS[request.param]


@pytest.fixture
def sandbox(engine: EngineName) -> Iterator[Sandbox]:
    with Sandbox(engine=engine) as running:
        yield running


@pytest.fixture
def datasets(cloud: Cloud) -> Datasets:
    return {"street-scenes": dataset(cloud, cloud)}


def done(result: Result) -> dict[str, set[str]]:
    """What was done, by the last part of each resource's type; nothing is left out."""
    assert not result.failures, result.failures
    changes: dict[str, set[str]] = {}
    for it in result.changes:
        if it.operation is not Operation.SAME:
            changes.setdefault(it.type.rsplit(":", 1)[-1], set()).add(it.operation.value)
    return changes


def the_dataset(sandbox: Sandbox) -> Dataset:
    (only,) = sandbox.lightly.datasets.values()
    return only


def secrets_of(sandbox: Sandbox, cloud: Cloud) -> set[str]:
    return {it for source in the_dataset(sandbox).datasources.values() for it in secrets_in(source, cloud)}


def test_the_first_up_makes_everything_and_proves_it(
    sandbox: Sandbox, program: Make, datasets: Datasets, cloud: Cloud
) -> None:
    result = attempt(sandbox, program(datasets))

    report = sandbox.report(result)
    assert report.ok, report.as_json()
    (proved,) = report.datasets
    for source in proved.datasources:
        assert source.type in cloud.kinds
        assert source.path.startswith(cloud.scheme)
        allowed = {
            it for it in Allowed if (tried := proved.permission(source.purpose, it)) and tried.outcome == "allowed"
        }
        assert allowed == {it for it in Allowed if is_granted(source.purpose, it)}
    assert len(sandbox.lightly.requests) == 6, "a dataset costs six calls"


def test_what_must_be_refused_was_tried_and_refused(
    sandbox: Sandbox, program: Make, datasets: Datasets, cloud: Cloud
) -> None:
    (proved,) = sandbox.report(attempt(sandbox, program(datasets))).datasets

    tried = {(it.purpose, it.operation, it.target) for it in proved.refused}
    assert all(it.holds for it in proved.refused)
    assert {(Purpose.INPUT, it, "inside") for it in ("write", "overwrite", "delete")} <= tried
    for purpose in (Purpose.INPUT, Purpose.LIGHTLY):
        assert {(purpose, it, ELSEWHERE) for it in ("list", "read", "write", "delete")} <= tried
        if cloud.key != "azure":  # a SAS reaches all of its container: nothing lies beside
            assert {(purpose, it, BESIDE) for it in ("list", "read", "write", "delete")} <= tried
        credentials = {target for of, _, target in tried if of == purpose} - {"inside", ELSEWHERE, BESIDE}
        assert credentials, "nobody tried with credentials that are no longer, or not, good"


def test_an_unchanged_up_does_nothing_and_a_preview_and_a_refresh_say_so(
    sandbox: Sandbox, program: Make, datasets: Datasets
) -> None:
    attempt(sandbox, program(datasets))
    asked = len(sandbox.lightly.requests)

    assert done(sandbox.preview(program(datasets))) == {}
    assert done(sandbox.up(program(datasets))) == {}
    assert len(sandbox.lightly.requests) == asked, "Lightly was not even asked"
    assert done(sandbox.refresh(program(datasets))) == {}


def test_a_preview_tells_what_up_does_and_does_none_of_it(sandbox: Sandbox, program: Make, datasets: Datasets) -> None:
    try:
        foreseen = done(sandbox.preview(program(datasets)))
    except CannotStart as error:
        pytest.skip(str(error))
    assert sandbox.lightly.datasets == {}

    assert done(sandbox.up(program(datasets))) == foreseen


def test_another_prefix_changes_the_grant_and_the_datasource_and_is_proved_anew(
    sandbox: Sandbox, program: Make, datasets: Datasets, cloud: Cloud
) -> None:
    attempt(sandbox, program(datasets))
    datasets["street-scenes"]["input"][cloud.key]["prefix"] = "night/"

    result = sandbox.up(program(datasets))

    changes = done(result)
    assert set(changes) == {"Datasource", "Verification", *cloud.grants}
    assert changes["Datasource"] == changes["Verification"] == {"update"}
    assert the_dataset(sandbox).datasources["INPUT"]["fullPath"].endswith("raw/night/")
    assert sandbox.report(result).ok


def test_another_credential_reaches_lightly_and_is_proved_anew(
    sandbox: Sandbox, program: Make, datasets: Datasets, cloud: Cloud
) -> None:
    attempt(sandbox, program(datasets))
    before = secrets_in(the_dataset(sandbox).datasources["INPUT"], cloud)
    datasets["street-scenes"]["input"][cloud.key] |= copy.deepcopy(dict(cloud.another_credential))

    result = sandbox.up(program(datasets))

    changes = done(result)
    assert changes["Datasource"] == changes["Verification"] == {"update"}
    after = secrets_in(the_dataset(sandbox).datasources["INPUT"], cloud)
    assert not before & after
    assert sandbox.report(result).ok


def test_permissions_that_were_taken_away_are_found_by_a_refresh(
    sandbox: Sandbox, program: Make, datasets: Datasets, cloud: Cloud
) -> None:
    attempt(sandbox, program(datasets))
    cloud.take_away(sandbox)

    assert done(sandbox.refresh(program(datasets)))["Verification"] == {"delete"}

    if cloud.key == "obs":  # the policy was the user's own, and nobody else gives it back
        sandbox.obs.client().delete_bucket_policy(Bucket="acme-raw")


def test_what_lightly_cannot_do_fails_the_up_and_names_it(sandbox: Sandbox, program: Make, datasets: Datasets) -> None:
    sandbox.lightly.deny_verifies(1000)
    datasets["street-scenes"]["verify_deadline"] = 0.3

    result = attempt(sandbox, program(datasets))

    (failure,) = result.failures
    assert "can't list" in failure.message
    sandbox.lightly.deny_verifies(0)
    assert sandbox.report(sandbox.up(program(datasets))).ok, "a failed run can be run again"


def test_destroy_keeps_the_data_and_takes_lightlys_access_away(
    sandbox: Sandbox, program: Make, datasets: Datasets, cloud: Cloud
) -> None:
    attempt(sandbox, program(datasets))
    held = list(the_dataset(sandbox).datasources.values())

    changes = done(sandbox.destroy(program(datasets)))

    assert {name for name, operations in changes.items() if "delete" in operations} >= cloud.identities
    assert the_dataset(sandbox).name == "street-scenes"
    for source in held:
        attempts = sandbox.cloud(cloud.key).probe(source, [])
        listed = next(it for it in attempts if (it.operation, it.target) == ("list", "inside"))
        stays = cloud.key == "azure" or (cloud.key == "obs" and source["purpose"] == "INPUT")
        assert listed.outcome == ("allowed" if stays else "refused"), "a SAS and keys of the user's own live on"

    again = sandbox.up(program(_adopting(datasets)))
    assert sandbox.report(again).ok


def _adopting(datasets: Datasets) -> Datasets:
    adopting = copy.deepcopy(datasets)
    # The Lightly bucket that was kept has its own name, and the next one another.
    adopting["street-scenes"] |= {"adopt": True, "replace_datasources": True}
    return adopting


def test_an_existing_dataset_is_adopted_by_id_and_stays(sandbox: Sandbox, program: Make, datasets: Datasets) -> None:
    datasets["street-scenes"] |= {"id": "0123456789abcdef01234567", "on_destroy": "delete"}

    assert sandbox.report(attempt(sandbox, program(datasets))).ok
    assert not sandbox.destroy(program(datasets)).failures

    assert the_dataset(sandbox).id == "0123456789abcdef01234567"


def test_no_secret_stands_in_clear(
    sandbox: Sandbox,
    program: Make,
    datasets: Datasets,
    cloud: Cloud,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("botocore", "azure", "urllib3", "google"):  # at DEBUG they write out whole requests
        caplog.set_level(logging.INFO, name)
    result = attempt(sandbox, program(datasets))
    refreshed = sandbox.refresh(program(datasets))

    secrets = secrets_of(sandbox, cloud) | secrets_behind(sandbox, cloud) | {sandbox.token}
    assert len(secrets) >= 2
    told = {
        "state": json.dumps(sandbox.export()),
        "results": f"{result!r} {refreshed!r}",
        "report": json.dumps(sandbox.report(result).as_json()),
        "proof": repr(the_dataset(sandbox).proof),
        # All of them: what is marked as a secret shows as `[secret]`, here and nowhere else.
        "outputs": json.dumps([result.outputs, refreshed.outputs], default=repr),
        "logs": caplog.text,
        "terminal": "".join(capfd.readouterr()),
        "requests": "\n".join(sandbox.lightly.requests),
    }
    for place, text in told.items():
        assert not {it for it in secrets if it in text}, f"a secret stands in clear in the {place}"


def test_every_input_cloud_goes_with_every_lightly_cloud(sandbox: Sandbox, program: Make) -> None:
    pairs = list(itertools.product(CLOUDS.values(), CLOUDS.values()))
    datasets = {f"{source.key}-to-{target.key}": dataset(source, target) for source, target in pairs}
    assert len(datasets) == 16

    result = attempt(sandbox, program(datasets))

    report = sandbox.report(result)
    assert not report.failures, report.failures
    assert {it.name for it in report.datasets if it.verified} == set(datasets)
    kinds = {it.name: {each.purpose: each.type for each in it.datasources} for it in report.datasets}
    for source, target in pairs:
        of = kinds[f"{source.key}-to-{target.key}"]
        assert of[Purpose.INPUT] in source.kinds
        assert of[Purpose.LIGHTLY] in target.kinds
