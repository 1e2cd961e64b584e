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
from functools import cache
from typing import TYPE_CHECKING, Final

import httpx

from lightly_infra.lightly.errors import InvalidInput
from lightly_infra.lightly.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from pydantic import SecretStr

DEFAULT_SERVER: Final = "https://api.lightly.ai"


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
    return httpx.HTTPTransport(verify=_trust(ca_certs), proxy=_proxy(url, environment))


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
    port = url.port or (443 if url.scheme == "https" else 80)
    address = _address(url.host)
    if url.host == "localhost" or (address and address.is_loopback):
        return True
    for entry in no_proxy.replace(",", " ").lower().split():
        if entry == "*" or (address and "/" in entry and address in _network(entry)):
            return True
        name = entry.removesuffix(f":{port}").strip("[]").removeprefix("*").removeprefix(".")
        if name and (url.host == name or url.host.endswith(f".{name}")):
            return True
    return False


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
