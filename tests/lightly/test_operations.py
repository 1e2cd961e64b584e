from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from lightly_infra.lightly.client import LightlyClient
from lightly_infra.lightly.errors import (
    ApiError,
    DatasetConflict,
    DatasetUnknown,
    InvalidAnswer,
    InvalidInput,
    LightlyError,
    PermissionsMissing,
    TokenRefused,
    Unreachable,
)
from lightly_infra.lightly.models import DatasetType, parse_config
from lightly_infra.lightly.operations import (
    RegisteredDataset,
    check_datasources,
    create_or_adopt,
    delete,
    rename,
    verify_until_allowed,
)
from lightly_infra.sandbox.lightly import LightlyServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ID = "0123456789abcdef01234567"
NAME = "street-scenes"
IMAGES = DatasetType.IMAGES
CONFIG = parse_config(
    {"type": "GCS", "purpose": "INPUT", "full_path": "x", "gcs_project_id": "a", "gcs_credentials": ""}
)


@pytest.fixture(scope="module")
def running() -> Iterator[LightlyServer]:
    with LightlyServer("t0ken") as server:
        yield server


@pytest.fixture
def server(running: LightlyServer) -> LightlyServer:
    running.datasets.clear()
    running._log.requests.clear()
    running._log.failures.clear()
    return running


@pytest.fixture
def client(server: LightlyServer) -> Iterator[LightlyClient]:
    with LightlyClient("t0ken", base_url=server.url, sleep=lambda _: None) as client:
        yield client


def verbs(server: LightlyServer) -> str:
    return " ".join(request.split()[0] for request in server.requests)


def test_a_new_dataset_costs_two_calls_it_is_made_and_read_back(server: LightlyServer, client: LightlyClient) -> None:
    made = create_or_adopt(client, name=NAME, type=DatasetType.VIDEOS)
    assert server.requests == ["POST /v1/datasets", f"GET /v1/datasets/query/name/{NAME}"]
    assert server.datasets[made.id].type == "Videos"
    assert made == RegisteredDataset(made.id, NAME, "Videos", adopted=False)


def test_without_a_type_images_are_created(client: LightlyClient) -> None:
    assert create_or_adopt(client, name=NAME, type=None).type == "Images"


def test_a_dataset_of_the_name_is_not_ours_even_if_it_is_empty(server: LightlyServer, client: LightlyClient) -> None:
    theirs = client.create_dataset(NAME, IMAGES)
    with pytest.raises(DatasetConflict) as conflict:
        create_or_adopt(client, name=NAME, type=IMAGES)
    said = str(conflict.value)
    assert (
        f"'{NAME}' exists already, maybe someone else's or another stack's: id {theirs}, Images, 0 samples, crea"
        in said
    )
    for way in ("`adopt: true`", f"`id: {theirs}`", "choose another name", f"`take_over: {theirs}`", "never deleted"):
        assert way in said
    assert list(server.datasets) == [theirs]


# -- what an interrupted run of this very stack left


def test_an_empty_dataset_is_taken_over_by_its_id_and_then_ours(client: LightlyClient) -> None:
    left = client.create_dataset(NAME, IMAGES)
    assert create_or_adopt(client, name=NAME, type=None, take_over=left) == RegisteredDataset(
        left, NAME, "Images", adopted=False
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"name": "other"}, "it is named 'other', not 'street-scenes'"),
        ({"type": "Videos"}, "it holds Videos, not Images"),
        ({"n_samples": 3}, "it has 3 samples"),
        ({"datasources": {"INPUT": {"id": "1" * 24, "type": "GCS", "purpose": "INPUT"}}}, "it has 1 datasource"),
    ],
)
def test_what_no_interrupted_run_can_have_left_is_not_taken_over(
    server: LightlyServer, client: LightlyClient, change: dict[str, Any], problem: str
) -> None:
    theirs = client.create_dataset(NAME, IMAGES)
    vars(server.datasets[theirs]).update(change)
    with pytest.raises(DatasetConflict, match=rf"can't be taken over .{problem}.*`id: {theirs}`"):
        create_or_adopt(client, name=NAME, type=IMAGES, take_over=theirs)


def test_nothing_is_taken_over_that_does_not_exist(client: LightlyClient) -> None:
    with pytest.raises(DatasetUnknown, match="Check `take_over:`"):
        create_or_adopt(client, name=NAME, type=IMAGES, take_over=ID)


