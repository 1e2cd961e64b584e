"""ministack with one door more, through which users come in together with keys that are given.

IAM mints the keys of its users itself; OBS users bring theirs. This is run in a process of its own: see `cloud`.
"""

from __future__ import annotations

import hmac
import json
import os
from typing import TYPE_CHECKING, Any, Final

from ministack.app import app as ministack
from ministack.core.responses import set_request_account_id
from ministack.services import iam

from lightly_infra.sandbox.obs import DOOR, DOOR_PASSWORD

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]

_ROOT: Final = "test"  # ministack's name for the account's own administrator


async def app(scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Any]) -> None:
    """Everything but the door is ministack's. The door adds what it is given to the state of IAM."""
    if scope["type"] != "http" or scope["path"] != DOOR:
        await ministack(scope, receive, send)
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    password = dict(scope["headers"]).get(b"authorization", b"")
    known = hmac.compare_digest(password, os.environ[DOOR_PASSWORD].encode())
    if known:
        set_request_account_id(_ROOT)
        iam.load_persisted_state(json.loads(body))
    await send({"type": "http.response.start", "status": 204 if known else 403, "headers": []})
    await send({"type": "http.response.body", "body": b""})
