"""The emulated gcp provider, driven through the protocol's methods."""

from __future__ import annotations

import base64
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra.clouds.gcp import policy
from lightly_infra.sandbox.engine.interface import Secret
from lightly_infra.sandbox.gcp.cloud import GcpCloud
from lightly_infra.sandbox.gcp.provider import GcpProvider
from lightly_infra.sandbox.resource_type import ResourceError
from tests.sandbox.emulated_gcp import OBJECTS, PROJECT, as_key, new_account, new_bucket
from tests.sandbox.emulated_provider import Driver, Made, Refused, unique

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKET = "gcp:storage/bucket:Bucket"
OBJECT = "gcp:storage/bucketObject:BucketObject"
MEMBER = "gcp:storage/bucketIAMMember:BucketIAMMember"
ACCOUNT = "gcp:serviceaccount/account:Account"
KEY = "gcp:serviceaccount/key:Key"
ROLE = "gcp:projects/iAMCustomRole:IAMCustomRole"
KEY_MEMBER = "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember"
AGENT = "gcp:storage/getProjectServiceAccount:getProjectServiceAccount"


@pytest.fixture(scope="module")
def cloud() -> Iterator[GcpCloud]:
    with GcpCloud() as cloud:
        yield cloud


@pytest.fixture(scope="module")
def gcp(cloud: GcpCloud) -> Driver:
    driver = Driver(GcpProvider(cloud.environment()))
    driver.configure({"project": PROJECT})
    return driver


def role_id() -> str:
    return unique("role").replace("-", "_")


def make_role(gcp: Driver, permissions: list[str] | None = None) -> Made:
    return gcp.create(ROLE, {"roleId": role_id(), "title": "Lightly", "permissions": permissions or OBJECTS})


def make_key(gcp: Driver, account: str) -> tuple[Made, str]:
    made = gcp.create(KEY, {"serviceAccountId": account})
    private = made.outputs["privateKey"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made.outputs["validAfter"])
    assert made.outputs["validBefore"] == "9999-12-31T23:59:59Z", "Google's way to say never"
    assert isinstance(private, Secret)
    return made, base64.b64decode(private.value).decode()


# -- buckets


