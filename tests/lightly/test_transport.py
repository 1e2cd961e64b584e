from __future__ import annotations

import socket
import ssl
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
import trustme
import uvicorn

from lightly_infra.lightly import transport
from lightly_infra.lightly.client import LightlyClient
from lightly_infra.lightly.errors import ApiError, InvalidInput, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ID = "0123456789abcdef01234567"
REMOTE = httpx.URL("https://api.lightly.ai")


@pytest.mark.parametrize(
    "location",
    ["ftp://host", "api.lightly.ai", "http://", "https:///path", "", "http://[", "x y", "http://a b", "http://a:b"],
)
def test_a_server_location_that_is_no_http_url_is_refused(location: str) -> None:
    with pytest.raises(InvalidInput, match="LIGHTLY_SERVER_LOCATION: not an http:// or https:// URL"):
        transport.server(location)


@pytest.mark.parametrize(
    "location",
    ["https://me:canary@host", "https://host/?a=canary", "https://host#canary", "https://host?", "https://h#"],
)
def test_a_server_location_with_what_may_be_secret_is_refused_without_showing_it(location: str) -> None:
    with pytest.raises(InvalidInput, match="user name, a query or a fragment") as refused:
        transport.server(location)
    assert "canary" not in str(refused.value)


PROXY = "http://proxy.example.com:3128"


@pytest.mark.parametrize(
    ("environment", "proxied"),
    [
        ({}, False),
        ({"HTTPS_PROXY": PROXY}, True),
        ({"https_proxy": "proxy.example.com:3128"}, True),
        ({"ALL_PROXY": PROXY}, True),
        ({"HTTP_PROXY": PROXY}, False),
        ({"HTTPS_PROXY": PROXY, "https_proxy": ""}, False),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "example.com,lightly.ai"}, False),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": ".lightly.ai"}, False),
        ({"HTTPS_PROXY": PROXY, "no_proxy": "API.LIGHTLY.AI"}, False),
        ({"HTTPS_PROXY": PROXY, "no_proxy": "api.lightly.ai:443"}, False),
        ({"HTTPS_PROXY": PROXY, "no_proxy": "*"}, False),
        ({"HTTPS_PROXY": PROXY, "no_proxy": "*.lightly.ai"}, False),
        ({"HTTPS_PROXY": PROXY, "no_proxy": "api.lightly.ai:8443"}, True),
        ({"HTTPS_PROXY": PROXY, "no_proxy": "ghtly.ai, 10.0.0.0/8, ., //, "}, True),
    ],
)
def test_the_proxy_variables_mean_what_they_always_mean(environment: dict[str, str], proxied: bool) -> None:
    proxy = transport._proxy(REMOTE, environment)
    assert (proxy is not None and str(proxy.url) == PROXY) == proxied


@pytest.mark.parametrize(
    ("url", "no_proxy", "proxied"),
    [
        ("http://10.1.2.3", "10.0.0.0/8", False),
        ("http://10.1.2.3", "192.168.0.0/16,10.1.2.3", False),
        ("http://10.1.2.3", "192.168.0.0/16", True),
        ("http://10.1.2.3", "10.0.0.0/99", True),
        ("http://127.0.0.1:9", "", False),
        ("http://localhost:9", "", False),
        ("http://[::1]:9", "", False),
        ("http://[2001:db8::1]:9", "[2001:db8::1]:9", False),
    ],
)
def test_addresses_and_this_machine_can_be_left_to_direct_connections(url: str, no_proxy: str, proxied: bool) -> None:
    environment = {"ALL_PROXY": PROXY, "NO_PROXY": no_proxy}
    assert (transport._proxy(httpx.URL(url), environment) is not None) == proxied


@pytest.mark.parametrize("value", ["ftp://me:canary@proxy", "http://me:canary@[", "socks5://me:canary@proxy"])
def test_an_unusable_proxy_is_refused_without_showing_its_password(value: str) -> None:
    with pytest.raises(InvalidInput, match="HTTPS_PROXY: not the URL of an http or https proxy") as refused:
        LightlyClient.from_env({"LIGHTLY_TOKEN": "t0ken", "HTTPS_PROXY": value})
    assert "canary" not in str(refused.value)


def test_requests_go_through_the_proxy() -> None:
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def proxy() -> None:
            for _ in range(5):  # a client's attempts
                connection, _ = listener.accept()
                with connection:
                    asked.append(connection.recv(4096))
                    connection.sendall(b"HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n")

        thread = threading.Thread(target=proxy)
        thread.start()
        address = f"http://me:word@127.0.0.1:{listener.getsockname()[1]}"
        with (
            LightlyClient(
                "t0ken", base_url="https://lightly.invalid", environment={"HTTPS_PROXY": address}, sleep=lambda _: None
            ) as client,
            pytest.raises(Unreachable, match="ProxyError"),
        ):
            client.get_dataset(ID)
        thread.join()
    assert asked[0].startswith(b"CONNECT lightly.invalid:443 HTTP/1.1")
    assert b"\r\nProxy-Authorization: Basic " in asked[0]
    assert b"t0ken" not in b"".join(asked)


def test_a_ca_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (empty := tmp_path / "empty.pem").write_text("no certificate")
    for path in (tmp_path / "missing.pem", empty):
        with pytest.raises(InvalidInput, match=r"LIGHTLY_CA_CERTS: .*\.pem.*readable PEM file"):
            LightlyClient("t0ken", ca_certs=str(path))


@contextmanager
def https_server(directory: Path) -> Iterator[str]:
    """A server of an authority of its own; the authority is in `ca.pem`."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    certificate = authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem
    certificate.write_to_path(directory / "server.pem")

    async def app(scope: object, receive: object, send: object) -> None:  # noqa: ARG001
        await send({"type": "http.response.start", "status": 500, "headers": []})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b""})  # type: ignore[operator]

    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            app,
            log_config=None,
            lifespan="off",
            ws="none",
            interface="asgi3",
            ssl_certfile=str(directory / "server.pem"),
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def test_a_private_authority_is_trusted_if_and_only_if_it_is_named(tmp_path: Path) -> None:
    slept: list[float] = []
    with https_server(tmp_path) as url:
        trusting = LightlyClient("t0ken", base_url=url, ca_certs=str(tmp_path / "ca.pem"))
        with trusting, pytest.raises(ApiError, match="500"):
            trusting.get_dataset(ID)
        client = LightlyClient("t0ken", base_url=url, sleep=slept.append)
        with client, pytest.raises(Unreachable, match="is not trusted; let LIGHTLY_CA_CERTS name") as failed:
            client.get_dataset(ID)
    assert not failed.value.may_have_arrived
    assert slept == []  # it would not be trusted the next time either


def test_every_phase_has_a_time_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        client = LightlyClient("t0ken", base_url=url, timeout=httpx.Timeout(0.05), sleep=lambda _: None)
        with client, pytest.raises(Unreachable, match="ReadTimeout"):
            client.get_dataset(ID)
    assert None not in transport.TIMEOUT.as_dict().values()


def test_nobody_listening_is_said_with_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    client = LightlyClient("t0ken", base_url=url, sleep=lambda _: None)
    said = f"Lightly at {url} was not reached .GET /v1/datasets/{ID}.: ConnectError"
    with client, pytest.raises(Unreachable, match=said):
        client.get_dataset(ID)


def test_the_default_trust_is_the_machines() -> None:
    assert isinstance(transport._trust(None), ssl.SSLContext)
