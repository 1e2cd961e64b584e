"""What a stack's YAML may say of Google Cloud Storage."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from lightly_infra import spec
from lightly_infra.spec.gcs import GcsAccessSpec, GcsSpec

CANARY = "canary-private-key"
PROJECT = "acme-vision-prod"
OWN = "ours@acme-other.iam.gserviceaccount.com"
KEY = "projects/acme-vision-prod/locations/europe-west3/keyRings/ring/cryptoKeys/key"
CREDENTIALS = json.dumps(
    {
        "type": "service_account",
        "project_id": "acme-other",
        "private_key_id": "0123456789abcdef",
        "private_key": f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n",
        "client_email": OWN,
        "token_uri": "https://oauth2.googleapis.com/token",
    }
)

EXAMPLE = """
street-scenes:
  input:
    gcs: {bucket: acme-raw, prefix: street-scenes/}
  lightly:
    gcs: {create: true, prefix: lightly/, location: europe-west3}
"""


def changed(path: str, value: object, **also: object) -> dict[str, Any]:
    """The example with other things said, at paths in the only dataset."""
    datasets = dict(yaml.safe_load(EXAMPLE))
    for where, it in {path: value, **{name.replace("__", "."): more for name, more in also.items()}}.items():
        *parents, last = where.split(".")
        at = datasets["street-scenes"]
        for parent in parents:
            at = at[parent]
        at[last] = it
    return datasets


def parse(datasets: object, project: str | None = PROJECT) -> dict[str, spec.DatasetSpec]:
    return spec.parse(datasets, {"project": project})


def source(datasets: object, project: str | None = PROJECT) -> GcsSpec:
    found = next(iter(parse(datasets, project).values())).input.gcs
    assert found is not None
    return found


def target(datasets: object) -> GcsSpec:
    found = next(iter(parse(datasets).values())).lightly.gcs
    assert found is not None
    return found


def problem(datasets: object, project: str | None = PROJECT) -> str:
    with pytest.raises(spec.SpecError) as error:
        parse(datasets, project)
    assert error.value.__context__ is None, "pydantic's error holds the values"
    assert "canary" not in str(error.value)
    (only,) = error.value.problems
    return only


# -- what is accepted


def test_the_example_is_accepted() -> None:
    it, other = source(yaml.safe_load(EXAMPLE)), target(yaml.safe_load(EXAMPLE))
    assert (it.bucket, it.prefix, it.project, it.create) == ("acme-raw", "street-scenes/", PROJECT, False)
    assert (other.bucket, other.prefix, other.location, other.create) == (None, "lightly/", "EUROPE-WEST3", True)


def test_the_defaults_make_a_service_account_and_grant_the_prefix_alone() -> None:
    it = source(yaml.safe_load(EXAMPLE))
    assert it.access == GcsAccessSpec(kind="service_account", share=None, service_account=None, credentials=None)
    assert (it.bucket_wide_listing, it.versioning, it.kms_key, it.labels) == (False, False, None, {})


def test_the_project_is_the_stacks_unless_the_datasource_names_one() -> None:
    datasets = changed("lightly.gcs.project", "acme-other")
    assert (source(datasets).project, target(datasets).project) == (PROJECT, "acme-other")


def test_the_kind_of_access_may_stand_alone() -> None:
    short, long = (changed("input.gcs.access", it) for it in ("service_account", {"kind": "service_account"}))
    assert parse(short) == parse(long) == parse(yaml.safe_load(EXAMPLE))


@pytest.mark.parametrize(
    "access", [{"service_account": OWN}, {"share": "team"}, {"service_account": OWN, "share": "team"}]
)
def test_an_account_may_be_shared_or_yours_or_both(access: dict[str, str]) -> None:
    assert source(changed("input.gcs.access", access)).access == GcsAccessSpec(**access)  # type: ignore[arg-type]  # as YAML


def test_credentials_are_secret() -> None:
    datasets = parse(changed("input.gcs.access", {"credentials": CREDENTIALS}))
    assert "canary" not in repr(datasets)
    ((path, secret),) = spec.secrets_of(datasets)
    assert path == "street-scenes.input.gcs.access.credentials"
    assert secret.get_secret_value() == CREDENTIALS


def test_a_bucket_that_is_made_may_have_all_of_these() -> None:
    more = {"bucket": "acme-lightly", "kms_key": KEY, "versioning": True, "labels": {"team": "vision"}}
    it = target(changed("lightly.gcs", {"create": True, "prefix": "", "location": "europe-west3", **more}))
    assert it.model_dump(include=set(more)) == more


def test_what_a_datasource_is_to_the_others() -> None:
    it, other = source(yaml.safe_load(EXAMPLE)), target(yaml.safe_load(EXAMPLE))
    assert (it.scheme, it.place, it.creates, it.reach) == ("gs", "gs://acme-raw", False, "street-scenes/")
    assert (other.place, other.creates) == (None, True)


# -- what is refused


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("input.gcs.bucket", "Acme_Raw", "input.gcs.bucket: 'Acme_Raw' is no GCS bucket name: 3 to 63"),
        ("input.gcs.bucket", "goog-raw", "input.gcs.bucket: 'goog-raw' is no GCS bucket name: Google keeps names"),
        ("input.gcs.bucket", "gs://acme-raw", "input.gcs.bucket: 'gs://acme-raw' is no GCS bucket name"),
        ("input.gcs.bucket", None, "input.gcs: bucket is missing: name yours, or write 'create: true'"),
        ("input.gcs.project", "123456789012", "input.gcs.project: '123456789012' is a project's number; give its id"),
        ("input.gcs.project", "Acme Vision", "input.gcs.project: 'Acme Vision' is no project id"),
        ("input.gcs.prefix", 'a"b', "input.gcs.prefix: 'a\"b' holds \", which would end the text in an IAM condition"),
        ("input.gcs.prefix", "a'b", "input.gcs.prefix: \"a'b\" holds ', which would end the text in an IAM condition"),
        ("input.gcs.prefix", "a\\b", "input.gcs.prefix: 'a\\\\b' holds a backslash"),
        ("input.gcs.prefix", "/raw", "input.gcs.prefix: '/raw' starts with a slash"),
        ("input.gcs.prefix", None, "input.gcs.prefix: empty: write text"),
        ("input.gcs.create", "yes", "input.gcs.create: 'yes': write true or false"),
        ("input.gcs.bucket_wide_listing", "yes", "input.gcs.bucket_wide_listing: 'yes': write true or false"),
        ("input.gcs.region", "EU", "input.gcs.region: unknown key; "),
        # access
        ("input.gcs.access", "keys", "input.gcs.access.kind: 'keys': use 'service_account'"),
        ("input.gcs.access", {"share": "A_B"}, "input.gcs.access.share: 'A_B' is not a valid share name"),
        (
            "input.gcs.access",
            {"service_account": "ada@example.com"},
            "input.gcs.access.service_account: 'ada@example.com' is no service account; give its e-mail",
        ),
        (
            "input.gcs.access",
            {"credentials": CREDENTIALS, "service_account": OWN},
            "input.gcs.access: service_account: 'credentials' say whose key it is; remove one of the two",
        ),
        (
            "input.gcs.access",
            {"credentials": CREDENTIALS, "share": "team"},
            "input.gcs.access: share: 'credentials' say whose key it is; remove one of the two",
        ),
        ("input.gcs.access", {"credentials": CANARY}, "input.gcs.access.credentials: no JSON object; give the key's"),
        ("input.gcs.access", {"credentials": [CANARY]}, "input.gcs.access.credentials: write text"),
        (
            "input.gcs.access",
            {"credentials": json.loads(CREDENTIALS)},
            "input.gcs.access.credentials: this is a mapping; give the key's JSON document as text, and as a secret",
        ),
        ("input.gcs.access", {"credential": CREDENTIALS}, "input.gcs.access.credential: unknown key; did you mean"),
        # of a bucket that is yours
        ("input.gcs.location", "EU", "input.gcs: location is for buckets that are made here; yours is not changed"),
        ("input.gcs.kms_key", KEY, "input.gcs: kms_key is for buckets that are made here; yours is not changed"),
        ("input.gcs.versioning", True, "input.gcs: versioning is for buckets that are made here; yours is not"),
        ("input.gcs.labels", {"team": "a"}, "input.gcs: labels is for buckets that are made here; yours is not"),
        # of a bucket that is made
        ("lightly.gcs.location", None, "lightly.gcs: location is missing: say where the bucket is made, such as"),
        (
            "lightly.gcs.location",
            "europe-west3-a",
            "lightly.gcs.location: 'europe-west3-a' is a zone; a bucket lies in",
        ),
        ("lightly.gcs.location", "mars!", "lightly.gcs.location: 'mars!' is not a location"),
        ("lightly.gcs.kms_key", "key", "lightly.gcs.kms_key: 'key' is not a key; give its name in full, projects/"),
        (
            "lightly.gcs.kms_key",
            KEY.replace("europe-west3", "global"),
            "is a key in 'global', but a bucket in 'EUROPE-WEST3' needs one in 'europe-west3'; name such a key",
        ),
        ("lightly.gcs.labels", {"Team": "a"}, "lightly.gcs.labels: 'Team': a label's key has 1 to 63 lower-case"),
        ("lightly.gcs.labels", {"team": 1}, "lightly.gcs.labels.team: 1: write text, in quotes where it looks like"),
    ],
)
def test_a_bad_value_is_told_where_it_is_and_what_to_do(path: str, value: object, said: str) -> None:
    assert said in problem(changed(path, value))


def test_a_project_is_needed() -> None:
    assert problem(changed("lightly.gcs.project", PROJECT), None) == (
        "street-scenes.input.gcs: project is missing: name the bucket's project here, or set gcp:project for the stack"
    )


def test_credentials_of_yours_are_granted_no_listing() -> None:
    access = {"credentials": CREDENTIALS}
    assert problem(changed("input.gcs.access", access, input__gcs__bucket_wide_listing=True)) == (
        "street-scenes.input.gcs: bucket_wide_listing: credentials of your own are granted nothing here; remove it, "
        "and grant them storage.objects.list yourself"
    )


def test_lightly_must_not_write_into_the_input() -> None:
    lightly = {"bucket": "acme-raw", "prefix": "street-scenes/lightly/"}
    assert "lies in input.gcs.prefix 'street-scenes/' of the same bucket" in problem(changed("lightly.gcs", lightly))


# -- what datasources must agree on


def datasources(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Two datasets with these Inputs."""
    return {
        name: {
            "input": {"gcs": {"prefix": "raw/"} | given},
            "lightly": {"gcs": {"bucket": f"acme-{name}", "prefix": "lightly/"}},
        }
        for name, given in (("first", first), ("second", second))
    }


