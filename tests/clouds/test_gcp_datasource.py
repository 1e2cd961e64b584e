"""A datasource joins a prefix and an access: what it grants, and what it leaves alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pulumi
import pytest

from lightly_infra.clouds import gcp
from lightly_infra.clouds.gcp import policy
from lightly_infra.lightly.models import GCSConfig
from lightly_infra.lightly.operations import VERIFY_DEADLINE
from lightly_infra.permissions import Purpose
from tests.clouds.test_gcp_access import BROUGHT, OWN
from tests.pulumi_mocks import GOOGLE_KEY, PROJECT_ID, Recording, Secret, in_the_open, made_by, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightly_infra.clouds.gcp.access import Access

EMAIL = f"access-0a1b2c3d@{PROJECT_ID}.iam.gserviceaccount.com"
ROLE = f"projects/{PROJECT_ID}/roles/raw_0a1b2c3d"


def made() -> Access:
    return gcp.ServiceAccount("access")


def brought() -> Access:
    return gcp.BroughtCredentials("access", {"credentials": BROUGHT})


def args(**more: Any) -> gcp.GCSDatasourceArgs:
    given: dict[str, Any] = {
        "purpose": Purpose.INPUT,
        "bucket": "acme-raw",
        "prefix": "street-scenes/",
        "project": PROJECT_ID,
    }
    return given | more  # type: ignore[return-value]  # of any test's choice


def on_a_bucket_of_yours(access: Callable[[], Access] = made, *, preview: bool = False, **more: Any) -> Recording:
    return run(lambda: gcp.GCSDatasource("raw", args(access=access(), **more)), preview=preview)


def on_a_bucket_of_ours(access: Callable[[], Access] = made, **more: Any) -> Recording:
    def program() -> None:
        bucket = gcp.Bucket("ours", {"location": "EU"})
        gcp.GCSDatasource("raw", args(access=access(), bucket=bucket, **more))

    return run(program)


def outcome(access: Callable[[], Access] = made, **more: Any) -> dict[str, Any]:
    """The component's own attributes, resolved."""
    found: dict[str, Any] = {}

    def program() -> None:
        source = gcp.GCSDatasource("raw", args(access=access(), **more))
        found.update(purpose=source.purpose, verifiable=source.verifiable, settles=source.settles)
        for name in ("config", "identity", "secrets"):
            pulumi.export(name, dict(getattr(source, name)))
        pulumi.export("path", source.path)
        pulumi.export("granted", source.granted)

    return found | run(program).stack_outputs


@pytest.mark.parametrize("purpose", Purpose)
def test_the_access_is_granted_the_prefix_and_nothing_else(purpose: Purpose) -> None:
    recording = on_a_bucket_of_yours(purpose=purpose)
    granted = recording.one("IAMMember")
    assert (granted.type, granted.name) == ("gcp:storage/bucketIAMMember:BucketIAMMember", "raw")
    assert granted.parent == recording.one("lightly-infra:gcp:GCSDatasource").urn
    wanted = policy.grant(purpose=purpose, bucket="acme-raw", prefix="street-scenes/")
    assert granted.inputs == {
        "bucket": "acme-raw",
        "role": ROLE,
        "member": f"serviceAccount:{EMAIL}",
        "condition": wanted["condition"],
    }


@pytest.mark.parametrize("purpose", Purpose)
def test_the_role_is_of_this_datasource_and_purpose_alone(purpose: Purpose) -> None:
    recording = on_a_bucket_of_yours(purpose=purpose)
    role = recording.one("gcp:projects/iAMCustomRole:IAMCustomRole")
    assert role.parent == recording.one("lightly-infra:gcp:GCSDatasource").urn
    assert role.inputs == {
        "roleId": "raw_0a1b2c3d",
        "project": PROJECT_ID,
        "title": f"Lightly {purpose}: raw",
        "description": made_by("raw").describe("What Lightly may do in one directory of one bucket."),
        "permissions": policy.permissions(purpose),
    }


def test_what_is_granted_here_may_take_ten_minutes_and_nothing_else_is_waited_for() -> None:
    assert outcome()["settles"] == 600
    assert outcome(brought)["settles"] == VERIFY_DEADLINE


def test_the_roles_suffix_is_drawn_once_in_each_project() -> None:
    assert on_a_bucket_of_yours().one("random:", "raw").inputs == {
        "length": 8,
        "special": False,
        "upper": False,
        "keepers": {"project": PROJECT_ID},
    }


def test_a_long_name_still_makes_a_title() -> None:
    name = "é" * 80

    def program() -> None:
        gcp.GCSDatasource(name, args(access=made()))

    title = run(program).one("projects/").inputs["title"]
    assert title.startswith("Lightly INPUT: é")
    assert len(title.encode()) <= 100


