"""The dataset as a resource: what is checked, replaced, changed in place, kept and deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra.lightly.errors import ApiError, DatasetConflict, DatasetUnknown, LightlyError
from lightly_infra.provider.dataset import Provider
from tests.provider.emulated import UNKNOWN, Configured

if TYPE_CHECKING:
    from lightly_infra.sandbox.lightly import LightlyServer

OTHER_ID = "f" * 24
INPUTS = {"name": "Street scenes", "type": "Images", "adopt": False, "on_destroy": "keep"}
OURS = {**INPUTS, "adopted": False}
"""What state holds of a dataset that we made."""


@pytest.fixture
def provider(server: LightlyServer, configured: Configured) -> Provider:
    assert server.url
    return configured(Provider)


def failures(provider: Provider, olds: dict[str, Any] | None = None, **news: Any) -> dict[str, str]:
    checked = provider.check(olds or {}, INPUTS | news)
    return {it.property: it.reason for it in checked.failures}


def replaced(provider: Provider, olds: dict[str, Any], news: dict[str, Any], id_: str = "0" * 24) -> list[str]:
    difference = provider.diff(id_, olds, news)
    assert difference.changes is None, "the engine compares the inputs, and tells what changed"
    assert difference.delete_before_replace is False, "nothing is deleted before its successor is there"
    assert difference.replaces is not None
    return list(difference.replaces)


# -- check


def test_a_good_dataset_is_checked_without_a_call(provider: Provider, server: LightlyServer) -> None:
    checked = provider.check({}, dict(INPUTS))
    assert (checked.inputs, checked.failures) == (INPUTS, [])
    assert server.requests == []


@pytest.mark.parametrize(
    ("news", "field", "reason"),
    [
        ({"name": "a"}, "name", "dataset name 'a': use at least 3 characters"),
        ({"name": None}, "name", "give the dataset's name, or the dataset_id of an existing one"),
        ({"dataset_id": "123"}, "dataset_id", "dataset id '123': an id is 24 characters"),
        ({"type": "Pictures"}, "type", "'Pictures' is not a dataset type; use one of Images, Videos, Crops"),
        ({"on_destroy": "forget"}, "on_destroy", "'forget': use 'keep' or 'delete'"),
    ],
)
def test_what_the_api_would_refuse_is_refused_in_a_preview(
    provider: Provider, news: dict[str, Any], field: str, reason: str
) -> None:
    found = failures(provider, **news)
    assert set(found) == {field}
    assert found[field].startswith(reason)


def test_an_id_needs_no_name(provider: Provider, server: LightlyServer) -> None:
    server.put_dataset(OTHER_ID, "Theirs", "Images")
    assert failures(provider, name=None, dataset_id=OTHER_ID) == {}


# -- what is at Lightly already


def test_a_preview_of_a_new_dataset_tells_that_its_name_is_taken(provider: Provider, server: LightlyServer) -> None:
    server.put_dataset(OTHER_ID, "Street scenes", "Images")
    found = failures(provider, previewing=True)
    assert set(found) == {"name"}
    assert f"`take_over: {OTHER_ID}`" in found["name"]
    assert failures(provider, {**INPUTS, "name": "Before"}, type="Videos", previewing=True).keys() == {"name"}


def test_a_run_leaves_that_to_the_creation_and_state_knows_nothing_of_it(
    provider: Provider, server: LightlyServer
) -> None:
    server.put_dataset(OTHER_ID, "Street scenes", "Images")
    checked = provider.check({}, {**INPUTS, "previewing": False})
    assert (checked.inputs, checked.failures, server.requests) == (INPUTS, [], [])
    assert failures(provider, OURS, previewing=True) == {}, "it is there, and may be the one"


def test_a_preview_without_an_answer_tells_nothing(
    provider: Provider, server: LightlyServer, monkeypatch: pytest.MonkeyPatch, configured: Configured
) -> None:
    server.fail_next("GET", "/v1/datasets", 401, times=2)
    assert failures(provider, previewing=True) == {}
    assert failures(provider, INPUTS, dataset_id=OTHER_ID) == {}
    monkeypatch.delenv("LIGHTLY_TOKEN")
    assert failures(configured(Provider), previewing=True) == {}


@pytest.mark.parametrize("olds", [{}, INPUTS, {**INPUTS, "dataset_id": "e" * 24}], ids=["new", "ours", "another"])
def test_an_id_is_looked_up_before_anything_is_touched(
    provider: Provider, server: LightlyServer, olds: dict[str, Any]
) -> None:
    assert "Check `id:`" in failures(provider, olds, dataset_id=OTHER_ID)["dataset_id"]
    server.put_dataset(OTHER_ID, "Theirs", "Videos")
    assert "set `type: Videos`" in failures(provider, olds, dataset_id=OTHER_ID)["dataset_id"]
    assert failures(provider, olds, dataset_id=OTHER_ID, type="Videos") == {}


def test_what_is_taken_over_is_looked_up_once(provider: Provider, server: LightlyServer) -> None:
    assert "Check `take_over:`" in failures(provider, take_over=OTHER_ID)["take_over"]
    assert failures(provider, take_over="abc")["take_over"].startswith("dataset id 'abc'")
    server.put_dataset(OTHER_ID, "Street scenes", "Images")
    assert failures(provider, take_over=OTHER_ID) == {}
    created = provider.create({**INPUTS, "take_over": OTHER_ID})
    assert (created.id, created.outs) == (OTHER_ID, {**OURS, "take_over": OTHER_ID})
    server.datasets[OTHER_ID].n_samples = 7
    assert failures(provider, {**INPUTS, "take_over": OTHER_ID}, take_over=OTHER_ID) == {}
    removed = provider.diff(OTHER_ID, {**OURS, "take_over": OTHER_ID}, dict(INPUTS))
    assert removed.changes is False, "the line may go"


def test_what_is_adopted_is_told(provider: Provider, server: LightlyServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.put_dataset(OTHER_ID, "Street scenes", "Images")
    assert failures(provider, adopt=True) == {}
    said = f"dataset 'Street scenes' (id {OTHER_ID}, Images) exists: it is adopted as it is, and never deleted"
    assert said in capsys.readouterr().err


def test_what_replaces_another_dataset_is_told_once(
    provider: Provider, server: LightlyServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.put_dataset(OTHER_ID, "Films", "Images")
    for olds in (INPUTS, {}):  # the engine checks a replacement a second time, as what is new
        assert failures(provider, olds, dataset_id=OTHER_ID, name="Films") == {}
    assert capsys.readouterr().err.count("is adopted as it is") == 1


@pytest.mark.parametrize("on_destroy", ["keep", "delete"])
@pytest.mark.parametrize(
    ("news", "prepare", "error"),
    [
        ({"dataset_id": OTHER_ID}, None, DatasetUnknown),
        ({"dataset_id": OTHER_ID}, "Videos", DatasetConflict),
        ({"name": "Films", "type": "Videos"}, 500, ApiError),
        ({"name": "Films", "type": "Videos"}, 403, ApiError),
        ({"name": "Theirs", "type": "Videos"}, "Videos", DatasetConflict),
    ],
    ids=["no such id", "an id of another type", "a POST that fails", "a POST that is refused", "a name that is taken"],
)
def test_a_replacement_that_fails_costs_nothing(
    provider: Provider,
    server: LightlyServer,
    on_destroy: str,
    news: dict[str, Any],
    prepare: str | int | None,
    error: type[Exception],
) -> None:
    inputs = {**INPUTS, "on_destroy": on_destroy}
    made = provider.create(inputs)
    server.datasets[made.id].n_samples = 12
    if isinstance(prepare, int):
        server.fail_next("POST", "/v1/datasets", prepare)
    elif prepare:
        server.put_dataset(OTHER_ID, "Theirs", prepare)
    outs = dict(made.outs or {})

    assert replaced(provider, outs, inputs | news, made.id), "made first, deleted after"
    with pytest.raises(error):
        provider.create(inputs | news)

    assert server.datasets[made.id].n_samples == 12
    assert provider.check(inputs, inputs).failures == []
    assert replaced(provider, outs, inputs, made.id) == [], "reverted, nothing has changed"


def test_what_a_preview_does_not_know_yet_is_not_refused(provider: Provider) -> None:
    assert failures(provider, OURS, name=UNKNOWN, type=UNKNOWN, dataset_id=UNKNOWN) == {}


def test_all_failures_are_told_at_once(provider: Provider) -> None:
    assert set(failures(provider, name="a", type="b", on_destroy="c")) == {"name", "type", "on_destroy"}


# -- an existing dataset's datasources

WANTED = {"INPUT": {"type": "S3", "full_path": "s3://acme-raw/scenes/"}, "LIGHTLY": {"type": "S3"}}
SAID = "INPUT: type GCS -> S3; path gs://acme-old/raw/ -> s3://acme-raw/scenes/"


@pytest.fixture
def theirs(server: LightlyServer, provider: Provider) -> str:
    """A dataset whose Input is somewhere else."""
    dataset_id = provider.create(dict(INPUTS)).id
    server.datasets[dataset_id].set_datasource(
        {"id": "1" * 24, "type": "GCS", "purpose": "INPUT", "fullPath": "gs://acme-old/raw/"}
    )
    return dataset_id


@pytest.fixture(params=["id", "name"])
def adopting(request: pytest.FixtureRequest, theirs: str) -> dict[str, Any]:
    by_id = {"dataset_id": theirs, "name": None}
    return INPUTS | {"datasources": WANTED} | (by_id if request.param == "id" else {"adopt": True})


def test_a_preview_refuses_to_replace_what_points_elsewhere(provider: Provider, adopting: dict[str, Any]) -> None:
    found = failures(provider, **adopting)
    assert set(found) == {"datasources"}
    assert SAID in found["datasources"]
    assert failures(provider, OURS, **adopting) == {}, "what has been adopted follows the program"


def test_so_does_a_creation(provider: Provider, adopting: dict[str, Any]) -> None:
    with pytest.raises(DatasetConflict, match="point elsewhere"):
        provider.create({name: value for name, value in adopting.items() if value is not None})


def test_it_is_told_and_done_where_that_is_allowed(
    provider: Provider, adopting: dict[str, Any], theirs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    news = {name: value for name, value in adopting.items() if value is not None} | {"replace_datasources": True}
    assert failures(provider, **news) == {}
    assert SAID in capsys.readouterr().err
    assert provider.create(news).id == theirs


@pytest.mark.parametrize("unknown", ["name", "dataset_id"])
def test_a_preview_compares_nothing_that_it_does_not_know(
    provider: Provider, server: LightlyServer, unknown: str, theirs: str
) -> None:
    before = len(server.requests)
    assert failures(provider, **{"adopt": True, "datasources": WANTED, unknown: UNKNOWN}) == {}
    assert len(server.requests) == before
    assert theirs in server.datasets


def test_a_datasource_whose_path_is_not_known_yet_is_not_compared(provider: Provider, adopting: dict[str, Any]) -> None:
    adopting["datasources"] = {"INPUT": {"type": "S3", "full_path": UNKNOWN}}
    assert failures(provider, **adopting) == {}


def test_a_preview_goes_on_where_lightly_cannot_be_asked(
    configured: Configured, server: LightlyServer, adopting: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.fail_next("GET", "/v1/datasets", 403)
    assert failures(configured(Provider), **adopting) == {}
    monkeypatch.delenv("LIGHTLY_TOKEN")
    assert failures(configured(Provider), **adopting) == {}


def test_a_name_that_nobody_has_yet_is_fine(provider: Provider) -> None:
    assert failures(provider, name="Night drives", adopt=True, datasources=WANTED) == {}


@pytest.mark.parametrize(
    ("news", "changes"),
    [
        ({"datasources": {"INPUT": {"type": "GCS"}}}, False),
        ({"replace_datasources": True}, False),
        ({"datasources": {}, "name": "Night drives"}, None),
        ({"datasources": {}, "on_destroy": "delete"}, None),
        ({"datasources": {}, "__provider": "another"}, None),
    ],
)
def test_what_counted_at_the_adoption_is_no_change_by_itself(
    provider: Provider, news: dict[str, Any], changes: bool | None
) -> None:
    olds = {**OURS, "adopt": True, "adopted": True, "datasources": WANTED, "__provider": "…"}
    difference = provider.diff("0" * 24, olds, {**INPUTS, "adopt": True, "__provider": "…", **news})
    assert (difference.changes, difference.replaces) == (changes, [])


def test_a_dataset_adopted_before_there_was_such_a_thing_does_not_change(provider: Provider) -> None:
    olds = {**OURS, "dataset_id": OTHER_ID, "adopted": True}
    news = {"dataset_id": OTHER_ID, "adopt": False, "on_destroy": "keep", "datasources": WANTED}
    assert provider.diff(OTHER_ID, olds, news).changes is False
    del olds["dataset_id"], news["dataset_id"]
    del news["datasources"]
    assert provider.diff(OTHER_ID, olds, news).changes is None


# -- a type cannot change in place


@pytest.mark.parametrize("on_destroy", ["keep", "delete"])
def test_another_type_under_the_same_name_is_refused_with_the_way_on(provider: Provider, on_destroy: str) -> None:
    olds = {**INPUTS, "on_destroy": on_destroy}
    found = failures(provider, olds, type="Videos", on_destroy=on_destroy)
    assert found["type"].startswith("a dataset's type cannot change from 'Images' to 'Videos', and names are unique")
    assert "change its `name:` in the same edit" in found["type"]
    with pytest.raises(DatasetConflict, match="in the same edit"):
        provider.diff("0" * 24, {**olds, "adopted": False}, {**olds, "type": "Videos"})


@pytest.mark.parametrize("name", ["Films", UNKNOWN])
@pytest.mark.parametrize("olds", [OURS, {**OURS, "on_destroy": "delete"}, {**OURS, "adopt": True, "adopted": True}])
def test_another_type_with_another_name_is_another_dataset(provider: Provider, olds: dict[str, Any], name: Any) -> None:
    news = {**olds, "type": "Videos", "name": name}
    del news["adopted"]
    assert provider.check({**news, "type": "Images", "name": olds["name"]}, news).failures == []
    assert replaced(provider, olds, news) == ["type"]


def test_the_type_of_an_id_is_what_it_is(provider: Provider) -> None:
    olds = {**INPUTS, "dataset_id": OTHER_ID}
    assert "set `type: Images`" in failures(provider, olds, dataset_id=OTHER_ID, type="Videos")["type"]


def test_a_type_that_is_not_said_any_more_changes_nothing(provider: Provider) -> None:
    news = {name: value for name, value in INPUTS.items() if name != "type"}
    assert replaced(provider, OURS, news) == []


# -- diff


@pytest.mark.parametrize(
    "change", [{"name": "Night drives"}, {"adopt": True}, {"on_destroy": "delete"}, {"name": UNKNOWN}]
)
def test_these_change_in_place(provider: Provider, change: dict[str, Any]) -> None:
    assert replaced(provider, OURS, INPUTS | change) == []


def test_another_id_is_another_dataset_of_whatever_type(provider: Provider) -> None:
    assert replaced(provider, OURS, {**INPUTS, "dataset_id": OTHER_ID}) == ["dataset_id"]
    assert replaced(provider, OURS, {**INPUTS, "dataset_id": OTHER_ID, "type": "Videos"}) == ["dataset_id"]


def test_naming_the_id_of_our_own_dataset_changes_nothing(provider: Provider) -> None:
    assert replaced(provider, OURS, {**INPUTS, "dataset_id": OTHER_ID}, id_=OTHER_ID) == []


def test_an_id_that_is_not_known_yet_may_be_another_dataset(provider: Provider) -> None:
    assert replaced(provider, OURS, {**INPUTS, "dataset_id": UNKNOWN}) == ["dataset_id"]


def test_without_its_id_someone_elses_dataset_is_left_and_not_renamed(provider: Provider) -> None:
    theirs = {**OURS, "name": "Theirs", "dataset_id": OTHER_ID, "adopted": True}
    assert replaced(provider, theirs, INPUTS, id_=OTHER_ID) == ["dataset_id"]
    assert replaced(provider, theirs, {**INPUTS, "name": "Theirs"}, id_=OTHER_ID) == []


# -- create


def test_a_new_dataset_costs_two_calls(provider: Provider, server: LightlyServer) -> None:
    created = provider.create({**INPUTS, "__provider": "…"})
    assert created.outs == OURS
    assert server.datasets[created.id].name == "Street scenes"
    assert server.requests == ["POST /v1/datasets", "GET /v1/datasets/query/name/Street%20scenes"]


def test_two_stacks_never_have_one_dataset(provider: Provider, server: LightlyServer) -> None:
    theirs = provider.create(dict(INPUTS)).id
    with pytest.raises(DatasetConflict, match="another stack's"):
        provider.create(dict(INPUTS))
    assert list(server.datasets) == [theirs]


def test_a_dataset_of_the_name_is_used_only_if_told_to(provider: Provider, server: LightlyServer) -> None:
    theirs = provider.create(dict(INPUTS)).id
    server.datasets[theirs].n_samples = 7
    with pytest.raises(DatasetConflict, match=f"set `adopt: true` or `id: {theirs}`"):
        provider.create(dict(INPUTS))
    adopted = provider.create({**INPUTS, "adopt": True})
    assert (adopted.id, adopted.outs) == (theirs, {**OURS, "adopt": True, "adopted": True})


def test_a_dataset_found_by_id_tells_name_and_type(provider: Provider) -> None:
    theirs = provider.create(dict(INPUTS)).id
    found = provider.create({"dataset_id": theirs, "adopt": False, "on_destroy": "keep"})
    assert found.id == theirs
    assert found.outs == {**OURS, "dataset_id": theirs, "adopted": True}


# -- read


def test_refreshing_shows_no_drift_where_there_is_none(provider: Provider) -> None:
    created = provider.create(dict(INPUTS))
    read = provider.read(created.id, {**created.outs, "__provider": "…"})  # type: ignore[dict-item]
    assert (read.id, read.outs, read.inputs) == (created.id, OURS, None)


def test_another_name_shows_as_drift(provider: Provider, server: LightlyServer) -> None:
    created = provider.create(dict(INPUTS))
    server.datasets[created.id].name = "Renamed"
    read = provider.read(created.id, dict(OURS))
    assert read.outs == {**OURS, "name": "Renamed"}
    assert read.inputs == {**INPUTS, "name": "Renamed"}


def test_a_deleted_dataset_is_gone(provider: Provider) -> None:
    read = provider.read(OTHER_ID, dict(OURS))
    assert (read.id, read.outs) == ("", {})


def test_any_other_failure_to_read_is_no_proof_that_it_is_gone(provider: Provider, server: LightlyServer) -> None:
    created = provider.create(dict(INPUTS))
    server.fail_next("GET", created.id, 500)
    with pytest.raises(Exception, match="Lightly answered 500"):
        provider.read(created.id, dict(OURS))


def test_a_dataset_that_is_only_looked_up_is_never_deleted(provider: Provider, server: LightlyServer) -> None:
    created = provider.create(dict(INPUTS))
    read = provider.read(created.id, {})
    assert read.outs == {**OURS, "adopted": True}
    provider.delete(created.id, {**read.outs, "on_destroy": "delete"})
    assert created.id in server.datasets


# -- update


def test_a_dataset_is_renamed_in_place(provider: Provider, server: LightlyServer) -> None:
    created = provider.create(dict(INPUTS))
    updated = provider.update(created.id, dict(OURS), {**INPUTS, "name": "Night drives", "__provider": "…"})
    assert server.datasets[created.id].name == "Night drives"
    assert updated.outs == {**OURS, "name": "Night drives"}


def test_what_only_we_know_changes_without_a_call(provider: Provider, server: LightlyServer) -> None:
    created = provider.create(dict(INPUTS))
    before = len(server.requests)
    updated = provider.update(created.id, dict(OURS), {**INPUTS, "on_destroy": "delete"})
    assert updated.outs == {**OURS, "on_destroy": "delete"}
    assert len(server.requests) == before


def test_a_name_that_is_taken_is_told(provider: Provider) -> None:
    created = provider.create(dict(INPUTS))
    provider.create({**INPUTS, "name": "Night drives"})
    with pytest.raises(DatasetConflict, match=r"can't be renamed to 'Night drives'.*Choose another name"):
        provider.update(created.id, dict(OURS), {**INPUTS, "name": "Night drives"})


def test_an_update_keeps_all_outputs(provider: Provider) -> None:
    created = provider.create(dict(INPUTS))
    theirs = {**OURS, "dataset_id": created.id, "adopted": True}
    updated = provider.update(created.id, theirs, {"dataset_id": created.id, "adopt": True, "on_destroy": "keep"})
    assert updated.outs == {**theirs, "adopt": True}


# -- delete


@pytest.mark.parametrize(
    "kept",
    [
        OURS,
        {**OURS, "on_destroy": "delete", "adopted": True},
        {**OURS, "on_destroy": "delete", "dataset_id": OTHER_ID},
    ],
)
def test_these_datasets_are_kept_without_a_call(
    provider: Provider, server: LightlyServer, kept: dict[str, Any]
) -> None:
    created = provider.create(dict(INPUTS))
    before = len(server.requests)
    provider.delete(created.id, kept)
    assert created.id in server.datasets
    assert len(server.requests) == before


def test_whoever_is_refused_a_deletion_is_told_the_ways_on(provider: Provider, server: LightlyServer) -> None:
    created = provider.create(dict(INPUTS))
    server.fail_next("DELETE", "", status=403)
    with pytest.raises(LightlyError, match=r"put it back with `on_destroy: keep`.*or delete it in the Lightly app"):
        provider.delete(created.id, {**OURS, "on_destroy": "delete"})
    assert created.id in server.datasets


def test_our_own_dataset_is_deleted_if_told_to(provider: Provider, server: LightlyServer) -> None:
    created = provider.create({**INPUTS, "on_destroy": "delete"})
    provider.delete(created.id, {**OURS, "on_destroy": "delete"})
    assert server.datasets == {}


def test_deleting_what_is_gone_already_is_done(provider: Provider) -> None:
    provider.delete(OTHER_ID, {**OURS, "on_destroy": "delete"})