# -- a lost answer: ours is what can only have been made by this call


def old(server: LightlyServer, client: LightlyClient, **change: Any) -> str:
    """A dataset that somebody made a minute ago."""
    made = client.create_dataset(NAME, IMAGES)
    vars(server.datasets[made]).update({"created_at": server.datasets[made].created_at - 60_000} | change)
    return made


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("change", [{}, {"n_samples": 1}, {"type": "Videos"}], ids=["empty", "filled", "other type"])
def test_after_a_lost_answer_an_older_dataset_of_the_name_is_not_ours(
    server: LightlyServer, client: LightlyClient, status: int, change: dict[str, Any]
) -> None:
    theirs = old(server, client, **change)
    server.fail_next("POST", "/v1/datasets", status)
    with pytest.raises(DatasetConflict, match=f"exists already.*{theirs}"):
        create_or_adopt(client, name=NAME, type=IMAGES)


@pytest.mark.parametrize("ahead", [-86_400, 0, 86_400], ids=["a day behind", "in step", "a day ahead"])
@pytest.mark.parametrize(("age", "is_ours"), [(-5.0, True), (0.0, True), (5.0, False)])
def test_lightlys_own_clock_tells_what_is_older_than_the_call(ahead: int, age: float, *, is_ours: bool) -> None:
    server = Clocked(ahead=ahead, age=age)
    if is_ours:
        assert create_or_adopt(server.client(), name=NAME, type=IMAGES).id == ID
    else:
        with pytest.raises(DatasetConflict):
            create_or_adopt(server.client(), name=NAME, type=IMAGES)


@pytest.mark.parametrize("without", ["date", "createdAt"])
def test_a_dataset_of_unknown_age_is_not_ours(without: str) -> None:
    with pytest.raises(DatasetConflict):
        create_or_adopt(Clocked(without=without).client(), name=NAME, type=IMAGES)


def test_a_date_that_a_cache_has_kept_tells_no_time() -> None:
    with pytest.raises(DatasetConflict):
        create_or_adopt(Clocked(headers={"age": "100"}).client(), name=NAME, type=IMAGES)


class Clocked:
    """Loses the answer to a POST that took 30 s, and says how old the dataset is by a clock of its own."""

    def __init__(
        self, *, ahead: int = 0, age: float = 0, without: str = "", headers: dict[str, str] | None = None
    ) -> None:
        self.ahead, self.age, self.without, self.headers = ahead, age, without, headers or {}
        self.now = 1_800_000_000.0
        self.began = self.now

    def client(self) -> LightlyClient:
        transport = httpx.MockTransport(self)
        return LightlyClient("t0ken", transport=transport, sleep=lambda _: None, clock=lambda: self.now - 1.7e9)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.now += 30
            raise httpx.ReadTimeout("lost", request=request)
        created = int((self.began + self.ahead - self.age) * 1000)
        dataset = {"id": ID, "name": NAME, "type": "Images", "nSamples": 0, "createdAt": created}
        date = format_datetime(datetime.fromtimestamp(self.now + self.ahead, UTC), usegmt=True)
        body = [] if request.url.path.endswith("all") else [{k: v for k, v in dataset.items() if k != self.without}]
        return httpx.Response(200, json=body, headers=self.headers | ({} if self.without == "date" else {"date": date}))


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_create_whose_answer_was_lost_is_found_again(
    server: LightlyServer, client: LightlyClient, status: int
) -> None:
    server.fail_next("POST", "/v1/datasets", status, after=True)
    made = create_or_adopt(client, name=NAME, type=IMAGES)
    assert list(server.datasets) == [made.id]
    assert not made.adopted
    assert verbs(server).count("POST") == 1


@pytest.mark.parametrize("kind", [httpx.ReadTimeout, httpx.RemoteProtocolError, httpx.ReadError])
def test_a_create_that_timed_out_after_it_was_sent_is_found_again(
    server: LightlyServer, kind: type[httpx.TransportError]
) -> None:
    inner = httpx.HTTPTransport()

    def lossy(request: httpx.Request) -> httpx.Response:
        response = inner.handle_request(request)
        response.read()
        if request.method == "POST":
            raise kind("lost", request=request)
        return response

    with LightlyClient("t0ken", base_url=server.url, transport=httpx.MockTransport(lossy)) as client:
        made = create_or_adopt(client, name=NAME, type=IMAGES)
    inner.close()
    assert list(server.datasets) == [made.id]


