"""`worker-config`: the document alone on standard output, and what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from typer.testing import CliRunner

from lightly_infra import cli

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

MADE = {"create": True, "prefix": "lightly/", "access": "delegated", "region": "eu-central-1"}
EXPIRES = {**MADE, "prefix": "raw/", "retention_days": 45, "expected_run_days": 3}
SHUT = {**MADE, "prefix": "raw/", "allowed_source_ips": ["203.0.113.0/24"]}


def run(tmp_path: Path, *args: str, **sources: dict[str, Any]) -> Result:
    file = tmp_path / "Pulumi.mine.yaml"
    datasets = {name: {"input": {"s3": source}, "lightly": {"s3": MADE}} for name, source in sources.items()}
    file.write_text(yaml.safe_dump({"config": {"lightly-infra:datasets": datasets}}), encoding="utf-8")
    return CliRunner().invoke(cli.app, ["worker-config", "--config", str(file), *args])


@pytest.mark.parametrize(
    ("source", "datasource", "needs"),
    [
        (EXPIRES, {"input_expiration": {"min_days_to_expiration": 4, "handling_strategy": "SKIP"}}, True),
        (SHUT, {"bypass_verify": True}, False),
    ],
)
def test_it_is_written_as_json_or_yaml_and_names_the_worker(
    tmp_path: Path, source: dict[str, Any], datasource: dict[str, Any], needs: bool
) -> None:
    as_json, as_yaml = run(tmp_path, mine=source), run(tmp_path, "-f", "yaml", mine=source)

    assert json.loads(as_json.stdout) == yaml.safe_load(as_yaml.stdout) == {"datasource": datasource}
    assert ("Worker >=2.11" in as_json.stderr) == ("# Needs a Lightly Worker >=2.11" in as_yaml.stdout) == needs


def test_of_several_one_is_named(tmp_path: Path) -> None:
    for args in ((), ("-d", "third")):
        refused = run(tmp_path, *args, first=SHUT, second=EXPIRES)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert "first, second" in refused.stderr
    assert "input_expiration" in run(tmp_path, "-d", "second", first=SHUT, second=EXPIRES).stdout


def test_what_does_not_hold_is_refused(tmp_path: Path) -> None:
    refused = run(tmp_path, mine={**EXPIRES, "expected_run_days": 60})

    assert refused.exit_code == 2
    assert "input.s3.expected_run_days: a run of 60 days" in refused.stderr
