"""Accounts, keys, roles and tokens of the emulated IAM."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from google.auth import crypt, jwt
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import Request

from lightly_infra.sandbox.gcp.clients import GoogleError, KeyCredentials
from lightly_infra.sandbox.gcp.cloud import GcpCloud
from lightly_infra.sandbox.gcp.iam import key_pair
from lightly_infra.sandbox.gcp.server import GcpEmulator
from tests.sandbox.emulated_gcp import PROJECT, new_account, new_role
from tests.sandbox.emulated_provider import unique

if TYPE_CHECKING:
    from collections.abc import Iterator

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ACCOUNTS = f"/v1/projects/{PROJECT}/serviceAccounts"
ROLES = f"/v1/projects/{PROJECT}/roles"


@pytest.fixture(scope="module")
def cloud() -> Iterator[GcpCloud]:
    with GcpCloud() as cloud:
        yield cloud


@pytest.fixture
def account(cloud: GcpCloud) -> str:
    return new_account(cloud)


def _token(key_json: str) -> str:
    credentials, request = KeyCredentials(key_json), Request()
    try:
        credentials.refresh(request)
    finally:
        request.session.close()
    assert credentials.token
    return str(credentials.token)


# -- accounts and keys


def test_an_account_lives_its_life(cloud: GcpCloud) -> None:
    account_id = unique("sa")
    made = cloud._api.call("POST", ACCOUNTS, {"accountId": account_id, "serviceAccount": {"displayName": "Lightly"}})
    email = f"{account_id}@{PROJECT}.iam.gserviceaccount.com"
    assert made["name"] == f"projects/{PROJECT}/serviceAccounts/{email}"
    assert (made["email"], made["displayName"], made["disabled"]) == (email, "Lightly", False)
    assert len(made["uniqueId"]) == 21
    for name in (f"{ACCOUNTS}/{email}", f"/v1/projects/-/serviceAccounts/{email}", f"{ACCOUNTS}/{made['uniqueId']}"):
        assert cloud._api.call("GET", name) == made
    body = {"serviceAccount": {"displayName": "Other", "description": "not in the mask"}, "updateMask": "display_name"}
    changed = cloud._api.call("PATCH", f"{ACCOUNTS}/{email}", body)
    assert (changed["displayName"], changed["description"]) == ("Other", "")
    with pytest.raises(GoogleError, match=f"Error 409: Service account {account_id} already exists within project"):
        cloud._api.call("POST", ACCOUNTS, {"accountId": account_id})
    cloud._api.call("DELETE", f"{ACCOUNTS}/{email}")
    with pytest.raises(GoogleError, match="Error 404: Unknown service account"):
        cloud._api.call("GET", f"{ACCOUNTS}/{email}")


@pytest.mark.parametrize("account_id", ["short", "Upper-case", "1-digit-first", "a" * 31, "ends-with-"])
def test_a_bad_account_id_is_refused(cloud: GcpCloud, account_id: str) -> None:
    with pytest.raises(GoogleError, match="Error 400"):
        cloud._api.call("POST", ACCOUNTS, {"accountId": account_id})


def test_words_that_are_too_long_are_refused(cloud: GcpCloud) -> None:
    for name, limit in (("displayName", 100), ("description", 256)):
        body = {"accountId": unique("sa"), "serviceAccount": {name: "x" * (limit + 1)}}
        with pytest.raises(GoogleError, match=f"longer than {limit} bytes"):
            cloud._api.call("POST", ACCOUNTS, body)


def test_a_key_has_googles_fields_and_is_told_once(cloud: GcpCloud, account: str) -> None:
    made = cloud._api.call("POST", f"{ACCOUNTS}/{account}/keys", {})
    document = json.loads(base64.b64decode(made["privateKeyData"]))
    assert set(document) == {
        *("type", "project_id", "private_key_id", "private_key", "client_email", "client_id", "auth_uri", "token_uri"),
        *("auth_provider_x509_cert_url", "client_x509_cert_url", "universe_domain"),
    }
    assert document["client_email"] == account
    assert document["token_uri"] == cloud.emulator.token_uri
    again = cloud._api.call("GET", f"/v1/{made['name']}")
    assert "privateKeyData" not in again
    assert cloud._api.call("GET", f"{ACCOUNTS}/{account}/keys")["keys"] == [again]
    cloud._api.call("DELETE", f"/v1/{made['name']}")
    for method in ("GET", "DELETE"):
        with pytest.raises(GoogleError, match="Error 404"):
            cloud._api.call(method, f"/v1/{made['name']}")


def test_an_account_has_ten_keys_at_most(cloud: GcpCloud, account: str) -> None:
    keys = [cloud.make_key(account) for _ in range(10)]
    with pytest.raises(GoogleError, match=r"Error 400: Precondition check failed\., failedPrecondition"):
        cloud.make_key(account)
    assert cloud.emulator.accounts.deleted_key(account), "the probe needs one nevertheless"
    cloud.delete_key(keys[0])
    cloud.make_key(account)


def test_an_organisation_can_forbid_keys(cloud: GcpCloud, account: str) -> None:
    cloud.emulator.accounts.keys_forbidden = True
    try:
        with pytest.raises(GoogleError) as refused:
            cloud.make_key(account)
    finally:
        cloud.emulator.accounts.keys_forbidden = False
    said = str(refused.value)
    assert said.startswith("googleapi: Error 400: Key creation is not allowed on this service account.\nDetails:\n[")
    assert '"type": "constraints/iam.disableServiceAccountKeyCreation"' in said
    assert f"projects/{PROJECT}/serviceAccounts/{account}?configvalue=" in said
    assert said.endswith(", failedPrecondition")
    cloud.make_key(account)


def test_other_kinds_of_keys_are_refused_by_name(cloud: GcpCloud, account: str) -> None:
    with pytest.raises(GoogleError, match="does not support the privateKeyType TYPE_PKCS12_FILE"):
        cloud._api.call("POST", f"{ACCOUNTS}/{account}/keys", {"privateKeyType": "TYPE_PKCS12_FILE"})


# -- tokens


def test_a_key_gives_a_token_until_it_is_deleted(cloud: GcpCloud, account: str) -> None:
    key = cloud.make_key(account)
    assert _token(key) != _token(key)
    cloud.delete_key(key)
    with pytest.raises(RefreshError, match="invalid_grant: Invalid JWT Signature"):
        _token(key)


def test_a_key_of_anothers_making_gives_none(cloud: GcpCloud, account: str) -> None:
    key = json.loads(cloud.make_key(account))
    other = json.loads(cloud.make_key(new_account(cloud)))
    _, _, made_up = key_pair()
    wrong: list[dict[str, Any]] = [
        {"private_key": made_up},
        {"private_key_id": "made-up"},
        {"private_key": other["private_key"]},
        {"private_key": other["private_key"], "private_key_id": other["private_key_id"]},
    ]
    for change in wrong:
        with pytest.raises(RefreshError, match="Invalid JWT Signature"):
            _token(json.dumps(key | change))
    with pytest.raises(RefreshError, match="account not found"):
        _token(json.dumps(key | {"client_email": f"nobody@{PROJECT}.iam.gserviceaccount.com"}))
    with pytest.raises(RefreshError, match="Invalid JWT Signature"):
        _token(cloud.emulator.accounts.deleted_key(account) or "")
    assert cloud.emulator.accounts.deleted_key("nobody") is None


def _ask(cloud: GcpCloud, key: dict[str, Any], **changes: Any) -> tuple[int, str]:
    """Asks with a JWT of one's own."""
    now = int(time.time())
    claims = {"iss": key["client_email"], "aud": key["token_uri"], "iat": now, "exp": now + 3600, "scope": "all"}
    signer = crypt.RSASigner.from_service_account_info(key)  # type: ignore[no-untyped-call] # partly typed only
    given = {name: value for name, value in (claims | changes).items() if value is not None}
    assertion = jwt.encode(signer, given).decode()  # type: ignore[no-untyped-call] # partly typed only
    answer = httpx.post(cloud.emulator.token_uri, data={"grant_type": GRANT, "assertion": assertion}, trust_env=False)
    return answer.status_code, answer.json().get("error_description", "")