def test_a_create_whose_answer_makes_no_sense_is_found_again(server: LightlyServer) -> None:
    inner = httpx.HTTPTransport()

    def garbled(request: httpx.Request) -> httpx.Response:
        response = inner.handle_request(request)
        response.read()
        return httpx.Response(200, html="<h1>proxy</h1>") if request.method == "POST" else response

    with LightlyClient("t0ken", base_url=server.url, transport=httpx.MockTransport(garbled)) as client:
        made = create_or_adopt(client, name=NAME, type=IMAGES)
    inner.close()
    assert list(server.datasets) == [made.id]


def test_a_create_that_failed_for_good_tells_its_own_error(server: LightlyServer, client: LightlyClient) -> None:
    server.fail_next("POST", "/v1/datasets", 418)
    with pytest.raises(ApiError, match="418"):
        create_or_adopt(client, name=NAME, type=IMAGES)
    assert verbs(server) == "POST GET"


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_is_not_asked_about_again(server: LightlyServer, client: LightlyClient, status: int) -> None:
    server.fail_next("POST", "/v1/datasets", status)
    with pytest.raises(TokenRefused, match="Check LIGHTLY_TOKEN"):
        create_or_adopt(client, name=NAME, type=IMAGES)
    assert verbs(server) == "POST"


def test_a_server_that_was_not_reached_is_not_asked_about_the_name() -> None:
    asked: list[str] = []

    def nobody(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        raise httpx.ConnectError("refused", request=request)

    client = LightlyClient("t0ken", transport=httpx.MockTransport(nobody), sleep=lambda _: None)
    with pytest.raises(Unreachable):
        create_or_adopt(client, name=NAME, type=IMAGES)
    assert set(asked) == {"POST"}


@pytest.mark.parametrize("answer", [400, 409, 422, 404])
def test_whatever_the_error_for_a_taken_name_the_dataset_is_told(
    server: LightlyServer, client: LightlyClient, answer: int
) -> None:
    theirs = client.create_dataset(NAME, IMAGES)
    server.fail_next("POST", "/v1/datasets", answer)
    with pytest.raises(DatasetConflict, match=f"exists already.*{theirs}"):
        create_or_adopt(client, name=NAME, type=IMAGES)


def test_when_nobody_can_be_asked_after_a_lost_answer_the_loss_is_told(
    server: LightlyServer, client: LightlyClient
) -> None:
    server.fail_next("POST", "/v1/datasets", 500)
    server.fail_next("GET", "/v1/datasets", 500)
    with pytest.raises(ApiError, match="500 INTERNAL_SERVER_ERROR to POST"):
        create_or_adopt(client, name=NAME, type=IMAGES)


# -- servers that do not do what they say


class Lying(httpx.BaseTransport):
    """The emulated Lightly, whose answers are changed on their way, or made up without it."""

    def __init__(self, lie: Callable[[httpx.Request, Callable[[], httpx.Response]], httpx.Response]) -> None:
        self.lie, self.inner = lie, httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self.lie(request, lambda: self.inner.handle_request(request))

    def close(self) -> None:
        self.inner.close()


def lying(
    server: LightlyServer,
    lie: Callable[[httpx.Request, Callable[[], httpx.Response]], httpx.Response],
    sleep: Callable[[float], None] = lambda _: None,
) -> LightlyClient:
    return LightlyClient("t0ken", base_url=server.url, transport=Lying(lie), sleep=sleep)


def done(real: Callable[[], httpx.Response]) -> httpx.Response:
    """Carries a request out, so that its answer can be replaced."""
    response = real()
    response.read()
    return response


def test_a_server_that_takes_a_name_twice_is_noticed_and_nothing_is_left(
    server: LightlyServer, client: LightlyClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = old(server, client)
    monkeypatch.setattr(server, "_check_free", lambda _: None)
    with pytest.raises(DatasetConflict, match=f"exists already.*{theirs}"):
        create_or_adopt(client, name=NAME, type=IMAGES)
    assert list(server.datasets) == [theirs]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(201, json={"id": "f" * 24}), f"as {'f' * 24}, but of that name it has: id "),
        (httpx.Response(201, json={"id": "F" * 24}), None),
        (httpx.Response(200, json={"id": "f" * 24}), None),
        (httpx.Response(201, html="<h1>log in</h1>"), None),
        (httpx.Response(204), None),
    ],
    ids=["another id", "capitals", "200", "a page", "nothing"],
)
def test_a_wrong_answer_to_a_post_is_not_believed(
    server: LightlyServer, answer: httpx.Response, said: str | None
) -> None:
    def lie(request: httpx.Request, real: Callable[[], httpx.Response]) -> httpx.Response:
        if request.method != "POST":
            return real()
        done(real)
        return answer

    with lying(server, lie) as client:
        if said:
            with pytest.raises(InvalidAnswer, match=said):
                create_or_adopt(client, name=NAME, type=IMAGES)
        else:
            assert create_or_adopt(client, name=NAME, type=IMAGES).id in server.datasets
    assert len(server.datasets) == 1


