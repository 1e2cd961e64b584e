"""The emulated API against the description of the hosted one, by the requests that the official client sends.

Driven with plain HTTP, so that a mistake of our own client can't hide one of the server.
"""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from lightly_infra.sandbox.lightly import LightlyServer
from lightly_infra.sandbox.lightly_rules import MASK

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "t0ken"
UNKNOWN = "0123456789abcdef01234567"
THUMB = ".lightly/thumbnails/[filename]_thumb.[extension]"

DATASET_REQUIRED = {"id", "name", "userId", "type", "nSamples", "sizeInBytes", "createdAt", "lastModifiedAt"}
DATASET_OPTIONAL = {
    *("imgType", "accessType", "accessRole", "datasources", "metaDataConfigurationId"),
    *("datasourceProcessedUntilTimestamp", "parentDatasetId", "originalDatasetId"),
}
REGIONS = [
    *("us-east-1", "us-east-2", "us-west-1", "us-west-2", "af-south-1", "ap-east-1", "ap-south-1", "ap-south-2"),
    *("ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4", "ap-northeast-1", "ap-northeast-2"),
    *("ap-northeast-3", "ca-central-1", "cn-northwest-1", "eu-central-1", "eu-central-2", "eu-west-1", "eu-west-2"),
    *("eu-west-3", "eu-south-1", "eu-south-2", "eu-north-1", "me-south-1", "me-central-1", "sa-east-1"),
    *("us-gov-east", "us-gov-west"),
]
COMMON = {"purpose": "INPUT", "fullPath": "s3://b/p", "thumbSuffix": THUMB}
KEY = "arn:aws:kms:eu-central-1:123456789012:key/1"
VALID: dict[str, dict[str, str]] = {
    "S3": {"s3Region": "eu-central-1", "s3AccessKeyId": "A", "s3SecretAccessKey": "S"},
    "S3DelegatedAccess": {
        "s3Region": "us-gov-east",
        "s3ExternalId": "aZ09_+=,.@:/-",
        "s3ARN": "arn:aws:iam::123456789012:role/a",
    },
    "GCS": {"gcsProjectId": "p", "gcsCredentials": ""},
    "AZURE": {"accountName": "a", "accountKey": "?sas"},
    "OBS": {"obsEndpoint": "https://o", "obsAccessKeyId": "A", "obsSecretAccessKey": "S"},
    "LOCAL": {"webServerLocation": "http://localhost:3456"},
    "LIGHTLY": {},
}
SECRETS = {"s3SecretAccessKey", "gcsCredentials", "accountKey", "obsSecretAccessKey"}


@pytest.fixture(scope="module")
def running() -> Iterator[LightlyServer]:
    with LightlyServer(TOKEN) as server:
        yield server


@pytest.fixture
def server(running: LightlyServer) -> LightlyServer:
    running.datasets.clear()
    running._log.requests.clear()
    running._log.failures.clear()
    return running


@pytest.fixture(scope="module")
def connected(running: LightlyServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, trust_env=False) as http:
        yield http


@pytest.fixture
def anyone(connected: httpx.Client, server: LightlyServer) -> httpx.Client:  # noqa: ARG001 - emptied
    """A client without a token."""
    connected.params = httpx.QueryParams()
    return connected


@pytest.fixture
def http(anyone: httpx.Client) -> httpx.Client:
    """A client with the token."""
    anyone.params = httpx.QueryParams(token=TOKEN)
    return anyone


def create(http: httpx.Client, name: str = "street-scenes", kind: str = "Images") -> str:
    response = http.post("/v1/datasets", json={"name": name, "type": kind, "creator": "USER_PIP"})
    assert response.status_code == 201, response.text
    assert set(response.json()) == {"id"}
    assert re.fullmatch("[a-f0-9]{24}", response.json()["id"])
    return str(response.json()["id"])


def assert_dataset(answer: dict[str, Any]) -> None:
    assert set(answer) >= DATASET_REQUIRED
    assert set(answer) <= DATASET_REQUIRED | DATASET_OPTIONAL
    assert all(type(answer[name]) is int for name in ("nSamples", "sizeInBytes", "createdAt", "lastModifiedAt"))
    assert answer["createdAt"] > 1_600_000_000_000  # milliseconds
    assert all(isinstance(it, str) for it in answer["datasources"])


def assert_refusal(response: httpx.Response, status: int, code: str) -> None:
    assert response.status_code == status, response.text
    assert set(response.json()) == {"code", "error", "requestId"}
    assert response.json()["code"] == code