def test_what_a_jwt_says_is_checked(cloud: GcpCloud, account: str) -> None:
    key, now = json.loads(cloud.make_key(account)), int(time.time())
    assert _ask(cloud, key) == (200, "")
    assert _ask(cloud, key, aud="https://oauth2.googleapis.com/token") == (200, "")
    for times in (
        {"iat": now - 7200, "exp": now - 3600},
        {"iat": now + 600, "exp": now + 1200},
        {"iat": now, "exp": now + 7200},
        {"iat": now, "exp": now - 10},
        {"exp": None},
        {"iat": "now"},
    ):
        status, said = _ask(cloud, key, **times)
        assert status == 400
        assert said.startswith("Invalid JWT: Token must be a short-lived token (60 minutes)")
    assert _ask(cloud, key, aud="https://example.com") == (400, "Invalid JWT: Failed audience check.")
    assert _ask(cloud, key, scope=None) == (400, "Invalid OAuth scope or ID token audience provided.")
    assert _ask(cloud, key, sub="boss@example.com")[0] == 400


def test_what_is_no_jwt_is_refused(cloud: GcpCloud, account: str) -> None:
    key = json.loads(cloud.make_key(account))
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": key["private_key_id"]}).encode()).decode()
    claims = base64.urlsafe_b64encode(json.dumps({"iss": account}).encode()).decode()
    for assertion in ("", "a.b", "a.b.c", "W10.W10.", f"{none}.{claims}."):
        answer = httpx.post(
            cloud.emulator.token_uri, data={"grant_type": GRANT, "assertion": assertion}, trust_env=False
        )
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    answer = httpx.post(cloud.emulator.token_uri, data={"grant_type": "password"}, trust_env=False)
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")


