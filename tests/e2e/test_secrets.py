"""No secret stands in clear anywhere: state, outputs, failures, logs."""

from __future__ import annotations

import dataclasses
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra import stack
from lightly_infra.sandbox.environment import EngineName, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightly_infra.sandbox.engine.interface import Program
    from lightly_infra.sandbox.lightly_rules import Dataset

    Make = Callable[..., Program]


TOKEN = "canary-token-0f3b9c"
EXTERNAL_ID = "canary-external-id-77aa12"
ROLE = "arn:aws:iam::123456789012:role/ours"


def datasets() -> dict[str, Any]:
    brought = {"kind": "delegated", "role_arn": ROLE, "external_id": EXTERNAL_ID}
    own = {"kind": "delegated", "external_id": EXTERNAL_ID}
    return {
        "brought": {
            "verify_deadline": 5,
            "input": {"s3": {"bucket": "acme-raw", "prefix": "raw/", "access": brought}},
            "lightly": {"s3": {"create": True, "prefix": "lightly/", "access": own}},
        },
        "keys": {
            "verify_deadline": 5,
            "input": {"s3": {"bucket": "acme-raw", "prefix": "keys/", "access": "keys"}},
            "lightly": {"s3": {"create": True, "prefix": "lightly/", "access": "keys"}},
        },
    }


def with_secrets(program: Program) -> Program:
    """The program with its datasets secret, as `pulumi config set --secret --path` leaves a key with a secret in it."""
    return dataclasses.replace(program, secret_keys=frozenset({stack.DATASETS_KEY}))


def secrets_of(sandbox: Sandbox) -> set[str]:
    """Every secret that exists by now: what we planted, and what was minted on the way."""
    return {TOKEN, EXTERNAL_ID}.union(*map(secrets_in, sandbox.lightly.datasets.values()))


def secrets_in(dataset: Dataset) -> set[str]:
    names = ("s3ExternalId", "s3SecretAccessKey")
    return {config[name] for config in dataset.datasources.values() for name in names if name in config}


def fail_verifies(sandbox: Sandbox) -> None:
    """Every verify fails, and Lightly repeats all it knows of the dataset."""

    def told(path: str) -> str:
        dataset_id = path.removeprefix("/v1/datasets/").partition("/")[0]
        return " ".join({TOKEN, *secrets_in(sandbox.lightly.datasets[dataset_id])})

    sandbox.lightly.fail_next("GET", "verify$", 500, times=100, error=told)


@pytest.mark.parametrize("ending", ["well", "badly", "badly on refresh"])
def test_no_secret_in_state_results_or_logs(
    engine: EngineName,
    program: Make,
    ending: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    # At DEBUG botocore writes out whole requests and answers; only the sandbox's emulated provider uses it.
    caplog.set_level(logging.INFO, "botocore")
    with Sandbox(engine=engine, token=TOKEN) as sandbox:
        run = with_secrets(program(datasets()))
        if ending == "badly":
            fail_verifies(sandbox)
        result = sandbox.up(run)
        assert result.failed == (ending == "badly"), result.failures
        if ending == "badly on refresh":
            fail_verifies(sandbox)
        refreshed = sandbox.refresh(run)
        assert refreshed.failed == (ending == "badly on refresh"), refreshed.failures
        for failure in (*result.failures, *refreshed.failures):
            assert "[redacted]" in failure.message
            assert "[secret]" not in failure.message, "the engine had to hide what we had told it"

        secrets = secrets_of(sandbox)
        # A run that fails may end before the access keys are with Lightly.
        assert len(secrets) == 4 or ending == "badly", "a token, an external id, two access keys"
        told = {
            "state": json.dumps(sandbox.export()),
            "result": f"{result!r} {result.failures} {refreshed!r} {refreshed.failures}",
            "report": json.dumps(sandbox.report(result).as_json()),
            "logs": caplog.text,
            "terminal": "".join(capfd.readouterr()),
            "requests": "\n".join(sandbox.lightly.requests),
        }
        for place, text in told.items():
            for secret in secrets:
                assert secret not in text, f"a secret stands in clear in the {place}"


def test_outputs_tell_of_credentials_all_but_their_values(engine: EngineName, program: Make) -> None:
    with Sandbox(engine=engine, token=TOKEN) as sandbox:
        result = sandbox.up(with_secrets(program(datasets())))

        credentials = result.outputs["credentials"]
        assert credentials["brought"] == {"input": {"kind": "role"}, "lightly": {"kind": "role"}}
        assert {it["kind"] for it in credentials["keys"].values()} == {"access key"}
        assert all(it["created"].startswith("20") for it in credentials["keys"].values())
        plain = json.dumps(result.outputs)
        assert not any(secret in plain for secret in secrets_of(sandbox))
