"""What expires in a bucket that is made: which expiries go together, and which datasources go with them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightly_infra import paths
from lightly_infra.permissions import Purpose
from lightly_infra.retention import Expiry, check_expiries, check_kept

prefixes = st.lists(st.sampled_from(["a", "a-b", "b", "日本", "c d"]), max_size=3).map(
    lambda parts: "".join(f"{it}/" for it in parts)
)
expiries = st.builds(Expiry, prefixes, st.integers(30, 33))


def test_expiries_come_back_normalised_and_in_a_fixed_order() -> None:
    wanted = [Expiry("street-scenes", 60), Expiry("a/", 30)]
    assert check_expiries(wanted) == check_expiries(reversed(wanted)) == [("a/", 30), ("street-scenes/", 60)]


def test_what_an_outer_directory_says_already_is_not_said_twice() -> None:
    assert check_expiries([Expiry("raw/new/", 30), Expiry("raw/", 30), Expiry("raw", 30)]) == [("raw/", 30)]
    assert check_expiries([Expiry("", 30), Expiry("raw/", 30)]) == [("", 30)]


def test_directories_whose_names_begin_alike_lie_apart() -> None:
    assert check_expiries([Expiry("raw/", 30), Expiry("raw-new/", 60)]) == [("raw-new/", 60), ("raw/", 30)]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ([Expiry("raw/", 7)], "'raw/': 7 days are too short"),
        ([Expiry("raw/", 0)], "'raw/': 0 days are too short"),
        ([Expiry("/raw", 30)], "starts with a slash"),
        (
            [Expiry("raw/", 60), Expiry("raw/new/", 30)],
            "'raw/new/' would go after 30 days, and after 60 since it lies under 'raw/' too: give both the same days",
        ),
        ([Expiry("raw/", 60), Expiry("raw", 30)], "after 60 days, and after 30"),
        ([Expiry("raw/", 60), Expiry("", 30)], "it lies under '' too"),
    ],
)
def test_expiries_that_do_not_go_together_are_refused(wanted: list[Expiry], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        check_expiries(wanted)


@given(st.lists(expiries))
def test_what_is_kept_says_of_every_object_what_was_wanted(wanted: list[Expiry]) -> None:
    try:
        kept = check_expiries(wanted)
    except ValueError:
        assert any(
            one.days != other.days and (paths.contains(one.prefix, other.prefix)) for one in wanted for other in wanted
        )
        return
    for prefix in {it.prefix for it in wanted}:
        key = f"{prefix}x.png"
        asked = {it.days for it in wanted if key.startswith(it.prefix)}
        assert [it.days for it in kept if key.startswith(it.prefix)] == list(asked)


@given(st.lists(prefixes, unique=True))
def test_rules_have_ids_of_their_own_which_every_cloud_takes(wanted: list[str]) -> None:
    ids = [Expiry(it, 30).rule_id for it in wanted]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z0-9-]{1,255}", it) for it in ids)


def test_the_id_of_a_rule_is_the_prefixes_and_not_the_days() -> None:
    assert Expiry("raw/", 30).rule_id == Expiry("raw/", 60).rule_id == "expire-raw-e414985f"
    assert Expiry("", 30).rule_id == "expire-e3b0c442"
    assert len(Expiry("x" * 511 + "/", 30).rule_id) < 60


@pytest.mark.parametrize("purpose", [Purpose.LIGHTLY, Purpose.INPUT_OUTPUT])
@pytest.mark.parametrize(("expiring", "prefix"), [("raw/", "raw/"), ("raw/", "raw/lightly/"), ("raw/lightly/", "raw/")])
def test_where_lightly_writes_nothing_may_expire(purpose: Purpose, expiring: str, prefix: str) -> None:
    with pytest.raises(ValueError, match=f"deletes what lies under '{expiring}' after 30 days, and Lightly needs what"):
        check_kept([Expiry("other/", 60), Expiry(expiring, 30)], purpose, prefix)


def test_what_expires_elsewhere_and_in_an_input_is_nobodys_harm() -> None:
    check_kept([Expiry("raw/", 30), Expiry("lightly-old/", 30)], Purpose.LIGHTLY, "lightly/")
    check_kept([Expiry("raw/", 30)], Purpose.INPUT, "raw/")
    check_kept([], Purpose.LIGHTLY, "")