def test_the_whole_bucket_is_granted_without_a_condition() -> None:
    assert "condition" not in on_a_bucket_of_yours(prefix="").one("IAMMember").inputs


def test_bucket_wide_listing_is_granted_if_asked_for() -> None:
    granted = on_a_bucket_of_yours(bucket_wide_listing=True).one("IAMMember")
    assert granted.inputs["condition"]["expression"] == policy.expression(
        "acme-raw", "street-scenes/", bucket_wide_listing=True
    )
    assert '"resource.type == ' not in outcome()["granted"]
    assert "resource.type == " in outcome(bucket_wide_listing=True)["granted"]


def test_only_a_member_is_added_to_a_bucket_of_yours() -> None:
    assert [it.type for it in on_a_bucket_of_yours().of("gcp:storage/")] == [
        "gcp:storage/bucketIAMMember:BucketIAMMember"
    ]


def test_credentials_of_yours_are_granted_nothing() -> None:
    assert on_a_bucket_of_yours(brought).custom == []


def test_an_account_of_yours_is_granted_the_prefix() -> None:
    recording = on_a_bucket_of_yours(lambda: gcp.ServiceAccount("access", {"email": OWN}))
    assert recording.one("IAMMember").inputs["member"] == f"serviceAccount:{OWN}"
    assert not recording.of("serviceaccount/account")


def test_one_access_may_serve_several_datasources_each_with_a_role_of_its_own() -> None:
    def program() -> None:
        access = made()
        gcp.GCSDatasource("raw", args(access=access))
        gcp.GCSDatasource("lightly", args(access=access, purpose=Purpose.LIGHTLY, prefix="lightly/"))

    granted = run(program).of("IAMMember")
    assert len({it.inputs["member"] for it in granted}) == 1
    assert len({it.inputs["role"] for it in granted}) == 2


# -- the directory


def test_a_prefix_without_its_slash_means_the_directory() -> None:
    assert outcome(prefix="street-scenes")["path"] == "gs://acme-raw/street-scenes/"


@pytest.mark.parametrize("prefix", ["*", 'a"', "a'b"])
def test_a_bad_prefix_is_refused_here_too(prefix: str) -> None:
    with pytest.raises(ValueError, match="holds"):
        on_a_bucket_of_yours(prefix=prefix)


def test_the_directory_is_made_in_a_bucket_of_ours() -> None:
    recording = on_a_bucket_of_ours()
    marker = recording.one("BucketObject")
    assert marker.type == "gcp:storage/bucketObject:BucketObject"
    assert marker.inputs == {
        "bucket": "ours-0a1b2c3",
        "name": "street-scenes/",
        "content": Secret(" "),
        "contentType": "application/x-directory",
    }
    assert recording.one("gcp:storage/bucket:Bucket").urn in marker.depends_on


def test_the_directory_is_made_for_a_key_of_yours_too() -> None:
    recording = on_a_bucket_of_ours(brought)
    assert [it.type for it in recording.custom] == [
        "gcp:storage/bucket:Bucket",
        "gcp:storage/bucketObject:BucketObject",
    ]


def test_the_whole_bucket_needs_no_directory() -> None:
    assert not on_a_bucket_of_ours(prefix="").of("BucketObject")


def test_the_directory_stays_with_a_bucket_that_is_kept() -> None:
    recording = on_a_bucket_of_ours()
    marker = recording.one("BucketObject")
    assert marker.deleted_with == recording.one("gcp:storage/bucket:Bucket").urn
    assert not marker.retain_on_delete, "another prefix is another directory: the old one is cleared away"


def test_the_condition_is_of_the_bucket_that_was_made() -> None:
    granted = on_a_bucket_of_ours().one("IAMMember")
    assert granted.inputs["bucket"] == "ours-0a1b2c3"
    assert "buckets/ours-0a1b2c3/objects/street-scenes/" in granted.inputs["condition"]["expression"]


# -- what the program knows only later


def test_a_bucket_of_the_program_itself_is_named_by_its_output() -> None:
    def program() -> None:
        import pulumi_gcp

        theirs = pulumi_gcp.storage.Bucket("theirs", location="EU")
        source = gcp.GCSDatasource(
            "raw", args(access=made(), bucket=theirs.name, project=pulumi.Output.from_input(PROJECT_ID))
        )
        pulumi.export("path", source.path)
        pulumi.export("project", source.config["gcs_project_id"])

    recording = run(program)
    assert recording.one("IAMMember").inputs["bucket"] == "theirs-0a1b2c3"
    assert recording.one("gcp:storage/bucket:Bucket").urn in recording.one("IAMMember").depends_on
    assert recording.stack_outputs["path"] == "gs://theirs-0a1b2c3/street-scenes/"
    assert recording.stack_outputs["project"] == PROJECT_ID


