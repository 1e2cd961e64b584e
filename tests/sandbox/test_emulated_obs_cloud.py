"""The emulated OBS: whom it lets in, what it makes for a stack, and what is tried on it."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from lightly_infra.clouds.obs import policy
from lightly_infra.clouds.obs.api import Obs
from lightly_infra.clouds.obs.connection import Server, Settings
from lightly_infra.permissions import Purpose
from lightly_infra.sandbox.aws.ministack import Credentials, Ministack
from lightly_infra.sandbox.cloud import CannotSeed, Source
from lightly_infra.sandbox.obs import DOOR
from lightly_infra.sandbox.obs.cloud import ObsCloud
from lightly_infra.sandbox.obs.ministack import ACCOUNT, ObsServer, User
from lightly_infra.sandbox.obs.probe import WRONG_SECRET
from lightly_infra.sandbox.probe import BESIDE, INSIDE
from lightly_infra.sandbox.seed import ELSEWHERE
from lightly_infra.spec.obs import ObsSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_s3 import S3Client

    from lightly_infra.sandbox.probe import Attempt

USER: Final = "arn:aws:iam::0123456789abcdef0123456789abcdef:user/fedcba9876543210fedcba9876543210"
IN_EU: Any = {"LocationConstraint": "eu-de"}
OUTSIDE: Final = "in another bucket"


@pytest.fixture(scope="module")
def obs() -> Iterator[ObsCloud]:
    with ObsCloud() as running:
        yield running


@pytest.fixture
def deployer(obs: ObsCloud) -> Iterator[Obs]:
    """What our resources do, as the sandbox's environment sends them."""
    deployer = Obs(Server("https://obs.example", "eu-de"), Settings.read(obs.environment(), lambda _: None))
    yield deployer
    deployer.close()


def fresh_keys() -> Credentials:
    return Credentials(f"AK{secrets.token_hex(8).upper()}", f"canary-{secrets.token_hex(8)}")


def source(purpose: Purpose, keys: Credentials, **more: Any) -> Source:
    said = {
        "endpoint": "https://obs.eu-de.otc.t-systems.com",
        "prefix": "raw/",
        "access_key_id": keys.access_key,
        "secret_access_key": keys.secret_key,
        "user": USER,
    }
    spec = ObsSpec.model_validate(said | more, context={})
    return Source(f"street-scenes.{purpose.lower()}.obs", purpose, spec)


def told(purpose: Purpose, keys: Credentials, path: str) -> dict[str, str]:
    """What Lightly was told, in the API's names."""
    return {
        "type": "OBS",
        "purpose": purpose,
        "fullPath": path,
        "obsEndpoint": "https://any.example",
        "obsAccessKeyId": keys.access_key,
        "obsSecretAccessKey": keys.secret_key,
    }


def tried(attempts: list[Attempt]) -> set[tuple[str, str, str]]:
    return {(it.operation, it.target, it.outcome) for it in attempts}


def fresh_bucket() -> str:
    return f"acme-{secrets.token_hex(6)}"


def keys_in(client: S3Client, bucket: str) -> list[str]:
    return [it["Key"] for it in client.list_objects_v2(Bucket=bucket).get("Contents", [])]


# -- whom it lets in


def test_the_environment_names_only_obs(obs: ObsCloud) -> None:
    assert set(obs.environment()) == {
        "OBS_ENDPOINT_URL",
        "OBS_CA_BUNDLE",
        "OBS_ACCESS_KEY_ID",
        "OBS_SECRET_ACCESS_KEY",
    }


def test_the_deployer_may_do_everything_with_buckets(obs: ObsCloud, deployer: Obs) -> None:
    bucket = fresh_bucket()
    deployer.make_bucket(bucket, policy.lifecycle())
    deployer.put_marker(bucket, "raw/")
    assert keys_in(obs.client(), bucket) == ["raw/"]


@pytest.mark.parametrize("part", ["access_key", "secret_key"])
def test_whoever_has_not_both_keys_is_refused(obs: ObsCloud, part: str) -> None:
    known = obs.environment()
    keys = {"access_key": known["OBS_ACCESS_KEY_ID"], "secret_key": known["OBS_SECRET_ACCESS_KEY"]}
    wrong = Credentials(**(keys | {part: "WRONG"}))
    with pytest.raises(ClientError, match=r"SignatureDoesNotMatch|InvalidAccessKeyId"):
        obs._server.client("s3", "eu-de", credentials=wrong).list_buckets()