def test_a_login_page_for_everything_makes_nothing() -> None:
    page = httpx.MockTransport(lambda _: httpx.Response(200, html="<h1>log in</h1>"))
    client = LightlyClient("t0ken", transport=page, sleep=lambda _: None)
    for call in (
        lambda: create_or_adopt(client, name=NAME, type=IMAGES),
        lambda: create_or_adopt(client, name=None, type=None, dataset_id=ID),
        lambda: rename(client, ID, NAME),
        lambda: delete(client, ID),
        lambda: client.set_datasource(ID, CONFIG),
        lambda: verify_until_allowed(client, ID, deadline=0),
    ):
        with pytest.raises(InvalidAnswer):
            call()


def test_an_answer_about_another_dataset_is_not_believed(server: LightlyServer, client: LightlyClient) -> None:
    other = client.create_dataset("another", IMAGES)
    answer = httpx.Response(200, json=server.datasets[other].answer())
    with lying(server, lambda *_: answer) as liar, pytest.raises(InvalidAnswer, match=f"another dataset, {other}"):
        create_or_adopt(liar, name=None, type=None, dataset_id=ID)


def test_a_rename_and_a_deletion_that_were_ignored_are_noticed(server: LightlyServer, client: LightlyClient) -> None:
    made = client.create_dataset(NAME, IMAGES)

    def lie(request: httpx.Request, real: Callable[[], httpx.Response]) -> httpx.Response:
        return httpx.Response(204) if request.method in {"PUT", "DELETE"} else real()

    waits: list[float] = []
    with lying(server, lie, waits.append) as lazy:
        with pytest.raises(InvalidAnswer, match=f"renamed to 'Night drives', but it is still named '{NAME}'"):
            rename(lazy, made, "Night drives")
        with pytest.raises(InvalidAnswer, match=f"dataset {made} is deleted, but it is still there"):
            delete(lazy, made)
    assert waits == [0.5, 1.0, 2.0] * 2


def test_a_replica_that_lags_behind_is_asked_again(server: LightlyServer) -> None:
    late = [httpx.Response(200, json=[]), httpx.Response(200, json=[])]

    def lie(request: httpx.Request, real: Callable[[], httpx.Response]) -> httpx.Response:
        return late.pop() if request.method == "GET" and late else real()

    with lying(server, lie) as client:
        assert create_or_adopt(client, name=NAME, type=IMAGES).id in server.datasets
    assert late == []


def test_a_name_that_is_taken_is_told_with_what_to_do(client: LightlyClient) -> None:
    made = client.create_dataset(NAME, IMAGES)
    client.create_dataset("Night drives", IMAGES)
    with pytest.raises(DatasetConflict, match=r"can't be renamed to 'Night drives'.*Choose another name, or rename or"):
        rename(client, made, "Night drives")


def with_samples(server: LightlyServer, client: LightlyClient) -> str:
    server.datasets[made := client.create_dataset(NAME, IMAGES)].n_samples = 12
    return made


def with_datasource(_: LightlyServer, client: LightlyClient) -> str:
    client.set_datasource(made := client.create_dataset(NAME, IMAGES), CONFIG)
    return made


FILLED = [(with_samples, "12 samples"), (with_datasource, "1 datasource")]


