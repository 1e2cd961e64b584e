"""What a stack's YAML may say of credentials that are renewed or brought, and what everything else is told."""

from __future__ import annotations

from typing import Any

import pytest

from lightly_infra import spec

CANARY = "canary-external-id-0001"
BEFORE = "canary-external-id-0000"
ROLE = "arn:aws:iam::123456789012:role/lightly"
BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"
KEY = {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "canary-secret-access-key"}


def datasets(access: dict[str, Any], of_lightly: dict[str, Any] | None = None, *, count: int = 1) -> dict[str, Any]:
    """Datasets on S3 whose Input gets in so, and whose Lightly bucket gets in by a role if nothing else is said."""
    target = {"kind": "delegated"} if of_lightly is None else of_lightly
    return {
        f"scenes-{it}": {
            "input": {"s3": {"bucket": "acme-raw", "prefix": f"raw-{it}/", "access": access}},
            "lightly": {"s3": {"bucket": "acme-lightly", "prefix": f"made-{it}/", "access": target}},
        }
        for it in range(count)
    }


def parse(given: dict[str, Any]) -> dict[str, spec.DatasetSpec]:
    return spec.parse(given, {"region": "eu-central-1"})


def refusal(given: dict[str, Any]) -> str:
    with pytest.raises(spec.SpecError) as caught:
        parse(given)
    assert "canary" not in str(caught.value)
    (problem,) = caught.value.problems
    return problem.removeprefix("lightly-infra:datasets: ")  # of what datasets say together


@pytest.mark.parametrize(
    "access",
    [
        {"kind": "keys", "rotate_every_days": 90},
        {"kind": "keys", "rotate_every_days": 1, "share": "acme", "permissions_boundary": BOUNDARY},
        {"kind": "keys", "user": "ours"},
        {"kind": "keys", "user": "ours+them=_@x.y,z-1", "share": "acme"},
        {"kind": "keys", **KEY},
        {"kind": "delegated", "external_id": CANARY, "previous_external_id": BEFORE},
    ],
)
def test_these_may_be_said(access: dict[str, Any]) -> None:
    assert set(parse(datasets(access))) == {"scenes-0"}


@pytest.mark.parametrize(
    ("access", "words"),
    [
        # what belongs to the other kind
        ({"kind": "delegated", "rotate_every_days": 90}, ": rotate_every_days belongs to kind 'keys'"),
        ({"kind": "delegated", "user": "ours"}, ": user belongs to kind 'keys'; remove or change the kind"),
        ({"kind": "delegated", **KEY}, ": access_key_id and secret_access_key belong to kind 'keys'"),
        ({"kind": "keys", "previous_external_id": BEFORE}, ": previous_external_id belongs to kind 'delegated'"),
        # epochs
        ({"kind": "keys", "rotate_every_days": 0}, ".rotate_every_days: 0: write a number of 1 or more"),
        ({"kind": "keys", "rotate_every_days": 3651}, ".rotate_every_days: 3651: write a number of 3650 or less"),
        ({"kind": "keys", "rotate_every_days": "90"}, ".rotate_every_days: '90': write a whole number"),
        # external ids
        (
            {"kind": "delegated", "previous_external_id": BEFORE},
            ": previous_external_id is for an external_id of your own; one that is minted is renewed with `lightly-in",
        ),
        (
            {"kind": "delegated", "role_arn": ROLE, "external_id": CANARY, "previous_external_id": BEFORE},
            ": previous_external_id: a role of your own is not changed; let its trust policy take both for a while",
        ),
        # keys of one's own
        ({"kind": "keys", "access_key_id": KEY["access_key_id"]}, ": secret_access_key is missing: a key of your own"),
        (
            {"kind": "keys", "secret_access_key": KEY["secret_access_key"]},
            ": access_key_id is missing: a key of your own has both",
        ),
        ({"kind": "keys", **KEY, "user": "ours"}, ": user: a key of your own (access_key_id) is used as it is"),
        ({"kind": "keys", **KEY, "rotate_every_days": 9}, ": rotate_every_days: a key of your own (access_key_id) is"),
        ({"kind": "keys", **KEY, "share": "acme"}, ": share: a key of your own (access_key_id) is used as it is"),
        (
            {"kind": "keys", **KEY, "permissions_boundary": BOUNDARY},
            ": permissions_boundary: a key of your own (access_key_id) is used as it is; remove one of them",
        ),
        (
            {"kind": "keys", **KEY, "access_key_id": KEY["secret_access_key"]},
            ".access_key_id: is no access key id, which has capital letters and digits only",
        ),
        # a user of one's own
        (
            {"kind": "keys", "user": "arn:aws:iam::123456789012:user/ours"},
            ".user: 'arn:aws:iam::123456789012:user/ours' is an ARN; give the user's name, what follows 'user/'",
        ),
        ({"kind": "keys", "user": "our user"}, ".user: 'our user' is no user's name: at most 64 letters, digits"),
        (
            {"kind": "keys", "user": "ours", "permissions_boundary": BOUNDARY},
            ": permissions_boundary: a user of your own is not changed; set the boundary on the user",
        ),
        (
            {"kind": "keys", "user": "ours", "rotate_every_days": 90},
            ": rotate_every_days: a user has room for two keys, and a rotation needs three for a moment; leave 'user'",
        ),
    ],
)
def test_everything_else_is_told_what_to_change(access: dict[str, Any], words: str) -> None:
    assert refusal(datasets(access)).startswith(f"scenes-0.input.s3.access{words}")


