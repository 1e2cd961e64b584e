"""What a SAS for Lightly grants, and what Azure allows in names: pure functions.

What is granted follows from `lightly_infra.permissions`; this module only spells it in Azure's words.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Final

from lightly_infra import epochs, paths, retention
from lightly_infra.located import located
from lightly_infra.permissions import GRANTED, Operation
from lightly_infra.retention import Rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from lightly_infra.permissions import Purpose
    from lightly_infra.retention import Expiry

# In the order in which Azure wants the letters ("Create a service SAS", permissions for a container or directory).
LETTERS: Final[Mapping[Operation, str]] = {
    Operation.READ: "r",
    Operation.WRITE: "c",  # a blob that was not there
    Operation.OVERWRITE: "w",
    Operation.DELETE: "d",
    Operation.LIST: "l",
}

# "Naming rules and restrictions for Azure resources": Microsoft.Storage, Microsoft.Resources.
_ACCOUNT: Final = re.compile(r"[a-z0-9]{3,24}")
_CONTAINER: Final = re.compile(r"[a-z0-9](-?[a-z0-9])*")
_RESOURCE_GROUP: Final = re.compile(r"[-\w.()]{1,90}")
_MIN_CONTAINER: Final = 3
_MAX_CONTAINER: Final = 63

# "Naming and referencing containers, blobs, and metadata".
MAX_BLOB_CHARACTERS: Final = 1024
MAX_BLOB_SEGMENTS: Final = 254

MAX_RULES: Final = 100
"""Of an account's management policy ("Lifecycle management policies")."""

MARKER: Final = ".keep"
"""The empty blob that makes a directory exist. Azure advises against names that end with a slash, and where there are
real directories (hierarchical namespace) such a name is none; Lightly takes no file of this kind for an image."""

_BLOCK_BLOB: Final = "blockBlob"
_AUTONAMED_CHARACTERS: Final = 8  # azure-native appends as many random ones to a name that it makes up
_MAX_ACCOUNT: Final = 24


def permissions(purpose: Purpose) -> str:
    """The letters of a SAS for `purpose`: `rl` or `rcwdl`."""
    return "".join(letter for operation, letter in LETTERS.items() if operation in GRANTED[purpose])


def canonical_resource(account: str, container: str, directory: str = "") -> str:
    """The container, or the one directory in it (a normalised prefix), as a SAS is signed for it."""
    return f"/blob/{account}/{container}/{directory}".rstrip("/")


def granted(*, purpose: Purpose, resource: str, expires: datetime, signed_with: str) -> str:
    """What a SAS grants, as JSON without its signature: equal grants are equal strings.

    Args:
        purpose: decides the permissions.
        resource: see `canonical_resource`.
        expires: when the SAS does.
        signed_with: `key1`, `key2`, or who signed it.
    """
    grants = {
        "permissions": permissions(purpose),
        "resource": resource,
        "expires": epochs.text(expires),
        "protocol": "https",
        "signed_with": signed_with,
    }
    return json.dumps(grants, separators=(",", ":"))


# -- when blobs go


def check_expiries(expiries: Mapping[str, Iterable[Expiry]]) -> dict[str, list[Expiry]]:
    """The expiries of an account by container, when they go together (`retention.check_expiries`).

    Raises:
        ValueError: they do not, or a name is no container's; the message names the container.
    """
    checked = {}
    for container, inside in expiries.items():
        check_container(container)
        with located(f"container {container!r}"):
            checked[container] = retention.check_expiries(inside)
    return checked


def lifecycle(expiries: Mapping[str, Iterable[Expiry]]) -> list[dict[str, Any]]:
    """The rules of the management policy of an account that is made, as azure-native takes them: none, or all of them.

    Azure counts from when a blob was last modified. Current versions go: with versioning they become former ones.

    Args:
        expiries: as `check_expiries` gives them.

    Raises:
        ValueError: they are more than Azure has room for.
    """
    made = [
        {
            "name": f"{container}-{it.rule_id}",
            "type": "Lifecycle",
            "enabled": True,
            "definition": {
                "filters": {"blob_types": [_BLOCK_BLOB], "prefix_match": [f"{container}/{it.prefix}"]},
                "actions": {"base_blob": {"delete": {"days_after_modification_greater_than": it.days}}},
            },
        }
        for container, inside in sorted(expiries.items())
        for it in inside
    ]
    if len(made) > MAX_RULES:
        raise ValueError(
            f"{len(made)} directories that expire; an account has room for {MAX_RULES}: let a directory around them "
            "expire, or use another account"
        )
    return made


def rules(found: Iterable[Mapping[str, Any]], container: str) -> list[Rule]:
    """What deletes blobs of a container, of an account's rules as azure-native's `getManagementPolicy` tells them.

    A blob that goes after "greater than 30" days is kept for 30 days at least, which is what a `Rule` says.

    Args:
        found: the rules of the account.
        container: which one; rules for others are left out.
    """
    return [
        it
        for rule in found
        if rule.get("enabled") is not False  # not said is enabled
        for it in _rules(rule["name"], rule["definition"], container)
    ]


