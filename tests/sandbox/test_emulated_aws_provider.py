from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2 as messages
from pulumi.runtime.proto import provider_pb2_grpc

from lightly_infra.sandbox.aws.provider import AwsProvider
from lightly_infra.sandbox.engine.interface import Secret
from lightly_infra.sandbox.engine.values import UNKNOWN, from_struct, to_struct
from lightly_infra.sandbox.process import free_port
from lightly_infra.sandbox.resource_type import ResourceError
from tests.sandbox.emulated_provider import Driver, Refused, unique

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightly_infra.sandbox.aws.ministack import Ministack

BUCKET = "aws:s3/bucket:Bucket"
ROLE = "aws:iam/role:Role"
ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
)


@pytest.fixture
def stub(ministack: Ministack) -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    """The provider behind gRPC, as the real engine sees it."""
    provider = AwsProvider(ministack.environment("eu-central-1"))
    server = grpc.server(ThreadPoolExecutor(2))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield provider_pb2_grpc.ResourceProviderStub(channel)
    server.stop(None).wait()


def _check_config(provider: AwsProvider, config: dict[str, Any]) -> dict[str, str]:
    answer = provider.CheckConfig(messages.CheckRequest(news=to_struct(config, unknowns=True)), None)
    return {failure.property: failure.reason for failure in answer.failures}


def test_what_is_not_emulated_is_refused_with_what_is(aws: Driver) -> None:
    with pytest.raises(ResourceError, match=r"no resource type 'aws:ec2/vpc:Vpc'; it has aws:iam/accessKey:AccessKey"):
        aws.check("aws:ec2/vpc:Vpc", {})
    with pytest.raises(ResourceError, match=r"no function 'aws:ec2/getVpc:getVpc'; it has aws:iam/getUser:getUser"):
        aws.invoke("aws:ec2/getVpc:getVpc")


@pytest.mark.parametrize("type_name", sorted(AwsProvider({"AWS_ENDPOINT_URL": "https://127.0.0.1:1"}).types))
def test_every_type_refuses_an_input_that_it_does_not_honour(aws: Driver, type_name: str) -> None:
    with pytest.raises(Refused, match=rf"colour: the emulated {type_name} does not support this input; it honours"):
        aws.check(type_name, {"colour": "red"})


@pytest.mark.parametrize("type_name", sorted(AwsProvider({"AWS_ENDPOINT_URL": "https://127.0.0.1:1"}).types))
def test_every_type_and_input_is_one_of_the_real_sdk(type_name: str) -> None:
    import inspect

    import pulumi_aws

    provider = AwsProvider({"AWS_ENDPOINT_URL": "https://127.0.0.1:1"})
    module, name = type_name.split(":")[1].split("/", maxsplit=1)[0], type_name.split(":")[2]
    source = inspect.getsource(getattr(getattr(pulumi_aws, module), name))
    known = {"".join(part.title() if i else part for i, part in enumerate(p.split("_"))) for p in _getters(source)}
    assert set(provider.types[type_name].inputs) <= known
    assert type_name in source


def _getters(source: str) -> list[str]:
    import re

    return re.findall(r"def (\w+)\(self\) ->", source)


def test_the_caller_the_partition_and_the_region_are_told(aws: Driver) -> None:
    assert aws.invoke("aws:index/getCallerIdentity:getCallerIdentity")["accountId"] == "123456789012"
    assert aws.invoke("aws:index/getPartition:getPartition")["partition"] == "aws"
    region = aws.invoke("aws:index/getRegion:getRegion")
    assert (region["region"], region["description"]) == ("eu-central-1", "Europe (Frankfurt)")
    assert aws.invoke("aws:index/getRegion:getRegion", {"region": "eu-west-1"})["id"] == "eu-west-1"
    with pytest.raises(ResourceError, match="no region 'moon-1'"):
        aws.invoke("aws:index/getRegion:getRegion", {"region": "moon-1"})
    with pytest.raises(ResourceError, match="does not support the arguments endpoint"):
        aws.invoke("aws:index/getRegion:getRegion", {"endpoint": "x"})


def test_settings_without_meaning_here_are_taken_and_unsupported_ones_refused(ministack: Ministack) -> None:
    provider = AwsProvider(ministack.environment("eu-central-1"))
    assert not _check_config(
        provider,
        {
            "region": "eu-central-1",
            "version": "7.51.1",
            "skipCredentialsValidation": "true",
            "endpoints": "[]",
            "defaultTags": json.dumps({"tags": {"a": "b"}}),
        },
    )
    assert not _check_config(provider, {"region": UNKNOWN, "defaultTags": UNKNOWN})
    failures = _check_config(provider, {"assumeRoles": "[]", "defaultTags": json.dumps({"keyPrefixes": []})})
    assert "it knows accessKey, allowedAccountIds" in failures["assumeRoles"]
    assert "no more than {tags" in failures["defaultTags"]
    assert "no more than {tags" in _check_config(provider, {"defaultTags": "team=vision"})["defaultTags"]


