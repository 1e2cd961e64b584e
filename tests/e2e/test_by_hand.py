"""Credentials of the user's own are renewed through the config alone, as with Lightly's five `set_…_config` calls."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra import stack
from lightly_infra.clouds.aws import policy
from lightly_infra.permissions import Purpose
from lightly_infra.sandbox.aws.ministack import ACCOUNT, Credentials
from lightly_infra.sandbox.cloud import CannotStart
from lightly_infra.sandbox.environment import EngineName, Sandbox
from lightly_infra.sandbox.obs.ministack import User
from lightly_infra.updates.changes import Operation
from tests.e2e.at_work import held, use, verified_by_use
from tests.e2e.clouds import CLOUDS, OBS_KEY, PROJECT, USER, dataset, secrets_in
from tests.e2e.renewals import REGION, shipped
from tests.e2e.runs import changed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightly_infra.sandbox.engine.interface import Program

Access = dict[str, Any]
INPUT = ("acme-raw", "raw/")
SECRETS = {"external_id", "secret_access_key", "credentials", "sas_token"}
EMAIL = f"lightly@{PROJECT}.iam.gserviceaccount.com"


@dataclass(frozen=True)
class ByHand:
    """What a user has made for Lightly, as the Input says it: one, another that works too, and one that does not."""

    first: Access
    second: Access
    wrong: Access


def _of_ones_own_role(sandbox: Sandbox) -> ByHand:
    first, second = "canary-external-id-1", "canary-external-id-2"
    iam, document = sandbox.aws.client("iam"), _s3_policy()
    trust = policy.trust_policy(external_id=first, previous_external_id=second)
    iam.create_role(
        RoleName="theirs",
        AssumeRolePolicyDocument=policy.to_json(trust),
        MaxSessionDuration=policy.MAX_SESSION_SECONDS,
    )
    iam.put_role_policy(RoleName="theirs", PolicyName="lightly", PolicyDocument=document)
    role = {"kind": "delegated", "role_arn": f"arn:aws:iam::{ACCOUNT}:role/theirs"}
    ids = (first, second, "canary-external-id-that-is-wrong")
    return ByHand(*({"access": role | {"external_id": it}} for it in ids))


def _of_ones_own_user(sandbox: Sandbox) -> ByHand:
    iam = sandbox.aws.client("iam")
    iam.create_user(UserName="theirs")
    iam.put_user_policy(UserName="theirs", PolicyName="lightly", PolicyDocument=_s3_policy())
    made = [iam.create_access_key(UserName="theirs")["AccessKey"] for _ in range(2)]
    keys = [{"access_key_id": it["AccessKeyId"], "secret_access_key": it["SecretAccessKey"]} for it in made]
    wrong = keys[1] | {"secret_access_key": "canary-secret-that-is-wrong"}
    return ByHand(*({"access": {"kind": "keys"} | it} for it in (*keys, wrong)))


def _of_ones_own_account(sandbox: Sandbox) -> ByHand:
    gcp = sandbox.gcp
    gcp.make_account(EMAIL)
    gcp.grant(EMAIL, Purpose.INPUT, *INPUT, PROJECT)
    keys = [gcp.make_key(EMAIL) for _ in range(3)]
    gcp.delete_key(keys[2])
    return ByHand(*({"access": {"credentials": it}} for it in keys))


def _of_ones_own_sas(sandbox: Sandbox) -> ByHand:
    soon = datetime.now(UTC) + timedelta(days=100)
    places = (("raw", soon), ("raw", soon + timedelta(days=1)), ("another", soon))
    return ByHand(
        *(
            {"sas_token": sandbox.azure.mint_sas("acmedata", container, permissions="rl", expires=expires)}
            for container, expires in places
        )
    )


def _of_ones_own_obs_key(sandbox: Sandbox) -> ByHand:
    second = {"access_key_id": "ANOTHERACCESSKEYID", "secret_access_key": "canary-secret-of-the-other-key"}
    sandbox.obs.let_in(User(USER, Credentials(*second.values())))
    return ByHand(OBS_KEY, second, second | {"secret_access_key": "canary-secret-that-is-wrong"})


def _s3_policy() -> str:
    bucket, prefix = INPUT
    return policy.to_json(
        policy.access_policy(purpose=Purpose.INPUT, bucket_arn=f"arn:aws:s3:::{bucket}", prefix=prefix)
    )


WAYS = {
    "set_s3_delegated_access_config": ("s3", _of_ones_own_role),
    "set_s3_config": ("s3", _of_ones_own_user),
    "set_gcs_config": ("gcs", _of_ones_own_account),
    "set_azure_config": ("azure", _of_ones_own_sas),
    "set_obs_config": ("obs", _of_ones_own_obs_key),
}


@pytest.fixture
def sandbox(engine: EngineName) -> Iterator[Sandbox]:
    with Sandbox(engine=engine) as running, verified_by_use(running):
        yield running


@pytest.mark.parametrize("way", WAYS)
def test_other_credentials_in_the_config_change_the_datasource_alone_and_only_if_they_work(
    sandbox: Sandbox, way: str
) -> None:
    key, make = WAYS[way]
    cloud = CLOUDS[key]  # type: ignore[index] # one of its keys

    def saying(access: Access, **more: Any) -> Program:
        wanted = dataset(cloud, cloud) | more
        wanted["input"][key] |= access
        config = {"aws:region": REGION, stack.DATASETS_KEY: json.dumps({"street-scenes": wanted})}
        return shipped(config, known=nothing)

    given = json.dumps({"street-scenes": dataset(cloud, cloud)})
    nothing = {"aws:region": REGION, stack.DATASETS_KEY: given}
    try:
        sandbox.preview(saying({}))  # has the user's buckets there
    except CannotStart as error:
        pytest.skip(str(error))
    by_hand = make(sandbox)
    # From here on nobody but the user does the user's part, which is over: no `sandbox.up`.
    assert not sandbox.engine.up(saying(by_hand.first)).failures
    first = held(sandbox)

    failed = sandbox.engine.up(saying(by_hand.wrong, verify_deadline=0.2))

    (failure,) = failed.failures
    assert "the new credentials of the Input datasource" in failure.message
    assert "The previous ones stay registered, and work" in failure.message
    assert {it.operation for it in failed.changes} == {Operation.SAME}
    assert held(sandbox) == first
    use(sandbox, first[0])

    only = {("update", "Datasource", "street-scenes-input"), ("update", "Verification", "street-scenes")}
    assert changed(sandbox.engine.up(saying(by_hand.second))) == only
    second = held(sandbox)
    assert (first[0] != second[0], first[1] == second[1]) == (True, True)
    use(sandbox, second[0])
    use(sandbox, first[0])
    assert changed(sandbox.engine.up(saying(by_hand.second))) == set()

    secrets = {it for each in (first, second) for it in secrets_in(each[0], cloud)}
    secrets |= {it for name, it in (by_hand.wrong | by_hand.wrong.get("access", {})).items() if name in SECRETS}
    told = f"{failed!r} {json.dumps(sandbox.export())}"
    assert len(secrets) >= 3
    assert not {it for it in secrets if it in told}
