"""What a stack says of what lies in its Inputs, before it touches anything."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra import epochs, spec
from lightly_infra.listing import MANY_PAGES, Listing, Stored
from lightly_infra.permissions import Purpose
from lightly_infra.retention import Rule, RulesUnreadable
from lightly_infra.stack import contents, previous
from lightly_infra.stack.contents import Earlier, Look
from lightly_infra.stack.lifecycles import Findings, add_contents
from lightly_infra.stack.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
PATH = "s3://acme-raw/raw/"
SAME = Earlier("Images", PATH, {"bucket": "acme-raw"}, made=False)
MADE = Earlier("Images", "s3://lightly-scenes-1a2b/raw/", {"bucket": "lightly-scenes-1a2b"}, made=True)


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "now", lambda: NOW)


def settings(of_input: dict[str, Any] | None = None, key: str = "scenes", **of_dataset: object) -> Settings:
    given = {"bucket": "acme-raw", "prefix": "raw/", "access": "delegated"} if of_input is None else of_input
    dataset = {
        "input": {"s3": given},
        "lightly": {"s3": {"bucket": "acme-lightly", "prefix": "lightly/", "access": "delegated"}},
        **of_dataset,
    }
    return Settings(spec.parse({key: dataset}, {"region": "eu-central-1"}))


def files(*keys: str, days: int = 1) -> Listing:
    return Listing(tuple(Stored(f"raw/{key}", NOW - timedelta(days=days), 1) for key in keys))


def said(
    listed: Listing | RulesUnreadable,
    *,
    was: Earlier | None = SAME,
    rules: Sequence[Rule] | RulesUnreadable = (),
    wanted: Settings | None = None,
) -> Findings:
    wanted = wanted or settings()
    dataset, found = wanted.datasets["scenes"], Findings()
    source = dataset.input.datasource
    if source.place is None:
        source = source.model_copy(update={"bucket": MADE.names["bucket"]})
    look = Look(source, was, str(dataset.type or "Images"), listed, rules)
    add_contents(found, wanted, {"scenes": look})
    return found


# -- what can be read


@pytest.mark.parametrize("was", [None, Earlier("Videos", PATH, {"bucket": "acme-raw"}, made=False)])
def test_of_an_input_that_is_new_or_changed_it_is_said_what_lightly_can_read(was: Earlier | None) -> None:
    found = said(files("a.png", "b.jpg", "notes.txt"), was=was)

    assert found == Findings(
        remarks=[f"scenes.input.s3: 2 files for Images under {PATH}; ignored: 1, such as raw/notes.txt"]
    )


def test_an_unchanged_input_with_something_to_read_is_not_mentioned() -> None:
    assert said(files("a.png", "notes.txt")) == Findings()


@pytest.mark.parametrize("was", [None, SAME])
def test_a_prefix_with_nothing_under_it_is_always_warned_of(was: Earlier | None) -> None:
    (warning,) = said(Listing(), was=was).warnings

    assert warning.startswith(f"scenes.input.s3: there is no file under {PATH}: look for a slip in the prefix")


@pytest.mark.parametrize("was", [None, SAME])
def test_files_none_of_which_lightly_reads_are_always_warned_of(was: Earlier | None) -> None:
    (warning,) = said(files("a.mp4", "b.mp4"), was=was).warnings

    assert warning.startswith(
        f"scenes.input.s3: Lightly can read none of the 2 files under {PATH}, such as raw/a.mp4: look for a slip"
    )
    assert warning.endswith("(bmp, gif, jpeg, jpg, png, tiff)")


def test_one_page_without_anything_to_read_is_no_reason_to_warn_where_there_are_more() -> None:
    first_page = Listing(files("a.json").objects, more=True)

    assert said(first_page) == Findings()
    assert "none of the first 1 file under" in said(first_page, was=None).warnings[0]


def test_what_cannot_be_listed_is_said_and_stops_nothing() -> None:
    found = said(RulesUnreadable("allow s3:ListBucket"), wanted=settings(strict_retention=True))

    assert found == Findings(remarks=[f"scenes.input.s3: {PATH} could not be listed: allow s3:ListBucket"])


def test_another_prefix_is_said_with_what_becomes_of_the_samples() -> None:
    was = Earlier("Images", "s3://acme-raw/other/", {"bucket": "acme-raw"}, made=False)

    (warning,) = said(files("a.png"), was=was).warnings

    assert f"the Input was s3://acme-raw/other/ and becomes {PATH}: the samples that Lightly has so far stay" in warning


# -- what a retention deletes

EXPIRING = {"create": True, "prefix": "raw/", "access": "delegated", "retention_days": 60}


def test_a_retention_that_is_added_says_how_many_go_and_when() -> None:
    old, young = files("a.png", "b.png", days=61), files("c.png", days=10)

    found = said(Listing(old.objects + young.objects), was=MADE, wanted=settings(EXPIRING))

    (warning,) = found.warnings
    assert warning.startswith(
        "scenes.input.s3: retention_days: 2 of the 3 files under s3://lightly-scenes-1a2b/raw/ are older than 60 days "
        "and are deleted when the rule first runs, about a day after `pulumi up`: raw/a.png (2026-09-25)"
    )
    assert found.refusals == []


def test_under_strict_retention_it_is_an_error() -> None:
    found = said(files("a.png", days=61), was=MADE, wanted=settings(EXPIRING, strict_retention=True))

    assert found.warnings == []
    assert found.refusals[0].startswith("scenes.input.s3: retention_days: 1 of the 1 files")


def test_of_more_than_was_listed_the_number_is_the_least() -> None:
    listed = Listing(files("a.png", days=61).objects, more=True)

    (warning,) = said(listed, was=MADE, wanted=settings(EXPIRING)).warnings

    assert "retention_days: at least 1 of the first 1 files" in warning


@pytest.mark.parametrize(
    ("rule", "deletes_more"),
    [
        (Rule("same", "raw/", days=60), False),
        (Rule("sooner", "", days=30), False),
        (Rule("later", "raw/", days=90), True),
        (Rule("elsewhere", "other/", days=60), True),
        (Rule("some", "raw/", days=60, partly=True), False),
    ],
)
def test_what_a_rule_in_force_deletes_already_does_not_count(rule: Rule, *, deletes_more: bool) -> None:
    found = said(files("a.png", days=70), was=MADE, rules=[rule], wanted=settings(EXPIRING))

    assert bool(found.warnings) == deletes_more


def test_where_nothing_is_old_enough_it_is_said_what_goes_first() -> None:
    found = said(files("a.png", days=10), was=MADE, wanted=settings(EXPIRING))

    assert found.warnings == []
    assert found.remarks == [
        "scenes.input.s3: retention_days: nothing is deleted at once; the first to go is raw/a.png, on 2027-01-15"
    ]


def test_rules_that_cannot_be_read_leave_it_open_what_goes() -> None:
    found = said(files("a.png", days=70), was=MADE, rules=RulesUnreadable("denied"), wanted=settings(EXPIRING))

    assert found.warnings == []
    assert found.remarks == [
        "scenes.input.s3: it could not be checked whether retention_days deletes anything at once: denied"
    ]


# -- where is looked, and how far


class Clouds:
    """Builders that note what they are asked."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self.rules = rules
        self.listed: list[tuple[str | None, str, int]] = []

    def of(self, _: str) -> Clouds:
        return self

    async def lifecycle(self, _: Any) -> Sequence[Rule]:
        return self.rules

    async def listing(self, wanted: Any, most: int) -> Listing:
        self.listed.append((wanted.place, wanted.prefix, most))
        return files("a.png")


