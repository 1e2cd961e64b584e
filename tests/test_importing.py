"""From what Lightly has to a stack's YAML, and from there to exactly what Lightly has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lightly_infra import spec, stack
from lightly_infra.importing import Existing, Imported, imported
from lightly_infra.lightly.models import DEFAULT_THUMB_SUFFIX, REGIONS, DatasetData, DatasourceData
from tests.pulumi_mocks import Secret, run

if TYPE_CHECKING:
    from collections.abc import Mapping

DATASOURCE = "pulumi-python:dynamic/lightly:Datasource"
KEY_FILE: Final = json.dumps(
    {
        "type": "service_account",
        "client_email": "lightly@acme-vision.iam.gserviceaccount.com",
        "project_id": "acme-vision",
        "private_key": "-----BEGIN PRIVATE KEY-----\ncanary-key\n-----END PRIVATE KEY-----\n",
        "private_key_id": "canary-key-id",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
)
SECRETS: Final = {
    "S3": {"s3SecretAccessKey": "canary-secret-access-key"},
    "S3DelegatedAccess": {"s3ExternalId": "canary-external-id"},
    "GCS": {"gcsCredentials": KEY_FILE},
    "AZURE": {"accountKey": "?sv=2020-12-06&sr=c&sp={}&se=2999-01-01T00%3A00%3A00Z&spr=https&sig=canary"},
    "OBS": {"obsSecretAccessKey": "canary-secret-of-the-user"},
}
KMS_KEY = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"

ON_S3 = {"type": "S3", "fullPath": "s3://acme-raw/keys/", "s3Region": "eu-central-1", "s3AccessKeyId": "A" * 20}
BY_ROLE = {
    "type": "S3DelegatedAccess",
    "fullPath": "s3://acme-raw/raw/",
    "s3Region": "eu-central-1",
    "s3ARN": "arn:aws:iam::123456789012:role/lightly",
}
ON_GCS = {"type": "GCS", "fullPath": "gs://acme-made/lightly/", "gcsProjectId": "acme-vision"}
ON_AZURE = {"type": "AZURE", "fullPath": "made/", "accountName": "acmedata"}
ON_OBS = {
    "type": "OBS",
    "fullPath": "obs://acme-raw/",
    "obsEndpoint": "https://obs.eu-de.otc.t-systems.com",
    "obsAccessKeyId": "LIGHTLYACCESSKEYID",
}


def answer(purpose: str, said: Mapping[str, str]) -> dict[str, str]:
    """The datasource as Lightly has it, whole."""
    secret = {
        name: value.format("rl" if purpose == "INPUT" else "rcwdl") if name == "accountKey" else value
        for name, value in SECRETS.get(said["type"], {}).items()
    }
    return {"id": "1" * 24, "purpose": purpose, "thumbSuffix": DEFAULT_THUMB_SUFFIX, **said, **secret}


def existing(
    *answers: Mapping[str, str], name: str = "Street scenes", number: int = 1, kind: str = "Images"
) -> Existing:
    dataset = {"id": f"{number:024x}", "name": name, "type": kind, "nSamples": 7}
    return Existing(
        DatasetData.model_validate(dataset), tuple(DatasourceData.from_api(dict(answer)) for answer in answers)
    )


def pair(source: Mapping[str, str] = BY_ROLE, target: Mapping[str, str] = ON_GCS, **more: Any) -> Existing:
    return existing(answer("INPUT", source), answer("LIGHTLY", target), **more)


def written(result: Imported) -> Any:
    return yaml.safe_load(result.text("imported"))["config"]["lightly-infra:datasets"]


def filled(value: Any, answers: Mapping[str, Mapping[str, str]], purpose: str = "") -> Any:
    """The YAML's datasets with the secrets that Lightly has, as the commands set them."""
    if value == spec.PLACEHOLDER:
        return next(it for name, it in answers[purpose].items() if name in SECRETS[answers[purpose]["type"]])
    if not isinstance(value, dict):
        return value
    return {
        key: filled(it, answers, key.upper() if key in {"input", "lightly"} else purpose) for key, it in value.items()
    }


