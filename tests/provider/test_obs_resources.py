"""The OBS resources, called as the engine calls them, on an OBS that checks signatures and policies."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import dill
import grpc
import pytest
from botocore.exceptions import ClientError
from google.protobuf import struct_pb2
from google.protobuf.json_format import MessageToDict, ParseDict
from pulumi.dynamic import Config, ConfigureRequest
from pulumi.dynamic.dynamic import serialize_provider
from pulumi.runtime import rpc
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from lightly_infra.clouds.obs import errors, policy
from lightly_infra.clouds.obs.resources import bucket, grant, marker, session
from lightly_infra.permissions import Purpose
from lightly_infra.retention import Expiry
from lightly_infra.sandbox.obs.cloud import ObsCloud
from tests.provider.emulated import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = "arn:aws:iam::0123456789abcdef0123456789abcdef:user/fedcba9876543210fedcba9876543210"
SERVER = {"endpoint": "https://obs.eu-de.otc.t-systems.com", "region": "eu-de", "addressing": "path"}
KEYS = (errors.ACCESS_KEY_ID, errors.SECRET_ACCESS_KEY)
LIFECYCLE = policy.to_json(policy.lifecycle())
RAW = Expiry("raw/", 30)

PROVIDERS = [bucket.Provider, grant.Provider, marker.Provider]
every_provider = pytest.mark.parametrize("provider", PROVIDERS, ids=lambda it: it.__module__.rpartition(".")[2])
P = TypeVar("P", bound=session.ObsProvider)


class Make(Protocol):
    """Makes a provider as the engine does, with the stack's config as keywords."""

    def __call__(self, provider: type[P], **config: str) -> P: ...


@pytest.fixture(scope="module")
def _running() -> Iterator[ObsCloud]:
    with ObsCloud() as running:
        yield running


@pytest.fixture
def cloud(_running: ObsCloud, monkeypatch: pytest.MonkeyPatch) -> ObsCloud:
    """An emulated OBS that the environment names."""
    for name, value in _running.environment().items():
        monkeypatch.setenv(name, value)
    return _running


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[session.ObsProvider] = []

    def configured(provider: type[P], **config: str) -> P:
        it = provider()
        given = {f"obs:{name}": value for name, value in config.items()}
        it.configure(ConfigureRequest(config=Config(given, "some-project")))
        made.append(it)
        return it

    yield configured
    for it in made:
        for obs in it._made.values():
            obs.close()


def bucket_props(**more: Any) -> dict[str, Any]:
    return {**SERVER, "bucket": f"acme-{secrets.token_hex(6)}", "stem": "data", "lifecycle": LIFECYCLE, **more}


def statements(sid: str = "Raw", prefix: str = "raw/") -> str:
    return policy.to_json(policy.grant(purpose=Purpose.INPUT, bucket="acme", prefix=prefix, user=USER, sid=sid))


@pytest.fixture
def name(cloud: ObsCloud, make: Make) -> str:  # noqa: ARG001 - it is where the bucket is
    """A bucket that is there."""
    return make(bucket.Provider).create(bucket_props()).id


# -- buckets


def test_a_bucket_gets_a_name_where_none_is_given_and_keeps_it(make: Make) -> None:
    provider = make(bucket.Provider)
    first = provider.check({}, bucket_props(bucket=None, stem="lightly-Street_scenes")).inputs
    assert first["bucket"].startswith("lightly-street-scenes-")
    assert policy.check_bucket(first["bucket"])
    again = provider.check(first, bucket_props(bucket=None)).inputs
    assert again["bucket"] == first["bucket"]
    # The engine checks a replacement without the old inputs: it gets a name of its own.
    assert provider.check({}, bucket_props(bucket=None)).inputs["bucket"] != first["bucket"]


def test_bad_names_endpoints_and_addressing_are_all_told(make: Make) -> None:
    news = bucket_props(bucket="Acme", endpoint="obs.example", addressing="host")
    failures = {it.property: it.reason for it in make(bucket.Provider).check({}, news).failures}
    assert set(failures) == {"bucket", "endpoint", "addressing"}
    assert failures["addressing"] == "'host': use 'path' or 'virtual'"


def test_what_is_not_known_yet_is_not_checked(make: Make) -> None:
    unknown = bucket_props(bucket=UNKNOWN, endpoint=UNKNOWN, region=UNKNOWN, addressing=UNKNOWN)
    assert make(bucket.Provider).check({}, unknown).failures == []
    assert make(grant.Provider).check({}, {**unknown, "statements": UNKNOWN}).failures == []
    assert make(marker.Provider).check({}, unknown).failures == []


