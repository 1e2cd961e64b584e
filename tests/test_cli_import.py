"""`lightly-infra import`: what it writes where, what it never touches, and how it ends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from typer.testing import CliRunner

from lightly_infra.cli import app
from lightly_infra.sandbox.lightly import LightlyServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typer.testing import Result

TOKEN = "canary-token-of-lightly"
EXTERNAL_ID = "canary-external-id"
COMMAND = "pulumi config set --stack imported --secret --path 'lightly-infra:datasets.{}'"


@pytest.fixture(scope="module")
def running() -> Iterator[LightlyServer]:
    with LightlyServer(TOKEN) as server:
        yield server


@pytest.fixture
def server(running: LightlyServer, monkeypatch: pytest.MonkeyPatch) -> LightlyServer:
    monkeypatch.setenv("LIGHTLY_SERVER_LOCATION", running.url)
    monkeypatch.setenv("LIGHTLY_TOKEN", TOKEN)
    running.datasets.clear()
    running._log.requests.clear()
    running._log.failures.clear()
    for number, name in enumerate(("Street scenes", "Night drives"), start=1):
        have(running, number, name, "INPUT", "LIGHTLY")
    return running


def have(server: LightlyServer, number: int, name: str, *purposes: str) -> None:
    """A dataset on S3, by a role, as somebody has made it."""
    dataset_id = f"{number:024x}"
    server.put_dataset(dataset_id, name, "Images")
    for purpose in purposes:
        server.datasets[dataset_id].set_datasource(
            {
                "id": f"{number}{len(purpose)}".zfill(24),
                "type": "S3DelegatedAccess",
                "purpose": purpose,
                "fullPath": f"s3://acme-{number}/{purpose.lower()}/",
                "thumbSuffix": ".lightly/thumbnails/[filename]_thumb.[extension]",
                "s3Region": "eu-central-1",
                "s3ARN": f"arn:aws:iam::123456789012:role/number-{number}",
                "s3ExternalId": EXTERNAL_ID,
            }
        )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A Pulumi project with a directory for its stacks."""
    (tmp_path / "Pulumi.yaml").write_text("name: lightly-infra\nruntime: python\nstackConfigDir: stacks\n")
    return tmp_path


def run(*args: str) -> Result:
    done = CliRunner().invoke(app, ["import", *args])
    assert TOKEN not in done.output
    assert EXTERNAL_ID not in done.output
    return done


def datasets(file: Path) -> Any:
    text = file.read_text()
    assert "canary" not in text
    return yaml.safe_load(text)["config"]["lightly-infra:datasets"]


def test_a_project_gets_a_stack_where_its_stacks_are(server: LightlyServer, project: Path) -> None:
    (project / "deep").mkdir()

    done = run("--directory", str(project / "deep"))

    assert done.exit_code == 0, done.output
    assert set(datasets(project / "stacks" / "Pulumi.imported.yaml")) == {"street-scenes", "night-drives"}
    assert sorted(it.name for it in project.iterdir()) == ["Pulumi.yaml", "deep", "stacks"]
    assert len(server.requests) == 3, "a call for the list, and one for each dataset"


def test_where_there_is_no_project_one_is_made(server: LightlyServer, tmp_path: Path) -> None:
    assert run("--directory", str(tmp_path), "--stack", "ours").exit_code == 0

    assert sorted(it.name for it in tmp_path.iterdir()) == ["Pulumi.ours.yaml", "Pulumi.yaml", "__main__.py"]
    assert yaml.safe_load((tmp_path / "Pulumi.yaml").read_text()) == {
        "name": "lightly-infra",
        "description": "Storage, permissions and datasets for the Lightly platform",
        "runtime": "python",
    }
    assert "from lightly_infra.stack import main\n\nmain()\n" in (tmp_path / "__main__.py").read_text()
    assert len(datasets(tmp_path / "Pulumi.ours.yaml")) == len(server.datasets)


def test_people_are_told_what_to_run_next(server: LightlyServer, project: Path) -> None:
    done = run("--directory", str(project), "--dataset", "Street scenes")

    assert server.requests[0] == "GET /v1/datasets"
    assert done.stdout.splitlines() == [
        f"Written: {project / 'stacks' / 'Pulumi.imported.yaml'}",
        "Next:",
        f"  cd {project}",
        "  pulumi stack init imported",
        *(f"  {COMMAND.format(f'street-scenes.{it}.s3.access.external_id')}" for it in ("input", "lightly")),
        "  pulumi up --stack imported",
    ]


def test_machines_get_a_document(server: LightlyServer, project: Path) -> None:
    have(server, 3, "Half", "INPUT")
    done = run("--directory", str(project), "--json")

    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["ok"] is True
    assert told["files"] == [str(project / "stacks" / "Pulumi.imported.yaml")]
    assert told["datasets"] == {"street-scenes": f"{1:024x}", "night-drives": f"{2:024x}"}
    assert told["left_out"] == [{"id": f"{3:024x}", "name": "Half", "reason": "it has no LIGHTLY datasource; set both"}]
    assert told["commands"][0] == COMMAND.format("street-scenes.input.s3.access.external_id")
    assert len(told["commands"]) == 4
    assert "not imported: 'Half'" in done.stderr


