"""ministack with one door more, through which users come in together with keys that are given.

IAM mints the keys of its users itself; OBS users bring theirs. Lifecycles that only OBS refuses are refused here. This
is run in a process of its own: see `cloud`.
"""

from __future__ import annotations

import hmac
import json
import os
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from ministack.app import app as ministack
from ministack.core.responses import set_request_account_id
from ministack.services import iam

from lightly_infra.sandbox.obs import DOOR, DOOR_PASSWORD, lifecycle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]

_ROOT: Final = "test"  # ministack's name for the account's own administrator


async def app(scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Any]) -> None:
    """Everything but the door and lifecycles that OBS refuses is ministack's."""
    if scope["type"] == "http" and scope["path"] == DOOR:
        await _let_in(scope, await _body(receive), send)
    elif _sets_lifecycle(scope):
        body = await _body(receive)
        if (why := lifecycle.refusal(body)) is None:
            await ministack(*_with_body(scope, lifecycle.as_filters(body)), send)
        else:
            await _answer(send, 400, f"<Error><Code>InvalidRequest</Code><Message>{escape(why)}</Message></Error>")
    else:
        await ministack(scope, receive, send)


async def _let_in(scope: Message, body: bytes, send: Callable[[Message], Any]) -> None:
    """Adds what the door is given to the state of IAM."""
    password = dict(scope["headers"]).get(b"authorization", b"")
    known = hmac.compare_digest(password, os.environ[DOOR_PASSWORD].encode())
    if known:
        set_request_account_id(_ROOT)
        iam.load_persisted_state(json.loads(body))
    await _answer(send, 204 if known else 403)


def _sets_lifecycle(scope: Message) -> bool:
    if scope["type"] != "http" or scope["method"] != "PUT":
        return False
    return "lifecycle" in parse_qs(scope["query_string"].decode(), keep_blank_values=True)


async def _body(receive: Callable[[], Awaitable[Message]]) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


def _with_body(scope: Message, body: bytes) -> tuple[Message, Callable[[], Awaitable[Message]]]:
    """The request with this body in place of its own, which was read already."""
    length = [(b"content-length", str(len(body)).encode())]
    headers = [it for it in scope["headers"] if it[0] != b"content-length"] + length

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return {**scope, "headers": headers}, receive


async def _answer(send: Callable[[Message], Any], status: int, text: str = "") -> None:
    headers = [(b"content-type", b"application/xml")] if text else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
