"""What carries a stack's tags on AWS and its state does not know. Needs `iam:ListRoles` and the like; only reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lightly_infra.clouds import s3_leftovers
from lightly_infra.clouds.aws import connection
from lightly_infra.leftovers import CannotListError, Leftover
from lightly_infra.lightly.redaction import one_line, redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lightly_infra.leftovers import Known

# All identities of a stack are called so: nobody's tags but theirs are asked for.
_PREFIX: Final = "lightly-"


def find(config: Mapping[str, str], region: str, known: Known) -> Iterator[Leftover]:
    """Roles, users and buckets.

    Args:
        config: The stack's, which says who asks.
        region: Any.
        known: What the stack's state knows.

    Raises:
        CannotListError: AWS refuses, or cannot be reached.
    """
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise CannotListError("boto3 is missing: pip install 'lightly-infra[aws]'") from None

    settings = connection.Settings.read(config)
    try:
        iam = settings.client("iam", region)
        yield from _identities(iam, known)
        yield from s3_leftovers.buckets(settings.client("s3", region), "S3 bucket", known)
    except (BotoCoreError, ClientError) as error:
        # From None: what botocore says is not redacted.
        raise CannotListError(one_line(redact(str(error), settings.secrets))) from None


def _identities(iam: Any, known: Known) -> Iterator[Leftover]:
    for kind in ("role", "user"):
        for page in iam.get_paginator(f"list_{kind}s").paginate():
            for it in page[f"{kind.title()}s"]:
                name = it[f"{kind.title()}Name"]
                if not name.startswith(_PREFIX) or name in known.names:
                    continue
                tags = s3_leftovers.marks(getattr(iam, f"list_{kind}_tags")(**{f"{kind.title()}Name": name})["Tags"])
                if (component := known.component(name, tags)) is not None:
                    yield Leftover(f"IAM {kind}", name, component, tuple(_commands(iam, kind, name)))


def _commands(iam: Any, kind: str, name: str) -> Iterator[str]:
    """What removes an identity: IAM deletes none that has a key or a policy."""
    of = {f"{kind.title()}Name": name}
    option = f"--{kind}-name {name}"
    if kind == "user":
        for key in iam.list_access_keys(**of)["AccessKeyMetadata"]:
            yield f"aws iam delete-access-key {option} --access-key-id {key['AccessKeyId']}"
    for policy in getattr(iam, f"list_{kind}_policies")(**of)["PolicyNames"]:
        yield f"aws iam delete-{kind}-policy {option} --policy-name {policy}"
    yield f"aws iam delete-{kind} {option}"