@pytest.mark.parametrize(("fill", "content"), FILLED)
def test_a_dataset_with_content_is_left_alone_and_the_remedy_is_named(
    server: LightlyServer, client: LightlyClient, fill: Callable[[LightlyServer, LightlyClient], str], content: str
) -> None:
    made = fill(server, client)
    with pytest.raises(DatasetConflict) as conflict:
        create_or_adopt(client, name=NAME, type=IMAGES)
    assert content in str(conflict.value)
    assert "`adopt: true`" in str(conflict.value)
    assert f"`id: {made}`" in str(conflict.value)
    assert "take_over" not in str(conflict.value)


@pytest.mark.parametrize(("fill", "content"), FILLED)
def test_a_dataset_with_content_is_adopted_when_told_to(
    server: LightlyServer, client: LightlyClient, fill: Callable[[LightlyServer, LightlyClient], str], content: str
) -> None:
    made = fill(server, client)
    assert content
    for type_ in (IMAGES, None):
        found = create_or_adopt(client, name=NAME, type=type_, adopt=True)
        assert found == RegisteredDataset(made, NAME, "Images", adopted=True)


def test_adopting_a_name_that_is_free_creates_it(server: LightlyServer, client: LightlyClient) -> None:
    assert not create_or_adopt(client, name=NAME, type=IMAGES, adopt=True).adopted
    assert verbs(server) == "GET POST GET"
    assert create_or_adopt(client, name=NAME, type=IMAGES, adopt=True).adopted
    assert verbs(server) == "GET POST GET GET"


@pytest.mark.parametrize("adopt", [True, False])
def test_a_dataset_of_another_type_is_a_conflict_that_names_the_type(client: LightlyClient, *, adopt: bool) -> None:
    client.create_dataset(NAME, DatasetType.VIDEOS)
    said = r"holds Videos, not Images.*set `type: Videos`" if adopt else r"Videos, 0 samples.*`type: Videos`"
    with pytest.raises(DatasetConflict, match=said) as conflict:
        create_or_adopt(client, name=NAME, type=IMAGES, adopt=adopt)
    assert "take_over" not in str(conflict.value)


def test_an_id_is_always_adopted_whatever_is_in_it(server: LightlyServer, client: LightlyClient) -> None:
    made = with_samples(server, client)
    for name, type_ in ((NAME, IMAGES), (None, None), ("another name", None)):
        found = create_or_adopt(client, name=name, type=type_, dataset_id=made)
        assert found == RegisteredDataset(made, NAME, "Images", adopted=True)
    with pytest.raises(DatasetConflict, match="holds Images, not Crops"):
        create_or_adopt(client, name=None, type=DatasetType.CROPS, dataset_id=made)


def test_an_id_that_does_not_exist_is_said_with_the_remedy(server: LightlyServer, client: LightlyClient) -> None:
    with pytest.raises(DatasetUnknown, match=f"dataset {ID}.*Check `id:`.*or remove `id:` to create") as unknown:
        create_or_adopt(client, name=NAME, type=IMAGES, dataset_id=ID)
    assert (unknown.value.status, unknown.value.code) == (404, "DATASET_UNKNOWN")
    with pytest.raises(InvalidInput, match="dataset id 'street'"):
        create_or_adopt(client, name=NAME, type=IMAGES, dataset_id="street")
    assert verbs(server) == "GET"


@pytest.mark.parametrize("name", [None, "", "x"])
def test_a_bad_name_is_refused_before_any_call(server: LightlyServer, client: LightlyClient, name: str | None) -> None:
    with pytest.raises(InvalidInput, match="dataset name"):
        create_or_adopt(client, name=name, type=IMAGES, adopt=True)
    assert server.requests == []


def test_several_datasets_of_one_name_are_for_the_user_to_choose_from(
    server: LightlyServer, client: LightlyClient
) -> None:
    first = client.create_dataset(NAME, IMAGES)
    second = client.create_dataset("other", IMAGES)
    server.datasets[second].name = NAME
    with pytest.raises(DatasetConflict, match=f"2 datasets named '{NAME}'.*`id:`") as conflict:
        create_or_adopt(client, name=NAME, type=IMAGES)
    assert first in str(conflict.value)
    assert second in str(conflict.value)


# -- what an existing dataset's datasources point to


def existing(client: LightlyClient, *datasources: dict[str, str]) -> str:
    dataset_id = client.create_dataset(NAME, IMAGES)
    for it in datasources:
        client.set_datasource(dataset_id, parse_config(it))
    return dataset_id


