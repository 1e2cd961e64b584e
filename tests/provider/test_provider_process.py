"""The providers as the engine runs them: unpickled from state in `python -m pulumi.dynamic`, driven over gRPC."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf import struct_pb2
from google.protobuf.json_format import MessageToDict, ParseDict
from pulumi.dynamic.dynamic import serialize_provider
from pulumi.runtime import rpc
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from lightly_infra.provider import dataset, datasource, verification
from tests.provider.emulated import TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightly_infra.sandbox.lightly import LightlyServer

DATASET = {"name": "Street scenes", "type": "Images", "adopt": False, "on_destroy": "keep"}
DATASOURCE = {
    "purpose": "INPUT",
    "type": "S3",
    "full_path": "s3://acme-raw/a/",
    "s3_region": "eu-central-1",
    "s3_access_key_id": "AKIAEXAMPLE",
    "s3_secret_access_key": "canary-secret-access-key",
}


@contextmanager
def running() -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    """The providers' process. The token is not in its environment but in the stack's config."""
    environment = {name: it for name, it in os.environ.items() if name != "LIGHTLY_TOKEN"}
    # Unbuffered, as Pulumi runs it: it tells its port without flushing.
    child = subprocess.Popen([sys.executable, "-u", "-m", "pulumi.dynamic"], stdout=subprocess.PIPE, env=environment)
    try:
        assert child.stdout is not None
        with grpc.insecure_channel(f"127.0.0.1:{int(child.stdout.readline())}") as channel:
            stub = provider_pb2_grpc.ResourceProviderStub(channel)
            stub.Configure(provider_pb2.ConfigureRequest(args=struct({"lightly-infra:token": TOKEN})))
            yield stub
    finally:
        child.kill()
        child.communicate()


@pytest.fixture(scope="module")
def provider() -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    with running() as stub:
        yield stub


def struct(values: dict[str, Any]) -> struct_pb2.Struct:
    return ParseDict(values, struct_pb2.Struct())


def of(module: Any, values: dict[str, Any]) -> struct_pb2.Struct:
    return struct({**values, "__provider": serialize_provider(module.Provider())})


def test_a_dataset_is_checked(provider: provider_pb2_grpc.ResourceProviderStub) -> None:
    checked = provider.Check(provider_pb2.CheckRequest(olds=struct({}), news=of(dataset, DATASET)))
    assert list(checked.failures) == []
    assert checked.inputs == of(dataset, DATASET)


def test_all_failures_arrive(provider: provider_pb2_grpc.ResourceProviderStub) -> None:
    news = of(dataset, {**DATASET, "name": "a", "type": "Pictures"})
    checked = provider.Check(provider_pb2.CheckRequest(olds=struct({}), news=news))
    assert {it.property for it in checked.failures} == {"name", "type"}


def test_the_engine_is_left_to_tell_what_changed(provider: provider_pb2_grpc.ResourceProviderStub) -> None:
    olds = of(dataset, {**DATASET, "adopted": False, "on_destroy": "delete"})
    news = of(dataset, {**DATASET, "name": "Films", "type": "Videos", "on_destroy": "delete"})
    difference = provider.Diff(provider_pb2.DiffRequest(id="0" * 24, olds=olds, news=news))
    assert difference.changes == provider_pb2.DiffResponse.DIFF_UNKNOWN
    assert list(difference.replaces) == ["type"]
    assert not difference.deleteBeforeReplace


def test_unknown_values_of_a_preview_arrive_as_such(provider: provider_pb2_grpc.ResourceProviderStub) -> None:
    news = of(datasource, {**DATASOURCE, "dataset_id": rpc.UNKNOWN, "s3_secret_access_key": rpc.UNKNOWN})
    assert not provider.Check(provider_pb2.CheckRequest(olds=struct({}), news=news)).failures
    olds = of(datasource, {**DATASOURCE, "dataset_id": "0" * 24})
    difference = provider.Diff(provider_pb2.DiffRequest(id=f"{'0' * 24}/INPUT", olds=olds, news=news))
    assert list(difference.replaces) == ["dataset_id"]


def test_a_verification_checks_its_deadline(provider: provider_pb2_grpc.ResourceProviderStub) -> None:
    news = of(verification, {"dataset_id": rpc.UNKNOWN, "triggers": rpc.UNKNOWN, "deadline": 0})
    (failure,) = provider.Check(provider_pb2.CheckRequest(olds=struct({}), news=news)).failures
    assert (failure.property, failure.reason) == ("deadline", "0.0: give seconds, more than 0")


def test_a_whole_life_with_the_token_from_the_stacks_config(server: LightlyServer) -> None:
    with running() as stub:
        created = stub.Create(provider_pb2.CreateRequest(properties=of(dataset, DATASET)))
        assert set(server.datasets) == {created.id}
        assert MessageToDict(created.properties)["adopted"] is False

        props = of(datasource, {**DATASOURCE, "dataset_id": created.id})
        source = stub.Create(provider_pb2.CreateRequest(properties=props))
        read = stub.Read(provider_pb2.ReadRequest(id=source.id, properties=source.properties))
        assert (read.id, read.properties) == (source.id, source.properties)

        del server.datasets[created.id]
        gone = stub.Read(provider_pb2.ReadRequest(id=created.id, properties=created.properties))
        assert gone.id == ""
        with pytest.raises(grpc.RpcError) as error:
            stub.Update(provider_pb2.UpdateRequest(id=source.id, olds=props, news=props))
        said = error.value.details()
        assert "there is no such dataset" in said.splitlines()[-1]
        assert "canary" not in said


def test_a_failure_begins_with_its_message(provider: provider_pb2_grpc.ResourceProviderStub) -> None:
    olds = of(dataset, {**DATASET, "adopted": False, "on_destroy": "keep"})
    news = of(dataset, {**DATASET, "type": "Videos", "on_destroy": "keep"})
    with pytest.raises(grpc.RpcError) as failed:
        provider.Diff(provider_pb2.DiffRequest(id="0" * 24, olds=olds, news=news))
    first, *_, last = str(failed.value.details()).strip().splitlines()
    assert first.startswith("Failed: a dataset's type cannot change from 'Images' to 'Videos'")
    assert last.endswith(first.removeprefix("Failed: "))
