"""The emulated AWS and OBS with faults in front, each run in a process of its own: see `world`.

Faults are armed through a door: `PUT /_faults` with the fault, and `GET /_faults` for what has come of it.
"""

from __future__ import annotations

import json
import urllib.request
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from tests.stateful.faults import Fault, Faulty, Message

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.stateful.faults import App

DOOR: Final = "/_faults"


class Behind:
    """An application with a door to the faults in front of it."""

    def __init__(self, name: str, load: Callable[[], App], deployers: tuple[bytes, ...]) -> None:
        self._faulty = Faulty(name, load(), self._is_deployer, _refusal, self._kill)
        self._deployers = deployers
        self._callback = ""

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != DOOR:
            await self._faulty(scope, receive, send)
            return
        if scope["method"] == "PUT":
            body = json.loads(await _body(receive))
            self._callback = body["callback"]
            self._faulty.arm(Fault(**body["fault"]) if body["fault"] else None)
        faulty = self._faulty
        things = _things(obs=faulty.name == "obs")
        told = {"calls": faulty.calls, "came": faulty.came, "log": faulty.log, "things": things}
        content = json.dumps(told).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def _is_deployer(self, scope: Message) -> bool:
        signed = dict(scope["headers"]).get(b"authorization", b"")
        return any(b"Credential=" + it in signed for it in self._deployers)

    def _kill(self) -> None:
        with urllib.request.urlopen(self._callback, timeout=10):  # noqa: S310 - it is on this machine
            pass


def order(fault: Fault | None, callback: str) -> bytes:
    """What the door is told."""
    return json.dumps({"fault": asdict(fault) if fault else None, "callback": callback}).encode()


_ERROR: Final = "<ErrorResponse><Error><Code>{}</Code><Message>for the test's sake</Message></Error></ErrorResponse>"


def _things(*, obs: bool) -> list[tuple[str, ...]]:
    """What there is, read where ministack keeps it: asked through its API it would be twenty requests."""
    from ministack.services import iam, s3

    def kept(of: Any) -> dict[str, Any]:
        return {key: it for (_, key), it in list(of._data.items())}

    found: list[tuple[str, ...]] = []
    for name, bucket in kept(s3._buckets).items():
        found += [("bucket", name), *(("object", name, it) for it in bucket["objects"])]
    # On AWS a bucket's policy is the bucket's own; on OBS it lets users in.
    for name, policy in kept(s3._bucket_policies).items() if obs else ():
        found += [("statement", name, it.get("Sid", "")) for it in json.loads(policy)["Statement"]]
    for name, role in kept(iam._roles).items():
        found += [("role", name), *(("role policy", name, it) for it in role["InlinePolicies"])]
    found += [("user", it) for it in kept(iam._users)]
    for name, policies in kept(iam._user_inline_policies).items():
        found += [("user policy", name, it) for it in policies]
    return found + [("key", it["UserName"], key) for key, it in kept(iam._access_keys).items()]


def _refusal(status: int) -> tuple[bytes, bytes]:
    code = {403: "AccessDenied", 503: "SlowDown"}.get(status, "InternalError")
    return b"application/xml", _ERROR.format(code).encode()


async def _body(receive: Callable[[], Awaitable[Message]]) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


def _aws() -> App:
    from lightly_infra.sandbox.aws.server import app

    return app  # type: ignore[no-any-return]


def _obs() -> App:
    from lightly_infra.sandbox.obs.server import app

    return app


async def aws(scope: Message, receive: Any, send: Any) -> None:
    """The emulated AWS. Its administrator deploys."""
    await _loaded("s3", _aws, (b"test/",))(scope, receive, send)


async def obs(scope: Message, receive: Any, send: Any) -> None:
    """The emulated OBS. Its one user with a key like `OBS…` deploys."""
    await _loaded("obs", _obs, (b"OBS",))(scope, receive, send)


_LOADED: Final[dict[str, Behind]] = {}


def _loaded(name: str, load: Callable[[], App], deployers: tuple[bytes, ...]) -> Behind:
    if name not in _LOADED:  # in the one process that serves it
        _LOADED[name] = Behind(name, load, deployers)
    return _LOADED[name]


__all__ = ["DOOR", "Behind", "aws", "obs", "order"]
