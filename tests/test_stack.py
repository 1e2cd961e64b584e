"""The program behind every stack: the YAML in, components out."""

from __future__ import annotations

import copy
import itertools
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi
import pytest

from lightly_infra import epochs, stack
from lightly_infra.stack import files
from tests.pulumi_mocks import (
    DATASET_ID,
    Recorded,
    Recording,
    Secret,
    in_the_open,
    made_by,
    run,
    secret_values,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

STACKS = Path(__file__).parents[1] / "stacks"
DATASET = "pulumi-python:dynamic/lightly:Dataset"
DATASOURCE = "pulumi-python:dynamic/lightly:Datasource"
VERIFICATION = "pulumi-python:dynamic/lightly:Verification"
TOKEN = "canary-token-of-lightly"
CANARY = "canary-external-id-0001"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"
ROLE = "arn:aws:iam::123456789012:role/ours"

EXAMPLE: Mapping[str, Any] = {
    "street-scenes": {
        "type": "Images",
        "input": {"s3": {"bucket": "acme-raw", "prefix": "street-scenes/", "access": "delegated"}},
        "lightly": {"s3": {"create": True, "prefix": "lightly/", "access": "delegated"}},
    }
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LIGHTLY_TOKEN", TOKEN)


def up(
    datasets: Mapping[str, Any] = EXAMPLE, *, preview: bool = False, region: str | None = "eu-central-1", **config: str
) -> Recording:
    given = {"lightly-infra:datasets": json.dumps(datasets)} | ({"aws:region": region} if region else {})
    given |= {f"lightly-infra:{name}": value for name, value in config.items()}
    return run(stack.main, preview=preview, config=given, secret_keys=["lightly-infra:token", stack.DATASETS_KEY])


def example(**of_the_dataset: Any) -> dict[str, Any]:
    """The example with other things said, at paths such as `input__s3__tags`."""
    datasets = copy.deepcopy(dict(EXAMPLE))
    for path, value in of_the_dataset.items():
        *parents, last = path.split("__")
        at = datasets["street-scenes"]
        for parent in parents:
            at = at[parent]
        at[last] = value
    return datasets


def two(**of_the_second: Any) -> dict[str, Any]:
    return {**EXAMPLE, "night-drives": example(**of_the_second)["street-scenes"]}


def config_of(name: str) -> dict[str, str]:
    """A shipped stack's config; what is encrypted in it gets a stand-in."""
    config, _ = files.config(STACKS / f"Pulumi.{name}.yaml", "lightly-infra")
    return config


@pytest.fixture(scope="module")
def deployed() -> Recording:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIGHTLY_TOKEN", TOKEN)
        return up()


# -- what is made


def test_the_example_makes_these_resources(deployed: Recording) -> None:
    counts: dict[str, int] = {}
    for it in deployed.custom:
        counts[it.type.split(":")[-1]] = counts.get(it.type.split(":")[-1], 0) + 1
    assert counts == {
        "Dataset": 1,
        "Datasource": 2,
        "Verification": 1,
        "RandomPassword": 2,
        "Role": 2,
        "RolePolicy": 2,
        "Bucket": 1,
        "BucketPublicAccessBlock": 1,
        "BucketOwnershipControls": 1,
        "BucketServerSideEncryptionConfiguration": 1,
        "BucketPolicy": 1,
        "BucketLifecycleConfiguration": 1,
        "BucketObjectv2": 1,
    }


def test_resources_are_named_after_the_dataset_and_the_purpose(deployed: Recording) -> None:
    assert {it.name for it in deployed.resources} == {
        "street-scenes",
        "street-scenes-input",
        "street-scenes-lightly",
        "lightly-street-scenes-input",
        "lightly-street-scenes-lightly",
    }


def test_the_dataset_is_registered_as_the_yaml_says() -> None:
    inputs = up(example(name="Street scenes", type="Videos", adopt=True, on_destroy="delete")).one(DATASET).inputs
    assert {name: value for name, value in inputs.items() if name != "__provider"} == {
        "name": "Street scenes",
        "type": "Videos",
        "adopt": True,
        "on_destroy": "delete",
        "datasources": {
            "INPUT": {"type": "S3DelegatedAccess", "full_path": "s3://acme-raw/street-scenes/"},
            "LIGHTLY": {"type": "S3DelegatedAccess"},
        },
        "replace_datasources": False,
        "previewing": False,
    }


def test_a_dataset_that_is_not_adopted_is_not_asked_for_its_datasources() -> None:
    assert not {"datasources", "replace_datasources"} & set(up().one(DATASET).inputs)


def test_that_datasources_may_be_replaced_is_passed_on() -> None:
    assert up(example(id=DATASET_ID, replace_datasources=True)).one(DATASET).inputs["replace_datasources"] is True


@pytest.mark.parametrize("preview", [True, False])
def test_a_secret_that_is_not_set_yet_stops_everything(*, preview: bool) -> None:
    """Encrypted or not: what stands there is nobody's."""
    access = {"kind": "delegated", "role_arn": ROLE, "external_id": "SET-ME"}
    path = "street-scenes.input.s3.access.external_id"
    with pytest.raises(pulumi.RunError) as refused:
        up(example(input__s3__access=access), preview=preview)
    assert f"{path}: not set yet; set it with `pulumi config set --secret --path" in str(refused.value)
    assert "replaced" not in str(refused.value), "nothing has leaked"


def test_where_thumbnails_go_is_passed_on_and_left_to_lightly_otherwise() -> None:
    recording = up(example(lightly__s3__thumb_suffix="thumbs/[filename].[extension]"))
    assert recording.one(DATASOURCE, "street-scenes-lightly").inputs["thumb_suffix"] == "thumbs/[filename].[extension]"
    assert "thumb_suffix" not in recording.one(DATASOURCE, "street-scenes-input").inputs


def test_a_dataset_without_type_holds_images() -> None:
    datasets = example()
    del datasets["street-scenes"]["type"]
    assert up(datasets).one(DATASET).inputs["type"] == "Images"


def test_a_dataset_found_by_id_is_what_it_is() -> None:
    datasets = example(id=DATASET_ID)
    del datasets["street-scenes"]["type"]
    inputs = up(datasets).one(DATASET).inputs
    assert inputs["dataset_id"] == DATASET_ID
    assert not {"name", "type"} & set(inputs)


def test_the_deadline_is_passed_on() -> None:
    assert up(example(verify_deadline=5)).one(VERIFICATION).inputs["deadline"] == 5


def test_everything_we_make_is_tagged() -> None:
    recording = up(example(lightly__s3__tags={"team": "vision"}))
    for type_ in ("aws:s3/bucket:Bucket", "aws:iam/role:Role"):
        tags = recording.one(type_, "lightly-street-scenes-lightly").inputs["tags"]
        assert tags == made_by("lightly-street-scenes-lightly").tags | {"team": "vision"}


def test_a_bucket_stays_with_what_guards_it_whatever_becomes_of_the_dataset() -> None:
    kept, gone = (up(example(on_destroy=it)) for it in ("keep", "delete"))
    assert kept.one("aws:s3/bucket:Bucket").retain_on_delete
    assert gone.one("aws:s3/bucket:Bucket").retain_on_delete
    assert [it.one(DATASET).retain_on_delete for it in (kept, gone)] == [True, False]
    for recording in (kept, gone):
        bucket = recording.one("aws:s3/bucket:Bucket")
        guards = [it for it in recording.of("aws:s3/") if it is not bucket and "BucketObject" not in it.type]
        assert {it.deleted_with for it in guards} == {bucket.urn}, "what guards it goes with it, never before it"


def test_what_the_yaml_says_of_a_bucket_and_an_access_reaches_them() -> None:
    recording = up(
        example(
            lightly__s3__kms_key_arn=(key := KEY.replace("eu-central-1", "us-east-1")),
            lightly__s3__versioning=True,
            lightly__s3__access_logs={"bucket": "acme-logs", "prefix": "s3/"},
            lightly__s3__region="us-east-1",
            lightly__s3__access={"kind": "keys", "permissions_boundary": BOUNDARY},
            input__s3__access={"kind": "delegated", "permissions_boundary": BOUNDARY, "external_id": CANARY},
        ),
        lightly_account_id="111122223333",
    )
    assert recording.of("BucketVersioning")
    assert recording.one("BucketLogging").inputs["targetBucket"] == "acme-logs"
    assert recording.one("BucketServerSideEncryptionConfiguration").inputs["rules"][0]["bucketKeyEnabled"]
    assert {it.inputs["region"] for it in recording.of("aws:s3/")} == {"us-east-1"}
    assert recording.one("iam/user:").inputs["permissionsBoundary"] == BOUNDARY
    role = recording.one("iam/role:").inputs
    assert role["permissionsBoundary"] == BOUNDARY
    assert "111122223333" in role["assumeRolePolicy"].value
    assert CANARY in role["assumeRolePolicy"].value
    assert recording.one("kms/grant").inputs["keyId"] == key


def test_a_role_of_yours_is_used_as_it_is() -> None:
    access = {"kind": "delegated", "role_arn": ROLE, "external_id": CANARY}
    recording = up(example(input__s3__access=access))
    assert recording.one("iam/role:").name == "lightly-street-scenes-lightly"
    inputs = recording.one(DATASOURCE, "street-scenes-input").inputs
    assert (inputs["s3_arn"], inputs["s3_external_id"]) == (ROLE, Secret(CANARY))


# -- the order


def test_all_that_costs_money_waits_for_the_registration(deployed: Recording) -> None:
    registration = deployed.one(DATASET)
    others = [it for it in deployed.custom if it is not registration]
    assert [it for it in others if registration.urn not in it.depends_on] == []


def test_with_several_datasets_each_waits_for_its_own_and_all_for_the_first() -> None:
    recording = up({**two(), "rainy-days": example()["street-scenes"]})
    first, *later = (recording.one(DATASET, it) for it in ("street-scenes", "night-drives", "rainy-days"))
    assert first.depends_on == frozenset()
    assert [it.depends_on for it in later] == [{first.urn}, {first.urn}]
    for it in recording.custom:
        if it.type != DATASET:
            (own,) = [each for each in (first, *later) if each.name in it.name]
            assert {own.urn, first.urn} <= recording.waits_for(it)


# -- several datasets, and what they share


def test_a_shared_access_is_made_once_and_granted_each_prefix() -> None:
    share = {"kind": "keys", "share": "acme"}
    recording = up(
        {
            **example(input__s3__access=share, lightly__s3__access=share),
            "night-drives": example(input__s3__access=share, input__s3__prefix="night/")["street-scenes"],
        }
    )
    assert recording.one("iam/user:").name == "lightly-acme-shared"
    assert len(recording.of("iam/accessKey")) == 1
    granted = {it.name: it.inputs["user"] for it in recording.of("iam/userPolicy")}
    assert set(granted) == {
        "lightly-street-scenes-input",
        "lightly-street-scenes-lightly",
        "lightly-night-drives-input",
    }
    assert set(granted.values()) == {"lightly-acme-shared-0a1b2c3"}


def test_a_share_is_never_mistaken_for_a_datasets_own_access() -> None:
    share = {"kind": "delegated", "share": "share-acme-input"}
    recording = up({**example(input__s3__access=share), "share-acme": example()["street-scenes"]})
    assert len(recording.of("iam/role:")) == 4


def shared_bucket(*names: str) -> dict[str, Any]:
    return {
        name: example(
            lightly__s3={"create": True, "bucket": "acme-lightly", "prefix": f"{name}/", "access": "delegated"}
        )["street-scenes"]
        for name in names
    }


def test_a_bucket_for_two_datasets_is_made_once_with_a_directory_for_each() -> None:
    recording = up(shared_bucket("street-scenes", "night-drives"))
    assert recording.one("aws:s3/bucket:Bucket").inputs["bucket"] == "acme-lightly"
    assert [it.inputs["key"] for it in recording.of("BucketObjectv2")] == ["night-drives/", "street-scenes/"]


def test_a_bucket_stays_the_same_resource_when_datasets_come_and_go() -> None:
    def bucket(*names: str) -> str:
        return up(shared_bucket(*names)).one("aws:s3/bucket:Bucket").urn

    assert bucket("aaa", "bbb") == bucket("bbb", "aaa") == bucket("bbb") == bucket("aaa")


@pytest.mark.parametrize("prefix", ["raw/", "street-scenes/crops/"], ids=["beside", "inside the Lightly prefix"])
def test_a_dataset_may_read_from_a_bucket_that_another_one_makes(prefix: str) -> None:
    later = example(input__s3__bucket="acme-lightly", input__s3__prefix=prefix)["street-scenes"]
    datasets = {**shared_bucket("street-scenes"), "later": later}
    recording = up(dict(reversed(datasets.items())))
    bucket = recording.one("aws:s3/bucket:Bucket", "acme-lightly-bucket")
    assert bucket.urn in recording.waits_for(recording.one("RolePolicy", "lightly-later-input"))


# -- outputs


def test_the_outputs_tell_what_became_of_each_dataset(deployed: Recording) -> None:
    role = "arn:aws:iam::123456789012:role/lightly-street-scenes-{}-0a1b2c3"
    assert deployed.stack_outputs["datasets"] == {
        "street-scenes": {
            "id": DATASET_ID,
            "name": "street-scenes",
            "type": "Images",
            "url": f"https://app.lightly.ai/dataset/{DATASET_ID}",
            "verified": True,
            "input": {"path": "s3://acme-raw/street-scenes/", "role_arn": role.format("input")},
            "lightly": {
                "path": "s3://lightly-street-scenes-lightly-0a1b2c3/lightly/",
                "role_arn": role.format("lightly"),
            },
        }
    }


def test_the_outputs_tell_what_is_known_of_each_credential_and_hold_none() -> None:
    outputs = up(example(lightly__s3__access="keys")).stack_outputs
    assert set(outputs) == {"datasets", "credentials", "worker_config"}
    assert outputs["credentials"] == {
        "street-scenes": {
            "input": {"kind": "role"},
            "lightly": {"kind": "access key", "created": "2026-11-24T10:11:12Z"},
        }
    }
    assert list(secret_values(outputs)) == []
    assert "canary" not in str(outputs)


def test_keys_are_renewed_by_the_epoch_of_today_and_what_was_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "now", lambda: datetime(2026, 11, 22, tzinfo=UTC))  # epoch 230 of 90 days
    keys = {"kind": "keys", "rotate_every_days": 90, "permissions_boundary": BOUNDARY}
    recording = up(example(input__s3__access=keys), rotation="3")
    assert {it.name for it in recording.of("iam/user:")} == {f"lightly-street-scenes-input-{it}" for it in (232, 233)}
    assert {it.inputs["permissionsBoundary"] for it in recording.of("iam/user:")} == {BOUNDARY}
    assert recording.stack_outputs["credentials"]["street-scenes"]["input"] == {
        "kind": "access key",
        "created": "2026-11-24T10:11:12Z",
        "epoch": 233,
        "rotate_every_days": 90,
    }


def test_keys_that_are_not_renewed_care_for_no_forced_renewal() -> None:
    recording = up(example(input__s3__access="keys"), rotation="3")
    assert [it.name for it in recording.of("iam/user:")] == ["lightly-street-scenes-input"]


def test_all_keys_of_a_run_are_of_one_epoch_also_over_midnight(monkeypatch: pytest.MonkeyPatch) -> None:
    last = datetime(2026, 12, 2, 23, 59, 59, tzinfo=UTC)  # of epoch 230 of 90 days
    moments = itertools.chain([last], itertools.repeat(last + timedelta(seconds=1)))
    monkeypatch.setattr(epochs, "now", lambda: next(moments))
    keys = {"kind": "keys", "rotate_every_days": 90}
    recording = up(example(input__s3__access=keys, lightly__s3__access=keys))
    assert {it.name.rpartition("-")[2] for it in recording.of("iam/user:")} == {"229", "230"}


def test_a_shared_access_is_renewed_once_for_all_its_datasources() -> None:
    shared = {"kind": "keys", "share": "acme", "rotate_every_days": 90}
    recording = up(two(input__s3__access=shared, lightly__s3__access=shared))
    assert len(recording.of("iam/user:")) == len(recording.of("iam/accessKey")) == 2
    assert len(recording.of("iam/userPolicy")) == 4


def test_external_ids_are_renewed_when_asked() -> None:
    assert {it.name for it in up(external_id_rotation="2").of("random:")} == {
        f"lightly-street-scenes-{end}-{it}" for end in ("input", "lightly") for it in (1, 2)
    }


def test_given_external_ids_are_handed_on_with_the_one_before() -> None:
    access = {"kind": "delegated", "external_id": CANARY, "previous_external_id": "canary-external-id-0000"}
    recording = up(example(input__s3__access=access), external_id_rotation="2")
    trust = recording.one("iam/role:", "lightly-street-scenes-input").inputs["assumeRolePolicy"]
    assert isinstance(trust, Secret)
    assert f'["{CANARY}","canary-external-id-0000"]' in trust.value
    assert "canary" not in in_the_open(recording.outputs)


def test_a_user_of_yours_is_used_and_not_made() -> None:
    recording = up(example(input__s3__access={"kind": "keys", "user": "ours"}))
    assert recording.of("iam/user:") == []
    assert recording.one("iam/accessKey").inputs == {"user": "ours"}


def test_a_key_of_yours_is_told_to_lightly_and_shows_nowhere() -> None:
    brought = {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "canary-brought-secret"}
    recording = up(example(input__s3__access={"kind": "keys", **brought}))
    assert not [it for it in recording.custom if it.name == "lightly-street-scenes-input"]
    told = recording.one(DATASOURCE, "street-scenes-input").inputs
    assert told["s3_access_key_id"] == brought["access_key_id"]
    assert told["s3_secret_access_key"] == Secret(brought["secret_access_key"])
    shown = " ".join(in_the_open(it.inputs) for it in recording.resources) + in_the_open(recording.outputs)
    assert "canary" not in shown


def test_how_early_an_expiry_is_said_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "now", lambda: datetime(2026, 11, 22, tzinfo=UTC))
    sas = "?sv=2024-11-04&sr=c&se=2026-12-22&sp=rl&spr=https&sig=canary0own"
    datasets = example()
    own = {"account": "theirs", "container": "raw", "prefix": "", "sas_token": sas}
    datasets["street-scenes"]["input"] = {"azure": own}
    assert up(datasets).warnings == []
    (warning,) = up(datasets, warn_days="31").warnings
    assert warning.startswith(
        "street-scenes.input: the SAS expires in 30 days, on 2026-12-22T00:00:00Z, and then locks"
    )