@pytest.mark.parametrize("path", ["/v1/versions/pip/minimum", "/v1/versions/pip/latest?currentVersion=1.5.26"])
def test_versions_are_told_without_a_token(anyone: httpx.Client, path: str) -> None:
    response = anyone.get(path)
    assert response.status_code == 200
    assert re.fullmatch(r"\d+\.\d+\.\d+", response.json())


ENDPOINTS = [
    ("POST", "/v1/datasets"),
    ("GET", "/v1/datasets"),
    ("GET", "/v1/datasets/query/name/street"),
    ("GET", f"/v1/datasets/{UNKNOWN}"),
    ("PUT", f"/v1/datasets/{UNKNOWN}"),
    ("DELETE", f"/v1/datasets/{UNKNOWN}"),
    ("PUT", f"/v1/datasets/{UNKNOWN}/datasource"),
    ("GET", f"/v1/datasets/{UNKNOWN}/datasource"),
    ("GET", f"/v1/datasets/{UNKNOWN}/datasource/all"),
    ("GET", f"/v1/datasets/{UNKNOWN}/datasource/verify"),
]


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
@pytest.mark.parametrize("query", ["", "?token=wrong", "?token=", "?token=None", "?token=t0keN", "?token=%C3%A4"])
def test_every_other_call_needs_the_token(anyone: httpx.Client, method: str, path: str, query: str) -> None:
    assert_refusal(anyone.request(method, path + query), 401, "UNAUTHORIZED")


@pytest.mark.parametrize(("method", "path"), [it for it in ENDPOINTS if UNKNOWN in it[1]])
def test_an_unknown_dataset_is_unknown_to_every_verb(http: httpx.Client, method: str, path: str) -> None:
    body = {"name": "new name"} if method == "PUT" else None
    assert_refusal(http.request(method, path, json=body), 404, "DATASET_UNKNOWN")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/v1/tags"), ("PATCH", "/v1/datasets"), ("DELETE", f"/v1/datasets/{UNKNOWN}/datasource")],
)
def test_whatever_is_not_emulated_is_not_found(http: httpx.Client, method: str, path: str) -> None:
    assert_refusal(http.request(method, path), 404, "NOT_FOUND")


@pytest.mark.parametrize("kind", ["Images", "Videos", "Crops"])
def test_a_dataset_is_created_read_renamed_and_deleted(http: httpx.Client, kind: str) -> None:
    made = create(http, kind=kind)
    answer = http.get(f"/v1/datasets/{made}").json()
    assert_dataset(answer)
    assert answer | {"id": made, "name": "street-scenes", "type": kind, "nSamples": 0, "datasources": []} == answer
    assert http.put(f"/v1/datasets/{made}", json={"name": "other name"}).is_success
    assert http.get(f"/v1/datasets/{made}").json()["name"] == "other name"
    assert http.delete(f"/v1/datasets/{made}").is_success
    assert_refusal(http.get(f"/v1/datasets/{made}"), 404, "DATASET_UNKNOWN")


def test_the_type_is_images_unless_said_and_optional_fields_are_kept(http: httpx.Client) -> None:
    body = {"name": "with all", "imgType": "full", "parentDatasetId": UNKNOWN}
    made = http.post("/v1/datasets", json=body).json()["id"]
    answer = http.get(f"/v1/datasets/{made}").json()
    assert_dataset(answer)
    assert (answer["type"], answer["imgType"], answer["parentDatasetId"]) == ("Images", "full", UNKNOWN)


def test_names_are_unique(http: httpx.Client) -> None:
    create(http)
    other = create(http, "other")
    assert_refusal(http.post("/v1/datasets", json={"name": "street-scenes"}), 400, "DATASET_NAME_EXISTS")
    assert_refusal(http.put(f"/v1/datasets/{other}", json={"name": "street-scenes"}), 400, "DATASET_NAME_EXISTS")
    assert http.put(f"/v1/datasets/{other}", json={"name": "other"}).is_success


@pytest.mark.parametrize("name", ["abc", "A 1", "0_-", "a" * 1000, "Street scenes_2 - new"])
def test_names_of_the_rule_are_taken(http: httpx.Client, name: str) -> None:
    create(http, name)


@pytest.mark.parametrize(
    "body",
    [
        *({"name": name} for name in ("", "ab", " abc", "_abc", "-abc", "a/b", "äbc", "abc\n", "a.b.c", None, 7)),
        {},
        {"name": "abc", "type": "images"},
        {"name": "abc", "type": None},
        {"name": "abc", "imgType": "half"},
        {"name": "abc", "parentDatasetId": "x"},
        {"name": "abc", "newField": "x"},
        [],
        "abc",
    ],
)
def test_a_request_to_create_against_the_rules_is_refused(http: httpx.Client, body: object) -> None:
    assert_refusal(http.post("/v1/datasets", json=body), 400, "MALFORMED_REQUEST")
    assert http.get("/v1/datasets").json() == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"nope"])
