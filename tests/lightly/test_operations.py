from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from lightly_infra.lightly.client import LightlyClient
from lightly_infra.lightly.errors import (
    ApiError,
    DatasetConflict,
    DatasetUnknown,
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
    existing_dataset,
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


def test_a_new_dataset_costs_one_call(server: LightlyServer, client: LightlyClient) -> None:
    made = create_or_adopt(client, name=NAME, type=DatasetType.VIDEOS)
    assert server.requests == ["POST /v1/datasets"]
    assert server.datasets[made.id].type == "Videos"
    assert made == RegisteredDataset(made.id, NAME, "Videos", adopted=False)


def test_without_a_type_images_are_created(client: LightlyClient) -> None:
    assert create_or_adopt(client, name=NAME, type=None).type == "Images"


def test_an_empty_dataset_of_the_name_is_our_orphan_and_taken_over(
    server: LightlyServer, client: LightlyClient
) -> None:
    orphan = client.create_dataset(NAME, IMAGES)
    assert create_or_adopt(client, name=NAME, type=IMAGES) == RegisteredDataset(orphan, NAME, "Images", adopted=False)
    assert len(server.datasets) == 1


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
def test_whatever_the_error_for_a_taken_name_is_the_orphan_is_found(
    server: LightlyServer, client: LightlyClient, answer: int
) -> None:
    orphan = client.create_dataset(NAME, IMAGES)
    server.fail_next("POST", "/v1/datasets", answer)
    assert create_or_adopt(client, name=NAME, type=IMAGES).id == orphan


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
    assert verbs(server) == "GET POST"
    assert create_or_adopt(client, name=NAME, type=IMAGES, adopt=True).adopted
    assert verbs(server) == "GET POST GET"


@pytest.mark.parametrize("adopt", [True, False])
def test_a_dataset_of_another_type_is_a_conflict_that_names_both(client: LightlyClient, *, adopt: bool) -> None:
    client.create_dataset(NAME, DatasetType.VIDEOS)
    with pytest.raises(DatasetConflict, match=r"holds Videos, not Images.*set `type: Videos`, or choose another name"):
        create_or_adopt(client, name=NAME, type=IMAGES, adopt=adopt)


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


def test_the_dataset_that_would_be_adopted_is_found_by_id_or_name(server: LightlyServer, client: LightlyClient) -> None:
    assert existing_dataset(client, name=NAME, dataset_id=None) is None
    dataset_id = existing(client)
    before = len(server.requests)
    assert existing_dataset(client, name=None, dataset_id=ID) == ID
    assert existing_dataset(client, name=None, dataset_id=None) is None
    assert len(server.requests) == before
    assert existing_dataset(client, name=NAME, dataset_id=None) == dataset_id


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