def test_source_addresses_give_the_worker_config_that_they_need() -> None:
    recording = up(example(input__s3__allowed_source_ips=["203.0.113.0/24"]))
    outputs = recording.stack_outputs
    assert outputs["datasets"]["street-scenes"]["verified"] is False
    assert outputs["worker_config"] == {"street-scenes": {"datasource": {"bypass_verify": True}}}
    assert len(recording.warnings) == 1
    assert recording.one(VERIFICATION).inputs.get("deadline") is None


def test_inputs_that_expire_give_the_worker_config_and_the_worker_that_knows_it() -> None:
    wanted = example(
        input__s3__create=True,
        input__s3__retention_days=60,
        input__s3__expected_run_days=3,
        input__s3__bucket="acme-new",
    )
    outputs = up(wanted).stack_outputs
    expiration = {"min_days_to_expiration": 4, "handling_strategy": "SKIP"}
    assert outputs["worker_config"] == {"street-scenes": {"datasource": {"input_expiration": expiration}}}
    assert outputs["datasets"]["street-scenes"]["worker"] == ">=2.11"


def test_neither_the_token_nor_any_secret_is_in_the_open() -> None:
    recording = up(
        example(input__s3__access={"kind": "delegated", "external_id": CANARY}, lightly__s3__access="keys"),
        token=TOKEN,
    )

    def said(it: Recorded) -> str:
        return repr(it) + in_the_open(it.inputs)

    text = " ".join(map(said, recording.resources)) + in_the_open(recording.outputs) + " ".join(recording.warnings)
    assert "canary" not in text
    assert not any(TOKEN in str(it.inputs) for it in recording.resources)


