"""What Pulumi tells of an update, in words of our own."""

from __future__ import annotations

import pytest
from pulumi.automation.events import DiagnosticEvent, EngineEvent

from lightly_infra.updates.listener import Listener, _top_level
from lightly_infra.updates.messages import Scrubber


@pytest.mark.parametrize(
    ("path", "step"),
    [("tags", "tags"), ("tags.team", "tags"), ("rules[0].days", "rules"), ('["a.b"].c', "a.b"), ("a[*]", "a")],
)
def test_a_property_path_begins_with_its_property(path: str, step: str) -> None:
    assert _top_level([path]) == [step]


@pytest.mark.parametrize("said", ["a secret+/= b", "a secret%2B%2F%3D b", "a secret%2B/%3D b"])
def test_a_secret_is_hidden_in_whatever_form(said: str) -> None:
    scrubber = Scrubber()
    scrubber.hide("secret+/=")

    assert scrubber.scrub(said) == "a [secret] b"


def test_the_traceback_of_a_program_that_is_stopped_since_something_failed_is_not_told() -> None:
    said: list[str] = []
    listener = Listener(Scrubber(), None, lambda _, message: said.append(message))

    def tell(severity: str, message: str) -> None:
        event = DiagnosticEvent(message, "never", severity)
        listener(EngineEvent(0, 0, diagnostic_event=event))

    tell("info#err", "what a program prints")
    tell("error", "the token is not valid")
    tell("info#err", "Traceback (most recent call last):")
    tell("warning", "a rule deletes early")

    assert said == ["what a program prints", "a rule deletes early"]
    assert [it.message for it in listener.failures()] == ["the token is not valid"]