def on_s3(purpose: str, path: str) -> dict[str, str]:
    keys = {"s3_access_key_id": "AK", "s3_secret_access_key": "canary-secret"}
    return {"type": "S3", "purpose": purpose, "full_path": path, "s3_region": "eu-central-1", **keys}


def on_azure(path: str) -> dict[str, str]:
    account = {"account_name": "acmedata", "account_key": "?canary-secret"}
    return {"type": "AZURE", "purpose": "INPUT", "full_path": path, **account}


@pytest.mark.parametrize(
    ("old", "told", "differences"),
    [
        (on_s3("INPUT", "s3://a/b/"), {"type": "S3", "full_path": "s3://a/b/"}, None),
        (on_s3("INPUT", "s3://a/b"), {"type": "S3", "full_path": "s3://a/b/"}, None),
        (on_s3("INPUT", "s3://a/b/"), {"type": "S3", "full_path": "s3://a/c/"}, "path s3://a/b/ -> s3://a/c/"),
        (
            on_s3("INPUT", "s3://a/b/"),
            {"type": "S3DelegatedAccess", "full_path": "s3://a/b/"},
            "type S3 -> S3DelegatedAccess",
        ),
        (
            on_s3("INPUT", "s3://a/b/"),
            {"type": "AZURE", "account_name": "acmedata", "full_path": "raw/"},
            "type S3 -> AZURE; path s3://a/b/ -> raw/",
        ),
        (on_s3("INPUT", "s3://a/b/"), {"type": "S3"}, "path s3://a/b/ -> one that is made here"),
        (on_s3("LIGHTLY", "s3://a/b/"), {"type": "S3", "full_path": "s3://a/c/"}, None),
        (on_azure("raw/"), {"type": "AZURE", "account_name": "acmedata", "full_path": "raw/"}, None),
        (
            on_azure("raw/"),
            {"type": "AZURE", "account_name": "acmeother", "full_path": "raw/"},
            "account acmedata -> acmeother",
        ),
        (on_s3("INPUT_OUTPUT", "s3://a/"), {"type": "S3", "full_path": "s3://a/b/"}, "path s3://a/ -> s3://a/b/"),
    ],
)
def test_a_datasource_of_the_same_purpose_that_is_elsewhere_is_not_replaced(
    client: LightlyClient, old: dict[str, str], told: dict[str, str], differences: str | None
) -> None:
    dataset_id = existing(client, old)
    if differences is None:
        assert check_datasources(client, dataset_id, {"INPUT": told}) == []
        return
    with pytest.raises(DatasetConflict) as refused:
        check_datasources(client, dataset_id, {"INPUT": told})
    said = str(refused.value)
    assert (
        f"dataset {dataset_id} has datasources that point elsewhere and would be replaced:\n  INPUT: {differences}\n"
        in said
    )
    assert "`replace_datasources: true`" in said
    assert "canary" not in said
    assert check_datasources(client, dataset_id, {"INPUT": told}, replace=True) == [f"INPUT: {differences}"]


def test_one_datasource_for_both_is_shown_for_both(client: LightlyClient) -> None:
    dataset_id = existing(client, on_s3("INPUT_OUTPUT", "s3://a/"))
    wanted = {it: {"type": "S3", "full_path": f"s3://a/{it.lower()}/"} for it in ("INPUT", "LIGHTLY")}
    assert check_datasources(client, dataset_id, wanted, replace=True) == [
        "INPUT: path s3://a/ -> s3://a/input/",
        "LIGHTLY: path s3://a/ -> s3://a/lightly/",
    ]


class Verifies:
    """Answers to verify, one after the other, and a clock that only sleeping moves."""

    def __init__(self, *answers: httpx.Response) -> None:
        self.answers = list(answers)
        self.now = 1000.0
        self.calls = 0

    def client(self) -> LightlyClient:
        return LightlyClient("t0ken", transport=httpx.MockTransport(self._answer), sleep=self.sleep)

    def _answer(self, _: httpx.Request) -> httpx.Response:
        self.calls += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def run(self, deadline: float = 120) -> object:
        return verify_until_allowed(self.client(), ID, deadline=deadline, sleep=self.sleep, clock=lambda: self.now)


