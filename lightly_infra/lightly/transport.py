"""How a request gets onto the wire: which server, through which proxy, trusting whom, and with the token.

The API takes its token as the query parameter `token`. It is added here, below everything that logs or
raises: httpx logs every URL, and its exceptions carry their request.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import ssl
import time
import zlib
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Final

import httpcore
import httpx

from lightly_infra.lightly.errors import InvalidInput
from lightly_infra.lightly.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping

    from pydantic import SecretStr

DEFAULT_SERVER: Final = "https://api.lightly.ai"

TIMEOUT: Final = httpx.Timeout(connect=10, write=30, read=90, pool=30)
"""Seconds for each step of a request. Reading is long since verify and create make the server ask the user's cloud."""

DEADLINE: Final = 180.0
"""Seconds for a request as a whole, from connecting to the last byte of the answer: the steps above at their slowest,
and some to spare. A byte now and then would pass each step for ever."""

LONGEST_ANSWER: Final = 16 * 2**20
"""Bytes of an answer's body, unpacked. The longest is a page of 5,000 datasets, at some 600 bytes each 3 MB. (A head
may have 100 KiB, which is httpcore's own limit.)"""

_DUE: Final[ContextVar[float | None]] = ContextVar("due", default=None)


# Where httpcore writes what a server answers, at debug level. A redirect may repeat the token.
_TALKATIVE: Final = ("httpcore.connection", "httpcore.http11", "httpcore.proxy")


class TokenTransport(httpx.BaseTransport):
    """Adds the token, last in the query as the official client does, to what `inner` sends."""

    def __init__(self, token: SecretStr, inner: httpx.BaseTransport) -> None:
        self._token = token
        self._inner = inner
        for name in _TALKATIVE:
            logging.getLogger(name).addFilter(self._redact)

    def _redact(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage(), (self._token.get_secret_value(),)), None
        return True

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Sends a copy of `request` that has the token; the caller's own never has it."""
        return self._inner.handle_request(
            httpx.Request(
                request.method,
                request.url.copy_add_param("token", self._token.get_secret_value()),
                headers=request.headers,
                stream=request.stream,
                extensions=request.extensions,
            )
        )

    def close(self) -> None:
        """Closes the connections."""
        self._inner.close()
        for name in _TALKATIVE:
            logging.getLogger(name).removeFilter(self._redact)


@contextmanager
def due_in(seconds: float) -> Iterator[None]:
    """Ends whatever this thread does on a `connection` after that time, with httpx.TimeoutException."""
    token = _DUE.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _DUE.reset(token)


def is_due() -> bool:
    """Whether the time of `due_in` is over."""
    due = _DUE.get()
    return due is not None and time.monotonic() >= due


def _left(timeout: float | None, late: type[Exception]) -> float | None:
    """The shorter of a step's own limit and what is left for the whole."""
    due = _DUE.get()
    if due is None:
        return timeout
    if (left := due - time.monotonic()) <= 0:
        raise late("the request took too long as a whole")
    return left if timeout is None else min(timeout, left)


class _Hurried(httpcore.NetworkBackend):
    """Connections whose every step ends when the request as a whole is due: httpx has limits for steps only."""

    def __init__(self, inner: httpcore.NetworkBackend) -> None:
        self._inner = inner

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _HurriedStream(self._inner.connect_tcp(host, port, left, local_address, socket_options))


