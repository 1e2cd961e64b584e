"""Every page says what the code does: generated pages have not drifted, and snippets run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

from docs import clouds, generate
from lightly_infra import spec
from lightly_infra.sandbox import project
from lightly_infra.sandbox.engine.interface import Program
from lightly_infra.sandbox.environment import Sandbox
from lightly_infra.sandbox.gcp.conditions import compile_condition

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_generated_pages_have_not_drifted() -> None:
    for path, text in generate.pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is out of date: run `make docs`"


def test_every_page_that_is_linked_exists() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert link.startswith("https://") or (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_yaml_of_the_readme_is_the_shipped_stack_of_every_cloud() -> None:
    snippet, _ = snippets("yaml")
    shipped = ROOT / "stacks" / "Pulumi.mixed.yaml"

    assert yaml.safe_load(snippet) == yaml.safe_load(shipped.read_text(encoding="utf-8"))
    datasets = project.settings(project.of_file(shipped)).datasets
    used = {cloud.cloud for it in datasets.values() for cloud in it.datasources.values()}
    assert used == spec.CloudSpec.model_fields.keys()


def test_what_the_readme_says_of_day_two_is_a_shipped_stack() -> None:
    _, snippet = snippets("yaml")
    shipped = yaml.safe_load((ROOT / "stacks" / "Pulumi.aws-retention.yaml").read_text(encoding="utf-8"))

    assert yaml.safe_load(snippet) == shipped["config"]["lightly-infra:datasets"]


def test_every_cloud_has_a_page_that_the_readme_links() -> None:
    pages = {it.relative_to(ROOT).as_posix() for it in (ROOT / "docs" / "clouds").glob("*.md")}
    rooms = {it.parent.name for it in (ROOT / "lightly_infra" / "clouds").glob("*/policy.py")}

    assert pages == {f"docs/clouds/{it}.md" for it in rooms}
    assert pages <= set(re.findall(r"\]\(([^)#]+)\)", README))


def test_every_block_of_the_pages_is_used() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs" / "clouds").glob("*.md")]
    used = {name for it in pages for name in re.findall(r"<!-- generated: (.+) -->", it.read_text(encoding="utf-8"))}

    assert used == clouds.BLOCKS.keys()


def test_the_decisions_are_numbered_and_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[(\d+)\]\((.+)\) \| (.+) \|$", index, re.MULTILINE)

    pages = sorted(folder.glob("0*.md"))
    titles = [it.read_text(encoding="utf-8").splitlines()[0] for it in pages]
    assert [f"# {number}. {title}" for number, _, title in listed] == titles
    assert [file for _, file, _ in listed] == [it.name for it in pages]
    assert [int(number) for number, *_ in listed] == [int(it.name[:4]) for it in pages]


def test_the_extras_of_the_readme_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    told = re.search(r"`pip install 'lightly-infra\[(\w+)\]'` \((.+?)\)", README, re.DOTALL)

    assert told is not None
    assert {told[1], *re.findall(r"`(\w+)`", told[2])} <= extras.keys()


def test_the_conditions_of_the_page_are_conditions() -> None:
    page = (ROOT / "docs" / "clouds" / "gcp.md").read_text(encoding="utf-8")
    expressions = re.findall(r"```\n(resource.*?)\n```", page, re.DOTALL)

    assert len(expressions) == 3
    for each in expressions:
        compile_condition(each)


def test_the_components_of_the_readme_deploy_and_are_proved() -> None:
    code = next(it for it in snippets("python") if "S3Datasource" in it)

    with Sandbox(engine="embedded") as sandbox:
        sandbox.put_images("s3://acme-raw/street-scenes/")
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
