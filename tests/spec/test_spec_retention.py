"""How long data stays, and how long runs take, as the YAML says it: the same questions for every cloud."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from lightly_infra import spec
from tests.e2e.clouds import CLOUDS

Made = dict[str, Any]


def made(cloud: str, **fields: object) -> Made:
    """Storage that is made, with all that the cloud asks for."""
    return copy.deepcopy(dict(CLOUDS[cloud].made)) | fields  # type: ignore[index]  # the keys are names of clouds


def brought(cloud: str, **fields: object) -> Made:
    return copy.deepcopy(dict(CLOUDS[cloud].brought)) | fields  # type: ignore[index]


def parse(dataset: dict[str, Any], **more: dict[str, Any]) -> spec.DatasetSpec:
    return spec.parse({"street-scenes": dataset, **more}, {"region": "eu-central-1"})["street-scenes"]


def dataset(cloud: str, **of_input: object) -> dict[str, Any]:
    fields = {"container": "raw"} if cloud == "azure" else {"prefix": "raw/"}
    return {"input": {cloud: made(cloud, **(fields | of_input))}, "lightly": {"s3": made("s3", prefix="lightly/")}}


def problem(wanted: dict[str, Any], **more: dict[str, Any]) -> str:
    with pytest.raises(spec.SpecError) as refused:
        parse(wanted, **more)
    (told,) = refused.value.problems
    return told


@pytest.mark.parametrize("cloud", CLOUDS)
def test_an_input_that_is_made_keeps_everything_unless_it_says_otherwise(cloud: str) -> None:
    assert parse(dataset(cloud)).input.datasource.retention_days is None
    assert parse(dataset(cloud, retention_days=30)).input.datasource.retention_days == 30


@pytest.mark.parametrize("cloud", CLOUDS)
def test_less_than_thirty_days_is_refused_with_the_reason(cloud: str) -> None:
    told = problem(dataset(cloud, retention_days=29))

    assert told.startswith(f"street-scenes: input.{cloud}.retention_days: 29 days are too short: what Lightly works on")


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("days", [7, 30, 3650])
def test_nothing_ever_expires_in_a_lightly_datasource(cloud: str, days: int) -> None:
    wanted = dataset("s3")
    wanted["lightly"] = {cloud: made(cloud, retention_days=days)}

    told = problem(wanted)

    assert told.startswith(
        f"street-scenes: lightly.{cloud}.retention_days: nothing may ever expire in a Lightly datasource"
    )
    assert told.endswith("remove it")


@pytest.mark.parametrize("cloud", CLOUDS)
def test_the_rules_of_a_bucket_of_ones_own_are_not_changed(cloud: str) -> None:
    wanted = dataset("s3") | {"input": {cloud: brought(cloud, retention_days=60)}}

    told = problem(wanted)

    assert f"input.{cloud}.retention_days: the rules of what is yours are not changed" in told
    assert ("'create: account'" if cloud == "azure" else "'create: true'") in told


def test_a_container_made_in_an_account_of_ones_own_has_that_accounts_rules() -> None:
    theirs = {"create": "container", "account": "acmedata", "resource_group": "acme", "container": "raw", "prefix": ""}

    told = problem(dataset("s3") | {"input": {"azure": theirs | {"retention_days": 60}}})

    assert "add a rule to the account's yourself, or have one made with 'create: account'" in told


@pytest.mark.parametrize("days", [0, -1])
def test_what_is_no_number_of_days_is_refused(days: int) -> None:
    assert "retention_days: " in problem(dataset("s3", retention_days=days))


# -- together


def shared(prefix: str, days: int | None) -> dict[str, Any]:
    fields = {"bucket": "acme-made", "prefix": prefix} | ({"retention_days": days} if days else {})
    return {"s3": made("s3", **fields)}


def two(first: dict[str, Any], second: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    return (
        {"input": first, "lightly": {"s3": made("s3", bucket="acme-lightly", prefix="one/")}},
        {"input": second, "lightly": {"s3": made("s3", bucket="acme-lightly", prefix="two/")}},
    )


def test_inputs_of_one_bucket_may_be_kept_for_different_times_beside_each_other() -> None:
    one, other = two(shared("a/", 30), shared("b/", 60))
    parse(one, other=other)
    one, other = two(shared("a/", 30), shared("b/", None))
    parse(one, other=other)


def test_inputs_that_lie_in_each_other_must_be_kept_alike() -> None:
    one, other = two(shared("a/", 30), shared("a/b/", 30))
    parse(one, other=other)

    one, other = two(shared("a/", 60), shared("a/b/", 30))
    assert "that one says 30, and the shorter holds for both; write the same" in problem(one, other=other)
    one, other = two(shared("a/", 60), shared("a/b/", None))
    assert "it would delete from an Input that keeps everything; write the same" in problem(one, other=other)
    one, other = two(shared("a/b/", 60), shared("a/", None))
    assert "it would delete from an Input that keeps everything; write the same" in problem(one, other=other)


def test_an_input_that_expires_must_not_hold_the_lightly_directory() -> None:
    wanted = {
        "input": {"s3": made("s3", bucket="acme-made", prefix="", retention_days=60)},
        "lightly": {"s3": made("s3", bucket="acme-made", prefix="lightly/")},
    }

    assert "lightly.s3.prefix 'lightly/' lies in input.s3.prefix ''" in problem(wanted)


def test_an_input_that_lies_in_another_datasets_lightly_directory_must_not_expire() -> None:
    first = {"input": {"s3": brought("s3")}, "lightly": {"s3": made("s3", bucket="acme-made", prefix="lightly/")}}
    crops = {
        "input": {"s3": made("s3", bucket="acme-made", prefix="lightly/.lightly/crops/", retention_days=60)},
        "lightly": {"s3": made("s3", bucket="acme-crops", prefix="lightly/")},
    }

    told = problem(first, crops=crops)

    assert told.partition(": ")[2].startswith(
        "crops.input.s3.retention_days: 60 days for 'lightly/.lightly/crops/' hold"
    )
    assert "it would delete what Lightly has written there; give each a directory of its own" in told


# -- runs


def test_a_run_goes_around_inputs_that_expire_meanwhile() -> None:
    wanted = parse(dataset("s3", retention_days=60, expected_run_days=3)).input.datasource

    assert (wanted.expected_run_days, wanted.handling_strategy) == (3, "SKIP")
    theirs = parse({**dataset("s3"), "input": {"s3": brought("s3", expected_run_days=0.5)}}).input.datasource
    assert theirs.expected_run_days == 0.5


@pytest.mark.parametrize("cloud", sorted(CLOUDS.keys() - {"s3"}))
def test_the_worker_looks_when_inputs_expire_on_s3_only(cloud: str) -> None:
    told = problem(dataset(cloud, retention_days=60, expected_run_days=3))

    assert f"input.{cloud}.expected_run_days: the Lightly Worker looks when inputs expire on Amazon S3 only" in told


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"expected_run_days": 3},
            "expected_run_days: nothing expires in a bucket that is made without 'retention_days'",
        ),
        (
            {"expected_run_days": 29, "retention_days": 30},
            "expected_run_days: a run of 29 days needs inputs that exist for 30 days more",
        ),
        ({"expected_run_days": -1, "retention_days": 30}, "expected_run_days: -1: write a number of 0 or more"),
        ({"expected_run_days": "3", "retention_days": 30}, "expected_run_days: '3': write a number"),
        ({"handling_strategy": "ABORT"}, "handling_strategy: say how long a run takes, too, as expected_run_days"),
        (
            {"expected_run_days": 3, "retention_days": 30, "handling_strategy": "STOP"},
            "handling_strategy: 'STOP': use 'SKIP' or 'ABORT'",
        ),
    ],
)
def test_a_run_that_cannot_be_is_refused(fields: dict[str, object], told: str) -> None:
    assert told in problem(dataset("s3", **fields))


@pytest.mark.parametrize(("field", "value"), [("expected_run_days", 3), ("handling_strategy", "ABORT")])
def test_what_is_about_inputs_stands_at_the_input(field: str, value: object) -> None:
    wanted = dataset("s3")
    wanted["lightly"]["s3"][field] = value

    assert re.search(rf"lightly\.s3\.{field}: it is about inputs that expire; write it at the Input", problem(wanted))


# -- existing datasets


def test_datasources_are_replaced_of_existing_datasets_only() -> None:
    assert parse(dataset("s3") | {"adopt": True, "replace_datasources": True}).replace_datasources
    assert parse(dataset("s3") | {"id": "ab" * 12, "replace_datasources": True}).replace_datasources
    assert "replace_datasources: it is for an existing dataset; give its 'id'" in problem(
        dataset("s3") | {"replace_datasources": True}
    )
