"""What is said of a change of the YAML before it happens, in view of what the stack had before."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra import spec
from lightly_infra.stack import transitions
from lightly_infra.stack.previous import Previous, Resource
from tests.clouds.test_gcp_policy import CREDENTIALS

if TYPE_CHECKING:
    from lightly_infra.stack.lifecycles import Findings

DATASET = "pulumi-python:dynamic/lightly:Dataset"
DATASOURCE = "pulumi-python:dynamic/lightly:Datasource"
ID = "0123456789abcdef01234567"
ROLE = "arn:aws:iam::123456789012:role/lightly-street-scenes-input-0a1b2c3"
EXTERNAL_ID = "canary-external-id-0001"
EMAIL = CREDENTIALS["client_email"]
KEY_PATH = f"projects/acme-vision-prod/serviceAccounts/{EMAIL}/keys/{CREDENTIALS['private_key_id']}"

S3: dict[str, Any] = {"bucket": "acme-raw", "prefix": "raw/", "access": "delegated"}
MADE: dict[str, Any] = {"create": True, "prefix": "lightly/", "access": "delegated"}
DEFAULTS = {"region": "eu-central-1", "project": "acme-vision-prod", "obs_region": "eu-de"}


def datasets(source: dict[str, Any] | None = None, key: str = "street-scenes", **more: Any) -> dict[str, Any]:
    source = {"s3": S3} if source is None else source
    return {key: {"input": copy.deepcopy(source), "lightly": {"s3": dict(MADE)}, **more}}


def state(
    *made: tuple[str, str, dict[str, Any]], told: dict[str, str] | None = None, key: str = "street-scenes", **more: Any
) -> Previous:
    """What was there: a dataset with an Input that Lightly was told, and what was made, as (type, name, outputs)."""
    registered = {"name": key, "type": "Images", "on_destroy": "keep", "adopted": False, **more}
    source = {"dataset_id": ID, **(told or {"full_path": "s3://acme-raw/raw/"})}
    found = [(DATASET, key, registered), (DATASOURCE, f"{key}-input", source), *made]
    resources = [Resource(f"urn:pulumi:test::acme::{type_}::{name}", type_, it) for type_, name, it in found]
    return Previous(resources, {"datasets": {key: {"id": ID}}})


def said(declared: dict[str, Any], before: Previous) -> Findings:
    return transitions.findings(spec.parse(declared, DEFAULTS), before)


INPUT = "lightly-street-scenes-input"
A_ROLE = ("aws:iam/role:Role", INPUT, {"arn": ROLE})
A_USER = ("aws:iam/user:User", f"{INPUT}-17", {"name": "lightly-user-1"})
A_KEY = ("aws:iam/accessKey:AccessKey", INPUT, {"id": "AKIAIOSFODNN7EXAMPLE"})
AN_ACCOUNT = ("gcp:serviceaccount/account:Account", INPUT, {"email": EMAIL})
A_GOOGLE_KEY = ("gcp:serviceaccount/key:Key", INPUT, {"name": KEY_PATH})


def s3(**access: Any) -> dict[str, Any]:
    return {"s3": {**S3, "access": access}}


def gcs(**access: Any) -> dict[str, Any]:
    return {"gcs": {"bucket": "acme-raw", "prefix": "raw/", "access": access}}


THE_ROLE = s3(kind="delegated", role_arn=ROLE, external_id=EXTERNAL_ID)
THE_KEY = s3(kind="keys", access_key_id="AKIAIOSFODNN7EXAMPLE", secret_access_key="canary-secret")
THE_CREDENTIALS = gcs(credentials=json.dumps(CREDENTIALS))


@pytest.mark.parametrize(
    ("made", "source", "field", "shown"),
    [
        (A_ROLE, THE_ROLE, "s3.access.role_arn", ROLE),
        (A_USER, s3(kind="keys", user="lightly-user-1"), "s3.access.user", "lightly-user-1"),
        (A_KEY, THE_KEY, "s3.access.access_key_id", "AKIAIOSFODNN7EXAMPLE"),
        (AN_ACCOUNT, gcs(service_account=EMAIL), "gcs.access.service_account", EMAIL),
        (AN_ACCOUNT, THE_CREDENTIALS, "gcs.access.credentials", EMAIL),
        (A_GOOGLE_KEY, THE_CREDENTIALS, "gcs.access.credentials", f"the key {CREDENTIALS['private_key_id']}"),
    ],
)
def test_an_identity_that_was_made_here_is_not_deleted_by_naming_it(
    made: tuple[str, str, dict[str, Any]], source: dict[str, Any], field: str, shown: str
) -> None:
    (refusal,) = said(datasets(source), state(made)).refusals
    assert refusal.startswith(f"street-scenes.input.{field}: {shown!r} was made by this stack for dataset")
    assert "Remove" in refusal
    assert "canary" not in refusal


def test_an_identity_that_another_dataset_still_makes_may_be_named() -> None:
    shared = {"share": "acme", "kind": "delegated"}
    declared = datasets(s3(**shared)) | datasets(THE_ROLE, key="other")
    declared["other"]["input"]["s3"]["prefix"] = "other/"
    made = ("aws:iam/role:Role", "lightly-acme-shared", {"arn": ROLE})
    assert said(declared, state(made)).refusals == []


@pytest.mark.parametrize("source", [THE_ROLE, THE_KEY, THE_CREDENTIALS, gcs(service_account=EMAIL)])
def test_an_identity_of_the_users_own_may_be_named(source: dict[str, Any]) -> None:
    assert said(datasets(source), state()).refusals == []


OBS = {"prefix": "raw/", "endpoint": "https://obs.eu-de.otc.t-systems.com", "access_key_id": "AK"}
OBS |= {"secret_access_key": "canary-secret", "user": "arn:aws:iam::d:user/u"}
AZURE = {"account": "acmedata", "container": "raw", "prefix": "", "resource_group": "acme", "create": "container"}
TOLD_OBS = {"full_path": "obs://acme-raw/raw/", "obs_endpoint": "https://obs.eu-nl.otc.t-systems.com"}
WITH_STORAGE = [
    ({"s3": {**S3, "create": True}}, {"full_path": "s3://acme-raw/other/"}, ("aws:s3/bucket:Bucket", "bucket")),
    (
        {"gcs": {"bucket": "acme-raw", "prefix": "raw/", "create": True, "location": "EU"}},
        {"full_path": "gs://acme-raw/raw/"},
        ("gcp:storage/bucket:Bucket", "name"),
    ),
    ({"obs": {**OBS, "bucket": "acme-raw", "create": True}}, TOLD_OBS, ("pulumi-python:dynamic/obs:Bucket", "bucket")),
    (
        {"azure": AZURE},
        {"full_path": "raw/", "account_name": "acmedata"},
        ("azure-native:storage:BlobContainer", "name"),
    ),
]


@pytest.mark.parametrize(("source", "told"), [it[:2] for it in WITH_STORAGE])
def test_storage_that_exists_is_not_made(source: dict[str, Any], told: dict[str, str]) -> None:
    (refusal,) = said(datasets(source), state(told=told)).refusals
    assert refusal.startswith(f"street-scenes.input.{next(iter(source))}.create: ")
    assert "Remove 'create'" in refusal


@pytest.mark.parametrize(("source", "told", "made"), WITH_STORAGE)
def test_storage_that_this_stack_has_made_stays_its_own(
    source: dict[str, Any], told: dict[str, str], made: tuple[str, str]
) -> None:
    type_, output = made
    name = "raw" if "azure" in source else "acme-raw"
    assert said(datasets(source), state((type_, "a-bucket", {output: name}), told=told)).refusals == []


@pytest.mark.parametrize(("source", "told"), [it[:2] for it in WITH_STORAGE])
def test_storage_of_another_name_may_be_made(source: dict[str, Any], told: dict[str, str]) -> None:
    elsewhere = {name: it.replace("raw/", "elsewhere/").replace("acme-raw", "other") for name, it in told.items()}
    assert said(datasets(source), state(told=elsewhere)).refusals == []


@pytest.mark.parametrize(
    ("declared", "before"),
    [
        (datasets(key="night"), state()),
        (datasets({"s3": {**S3, "prefix": "x/"}}, key="night", name="street-scenes"), state()),
        (datasets({"s3": {**S3, "prefix": "x/"}}, key="night", id=ID), state()),
    ],
    ids=["path", "name", "id"],
)
def test_another_key_for_what_looks_like_the_same_dataset_is_warned_of(
    declared: dict[str, Any], before: Previous
) -> None:
    (warning,) = said(declared, before).warnings
    assert warning.startswith("night: looks like 'street-scenes' under another key")
    assert "'formerly: street-scenes'" in warning
    assert "leaves the dataset 'street-scenes'" in warning


def test_the_warning_tells_that_the_old_dataset_will_be_deleted() -> None:
    (warning,) = said(datasets(key="night"), state(on_destroy="delete")).warnings
    assert "deletes the dataset 'street-scenes'" in warning


def test_a_dataset_that_leaves_is_said_to_be_deleted_and_how_to_keep_it() -> None:
    found = said(datasets({"s3": {**S3, "prefix": "x/"}}, key="night"), state(on_destroy="delete"))
    (warning,) = found.warnings
    assert warning.startswith("street-scenes: leaves the stack, and the dataset 'street-scenes' is deleted at Lightly")
    assert "put it back with 'on_destroy: keep'" in warning


@pytest.mark.parametrize("more", [{}, {"on_destroy": "delete", "adopted": True}])
def test_a_dataset_that_leaves_and_stays_at_lightly_is_said_to_by_the_way(more: dict[str, Any]) -> None:
    found = said(datasets({"s3": {**S3, "prefix": "x/"}}, key="night"), state(**more))
    assert found.warnings == []
    (remark,) = found.remarks
    assert remark.endswith(f"stays at Lightly: 'id: {ID}' uses it again")


@pytest.mark.parametrize(
    "declared",
    [
        datasets(key="night", formerly="Street scenes"),
        datasets({"s3": {**S3, "prefix": "x/"}}, key="night"),
        {**datasets(), **datasets({"s3": {**S3, "prefix": "x/"}}, key="night")},
    ],
    ids=["formerly", "another dataset", "one more"],
)
def test_nothing_is_said_of_what_is_no_slip(declared: dict[str, Any]) -> None:
    found = said(declared, state())
    assert (found.warnings, found.refusals) == ([], [])


def test_a_former_key_is_taken() -> None:
    declared = {**datasets(), **datasets({"s3": {**S3, "prefix": "x/"}}, key="night", formerly="street-scenes")}
    with pytest.raises(spec.SpecError, match="would name cloud resources alike; change one, or its 'formerly'"):
        spec.parse(declared, DEFAULTS)


def test_a_former_key_has_a_letter_or_a_digit() -> None:
    with pytest.raises(spec.SpecError, match=r"street-scenes\.formerly: '-' is not a valid dataset key"):
        spec.parse(datasets(formerly="-"), DEFAULTS)


def renamed_state(**more: Any) -> Previous:
    """Deployed as `keya`, and later as `keyb` with `formerly: keya`."""
    before = state(key="keya", **more)
    return Previous(before.resources, {"datasets": {"keyb": {"id": ID}}})


@pytest.mark.parametrize(
    ("declared", "starts", "remedy"),
    [
        (datasets(key="keyc", formerly="keyb"), "keyc.formerly: 'keyb' is not", "Write 'formerly: keya' under 'keyc'"),
        (
            datasets({"s3": {**S3, "prefix": "x/"}}, key="keyc", formerly="keyb", name="New"),
            "keyc.formerly: 'keyb' is not",
            "Write 'formerly: keya' under 'keyc'",
        ),
        (datasets(key="keyb", formerly="keyb"), "keyb.formerly: 'keyb' is not", "Write 'formerly: keya' under 'keyb'"),
        (datasets(key="keyb"), "keyb: 'formerly' is missing", "Write 'formerly: keya' under 'keyb'"),
        (datasets(key="keyc", formerly="slip"), "keyc.formerly: 'slip' is not", "Write 'formerly: keya' under 'keyc'"),
        (
            datasets(key="keyb") | datasets({"s3": {**S3, "prefix": "x/"}}, key="keya"),
            "keyb: 'formerly' is missing",
            "Write 'formerly: keya' under 'keyb', and give 'keya' another key",
        ),
    ],
    ids=[
        "the key before",
        "with another name, too",
        "its own key",
        "missing",
        "a slip",
        "missing, and its place taken",
    ],
)
def test_formerly_is_the_first_key_or_nothing_is_touched(declared: dict[str, Any], starts: str, remedy: str) -> None:
    found = said(declared, renamed_state(on_destroy="delete"))
    (refusal,) = found.refusals
    assert refusal.startswith(starts)
    assert remedy in refusal
    assert found.warnings == []


@pytest.mark.parametrize(
    "declared",
    [
        datasets(key="keyc", formerly="keya"),
        datasets(key="keyb", formerly="keya"),
        datasets(key="keya"),
        datasets(key="keyb", formerly="keya") | datasets({"s3": {**S3, "prefix": "x/"}}, key="new", formerly="another"),
    ],
    ids=["renamed again", "as it is", "renamed back", "a new one whose first key another stack knows"],
)
def test_the_first_key_is_taken_however_often_a_dataset_was_renamed(declared: dict[str, Any]) -> None:
    found = said(declared, renamed_state())
    assert (found.refusals, found.warnings, found.remarks) == ([], [], [])


def test_what_is_advised_for_another_key_is_the_first_one() -> None:
    (warning,) = said(datasets(key="keyc"), renamed_state()).warnings
    assert "'formerly: keya'" in warning


def two_keys(first: str, second: str) -> Previous:
    """Resources `keya` and `keyb`, under these keys."""
    before = [
        state(key=name, told={"full_path": f"s3://acme-raw/{name}/", "dataset_id": name}) for name in ("aaa", "bbb")
    ]
    return Previous(
        [it for each in before for it in each.resources], {"datasets": {first: {"id": "aaa"}, second: {"id": "bbb"}}}
    )


def test_two_keys_may_be_swapped_and_not_silently_swapped_back() -> None:
    # Under the names that they have at Lightly: those are not swapped in one run.
    a = datasets(key="aaa", formerly="bbb", name="bbb")
    b = datasets({"s3": {**S3, "prefix": "x/"}}, key="bbb", formerly="aaa", name="aaa")
    assert said(a | b, two_keys("aaa", "bbb")).refusals == []
    assert said(a | b, two_keys("bbb", "aaa")).refusals == []
    for it in (a | b).values():
        del it["formerly"], it["name"]
    assert len(said(a | b, two_keys("bbb", "aaa")).refusals) == 2


A_NUMBERED_KEY = ("gcp:serviceaccount/key:Key", f"{INPUT}-17", {"name": KEY_PATH})


@pytest.mark.parametrize(
    ("made", "rotating", "named", "field"),
    [
        (A_USER, s3(kind="keys", rotate_every_days=30), s3(kind="keys", user="lightly-user-1"), "s3.access.user"),
        (A_NUMBERED_KEY, gcs(rotate_every_days=30), THE_CREDENTIALS, "gcs.access.credentials"),
        (
            ("aws:iam/user:User", INPUT, {"name": "lightly-user-1"}),
            s3(kind="keys", rotate_every_days=30),
            s3(kind="keys", user="lightly-user-1"),
            "s3.access.user",
        ),
    ],
    ids=["a user", "a key", "a user from before the renewals"],
)
def test_what_a_renewal_deletes_is_not_named_elsewhere(
    made: tuple[str, str, dict[str, Any]], rotating: dict[str, Any], named: dict[str, Any], field: str
) -> None:
    declared = datasets(rotating) | datasets(named, key="other")
    (refusal,) = said(declared, state(made)).refusals
    assert refusal.startswith(f"other.input.{field}: ")
    assert "the renewal to come" in refusal


def test_a_service_account_whose_keys_are_renewed_stays_and_may_be_named() -> None:
    declared = datasets(gcs(rotate_every_days=30)) | datasets(gcs(service_account=EMAIL), key="other")
    assert said(declared, state(AN_ACCOUNT)).refusals == []


@pytest.mark.parametrize("missing", ["user", "region"])
def test_a_bucket_policy_of_obs_goes_on_to_name_whom_it_lets_in(missing: str) -> None:
    given: dict[str, Any] = {**OBS, "bucket": "acme-raw", "region": "eu-de", "endpoint": "https://obs.example.com"}
    outputs = {"bucket": "acme-raw", "endpoint": "https://obs.example.com"}
    before = state(("pulumi-python:dynamic/obs:Grant", INPUT, outputs), told=TOLD_OBS)
    assert said(datasets({"obs": given}), before).refusals == []
    del given[missing]
    declared = spec.parse(datasets({"obs": given}), {"region": "eu-central-1"})
    (refusal,) = transitions.findings(declared, before).refusals
    assert refusal.startswith(f"street-scenes.input.obs.{missing} is missing")


OTHER = "f" * 24
REPLACED = [{"id": OTHER}, {"type": "Videos", "name": "Films"}]


@pytest.mark.parametrize("more", REPLACED, ids=["id", "type and name"])
def test_a_dataset_that_is_replaced_is_said_to_be_deleted_and_how_to_keep_it(more: dict[str, Any]) -> None:
    (warning,) = said(datasets(**more, on_destroy="delete"), state(on_destroy="delete")).warnings
    assert warning.startswith(f"street-scenes: the dataset 'street-scenes' (id {ID}) is replaced by ")
    assert "will be deleted at Lightly with its samples" in warning
    assert "deploy 'on_destroy: keep' first" in warning


@pytest.mark.parametrize("more", REPLACED, ids=["id", "type and name"])
@pytest.mark.parametrize("was", [{}, {"on_destroy": "delete", "adopted": True}], ids=["kept", "adopted"])
def test_a_dataset_that_is_replaced_and_stays_is_remarked_on(more: dict[str, Any], was: dict[str, Any]) -> None:
    found = said(datasets(**more), state(**was))
    assert found.warnings == []
    (remark,) = found.remarks
    assert remark.endswith("and stays at Lightly")


@pytest.mark.parametrize("more", [{"id": ID}, {"name": "Films"}, {"on_destroy": "delete"}])
def test_a_dataset_that_stays_the_same_is_not_said_to_be_replaced(more: dict[str, Any]) -> None:
    found = said(datasets(**more), state(on_destroy="delete"))
    assert (found.warnings, found.remarks, found.refusals) == ([], [], [])


def test_names_are_not_swapped_in_one_run() -> None:
    both = [*state(key="a-one").resources, *state(key="b-two", told={"full_path": "s3://acme-raw/x/"}).resources]
    before = Previous(both, {})
    another = {"s3": {**S3, "prefix": "x/"}}
    first, second = said(
        {**datasets(key="a-one", name="b-two"), **datasets(another, key="b-two", name="a-one")}, before
    ).refusals
    assert first.startswith("a-one.name: 'b-two' is the name of dataset 'b-two' until this run has renamed it")
    assert second.startswith("b-two.name: 'a-one'")
    assert "rename one of them to a third name first" in first
    free = {**datasets(key="a-one", name="third"), **datasets(another, key="b-two")}
    assert said(free, before).refusals == []


GCS_MADE = {"bucket": "acme-raw", "prefix": "raw/", "create": True, "location": "europe-west4"}
AZURE_MADE = {"account": "acmedata", "prefix": "", "resource_group": "acme", "create": "account"}
MOVED = [
    (
        "s3.region",
        {"s3": {**S3, "create": True, "region": "eu-west-1"}},
        "aws:s3/bucket:Bucket",
        "bucket",
        "eu-central-1",
    ),
    ("gcs.location", {"gcs": GCS_MADE}, "gcp:storage/bucket:Bucket", "name", "EUROPE-WEST3"),
    (
        "obs.region",
        {"obs": {**OBS, "endpoint": "https://obs.eu-nl.otc.t-systems.com", "bucket": "acme-raw", "create": True}},
        "pulumi-python:dynamic/obs:Bucket",
        "bucket",
        "eu-de",
    ),
    (
        "azure.location",
        {"azure": {**AZURE_MADE, "location": "northeurope"}},
        "azure-native:storage:StorageAccount",
        "name",
        "westeurope",
    ),
]


@pytest.mark.parametrize(("field", "source", "type_", "output", "was"), MOVED)
def test_storage_that_is_made_does_not_move(
    field: str, source: dict[str, Any], type_: str, output: str, was: str
) -> None:
    name, place = ("acmedata" if "azure" in source else "acme-raw"), field.partition(".")[2]
    (refusal,) = said(datasets(source), state((type_, "it", {output: name, place: was}))).refusals
    assert refusal.startswith(f"street-scenes.input.{field}: ")
    assert f"To keep it, set '{place}: {was.lower()}' again" in refusal
    now = next(it.value for it in spec.parse(datasets(source), DEFAULTS)["street-scenes"].input.datasource.placed())
    assert said(datasets(source), state((type_, "it", {output: name, place: now.upper()}))).refusals == []


def test_a_bucket_that_leaves_the_stack_keeps_its_kms_key_with_the_datasets_that_name_it() -> None:
    kms = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    told = {"full_path": "s3://acme-raw/raw/", "s3_server_side_encryption_kms_key": kms}
    bucket = ("aws:s3/bucket:Bucket", "acme-raw-bucket", {"bucket": "acme-raw"})
    (refusal,) = said(datasets(), state(bucket, told=told)).refusals
    assert refusal.startswith("street-scenes.input.s3.kms_key_arn is missing: 'acme-raw' was made by this stack")
    assert said(datasets({"s3": {**S3, "kms_key_arn": kms}}), state(bucket, told=told)).refusals == []
    assert said(datasets({"s3": {**S3, "bucket": "acme-other"}}), state(bucket, told=told)).refusals == []
    assert said(datasets(), state(told=told)).refusals == [], "of a bucket that was never made here"
    maker = datasets({"s3": {**S3, "prefix": "x/", "create": True, "kms_key_arn": kms}}, key="maker")
    assert said(datasets() | maker, state(bucket, told=told)).refusals == []
