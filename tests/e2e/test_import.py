"""`lightly-infra import`: an account that others have set up becomes a stack, and nothing changes by that."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml
from typer.testing import CliRunner

from lightly_infra import spec, stack
from lightly_infra.cli import app
from lightly_infra.clouds.aws import policy as s3_policy
from lightly_infra.clouds.obs import policy as obs_policy
from lightly_infra.lightly.client import LightlyClient
from lightly_infra.lightly.models import DatasetType, parse_config
from lightly_infra.permissions import Purpose
from lightly_infra.sandbox.aws.ministack import Credentials
from lightly_infra.sandbox.cloud import CannotStart
from lightly_infra.sandbox.engine.interface import Program, Result
from lightly_infra.sandbox.environment import EngineName, Sandbox
from lightly_infra.sandbox.obs.ministack import User
from lightly_infra.updates.changes import Operation
from tests.e2e.clouds import OBS_KEY, PROJECT, USER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

EXTERNAL_ID: Final = "canary-external-id-of-the-role"
EMAIL: Final = f"lightly@{PROJECT}.iam.gserviceaccount.com"
# The secret of a datasource, by its type, under the API's name and where the YAML has it.
SECRET: Final = {
    "S3": ("s3SecretAccessKey", "s3.access.secret_access_key"),
    "S3DelegatedAccess": ("s3ExternalId", "s3.access.external_id"),
    "GCS": ("gcsCredentials", "gcs.access.credentials"),
    "AZURE": ("accountKey", "azure.sas_token"),
    "OBS": ("obsSecretAccessKey", "obs.secret_access_key"),
}


@pytest.fixture
def sandbox(engine: EngineName) -> Iterator[Sandbox]:
    with Sandbox(engine=engine) as running:
        try:
            have_all(running)
        except CannotStart as error:
            pytest.skip(str(error))
        yield running


def have_all(sandbox: Sandbox) -> None:
    """Datasets whose storage and credentials somebody has made by hand, as the manual says."""
    with LightlyClient(sandbox.token, base_url=sandbox.lightly.url) as client:
        for name, kind, source, target in (
            ("By role", DatasetType.IMAGES, by_role(sandbox), on_google(sandbox)),
            ("By key", DatasetType.VIDEOS, on_azure(sandbox), by_key(sandbox)),
            ("on-obs", DatasetType.IMAGES, by_role(sandbox, "thumbs/[filename].[extension]"), on_obs(sandbox)),
        ):
            dataset_id = client.create_dataset(name, kind)
            for purpose, config in ((Purpose.INPUT, source), (Purpose.LIGHTLY, target)):
                client.set_datasource(dataset_id, parse_config({**config, "purpose": purpose}))
            assert client.verify(dataset_id).missing == (), name
        both = {**by_role(sandbox), "purpose": "INPUT_OUTPUT"}
        client.set_datasource(client.create_dataset("One for both", DatasetType.IMAGES), parse_config(both))


def by_role(sandbox: Sandbox, thumb_suffix: str | None = None) -> dict[str, Any]:
    sandbox.put_images("s3://acme-raw/raw/")
    iam = sandbox.aws.client("iam")
    if "theirs" not in {it["RoleName"] for it in iam.list_roles()["Roles"]}:
        trust = s3_policy.to_json(s3_policy.trust_policy(external_id=EXTERNAL_ID))
        iam.create_role(RoleName="theirs", AssumeRolePolicyDocument=trust, MaxSessionDuration=43200)
        iam.put_role_policy(RoleName="theirs", PolicyName="lightly", PolicyDocument=s3_grant(Purpose.INPUT, "acme-raw"))
    return {
        "type": "S3DelegatedAccess",
        "full_path": "s3://acme-raw/raw/",
        "s3_region": "eu-central-1",
        "s3_arn": "arn:aws:iam::123456789012:role/theirs",
        "s3_external_id": EXTERNAL_ID,
        **({"thumb_suffix": thumb_suffix} if thumb_suffix else {}),
    }


def by_key(sandbox: Sandbox) -> dict[str, Any]:
    sandbox.put_images("s3://acme-made/elsewhere/")
    iam = sandbox.aws.client("iam")
    iam.create_user(UserName="theirs")
    iam.put_user_policy(UserName="theirs", PolicyName="lightly", PolicyDocument=s3_grant(Purpose.LIGHTLY, "acme-made"))
    key = iam.create_access_key(UserName="theirs")["AccessKey"]
    return {
        "type": "S3",
        "full_path": "s3://acme-made/lightly/",
        "s3_region": "eu-central-1",
        "s3_access_key_id": key["AccessKeyId"],
        "s3_secret_access_key": key["SecretAccessKey"],
    }


def s3_grant(purpose: Purpose, bucket: str) -> str:
    prefix = "raw/" if purpose is Purpose.INPUT else "lightly/"
    document = s3_policy.access_policy(purpose=purpose, bucket_arn=f"arn:aws:s3:::{bucket}", prefix=prefix)
    return s3_policy.to_json(document)


def on_google(sandbox: Sandbox) -> dict[str, Any]:
    sandbox.put_images("gs://acme-made/elsewhere/")
    sandbox.gcp.make_account(EMAIL)
    sandbox.gcp.grant(EMAIL, Purpose.LIGHTLY, "acme-made", "lightly/", PROJECT)
    credentials = sandbox.gcp.make_key(EMAIL)
    where = {"full_path": "gs://acme-made/lightly/", "gcs_project_id": PROJECT}
    return {"type": "GCS", **where, "gcs_credentials": credentials}


def on_azure(sandbox: Sandbox) -> dict[str, Any]:
    sandbox.put_images("azure://acmedata/raw/night/")
    expires = datetime.now(UTC) + timedelta(days=60)
    sas = sandbox.azure.mint_sas("acmedata", "raw", permissions="rl", expires=expires)
    return {"type": "AZURE", "full_path": "raw/night/", "account_name": "acmedata", "account_key": sas}


def on_obs(sandbox: Sandbox) -> dict[str, Any]:
    sandbox.put_images("obs://acme-made/elsewhere/")
    sandbox.obs.let_in(User(USER, Credentials(OBS_KEY["access_key_id"], OBS_KEY["secret_access_key"])))
    grant = obs_policy.grant(purpose=Purpose.LIGHTLY, bucket="acme-made", prefix="lightly/", user=USER, sid="Theirs")
    document = obs_policy.to_json(obs_policy.document(grant))
    sandbox.obs.client().put_bucket_policy(Bucket="acme-made", Policy=document)
    return {
        "type": "OBS",
        "full_path": "obs://acme-made/lightly/",
        "obs_endpoint": "https://obs.eu-de.otc.t-systems.com",
        **{f"obs_{name}": value for name, value in OBS_KEY.items()},
    }


def imported(sandbox: Sandbox, directory: Path) -> tuple[Any, str]:
    """What the command writes, read back, and what it says."""
    environment = {"LIGHTLY_SERVER_LOCATION": sandbox.lightly.url, "LIGHTLY_TOKEN": sandbox.token}
    done = CliRunner().invoke(app, ["import", "--directory", str(directory)], env=environment)
    assert done.exit_code == 0, done.output
    text = (directory / "Pulumi.imported.yaml").read_text()
    for dataset in sandbox.lightly.datasets.values():
        for it in dataset.datasources.values():
            assert it[SECRET[it["type"]][0]] not in text + done.output
    return yaml.safe_load(text)["config"][stack.DATASETS_KEY], done.output


def program(datasets: Any) -> Program:
    return Program(
        stack.main,
        "lightly-infra",
        "imported",
        {stack.DATASETS_KEY: json.dumps(datasets)},
        frozenset({stack.DATASETS_KEY}),
    )


def with_secrets(datasets: Any, sandbox: Sandbox) -> Any:
    """The YAML once all commands have been run that the import names."""
    by_id = {it.id: it for it in sandbox.lightly.datasets.values()}
    paths = list(spec.placeholders(datasets))
    it = copy.deepcopy(datasets)
    for path in paths:
        key, purpose, *fields, last = path.split(".")
        had = by_id[it[key]["id"]].datasources[purpose.upper()]
        name, where = SECRET[had["type"]]
        assert ".".join([*fields, last]) == where
        at = it[key][purpose]
        for field in fields:
            at = at[field]
        at[last] = had[name]
    return it


def snapshot(sandbox: Sandbox) -> dict[str, Any]:
    """What Lightly has; only the ids of datasources are its own to change."""

    def without_id(datasource: Mapping[str, str]) -> dict[str, str]:
        return {name: value for name, value in datasource.items() if name != "id"}

    return {
        it.id: (it.name, it.type, it.created_at, {of: without_id(each) for of, each in it.datasources.items()})
        for it in sandbox.lightly.datasets.values()
    }


def done(result: Result) -> set[tuple[str, str]]:
    assert not result.failures, result.failures
    return {(it.operation.value, it.type) for it in result.changes if it.operation is not Operation.SAME}


def test_the_first_up_of_an_imported_account_changes_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    before = snapshot(sandbox)
    written, output = imported(sandbox, tmp_path)
    assert set(written) == {"by-role", "by-key", "on-obs"}
    assert "not imported: 'One for both'" in output
    wanted = program(with_secrets(written, sandbox))

    assert not sandbox.engine.preview(wanted).failures
    first = sandbox.engine.up(wanted)

    # Nothing but what is Lightly's: no cloud was told anything.
    kinds = ("Dataset", "Datasource", "Verification")
    assert done(first) == {("create", f"pulumi-python:dynamic/lightly:{kind}") for kind in kinds}
    assert snapshot(sandbox) == before
    assert all(it["verified"] for it in first.outputs["datasets"].values())
    assert done(sandbox.engine.up(wanted)) == set()
    assert done(sandbox.engine.refresh(wanted)) == set()
    assert not sandbox.engine.destroy(wanted).failures
    assert snapshot(sandbox) == before


def test_it_is_refused_until_every_secret_is_set(sandbox: Sandbox, tmp_path: Path) -> None:
    written, output = imported(sandbox, tmp_path)
    asked = len(sandbox.lightly.requests)

    for run in (sandbox.engine.preview, sandbox.engine.up):
        (failure,) = run(program(written)).failures
        for path in spec.placeholders(written):
            assert f"{path}: not set yet; set it with `pulumi config set --secret --path" in failure.message
            assert f"pulumi config set --stack imported --secret --path 'lightly-infra:datasets.{path}'" in output
    assert len(sandbox.lightly.requests) == asked