def _rules(name: str, definition: Mapping[str, Any], container: str) -> Iterator[Rule]:
    """One for each prefix that blobs of the container may have."""
    filters, actions = definition.get("filters") or {}, definition.get("actions") or {}
    current = _days(actions, "baseBlob")
    former = [*_days(actions, "version").values(), *_days(actions, "snapshot").values()]
    if not current and not former:
        return
    # What Lightly reads and writes are block blobs.
    other_blobs = _BLOCK_BLOB.lower() not in [it.lower() for it in filters.get("blobTypes") or [_BLOCK_BLOB]]
    partly = other_blobs or bool(filters.get("blobIndexMatch")) or "daysAfterLastAccessTimeGreaterThan" in current
    for prefix in filters.get("prefixMatch") or [""]:
        named, slash, inside = prefix.partition("/")
        # Without a slash it is what names of containers begin with.
        if named == container if slash else container.startswith(named):
            yield Rule(
                name,
                inside,
                days=min(current.values(), default=None),
                old_versions_days=min(former, default=None),
                partly=partly,
            )


def _days(actions: Mapping[str, Any], kind: str) -> dict[str, int]:
    """After how many days it is deleted, by what is counted from."""
    delete = (actions.get(kind) or {}).get("delete") or {}
    return {key: int(value) for key, value in delete.items() if key.startswith("daysAfter") and value is not None}


# -- names


def check_account(name: str) -> str:
    """The storage account's name itself, when Azure allows it.

    Raises:
        ValueError: it does not.
    """
    if not _ACCOUNT.fullmatch(name):
        raise ValueError(f"{name!r} is no storage account's name: 3 to 24 lower-case letters and digits, no hyphens")
    return name


def check_container(name: str) -> str:
    """The container's name itself, when Azure allows it and it is no container of Azure's own.

    Raises:
        ValueError: it does not.
    """
    if name.startswith("$"):
        raise ValueError(f"{name!r} is one of Azure's own containers; name an ordinary one")
    if not _MIN_CONTAINER <= len(name) <= _MAX_CONTAINER or not _CONTAINER.fullmatch(name):
        raise ValueError(
            f"{name!r} is no container's name: 3 to 63 lower-case letters, digits and single hyphens, with a letter or "
            "digit at both ends"
        )
    return name


def check_resource_group(name: str) -> str:
    """The resource group's name itself, when Azure allows it.

    Raises:
        ValueError: it does not.
    """
    if not _RESOURCE_GROUP.fullmatch(name) or name.endswith("."):
        raise ValueError(
            f"{name!r} is no resource group's name: 1 to 90 letters, digits, hyphens, underscores, parentheses and "
            "periods, with no period at the end"
        )
    return name


def check_prefix(prefix: str, *, made: bool) -> str:
    """The normalised prefix itself, when blobs can lie under it.

    Args:
        prefix: normalised (`lightly_infra.paths`).
        made: whether the directory is made here.

    Raises:
        ValueError: Azure could not hold blobs there.
    """
    room = MAX_BLOB_CHARACTERS - len(MARKER)
    if len(prefix) > room:
        raise ValueError(f"the prefix has {len(prefix)} characters; Azure has room for {room} before a blob's own name")
    parts = prefix.split("/")
    if len(parts) > MAX_BLOB_SEGMENTS:
        raise ValueError(f"the prefix lies {len(parts) - 1} deep; Azure allows {MAX_BLOB_SEGMENTS - 1} directories")
    if dotted := next((part for part in parts if part.endswith(".")), None):
        raise ValueError(
            f"{prefix!r}: the directory {dotted!r} ends with a dot, which Azure removes; name it otherwise"
        )
    if made and (odd := re.search(r"[%#]", prefix)):
        # azure-native puts the name into the blob's URL as it is (its customresources/custom_storage).
        raise ValueError(f"{prefix!r} holds {odd.group()!r}, which means something else in a blob's URL; leave it out")
    return prefix


def check_reach(prefix: str, *, directory_sas: bool, container_wide: bool) -> None:
    """Refuses a prefix that the SAS would not be limited to, unless that was said to be fine.

    Raises:
        ValueError: the message names the ways out.
    """
    if directory_sas and not prefix:
        raise ValueError("directory_sas is for a directory, and the prefix is the whole container; remove one of them")
    if directory_sas and container_wide:
        raise ValueError("container_wide: a directory's SAS does not reach the whole container; remove one of the two")
    if prefix and not directory_sas and not container_wide:
        raise ValueError(
            f"prefix: the SAS of a container reaches all of it, not only {prefix!r}. Three ways out: give the data a "
            "container of its own and write prefix: '' (safest); or accept it with container_wide: true; or, on an "
            "account with hierarchical namespace, limit the SAS to the directory with directory_sas: true"
        )


def derived_account_name(name: str) -> str:
    """A logical name for a storage account, made so that it meets Azure's rules with Pulumi's random suffix.

    At most 16 lower-case letters and digits. A name that has to change ends in six digits of its hash, so that other
    names do not become the same.
    """
    room = _MAX_ACCOUNT - _AUTONAMED_CHARACTERS
    if len(name) <= room and re.fullmatch(r"[a-z0-9]+", name):
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:6]
    return re.sub(r"[^a-z0-9]", "", name.lower())[: room - len(digest)] + digest


def derived_container_name(name: str) -> str:
    """A container's name from a logical one: always one that Azure allows.

    Containers get no random suffix: they lie in an account whose name has one, or in one of the user's, where a
    container of the same name must not be taken over (azure-native refuses to).
    """
    slug = paths.slug(name, limit=_MAX_CONTAINER)
    return slug if len(slug) >= _MIN_CONTAINER else f"lightly-{slug}".rstrip("-")
