"""What carries a stack's tags on AWS and its state does not know. Needs `iam:ListRoles` and the like; only reads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from lightly_infra.clouds.aws import connection
from lightly_infra.leftovers import CannotListError, Leftover
from lightly_infra.lightly.redaction import one_line, redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lightly_infra.leftovers import Known

# All identities of a stack are called so: nobody's tags but theirs are asked for.
_PREFIX: Final = "lightly-"
_SIDE_BY_SIDE: Final = 8  # buckets whose tags are asked for at once


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
        yield from _buckets(settings.client("s3", region), known)
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
                tags = _marks(getattr(iam, f"list_{kind}_tags")(**{f"{kind.title()}Name": name})["Tags"])
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


def _buckets(s3: Any, known: Known) -> Iterator[Leftover]:
    from botocore.exceptions import ClientError

    def tags(bucket: str) -> Mapping[str, str]:
        try:
            return _marks(s3.get_bucket_tagging(Bucket=bucket)["TagSet"])
        except ClientError:  # it has none, or is somebody else's
            return {}

    names = [it["Name"] for it in s3.list_buckets()["Buckets"] if it["Name"] not in known.names]
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        for name, marks in zip(names, pool.map(tags, names), strict=True):
            if (component := known.component(name, marks)) is not None:
                yield Leftover("S3 bucket", name, component)


def _marks(tags: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {it["Key"]: it["Value"] for it in tags}
