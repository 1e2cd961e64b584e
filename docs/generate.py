"""Writes what follows from code in docs/ and the README: `make docs`. A test fails when it has drifted.

Permissions come from `permissions.py` and the policies, the YAML from `spec`, the command line from `cli/`. In
other pages, what stands between `<!-- generated: NAME -->` and `<!-- /generated -->` is written anew.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from pydantic import BaseModel

from docs import clouds, transitions
from lightly_infra import expiry, spec
from lightly_infra.clouds.aws import policy
from lightly_infra.lightly import transport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo

DOCS = Path(__file__).parent
README = DOCS.parent / "README.md"

_FAILURES = "`resource` (its URN, or empty) and `message` of each."
_VARIABLES = {
    "LIGHTLY_TOKEN": "The API token. Without it the secret `lightly-infra:token` of the stack is taken.",
    "LIGHTLY_SERVER_LOCATION": f"The server, with an optional path. Default: `{transport.DEFAULT_SERVER}`. `http://` "
    "is for this machine alone.",
    "LIGHTLY_CA_CERTS": "A PEM file of certificate authorities to trust instead of the built-in ones, such as a "
    "company's own.",
    "HTTPS_PROXY, ALL_PROXY, NO_PROXY": "The proxy on the way to Lightly, also in lower case.",
}

_JSON = {
    "sandbox up --json`, `sandbox preview --json": {
        "ok": "Whether everything was done and holds; the exit code is 0 then.",
        "engine": "`embedded` or `pulumi`; null when the input was refused.",
        "resources": 'How many resources had which operation, such as `{"create": 17}`.',
        "datasets": "`up` only: what each dataset became, with the keys below.",
        "datasets[].name, .id, .type": "The dataset as Lightly has it.",
        "datasets[].datasources": "`purpose`, `type` and `path` of each.",
        "datasets[].permissions": "By purpose and operation: whether it was allowed when tried under the prefix.",
        "datasets[].refused": "What must be refused: `purpose`, `operation`, `target`, and `held`, whether it was.",
        "datasets[].verified": "Whether every operation was tried, and all went as it should.",
        "inputs": "`up` only: which inputs a run would skip, where `expected_run_days` is set; findings as of `check`.",
        "changes": "`preview` only: `operation`, `type` and `name` of each resource.",
        "failures": _FAILURES,
    },
    "check --json`, `sandbox check --json": {
        "state": "The worst that was found: `broken`, `unknown` (it could not be asked), `expiring` or `healthy`.",
        "stack": "The stack; null when the input was refused.",
        "findings[].subject": "`permissions`, `credential`, `expiring inputs`, `left behind` or `drift`.",
        "findings[].dataset, .datasource": "What it is about; null for the whole stack, and for both datasources.",
        "findings[].state, .message": "How that is, and what to do.",
        "findings[].details": (
            "Of a credential: `kind`, `created`, `expires`, `days_left`, `epoch`, `rotate_every_days`, `signed_with`, "
            "as far as known. Of expiring inputs: `inputs`, `skipped`, `min_days_to_expiration`, `handling_strategy`, "
            "`examples`. Of drift: `changes`, each with `operation`, `type`, `name`, `keys` and `gone`: by hand. "
            "Left behind: `cloud`, `kind`, `name`, `component`, `kept`, `commands`."
        ),
        "warnings": "What else the program warns of, as text; they change no state. What is about one datasource is "
        "a finding.",
        "failures": _FAILURES,
    },
    "rotate --json": {
        "ok": "Whether it was done.",
        "stack": "The stack; null when nothing was done.",
        "key, value": "What was set in the stack's file, which wants committing.",
        "credentials": "What Lightly was told: `dataset`, `datasource`, `kind`, `created`, `expires`, `epoch`, "
        "`signed_with` of each.",
        "credentials[].renewed": "Whether it was; null where it was not asked for, as with roles.",
        "credentials[].note": "Why not and how, or what is left to do by hand; null for nothing.",
        "failures": _FAILURES,
    },
}
_KEYS = {
    "`aws:region`": "The region of everything that names none. Default: `AWS_REGION` from the environment.",
    "`azure-native:location`": "Where resource groups and accounts are made that name no location.",
    "`gcp:project`": "The project of buckets that name none. Default: `GOOGLE_CLOUD_PROJECT` from the environment.",
    "`obs:endpoint`, `obs:region`": "Those of OBS buckets that name none.",
    "`obs:access_key_id`, `obs:secret_access_key`": (
        "Who makes OBS buckets, the second as a secret, where `OBS_ACCESS_KEY_ID` and `OBS_SECRET_ACCESS_KEY` cannot "
        "be set."
    ),
    "`lightly-infra:datasets`": "The datasets, as a mapping of name to the fields below.",
    "`lightly-infra:token`": "The Lightly token, as a secret, where `LIGHTLY_TOKEN` cannot be set.",
    "`lightly-infra:warn_days`": (
        "How many days before a credential expires `preview`, `up` and `lightly-infra check` say so. "
        f"Default: {expiry.WARN_DAYS}."
    ),
    "`lightly-infra:rotation`, `lightly-infra:external_id_rotation`": (
        "How often keys and SAS, or minted external ids, were renewed before their time: `lightly-infra rotate` raises "
        "them."
    ),
    "`lightly-infra:lightly_account_id`": (
        f"The AWS account that Lightly comes from. Default: {policy.LIGHTLY_ACCOUNT_ID}."
    ),
}


_BLOCKS = {**clouds.BLOCKS, "transitions": transitions.markdown}


def pages() -> dict[Path, str]:
    """Every generated page, by its path."""
    written = {
        page: _with_blocks(page) for page in (README, DOCS / "transitions.md", *sorted((DOCS / "clouds").glob("*.md")))
    }
    return {DOCS / "yaml.md": yaml(), DOCS / "cli.md": command_line(), **written}


def yaml() -> str:
    """Every field a stack's YAML may have."""
    parts = [
        "# The YAML",
        "Made by `make docs` from `lightly_infra/spec`. Under `config:` of `Pulumi.<stack>.yaml`:",
        clouds.table(("key", "meaning"), _KEYS.items()),
    ]
    parts += _model("A dataset", spec.DatasetSpec)
    parts += _model("`input`, `lightly`: exactly one cloud", spec.CloudSpec)
    for cloud in spec.CloudSpec.model_fields:
        kind = _models_of(spec.CloudSpec.model_fields[cloud])[0]
        parts += _model(f"`{cloud}`", kind)
        for name, field in kind.model_fields.items():
            for inner in _models_of(field):
                parts += _model(f"`{cloud}.{name}`", inner)
    return "\n\n".join(parts) + "\n"


