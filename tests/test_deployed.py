"""What a deployed stack's config says, whatever has become of the secrets in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pulumi import automation

from lightly_infra import deployed
from lightly_infra.deployed import _leaves, with_stand_ins
from lightly_infra.lightly.models import PLAIN_FIELDS
from lightly_infra.renewals import Renewal
from lightly_infra.spec import SpecError
from lightly_infra.stack.settings import DATASETS_KEY, Settings

if TYPE_CHECKING:
    from pathlib import Path

SAS = "sv=2022-11-02&sr=c&sp=rl&se=2020-01-01T00:00:00Z&spr=https&sig=Y2FuYXJ5LXNpZ25hdHVyZQ%3D%3D"


def azure(sas_token: str) -> str:
    source: dict[str, Any] = {"resource_group": "acme-data", "account": "acmevision", "container": "raw"}
    source |= {"prefix": "", "sas_token": sas_token}
    made = {"resource_group": "acme-data", "account": "acmevision", "container": "made", "prefix": ""}
    return json.dumps({"scenes": {"input": {"azure": source}, "lightly": {"azure": made}}})


def read(datasets: str) -> Settings:
    return Settings.read({DATASETS_KEY: datasets}, secret_keys={DATASETS_KEY})


def test_a_sas_that_has_expired_is_for_check_to_find_and_no_reason_to_refuse() -> None:
    secrets: list[str] = []
    with pytest.raises(SpecError, match="sas_token"):
        read(azure(SAS))

    settings = read(with_stand_ins(azure(SAS), secrets.append))

    assert secrets == [SAS]
    assert "Y2FuYXJ5" not in repr(settings)
    assert settings.datasets["scenes"].input.azure is not None


def test_what_is_no_json_is_left_for_the_settings_to_refuse() -> None:
    with pytest.raises(SpecError, match="not a mapping"):
        read(with_stand_ins("{", lambda _: None))


def test_numbers_hold_for_programs_of_ones_own_as_well() -> None:
    settings = Settings.of_own_program({"lightly-infra:warn_days": "30", "lightly-infra:rotation": "2"})

    assert (settings.warn_days, settings.rotation, dict(settings.datasets)) == (30, 2, {})


def test_a_dataset_with_another_key_since_the_last_update_is_known_by_the_one_of_today(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = {"bucket": "acme", "access": {"kind": "keys", "rotate_every_days": 30}}
    dataset = {"input": {"s3": {**bucket, "prefix": "raw/"}}, "lightly": {"s3": {**bucket, "prefix": "lightly/"}}}
    fact = {"kind": "access key", "epoch": 17, "rotate_every_days": 30}
    exported = {"datasets": {"scenes": {"id": "a" * 24}}, "credentials": {"scenes": {"input": fact, "lightly": fact}}}
    registered = {"name": "scenes", "type": "Images", "on_destroy": "keep", "adopted": False, "dataset_id": "a" * 24}
    outputs = {"pulumi:pulumi:Stack": exported, "pulumi-python:dynamic/lightly:Dataset": registered}
    resources = [
        {"urn": f"urn:pulumi:dev::acme::{type_}::scenes", "type": type_, "inputs": {}, "outputs": it}
        for type_, it in outputs.items()
    ]
    config = {"aws:region": "eu-central-1", DATASETS_KEY: json.dumps({"streets": {**dataset, "formerly": "scenes"}})}

    class Stack:
        def __init__(self, *_: object) -> None: ...

        def export_stack(self) -> automation.Deployment:
            return automation.Deployment(version=3, deployment={"resources": resources})

        def get_all_config(self) -> dict[str, automation.ConfigValue]:
            return {key: automation.ConfigValue(it) for key, it in config.items()}

    (tmp_path / "Pulumi.yaml").write_text("name: acme\nruntime: python\n")
    monkeypatch.setattr(deployed, "_Stack", Stack)
    monkeypatch.setattr(deployed, "Command", lambda: None)
    monkeypatch.setattr(automation, "LocalWorkspace", lambda **_: None)
    monkeypatch.setattr("shutil.which", lambda _: "pulumi")

    stack = deployed.Deployed("dev", tmp_path)

    assert stack.outputs["datasets"] == {"streets": {"id": "a" * 24}}
    renewal = Renewal(stack.settings, external_ids=False, revokes=True, before=stack.outputs)
    after = {**stack.outputs, "credentials": {"streets": {"input": fact | {"epoch": 20}, "lightly": fact}}}
    found = {it.datasource: it.renewed for it in renewal.results(after, complete=True)}
    assert found == {"input": True, "lightly": False}


def test_of_a_datasource_that_is_a_secret_as_a_whole_only_the_secrets_are_hidden() -> None:
    source = {"type": "OBS", "full_path": "obs://acme/raw/", "obs_secret_access_key": "canary", "more": {"sig": "x"}}
    assert _leaves([source], shown=PLAIN_FIELDS) == ["canary", "x"]
