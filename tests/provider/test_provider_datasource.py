"""A datasource as a resource: its credentials change in place, its secrets are never compared."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra.lightly import handover
from lightly_infra.lightly.errors import DatasetUnknown, HandoverFailed
from lightly_infra.lightly.models import DatasetType
from lightly_infra.provider.datasource import Provider
from tests.provider.emulated import UNKNOWN, Configured

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightly_infra.sandbox.lightly import LightlyServer

SECRET = "canary-secret-access-key"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/1234"

COMMON = {"purpose": "INPUT", "full_path": "s3://acme-raw/a/"}
BY_KEY = {
    **COMMON,
    "type": "S3",
    "s3_region": "eu-central-1",
    "s3_access_key_id": "AKIAEXAMPLE",
    "s3_secret_access_key": SECRET,
}
BY_ROLE = {
    **COMMON,
    "type": "S3DelegatedAccess",
    "s3_region": "eu-central-1",
    "s3_arn": "arn:aws:iam::123456789012:role/lightly",
    "s3_external_id": "canary-external-id",
}
ALL_TYPES = [
    BY_KEY,
    BY_ROLE,
    {**COMMON, "type": "GCS", "gcs_project_id": "acme", "gcs_credentials": '{"canary": 1}'},
    {**COMMON, "type": "AZURE", "account_name": "acme", "account_key": "?sv=canary"},
    {
        **COMMON,
        "type": "OBS",
        "obs_endpoint": "https://obs.example.com",
        "obs_access_key_id": "AK",
        "obs_secret_access_key": SECRET,
    },
]
every_type = pytest.mark.parametrize("config", ALL_TYPES, ids=lambda it: it["type"])


@pytest.fixture
def provider(server: LightlyServer, configured: Configured) -> Provider:
    assert server.url
    return configured(Provider)


@pytest.fixture
def dataset_id(provider: Provider) -> str:
    return provider.client.create_dataset("Street scenes", DatasetType.IMAGES)


def told(server: LightlyServer, dataset_id: str, purpose: str = "INPUT") -> dict[str, str]:
    return server.datasets[dataset_id].datasources[purpose]


def failures(provider: Provider, **news: Any) -> dict[str, str]:
    return {it.property: it.reason for it in provider.check({}, {"dataset_id": "0" * 24, **news}).failures}


# -- check


@every_type
def test_every_type_is_accepted(provider: Provider, config: dict[str, str]) -> None:
    for deadline in ({}, {"deadline": 5}, {"deadline": 0.5}, {"deadline": UNKNOWN}):
        assert failures(provider, **config, **deadline) == {}


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"s3_region": "mars"}, "s3_region", "'mars' is not one of the 30 regions"),
        ({"s3_arn": "arn:aws-cn:iam::123456789012:role/x"}, "s3_arn", "is not a role ARN that Lightly accepts"),
        ({"s3_external_id": "canary"}, "s3_external_id", "too short: 6 characters"),
        ({"purpose": "OUTPUT"}, "purpose", "INPUT"),
        ({"s3_server_side_encryption_kms_key": "alias/x"}, "s3_server_side_encryption_kms_key", "is an alias"),
        ({"region": "eu-central-1"}, "region", "not permitted"),
        ({"deadline": -1}, "deadline", "-1: give seconds, 0 or more"),
    ],
)
def test_the_apis_field_rules_hold_in_a_preview(
    provider: Provider, change: dict[str, str], field: str, reason: str
) -> None:
    found = failures(provider, **{**BY_ROLE, **change})
    assert set(found) == {field}
    assert reason in found[field]
    assert "canary" not in str(found)


def test_a_missing_field_is_told_by_its_python_name(provider: Provider) -> None:
    assert set(failures(provider, **{name: it for name, it in BY_ROLE.items() if name != "s3_arn"})) == {"s3_arn"}


@every_type
def test_what_a_preview_does_not_know_yet_is_not_refused(provider: Provider, config: dict[str, str]) -> None:
    for name in config:
        assert failures(provider, **{**config, name: UNKNOWN}) == {}
    assert failures(provider, **dict.fromkeys(config, UNKNOWN)) == {}


def test_the_rest_is_checked_all_the_same(provider: Provider) -> None:
    assert set(failures(provider, **{**BY_ROLE, "s3_arn": UNKNOWN, "s3_region": "mars"})) == {"s3_region"}


# -- diff


@pytest.mark.parametrize(
    ("change", "replaces"),
    [
        ({"purpose": "LIGHTLY"}, ["purpose"]),
        ({"purpose": UNKNOWN}, ["purpose"]),
        ({"dataset_id": "f" * 24}, ["dataset_id"]),
        ({"dataset_id": UNKNOWN}, ["dataset_id"]),
        ({"full_path": "s3://acme-raw/b/"}, []),
        ({"s3_region": "us-east-1"}, []),
        ({"s3_external_id": "another-canary-id"}, []),
        ({"s3_arn": UNKNOWN}, []),
        ({"type": "S3"}, []),
    ],
)
def test_only_another_dataset_or_purpose_is_another_datasource(
    provider: Provider, change: dict[str, Any], replaces: list[str]
) -> None:
    olds = {"dataset_id": "0" * 24, **BY_ROLE}
    difference = provider.diff("…", olds, olds | change)
    assert difference.changes is None, "the engine compares the inputs, and tells what changed"
    assert difference.replaces == replaces
    assert not difference.delete_before_replace


@pytest.mark.parametrize(
    "deadlines",
    [
        ({}, {}),
        ({}, {"deadline": 120.0}),
        ({"deadline": 5.0}, {}),
        ({"deadline": 5}, {"deadline": 7}),
        ({"deadline": UNKNOWN},) * 2,
    ],
)
def test_another_deadline_alone_is_no_change(
    provider: Provider, deadlines: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    olds, news = ({"dataset_id": "0" * 24, **BY_ROLE, **it} for it in deadlines)
    assert provider.diff("…", olds, news).changes is False, "states from before there was one stay as they are"
    assert provider.diff("…", olds, {**news, "s3_region": "us-east-1"}).changes is None
    assert provider.diff("…", olds, {**news, "s3_external_id": UNKNOWN}).changes is None
    assert provider.diff("…", {**olds, "__provider": "a"}, {**news, "__provider": "b"}).changes is None


# -- create and update


@every_type
def test_every_type_is_set_with_one_call(
    provider: Provider, server: LightlyServer, dataset_id: str, config: dict[str, str]
) -> None:
    before = len(server.requests)
    props = {"dataset_id": dataset_id, **config}
    created = provider.create({**props, "__provider": "…"})
    assert created.id == f"{dataset_id}/INPUT"
    assert created.outs == props
    assert server.requests[before:] == [f"PUT /v1/datasets/{dataset_id}/datasource"]
    assert told(server, dataset_id)["fullPath"] == "s3://acme-raw/a/"


def test_each_purpose_is_a_datasource_of_its_own(provider: Provider, server: LightlyServer, dataset_id: str) -> None:
    for purpose in ("INPUT", "LIGHTLY"):
        provider.create({"dataset_id": dataset_id, **BY_KEY, "purpose": purpose})
    assert set(server.datasets[dataset_id].datasources) == {"INPUT", "LIGHTLY"}


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ({"s3_secret_access_key": "canary-new"}, "s3SecretAccessKey", "canary-new"),
        ({"full_path": "s3://acme-raw/b/"}, "fullPath", "s3://acme-raw/b/"),
        ({"s3_region": "us-east-1"}, "s3Region", "us-east-1"),
    ],
)
def test_credentials_path_and_region_change_in_place(
    provider: Provider, server: LightlyServer, dataset_id: str, change: dict[str, str], field: str, value: str
) -> None:
    olds = {"dataset_id": dataset_id, **BY_KEY}
    created = provider.create(dict(olds))
    updated = provider.update(created.id, olds, {**olds, **change, "__provider": "…"})
    assert updated.outs == olds | change
    assert told(server, dataset_id)[field] == value


@pytest.fixture
def hand_over(provider: Provider, server: LightlyServer, dataset_id: str) -> Callable[..., list[str]]:
    """Registers `BY_KEY` and then a change of it, and tells what was asked of Lightly."""
    props = {"dataset_id": dataset_id, **BY_KEY}

    def update(change: dict[str, Any], olds: dict[str, Any] | None = None, deadline: float | None = 5.0) -> list[str]:
        created = provider.create(dict(props))
        before = len(server.requests)
        news = {name: it for name, it in (props | change).items() if it is not None}
        updated = provider.update(created.id, olds or props, {**news, "deadline": deadline, "__provider": "…"})
        assert updated.outs == news | {"deadline": deadline}
        return [it.split()[0] for it in server.requests[before:]]

    return update


BY_ROLE_INSTEAD = {**dict.fromkeys(BY_KEY), **BY_ROLE}
ANOTHER_KEY = {"s3_access_key_id": "AKIAOTHER", "s3_secret_access_key": "canary-new"}


@pytest.mark.parametrize("change", [{"s3_secret_access_key": "canary-new"}, ANOTHER_KEY, BY_ROLE_INSTEAD])
def test_other_credentials_are_registered_only_if_they_work(
    hand_over: Callable[..., list[str]], change: dict[str, Any]
) -> None:
    assert hand_over(change) == ["GET", "PUT", "GET", "GET"], "verified, set, verified, read back"


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"full_path": "s3://acme-raw/b/", **ANOTHER_KEY},
        {"s3_region": "us-east-1", **ANOTHER_KEY},
        {"s3_server_side_encryption_kms_key": KEY, **ANOTHER_KEY},
        {"thumb_suffix": "small/[filename]", **ANOTHER_KEY},
    ],
)
def test_another_place_has_no_credentials_before_it(
    hand_over: Callable[..., list[str]], change: dict[str, Any]
) -> None:
    assert hand_over(change) == ["PUT"]


@pytest.mark.parametrize("deadline", [None, 0])
def test_what_cannot_be_verified_is_registered_unseen(
    hand_over: Callable[..., list[str]], deadline: float | None
) -> None:
    assert hand_over(ANOTHER_KEY, deadline=deadline) == ["PUT"]


def test_credentials_that_a_refresh_has_not_found_are_not_put_back(
    hand_over: Callable[..., list[str]], dataset_id: str
) -> None:
    found = {"dataset_id": dataset_id, **COMMON, "type": "S3", "s3_region": "eu-central-1"}
    assert hand_over(ANOTHER_KEY, olds=found) == ["PUT"]


def test_datasources_of_one_dataset_take_turns(
    provider: Provider, dataset_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_way, most = [0], [0]

    def slow(*_: object, **__: object) -> None:
        under_way[0] += 1
        most[0] = max(most[0], *under_way)
        time.sleep(0.05)
        under_way[0] -= 1

    monkeypatch.setattr(handover, "hand_over", slow)
    monkeypatch.setattr(provider.client, "set_datasource", slow)

    def update(change: dict[str, str]) -> None:
        olds = {"dataset_id": dataset_id, **BY_KEY, "deadline": 5.0}
        provider.update("…", olds, olds | change)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(update, [ANOTHER_KEY, {"full_path": "s3://acme-raw/b/"}] * 2))
    assert most == [1]


def test_what_does_not_work_is_said_without_a_secret_and_stays_out(
    provider: Provider, server: LightlyServer, dataset_id: str
) -> None:
    olds = {"dataset_id": dataset_id, **BY_KEY}
    created = provider.create(dict(olds))

    def refuse(_: str) -> str:
        server.deny_verifies(100)
        return f"the keys {SECRET} and canary-new"

    server.fail_next("PUT", "/datasource", 503, error=refuse)
    with pytest.raises(HandoverFailed, match="the new credentials of the Input datasource") as failed:
        provider.update(created.id, olds, {**olds, **ANOTHER_KEY, "deadline": 0.1})
    assert "canary" not in str(failed.value)
    assert told(server, dataset_id)["s3SecretAccessKey"] == SECRET


def test_another_way_in_changes_in_place(provider: Provider, server: LightlyServer, dataset_id: str) -> None:
    created = provider.create({"dataset_id": dataset_id, **BY_KEY})
    provider.update(created.id, {"dataset_id": dataset_id, **BY_KEY}, {"dataset_id": dataset_id, **BY_ROLE})
    assert told(server, dataset_id)["type"] == "S3DelegatedAccess"


def test_deleting_leaves_the_datasource_to_its_dataset(
    provider: Provider, server: LightlyServer, dataset_id: str
) -> None:
    created = provider.create({"dataset_id": dataset_id, **BY_KEY})
    before = len(server.requests)
    provider.delete(created.id, dict(created.outs or {}))
    assert told(server, dataset_id)
    assert len(server.requests) == before


def test_a_dataset_that_is_gone_is_told(provider: Provider) -> None:
    with pytest.raises(DatasetUnknown, match="there is no such dataset"):
        provider.create({"dataset_id": "f" * 24, **BY_KEY})


# -- read


@every_type
def test_refreshing_shows_no_drift_where_there_is_none_masked_or_not(
    provider: Provider, dataset_id: str, config: dict[str, str]
) -> None:
    created = provider.create({"dataset_id": dataset_id, **config})
    for deadline in ({}, {"deadline": 5.0}):
        known = {"dataset_id": dataset_id, **config, **deadline}
        read = provider.read(created.id, {**known, "__provider": "…"})
        assert (read.id, read.outs, read.inputs) == (created.id, known, None)


@pytest.mark.parametrize(
    ("field", "name", "value"),
    [
        ("fullPath", "full_path", "s3://elsewhere/"),
        ("s3Region", "s3_region", "us-east-1"),
        ("thumbSuffix", "thumb_suffix", "small/[filename]"),
        ("s3ServerSideEncryptionKMSKey", "s3_server_side_encryption_kms_key", KEY),
    ],
)
def test_a_change_in_lightlys_own_ui_shows_as_drift(
    provider: Provider, server: LightlyServer, dataset_id: str, field: str, name: str, value: str
) -> None:
    props = {"dataset_id": dataset_id, **BY_KEY}
    created = provider.create(dict(props))
    told(server, dataset_id)[field] = value
    read = provider.read(created.id, props)
    assert read.outs == props | {name: value}
    assert read.inputs == read.outs


def test_the_secret_of_another_key_is_not_known(provider: Provider, server: LightlyServer, dataset_id: str) -> None:
    props = {"dataset_id": dataset_id, **BY_KEY}
    created = provider.create(dict(props))
    told(server, dataset_id)["s3AccessKeyId"] = "AKIAOTHER"

    read = provider.read(created.id, props)

    ours = {name: it for name, it in props.items() if name != "s3_secret_access_key"}
    assert read.outs == read.inputs == ours | {"s3_access_key_id": "AKIAOTHER"}


def test_a_key_that_was_taken_away_shows_as_drift(provider: Provider, server: LightlyServer, dataset_id: str) -> None:
    props = {"dataset_id": dataset_id, **BY_KEY, "s3_server_side_encryption_kms_key": KEY}
    created = provider.create(dict(props))
    del told(server, dataset_id)["s3ServerSideEncryptionKMSKey"]
    read = provider.read(created.id, props)
    assert read.inputs == {"dataset_id": dataset_id, **BY_KEY}


def test_a_secret_read_back_is_not_compared_and_not_taken(
    provider: Provider, server: LightlyServer, dataset_id: str
) -> None:
    props = {"dataset_id": dataset_id, **BY_ROLE}
    created = provider.create(dict(props))
    told(server, dataset_id)["s3ExternalId"] = "read-back-in-full"
    read = provider.read(created.id, dict(props))
    assert (read.outs, read.inputs) == (props, None)


@pytest.mark.parametrize("mask", ["********", "AKIA************"])
def test_a_mask_is_no_drift_whatever_it_hides(
    provider: Provider, server: LightlyServer, dataset_id: str, mask: str
) -> None:
    props = {"dataset_id": dataset_id, **BY_KEY}
    created = provider.create(dict(props))
    told(server, dataset_id)["s3AccessKeyId"] = mask
    read = provider.read(created.id, dict(props))
    assert (read.outs, read.inputs) == (props, None)


def test_another_way_in_shows_as_drift_without_the_old_credentials(
    provider: Provider, server: LightlyServer, dataset_id: str
) -> None:
    props = {"dataset_id": dataset_id, **BY_KEY, "deadline": 5.0}
    created = provider.create(dict(props))
    told(server, dataset_id).clear()
    told(server, dataset_id).update(
        type="AZURE", purpose="INPUT", fullPath="az://acme", accountName="acme", accountKey="*****"
    )
    read = provider.read(created.id, props)
    assert read.inputs == read.outs
    assert read.outs == {
        "dataset_id": dataset_id,
        "type": "AZURE",
        "purpose": "INPUT",
        "full_path": "az://acme",
        "account_name": "acme",
        "deadline": 5.0,
    }


def test_a_datasource_that_is_only_looked_up_tells_what_is_visible(provider: Provider, dataset_id: str) -> None:
    created = provider.create({"dataset_id": dataset_id, **BY_KEY})
    read = provider.read(created.id, {})
    assert read.id == created.id
    assert {"dataset_id", "full_path", "s3_region", "s3_access_key_id"} <= set(read.outs or {})
    assert SECRET not in str(read.outs)


@pytest.mark.parametrize("id_", [f"{'f' * 24}/INPUT", "{}/LIGHTLY"])
def test_what_is_not_there_is_gone(provider: Provider, dataset_id: str, id_: str) -> None:
    provider.create({"dataset_id": dataset_id, **BY_KEY})
    read = provider.read(id_.format(dataset_id), {"dataset_id": dataset_id, **BY_KEY})
    assert (read.id, read.outs) == ("", {})
