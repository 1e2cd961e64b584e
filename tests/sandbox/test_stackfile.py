"""A stack's file is read as Pulumi reads it; what would read as something else is refused, without repeating it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lightly_infra.sandbox import stackfile
from lightly_infra.sandbox.stackfile import ProjectError

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "canary-5d1f"


def config(tmp_path: Path, text: str) -> tuple[dict[str, str], frozenset[str]]:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(text, encoding="utf-8")
    return stackfile.config(file, "mine")


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
    assert values["mine:a"].startswith("sandbox-")
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