def test_a_bad_bucket_name_in_an_output_is_refused_too_for_it_would_stand_in_a_condition() -> None:
    with pytest.raises(ValueError, match="is no GCS bucket name"):
        on_a_bucket_of_yours(bucket=pulumi.Output.from_input('acme" || true || "'))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"bucket": "Acme_Raw"}, "'Acme_Raw' is no GCS bucket name"),
        ({"project": "123456789012"}, "'123456789012' is a project's number"),
    ],
)
def test_a_bad_name_is_refused_before_anything_is_made(more: dict[str, Any], said: str) -> None:
    def program() -> None:
        access = brought()
        with pytest.raises(ValueError, match=said):
            gcp.GCSDatasource("raw", args(access=access, **more))

    assert run(program).custom == []


# -- what Lightly is told


def test_lightly_is_told_of_a_key_that_was_made() -> None:
    told = outcome()
    assert told["config"] == {
        "type": "GCS",
        "full_path": "gs://acme-raw/street-scenes/",
        "gcs_project_id": PROJECT_ID,
        "gcs_credentials": Secret(GOOGLE_KEY),
    }
    assert told["identity"] == {"service_account": EMAIL}
    assert told["secrets"] == {"credentials": Secret(GOOGLE_KEY)}
    assert told["verifiable"] is True


def test_lightly_is_told_of_a_key_of_yours() -> None:
    told = outcome(brought)
    assert told["config"]["gcs_credentials"] == Secret(BROUGHT)
    assert told["identity"] == {"service_account": OWN}


def test_what_lightly_is_told_has_the_fields_that_the_api_knows() -> None:
    assert set(outcome()["config"]) <= set(GCSConfig.model_fields)


@pytest.mark.parametrize("access", [made, brought])
@pytest.mark.parametrize("purpose", Purpose)
def test_what_is_granted_is_told_and_no_secret(purpose: Purpose, access: Callable[[], Access]) -> None:
    assert json.loads(outcome(access, purpose=purpose)["granted"]) == policy.grant(
        purpose=purpose, bucket="acme-raw", prefix="street-scenes/"
    )


@pytest.mark.parametrize("access", [made, brought])
def test_nothing_secret_is_in_the_open(access: Callable[[], Access]) -> None:
    recording = on_a_bucket_of_ours(access)
    text = " ".join(in_the_open(it.inputs) for it in recording.resources) + in_the_open(recording.outputs)
    assert "canary" not in text


def test_the_component_registers_path_and_identity() -> None:
    recording = on_a_bucket_of_yours()
    assert recording.outputs_of(recording.one("lightly-infra:gcp:GCSDatasource")) == {
        "path": "gs://acme-raw/street-scenes/",
        "service_account": EMAIL,
    }


# -- options


def test_children_wait_for_what_the_component_waits_for() -> None:
    def program() -> None:
        opts = pulumi.ResourceOptions(depends_on=[gcp.Bucket("before", {"location": "EU"})])
        bucket = gcp.Bucket("ours", {"location": "EU"}, opts)
        gcp.GCSDatasource("raw", args(access=gcp.ServiceAccount("access", None, opts), bucket=bucket), opts)

    recording = run(program)
    before = recording.one("gcp:storage/bucket:Bucket", "before").urn
    later = [it for it in recording.custom if it.name != "before"]
    assert len(later) == 8
    assert [it for it in later if before not in it.depends_on] == []


def test_whoever_waits_for_the_datasource_waits_for_what_it_granted() -> None:
    def program() -> None:
        import pulumi_random

        source = gcp.GCSDatasource("raw", args(access=made()))
        pulumi_random.RandomString("verification", length=1, opts=pulumi.ResourceOptions(depends_on=[source]))

    recording = run(program)
    assert recording.one("IAMMember").urn in recording.waits_for(recording.one("random:", "verification"))


def test_explicit_providers_and_protection_reach_every_child() -> None:
    def program() -> None:
        import pulumi_gcp
        import pulumi_random

        opts = pulumi.ResourceOptions(
            providers={"gcp": pulumi_gcp.Provider("ours"), "random": pulumi_random.Provider("ours")}, protect=True
        )
        bucket = gcp.Bucket("ours", {"location": "EU"}, opts)
        gcp.GCSDatasource("raw", args(access=gcp.ServiceAccount("access", None, opts), bucket=bucket), opts)

    made_here = [it for it in run(program).custom if not it.type.startswith("pulumi:providers:")]
    assert len(made_here) == 8
    for it in made_here:
        assert f"pulumi:providers:{it.type.split(':')[0]}::ours::" in it.provider
        assert it.protect


def test_a_preview_needs_nothing_to_be_known() -> None:
    assert len(on_a_bucket_of_yours(preview=True).custom) == 6