def test_a_key_has_one_secret() -> None:
    other = {"kind": "keys", **KEY, "secret_access_key": "canary-another-secret"}
    assert refusal(datasets({"kind": "keys", **KEY}, other)) == (
        "scenes-0.lightly.s3.access.secret_access_key: the key 'AKIAIOSFODNN7EXAMPLE' has another secret in "
        "scenes-0.input.s3.access; give both the same"
    )
    assert parse(datasets({"kind": "keys", **KEY}, {"kind": "keys", **KEY}))


def test_a_user_of_ones_own_has_room_for_two_keys_and_a_share_has_one() -> None:
    own = {"kind": "keys", "user": "ours"}
    assert parse(datasets(own, own))
    assert parse(datasets({**own, "share": "one"}, {**own, "share": "two"}, count=2))
    assert refusal(datasets(own, own, count=2)) == (
        "scenes-1.input.s3.access: with this datasource user 'ours' would have more than the 2 keys that a user may "
        "have; let datasources get in by a share, which has one key"
    )


def test_all_policies_of_a_user_of_ones_own_have_to_fit_whatever_they_share() -> None:
    own = {"kind": "keys", "user": "ours"}
    told = refusal(datasets({**own, "share": "one"}, {**own, "share": "two"}, count=10))
    assert "the policies of one identity pass IAM's 2048 characters" in told


def test_what_a_key_of_ones_own_may_do_is_its_owners_business() -> None:
    assert len(parse(datasets({"kind": "keys", **KEY}, {"kind": "keys", **KEY}, count=20))) == 20


def test_the_secrets_among_them_are_known_as_such() -> None:
    given = parse(
        datasets({"kind": "keys", **KEY}, {"kind": "delegated", "external_id": CANARY, "previous_external_id": BEFORE})
    )
    assert [path for path, _ in spec.secrets_of(given)] == [
        "scenes-0.input.s3.access.secret_access_key",
        "scenes-0.lightly.s3.access.external_id",
        "scenes-0.lightly.s3.access.previous_external_id",
    ]


@pytest.mark.parametrize("field", ["service_account", "share", "rotate_every_days"])
def test_credentials_of_google_cloud_that_are_brought_are_not_renewed(field: str) -> None:
    import json

    key = {
        "type": "service_account",
        "project_id": "acme-other",
        "private_key_id": "0123456789abcdef",
        "private_key": "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n",
        "client_email": "ours@acme-other.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    value = {"service_account": key["client_email"], "share": "acme", "rotate_every_days": 30}[field]
    source = {
        "bucket": "acme-raw",
        "project": "acme-vision",
        "prefix": "raw/",
        "access": {"credentials": json.dumps(key), field: value},
    }
    given = datasets({"kind": "delegated"})
    given["scenes-0"]["input"] = {"gcs": source}
    assert f"access: {field}: 'credentials' say whose key it is; remove one of the two" in refusal(given)
