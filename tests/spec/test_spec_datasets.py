"""What holds for datasets on any cloud: secrets in the wrong place, and what a container-wide credential reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra import spec
from lightly_infra.stack.settings import in_clear

if TYPE_CHECKING:
    from lightly_infra.spec.fields import DatasourceSpec

SIGNATURE = "canarysignature"
GIVEN: dict[str, dict[str, Any]] = {
    "s3": {"bucket": "acme-raw", "prefix": "raw/", "access": "keys", "region": "eu-central-1"},
    "azure": {"resource_group": "acme", "account": "acmedata", "container": "raw", "prefix": ""},
    "gcs": {"bucket": "acme-raw", "project": "acme-vision", "prefix": "raw/"},
    "obs": {
        "endpoint": "https://obs.example.com",
        "bucket": "acme-raw",
        "prefix": "raw/",
        "access_key_id": "AK",
        "secret_access_key": "SK-of-the-user",
    },
}
TARGET = {"s3": {"bucket": "acme-made", "prefix": "made/", "access": "keys", "region": "eu-central-1"}}


def problem(source: dict[str, Any]) -> str:
    with pytest.raises(spec.SpecError) as refused:
        spec.parse({"scenes": {"input": source, "lightly": TARGET}})
    return str(refused.value)


@pytest.mark.parametrize(
    ("cloud", "field", "value"),
    [
        ("azure", "account", f"https://acme.blob.core.windows.net/raw?sv=1&sig={SIGNATURE}"),
        ("azure", "account", f"{SIGNATURE}=="),
        ("azure", "container", f"street?sv=1&sig={SIGNATURE}"),
        ("azure", "prefix", f"?sv=1&sig={SIGNATURE}"),
        ("gcs", "access", {"service_account": f'{{"private_key": "-----BEGIN PRIVATE KEY-----{SIGNATURE}"}}'}),
        ("gcs", "access", f"-----BEGIN PRIVATE KEY-----{SIGNATURE}"),
        ("obs", "endpoint", f"https://obs.example.com?sig={SIGNATURE}"),
        ("s3", "access", f"{SIGNATURE}=="),
    ],
)
def test_what_looks_like_a_secret_in_another_field_is_not_repeated(cloud: str, field: str, value: object) -> None:
    said = problem({cloud: {**GIVEN[cloud], field: value}})
    assert SIGNATURE not in said
    assert said.startswith(f"scenes.input.{cloud}.{field}")
    assert "looks like a secret" in said


@pytest.mark.parametrize("cloud", GIVEN)
def test_a_long_name_is_shortened(cloud: str) -> None:
    field = "account" if cloud == "azure" else "bucket"
    assert "x" * 200 not in problem({cloud: {**GIVEN[cloud], field: "x" * 300}})


def test_a_secret_in_a_stacks_file_is_found_in_whatever_form_it_stands_in_clear() -> None:
    key_file = {"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----"}
    written = {
        "my scenes": {
            "input": {"gcs": {**GIVEN["gcs"], "access": {"credentials": key_file}}},
            "lightly": {"obs": {**GIVEN["obs"], "secret_access_key": {"secure": "v1:…"}}},
        },
        "credentials": {"input": {"azure": {"sas_token": "?sig=x"}}, "lightly": {"s3": {"access": "keys"}}},
    }
    assert list(in_clear(written)) == [
        '["my scenes"].input.gcs.access.credentials',
        "credentials.input.azure.sas_token",
    ]


@pytest.mark.parametrize(("first", "second", "fits"), [("a/", "b/", True), ("a/", "a/crops/", True), ("a/", "", False)])
def test_a_lightly_sas_of_the_whole_container_must_not_reach_the_input_of_another_dataset(
    first: str, second: str, fits: bool
) -> None:
    wide = {**GIVEN["azure"], "container": "made", "container_wide": True}
    datasets = {
        "one": {"input": {"gcs": GIVEN["gcs"]}, "lightly": {"azure": {**wide, "prefix": first}}},
        "two": {
            "input": {"azure": {**wide, "container": "made" if second != "b/" else "other", "prefix": second}},
            "lightly": TARGET,
        },
    }
    if fits:
        assert spec.parse(datasets)
    else:
        with pytest.raises(spec.SpecError, match=r"come in as Input|reach all of the container"):
            spec.parse(datasets)


def source(cloud: str, **more: Any) -> DatasourceSpec:
    wanted = {cloud: {**GIVEN[cloud], **more}}
    return spec.parse({"scenes": {"input": wanted, "lightly": TARGET}})["scenes"].input.datasource


@pytest.mark.parametrize(
    ("cloud", "more", "rotates", "mints"),
    [
        ("s3", {}, False, False),
        ("s3", {"access": {"kind": "keys", "rotate_every_days": 30}}, True, False),
        ("s3", {"access": "delegated"}, False, True),
        ("s3", {"access": {"kind": "delegated", "external_id": "canary-external-id"}}, False, False),
        ("azure", {}, True, False),
        ("gcs", {}, False, False),
        ("gcs", {"access": {"rotate_every_days": 30}}, True, False),
        ("obs", {}, False, False),
    ],
)
def test_what_is_renewed_by_epoch_and_what_only_when_asked(
    cloud: str, more: dict[str, Any], rotates: bool, mints: bool
) -> None:
    datasource = source(cloud, **more)

    assert (datasource.rotates, datasource.mints_external_id) == (rotates, mints)


@pytest.mark.parametrize(
    ("datasource", "told"),
    [
        ({"s3": GIVEN["s3"]}, {"type": "S3", "full_path": "s3://acme-raw/raw/"}),
        (
            {"s3": {**GIVEN["s3"], "access": "delegated"}},
            {"type": "S3DelegatedAccess", "full_path": "s3://acme-raw/raw/"},
        ),
        ({"azure": GIVEN["azure"]}, {"type": "AZURE", "account_name": "acmedata", "full_path": "raw/"}),
        ({"gcs": GIVEN["gcs"]}, {"type": "GCS", "full_path": "gs://acme-raw/raw/"}),
        (
            {"obs": GIVEN["obs"]},
            {"type": "OBS", "obs_endpoint": "https://obs.example.com", "full_path": "obs://acme-raw/raw/"},
        ),
        # what gets a generated name is somewhere that nobody knows yet
        ({"s3": {"create": True, "prefix": "raw/", "access": "keys", "region": "eu-central-1"}}, {"type": "S3"}),
        ({"azure": {"create": True, "location": "westeurope", "prefix": ""}}, {"type": "AZURE"}),
    ],
)
def test_what_lightly_is_told_is_known_where_nothing_has_a_generated_name(
    datasource: dict[str, Any], told: dict[str, str]
) -> None:
    (dataset,) = spec.parse({"scenes": {"input": datasource, "lightly": TARGET}}).values()
    assert dataset.input.datasource.told == told
