"""Permissions and conditions: exactly what the table of permissions grants, and nowhere else; and rules for names."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import celpy
import pytest
from celpy import celtypes
from celpy.adapter import json_to_cel
from hypothesis import given, settings
from hypothesis import strategies as st

from lightly_infra.clouds.gcp import policy
from lightly_infra.permissions import GRANTED, Operation, Purpose

KEY = "projects/acme-vision-prod/locations/europe-west3/keyRings/ring/cryptoKeys/key-1"

# Google's words for each operation, written down a second time so that a slip in the code shows.
PERMISSIONS = {
    Operation.LIST: {"storage.objects.list"},
    Operation.READ: {"storage.objects.get"},
    Operation.WRITE: {"storage.objects.create"},
    Operation.OVERWRITE: {"storage.objects.create", "storage.objects.delete", "storage.objects.update"},
    Operation.DELETE: {"storage.objects.delete"},
}

# One for all tests: a new one raises the recursion limit, which Hypothesis does not like to see during a test.
CEL = celpy.Environment()

CANARY = "canary-private-key"
CREDENTIALS: dict[str, Any] = {
    "type": "service_account",
    "project_id": "acme-vision-prod",
    "private_key_id": "0123456789abcdef",
    "private_key": f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n",
    "client_email": "lightly@acme-vision-prod.iam.gserviceaccount.com",
    "token_uri": "https://oauth2.googleapis.com/token",
}


# -- permissions


@pytest.mark.parametrize("purpose", Purpose)
def test_the_permissions_are_those_of_the_table_and_no_others(purpose: Purpose) -> None:
    granted = policy.permissions(purpose)
    assert set(granted) == set().union(*(PERMISSIONS[operation] for operation in GRANTED[purpose]))
    assert len(set(granted)) == len(granted)


def test_the_input_can_only_be_listed_and_read() -> None:
    assert policy.permissions(Purpose.INPUT) == ["storage.objects.list", "storage.objects.get"]


def test_no_permission_is_a_pattern_or_about_anything_but_objects() -> None:
    assert {it.rsplit(".", 1)[0] for it in policy.permissions(Purpose.LIGHTLY)} == {"storage.objects"}


def test_the_whole_bucket_needs_no_condition() -> None:
    granted = policy.grant(purpose=Purpose.INPUT, bucket="acme-raw", prefix="")
    assert granted == {"bucket": "acme-raw", "permissions": ["storage.objects.list", "storage.objects.get"]}


def test_a_prefix_is_a_condition() -> None:
    granted = policy.grant(purpose=Purpose.INPUT, bucket="acme-raw", prefix="street-scenes/")
    assert granted["condition"] == {
        "title": "lightly-directory",
        "description": "Lightly reaches one directory of the bucket. Made by lightly-infra.",
        "expression": 'resource.name.startsWith("projects/_/buckets/acme-raw/objects/street-scenes/") || '
        'api.getAttribute("storage.googleapis.com/objectListPrefix", "").startsWith("street-scenes/")',
    }


def test_listing_may_be_granted_in_the_whole_bucket() -> None:
    granted = policy.grant(purpose=Purpose.INPUT, bucket="acme-raw", prefix="raw/", bucket_wide_listing=True)
    assert granted["condition"]["expression"] == (
        'resource.name.startsWith("projects/_/buckets/acme-raw/objects/raw/") || '
        'resource.type == "storage.googleapis.com/Bucket"'
    )


def test_equal_grants_are_equal_strings_and_others_are_not() -> None:
    told = [
        policy.to_json(policy.grant(purpose=purpose, bucket=bucket, prefix=prefix, bucket_wide_listing=wide))
        for purpose in (Purpose.INPUT, Purpose.LIGHTLY)
        for bucket in ("acme-raw", "acme-other")
        for prefix, wide in (("", False), ("raw/", False), ("raw/", True))
    ]
    assert len(set(told)) == len(told)
    assert json.loads(told[0]) == policy.grant(purpose=Purpose.INPUT, bucket="acme-raw", prefix="")


# -- conditions, as a CEL library reads them


def holds(expression: str, *, resource_type: str, name: str, list_prefix: str | None = None) -> bool:
    """Whether a condition holds for a call, as Google evaluates it."""

    def get_attribute(_: Any, attribute: Any, default: Any) -> Any:
        if list_prefix is None or attribute != "storage.googleapis.com/objectListPrefix":
            return default
        return celtypes.StringType(list_prefix)

    program = CEL.program(CEL.compile(expression), functions={"getAttribute": get_attribute})
    context = json_to_cel({"resource": {"type": resource_type, "name": name}, "api": {}})
    assert isinstance(context, dict)
    found = program.evaluate({str(key): value for key, value in context.items()})
    assert isinstance(found, celtypes.BoolType)
    return bool(found)


def reaches(expression: str, key: str, bucket: str = "acme-raw") -> bool:
    return holds(
        expression,
        resource_type="storage.googleapis.com/Object",
        name=f"projects/_/buckets/{bucket}/objects/{key}",
    )


def lists(expression: str, list_prefix: str, bucket: str = "acme-raw") -> bool:
    return holds(
        expression,
        resource_type="storage.googleapis.com/Bucket",
        name=f"projects/_/buckets/{bucket}",
        list_prefix=list_prefix,
    )


def _is_prefix(text: str) -> bool:
    try:
        return bool(policy.normalise_prefix(text))
    except ValueError:
        return False


letters = st.text(st.characters(blacklist_categories=("C", "Z")), min_size=1, max_size=8)
prefixes = st.lists(letters, min_size=1, max_size=3).map("/".join).filter(_is_prefix).map(policy.normalise_prefix)


@st.composite
def prefixes_and_keys(draw: st.DrawFn) -> tuple[str, str]:
    """A prefix, and a key under it, beside it or anywhere."""
    prefix = draw(prefixes)
    beginning = draw(st.sampled_from([prefix, prefix[:-1], prefix[:1], "", f"x{prefix}", prefix.upper()]))
    return prefix, beginning + draw(st.text(max_size=5))


@given(prefixes_and_keys(), st.booleans())
@settings(max_examples=60)
def test_exactly_the_objects_under_the_prefix_are_reached(case: tuple[str, str], wide: bool) -> None:
    prefix, key = case
    expression = policy.expression("acme-raw", prefix, bucket_wide_listing=wide)
    assert reaches(expression, key) == key.startswith(prefix)
    assert not reaches(expression, key, bucket="acme-raw-2")


@given(prefixes_and_keys())
@settings(max_examples=60)
def test_exactly_what_is_under_the_prefix_is_listed(case: tuple[str, str]) -> None:
    prefix, asked = case
    assert lists(policy.expression("acme-raw", prefix), asked) == asked.startswith(prefix)


def test_a_list_without_a_prefix_needs_bucket_wide_listing() -> None:
    assert not lists(policy.expression("acme-raw", "raw/"), "")
    assert lists(policy.expression("acme-raw", "raw/", bucket_wide_listing=True), "")


@given(st.text(max_size=30))
def test_no_prefix_ends_the_text_that_it_stands_in(text: str) -> None:
    try:
        prefix = policy.normalise_prefix(text)
    except ValueError:
        return
    assert not set(prefix) & set("\"'`\\\n\r")


@pytest.mark.parametrize("prefix", ['a" || true || "', "a' || true", "`", 'raw/"/'])
def test_a_prefix_with_quotes_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="which would end the text in an IAM condition; use a directory without"):
        policy.normalise_prefix(prefix)


@pytest.mark.parametrize("prefix", ["a\\", "/raw", "raw/*", "a/../b", "a\nb"])
def test_a_prefix_that_is_refused_for_every_cloud_is_refused_here_too(prefix: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(prefix))):
        policy.normalise_prefix(prefix)


@pytest.mark.parametrize(
    ("bucket", "prefix"), [("acme-raw", 'a"/'), ("acme-raw", "raw"), ("acme-raw", ""), ('a"b', "raw/")]
)
def test_no_expression_is_made_of_anything_unchecked(bucket: str, prefix: str) -> None:
    with pytest.raises(ValueError, match=r"holds|is no"):
        policy.expression(bucket, prefix)


def test_the_longest_expression_is_well_below_what_a_policy_may_have() -> None:
    longest = policy.expression(".".join(["x" * 63] * 3), policy.normalise_prefix("p" * 511))
    assert len(longest.encode()) < 2_500
    assert longest.count("||") + longest.count("&&") <= 12


# -- names of what is made


@given(st.text(max_size=80))
def test_whatever_the_name_the_ids_are_allowed(name: str) -> None:
    assert re.fullmatch(r"[a-z]([-a-z0-9]{4,28}[a-z0-9])", policy.account_id(name, "0a1b2c3d"))
    assert re.fullmatch(r"[a-zA-Z0-9_.]{3,64}", policy.role_id(name, "0a1b2c3d"))


def test_ids_are_called_like_what_they_are_for() -> None:
    assert policy.account_id("lightly-street-scenes-input", "0a1b2c3d") == "lightly-street-scenes-0a1b2c3d"
    assert policy.account_id("3d-data", "0a1b2c3d") == "lightly-3d-data-0a1b2c3d"
    assert policy.role_id("lightly-street-scenes-input", "0a1b2c3d") == "lightly_street_scenes_input_0a1b2c3d"


# -- names that are given


@pytest.mark.parametrize(
    "name", ["abc", "acme_raw", "acme.example.com", "1-2", "x" * 63, ".".join(["x" * 63, "y" * 63, "z" * 63])]
)
def test_a_good_bucket_name_is_taken(name: str) -> None:
    assert policy.check_bucket(name) == name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ab", "3 to 63 lower-case letters"),
        ("", "3 to 63 lower-case letters"),
        ("Acme", "3 to 63 lower-case letters"),
        ("-acme", "a letter or digit at both ends"),
        ("acme/raw", "3 to 63 lower-case letters"),
        ('acme"', "3 to 63 lower-case letters"),
        ("acme\n", "3 to 63 lower-case letters"),
        ("x" * 64, "each part between dots"),
        ("a..b", "each part between dots"),
        (".".join(["x" * 60] * 4), "3 to 63 lower-case letters"),
        ("192.168.5.4", "must not look like an IP address"),
        ("goog-acme", "Google keeps names"),
        ("acme-google-data", "Google keeps names"),
        ("acme-g00gle", "Google keeps names"),
    ],
)
def test_a_bad_bucket_name_is_refused(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{name!r} is no GCS bucket name")) as error:
        policy.check_bucket(name)
    assert said in str(error.value)


@pytest.mark.parametrize("project", ["acme-vision-prod", "abcdef", "a" * 30, "example.com:acme-vision", "a1-b2-c3"])
def test_a_good_project_is_taken(project: str) -> None:
    assert policy.check_project(project) == project


@pytest.mark.parametrize(
    ("project", "said"),
    [
        ("123456789012", "is a project's number; give its id"),
        ("abcde", "is no project id: 6 to 30"),
        ("a" * 31, "is no project id"),
        ("Acme Vision", "is no project id"),
        ("acme-vision-", "is no project id"),
        ("1acme-vision", "is no project id"),
        ("acme-vision\n", "is no project id"),
        ("example:acme-vision", "is no project id"),
        ("", "is no project id"),
    ],
)
def test_a_bad_project_is_refused(project: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{project!r} {said}")):
        policy.check_project(project)


@pytest.mark.parametrize(
    "email",
    [
        "lightly@acme-vision-prod.iam.gserviceaccount.com",
        "lightly@acme-vision.example.com.iam.gserviceaccount.com",
        "123456789012-compute@developer.gserviceaccount.com",
        "acme-vision@appspot.gserviceaccount.com",
    ],
)
def test_a_good_service_account_is_taken(email: str) -> None:
    assert policy.check_service_account(email) == email


@pytest.mark.parametrize(
    "email",
    ["lightly", "ada@example.com", "serviceAccount:a@b.iam.gserviceaccount.com", "", "a b@c.gserviceaccount.com"],
)
def test_a_bad_service_account_is_refused(email: str) -> None:
    with pytest.raises(ValueError, match=f"{email!r} is no service account; give its e-mail, NAME@PROJECT.iam"):
        policy.check_service_account(email)


@pytest.mark.parametrize(
    ("location", "normal"),
    [
        ("europe-west3", "EUROPE-WEST3"),
        ("EU", "EU"),
        ("eur4", "EUR4"),
        ("northamerica-northeast1",) * 2,
        ("nam4", "NAM4"),
    ],
)
def test_a_location_is_spelled_as_gcs_spells_it(location: str, normal: str) -> None:
    assert policy.normalise_location(location) == normal.upper()


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("europe-west3-a", "'europe-west3-a' is a zone; a bucket lies in a region: write 'europe-west3'"),
        ("Frankfurt am Main", "is not a location; name a region such as europe-west3, or EU, US or ASIA"),
        ("europe-west", "is not a location"),
        ("", "is not a location"),
        ("EU\n", "is not a location"),
    ],
)
def test_a_bad_location_is_refused(location: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        policy.normalise_location(location)


def test_a_good_key_is_taken() -> None:
    assert policy.check_kms_key(KEY) == KEY


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (f"{KEY}/cryptoKeyVersions/3", f"is one version of a key, which rotation leaves behind; name the key: {KEY!r}"),
        (
            "key-1",
            "is not a key; give its name in full, projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY",
        ),
        ("key-1/cryptoKeyVersions/3", "is not a key; give its name in full"),
        (f"https://cloudkms.googleapis.com/v1/{KEY}", "is not a key"),
        (f"{KEY}\n", "is not a key"),
        ("", "is not a key"),
    ],
)
def test_a_bad_key_is_refused(key: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        policy.check_kms_key(key)


@pytest.mark.parametrize(
    ("key", "location"),
    [("europe-west3", "EUROPE-WEST3"), ("us", "US"), ("europe", "EU"), ("asia", "ASIA"), ("eur4", "EUR4")],
)
def test_a_key_of_the_buckets_location_is_taken(key: str, location: str) -> None:
    policy.check_kms_location(KEY.replace("europe-west3", key), location)


@pytest.mark.parametrize(
    ("key", "location"), [("global", "EU"), ("europe-west1", "EUROPE-WEST3"), ("europe-west3", "EU")]
)
def test_a_key_in_another_location_is_refused(key: str, location: str) -> None:
    with pytest.raises(ValueError, match=f"is a key in {key!r}, but a bucket in {location!r} needs one in 'europe"):
        policy.check_kms_location(KEY.replace("europe-west3", key), location)


def test_good_labels_are_taken() -> None:
    policy.check_labels({"team": "vision", "cost-centre_1": "", "k" * 63: "v" * 63})


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"Team": "vision"}, "'Team': a label's key has 1 to 63 lower-case letters"),
        ({"": "vision"}, "'': a label's key"),
        ({"1st": "vision"}, "'1st': a label's key"),
        ({"k" * 64: "vision"}, "a label's key"),
        ({"team": "Vision"}, "'team': a label's value has at most 63 lower-case letters"),
        ({"team": "v" * 64}, "'team': a label's value"),
        ({f"k{it}": "" for it in range(61)}, "61 labels; a bucket has room for 60 of yours"),
    ],
)
def test_bad_labels_are_refused(labels: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        policy.check_labels(labels)


# -- a key of the user's own


def test_a_key_says_whose_it_is() -> None:
    assert policy.check_credentials(json.dumps(CREDENTIALS)) == policy.ServiceAccountKey(
        email="lightly@acme-vision-prod.iam.gserviceaccount.com",
        project="acme-vision-prod",
        key_id=CREDENTIALS["private_key_id"],
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty; give the key's JSON document"),
        (" \n", "empty; give the key's JSON document"),
        (CANARY, "no JSON object; give the key's JSON document, the whole file"),
        (f"{{{CANARY}", "no JSON object"),
        (f'["{CANARY}"]', "no JSON object"),
        (json.dumps(CREDENTIALS)[:-1], "no JSON object"),
        (base64.b64encode(json.dumps(CREDENTIALS).encode()).decode(), "this is base64; decode it and give the key's"),
        (f"/home/ada/{CANARY}.json", "this looks like a file's name; give what is in the file"),
        (f"{CANARY}é", "no JSON object"),
    ],
)
def test_what_is_no_key_is_refused_and_not_repeated(text: str, said: str) -> None:
    refused(text, said)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"type": "authorized_user"}, "these are a person's credentials"),
        ({"type": "external_account"}, "this is a configuration of workload identity federation"),
        ({"type": "impersonated_service_account"}, "this is a configuration of impersonation"),
        ({"type": CANARY}, "something else; Lightly takes a service account's key"),
        ({"type": None}, "something else"),
        ({"type": [CANARY]}, "something else"),
        *(
            ({field: value}, f"the key's JSON has no {field}; give the file as Google made it, whole")
            for field in ("client_email", "project_id", "private_key", "private_key_id", "token_uri")
            for value in (None, "", 7)
        ),
        ({"private_key": CANARY}, "private_key in the key's JSON is no PEM block"),
        ({"client_email": f"{CANARY}@example.com"}, "client_email in the key's JSON is no service account's"),
    ],
)
def test_a_key_that_is_not_whole_is_refused_and_not_repeated(changes: dict[str, Any], said: str) -> None:
    refused(json.dumps(CREDENTIALS | changes), said)


def refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        policy.check_credentials(text)
    assert "canary" not in str(error.value)
    assert error.value.__context__ is None, "the decoder's error would hold the document"
