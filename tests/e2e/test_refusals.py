"""What goes wrong is said plainly, and leaves nothing half made."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra import Dataset, Purpose
from lightly_infra.clouds import aws
from lightly_infra.clouds.aws import policy
from lightly_infra.provider import Dataset as Registration
from lightly_infra.sandbox.engine.interface import Program
from lightly_infra.sandbox.environment import EngineName, Sandbox
from lightly_infra.sandbox.process import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[..., Program]

Datasets = dict[str, Any]


def assert_nothing_was_made(sandbox: Sandbox) -> None:
    assert [it["Name"] for it in sandbox.aws.client("s3").list_buckets()["Buckets"]] == ["acme-raw", "not-for-lightly"]
    assert sandbox.aws.client("iam").list_users()["Users"] == []
    assert [it for it in sandbox.aws.client("iam").list_roles()["Roles"] if "lightly" in it["RoleName"]] == []


def two(street_scenes: Datasets) -> Datasets:
    return {"street-scenes": street_scenes["street-scenes"], "street-scenes-2": street_scenes["street-scenes"]}


def test_a_missing_token_is_said_once_before_anything_is_made(
    engine: EngineName, program: Make, street_scenes: Datasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LIGHTLY_TOKEN", raising=False)
    with Sandbox(engine=engine, token="") as sandbox:
        preview = sandbox.preview(program(two(street_scenes)))
        assert not preview.failures, "a preview needs no token"
        result = sandbox.up(program(two(street_scenes)))

        (failure,) = result.failures
        assert "LIGHTLY_TOKEN" in failure.message
        assert "Traceback" not in failure.message
        assert_nothing_was_made(sandbox)
        assert sandbox.lightly.requests == []


def test_a_refused_token_is_said_once_and_nothing_is_made(
    engine: EngineName, program: Make, street_scenes: Datasets
) -> None:
    with Sandbox(engine=engine) as sandbox:
        sandbox.lightly.fail_next("POST", "/v1/datasets", 401, times=10)
        result = sandbox.up(program(two(street_scenes)))

        (failure,) = result.failures
        assert "401" in failure.message
        assert "token" in failure.message.lower()
        assert_nothing_was_made(sandbox)


def test_an_unreachable_lightly_is_said_once_and_nothing_is_made(
    engine: EngineName, program: Make, street_scenes: Datasets
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    with Sandbox(engine=engine) as sandbox:
        sandbox._environment["LIGHTLY_SERVER_LOCATION"] = nowhere
        result = sandbox.up(program(two(street_scenes)))

        (failure,) = result.failures
        assert nowhere in failure.message
        assert_nothing_was_made(sandbox)


def test_a_wrong_external_id_fails_with_a_message_that_says_so(sandbox: Sandbox) -> None:
    role = "arn:aws:iam::123456789012:role/ours"
    trust = policy.to_json(policy.trust_policy(external_id="what-the-role-asks-for"))
    sandbox.aws.client("iam").create_role(RoleName="ours", AssumeRolePolicyDocument=trust, MaxSessionDuration=43200)
    sandbox.put_images("s3://acme-raw/raw/")

    def run() -> None:
        registration = Registration("wrong", {"name": "wrong", "type": "Images"})
        access = aws.DelegatedAccess("ours", {"role_arn": role, "external_id": "what-we-say-instead"})
        sources = [
            aws.S3Datasource(
                purpose.lower(),
                {
                    "purpose": purpose,
                    "bucket": "acme-raw",
                    "prefix": prefix,
                    "region": "eu-central-1",
                    "access": access,
                },
            )
            for purpose, prefix in ((Purpose.INPUT, "raw/"), (Purpose.LIGHTLY, "lightly/"))
        ]
        Dataset(
            "wrong",
            {"registration": registration, "input": sources[0], "lightly": sources[1], "verify_deadline": 1},
        )

    result = sandbox.up(Program(run, "test", "test", {"aws:region": "eu-central-1"}))

    (failure,) = result.failures
    assert "external id" in failure.message
    assert "what-we-say-instead" not in failure.message


def test_permissions_that_take_a_while_are_waited_for(sandbox: Sandbox, program: Make, street_scenes: Datasets) -> None:
    street_scenes["street-scenes"]["verify_deadline"] = 60
    sandbox.lightly.deny_verifies(2)

    result = sandbox.up(program(street_scenes))

    assert sandbox.report(result).ok
    assert sum("verify" in it for it in sandbox.lightly.requests) == 3


def test_a_failed_run_can_be_run_again(sandbox: Sandbox, program: Make, street_scenes: Datasets) -> None:
    sandbox.lightly.fail_next("PUT", r"/datasource$", 400)
    assert sandbox.up(program(street_scenes)).failed

    result = sandbox.up(program(street_scenes))

    assert not result.failures
    assert sandbox.report(result).ok
    assert len(sandbox.lightly.datasets) == 1


def test_a_lost_answer_to_create_makes_no_second_dataset(
    sandbox: Sandbox, program: Make, street_scenes: Datasets
) -> None:
    # The server has done it and answers that it has not: what a broken gateway does.
    sandbox.lightly.fail_next("POST", "/v1/datasets$", 502, times=1, after=True)

    result = sandbox.up(program(street_scenes))

    assert not result.failures
    assert len(sandbox.lightly.datasets) == 1


def test_limited_source_addresses_are_deployed_without_verification(
    sandbox: Sandbox, program: Make, street_scenes: Datasets
) -> None:
    street_scenes["street-scenes"]["input"]["s3"]["allowed_source_ips"] = ["203.0.113.0/24"]

    result = sandbox.up(program(street_scenes))

    assert not result.failures
    assert result.outputs["datasets"]["street-scenes"]["verified"] is False
    assert result.outputs["worker_config"] == {"street-scenes": {"datasource": {"bypass_verify": True}}}
    assert not any("verify" in it for it in sandbox.lightly.requests)
    report = sandbox.report(result)
    assert (report.ok, report.datasets[0].verified) == (True, False)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("lightly-infra:datasets", None, r"declare at least one dataset"),
        ("lightly-infra:datasets", "street-scenes", r"not a mapping|declare at least one"),
        ("lightly-infra:lightly_account_id", "12", r"lightly_account_id: '12' is no AWS account id"),
    ],
)
def test_bad_config_is_one_clear_message(
    sandbox: Sandbox, program: Make, street_scenes: Datasets, field: str, value: str | None, told: str
) -> None:
    wanted = program(street_scenes)
    config = {key: it for key, it in wanted.config.items() if key != field} | ({field: value} if value else {})

    result = sandbox.engine.up(Program(wanted.run, wanted.project, wanted.stack, config))

    (failure,) = result.failures
    assert re.search(told, failure.message)
    assert "Traceback" not in failure.message
    assert sandbox.lightly.requests == []
