"""How OBS is reached: URLs, headers, keys, and who is asked for them."""

from __future__ import annotations

import base64
import hashlib
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from botocore.awsrequest import AWSResponse, HeadersDict

from lightly_infra.clouds.obs import policy
from lightly_infra.clouds.obs.connection import Server, Settings, connect
from lightly_infra.clouds.obs.errors import CredentialsMissing, PackageMissing
from lightly_infra.sandbox.obs.ministack import ObsServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_s3 import S3Client

ENDPOINT = "https://obs.eu-de.otc.t-systems.com"
KEYS = Settings("AKOBS", "canary-secret")
RULES: Any = {"Rules": policy.lifecycle()}


class Answer:
    """What a server would answer with nothing in it."""

    @staticmethod
    def stream() -> list[bytes]:
        return [b""]

    @staticmethod
    def read() -> bytes:
        return b""


def sent(client: S3Client) -> list[Any]:
    """Takes the place of the network: all requests that are sent from now on."""
    requests: list[Any] = []
    headers: Any = HeadersDict()

    def answer(request: Any, **_: object) -> Any:
        requests.append(request)
        return AWSResponse(request.url, 200, headers, Answer())

    client.meta.events.register("before-send.s3", answer)
    return requests


def header(request: Any, name: str) -> str:
    value = request.headers.get(name, "")
    return value.decode() if isinstance(value, bytes) else value


@pytest.mark.parametrize(
    ("addressing", "url"),
    [
        ("path", f"{ENDPOINT}/acme-raw/a.png"),
        ("virtual", "https://acme-raw.obs.eu-de.otc.t-systems.com/a.png"),
    ],
)
def test_the_bucket_stands_where_it_is_wanted(addressing: str, url: str) -> None:
    client = connect(Server(ENDPOINT, "eu-de", addressing), KEYS)
    requests = sent(client)
    client.head_object(Bucket="acme-raw", Key="a.png")
    signed = client.generate_presigned_url("get_object", Params={"Bucket": "acme-raw", "Key": "a.png"})
    assert requests[0].url == url
    assert signed.partition("?")[0] == url
    assert header(requests[0], "Authorization").startswith("AWS4-HMAC-SHA256 Credential=AKOBS/")
    assert "/eu-de/s3/aws4_request" in header(requests[0], "Authorization")


def test_all_calls_can_be_sent_elsewhere_by_path() -> None:
    settings = Settings("AKOBS", "canary-secret", endpoint_url="http://127.0.0.1:9")
    client = connect(Server(ENDPOINT, "eu-de", "virtual"), settings)
    requests = sent(client)
    client.head_object(Bucket="acme-raw", Key="a.png")
    assert requests[0].url == "http://127.0.0.1:9/acme-raw/a.png"


def test_documents_go_with_their_md5_and_without_checksums_that_obs_does_not_know() -> None:
    client = connect(Server(ENDPOINT, "eu-de"), KEYS)
    requests = sent(client)
    client.put_bucket_policy(Bucket="acme-raw", Policy="{}")
    client.put_bucket_lifecycle_configuration(Bucket="acme-raw", LifecycleConfiguration=RULES)
    client.put_object(Bucket="acme-raw", Key="a/", Body=b"")
    for request in requests:
        assert not [it for it in request.headers if "checksum" in it.lower()]
        assert "aws-chunked" not in header(request, "Content-Encoding")
    for request in requests[:2]:
        body = request.body if isinstance(request.body, bytes) else request.body.encode()
        md5 = hashlib.md5(body, usedforsecurity=False).digest()
        assert header(request, "Content-MD5") == base64.b64encode(md5).decode()
        assert "content-md5" in header(request, "Authorization")
    assert b"<Prefix></Prefix>" in requests[1].body or b"<Prefix />" in requests[1].body
    assert b"Expir" not in requests[1].body
    assert b"<Filter>" not in requests[1].body


