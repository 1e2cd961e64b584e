from __future__ import annotations

import json
import traceback
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from lightly_infra.lightly import models
from lightly_infra.lightly.errors import InvalidInput
from lightly_infra.lightly.models import (
    DatasetData,
    DatasourceConfig,
    DatasourceData,
    DatasourcePermissions,
    S3Config,
    S3DelegatedAccessConfig,
)
from lightly_infra.permissions import Purpose

CANARY = "canary/+secret=1234567890"
ROLE = "arn:aws:iam::123456789012:role/lightly"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd"

COMMON = {"purpose": "INPUT", "full_path": "s3://acme-raw/street-scenes/"}
BY_TYPE: dict[str, dict[str, Any]] = {
    "S3": {"s3_region": "eu-central-1", "s3_access_key_id": "AKIA1", "s3_secret_access_key": CANARY},
    "S3DelegatedAccess": {"s3_region": "eu-central-1", "s3_external_id": CANARY, "s3_arn": ROLE},
    "GCS": {"gcs_project_id": "acme", "gcs_credentials": CANARY},
    "AZURE": {"account_name": "acme", "account_key": CANARY},
    "OBS": {"obs_endpoint": "https://obs.example.com", "obs_access_key_id": "OB1", "obs_secret_access_key": CANARY},
}
ON_THE_WIRE: dict[str, dict[str, str]] = {
    "S3": {"s3Region": "eu-central-1", "s3AccessKeyId": "AKIA1", "s3SecretAccessKey": CANARY},
    "S3DelegatedAccess": {"s3Region": "eu-central-1", "s3ExternalId": CANARY, "s3ARN": ROLE},
    "GCS": {"gcsProjectId": "acme", "gcsCredentials": CANARY},
    "AZURE": {"accountName": "acme", "accountKey": CANARY},
    "OBS": {"obsEndpoint": "https://obs.example.com", "obsAccessKeyId": "OB1", "obsSecretAccessKey": CANARY},
}


def values(kind: str, **changes: Any) -> dict[str, Any]:
    return {"type": kind, **COMMON, **BY_TYPE[kind], **changes}


@pytest.mark.parametrize("kind", BY_TYPE)
def test_each_type_travels_under_the_names_of_the_api(kind: str) -> None:
    assert models.to_api(models.parse_config(values(kind))) == {
        "type": kind,
        "purpose": "INPUT",
        "fullPath": "s3://acme-raw/street-scenes/",
        "thumbSuffix": ".lightly/thumbnails/[filename]_thumb.[extension]",
        **ON_THE_WIRE[kind],
    }


@pytest.mark.parametrize("kind", BY_TYPE)
def test_the_names_of_the_api_are_accepted_as_well(kind: str) -> None:
    config = models.parse_config(values(kind))
    assert models.parse_config(models.to_api(config)) == config


@pytest.mark.parametrize("kind", BY_TYPE)
def test_secrets_are_shown_nowhere_but_on_the_wire(kind: str) -> None:
    config = models.parse_config(values(kind))
    assert CANARY not in repr(config) + str(config) + config.model_dump_json()
    assert models.secret_values(config) == (CANARY,)
    assert models.SECRET_FIELDS[kind] == {name for name, value in BY_TYPE[kind].items() if value == CANARY}


def test_a_thumb_suffix_of_none_is_left_out() -> None:
    assert "thumbSuffix" not in models.to_api(models.parse_config(values("GCS", thumb_suffix=None)))


@pytest.mark.parametrize(
    ("suffix", "said"), [("", "'' would name every thumbnail the same; leave it out"), ("a\nb", "has a newline")]
)
def test_a_thumb_suffix_that_cannot_work_is_refused(suffix: str, said: str) -> None:
    assert said in models.config_problems(values("GCS", thumb_suffix=suffix))["thumb_suffix"]


