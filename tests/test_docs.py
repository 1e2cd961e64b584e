"""Every page says what the code does: generated pages have not drifted, and snippets run."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from lightly_infra import spec
from lightly_infra.sandbox import seed
from lightly_infra.sandbox.engine.interface import Program
from lightly_infra.sandbox.environment import Sandbox

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    found = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module
    found.loader.exec_module(module)
    return module


def test_generated_pages_have_not_drifted(generate: ModuleType) -> None:
    for path, text in generate.pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is out of date: run `make docs`"


def test_every_page_that_is_linked_exists() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert link.startswith("https://") or (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_yaml_of_the_readme_is_the_shipped_stack() -> None:
    (snippet,) = snippets("yaml")
    shipped = (ROOT / "stacks" / "Pulumi.aws-delegated.yaml").read_text(encoding="utf-8")

    assert yaml.safe_load(snippet) == yaml.safe_load(shipped)
    datasets: Any = yaml.safe_load(snippet)["config"]["lightly-infra:datasets"]
    assert spec.parse(datasets, default_region="eu-central-1")


def test_the_components_of_the_readme_deploy_and_are_proved() -> None:
    code = next(it for it in snippets("python") if "S3Datasource" in it)

    with Sandbox(engine="embedded") as sandbox:
        seed.put_images(sandbox.aws.client("s3"), "acme-raw", "eu-central-1", "street-scenes/")
        run = compile(code, "README.md", "exec")
        result = sandbox.up(
            Program(lambda: exec(run, {}), "readme", "test", {"aws:region": "eu-central-1"})  # noqa: S102 - our own README
        )

        assert not result.failures
        assert result.outputs["page"].startswith("https://app.lightly.ai/dataset/")
        assert sandbox.report(result).ok


def test_the_fixture_of_the_readme_works_in_a_users_own_tests(tmp_path: Path) -> None:
    snippet = next(it for it in snippets("python") if "pytest_plugins" in it)
    plugins, test = snippet.split("\n\n", 1)
    (tmp_path / "conftest.py").write_text(plugins, encoding="utf-8")
    (tmp_path / "test_mine.py").write_text(test, encoding="utf-8")
    shutil.copytree(ROOT / "stacks", tmp_path / "stacks")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_the_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^    make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
