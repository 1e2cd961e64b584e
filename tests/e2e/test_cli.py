"""The command line, as a process: what it prints where, how it exits, and what it leaves behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.e2e.command import COMMAND, ENVIRONMENT, ROOT, document, run
from tests.sandbox.liveness import children_of

STACKS = sorted(it.name.removeprefix("Pulumi.").removesuffix(".yaml") for it in (ROOT / "stacks").glob("Pulumi.*.yaml"))


@pytest.mark.parametrize("stack", STACKS)
def test_every_shipped_stack_is_deployed_and_proved(stack: str) -> None:
    done = run("sandbox", "up", "--stack", stack, "--json")

    assert done.returncode == 0, done.stderr
    told = document(done)
    assert told["engine"] == "embedded"
    assert told["resources"]["create"] >= 7
    for dataset in told["datasets"]:
        assert dataset["verified"]
        assert [it["purpose"] for it in dataset["datasources"]] == ["INPUT", "LIGHTLY"]
        assert dataset["permissions"]["INPUT"] == {
            "list": True,
            "read": True,
            "write": False,
            "overwrite": False,
            "delete": False,
        }
        assert all(dataset["permissions"]["LIGHTLY"].values())
        assert len(dataset["permissions"]["LIGHTLY"]) == 5
        assert all(it["held"] for it in dataset["refused"])
        tried = {(it["purpose"], it["operation"], it["target"]) for it in dataset["refused"]}
        assert ("INPUT", "write", "inside") in tried
        assert ("INPUT", "read", "in another bucket") in tried
        if stack == "aws-delegated":
            assert ("LIGHTLY", "assume the role", "with a wrong external id") in tried


def test_people_get_a_table() -> None:
    done = run("sandbox", "up", "--stack", "aws-delegated")

    assert done.returncode == 0, done.stderr
    for told in ("street-scenes", "s3://acme-raw/street-scenes/", "overwrite", "wrong external id", "17 create"):
        assert told in done.stdout
    assert "All permissions proved" in done.stdout


def test_preview_needs_no_token_and_makes_nothing() -> None:
    done = run("sandbox", "preview", "--stack", "aws-keys", "--json")

    assert done.returncode == 0, done.stderr
    told = document(done)
    assert told["resources"] == {"create": len(told["changes"])}
    assert [it["operation"] for it in told["changes"] if it["type"] == "aws:iam/user:User"] == ["create"]


def test_a_config_anywhere_is_enough(tmp_path: Path) -> None:
    config = tmp_path / "Pulumi.mine.yaml"
    config.write_text((ROOT / "stacks" / "Pulumi.aws-delegated.yaml").read_text(encoding="utf-8"), encoding="utf-8")

    done = run("sandbox", "up", "--config", str(config), "--json", cwd=tmp_path)

    assert document(done)["ok"]


def test_an_encrypted_value_gets_a_stand_in(tmp_path: Path) -> None:
    text = (ROOT / "stacks" / "Pulumi.aws-delegated.yaml").read_text(encoding="utf-8")
    config = tmp_path / "Pulumi.mine.yaml"
    config.write_text(
        text.replace(
            "lightly/, access: delegated", "lightly/, access: {kind: delegated, external_id: {secure: v1:abc}}"
        ),
        encoding="utf-8",
    )

    assert document(run("sandbox", "up", "--config", str(config), "--json"))["ok"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("type: Images", "typ: Images"), "street-scenes.typ: unknown key; did you mean 'type'?"),
        (("type: Images", "type: Pictures"), "'Pictures' is not a dataset type"),
        (("bucket: acme-raw", "bucket: Acme_Raw"), "street-scenes.input.s3.bucket: 'Acme_Raw' is no S3 bucket name"),
        (("prefix: street-scenes/", "prefix: ../x"), "street-scenes.input.s3.prefix: '../x' holds '.' or '..'"),
        (("prefix: street-scenes/", "prefix: /x"), "starts with a slash"),
        (("prefix: street-scenes/", "prefix: 'x*'"), "holds '*'"),
        (("eu-central-1", "eu-central-9"), "'eu-central-9' is not one of the 30 regions"),
        (("{create: true, prefix: lightly/", "{bucket: acme-raw, prefix: street-scenes/x"), "come in as Input"),
        (("lightly/, access: delegated", "lightly/, access: {kind: delegated, external_id: abc}"), "stands in clear"),
        (("lightly/, access: delegated", "lightly/, access: delegated, kms_key_arn: alias/x"), "is an alias"),
    ],
)
def test_bad_input_exits_with_two_and_names_the_field(tmp_path: Path, change: tuple[str, str], told: str) -> None:
    text = (ROOT / "stacks" / "Pulumi.aws-delegated.yaml").read_text(encoding="utf-8")
    config = tmp_path / "Pulumi.bad.yaml"
    config.write_text(text.replace(*change), encoding="utf-8")

    done = run("sandbox", "up", "--config", str(config))

    assert done.returncode == 2
    assert told in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--stack", "nowhere"], "no stack 'nowhere'"),
        (["--config", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        ([], "give one of --stack NAME and --config FILE"),
        (["--stack", "aws-keys", "--config", "x.yaml"], "give one of --stack NAME and --config FILE"),
        (["--stack", "aws-keys", "--engine", "pulumi"], "needs the Pulumi CLI on PATH"),
    ],
)
def test_what_cannot_be_asked_for_exits_with_two(args: list[str], told: str) -> None:
    done = run("sandbox", "up", "--json", *args)

    assert done.returncode == 2
    assert told in done.stderr
    refusal = document(done)
    assert told in refusal["failures"][0]["message"]
    assert set(refusal) == {"ok", "engine", "resources", "datasets", "inputs", "failures"}


def test_a_program_that_fails_exits_with_one(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: mine\nruntime: python\n", encoding="utf-8")
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {}\n", encoding="utf-8")
    (tmp_path / "__main__.py").write_text("raise ValueError('my own mistake')\n", encoding="utf-8")

    done = run("sandbox", "up", "--stack", "dev", "--json", cwd=tmp_path)

    assert done.returncode == 1
    assert "my own mistake" in document(done)["failures"][0]["message"]


def test_what_a_program_prints_does_not_disturb_the_document(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: mine\nruntime: python\n", encoding="utf-8")
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {}\n", encoding="utf-8")
    (tmp_path / "__main__.py").write_text("print('hello from the program')\n", encoding="utf-8")

    done = run("sandbox", "up", "--stack", "dev", "--json", cwd=tmp_path)

    assert document(done)["resources"] == {}
    assert "hello from the program" in done.stderr


def gone(pids: set[int], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked up in /proc")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_leaves_no_emulator_behind(sent: signal.Signals) -> None:
    command = [*COMMAND, "sandbox", "up", "--stack", "aws-delegated", "--keep"]
    process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stderr is not None
    with process.stderr:
        for line in process.stderr:
            if b"AWS_ENDPOINT_URL" in line:
                break
        children = children_of(process.pid)
        assert len(children) >= 2, "the emulated AWS and the dynamic providers"

        process.send_signal(sent)
        process.stderr.read()

    # With --keep an interruption is the normal end.
    assert process.wait(20) == (-signal.SIGKILL if sent is signal.SIGKILL else 0)
    assert gone(children)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked up in /proc")
def test_an_interruption_while_deploying_ends_cleanly() -> None:
    process = subprocess.Popen(
        [*COMMAND, "sandbox", "up", "--stack", "aws-delegated"],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    children: set[int] = set()
    while not children:
        time.sleep(0.01)
        children = children_of(process.pid)

    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=20)

    assert process.returncode == 130
    assert b"interrupted" in told
    assert b"Traceback" not in told
    assert gone(children)


def test_the_emulated_lightly_alone_serves_any_client() -> None:
    command = [*COMMAND, "sandbox", "lightly", "--port", "0", "--token", "any-token"]
    process = subprocess.Popen(command, env=ENVIRONMENT | os.environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().decode().strip().removeprefix("export LIGHTLY_SERVER_LOCATION=")
        created = httpx.post(f"{url}/v1/datasets?token=any-token", json={"name": "mine", "type": "Images"})
        assert (created.status_code, set(created.json())) == (201, {"id"})
        assert httpx.get(f"{url}/v1/datasets?token=another").status_code == 401
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        if process.stdout is not None:
            process.stdout.close()


def test_a_port_in_use_is_said_plainly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("sandbox", "lightly", "--port", str(taken.getsockname()[1]))

    assert done.returncode == 2
    assert "cannot be listened on" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_program_of_ones_own_finds_its_buckets(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = next(it for it in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "S3Datasource" in it)
    (tmp_path / "Pulumi.yaml").write_text("name: mine\nruntime: python\n", encoding="utf-8")
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {aws:region: eu-central-1}\n", encoding="utf-8")
    (tmp_path / "__main__.py").write_text(code, encoding="utf-8")

    done = run("sandbox", "up", "--stack", "dev", "--bucket", "acme-raw/street-scenes/", "--json", cwd=tmp_path)

    assert document(done)["ok"], done.stderr


def test_an_existing_dataset_is_there_for_its_id(tmp_path: Path) -> None:
    text = (ROOT / "stacks" / "Pulumi.aws-delegated.yaml").read_text(encoding="utf-8")
    config = tmp_path / "Pulumi.mine.yaml"
    config.write_text(text.replace("type: Images", f"id: {'ab' * 12}"), encoding="utf-8")

    (dataset,) = document(run("sandbox", "up", "--config", str(config), "--json"))["datasets"]

    assert (dataset["id"], dataset["verified"]) == ("ab" * 12, True)


def test_lightly_may_come_from_another_account_and_the_region_from_the_environment(tmp_path: Path) -> None:
    text = (ROOT / "stacks" / "Pulumi.aws-delegated.yaml").read_text(encoding="utf-8")
    config = tmp_path / "Pulumi.mine.yaml"
    account = "  lightly-infra:lightly_account_id: '111122223333'"
    config.write_text(text.replace("  aws:region: eu-central-1", account), encoding="utf-8")

    done = run("sandbox", "up", "--config", str(config), "--json", environment={"AWS_REGION": "eu-west-1"})

    assert document(done)["ok"], done.stderr


def test_version_and_help() -> None:
    assert run("--version").stdout.strip() == "0.1.0"
    assert "Exit codes" in run("sandbox", "up", "--help").stdout
