"""`sandbox check` and `worker-config`, as processes: what they print where, and how they exit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from typer.testing import CliRunner

from lightly_infra import cli
from tests.e2e.command import COMMAND, ENVIRONMENT, ROOT, document, run

if TYPE_CHECKING:
    from pathlib import Path

MADE = {"create": True, "prefix": "lightly/", "access": "delegated"}
EXPIRES = {**MADE, "prefix": "raw/", "retention_days": 45, "expected_run_days": 3}


def config(tmp_path: Path, **datasets: Any) -> str:
    file = tmp_path / "Pulumi.mine.yaml"
    declared = {"aws:region": "eu-central-1", "lightly-infra:datasets": datasets}
    file.write_text(yaml.safe_dump({"config": declared}, sort_keys=False), encoding="utf-8")
    return str(file)


def dataset(source: dict[str, Any], cloud: str = "s3", **more: Any) -> dict[str, Any]:
    return {"verify_deadline": 20, "input": {cloud: source}, "lightly": {"s3": MADE}, **more}


# -- check


def test_a_shipped_stack_is_healthy_in_the_sandbox() -> None:
    done = run("sandbox", "check", "--stack", "aws-delegated", "--json")

    told = document(done)
    assert (done.returncode, told["state"], told["stack"]) == (0, "healthy", "aws-delegated"), done.stderr
    assert {(it["subject"], it["dataset"], it["datasource"]) for it in told["findings"]} == {
        ("permissions", "street-scenes", None),
        ("credential", "street-scenes", "input"),
        ("credential", "street-scenes", "lightly"),
        ("drift", None, None),
        ("left behind", None, None),
    }


def test_inputs_that_a_run_would_skip_are_counted_with_examples(tmp_path: Path) -> None:
    done = run("sandbox", "check", "--config", config(tmp_path, mine=dataset(EXPIRES)), "--no-drift", "--json")

    told = document(done)
    (found,) = [it for it in told["findings"] if it["subject"] == "expiring inputs"]
    assert (done.returncode, told["state"]) == (0, "healthy"), done.stderr
    assert (found["details"]["inputs"], found["details"]["skipped"]) == (5, 2)
    assert [it["key"] for it in found["details"]["examples"]] == [
        "raw/image-44-days-old.png",
        "raw/image-43-days-old.png",
    ]
    assert not [it for it in told["findings"] if it["subject"] == "drift"], "it was left out"


def test_another_length_of_runs_can_be_asked_for(tmp_path: Path) -> None:
    file = config(tmp_path, mine=dataset({**EXPIRES, "handling_strategy": "ABORT"}))

    done = run("sandbox", "check", "--config", file, "--no-drift", "--run-days", "40")

    assert done.returncode == 1
    text = " ".join(done.stdout.replace("│", " ").split())
    assert "4 of 5 inputs are deleted within 41 days" in text
    assert "a run that starts now stops" in text
    assert "The stack is broken" in text


def test_what_up_shows_says_which_inputs_would_be_skipped(tmp_path: Path) -> None:
    file = config(tmp_path, mine=dataset(EXPIRES))

    (found,) = document(run("sandbox", "up", "--config", file, "--json"))["inputs"]

    assert (found["dataset"], found["details"]["skipped"]) == ("mine", 2)


def test_a_dataset_that_shuts_lightly_out_is_not_asked_and_warned_of(tmp_path: Path) -> None:
    shut = dataset({**MADE, "prefix": "raw/", "allowed_source_ips": ["203.0.113.0/24"]})

    done = run("sandbox", "check", "--config", config(tmp_path, mine=shut), "--json")

    told = document(done)
    assert (done.returncode, told["state"]) == (3, "expiring"), done.stderr
    assert "not asked: only some source addresses" in told["findings"][0]["message"]
    (data,) = (it for it in told["findings"] if it["subject"] == "data")
    assert "there is no file under s3://" in data["message"], "nobody has put anything into the bucket yet"
    assert any("bypass_verify" in it for it in told["warnings"])


def test_what_cannot_be_deployed_is_broken(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: mine\nruntime: python\n", encoding="utf-8")
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {}\n", encoding="utf-8")
    (tmp_path / "__main__.py").write_text("raise ValueError('my own mistake')\n", encoding="utf-8")

    done = run("sandbox", "check", "--stack", "dev", "--json", cwd=tmp_path)

    assert (done.returncode, document(done)["state"]) == (1, "broken")
    assert document(done)["failures"][0]["message"] == "my own mistake"


def test_a_program_of_ones_own_without_outputs_cannot_be_checked(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: mine\nruntime: python\n", encoding="utf-8")
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {}\n", encoding="utf-8")
    (tmp_path / "__main__.py").write_text("", encoding="utf-8")

    done = run("sandbox", "check", "--stack", "dev", "--json", cwd=tmp_path)

    assert (done.returncode, document(done)["state"]) == (2, "unknown")
    assert "no datasets among its outputs" in done.stderr


@pytest.mark.parametrize("command", [["check"], ["rotate", "--yes"]])
def test_without_the_cli_a_stack_of_ones_own_is_refused(command: list[str]) -> None:
    done = run(*command, "--stack", "aws-delegated", "--json")

    assert done.returncode == 2
    assert "the Pulumi CLI is not on PATH" in document(done)["failures"][0]["message"]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [["check"], ["rotate", "--yes"], ["worker-config"]])
def test_without_a_project_it_is_said(command: list[str], tmp_path: Path) -> None:
    done = run(*command, "--stack", "dev", cwd=tmp_path)

    assert done.returncode == 2
    assert "no Pulumi.yaml in" in done.stderr


@pytest.mark.parametrize(
    "command",
    [["check"], ["rotate", "--yes"], ["worker-config"], ["sandbox", "up"], ["sandbox", "preview"], ["import"]],
)
def test_what_is_no_stacks_name_is_refused_with_what_is(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTLY_TOKEN", "canary-token")
    for name in ("", "a" * 300, "../dev", "a\nb", "a\x1bb", "--help", "ä", "a/b/c/d", "."):
        result = CliRunner().invoke(cli.app, [*command, f"--stack={name}"])

        assert result.exit_code == 2, name
        assert "is not a valid stack name: use letters, digits" in result.stderr
        assert len(result.stderr) < 600
        assert "\x1b" not in result.stderr


@pytest.mark.parametrize("command", ["check", "rotate", "worker-config"])
def test_help_tells_the_exit_codes(command: str) -> None:
    assert "Exit codes:" in run(command, "--help").stdout


# -- worker-config


def worker_config(*args: str) -> subprocess.CompletedProcess[str]:
    return run("worker-config", *args)


def test_the_worker_config_alone_is_on_standard_output(tmp_path: Path) -> None:
    done = worker_config("--config", config(tmp_path, mine=dataset(EXPIRES)))

    assert done.returncode == 0
    assert json.loads(done.stdout) == {
        "datasource": {"input_expiration": {"min_days_to_expiration": 4, "handling_strategy": "SKIP"}}
    }
    assert "Needs a Lightly Worker >=2.11" in done.stderr


def test_in_yaml_the_worker_is_named_in_a_comment(tmp_path: Path) -> None:
    shut = dataset({**EXPIRES, "expected_run_days": 0, "allowed_source_ips": ["203.0.113.0/24"]})

    done = worker_config("--config", config(tmp_path, mine=shut), "--format", "yaml")

    assert done.stdout.startswith("# Needs a Lightly Worker >=2.11")
    assert yaml.safe_load(done.stdout) == {
        "datasource": {
            "input_expiration": {"min_days_to_expiration": 1, "handling_strategy": "SKIP"},
            "bypass_verify": True,
        }
    }
    assert done.stderr == ""


def test_a_dataset_that_needs_none_gives_an_empty_one() -> None:
    done = worker_config("--stack", "aws-delegated")

    assert (done.returncode, json.loads(done.stdout), done.stderr) == (0, {}, "")


def test_of_several_datasets_one_is_named(tmp_path: Path) -> None:
    file = config(tmp_path, first=dataset({**MADE, "prefix": "a/"}), second=dataset(EXPIRES))

    unnamed, unknown = worker_config("--config", file), worker_config("--config", file, "--dataset", "third")
    named = worker_config("--config", file, "--dataset", "second")

    assert (unnamed.returncode, unnamed.stdout) == (2, "")
    assert "the stack has first, second" in unnamed.stderr
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "'third': the stack has no such dataset" in unknown.stderr
    assert "input_expiration" in named.stdout


def test_what_is_encrypted_needs_nobody_to_decrypt_it(tmp_path: Path) -> None:
    sas = {"account": "acmedata", "container": "raw", "prefix": "", "sas_token": {"secure": "v1:abc"}}

    done = worker_config("--config", config(tmp_path, mine=dataset(sas, "azure")))

    assert (done.returncode, done.stdout) == (0, "{}\n"), done.stderr


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], "give one of --stack NAME and --config FILE"),
        (["--stack", "nowhere"], "no stack 'nowhere'"),
        (["--config", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["--config", "Pulumi.yaml"], "no lightly-infra:datasets"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(args: list[str], told: str) -> None:
    done = worker_config(*args)

    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr


def test_a_secret_in_clear_is_refused_and_not_repeated(tmp_path: Path) -> None:
    role = "arn:aws:iam::123456789012:role/lightly"
    access = {"kind": "delegated", "role_arn": role, "external_id": "canary-external-id"}
    file = config(tmp_path, mine=dataset({"bucket": "acme-raw", "prefix": "raw/", "access": access}))

    done = worker_config("--config", file)

    assert done.returncode == 2
    assert "stands in clear" in done.stderr
    assert "canary" not in done.stdout + done.stderr


# -- completion


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("lightly-infra check --stack aws-k", {"aws-keys"}),
        ("lightly-infra worker-config --stack aws-keys --dataset ", {"street-scenes", "night-drives"}),
        ("lightly-infra worker-config --stack nowhere --dataset ", set()),
    ],
)
def test_the_shell_completes_stacks_and_datasets(line: str, offered: set[str]) -> None:
    words = {
        "_LIGHTLY_INFRA_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
    }

    done = subprocess.run(
        COMMAND, cwd=ROOT, env=ENVIRONMENT | words, capture_output=True, text=True, timeout=60, check=False
    )

    assert set(done.stdout.split()) == offered


def test_help_loads_no_pulumi() -> None:
    program = (
        "import sys; import lightly_infra.cli; print([it for it in ('pulumi', 'httpx', 'boto3') if it in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"
