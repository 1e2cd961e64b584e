"""What is loaded when, what is public, and which room may import which."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CLOUD_SDKS = {"pulumi_aws", "pulumi_azure_native", "pulumi_gcp", "pulumi_random", "boto3", "botocore"}


def loaded_by(program: str, **environment: str) -> set[str]:
    """The modules that are loaded once `program` has run in a fresh process."""
    text = f"{program}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    finished = subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
        timeout=60,
    )
    assert finished.returncode == 0, finished.stderr
    return set(json.loads(finished.stdout.splitlines()[-1]))


def top_levels(modules: set[str]) -> set[str]:
    return {it.partition(".")[0] for it in modules}


# -- what is loaded


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = top_levels(loaded_by("import lightly_infra"))
    assert not {"pulumi", "pydantic", "httpx", "typer", "grpc", "yaml"} & loaded
    assert not CLOUD_SDKS & loaded


def test_asking_for_the_purposes_loads_nothing_heavy() -> None:
    loaded = top_levels(loaded_by("from lightly_infra import Purpose\nassert Purpose.INPUT"))
    assert not {"pulumi", "pydantic", "httpx"} & loaded


@pytest.mark.parametrize("module", ["clouds.aws", "clouds.aws.policy", "spec", "lightly.client", "lightly.operations"])
def test_these_rooms_know_no_pulumi(module: str) -> None:
    loaded = top_levels(loaded_by(f"import lightly_infra.{module}"))
    assert not {"pulumi", *CLOUD_SDKS} & loaded


def test_the_provider_loads_no_cloud() -> None:
    assert not CLOUD_SDKS & top_levels(loaded_by("import lightly_infra.provider"))


AWS_PROGRAM = """
import json
from lightly_infra import stack
from tests.pulumi_mocks import run
access = {"kind": "delegated"}
datasets = {"street-scenes": {
    "input": {"s3": {"bucket": "acme-raw", "prefix": "a/", "access": "delegated"}},
    "lightly": {"s3": {"create": True, "prefix": "b/", "access": "keys"}},
}}
recording = run(stack.main, config={"aws:region": "eu-central-1", "lightly-infra:datasets": json.dumps(datasets)})
assert recording.of("Verification")
"""


def test_an_aws_program_loads_neither_another_cloud_nor_the_sandbox() -> None:
    loaded = loaded_by(AWS_PROGRAM, LIGHTLY_TOKEN="token")
    assert {"pulumi", "pulumi_aws", "pulumi_random", "lightly_infra.clouds.aws.storage"} <= loaded
    assert not {"pulumi_azure_native", "pulumi_gcp", "boto3", "botocore", "starlette", "uvicorn"} & top_levels(loaded)
    assert not {it for it in loaded if it.startswith(("lightly_infra.sandbox", "lightly_infra.cli"))}
    assert {it for it in loaded if it.startswith("lightly_infra.clouds.")} == {
        "lightly_infra.clouds.interface",
        "lightly_infra.clouds.aws",
        *(f"lightly_infra.clouds.aws.{it}" for it in ("access", "datasource", "policy", "storage")),
    }


# -- what is public


@pytest.mark.parametrize(
    ("package", "public"),
    [
        ("lightly_infra", ["Dataset", "DatasetArgs", "Purpose", "__version__"]),
        (
            "lightly_infra.clouds.aws",
            [
                *("AccessKeys", "AccessKeysArgs", "AccessLogsArgs", "Bucket", "BucketArgs"),
                *("DelegatedAccess", "DelegatedAccessArgs", "S3Datasource", "S3DatasourceArgs"),
            ],
        ),
        (
            "lightly_infra.provider",
            [
                *("Dataset", "DatasetResourceArgs", "Datasource", "DatasourceArgs"),
                *("Verification", "VerificationArgs"),
            ],
        ),
    ],
)
def test_the_public_names_are_these_and_each_can_be_had(package: str, public: list[str]) -> None:
    module = importlib.import_module(package)
    assert sorted(module.__all__) == sorted(public)
    assert set(public) <= {*dir(module)}
    for name in public:
        found = getattr(module, name)
        assert name.startswith("__") or found.__name__ == name
        assert name.startswith("__") or found.__module__.startswith(package)


@pytest.mark.parametrize("package", ["lightly_infra", "lightly_infra.clouds.aws"])
def test_a_name_that_is_not_there_is_an_attribute_error(package: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'Datset'"):
        _ = importlib.import_module(package).Datset


def test_a_star_brings_the_public_names() -> None:
    program = "from lightly_infra import *\nassert Dataset and Purpose and __version__"
    assert "lightly_infra.dataset" in loaded_by(program)


def test_the_version_is_the_distributions() -> None:
    import lightly_infra

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["hatch"]["version"]["path"] == "lightly_infra/_version.py"
    assert lightly_infra.__version__.count(".") == 2


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "lightly_infra" / "py.typed").exists()


# -- which room may import which


def test_the_arrows_between_the_rooms_hold() -> None:
    program = Path(sysconfig.get_path("scripts"), "lint-imports")
    finished = subprocess.run(
        [program, "--no-cache"], capture_output=True, text=True, check=False, cwd=ROOT, timeout=120
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "0 broken" in finished.stdout


def test_every_module_is_under_one_of_the_contracts() -> None:
    """A new room must be put into the layers, else nobody checks its arrows."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (it["layers"] for it in contracts if it["type"] == "layers")
    placed = {name.strip().removeprefix("lightly_infra.") for layer in layers for name in layer.split("|")}
    rooms = {
        it.stem for it in (ROOT / "lightly_infra").iterdir() if it.suffix == ".py" or (it / "__init__.py").exists()
    }
    assert {it for it in rooms if not it.startswith("_")} <= placed
