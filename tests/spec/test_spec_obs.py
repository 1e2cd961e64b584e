"""What the YAML may say of OBS, and what is said when it says something else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra import spec
from lightly_infra.spec.obs import ObsSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

ENDPOINT = "https://obs.eu-de.otc.t-systems.com"
USER = "arn:aws:iam::0123456789abcdef0123456789abcdef:user/fedcba9876543210fedcba9876543210"
SECRET = "canary-secret"
BROUGHT = {
    "endpoint": ENDPOINT,
    "bucket": "acme-raw",
    "prefix": "raw/",
    "access_key_id": "AKOBS",
    "secret_access_key": SECRET,
}
MADE = BROUGHT | {"bucket": "acme-lightly", "prefix": "lightly/", "create": True, "user": USER}


def datasets(input_: Mapping[str, Any] = BROUGHT, lightly: Mapping[str, Any] = MADE, **more: Any) -> dict[str, Any]:
    return {"street-scenes": {"input": {"obs": dict(input_)}, "lightly": {"obs": dict(lightly)}, **more}}


def parse(
    input_: Mapping[str, Any] = BROUGHT,
    lightly: Mapping[str, Any] = MADE,
    *,
    defaults: Mapping[str, str | None] | None = None,
    others: Mapping[str, Any] | None = None,
) -> tuple[ObsSpec, ObsSpec]:
    found = spec.parse(datasets(input_, lightly) | dict(others or {}), defaults)["street-scenes"]
    source, target = found.input.datasource, found.lightly.datasource
    assert isinstance(source, ObsSpec)
    assert isinstance(target, ObsSpec)
    return source, target


def refused(**more: Any) -> str:
    """What is said of an Input that differs so from a good one; a None leaves the key out."""
    source = {name: it for name, it in (BROUGHT | more).items() if it is not None}
    with pytest.raises(spec.SpecError) as error:
        parse(source)
    said = str(error.value)
    assert "canary" not in said
    assert "\n" not in said
    return said


def test_a_brought_and_a_made_bucket() -> None:
    source, target = parse()
    assert (source.place, target.place) == ("obs://otc.t-systems.com/acme-raw", "obs://otc.t-systems.com/acme-lightly")
    assert (source.creates, source.region, source.user) == (False, "eu-de", None)
    assert (target.creates, target.region, target.user) == (True, "eu-de", USER)
    assert source.addressing == "path"
    assert source.secret_access_key.get_secret_value() == SECRET
    assert "canary" not in repr(source)


def test_a_generated_name_is_nobody_elses_place() -> None:
    _, target = parse(lightly={name: it for name, it in MADE.items() if name != "bucket"})
    assert target.place is None


def test_endpoint_and_region_may_be_the_stacks() -> None:
    without = {name: it for name, it in MADE.items() if name != "endpoint"}
    _, target = parse(lightly=without, defaults={"obs_endpoint": "https://storage.example", "obs_region": "acme-1"})
    assert (target.endpoint, target.region) == ("https://storage.example", "acme-1")


ANYWHERE = "https://storage.example"


@pytest.mark.parametrize(
    ("own", "endpoint", "region"),
    [
        ("acme-2", ANYWHERE, "acme-2"),
        ("eu-de", ENDPOINT, "eu-de"),
        (None, ENDPOINT, "eu-de"),
        (None, ANYWHERE, "acme-1"),
    ],
)
def test_the_datasources_own_region_goes_before_the_endpoints_and_that_before_the_stacks(
    own: str | None, endpoint: str, region: str
) -> None:
    more = {"endpoint": endpoint, "region": own}
    source, target = parse(BROUGHT | more, MADE | more, defaults={"obs_region": "acme-1"})
    assert (source.region, target.region) == (region, region)


def test_a_region_of_the_stack_that_is_none_is_told_where_it_counts() -> None:
    parse(defaults={"obs_region": "eu de"})
    with pytest.raises(spec.SpecError, match=r"street-scenes.input.obs.region: 'eu de' is not a region"):
        parse(BROUGHT | {"endpoint": ANYWHERE}, defaults={"obs_region": "eu de"})


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"endpoint": None}, "endpoint is missing: name your cloud's OBS here"),
        ({"endpoint": "obs.example"}, "endpoint: 'obs.example' must start with http:// or https://"),
        ({"endpoint": "https://obs.example/x"}, "endpoint: 'https://obs.example/x' goes on behind the host"),
        ({"endpoint": "https://acme-raw.obs.example"}, "endpoint: 'https://acme-raw.obs.example' has a bucket in"),
        ({"endpoint": f"https://u:{SECRET}@obs.example"}, "keys go into access_key_id and secret_access_key"),
        ({"bucket": None}, "bucket is missing: name yours, or write 'create: true'"),
        ({"bucket": "Acme"}, "bucket: 'Acme' is no OBS bucket name"),
        ({"create": True}, "user is missing: the policy of a bucket that is made names whom it lets in"),
        ({"create": True, "user": USER, "endpoint": "https://obs.example"}, "region is missing: the endpoint does not"),
        ({"create": "yes"}, "create: 'yes': write true or false"),
        ({"region": "eu de"}, "region: 'eu de' is not a region"),
        ({"region": "eu-nl"}, "region: 'eu-nl', but the endpoint is that of 'eu-de': remove the region, or change"),
        ({"region": "eu-nl", "endpoint": "obs.example"}, "endpoint: 'obs.example' must start with"),
        ({"addressing": "host"}, "addressing: 'host': use 'path' or 'virtual'"),
        ({"bucket": "a.b.c", "addressing": "virtual"}, "addressing: 'virtual' puts 'a.b.c' in front of the host"),
        ({"access_key_id": None}, "access_key_id is missing: give the id of the key"),
        ({"access_key_id": ""}, "access_key_id: must not be empty"),
        ({"access_key_id": " AKOBS"}, "access_key_id: has white space around it"),
        ({"access_key_id": "canary/with+slash="}, "access_key_id: is no access key id"),
        ({"secret_access_key": None}, "secret_access_key is missing: set the one of access_key_id with `pulumi config"),
        ({"secret_access_key": ""}, "secret_access_key: must not be empty"),
        ({"secret_access_key": "   "}, "secret_access_key: has white space around it"),
        ({"secret_access_key": f"{SECRET}\n"}, "secret_access_key: has white space around it"),
        ({"secret_access_key": [SECRET]}, "secret_access_key: write text"),
        ({"user": "me"}, "user: 'me' is no user that a bucket policy can name"),
        ({"user": "domain/abc:user/def"}, "write it as S3 does: 'arn:aws:iam::abc:user/def'"),
        ({"prefix": None}, "prefix: missing; add it"),
        ({"prefix": "/raw"}, "prefix: '/raw' starts with a slash"),
        ({"secret_acess_key": SECRET}, "secret_acess_key: unknown key; did you mean 'secret_access_key'?"),
    ],
)
def test_what_is_wrong_is_told_with_the_field_and_the_remedy(more: dict[str, Any], said: str) -> None:
    assert said in refused(**more)
    assert refused(**more).startswith("street-scenes.input.obs")


def test_a_path_is_no_datasource() -> None:
    with pytest.raises(spec.SpecError, match=r"street-scenes\.input\.obs: 'obs://acme-raw/raw/': write a mapping"):
        spec.parse({"street-scenes": {"input": {"obs": "obs://acme-raw/raw/"}, "lightly": {"obs": MADE}}})


def test_an_empty_key_counts_as_missing() -> None:
    with pytest.raises(spec.SpecError, match="secret_access_key is missing"):
        parse(BROUGHT | {"secret_access_key": None})


def other(source: Mapping[str, Any], target: Mapping[str, Any]) -> dict[str, Any]:
    return {"night": {"input": {"obs": dict(source)}, "lightly": {"obs": dict(target)}}}


NIGHT = BROUGHT | {"prefix": "night/"}
NIGHT_LIGHTLY = MADE | {"prefix": "night-lightly/"}


def test_several_datasets_may_use_one_made_bucket_and_one_key() -> None:
    parse(others=other(NIGHT, NIGHT_LIGHTLY))
    parse(others=other(NIGHT, NIGHT_LIGHTLY | {"create": False}))
    # Two that bring the same bucket need not name the user, and may.
    parse(others=other(NIGHT | {"user": USER}, NIGHT_LIGHTLY))


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        (
            {"secret_access_key": "canary-other"},
            {},
            "night.input.obs.secret_access_key: the key 'AKOBS' has another secret in",
        ),
        ({"user": "arn:aws:iam::abc:user/def"}, {}, "the key 'AKOBS' is another user's in"),
        ({"endpoint": "https://obs.eu-nl.otc.t-systems.com"}, {}, "reaches the bucket 'acme-raw' by another one"),
        (
            {},
            {"endpoint": "https://storage.example", "region": "acme-1"},
            "night.lightly.obs.bucket: street-scenes.lightly.obs makes a bucket 'acme-lightly' too, on another cloud",
        ),
        ({}, {"addressing": "virtual"}, "bucket 'acme-lightly' is made in another way by street-scenes.lightly.obs"),
        (
            {},
            {"create": False, "user": None},
            "night.lightly.obs.user: missing, but street-scenes.lightly.obs makes the bucket 'acme-lightly'",
        ),
    ],
)
def test_datasets_must_agree(source: dict[str, Any], target: dict[str, Any], said: str) -> None:
    with pytest.raises(spec.SpecError) as error:
        parse(others=other(NIGHT | source, NIGHT_LIGHTLY | target))
    assert said in str(error.value)
    assert "canary" not in str(error.value)


def test_what_is_made_is_made_in_one_region() -> None:
    there = MADE | {"endpoint": ANYWHERE, "region": "acme-1"}
    with pytest.raises(spec.SpecError, match="bucket 'acme-lightly' is made in another way by street-scenes"):
        parse(lightly=there, others=other(NIGHT, there | {"prefix": "night-lightly/", "region": "acme-2"}))


def test_another_cloud_may_have_buckets_keys_and_users_of_the_same_name() -> None:
    there = {"endpoint": ANYWHERE, "secret_access_key": "canary-other", "user": "arn:aws:iam::abc:user/def"}
    # The same directories, too.
    parse(BROUGHT | {"user": USER}, others=other(BROUGHT | there, MADE | there | {"create": False}))
    source, target = parse(BROUGHT, MADE | there | {"bucket": "acme-raw", "prefix": "raw/", "create": False})
    assert source.place != target.place


@pytest.mark.parametrize("endpoint", ["http://storage.example", "https://STORAGE.example:443"])
def test_another_spelling_of_the_host_is_no_other_cloud(endpoint: str) -> None:
    here, alike = {"endpoint": ANYWHERE, "region": "acme-1"}, {"endpoint": endpoint, "region": "acme-1"}
    parse(BROUGHT | here, MADE | here, others=other(NIGHT | alike, NIGHT_LIGHTLY | alike))
    with pytest.raises(spec.SpecError, match="what Lightly writes would come in as Input"):
        parse(BROUGHT | here, MADE | alike | {"bucket": "acme-raw", "prefix": "raw/b/"})


def test_lightlys_directory_must_lie_beside_the_input() -> None:
    with pytest.raises(spec.SpecError, match="what Lightly writes would come in as Input"):
        parse(MADE | {"prefix": "a/"}, MADE | {"prefix": "a/b/"})


def test_the_secret_is_found_as_one() -> None:
    found = dict(spec.secrets_of(spec.parse(datasets())))
    assert set(found) == {"street-scenes.input.obs.secret_access_key", "street-scenes.lightly.obs.secret_access_key"}
    assert "secret_access_key" in spec.secret_fields()