def test_a_bucket_lives_its_life(gcp: Driver, cloud: GcpCloud) -> None:
    name = unique("acme")
    first: dict[str, Any] = {
        "name": name,
        "location": "europe-west3",
        "uniformBucketLevelAccess": True,
        "publicAccessPrevention": "enforced",
        "lifecycleRules": [{"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 7}}],
        "labels": {"team": "vision", "stage": "test"},
    }
    made = gcp.create(BUCKET, first)
    assert made.id == name
    assert made.outputs["location"] == "EUROPE-WEST3"
    assert made.outputs["url"] == f"gs://{name}"
    assert made.outputs["effectiveLabels"] == first["labels"] | {"goog-pulumi-provisioned": "true"}
    assert gcp.drifted(made, first) == []
    assert gcp.drifted(made, first | {"location": "EUROPE-WEST3"}) == []

    second = {**first, "versioning": {"enabled": True}, "labels": {"team": "ops"}, "lifecycleRules": []}
    changes = gcp.diff(made, second)
    assert set(changes.diffs) == {"versioning", "labels", "lifecycleRules"}
    assert not changes.replaces
    changed = gcp.update(made, second)
    assert gcp.drifted(changed, second) == []
    assert set(gcp.drifted(changed, first)) == {"labels", "lifecycleRules"}, "what is not said of versioning is kept"
    live = cloud.client().get_bucket(name)
    assert live.labels == {"team": "ops", "goog-pulumi-provisioned": "true"}
    assert live.versioning_enabled is True

    silent = {key: value for key, value in second.items() if key != "versioning"} | {"labels": {"team": "kept"}}
    kept = gcp.update(changed, silent)
    assert kept.outputs["versioning"] == {"enabled": True}
    assert gcp.diff(kept, silent | {"versioning": {"enabled": False}}).diffs == ["versioning"]
    off = gcp.update(kept, second | {"versioning": {"enabled": False}})
    assert cloud.client().get_bucket(name).versioning_enabled is False
    assert gcp.drifted(off, second | {"versioning": {"enabled": False}}) == []
    changed = gcp.update(off, second)

    live = cloud.client().get_bucket(name)
    live.labels = {"team": "somebody"}
    live.patch()
    assert gcp.drifted(changed, second) == ["labels"], "a change behind our back is seen"

    gcp.delete(changed)
    gcp.delete(changed)
    assert gcp.refresh(changed) is None


@pytest.mark.parametrize("change", [{"name": "another"}, {"location": "US"}, {"project": "another-project"}])
def test_what_a_bucket_cannot_change_replaces_it(gcp: Driver, change: dict[str, str]) -> None:
    inputs = {"name": unique("acme"), "location": "EU"}
    made = gcp.create(BUCKET, inputs)
    assert list(gcp.diff(made, inputs | change).replaces) == list(change)


def test_a_bucket_without_a_name_gets_one(gcp: Driver) -> None:
    made = gcp.create(BUCKET, {"location": "EU"}, name="Street-Scenes")
    assert made.id.startswith("street-scenes-")
    assert list(gcp.diff(made, {"location": "EU"}).diffs) == []


def test_a_bucket_is_never_emptied(gcp: Driver, cloud: GcpCloud) -> None:
    made = gcp.create(BUCKET, {"name": unique("acme"), "location": "EU"})
    cloud.client().bucket(made.id).blob("precious").upload_from_string(b"x")
    with pytest.raises(ResourceError, match="containing objects without `force_destroy` set to true"):
        gcp.delete(made)
    with pytest.raises(Refused, match="never emptied"):
        gcp.check(BUCKET, {"name": "acme", "location": "EU", "forceDestroy": True})


def test_a_bucket_that_is_taken_is_refused_in_googles_words(gcp: Driver) -> None:
    made = gcp.create(BUCKET, {"name": unique("acme"), "location": "EU"})
    with pytest.raises(
        ResourceError,
        match=r"'resource': googleapi: Error 409: Your previous request .* you already own it\., conflict",
    ):
        gcp.create(BUCKET, {"name": made.id, "location": "EU"})


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"name": "acme"}, "location: is required"),
        ({"name": "Acme", "location": "EU"}, "no GCS bucket name"),
        (
            {"name": "acme", "location": "EU", "publicAccessPrevention": "no"},
            "expected to be one of enforced, inherited",
        ),
        ({"name": "acme", "location": "EU", "website": {}}, "does not support this input"),
        ({"name": "acme", "location": "EU", "versioning": {"mfa": True}}, "does not support versioning.mfa"),
        ({"name": "acme", "location": "EU", "labels": {"a b": "c"}}, "is no label"),
    ],
)
def test_a_bad_bucket_is_refused_early(gcp: Driver, inputs: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=words):
        gcp.check(BUCKET, inputs)


def test_a_bucket_with_a_key_needs_the_grant_first(gcp: Driver, cloud: GcpCloud) -> None:
    key = f"projects/{PROJECT}/locations/europe/keyRings/ring/cryptoKeys/{unique('key')}"
    cloud.emulator.keys.put(key)
    inputs = {"name": unique("acme"), "location": "EU", "encryption": {"defaultKmsKeyName": key}}
    with pytest.raises(ResourceError, match="Error 403: Permission denied on Cloud KMS key"):
        gcp.create(BUCKET, inputs)
    agent = gcp.invoke(AGENT, {"project": PROJECT})
    assert agent["emailAddress"].endswith("@gs-project-accounts.iam.gserviceaccount.com")
    grant = {"cryptoKeyId": key, "role": policy.KMS_ROLE, "member": agent["member"]}
    member = gcp.create(KEY_MEMBER, grant)
    assert member.id == f"{key}/{policy.KMS_ROLE}/{agent['member']}"
    assert gcp.drifted(member, grant) == []
    made = gcp.create(BUCKET, inputs)
    assert made.outputs["encryption"] == {"defaultKmsKeyName": key}
    assert gcp.drifted(made, inputs) == []
    without = {name: value for name, value in inputs.items() if name != "encryption"}
    assert gcp.drifted(gcp.update(made, without), without) == []
    gcp.delete(member)
    gcp.delete(member)
    assert gcp.refresh(member) is None


def test_the_agent_of_the_providers_own_project_is_the_default(gcp: Driver) -> None:
    assert gcp.invoke(AGENT) == gcp.invoke(AGENT, {"project": PROJECT})
    assert gcp.invoke(AGENT) != gcp.invoke(AGENT, {"project": "another-project"})


# -- objects


