"""Tries OBS datasources as Lightly does: with boto3, and the keys that it was given."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Final

from lightly_infra.permissions import Operation, Purpose
from lightly_infra.sandbox.aws.clients import Clients
from lightly_infra.sandbox.aws.ministack import Credentials
from lightly_infra.sandbox.aws.probe import S3Store
from lightly_infra.sandbox.probe import Attempt, attempt, directory, not_tried, try_elsewhere, try_objects
from lightly_infra.sandbox.seed import ELSEWHERE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

WRONG_SECRET: Final = "with a wrong secret key"  # noqa: S105 - what is tried, and no secret

_PATH = re.compile(r"obs://([^/]+)/?(.*)")
_REGION: Final = "eu-de"  # any: Lightly is told none, and the emulator serves all


def probe(
    datasource: Mapping[str, str], others: Collection[Mapping[str, str]], environment: Mapping[str, str]
) -> list[Attempt]:
    """Tries one datasource, path-style.

    Args:
        datasource: What Lightly was told, in the API's names, secrets included.
        others: All other datasources that Lightly knows: where one has the same key, its prefix is allowed too and is
            no place to try what must be refused.
        environment: The emulator, as `Clients` takes it.
    """
    purpose = Purpose(datasource["purpose"])
    located = _PATH.fullmatch(datasource["fullPath"])
    if located is None:
        return not_tried(purpose, "error", f"{datasource['fullPath']!r} is no path like obs://bucket/prefix/")
    bucket, prefix = located[1], directory(located[2])
    keys = Credentials(datasource["obsAccessKeyId"], datasource["obsSecretAccessKey"])
    reaches = [
        directory(path[2])
        for other in others
        if other.get("obsAccessKeyId") == keys.access_key
        and (path := _PATH.fullmatch(other["fullPath"]))
        and path[1] == bucket
    ]
    with (
        _store(environment, keys, bucket) as store,
        _store(environment, keys, ELSEWHERE) as elsewhere,
        _store(environment, Credentials(keys.access_key, secrets.token_hex(20)), bucket) as forged,
    ):
        listing = attempt(
            purpose,
            Operation.LIST,
            WRONG_SECRET,
            "refused",
            lambda: forged.keys(prefix),
            named=forged.actions[Operation.LIST],
            store=forged,
        )
        return [
            *try_objects(purpose, store, prefix, reaches=reaches),
            *try_elsewhere(purpose, elsewhere),
            listing,
        ]


def _store(environment: Mapping[str, str], keys: Credentials, bucket: str) -> S3Store:
    client = Clients({**environment, **keys.environment()}).get("s3", _REGION)
    return S3Store(client, bucket, secrets=[keys.secret_key])