def test_a_provider_without_a_region_says_what_to_set(ministack: Ministack) -> None:
    env = ministack.environment("eu-central-1")
    del env["AWS_REGION"], env["AWS_DEFAULT_REGION"]
    provider = AwsProvider(env)
    assert "set aws:region" in _check_config(provider, {})["region"]
    with pytest.raises(ResourceError, match="set aws:region"):
        Driver(provider).configure({})


def test_a_provider_without_an_endpoint_never_talks_to_the_real_aws() -> None:
    with pytest.raises(ValueError, match="AWS_ENDPOINT_URL is not set"):
        AwsProvider({"AWS_REGION": "eu-central-1"})


def test_a_provider_can_act_as_another_account_and_be_held_to_one(ministack: Ministack) -> None:
    driver = Driver(AwsProvider(ministack.environment("eu-central-1")))
    driver.configure(
        {"accessKey": "999999999999", "secretKey": Secret("test"), "allowedAccountIds": '["999999999999"]'}
    )
    assert driver.invoke("aws:index/getCallerIdentity:getCallerIdentity")["accountId"] == "999999999999"
    with pytest.raises(ResourceError, match=r"999999999999 is not among allowedAccountIds \(111111111111\)"):
        driver.configure({"allowedAccountIds": '["111111111111"]'})


def test_an_engine_of_old_configures_by_variables(ministack: Ministack) -> None:
    driver = Driver(AwsProvider(ministack.environment("eu-central-1")))
    driver.provider.Configure(messages.ConfigureRequest(variables={"aws:config:region": "eu-west-3"}), None)
    assert driver.invoke("aws:index/getRegion:getRegion")["id"] == "eu-west-3"


def test_a_changed_setting_is_told_and_replaces_nothing(ministack: Ministack) -> None:
    provider = AwsProvider(ministack.environment("eu-central-1"))
    olds, news = to_struct({"region": "eu-central-1"}), to_struct({"region": "eu-west-1"})
    answer = provider.DiffConfig(messages.DiffRequest(olds=olds, old_inputs=olds, news=news), None)
    assert list(answer.diffs) == ["region"]
    assert not answer.replaces
    assert provider.DiffConfig(messages.DiffRequest(old_inputs=olds, news=olds), None).changes == answer.DIFF_NONE


def test_the_region_of_the_provider_moves_its_regional_resources_and_no_others(ministack: Ministack) -> None:
    driver = Driver(AwsProvider(ministack.environment("eu-central-1")))
    driver.configure({"region": "eu-central-1"})
    bucket_inputs, role_inputs = {"bucket": unique("bucket")}, {"name": unique("role"), "assumeRolePolicy": TRUST}
    bucket, role = driver.create(BUCKET, bucket_inputs), driver.create(ROLE, role_inputs)
    driver.configure({"region": "eu-west-1"})
    assert list(driver.diff(bucket, bucket_inputs).replaces) == ["region"]
    assert not driver.diff(role, role_inputs).diffs


def test_unknown_inputs_pass_the_check_and_count_as_changes(aws: Driver) -> None:
    checked = aws.check(ROLE_POLICY, {"role": UNKNOWN, "policy": UNKNOWN, "name": "p"})
    assert checked["role"] is UNKNOWN
    role = aws.create(ROLE, {"name": unique("role"), "assumeRolePolicy": TRUST, "tags": {"a": "b"}})
    assert list(aws.diff(role, {"name": role.id, "assumeRolePolicy": UNKNOWN, "tags": {"a": UNKNOWN}}).diffs) == [
        "assumeRolePolicy",
        "tags",
    ]
    assert list(aws.diff(role, {"name": UNKNOWN, "assumeRolePolicy": TRUST, "tags": {"a": "b"}}).replaces) == ["name"]


def test_secret_inputs_are_understood(aws: Driver) -> None:
    urn = aws.urn(ROLE, "resource")
    news = to_struct({"assumeRolePolicy": Secret("{")}, secrets=True)
    answer = aws.provider.Check(messages.CheckRequest(urn=urn, news=news), None)
    assert [failure.property for failure in answer.failures] == ["assumeRolePolicy"]


