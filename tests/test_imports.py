"""What is loaded when, what is public, and which room may import which."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
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


KNOW_NO_PULUMI = [
    *(f"clouds.{cloud}{module}" for cloud in ("aws", "azure", "gcp", "obs") for module in ("", ".policy")),
    *("clouds.s3_lifecycle", "clouds.aws.connection", "clouds.aws.lifecycle", "clouds.obs.lifecycle"),
    *("spec", "lightly.client", "lightly.operations", "epochs", "health", "expiry"),
]


def test_these_rooms_know_no_pulumi() -> None:
    program = "\n".join(f"import lightly_infra.{it}" for it in KNOW_NO_PULUMI)
    assert not {"pulumi", *CLOUD_SDKS} & top_levels(loaded_by(program))


def test_components_load_no_client_of_the_cloud_they_describe() -> None:
    program = "import lightly_infra.clouds.aws.datasource, lightly_infra.clouds.obs.datasource"
    assert not {"boto3", "botocore"} & top_levels(loaded_by(program))


def test_the_provider_loads_no_cloud() -> None:
    assert not CLOUD_SDKS & top_levels(loaded_by("import lightly_infra.provider"))


CLOUDS: dict[str, tuple[str, dict[str, object], set[str]]] = {
    "s3": ("aws", {"bucket": "acme-raw", "access": "keys"}, {"pulumi_aws", "pulumi_random"}),
    "azure": (
        "azure",
        {"account": "acme", "container": "raw", "resource_group": "acme", "container_wide": True},
        {"pulumi_azure_native"},
    ),
    "gcs": ("gcp", {"bucket": "acme-raw", "project": "acme-project"}, {"pulumi_gcp", "pulumi_random"}),
    "obs": (
        "obs",
        {
            "bucket": "acme-raw",
            "endpoint": "https://obs.example.com",
            "region": "eu-de",
            "access_key_id": "AK",
            "secret_access_key": "SK-of-the-user",
        },
        set(),
    ),
}
"""By the key in the YAML: the package, a datasource, and the SDKs that the package needs."""

PROGRAM = """
import json
from lightly_infra import stack
from tests.pulumi_mocks import run
given = json.loads({given!r})
datasets = {{"street-scenes": {{
    "input": {{"{cloud}": {{**given, "prefix": "a/"}}}},
    "lightly": {{"{cloud}": {{**given, {elsewhere}, "prefix": "b/"}}}},
}}}}
config = {{"aws:region": "eu-central-1", stack.DATASETS_KEY: json.dumps(datasets)}}
recording = run(stack.main, config=config, secret_keys=[stack.DATASETS_KEY])
assert recording.of("Verification")
"""


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_program_loads_no_other_cloud_and_no_sandbox(cloud: str) -> None:
    package, given, sdks = CLOUDS[cloud]
    elsewhere = '"container": "made"' if cloud == "azure" else '"bucket": "acme-made"'
    program = PROGRAM.format(cloud=cloud, given=json.dumps(given), elsewhere=elsewhere)
    loaded = loaded_by(program, LIGHTLY_TOKEN="token")
    assert CLOUD_SDKS & top_levels(loaded) == sdks
    assert not {it for it in loaded if it.startswith(("lightly_infra.sandbox", "lightly_infra.cli"))}
    assert not {"starlette", "uvicorn", "azure", "google.cloud"} & loaded
    # The pure policies of all clouds belong to the YAML's checks.
    components = {it for it in loaded if it.startswith("lightly_infra.clouds.") and it.endswith(".datasource")}
    assert components == {f"lightly_infra.clouds.{package}.datasource"}


# -- what is public


@pytest.mark.parametrize(
    ("package", "public"),
    [
        ("lightly_infra", ["Dataset", "DatasetArgs", "Purpose", "__version__"]),
        (
            "lightly_infra.clouds.aws",
            [
                *("AccessKeys", "AccessKeysArgs", "AccessLogsArgs", "BroughtKeys", "BroughtKeysArgs"),
                *("Bucket", "BucketArgs"),
                *("DelegatedAccess", "DelegatedAccessArgs", "S3Datasource", "S3DatasourceArgs"),
            ],
        ),
        (
            "lightly_infra.clouds.azure",
            [
                *("Account", "AccountArgs", "AzureDatasource", "AzureDatasourceArgs", "Container", "ContainerArgs"),
                *("OwnSas", "ResourceGroup", "ResourceGroupArgs", "ServiceSas"),
            ],
        ),
        (
            "lightly_infra.clouds.gcp",
            [
                *("BroughtCredentials", "BroughtCredentialsArgs", "Bucket", "BucketArgs"),
                *("GCSDatasource", "GCSDatasourceArgs", "ServiceAccount", "ServiceAccountArgs"),
            ],
        ),
        (
            "lightly_infra.clouds.obs",
            ["AccessKeys", "AccessKeysArgs", "Bucket", "BucketArgs", "OBSDatasource", "OBSDatasourceArgs"],
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


def test_every_module_is_under_one_of_the_contracts() -> None:
    """A new room must be put into the layers, else nobody checks its arrows."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (it["layers"] for it in contracts if it["type"] == "layers")
    placed = {name.strip().removeprefix("lightly_infra.") for layer in layers for name in layer.split("|")}
    rooms = {
        it.stem for it in (ROOT / "lightly_infra").iterdir() if it.suffix == ".py" or (it / "__init__.py").exists()
    }
    assert {it for it in rooms if not it.startswith("_")} <= placed


def test_the_types_of_every_part_of_an_sdk_that_is_used_are_checked() -> None:
    """Mypy leaves out the parts that pyproject.toml does not name: what they have would pass as anything."""
    overrides = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
    (read,) = (set(it["module"]) for it in overrides if it.get("follow_imports") == "normal")
    used = set()
    for path in (it for folder in ("lightly_infra", "stacks", "tests") for it in (ROOT / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for sdk, alias in re.findall(r"^ *import (pulumi_(?:aws|azure_native|gcp))(?: as (\w+))?$", text, re.MULTILINE):
            used |= {f"{sdk}.{it}.*" for it in re.findall(rf"\b{alias or sdk}\.([a-z]\w*)\.[A-Z]", text)}
        for sdk, names in re.findall(r"^ *from (pulumi_(?:aws|azure_native|gcp)) import (.+)$", text, re.MULTILINE):
            used |= {f"{sdk}.{name}.*" for name in names.split(", ")}
    assert {"pulumi_aws.s3.*", "pulumi_azure_native.storage.*", "pulumi_gcp.kms.*"} <= used <= read
