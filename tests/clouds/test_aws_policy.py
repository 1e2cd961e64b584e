"""Policy documents: exactly what the table of permissions grants, and nowhere else."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightly_infra.clouds.aws import policy
from lightly_infra.permissions import GRANTED, Operation, Purpose

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKET = "arn:aws:s3:::acme-raw"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
IPS = ["203.0.113.0/24", "198.51.100.7/32"]

# AWS's words for each operation, written down a second time so that a slip in the code shows.
ACTIONS = {
    Operation.LIST: {"s3:ListBucket"},
    Operation.READ: {"s3:GetObject"},
    Operation.WRITE: {"s3:PutObject"},
    Operation.OVERWRITE: {"s3:PutObject"},
    Operation.DELETE: {"s3:DeleteObject"},
}

every_case = pytest.mark.parametrize(
    ("purpose", "prefix", "kms_key_arn", "ips"),
    list(itertools.product(Purpose, ["", "street-scenes/", "a/b c/"], [None, KEY], [[], IPS])),
)


def statements(document: policy.Document) -> dict[str, dict[str, Any]]:
    assert document["Version"] == "2012-10-17"
    return {it["Sid"]: it for it in document["Statement"]}


def granted(purpose: Purpose, prefix: str, kms_key_arn: str | None, ips: list[str]) -> dict[str, dict[str, Any]]:
    document = policy.access_policy(
        purpose=purpose, bucket_arn=BUCKET, prefix=prefix, kms_key_arn=kms_key_arn, allowed_source_ips=ips
    )
    return statements(document)


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from itertools.chain.from_iterable(map(strings, value.values()))
    elif isinstance(value, list):
        yield from itertools.chain.from_iterable(map(strings, value))


@every_case
def test_the_s3_actions_are_those_of_the_table_and_no_others(
    purpose: Purpose, prefix: str, kms_key_arn: str | None, ips: list[str]
) -> None:
    allowed = granted(purpose, prefix, kms_key_arn, ips)
    actions = {action for it in allowed.values() for action in it["Action"] if action.startswith("s3:")}
    assert actions == set().union(*(ACTIONS[operation] for operation in GRANTED[purpose]))


@every_case
def test_objects_are_reached_under_the_prefix_only(
    purpose: Purpose, prefix: str, kms_key_arn: str | None, ips: list[str]
) -> None:
    objects = granted(purpose, prefix, kms_key_arn, ips)["Objects"]
    assert objects["Resource"] == f"{BUCKET}/{prefix}*"
    assert "s3:ListBucket" not in objects["Action"]


@every_case
def test_the_bucket_itself_is_only_listed_and_only_under_the_prefix(
    purpose: Purpose, prefix: str, kms_key_arn: str | None, ips: list[str]
) -> None:
    allowed = granted(purpose, prefix, kms_key_arn, ips)
    assert [it["Sid"] for it in allowed.values() if it["Resource"] == BUCKET] == ["List"]
    assert allowed["List"]["Action"] == ["s3:ListBucket"]
    condition = allowed["List"].get("Condition", {})
    if prefix:
        assert condition["StringLike"] == {"s3:prefix": f"{prefix}*"}
    else:
        assert "StringLike" not in condition


@every_case
def test_nothing_is_allowed_by_a_pattern_of_actions_or_everywhere(
    purpose: Purpose, prefix: str, kms_key_arn: str | None, ips: list[str]
) -> None:
    for statement in granted(purpose, prefix, kms_key_arn, ips).values():
        assert statement["Effect"] == "Allow"
        assert isinstance(statement["Action"], list)
        assert not any("*" in action for action in statement["Action"])
        assert len(set(statement["Action"])) == len(statement["Action"])
        assert statement["Resource"] not in {"*", f"{BUCKET}*"}
        assert "NotAction" not in statement
        assert "NotResource" not in statement


@every_case
def test_source_addresses_limit_every_s3_statement_and_not_kms(
    purpose: Purpose, prefix: str, kms_key_arn: str | None, ips: list[str]
) -> None:
    for sid, statement in granted(purpose, prefix, kms_key_arn, ips).items():
        limit = statement.get("Condition", {}).get("IpAddress")
        assert limit == ({"aws:SourceIp": ips} if ips and sid != "Encryption" else None)


@every_case
def test_the_key_is_used_through_s3_only_and_just_as_the_operations_need(
    purpose: Purpose, prefix: str, kms_key_arn: str | None, ips: list[str]
) -> None:
    encryption = granted(purpose, prefix, kms_key_arn, ips).get("Encryption")
    if kms_key_arn is None:
        assert encryption is None
        return
    assert encryption is not None
    writes = Operation.WRITE in GRANTED[purpose]
    assert set(encryption["Action"]) == {"kms:Decrypt"} | (
        {"kms:Encrypt", "kms:GenerateDataKey"} if writes else set[str]()
    )
    assert encryption["Resource"] == KEY
    assert encryption["Condition"] == {"StringEquals": {"kms:ViaService": "s3.eu-central-1.amazonaws.com"}}


@pytest.mark.parametrize(
    ("purpose", "operations"),
    [
        (Purpose.INPUT, ["Decrypt"]),
        (Purpose.LIGHTLY, ["Decrypt", "Encrypt", "GenerateDataKey"]),
        (Purpose.INPUT_OUTPUT, ["Decrypt", "Encrypt", "GenerateDataKey"]),
    ],
)
def test_a_grant_on_the_key_has_the_same_operations_without_the_service(
    purpose: Purpose, operations: list[str]
) -> None:
    assert policy.kms_operations(purpose) == operations


@pytest.mark.parametrize("operation", Operation)
def test_an_operation_less_in_the_table_is_its_action_less_in_the_policy(
    operation: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = tuple(it for it in Operation if it is not operation)
    monkeypatch.setattr(policy, "GRANTED", {Purpose.LIGHTLY: others})
    allowed = granted(Purpose.LIGHTLY, "lightly/", None, [])
    actions = {action for it in allowed.values() for action in it["Action"]}
    assert actions == set().union(*(ACTIONS[it] for it in others))


@pytest.mark.parametrize("bucket", ["arn:aws:s3:::acme", "arn:aws-cn:s3:::acme", "arn:aws-us-gov:s3:::acme"])
def test_the_policy_stays_in_the_partition_of_its_bucket(bucket: str) -> None:
    document = policy.access_policy(purpose=Purpose.LIGHTLY, bucket_arn=bucket, prefix="a/")
    assert {it["Resource"] for it in document["Statement"]} == {bucket, f"{bucket}/a/*"}


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("eu-central-1", "aws"),
        ("us-east-1", "aws"),
        ("cn-northwest-1", "aws-cn"),
        ("us-gov-west", "aws-us-gov"),
        ("us-gov-east-1", "aws-us-gov"),
    ],
)
def test_a_region_lies_in_its_partition(region: str, partition: str) -> None:
    assert policy.partition(region) == partition


def test_only_lightlys_account_with_the_external_id_may_assume_the_role() -> None:
    (statement,) = statements(policy.trust_policy(external_id="canary-external-id")).values()
    assert statement == {
        "Sid": "Lightly",
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::916419735646:root"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": "canary-external-id"}},
    }


def test_while_an_external_id_is_renewed_the_one_before_will_do_as_well() -> None:
    def asked(**ids: str) -> object:
        document = policy.trust_policy(**ids)
        return document["Statement"][0]["Condition"]

    assert asked(external_id="new-external-id", previous_external_id="old-external-id") == {
        "StringEquals": {"sts:ExternalId": ["new-external-id", "old-external-id"]}
    }
    assert asked(external_id="new-external-id", previous_external_id="new-external-id") == asked(
        external_id="new-external-id"
    )


def test_another_lightly_account_can_be_trusted() -> None:
    document = policy.trust_policy(external_id="canary-external-id", lightly_account_id="111122223333")
    assert document["Statement"][0]["Principal"] == {"AWS": "arn:aws:iam::111122223333:root"}


def test_a_session_may_last_twelve_hours() -> None:
    assert policy.MAX_SESSION_SECONDS == 43_200


def test_calls_without_tls_are_denied_to_everyone_on_the_bucket_and_its_objects() -> None:
    (statement,) = statements(policy.tls_only_policy(BUCKET)).values()
    assert statement["Effect"] == "Deny"
    assert statement["Principal"] == "*"
    assert statement["Action"] == "s3:*"
    assert set(statement["Resource"]) == {BUCKET, f"{BUCKET}/*"}
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_documents_are_written_in_their_shortest_form_and_always_alike() -> None:
    document = policy.tls_only_policy(BUCKET)
    text = policy.to_json(document)
    assert text == policy.to_json(policy.tls_only_policy(BUCKET))
    assert json.loads(text) == document
    assert ": " not in text
    assert ", " not in text


# IAM's quotas (user guide, "IAM and AWS STS quotas"): all inline policies together, white space not counted.
USER_LIMIT, ROLE_LIMIT = 2_048, 10_240


@given(prefix=st.text(alphabet="abc/", max_size=120), purpose=st.sampled_from(Purpose), ips=st.integers(0, 10))
def test_both_datasources_of_a_dataset_fit_into_one_users_inline_policies(
    prefix: str, purpose: Purpose, ips: int
) -> None:
    document = policy.access_policy(
        purpose=purpose,
        bucket_arn=f"arn:aws:s3:::{'b' * 63}",
        prefix=prefix,
        kms_key_arn=KEY,
        allowed_source_ips=["203.0.113.0/24"] * ips,
    )
    assert len(policy.to_json(document)) * 2 < ROLE_LIMIT
    if ips == 0:
        assert len(policy.to_json(document)) <= USER_LIMIT / 2


def test_the_text_of_a_policy_holds_nothing_but_what_was_asked_for() -> None:
    document = policy.access_policy(purpose=Purpose.INPUT, bucket_arn=BUCKET, prefix="street-scenes/")
    assert set(strings(document)) == {
        "2012-10-17",
        *("List", "Objects", "Allow"),
        *("s3:ListBucket", "s3:GetObject"),
        *(BUCKET, f"{BUCKET}/street-scenes/*"),
        "street-scenes/*",
    }