def test_a_token_ends_with_its_hour(cloud: GcpCloud, account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"Authorization": f"Bearer {_token(cloud.make_key(account))}"}
    url = f"{cloud.emulator.url}/storage/v1/b/not-for-lightly/o"
    assert httpx.get(url, headers=headers, trust_env=False).status_code == 403
    now = time.time()
    monkeypatch.setattr("lightly_infra.sandbox.gcp.tokens.time.time", lambda: now + 3601)
    assert httpx.get(url, headers=headers, trust_env=False).status_code == 401


def test_every_emulator_has_an_administrator_of_its_own() -> None:
    with GcpEmulator() as one, GcpEmulator() as other:
        assert one.token != other.token
        url = f"{one.url}/storage/v1/b?project=acme-prod"
        assert httpx.get(url, headers={"Authorization": f"Bearer {one.token}"}, trust_env=False).status_code == 200
        assert httpx.get(url, headers={"Authorization": f"Bearer {other.token}"}, trust_env=False).status_code == 401
    with pytest.raises(RuntimeError, match="is not running"):
        _ = one.url
    one.stop()


# -- roles


def test_a_role_lives_its_life(cloud: GcpCloud) -> None:
    name = new_role(cloud, ["storage.objects.get"])
    role_id = name.rpartition("/")[2]
    found = cloud._api.call("GET", f"/v1/{name}")
    assert (found["title"], found["stage"], found["includedPermissions"]) == (role_id, "GA", ["storage.objects.get"])
    changed = cloud._api.call("PATCH", f"/v1/{name}", {"includedPermissions": ["storage.objects.list"]})
    assert changed["includedPermissions"] == ["storage.objects.list"]
    assert changed["etag"] != found["etag"]
    again = {"roleId": role_id, "role": {"title": "x"}}
    with pytest.raises(GoogleError, match="Error 409: A role named"):
        cloud._api.call("POST", ROLES, again)
    assert cloud._api.call("DELETE", f"/v1/{name}")["deleted"] is True
    assert cloud._api.call("GET", f"/v1/{name}")["deleted"] is True
    with pytest.raises(GoogleError, match=r"You can't create a role_id \(.*\) which has been marked for deletion"):
        cloud._api.call("POST", ROLES, again)
    for method in ("PATCH", "DELETE"):
        with pytest.raises(GoogleError, match=r"has been (deleted|marked for deletion)"):
            cloud._api.call(method, f"/v1/{name}", {})
    cloud._api.call("POST", f"/v1/{name}:undelete", {})
    with pytest.raises(GoogleError, match="is not deleted"):
        cloud._api.call("POST", f"/v1/{name}:undelete", {})
    assert "deleted" not in cloud._api.call("GET", f"/v1/{name}")


def test_the_id_of_a_role_deleted_long_ago_is_reserved(cloud: GcpCloud) -> None:
    role_id = unique("role").replace("-", "_")
    cloud.emulator.roles.reserve(PROJECT, role_id)
    with pytest.raises(GoogleError, match="Error 404"):
        cloud._api.call("GET", f"{ROLES}/{role_id}")
    with pytest.raises(GoogleError, match=r"marked for deletion\., failedPrecondition"):
        cloud._api.call("POST", ROLES, {"roleId": role_id, "role": {"title": "x"}})
    with pytest.raises(GoogleError, match="Error 404"):
        cloud._api.call("POST", f"{ROLES}/{role_id}:undelete", {})


@pytest.mark.parametrize(
    ("role_id", "role", "words"),
    [
        ("has-dash", {}, "must match the pattern"),
        ("ab", {}, "must match the pattern"),
        ("", {}, "must match the pattern"),
        ("role_ok", {"includedPermissions": ["storage.objects.fly"]}, "Permission storage.objects.fly is not valid"),
        ("role_ok", {"title": "x" * 101}, "101 characters"),
        ("role_ok", {"stage": "SOON"}, "no launch stage"),
    ],
)
def test_a_bad_role_is_refused(cloud: GcpCloud, role_id: str, role: dict[str, Any], words: str) -> None:
    with pytest.raises(GoogleError, match=words):
        cloud._api.call("POST", ROLES, {"roleId": role_id, "role": role})


def test_a_key_that_nobody_made_has_no_policy(cloud: GcpCloud) -> None:
    key = f"projects/{PROJECT}/locations/europe/keyRings/ring/cryptoKeys/{unique()}"
    with pytest.raises(GoogleError, match="Error 404: CryptoKey"):
        cloud._api.call("GET", f"/v1/{key}:getIamPolicy")
