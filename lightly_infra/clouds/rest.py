"""GETs of a cloud's own REST API, where its Pulumi provider has no function that costs little. Free of Pulumi.

Neither httpx's log nor an exception has the URL or the headers: a SAS or an access token is in them.
"""

from __future__ import annotations

import ipaddress
import ssl
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final, Self
from urllib.request import getproxies, proxy_bypass

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SECONDS: Final = {"connect": 5.0, "read": 20.0, "write": 20.0, "pool": 5.0}
_WHOLE_ANSWER_SECONDS: Final = 60.0
_MOST_BYTES: Final = 32 * 1024 * 1024
"""Far more than a page of 1,000 objects has, whose keys are at most 1,024 characters each."""
_OK: Final = 200


class Unanswered(Exception):
    """There is no answer, or another one than 200; the message holds no URL."""


class Rest:
    """Connections to one host. A context manager.

    Args:
        url: any of the host's.
        ca_bundle: a PEM file of authorities to trust instead of the usual ones; empty for these.
    """

    def __init__(self, url: str, ca_bundle: str = "") -> None:
        host = httpx.URL(url).host
        # No proxy leads to this machine, where an emulator is.
        direct = _is_here(host) or proxy_bypass(host)
        proxy = None if direct else getproxies().get(httpx.URL(url).scheme)
        try:
            verify = ssl.create_default_context(cafile=ca_bundle or None)
            self._transport = httpx.HTTPTransport(verify=verify, proxy=proxy)
        except (OSError, ValueError) as error:
            raise Unanswered(f"{type(error).__name__}: look at the proxy and the CA bundle") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.close()

    def get(self, url: str, headers: Mapping[str, str]) -> bytes:
        """The body of a 200.

        Raises:
            Unanswered: anything else; the message begins with the status and has the cloud's own words, not redacted.
        """
        request = httpx.Request("GET", url, headers=headers, extensions={"timeout": _SECONDS})
        try:
            with closing(self._transport.handle_request(request)) as response:
                response.request = request
                body = b"".join(_bounded(response))
        except (httpx.HTTPError, httpx.StreamError) as error:
            # From None: the exception carries its request.
            raise Unanswered(f"no answer ({type(error).__name__})") from None
        if response.status_code != _OK:
            raise Unanswered(f"{response.status_code}: {body.decode(errors='replace')}")
        return body


def _bounded(response: httpx.Response) -> Iterator[bytes]:
    end, size = time.monotonic() + _WHOLE_ANSWER_SECONDS, 0
    for chunk in response.iter_bytes():
        size += len(chunk)
        if size > _MOST_BYTES or time.monotonic() > end:
            raise Unanswered("an answer without end")
        yield chunk


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
