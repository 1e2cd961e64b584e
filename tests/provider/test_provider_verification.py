"""The verification as a resource: it exists only while it holds."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra.lightly.client import LightlyClient
from lightly_infra.lightly.errors import ApiError, InvalidAnswer, LightlyError, PermissionsMissing
from lightly_infra.lightly.models import DatasetType, parse_config
from lightly_infra.lightly.operations import verify_until_allowed
from lightly_infra.provider.verification import Provider
from lightly_infra.sandbox import lightly as emulator
from lightly_infra.sandbox.lightly_rules import Refusal
from tests.provider.emulated import TOKEN, UNKNOWN, Configured

if TYPE_CHECKING:
    from lightly_infra.sandbox.lightly import LightlyServer

EXTERNAL_ID = "canary-external-id"
CONFIG = {
    "type": "S3DelegatedAccess",
    "purpose": "INPUT",
    "full_path": "s3://acme-raw/a/",
    "s3_region": "eu-central-1",
    "s3_arn": "arn:aws:iam::123456789012:role/ours",
    "s3_external_id": EXTERNAL_ID,
}
ALLOWED = dict.fromkeys(("can_list", "can_read", "can_write", "can_overwrite"), True)
MANY = 1_000_000


@pytest.fixture
def provider(server: LightlyServer, configured: Configured) -> Provider:
    assert server.url
    return configured(Provider)


@pytest.fixture
def props(server: LightlyServer) -> dict[str, Any]:
    # By another client, as it is another process that runs the datasource's provider: this one has heard no secret.
    with LightlyClient(TOKEN, base_url=server.url) as another:
        dataset_id = another.create_dataset("Street scenes", DatasetType.IMAGES)
        another.set_datasource(dataset_id, parse_config(CONFIG))
    return {"dataset_id": dataset_id, "triggers": ["a"], "datasources": [CONFIG], "deadline": 5.0}


@pytest.mark.parametrize("deadline", [1, 0.5, 120.0, None, UNKNOWN])
def test_a_deadline_is_a_time(provider: Provider, deadline: object) -> None:
    assert provider.check({}, {"dataset_id": UNKNOWN, "triggers": UNKNOWN, "deadline": deadline}).failures == []


@pytest.mark.parametrize("deadline", [0, -1, "5"])
def test_anything_else_is_refused(provider: Provider, deadline: object) -> None:
    (failure,) = provider.check({}, {"deadline": deadline}).failures
    assert failure.property == "deadline"
    assert failure.reason == f"{deadline!r}: give seconds, more than 0"


@pytest.mark.parametrize(
    ("change", "replaces"),
    [
        ({}, []),
        ({"triggers": ["b"]}, []),
        ({"triggers": UNKNOWN}, []),
        ({"datasources": [{**CONFIG, "s3_external_id": "another-external-id"}]}, []),
        ({"datasources": UNKNOWN}, []),
        ({"deadline": 7}, []),
        ({"dataset_id": "f" * 24}, ["dataset_id"]),
        ({"dataset_id": UNKNOWN}, ["dataset_id"]),
    ],
)
def test_another_dataset_is_another_verification_and_the_rest_asks_again(
    provider: Provider, props: dict[str, Any], change: dict[str, Any], replaces: list[str]
) -> None:
    difference = provider.diff("…", props | ALLOWED, props | change)
    assert difference.changes is None
    assert difference.replaces == replaces


def test_it_reads_back_and_asks_once_where_everything_is_allowed(
    provider: Provider, server: LightlyServer, props: dict[str, Any]
) -> None:
    before = len(server.requests)
    created = provider.create({**props, "__provider": "…"})
    assert (created.id, created.outs) == (props["dataset_id"], props | ALLOWED)
    one = f"GET /v1/datasets/{props['dataset_id']}/datasource"
    assert server.requests[before:] == [f"{one}/all", f"{one}/verify"]


def test_what_cannot_be_verified_is_read_back_all_the_same(
    provider: Provider, server: LightlyServer, props: dict[str, Any]
) -> None:
    before = len(server.requests)
    props["deadline"] = None
    assert provider.create(dict(props)).outs == props
    assert server.requests[before:] == [f"GET /v1/datasets/{props['dataset_id']}/datasource/all"]
    read = provider.read(props["dataset_id"], dict(props))
    assert (read.id, read.outs) == (props["dataset_id"], props)
    server.datasets.clear()
    assert provider.read(props["dataset_id"], dict(props)).id == ""


# -- what Lightly says that it has taken, and has not

LIGHTLY = {**CONFIG, "purpose": "LIGHTLY", "full_path": "s3://acme-lightly/b/"}


def test_what_was_not_taken_is_set_once_more(provider: Provider, server: LightlyServer, props: dict[str, Any]) -> None:
    server.datasets[props["dataset_id"]].datasources["INPUT"]["fullPath"] = "s3://acme-old/"
    provider.create({**props, "datasources": [CONFIG, LIGHTLY]})
    has = server.datasets[props["dataset_id"]].datasources
    assert {it: has[it]["fullPath"] for it in has} == {
        "INPUT": "s3://acme-raw/a/",
        "LIGHTLY": "s3://acme-lightly/b/",
    }


@pytest.mark.parametrize(
    ("visible", "said"),
    [
        ({"fullPath": "s3://acme-old/"}, "INPUT: full_path 's3://acme-old/' instead of 's3://acme-raw/a/'"),
        ({"s3Region": "us-east-1"}, "s3_region 'us-east-1' instead of 'eu-central-1'"),
        ({"s3ARN": "arn:aws:iam::123456789012:role/old"}, "s3_arn 'arn:aws:iam::123456789012:role/old' instead of"),
        ({"thumbSuffix": "x"}, "thumb_suffix 'x' instead of"),
        ({"s3ServerSideEncryptionKMSKey": "arn:aws:kms::1:key/k"}, "kms_key 'arn:aws:kms::1:key/k' instead of ''"),
        ({"type": "S3"}, "type 'S3' instead of 'S3DelegatedAccess'"),
        (None, "INPUT: none"),
        ({"fullPath": "s3://acme-raw/a"}, None),
        ({"s3ARN": "*****"}, None),
        ({"s3ExternalId": "*****"}, None),
        ({"newField": "x"}, None),
    ],
)
def test_a_datasource_that_is_not_what_was_set_stops_every_run_until_it_is(
    provider: Provider,
    server: LightlyServer,
    props: dict[str, Any],
    visible: dict[str, str] | None,
    said: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = server.datasets[props["dataset_id"]]
    if visible is None:
        dataset.datasources.clear()
    else:
        dataset.datasources["INPUT"].update(visible)
    monkeypatch.setattr(dataset, "set_datasource", lambda _: None)  # it ignores what it is told
    monkeypatch.setattr(provider.client, "sleep", lambda _: None)
    if said is None:
        assert provider.create(dict(props)).outs == props | ALLOWED
        return
    for _ in range(2):
        with pytest.raises(InvalidAnswer) as error:
            provider.create(dict(props))
        assert said in str(error.value)
        assert "canary" not in str(error.value)
    monkeypatch.undo()


def test_a_server_with_one_slot_for_both_is_noticed(
    provider: Provider, server: LightlyServer, props: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = server.datasets[props["dataset_id"]]
    monkeypatch.setattr(provider.client, "sleep", lambda _: None)

    def one_slot(datasource: dict[str, str]) -> None:
        dataset.datasources = {datasource["purpose"]: datasource}

    monkeypatch.setattr(dataset, "set_datasource", one_slot)
    with pytest.raises(InvalidAnswer, match="INPUT: none"):
        provider.create({**props, "datasources": [CONFIG, LIGHTLY]})


def test_it_asks_until_permissions_have_propagated(
    provider: Provider, server: LightlyServer, props: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults = verify_until_allowed.__kwdefaults__ or {}
    monkeypatch.setattr(verify_until_allowed, "__kwdefaults__", defaults | {"sleep": lambda _: None})
    server.deny_verifies(2)
    assert provider.create(dict(props)).outs == props | ALLOWED
    assert sum(it.endswith("/verify") for it in server.requests) == 3


def test_it_fails_naming_what_is_missing(provider: Provider, server: LightlyServer, props: dict[str, Any]) -> None:
    server.deny_verifies(MANY)
    with pytest.raises(PermissionsMissing) as error:
        provider.create({**props, "deadline": 0.01})
    assert set(error.value.missing) == {"list", "read", "write", "overwrite"}
    assert "Likely cause" in str(error.value)
    assert "canary" not in str(error.value)


def test_an_update_asks_again(provider: Provider, server: LightlyServer, props: dict[str, Any]) -> None:
    before = len(server.requests)
    updated = provider.update(props["dataset_id"], props | ALLOWED, {**props, "triggers": ["b"], "__provider": "…"})
    assert updated.outs == props | ALLOWED | {"triggers": ["b"]}
    assert len(server.requests) == before + 2


ECHO = f"AccessDenied: sts:AssumeRole with external id {EXTERNAL_ID} was refused"


def deny(*_: object) -> dict[str, Any]:
    """What Lightly answers when it is allowed nothing, and repeats what it was told."""
    names = ("canList", "canRead", "canWrite", "canOverwrite")
    return {**dict.fromkeys(names, False), "errors": dict.fromkeys(names, ECHO)}


def refuse_credentials(*_: object) -> dict[str, Any]:
    raise Refusal(400, "DATASET_DATASOURCE_CREDENTIALS_ERROR", ECHO)


def break_down(*_: object) -> dict[str, Any]:
    raise Refusal(400, "BAD_REQUEST", ECHO)


def told_by(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))


@pytest.mark.parametrize("answer", [deny, refuse_credentials, break_down])
@pytest.mark.parametrize("operation", ["create", "update"])
def test_a_failure_never_shows_a_secret_that_lightly_repeats(
    provider: Provider, props: dict[str, Any], answer: object, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulator, "permissions", answer)
    props["deadline"] = 0.01
    with pytest.raises(LightlyError) as error:
        provider.create(props) if operation == "create" else provider.update(props["dataset_id"], props, props)
    assert EXTERNAL_ID not in told_by(error.value)
    assert "external id [redacted] was refused" in str(error.value)


def test_a_refresh_never_shows_a_secret_that_lightly_repeats(
    provider: Provider, props: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulator, "permissions", break_down)
    with pytest.raises(LightlyError) as error:
        provider.read(props["dataset_id"], props | ALLOWED)
    assert EXTERNAL_ID not in told_by(error.value)
    assert "external id [redacted] was refused" in str(error.value)


def test_a_refresh_asks_once_and_changes_nothing_while_it_holds(
    provider: Provider, server: LightlyServer, props: dict[str, Any]
) -> None:
    before = len(server.requests)
    read = provider.read(props["dataset_id"], {**props, **ALLOWED, "__provider": "…"})
    assert (read.id, read.outs, read.inputs) == (props["dataset_id"], props | ALLOWED, None)
    assert len(server.requests) == before + 1


def test_what_holds_no_longer_is_gone_so_that_the_next_run_proves_it_anew(
    provider: Provider, server: LightlyServer, props: dict[str, Any]
) -> None:
    server.deny_verifies(1)
    read = provider.read(props["dataset_id"], props | ALLOWED)
    assert (read.id, read.outs) == ("", {})


def test_credentials_that_cannot_be_used_at_all_are_gone_too(
    provider: Provider, props: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise ApiError("GET", status=400, code="DATASET_DATASOURCE_CREDENTIALS_ERROR", message="AccessDenied")

    monkeypatch.setattr(provider.client, "verify", refuse)
    read = provider.read(props["dataset_id"], props | ALLOWED)
    assert (read.id, read.outs) == ("", {})


def test_with_its_dataset_a_verification_is_gone(provider: Provider) -> None:
    read = provider.read("f" * 24, {"dataset_id": "f" * 24, "deadline": 5})
    assert (read.id, read.outs) == ("", {})


def test_deleting_it_costs_no_call(provider: Provider, server: LightlyServer, props: dict[str, Any]) -> None:
    before = len(server.requests)
    provider.delete(props["dataset_id"], props)
    assert len(server.requests) == before