@pytest.mark.parametrize(
    ("more", "replaces"),
    [
        ({}, []),
        ({"bucket": "other"}, ["bucket"]),
        ({"bucket": UNKNOWN}, ["bucket"]),
        ({"region": "eu-nl"}, ["region"]),
        ({"endpoint": "https://obs.example", "addressing": "virtual", "lifecycle": "[]"}, []),
    ],
)
def test_name_and_region_are_what_a_bucket_is_and_none_is_deleted_first(
    make: Make, more: dict[str, Any], replaces: list[str]
) -> None:
    olds = bucket_props()
    difference = make(bucket.Provider).diff("x", olds, olds | more)
    assert difference.replaces == replaces
    assert not difference.delete_before_replace
    assert difference.changes is None


def test_the_whole_life_of_a_bucket(cloud: ObsCloud, make: Make) -> None:
    provider, props = make(bucket.Provider), bucket_props()
    created = provider.create({**props, "__provider": "x"})
    assert (created.id, created.outs) == (props["bucket"], props)
    read = provider.read(created.id, {**props, "__provider": "x"})
    assert (read.id, read.outs, read.inputs) == (created.id, props, None)

    rule: Any = {"ID": "away", "Prefix": "", "Status": "Enabled", "Expiration": {"Days": 1}}
    cloud.client().put_bucket_lifecycle_configuration(Bucket=created.id, LifecycleConfiguration={"Rules": [rule]})
    drifted = provider.read(created.id, props)
    assert drifted.inputs is not None
    assert json.loads(drifted.inputs["lifecycle"]) == [rule]
    updated = provider.update(created.id, drifted.outs or {}, {**props, "__provider": "x"})
    assert updated.outs == props
    assert provider.read(created.id, props).inputs is None

    provider.delete(created.id, props)
    assert provider.read(created.id, props).id == ""


@pytest.mark.usefixtures("cloud")
def test_what_expires_changes_in_place(make: Make) -> None:
    provider, props = make(bucket.Provider), bucket_props(lifecycle=policy.to_json(policy.lifecycle([RAW])))
    created = provider.create(dict(props))
    assert provider.read(created.id, props).inputs is None
    news = bucket_props(bucket=props["bucket"])
    assert provider.diff(created.id, props, news).replaces == []
    provider.update(created.id, props, dict(news))
    assert provider.read(created.id, news).inputs is None
    assert provider.read(created.id, props).inputs is not None, "what is no longer there shows as drift"
    provider.delete(created.id, news)


@pytest.mark.usefixtures("cloud")
def test_a_crash_between_create_and_save_is_made_good(make: Make) -> None:
    props = bucket_props()
    first = make(bucket.Provider).create(dict(props))
    second = make(bucket.Provider).create(dict(props))
    assert first.id == second.id


def test_a_bucket_with_something_in_it_is_not_deleted(cloud: ObsCloud, make: Make, name: str) -> None:
    cloud.client().put_object(Bucket=name, Key="a.png", Body=b"x")
    with pytest.raises(errors.BucketNotEmpty, match="empty it first"):
        make(bucket.Provider).delete(name, bucket_props(bucket=name))


# -- grants


def grant_props(name: str, **more: Any) -> dict[str, Any]:
    return {**SERVER, "bucket": name, "statements": statements(), **more}


def test_the_whole_life_of_a_grant(cloud: ObsCloud, make: Make, name: str) -> None:
    provider, props = make(grant.Provider), grant_props(name)
    created = provider.create({**props, "__provider": "x"})
    assert (created.id, created.outs) == (f"{name}/RawList", props)
    assert provider.read(created.id, props).inputs is None
    assert make(grant.Provider).create(dict(props)).id == created.id  # after a crash

    moved = grant_props(name, statements=statements("Other", "other/"))
    assert provider.diff(created.id, props, moved).replaces == []
    assert provider.update(created.id, props, {**moved, "__provider": "x"}).outs == moved
    document = json.loads(cloud.client().get_bucket_policy(Bucket=name)["Policy"])
    assert document["Statement"] == json.loads(moved["statements"])

    provider.delete(created.id, moved)
    assert provider.read(created.id, moved).id == ""
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        cloud.client().get_bucket_policy(Bucket=name)


def test_a_statement_that_somebody_changed_shows_as_drift_and_is_set_right(
    cloud: ObsCloud, make: Make, name: str
) -> None:
    provider, props = make(grant.Provider), grant_props(name)
    created = provider.create(dict(props))
    wider = [it | {"Action": ["s3:*"]} for it in json.loads(props["statements"])]
    cloud.client().put_bucket_policy(Bucket=name, Policy=policy.to_json(policy.document(wider)))
    drifted = provider.read(created.id, props)
    assert drifted.inputs is not None
    assert json.loads(drifted.inputs["statements"]) == wider
    provider.update(created.id, drifted.outs or {}, dict(props))
    assert provider.read(created.id, props).inputs is None


