"""Writes the pages of docs/ that follow from code: `make docs`. A test fails when they have drifted.

The permissions come from `permissions.py` and the policies, the YAML from `spec.py`, the command line from `cli.py`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from pydantic import BaseModel

from lightly_infra import spec
from lightly_infra.clouds.aws import policy
from lightly_infra.permissions import GRANTED, Operation, Purpose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pydantic.fields import FieldInfo

DOCS = Path(__file__).parent
README = DOCS.parent / "README.md"

_JSON = {
    "ok": "Whether everything was done and holds; the exit code is 0 then.",
    "engine": "`embedded` or `pulumi`; null when the input was refused.",
    "resources": 'How many resources had which operation, such as `{"create": 17}`.',
    "datasets": "`up` only: what each dataset became, with the keys below.",
    "datasets[].name, .id, .type": "The dataset as Lightly has it.",
    "datasets[].datasources": "`purpose`, `type` and `path` of each.",
    "datasets[].permissions": "By purpose and operation: whether it was allowed when tried under the prefix.",
    "datasets[].refused": "What must be refused: `purpose`, `operation`, `target`, and `held`, whether it was.",
    "datasets[].verified": "Whether every operation was tried, and all went as it should.",
    "changes": "`preview` only: `operation`, `type` and `name` of each resource.",
    "failures": "`resource` (its URN, or empty) and `message` of each.",
}
_KEYS = {
    "`aws:region`": "The region of everything that names none. Default: `AWS_REGION` from the environment.",
    "`lightly-infra:datasets`": "The datasets, as a mapping of name to the fields below.",
    "`lightly-infra:token`": "The Lightly token, as a secret, where `LIGHTLY_TOKEN` cannot be set.",
    "`lightly-infra:lightly_account_id`": (
        f"The AWS account that Lightly comes from. Default: {policy.LIGHTLY_ACCOUNT_ID}."
    ),
}


def pages() -> dict[Path, str]:
    """Every generated page, by its path."""
    return {
        DOCS / "permissions.md": permissions(),
        DOCS / "yaml.md": yaml(),
        DOCS / "cli.md": command_line(),
        README: _with_table(README.read_text(encoding="utf-8")),
    }


def permissions() -> str:
    """Who may do what, and the documents that say so."""
    arn = "arn:aws:s3:::acme-raw"
    key = "arn:aws:kms:eu-central-1:111122223333:key/0000"
    documents = {
        "The role's trust": policy.trust_policy(external_id="(the external id)"),
        "Input": policy.access_policy(purpose=Purpose.INPUT, bucket_arn=arn, prefix="street-scenes/"),
        "Lightly": policy.access_policy(purpose=Purpose.LIGHTLY, bucket_arn=arn, prefix="lightly/"),
        "Lightly, with a KMS key and source addresses": policy.access_policy(
            purpose=Purpose.LIGHTLY,
            bucket_arn=arn,
            prefix="lightly/",
            kms_key_arn=key,
            allowed_source_ips=["203.0.113.0/24"],
        ),
        "A bucket that is made": policy.tls_only_policy(arn),
    }
    parts = [
        "# Permissions",
        "Made by `make docs` from the code that grants them.",
        permissions_table(Purpose),
        (
            f"Sessions of the role last up to {policy.MAX_SESSION_SECONDS // 3600} hours; Lightly's AWS account is "
            f"`{policy.LIGHTLY_ACCOUNT_ID}`."
        ),
        "## Amazon S3",
    ]
    for title, document in documents.items():
        parts += [f"### {title}", f"```json\n{json.dumps(document, indent=2)}\n```"]
    return "\n\n".join(parts) + "\n"


def permissions_table(purposes: Iterable[Purpose], name: Callable[[Purpose], str] = "`{}`".format) -> str:
    """`permissions.GRANTED` as a table."""
    rows = ((name(it), *("yes" if each in GRANTED[it] else "no" for each in Operation)) for it in purposes)
    return _table(("datasource", *Operation), rows)


def yaml() -> str:
    """Every field a stack's YAML may have."""
    parts = [
        "# The YAML",
        "Made by `make docs` from `lightly_infra/spec.py`. Under `config:` of `Pulumi.<stack>.yaml`:",
        _table(("key", "meaning"), _KEYS.items()),
    ]
    models: dict[str, type[BaseModel]] = {
        "A dataset": spec.DatasetSpec,
        "`input`, `lightly`: exactly one cloud": spec.CloudSpec,
        "`s3`": spec.S3Spec,
        "`access`": spec.AccessSpec,
        "`access_logs`": spec.AccessLogsSpec,
    }
    for title, model in models.items():
        parts += [f"## {title}", (model.__doc__ or "").strip(), _fields(model.model_fields)]
    return "\n\n".join(parts) + "\n"


def command_line() -> str:
    """The command line, as typer tells it."""
    typer = [sys.executable, "-m", "typer", "lightly_infra.cli", "utils", "docs", "--name", "lightly-infra"]
    told = subprocess.run(typer, check=True, capture_output=True, text=True).stdout  # noqa: S603 - our own words
    told = re.sub(r"\n{3,}", "\n\n", told).strip()
    keys = _table(("key", "meaning"), ((f"`{key}`", meaning) for key, meaning in _JSON.items()))
    return f"{told}\n\n## `--json`\n\nOne document on standard output, also when the input is refused:\n\n{keys}\n"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    columns = list(head)
    return "\n".join(f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *rows))


def _fields(fields: Mapping[str, FieldInfo]) -> str:
    rows = []
    for name, field in fields.items():
        told = field.description or " ".join(_docs_of(field))
        needed = field.is_required() and "Default" not in told
        rows.append((f"`{name}`", "yes" if needed else "no", told))
    return _table(("field", "needed", "meaning"), rows)


def _docs_of(field: FieldInfo) -> Iterator[str]:
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield (kind.__doc__ or "").strip().splitlines()[0]


def _with_table(readme: str) -> str:
    table = permissions_table((Purpose.INPUT, Purpose.LIGHTLY), str.capitalize)
    return re.sub(r"\| datasource \| list .*?\n\n", f"{table}\n\n", readme, flags=re.DOTALL)


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
