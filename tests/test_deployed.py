"""What a deployed stack's config says, whatever has become of the secrets in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lightly_infra.deployed import with_stand_ins
from lightly_infra.spec import SpecError
from lightly_infra.stack.settings import DATASETS_KEY, Settings

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