def test_half_a_grant_shows_as_drift(cloud: ObsCloud, make: Make, name: str) -> None:
    provider, props = make(grant.Provider), grant_props(name)
    created = provider.create(dict(props))
    half = json.loads(props["statements"])[:1]
    cloud.client().put_bucket_policy(Bucket=name, Policy=policy.to_json(policy.document(half)))
    assert provider.read(created.id, props).inputs is not None


def test_another_user_is_another_grant_and_another_prefix_is_not() -> None:
    def granted(user: str, prefix: str) -> dict[str, Any]:
        sid = policy.sid_of("raw", user)
        statements = policy.grant(purpose=Purpose.INPUT, bucket="acme", prefix=prefix, user=user, sid=sid)
        return {"bucket": "acme", "statements": policy.to_json(statements)}

    one, other = (f"arn:aws:iam::0123456789abcdef:user/{it}" for it in "ab")
    differs = grant.Provider().diff
    assert differs("", granted(one, "raw/"), granted(other, "raw/")).replaces == ["statements"]
    assert not differs("", granted(one, "raw/"), granted(one, "new/")).replaces
    assert policy.sid_of("raw", one) != policy.sid_of("raw", other)


def test_another_bucket_is_another_grant(make: Make) -> None:
    olds = grant_props("acme-a")
    assert make(grant.Provider).diff("x", olds, grant_props("acme-b")).replaces == ["bucket"]
    assert make(grant.Provider).diff("x", olds, grant_props(UNKNOWN)).replaces == ["bucket"]


@pytest.mark.parametrize("bad", ['[{"Effect": "Allow"}]', '[{"Sid": "A"}, {"Sid": "A"}]'])
def test_statements_need_ids_of_their_own(make: Make, bad: str) -> None:
    (failure,) = make(grant.Provider).check({}, grant_props("acme-a", statements=bad)).failures
    assert (failure.property, failure.reason) == ("statements", "each needs a 'Sid' of its own")


def test_statements_with_ids_of_their_own_are_fine(make: Make) -> None:
    assert make(grant.Provider).check({}, grant_props("acme-a")).failures == []


def test_grants_of_one_bucket_side_by_side_lose_nothing(cloud: ObsCloud, make: Make, name: str) -> None:
    provider = make(grant.Provider)
    wanted = [grant_props(name, statements=statements(f"Data{at}", f"{at}/")) for at in range(12)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(provider.create, wanted))
    document = json.loads(cloud.client().get_bucket_policy(Bucket=name)["Policy"])
    assert len(document["Statement"]) == 2 * len(wanted)
    assert all(provider.read("x", it).inputs is None for it in wanted)


# -- markers


def test_the_whole_life_of_a_marker(make: Make, name: str) -> None:
    provider, props = make(marker.Provider), {**SERVER, "bucket": name, "key": "raw/"}
    created = provider.create({**props, "__provider": "x"})
    assert (created.id, created.outs) == (f"{name}/raw/", props)
    assert provider.read(created.id, props).id == created.id
    virtual = props | {"addressing": "virtual"}
    assert provider.diff(created.id, props, virtual).replaces == []
    assert provider.diff(created.id, props, props | {"key": "other/"}).replaces == ["key"]
    assert provider.update(created.id, props, {**virtual, "__provider": "x"}).outs == virtual
    provider.delete(created.id, props)
    assert provider.read(created.id, props).id == ""


# -- keys


