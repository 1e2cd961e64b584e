"""The door of the emulated OBS, with a ministack behind it that only notes what it gets."""

from __future__ import annotations

import asyncio
import json
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra.sandbox.obs import DOOR, DOOR_PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULE = "lightly_infra.sandbox.obs.server"


class Noted(list[Any]):
    """What ministack got: requests that are its own, accounts, and states of IAM."""

    async def serve(self, scope: dict[str, Any], receive: Any, *_: object) -> None:
        self.append(scope["path"])
        if scope["query_string"]:
            body = (await receive())["body"]
            assert {len(body)} == {int(it) for name, it in scope["headers"] if name == b"content-length"}
            self.append(body)


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Noted]:
    noted = Noted()
    # The real one starts to run when it is imported, and is for a process of its own.
    modules: dict[str, dict[str, Any]] = {
        "ministack": {},
        "ministack.app": {"app": noted.serve},
        "ministack.core": {},
        "ministack.core.responses": {"set_request_account_id": noted.append},
        "ministack.services": {"iam": ModuleType("iam")},
    }
    for name, parts in modules.items():
        module = ModuleType(name)
        vars(module).update(parts)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(sys.modules["ministack.services"].iam, "load_persisted_state", noted.append, raising=False)
    monkeypatch.setenv(DOOR_PASSWORD, "canary")
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    yield noted
    sys.modules.pop(MODULE, None)


def answered(
    path: str, body: bytes = b"", password: bytes = b"canary", query: bytes = b"", method: str = "PUT"
) -> list[Any]:
    """What the server answers to a request whose body arrives in two parts."""
    sent: list[Any] = []
    parts: Iterator[dict[str, Any]] = iter([{"body": body[:5], "more_body": True}, {"body": body[5:]}])

    async def receive() -> dict[str, Any]:
        return next(parts)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "path": path,
        "headers": [(b"authorization", password), (b"content-length", str(len(body)).encode())],
        "method": method,
        "query_string": query,
    }
    asyncio.run(import_module(MODULE).app(scope, receive, send))
    return sent


def test_everything_else_is_ministacks(noted: Noted) -> None:
    assert answered("/acme-raw/a.png") == []
    assert noted == ["/acme-raw/a.png"]


def test_who_knows_the_password_adds_to_iam(noted: Noted) -> None:
    users = {"users": {"someone": {"UserName": "someone"}}}
    assert answered(DOOR, json.dumps(users).encode())[0]["status"] == 204
    assert noted == ["test", users]


def test_who_does_not_adds_nothing(noted: Noted) -> None:
    assert answered(DOOR, b'{"users": {}}', b"guess")[0]["status"] == 403
    assert noted == []


DOCUMENT = "<LifecycleConfiguration><Rule><Prefix>raw/</Prefix></Rule>{}</LifecycleConfiguration>"


def test_a_lifecycle_that_obs_takes_reaches_ministack_whole(noted: Noted) -> None:
    assert answered("/acme-raw", DOCUMENT.format("").encode(), query=b"lifecycle") == []
    path, body = noted
    assert path == "/acme-raw"
    assert b"<Rule><Filter><Prefix>raw/</Prefix></Filter></Rule>" in body


def test_one_that_it_refuses_does_not(noted: Noted) -> None:
    body = DOCUMENT.format("<Rule><Prefix>raw/&lt;new</Prefix></Rule>").encode()
    started, ended = answered("/acme-raw", body, query=b"lifecycle=")
    assert started["status"] == 400
    assert b"<Code>InvalidRequest</Code><Message>the prefix 'raw/&lt;new' holds what" in ended["body"]
    assert noted == []


def test_reading_a_lifecycle_is_ministacks_own(noted: Noted) -> None:
    assert answered("/acme-raw", b"", query=b"lifecycle", method="GET") == []
    assert noted[0] == "/acme-raw"
