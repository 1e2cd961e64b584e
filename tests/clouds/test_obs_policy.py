"""What OBS is told to allow, and which names, users and endpoints it has."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lightly_infra.clouds.obs import policy
from lightly_infra.permissions import GRANTED, Operation, Purpose

USER = "arn:aws:iam::0123456789abcdef0123456789abcdef:user/fedcba9876543210fedcba9876543210"


def granted(purpose: Purpose = Purpose.INPUT, prefix: str = "raw/", user: str | None = USER) -> list[policy.Statement]:
    return policy.grant(purpose=purpose, bucket="acme-raw", prefix=prefix, user=user, sid="Raw")


def test_an_input_may_be_listed_and_read_under_its_prefix() -> None:
    assert granted() == [
        {
            "Sid": "RawList",
            "Effect": "Allow",
            "Principal": {"AWS": [USER]},
            "Action": ["s3:ListBucket"],
            "Resource": ["arn:aws:s3:::acme-raw"],
            "Condition": {"StringLike": {"s3:prefix": ["raw/*"]}},
        },
        {
            "Sid": "RawObjects",
            "Effect": "Allow",
            "Principal": {"AWS": [USER]},
            "Action": ["s3:GetObject"],
            "Resource": ["arn:aws:s3:::acme-raw/raw/*"],
        },
    ]


@pytest.mark.parametrize("purpose", [Purpose.LIGHTLY, Purpose.INPUT_OUTPUT])
def test_what_lightly_writes_to_may_be_written_and_deleted_too(purpose: Purpose) -> None:
    assert granted(purpose)[1]["Action"] == ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]


def test_the_whole_bucket_has_no_condition() -> None:
    listing, objects = granted(prefix="")
    assert "Condition" not in listing
    assert objects["Resource"] == ["arn:aws:s3:::acme-raw/*"]


def test_nobody_is_named_where_the_policy_is_not_ours_to_write() -> None:
    assert not any("Principal" in it for it in granted(user=None))


@given(st.sampled_from(Purpose), st.from_regex(r"([a-z0-9]{1,8}/){0,3}", fullmatch=True))
def test_no_statement_reaches_beside_the_prefix_or_does_more_than_the_table(purpose: Purpose, prefix: str) -> None:
    listing, objects = granted(purpose, prefix)
    assert objects["Resource"] == [f"arn:aws:s3:::acme-raw/{prefix}*"]
    assert set(objects["Action"]) == {policy.OBJECT_ACTIONS[it] for it in GRANTED[purpose] if it != Operation.LIST}
    assert (prefix == "") == ("Condition" not in listing)
    assert "s3:*" not in json.dumps([listing, objects])


def test_ids_come_from_names() -> None:
    assert policy.sid_of("lightly-street-scenes-input") == "LightlyStreetScenesInputa8fa2b19"
    assert policy.sid_of("my_own.thing").startswith("MyOwnThing")


@given(st.sets(st.text("ab1-_.ä") | st.text(), min_size=2))
@example({"cam-1-1", "cam-11"})
@example({"raw", "Raw"})
@example({"", "-"})
def test_different_names_have_different_ids_of_letters_and_digits(names: set[str]) -> None:
    sids = {policy.sid_of(it) for it in names}
    assert len(sids) == len(names)
    assert all(it.isascii() and it.isalnum() for it in sids)


def test_a_policy_has_the_version_that_obs_names() -> None:
    assert policy.document(granted()) == {"Version": "2008-10-17", "Statement": granted()}


def test_what_obs_gives_back_in_another_form_says_the_same() -> None:
    one = granted(Purpose.LIGHTLY)[1]
    other = one | {"Principal": {"AWS": USER}, "Action": one["Action"][::-1], "Resource": one["Resource"][0]}
    assert policy.same(one, other)
    assert not policy.same(one, one | {"Effect": "Deny"})
    assert not policy.same([one], [one, granted()[0]])


def test_unfinished_uploads_are_aborted_and_nothing_ever_expires() -> None:
    (rule,) = policy.lifecycle()
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert rule["Prefix"] == ""
    assert "Expir" not in json.dumps(rule)


@pytest.mark.parametrize("name", ["abc", "a.b.c", "acme-raw-2026", "0ab", "a" * 63, "1.2.3.a"])
def test_bucket_names_that_obs_takes(name: str) -> None:
    assert policy.check_bucket(name) == name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ab", "3 to 63 lower-case"),
        ("a" * 64, "3 to 63 lower-case"),
        ("Acme", "3 to 63 lower-case"),
        ("acme_raw", "3 to 63 lower-case"),
        ("-acme", "letter or digit at both ends"),
        ("acme.", "letter or digit at both ends"),
        ("acme\n", "3 to 63 lower-case"),
        ("ac..me", "a dot must not stand beside"),
        ("ac.-me", "a dot must not stand beside"),
        ("ac-.me", "a dot must not stand beside"),
        ("192.168.1.1", "must not look like an IP address"),
    ],
)
def test_bucket_names_that_obs_refuses(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        policy.check_bucket(name)


def test_a_user_is_named_as_s3_does() -> None:
    assert policy.check_user(USER) == USER
    with pytest.raises(ValueError, match="write it as S3 does: 'arn:aws:iam::abc:user/def'"):
        policy.check_user("domain/abc:user/def")


@pytest.mark.parametrize(
    "user", ["", "me", "arn:aws:iam::abc:user/*", "arn:aws:iam::*:user/x", "arn:aws:iam::abc:root", f"{USER}\n"]
)
def test_whole_domains_patterns_and_slips_are_no_user(user: str) -> None:
    with pytest.raises(ValueError, match="arn:aws:iam::DOMAIN_ID:user/USER_ID"):
        policy.check_user(user)


@pytest.mark.parametrize("key_id", ["AKOBS", "ABCDEFGHIJ0123456789"])
def test_ids_of_keys(key_id: str) -> None:
    assert policy.check_access_key_id(key_id) == key_id


@pytest.mark.parametrize("key_id", ["", "a b", "{x}", "c4nary/secret+key="])
def test_what_is_no_id_of_a_key_is_not_repeated(key_id: str) -> None:
    with pytest.raises(ValueError, match="is no access key id") as error:
        policy.check_access_key_id(key_id)
    assert "c4nary" not in str(error.value)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://obs.eu-de.otc.t-systems.com",
        "http://127.0.0.1:9000",
        "http://[::1]:9000",
        "https://storage.obs.acme.example:8443",
    ],
)
def test_endpoints(endpoint: str) -> None:
    assert policy.check_endpoint(endpoint) == endpoint


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("obs.eu-de.otc.t-systems.com", "write 'https://obs.eu-de.otc.t-systems.com'"),
        ("s3://obs.eu-de.otc.t-systems.com", "write 'https://obs.eu-de.otc.t-systems.com'"),
        ("localhost:9000", "must start with http"),
        ("https://", "must start with http"),
        ("https://obs.example/", "write 'https://obs.example'"),
        ("https://obs.example:8443/bucket", "write 'https://obs.example:8443'"),
        ("https://obs.example?x=1", "write 'https://obs.example'"),
        ("https://obs.example?", "write 'https://obs.example'"),
        ("https://obs.example#x", "write 'https://obs.example'"),
        ("https://obs.example\n", "white space"),
        ("https://obs.example:port", "is no URL"),
        ("https://{x}", "names no host"),
        ("https://acme-raw.obs.eu-de.otc.t-systems.com", "write 'https://obs.eu-de.otc.t-systems.com'"),
        ("https://x.obs.cn-north-4.myhuaweicloud.com", "write 'https://obs.cn-north-4.myhuaweicloud.com'"),
        ("https://acme-raw.storage.example:8443", "write 'https://storage.example:8443'"),
    ],
)
def test_what_is_no_endpoint_is_told_with_what_to_write(endpoint: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        policy.check_endpoint(endpoint, bucket="acme-raw")


def test_keys_in_an_endpoint_are_not_repeated() -> None:
    with pytest.raises(ValueError, match="keys go into access_key_id") as error:
        policy.check_endpoint("https://AK:canary@obs.example")
    assert "canary" not in str(error.value)


def test_some_endpoints_say_their_region() -> None:
    assert policy.region_of("https://obs.eu-de.otc.t-systems.com") == "eu-de"
    assert policy.region_of("https://obs.cn-north-4.myhuaweicloud.com") == "cn-north-4"
    assert policy.region_of("http://OBS.eu-de.otc.t-systems.com:8443") == "eu-de"
    assert policy.region_of("https://storage.example") is None


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        ("https://storage.example", "storage.example"),
        ("http://STORAGE.example", "storage.example"),
        ("https://storage.example.:443", "storage.example"),
        ("http://storage.example:80", "storage.example"),
        ("https://storage.example:80", "storage.example:80"),
        ("http://127.0.0.1:9000", "127.0.0.1:9000"),
        ("http://[::1]", "::1"),
    ],
)
def test_all_spellings_of_a_host_give_one(endpoint: str, host: str) -> None:
    assert policy.host_of(endpoint) == host


@pytest.mark.parametrize(
    ("endpoint", "cloud"),
    [
        ("https://obs.eu-de.otc.t-systems.com", "otc.t-systems.com"),
        ("https://obs.eu-nl.otc.t-systems.com", "otc.t-systems.com"),
        ("http://obs.eu-nl.otc.t-systems.com:8080", "otc.t-systems.com"),
        ("https://obs.cn-north-4.myhuaweicloud.com", "myhuaweicloud.com"),
        ("https://obs.eu-west-101.myhuaweicloud.eu", "myhuaweicloud.eu"),
        ("https://Storage.example:8443", "storage.example:8443"),
    ],
)
def test_names_are_unique_within_a_cloud_which_has_endpoints_in_many_regions(endpoint: str, cloud: str) -> None:
    assert policy.cloud_of(endpoint) == cloud


@pytest.mark.parametrize("module", ["lightly_infra.clouds.obs", "lightly_infra.clouds.obs.policy"])
def test_the_policy_loads_neither_pulumi_nor_boto3(module: str) -> None:
    check = f"import sys, {module}\nassert not {{'pulumi', 'boto3', 'botocore'}} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False, timeout=60).returncode == 0


def test_the_api_loads_boto3_only_when_a_call_is_due() -> None:
    check = (
        "import sys, lightly_infra.clouds.obs.api\n"
        "import lightly_infra.clouds.obs.connection, lightly_infra.clouds.obs.errors\n"
        "assert not {'pulumi', 'boto3', 'botocore'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False, timeout=60).returncode == 0
