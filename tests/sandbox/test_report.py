"""The report holds only if everything was tried and went as it should, and says so in tables and JSON."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from lightly_infra import health
from lightly_infra.permissions import Operation, Purpose, is_granted
from lightly_infra.retention import Skipped
from lightly_infra.sandbox import report
from lightly_infra.sandbox.probe import BESIDE, INSIDE, Attempt
from lightly_infra.updates.changes import Failure


def attempt(purpose: Purpose, operation: Operation, target: str = INSIDE, **changes: Any) -> Attempt:
    expected = "allowed" if target == INSIDE and is_granted(purpose, operation) else "refused"
    return Attempt(
        **{
            "purpose": purpose,
            "operation": operation,
            "target": target,
            "expected": expected,
            "outcome": expected,
            **changes,
        }
    )


def all_attempts() -> list[Attempt]:
    inside = [attempt(purpose, it) for purpose in (Purpose.INPUT, Purpose.LIGHTLY) for it in Operation]
    return [*inside, attempt(Purpose.INPUT, Operation.READ, BESIDE)]


def dataset(attempts: list[Attempt], *, bypassed: bool = False) -> report.Dataset:
    return report.Dataset(
        id="ab" * 12,
        name="street-scenes",
        type="Images",
        datasources=(
            report.Datasource(Purpose.INPUT, "S3", "s3://acme-raw/street-scenes/"),
            report.Datasource(Purpose.LIGHTLY, "S3", "s3://acme-lightly/lightly/"),
        ),
        attempts=tuple(attempts),
        bypassed=bypassed,
    )


def of(*datasets: report.Dataset, failures: tuple[Failure, ...] = ()) -> report.Report:
    return report.Report("embedded", {"create": 17}, datasets, failures)


def picture(told: report.Report) -> str:
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(told)
    return console.export_text()


def test_it_holds_when_everything_was_tried_and_went_as_it_should() -> None:
    told = of(dataset(all_attempts()))

    assert told.ok
    assert told.as_json()["datasets"][0]["verified"]
    assert "All permissions proved" in picture(told)
    assert "17 create" in picture(told)


@pytest.mark.parametrize("left_out", range(10))
def test_an_operation_that_was_not_tried_is_not_proved(left_out: int) -> None:
    attempts = all_attempts()
    del attempts[left_out]

    told = of(dataset(attempts))

    assert not told.ok
    assert "not tried" in picture(told)


@pytest.mark.parametrize("which", range(11))
def test_an_attempt_that_went_the_wrong_way_fails_the_report(which: int) -> None:
    attempts = all_attempts()
    wrong = "refused" if attempts[which].expected == "allowed" else "allowed"
    attempts[which] = attempt(
        attempts[which].purpose, Operation(attempts[which].operation), attempts[which].target, outcome=wrong
    )

    told = of(dataset(attempts))

    assert not told.ok
    assert f"{wrong}, should be" in picture(told)


def test_without_any_dataset_nothing_is_proved() -> None:
    told = of()
    assert not told.ok
    assert "No dataset was registered, so nothing was proved" in picture(told)


def test_nothing_tried_is_fine_only_where_the_stack_says_so() -> None:
    assert not of(dataset([])).ok
    told = of(dataset([], bypassed=True))
    assert (told.ok, told.datasets[0].verified) == (True, False)
    assert "Not verified, because only some source addresses are let in: street-scenes" in picture(told)


def test_a_failure_fails_the_report_whatever_was_proved() -> None:
    told = of(dataset(all_attempts()), failures=(Failure("urn:x", "it broke"),))

    assert not told.ok
    assert told.as_json()["failures"] == [{"resource": "urn:x", "message": "it broke"}]
    assert "see the errors above" in picture(told)


def test_inputs_that_a_run_would_skip_are_shown() -> None:
    skipped = Skipped(4, 9, 2, (("raw/old.png", datetime(2026, 11, 27, tzinfo=UTC)),))
    told = report.Report("embedded", {}, (dataset(all_attempts()),), (), (health.inputs("scenes", skipped),))

    assert "2 of 9 inputs are deleted within 4 days: raw/old.png" in " ".join(picture(told).split())
    assert told.as_json()["inputs"][0]["details"]["skipped"] == 2
    assert told.ok == of(dataset(all_attempts())).ok, "it is no failure"
