"""The Lightly API on this machine: a real HTTP server that answers the official client's workflow with datasets.

On verify it uses the credentials that it was given, and also tries what must be refused (`probe`). State is in
memory. Of the hosted API it has what datasets and datasources need; every other path is a 404.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from lightly_infra.permissions import Purpose
from lightly_infra.sandbox import lightly_rules as rules
from lightly_infra.sandbox import missing_extra
from lightly_infra.sandbox.lightly_rules import Dataset, Refusal
from lightly_infra.sandbox.probe import not_tried, permissions
from lightly_infra.sandbox.serving import Server

try:
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.exceptions import HTTPException
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route
except ImportError as missing:
    raise missing_extra(missing) from missing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from lightly_infra.sandbox.probe import Attempt

Prober: TypeAlias = "Callable[[Mapping[str, str], Collection[Mapping[str, str]]], list[Attempt]]"
"""Tries a datasource; also gets all other datasources: see `EmulatedCloud.probe`."""

_HIDDEN: Final = "/_emulator/"
_PAGE: Final = 5000
_NOT_PROPAGATED: Final = {
    **dict.fromkeys(("canList", "canRead", "canWrite", "canOverwrite"), False),
    "errors": dict.fromkeys(
        ("canList", "canRead", "canWrite", "canOverwrite"), "AccessDenied: the permissions are not in effect yet"
    ),
}


@dataclass
class _Failure:
    method: str
    path: re.Pattern[str]
    status: int
    times: int
    headers: Mapping[str, str]
    after: bool
    error: Callable[[str], str]


@dataclass
class _Log:
    """Shared between the server's thread and the tests'."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    requests: list[str] = field(default_factory=list)
    failures: list[_Failure] = field(default_factory=list)
    denied_verifies: int = 0


