"""The dataset component: both datasources registered, then verified."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pulumi
import pytest

import lightly_infra
from lightly_infra import epochs, provider
from lightly_infra.clouds import aws
from lightly_infra.clouds.interface import CloudDatasource, Credential
from lightly_infra.lightly import models
from lightly_infra.lightly.operations import VERIFY_DEADLINE
from lightly_infra.permissions import Purpose
from tests.pulumi_mocks import (
    ACCOUNT,
    DATASET_ID,
    MINTED_EXTERNAL_ID,
    SECRET_ACCESS_KEY,
    Recording,
    Secret,
    in_the_open,
    run,
    secret_values,
)

DATASOURCE = "pulumi-python:dynamic/lightly:Datasource"
VERIFICATION = "pulumi-python:dynamic/lightly:Verification"


def program(opts: pulumi.ResourceOptions | None = None, *, ips: list[str] | None = None, **more: Any) -> None:
    registration = provider.Dataset("scenes", {"name": "Street scenes", "type": "Images"})
    source = aws.S3Datasource(
        "input",
        {
            "purpose": Purpose.INPUT,
            "bucket": "acme-raw",
            "prefix": "a/",
            "region": "eu-central-1",
            "access": aws.DelegatedAccess("input"),
            "allowed_source_ips": ips or [],
        },
    )
    target = aws.S3Datasource(
        "lightly",
        {
            "purpose": Purpose.LIGHTLY,
            "bucket": aws.Bucket("lightly"),
            "prefix": "b/",
            "region": "eu-central-1",
            "access": aws.AccessKeys("lightly"),
        },
    )
    args: lightly_infra.DatasetArgs = {"registration": registration, "input": source, "lightly": target}
    dataset = lightly_infra.Dataset("scenes", args | more, opts)  # type: ignore[arg-type]
    pulumi.export("verified", dataset.verified)


@pytest.fixture(scope="module")
def deployed() -> Recording:
    return run(program)


def test_each_purpose_has_its_datasource_under_the_component(deployed: Recording) -> None:
    component = deployed.one("lightly-infra:index:Dataset")
    found = {it.name: it for it in deployed.of(DATASOURCE)}
    assert set(found) == {"scenes-input", "scenes-lightly"}
    assert {it.parent for it in found.values()} == {component.urn}
    assert found["scenes-input"].inputs["purpose"] == "INPUT"
    assert found["scenes-lightly"].inputs["purpose"] == "LIGHTLY"
    assert {it.inputs["dataset_id"] for it in found.values()} == {DATASET_ID}


def test_a_datasource_is_told_path_and_way_in(deployed: Recording) -> None:
    inputs = dict(deployed.one(DATASOURCE, "scenes-input").inputs)
    del inputs["__provider"]
    assert inputs == {
        "dataset_id": DATASET_ID,
        "purpose": "INPUT",
        "type": "S3DelegatedAccess",
        "full_path": "s3://acme-raw/a/",
        "s3_region": "eu-central-1",
        "s3_arn": "arn:aws:iam::123456789012:role/input-0a1b2c3",
        "s3_external_id": Secret(MINTED_EXTERNAL_ID),
        "deadline": VERIFY_DEADLINE,
    }


def test_a_datasource_is_seen_only_once_its_permissions_are_granted(deployed: Recording) -> None:
    granted = {
        "scenes-input": [deployed.one("RolePolicy").urn],
        "scenes-lightly": [deployed.one("UserPolicy").urn, deployed.one("BucketObjectv2").urn],
    }
    for name, urns in granted.items():
        assert set(urns) <= deployed.waits_for(deployed.one(DATASOURCE, name))


def test_verification_comes_last(deployed: Recording) -> None:
    verification = deployed.one(VERIFICATION)
    assert verification.parent == deployed.one("lightly-infra:index:Dataset").urn
    assert {it.urn for it in deployed.of(DATASOURCE)} <= verification.depends_on
    assert {it.urn for it in deployed.of("iam/")} <= deployed.waits_for(verification)


def test_verification_is_renewed_by_changed_permissions_and_credentials(deployed: Recording) -> None:
    inputs = deployed.one(VERIFICATION).inputs
    assert inputs["triggers"] == [
        deployed.one("RolePolicy").inputs["policy"],
        *("S3DelegatedAccess", f"arn:aws:iam::{ACCOUNT}:role/input-0a1b2c3", "s3://acme-raw/a/", "eu-central-1"),
        deployed.one("UserPolicy").inputs["policy"],
        *("S3", "AKIAEXAMPLE", "s3://lightly-0a1b2c3/b/", "eu-central-1"),
    ]
    ours, theirs = inputs["datasources"].value
    assert isinstance(inputs["datasources"], Secret)
    assert (ours["purpose"], ours["s3_external_id"]) == ("INPUT", MINTED_EXTERNAL_ID)
    assert (theirs["purpose"], theirs["s3_secret_access_key"]) == ("LIGHTLY", SECRET_ACCESS_KEY)


def test_what_renews_a_verification_is_shown_by_a_preview_but_for_its_secrets(deployed: Recording) -> None:
    assert list(secret_values(deployed.one(VERIFICATION).inputs["triggers"])) == []


def test_verification_waits_for_as_long_as_it_is_told_to(deployed: Recording) -> None:
    assert deployed.one(VERIFICATION).inputs["deadline"] == VERIFY_DEADLINE
    assert run(lambda: program(verify_deadline=7.5)).one(VERIFICATION).inputs["deadline"] == 7.5


def test_other_credentials_get_as_long_to_work(deployed: Recording) -> None:
    assert {it.inputs["deadline"] for it in deployed.of(DATASOURCE)} == {VERIFY_DEADLINE}
    told = run(lambda: program(verify_deadline=7.5))
    assert {it.inputs["deadline"] for it in told.of(DATASOURCE)} == {7.5}


def test_credentials_that_cannot_be_verified_are_registered_unseen() -> None:
    recording = run(lambda: program(ips=["203.0.113.0/24"], verify_deadline=7.5))
    assert not any("deadline" in it.inputs for it in recording.of(DATASOURCE))


def test_the_app_page_and_the_id_are_registered(deployed: Recording) -> None:
    assert deployed.outputs_of(deployed.one("lightly-infra:index:Dataset")) == {
        "dataset_id": DATASET_ID,
        "url": f"https://app.lightly.ai/dataset/{DATASET_ID}",
    }


def test_with_source_addresses_datasources_are_read_back_but_not_verified_and_that_is_said() -> None:
    recording = run(lambda: program(ips=["203.0.113.0/24"]))
    assert recording.one(VERIFICATION).inputs.get("deadline") is None
    assert len(recording.of(DATASOURCE)) == 2
    (warning,) = recording.warnings
    assert warning.startswith("scenes: not verified, because a datasource admits some source addresses only")
    assert "datasource.bypass_verify: true" in warning
    assert recording.stack_outputs["verified"] is False


def test_a_verified_dataset_gets_no_warning(deployed: Recording) -> None:
    assert deployed.warnings == []
    assert deployed.stack_outputs["verified"] is True


class Expiring(CloudDatasource):
    """A datasource whose credential ends."""

    purpose = Purpose.INPUT
    verifiable = True

    def __init__(self, credential: Credential) -> None:
        super().__init__("test:Expiring", "expiring", None)
        self.credential = credential
        self.config = {"type": "S3", "full_path": "s3://acme-raw/a/"}
        self.secrets, self.granted = {}, pulumi.Output.from_input("{}")


def expiring(in_days: int, *, rotate_every_days: int | None = None, **more: Any) -> list[str]:
    """The warnings about a SAS that expires in so many days."""
    expires = f"{epochs.now() + timedelta(days=in_days, hours=1):%Y-%m-%dT%H:%M:%SZ}"

    def ends() -> None:
        later = pulumi.Output.from_input(expires)
        credential = Credential("SAS", expires=later, rotate_every_days=rotate_every_days)
        program(input=Expiring(credential), **more)

    return run(ends).warnings


def test_a_credential_that_expires_soon_is_warned_of_with_the_remedy() -> None:
    (warning,) = expiring(13)
    assert warning.startswith("scenes.input: the SAS expires in 13 days, on 20")
    assert warning.endswith("and then locks Lightly out: sign another, set it as sas_token and run `pulumi up`")
    assert expiring(14) == []


def test_how_soon_is_soon_can_be_said() -> None:
    assert len(expiring(29, warn_days=30)) == 1
    assert expiring(30, warn_days=30) == []
    assert expiring(1, warn_days=1) == []


def test_what_is_renewed_by_itself_is_not_warned_of_as_long_as_its_turn_comes_in_time() -> None:
    assert expiring(7, rotate_every_days=7) == []
    assert len(expiring(6, rotate_every_days=7)) == 1
    assert len(expiring(13, rotate_every_days=90)) == 1


def test_secrets_are_secret_in_every_input_and_output(deployed: Recording) -> None:
    text = " ".join(in_the_open(it.inputs) for it in deployed.resources) + in_the_open(deployed.outputs)
    assert MINTED_EXTERNAL_ID not in text
    assert "canary" not in text


def test_a_datasource_in_the_wrong_place_is_refused() -> None:
    def swapped() -> None:
        source = aws.S3Datasource(
            "input",
            {
                "purpose": Purpose.INPUT,
                "bucket": "acme-raw",
                "prefix": "a/",
                "region": "eu-central-1",
                "access": aws.DelegatedAccess("input"),
            },
        )
        registration = provider.Dataset("scenes", {"name": "Street scenes"})
        lightly_infra.Dataset("scenes", {"registration": registration, "input": source, "lightly": source})

    with pytest.raises(ValueError, match=r"scenes\.lightly: the datasource's purpose is INPUT, which grants the wrong"):
        run(swapped)


def test_the_component_passes_on_what_it_waits_for() -> None:
    def waiting() -> None:
        program(pulumi.ResourceOptions(depends_on=[aws.Bucket("before")]))

    recording = run(waiting)
    before = recording.one("aws:s3/bucket:Bucket", "before").urn
    for it in [*recording.of(DATASOURCE), recording.one(VERIFICATION)]:
        assert before in it.depends_on


def test_a_preview_needs_nothing_to_be_known() -> None:
    assert run(program, preview=True).of(VERIFICATION)


# -- the resources themselves


def test_every_secret_of_every_kind_of_datasource_is_secret_in_state(deployed: Recording) -> None:
    secret = {
        name
        for config in models._CONFIGS
        for name, field in config.model_fields.items()
        if "SecretStr" in str(field.annotation)
    }
    assert secret == set(models.ALL_SECRET_FIELDS)
    assert len(secret) == 5
    for it in deployed.of(DATASOURCE):
        assert secret <= it.secret_outputs


def test_the_secrets_of_a_verification_and_nothing_else_of_it_are_secret_in_state(deployed: Recording) -> None:
    assert deployed.one(VERIFICATION).secret_outputs == {"datasources"}


@pytest.mark.parametrize("name", sorted(models.ALL_SECRET_FIELDS))
def test_a_secret_given_as_plain_text_becomes_one(name: str) -> None:
    def given() -> None:
        config = {"type": "S3", "full_path": "s3://acme-raw/", name: "canary"}
        provider.Datasource("raw", {"dataset_id": DATASET_ID, "purpose": "INPUT", "config": config})

    inputs = run(given).one(DATASOURCE).inputs
    assert inputs[name] == Secret("canary")
    assert inputs["full_path"] == "s3://acme-raw/"


def test_names_of_the_api_are_refused_since_their_secrets_would_not_be_known() -> None:
    def given() -> None:
        config = {"type": "S3", "s3SecretAccessKey": "canary"}
        provider.Datasource("raw", {"dataset_id": DATASET_ID, "purpose": "INPUT", "config": config})

    with pytest.raises(ValueError, match="raw: 's3SecretAccessKey' is the API's name; use the Python one"):
        run(given)


def test_a_dataset_is_kept_unless_told_otherwise(deployed: Recording) -> None:
    inputs = dict(deployed.one("pulumi-python:dynamic/lightly:Dataset").inputs)
    del inputs["__provider"]
    basic = {"name": "Street scenes", "type": "Images", "adopt": False, "on_destroy": "keep"}
    assert inputs == basic | {"previewing": False}, "which the provider takes out again"