def looked(wanted: Settings, before: dict[str, Earlier], rules: Sequence[Rule] = ()) -> list[Any]:
    clouds: Any = Clouds(rules)
    asyncio.run(contents.look(wanted, clouds, before))
    listed: list[Any] = clouds.listed
    return listed


def test_one_page_is_read_of_an_unchanged_input_and_more_of_a_new_one() -> None:
    assert looked(settings(), {"scenes": SAME}) == [("s3://acme-raw", "raw/", 1)]
    assert looked(settings(), {}) == [("s3://acme-raw", "raw/", MANY_PAGES)]


def test_nobody_looks_into_a_bucket_that_is_yet_to_be_made() -> None:
    named = EXPIRING | {"bucket": "acme-made"}

    assert looked(settings(EXPIRING), {}) == []
    assert looked(settings(named), {}) == []
    assert looked(settings(EXPIRING), {"scenes": SAME}) == [], "a bucket of the user's own becomes one that is made"


def test_a_bucket_that_was_made_before_is_looked_into_by_its_generated_name() -> None:
    in_force = [Rule("ours", "raw/", days=60)]

    assert looked(settings(EXPIRING), {"scenes": MADE}, in_force) == [("s3://lightly-scenes-1a2b", "raw/", 1)]
    assert looked(settings(EXPIRING), {"scenes": MADE}) == [("s3://lightly-scenes-1a2b", "raw/", MANY_PAGES)]