class LightlyServer(Server):
    """The emulated API. A context manager; `start` and `stop` do the same by hand.

    Args:
        token: The one token it accepts.
        probers: Who tries a datasource on verify, by its type, such as `S3`; where nobody does, verify says so.
        port: On 127.0.0.1; 0 takes a free one.

    Attributes:
        datasets: By id; tests may put samples into them.
    """

    name = "the emulated Lightly"

    def __init__(self, token: str, *, probers: Mapping[str, Prober] | None = None, port: int = 0) -> None:
        super().__init__(port)
        self._token = token
        self._probers = probers or {}
        self._log = _Log()
        self._app = self._routes()
        self.datasets: dict[str, Dataset] = {}

    def app(self) -> ASGIApp:
        """Notes requests, and answers them."""
        return self._serve

    @property
    def requests(self) -> list[str]:
        """Method and path of every request so far, without the query."""
        with self._log.lock:
            return list(self._log.requests)

    def proof(self, dataset_id: str) -> list[Attempt]:
        """What the last verify of the dataset tried; empty when there was none."""
        dataset = self.datasets.get(dataset_id)
        return list(dataset.proof) if dataset else []

    @property
    def secrets(self) -> frozenset[str]:
        """Every secret that datasources came with."""
        configs = [config for dataset in self.datasets.values() for config in dataset.datasources.values()]
        return frozenset(value for it in configs for name, value in it.items() if rules.is_secret(it["type"], name))

    def put_dataset(self, dataset_id: str, name: str, kind: str) -> bool:
        """Has a dataset there that somebody has made before, by its id, and tells whether that is new."""
        made = Dataset(dataset_id, name, kind, _now(), _now())
        return self.datasets.setdefault(dataset_id, made) is made

    def deny_verifies(self, count: int) -> None:
        """Lets the next `count` verifies be denied, as while a cloud's permissions propagate."""
        with self._log.lock:
            self._log.denied_verifies = count

    def fail_next(
        self,
        method: str,
        path: str,
        status: int,
        *,
        times: int = 1,
        headers: Mapping[str, str] | None = None,
        after: bool = False,
        error: Callable[[str], str] = lambda _: "the emulator was told to fail",
    ) -> None:
        """Answers the next requests with an error.

        Args:
            method: GET, POST, PUT or DELETE.
            path: A regular expression that is found in the path.
            status: The error's HTTP status.
            times: How many requests fail.
            headers: Of the answer, e.g. Retry-After.
            after: The request is carried out nevertheless: only its answer is lost.
            error: Makes what the error says of the request's path: a server may repeat what it was sent.
        """
        failure = _Failure(method, re.compile(path), status, times, headers or {}, after, error)
        with self._log.lock:
            self._log.failures.append(failure)

    # -- below, all runs in the server's thread

    def _routes(self) -> Starlette:
        one = "/v1/datasets/{id}"
        routes = [
            Route("/v1/versions/pip/latest", _version, methods=["GET"]),
            Route("/v1/versions/pip/minimum", _version, methods=["GET"]),
            Route(_HIDDEN + "datasets/{id}/proof", self._get_proof, methods=["GET"]),
            *(
                Route(path, partial(self._authorised, handler), methods=[method])
                for method, path, handler in (
                    ("POST", "/v1/datasets", self._create),
                    ("GET", "/v1/datasets", self._list),
                    # A name may hold anything when it arrives here, an escaped slash too.
                    ("GET", "/v1/datasets/query/name/{name:path}", self._query),
                    ("GET", one, self._get),
                    ("PUT", one, self._update),
                    ("DELETE", one, self._delete),
                    ("PUT", one + "/datasource", self._set_datasource),
                    ("GET", one + "/datasource", self._get_datasource),
                    ("GET", one + "/datasource/all", self._list_datasources),
                    ("GET", one + "/datasource/verify", self._verify),
                )
            ),
        ]
        return Starlette(routes=routes, exception_handlers={HTTPException: _no_such_path})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["raw_path"].decode("ascii", "replace")
        failure = self._note(method, path)
        if failure is None:
            await self._app(scope, receive, send)
            return
        if failure.after:
            await self._app(scope, receive, _nowhere)
        answer = _error(failure.status, "INTERNAL_SERVER_ERROR", failure.error(path), failure.headers)
        await answer(scope, receive, send)

    def _note(self, method: str, path: str) -> _Failure | None:
        """Logs the request and tells how it is to fail, if it is."""
        if path.startswith(_HIDDEN):
            return None
        with self._log.lock:
            self._log.requests.append(f"{method} {path}")
            for failure in self._log.failures:
                if failure.method == method and failure.times > 0 and failure.path.search(path):
                    failure.times -= 1
                    return failure
        return None

    async def _authorised(self, handler: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
        try:
            if not secrets.compare_digest(request.query_params.get("token", "").encode(), self._token.encode()):
                return _error(401, "UNAUTHORIZED", "the token is not valid")
            return await handler(request)
        except Refusal as refusal:
            return _error(refusal.status, refusal.code, refusal.error)

    async def _create(self, request: Request) -> Response:
        body = rules.new_dataset(await _body(request))
        self._check_free(body["name"])
        optional: dict[str, str] = {name: body[name] for name in ("imgType", "parentDatasetId") if name in body}
        dataset = Dataset(_new_id(), body["name"], body["type"], _now(), _now(), optional=optional)
        self.datasets[dataset.id] = dataset
        return JSONResponse({"id": dataset.id}, 201)

    async def _list(self, request: Request) -> Response:
        return self._page(request, list(self.datasets.values()))

    async def _query(self, request: Request) -> Response:
        name, exact = request.path_params["name"], _flag(request, "exact")
        found = [
            dataset
            for dataset in self.datasets.values()
            if (name == dataset.name if exact else name.lower() in dataset.name.lower())
        ]
        return self._page(request, found)

    def _page(self, request: Request, datasets: list[Dataset]) -> Response:
        # There is one user here: nothing is shared, and there is no team.
        if _flag(request, "shared") or _flag(request, "getAssetsOfTeam"):
            datasets = []
        size, offset = _number(request, "pageSize", _PAGE), _number(request, "pageOffset", 0)
        return JSONResponse([dataset.answer() for dataset in datasets[offset : offset + size]])

    async def _get(self, request: Request) -> Response:
        return JSONResponse(self._dataset(request).answer())

    async def _update(self, request: Request) -> Response:
        dataset = self._dataset(request)
        name = rules.changed_dataset(await _body(request))["name"]
        if name != dataset.name:
            self._check_free(name)
        dataset.name, dataset.last_modified_at = name, _now()
        return Response(status_code=204)

    async def _delete(self, request: Request) -> Response:
        del self.datasets[self._dataset(request).id]
        return Response(status_code=204)

    async def _set_datasource(self, request: Request) -> Response:
        dataset = self._dataset(request)
        dataset.set_datasource({"id": _new_id(), **rules.new_datasource(await _body(request))})
        dataset.last_modified_at = _now()
        return Response(status_code=204)

    async def _get_datasource(self, request: Request) -> Response:
        dataset, purpose = self._dataset(request), request.query_params.get("purpose", rules.PURPOSES[0])
        if purpose not in rules.PURPOSES:
            raise rules.malformed(f"purpose must be one of {', '.join(rules.PURPOSES)}")
        if purpose not in dataset.datasources:
            raise Refusal(404, "DATASET_DATASOURCE_UNKNOWN", f"the dataset has no datasource for {purpose}")
        return JSONResponse(rules.masked(dataset.datasources[purpose]))

    async def _list_datasources(self, request: Request) -> Response:
        return JSONResponse([rules.masked(it) for it in self._dataset(request).datasources.values()])

    async def _verify(self, request: Request) -> Response:
        dataset = self._dataset(request)
        datasources = list(dataset.datasources.values())
        if not datasources:
            raise Refusal(404, "DATASET_DATASOURCE_UNKNOWN", "the dataset has no datasource")
        with self._log.lock:
            denied = self._log.denied_verifies > 0
            self._log.denied_verifies -= denied
        if denied:
            return JSONResponse(_NOT_PROPAGATED)
        known = [it for each in self.datasets.values() for it in each.datasources.values()]
        attempts: list[Attempt] = []
        for it in datasources:
            others = [other for other in known if other is not it]
            attempts += await run_in_threadpool(self._probe, it, others)
        dataset.proof = attempts
        return JSONResponse(permissions(datasources, attempts))

    def _probe(self, datasource: Mapping[str, str], others: Collection[Mapping[str, str]]) -> list[Attempt]:
        kind = datasource["type"]
        if kind in self._probers:
            return self._probers[kind](datasource, others)
        why = f"the emulated Lightly has no cloud here to try {kind} on"
        return not_tried(Purpose(datasource["purpose"]), "error", why)

    async def _get_proof(self, request: Request) -> Response:
        return JSONResponse([asdict(it) | {"holds": it.holds} for it in self.proof(request.path_params["id"])])

    def _dataset(self, request: Request) -> Dataset:
        dataset = self.datasets.get(request.path_params["id"])
        if dataset is None:
            raise Refusal(404, "DATASET_UNKNOWN", "there is no such dataset")
        return dataset

    def _check_free(self, name: str) -> None:
        if any(dataset.name == name for dataset in self.datasets.values()):
            raise Refusal(400, "DATASET_NAME_EXISTS", f"a dataset named {name!r} exists already")


async def _version(_: Request) -> Response:
    return JSONResponse("1.5.26")


async def _body(request: Request) -> Any:
    try:
        return await request.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise rules.malformed("the body is no JSON") from None


async def _nowhere(_: Message) -> None:
    """An answer that is lost."""


async def _no_such_path(request: Request, _: Exception) -> Response:
    return _error(404, "NOT_FOUND", f"the emulator has no {request.method} {request.url.path}")


def _error(status: int, code: str, error: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"code": code, "error": error, "requestId": secrets.token_hex(8)}, status, headers)


def _flag(request: Request, name: str) -> bool:
    value = request.query_params.get(name, "False")
    if value.lower() not in {"true", "false"}:
        raise rules.malformed(f"{name} must be True or False")
    return value.lower() == "true"


def _number(request: Request, name: str, default: int) -> int:
    value = request.query_params.get(name, str(default))
    if not re.fullmatch("[0-9]{1,9}", value):
        raise rules.malformed(f"{name} must be a number")
    return int(value)


def _new_id() -> str:
    return secrets.token_hex(12)


def _now() -> int:
    return time.time_ns() // 1_000_000