def sent(datasets: Any) -> dict[str, dict[str, str]]:
    """What the stack tells Lightly, by purpose, under the API's names."""
    aliases = {"s3_arn": "s3ARN", "s3_server_side_encryption_kms_key": "s3ServerSideEncryptionKMSKey"}
    config = {"lightly-infra:datasets": json.dumps(datasets)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIGHTLY_TOKEN", "canary-token")
        recording = run(stack.main, config=config, secret_keys=[stack.DATASETS_KEY])
    told = {}
    for it in recording.of(DATASOURCE):
        plain = {
            name: value.value if isinstance(value, Secret) else value
            for name, value in it.inputs.items()
            if name not in {"__provider", "deadline"}
        }
        words = {name: name.split("_") for name in plain}
        camel = {name: aliases.get(name, it[0] + "".join(map(str.capitalize, it[1:]))) for name, it in words.items()}
        told[plain["purpose"]] = {camel[name]: value for name, value in plain.items()}
    return told


def reason(*answers: Mapping[str, str], **more: Any) -> str:
    result = imported([existing(*answers, **more)])
    assert result.datasets == {}
    (left_out,) = result.left_out
    return left_out.reason


# -- what Lightly may have

labels = st.from_regex(r"[a-z][a-z0-9-]{2,12}[a-z0-9]", fullmatch=True).filter(
    lambda it: not it.startswith(("goog", "sthree-", "xn-")) and "google" not in it and "--" not in it
)
prefixes = st.lists(st.from_regex(r"[A-Za-z0-9 _é-]{1,8}", fullmatch=True).filter(str.isprintable), max_size=3).map(
    lambda it: "".join(f"{step}/" for step in it)
)
suffixes = st.just(DEFAULT_THUMB_SUFFIX) | st.sampled_from(["", "thumbs/[filename].[extension]"])


@st.composite
def datasources(draw: st.DrawFn, purpose: str) -> dict[str, str]:
    """A datasource as Lightly may have it; most of what is drawn can be said in the YAML, and not all."""
    kind = draw(st.sampled_from(sorted(SECRETS)))
    bucket, prefix, region = draw(labels), draw(prefixes), draw(st.sampled_from(REGIONS))
    slash = draw(st.sampled_from(["/"] * 9 + [""]))
    path = f"{bucket}/{prefix}".removesuffix("/") + slash
    scheme = {"S3": "s3://", "S3DelegatedAccess": "s3://", "GCS": "gs://", "AZURE": "", "OBS": "obs://"}[kind]
    own = {
        "S3": {"s3Region": region, "s3AccessKeyId": draw(st.from_regex(r"[A-Z0-9]{14,20}", fullmatch=True))},
        "S3DelegatedAccess": {"s3Region": region, "s3ARN": f"arn:aws:iam::123456789012:role/{draw(labels)}"},
        "GCS": {"gcsProjectId": draw(labels)},
        "AZURE": {"accountName": draw(st.from_regex(r"[a-z0-9]{3,24}", fullmatch=True))},
        "OBS": {"obsEndpoint": f"https://{draw(labels)}.example.com", "obsAccessKeyId": draw(labels).upper()},
    }[kind]
    if kind.startswith("S3") and draw(st.booleans()):
        own["s3ServerSideEncryptionKMSKey"] = KMS_KEY.replace("eu-central-1", region)
    it = {"type": kind, "fullPath": f"{scheme}{path}", "thumbSuffix": draw(suffixes), **own}
    return answer(purpose, it)


@settings(max_examples=30)
@given(datasources("INPUT"), datasources("LIGHTLY"))
def test_the_stack_sends_what_lightly_has_or_the_dataset_is_left_out(
    source: dict[str, str], target: dict[str, str]
) -> None:
    result = imported([existing(source, target)])
    assert "canary" not in result.text("imported")
    if result.left_out:
        assert result.datasets == {}
        assert result.left_out[0].reason
        return
    datasets = written(result)
    assert datasets == result.datasets
    answers = {"INPUT": source, "LIGHTLY": target}
    datasets = filled(datasets, answers)
    told = sent(datasets)
    for purpose, had in answers.items():
        expected = {name: value for name, value in had.items() if name != "id"}
        assert {"thumbSuffix": DEFAULT_THUMB_SUFFIX, **told[purpose]} == {"datasetId": f"{1:024x}", **expected}


@pytest.mark.parametrize("kind", [BY_ROLE, ON_S3, ON_GCS, ON_AZURE, ON_OBS], ids=lambda it: it["type"])
def test_every_kind_of_datasource_comes_back_as_it_was(kind: dict[str, str]) -> None:
    target = {**ON_GCS, "fullPath": "gs://acme-other/lightly/"}
    answers = {"INPUT": answer("INPUT", kind), "LIGHTLY": answer("LIGHTLY", target)}
    result = imported([existing(*answers.values())])
    assert result.left_out == ()
    told = sent(filled(written(result), answers))
    assert told["INPUT"] == {"datasetId": f"{1:024x}"} | {
        name: value for name, value in answers["INPUT"].items() if name not in {"id", "thumbSuffix"}
    }


def test_a_dataset_is_used_by_its_id_and_called_like_itself() -> None:
    ((key, dataset),) = imported([pair(name="Street_Scenes 2026", kind="Videos")]).datasets.items()
    assert key == "street-scenes-2026"
    assert (dataset["id"], dataset["type"]) == ("0" * 23 + "1", "Videos")
    assert "adopt" not in dataset


def test_this_is_how_each_cloud_is_written() -> None:
    ((_, dataset),) = imported([pair(BY_ROLE, ON_GCS)]).datasets.items()
    assert dataset["input"] == {
        "s3": {
            "bucket": "acme-raw",
            "prefix": "raw/",
            "region": "eu-central-1",
            "access": {"kind": "delegated", "role_arn": BY_ROLE["s3ARN"], "external_id": "SET-ME"},
        }
    }
    assert dataset["lightly"] == {
        "gcs": {
            "bucket": "acme-made",
            "prefix": "lightly/",
            "project": "acme-vision",
            "access": {"credentials": "SET-ME"},
        }
    }
    ((_, dataset),) = imported([pair(ON_S3, {**ON_AZURE, "fullPath": "made/lightly/"})]).datasets.items()
    key = {"kind": "keys", "access_key_id": "A" * 20, "secret_access_key": "SET-ME"}
    assert dataset["input"]["s3"]["access"] == key
    assert dataset["lightly"] == {
        "azure": {
            "account": "acmedata",
            "container": "made",
            "prefix": "lightly/",
            "container_wide": True,
            "sas_token": "SET-ME",
        }
    }
    ((_, dataset),) = imported([pair(ON_OBS, ON_AZURE)]).datasets.items()
    assert dataset["input"] == {
        "obs": {
            "endpoint": ON_OBS["obsEndpoint"],
            "bucket": "acme-raw",
            "prefix": "",
            "access_key_id": "LIGHTLYACCESSKEYID",
            "secret_access_key": "SET-ME",
        }
    }
    assert "container_wide" not in dataset["lightly"]["azure"]


def test_what_is_not_the_default_is_kept() -> None:
    source = {**BY_ROLE, "s3ServerSideEncryptionKMSKey": KMS_KEY, "thumbSuffix": "thumbs/[filename].[extension]"}
    ((_, dataset),) = imported([pair(source)]).datasets.items()
    assert dataset["input"]["s3"]["kms_key_arn"] == KMS_KEY
    assert dataset["input"]["s3"]["thumb_suffix"] == "thumbs/[filename].[extension]"
    assert "thumb_suffix" not in dataset["lightly"]["gcs"]


# -- keys, and what else is text in YAML


def test_names_that_are_alike_get_keys_of_their_own() -> None:
    names = ["Street scenes", "street-scenes", "street_scenes", "x" * 50, "X" * 60]
    buckets = [f"acme-{number}" for number in range(len(names))]
    result = imported(
        pair(
            {**BY_ROLE, "fullPath": f"s3://{bucket}/raw/"},
            {**ON_GCS, "fullPath": f"gs://{bucket}/made/"},
            name=name,
            number=number,
        )
        for number, (name, bucket) in enumerate(zip(names, buckets, strict=True))
    )
    assert result.left_out == ()
    assert list(result.datasets) == [
        *("street-scenes", "street-scenes-2", "street-scenes-3"),
        *("x" * 38, f"{'x' * 36}-2"),
    ]


@pytest.mark.parametrize("name", ["123", "2026-11-25", "1e5", "0o17", "null", "yes", "ähm", "日本", "- #"])
def test_any_name_gives_a_key_that_is_read_as_text(name: str) -> None:
    result = imported([pair(name=name)])
    ((key, _),) = written(result).items()
    assert isinstance(key, str)
    assert spec.parse(
        filled(written(result), {"INPUT": answer("INPUT", BY_ROLE), "LIGHTLY": answer("LIGHTLY", ON_GCS)})
    )


def test_what_some_reader_may_take_for_a_number_is_quoted() -> None:
    it = pair(number=int("5e" + "0" * 22, 16))
    assert "id: '5e0000000000000000000000'" in imported([it]).text("imported")


# -- secrets


def test_the_file_says_how_to_set_what_is_missing() -> None:
    result = imported([pair(name="123")])
    commands = [
        f"pulumi config set --stack mine --secret --path 'lightly-infra:datasets[\"123\"].{path}'"
        for path in ("input.s3.access.external_id", "lightly.gcs.access.credentials")
    ]
    assert result.commands("mine") == commands
    assert all(f"#   {command}\n" in result.text("mine") for command in commands)


def test_what_is_not_set_is_refused_by_name_with_the_command() -> None:
    with pytest.raises(spec.SpecError) as refused:
        spec.parse(imported([pair()]).datasets)
    assert refused.value.problems == [
        f"{path}: not set yet; set it with `pulumi config set --secret --path 'lightly-infra:datasets.{path}'`"
        for path in ("street-scenes.input.s3.access.external_id", "street-scenes.lightly.gcs.access.credentials")
    ]


# -- what is left out


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([answer("INPUT_OUTPUT", ON_S3)], "it has one datasource for both (INPUT_OUTPUT); set an Input and a Lightly"),
        ([answer("INPUT", ON_S3)], "it has no LIGHTLY datasource; set both"),
        ([], "it has no INPUT and no LIGHTLY datasource; set both"),
        (
            [answer("INPUT", {"type": "LOCAL", "fullPath": "x"}), answer("LIGHTLY", ON_GCS)],
            "its INPUT datasource is of type 'LOCAL', which the YAML does not have",
        ),
        (
            [answer("INPUT", {**BY_ROLE, "fullPath": "s3://acme-raw/raw"}), answer("LIGHTLY", ON_GCS)],
            "INPUT: full_path 's3://acme-raw/raw' would become 's3://acme-raw/raw/'; set it so at Lightly first",
        ),
        (
            [answer("INPUT", {**BY_ROLE, "fullPath": "acme-raw/raw/"}), answer("LIGHTLY", ON_GCS)],
            "INPUT: full_path 'acme-raw/raw/' would become 's3://acme-raw/raw/'; set it so at Lightly first",
        ),
        (
            [answer("INPUT", {**BY_ROLE, "fullPath": "s3://acme-raw//raw/"}), answer("LIGHTLY", ON_GCS)],
            "street-scenes.input.s3.prefix: '/raw/' starts with a slash",
        ),
        (
            [answer("INPUT", {**ON_AZURE, "fullPath": "made/raw/"}), answer("LIGHTLY", ON_AZURE)],
            "street-scenes: input.azure.prefix 'raw/' lies in lightly.azure.prefix ''",
        ),
    ],
)
def test_what_the_yaml_cannot_say_is_left_out_with_the_reason(answers: list[dict[str, str]], told: str) -> None:
    assert reason(*answers).startswith(told)