def test_the_same_seed_gives_the_same_name(aws: Driver) -> None:
    def name(seed: bytes) -> object:
        request = messages.CheckRequest(urn=aws.urn(BUCKET, "Raw"), randomSeed=seed)
        return from_struct(aws.provider.Check(request, None).inputs)["bucket"]

    assert name(b"one") == name(b"one") != name(b"two")
    assert name(b"") != name(b"")


def test_a_name_that_would_be_too_long_is_refused(aws: Driver) -> None:
    with pytest.raises(Refused, match=r"bucket: .*68 characters; 63 is the most"):
        aws.check(BUCKET, {}, name="x" * 60)


def test_a_logical_name_may_hold_colons(aws: Driver) -> None:
    role = aws.create(ROLE, {"name": unique("role"), "assumeRolePolicy": TRUST}, name="a::b")
    assert role.urn.endswith("::a::b")
    with pytest.raises(ResourceError, match=r"aws:iam/role:Role 'a::b': EntityAlreadyExists"):
        aws.create(ROLE, {"name": role.id, "assumeRolePolicy": TRUST}, name="a::b")


def test_a_resource_is_read_by_its_id_alone(aws: Driver) -> None:
    role = aws.create(ROLE, {"name": unique("role"), "assumeRolePolicy": TRUST, "tags": {"a": "b"}})
    role.inputs, role.outputs = {}, {}
    imported = aws.refresh(role)
    assert imported is not None
    assert imported.inputs == {"name": role.id, "assumeRolePolicy": TRUST, "tags": {"a": "b"}}
    assert imported.outputs["arn"].endswith(role.id)


def test_the_plugin_is_as_new_as_the_sdk(aws: Driver) -> None:
    assert aws.provider.GetPluginInfo(empty_pb2.Empty(), None).version == metadata.version("pulumi-aws")
    assert aws.provider.GetSchema(messages.GetSchemaRequest(), None).schema == "{}"
    assert aws.provider.Cancel(empty_pb2.Empty(), None) == empty_pb2.Empty()


def test_an_emulator_that_is_gone_is_named_without_a_traceback() -> None:
    env = {"AWS_ENDPOINT_URL": f"https://127.0.0.1:{free_port()}", "AWS_REGION": "eu-central-1"}
    driver = Driver(AwsProvider(env | {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}))
    driver.configure({})
    with pytest.raises(ResourceError, match="the emulated AWS did not take the request: Could not connect"):
        driver.create(BUCKET, {"bucket": "some-bucket"})


def test_errors_travel_over_grpc_as_their_message(stub: provider_pb2_grpc.ResourceProviderStub, aws: Driver) -> None:
    stub.Configure(messages.ConfigureRequest(args=to_struct({"region": "eu-central-1"})))
    urn = aws.urn(BUCKET, "raw")
    properties = to_struct({"bucket": unique("bucket")})
    made = stub.Create(messages.CreateRequest(urn=urn, properties=properties))
    with pytest.raises(grpc.RpcError) as refused:
        stub.Create(messages.CreateRequest(urn=urn, properties=properties))
    assert refused.value.details().startswith("aws:s3/bucket:Bucket 'raw': BucketAlreadyOwnedByYou: ")
    stub.Delete(messages.DeleteRequest(id=made.id, urn=urn, properties=made.properties))


def test_a_fault_of_ours_travels_over_grpc_by_its_type_and_in_process_as_itself(
    stub: provider_pb2_grpc.ResourceProviderStub, aws: Driver
) -> None:
    broken = messages.CreateRequest(urn=aws.urn(ROLE_POLICY, "p"), properties=to_struct({"name": "p"}))
    with pytest.raises(grpc.RpcError) as failed:
        stub.Create(broken)
    assert failed.value.details() == "KeyError: 'role'"
    with pytest.raises(KeyError, match="role"):
        aws.provider.Create(broken, None)


def test_an_unknown_never_reaches_the_cloud(aws: Driver) -> None:
    properties = to_struct({"bucket": UNKNOWN}, unknowns=True)
    with pytest.raises(ResourceError, match="bucket cannot be unknown by now"):
        aws.provider.Create(messages.CreateRequest(urn=aws.urn(BUCKET, "raw"), properties=properties), None)


def test_many_threads_share_one_provider(ministack: Ministack) -> None:
    driver = Driver(AwsProvider(ministack.environment("eu-central-1")))
    driver.configure({})
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: driver.create(BUCKET, {"bucket": unique("bucket")}), range(16)))
        list(pool.map(driver.delete, made))
    assert len({bucket.id for bucket in made}) == 16
