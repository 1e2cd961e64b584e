"""Records the state that today's code leaves behind, for `tests/e2e/test_upgrades.py` to try tomorrow's code on.

By hand, once a version has landed, with the Pulumi CLI on PATH:

    python -m tests.upgrades.record

It deploys stacks of all clouds into the sandbox, and writes the stack's state to `<day>-<commit>.json` beside this
file. What was a secret in the sandbox is replaced by what nobody can take for one, everywhere in the same way.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lightly_infra import stack
from lightly_infra.sandbox.engine.interface import Program
from lightly_infra.sandbox.engine.pulumi_cli import PulumiEngine
from lightly_infra.sandbox.engine.values import SECRET_SIGNATURE, SIGNATURE
from lightly_infra.sandbox.environment import Sandbox
from tests.e2e.clouds import CLOUDS, PROJECT, dataset

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Only of this machine and moment.
_PASSING: Final = frozenset({"created", "modified", "sourcePosition", "stackTrace"})


def datasets() -> dict[str, Any]:
    """Every cloud, brought and made, with each kind of access and with shares."""
    keys = {"kind": "keys", "share": "acme"}
    shared = {"project": PROJECT, "access": {"share": "acme"}}
    return {
        **{f"on-{key}": dataset(it, it) for key, it in CLOUDS.items()},
        "with-keys": {
            "type": "Videos",
            "on_destroy": "delete",
            "verify_deadline": 5,
            "input": {"s3": {"bucket": "acme-raw", "prefix": "keys/", "access": keys}},
            "lightly": {
                "s3": {"bucket": "acme-made", "create": True, "versioning": True, "prefix": "keys/", "access": keys}
            },
        },
        "shared-account": {
            "type": "Images",
            "verify_deadline": 5,
            "input": {"gcs": {"bucket": "acme-made-raw", "create": True, "location": "EU", "prefix": "raw/", **shared}},
            "lightly": {"gcs": {"create": True, "location": "europe-west3", "prefix": "", **shared}},
        },
    }


def program(wanted: Mapping[str, Any]) -> Program:
    """The shipped program with the stack's config, as it was recorded and as it is tried."""
    settings = {"aws:region": "eu-central-1", stack.DATASETS_KEY: json.dumps(wanted)}
    return Program(stack.main, "lightly-infra", "upgrade", settings, frozenset({stack.DATASETS_KEY}))


def checkpoint(wanted: Mapping[str, Any], document: Mapping[str, Any], *, day: str, commit: str) -> str:
    """What is written of a stack whose state is `document`: compact, without secrets and without this machine."""
    deployment = document["deployment"]
    resources = [
        {name: it for name, it in resource.items() if name not in _PASSING} for resource in deployment["resources"]
    ]
    kept = {"manifest": deployment["manifest"], "resources": scrubbed(resources, dict(_secrets(resources)))}
    it = {
        "day": day,
        "commit": commit,
        "datasets": wanted,
        "document": {"version": document["version"], "deployment": kept},
    }
    return json.dumps(it, separators=(",", ":")) + "\n"


def scrubbed(value: Any, known: Mapping[str, str]) -> Any:
    """The value with all that looks like a secret, or is known to be one, replaced; also in what is encoded."""
    match value:
        case {"plaintext": str(text), **rest} if rest.get(SIGNATURE) == SECRET_SIGNATURE:
            return {**rest, "plaintext": json.dumps(scrubbed(json.loads(text), known))}
        case dict():
            return {key: scrubbed(it, known) for key, it in value.items()}
        case list():
            return [scrubbed(it, known) for it in value]
        case str():
            return _scrubbed(value, known)
        case _:
            return value


def _scrubbed(text: str, known: Mapping[str, str]) -> str:
    if (decoded := _decoded(text)) is not None:
        return base64.b64encode(_scrubbed(decoded, known).encode()).decode()
    if (key := _key(text)) is not None:
        text = json.dumps(key | {"private_key": "no key"}, indent=2)
    for secret, instead in known.items():
        text = text.replace(secret, instead)
    text = re.sub(r"\bsig=[^&\"]+", "sig=scrubbed", text)
    return re.sub(r"127\.0\.0\.1:[0-9]+", "127.0.0.1:1", text)


def _key(text: str) -> dict[str, Any] | None:
    """A service account's key file."""
    try:
        found = json.loads(text) if text.startswith("{") else None
    except ValueError:
        return None
    return found if isinstance(found, dict) and "private_key" in found else None


def _decoded(text: str) -> str | None:
    """What Google gives as base64, if it is a key file."""
    try:
        decoded = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return decoded if _key(decoded) else None


def _secrets(resources: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """What was drawn or minted, with what stands there instead: of the same length where that counts."""
    for number, resource in enumerate(resources):
        outputs = {
            name: json.loads(it["plaintext"]) if isinstance(it, dict) and "plaintext" in it else it
            for name, it in resource.get("outputs", {}).items()
        }
        if resource["type"].endswith(":RandomPassword"):
            yield outputs["result"], f"scrubbed-{number}".ljust(len(outputs["result"]), "x")
        if resource["type"].endswith(":AccessKey"):  # AWS's own examples
            yield resource["id"], "AKIAIOSFODNN7EXAMPLE"
            yield outputs["secret"], f"scrubbed-{number}-EXAMPLEKEY"
            yield outputs["sesSmtpPasswordV4"], f"scrubbed-{number}"


def main() -> str | None:
    """Deploys and writes the file, or tells what failed."""
    wanted = datasets()
    with Sandbox(engine="pulumi") as sandbox:
        result = sandbox.up(program(wanted))
        if result.failed or not sandbox.report(result).ok:
            return f"nothing to record: {result.failures}"
        assert isinstance(sandbox.engine, PulumiEngine)
        document = sandbox.engine._document  # with its secrets, which `export` leaves out
    day = datetime.now(UTC).date().isoformat()
    head = ["git", "rev-parse", "--short=7", "HEAD"]
    commit = subprocess.run(head, check=True, capture_output=True, text=True).stdout.strip()
    file = Path(__file__).parent / f"{day}-{commit}.json"
    file.write_text(checkpoint(wanted, document, day=day, commit=commit))
    return None


if __name__ == "__main__":
    sys.exit(main())
