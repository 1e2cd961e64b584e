"""What the providers of all dynamic resources read properties with."""

from __future__ import annotations

from lightly_infra import dynamic
from tests.provider.emulated import UNKNOWN


def test_only_what_the_sdk_marks_so_is_unknown() -> None:
    assert dynamic.is_unknown(UNKNOWN)
    assert not any(map(dynamic.is_unknown, (None, "", "unknown", [UNKNOWN])))


def test_what_may_become_another_value_counts_as_changed() -> None:
    olds = {"same": 1, "other": 1, "later": 1, "gone": 1}
    news = {"same": 1, "other": 2, "later": UNKNOWN, "new": 1}
    assert dynamic.changed(olds, news, *olds, "new", "nowhere") == ["other", "later", "gone", "new"]


def test_the_provider_itself_is_no_property() -> None:
    assert dynamic.without_provider({"__provider": "x", "bucket": "acme"}) == {"bucket": "acme"}