MADE: dict[str, Any] = {"bucket": "acme-raw", "create": True, "location": "EU"}


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (
            {"bucket": "one", "access": {"share": "team"}},
            {"bucket": "two", "access": {"share": "team", "service_account": OWN}},
            "second.input.gcs.access: share 'team' is another one in first.input.gcs.access",
        ),
        (
            {"bucket": "one", "access": {"share": "team"}},
            {"bucket": "two", "access": {"share": "team"}, "project": "acme-other"},
            "second.input.gcs.access: share 'team' is made in another project for first.input.gcs; use a share for",
        ),
        (
            MADE,
            MADE | {"location": "US"},
            "second.input.gcs: bucket 'acme-raw' is made in another way by first.input.gcs",
        ),
        (MADE, MADE | {"versioning": True}, "second.input.gcs: bucket 'acme-raw' is made in another way by"),
        (MADE, MADE | {"labels": {"team": "a"}}, "second.input.gcs: bucket 'acme-raw' is made in another way by"),
        (
            {"bucket": "acme-raw"},
            {"bucket": "acme-raw", "project": "acme-other"},
            "second.input.gcs.project: 'acme-other', but for first.input.gcs the bucket 'acme-raw' is in 'acme-",
        ),
    ],
)
def test_datasources_that_disagree_are_refused(first: dict[str, Any], second: dict[str, Any], said: str) -> None:
    assert said in problem(datasources(first, second))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (MADE, MADE),
        (MADE, {"bucket": "acme-raw"}),
        ({"bucket": "one", "access": {"share": "team"}}, {"bucket": "two", "access": {"share": "team"}}),
        (
            {"bucket": "one", "access": {"share": "team", "service_account": OWN}},
            {"bucket": "two", "access": {"share": "team", "service_account": OWN}, "project": "acme-other"},
        ),
        ({"bucket": "one", "access": {"service_account": OWN}}, {"bucket": "two", "access": {"service_account": OWN}}),
    ],
)
def test_datasources_that_agree_are_accepted(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert set(parse(datasources(first, second))) == {"first", "second"}


@pytest.mark.parametrize(
    ("more", "count", "fits"),
    [
        ({}, 5, True),
        ({}, 6, False),
        ({"share": "acme"}, 6, True),
        ({"rotate_every_days": 30}, 1, True),
        ({"rotate_every_days": 30}, 2, False),
        ({"rotate_every_days": 30, "share": "acme"}, 6, True),
    ],
)
def test_an_account_of_ones_own_has_room_for_ten_keys_and_one_that_is_renewed_counts_as_three(
    more: dict[str, Any], count: int, fits: bool
) -> None:
    access: dict[str, Any] = {"service_account": "lightly@acme-vision-prod.iam.gserviceaccount.com", **more}
    given = {"bucket": "acme-raw", "project": "acme-vision-prod", "access": access}
    datasets = {
        f"scenes-{it}": {
            "input": {"gcs": {**given, "prefix": f"raw-{it}/"}},
            "lightly": {"gcs": {**given, "prefix": f"made-{it}/"}},
        }
        for it in range(count)
    }
    if fits:
        assert len(spec.parse(datasets)) == count
        return
    words = rf"scenes-{count - 1}.(input|lightly).gcs.access: .* more than the 10 keys .* counts as 3\); let datas"
    with pytest.raises(spec.SpecError, match=words):
        spec.parse(datasets)