@pytest.mark.parametrize("kind", ["S3", "S3DelegatedAccess"])
def test_a_kms_key_travels_with_both_s3_types(kind: str) -> None:
    config = models.parse_config(values(kind, s3_server_side_encryption_kms_key=KEY))
    assert models.to_api(config)["s3ServerSideEncryptionKMSKey"] == KEY


def test_there_are_exactly_the_thirty_regions_of_the_api() -> None:
    families = {
        "us-east": "12",
        "us-west": "12",
        "af-south": "1",
        "ap-east": "1",
        "ap-south": "12",
        "ap-southeast": "1234",
        "ap-northeast": "123",
        "ca-central": "1",
        "cn-northwest": "1",
        "eu-central": "12",
        "eu-west": "123",
        "eu-south": "12",
        "eu-north": "1",
        "me-south": "1",
        "me-central": "1",
        "sa-east": "1",
    }
    numbered = {f"{family}-{number}" for family, numbers in families.items() for number in numbers}
    assert set(models.REGIONS) == numbered | {"us-gov-east", "us-gov-west"}
    assert len(models.REGIONS) == 30


BAD: list[tuple[str, str, object, str]] = [
    (
        "S3",
        "s3_region",
        "us-gov-east-1",
        "'us-gov-east-1' is not one of the 30 regions that Lightly knows; the nearest",
    ),
    ("S3", "s3_region", "cn-north-1", "cn-northwest-1"),
    ("S3", "s3_region", "ca-west-1", "the nearest: us-west-1"),
    ("S3", "s3_region", "il-central-1", "'il-central-1' is not one"),
    ("S3", "s3_region", "", "they are af-south-1"),
    ("S3", "s3_access_key_id", "", "must not be empty"),
    ("S3", "s3_access_key_id", "AKIA1\n", "white space around it"),
    ("S3", "s3_secret_access_key", "", "must not be empty"),
    ("S3", "s3_secret_access_key", f"{CANARY}\n", "white space around it"),
    ("S3", "s3_server_side_encryption_kms_key", "alias/acme", "'alias/acme' is an alias; give the key's ARN"),
    (
        "S3",
        "s3_server_side_encryption_kms_key",
        "arn:aws:kms:eu-central-1:123456789012:alias/acme",
        "is an alias; give the key's ARN",
    ),
    ("S3", "s3_server_side_encryption_kms_key", KEY.replace("arn:aws:", "arn:aws-cn:"), "is no key ARN"),
    ("S3", "s3_server_side_encryption_kms_key", f"{KEY}\n", "is no key ARN"),
    *(
        ("S3", "s3_server_side_encryption_kms_key", f"arn:aws:kms:eu-central-1:123456789012:key/{it}", "is no key ARN")
        for it in ("*", "1234*", "????", "", "1234/5678")
    ),
    ("S3DelegatedAccess", "s3_external_id", "short-one", "too short: 9 characters, Lightly wants 10 or more"),
    ("S3DelegatedAccess", "s3_external_id", "with a space in it", "a character that Lightly refuses"),
    ("S3DelegatedAccess", "s3_external_id", "0123456789\n", "a character that Lightly refuses"),
    ("S3DelegatedAccess", "s3_arn", ROLE.replace("arn:aws:", "arn:aws-cn:"), "Other partitions (aws-cn, aws-us-gov)"),
    ("S3DelegatedAccess", "s3_arn", ROLE.replace("arn:aws:", "arn:aws-us-gov:"), "use access keys there"),
    ("S3DelegatedAccess", "s3_arn", "arn:aws:iam::123456789012:role/", "is not a role ARN"),
    ("S3DelegatedAccess", "s3_arn", "arn:aws:iam::123456789012:user/lightly", "is not a role ARN"),
    ("S3DelegatedAccess", "s3_arn", f"{ROLE}\n", "is not a role ARN"),
    ("AZURE", "account_name", "", "must not be empty"),
    ("AZURE", "account_key", "", "must not be empty"),
    ("GCS", "gcs_project_id", "", "must not be empty"),
    ("OBS", "obs_endpoint", "obs.example.com", "'obs.example.com' must start with http:// or https://"),
    ("OBS", "obs_endpoint", "https://obs.example.com\n", "must start with"),
    ("OBS", "obs_secret_access_key", "", "must not be empty"),
    ("GCS", "full_path", "gs://acme/raw\n", "has a newline or another control character"),
    ("GCS", "purpose", "OUTPUT", "'INPUT', 'LIGHTLY' or 'INPUT_OUTPUT'"),
    ("GCS", "bucket", "acme", "Extra inputs are not permitted"),
]