class _HurriedStream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _HurriedStream(self._inner.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> object:
        return self._inner.get_extra_info(info)


class AnswerTooLong(Exception):
    """An answer has more bytes than any of Lightly's."""


class AnswerUnreadable(Exception):
    """An answer's compression is broken, or none that was asked for."""


def body(response: httpx.Response, longest: int) -> bytes:
    """The whole body of an answer, unpacked; never more than that in memory.

    Raises:
        AnswerTooLong, AnswerUnreadable: see there.
        httpx.TransportError: It ends too early or too late.
    """
    if response.is_stream_consumed:  # by a transport that had it in memory
        return response.content
    unpack = _unpacker(response.headers.get("content-encoding", ""))
    parts: list[bytes] = []
    left = longest
    for chunk in response.iter_raw():
        parts.append(unpack(chunk, left + 1))
        left -= len(parts[-1])
        if left < 0:
            raise AnswerTooLong
        if is_due():
            raise httpx.ReadTimeout("the request took too long as a whole")
    return b"".join(parts)


def _unpacker(encoding: str) -> Callable[[bytes, int], bytes]:
    """Unpacks chunk by chunk, each to a limited size: a packed one may be a thousandth of what is in it."""
    match encoding.strip().lower():
        case "" | "identity":
            return lambda chunk, _: chunk
        case "gzip" | "x-gzip" | "deflate":
            inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # either form, by its head
        case _:
            raise AnswerUnreadable

    def unpack(chunk: bytes, most: int) -> bytes:
        try:
            return inflater.decompress(chunk, most)
        except zlib.error:
            raise AnswerUnreadable from None

    return unpack


def server(location: str) -> httpx.URL:
    """The server's URL, which may have a path of its own. Raises InvalidInput."""
    try:
        url = httpx.URL(location.strip())
    except (httpx.InvalidURL, ValueError):
        url = None
    if url is None or not _is_http(url):
        raise InvalidInput(
            "LIGHTLY_SERVER_LOCATION: not an http:// or https:// URL with a host; "
            f"unset it for {DEFAULT_SERVER}, or give one like it"
        )
    if url.scheme == "http" and not _is_this_machine(url):
        raise InvalidInput(
            f"LIGHTLY_SERVER_LOCATION: http://{url.host} would carry the token and all credentials unencrypted; use "
            "https:// (http:// is for this machine alone: localhost, 127.0.0.1, [::1])"
        )
    if url.userinfo or url.query or url.fragment or "?" in location or "#" in location:
        raise InvalidInput(
            "LIGHTLY_SERVER_LOCATION: has a user name, a query or a fragment (not shown: it may hold a secret); "
            f"give only scheme, host and path, like {DEFAULT_SERVER}"
        )
    return url


def connection(url: httpx.URL, *, ca_certs: str | None, environment: Mapping[str, str]) -> httpx.BaseTransport:
    """Connections to `url`'s host, the only one a client ever talks to.

    Args:
        url: The server.
        ca_certs: A PEM file of authorities to trust instead of the built-in ones (LIGHTLY_CA_CERTS).
        environment: Where HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY are, in lower or upper case.

    Raises:
        InvalidInput: The file or the proxy can't be used.
    """
    transport = httpx.HTTPTransport(verify=_trust(ca_certs), proxy=_proxy(url, environment))
    pool = transport._pool  # noqa: SLF001 - httpx has no way to hand a backend on to its pool, which takes one
    pool._network_backend = _Hurried(pool._network_backend)  # noqa: SLF001
    return transport


def _trust(ca_certs: str | None) -> ssl.SSLContext:
    if not ca_certs:
        return _built_in(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    try:
        return ssl.create_default_context(cafile=ca_certs)
    except (OSError, ValueError) as error:  # what ssl raises for a file that is none of its kind is an OSError
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise InvalidInput(
            f"LIGHTLY_CA_CERTS: {ca_certs!r} can't be used ({reason}); give a readable PEM file of certificates"
        ) from None


@cache
def _built_in(*_settings: str | None) -> ssl.SSLContext:
    """The built-in authorities, or those that httpx takes from these settings: to read them takes 20 ms."""
    return httpx.create_ssl_context()


def _proxy(url: httpx.URL, environment: Mapping[str, str]) -> httpx.Proxy | None:
    """The proxy for `url`. Decided here: httpx reads the environment only for transports of its own making."""
    # The lower-case name wins, as everywhere; an empty one switches the proxy off.
    setting = {name.lower(): value for name, value in sorted(environment.items()) if name.lower().endswith("_proxy")}
    if _is_direct(url, setting.get("no_proxy", "")):
        return None
    name = f"{url.scheme}_proxy" if f"{url.scheme}_proxy" in setting else "all_proxy"
    value = setting.get(name, "").strip()
    if not value:
        return None
    try:
        proxy = httpx.Proxy(value if "://" in value else f"http://{value}")
    except (httpx.InvalidURL, ValueError):
        proxy = None
    if proxy is None or not _is_http(proxy.url):
        raise InvalidInput(
            f"{name.upper()}: not the URL of an http or https proxy (not shown: it may hold a password); "
            "give one like http://proxy.example.com:3128, or add Lightly's host to NO_PROXY"
        )
    return proxy


def _is_http(url: httpx.URL) -> bool:
    # httpx takes almost anything for a host.
    return url.scheme in {"http", "https"} and re.fullmatch(rb"[a-zA-Z0-9._:-]+", url.raw_host) is not None


def _is_direct(url: httpx.URL, no_proxy: str) -> bool:
    """Whether NO_PROXY (names, `.suffixes`, addresses, networks, `*`; a port if given must agree) holds the host.

    This machine is never asked for by way of a proxy, as in Go's library: no proxy can reach it.
    """
    if _is_this_machine(url):
        return True
    port = url.port or (443 if url.scheme == "https" else 80)
    address = _address(url.host)
    for entry in no_proxy.replace(",", " ").lower().split():
        if entry == "*" or (address and "/" in entry and address in _network(entry)):
            return True
        name = entry.removesuffix(f":{port}").strip("[]").removeprefix("*").removeprefix(".")
        if name and (url.host == name or url.host.endswith(f".{name}")):
            return True
    return False


def _is_this_machine(url: httpx.URL) -> bool:
    address = _address(url.host)
    return url.host == "localhost" or (address is not None and address.is_loopback)


def distrust(error: BaseException) -> str | None:
    """Why a server's certificate was refused and what to do; None where that is not what an error is about."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        return None
    return _CERTIFICATES.get(
        cause.verify_code, "its certificate is not trusted; let LIGHTLY_CA_CERTS name a PEM file with its authority"
    )


# By OpenSSL's codes (x509_vfy.h). All others are about who has signed it.
_ANOTHER_HOST = (
    "its certificate is for another host; check LIGHTLY_SERVER_LOCATION, and whether a proxy answers instead"
)
_CERTIFICATES: Final = {
    9: "its certificate is not valid yet; check the clock of this machine",
    10: "its certificate has expired; check the clock of this machine, or tell who runs the server or the proxy",
    62: _ANOTHER_HOST,
    64: _ANOTHER_HOST,
}


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _network(entry: str) -> Container[object]:
    try:
        return ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return ()
