"""What the tests of the emulated Google Cloud share: accounts with permissions, and clients that use their keys."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lightly_infra.sandbox.gcp.clients import KeyCredentials, storage_client
from tests.sandbox.emulated_provider import unique

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lightly_infra.sandbox.gcp.clients import StorageClient
    from lightly_infra.sandbox.gcp.cloud import GcpCloud

PROJECT = "acme-prod"
OBJECTS = [f"storage.objects.{it}" for it in ("create", "delete", "get", "list", "update")]


def new_account(cloud: GcpCloud) -> str:
    """A service account's email."""
    email = f"{unique('sa')}@{PROJECT}.iam.gserviceaccount.com"
    cloud.make_account(email)
    return email


def new_bucket(cloud: GcpCloud, *keys: str, uniform: bool = True) -> str:
    """A bucket's name; it holds something under each of the keys."""
    name = unique("acme")
    bucket = cloud.client().bucket(name)
    bucket.iam_configuration.uniform_bucket_level_access_enabled = uniform
    bucket.create(location="EU", project=PROJECT)
    for key in keys:
        bucket.blob(key).upload_from_string(b"something", "text/plain")
    return name


def new_role(cloud: GcpCloud, permissions: Sequence[str]) -> str:
    """A custom role's name."""
    role_id = unique("role").replace("-", "_")
    body = {"roleId": role_id, "role": {"title": role_id, "includedPermissions": list(permissions), "stage": "GA"}}
    cloud._api.call("POST", f"/v1/projects/{PROJECT}/roles", body)
    return f"projects/{PROJECT}/roles/{role_id}"


def bind(cloud: GcpCloud, bucket: str, member: str, role: str, expression: str | None = None) -> None:
    """Adds a binding to a bucket's policy, through the official client."""
    place = cloud.client().bucket(bucket)
    policy = place.get_iam_policy(requested_policy_version=3)
    policy.version = 3
    binding: dict[str, Any] = {"role": role, "members": {member}}
    if expression is not None:
        binding["condition"] = {"title": "test", "expression": expression}
    policy.bindings.append(binding)
    place.set_iam_policy(policy)


@contextmanager
def as_key(cloud: GcpCloud, key_json: str) -> Iterator[StorageClient]:
    """The official client with a key."""
    client = storage_client(cloud.emulator.url, KeyCredentials(key_json), PROJECT)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def granted(
    cloud: GcpCloud, bucket: str, permissions: Sequence[str], expression: str | None = None
) -> Iterator[StorageClient]:
    """The official client of a fresh account that has just these permissions on the bucket."""
    email = new_account(cloud)
    bind(cloud, bucket, f"serviceAccount:{email}", new_role(cloud, permissions), expression)
    with as_key(cloud, cloud.make_key(email)) as client:
        yield client
