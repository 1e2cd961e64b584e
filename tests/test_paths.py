"""Prefixes, bucket names and slugs: what is accepted, what is refused and why."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from lightly_infra import paths

# Text that is often nearly a prefix, and sometimes anything.
SUSPICIOUS = st.text(alphabet=st.sampled_from("ab/.*?$\\{} -_\n\x00é"), max_size=30)
PARTS = st.text(alphabet="abcXYZ0189-_. =é", min_size=1, max_size=8).filter(lambda it: it not in {".", ".."})
PREFIXES = st.lists(PARTS, max_size=4).map(lambda parts: "".join(f"{part}/" for part in parts))


def accepted(prefix: str) -> str | None:
    try:
        return paths.normalise_prefix(prefix)
    except ValueError:
        return None


@given(SUSPICIOUS | st.text())
@example("a/../b")
@example("a//b")
@example("${aws:username}/")
def test_an_accepted_prefix_is_a_plain_directory(raw: str) -> None:
    prefix = accepted(raw)
    if prefix is None:  # refused, as most of these are
        return
    assert prefix == "" or prefix.endswith("/")
    assert not prefix.startswith("/")
    assert "//" not in prefix
    assert not set("*?\\") & set(prefix)
    assert "${" not in prefix
    assert not {".", ".."} & set(prefix.split("/"))
    assert prefix.isprintable()
    assert len(prefix.encode()) <= paths.MAX_PREFIX_BYTES


@given(SUSPICIOUS | st.text())
def test_normalising_adds_a_slash_at_most(raw: str) -> None:
    assert accepted(raw) in {None, raw, f"{raw}/"}


@given(SUSPICIOUS | st.text() | PREFIXES)
def test_normalising_twice_is_normalising_once(raw: str) -> None:
    prefix = accepted(raw)
    assume(prefix is not None)
    assert prefix is not None
    assert paths.normalise_prefix(prefix) == prefix


@given(PREFIXES)
def test_every_plain_directory_is_accepted_as_it_is(prefix: str) -> None:
    assert paths.normalise_prefix(prefix) == prefix


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        ("/raw", "starts with a slash; object keys do not: write 'raw'"),
        ("//raw", "starts with a slash; object keys do not: write 'raw'"),
        ("raw/*", "holds '*', which a policy would read as a pattern; name one directory"),
        ("ra?/", "holds '?', which a policy would read as a pattern"),
        ("${aws:username}/", "holds '${', which a policy would read as a pattern"),
        ("raw\\x", "holds a backslash or a control character; use plain text and '/'"),
        ("raw\n", "holds a backslash or a control character"),
        ("raw\x00", "holds a backslash or a control character"),
        ("raw/../other", "holds '.' or '..', which object keys do not resolve; write it out"),
        ("..", "holds '.' or '..'"),
        ("./raw", "holds '.' or '..'"),
        ("raw//cam", "holds an empty directory name ('//'); remove the second slash"),
        ("a" * 512, "the prefix has 513 bytes; 512 are the most"),
        ("é" * 256, "the prefix has 513 bytes; 512 are the most"),
        ("s3://acme-raw/x", "is a whole path; give only what follows the bucket"),
    ],
)
def test_a_refused_prefix_is_told_why(prefix: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        paths.normalise_prefix(prefix)
    if len(prefix) < 100:
        assert repr(prefix) in str(error.value)


@pytest.mark.parametrize("prefix", ["", "raw", "raw/", "a/b c/d=1/", "..hidden/", "v1.2/", "{x}$/", "ä/", "a" * 511])
def test_what_looks_unusual_but_is_harmless_is_accepted(prefix: str) -> None:
    assert paths.normalise_prefix(prefix) == (prefix if prefix.endswith("/") or not prefix else f"{prefix}/")


@given(PREFIXES)
def test_a_prefix_contains_itself(prefix: str) -> None:
    assert paths.contains(prefix, prefix)


@given(PREFIXES, PREFIXES)
def test_two_prefixes_that_contain_each_other_are_one(one: str, other: str) -> None:
    assert (paths.contains(one, other) and paths.contains(other, one)) == (one == other)


@given(PREFIXES, PREFIXES, PREFIXES)
def test_containing_passes_on(outer: str, middle: str, inner: str) -> None:
    middle, inner = outer + middle, outer + middle + inner
    assert paths.contains(outer, middle)
    assert paths.contains(middle, inner)
    assert paths.contains(outer, inner)


@given(PREFIXES, PREFIXES, st.text(max_size=5))
def test_a_contained_prefix_holds_only_keys_of_the_outer_one(outer: str, inner: str, key: str) -> None:
    if paths.contains(outer, inner):
        assert f"{inner}{key}".startswith(outer)
    elif not paths.contains(inner, outer):
        assert not f"{inner}{key}".startswith(outer)


def test_a_sibling_that_begins_alike_is_not_contained() -> None:
    assert not paths.contains(paths.normalise_prefix("raw"), paths.normalise_prefix("raw-private"))


def test_the_whole_bucket_contains_everything() -> None:
    assert paths.contains("", "anything/")
    assert not paths.contains("anything/", "")


@pytest.mark.parametrize("name", ["abc", "acme-raw", "acme.raw.2024", "0-9", "a" * 63])
def test_s3_bucket_names_are_accepted(name: str) -> None:
    assert paths.check_s3_bucket(name) == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ab", "3 to 63 lower-case letters, digits, dots and hyphens"),
        ("", "3 to 63"),
        ("a" * 64, "3 to 63"),
        ("Acme", "lower-case"),
        ("acme_raw", "lower-case letters, digits, dots and hyphens"),
        ("-acme", "a letter or digit at both ends"),
        ("acme.", "a letter or digit at both ends"),
        ("acme\n", "a letter or digit at both ends"),
        ("acmé", "lower-case"),
        ("ac..me", "two dots must not stand side by side"),
        ("192.168.5.4", "must not look like an IP address"),
        ("xn--acme", "S3 keeps names that start with 'xn--'"),
        ("sthree-acme", "S3 keeps names that start with 'sthree-'"),
        ("amzn-s3-demo-acme", "S3 keeps names that start with 'amzn-s3-demo-'"),
        ("acme-s3alias", "S3 keeps names that end with '-s3alias'"),
        ("acme--ol-s3", "S3 keeps names that end with '--ol-s3'"),
        ("acme.mrap", "S3 keeps names that end with '.mrap'"),
        ("acme--x-s3", "S3 keeps names that end with '--x-s3'"),
        ("acme--table-s3", "S3 keeps names that end with '--table-s3'"),
    ],
)
def test_a_refused_bucket_name_is_told_which_rule_it_breaks(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        paths.check_s3_bucket(name)
    assert repr(name) in str(error.value)


@given(st.text(max_size=80), st.sampled_from(["input", "lightly"]))
def test_a_slug_makes_names_that_s3_and_iam_accept(name: str, purpose: str) -> None:
    slug = paths.slug(name)
    assume(slug)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
    # As Pulumi names it physically: with a hyphen and 7 random digits.
    assert paths.check_s3_bucket(f"lightly-{slug}-{purpose}-0a1b2c3")


@given(st.text(max_size=80))
def test_a_slug_of_a_slug_is_the_same(name: str) -> None:
    assert paths.slug(paths.slug(name)) == paths.slug(name)


@pytest.mark.parametrize(("name", "slug"), [("Street scenes_2", "street-scenes-2"), ("--", ""), ("Ä b", "b")])
def test_slugs(name: str, slug: str) -> None:
    assert paths.slug(name) == slug


@given(st.text(max_size=80), st.integers(1, 20))
def test_a_slug_keeps_to_its_limit(name: str, limit: int) -> None:
    slug = paths.slug(name, limit=limit)
    assert len(slug) <= limit
    assert not slug.endswith("-")


def test_a_resource_path_is_the_scheme_the_bucket_and_the_prefix() -> None:
    assert paths.resource_path("s3", "acme-raw", "street-scenes/") == "s3://acme-raw/street-scenes/"
    assert paths.resource_path("s3", "acme-raw", "") == "s3://acme-raw/"


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        (" raw/", "' raw' begins or ends with a blank"),
        ("raw /day/", "'raw ' begins or ends with a blank"),
        ("r\N{CYRILLIC SMALL LETTER A}w/", r"has the letter '\u0430' (CYRILLIC SMALL LETTER A) among Latin ones"),
        ("raw\N{GREEK SMALL LETTER OMICRON}/", r"has the letter '\u03bf' (GREEK SMALL LETTER OMICRON) among"),
        ("caf\N{LATIN SMALL LETTER E}\N{COMBINING ACUTE ACCENT}/", r"it has letters in parts ('cafe\u0301/')"),
    ],
)
def test_a_prefix_that_is_most_likely_a_slip_is_told_apart(prefix: str, said: str) -> None:
    assert paths.normalise_prefix(prefix) == prefix, "it is allowed: somebody may have such keys"
    (found,) = paths.oddities(prefix)
    assert said in found


@pytest.mark.parametrize(
    "prefix",
    ["", "raw/", "street scenes/day 1/", "\u0441\u043d\u0438\u043c\u043a\u0438/", "\u5199\u771f/", "caf\u00e9/"],
)
def test_a_prefix_in_any_one_alphabet_is_fine(prefix: str) -> None:
    assert paths.oddities(prefix) == []


@pytest.mark.parametrize("char", ["\u200b", "\ufeff", "\u202e", "\x00", "\n", "\x7f", "\u00a0", "\u2028"])
def test_a_character_that_nobody_sees_is_refused(char: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        paths.normalise_prefix(f"ra{char}w/")
    with pytest.raises(ValueError, match="is no S3 bucket name"):
        paths.check_s3_bucket(f"acme{char}raw")
