"""A typed client of the Lightly API: the requests that datasets and their datasources need, and no others.

What is repeated, and when: GET, PUT and DELETE on lost connections and on 429, 502, 503, 504, for doing them twice
does no harm. POST creates, so it is repeated only when it can't have been carried out: no connection was made, or
the answer was 429. A server's Retry-After is honoured; if it asks for more than a minute, the call fails at once.

Redirects are not followed: the token is in the query, so following one hands it to whomever the redirect names.
The error says where it points.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any, Final, Self, TypeGuard, TypeVar
from urllib.parse import quote

import httpx
from pydantic import AfterValidator, BaseModel, SecretStr, TypeAdapter, ValidationError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from lightly_infra.lightly import transport as wire
from lightly_infra.lightly.errors import (
    ApiError,
    DatasetNameExists,
    DatasetUnknown,
    InvalidAnswer,
    InvalidInput,
    LightlyError,
    TokenMissing,
    TokenRefused,
    Unreachable,
    complaints,
)
from lightly_infra.lightly.models import (
    DatasetData,
    DatasetType,
    DatasourceConfig,
    DatasourceData,
    DatasourcePermissions,
    check_dataset_id,
    check_dataset_name,
    secret_values,
    to_api,
)
from lightly_infra.lightly.redaction import one_line, redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from lightly_infra.permissions import Purpose

_ATTEMPTS: Final = 5
_LONGEST_RETRY_AFTER: Final = 60.0
_DAY: Final = 86_400.0
_PAGE: Final = 5000  # what the official client asks for

_PASSING: Final = frozenset({429, 502, 503, 504})
_REFUSED: Final = frozenset({401, 403})
_HEADERS: Final = ("age", "date", "location", "retry-after", "x-request-id")
_CREATED: Final = 201
_TOO_MANY: Final = 429
_NOT_FOUND: Final = 404
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


class _TooLate(httpx.TimeoutException):
    """The request as a whole took too long."""


class _Created(BaseModel):
    """The answer to a POST; more than the id may be there."""

    id: Annotated[str, AfterValidator(check_dataset_id)]


_T = TypeVar("_T")
_backoff: Final = wait_random_exponential(multiplier=0.5, max=10)


class LightlyClient:
    """Talks to one Lightly server with one token. Safe to share between threads; close it, or use `with`.

    Every call raises ApiError, Unreachable or InvalidAnswer, and InvalidInput before anything is sent.
    """

    def __init__(
        self,
        token: str | SecretStr,
        *,
        base_url: str = wire.DEFAULT_SERVER,
        ca_certs: str | None = None,
        environment: Mapping[str, str] | None = None,
        timeout: httpx.Timeout = wire.TIMEOUT,
        deadline: float = wire.DEADLINE,
        longest_answer: int = wire.LONGEST_ANSWER,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Opens no connection yet.

        Args:
            token: The API token; white space around it is dropped.
            base_url: The server, with an optional path.
            ca_certs: A PEM file of authorities to trust instead of the built-in ones.
            environment: Where the proxy settings are read from; the process's own when None.
            timeout: Seconds for each step of a request.
            deadline: Seconds for a request as a whole.
            longest_answer: Bytes of an answer.
            transport: Instead of the network, for tests; it sees the token.
            sleep: Waits between attempts, for tests.
            clock: Seconds since any moment, for tests.

        Raises:
            TokenMissing: The token is empty.
            InvalidInput: The server, the file or a proxy can't be used.
        """
        plain = (token.get_secret_value() if isinstance(token, SecretStr) else token).strip()
        if not plain:
            raise TokenMissing
        url = wire.server(base_url)
        inner = transport or wire.connection(
            url, ca_certs=ca_certs, environment=os.environ if environment is None else environment
        )
        self.base_url = str(url).rstrip("/")
        self._token = SecretStr(plain)
        self._lock = Lock()
        # Replaced as a whole, under the lock, so that other threads may read it meanwhile.
        self._secrets = frozenset({self._token})
        self.sleep: Final = sleep
        self.clock: Final = clock
        self._deadline, self._longest_answer = deadline, longest_answer
        self._server_ahead: float | None = None
        self._http = httpx.Client(
            transport=wire.TokenTransport(self._token, inner),
            timeout=timeout,
            headers={"accept": "application/json", "accept-encoding": "gzip", "user-agent": "lightly-infra"},
            follow_redirects=False,
            trust_env=False,  # the transport has what the environment says; this is about .netrc
        )

    @classmethod
    def from_env(cls, environment: Mapping[str, str] | None = None) -> Self:
        """As LIGHTLY_TOKEN, LIGHTLY_SERVER_LOCATION, LIGHTLY_CA_CERTS and the proxy variables say."""
        values = os.environ if environment is None else environment
        return cls(
            values.get("LIGHTLY_TOKEN", ""),
            base_url=values.get("LIGHTLY_SERVER_LOCATION", "").strip() or wire.DEFAULT_SERVER,
            ca_certs=values.get("LIGHTLY_CA_CERTS") or None,
            environment=values,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.base_url!r})"

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def create_dataset(self, name: str, type: DatasetType) -> str:  # noqa: A002 - the API's word
        """Creates a dataset and returns its id. Raises DatasetNameExists."""
        body = {"name": check_dataset_name(name), "type": DatasetType(type).value, "creator": "USER_PIP"}
        path = "/v1/datasets"
        response = self._send("POST", path, body=body)
        made = self._read(f"POST {path}", lambda: _Created.model_validate_json(response.content)).id
        if response.status_code != _CREATED:
            raise InvalidAnswer(
                f"POST {path}: answered {response.status_code}, not {_CREATED}: nothing says it was made"
            )
        return made

    def get_dataset(self, dataset_id: str) -> DatasetData:
        """The dataset. Raises DatasetUnknown."""
        found = self._json("GET", _dataset(dataset_id), DatasetData)
        if found.id != dataset_id:
            raise InvalidAnswer(f"GET {_dataset(dataset_id)}: the answer is about another dataset, {found.id}")
        return found

    def find_datasets(self, name: str) -> list[DatasetData]:
        """This account's datasets of exactly that name: one at most, if the server keeps its rules."""
        path = f"/v1/datasets/query/name/{quote(name, safe='')}"
        # The order and the capitals are the official client's.
        found = self._all(path, {"shared": "False", "exact": "True", "getAssetsOfTeam": "False"})
        # Compared here, for not every server takes `exact` at its word.
        return [dataset for dataset in found if dataset.name == name]

    def list_datasets(self) -> list[DatasetData]:
        """All of this account's datasets, without those that others share with it."""
        return self._all("/v1/datasets", {"shared": "False", "getAssetsOfTeam": "False"})

    def update_dataset(self, dataset_id: str, *, name: str) -> None:
        """Renames the dataset. Raises DatasetUnknown, DatasetNameExists."""
        self._do("PUT", _dataset(dataset_id), body={"name": check_dataset_name(name)})

    def delete_dataset(self, dataset_id: str) -> None:
        """Deletes the dataset with its datasources. Raises DatasetUnknown, also when a lost answer was a success."""
        self._do("DELETE", _dataset(dataset_id))

    def set_datasource(self, dataset_id: str, config: DatasourceConfig) -> None:
        """Sets the datasource of the config's purpose, in place of the one before. Raises DatasetUnknown."""
        self.hide(secret_values(config))
        self._do("PUT", f"{_dataset(dataset_id)}/datasource", body=to_api(config))

    def get_datasource(self, dataset_id: str, purpose: Purpose) -> DatasourceData:
        """The datasource of that purpose. Raises ApiError where there is none, DatasetUnknown."""
        path = f"{_dataset(dataset_id)}/datasource"
        answer = self._json("GET", path, dict[str, Any], query={"purpose": purpose.value})
        return self._read(f"GET {path}", lambda: DatasourceData.from_api(answer))

    def list_datasources(self, dataset_id: str) -> list[DatasourceData]:
        """All datasources of the dataset. Raises DatasetUnknown."""
        path = f"{_dataset(dataset_id)}/datasource/all"
        answer = self._json("GET", path, list[dict[str, Any]])
        return self._read(f"GET {path}", lambda: [DatasourceData.from_api(item) for item in answer])

    def server_time(self, at: float) -> float | None:
        """What Lightly's clock showed when ours (`clock`) showed `at`: seconds since 1970; None where it never says.

        As the `Date` of the last answer tells, which counts whole seconds and is rounded down (RFC 9110, 5.6.7).
        """
        return None if self._server_ahead is None else at + self._server_ahead

    def hide(self, secrets: Iterable[str]) -> None:
        """Keeps `secrets` out of every message from now on, as the token and the secrets that were sent here are."""
        with self._lock:
            self._secrets |= {SecretStr(value) for value in secrets}

    def verify(self, dataset_id: str) -> DatasourcePermissions:
        """What Lightly can do with the dataset's datasources at this moment. Raises DatasetUnknown."""
        permissions = self._json("GET", f"{_dataset(dataset_id)}/datasource/verify", DatasourcePermissions)
        said = {key: self._clean(str(text)) for key, text in (permissions.errors or {}).items() if text}
        return permissions.model_copy(update={"errors": said or None})

    def _all(self, path: str, query: Mapping[str, str]) -> list[DatasetData]:
        """The datasets of every page."""
        found: dict[str, DatasetData] = {}
        offset = 0
        while True:
            page_of = {**query, "pageSize": str(_PAGE), "pageOffset": str(offset)}
            page = self._json("GET", path, list[DatasetData], query=page_of)
            fresh = {dataset.id: dataset for dataset in page if dataset.id not in found}
            found |= fresh
            if len(page) < _PAGE or not fresh:  # nothing new: the server repeats itself
                return list(found.values())
            offset += len(page)

    def _json(
        self,
        method: str,
        path: str,
        kind: type[_T],
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, str] | None = None,
    ) -> _T:
        """The answer read as `kind`."""
        response = self._send(method, path, query=query, body=body)
        return self._read(f"{method} {path}", lambda: TypeAdapter(kind).validate_json(response.content))

    def _do(self, method: str, path: str, *, body: Mapping[str, str] | None = None) -> None:
        """A request whose answer has no body, or at least one that the API could have made."""
        response = self._send(method, path, body=body)
        if response.content.strip():
            self._read(f"{method} {path}", lambda: TypeAdapter(Any).validate_json(response.content))

    def _read(self, request: str, reader: Callable[[], _T]) -> _T:
        """What `reader` makes of an answer. Raises InvalidAnswer, which names fields but no values."""
        try:
            return reader()
        except ValidationError as error:
            said = self._clean(complaints(error))
        # Here and below, errors are raised outside of the except block: a context would keep values alive.
        raise InvalidAnswer(
            f"{request}: the answer is not what the Lightly API promises ({said}); "
            "check LIGHTLY_SERVER_LOCATION and whether a proxy answered"
        )

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """A 2xx answer, after as many attempts as it takes and is safe."""
        attempts = Retrying(
            retry=retry_if_exception(lambda error: _may_repeat(method, error)),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=_wait,
            sleep=self.sleep,
            reraise=True,
        )
        return attempts(self._send_once, method, path, query, body)

    def _send_once(
        self, method: str, path: str, query: Mapping[str, str] | None, body: Mapping[str, str] | None
    ) -> httpx.Response:
        failure: LightlyError
        try:
            response = self._exchange(method, path, query, body)
        except httpx.TransportError as error:
            failure = self._unreachable(method, path, error)
        except wire.AnswerUnreadable:
            failure = InvalidAnswer(f"{method} {path}: the answer's compression is broken or unknown")
        except wire.AnswerTooLong:
            failure = InvalidAnswer(
                f"{method} {path}: the answer has more than {self._longest_answer // 2**20} MiB, which none of "
                "Lightly's has; check LIGHTLY_SERVER_LOCATION and whether a proxy answered"
            )
        else:
            return self._accepted(method, path, response)
        raise failure

    def _exchange(
        self, method: str, path: str, query: Mapping[str, str] | None, body: Mapping[str, str] | None
    ) -> httpx.Response:
        """Any answer, whole."""
        url = f"{self.base_url}{path}"
        with wire.due_in(self._deadline):
            try:
                with self._http.stream(method, url, params=query, json=body) as response:
                    content = wire.body(response, self._longest_answer)
            except httpx.TimeoutException as error:
                if not wire.is_due():
                    raise
                raise _TooLate(f"no whole answer within {self._deadline:g} s") from error
        answer = httpx.Response(response.status_code, content=content, request=response.request)
        answer.headers.update({name: response.headers[name] for name in _HEADERS if name in response.headers})
        answer.next_request = response.next_request
        return answer

    def _accepted(self, method: str, path: str, response: httpx.Response) -> httpx.Response:
        """A 2xx answer."""
        if (date := _date(response)) is not None:
            self._server_ahead = date - self.clock()
        if response.is_success:
            return response
        raise self._refusal(f"{method} {path}", response)

    def _unreachable(self, method: str, path: str, error: httpx.TransportError) -> LightlyError:
        where = f"Lightly at {self.base_url} was not reached ({method} {path})"
        if reason := wire.distrust(error):
            return Unreachable(f"{where}: {reason}", may_have_arrived=False, passing=False)
        said = self._clean(str(error)) or "no answer"
        return Unreachable(
            f"{where}: {type(error).__name__}: {said}; "
            "check the network, the proxy variables and LIGHTLY_SERVER_LOCATION",
            may_have_arrived=not isinstance(error, _NEVER_SENT),
            passing=not isinstance(error, _TooLate),  # as slow again, for as long again
        )

    def _refusal(self, request: str, response: httpx.Response) -> ApiError:
        envelope = _envelope(response)
        code = envelope.get("code") if isinstance(envelope.get("code"), str) else None
        said = envelope.get("error")
        request_id = envelope.get("requestId") or response.headers.get("x-request-id")
        kind, remedy = _kind(response, code)
        asked = _retry_after(response)
        if _is_too_long(asked):
            wait = f"{asked:.0f} s" if asked <= _DAY else "more than a day"
            remedy = f"{remedy}. " * bool(remedy) + f"It asks to wait for {wait}: try again after that"
        return kind(
            self._clean(request),
            status=response.status_code,
            code=self._clean(code) if code else None,
            message=self._clean(said if isinstance(said, str) else ""),
            request_id=self._clean(str(request_id)) if request_id else None,
            retry_after=asked,
            remedy=self._clean(remedy),
        )

    def _clean(self, text: str) -> str:
        # Redacted before it is shortened: half a secret would not be recognised.
        return one_line(redact(text, (secret.get_secret_value() for secret in self._secrets)))