def answer(*missing: str, **errors: str) -> httpx.Response:
    can: dict[str, Any] = {name: name not in missing for name in ("canList", "canRead", "canWrite", "canOverwrite")}
    return httpx.Response(200, json={**can, "errors": errors})


CREDENTIALS_ERROR = httpx.Response(400, json={"code": "DATASET_DATASOURCE_CREDENTIALS_ERROR", "error": "AccessDenied"})


def test_what_is_allowed_at_once_is_asked_once() -> None:
    verifies = Verifies(answer())
    verifies.run()
    assert (verifies.calls, verifies.now) == (1, 1000.0)


@pytest.mark.parametrize("refused", [answer("canList", "canRead"), CREDENTIALS_ERROR])
def test_it_asks_again_while_permissions_propagate(refused: httpx.Response) -> None:
    verifies = Verifies(refused, refused, refused, answer())
    verifies.run()
    assert verifies.calls == 4
    assert 1000 < verifies.now < 1120


@pytest.mark.parametrize("deadline", [0, 1, 30, 120])
def test_it_gives_up_at_the_deadline_and_not_after(deadline: float) -> None:
    verifies = Verifies(answer("canWrite"))
    with pytest.raises(PermissionsMissing):
        verifies.run(deadline)
    assert verifies.now == pytest.approx(1000 + deadline)
    assert verifies.calls >= 1 + deadline / 10


def test_waits_differ_from_run_to_run() -> None:
    def first_wait() -> float:
        verifies = Verifies(answer("canWrite"), answer())
        verifies.run()
        return verifies.now

    assert len({first_wait() for _ in range(10)}) > 5


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (httpx.Response(404, json={"code": "DATASET_UNKNOWN"}), DatasetUnknown),
        (httpx.Response(401, json={"code": "UNAUTHORIZED"}), TokenRefused),
        (httpx.Response(400, json={"code": "DATASET_DATASOURCE_INVALID"}), ApiError),
        (httpx.Response(200, json={}), LightlyError),
    ],
)
def test_errors_that_waiting_does_not_mend_are_told_at_once(response: httpx.Response, kind: type[LightlyError]) -> None:
    verifies = Verifies(response)
    with pytest.raises(kind):
        verifies.run()
    assert (verifies.calls, verifies.now) == (1, 1000.0)


@pytest.mark.parametrize(
    ("response", "missing", "said"),
    [
        (
            answer("canWrite", "canOverwrite"),
            ("write", "overwrite"),
            "can't write or overwrite in the Lightly datasource",
        ),
        (answer("canOverwrite"), ("overwrite",), "Likely cause: a policy without s3:PutObject"),
        (answer("canList"), ("list",), "can't list in the Input or the Lightly datasource"),
        (answer("canList", canList="INPUT: no"), ("list",), r"can't list in the Input datasource \(INPUT: no\)"),
        (answer("canRead", canRead="LIGHTLY: no"), ("read",), r"can't read in the Lightly datasource"),
        (answer("canRead", canRead="INPUT, LIGHTLY"), ("read",), "in the Input or the Lightly datasource"),
        (answer("canRead", canRead="s3://input"), ("read",), "in the Input or the Lightly datasource"),
        (
            answer("canList", canList="sts:AssumeRole refused"),
            ("list",),
            "Likely cause: a wrong external id, or a trust",
        ),
        (answer("canRead", canRead="KMS.AccessDenied"), ("read",), "Likely cause: the KMS key"),
        (answer("canList", canList="NoSuchBucket"), ("list",), "Likely cause: the bucket does not exist"),
        (answer("canRead"), ("read",), "bucket or prefix other than the one that the policy names"),
        (CREDENTIALS_ERROR, (), "can't use the credentials at all: AccessDenied. Likely cause: a wrong external id"),
    ],
)
def test_what_is_missing_is_told_with_the_datasource_the_reason_and_the_likely_cause(
    response: httpx.Response, missing: tuple[str, ...], said: str
) -> None:
    with pytest.raises(PermissionsMissing, match=said) as failed:
        Verifies(response).run(0)
    assert failed.value.missing == missing
    assert f"for dataset {ID}: it can't" in str(failed.value)


def test_how_long_it_was_tried_is_told() -> None:
    with pytest.raises(PermissionsMissing, match=f"for dataset {ID} after 120 s: it can't write"):
        Verifies(answer("canWrite")).run()