def test_a_body_that_is_no_json_is_refused(http: httpx.Client, content: bytes) -> None:
    assert_refusal(http.post("/v1/datasets", content=content), 400, "MALFORMED_REQUEST")


def query(http: httpx.Client, name: str, **more: str) -> list[str]:
    # In the order and with the capitals of the official client.
    params = {"shared": "False", "exact": "True", "getAssetsOfTeam": "False", "pageSize": "5000", "pageOffset": "0"}
    response = http.get(f"/v1/datasets/query/name/{name}", params={"token": TOKEN, **params, **more})
    assert response.status_code == 200, response.text
    for dataset in response.json():
        assert_dataset(dataset)
    return [dataset["name"] for dataset in response.json()]


def test_datasets_are_found_by_name(http: httpx.Client) -> None:
    for name in ("street scenes", "street scenes 2", "other"):
        create(http, name)
    assert query(http, "street%20scenes") == ["street scenes"]
    assert query(http, "street%20scenes", exact="False") == ["street scenes", "street scenes 2"]
    assert query(http, "a%2Fb%3F") == []
    assert query(http, "street%20scenes", shared="True") == []
    assert query(http, "street%20scenes", getAssetsOfTeam="True") == []


def test_lists_come_in_pages_and_the_offset_counts_entries(http: httpx.Client) -> None:
    names = [f"dataset {number}" for number in range(5)]
    for name in names:
        create(http, name)
    seen = []
    for offset in (0, 2, 4, 6):
        params = {"token": TOKEN, "shared": "False", "pageSize": "2", "pageOffset": str(offset)}
        page = http.get("/v1/datasets", params=params).json()
        seen.append([dataset["name"] for dataset in page])
    assert seen == [names[:2], names[2:4], names[4:], []]
    assert [dataset["name"] for dataset in http.get("/v1/datasets").json()] == names


@pytest.mark.parametrize("bad", [{"pageSize": "x"}, {"pageOffset": "-1"}, {"exact": "maybe"}])
def test_a_query_against_the_rules_is_refused(http: httpx.Client, bad: dict[str, str]) -> None:
    response = http.get("/v1/datasets/query/name/abc", params={"token": TOKEN, **bad})
    assert_refusal(response, 400, "MALFORMED_REQUEST")


@pytest.mark.parametrize("kind", VALID)
@pytest.mark.parametrize("purpose", ["INPUT", "LIGHTLY", "INPUT_OUTPUT"])
def test_every_type_of_datasource_is_set_and_read_back_with_its_secrets_masked(
    http: httpx.Client, kind: str, purpose: str
) -> None:
    made = create(http)
    sent = {"type": kind, **COMMON, "purpose": purpose, **VALID[kind]}
    response = http.put(f"/v1/datasets/{made}/datasource", json=sent)
    assert response.is_success
    answer = http.get(f"/v1/datasets/{made}/datasource", params={"token": TOKEN, "purpose": purpose}).json()
    assert re.fullmatch("[a-f0-9]{24}", answer.pop("id"))
    assert answer == {name: MASK if name in SECRETS else value for name, value in sent.items()}
    everything = http.get(f"/v1/datasets/{made}/datasource/all").json()
    assert [{**it, "id": ""} for it in everything] == [{**answer, "id": ""}]
    assert http.get(f"/v1/datasets/{made}").json()["datasources"] == [everything[0]["id"]]


GOOD_VALUES = [
    *(("S3", "s3Region", region) for region in REGIONS),
    ("S3", "s3ServerSideEncryptionKMSKey", KEY),
    ("S3DelegatedAccess", "s3ServerSideEncryptionKMSKey", KEY.replace("eu-central-1", "")),
    ("S3DelegatedAccess", "s3ARN", "arn:aws:iam::123456789012:roleX"),
    ("S3DelegatedAccess", "s3ARN", "arn:aws:iam::123456789012:role/"),
    ("S3DelegatedAccess", "s3ExternalId", "0123456789"),
    ("GCS", "gcsCredentials", "no json"),
    ("GCS", "fullPath", ""),
    ("GCS", "fullPath", "any scheme://at all"),
    ("GCS", "thumbSuffix", ""),
    ("OBS", "obsEndpoint", "http://o"),
]


@pytest.mark.parametrize(("kind", "field", "value"), GOOD_VALUES)
def test_values_within_the_rules_are_taken(http: httpx.Client, kind: str, field: str, value: str) -> None:
    body = {"type": kind, **COMMON, **VALID[kind], field: value}
    assert http.put(f"/v1/datasets/{create(http)}/datasource", json=body).is_success


