"""What the same tests need to know of each cloud: how it is written in the YAML, and where its secrets are."""

from __future__ import annotations

import base64
import copy
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lightly_infra.sandbox.environment import CloudName, Sandbox

USER = "arn:aws:iam::a1b2c3d4e5f60718293a4b5c6d7e8f90:user/0f1e2d3c4b5a69788796a5b4c3d2e1f0"
OTHER_USER = "arn:aws:iam::a1b2c3d4e5f60718293a4b5c6d7e8f90:user/1f1e2d3c4b5a69788796a5b4c3d2e1f1"
OBS_KEY = {"access_key_id": "LIGHTLYACCESSKEYID", "secret_access_key": "canary-secret-of-the-obs-user"}
OTHER_OBS_KEY = {"access_key_id": "OTHERACCESSKEYID", "secret_access_key": "canary-secret-of-the-other-user"}
PROJECT = "acme-vision"


@dataclass(frozen=True)
class Cloud:
    """One cloud in the YAML, on which every end-to-end test runs alike."""

    key: CloudName
    brought: Mapping[str, Any]
    """An Input in a bucket of the user's own."""
    made: Mapping[str, Any]
    """A Lightly bucket that is made."""
    another_credential: Mapping[str, Any]
    """What `brought` says besides, for Lightly to get in with something else."""
    scheme: str
    """What paths begin with."""
    kinds: frozenset[str]
    """Types of datasources at Lightly."""
    secret_fields: tuple[str, ...]
    """What is secret in a datasource, as the API calls it."""
    grants: frozenset[str]
    """Types of resources that change with the prefix of a brought bucket, beside the datasource."""
    identities: frozenset[str]
    """Types of resources that let Lightly in, and go when the dataset leaves the stack."""
    take_away: Callable[[Sandbox], None]
    """Takes the Input's permissions away, behind the stack's back."""


def _take_roles(sandbox: Sandbox) -> None:
    iam = sandbox.aws.client("iam")
    for role in iam.list_roles()["Roles"]:
        for name in iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]:
            iam.delete_role_policy(RoleName=role["RoleName"], PolicyName=name)


def _take_signatures(sandbox: Sandbox) -> None:
    for key in ("key1", "key2"):
        sandbox.azure.regenerate_key("acmedata", key)


def _take_keys(sandbox: Sandbox) -> None:
    (dataset,) = sandbox.lightly.datasets.values()
    sandbox.gcp.delete_key(dataset.datasources["INPUT"]["gcsCredentials"])


def _take_policy(sandbox: Sandbox) -> None:
    sandbox.obs.client().delete_bucket_policy(Bucket="acme-raw")


CLOUDS = {
    it.key: it
    for it in (
        Cloud(
            key="s3",
            brought={"bucket": "acme-raw", "prefix": "raw/", "access": "delegated"},
            made={"create": True, "prefix": "lightly/", "access": "delegated"},
            another_credential={"access": "keys"},
            scheme="s3://",
            kinds=frozenset({"S3", "S3DelegatedAccess"}),
            secret_fields=("s3ExternalId", "s3SecretAccessKey"),
            grants=frozenset({"RolePolicy"}),
            identities=frozenset({"Role", "RolePolicy", "RandomPassword"}),
            take_away=_take_roles,
        ),
        Cloud(
            key="azure",
            brought={
                "resource_group": "acme",
                "account": "acmedata",
                "container": "raw",
                "prefix": "raw/",
                "container_wide": True,
            },
            made={"create": True, "location": "westeurope", "container": "lightly", "prefix": ""},
            another_credential={"rotate_every_days": 30},
            scheme="",
            kinds=frozenset({"AZURE"}),
            secret_fields=("accountKey",),
            grants=frozenset(),
            identities=frozenset(),
            take_away=_take_signatures,
        ),
        Cloud(
            key="gcs",
            brought={"bucket": "acme-raw", "project": PROJECT, "prefix": "raw/"},
            made={"create": True, "project": PROJECT, "location": "europe-west3", "prefix": "lightly/"},
            another_credential={"access": {"share": "acme"}},
            scheme="gs://",
            kinds=frozenset({"GCS"}),
            secret_fields=("gcsCredentials",),
            grants=frozenset({"BucketIAMMember"}),
            identities=frozenset({"Account", "Key", "IAMCustomRole", "BucketIAMMember", "RandomString"}),
            take_away=_take_keys,
        ),
        Cloud(
            key="obs",
            brought={
                "bucket": "acme-raw",
                "endpoint": "https://obs.eu-de.otc.t-systems.com",
                "user": USER,
                "prefix": "raw/",
                **OBS_KEY,
            },
            made={
                "create": True,
                "endpoint": "https://obs.eu-de.otc.t-systems.com",
                "region": "eu-de",
                "user": USER,
                "prefix": "lightly/",
                **OBS_KEY,
            },
            another_credential={"user": OTHER_USER, **OTHER_OBS_KEY},
            scheme="obs://",
            kinds=frozenset({"OBS"}),
            secret_fields=("obsSecretAccessKey",),
            grants=frozenset(),
            identities=frozenset({"Grant"}),
            take_away=_take_policy,
        ),
    )
}


def dataset(source: Cloud, target: Cloud) -> dict[str, Any]:
    """A dataset with its Input in a bucket of the user's own, and a Lightly bucket that is made."""
    return {
        "type": "Images",
        "verify_deadline": 5,
        "input": {source.key: copy.deepcopy(dict(source.brought))},
        "lightly": {target.key: copy.deepcopy(dict(target.made))},
    }


def secrets_in(datasource: Mapping[str, str], cloud: Cloud) -> set[str]:
    """The secrets of a datasource as Lightly has them, in every form in which they travel.

    Of what has a structure the part that everything hangs on is enough, and finds it in more places.
    """
    given = [datasource[name] for name in cloud.secret_fields if name in datasource]
    if cloud.key == "azure":
        given = [unquote(it.partition("sig=")[2].partition("&")[0]) for it in given]
    found = _forms(given)
    return found.union(*map(_parts_of_key, given)) if cloud.key == "gcs" else found


def secrets_behind(sandbox: Sandbox, cloud: Cloud) -> set[str]:
    """What Lightly is never told, and programs see: the keys of all storage accounts, which sign every SAS."""
    return _forms(sandbox.azure.account_keys()) if cloud.key == "azure" else set()


def _forms(secrets: Iterable[str]) -> set[str]:
    """Each as it is, as in a URL, and as in JSON."""
    return {form for it in secrets for form in (it, quote(it, safe=""), json.dumps(it)[1:-1])}


def _parts_of_key(credentials: str) -> set[str]:
    """What nobody could tell of a service account's key without having it.

    A line of the PEM block stands as it is in the JSON document and in the block, however newlines are written. Google
    gives the document as base64 (`Key.privateKey`), of which the middle is enough.
    """
    lines = json.loads(credentials)["private_key"].splitlines()
    encoded = base64.b64encode(credentials.encode()).decode()
    middle = len(encoded) // 2
    return {lines[len(lines) // 2], encoded[middle - 100 : middle + 100]}