def test_only_what_is_asked_for_is_imported(server: LightlyServer, project: Path) -> None:
    assert run("--directory", str(project), "-d", "Night drives").exit_code == 0
    assert set(datasets(project / "stacks" / "Pulumi.imported.yaml")) == {"night-drives"}
    assert len(server.requests) == 2


def test_a_name_that_is_not_there_fails_and_the_others_are_written(server: LightlyServer, project: Path) -> None:
    done = run("--directory", str(project), "-d", "Night drives", "-d", "Day drives")

    assert done.exit_code == 1
    assert "--dataset 'Day drives': this account has none of that name" in done.stderr
    assert set(datasets(project / "stacks" / "Pulumi.imported.yaml")) == {"night-drives"}
    assert server.datasets


def test_what_was_asked_for_and_cannot_be_written_fails(server: LightlyServer, project: Path) -> None:
    have(server, 3, "Half", "INPUT")
    done = run("--directory", str(project), "-d", "Half", "--json")

    assert done.exit_code == 1
    assert json.loads(done.stdout)["files"] == []
    assert "not imported: 'Half'" in done.stderr
    assert not (project / "stacks").exists(), "nothing to write, nothing written"


def test_an_empty_account_gives_no_file(server: LightlyServer, tmp_path: Path) -> None:
    server.datasets.clear()
    done = run("--directory", str(tmp_path))

    assert (done.exit_code, done.stdout) == (1, "Nothing was written.\n")
    assert "there is nothing that can be imported" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["Pulumi.imported.yaml", "__main__.py"])
def test_no_file_is_overwritten(server: LightlyServer, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious")
    done = run("--directory", str(tmp_path), "--json")

    assert done.exit_code == 2
    assert f"{tmp_path / name} is there already, and is not overwritten: give another --stack or" in done.stderr
    assert json.loads(done.stdout)["ok"] is False
    assert [it.name for it in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "precious"
    assert server.requests == [], "refused before anybody was asked"


def test_a_file_that_cannot_be_written_leaves_none(server: LightlyServer, project: Path) -> None:
    (project / "stacks").write_text("not a directory")
    done = run("--directory", str(project))

    assert done.exit_code == 2
    assert "stacks cannot be written: File exists" in done.stderr
    assert server.requests


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--stack", "a/b"], "--stack: 'a/b' is not a valid stack name: use letters, digits, '.'"),
        (["--stack", ".."], "--stack: '..' is not a valid stack name: use letters"),
        (["--stack=-f"], "--stack: '-f' is not a valid stack name: use letters"),
        (["--directory", "/nonexistent"], "--directory '/nonexistent': there is no such directory; make it first"),
        (["--token-env", "NOBODY_HAS_SET_IT"], "--token-env: NOBODY_HAS_SET_IT is not set; copy the token from"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(
    server: LightlyServer, tmp_path: Path, args: list[str], told: str
) -> None:
    done = run("--directory", str(tmp_path), *args)

    assert done.exit_code == 2
    assert told in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert server.requests == []


def test_another_variable_may_hold_the_token(
    server: LightlyServer, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHTLY_TOKEN", "of another account")
    monkeypatch.setenv("OURS", TOKEN)
    assert run("--directory", str(project), "--token-env", "OURS").exit_code == 0
    assert server.requests


def test_a_refused_token_is_said_and_nothing_is_written(
    server: LightlyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHTLY_TOKEN", "another-canary")
    done = run("--directory", str(tmp_path), "--json")

    assert done.exit_code == 1
    assert "Check LIGHTLY_TOKEN" in json.loads(done.stdout)["failures"][0]["message"]
    monkeypatch.setenv("OURS", "another-canary")
    assert "Check OURS:" in run("--directory", str(tmp_path), "--token-env", "OURS").stderr
    assert "another-canary" not in done.output
    assert list(tmp_path.iterdir()) == []
    assert set(server.requests) == {"GET /v1/datasets"}


def test_a_wrong_server_is_refused(server: LightlyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTLY_SERVER_LOCATION", "ftp://nowhere")
    done = run("--directory", str(tmp_path))

    assert done.exit_code == 2
    assert "LIGHTLY_SERVER_LOCATION" in done.stderr
    assert server.requests == []


def test_the_sandbox_refuses_the_stack_until_its_secrets_are_set(server: LightlyServer, tmp_path: Path) -> None:
    run("--directory", str(tmp_path))
    assert server.requests
    done = CliRunner().invoke(app, ["sandbox", "preview", "--config", str(tmp_path / "Pulumi.imported.yaml")])

    assert done.exit_code == 2
    assert "street-scenes.input.s3.access.external_id: not set yet; set it with `pulumi config set" in done.stderr