def test_a_type_that_is_newer_than_the_yaml_is_left_out() -> None:
    both = answer("INPUT", BY_ROLE), answer("LIGHTLY", ON_GCS)
    assert reason(*both, kind="Sounds").startswith("it holds 'Sounds', which the YAML does not know; it knows Images")


def test_of_datasets_that_do_not_go_together_the_first_is_imported() -> None:
    """Here both write to one directory."""
    other = {**BY_ROLE, "fullPath": "s3://acme-other/raw/"}
    third = pair(other, {**ON_GCS, "fullPath": "gs://acme-third/"}, name="third", number=3)
    result = imported([pair(), pair(other, name="Night drives", number=2), third])
    assert list(result.datasets) == ["street-scenes", "third"]
    (left_out,) = result.left_out
    assert (left_out.name, left_out.id) == ("Night drives", f"{2:024x}")
    assert "the datasets would overwrite each other's files" in left_out.reason


def test_the_file_says_what_is_left_out_and_no_name_breaks_out_of_its_line() -> None:
    result = imported([pair(), existing(name="bad\nconfig: {x: y}", number=2)])
    text = result.text("imported")
    assert f"#   'bad\\nconfig: {{x: y}}' ({2:024x}): it has no INPUT" in text
    assert list(yaml.safe_load(text)) == ["config"]


@given(st.text(max_size=30), st.text(max_size=60), st.text(max_size=60))
def test_whatever_lightly_says_the_file_holds_datasets_that_parse(name: str, path: str, account: str) -> None:
    assume(name)
    sources = answer("INPUT", {**ON_AZURE, "fullPath": path, "accountName": account}), answer("LIGHTLY", ON_GCS)
    result = imported([existing(*sources, name=name), pair(name=name, number=2)])
    datasets = written(result)
    assert datasets == result.datasets
    assert len(datasets) + len(result.left_out) == 2