def test_a_user_comes_with_the_keys_and_the_name_that_are_given(obs: ObsCloud) -> None:
    bucket, keys = fresh_bucket(), fresh_keys()
    obs.let_in(User(USER, keys))
    obs.client().create_bucket(Bucket=bucket, CreateBucketConfiguration=IN_EU)
    theirs = obs._server.client("s3", "eu-de", credentials=keys)
    with pytest.raises(ClientError, match="AccessDenied"):
        theirs.list_objects_v2(Bucket=bucket)
    statements = policy.grant(purpose=Purpose.INPUT, bucket=bucket, prefix="", user=USER, sid="Raw")
    obs.client().put_bucket_policy(Bucket=bucket, Policy=policy.to_json(policy.document(statements)))
    assert keys_in(theirs, bucket) == []


def test_a_new_secret_of_a_key_takes_the_place_of_the_old(obs: ObsCloud) -> None:
    old = fresh_keys()
    new = Credentials(old.access_key, "another-secret")
    for keys in (old, new):
        obs.let_in(User(USER, keys))
    for keys, said in ((old, "SignatureDoesNotMatch"), (new, "AccessDenied")):
        with pytest.raises(ClientError, match=said):
            obs._server.client("s3", "eu-de", credentials=keys).list_objects_v2(Bucket=ELSEWHERE)


def test_the_door_is_for_those_who_know_its_password(obs: ObsCloud) -> None:
    at = urlsplit(obs.endpoint)
    trusted = ssl.create_default_context(cafile=obs.ca_bundle)
    for headers in ({}, {"Authorization": "guess"}):
        connection = http.client.HTTPSConnection("127.0.0.1", at.port, timeout=10, context=trusted)
        connection.request("PUT", DOOR, json.dumps({"users": {"x": {}}}), headers)
        assert connection.getresponse().status == http.HTTPStatus.FORBIDDEN
        connection.close()


