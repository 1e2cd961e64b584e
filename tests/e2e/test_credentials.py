"""Credentials are renewed while Lightly works: two generations live, and Lightly holds the newer one."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra import Dataset, DatasetArgs, Purpose, epochs, provider
from lightly_infra.clouds import azure
from lightly_infra.sandbox.cloud import CannotStart
from lightly_infra.sandbox.engine.interface import Program, Result
from lightly_infra.sandbox.environment import EngineName, Sandbox
from lightly_infra.sandbox.probe import INSIDE
from tests.e2e.clouds import CLOUDS, Cloud, dataset, secrets_behind, secrets_in
from tests.e2e.runs import attempt, changed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Make = Callable[..., Program]

Datasets = dict[str, Any]
Held = dict[str, dict[str, str]]

NAME = "lightly-street-scenes-{}"
ENDS = ("input", "lightly")
PROVED = {
    ("update", "Datasource", "street-scenes-input"),
    ("update", "Datasource", "street-scenes-lightly"),
    ("update", "Verification", "street-scenes"),
}
# What has a generation of its own, by cloud; a SAS is no resource.
GENERATIONS = {"s3": ("User", "AccessKey", "UserPolicy"), "gcs": ("Key",), "azure": ()}
KINDS = {"s3": "access key", "gcs": "service account key", "azure": "SAS"}


@pytest.fixture(params=GENERATIONS)
def cloud(request: pytest.FixtureRequest) -> Cloud:
    return CLOUDS[request.param]


@pytest.fixture
def sandbox(engine: EngineName) -> Iterator[Sandbox]:
    with Sandbox(engine=engine) as running:
        yield running


def rotating(cloud: Cloud, days: int | None) -> Datasets:
    """A dataset on one cloud whose credentials are renewed every so many days."""
    made = dataset(cloud, cloud)
    for end in ENDS:
        source = made[end][cloud.key]
        if cloud.key == "azure":
            source["rotate_every_days"] = days
        else:
            access = {"kind": "keys"} if cloud.key == "s3" else {}
            source["access"] = access | ({"rotate_every_days": days} if days else {})
    return {"street-scenes": made}


def deploy(sandbox: Sandbox, program: Program) -> Result:
    """`attempt`, in which everything is proved."""
    result = attempt(sandbox, program)
    report = sandbox.report(result)
    assert report.ok, (result.failures, report.as_json())
    return result


def generation(cloud: Cloud, operation: str, number: int | None) -> set[tuple[str, str, str]]:
    """All that is of one epoch; None for what is of no epoch."""
    suffix = "" if number is None else f"-{number}"
    return {(operation, it, f"{NAME.format(end)}{suffix}") for it in GENERATIONS[cloud.key] for end in ENDS}


def held(sandbox: Sandbox) -> Held:
    """What Lightly holds now."""
    (only,) = sandbox.lightly.datasets.values()
    return copy.deepcopy(only.datasources)


def works(sandbox: Sandbox, cloud: Cloud, holding: Held) -> bool:
    """Whether Lightly could list and read with what it held; both datasources fare alike."""
    fares = {
        attempt.outcome == "allowed"
        for source in holding.values()
        for attempt in sandbox.cloud(cloud.key).probe(source, [])
        if attempt.target == INSIDE and attempt.operation in {"list", "read"}
    }
    assert len(fares) == 1, fares
    return fares.pop()


def assert_no_secret(outputs: Mapping[str, Any], sandbox: Sandbox, cloud: Cloud, *holdings: Held) -> None:
    text = json.dumps(outputs)
    known = {it for holding in holdings for source in holding.values() for it in secrets_in(source, cloud)}
    assert known, "there are secrets to look for"
    for secret in known | secrets_behind(sandbox, cloud):
        assert secret not in text


def test_each_epoch_brings_another_credential_and_ends_the_one_before_the_last(
    sandbox: Sandbox, program: Make, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = program(rotating(cloud, 1))
    real = datetime.now(UTC)
    holdings: list[Held] = []
    # A cloud's own clock goes on: a SAS is good from the day before its epoch until the day after it.
    for ahead in (-1, 0, 1):
        day = real + timedelta(days=ahead)
        monkeypatch.setattr(epochs, "now", lambda day=day: day)
        number = epochs.epoch(day.date(), days=1)

        result = deploy(sandbox, run)

        if holdings:
            moved = generation(cloud, "create", number) | generation(cloud, "delete", number - 2)
            assert changed(result) == moved | PROVED
        else:
            both = generation(cloud, "create", number) | generation(cloud, "create", number - 1)
            assert both <= changed(result)
        holdings.append(held(sandbox))
        assert changed(sandbox.up(run)) == set(), "nothing changes on the same day"
        for known in result.outputs["credentials"]["street-scenes"].values():
            assert (known["kind"], known["epoch"], known["rotate_every_days"]) == (KINDS[cloud.key], number, 1)
            datetime.strptime(known["created"], "%Y-%m-%dT%H:%M:%S%z")
            assert set(known) - {"kind", "created", "epoch", "rotate_every_days"} == (
                {"expires", "signed_with"} if cloud.key == "azure" else set()
            )
        assert_no_secret(result.outputs, sandbox, cloud, *holdings)

    assert works(sandbox, cloud, holdings[2])
    assert works(sandbox, cloud, holdings[1]), "a worker that began with it goes on"
    if cloud.key != "azure":  # of which Azure's clock decides
        assert not works(sandbox, cloud, holdings[0])


@pytest.mark.parametrize("key", ["s3", "gcs"])
def test_rotation_is_switched_on_and_off_for_what_is_there(sandbox: Sandbox, program: Make, key: str) -> None:
    cloud = CLOUDS[key]  # type: ignore[index]  # one of its keys
    deploy(sandbox, program(rotating(cloud, None)))
    before = held(sandbox)
    number = epochs.epoch(epochs.today(), days=90)
    both = generation(cloud, "create", number) | generation(cloud, "create", number - 1)

    assert changed(deploy(sandbox, program(rotating(cloud, 90)))) == both | generation(cloud, "delete", None) | PROVED
    assert not works(sandbox, cloud, before)
    assert works(sandbox, cloud, held(sandbox))

    gone = {("delete", type_, name) for _, type_, name in both}
    assert changed(deploy(sandbox, program(rotating(cloud, None)))) == gone | generation(cloud, "create", None) | PROVED


def test_a_renewal_can_be_forced(sandbox: Sandbox, program: Make, cloud: Cloud) -> None:
    datasets = rotating(cloud, 90)
    number = epochs.epoch(epochs.today(), days=90)
    deploy(sandbox, program(datasets))
    holdings = [held(sandbox)]
    for forced in (1, 2):
        run = program(datasets, **{"lightly-infra:rotation": str(forced)})

        result = deploy(sandbox, run)

        moved = generation(cloud, "create", number + forced) | generation(cloud, "delete", number + forced - 2)
        assert changed(result) == moved | PROVED
        assert changed(sandbox.up(run)) == set()
        holdings.append(held(sandbox))
        assert works(sandbox, cloud, holdings[-1])
        assert works(sandbox, cloud, holdings[-2])
        told = result.outputs["credentials"]["street-scenes"]["input"]
        assert told["epoch"] == number + forced
    assert len({json.dumps(it, sort_keys=True) for it in holdings}) == 3, "no credential came back"


def test_when_the_new_credential_is_not_proved_nothing_of_the_old_one_is_deleted(
    sandbox: Sandbox, program: Make
) -> None:
    cloud = CLOUDS["s3"]
    deploy(sandbox, program(rotating(cloud, 90)))
    before = held(sandbox)
    forced = program(rotating(cloud, 90), **{"lightly-infra:rotation": "2"})  # none of the two stays

    sandbox.lightly.fail_next("GET", "verify$", 500)
    failed = sandbox.up(forced)
    sandbox.lightly.deny_verifies(0)

    assert failed.failures
    assert "delete" not in {it.operation.value for it in failed.changes}
    assert works(sandbox, cloud, before)

    deploy(sandbox, forced)
    assert not works(sandbox, cloud, before)


# -- external ids


def roles_take(sandbox: Sandbox) -> list[int]:
    """How many external ids each of our roles takes."""
    roles = [it for it in sandbox.aws.client("iam").list_roles()["Roles"] if "lightly" in it["RoleName"]]
    taken: list[int] = []
    for role in roles:
        document: Any = role["AssumeRolePolicyDocument"]
        (statement,) = document["Statement"]
        ids = statement["Condition"]["StringEquals"]["sts:ExternalId"]
        taken.append(len(ids) if isinstance(ids, list) else 1)
    return taken


def test_external_ids_are_renewed_when_asked_the_role_first_and_then_lightly(
    sandbox: Sandbox, program: Make, street_scenes: Datasets
) -> None:
    cloud = CLOUDS["s3"]
    deploy(sandbox, program(street_scenes))
    holdings = [held(sandbox)]
    assert roles_take(sandbox) == [1, 1]
    for rotation in (1, 2):
        run = program(street_scenes, **{"lightly-infra:external_id_rotation": str(rotation)})

        result = deploy(sandbox, run)  # the report's proof tries a wrong id, and none

        minted = {("create", "RandomPassword", f"{NAME.format(end)}-{rotation}") for end in ENDS}
        roles = {("update", "Role", NAME.format(end)) for end in ENDS}
        gone = {("delete", "RandomPassword", NAME.format(end)) for end in ENDS} if rotation == 2 else set()
        assert changed(result) == minted | roles | gone | PROVED
        order = [(it.type.rsplit(":", 1)[-1], it.name) for it in result.changes]
        for end in ENDS:
            role, source = ("Role", NAME.format(end)), ("Datasource", f"street-scenes-{end}")
            assert order.index(role) < order.index(source)
        assert roles_take(sandbox) == [2, 2]
        holdings.append(held(sandbox))
        assert works(sandbox, cloud, holdings[-1])
        assert works(sandbox, cloud, holdings[-2])
        assert changed(sandbox.up(run)) == set()
        known = {"kind": "role", "epoch": rotation}
        assert result.outputs["credentials"] == {"street-scenes": {"input": known, "lightly": known}}
    assert not any(
        it.outcome == "allowed" for it in sandbox.aws.probe(holdings[0]["INPUT"], []) if it.target == INSIDE
    ), "the first one is taken no more"


def test_given_external_ids_are_renewed_through_the_config_alone(
    sandbox: Sandbox, program: Make, street_scenes: Datasets
) -> None:
    def given(external_id: str, previous: str | None = None) -> Program:
        for end in ENDS:
            access = {"kind": "delegated", "external_id": external_id}
            street_scenes["street-scenes"][end]["s3"]["access"] = access | (
                {"previous_external_id": previous} if previous else {}
            )
        return program(street_scenes)

    deploy(sandbox, given("canary-external-id-1"))
    before = held(sandbox)
    roles = {("update", "Role", NAME.format(end)) for end in ENDS}

    assert changed(deploy(sandbox, given("canary-external-id-2", "canary-external-id-1"))) == roles | PROVED
    assert works(sandbox, CLOUDS["s3"], before)
    assert roles_take(sandbox) == [2, 2]

    assert changed(deploy(sandbox, given("canary-external-id-2"))) == roles
    assert roles_take(sandbox) == [1, 1]


# -- what is brought


def test_keys_of_ones_own_are_used_and_renewed_and_only_the_datasource_changes(
    sandbox: Sandbox, program: Make, street_scenes: Datasets
) -> None:
    iam = sandbox.aws.client("iam")
    iam.create_user(UserName="ours")

    def with_new_key() -> Program:
        key = iam.create_access_key(UserName="ours")["AccessKey"]
        street_scenes["street-scenes"]["input"]["s3"]["access"] = {
            "kind": "keys",
            "access_key_id": key["AccessKeyId"],
            "secret_access_key": key["SecretAccessKey"],
        }
        return program(street_scenes)

    result = deploy(sandbox, with_new_key())
    assert not {it for it in changed(result) if it[2] == NAME.format("input")}, "nothing is made for it"
    assert result.outputs["credentials"]["street-scenes"]["input"] == {"kind": "access key"}
    first = held(sandbox)

    again = deploy(sandbox, with_new_key())
    assert changed(again) == {
        ("update", "Datasource", "street-scenes-input"),
        ("update", "Verification", "street-scenes"),
    }
    assert_no_secret(again.outputs, sandbox, CLOUDS["s3"], first, held(sandbox))
    sandbox.destroy(program(street_scenes))
    assert len(iam.list_access_keys(UserName="ours")["AccessKeyMetadata"]) == 2


def test_a_user_of_ones_own_gets_a_key_and_a_policy_and_stays(
    sandbox: Sandbox, program: Make, street_scenes: Datasets
) -> None:
    access = {"kind": "keys", "user": "ours"}
    for end in ENDS:
        street_scenes["street-scenes"][end]["s3"]["access"] = access
    iam = sandbox.aws.client("iam")
    iam.create_user(UserName="ours", Path="/people/")
    theirs = iam.create_policy(
        PolicyName="theirs",
        PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iam:GetUser", "Resource": "*"}]}
        ),
    )["Policy"]["Arn"]
    iam.attach_user_policy(UserName="ours", PolicyArn=theirs)

    result = deploy(sandbox, program(street_scenes))

    made = {it for it in changed(result) if it[1] in {"User", "AccessKey", "UserPolicy"}}
    assert made == {("create", it, NAME.format(end)) for it in ("AccessKey", "UserPolicy") for end in ENDS}
    assert result.outputs["datasets"]["street-scenes"]["input"]["user_arn"].endswith(":user/people/ours")
    assert set(result.outputs["credentials"]["street-scenes"]["input"]) == {"kind", "created"}

    assert not sandbox.destroy(program(street_scenes)).failures
    assert iam.list_access_keys(UserName="ours")["AccessKeyMetadata"] == []
    assert iam.list_user_policies(UserName="ours")["PolicyNames"] == []
    assert [it["PolicyArn"] for it in iam.list_attached_user_policies(UserName="ours")["AttachedPolicies"]] == [theirs]


def test_a_user_that_is_not_there_shows_in_a_preview(
    sandbox: Sandbox, program: Make, street_scenes: Datasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lightly_infra.sandbox.aws import seed

    monkeypatch.setattr(seed, "_users", lambda *_: None)
    street_scenes["street-scenes"]["input"]["s3"]["access"] = {"kind": "keys", "user": "nobody"}

    failures = sandbox.preview(program(street_scenes)).failures

    assert any("nobody" in it.message for it in failures), failures


def test_a_sas_of_ones_own_is_warned_of_in_time_and_renewing_it_changes_the_datasource_alone(
    engine: EngineName,
) -> None:
    said: list[str] = []
    with Sandbox(
        engine=engine, on_log=lambda severity, text: said.append(text) if severity == "warning" else None
    ) as it:
        try:
            it.put_images("azure://acmedata/raw/")
        except CannotStart as error:
            pytest.skip(str(error))
        it.put_images("azure://acmedata/lightly/")

        def given(days: int) -> Program:
            expires = datetime.now(UTC) + timedelta(days=days, hours=1)

            def run() -> None:
                registration = provider.Dataset("scenes", {"name": "scenes", "type": "Images"})
                sources: list[azure.AzureDatasource] = []
                for purpose, container, letters in (
                    (Purpose.INPUT, "raw", "rl"),
                    (Purpose.LIGHTLY, "lightly", "rcwdl"),
                ):
                    sas = it.azure.mint_sas("acmedata", container, permissions=letters, expires=expires)
                    args: azure.AzureDatasourceArgs = {
                        "purpose": purpose,
                        "account": "acmedata",
                        "container": container,
                        "prefix": "",
                        "access": azure.OwnSas(sas),
                    }
                    sources.append(azure.AzureDatasource(container, args))
                joined: DatasetArgs = {"registration": registration, "input": sources[0], "lightly": sources[1]}
                Dataset("scenes", joined)

            return Program(run, "own", "test", {})

        soon = given(5)
        foreseen = it.preview(soon)
        assert not foreseen.failures, foreseen.failures
        (of_input, of_lightly) = sorted(said)
        assert "scenes.input: the SAS expires in 5 days, on 20" in of_input
        assert "scenes.lightly: the SAS expires in 5 days, on 20" in of_lightly
        assert "sig=" not in of_input
        said.clear()
        assert not it.up(soon).failures
        assert any("scenes.input: the SAS expires in 5 days" in text for text in said)
        said.clear()

        renewed = it.up(given(90))

        assert changed(renewed) == {
            ("update", "Datasource", "scenes-input"),
            ("update", "Datasource", "scenes-lightly"),
            ("update", "Verification", "scenes"),
        }
        assert not said
