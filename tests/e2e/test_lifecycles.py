"""Lifecycle rules of buckets of the user's own, on S3 and OBS: read in every run, and never changed."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra.clouds.aws.connection import Settings
from lightly_infra.sandbox.environment import EngineName, Sandbox
from tests.e2e.clouds import CLOUDS, Cloud

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from types_boto3_s3 import S3Client

    from lightly_infra.sandbox.engine.interface import Program, Result

    Make = Callable[..., Program]

Datasets = dict[str, Any]


@pytest.fixture(params=["s3", "obs"])
def cloud(request: pytest.FixtureRequest) -> Cloud:
    return CLOUDS[request.param]


@pytest.fixture
def logged() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def sandbox(engine: EngineName, cloud: Cloud, logged: list[tuple[str, str]]) -> Iterator[Sandbox]:
    with Sandbox(engine=engine, clouds=[cloud.key], on_log=lambda *line: logged.append(line)) as running:
        yield running


@pytest.fixture
def datasets(cloud: Cloud) -> Datasets:
    """Input and Lightly datasource in one bucket of the user's own."""
    source = copy.deepcopy(dict(cloud.brought))
    wanted = {
        "verify_deadline": 5,
        "input": {cloud.key: source},
        "lightly": {cloud.key: source | {"prefix": "lightly/"}},
    }
    return {"street-scenes": wanted}


def set_rules(sandbox: Sandbox, cloud: Cloud, *rules: dict[str, Any]) -> None:
    """As the bucket's owner, who has it before the stack."""
    sandbox.put_images(f"{cloud.key}://acme-raw/raw/")
    document: Any = {"Rules": [{"Status": "Enabled", **it} for it in rules]}
    client_of(sandbox, cloud).put_bucket_lifecycle_configuration(Bucket="acme-raw", LifecycleConfiguration=document)


def client_of(sandbox: Sandbox, cloud: Cloud) -> S3Client:
    return sandbox.aws.client("s3") if cloud.key == "s3" else sandbox.obs.client()


def rule(name: str, prefix: str, days: int) -> dict[str, Any]:
    return {"ID": name, "Filter": {"Prefix": prefix}, "Expiration": {"Days": days}}


def warnings(logged: list[tuple[str, str]]) -> list[str]:
    return [message for severity, message in logged if severity == "warning"]


def test_rules_that_delete_too_early_are_warned_of_and_left_alone(
    sandbox: Sandbox, program: Make, datasets: Datasets, cloud: Cloud, logged: list[tuple[str, str]]
) -> None:
    set_rules(sandbox, cloud, rule("tidy", "raw/", 7), rule("late", "lightly/.lightly/", 365))
    before = client_of(sandbox, cloud).get_bucket_lifecycle_configuration(Bucket="acme-raw")["Rules"]

    for run in (sandbox.preview, sandbox.up):
        logged.clear()
        result: Result = run(program(datasets))

        assert not result.failures
        early, late = sorted(warnings(logged))
        assert (
            f"street-scenes.input.{cloud.key}: lifecycle rule 'tidy' deletes the objects under 'raw/' after 7" in early
        )
        assert f"street-scenes.lightly.{cloud.key}: lifecycle rule 'late' deletes the objects under" in late
        assert "after 365 days" in late
    after = client_of(sandbox, cloud).get_bucket_lifecycle_configuration(Bucket="acme-raw")["Rules"]
    assert after == before


def test_strict_retention_stops_before_anything_is_made(
    sandbox: Sandbox, program: Make, datasets: Datasets, cloud: Cloud
) -> None:
    set_rules(sandbox, cloud, rule("tidy", "raw/", 7))
    datasets["street-scenes"]["strict_retention"] = True

    for run in (sandbox.preview, sandbox.up):
        (failure,) = run(program(datasets)).failures
        assert "conflict with its datasets" in failure.message
        assert f"street-scenes.input.{cloud.key}: lifecycle rule 'tidy'" in failure.message
    assert sandbox.lightly.requests == []

    set_rules(sandbox, cloud, rule("tidy", "raw/", 30))
    assert not sandbox.up(program(datasets)).failures


def test_a_run_and_a_training_need_inputs_that_stay(
    sandbox: Sandbox, program: Make, datasets: Datasets, cloud: Cloud, logged: list[tuple[str, str]]
) -> None:
    set_rules(sandbox, cloud, rule("tidy", "raw/", 40))
    datasets["street-scenes"]["retrain_every_run"] = True
    if cloud.key == "s3":
        datasets["street-scenes"]["input"]["s3"]["expected_run_days"] = 39
        (failure,) = sandbox.preview(program(datasets)).failures
        assert (
            "input.s3.expected_run_days: a run of 39 days needs inputs that exist for 40 days more" in failure.message
        )
        datasets["street-scenes"]["input"]["s3"]["expected_run_days"] = 38
    logged.clear()

    result = sandbox.up(program(datasets))

    assert not result.failures
    (warning,) = warnings(logged)
    assert f"street-scenes.input.{cloud.key}: inputs are deleted after 40 days, and no model can be trained" in warning
    expiration = {"min_days_to_expiration": 39, "handling_strategy": "SKIP"}
    assert result.outputs["worker_config"]["street-scenes"] == (
        {"datasource": {"input_expiration": expiration}} if cloud.key == "s3" else {}
    )


def test_old_versions_that_go_are_said_to_be_fine(
    sandbox: Sandbox, program: Make, datasets: Datasets, cloud: Cloud, logged: list[tuple[str, str]]
) -> None:
    versions = {"ID": "versions", "Filter": {"Prefix": ""}, "NoncurrentVersionExpiration": {"NoncurrentDays": 3}}
    set_rules(sandbox, cloud, versions)
    datasets["street-scenes"]["strict_retention"] = True

    assert not sandbox.preview(program(datasets)).failures

    assert warnings(logged) == []
    told = [message for severity, message in logged if severity == "info" and "'versions'" in message]
    assert len(told) == 2
    assert all("no longer current after 3 days, which is fine" in it for it in told)


def test_a_lifecycle_that_may_not_be_read_is_said_with_the_permission_it_takes(
    sandbox: Sandbox,
    program: Make,
    datasets: Datasets,
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    logged: list[tuple[str, str]],
) -> None:
    if cloud.key == "obs":
        pytest.skip("whoever deploys owns the emulated OBS: there is nobody who may not read")
    sandbox.up(program(datasets))
    iam = sandbox.aws.client("iam")
    iam.create_user(UserName="nobody")
    key = iam.create_access_key(UserName="nobody")["AccessKey"]
    nobody = Settings(access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"])
    # Whom the program reads as; the emulated provider goes on as the administrator.
    monkeypatch.setattr(Settings, "read", lambda _: nobody)
    logged.clear()

    assert not sandbox.preview(program(datasets)).failures

    told = [message for severity, message in logged if severity == "info"]
    (unlisted,) = (it for it in told if "s3://acme-raw/raw/ could not be listed" in it)
    assert "allow s3:ListBucket on arn:aws:s3:::acme-raw" in unlisted
    told = [it for it in told if "could not be checked" in it]
    assert len(told) == 2
    for each in told:
        assert "it could not be checked whether something is deleted too early" in each
        assert "s3:GetLifecycleConfiguration" in each
        assert key["SecretAccessKey"] not in each
    assert warnings(logged) == []
