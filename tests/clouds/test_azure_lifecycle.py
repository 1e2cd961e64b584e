"""Management policies of storage accounts: of one that is made, and what is read of one of the user's own."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightly_infra.clouds import azure
from lightly_infra.clouds.azure import lifecycle, policy
from lightly_infra.permissions import Purpose
from lightly_infra.retention import Expiry, Rule, RulesUnreadable, problems, remarks
from tests import pulumi_mocks
from tests.pulumi_mocks import RANDOM_SUFFIX, Recording, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOW = datetime(2026, 11, 25, tzinfo=UTC)
POLICY, GET_POLICY = "azure-native:storage:ManagementPolicy", "azure-native:storage:getManagementPolicy"
ACCOUNT, SOFT_DELETE = "azure-native:storage:StorageAccount", "azure-native:storage:BlobServiceProperties"
MODIFIED, CREATED = "daysAfterModificationGreaterThan", "daysAfterCreationGreaterThan"
ACCESSED = "daysAfterLastAccessTimeGreaterThan"

prefixes = st.lists(st.sampled_from(["raw", "raw-1", "日本", "a b"]), max_size=3).map(
    lambda parts: "".join(f"{it}/" for it in parts)
)
containers = st.sampled_from(["raw", "raw-1", "lightly"])


def told(actions: Mapping[str, Any], name: str = "theirs", *, enabled: bool = True, **filters: Any) -> dict[str, Any]:
    """A rule as azure-native tells it."""
    definition = {"actions": dict(actions), "filters": {"blobTypes": ["blockBlob"], **filters}}
    return {"name": name, "type": "Lifecycle", "enabled": enabled, "definition": definition}


def base(days: float, since: str = MODIFIED) -> dict[str, Any]:
    return {"baseBlob": {"delete": {since: days}}}


# -- written


def made(expiries: Mapping[str, Sequence[Expiry]]) -> Recording:
    return run(lambda: azure.Account("data", {"resource_group": "acme-rg", "expiries": expiries}))


def test_all_expiries_of_an_account_are_rules_of_its_one_policy() -> None:
    recording = made({"raw": [Expiry("videos/", 90), Expiry("images", 30)], "more": [Expiry("", 45)]})
    document = recording.one(POLICY)
    assert {key: value for key, value in document.inputs.items() if key != "policy"} == {
        "accountName": f"data{RANDOM_SUFFIX}",
        "resourceGroupName": "acme-rg",
        "managementPolicyName": "default",
    }
    rules = document.inputs["policy"]["rules"]
    assert rules[1] == {
        "name": "raw-expire-images-2dc6d307",
        "type": "Lifecycle",
        "enabled": True,
        "definition": {
            "filters": {"blobTypes": ["blockBlob"], "prefixMatch": ["raw/images/"]},
            "actions": {"baseBlob": {"delete": {"daysAfterModificationGreaterThan": 30}}},
        },
    }
    assert [it["definition"]["filters"]["prefixMatch"] for it in rules] == [["more/"], ["raw/images/"], ["raw/videos/"]]


def test_the_order_in_which_containers_are_named_changes_nothing() -> None:
    one, other = {"raw": [Expiry("a/", 30)], "more": [Expiry("", 45)]}, {"more": [Expiry("", 45)]}
    assert policy.lifecycle(one) == policy.lifecycle(other | {"raw": [Expiry("a/", 30)]})


def test_the_policy_goes_with_the_account_and_is_there_before_anything_can_be_put_into_it() -> None:
    def program() -> None:
        account = azure.Account("data", {"resource_group": "acme-rg", "expiries": {"raw": [Expiry("", 30)]}})
        azure.Container("raw", {"account": account})

    recording = run(program)
    document = recording.one(POLICY)
    assert document.deleted_with == recording.one(ACCOUNT).urn
    assert not document.retain_on_delete
    assert document.parent == recording.one("lightly-infra:azure:Account").urn
    assert document.urn in recording.waits_for(recording.one("BlobContainer"))


@pytest.mark.parametrize("expiries", [{}, {"raw": []}])
def test_without_an_expiry_there_is_no_policy(expiries: Mapping[str, Sequence[Expiry]]) -> None:
    assert {it.type for it in made(expiries).custom} == {ACCOUNT, SOFT_DELETE}


@given(containers, prefixes)
def test_a_rules_name_is_one_that_azure_takes(container: str, prefix: str) -> None:
    (rule,) = policy.lifecycle({container: [Expiry(prefix, 30)]})
    assert re.fullmatch(r"[A-Za-z0-9-]{1,256}", rule["name"])


@given(st.sets(st.tuples(containers, prefixes), min_size=2))
def test_no_two_rules_share_a_name(wanted: set[tuple[str, str]]) -> None:
    expiries = {name: [Expiry(prefix, 30) for of, prefix in wanted if of == name] for name, _ in wanted}
    names = [it["name"] for it in policy.lifecycle(expiries)]
    assert len(set(names)) == len(names) == len(wanted)


@pytest.mark.parametrize(
    ("expiries", "said"),
    [
        ({"Raw": [Expiry("", 30)]}, "data: expiries: 'Raw' is no container's name"),
        ({"raw": [Expiry("a/", 29)]}, "data: expiries: container 'raw': 'a/': 29 days are too short"),
        ({"raw": [Expiry("", 30), Expiry("a/", 60)]}, "data: expiries: container 'raw': what lies under 'a/' would go"),
        (
            {"raw": [Expiry(f"{number}/", 30) for number in range(101)]},
            "data: expiries: 101 directories that expire; an account has room for 100",
        ),
    ],
)
def test_expiries_that_cannot_be_are_refused_before_anything_is_made(
    expiries: Mapping[str, Sequence[Expiry]], said: str
) -> None:
    def program() -> None:
        with pytest.raises(ValueError, match=re.escape(said)):
            azure.Account("data", {"resource_group": "acme-rg", "expiries": expiries})

    assert run(program).custom == []


def datasource(purpose: Purpose, prefix: str, container: pulumi.Input[str] | None = None) -> Recording:
    """In an account whose container `raw` deletes what lies under `raw/`."""

    def program() -> None:
        expiries = {"raw": [Expiry("raw/", 30)]}
        account = azure.Account("data", {"resource_group": "acme-rg", "expiries": expiries})
        of_container: azure.ContainerArgs = {"account": account}
        if container is not None:
            of_container["container"] = container
        azure.AzureDatasource(
            "lightly",
            {
                "purpose": purpose,
                "container": azure.Container("raw", of_container),
                "prefix": prefix,
                "access": azure.ServiceSas(),
                "container_wide": bool(prefix),
            },
        )

    return run(program)


@pytest.mark.parametrize("purpose", [Purpose.LIGHTLY, Purpose.INPUT_OUTPUT])
@pytest.mark.parametrize("prefix", ["raw/", "raw/lightly/", ""])
@pytest.mark.parametrize("later", [False, True])
def test_lightly_does_not_write_where_something_expires(purpose: Purpose, prefix: str, *, later: bool) -> None:
    # Without a name the container is called like its component.
    container = pulumi.Output.from_input("raw") if later else None
    said = "lightly: the bucket deletes what lies under 'raw/' after 30 days, and Lightly needs what it has written"
    with pytest.raises(ValueError, match=said):
        datasource(purpose, prefix, container)


def test_lightly_writes_beside_what_expires_and_an_input_may_expire() -> None:
    assert datasource(Purpose.LIGHTLY, "raw-1/").of("BlobContainer")
    assert datasource(Purpose.LIGHTLY, "raw/", "other").of("BlobContainer")
    assert datasource(Purpose.INPUT, "raw/").of("BlobContainer")


# -- read


def camel(value: Any) -> Any:
    """As the SDK renames the inputs of a program."""
    if isinstance(value, dict):
        return {re.sub(r"_(\w)", lambda it: it[1].upper(), key): camel(inner) for key, inner in value.items()}
    return [camel(it) for it in value] if isinstance(value, list) else value


@given(st.dictionaries(containers, st.tuples(prefixes, st.integers(30, 3650)), min_size=1))
def test_what_is_written_is_read_again_for_its_own_container(wanted: dict[str, tuple[str, int]]) -> None:
    found = camel(policy.lifecycle({name: [Expiry(*expiry)] for name, expiry in wanted.items()}))
    for container in ("raw", "raw-1", "lightly"):
        read = [(it.prefix, it.days, it.partly, it.old_versions_days) for it in policy.rules(found, container)]
        assert read == ([(*wanted[container], False, None)] if container in wanted else [])


@pytest.mark.parametrize("filters", [{}, {"prefixMatch": []}, {"prefixMatch": None}])
def test_a_rule_without_prefixes_is_about_everything_in_the_account(filters: dict[str, Any]) -> None:
    assert policy.rules([told(base(20), **filters)], "raw") == [Rule("theirs", "", 20)]


def test_a_rule_need_not_have_filters_nor_say_that_it_is_enabled() -> None:
    rule = {"name": "theirs", "type": "Lifecycle", "definition": {"actions": base(20)}}
    assert policy.rules([rule], "raw") == [Rule("theirs", "", 20)]


@pytest.mark.parametrize(
    ("prefix", "inside"),
    [
        ("raw/", ""),
        ("raw/images", "images"),
        ("raw", ""),
        ("ra", ""),
        ("raw-1/", None),
        ("raw-", None),
        ("ra/", None),
        ("lightly/raw/", None),
    ],
)
def test_prefixes_begin_with_a_container_or_the_beginning_of_its_name(prefix: str, inside: str | None) -> None:
    expected = [] if inside is None else [Rule("theirs", inside, 20)]
    assert policy.rules([told(base(20), prefixMatch=[prefix])], "raw") == expected


def test_each_prefix_of_a_rule_counts_by_itself() -> None:
    rule = told(base(20), prefixMatch=["raw/a/", "other/", "raw/b/"])
    assert policy.rules([rule], "raw") == [Rule("theirs", "a/", 20), Rule("theirs", "b/", 20)]


@pytest.mark.parametrize("since", [MODIFIED, CREATED])
def test_days_are_counted_from_when_a_blob_was_modified_or_made(since: str) -> None:
    # The SDK tells numbers as floats.
    assert policy.rules([told(base(20.0, since))], "raw") == [Rule("theirs", "", 20)]


@pytest.mark.parametrize(
    "rule",
    [
        told(base(20, ACCESSED)),
        told(base(20), blobIndexMatch=[{"name": "team", "op": "==", "value": "vision"}]),
        told(base(20), blobTypes=["appendBlob"]),
    ],
)
def test_what_is_not_about_all_blobs_is_a_rule_for_some(rule: dict[str, Any]) -> None:
    assert policy.rules([rule], "raw") == [Rule("theirs", "", 20, partly=True)]


@pytest.mark.parametrize("types", [["BlockBlob"], ["appendBlob", "blockBlob"]])
def test_a_rule_for_block_blobs_is_about_all_that_lightly_uses(types: list[str]) -> None:
    assert policy.rules([told(base(20), blobTypes=types)], "raw") == [Rule("theirs", "", 20)]


def test_rules_for_versions_and_snapshots_are_remarked_and_are_no_problem() -> None:
    found = policy.rules([told({"version": {"delete": {CREATED: 20}}, "snapshot": {"delete": {CREATED: 10}}})], "raw")
    assert found == [Rule("theirs", "", old_versions_days=10)]
    assert problems(found, Purpose.LIGHTLY, "lightly/", NOW) == []
    assert len(remarks(found, "lightly/")) == 1


def test_a_rule_may_delete_both_current_and_former_versions() -> None:
    actions = base(40) | {"version": {"delete": {CREATED: 20}}}
    assert policy.rules([told(actions)], "raw") == [Rule("theirs", "", 40, old_versions_days=20)]


@pytest.mark.parametrize(
    "rule",
    [
        told(base(20), enabled=False),
        told({"baseBlob": {"tierToCool": {MODIFIED: 20}}}),
        told({"baseBlob": {"delete": None}, "snapshot": None}),
    ],
)
def test_what_deletes_nothing_is_left_out(rule: dict[str, Any]) -> None:
    assert policy.rules([rule], "raw") == []


def read(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], *refused: str) -> tuple[Sequence[Rule], Recording]:
    """What is read where Azure gives this answer, or refuses."""
    monkeypatch.setitem(
        pulumi_mocks.LOOKED_UP,
        GET_POLICY,
        lambda _: (answer, [("", it) for it in refused]),
    )
    found: list[Rule] = []

    async def ask() -> None:
        found.extend(await lifecycle.read("acmedata", "raw", "acme-rg"))

    return found, run(lambda: pulumi.export("asked", pulumi.Output.from_input(ask())))


def test_the_stacks_own_provider_is_asked_for_the_accounts_one_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [told(base(20), prefixMatch=["raw/a/"]), told(base(5), prefixMatch=["other/"])]
    found, recording = read(monkeypatch, {"policy": {"rules": rules}})
    assert found == [Rule("theirs", "a/", 20)]
    assert recording.calls == [
        (
            GET_POLICY,
            {"accountName": "acmedata", "resourceGroupName": "acme-rg", "managementPolicyName": "default"},
        )
    ]


def test_an_account_without_a_policy_has_no_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    said = 'Status=404 Code="ManagementPolicyNotFound" Message="No ManagementPolicy found for account acmedata"'
    assert read(monkeypatch, {}, said)[0] == []
    assert read(monkeypatch, {"policy": {"rules": []}})[0] == []


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (
            'Status=403 Code="AuthorizationFailed" Message="The client does not have authorization"',
            "allow Microsoft.Storage/storageAccounts/managementPolicies/read on the storage account to whoever runs",
        ),
        (
            "The Resource 'Microsoft.Storage/storageAccounts/acmedata' under resource group 'acme-rg' was not found.",
            "the resource group holds no such storage account: look at account and resource_group",
        ),
        ('Status=404 Code="ResourceGroupNotFound" Message="x"', "there is no such resource group in this subscription"),
        ("Please run 'az login' to setup account.", "run `az login`"),
        ("Status=500\nInternal", "look whether whoever runs this has Microsoft.Storage/storageAccounts/management"),
    ],
)
def test_why_it_cannot_be_read_is_said_in_one_line_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, words: str, remedy: str
) -> None:
    with pytest.raises(RulesUnreadable) as unread:
        read(monkeypatch, {}, words)
    said = str(unread.value)
    assert said.startswith("could not read the management policy of storage account 'acmedata': ")
    assert words.splitlines()[0].rstrip(".") in said
    assert remedy in said
    assert "\n" not in said
    assert unread.value.__context__ is None, "a traceback would show what is not redacted"


def test_nothing_secret_is_repeated_of_what_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RulesUnreadable) as unread:
        read(monkeypatch, {}, "Get https://acmedata.blob.core.windows.net/raw?sv=2026&sig=canary-signature: timeout")
    assert "canary" not in str(unread.value)