# -- the stacks in the repository


@pytest.mark.parametrize("name", sorted(it.name.split(".")[1] for it in STACKS.glob("Pulumi.*.yaml")))
@pytest.mark.parametrize("preview", [True, False])
def test_every_shipped_stack_runs(name: str, preview: bool) -> None:
    recording = run(stack.main, preview=preview, config=config_of(name), secret_keys=[stack.DATASETS_KEY])
    assert recording.of(VERIFICATION)
    assert recording.warnings == []


def test_the_stack_of_keys_has_one_user_and_one_bucket_for_both_datasets() -> None:
    recording = run(stack.main, config=config_of("aws-keys"))
    assert len(recording.of(DATASET)) == 2
    assert len(recording.of("iam/user:")) == 1
    assert len(recording.of("aws:s3/bucket:Bucket")) == 1
    assert len(recording.of("iam/userPolicy")) == 4
    assert sum(len(it.inputs["policy"]) for it in recording.of("iam/userPolicy")) <= 2048, "IAM's limit for a user"


# -- what goes wrong


def refused(datasets: Any, **options: Any) -> str:
    with pytest.raises(pulumi.RunError) as error:
        up(datasets, **options)
    assert error.value.__cause__ is None
    return str(error.value)


@pytest.mark.parametrize("preview", [True, False])
def test_a_bad_config_is_told_with_all_its_problems(preview: bool) -> None:
    datasets = example(input__s3__prefix="/raw", lightly__s3__region="mars")
    lines = refused(datasets, preview=preview).splitlines()
    assert lines[0] == "the config of stack 'test' is invalid:"
    assert [it.split(":")[0] for it in lines[1:]] == [
        "  street-scenes.input.s3.prefix",
        "  street-scenes.lightly.s3.region",
    ]


