"""What a server may take of our time and memory, whatever it is; and whose certificate is trusted."""

from __future__ import annotations

import datetime as dt
import gzip
import socket
import ssl
import threading
import zlib
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import httpx
import pytest
import trustme

from lightly_infra.lightly.client import LightlyClient
from lightly_infra.lightly.errors import InvalidAnswer, InvalidInput, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ID = "0123456789abcdef01234567"
OK = b"HTTP/1.1 200 OK\r\n"
SOON = 0.3


@contextmanager
def serving(answer: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """One connection's worth of a server."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                connection, _ = listening.accept()
                with connection, tls.wrap_socket(connection, server_side=True) if tls else connection as it:
                    it.recv(65536)
                    answer(it)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http{'s' if tls else ''}://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def dripping(head: bytes, drop: bytes) -> Callable[[socket.socket], None]:
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(head)
        with suppress(OSError):
            while not over.wait(0.02):
                connection.sendall(drop)

    return drip


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"", b"H"),
        (OK + b"x: ", b"y"),
        (OK + b"content-length: 1000000\r\n\r\n", b" "),
        (OK + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ],
    ids=["status", "header", "body", "chunks"],
)
def test_a_drip_ends_when_the_request_as_a_whole_is_due(head: bytes, drop: bytes) -> None:
    slept: list[float] = []
    with (
        serving(dripping(head, drop)) as url,
        LightlyClient("t0ken", base_url=url, deadline=SOON, sleep=slept.append) as client,
        pytest.raises(Unreachable, match=r"no whole answer within 0\.3 s") as late,
    ):
        client.get_dataset(ID)
    assert late.value.may_have_arrived
    assert slept == [], "it would be as slow again"


def silent(connection: socket.socket) -> None:
    connection.recv(1)  # until the other side goes


def test_a_server_that_says_nothing_is_given_up_in_time() -> None:
    with (
        serving(silent) as url,
        LightlyClient("t0ken", base_url=url, deadline=SOON, sleep=lambda _: None) as client,
        pytest.raises(Unreachable, match=r"no whole answer within 0\.3 s"),
    ):
        client.get_dataset(ID)


def endless(head: bytes, part: bytes) -> Callable[[socket.socket], None]:
    def send(connection: socket.socket) -> None:
        connection.sendall(head)
        with suppress(OSError):
            while True:
                connection.sendall(part)

    return send


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (b"connection: close\r\n\r\n", b" " * 4096),
        (b"transfer-encoding: chunked\r\n\r\n", b"1000\r\n" + b" " * 4096 + b"\r\n"),
    ],
    ids=["body", "chunks"],
)
def test_an_endless_body_ends_at_the_limit(head: bytes, part: bytes) -> None:
    with (
        serving(endless(OK + head, part)) as url,
        LightlyClient("t0ken", base_url=url, longest_answer=2**20) as client,
        pytest.raises(InvalidAnswer, match="more than 1 MiB"),
    ):
        client.get_dataset(ID)


def test_an_endless_head_ends_at_the_librarys_limit() -> None:
    with (
        serving(endless(OK, b"x: y\r\n" * 100)) as url,
        LightlyClient("t0ken", base_url=url, deadline=2, sleep=lambda _: None) as client,
        pytest.raises(Unreachable),
    ):
        client.get_dataset(ID)


def answering(content: bytes, encoding: str) -> httpx.MockTransport:
    headers = {"content-encoding": encoding}
    return httpx.MockTransport(lambda _: httpx.Response(200, headers=headers, stream=httpx.ByteStream(content)))


@pytest.mark.parametrize(("pack", "encoding"), [(gzip.compress, "gzip"), (zlib.compress, "deflate")])
def test_a_bomb_is_unpacked_to_the_limit_only(pack: Callable[[bytes], bytes], encoding: str) -> None:
    bomb = answering(pack(b" " * 2**24), encoding)
    with (
        LightlyClient("t0ken", transport=bomb, longest_answer=2**20) as client,
        pytest.raises(InvalidAnswer, match="more than 1 MiB"),
    ):
        client.list_datasources(ID)


@pytest.mark.parametrize(("pack", "encoding"), [(gzip.compress, "gzip"), (zlib.compress, "deflate")])
def test_a_packed_answer_is_read(pack: Callable[[bytes], bytes], encoding: str) -> None:
    with LightlyClient("t0ken", transport=answering(pack(b"[]"), encoding)) as client:
        assert client.list_datasources(ID) == []


def test_a_compression_that_was_not_asked_for_is_told() -> None:
    with (
        LightlyClient("t0ken", transport=answering(b"[]", "br")) as client,
        pytest.raises(InvalidAnswer, match="compression is broken or unknown"),
    ):
        client.list_datasources(ID)


# -- whom it talks to


@pytest.mark.parametrize(
    "url", ["http://api.lightly.ai", "http://10.0.0.1", "http://localhost.example.com", "http://[::2]"]
)
def test_nothing_travels_unencrypted(url: str) -> None:
    with pytest.raises(InvalidInput, match="unencrypted; use https://"):
        LightlyClient("t0ken", base_url=url)


@pytest.mark.parametrize("url", ["http://localhost:1", "http://127.0.0.1", "http://127.1.2.3/x", "http://[::1]:9"])
def test_but_on_this_machine(url: str) -> None:
    LightlyClient("t0ken", base_url=url).close()


@pytest.mark.parametrize(
    ("host", "days", "trusted", "said"),
    [
        ("127.0.0.1", 1, False, "is not trusted; let LIGHTLY_CA_CERTS name a PEM file"),
        ("127.0.0.1", -1, True, "has expired; check the clock of this machine"),
        ("lightly.example.com", 1, True, "is for another host; check LIGHTLY_SERVER_LOCATION"),
        ("10.0.0.1", 1, True, "is for another host"),
    ],
    ids=["unknown", "expired", "other name", "other address"],
)
def test_a_certificate_that_is_not_trusted_is_told_with_its_reason(
    host: str, days: int, said: str, tmp_path: Path, *, trusted: bool
) -> None:
    authority, other = trustme.CA(), trustme.CA()
    until = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host, not_after=until).configure_cert(context)
    pem = tmp_path / "ca.pem"
    (authority if trusted else other).cert_pem.write_to_path(str(pem))
    with (
        serving(lambda _: None, context) as url,
        LightlyClient("t0ken", base_url=url, ca_certs=str(pem), sleep=lambda _: None) as client,
        pytest.raises(Unreachable) as refused,
    ):
        client.get_dataset(ID)
    assert said in str(refused.value)
    assert not refused.value.may_have_arrived


@pytest.mark.parametrize(
    ("header", "said"), [("9" * 400, "more than a day"), ("86401", "more than a day"), ("90", "90 s")]
)
def test_a_server_that_asks_to_wait_for_ages_is_told_in_few_words(header: str, said: str) -> None:
    busy = httpx.MockTransport(lambda _: httpx.Response(429, headers={"retry-after": header}))
    with (
        LightlyClient("t0ken", transport=busy) as client,
        pytest.raises(Exception, match=f"wait for {said}: try") as told,
    ):
        client.get_dataset(ID)
    assert len(str(told.value)) < 200
