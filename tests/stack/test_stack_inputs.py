"""Which inputs of a deployed stack a run would skip: which buckets are asked, as whom, and what comes of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra import spec
from lightly_infra.clouds.aws import lifecycle
from lightly_infra.health import Finding, State
from lightly_infra.listing import Page, Stored
from lightly_infra.retention import Rule, RulesUnreadable
from lightly_infra.stack import inputs
from lightly_infra.stack.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
S3 = {"region": "eu-west-1", "access": "delegated"}
TARGET = {"s3": {**S3, "create": True, "prefix": "lightly/"}}
OUTPUTS = {
    "datasets": {
        "scenes": {"input": {"path": "s3://acme-raw/raw/"}},
        "other": {"input": {"path": "gs://acme-raw/raw/"}},
    }
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was asked of S3; objects of 10, 26 and 29 days, which are deleted after 30."""
    calls: list[Any] = []

    def read(bucket: str, region: str, acting: Any) -> list[Rule]:
        calls.append((bucket, region, acting.profile))
        return [Rule("expire", "raw/", days=30)]

    def listed(bucket: str, region: str, prefix: str, acting: Any) -> Iterator[Page]:
        calls.append((bucket, region, prefix, acting.profile))
        yield Page(tuple(Stored(f"raw/{days}.png", NOW - timedelta(days=days)) for days in (10, 26, 29)), more=False)

    monkeypatch.setattr(lifecycle, "read", read)
    monkeypatch.setattr(lifecycle, "pages", listed)
    return calls


def found(run_days: float | None = None, outputs: dict[str, Any] = OUTPUTS, **source: Any) -> list[Finding]:
    wanted = {"bucket": "acme-raw", "prefix": "raw/", **S3, **source}
    other = {"bucket": "acme-raw", "project": "acme-vision", "prefix": "raw/"}
    datasets = {
        "scenes": {"input": {"s3": wanted}, "lightly": TARGET},
        "other": {"input": {"gcs": other}, "lightly": TARGET},
    }
    settings = Settings(spec.parse(datasets), config={"aws:profile": "ours"})
    return list(inputs.expiring(settings, outputs, now=NOW, run_days=run_days))


def test_the_bucket_is_read_as_whoever_the_provider_acts_as(asked: list[Any]) -> None:
    (finding,) = found(expected_run_days=3)

    assert asked == [("acme-raw", "eu-west-1", "ours"), ("acme-raw", "eu-west-1", "raw/", "ours")]
    assert (finding.dataset, finding.state) == ("scenes", State.HEALTHY)
    assert (finding.details["inputs"], finding.details["skipped"]) == (3, 1)


def test_nobody_asks_where_no_run_is_expected(asked: list[Any]) -> None:
    assert found() == []
    assert asked == []


@pytest.mark.usefixtures("asked")
def test_what_is_asked_for_counts_more_than_the_yaml() -> None:
    (finding,) = found(run_days=10, expected_run_days=3)

    assert finding.details["skipped"] == 2


@pytest.mark.usefixtures("asked")
def test_a_dataset_that_is_not_deployed_is_left_out() -> None:
    assert found(outputs={}, expected_run_days=3) == []


def test_without_a_rule_nothing_is_listed(asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "read", lambda *_: [Rule("elsewhere", "other/", days=1)])

    (finding,) = found(expected_run_days=3)

    assert (finding.state, finding.message, asked) == (State.HEALTHY, "no rule deletes inputs", [])


def test_a_bucket_that_cannot_be_read_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> list[Rule]:
        raise RulesUnreadable("allow s3:GetLifecycleConfiguration")

    monkeypatch.setattr(lifecycle, "read", refuse)

    assert [it.state for it in found(expected_run_days=3)] == [State.UNKNOWN]