def command_line() -> str:
    """The command line, as typer tells it."""
    typer = [sys.executable, "-m", "typer", "lightly_infra.cli", "utils", "docs", "--name", "lightly-infra"]
    told = subprocess.run(typer, check=True, capture_output=True, text=True).stdout  # noqa: S603 - our own words
    told = re.sub(r"\n{3,}", "\n\n", told).strip()
    tables = [
        f"### `{commands}`\n\n"
        + clouds.table(("key", "meaning"), ((f"`{key}`", meaning) for key, meaning in keys.items()))
        for commands, keys in _JSON.items()
    ]
    said = "## `--json`\n\nOne document on standard output, also when the input is refused."
    variables = "## Environment variables\n\nRead by programs and commands alike.\n\n" + clouds.table(
        ("variable", "meaning"), ((f"`{name}`", meaning) for name, meaning in _VARIABLES.items())
    )
    limits = (
        f"A request to Lightly may take {transport.DEADLINE:g} s as a whole and an answer have "
        f"{transport.LONGEST_ANSWER // 2**20} MiB, unpacked; what is slower or longer fails."
    )
    return "\n\n".join((told, said, *tables, variables, limits)) + "\n"


def _model(title: str, model: type[BaseModel]) -> list[str]:
    told = re.sub(r"\s*\n\s*", " ", (model.__doc__ or "").strip())
    return [f"## {title}", told, _fields(model.model_fields)]


def _fields(fields: Mapping[str, FieldInfo]) -> str:
    rows = []
    for name, field in fields.items():
        told = field.description or " ".join((it.__doc__ or "").strip().splitlines()[0] for it in _models_of(field))
        needed = field.is_required() and "Default" not in told
        rows.append((f"`{name}`", "yes" if needed else "no", told))
    return clouds.table(("field", "needed", "meaning"), rows)


def _models_of(field: FieldInfo) -> list[type[BaseModel]]:
    kinds = (field.annotation, *get_args(field.annotation))
    return [it for it in kinds if isinstance(it, type) and issubclass(it, BaseModel)]


def _with_blocks(page: Path) -> str:
    def block(found: re.Match[str]) -> str:
        return f"{found[1]}\n\n{_BLOCKS[found[2]]()}\n\n<!-- /generated -->"

    pattern = r"(<!-- generated: ([a-z ]+) -->)\n.*?<!-- /generated -->"
    return re.sub(pattern, block, page.read_text(encoding="utf-8"), flags=re.DOTALL)


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