def test_an_object_lives_its_life(gcp: Driver, cloud: GcpCloud) -> None:
    bucket = new_bucket(cloud)
    inputs = {"bucket": bucket, "name": "raw/deep/", "content": " ", "contentType": "application/x-directory"}
    made = gcp.create(OBJECT, inputs)
    assert made.id == f"{bucket}-raw/deep/"
    assert isinstance(made.outputs["content"], Secret)
    assert [it.name for it in cloud.client().list_blobs(bucket)] == ["raw/deep/"]
    assert gcp.drifted(made, inputs) == []
    changed = gcp.update(made, inputs | {"content": "other"})
    assert cloud.client().bucket(bucket).blob("raw/deep/").download_as_bytes() == b"other"
    cloud.client().bucket(bucket).blob("raw/deep/").upload_from_string(b"drift", "application/x-directory")
    assert gcp.drifted(changed, inputs | {"content": "other"}) == ["content"]
    gcp.delete(changed)
    gcp.delete(changed)
    assert gcp.refresh(changed) is None
    assert set(gcp.diff(made, inputs | {"name": "raw/"}).replaces) == {"name"}


def test_an_object_needs_content(gcp: Driver) -> None:
    with pytest.raises(Refused, match="content: must not be empty"):
        gcp.check(OBJECT, {"bucket": "acme", "name": "raw/", "content": ""})


# -- accounts and keys


def test_an_account_lives_its_life(gcp: Driver) -> None:
    account_id = unique("sa")
    first = {"accountId": account_id, "displayName": "Lightly"}
    made = gcp.create(ACCOUNT, first)
    email = f"{account_id}@{PROJECT}.iam.gserviceaccount.com"
    assert made.id == f"projects/{PROJECT}/serviceAccounts/{email}"
    assert (made.outputs["email"], made.outputs["member"]) == (email, f"serviceAccount:{email}")
    assert gcp.drifted(made, first) == []
    second = {"accountId": account_id, "description": "gets in", "disabled": True}
    changed = gcp.update(made, second)
    assert gcp.drifted(changed, second) == []
    assert set(gcp.drifted(changed, first)) == {"displayName", "description", "disabled"}
    assert gcp.drifted(gcp.update(changed, first), first) == []
    with pytest.raises(ResourceError, match="Error creating service account: googleapi: Error 409"):
        gcp.create(ACCOUNT, first)
    gcp.delete(changed)
    gcp.delete(changed)
    assert gcp.refresh(changed) is None
    assert gcp.create(ACCOUNT, first | {"disabled": True}).outputs["disabled"] is True


@pytest.mark.parametrize("account_id", ["short", "Upper-case", "a" * 31])
def test_a_bad_account_id_is_refused_early(gcp: Driver, account_id: str) -> None:
    with pytest.raises(Refused, match="doesn't match regexp"):
        gcp.check(ACCOUNT, {"accountId": account_id})


def test_a_key_lives_its_life(gcp: Driver, cloud: GcpCloud) -> None:
    email = new_account(cloud)
    made, document = make_key(gcp, email)
    assert json.loads(document)["client_email"] == email
    assert made.id == made.outputs["name"]
    assert made.id.startswith(f"projects/{PROJECT}/serviceAccounts/{email}/keys/")
    inputs = {"serviceAccountId": email}
    assert gcp.drifted(made, inputs) == []
    assert set(gcp.diff(made, inputs | {"keepers": {"epoch": "2"}}).replaces) == {"keepers"}
    refreshed = gcp.refresh(made)
    assert refreshed is not None
    assert refreshed.outputs["privateKey"] == made.outputs["privateKey"]
    gcp.delete(made)
    gcp.delete(made)
    assert gcp.refresh(made) is None


def test_a_key_finds_its_account_by_any_name(gcp: Driver, cloud: GcpCloud) -> None:
    email = new_account(cloud)
    for name in (email, email.partition("@")[0], f"projects/{PROJECT}/serviceAccounts/{email}"):
        assert email in make_key(gcp, name)[0].id


def test_a_key_that_is_forbidden_is_refused_in_googles_words(gcp: Driver, cloud: GcpCloud) -> None:
    email = new_account(cloud)
    cloud.emulator.accounts.keys_forbidden = True
    try:
        with pytest.raises(ResourceError, match="Error creating service account key: googleapi: Error 400") as refused:
            make_key(gcp, email)
    finally:
        cloud.emulator.accounts.keys_forbidden = False
    assert "constraints/iam.disableServiceAccountKeyCreation" in str(refused.value)
    with pytest.raises(ResourceError, match="Error 404: Unknown service account"):
        make_key(gcp, f"nobody@{PROJECT}.iam.gserviceaccount.com")