def test_an_emulator_that_refuses_a_user_is_told(obs: ObsCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(obs._server, "_password", "wrong")
    with pytest.raises(RuntimeError, match="let no user in: status 403"):
        obs.let_in(User(USER, fresh_keys()))


def test_it_is_a_stranger_to_the_emulated_aws(obs: ObsCloud) -> None:
    bucket = fresh_bucket()
    obs.client().create_bucket(Bucket=bucket, CreateBucketConfiguration=IN_EU)
    with Ministack() as aws:
        assert aws.account != ACCOUNT
        assert bucket not in {it["Name"] for it in aws.client("s3").list_buckets()["Buckets"]}
        known = obs.environment()
        keys = Credentials(known["OBS_ACCESS_KEY_ID"], known["OBS_SECRET_ACCESS_KEY"])
        with pytest.raises(ClientError, match="InvalidAccessKeyId"):
            aws.client("s3", credentials=keys).list_buckets()


def test_nothing_is_left_when_it_stops_nor_when_it_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = ObsCloud()
    with cloud:
        directory = Path(cloud.ca_bundle).parent
        assert cloud.start() is cloud
    cloud.stop()
    assert not directory.exists()

    def fail(server: ObsServer, _: User) -> None:
        nonlocal directory
        directory = Path(server.ca_bundle).parent
        raise RuntimeError("no door")

    monkeypatch.setattr(ObsServer, "let_in", fail)
    with pytest.raises(RuntimeError, match="no door"):
        ObsCloud().start()
    assert not directory.exists()


def test_naming_it_runs_no_ministack_in_our_process() -> None:
    check = "import sys, lightly_infra.sandbox.obs.cloud\nassert 'ministack' not in sys.modules"
    finished = subprocess.run([sys.executable, "-c", check], check=False, timeout=60, env=dict(os.environ))
    assert finished.returncode == 0


# -- what it makes for a stack


def test_a_brought_bucket_has_images_one_object_beside_and_the_policy_of_the_manual(obs: ObsCloud) -> None:
    bucket, keys = fresh_bucket(), fresh_keys()
    given = [
        source(Purpose.INPUT, keys, bucket=bucket),
        source(Purpose.LIGHTLY, keys, bucket=bucket, prefix="lightly/"),
    ]
    for _ in range(2):  # may be called again
        obs.prepare(given)
    assert keys_in(obs.client(), bucket) == [
        "not-for-lightly/private.png",
        *(f"raw/image-{it}.png" for it in (1, 2, 3)),
    ]
    document = json.loads(obs.client().get_bucket_policy(Bucket=bucket)["Policy"])
    first, second = policy.sid_of("street-scenes.input.obs-0"), policy.sid_of("street-scenes.lightly.obs-2")
    wanted = [
        *policy.grant(purpose=Purpose.INPUT, bucket=bucket, prefix="raw/", user=USER, sid=first),
        *policy.grant(purpose=Purpose.LIGHTLY, bucket=bucket, prefix="lightly/", user=USER, sid=second),
    ]
    assert document == policy.document(wanted)


def test_a_bucket_that_the_stack_makes_is_left_to_it_but_its_user_is_there(obs: ObsCloud, deployer: Obs) -> None:
    bucket, keys = fresh_bucket(), fresh_keys()
    obs.prepare([source(Purpose.LIGHTLY, keys, bucket=bucket, create=True)])
    assert deployer.lifecycle(bucket) is None
    deployer.make_bucket(bucket, policy.lifecycle())
    deployer.put_statements(
        bucket, policy.grant(purpose=Purpose.LIGHTLY, bucket=bucket, prefix="raw/", user=USER, sid="Raw")
    )
    attempts = obs.probe(told(Purpose.LIGHTLY, keys, f"obs://{bucket}/raw/"), [])
    assert all(it.holds for it in attempts), attempts


def test_a_user_that_is_not_named_is_named_after_its_key(obs: ObsCloud) -> None:
    bucket, keys = fresh_bucket(), fresh_keys()
    obs.prepare([source(Purpose.INPUT, keys, bucket=bucket, user=None)])
    attempts = obs.probe(told(Purpose.INPUT, keys, f"obs://{bucket}/raw/"), [])
    assert all(it.holds for it in attempts), attempts


def test_one_datasource_may_say_for_all_whose_a_key_is(obs: ObsCloud) -> None:
    bucket, keys = fresh_bucket(), fresh_keys()
    said = source(Purpose.LIGHTLY, keys, bucket=fresh_bucket())
    obs.prepare([source(Purpose.INPUT, keys, bucket=bucket, user=None), said])
    (principal,) = {
        it["Principal"]["AWS"][0]
        for it in json.loads(obs.client().get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
    }
    assert principal == USER
    attempts = obs.probe(told(Purpose.INPUT, keys, f"obs://{bucket}/raw/"), [])
    assert all(it.holds for it in attempts), attempts


@pytest.mark.parametrize("key_id", ["test", "123456789012"])
def test_a_key_of_the_emulators_own_administrator_is_refused(obs: ObsCloud, key_id: str) -> None:
    with pytest.raises(CannotSeed, match=rf"street-scenes.input.obs.access_key_id: '{key_id}' is an administrator"):
        obs.prepare([source(Purpose.INPUT, Credentials(key_id, "canary"), bucket="acme-raw")])


def test_what_has_the_same_name_on_two_clouds_is_refused_since_here_is_one(obs: ObsCloud) -> None:
    keys, there = fresh_keys(), {"endpoint": "https://storage.example"}
    here = source(Purpose.INPUT, keys, bucket="acme-raw")
    with pytest.raises(CannotSeed, match=r"street-scenes.lightly.obs.bucket: 'acme-raw' stands for one at otc.t-sys"):
        obs.prepare([here, source(Purpose.LIGHTLY, fresh_keys(), bucket="acme-raw", **there)])
    with pytest.raises(CannotSeed, match=r"street-scenes.lightly.obs.access_key_id: "):
        obs.prepare([here, source(Purpose.LIGHTLY, keys, bucket="acme-there", **there)])


def test_images_can_be_put_into_a_bucket_of_ones_own(obs: ObsCloud) -> None:
    bucket = fresh_bucket()
    obs.put_images(bucket, "a/")
    assert "a/image-1.png" in keys_in(obs.client(), bucket)


# -- what is tried


@pytest.fixture
def prepared(obs: ObsCloud) -> tuple[str, Credentials]:
    bucket, keys = fresh_bucket(), fresh_keys()
    obs.prepare(
        [source(Purpose.INPUT, keys, bucket=bucket), source(Purpose.LIGHTLY, keys, bucket=bucket, prefix="lightly/")]
    )
    return bucket, keys


def test_an_input_is_read_and_nothing_else(obs: ObsCloud, prepared: tuple[str, Credentials]) -> None:
    bucket, keys = prepared
    attempts = obs.probe(told(Purpose.INPUT, keys, f"obs://{bucket}/raw/"), [])
    assert tried(attempts) == {
        *((it, INSIDE, "allowed") for it in ("list", "read")),
        *((it, INSIDE, "refused") for it in ("write", "overwrite", "delete")),
        *((it, BESIDE, "refused") for it in ("list", "read", "write", "delete")),
        *((it, OUTSIDE, "refused") for it in ("list", "read", "write", "delete")),
        ("list", WRONG_SECRET, "refused"),
    }
    assert all(it.holds for it in attempts)
    assert "canary" not in repr(attempts)


def test_lightlys_own_is_written_and_what_lies_beside_is_not(obs: ObsCloud, prepared: tuple[str, Credentials]) -> None:
    bucket, keys = prepared
    others = [told(Purpose.INPUT, keys, f"obs://{bucket}/raw")]
    attempts = obs.probe(told(Purpose.LIGHTLY, keys, f"obs://{bucket}/lightly/"), others)
    assert tried(attempts) == {
        *((it, INSIDE, "allowed") for it in ("list", "read", "write", "overwrite", "delete")),
        *((it, BESIDE, "refused") for it in ("list", "read", "write", "delete")),
        *((it, OUTSIDE, "refused") for it in ("list", "read", "write", "delete")),
        ("list", WRONG_SECRET, "refused"),
    }
    assert all(it.holds for it in attempts)
    assert not [it for it in keys_in(obs.client(), bucket) if "probe" in it]


def test_a_policy_for_the_whole_bucket_is_found_out(obs: ObsCloud, prepared: tuple[str, Credentials]) -> None:
    bucket, keys = prepared
    wide = policy.grant(purpose=Purpose.INPUT, bucket=bucket, prefix="", user=USER, sid="Wide")
    obs.client().put_bucket_policy(Bucket=bucket, Policy=policy.to_json(policy.document(wide)))
    attempts = obs.probe(told(Purpose.INPUT, keys, f"obs://{bucket}/raw/"), [])
    assert {(it.operation, it.target) for it in attempts if not it.holds} == {("list", BESIDE), ("read", BESIDE)}


def test_keys_that_nobody_knows_are_refused_everywhere(obs: ObsCloud, prepared: tuple[str, Credentials]) -> None:
    attempts = obs.probe(told(Purpose.INPUT, fresh_keys(), f"obs://{prepared[0]}/raw/"), [])
    assert {it.outcome for it in attempts} == {"refused"}
    assert "canary" not in repr(attempts)


def test_a_bucket_that_is_not_there_is_no_refusal(obs: ObsCloud, deployer: Obs) -> None:
    bucket, keys = fresh_bucket(), fresh_keys()
    obs.let_in(User(USER, keys, {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}))
    attempts = obs.probe(told(Purpose.INPUT, keys, f"obs://{bucket}/raw/"), [])
    listing = next(it for it in attempts if (it.operation, it.target) == ("list", INSIDE))
    assert listing.outcome == "error"
    assert "NoSuchBucket" in listing.detail
    assert deployer.lifecycle(bucket) is None


def test_a_path_that_is_not_of_obs_is_told(obs: ObsCloud) -> None:
    attempts = obs.probe(told(Purpose.INPUT, fresh_keys(), "s3://acme/raw/"), [])
    assert {it.outcome for it in attempts} == {"error"}
    assert "is no path like obs://bucket/prefix/" in attempts[0].detail
