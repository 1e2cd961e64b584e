"""What the emulated Lightly finds out with a key it was given, and what the sandbox prepares, on Google Cloud."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra.clouds.gcp import policy
from lightly_infra.lightly.client import LightlyClient
from lightly_infra.lightly.models import DatasetType, parse_config
from lightly_infra.permissions import Operation, Purpose
from lightly_infra.sandbox.cloud import CannotSeed, Source
from lightly_infra.sandbox.gcp.clients import KeyCredentials, TokenCredentials, storage_client
from lightly_infra.sandbox.gcp.cloud import GcpCloud
from lightly_infra.sandbox.gcp.iam import credentials_file, key_pair
from lightly_infra.sandbox.gcp.probe import AUTHENTICATE, DELETED_KEY, FOREIGN_KEY, GcsStore
from lightly_infra.sandbox.lightly import LightlyServer
from lightly_infra.sandbox.probe import BESIDE, ELSEWHERE, INSIDE
from lightly_infra.spec.gcs import GcsSpec
from tests.sandbox.emulated_gcp import OBJECTS, PROJECT, bind, new_account, new_bucket, new_role
from tests.sandbox.emulated_provider import unique

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lightly_infra.sandbox.probe import Attempt

READ = ["storage.objects.get", "storage.objects.list"]
KEYS = {(AUTHENTICATE, DELETED_KEY, "refused"), (AUTHENTICATE, FOREIGN_KEY, "refused")}
INPUT = {
    *((it, INSIDE, "allowed") for it in ("list", "read")),
    *((it, INSIDE, "refused") for it in ("write", "overwrite", "delete")),
    *((it, target, "refused") for it in ("list", "read", "write", "delete") for target in (BESIDE, ELSEWHERE)),
    *KEYS,
}
LIGHTLY = {
    *((it, INSIDE, "allowed") for it in ("list", "read", "write", "overwrite", "delete")),
    *((it, target, "refused") for it in ("list", "read", "write", "delete") for target in (BESIDE, ELSEWHERE)),
    *KEYS,
}


@pytest.fixture(scope="module")
def cloud() -> Iterator[GcpCloud]:
    with GcpCloud() as cloud:
        yield cloud


@pytest.fixture
def bucket(cloud: GcpCloud) -> str:
    return new_bucket(cloud, "raw/a.png")


def told(bucket: str, key_json: str, *, purpose: str = "INPUT", prefix: str = "raw/") -> dict[str, str]:
    """A datasource as Lightly knows it."""
    return {
        "type": "GCS",
        "purpose": purpose,
        "fullPath": f"gs://{bucket}/{prefix}",
        "gcsProjectId": PROJECT,
        "gcsCredentials": key_json,
    }


def key_of(
    cloud: GcpCloud, bucket: str, permissions: Sequence[str], expression: str | None = None, email: str = ""
) -> str:
    """A key of an account with these permissions."""
    email = email or new_account(cloud)
    bind(cloud, bucket, f"serviceAccount:{email}", new_role(cloud, permissions), expression)
    return cloud.make_key(email)


def outcomes(attempts: Sequence[Attempt]) -> set[tuple[str, str, str]]:
    return {(it.operation, it.target, it.outcome) for it in attempts}


def broken(attempts: Sequence[Attempt]) -> set[tuple[str, str]]:
    """What did not go as it should."""
    return {(it.operation, it.target) for it in attempts if not it.holds}


def names(cloud: GcpCloud, bucket: str) -> list[str]:
    return [it.name for it in cloud.client().list_blobs(bucket)]


def test_reading_alone_is_what_input_needs(cloud: GcpCloud, bucket: str) -> None:
    key = key_of(cloud, bucket, READ, policy.expression(bucket, "raw/"))
    attempts = cloud.probe(told(bucket, key), [])
    assert outcomes(attempts) == INPUT
    assert broken(attempts) == set()
    assert names(cloud, bucket) == ["raw/a.png"], "nothing is left"
    again = cloud.probe(told(bucket, key), [])
    assert [(it.operation, it.target) for it in again] == [(it.operation, it.target) for it in attempts]


@pytest.mark.parametrize("purpose", ["LIGHTLY", "INPUT_OUTPUT"])
@pytest.mark.parametrize("keys", [("raw/a.png",), ("raw/",), ()])
def test_writing_is_what_lightly_needs_in_an_empty_directory_too(
    cloud: GcpCloud, purpose: str, keys: tuple[str, ...]
) -> None:
    bucket = new_bucket(cloud, *keys)
    permissions = policy.permissions(Purpose(purpose))
    key = key_of(cloud, bucket, permissions, policy.expression(bucket, "raw/"))
    attempts = cloud.probe(told(bucket, key, purpose=purpose), [])
    assert outcomes(attempts) == LIGHTLY
    assert broken(attempts) == set()
    assert names(cloud, bucket) == list(keys)


@pytest.mark.parametrize(
    ("purpose", "permissions", "expected"),
    [
        ("INPUT", OBJECTS, {("write", INSIDE), ("overwrite", INSIDE), ("delete", INSIDE)}),
        ("INPUT", [*READ, "storage.objects.delete"], {("delete", INSIDE)}),
        ("INPUT", ["storage.objects.list"], {("read", INSIDE)}),
        ("INPUT", ["storage.objects.get"], {("list", INSIDE)}),
        ("LIGHTLY", READ, {("write", INSIDE), ("overwrite", INSIDE), ("delete", INSIDE)}),
        ("LIGHTLY", [*READ, "storage.objects.create"], {("overwrite", INSIDE), ("delete", INSIDE)}),
    ],
)
def test_too_many_and_too_few_permissions_are_found_out(
    cloud: GcpCloud, bucket: str, purpose: str, permissions: list[str], expected: set[tuple[str, str]]
) -> None:
    key = key_of(cloud, bucket, permissions, policy.expression(bucket, "raw/"))
    attempts = cloud.probe(told(bucket, key, purpose=purpose), [])
    assert broken(attempts) == expected
    for it in attempts:
        assert it.outcome == "allowed" or "refused (" in it.detail
        assert "{" not in it.detail, "Google's words, not its JSON"


@pytest.mark.parametrize("permission", ["storage.objects.get", "storage.objects.delete", "storage.objects.create"])
def test_a_permission_on_the_whole_bucket_is_found_out_without_listing_it(
    cloud: GcpCloud, bucket: str, permission: str
) -> None:
    email = new_account(cloud)
    key = key_of(cloud, bucket, OBJECTS, policy.expression(bucket, "raw/"), email)
    bind(cloud, bucket, f"serviceAccount:{email}", new_role(cloud, [permission]))
    attempts = cloud.probe(told(bucket, key, purpose="LIGHTLY"), [])
    operation = {"get": "read", "create": "write", "delete": "delete"}[permission.rpartition(".")[2]]
    assert broken(attempts) == {(operation, BESIDE)}


def test_a_condition_that_forgot_the_slash_is_found_out(cloud: GcpCloud, bucket: str) -> None:
    objects = f'resource.name.startsWith("projects/_/buckets/{bucket}/objects/raw")'
    listing = 'api.getAttribute("storage.googleapis.com/objectListPrefix", "").startsWith("raw")'
    key = key_of(cloud, bucket, OBJECTS, f"{objects} || {listing}")
    attempts = cloud.probe(told(bucket, key, purpose="LIGHTLY"), [])
    assert broken(attempts) == {("list", BESIDE), ("read", BESIDE), ("write", BESIDE), ("delete", BESIDE)}


def test_another_bucket_that_is_open_is_found_out(cloud: GcpCloud, bucket: str) -> None:
    email = new_account(cloud)
    key = key_of(cloud, bucket, OBJECTS, policy.expression(bucket, "raw/"), email)
    bind(cloud, "not-for-lightly", f"serviceAccount:{email}", "roles/storage.objectAdmin")
    attempts = cloud.probe(told(bucket, key, purpose="LIGHTLY"), [])
    assert broken(attempts) == {(it, ELSEWHERE) for it in ("list", "read", "write", "delete")}
    assert names(cloud, "not-for-lightly") == ["not-for-lightly/private.png"]


def test_the_whole_bucket_has_nothing_beside(cloud: GcpCloud, bucket: str) -> None:
    attempts = cloud.probe(told(bucket, key_of(cloud, bucket, READ), prefix=""), [])
    assert outcomes(attempts) == {it for it in INPUT if it[1] != BESIDE}
    assert broken(attempts) == set()


def test_where_the_same_account_may_more_is_no_place_to_try_what_must_be_refused(cloud: GcpCloud, bucket: str) -> None:
    email = new_account(cloud)
    key = key_of(cloud, bucket, READ, policy.expression(bucket, "raw/"), email)
    other = key_of(cloud, bucket, OBJECTS, None, email)
    datasource = told(bucket, key, purpose="LIGHTLY")
    assert broken(cloud.probe(datasource, [])) == {(it, BESIDE) for it in ("list", "read", "write", "delete")}
    attempts = cloud.probe(datasource, [told(bucket, other, purpose="LIGHTLY", prefix=""), {"fullPath": "s3://x/"}])
    assert broken(attempts) == set()
    assert BESIDE not in {it.target for it in attempts}


def test_listing_the_whole_bucket_is_held_against_nobody_who_wished_it(cloud: GcpCloud, bucket: str) -> None:
    wide = policy.expression(bucket, "raw/", bucket_wide_listing=True)
    datasource = told(bucket, key_of(cloud, bucket, READ, wide))
    assert broken(cloud.probe(datasource, [])) == {("list", BESIDE)}
    cloud.prepare([source({"bucket": bucket, "bucket_wide_listing": True})])
    attempts = cloud.probe(datasource, [])
    assert broken(attempts) == set()
    assert ("list", BESIDE) not in {(it.operation, it.target) for it in attempts}
    assert ("list", ELSEWHERE, "refused") in outcomes(attempts)


@pytest.mark.parametrize(
    ("change", "outcome", "detail"),
    [
        ({"gcsCredentials": "{}"}, "error", "no JSON of a service account's key"),
        ({"gcsCredentials": "[]"}, "error", "no JSON of a service account's key"),
        ({"gcsCredentials": "secret"}, "error", "no JSON of a service account's key"),
        ({"fullPath": "s3://bucket/"}, "error", "is no path like gs://bucket/prefix/"),
        ({"fullPath": "gs://there-is-no-such-bucket/raw/"}, "error", "The specified bucket does not exist"),
    ],
)
def test_what_cannot_be_tried_says_why(
    cloud: GcpCloud, bucket: str, change: dict[str, str], outcome: str, detail: str
) -> None:
    attempts = cloud.probe(told(bucket, key_of(cloud, bucket, READ)) | change, [])
    inside = [it for it in attempts if (it.operation, it.target) == (Operation.LIST, INSIDE)]
    assert [it.outcome for it in inside] == [outcome]
    assert detail in inside[0].detail


def test_keys_that_are_no_longer_or_not_ours_say_so(cloud: GcpCloud, bucket: str) -> None:
    key = key_of(cloud, bucket, READ)
    cloud.delete_key(key)
    attempts = cloud.probe(told(bucket, key), [])
    assert {(it.outcome, it.holds) for it in attempts} == {("refused", False)}
    assert "the key gives no access token (invalid_grant: Invalid JWT Signature.)" in attempts[0].detail
    real = json.dumps(json.loads(key) | {"token_uri": "https://oauth2.googleapis.com/token"})
    attempts = cloud.probe(told(bucket, real), [])
    assert {it.outcome for it in attempts} == {"error"}
    assert "did not issue the key" in attempts[0].detail


def test_a_proxy_is_not_asked(cloud: GcpCloud, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with GcpCloud() as other:
        other.put_images("acme", "")
    assert broken(cloud.probe(told(bucket, key_of(cloud, bucket, READ), prefix=""), [])) == set()


def test_no_message_repeats_the_key(cloud: GcpCloud, bucket: str) -> None:
    for key in (key_of(cloud, bucket, OBJECTS), key_of(cloud, bucket, [])):
        said = repr(cloud.probe(told(bucket, key, purpose="LIGHTLY"), []))
        document = json.loads(key)
        for part in (document["private_key"], document["private_key"][60:120], cloud.emulator.token):
            assert part not in said
        assert not re.search(r"ya29\.", said)


def test_an_emulator_that_has_stopped_is_an_error(cloud: GcpCloud) -> None:
    key_id, _, pem = key_pair()
    key = credentials_file(
        project=PROJECT, email="a@b", client_id="1", key_id=key_id, private_key=pem, token_uri="http://127.0.0.1:9/t"
    )
    with GcsStore("http://127.0.0.1:9", "acme", KeyCredentials(key), cloud.client()) as store:
        with pytest.raises(Exception, match="HTTPConnectionPool") as failed:
            store.keys("")
        judged = store.judge(failed.value)
    assert judged is not None
    assert judged[0] == "error"
    assert store.judge(KeyError("a fault of ours")) is None


def test_lightly_itself_verifies_on_it(cloud: GcpCloud, bucket: str) -> None:
    key = key_of(cloud, bucket, OBJECTS, policy.expression(bucket, "raw/"))
    config = {"type": "GCS", "purpose": "LIGHTLY", "full_path": f"gs://{bucket}/raw/", "gcs_project_id": PROJECT}
    with (
        LightlyServer("t0ken", probers={"GCS": cloud.probe}) as server,
        LightlyClient("t0ken", base_url=server.url) as lightly,
    ):
        dataset = lightly.create_dataset("Street scenes", DatasetType.IMAGES)
        lightly.set_datasource(dataset, parse_config(config | {"gcs_credentials": key}))
        assert lightly.verify(dataset).missing == ()
        assert broken(server.proof(dataset)) == set()
        cloud.delete_key(key)
        assert lightly.verify(dataset).missing == ("list", "read", "write", "overwrite")
        assert "Invalid JWT Signature" in lightly.verify(dataset).reason("read")


# -- what the user brings


def source(gcs: dict[str, Any], purpose: Purpose = Purpose.INPUT) -> Source:
    values = {"prefix": "raw/", "project": PROJECT} | gcs
    return Source("street-scenes.input.gcs", purpose, GcsSpec.model_validate(values))


def test_brought_buckets_hold_images_for_the_input_and_something_beside(cloud: GcpCloud) -> None:
    name, lightly = unique("acme"), unique("acme")
    wanted = [source({"bucket": name}), source({"bucket": lightly}, Purpose.LIGHTLY)]
    for _ in range(2):
        cloud.prepare(wanted)
    assert names(cloud, name) == [
        "not-for-lightly/private.png",
        *(f"raw/image-{number}.png" for number in (1, 2, 3)),
    ]
    assert names(cloud, lightly) == ["not-for-lightly/private.png"]
    bucket = cloud.client().get_bucket(name)
    assert bucket.iam_configuration.uniform_bucket_level_access_enabled is True
    assert bucket.blob("raw/image-1.png").download_as_bytes().startswith(b"\x89PNG")


def test_a_bucket_that_the_stack_makes_is_left_to_it(cloud: GcpCloud) -> None:
    name = unique("acme")
    key = f"projects/{PROJECT}/locations/europe/keyRings/ring/cryptoKeys/{unique('key')}"
    made = source({"bucket": name, "create": True, "location": "EU", "kms_key": key}, Purpose.LIGHTLY)
    cloud.prepare([source({"bucket": name}), made, source({"create": True, "location": "EU"})])
    assert not cloud.client().bucket(name).exists()
    assert key in cloud.emulator.keys.policies


def test_brought_accounts_are_there_without_any_grant(cloud: GcpCloud) -> None:
    name, email = unique("acme"), f"{unique('sa')}@{PROJECT}.iam.gserviceaccount.com"
    wanted = source({"bucket": name, "access": {"kind": "service_account", "service_account": email}})
    for _ in range(2):
        cloud.prepare([wanted])
    attempts = cloud.probe(told(name, cloud.make_key(email)), [])
    assert broken(attempts) == {("list", INSIDE), ("read", INSIDE)}
    email = "123456789012-compute@developer.gserviceaccount.com"
    with pytest.raises(CannotSeed, match=r"street-scenes\.input\.gcs\.access\.service_account: .* name one such as"):
        cloud.prepare([source({"bucket": name, "access": {"service_account": email}})])


def test_a_brought_key_of_the_emulators_own_is_granted_what_the_manual_says(cloud: GcpCloud) -> None:
    for purpose, expected in ((Purpose.INPUT, INPUT), (Purpose.LIGHTLY, LIGHTLY)):
        name, key = unique("acme"), cloud.make_key(new_account(cloud))
        for _ in range(2):
            cloud.prepare([source({"bucket": name, "access": {"credentials": key}}, purpose)])
        attempts = cloud.probe(told(name, key, purpose=purpose), [])
        assert outcomes(attempts) == expected
        assert broken(attempts) == set()
        assert len(cloud.client().bucket(name).get_iam_policy(requested_policy_version=3).bindings) == 3


def test_a_brought_key_of_the_real_world_is_of_no_use(cloud: GcpCloud) -> None:
    key_id, _, pem = key_pair()
    key = credentials_file(
        project=PROJECT,
        email=f"lightly@{PROJECT}.iam.gserviceaccount.com",
        client_id="1",
        key_id=key_id,
        private_key=pem,
        token_uri="https://oauth2.googleapis.com/token",
    )
    with pytest.raises(CannotSeed, match=r"input\.gcs\.access\.credentials: .* leave credentials out here") as refused:
        cloud.prepare([source({"bucket": unique("acme"), "access": {"credentials": key}})])
    assert pem not in str(refused.value)
    own = cloud.make_key(new_account(cloud))
    with pytest.raises(CannotSeed, match="a bucket that is only made here"):
        cloud.prepare([source({"create": True, "location": "EU", "access": {"credentials": own}})])


# -- the cloud itself


def test_it_starts_fresh_and_leaves_nothing() -> None:
    cloud = GcpCloud()
    with pytest.raises(RuntimeError, match="is not running"):
        cloud.environment()
    with cloud:
        assert cloud.start() is cloud
        first = cloud.environment()
        cloud.put_images("acme", "raw")
        client = storage_client(
            first["STORAGE_EMULATOR_HOST"], TokenCredentials(first["GOOGLE_OAUTH_ACCESS_TOKEN"]), "p"
        )
        assert [it.name for it in client.list_blobs("acme", prefix="raw/", max_results=1)] == ["raw/image-1.png"]
        client.close()
    cloud.stop()
    with cloud:
        second = cloud.environment()
        assert first["GOOGLE_OAUTH_ACCESS_TOKEN"] != second["GOOGLE_OAUTH_ACCESS_TOKEN"]
        assert not cloud.client().bucket("acme").exists()
        assert set(second) == {
            "STORAGE_EMULATOR_HOST",
            "GOOGLE_IAM_CUSTOM_ENDPOINT",
            "GOOGLE_OAUTH_ACCESS_TOKEN",
            "GOOGLE_PROJECT",
        }


def test_it_listens_on_loopback_only(cloud: GcpCloud) -> None:
    assert cloud.environment()["STORAGE_EMULATOR_HOST"].startswith("http://127.0.0.1:")