def test_a_secret_in_a_bad_config_is_not_told() -> None:
    access = {"kind": "keys", "external_id": CANARY, "role": CANARY}
    assert "canary" not in refused(example(input__s3__access=access))


def test_a_config_without_datasets_says_what_to_declare() -> None:
    with pytest.raises(pulumi.RunError, match="lightly-infra:datasets: declare at least one dataset"):
        run(stack.main, config={"aws:region": "eu-central-1"})


def test_a_config_that_is_no_mapping_says_so() -> None:
    with pytest.raises(pulumi.RunError, match="lightly-infra:datasets: not a mapping; write it as YAML"):
        run(stack.main, config={"lightly-infra:datasets": "street-scenes:"})


def test_a_bad_account_says_so() -> None:
    assert "lightly-infra:lightly_account_id: 'acme' is no AWS account id" in refused(
        EXAMPLE, lightly_account_id="acme"
    )


def test_nothing_is_made_of_a_bad_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "deploy", lambda _: pytest.fail("the program went on"))
    refused(example(input__s3__prefix="/raw"))


@pytest.mark.parametrize("token", [None, ""])
def test_a_missing_token_is_told_once_before_anything_is_made(
    token: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LIGHTLY_TOKEN") if token is None else monkeypatch.setenv("LIGHTLY_TOKEN", token)
    monkeypatch.setattr(stack, "deploy", lambda _: pytest.fail("the program went on"))
    assert refused(EXAMPLE) == (
        "no Lightly token: set LIGHTLY_TOKEN in the environment, or run "
        "`pulumi config set --secret lightly-infra:token`; nothing was changed"
    )


def test_a_preview_needs_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIGHTLY_TOKEN")
    assert up(preview=True).of(VERIFICATION)


def test_a_token_in_the_config_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIGHTLY_TOKEN")
    assert up(token=TOKEN).of(VERIFICATION)


# -- the region


@pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_the_region_may_come_from_the_environment(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "eu-west-1")
    recording = up(region=None)
    assert recording.one(DATASOURCE, "street-scenes-input").inputs["s3_region"] == "eu-west-1"
    assert up().one(DATASOURCE, "street-scenes-input").inputs["s3_region"] == "eu-central-1"


def test_no_region_at_all_is_told() -> None:
    assert "region is missing" in refused(EXAMPLE, region=None)