def test_an_aws_configuration_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_PROFILE": "nobody",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_CA_BUNDLE": "/nowhere",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_ACCESS_KEY_ID": "another",
        "AWS_SECRET_ACCESS_KEY": "another",
        "AWS_SESSION_TOKEN": "another",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    client = connect(Server(ENDPOINT, "eu-de"), KEYS)
    requests = sent(client)
    client.head_object(Bucket="acme-raw", Key="a.png")
    assert requests[0].url.startswith(ENDPOINT)
    assert "AKOBS/" in header(requests[0], "Authorization")
    assert not header(requests[0], "X-Amz-Security-Token")


CONFIG = {"obs:access_key_id": "AKCONFIG", "obs:secret_access_key": "canary-config"}


def test_keys_come_from_the_environment_or_else_from_the_stacks_config() -> None:
    environment = {"OBS_ACCESS_KEY_ID": "AKENV", "OBS_SECRET_ACCESS_KEY": "canary-env"}
    assert Settings.read(environment, CONFIG.get) == Settings("AKENV", "canary-env")
    assert Settings.read({}, CONFIG.get) == Settings("AKCONFIG", "canary-config")


@pytest.mark.parametrize("environment", [{"OBS_ACCESS_KEY_ID": "AKENV"}, {"OBS_SECRET_ACCESS_KEY": "canary-env"}])
def test_one_key_of_each_is_never_mixed(environment: dict[str, str]) -> None:
    with pytest.raises(CredentialsMissing) as error:
        connect(Server(ENDPOINT, "eu-de"), Settings.read(environment, CONFIG.get))
    assert "canary" not in str(error.value)


def test_without_keys_both_ways_to_give_them_are_named() -> None:
    with pytest.raises(CredentialsMissing) as error:
        connect(Server(ENDPOINT, "eu-de"), Settings.read({}, lambda _: None))
    for name in ("OBS_ACCESS_KEY_ID", "OBS_SECRET_ACCESS_KEY", "--secret obs:access_key_id", *CONFIG):
        assert name in str(error.value)


def test_the_secret_is_not_shown() -> None:
    assert "canary" not in repr(Settings("AKOBS", "canary-secret"))


def test_without_boto3_the_package_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(PackageMissing, match=r"pip install 'lightly-infra\[obs\]'"):
        connect(Server(ENDPOINT, "eu-de"), KEYS)


@pytest.fixture(scope="module")
def emulated() -> Iterator[ObsServer]:
    with ObsServer() as running:
        yield running


def test_virtual_hosts_work_for_real(emulated: ObsServer) -> None:
    """No name server here need know bucket.localhost: the connection goes to the address, the host stays as signed."""
    emulated.buckets().create_bucket(
        Bucket="acme-hosted",
        CreateBucketConfiguration={"LocationConstraint": "eu-de"},  # type: ignore[typeddict-item] # no region of AWS's
    )
    port = urlsplit(emulated.endpoint).port
    keys = Settings(emulated.deployer.access_key, emulated.deployer.secret_key, ca_bundle=emulated.ca_bundle)
    client = connect(Server(f"https://localhost:{port}", "eu-de", "virtual"), keys)
    hosts = []

    def to_address(request: Any, **_: object) -> None:
        at = urlsplit(request.url)
        hosts.append(at.netloc)
        request.headers["Host"] = at.netloc
        request.url = request.url.replace(at.netloc, f"127.0.0.1:{port}", 1)

    client.meta.events.register("before-send.s3", to_address)
    client.put_object(Bucket="acme-hosted", Key="a/b.png", Body=b"x")
    assert [it["Key"] for it in client.list_objects_v2(Bucket="acme-hosted")["Contents"]] == ["a/b.png"]
    assert set(hosts) == {f"acme-hosted.localhost:{port}"}
    assert emulated.buckets().get_object(Bucket="acme-hosted", Key="a/b.png")["Body"].read() == b"x"