@pytest.mark.parametrize(("kind", "field", "value", "said"), BAD)
def test_a_bad_value_is_refused_by_the_name_of_its_field(kind: str, field: str, value: object, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        models.parse_config(values(kind, **{field: value}))
    assert f"{field}: " in str(refused.value)
    assert said in str(refused.value)
    assert refused.value.__context__ is None
    told = "".join(traceback.format_exception(refused.value))
    assert not {CANARY, "short-one", "with a space in it"} & set(told.split("'"))
    assert CANARY not in told


def test_every_bad_field_is_named_at_once() -> None:
    with pytest.raises(InvalidInput) as refused:
        models.parse_config({"type": "S3", "full_path": "s3://b/", "s3_region": "mars-1", "s3_access_key_id": "A"})
    assert "s3_region" in str(refused.value)
    assert "s3_secret_access_key: Field required" in str(refused.value)
    assert "purpose: Field required" in str(refused.value)


@pytest.mark.parametrize("kind", ["S4", "LOCAL", "LIGHTLY", None])
def test_another_type_is_refused_with_the_known_ones(kind: str | None) -> None:
    with pytest.raises(InvalidInput, match=r"type|expected tags"):
        models.parse_config({**COMMON, "type": kind})


def test_a_config_built_directly_hides_its_values_when_it_is_refused() -> None:
    with pytest.raises(ValidationError) as refused:
        S3Config.model_validate(values("S3", s3_region=CANARY[:3], s3_secret_access_key=f"{CANARY} "))
    assert CANARY not in str(refused.value) + repr(refused.value)


def test_configs_are_built_from_keywords() -> None:
    config = S3DelegatedAccessConfig(
        purpose=Purpose.LIGHTLY, full_path="s3://b/p/", s3_region="us-east-1", s3_external_id=CANARY, s3_arn=ROLE
    )
    adapter: TypeAdapter[DatasourceConfig] = TypeAdapter(DatasourceConfig)
    assert adapter.validate_python(config) is config


def test_problems_leave_out_what_is_not_known_yet() -> None:
    config = values("S3DelegatedAccess", s3_region="mars-1", s3_arn=object(), s3_external_id="short")
    problems = models.config_problems(config, unknown=frozenset({"s3_arn"}))
    assert set(problems) == {"s3_region", "s3_external_id"}
    assert models.config_problems(config, unknown=frozenset({"type"})) == {}
    assert models.config_problems(values("S3")) == {}


name_start = st.sampled_from("abcXYZ019")
name_rest = st.text(st.sampled_from("abcXYZ019 _-"), min_size=2, max_size=300)


@given(st.builds("".join, st.tuples(name_start, name_rest)))
def test_names_within_the_rules_pass_unchanged(name: str) -> None:
    assert models.check_dataset_name(name) == name


@given(st.text())
def test_a_name_passes_only_if_every_character_may_be_in_it(name: str) -> None:
    allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-")
    fine = len(name) >= 3 and set(name) <= allowed and name[0] not in " _-"
    if fine:
        assert models.check_dataset_name(name) == name
        return
    with pytest.raises(InvalidInput) as refused:
        models.check_dataset_name(name)
    assert repr(name) in str(refused.value)


@pytest.mark.parametrize("name", ["", "ab", "_abc", "-abc", " abc", "äbc", "abc\n", "a/b", "street.scenes"])
def test_names_that_lightly_refuses_are_refused_here(name: str) -> None:
    with pytest.raises(InvalidInput, match="at least 3 characters"):
        models.check_dataset_name(name)


@pytest.mark.parametrize("bad", ["", "0" * 23, "0" * 25, "G" * 24, "A" * 24, "0" * 24 + "\n"])
def test_an_id_is_24_hexadecimal_digits(bad: str) -> None:
    assert models.check_dataset_id("0123456789abcdef01234567") == "0123456789abcdef01234567"
    with pytest.raises(InvalidInput, match="24 characters of 0-9 and a-f"):
        models.check_dataset_id(bad)


@given(st.text(st.sampled_from("azAZ09_+=,.@:/-"), min_size=10))
def test_external_ids_within_the_rules_travel_unchanged(external_id: str) -> None:
    config = models.parse_config(values("S3DelegatedAccess", s3_external_id=external_id))
    assert models.to_api(config)["s3ExternalId"] == external_id


@given(st.text(min_size=10))
def test_an_external_id_with_any_other_character_is_refused_without_showing_it(external_id: str) -> None:
    allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+=,.@:/-")
    assume(not set(external_id) <= allowed)
    with pytest.raises(InvalidInput) as refused:
        models.parse_config(values("S3DelegatedAccess", s3_external_id=external_id))
    assert external_id not in str(refused.value)


@pytest.mark.parametrize("kind", BY_TYPE)
@pytest.mark.parametrize("mask", ["*****", CANARY])
def test_what_is_read_back_holds_no_secret_masked_or_whole(kind: str, mask: str) -> None:
    config = models.parse_config(values(kind))
    wire = models.to_api(config)
    masked = {name: mask if value == CANARY else value for name, value in wire.items()}
    data = DatasourceData.from_api({**masked, "id": "0" * 24, "newField": 1})
    assert (data.type, data.purpose) == (kind, "INPUT")
    names = {field.alias: name for name, field in type(config).model_fields.items()}
    assert data.visible == {names[alias]: value for alias, value in wire.items() if value != CANARY}
    assert mask not in repr(data)


def test_a_datasource_that_our_rules_would_refuse_can_still_be_read() -> None:
    answer = {"type": "LOCAL", "fullPath": "", "s3Region": "mars-1", "thumbSuffix": None, "purpose": "SOMETHING_NEW"}
    assert DatasourceData.from_api(answer).visible == {
        "type": "LOCAL",
        "full_path": "",
        "s3_region": "mars-1",
        "purpose": "SOMETHING_NEW",
    }


def test_a_datasource_without_a_purpose_is_for_both() -> None:
    assert DatasourceData.from_api({"type": "LIGHTLY"}).purpose == "INPUT_OUTPUT"


def test_a_dataset_of_a_newer_api_can_be_read() -> None:
    answer = {"id": "0" * 24, "name": "ä", "type": "PointClouds", "nSamples": 3, "somethingNew": {}}
    data = DatasetData.model_validate_json(json.dumps(answer))
    assert (data.type, data.n_samples, data.datasources) == ("PointClouds", 3, None)


@pytest.mark.parametrize("samples", ["0", 1.5, -1, None, True])
def test_a_dataset_whose_content_is_unclear_is_not_read_as_empty(samples: object) -> None:
    with pytest.raises(ValidationError):
        DatasetData.model_validate({"id": "0" * 24, "name": "abc", "type": "Images", "nSamples": samples})


def test_permissions_tell_what_is_missing_and_why() -> None:
    answer = {"canList": True, "canRead": False, "canWrite": True, "canOverwrite": False, "errors": {"canRead": "no"}}
    permissions = DatasourcePermissions.model_validate(answer)
    assert permissions.missing == ("read", "overwrite")
    assert (permissions.reason("read"), permissions.reason("overwrite")) == ("no", "")
    with pytest.raises(ValidationError):
        DatasourcePermissions.model_validate({**answer, "canList": "true"})
