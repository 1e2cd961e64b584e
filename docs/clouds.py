"""What the pages of the clouds take from the code that grants: tables of permissions, documents and commands."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from lightly_infra import epochs
from lightly_infra.clouds.aws import policy as aws
from lightly_infra.clouds.azure import failures as azure_failures
from lightly_infra.clouds.azure import policy as azure
from lightly_infra.clouds.gcp import failures as gcp_failures
from lightly_infra.clouds.gcp import policy as gcp
from lightly_infra.clouds.obs import errors as obs_errors
from lightly_infra.clouds.obs import policy as obs
from lightly_infra.component import TAKE_OVER
from lightly_infra.permissions import GRANTED, REASONS, Operation, Purpose
from lightly_infra.spec.azure import AzureSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

PURPOSES: Final = (Purpose.INPUT, Purpose.LIGHTLY)
OBJECTS: Final = tuple(it for it in Operation if it is not Operation.LIST)

BUCKET: Final = "acme-raw"
PREFIXES: Final = {Purpose.INPUT: "street-scenes/", Purpose.LIGHTLY: "lightly/"}
PROJECT: Final = "acme-vision"
OBS_USER: Final = "arn:aws:iam::DOMAIN_ID:user/USER_ID"


# -- Markdown


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    columns = list(head)
    return "\n".join(f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *rows))


def document(value: Any, *, language: str = "json") -> str:
    """A document to paste."""
    text = value if isinstance(value, str) else json.dumps(value, indent=2)
    return f"```{language}\n{text}\n```"


def commands(*lines: Iterable[str]) -> str:
    """Commands to paste, each given by its parts, which stand on lines of their own."""
    return document("\n".join(" \\\n  ".join(parts) for parts in lines), language="sh")


# -- every cloud


def permissions() -> str:
    """`permissions.GRANTED` as a table."""
    rows = (
        (purpose.capitalize(), *("yes" if each in GRANTED[purpose] else "no" for each in Operation))
        for purpose in PURPOSES
    )
    return table(("datasource", *Operation), rows)


def reasons(in_the_clouds_words: Callable[[Operation], str], where: Mapping[Operation, str] | None = None) -> str:
    """What Lightly may do, as the cloud calls it, for which datasource, where, and why."""
    rows = []
    for each in Operation:
        purposes = ", ".join(it.capitalize() for it in PURPOSES if each in GRANTED[it])
        limited = (where or {}).get(each)
        rows.append((each.value, in_the_clouds_words(each), purposes, *([limited] if limited else []), REASONS[each]))
    head = ["operation", "permission", "for", *(["where"] if where else []), "because Lightly"]
    return table(head, rows)


def failures(by_pattern: Mapping[str, str], who: str) -> str:
    """What a cloud says when something fails, and what to do then."""
    rows = ((_said(pattern), f"{_remedy(it)}.") for pattern, it in by_pattern.items())
    return table((f"{who} says", "what to do"), rows)


def _remedy(text: str) -> str:
    text = text.replace(TAKE_OVER, "the `pulumi import` that the message shows")
    text = re.sub(r"{(\w+)}", lambda it: it[1].upper(), text)
    return f"{text[:1].upper()}{text[1:]}"


def _said(pattern: str) -> str:
    """What a pattern looks for, for people: the first of several endings, and dots for what differs."""
    named = re.sub(r"\(\?P<\w+>((\[[^]]+\]|[^()\[\]])*)\)", r"\1", pattern)
    text = re.sub(r"\[\^[^]]+\]\+", "…", re.sub(r"\['[^]]+\]\?", "", named))
    text = re.sub(r"\(([^()|]*)\|[^()]*\)", r"\1", text)
    text = re.sub(r"\([^()]*\)\?|.\?", "", text)
    text = re.sub(r"\[\w(\w)\]", r"\1", text)
    text = re.sub(r"\\[SdWw]\+|\.\*", "…", text)
    text = re.sub(r"\\(.)", r"\1", text)
    return ", ".join(f"`{it.strip(' (')}`" for it in text.split("|"))


def _codes(words: Iterable[str]) -> str:
    return ", ".join(f"`{it}`" for it in words)


# -- AWS


def _aws_action(operation: Operation) -> str:
    return f"`{aws.OBJECT_ACTIONS.get(operation, aws.LIST_ACTION)}`"


_ARN: Final = f"arn:aws:s3:::{BUCKET}"
_KEY: Final = "arn:aws:kms:eu-central-1:111122223333:key/0000"


def _aws_policy(purpose: Purpose) -> str:
    return document(aws.access_policy(purpose=purpose, bucket_arn=_ARN, prefix=PREFIXES[purpose]))


# -- Azure

# What the portal calls them ("Create a service SAS": permissions for a container).
_TICKS: Final = {"r": "Read", "a": "Add", "c": "Create", "w": "Write", "d": "Delete", "l": "List"}
_CONTAINERS: Final = {Purpose.INPUT: ("acmedata", "street-scenes"), Purpose.LIGHTLY: ("acmelightly", "lightly")}
_DAY: Final = date(2026, 11, 22)  # any


def _azure_ticks() -> str:
    rows = (
        (it.capitalize(), ", ".join(_TICKS[letter] for letter in azure.permissions(it)), f"`{azure.permissions(it)}`")
        for it in PURPOSES
    )
    return table(("datasource", "permissions to tick", "`--permissions`"), rows)


def _azure_sas() -> str:
    return commands(
        *(
            _sas(f"az storage container generate-sas --account-name {account} --name {container}", purpose)
            for purpose, (account, container) in _CONTAINERS.items()
        )
    )


def _azure_directory_sas() -> str:
    directory = PREFIXES[Purpose.INPUT].rstrip("/")
    command = f"az storage fs directory generate-sas --account-name acmedata --file-system raw --name {directory}"
    return commands(_sas(command, Purpose.INPUT))


def _sas(command: str, purpose: Purpose) -> tuple[str, ...]:
    days = AzureSpec.model_fields["rotate_every_days"].default
    starts, expires = epochs.start(_DAY, days=days), epochs.expiry(_DAY, days=days)
    return (
        command,
        f"--permissions {azure.permissions(purpose)} --https-only --auth-mode key --output tsv",
        f"--start {epochs.text(starts)} --expiry {epochs.text(expires)}",
    )


def _azure_account() -> str:
    fields = AzureSpec.model_fields
    days = fields["soft_delete_days"].default
    account = "--account-name acmelightly --resource-group acme"
    return commands(
        (
            f"az storage account create --name acmelightly --resource-group acme --sku {fields['sku'].default}",
            "--kind StorageV2 --min-tls-version TLS1_2 --https-only true",
            "--allow-blob-public-access false --allow-cross-tenant-replication false --allow-shared-key-access true",
        ),
        (
            f"az storage account blob-service-properties update {account}",
            f"--enable-delete-retention true --delete-retention-days {days}",
            f"--enable-container-delete-retention true --container-delete-retention-days {days}",
        ),
        ("az storage container create --name lightly --account-name acmelightly --auth-mode key --public-access off",),
    )


# -- Google Cloud


_GCS_AGENTS: Final = "gs-project-accounts.iam.gserviceaccount.com"


def _gcp_roles() -> str:
    return commands(
        *(
            (
                f"gcloud iam roles create lightly_{it.lower()} --project={PROJECT} --stage=GA",
                f"--permissions={','.join(gcp.permissions(it))}",
            )
            for it in PURPOSES
        )
    )


def _gcp_condition(purpose: Purpose) -> str:
    return document(gcp.expression(BUCKET, PREFIXES[purpose]).replace(" || ", "\n|| "), language="")


def _gcp_wide_condition() -> str:
    wide = gcp.expression(BUCKET, PREFIXES[Purpose.INPUT], bucket_wide_listing=True)
    return document(wide.replace(" || ", "\n|| "), language="")


def _gcp_kms() -> str:
    # Who uses the key is no user of ours, but Cloud Storage itself.
    rows = [(f"`service-PROJECT_NUMBER@{_GCS_AGENTS}`", f"`{gcp.KMS_ROLE}`")]
    return table(("principal", "role"), rows)


# -- OBS


def _obs_action(operation: Operation) -> str:
    return f"`{obs.OBJECT_ACTIONS.get(operation, obs.LIST_ACTION)}`"


def _obs_policy(purpose: Purpose) -> str:
    statements = obs.grant(
        purpose=purpose,
        bucket=BUCKET,
        prefix=PREFIXES[purpose],
        user=OBS_USER,
        sid=f"Lightly{purpose.title()}",
    )
    return document(obs.document(statements))


BLOCKS: Final[Mapping[str, Callable[[], str]]] = {
    "permissions": permissions,
    "aws permissions": lambda: reasons(
        _aws_action,
        {Operation.LIST: "the bucket, `s3:prefix` under the prefix"}
        | dict.fromkeys(OBJECTS, "objects under the prefix"),
    ),
    "aws input policy": lambda: _aws_policy(Purpose.INPUT),
    "aws lightly policy": lambda: _aws_policy(Purpose.LIGHTLY),
    "aws kms policy": lambda: document(
        aws.access_policy(
            purpose=Purpose.LIGHTLY,
            bucket_arn=_ARN,
            prefix=PREFIXES[Purpose.LIGHTLY],
            kms_key_arn=_KEY,
            allowed_source_ips=["203.0.113.0/24"],
        )
    ),
    "aws trust policy": lambda: document(aws.trust_policy(external_id="(the external id)")),
    "aws session": lambda: (
        f"   {aws.MAX_SESSION_SECONDS // 3600} hours, without which Lightly cannot read the data. Lightly's AWS "
        f"account is `{aws.LIGHTLY_ACCOUNT_ID}`."
    ),
    "aws bucket policy": lambda: document(aws.tls_only_policy(_ARN)),
    "azure permissions": lambda: reasons(lambda it: f"{_TICKS[azure.LETTERS[it]]} (`{azure.LETTERS[it]}`)"),
    "azure account": _azure_account,
    "azure ticks": _azure_ticks,
    "azure sas": _azure_sas,
    "azure directory sas": _azure_directory_sas,
    "azure failures": lambda: failures(azure_failures.FAILURES, "Azure"),
    "gcp permissions": lambda: reasons(
        lambda it: _codes(gcp.PERMISSIONS[it]),
        {Operation.LIST: "the bucket, `objectListPrefix` under the prefix"}
        | dict.fromkeys(OBJECTS, "objects under the prefix"),
    ),
    "gcp roles": _gcp_roles,
    "gcp input condition": lambda: _gcp_condition(Purpose.INPUT),
    "gcp lightly condition": lambda: _gcp_condition(Purpose.LIGHTLY),
    "gcp wide condition": _gcp_wide_condition,
    "gcp kms": _gcp_kms,
    "gcp failures": lambda: failures(gcp_failures.FAILURES, "Google Cloud"),
    "obs permissions": lambda: reasons(
        _obs_action,
        {Operation.LIST: "the bucket, `s3:prefix` under the prefix"}
        | dict.fromkeys(OBJECTS, "objects under the prefix"),
    ),
    "obs input policy": lambda: _obs_policy(Purpose.INPUT),
    "obs lightly policy": lambda: _obs_policy(Purpose.LIGHTLY),
    "obs lifecycle": lambda: document({"Rules": obs.lifecycle()}),
    "obs failures": lambda: failures(obs_errors.REMEDIES, "OBS"),
}
"""By the name that pages call them."""
