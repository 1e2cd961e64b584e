"""How a stack is, judged from what was asked: each subject by itself, and the worst of all as the stack's."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from lightly_infra import epochs, health
from lightly_infra.health import EXIT_CODES, Finding, Health, State, Subject
from lightly_infra.lightly.errors import DatasetUnknown, LightlyError, PermissionsMissing, TokenRefused, Unreachable
from lightly_infra.retention import RulesUnreadable, Skipped
from lightly_infra.updates.changes import Change, Failure, Operation, latest

NOW = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)


def credential(known: dict[str, Any], *, warn_days: int = 14, rotation: int = 0) -> Finding:
    return health.credential("street-scenes", "input", known, now=NOW, warn_days=warn_days, rotation=rotation)


def change(operation: Operation, name: str = "raw") -> Change:
    return Change(f"urn:pulumi:dev::acme::aws:iam/user:User::{name}", "aws:iam/user:User", name, operation, ("tags",))


# -- permissions


def test_what_lightly_can_do_is_healthy() -> None:
    assert health.permissions("a", None).state is State.HEALTHY


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (PermissionsMissing("it can't read", missing=("read",)), State.BROKEN),
        (DatasetUnknown("GET /v1/datasets/x", status=404, code="DATASET_UNKNOWN"), State.BROKEN),
        (TokenRefused("GET /v1/datasets/x", status=401), State.UNKNOWN),
        (Unreachable("no answer", may_have_arrived=False), State.UNKNOWN),
    ],
)
def test_what_it_cannot_do_is_broken_and_no_answer_is_unknown(answer: LightlyError, state: State) -> None:
    finding = health.permissions("street-scenes", answer)

    assert (finding.state, finding.dataset) == (state, "street-scenes")
    assert str(answer) in finding.message


def test_a_dataset_that_shuts_lightly_out_is_told_and_healthy() -> None:
    finding = health.not_verifiable("street-scenes")

    assert finding.state is State.HEALTHY
    assert "not asked" in finding.message


# -- credentials


def test_a_credential_of_which_nothing_is_known_does_not_expire() -> None:
    finding = credential({"kind": "access key"})

    assert (finding.state, finding.details) == (State.HEALTHY, {"kind": "access key"})


def test_a_role_does_not_expire() -> None:
    assert credential({"kind": "role"}).message == "Lightly assumes a role, which does not expire"


@pytest.mark.parametrize(
    ("days", "state", "told"),
    [
        (-1, State.BROKEN, "expired on"),
        (0, State.EXPIRING, "expires in 0 days"),
        (1, State.EXPIRING, "expires in 1 day, on"),
        (13, State.EXPIRING, "sign another, set it as sas_token and run `pulumi up`"),
        (14, State.HEALTHY, "expires in 14 days"),
    ],
)
def test_a_sas_of_ones_own_is_said_before_it_expires_and_broken_after(days: int, state: State, told: str) -> None:
    expires = f"{NOW + timedelta(days=days, minutes=1):%Y-%m-%dT%H:%M:%SZ}"

    finding = credential({"kind": "SAS", "expires": expires})

    assert (finding.state, finding.details["days_left"]) == (state, days)
    assert told in finding.message


def test_how_early_it_is_said_is_the_stacks_to_say() -> None:
    known = {"kind": "SAS", "expires": f"{NOW + timedelta(days=40):%Y-%m-%dT%H:%M:%SZ}"}

    assert credential(known, warn_days=30).state is State.HEALTHY
    assert credential(known, warn_days=60).state is State.EXPIRING


@given(
    days=st.integers(1, 3650),
    age=st.integers(0, 3),
    forced=st.integers(0, 5),
    since=st.integers(0, 5),
)
def test_a_credential_is_due_once_its_epoch_is_over_or_a_renewal_was_asked_for(
    days: int, age: int, forced: int, since: int
) -> None:
    made = epochs.epoch(NOW.date(), days=days, forced=forced) - age

    known = {"kind": "access key", "epoch": float(made), "rotate_every_days": float(days)}
    finding = credential(known, rotation=forced + since)

    due = age + since
    assert finding.state is (State.EXPIRING if due else State.HEALTHY)
    assert ("old: run `pulumi up`" in finding.message) == bool(due)


@given(left=st.integers(-100, 1000), warn_days=st.integers(0, 400), days=st.none() | st.integers(1, 400))
def test_the_fewer_days_are_left_the_worse(left: int, warn_days: int, days: int | None) -> None:
    def state(left: int) -> State:
        expires = f"{NOW + timedelta(days=left, minutes=1):%Y-%m-%dT%H:%M:%SZ}"
        return credential({"kind": "SAS", "expires": expires, "rotate_every_days": days}, warn_days=warn_days).state

    order = [State.HEALTHY, State.EXPIRING, State.BROKEN]
    assert order.index(state(left - 1)) >= order.index(state(left))
    assert (state(left) is State.BROKEN) == (left < 0)


def test_outputs_of_another_form_are_taken_as_they_come() -> None:
    outputs = {"credentials": {"a": {"input": "[secret]", "lightly": {}}, "b": None}}

    found = list(health.credentials(outputs, now=NOW, warn_days=14))

    assert [(it.dataset, it.datasource, it.state) for it in found] == [
        ("a", "input", State.HEALTHY),
        ("a", "lightly", State.HEALTHY),
    ]
    assert list(health.credentials({}, now=NOW, warn_days=14)) == []


# -- inputs

SOON = (("raw/1.png", NOW + timedelta(days=1)), ("raw/2.png", NOW + timedelta(days=2)))


@pytest.mark.parametrize(
    ("skipped", "strategy", "state", "told"),
    [
        (None, "SKIP", State.HEALTHY, "no rule deletes inputs"),
        (Skipped(4, 9, 0), "SKIP", State.HEALTHY, "all 9 inputs exist for 4 days more"),
        (Skipped(1, 9, 0), "SKIP", State.HEALTHY, "for 1 day more"),
        (Skipped(4, 9, 2, SOON), "SKIP", State.HEALTHY, "2 of 9 inputs are deleted within 4 days: raw/1.png (until"),
        (Skipped(4, 9, 7, SOON), "SKIP", State.HEALTHY, "and 5 more; a run that starts now skips them"),
        (Skipped(4, 2, 2, SOON), "SKIP", State.BROKEN, "2 of 2 inputs"),
        (Skipped(4, 9, 2, SOON), "ABORT", State.BROKEN, "a run that starts now stops"),
        (Skipped(4, 2, 2, SOON, at_most=True), "ABORT", State.HEALTHY, "at most 2 of 2 inputs"),
        (RulesUnreadable("allow s3:GetLifecycleConfiguration"), "SKIP", State.UNKNOWN, "allow s3:GetLifecycle"),
    ],
)
def test_inputs_that_a_run_would_skip_are_counted_with_examples(
    skipped: Any, strategy: Any, state: State, told: str
) -> None:
    finding = health.inputs("street-scenes", skipped, strategy=strategy)

    assert (finding.subject, finding.state, finding.datasource) == (Subject.INPUTS, state, "input")
    assert told in finding.message


def test_machines_get_the_examples_too() -> None:
    details = health.inputs("a", Skipped(4, 9, 2, SOON)).details

    assert json.loads(json.dumps(details)) == {
        "min_days_to_expiration": 4,
        "handling_strategy": "SKIP",
        "inputs": 9,
        "skipped": 2,
        "at_most": False,
        "examples": [
            {"key": "raw/1.png", "expires": "2026-11-26T09:30:00Z"},
            {"key": "raw/2.png", "expires": "2026-11-27T09:30:00Z"},
        ],
    }


# -- drift


def test_what_stays_the_same_is_no_drift() -> None:
    assert health.drift([change(Operation.SAME), change(Operation.READ)]).state is State.HEALTHY


def test_drift_is_named_and_no_more_than_a_few() -> None:
    finding = health.drift([change(Operation.UPDATE, f"u{it}") for it in range(7)])

    assert finding.state is State.EXPIRING
    assert "would change 7: update User u0 (tags)" in finding.message.replace("user:", "")
    assert "and 2 more" in finding.message
    assert len(finding.details["changes"]) == 7


def test_a_preview_that_fails_tells_nothing_of_drift() -> None:
    finding = health.drift([], [Failure("", "no credentials"), Failure("", "no credentials")])

    assert finding.state is State.UNKNOWN
    assert finding.message.count("no credentials") == 1


def test_of_two_changes_of_a_resource_the_later_one_counts() -> None:
    gone, made = change(Operation.DELETE), change(Operation.CREATE)

    found = latest([gone, change(Operation.SAME, "other"), made])

    assert found == (replace(made, gone=True), change(Operation.SAME, "other"))


def test_what_somebody_has_deleted_is_broken_and_named_first_with_the_command_that_works() -> None:
    finding = health.drift([change(Operation.UPDATE, "u"), replace(change(Operation.CREATE, "c"), gone=True)])

    assert finding.state is State.BROKEN
    said = finding.message.replace("user:", "")
    assert said.startswith("run `pulumi up --refresh`, which would change 2: create User c")
    assert ", which has been deleted, update User u" in said
    assert [it["gone"] for it in finding.details["changes"]] == [True, False]


# -- all together


def of(*states: State, **more: Any) -> Health:
    return Health("dev", tuple(Finding(Subject.DRIFT, it, f"it is {it}") for it in states), **more)


@given(st.lists(st.sampled_from(State)))
def test_the_worst_is_the_stacks_and_healthy_alone_ends_with_zero(states: list[State]) -> None:
    worst = of(*states)

    order = [State.BROKEN, State.UNKNOWN, State.EXPIRING, State.HEALTHY]
    assert worst.state == min(states, key=order.index, default=State.HEALTHY)
    assert (worst.exit_code == 0) == (set(states) <= {State.HEALTHY})


def test_every_state_has_an_exit_code_of_its_own() -> None:
    assert EXIT_CODES == {State.HEALTHY: 0, State.BROKEN: 1, State.UNKNOWN: 2, State.EXPIRING: 3}


def test_a_stack_that_cannot_be_deployed_is_broken() -> None:
    assert of(failures=(Failure("", "it failed"),)).exit_code == 1


def test_warnings_are_shown_and_change_nothing() -> None:
    told = of(State.HEALTHY, warnings=("a rule deletes early",))
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(told)

    assert told.exit_code == 0
    assert told.as_json()["warnings"] == ["a rule deletes early"]
    picture = console.export_text()
    assert "warning: a rule deletes early" in picture
    assert "it is healthy" in picture
    assert "The stack is healthy" in picture


def test_a_stack_whose_input_is_merely_empty_is_not_called_expiring() -> None:
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(of(State.EXPIRING))
    assert "The stack needs attention" in console.export_text()


def test_machines_get_one_document() -> None:
    assert set(of(State.BROKEN).as_json()) == {"state", "stack", "findings", "warnings", "failures"}
    assert json.loads(json.dumps(of(State.BROKEN).as_json()))["findings"][0]["state"] == "broken"


def test_what_the_program_warns_of_a_datasource_is_a_finding_that_is_not_healthy() -> None:
    rule = "scenes.input.gcs: lifecycle rule 'tidy' deletes the objects under 'raw/' after 7 days"
    empty = "scenes.input.s3: there is no file under s3://acme-raw/rwa/"
    other = "something else"

    found, rest = health.warned([rule, other, empty, rule], ["scenes", "other"])

    assert [(it.message, it.dataset, it.datasource, it.state) for it in found] == [
        (rule, "scenes", "input", State.EXPIRING),
        (empty, "scenes", "input", State.EXPIRING),
    ]
    assert rest == [other]