@pytest.mark.usefixtures("cloud")
def test_keys_may_be_secrets_of_the_stack(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {name.lower().removeprefix("obs_"): os.environ[name] for name in KEYS}
    for name in KEYS:
        monkeypatch.delenv(name)
    assert make(bucket.Provider, **keys).create(bucket_props()).id


def test_without_keys_everything_works_until_a_call_is_due(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    provider, props = make(bucket.Provider), bucket_props()
    assert provider.check({}, props).failures == []
    assert provider.diff("x", props, props).replaces == []
    with pytest.raises(errors.CredentialsMissing, match="set OBS_ACCESS_KEY_ID and OBS_SECRET_ACCESS_KEY in the env"):
        provider.create(props)


@pytest.mark.usefixtures("cloud")
def test_one_client_serves_all_threads_and_each_server_has_its_own(make: Make) -> None:
    provider = make(bucket.Provider)
    with ThreadPoolExecutor(4) as pool:
        clients = set(pool.map(lambda _: id(provider.obs(SERVER)), range(16)))
    assert len(clients) == 1
    assert provider.obs(SERVER | {"region": "eu-nl"}) is not provider.obs(SERVER)


# -- in state


@every_provider
def test_a_provider_in_state_is_an_import_path_of_less_than_100_characters(
    provider: type[session.ObsProvider], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(errors.SECRET_ACCESS_KEY, "canary-secret")
    text = serialize_provider(provider())
    assert len(text) < 100
    assert provider.serialize_as_secret_always is False
    assert vars(provider()) == {}
    plain = base64.b64decode(text)
    assert provider.__module__.encode() in plain
    assert b"canary" not in plain
    assert b"site-packages" not in plain


def test_state_written_by_earlier_versions_still_loads() -> None:
    """These are in users' state: a provider that moves or is renamed breaks their stacks."""
    written = {
        "gASVPQAAAAAAAACMKWxpZ2h0bHlfaW5mcmEuY2xvdWRzLm9icy5yZXNvdXJjZXMuYnVja2V0lIwIUHJvdmlkZXKUk5QpgZQu": bucket,
        "gASVPAAAAAAAAACMKGxpZ2h0bHlfaW5mcmEuY2xvdWRzLm9icy5yZXNvdXJjZXMuZ3JhbnSUjAhQcm92aWRlcpSTlCmBlC4=": grant,
        "gASVPQAAAAAAAACMKWxpZ2h0bHlfaW5mcmEuY2xvdWRzLm9icy5yZXNvdXJjZXMubWFya2VylIwIUHJvdmlkZXKUk5QpgZQu": marker,
    }
    for text, module in written.items():
        assert type(dill.loads(base64.b64decode(text))) is module.Provider  # noqa: S301 - our own
        assert serialize_provider(module.Provider()) == text


@contextmanager
def running(**environment: str) -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    """The providers' process, with the keys in the stack's config as they come from there."""
    keys = {f"obs:{name.lower().removeprefix('obs_')}": environment.pop(name) for name in KEYS}
    inherited = {name: it for name, it in os.environ.items() if name not in KEYS}
    # Unbuffered, as Pulumi runs it: it tells its port without flushing.
    child = subprocess.Popen(
        [sys.executable, "-u", "-m", "pulumi.dynamic"], stdout=subprocess.PIPE, env=inherited | environment
    )
    try:
        assert child.stdout is not None
        with grpc.insecure_channel(f"127.0.0.1:{int(child.stdout.readline())}") as channel:
            stub = provider_pb2_grpc.ResourceProviderStub(channel)
            stub.Configure(provider_pb2.ConfigureRequest(args=struct(keys)))
            yield stub
    finally:
        child.kill()
        child.communicate()


def struct(values: dict[str, Any]) -> struct_pb2.Struct:
    return ParseDict(values, struct_pb2.Struct())


def of(module: Any, values: dict[str, Any]) -> struct_pb2.Struct:
    return struct({**values, "__provider": serialize_provider(module.Provider())})


def test_a_whole_life_in_the_process_that_pulumi_runs(cloud: ObsCloud) -> None:
    with running(**cloud.environment()) as stub:
        news = of(bucket, bucket_props(bucket=None) | SERVER)
        checked = stub.Check(provider_pb2.CheckRequest(olds=struct({}), news=news))
        assert list(checked.failures) == []
        unknown = of(grant, grant_props(rpc.UNKNOWN, statements=rpc.UNKNOWN))
        assert not stub.Check(provider_pb2.CheckRequest(olds=struct({}), news=unknown)).failures

        made = stub.Create(provider_pb2.CreateRequest(properties=checked.inputs))
        assert MessageToDict(made.properties)["bucket"] == made.id
        granted = stub.Create(provider_pb2.CreateRequest(properties=of(grant, grant_props(made.id))))
        read = stub.Read(provider_pb2.ReadRequest(id=granted.id, properties=granted.properties))
        assert (read.id, read.properties) == (granted.id, granted.properties)

        marked = of(marker, {**SERVER, "bucket": made.id, "key": "raw/"})
        stub.Create(provider_pb2.CreateRequest(properties=marked))
        with pytest.raises(grpc.RpcError) as error:
            stub.Delete(provider_pb2.DeleteRequest(id=made.id, properties=made.properties))
        said = error.value.details()
        assert "never emptied here" in said.splitlines()[-1]
        assert cloud.environment()[errors.SECRET_ACCESS_KEY] not in said
        stub.Delete(provider_pb2.DeleteRequest(id=f"{made.id}/raw/", properties=marked))
        stub.Delete(provider_pb2.DeleteRequest(id=granted.id, properties=granted.properties))
        stub.Delete(provider_pb2.DeleteRequest(id=made.id, properties=made.properties))
        gone = stub.Read(provider_pb2.ReadRequest(id=made.id, properties=made.properties))
        assert gone.id == ""
        for answer in (made, granted, read):
            for name in KEYS:
                assert cloud.environment()[name] not in str(answer)