# -- roles


def test_a_role_lives_its_life_and_comes_back(gcp: Driver) -> None:
    first = {"roleId": role_id(), "title": "Lightly", "permissions": ["storage.objects.list", "storage.objects.get"]}
    made = gcp.create(ROLE, first)
    assert made.id == made.outputs["name"] == f"projects/{PROJECT}/roles/{first['roleId']}"
    assert gcp.drifted(made, first) == []
    assert gcp.drifted(made, first | {"permissions": ["storage.objects.get", "storage.objects.list"]}) == []
    second = first | {"permissions": OBJECTS, "description": "more", "title": "More"}
    changed = gcp.update(made, second)
    assert gcp.drifted(changed, second) == []
    with pytest.raises(ResourceError, match="already exists and must be imported"):
        gcp.create(ROLE, first)
    gcp.delete(changed)
    with pytest.raises(ResourceError, match=r"Error deleting the custom project role More: .*marked for deletion"):
        gcp.delete(changed)
    left = gcp.refresh(changed)
    assert left is not None
    assert left.outputs["deleted"] is True, "the real provider reads a deleted role, too"
    again = gcp.create(ROLE, first)
    assert again.outputs["deleted"] is False
    assert again.outputs["permissions"] == sorted(first["permissions"])


def test_a_reserved_role_id_is_refused_in_googles_words(gcp: Driver, cloud: GcpCloud) -> None:
    name = role_id()
    cloud.emulator.roles.reserve(PROJECT, name)
    words = rf"Error creating the custom project role projects/{PROJECT}/roles/{name}: googleapi: Error 400: You can't "
    with pytest.raises(ResourceError, match=rf"{words}create a role_id \({name}\) which has been marked for deletion"):
        gcp.create(ROLE, {"roleId": name, "title": "Lightly", "permissions": OBJECTS})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"roleId": "has-dash"}, "doesn't match regexp"),
        ({"roleId": "ab"}, "doesn't match regexp"),
        ({"permissions": []}, "needs one at least"),
        ({"stage": "SOON"}, "'SOON' is not one of"),
    ],
)
def test_a_bad_role_is_refused_early(gcp: Driver, change: dict[str, Any], words: str) -> None:
    inputs = {"roleId": "role_ok", "title": "Lightly", "permissions": OBJECTS}
    with pytest.raises(Refused, match=words):
        gcp.check(ROLE, inputs | change)


# -- members


def test_a_member_lives_its_life_and_leaves_others_alone(gcp: Driver, cloud: GcpCloud) -> None:
    bucket, email = new_bucket(cloud, "raw/a.png", "other/a.png"), new_account(cloud)
    place = cloud.client().bucket(bucket)
    before = place.get_iam_policy(requested_policy_version=3).bindings
    expression = policy.expression(bucket, "raw/")
    inputs = {
        "bucket": bucket,
        "role": make_role(gcp).outputs["name"],
        "member": f"serviceAccount:{email}",
        "condition": {"title": "raw", "description": "", "expression": expression},
    }
    made = gcp.create(MEMBER, inputs)
    assert made.id == f"{bucket}/{inputs['role']}/serviceAccount:{email}/raw"
    assert gcp.drifted(made, inputs) == []
    with as_key(cloud, make_key(gcp, email)[1]) as client:
        assert [it.name for it in client.list_blobs(bucket, prefix="raw/")] == ["raw/a.png"]
    changes = gcp.diff(made, inputs | {"condition": {"title": "raw", "expression": "true"}})
    assert list(changes.replaces) == ["condition"]
    other = gcp.create(MEMBER, {"bucket": bucket, "role": inputs["role"], "member": "user:a@b.c"})
    gcp.delete(made)
    gcp.delete(made)
    assert gcp.refresh(made) is None
    assert gcp.refresh(other) is not None
    gcp.delete(other)
    assert place.get_iam_policy(requested_policy_version=3).bindings == before


def test_a_member_is_gone_with_its_bucket_or_by_anothers_hand(gcp: Driver, cloud: GcpCloud) -> None:
    bucket = gcp.create(BUCKET, {"name": unique("acme"), "location": "EU"})
    inputs = {"bucket": bucket.id, "role": "roles/storage.objectViewer", "member": "user:a@b.c"}
    made = gcp.create(MEMBER, inputs)
    place = cloud.client().bucket(bucket.id)
    found = place.get_iam_policy(requested_policy_version=3)
    found.bindings.clear()
    place.set_iam_policy(found)
    assert gcp.refresh(made) is None
    gcp.delete(bucket)
    assert gcp.refresh(made) is None
    gcp.delete(made)


