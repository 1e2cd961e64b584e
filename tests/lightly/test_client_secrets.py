"""A canary token and canary secrets, and all the places where they must not turn up."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightly_infra.lightly.client import LightlyClient
from lightly_infra.lightly.errors import ApiError, InvalidAnswer, LightlyError, Unreachable
from lightly_infra.lightly.models import DatasetType, parse_config
from lightly_infra.lightly.operations import create_or_adopt, verify_until_allowed
from lightly_infra.lightly.redaction import REDACTED, one_line, redact
from lightly_infra.sandbox.lightly import LightlyServer

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "canary-token+/=%&1234567890"
SECRET = "canary/secret+=%&1234567890"
ID = "0123456789abcdef01234567"
SAS = f"?sv=2024&sr=c&sp=rl&sig={quote(SECRET, safe='')}"
GCS_KEY = json.dumps({"type": "service_account", "private_key": f"-----BEGIN\n{SECRET}\n", "client_email": "a@b"})

CONFIGS = [
    {"type": "S3", "s3_region": "eu-central-1", "s3_access_key_id": "A", "s3_secret_access_key": SECRET},
    {"type": "AZURE", "account_name": "acme", "account_key": SAS},
    {"type": "GCS", "gcs_project_id": "acme", "gcs_credentials": GCS_KEY},
]


def forms(secret: str) -> set[str]:
    return {
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
    }


def assert_clean(*texts: str) -> None:
    for text in texts:
        assert not [form for form in forms(TOKEN) | forms(SECRET) if form in text], text
        assert "canary" not in text, text


def told(error: BaseException) -> str:
    """All that anyone can print of an error: with locals, causes, contexts and arguments."""
    parts = [str(error), repr(error), repr(error.args), repr(vars(error)), "".join(traceback.format_exception(error))]
    trace = traceback.TracebackException.from_exception(error, capture_locals=True)
    own = [frame for frame in trace.stack if "/lightly_infra/" in frame.filename]
    parts += [repr(frame.locals) for frame in own]
    for nested in (error.__cause__, error.__context__):
        parts += [told(nested)] if nested is not None else []
    return "\n".join(parts)


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    names = ["", "httpx", "httpcore", "httpcore.http11", "httpcore.connection", "httpcore.proxy", "tenacity", "uvicorn"]
    before = {name: logging.getLogger(name).level for name in names}
    caplog.set_level(logging.DEBUG)
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield caplog
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def client(handler: Any) -> LightlyClient:
    return LightlyClient(TOKEN, transport=httpx.MockTransport(handler), sleep=lambda _: None)


def test_the_log_of_a_real_conversation_holds_neither_token_nor_secret(
    everything_logged: pytest.LogCaptureFixture,
) -> None:
    with LightlyServer(TOKEN) as server, LightlyClient(TOKEN, base_url=server.url, sleep=lambda _: None) as lightly:
        dataset = create_or_adopt(lightly, name="street-scenes", type=DatasetType.IMAGES)
        for config in CONFIGS:
            lightly.set_datasource(dataset.id, parse_config({**config, "purpose": "INPUT", "full_path": "x"}))
        lightly.list_datasources(dataset.id)
        server.fail_next("GET", "verify", 503, headers={"Location": f"/?token={quote(TOKEN, safe='')}", "X-T": TOKEN})
        lightly.verify(dataset.id)
        server.fail_next("GET", f"{dataset.id}$", 307, headers={"Location": f"{server.url}/?token={TOKEN}"})
        with pytest.raises(ApiError) as refused:
            lightly.get_dataset(dataset.id)
        assert len(server.requests) == 9
    with pytest.raises(Unreachable) as unreachable:
        LightlyClient(TOKEN, base_url="http://127.0.0.1:9", sleep=lambda _: None).get_dataset(ID)
    assert_clean(told(refused.value), told(unreachable.value))
    assert "HTTP Request: POST http://127.0.0.1" in everything_logged.text
    assert "receive_response_headers" in everything_logged.text
    for record in everything_logged.records:
        assert_clean(record.getMessage(), repr(record.args), repr(record.msg))


def test_closing_a_client_takes_its_log_filters_along() -> None:
    logger = logging.getLogger("httpcore.http11")
    before = list(logger.filters)
    with LightlyClient(TOKEN):
        assert len(logger.filters) == len(before) + 1
    assert logger.filters == before


ECHOES = [
    f"bad token {TOKEN}",
    f"GET https://api.lightly.ai/v1?token={quote(TOKEN, safe='')} failed",
    f"GET /v1?token={quote_plus(TOKEN)}&a=1 failed",
    f"secret {SECRET} is wrong",
    f"secret {json.dumps(SECRET)} is wrong",
    f"{SAS} has expired",
    f"sas {SAS[1:]} has expired",
    f"key {GCS_KEY} is revoked",
    f"key {json.dumps(GCS_KEY)} is revoked",
    f"-----BEGIN\n{SECRET}\n",
    f"{SECRET}{TOKEN}" * 100,
]


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_what_a_server_echoes_is_redacted(echo: str, status: int) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            return httpx.Response(204)
        return httpx.Response(status, json={"code": echo, "error": echo, "requestId": echo})

    lightly = client(handler)
    for config in CONFIGS:
        lightly.set_datasource(ID, parse_config({**config, "purpose": "INPUT", "full_path": "x"}))
    with pytest.raises(ApiError) as refused:
        lightly.get_dataset(ID)
    assert_clean(told(refused.value))
    assert REDACTED in refused.value.message


@pytest.mark.parametrize("kind", [httpx.ConnectError, httpx.ReadTimeout, httpx.ProxyError, httpx.RemoteProtocolError])
def test_what_the_http_library_says_is_redacted(kind: type[httpx.TransportError]) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.url.params["token"] == TOKEN  # the canary is in the request, and in the error below
        raise kind(f"failed: {request.url}", request=request)

    with pytest.raises(Unreachable) as failed:
        client(handler).create_dataset("street-scenes", DatasetType.IMAGES)
    assert_clean(told(failed.value))
    assert failed.value.__context__ is None
    assert failed.value.__cause__ is None


@pytest.mark.parametrize("body", [{"id": TOKEN}, [TOKEN], TOKEN, {TOKEN: TOKEN, "nSamples": SECRET}])
def test_what_a_broken_answer_holds_is_not_shown(body: object) -> None:
    with pytest.raises(InvalidAnswer) as broken:
        client(lambda _: httpx.Response(200, json=body)).get_dataset(ID)
    assert_clean(told(broken.value))
    assert broken.value.__context__ is None


def test_errors_in_an_answer_to_verify_are_redacted() -> None:
    answer = {**dict.fromkeys(("canList", "canRead", "canWrite", "canOverwrite"), False), "errors": {"canList": TOKEN}}
    lightly = client(lambda _: httpx.Response(200, json=answer))
    assert_clean(repr(lightly.verify(ID)))
    answer["errors"] = {"canList": f"key {SECRET}"}
    lightly.hide([SECRET])
    with pytest.raises(LightlyError) as missing:
        verify_until_allowed(lightly, ID, deadline=0)
    assert_clean(str(missing.value), repr(missing.value), "".join(traceback.format_exception(missing.value)))


def test_a_client_does_not_show_its_token() -> None:
    lightly = client(lambda _: httpx.Response(204))
    assert_clean(repr(lightly), str(lightly), repr(vars(lightly)), repr(vars(lightly._http)))


def test_errors_do_not_carry_more_than_they_show() -> None:
    with pytest.raises(ApiError) as refused:
        client(lambda _: httpx.Response(400, json={"error": TOKEN})).get_dataset(ID)
    assert TOKEN.encode() not in pickle.dumps((refused.value.args, vars(refused.value)))


@given(st.text(min_size=4), st.text(), st.text())
def test_no_secret_survives_redaction(secret: str, before: str, after: str) -> None:
    cleaned = redact(f"{before}{secret}{after}", [secret])
    # What is left may spell it only across or within the mark that was put there.
    assert secret not in cleaned.replace(REDACTED, "\0") or "\0" in secret


def test_a_secret_that_begins_like_another_is_removed_whole() -> None:
    assert redact("x canary-1234-5678 y", ["canary-1234", "canary-1234-5678"]) == f"x {REDACTED} y"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see https://docs.example.com/a?b=c&d=e now", "see https://docs.example.com/a?[redacted] now"),
        ("from https://me:word@host/a", "from https://[redacted]@host/a"),
        ("token=abc&x=1", "token=[redacted]&x=1"),
        ("sv=1&sig=abc", "sv=1&sig=[redacted]"),
        ("arn:aws:s3:::bucket/key is fine", "arn:aws:s3:::bucket/key is fine"),
    ],
)
def test_queries_and_user_names_of_urls_are_never_shown(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_a_long_message_becomes_one_short_line() -> None:
    assert one_line("a\r\n\x1b[31mb\tc") == "a [31mb c"
    assert len(one_line("word " * 1000)) == 601
