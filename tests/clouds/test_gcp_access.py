"""How Lightly gets in: what the service accounts are, and that their keys are secret under every name."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Any

import pulumi
import pytest

from lightly_infra import epochs
from lightly_infra.clouds import gcp
from tests.pulumi_mocks import GOOGLE_KEY, PROJECT_ID, Recording, Secret, in_the_open, made_by, run

EMAIL = f"lightly-0a1b2c3d@{PROJECT_ID}.iam.gserviceaccount.com"
OWN = "ours@acme-other.iam.gserviceaccount.com"
BROUGHT = json.dumps(
    {
        "type": "service_account",
        "project_id": "acme-other",
        "private_key_id": "0123456789abcdef",
        "private_key": "-----BEGIN PRIVATE KEY-----\ncanary-brought-key\n-----END PRIVATE KEY-----\n",
        "client_email": OWN,
        "token_uri": "https://oauth2.googleapis.com/token",
    }
)


def account(args: gcp.ServiceAccountArgs | None = None, *, preview: bool = False) -> Recording:
    return run(lambda: gcp.ServiceAccount("lightly", args), preview=preview)


def brought(credentials: pulumi.Input[str] = BROUGHT, *, preview: bool = False) -> Recording:
    return run(lambda: gcp.BroughtCredentials("lightly", {"credentials": credentials}), preview=preview)


def everything_in_the_open(recording: Recording) -> str:
    return " ".join(in_the_open(it.inputs) for it in recording.resources) + in_the_open(recording.outputs)


# -- a service account


def test_a_service_account_and_one_key_are_made_under_the_component() -> None:
    recording = account()
    component = recording.one("lightly-infra:gcp:ServiceAccount")
    assert [(it.type, it.name, it.parent) for it in recording.custom] == [
        ("random:index/randomString:RandomString", "lightly", component.urn),
        ("gcp:serviceaccount/account:Account", "lightly", component.urn),
        ("gcp:serviceaccount/key:Key", "lightly", component.urn),
    ]
    assert recording.one("serviceaccount/key").inputs == {"serviceAccountId": EMAIL}


def test_the_account_is_called_like_the_component_with_a_suffix_drawn_once() -> None:
    recording = account()
    assert recording.one("random:").inputs == {"length": 8, "special": False, "upper": False}
    assert recording.one("serviceaccount/account").inputs == {
        "accountId": "lightly-0a1b2c3d",
        "displayName": "lightly",
        "createIgnoreAlreadyExists": True,
        "description": made_by("lightly").describe("Lightly gets in with a key of it."),
    }


def test_the_account_is_made_in_the_given_project() -> None:
    assert account({"project": PROJECT_ID}).one("serviceaccount/account").inputs["project"] == PROJECT_ID


def test_the_account_alone_may_do_nothing() -> None:
    recording = account()
    assert not recording.of("IAM")
    assert not recording.of("gcp:storage")


def test_the_key_is_secret_wherever_it_goes() -> None:
    recording = account()
    assert "privateKey" in recording.one("serviceaccount/key").secret_outputs
    assert "canary" not in everything_in_the_open(recording)
    assert recording.outputs_of(recording.one("lightly-infra:")) == {
        "service_account": EMAIL,
        "credentials": Secret(GOOGLE_KEY),
    }


def test_we_say_that_the_key_is_secret_whether_the_sdk_says_so_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    import pulumi_gcp

    told: list[object] = []
    make: Any = pulumi_gcp.serviceaccount.Key

    def key(name: str, *, opts: pulumi.ResourceOptions, **more: Any) -> Any:
        told.append(opts.additional_secret_outputs)
        return make(name, opts=opts, **more)

    monkeypatch.setattr(pulumi_gcp.serviceaccount, "Key", key)
    account()
    assert told == [["private_key"]]


def test_lightly_is_told_the_key_itself_and_not_its_base64() -> None:
    def program() -> None:
        access = gcp.ServiceAccount("lightly")
        pulumi.export("config", dict(access.config))
        pulumi.export("secrets", dict(access.secrets))
        pulumi.export("member", access.member)

    told = run(program).stack_outputs
    assert told["config"] == {"type": "GCS", "gcs_credentials": Secret(GOOGLE_KEY)}
    assert told["secrets"] == {"credentials": Secret(GOOGLE_KEY)}
    assert told["member"] == f"serviceAccount:{EMAIL}"


# -- renewal

DAY = date(2026, 11, 22)  # day 20,779: epoch 230 of 90 days, which lasts until 2026-12-02


def renewed(**args: Any) -> tuple[list[str], Secret, dict[str, Any]]:
    """The names of the keys, the one that Lightly is told, and what is known of it."""

    def program() -> None:
        given: gcp.ServiceAccountArgs = {"rotate_every_days": 90, "on": DAY}
        access = gcp.ServiceAccount("lightly", given | args)  # type: ignore[arg-type]  # of any test's choice
        pulumi.export("told", access.config["gcs_credentials"])
        pulumi.export("credential", {it: value for it, value in vars(access.credential).items() if value is not None})

    recording = run(program)
    found = recording.of("serviceaccount/key")
    assert {it.inputs["serviceAccountId"] for it in found} == {args.get("email", EMAIL)}
    assert all("privateKey" in it.secret_outputs for it in found)
    outputs = recording.stack_outputs
    return [it.name for it in found], outputs["told"], outputs["credential"]


@pytest.mark.parametrize("args", [{}, {"email": OWN}])
def test_this_epoch_and_the_one_before_each_have_a_key_and_lightly_is_told_the_newer(args: dict[str, Any]) -> None:
    keys, told, known = renewed(**args)
    assert keys == ["lightly-229", "lightly-230"]
    assert told == Secret(GOOGLE_KEY.replace("canary-google-key", "canary-google-key230"))
    assert known == {
        "kind": "service account key",
        "created": "2026-11-24T10:11:12Z",
        "expires": None,
        "epoch": 230,
        "rotate_every_days": 90,
    }


@pytest.mark.parametrize(
    ("args", "keys"),
    [
        ({"on": date(2026, 12, 2)}, ["lightly-229", "lightly-230"]),
        ({"on": date(2026, 12, 3)}, ["lightly-230", "lightly-231"]),
        ({"rotation": 1}, ["lightly-230", "lightly-231"]),
    ],
)
def test_one_generation_moves_on_with_the_epoch_or_when_it_is_forced(args: dict[str, Any], keys: list[str]) -> None:
    assert renewed(**args)[0] == keys


def test_without_a_day_it_is_today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "today", lambda: DAY)
    recording = account({"rotate_every_days": 90})
    assert [it.name for it in recording.of("serviceaccount/key")] == ["lightly-229", "lightly-230"]


# -- a service account of the user's own


@pytest.mark.parametrize("later", [False, True])
def test_an_account_of_yours_gets_a_key_and_is_not_changed(later: bool) -> None:
    recording = run(lambda: gcp.ServiceAccount("lightly", {"email": pulumi.Output.from_input(OWN) if later else OWN}))
    assert [(it.type, it.inputs) for it in recording.custom] == [
        ("gcp:serviceaccount/key:Key", {"serviceAccountId": OWN})
    ]
    assert recording.outputs_of(recording.one("lightly-infra:"))["service_account"] == OWN


def test_an_account_of_yours_is_granted_roles() -> None:
    def program() -> None:
        pulumi.export("member", gcp.ServiceAccount("lightly", {"email": OWN}).member)

    assert run(program).stack_outputs["member"] == f"serviceAccount:{OWN}"


def test_what_is_no_account_is_refused_before_anything_is_made() -> None:
    def program() -> None:
        with pytest.raises(ValueError, match=r"'ada@example.com' is no service account; give its e-mail"):
            gcp.ServiceAccount("lightly", {"email": "ada@example.com"})

    assert run(program).custom == []


def test_what_turns_out_to_be_no_account_is_refused_too() -> None:
    with pytest.raises(ValueError, match=r"'ada@example.com' is no service account"):
        account({"email": pulumi.Output.from_input("ada@example.com")})


# -- a key of the user's own


@pytest.mark.parametrize("later", [False, True])
def test_a_key_of_yours_is_used_as_it_is_and_nothing_is_made(later: bool) -> None:
    recording = run(
        lambda: gcp.BroughtCredentials(
            "lightly", {"credentials": pulumi.Output.from_input(BROUGHT) if later else BROUGHT}
        )
    )
    assert recording.custom == []
    assert recording.outputs_of(recording.one("lightly-infra:gcp:BroughtCredentials")) == {
        "service_account": OWN,
        "credentials": Secret(BROUGHT),
    }
    assert "canary" not in everything_in_the_open(recording)


def test_a_key_of_yours_is_granted_nothing() -> None:
    def program() -> None:
        assert gcp.BroughtCredentials("lightly", {"credentials": BROUGHT}).member is None

    run(program)


@pytest.mark.parametrize("later", [False, True])
def test_what_is_no_key_is_refused_and_not_repeated(later: bool) -> None:
    def program() -> None:
        text = BROUGHT[:-1]
        gcp.BroughtCredentials("lightly", {"credentials": pulumi.Output.from_input(text) if later else text})

    with pytest.raises(ValueError, match=re.escape("no JSON object; give the key's JSON document")) as error:
        run(program)
    assert "canary" not in str(error.value)


# -- options


def test_children_wait_for_what_the_component_waits_for() -> None:
    def program() -> None:
        before = gcp.Bucket("before", {"location": "EU"})
        gcp.ServiceAccount("lightly", None, pulumi.ResourceOptions(depends_on=[before]))

    recording = run(program)
    before = recording.one("gcp:storage/bucket", "before").urn
    later = [it for it in recording.custom if it.name == "lightly"]
    assert len(later) == 3
    assert all(before in it.depends_on for it in later)


def test_a_preview_needs_nothing_to_be_known() -> None:
    assert len(account(preview=True).custom) == 3
    assert brought(preview=True).custom == []
