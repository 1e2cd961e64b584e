from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from lightly_infra.lightly.client import LightlyClient
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
)
from lightly_infra.lightly.models import DatasetType, parse_config
from lightly_infra.permissions import Purpose

if TYPE_CHECKING:
    from collections.abc import Callable

ID = "0123456789abcdef01234567"
DATASET = {
    "id": ID,
    "name": "street-scenes",
    "userId": "u",
    "type": "Images",
    "nSamples": 0,
    "sizeInBytes": 0,
    "createdAt": 1,
    "lastModifiedAt": 1,
}
CONFIG = parse_config(
    {
        "type": "S3",
        "purpose": "INPUT",
        "full_path": "s3://acme-raw/a/",
        "s3_region": "eu-central-1",
        "s3_access_key_id": "AKIA1",
        "s3_secret_access_key": "secret-access-key",
    }
)

Answer = httpx.Response | type[httpx.TransportError]


class Server:
    """Answers in order and notes what was asked; the last answer is repeated."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.slept: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, httpx.Response):
            return answer
        raise answer("it failed", request=request)

    def client(self, **options: Any) -> LightlyClient:
        return LightlyClient("the-token", transport=httpx.MockTransport(self), sleep=self.slept.append, **options)


def ok(body: object = None, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=body)


def refusal(status: int, code: str | None = None, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "error": "no", "requestId": "r1"}, headers=headers)


CALLS: dict[str, Callable[[LightlyClient], object]] = {
    "POST": lambda client: client.create_dataset("street-scenes", DatasetType.IMAGES),
    "GET": lambda client: client.get_dataset(ID),
    "PUT": lambda client: client.update_dataset(ID, name="new name"),
    "DELETE": lambda client: client.delete_dataset(ID),
}
GOOD = {"POST": {"id": ID}, "GET": DATASET, "PUT": None, "DELETE": None}


def test_the_requests_are_those_of_the_official_client() -> None:
    server = Server(ok({"id": ID}, 201), ok(DATASET), ok([DATASET]), ok(), ok(), ok([]), ok({"type": "S3"}), ok())
    with server.client() as client:
        assert client.create_dataset("street-scenes", DatasetType.VIDEOS) == ID
        assert client.get_dataset(ID).name == "street-scenes"
        assert [it.id for it in client.find_datasets("street-scenes")] == [ID]
        client.update_dataset(ID, name="new name")
        client.set_datasource(ID, CONFIG)
        assert client.list_datasources(ID) == []
        assert client.get_datasource(ID, Purpose.INPUT).type == "S3"
        client.delete_dataset(ID)
    one = f"https://api.lightly.ai/v1/datasets/{ID}"
    assert [f"{it.method} {it.url}" for it in server.requests] == [
        "POST https://api.lightly.ai/v1/datasets?token=the-token",
        f"GET {one}?token=the-token",
        (
            "GET https://api.lightly.ai/v1/datasets/query/name/street-scenes?shared=False&exact=True"
            "&getAssetsOfTeam=False&pageSize=5000&pageOffset=0&token=the-token"
        ),
        f"PUT {one}?token=the-token",
        f"PUT {one}/datasource?token=the-token",
        f"GET {one}/datasource/all?token=the-token",
        f"GET {one}/datasource?purpose=INPUT&token=the-token",
        f"DELETE {one}?token=the-token",
    ]
    assert all("authorization" not in it.headers for it in server.requests)
    bodies = [json.loads(it.content) for it in server.requests if it.content]
    assert bodies[:2] == [{"name": "street-scenes", "type": "Videos", "creator": "USER_PIP"}, {"name": "new name"}]
    assert bodies[2]["s3SecretAccessKey"] == "secret-access-key"


def test_path_values_and_the_token_are_fully_escaped() -> None:
    server = Server(ok([]))
    LightlyClient("a&b=c/d+e%20", transport=httpx.MockTransport(server)).find_datasets("a/b ?#&%2F")
    url = server.requests[0].url
    assert url.raw_path.startswith(b"/v1/datasets/query/name/a%2Fb%20%3F%23%26%252F?")
    assert url.params["token"] == "a&b=c/d+e%20"


def test_only_exact_names_are_found_whatever_the_server_answers() -> None:
    others = [{**DATASET, "id": str(number) * 24, "name": name} for number, name in enumerate(("street", "STREET"))]
    assert [it.name for it in Server(ok(others)).client().find_datasets("street")] == ["street"]
    assert Server(ok(others)).client().find_datasets("street-scenes") == []


def test_all_pages_are_read_and_a_page_that_repeats_itself_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightly_infra.lightly.client._PAGE", 2)
    pages = [[{**DATASET, "id": f"{page}{number}" * 12} for number in range(2)] for page in range(3)]
    server = Server(*(ok(page) for page in pages), ok(pages[2][:1]))
    assert len(server.client().find_datasets("street-scenes")) == 6
    assert [it.url.params["pageOffset"] for it in server.requests] == ["0", "2", "4", "6"]
    stuck = Server(ok(pages[0]))
    assert len(stuck.client().find_datasets("street-scenes")) == 2
    assert len(stuck.requests) == 2


def test_all_datasets_of_the_account_are_listed_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightly_infra.lightly.client._PAGE", 2)
    datasets = [{**DATASET, "id": str(number) * 24, "name": f"number {number}"} for number in range(3)]
    server = Server(ok(datasets[:2]), ok(datasets[2:]))
    assert [it.name for it in server.client().list_datasets()] == ["number 0", "number 1", "number 2"]
    assert [it.url.path for it in server.requests] == ["/v1/datasets"] * 2
    assert server.requests[1].url.query.decode() == (
        "shared=False&getAssetsOfTeam=False&pageSize=2&pageOffset=2&token=the-token"
    )


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "bad", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError, httpx.WriteError, 429, 502, 503, 504]
)
def test_what_may_be_repeated_is_repeated(method: str, bad: type[httpx.TransportError] | int) -> None:
    failure = refusal(bad) if isinstance(bad, int) else bad
    server = Server(failure, failure, ok(GOOD[method]))
    CALLS[method](server.client())
    assert len(server.requests) == 3
    assert len(server.slept) == 2


@pytest.mark.parametrize("bad", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, 429])
def test_a_post_is_repeated_when_it_was_surely_not_carried_out(bad: type[httpx.TransportError] | int) -> None:
    server = Server(refusal(bad) if isinstance(bad, int) else bad, ok({"id": ID}, 201))
    assert CALLS["POST"](server.client()) == ID
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "bad", [httpx.ReadTimeout, httpx.WriteTimeout, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError]
)
def test_a_post_that_may_have_arrived_is_never_repeated(bad: type[httpx.TransportError]) -> None:
    server = Server(bad)
    with pytest.raises(Unreachable) as failed:
        CALLS["POST"](server.client())
    assert failed.value.may_have_arrived
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_post_that_a_gateway_lost_is_never_repeated(status: int) -> None:
    server = Server(httpx.Response(status, headers={"retry-after": "1"}))
    with pytest.raises(ApiError):
        CALLS["POST"](server.client())
    assert len(server.requests) == 1


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 500])
def test_other_refusals_are_final(method: str, status: int) -> None:
    server = Server(refusal(status))
    with pytest.raises(ApiError) as refused:
        CALLS[method](server.client())
    assert refused.value.status == status
    assert len(server.requests) == 1


def test_attempts_end_and_the_last_error_is_told() -> None:
    server = Server(refusal(503, "BUSY"))
    with pytest.raises(ApiError, match=f"503 BUSY to GET /v1/datasets/{ID}: no .request id r1.") as refused:
        CALLS["GET"](server.client())
    assert (refused.value.code, refused.value.message, refused.value.request_id) == ("BUSY", "no", "r1")
    assert len(server.requests) == 5


def test_waits_grow_at_random_and_stay_short() -> None:
    servers = [Server(httpx.ConnectError) for _ in range(20)]
    for server in servers:
        with pytest.raises(Unreachable):
            CALLS["GET"](server.client())
    waits = [server.slept for server in servers]
    assert all(0 <= wait <= 10 for slept in waits for wait in slept)
    assert len({slept[0] for slept in waits}) > 10


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("7", 7, 8),
        ("60", 60, 61),
        ("-5", 0, 1),
        ("soon", 0, 1),
        ("", 0, 1),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 1),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 0, 1),
    ],
)
def test_retry_after_is_honoured_up_to_a_minute(header: str, least: float, most: float) -> None:
    server = Server(httpx.Response(429, headers={"retry-after": header}), ok(DATASET))
    CALLS["GET"](server.client())
    assert least <= server.slept[0] <= most


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "said"), [("61", "61 s"), ("3600", "3600 s"), ("Fri, 31 Dec 2999 23:59:59 GMT", "more than a day")]
)
def test_a_server_that_asks_for_more_than_a_minute_is_not_asked_again(status: int, header: str, said: str) -> None:
    server = Server(httpx.Response(status, headers={"retry-after": header}), ok(DATASET))
    with pytest.raises(ApiError) as refused:
        CALLS["GET"](server.client())
    assert f"It asks to wait for {said}" in str(refused.value)
    assert (len(server.requests), server.slept) == (1, [])


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, {"code": "DATASET_UNKNOWN", "error": "?"}, DatasetUnknown),
        (404, {"code": "DATASET_DATASOURCE_UNKNOWN", "error": "?"}, ApiError),
        (404, {"detail": "Not Found"}, ApiError),
        (400, {"code": "DATASET_NAME_EXISTS", "error": "?"}, DatasetNameExists),
        (409, {"code": "DATASET_NAME_EXISTS"}, DatasetNameExists),
        (401, {"code": "UNAUTHORIZED"}, TokenRefused),
        (403, {}, TokenRefused),
        (500, ["no envelope"], ApiError),
        (500, 7, ApiError),
        (500, {"code": 7, "error": {"a": 1}, "requestId": 9}, ApiError),
    ],
)
def test_a_refusal_becomes_the_error_that_it_is(status: int, body: object, kind: type[ApiError]) -> None:
    with pytest.raises(ApiError) as refused:
        CALLS["GET"](Server(ok(body, status)).client())
    assert type(refused.value) is kind


def test_a_page_that_is_no_answer_of_lightly_points_to_the_server_location() -> None:
    with pytest.raises(ApiError, match="LIGHTLY_SERVER_LOCATION"):
        CALLS["GET"](Server(httpx.Response(404, html="<h1>nginx</h1>")).client())


def test_the_request_id_may_be_in_a_header() -> None:
    with pytest.raises(ApiError, match="request id from-header"):
        CALLS["GET"](Server(httpx.Response(500, headers={"x-request-id": "from-header"})).client())


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("GET", httpx.Response(200, html="<h1>log in</h1>")),
        ("GET", ok({**DATASET, "nSamples": "many"})),
        ("GET", ok({**DATASET, "id": "../../x"})),
        ("GET", ok(None)),
        ("GET", httpx.Response(204)),
        ("GET", httpx.Response(200, stream=httpx.ByteStream(b"x"), headers={"content-encoding": "gzip"})),
        ("POST", ok({}, 201)),
        ("POST", ok({"id": None}, 201)),
        ("POST", ok([], 201)),
    ],
)
def test_an_answer_that_is_none_is_told_from_an_error(method: str, answer: httpx.Response) -> None:
    with pytest.raises(InvalidAnswer, match=method):
        CALLS[method](Server(answer).client())


def test_answers_for_datasources_and_verify_are_checked_as_well() -> None:
    with pytest.raises(InvalidAnswer, match="type: Field required"):
        Server(ok([{}])).client().list_datasources(ID)
    with pytest.raises(InvalidAnswer):
        Server(ok({"purpose": "INPUT"})).client().get_datasource(ID, Purpose.INPUT)
    with pytest.raises(InvalidAnswer, match="canWrite: Field required"):
        Server(ok({"canList": True, "canRead": True, "canOverwrite": True})).client().verify(ID)


def test_verify_answers_in_our_names() -> None:
    answer = {"canList": True, "canRead": True, "canWrite": True, "canOverwrite": False, "newField": 1}
    permissions = Server(ok({**answer, "errors": {"canOverwrite": "no"}})).client().verify(ID)
    assert permissions.missing == ("overwrite",)
    assert permissions.reason("overwrite") == "no"


def test_nothing_is_sent_that_lightly_would_refuse() -> None:
    server = Server(ok())
    with pytest.raises(InvalidInput, match="dataset name 'a'"):
        server.client().create_dataset("a", DatasetType.IMAGES)
    with pytest.raises(InvalidInput, match="dataset name"):
        server.client().update_dataset(ID, name="_")
    assert server.requests == []


def test_the_environment_says_which_server_and_token() -> None:
    client = LightlyClient.from_env(
        {"LIGHTLY_TOKEN": " t0ken\n", "LIGHTLY_SERVER_LOCATION": " http://127.0.0.1:9/a/path/ \n"}
    )
    assert client.base_url == "http://127.0.0.1:9/a/path"
    assert repr(client) == "LightlyClient(base_url='http://127.0.0.1:9/a/path')"
    assert LightlyClient.from_env({"LIGHTLY_TOKEN": "t0ken"}).base_url == "https://api.lightly.ai"


def test_a_path_of_the_server_comes_before_ours() -> None:
    server = Server(ok(DATASET))
    server.client(base_url="https://gateway.example.com/lightly/").get_dataset(ID)
    assert str(server.requests[0].url) == f"https://gateway.example.com/lightly/v1/datasets/{ID}?token=the-token"


@pytest.mark.parametrize("token", ["", "  \n"])
def test_a_missing_token_is_said_once_and_plainly(token: str) -> None:
    with pytest.raises(TokenMissing, match="LIGHTLY_TOKEN is not set"):
        LightlyClient.from_env({"LIGHTLY_TOKEN": token})
    with pytest.raises(TokenMissing):
        LightlyClient.from_env({})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed_and_told(status: int) -> None:
    elsewhere = httpx.Response(status, headers={"location": "https://evil.example.com/x?token=the-token#y"})
    server = Server(elsewhere)
    with pytest.raises(ApiError, match=r"redirects to https://evil.example.com/x, which is not followed") as refused:
        CALLS["GET"](server.client())
    assert len(server.requests) == 1
    assert "the-token" not in str(refused.value)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("https://api.example.com/", "if that is right, set LIGHTLY_SERVER_LOCATION to it"),
        ("http://api.example.com/", "check LIGHTLY_SERVER_LOCATION, and any proxy on the way"),
    ],
)
def test_only_an_address_that_may_be_used_is_proposed(target: str, told: str) -> None:
    server = Server(httpx.Response(302, headers={"location": target}))
    with pytest.raises(ApiError, match=f"redirects to {target}.*{told}"):
        CALLS["GET"](server.client())


def test_a_redirect_to_nowhere_is_told_as_well() -> None:
    server = Server(httpx.Response(307, headers={"location": "https://host:port/"}))
    with pytest.raises(Unreachable, match="Invalid URL in location header"):
        CALLS["GET"](server.client())


def test_one_client_serves_many_threads() -> None:
    server = Server(ok(DATASET))
    client = server.client()
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(client.get_dataset(ID).id)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [ID] * 20


def test_every_error_of_this_room_is_one_kind() -> None:
    assert all(issubclass(kind, LightlyError) for kind in (ApiError, Unreachable, InvalidAnswer, TokenMissing))
