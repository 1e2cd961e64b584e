"""A stack's file is read as Pulumi reads it; what would read as something else is refused, without repeating it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from lightly_infra.sandbox import project
from lightly_infra.spec import secrets_of
from lightly_infra.spec.fields import is_stand_in
from lightly_infra.stack import files
from lightly_infra.stack.files import ProjectError
from lightly_infra.stack.settings import DATASETS_KEY, Settings

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "canary-5d1f"


def config(tmp_path: Path, text: str) -> tuple[dict[str, str], frozenset[str]]:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(text, encoding="utf-8")
    return files.config(file, "mine")


def test_keys_are_qualified_and_values_are_strings_or_json(tmp_path: Path) -> None:
    text = "config:\n  aws:region: eu-central-1\n  size: 3\n  flag: true\n  day: 2024-01-01\n  mine:list: [1, {a: b}]\n"

    assert config(tmp_path, text) == (
        {
            "aws:region": "eu-central-1",
            "mine:size": "3",
            "mine:flag": "true",
            "mine:day": "2024-01-01",
            "mine:list": '[1, {"a": "b"}]',
        },
        frozenset(),
    )


def test_encrypted_values_get_stand_ins_and_their_keys_are_secret(tmp_path: Path) -> None:
    values, secret = config(tmp_path, "config:\n  a: {secure: v1:x}\n  b: {c: [{secure: v1:y}]}\n  d: plain\n")

    assert secret == {"mine:a", "mine:b"}
    assert values["mine:a"].startswith("stand-in-")
    assert "v1:" not in str(values)


def test_no_config_is_an_empty_one(tmp_path: Path) -> None:
    assert config(tmp_path, "encryptionsalt: v1:abc\n") == ({}, frozenset())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("config:\n  a: {b: 1}\n  a: {b: 2}\n", "line 3, column 3: this key stands twice"),
        (f"config:\n  token: a: {CANARY}\n", "line 2, column 11"),
        (f"config:\n  token: @{CANARY}\n", "line 2"),
        (f'config:\n  token: "{CANARY}\n', "line"),
        ("config: {1: 2}\n", "keys are text"),
        ("config: [a]\n", "write 'config' as a mapping"),
        ("config: {a: {1: 2}}\n", "mine:a: a key is no text"),
        ("config: {a: !!binary aGVsbG8=}\n", "a bytes is nothing that a config can hold"),
        ("config: {a: !!set {x, y}}\n", "a set is nothing that a config can hold"),
        ("config: {a: &x [*x]}\n", "look at its anchors"),
        (
            "config:\n  a: &a [1,1,1,1,1,1,1,1,1,1]\n"
            + "".join(f"  {b}: &{b} [{','.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)),
            "look at its anchors",
        ),
        ("- a\n", "must hold a mapping"),
        ("\u0000", "YAML"),
    ],
)
def test_what_no_config_can_hold_is_refused_without_repeating_it(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ProjectError, match=r"Pulumi\.dev\.yaml") as refused:
        config(tmp_path, text)

    assert told in str(refused.value)
    assert CANARY not in str(refused.value)


def test_a_secret_that_is_not_set_yet_is_told_by_its_command_and_one_in_clear_as_such(tmp_path: Path) -> None:
    access = "{kind: delegated, role_arn: arn, external_id: SET-ME}, thumb_suffix: SET-ME"
    text = (
        f"config:\n  lightly-infra:datasets:\n    scenes:\n      input: {{s3: {{prefix: a/, access: {access}}}}}\n"
        f"      lightly: {{azure: {{sas_token: {CANARY}}}}}\n"
    )
    with pytest.raises(ProjectError) as refused:
        config(tmp_path, text)

    in_clear, not_set = str(refused.value).splitlines()
    assert "scenes.lightly.azure.sas_token: stands in clear; " in in_clear
    assert in_clear.endswith("and have what stood here replaced")
    path = "scenes.input.s3.access.external_id"
    set_it = f"pulumi config set --secret --path 'lightly-infra:datasets.{path}'"
    assert not_set.endswith(f"Pulumi.dev.yaml: {path}: not set yet; set it with `{set_it}`")
    assert CANARY not in str(refused.value)


def test_the_same_secret_gets_the_same_stand_in_and_passes_every_check(tmp_path: Path) -> None:
    sas = "{account: acmedata, container: raw, prefix: '', sas_token: {secure: v1:x}}"
    key = "{bucket: acme-raw, project: acme-vision, prefix: a/, access: {credentials: {secure: v1:x}}}"
    text = f"config:\n  {DATASETS_KEY}:\n    mine: {{input: {{azure: {sas}}}, lightly: {{gcs: {key}}}}}\n"
    values, secret = config(tmp_path, text)

    settings = Settings.read(values, secret_keys=secret)

    brought = [it.get_secret_value() for _, it in secrets_of(settings.datasets)]
    assert len(brought) == 2
    assert len(set(brought)) == 1
    assert all(map(is_stand_in, brought))


def test_nobody_can_write_a_stand_in() -> None:
    assert not is_stand_in("stand-in-0123")


def test_a_stack_is_found_from_anywhere_in_its_project(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "Pulumi.yaml").write_text("name: mine\nruntime: python\nstackConfigDir: stacks\n", encoding="utf-8")
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks" / "Pulumi.dev.yaml").write_text("config: {}\n", encoding="utf-8")

    assert files.stacks(inner) == ["dev"]
    assert files.file_of("dev", inner) == tmp_path / "stacks" / "Pulumi.dev.yaml"
    assert files.project_name(files.root_of(inner)) == "mine"
    for name in ("prod", "../dev", ""):
        with pytest.raises(ProjectError, match=r"no stack|is not a valid stack name"):
            files.file_of(name, inner)


@pytest.mark.parametrize(("code", "fails"), [("", False), ("0", False), ("3", True), ("'no such bucket'", True)])
def test_a_program_that_ends_itself_has_failed_if_it_says_so(tmp_path: Path, code: str, fails: bool) -> None:
    (tmp_path / "Pulumi.yaml").write_text("{name: mine, runtime: python}")
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {}")
    (tmp_path / "__main__.py").write_text(f"import sys\nsys.exit({code})\n")
    program = project.of_stack("dev", tmp_path)

    if fails:
        with pytest.raises(RuntimeError, match=re.escape(f"ended itself with sys.exit({code})")):
            program.run()
    else:
        program.run()


def test_without_a_project_there_are_no_stacks(tmp_path: Path) -> None:
    assert files.stacks(tmp_path) == []
    with pytest.raises(ProjectError, match=r"no Pulumi\.yaml in"):
        files.root_of(tmp_path)


@pytest.mark.parametrize(
    "source",
    [
        "{azure: {account: acmedata, container: raw, prefix: '', sas_token: {secure: v1:x}}}",
        "{gcs: {bucket: acme-raw, project: acme-vision, prefix: a/, access: {credentials: {secure: v1:x}}}}",
    ],
)
def test_the_sandbox_takes_no_stand_in_for_what_opens_a_real_cloud(tmp_path: Path, source: str) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(f"config:\n  {DATASETS_KEY}:\n    mine: {{input: {source}}}\n", encoding="utf-8")

    with pytest.raises(ProjectError, match="the sandbox can neither decrypt nor use it"):
        project.of_file(file)
