"""Buckets and objects of the emulated Cloud Storage, through the official client as its administrator."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from lightly_infra.sandbox.gcp.clients import exceptions
from lightly_infra.sandbox.gcp.cloud import GcpCloud
from tests.sandbox.emulated_gcp import PROJECT, new_bucket
from tests.sandbox.emulated_provider import unique

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def cloud() -> Iterator[GcpCloud]:
    with GcpCloud() as cloud:
        yield cloud


@pytest.fixture
def bucket(cloud: GcpCloud) -> Any:
    return cloud.client().bucket(new_bucket(cloud))


def test_a_bucket_lives_its_life(cloud: GcpCloud) -> None:
    client, name = cloud.client(), unique("acme")
    client.create_bucket(name, location="eu", project=PROJECT)
    assert client.bucket(name).exists()
    found = client.get_bucket(name)
    assert (found.location, found.storage_class, found.versioning_enabled) == ("EU", "STANDARD", False)
    assert found.iam_configuration.uniform_bucket_level_access_enabled is False
    found.labels = {"team": "vision"}
    found.versioning_enabled = True
    found.patch()
    found.add_lifecycle_delete_rule(age=30)
    found.patch()
    again = client.get_bucket(name)
    assert again.labels == {"team": "vision"}
    assert again.versioning_enabled is True
    assert list(again.lifecycle_rules) == [{"action": {"type": "Delete"}, "condition": {"age": 30}}]
    assert int(again.metageneration) == 3
    assert name in {it.name for it in client.list_buckets(project=PROJECT)}
    again.delete()
    assert not client.bucket(name).exists()
    with pytest.raises(exceptions.NotFound):
        again.delete()


def test_a_name_is_taken_for_all(cloud: GcpCloud, bucket: Any) -> None:
    with pytest.raises(exceptions.Conflict, match="succeeded and you already own it"):
        cloud.client().create_bucket(bucket.name, project=PROJECT)
    with pytest.raises(exceptions.Conflict, match="bucket name is not available"):
        cloud.client().create_bucket(bucket.name, project="somebody-else")


@pytest.mark.parametrize("name", ["ab", "Upper", "googled", "my-g00gle", "a" * 64, "192.168.0.1"])
def test_a_bad_name_is_refused(cloud: GcpCloud, name: str) -> None:
    with pytest.raises(exceptions.BadRequest, match="Invalid bucket name"):
        cloud.client().create_bucket(name, project=PROJECT)


def test_a_domain_must_be_ones_own(cloud: GcpCloud) -> None:
    name = f"{unique('acme')}.example.com"
    with pytest.raises(exceptions.Forbidden, match="domain ownership"):
        cloud.client().create_bucket(name, project=PROJECT)
    cloud.put_images(name, "raw")
    assert cloud.client().bucket(name).blob("raw/image-1.png").exists()


def test_a_bucket_that_holds_something_stays(bucket: Any) -> None:
    bucket.blob("a").upload_from_string(b"a")
    with pytest.raises(exceptions.Conflict, match="The bucket you tried to delete is not empty"):
        bucket.delete()
    bucket.blob("a").delete()
    bucket.delete()


def test_with_versioning_former_versions_stay(cloud: GcpCloud, bucket: Any) -> None:
    bucket.versioning_enabled = True
    bucket.patch()
    blob = bucket.blob("a")
    for content in (b"1", b"2"):
        blob.upload_from_string(content)
    bucket.blob("a").delete()
    assert not bucket.blob("a").exists()
    versions = list(cloud.client().list_blobs(bucket, versions=True))
    assert [it.download_as_bytes() for it in versions] == [b"1", b"2"]
    with pytest.raises(exceptions.Conflict, match="not empty"):
        bucket.delete()
    for it in versions:
        it.delete()
    bucket.delete()


@pytest.mark.parametrize("key", ["a.png", "raw/", "a/b c/ü%2F?#&+.png", "a//b", "a/o/b", "iam"])
@pytest.mark.parametrize("content", [b"", b"something\r\n--==x\r\n\r\n"])
def test_an_object_comes_back_as_it_was(bucket: Any, key: str, content: bytes) -> None:
    blob = bucket.blob(key)
    blob.metadata = {"made": "here"}
    blob.upload_from_string(content, "image/png")
    assert blob.exists()
    assert [it.name for it in bucket.list_blobs()] == [key]
    again = bucket.get_blob(key)
    assert (again.size, again.content_type, again.metadata) == (len(content), "image/png", {"made": "here"})
    assert (again.md5_hash, again.crc32c, again.generation) == (blob.md5_hash, blob.crc32c, blob.generation)
    assert again.download_as_bytes() == bucket.blob(key).download_as_bytes() == content
    bucket.blob(key).delete()
    assert not blob.exists()
    with pytest.raises(exceptions.NotFound):
        bucket.blob(key).delete()
    with pytest.raises(exceptions.NotFound):
        bucket.blob(key).download_as_bytes()


def test_a_large_object_is_uploaded_in_pieces(bucket: Any) -> None:
    content = b"0123456789abcdef" * 40_000
    bucket.blob("large", chunk_size=256 * 1024).upload_from_file(io.BytesIO(content))
    assert bucket.blob("large").download_as_bytes() == content
    # Without its size known from the start.
    with bucket.blob("written").open("wb", chunk_size=256 * 1024) as file:
        file.write(content)
    assert bucket.blob("written").download_as_bytes() == content


def test_an_upload_that_nobody_began_goes_nowhere(cloud: GcpCloud, bucket: Any) -> None:
    url = f"{cloud.emulator.url}/upload/storage/v1/b/{bucket.name}/o"
    assert httpx.put(url, params={"upload_id": "made-up"}, trust_env=False).status_code == 404


def test_metadata_is_changed_in_place(bucket: Any) -> None:
    blob = bucket.blob("a")
    blob.upload_from_string(b"a")
    blob.metadata = {"a": "b"}
    blob.patch()
    again = bucket.get_blob("a")
    assert again.metadata == {"a": "b"}
    assert (again.generation, int(again.metageneration)) == (blob.generation, 2)


def test_a_generation_can_be_asked_for(bucket: Any) -> None:
    bucket.blob("a").upload_from_string(b"a", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("a").upload_from_string(b"b", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("a").delete(if_generation_match=1)
    with pytest.raises(exceptions.NotFound):
        bucket.blob("a", generation=1).download_as_bytes()
    bucket.blob("a").delete(if_generation_match=bucket.get_blob("a").generation)


def test_listing_knows_prefixes_folders_and_pages(bucket: Any) -> None:
    for key in ("a.png", "raw/", "raw/1.png", "raw/2.png", "raw/deep/3.png", "raw/deep/4.png", "raw-private/5.png"):
        bucket.blob(key).upload_from_string(b"")

    def names(**asked: Any) -> list[str]:
        return [it.name for it in bucket.list_blobs(**asked)]

    assert len(names()) == 7
    assert names(prefix="raw/") == ["raw/", "raw/1.png", "raw/2.png", "raw/deep/3.png", "raw/deep/4.png"]
    assert names(prefix="raw/", max_results=2) == ["raw/", "raw/1.png"]
    assert names(page_size=2) == names()
    found = bucket.list_blobs(prefix="raw/", delimiter="/")
    assert [it.name for it in found] == ["raw/", "raw/1.png", "raw/2.png"]
    assert found.prefixes == {"raw/deep/"}
    found = bucket.list_blobs(delimiter="/", page_size=1)
    assert [it.name for it in found] == ["a.png"]
    assert found.prefixes == {"raw/", "raw-private/"}
    assert names(prefix="none/") == []


def test_what_is_not_emulated_is_refused_by_name(cloud: GcpCloud, bucket: Any) -> None:
    with pytest.raises(exceptions.BadRequest, match="does not support the parameter 'matchGlob'"):
        list(bucket.list_blobs(match_glob="*.png"))
    bucket.requester_pays = True
    with pytest.raises(exceptions.BadRequest, match="does not support the setting 'billing'"):
        bucket.patch()
    for path in ("/storage/v1/b/x/notificationConfigs", "/nowhere"):
        answer = httpx.get(cloud.emulator.url + path, trust_env=False)
        assert answer.status_code == 404
        assert "the emulated Google Cloud has no GET" in answer.text
    headers = {"Authorization": f"Bearer {cloud.emulator.token}"}
    answer = httpx.post(
        f"{cloud.emulator.url}/storage/v1/b?project=acme-prod", headers=headers, content=b"{", trust_env=False
    )
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "Invalid JSON payload received.")


def test_a_bucket_with_a_key_works_while_cloud_storage_may_use_it(cloud: GcpCloud) -> None:
    key = f"projects/{PROJECT}/locations/europe/keyRings/ring/cryptoKeys/{unique('key')}"
    client, name = cloud.client(), unique("acme")
    bucket = client.bucket(name)
    bucket.default_kms_key_name = key
    with pytest.raises(exceptions.Forbidden, match="Permission denied on Cloud KMS key"):
        bucket.create(location="EU", project=PROJECT)
    cloud.emulator.keys.put(key)
    with pytest.raises(exceptions.Forbidden, match="Permission denied on Cloud KMS key"):
        bucket.create(location="EU", project=PROJECT)
    agent = client.get_service_account_email(project=PROJECT)
    role = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
    given = {"version": 1, "bindings": [{"role": role, "members": [f"serviceAccount:{agent}"]}]}
    cloud._api.call("POST", f"/v1/{key}:setIamPolicy", {"policy": given})
    bucket.create(location="EU", project=PROJECT)
    bucket.blob("a").upload_from_string(b"a")
    assert bucket.get_blob("a").kms_key_name.startswith(key)
    assert bucket.blob("a").download_as_bytes() == b"a"
    cloud._api.call("POST", f"/v1/{key}:setIamPolicy", {"policy": {"version": 1, "bindings": []}})
    with pytest.raises(exceptions.Forbidden, match="Permission denied on Cloud KMS key"):
        bucket.blob("a").download_as_bytes()
    with pytest.raises(exceptions.Forbidden, match="Permission denied on Cloud KMS key"):
        bucket.blob("b").upload_from_string(b"b")