def test_two_datasets_with_one_input_are_looked_at_once() -> None:
    both = {key: settings().datasets["scenes"] for key in ("scenes", "again")}

    assert looked(Settings(both), {"scenes": SAME, "again": SAME}) == [("s3://acme-raw", "raw/", 1)]


# -- what was there before


def state(source: dict[str, str], *made: tuple[str, dict[str, str]]) -> previous.Previous:
    urn = "urn:pulumi:dev::lightly-infra::"
    registration = {"dataset_id": "0" * 24, "name": "scenes", "type": "Videos", "on_destroy": "keep"}
    resources = [
        previous.Resource(f"{urn}lightly::scenes", "pulumi-python:dynamic/lightly:Dataset", registration),
        previous.Resource(f"{urn}lightly::scenes-input", "pulumi-python:dynamic/lightly:Datasource", source),
        *(previous.Resource(f"{urn}{type_}::lightly-scenes-input", type_, outputs) for type_, outputs in made),
    ]
    return previous.Previous(resources, {"datasets": {"scenes": {}}})


def test_a_bucket_of_the_last_run_is_known_by_its_path() -> None:
    it = state({"type": "S3", "full_path": PATH})

    assert contents.earlier(settings(), it) == {"scenes": Earlier("Videos", PATH, {"bucket": "acme-raw"}, made=False)}
    made = state({"type": "S3", "full_path": PATH}, ("aws:s3/bucket:Bucket", {"bucket": "acme-raw"}))
    assert contents.earlier(settings(), made)["scenes"].made


def test_a_container_of_the_last_run_is_known_with_account_and_group() -> None:
    it = state(
        {"type": "AZURE", "full_path": "raw/images/", "account_name": "acmedata"},
        ("azure-native:storage:BlobContainer", {"name": "raw"}),
        ("azure-native:resources:ResourceGroup", {"name": "acme1a2b"}),
    )

    (found,) = contents.earlier(settings(), it).values()

    assert found.path == "azure://acmedata/raw/images/"
    assert found.names == {"account": "acmedata", "container": "raw", "resource_group": "acme1a2b"}
    assert found.made


def test_an_input_is_known_under_another_key() -> None:
    renamed = settings(formerly="scenes", key="streets")
    it = state({"full_path": PATH})
    assert contents.earlier(renamed, it) == {"streets": Earlier("Videos", PATH, {"bucket": "acme-raw"}, made=False)}


def test_nothing_is_known_of_a_stack_that_never_ran() -> None:
    assert contents.earlier(settings(), None) == {}
    assert contents.earlier(settings(), previous.Previous([], {})) == {}
    assert Purpose.INPUT in settings().datasets["scenes"].datasources
