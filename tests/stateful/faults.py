"""What can go wrong with a call, put in front of an emulator: an ASGI application around another one.

A fault is armed for one run of the engine. It comes at the n-th call that the deployer makes to that server in the run:
what the emulated Lightly, or a test, asks a cloud meanwhile is neither counted nor harmed.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

Kind = Literal[
    "refused",  # 403, and nothing is done
    "broken",  # 500, and nothing is done
    "busy",  # 503, and nothing is done
    "unknown",  # 404 of somebody else's making, and nothing is done
    "cut",  # the answer breaks off, and nothing is done
    "lost",  # it is done, and the answer breaks off
    "timeout",  # it is done, and a gateway answers 504
    "login page",  # 200 with a page for people, and nothing is done
    "ignored",  # a write is answered as if it were done
    "one slot",  # setting one purpose's datasource forgets the other's
    "wrong id",  # what is created is told with an id that is none
    "other id",  # what is created is told with the id of something else
    "another's",  # what is read is told as something else's
    "killed before",  # the deployer ends, and nothing is done
    "killed after",  # it is done, and the deployer ends
]

ANYWHERE: Final[tuple[Kind, ...]] = ("refused", "broken", "busy", "cut", "lost", "timeout")
AT_LIGHTLY: Final[tuple[Kind, ...]] = (
    *ANYWHERE,
    "unknown",
    "login page",
    "ignored",
    "one slot",
    "wrong id",
    "other id",
)
KILLS: Final[tuple[Kind, ...]] = ("killed before", "killed after")

_AFTER: Final = frozenset({"lost", "timeout", "killed after"})
_STATUS: Final = {"refused": 403, "broken": 500, "busy": 503, "unknown": 404, "timeout": 504}
_PAGE: Final = b"<!doctype html><html><body><h1>Sign in</h1><form action=/login></form></body></html>"
_ID: Final = re.compile(rb"[0-9a-f]{24}")
_PATH: Final = re.compile(rb"(?<=://)acme-")
_DATASOURCE: Final = re.compile(r"/v1/datasets/([^/]+)/datasource")


@dataclass(frozen=True)
class Fault:
    """One fault."""

    at: str
    """The server: `lightly`, or a cloud's key in the YAML."""
    call: int
    """At which call of the run it comes, from 1."""
    kind: Kind
    lasts: bool = False
    """Whether all later calls of the run fare alike."""
    writes: bool = False
    """Whether only calls that change something are counted and harmed."""

    def harms(self, count: int) -> bool:
        """Whether it comes at the call of that number."""
        return count >= self.call if self.lasts else count == self.call


@dataclass
class Faulty:
    """Answers as `inner` does, but for the fault that is armed."""

    name: str
    inner: App
    is_deployer: Callable[[Message], bool]
    """Tells the deployer's calls, by what they are signed with."""
    refusal: Callable[[int], tuple[bytes, bytes]] = lambda _: (b"text/html", _PAGE)
    """The content type and body of an error, by its status."""
    kill: Callable[[], None] = lambda: None
    """Ends the deployer."""
    is_dead: Callable[[], bool] = lambda: False
    """Whether the deployer has ended: nothing that it had under way arrives any more."""
    forget: Callable[[str, str], None] = lambda *_: None
    """Takes away a dataset's datasources of other purposes than this one."""
    fault: Fault | None = None
    calls: int = 0
    came: int = 0
    log: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def arm(self, fault: Fault | None) -> None:
        """Begins a run."""
        with self._lock:
            self.fault, self.calls, self.came = fault, 0, 0
            self.log.clear()

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http" or not self.is_deployer(scope):
            await self.inner(scope, receive, send)
            return
        if self.is_dead():
            await _cut(scope, send)
            return
        fault = self._due(scope)
        if fault is None:
            await self.inner(scope, receive, send)
        else:
            await self._harm(fault, scope, receive, send)

    def _due(self, scope: Message) -> Fault | None:
        writes = scope["method"] not in {"GET", "HEAD"}
        with self._lock:
            fault = self.fault
            self.calls += 1 if fault is None or writes or not fault.writes else 0
            self.log.append(f"{scope['method']} {scope['path']}")
            if fault is None or (fault.writes and not writes) or not fault.harms(self.calls):
                return None
            if not _applies(fault.kind, scope):
                return None
            self.came += 1
            self.log[-1] += f" <- {fault.kind}"
            return fault

    async def _harm(self, fault: Fault, scope: Message, receive: Any, send: Any) -> None:
        kind = fault.kind
        if kind in _AFTER:
            await self.inner(scope, receive, _nowhere)
        if kind in KILLS:
            self.kill()
            await _cut(scope, send)
        elif kind in {"cut", "lost"}:
            await _cut(scope, send)
        elif kind == "login page":
            await _answer(send, 200, b"text/html", _PAGE)
        elif kind == "ignored":
            await _answer(send, 204, b"", b"")
        elif kind == "another's":
            await self._anothers(scope, receive, send)
        elif kind == "one slot":
            await self._one_slot(scope, receive, send)
        elif kind in {"wrong id", "other id"}:
            await self.inner(scope, receive, _nowhere)
            told = "1" if kind == "wrong id" else "0" * 24
            await _answer(send, 201, b"application/json", json.dumps({"id": told}).encode())
        else:
            status = _STATUS[kind]
            # What says that there is nothing is somebody else's page: a server's own word would be believed, rightly.
            content = (b"text/html", _PAGE) if kind in {"unknown", "timeout"} else self.refusal(status)
            await _answer(send, status, *content)

    async def _anothers(self, scope: Message, receive: Any, send: Any) -> None:
        async def renamed(message: Message) -> None:
            body = message.get("body", b"")
            await send({**message, "body": _PATH.sub(b"their", _ID.sub(b"0" * 24, body))} if body else message)

        await self.inner(scope, receive, renamed)

    async def _one_slot(self, scope: Message, receive: Any, send: Any) -> None:
        messages: list[Message] = []
        body = b""

        async def heard() -> Message:
            nonlocal body
            message: Message = await receive()
            body += message.get("body", b"")
            return message

        async def kept(message: Message) -> None:
            messages.append(message)

        await self.inner(scope, heard, kept)
        found = _DATASOURCE.fullmatch(scope["path"])
        if found and body:
            self.forget(found[1], json.loads(body).get("purpose", ""))
        for message in messages:
            await send(message)


def _applies(kind: Kind, scope: Message) -> bool:
    """Whether a server can go wrong like this with such a call."""
    method, path = scope["method"], scope["path"]
    match kind:
        case "ignored":
            return bool(method in {"PUT", "DELETE"})
        case "another's":
            return bool(method == "GET")
        case "one slot":
            return bool(method == "PUT" and _DATASOURCE.fullmatch(path))
        case "wrong id" | "other id":
            return bool(method == "POST")
        case _:
            return True


async def _answer(send: Any, status: int, kind: bytes, body: bytes) -> None:
    headers = [(b"content-length", str(len(body)).encode())] if status != 204 else []
    headers += [(b"content-type", kind)] if kind else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _cut(scope: Message, send: Any) -> None:
    """Half an answer, after which the server hangs up; to HEAD, of which half an answer would be a whole one, 502."""
    if scope["method"] == "HEAD":
        await _answer(send, 502, b"", b"")
        return
    headers = [(b"content-length", b"1000"), (b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{", "more_body": True})


async def _nowhere(_: Message) -> None:
    """An answer that nobody hears."""
