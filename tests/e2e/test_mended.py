"""What somebody changed or deleted by hand on Google Cloud, Azure and OBS is mended by the command that `check` names.

On AWS the same is tried on the real CLI (`test_cli_real`); a deleted role of Google Cloud is in `test_deleted_role`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra import health
from lightly_infra.health import State
from lightly_infra.sandbox.environment import Sandbox
from tests.e2e.at_work import held, verified_by_use
from tests.e2e.clouds import CLOUDS, dataset
from tests.e2e.runs import deploy

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightly_infra.sandbox.engine.interface import Program


def keys_on_google_cloud(sandbox: Sandbox) -> None:
    for source in held(sandbox)[0], held(sandbox)[1]:
        sandbox.gcp.delete_key(source["gcsCredentials"])


def grants_on_google_cloud(sandbox: Sandbox) -> None:
    for source in held(sandbox):
        bucket = source["fullPath"].removeprefix("gs://").partition("/")[0]
        path = f"/storage/v1/b/{bucket}/iam"
        policy = sandbox.gcp._api.call("GET", f"{path}?optionsRequestedPolicyVersion=3")
        who = json.loads(source["gcsCredentials"])["client_email"]
        rest = [it for it in policy["bindings"] if not any(who in member for member in it["members"])]
        assert rest != policy["bindings"]
        sandbox.gcp._api.call("PUT", path, policy | {"bindings": rest})


def keys_on_azure(sandbox: Sandbox) -> None:
    accounts = {source["accountName"] for source in held(sandbox)}
    for account in accounts:
        for key in ("key1", "key2"):
            sandbox.azure.regenerate_key(account, key)


def policies_on_obs(sandbox: Sandbox) -> None:
    for source in held(sandbox):
        bucket = source["fullPath"].removeprefix("obs://").partition("/")[0]
        sandbox.obs._server.buckets().delete_bucket_policy(Bucket=bucket)


DAMAGES = {
    "gcs-keys": ("gcs", keys_on_google_cloud),
    "gcs-grants": ("gcs", grants_on_google_cloud),
    "azure-keys": ("azure", keys_on_azure),
    "obs-policies": ("obs", policies_on_obs),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_was_damaged_by_hand_is_mended_by_the_command_that_check_names(
    name: str, program: Callable[..., Program]
) -> None:
    cloud, damage = DAMAGES[name]
    wanted: dict[str, Any] = dataset(CLOUDS[cloud], CLOUDS[cloud])  # type: ignore[index] # one of its keys
    declared = program({"scenes": wanted})
    with Sandbox(engine="embedded", clouds=[cloud]) as sandbox, verified_by_use(sandbox):  # type: ignore[list-item]
        deploy(sandbox, declared)
        damage(sandbox)

        drifted = sandbox.drift(declared)
        found = health.drift(drifted.changes, drifted.failures)

        assert found.state in {State.BROKEN, State.EXPIRING}, found.message
        assert found.message.startswith("run `pulumi up --refresh`, which would change")
        assert not sandbox.refresh(declared).failures
        assert not sandbox.up(declared).failures, "and Lightly gets in again, which the verification tries"
        after = sandbox.drift(declared)
        assert health.drift(after.changes, after.failures).state is State.HEALTHY
