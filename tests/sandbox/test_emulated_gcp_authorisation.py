"""Who may do what on the emulated Cloud Storage: the official client, allowed and refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from google.auth.exceptions import RefreshError

from lightly_infra.clouds.gcp import policy
from lightly_infra.sandbox.gcp.clients import TokenCredentials, exceptions, storage_client
from lightly_infra.sandbox.gcp.cloud import GcpCloud
from tests.sandbox.emulated_gcp import OBJECTS, PROJECT, as_key, bind, granted, new_account, new_bucket, new_role
from tests.sandbox.emulated_provider import unique

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lightly_infra.sandbox.gcp.clients import StorageClient


@pytest.fixture(scope="module")
def cloud() -> Iterator[GcpCloud]:
    with GcpCloud() as cloud:
        yield cloud


@pytest.fixture
def bucket(cloud: GcpCloud) -> str:
    return new_bucket(cloud, "raw/a.png", "raw-private/a.png", "other/a.png")


Act = "Callable[[StorageClient, str, str], Any]"


def _list(client: StorageClient, bucket: str, key: str) -> Any:
    return list(client.list_blobs(bucket, prefix=key, retry=None))


def _read(client: StorageClient, bucket: str, key: str) -> Any:
    return client.bucket(bucket).blob(key).download_as_bytes(retry=None)


def _create(client: StorageClient, bucket: str, key: str) -> Any:
    client.bucket(bucket).blob(f"{key}-{unique()}").upload_from_string(b"x", retry=None)


def _overwrite(client: StorageClient, bucket: str, key: str) -> Any:
    client.bucket(bucket).blob(key).upload_from_string(b"x", retry=None)


def _delete(client: StorageClient, bucket: str, key: str) -> Any:
    client.bucket(bucket).blob(key).delete(retry=None)


def _update(client: StorageClient, bucket: str, key: str) -> Any:
    blob = client.bucket(bucket).blob(key)
    blob.metadata = {"a": "b"}
    blob.patch(retry=None)


ACTS: dict[str, tuple[Callable[[StorageClient, str, str], Any], set[str]]] = {
    "list": (_list, {"storage.objects.list"}),
    "read": (_read, {"storage.objects.get"}),
    "create": (_create, {"storage.objects.create"}),
    "overwrite": (_overwrite, {"storage.objects.create", "storage.objects.delete"}),
    "delete": (_delete, {"storage.objects.delete"}),
    "update": (_update, {"storage.objects.update"}),
}


@pytest.mark.parametrize("act", ACTS)
def test_an_act_needs_its_permissions_and_no_other(cloud: GcpCloud, bucket: str, act: str) -> None:
    do, needed = ACTS[act]
    for missing in sorted(needed):
        with (
            granted(cloud, bucket, [it for it in OBJECTS if it != missing]) as client,
            pytest.raises(exceptions.Forbidden, match=missing) as refused,
        ):
            do(client, bucket, "raw/a.png")
        assert "denied on resource (or it may not exist)" in str(refused.value)
    with granted(cloud, bucket, sorted(needed)) as client:
        do(client, bucket, "raw/a.png")


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("wide", [False, True])
def test_our_own_condition_limits_an_act_to_the_prefix(cloud: GcpCloud, bucket: str, act: str, wide: bool) -> None:
    do, _ = ACTS[act]
    expression = policy.expression(bucket, "raw/", bucket_wide_listing=wide)
    with granted(cloud, bucket, OBJECTS, expression) as client:
        do(client, bucket, "raw/a.png")
        for beside in ("raw-private/a.png", "other/a.png", "raw", ""):
            if act == "list" and wide:
                do(client, bucket, beside)
            elif beside or act == "list":
                with pytest.raises(exceptions.Forbidden):
                    do(client, bucket, beside)


@pytest.mark.parametrize("act", ACTS)
def test_a_prefix_without_its_slash_lets_in_what_begins_alike(cloud: GcpCloud, bucket: str, act: str) -> None:
    do, _ = ACTS[act]
    objects = f'resource.name.startsWith("projects/_/buckets/{bucket}/objects/raw")'
    listing = 'api.getAttribute("storage.googleapis.com/objectListPrefix", "").startsWith("raw")'
    with granted(cloud, bucket, OBJECTS, f"{objects} || {listing}") as client:
        do(client, bucket, "raw-private/a.png")
        with pytest.raises(exceptions.Forbidden):
            do(client, bucket, "other/a.png")


@pytest.mark.parametrize("act", ACTS)
def test_another_bucket_is_closed(cloud: GcpCloud, bucket: str, act: str) -> None:
    another = new_bucket(cloud, "raw/a.png")
    with granted(cloud, bucket, OBJECTS) as client, pytest.raises(exceptions.Forbidden):
        ACTS[act][0](client, another, "raw/a.png")


@pytest.mark.parametrize("act", ACTS)
def test_nobody_is_asked_for_credentials_first(cloud: GcpCloud, bucket: str, act: str) -> None:
    client = storage_client(cloud.emulator.url, _Anonymous(), PROJECT)
    with pytest.raises(exceptions.Unauthorized, match="Anonymous caller does not have storage"):
        ACTS[act][0](client, bucket, "raw/a.png")
    client.close()


class _Anonymous(TokenCredentials):
    def __init__(self) -> None:
        super().__init__("")

    def before_request(self, *_: object) -> None:
        """Adds nothing."""


@pytest.mark.parametrize("everybody", ["allUsers", "allAuthenticatedUsers"])
def test_a_public_bucket_is_open_to_everybody_it_names(cloud: GcpCloud, bucket: str, everybody: str) -> None:
    bind(cloud, bucket, everybody, "roles/storage.objectViewer")
    with as_key(cloud, cloud.make_key(new_account(cloud))) as client:
        assert _read(client, bucket, "raw/a.png") == b"something"
    url = f"{cloud.emulator.url}/storage/v1/b/{bucket}/o/raw%2Fa.png"
    assert httpx.get(url, trust_env=False).status_code == (200 if everybody == "allUsers" else 401)


def test_a_token_that_is_nobodys_is_refused(cloud: GcpCloud, bucket: str) -> None:
    client = storage_client(cloud.emulator.url, TokenCredentials("ya29.made-up"), PROJECT)
    with pytest.raises(exceptions.Unauthorized, match="Invalid Credentials"):
        _read(client, bucket, "raw/a.png")
    client.close()


def test_only_who_may_list_is_told_that_an_object_is_missing(cloud: GcpCloud, bucket: str) -> None:
    with granted(cloud, bucket, ["storage.objects.get", "storage.objects.list"]) as client:
        with pytest.raises(exceptions.NotFound, match="No such object"):
            _read(client, bucket, "raw/missing.png")
        assert client.bucket(bucket).blob("raw/missing.png").exists() is False
    with granted(cloud, bucket, ["storage.objects.get"]) as client, pytest.raises(exceptions.Forbidden):
        _read(client, bucket, "raw/missing.png")
    with granted(cloud, bucket, ["storage.objects.list"]) as client, pytest.raises(exceptions.Forbidden):
        _read(client, bucket, "raw/missing.png")
    # With a condition on the prefix of the listing there is none to ask about.
    with (
        granted(cloud, bucket, OBJECTS, policy.expression(bucket, "raw/")) as client,
        pytest.raises(exceptions.Forbidden),
    ):
        _read(client, bucket, "raw/missing.png")
    wide = policy.expression(bucket, "raw/", bucket_wide_listing=True)
    with granted(cloud, bucket, OBJECTS, wide) as client, pytest.raises(exceptions.NotFound):
        _read(client, bucket, "raw/missing.png")


def test_a_missing_bucket_is_told_to_anybody(cloud: GcpCloud) -> None:
    with (
        as_key(cloud, cloud.make_key(new_account(cloud))) as client,
        pytest.raises(exceptions.NotFound, match="The specified bucket does not exist"),
    ):
        _list(client, unique("missing"), "")


def test_a_condition_on_time_ends(cloud: GcpCloud, bucket: str) -> None:
    with (
        granted(cloud, bucket, OBJECTS, 'request.time < timestamp("2020-01-01T00:00:00Z")') as client,
        pytest.raises(exceptions.Forbidden),
    ):
        _read(client, bucket, "raw/a.png")
    with granted(cloud, bucket, OBJECTS, 'request.time < timestamp("2120-01-01T00:00:00Z")') as client:
        _read(client, bucket, "raw/a.png")


def test_a_role_that_is_deleted_or_disabled_grants_nothing(cloud: GcpCloud, bucket: str) -> None:
    role, email = new_role(cloud, OBJECTS), new_account(cloud)
    bind(cloud, bucket, f"serviceAccount:{email}", role)
    with as_key(cloud, cloud.make_key(email)) as client:
        _read(client, bucket, "raw/a.png")
        cloud._api.call("DELETE", f"/v1/{role}")
        with pytest.raises(exceptions.Forbidden):
            _read(client, bucket, "raw/a.png")
        cloud._api.call("POST", f"/v1/{role}:undelete", {})
        _read(client, bucket, "raw/a.png")
        cloud._api.call("PATCH", f"/v1/{role}", {"stage": "DISABLED"})
        with pytest.raises(exceptions.Forbidden):
            _read(client, bucket, "raw/a.png")


def test_an_account_made_anew_inherits_nothing(cloud: GcpCloud, bucket: str) -> None:
    email = new_account(cloud)
    bind(cloud, bucket, f"serviceAccount:{email}", "roles/storage.objectViewer")
    old = cloud.make_key(email)
    with as_key(cloud, old) as client:
        _read(client, bucket, "raw/a.png")
        cloud._api.call("DELETE", f"/v1/projects/{PROJECT}/serviceAccounts/{email}")
        cloud.make_account(email)
        with pytest.raises(RefreshError, match="Invalid JWT Signature"):  # after 401, google-auth asks for a new token
            _read(client, bucket, "raw/a.png")
    with as_key(cloud, cloud.make_key(email)) as client, pytest.raises(exceptions.Forbidden):
        _read(client, bucket, "raw/a.png")


def test_a_disabled_account_is_nobody(cloud: GcpCloud, bucket: str) -> None:
    email = new_account(cloud)
    bind(cloud, bucket, f"serviceAccount:{email}", "roles/storage.objectViewer")
    with as_key(cloud, cloud.make_key(email)) as client:
        _read(client, bucket, "raw/a.png")
        cloud._api.call("POST", f"/v1/projects/-/serviceAccounts/{email}:disable")
        with pytest.raises(RefreshError, match="account is disabled"):
            _read(client, bucket, "raw/a.png")


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("roles/storage.objectViewer", {"list", "read"}),
        ("roles/storage.objectCreator", {"create"}),
        ("roles/storage.objectAdmin", set(ACTS)),
        ("roles/storage.admin", set(ACTS)),
        ("roles/storage.legacyBucketReader", {"list"}),
        ("roles/storage.legacyObjectReader", {"read"}),
    ],
)
def test_googles_own_roles_grant_what_they_say(cloud: GcpCloud, bucket: str, role: str, allowed: set[str]) -> None:
    email = new_account(cloud)
    bind(cloud, bucket, f"serviceAccount:{email}", role)
    with as_key(cloud, cloud.make_key(email)) as client:
        for name, (do, _) in sorted(ACTS.items(), key=lambda it: it[0] == "delete"):
            if name in allowed:
                do(client, bucket, "raw/a.png")
            else:
                with pytest.raises(exceptions.Forbidden):
                    do(client, bucket, "raw/a.png")


@pytest.mark.parametrize(
    ("permission", "method", "path"),
    [
        ("storage.buckets.get", "GET", ""),
        ("storage.buckets.update", "PATCH", ""),
        ("storage.buckets.delete", "DELETE", ""),
        ("storage.buckets.getIamPolicy", "GET", "/iam"),
        ("storage.buckets.setIamPolicy", "PUT", "/iam"),
    ],
)
def test_a_buckets_settings_and_policy_need_permissions_of_their_own(
    cloud: GcpCloud, permission: str, method: str, path: str
) -> None:
    bucket = new_bucket(cloud)
    request: dict[str, Any] = {
        "method": method,
        "path": f"/b/{bucket}{path}",
        "data": {"bindings": []} if path else {"labels": {}},
    }
    with granted(cloud, bucket, OBJECTS) as client, pytest.raises(exceptions.Forbidden, match=permission):
        client._connection.api_request(**request)
    with granted(cloud, bucket, [permission]) as client:
        client._connection.api_request(**request)


def test_only_the_administrator_makes_buckets_accounts_keys_and_roles(cloud: GcpCloud, bucket: str) -> None:
    with granted(cloud, bucket, OBJECTS) as client:
        with pytest.raises(exceptions.Forbidden):
            client.create_bucket(unique("mine"))
        with pytest.raises(exceptions.Forbidden):
            list(client.list_buckets())
        token = client._credentials.token
    for method, path in (
        ("POST", f"/v1/projects/{PROJECT}/serviceAccounts"),
        ("POST", f"/v1/projects/{PROJECT}/roles"),
        ("POST", f"/v1/projects/-/serviceAccounts/{new_account(cloud)}/keys"),
        ("GET", f"/storage/v1/projects/{PROJECT}/serviceAccount"),
    ):
        url = cloud.emulator.url + path
        answer = httpx.request(method, url, headers={"Authorization": f"Bearer {token}"}, trust_env=False)
        assert answer.status_code == 403
        assert answer.json()["error"]["status"] == "PERMISSION_DENIED"
        assert httpx.request(method, url, trust_env=False).status_code == 401


# -- policies


def test_a_policy_lives_with_version_conditions_and_etag(cloud: GcpCloud, bucket: str) -> None:
    email = new_account(cloud)
    place = cloud.client().bucket(bucket)
    first = place.get_iam_policy(requested_policy_version=3)
    assert first.version == 1
    assert {it["role"] for it in first.bindings} == {
        "roles/storage.legacyBucketOwner",
        "roles/storage.legacyBucketReader",
    }
    bind(cloud, bucket, f"serviceAccount:{email}", "roles/storage.objectViewer", policy.expression(bucket, "raw/"))
    found = place.get_iam_policy(requested_policy_version=3)
    assert found.version == 3
    assert found.bindings[-1]["members"] == {f"serviceAccount:{email}"}
    assert found.bindings[-1]["condition"]["expression"] == policy.expression(bucket, "raw/")
    with pytest.raises(exceptions.PreconditionFailed):
        place.set_iam_policy(first)
    with pytest.raises(exceptions.BadRequest, match="cannot be less than the existing policy version"):
        place.get_iam_policy(requested_policy_version=1)


def test_a_policy_with_a_condition_must_say_version_3(cloud: GcpCloud, bucket: str) -> None:
    place = cloud.client().bucket(bucket)
    found = place.get_iam_policy(requested_policy_version=3)
    found.bindings.append(
        {
            "role": "roles/storage.objectViewer",
            "members": {"user:a@b.c"},
            "condition": {"title": "t", "expression": "true"},
        }
    )
    with pytest.raises(exceptions.BadRequest, match="version 3"):
        place.set_iam_policy(found)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ('resource.name.startsWith("raw', "Syntax error"),
        ("", "Syntax error"),
        ('resource.name.matches("raw")', "undeclared reference to 'matches'"),
        ("somebody", "undeclared reference to 'somebody'"),
        ('resource.nme == "raw"', "undefined field 'nme'"),
        (r'resource.name == "\."', "token recognition error"),
        ("resource.name", "is not true or false"),
        (" && ".join(["true"] * 14), "12 is the most"),
    ],
)
def test_a_condition_that_is_none_is_refused(cloud: GcpCloud, bucket: str, expression: str, words: str) -> None:
    with pytest.raises(exceptions.BadRequest, match=words):
        bind(cloud, bucket, "user:a@b.c", "roles/storage.objectViewer", expression)


def test_a_condition_needs_uniform_access_and_keeps_it(cloud: GcpCloud, bucket: str) -> None:
    loose = new_bucket(cloud, uniform=False)
    with pytest.raises(exceptions.BadRequest, match="uniform bucket-level access"):
        bind(cloud, loose, "user:a@b.c", "roles/storage.objectViewer", "true")
    bind(cloud, loose, "user:a@b.c", "roles/storage.objectViewer")
    bind(cloud, bucket, "user:a@b.c", "roles/storage.objectViewer", "true")
    place = cloud.client().get_bucket(bucket)
    place.iam_configuration.uniform_bucket_level_access_enabled = False
    with pytest.raises(exceptions.PreconditionFailed, match="Uniform"):
        place.patch()


@pytest.mark.parametrize(
    ("member", "role", "words"),
    [
        ("serviceAccount:nobody@acme-prod.iam.gserviceaccount.com", "roles/storage.objectViewer", "does not exist"),
        ("nobody", "roles/storage.objectViewer", "no known type"),
        ("user:a@b.c", "roles/storage.objectReader", "does not exist in the resource's hierarchy"),
        ("user:a@b.c", "projects/acme-prod/roles/none", "does not exist in the resource's hierarchy"),
    ],
)
def test_a_policy_names_what_exists(cloud: GcpCloud, bucket: str, member: str, role: str, words: str) -> None:
    with pytest.raises(exceptions.BadRequest, match=words):
        bind(cloud, bucket, member, role)


def test_a_legacy_role_takes_no_condition(cloud: GcpCloud, bucket: str) -> None:
    with pytest.raises(exceptions.BadRequest, match="legacy"):
        bind(cloud, bucket, "user:a@b.c", "roles/storage.legacyObjectReader", "true")


def test_public_access_prevention_prevents(cloud: GcpCloud, bucket: str) -> None:
    place = cloud.client().get_bucket(bucket)
    place.iam_configuration.public_access_prevention = "enforced"
    place.patch()
    with pytest.raises(exceptions.PreconditionFailed, match="public access prevention is enforced"):
        bind(cloud, bucket, "allUsers", "roles/storage.objectViewer")
    public = new_bucket(cloud)
    bind(cloud, public, "allUsers", "roles/storage.objectViewer")
    place = cloud.client().get_bucket(public)
    place.iam_configuration.public_access_prevention = "enforced"
    with pytest.raises(exceptions.PreconditionFailed, match="public access prevention"):
        place.patch()