def test_members_of_one_policy_can_be_added_at_once(gcp: Driver, cloud: GcpCloud) -> None:
    bucket = new_bucket(cloud)
    wanted = [
        {"bucket": bucket, "role": "roles/storage.objectViewer", "member": f"user:{index}@b.c"} for index in range(8)
    ]
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda inputs: gcp.create(MEMBER, inputs), wanted))
    assert all(gcp.refresh(it) for it in made)


def test_a_member_that_is_not_there_is_refused_in_googles_words(gcp: Driver, cloud: GcpCloud) -> None:
    bucket, member = new_bucket(cloud), f"serviceAccount:nobody@{PROJECT}.iam.gserviceaccount.com"
    with pytest.raises(
        ResourceError,
        match=rf'Error applying IAM policy for storage bucket "{bucket}": googleapi: Error 400: Service account',
    ):
        gcp.create(MEMBER, {"bucket": bucket, "role": "roles/storage.objectViewer", "member": member})
    loose = new_bucket(cloud, uniform=False)
    inputs = {"bucket": loose, "role": "roles/storage.objectViewer", "member": "user:a@b.c"}
    with pytest.raises(ResourceError, match="uniform bucket-level access"):
        gcp.create(MEMBER, inputs | {"condition": {"title": "t", "expression": "true"}})
    with pytest.raises(Refused, match="condition: title is required"):
        gcp.check(MEMBER, inputs | {"condition": {"expression": "true"}})


# -- the provider itself


def test_the_project_comes_from_the_configuration_or_the_environment(cloud: GcpCloud) -> None:
    environment = cloud.environment()
    driver = Driver(GcpProvider(environment))
    driver.configure({})
    assert driver.check(ACCOUNT, {"accountId": "lightly"})["project"] == "lightly-sandbox"
    driver.configure({"project": "acme-prod"})
    assert driver.check(ACCOUNT, {"accountId": "lightly"})["project"] == "acme-prod"
    assert driver.check(ACCOUNT, {"accountId": "lightly", "project": "other-one"})["project"] == "other-one"
    none = Driver(GcpProvider({name: value for name, value in environment.items() if name != "GOOGLE_PROJECT"}))
    with pytest.raises(Refused, match="project: required field is not set"):
        none.check(ACCOUNT, {"accountId": "lightly"})
    with pytest.raises(ResourceError, match="project: required field is not set"):
        none.invoke(AGENT)


def test_labels_of_the_configuration_are_on_every_bucket(cloud: GcpCloud) -> None:
    driver = Driver(GcpProvider(cloud.environment()))
    driver.configure({"defaultLabels": json.dumps({"owner": "us"}), "addPulumiAttributionLabel": "false"})
    inputs = {"name": unique("acme"), "location": "EU", "labels": {"team": "vision"}}
    made = driver.create(BUCKET, inputs)
    assert cloud.client().get_bucket(made.id).labels == {"owner": "us", "team": "vision"}
    assert driver.drifted(made, inputs) == []


def test_what_it_does_not_have_is_refused_by_name(gcp: Driver) -> None:
    with pytest.raises(ResourceError, match="has no resource type 'gcp:pubsub/topic:Topic'"):
        gcp.check("gcp:pubsub/topic:Topic", {})
    with pytest.raises(ResourceError, match="has no function"):
        gcp.invoke("gcp:index/getClientConfig:getClientConfig")


def test_an_emulator_that_is_not_there_is_named() -> None:
    env = {"STORAGE_EMULATOR_HOST": "http://127.0.0.1:9", "GOOGLE_OAUTH_ACCESS_TOKEN": "t", "GOOGLE_PROJECT": PROJECT}
    with pytest.raises(ResourceError, match="the emulated Google Cloud did not answer: ConnectError"):
        Driver(GcpProvider(env)).create(ACCOUNT, {"accountId": "lightly"})
    with pytest.raises(ResourceError, match="needs 'STORAGE_EMULATOR_HOST' in its environment"):
        Driver(GcpProvider({"GOOGLE_PROJECT": PROJECT})).create(ACCOUNT, {"accountId": "lightly"})
