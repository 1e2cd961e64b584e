"""Lifecycles that are made, in the emulated S3 and OBS: what they take, and what they refuse as the real ones do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra.clouds import aws as components
from lightly_infra.clouds.aws import policy as s3_policy
from lightly_infra.clouds.obs import policy as obs_policy
from lightly_infra.retention import Expiry
from lightly_infra.sandbox.obs import lifecycle
from tests.pulumi_mocks import run
from tests.sandbox.emulated_provider import Driver, unique

if TYPE_CHECKING:
    from lightly_infra.sandbox.aws.ministack import Ministack

LIFECYCLE = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"


def declared(*expiries: Expiry) -> Any:
    """The rules as the component declares them."""
    args: components.BucketArgs = {"expiries": expiries}
    return run(lambda: components.Bucket("any", args)).one(LIFECYCLE).inputs["rules"]


def test_s3_has_what_the_component_declares_and_changes_it_in_place(aws: Driver, ministack: Ministack) -> None:
    bucket = aws.create("aws:s3/bucket:Bucket", {"bucket": unique("bucket")}).id
    raw, videos, longer = Expiry("raw/", 30), Expiry("videos/", 60), Expiry("raw/", 45)

    def written() -> Any:
        return ministack.client("s3").get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]

    first = {"bucket": bucket, "rules": declared(raw, videos)}
    made = aws.create(LIFECYCLE, first)
    assert written() == s3_policy.lifecycle([raw, videos])
    assert aws.drifted(made, first) == []

    second = {"bucket": bucket, "rules": declared(longer)}
    assert list(aws.diff(made, second).diffs) == ["rules"]
    assert not aws.diff(made, second).replaces
    changed = aws.update(made, second)
    assert written() == s3_policy.lifecycle([longer])

    aws.update(changed, {"bucket": bucket, "rules": declared()})
    assert written() == s3_policy.lifecycle()


def document(*rules: str) -> bytes:
    """As boto3 sends it."""
    body = "".join(f"<Rule>{it}</Rule>" for it in rules)
    space = "http://s3.amazonaws.com/doc/2006-03-01/"
    return f'<LifecycleConfiguration xmlns="{space}">{body}</LifecycleConfiguration>'.encode()


def rule(prefix: str, *, name: str = "any", more: str = "") -> str:
    return f"<ID>{name}</ID><Prefix>{prefix}</Prefix><Status>Enabled</Status>{more}"


@pytest.mark.parametrize(
    "rules",
    [
        [rule("")],
        [rule("raw/"), rule("raw-new/")],
        ["<Filter><Prefix>raw/</Prefix></Filter>", rule("videos/")],
    ],
)
def test_obs_takes_rules_that_lie_apart(rules: list[str]) -> None:
    assert lifecycle.refusal(document(*rules)) is None


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ([rule("raw/"), rule("raw/new/")], "the prefixes 'raw/' and 'raw/new/' overlap"),
        ([rule(""), rule("raw/")], "the prefixes '' and 'raw/' overlap"),
        ([rule("raw/"), "<Filter><Prefix>raw/a/</Prefix></Filter>"], "the prefixes 'raw/' and 'raw/a/' overlap"),
        ([rule("raw/", name="für")], "the name 'für' has more"),
        ([rule("raw/", name="a" * 256)], "has more than 255 characters"),
        ([rule("/raw/")], "the prefix '/raw/' holds what no rule's prefix may hold"),
        ([rule("a:b/")], "the prefix 'a:b/' holds"),
        (
            [rule("raw/", more="<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>")],
            "ExpiredObjectDeleteMarker is not known",
        ),
        ([rule(f"{it:0500}/") for it in range(40)], "bytes; 20480 are the most"),
    ],
)
def test_obs_refuses_what_its_guides_exclude(rules: list[str], why: str) -> None:
    assert why in (lifecycle.refusal(document(*rules)) or "")


def test_what_is_no_xml_is_refused() -> None:
    assert (lifecycle.refusal(b"<Lifecycle") or "").startswith("the document is no XML: ")


def test_prefixes_reach_ministack_where_it_looks_for_them() -> None:
    assert lifecycle.as_filters(b"<L><Rule><Prefix>a/</Prefix></Rule></L>") == (
        b"<L><Rule><Filter><Prefix>a/</Prefix></Filter></Rule></L>"
    )


@pytest.mark.parametrize("expiries", [[], [Expiry("", 30)], [Expiry("raw/", 30), Expiry("videos/", 60)]])
def test_obs_takes_what_we_write(expiries: list[Expiry]) -> None:
    wanted = obs_policy.lifecycle(expiries)
    assert lifecycle.refusal(document(*(rule(it["Prefix"], name=it["ID"]) for it in wanted))) is None