BAD_VALUES: list[tuple[str, str, object]] = [
    *(("S3", "s3Region", it) for it in ("us-gov-east-1", "cn-north-1", "ca-west-1", "il-central-1", "", "EU-WEST-1")),
    ("S3", "s3AccessKeyId", ""),
    ("S3", "s3SecretAccessKey", ""),
    ("S3", "s3ServerSideEncryptionKMSKey", "alias/x"),
    ("S3", "s3ServerSideEncryptionKMSKey", KEY.replace("arn:aws:", "arn:aws-cn:")),
    ("S3", "s3ServerSideEncryptionKMSKey", None),
    ("S3DelegatedAccess", "s3ExternalId", "012345678"),
    ("S3DelegatedAccess", "s3ExternalId", "0123456789 "),
    ("S3DelegatedAccess", "s3ExternalId", "0123456789ä"),
    ("S3DelegatedAccess", "s3ExternalId", MASK),
    ("S3DelegatedAccess", "s3ARN", "arn:aws-cn:iam::123456789012:role/a"),
    ("S3DelegatedAccess", "s3ARN", "arn:aws-us-gov:iam::123456789012:role/a"),
    ("S3DelegatedAccess", "s3ARN", "arn:aws:iam::12345678901:role/a"),
    ("S3DelegatedAccess", "s3ARN", "arn:aws:iam::123456789012:role"),
    ("S3DelegatedAccess", "s3ARN", "arn:aws:iam::123456789012:user/a"),
    ("GCS", "gcsProjectId", ""),
    ("GCS", "gcsCredentials", {"a": 1}),
    ("AZURE", "accountName", ""),
    ("AZURE", "accountKey", ""),
    ("OBS", "obsEndpoint", "obs.example.com"),
    ("OBS", "obsEndpoint", "https://"),
    ("OBS", "obsAccessKeyId", ""),
    ("OBS", "obsSecretAccessKey", ""),
    ("LOCAL", "webServerLocation", "localhost"),
    ("GCS", "purpose", "OUTPUT"),
    ("GCS", "thumbSuffix", None),
    ("GCS", "fullPath", None),
    ("GCS", "type", "S4"),
    ("GCS", "type", None),
    ("GCS", "newField", "x"),
    ("GCS", "s3Region", "eu-central-1"),
]


@pytest.mark.parametrize(("kind", "field", "value"), BAD_VALUES)
def test_values_against_the_rules_are_refused_by_name(http: httpx.Client, kind: str, field: str, value: object) -> None:
    made = create(http)
    body = {"type": kind, **COMMON, **VALID[kind], field: value}
    response = http.put(f"/v1/datasets/{made}/datasource", json=body)
    assert_refusal(response, 400, "MALFORMED_REQUEST")
    assert field in response.json()["error"]
    assert http.get(f"/v1/datasets/{made}/datasource/all").json() == []


REQUIRED = [(kind, field) for kind, fields in VALID.items() for field in ("type", "fullPath", *fields)]


@pytest.mark.parametrize(("kind", "field"), [it for it in REQUIRED if it != ("LOCAL", "webServerLocation")])
def test_a_missing_field_is_refused(http: httpx.Client, kind: str, field: str) -> None:
    body = {"type": kind, **COMMON, **VALID[kind]}
    del body[field]
    response = http.put(f"/v1/datasets/{create(http)}/datasource", json=body)
    assert_refusal(response, 400, "MALFORMED_REQUEST")


def test_purpose_and_thumb_suffix_have_defaults(http: httpx.Client) -> None:
    made = create(http)
    assert http.put(f"/v1/datasets/{made}/datasource", json={"type": "LIGHTLY", "fullPath": ""}).is_success
    answer = http.get(f"/v1/datasets/{made}/datasource").json()
    assert (answer["purpose"], answer["thumbSuffix"]) == ("INPUT_OUTPUT", THUMB)


def test_the_pair_and_the_one_for_both_replace_each_other(http: httpx.Client) -> None:
    made = create(http)

    def put(purpose: str, path: str = "s3://b/p") -> list[tuple[str, str]]:
        body = {"type": "GCS", **COMMON, **VALID["GCS"], "purpose": purpose, "fullPath": path}
        assert http.put(f"/v1/datasets/{made}/datasource", json=body).is_success
        return [(it["purpose"], it["fullPath"]) for it in http.get(f"/v1/datasets/{made}/datasource/all").json()]

    assert put("INPUT") == [("INPUT", "s3://b/p")]
    assert put("LIGHTLY") == [("INPUT", "s3://b/p"), ("LIGHTLY", "s3://b/p")]
    assert put("INPUT", "s3://b/q") == [("INPUT", "s3://b/q"), ("LIGHTLY", "s3://b/p")]
    assert put("INPUT_OUTPUT") == [("INPUT_OUTPUT", "s3://b/p")]
    assert put("LIGHTLY") == [("LIGHTLY", "s3://b/p")]


