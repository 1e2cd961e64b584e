"""What a stack says of the lifecycle rules of buckets that are not made here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lightly_infra import epochs, spec
from lightly_infra.retention import Rule, RulesUnreadable
from lightly_infra.stack.lifecycles import Findings, findings
from lightly_infra.stack.settings import Settings

RAW, MADE = "s3://acme-raw", "s3://acme-lightly"


def settings(*, of_input: dict[str, Any] | None = None, **of_dataset: object) -> Settings:
    dataset = {
        "input": {"s3": {"bucket": "acme-raw", "prefix": "raw/", "access": "delegated", **(of_input or {})}},
        "lightly": {"s3": {"bucket": "acme-lightly", "prefix": "lightly/", "access": "delegated"}},
        **of_dataset,
    }
    return Settings(spec.parse({"scenes": dataset}, {"region": "eu-central-1"}))


def test_rules_that_leave_lightlys_data_alone_are_not_mentioned() -> None:
    rules = [Rule("elsewhere", "tmp/", days=1), Rule("late", "raw/", days=30)]

    assert findings(settings(), {RAW: rules, MADE: [Rule("elsewhere", "tmp/", days=1)]}) == Findings()


def test_a_bucket_that_was_not_read_because_it_is_made_here_is_not_mentioned() -> None:
    assert findings(settings(), {}) == Findings()


def test_inputs_that_are_deleted_too_early_are_a_warning_with_path_rule_days_and_remedy() -> None:
    found = findings(settings(), {RAW: [Rule("tidy", "", days=7)], MADE: []})

    (warning,) = found.warnings
    assert warning.startswith("scenes.input.s3: lifecycle rule 'tidy' deletes the objects under '' after 7 days: ")
    assert warning.endswith("(change the rule, or let it leave out 'raw/')")
    assert not found.refusals


def test_anything_that_expires_in_a_lightly_datasource_is_a_warning() -> None:
    found = findings(settings(), {RAW: [], MADE: [Rule("tidy", "lightly/.lightly/runs/", days=365)]})

    (warning,) = found.warnings
    assert warning.startswith("scenes.lightly.s3: lifecycle rule 'tidy' deletes the objects under ")
    assert "after 365 days" in warning


def test_strict_retention_makes_an_error_of_it() -> None:
    found = findings(
        settings(strict_retention=True), {RAW: [Rule("tidy", "", days=7)], MADE: [Rule("all", "", days=99)]}
    )

    assert [it.partition(": ")[0] for it in found.refusals] == ["scenes.input.s3", "scenes.lightly.s3"]
    assert not found.warnings


def test_old_versions_that_go_are_said_to_be_fine() -> None:
    found = findings(settings(strict_retention=True), {RAW: [Rule("versions", old_versions_days=3)], MADE: []})

    (remark,) = found.remarks
    assert remark.startswith("scenes.input.s3: lifecycle rule 'versions' deletes versions that are no longer current")
    assert (found.refusals, found.warnings) == ([], [])


@pytest.mark.parametrize("strict", [False, True])
def test_a_lifecycle_that_cannot_be_read_is_said_and_stops_a_strict_dataset(*, strict: bool) -> None:
    unread = RulesUnreadable("the lifecycle of acme-raw cannot be read: grant s3:GetLifecycleConfiguration")

    found = findings(settings(strict_retention=strict), {RAW: unread, MADE: []})

    (told,) = found.refusals if strict else found.remarks
    assert told.startswith(
        "scenes.input.s3: it could not be checked whether something is deleted too early: the lifecycle of"
    )
    assert len(found.refusals) + len(found.remarks) == 1
    assert found.warnings == []


def test_a_run_for_which_the_bucket_keeps_inputs_too_short_is_always_refused() -> None:
    wanted = settings(of_input={"expected_run_days": 40})

    found = findings(wanted, {RAW: [Rule("tidy", "raw/", days=41)], MADE: []})

    (refusal,) = found.refusals
    assert refusal.startswith("scenes.input.s3.expected_run_days: a run of 40 days needs inputs that exist for 41 days")
    assert findings(wanted, {RAW: [Rule("tidy", "raw/", days=42)], MADE: []}) == Findings()
    assert findings(wanted, {RAW: [], MADE: []}) == Findings(), "nothing expires: nothing is skipped either"


def test_a_rule_about_a_part_of_the_inputs_does_not_stop_runs() -> None:
    part = [Rule("tmp", "raw/tmp/", days=1), Rule("tagged", "raw/", days=2, partly=True)]

    found = findings(settings(of_input={"expected_run_days": 40}), {RAW: part, MADE: []})

    assert found.refusals == []
    assert len(found.warnings) == 2


def test_a_model_that_is_trained_in_every_run_needs_inputs_that_stay() -> None:
    retrained = settings(retrain_every_run=True)

    (warning,) = findings(retrained, {RAW: [Rule("late", "raw/", days=400)], MADE: []}).warnings
    assert warning.startswith("scenes.input.s3: inputs are deleted after 400 days, and no model can be trained on")
    assert findings(retrained, {RAW: [], MADE: []}) == Findings()

    made = {"bucket": "acme-made", "create": True, "retention_days": 60}
    (warning,) = findings(settings(of_input=made, retrain_every_run=True), {}).warnings
    assert "deleted after 60 days" in warning
    assert findings(settings(of_input=made), {}) == Findings()


def test_a_day_on_which_all_is_deleted_is_seen_from_today(monkeypatch: pytest.MonkeyPatch) -> None:
    day = datetime(2026, 12, 31, tzinfo=UTC)
    known = {RAW: [Rule("end of year", "raw/", on=day)], MADE: []}

    monkeypatch.setattr(epochs, "now", lambda: day - timedelta(days=31))
    assert findings(settings(), known) == Findings()
    monkeypatch.setattr(epochs, "now", lambda: day - timedelta(days=29))
    assert "'end of year' deletes the objects under 'raw/' on 2026-12-31" in findings(settings(), known).warnings[0]