def _date(response: httpx.Response) -> float | None:
    """When the answer was made, in seconds since 1970; None where it does not say, or a cache has kept it."""
    if "age" in response.headers:
        return None
    try:
        return parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    except (ValueError, OverflowError):
        return None


def _dataset(dataset_id: str) -> str:
    return f"/v1/datasets/{quote(dataset_id, safe='')}"


def _may_repeat(method: str, error: BaseException) -> bool:
    if isinstance(error, Unreachable):
        return error.passing and (method != "POST" or not error.may_have_arrived)
    if isinstance(error, ApiError) and not _is_too_long(error.retry_after):
        # 503 may come from a gateway that lost a server which was at work.
        return error.status == _TOO_MANY or (method != "POST" and error.status in _PASSING)
    return False


def _wait(state: RetryCallState) -> float:
    """Seconds until the next attempt: what the server asked for, if it did, and jitter on top."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, ApiError) and error.retry_after else 0.0
    return asked + _backoff(state)


def _is_too_long(asked: float | None) -> TypeGuard[float]:
    """Whether a server asks for more seconds than anyone should sit and wait for."""
    return asked is not None and asked > _LONGEST_RETRY_AFTER


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds, from either form of the header; None if there is none or it makes no sense."""
    value = response.headers.get("retry-after", "")
    try:
        if value.strip().isdecimal():
            return float(value)
        when = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def _envelope(response: httpx.Response) -> dict[str, Any]:
    """The error envelope {code, error, requestId}; empty for anything else, such as a proxy's page."""
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _kind(response: httpx.Response, code: str | None) -> tuple[type[ApiError], str]:
    """Which error an answer is, and what to do about it."""
    status = response.status_code
    if response.next_request is not None:
        return ApiError, (
            f"It redirects to {_target(response.next_request.url)}, which is not followed, "
            f"for the token would travel along; {_way_on(response.next_request.url)}"
        )
    if status in _REFUSED:
        return TokenRefused, "Check LIGHTLY_TOKEN: is it whole, still valid, and of a user who may do this?"
    if code == "DATASET_NAME_EXISTS":
        return DatasetNameExists, ""
    # Not any 404: a wrong server or path must not make anyone believe that a dataset is gone.
    if code == "DATASET_UNKNOWN":
        return DatasetUnknown, ""
    if status == _NOT_FOUND and code is None:
        return ApiError, "This does not look like the Lightly API: check LIGHTLY_SERVER_LOCATION"
    return ApiError, ""


def _way_on(url: httpx.URL) -> str:
    """What to do about a redirect: its target is proposed only where it would be taken."""
    try:
        wire.server(_target(url))
    except InvalidInput:
        return "it is no address that may be used: check LIGHTLY_SERVER_LOCATION, and any proxy on the way"
    return "if that is right, set LIGHTLY_SERVER_LOCATION to it"


def _target(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}{url.path}"