def test_a_datasource_that_is_not_set_is_told_from_an_unknown_dataset(http: httpx.Client) -> None:
    made = create(http)
    assert_refusal(http.get(f"/v1/datasets/{made}/datasource"), 404, "DATASET_DATASOURCE_UNKNOWN")
    assert_refusal(http.get(f"/v1/datasets/{made}/datasource/verify"), 404, "DATASET_DATASOURCE_UNKNOWN")
    bad = http.get(f"/v1/datasets/{made}/datasource", params={"token": TOKEN, "purpose": "OUTPUT"})
    assert_refusal(bad, 400, "MALFORMED_REQUEST")


FLAGS = {"canRead", "canWrite", "canList", "canOverwrite"}


@pytest.mark.parametrize("kind", VALID)
def test_verify_says_honestly_that_there_is_no_such_cloud_here(
    server: LightlyServer, http: httpx.Client, kind: str
) -> None:
    made = create(http)
    http.put(f"/v1/datasets/{made}/datasource", json={"type": kind, **COMMON, **VALID[kind]})
    answer = http.get(f"/v1/datasets/{made}/datasource/verify").json()
    assert {name: answer[name] for name in FLAGS} == dict.fromkeys(FLAGS, False)
    assert set(answer) == FLAGS | {"errors"}
    assert set(answer["errors"]) == FLAGS
    assert f"no cloud here to try {kind} on" in answer["errors"]["canList"]
    assert "no LIGHTLY datasource is set" in answer["errors"]["canWrite"]
    assert {(it.operation, it.outcome) for it in server.proof(made)} == {("list", "error"), ("read", "error")}
    proof = http.get(f"/_emulator/datasets/{made}/proof").json()
    assert [it["holds"] for it in proof] == [False, False]


def test_verifies_can_be_denied_as_while_permissions_propagate(server: LightlyServer, http: httpx.Client) -> None:
    made = create(http)
    http.put(f"/v1/datasets/{made}/datasource", json={"type": "LIGHTLY", **COMMON})
    server.deny_verifies(2)
    said = [http.get(f"/v1/datasets/{made}/datasource/verify").json() for _ in range(3)]
    assert ["not in effect yet" in it["errors"]["canList"] for it in said] == [True, True, False]
    assert all(it[name] is False for it in said[:2] for name in FLAGS)
    assert server.proof(made)
    assert server.proof(UNKNOWN) == []


def test_requests_fail_as_told_and_as_often(server: LightlyServer, http: httpx.Client) -> None:
    server.fail_next("GET", r"datasets$", 503, times=2, headers={"Retry-After": "1"})
    answers = [http.get("/v1/datasets") for _ in range(3)]
    assert [it.status_code for it in answers] == [503, 503, 200]
    assert answers[0].headers["retry-after"] == "1"
    assert set(answers[0].json()) == {"code", "error", "requestId"}
    server.fail_next("POST", "datasets", 504, after=True)
    assert http.post("/v1/datasets", json={"name": "made anyway"}).status_code == 504
    assert [it.name for it in server.datasets.values()] == ["made anyway"]


def test_the_log_of_requests_has_no_queries(server: LightlyServer, http: httpx.Client) -> None:
    query(http, "a%2Fb")
    http.get("/_emulator/datasets/x/proof")
    assert server.requests == ["GET /v1/datasets/query/name/a%2Fb"]


def test_samples_can_be_put_into_a_dataset(server: LightlyServer, http: httpx.Client) -> None:
    made = create(http)
    server.datasets[made].n_samples = 5
    assert http.get(f"/v1/datasets/{made}").json()["nSamples"] == 5


def test_it_listens_on_this_machine_only_and_leaves_nothing_behind() -> None:
    server = LightlyServer(TOKEN)
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.url
    with server:
        port = int(server.url.rsplit(":", 1)[1])
        assert server.url == f"http://127.0.0.1:{port}"
        with pytest.raises(OSError, match="in use"):
            LightlyServer(TOKEN, port=port).start()
    server.stop()
    with socket.create_server(("127.0.0.1", port)):
        pass
    with LightlyServer(TOKEN, port=port) as again:
        assert again.url.endswith(f":{port}")
