"""What a SAS for Lightly grants, and what Azure allows in names: pure functions.

What is granted follows from `lightly_infra.permissions`; this module only spells it in Azure's words.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC
from typing import TYPE_CHECKING, Final

from lightly_infra import paths
from lightly_infra.permissions import GRANTED, Operation

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from lightly_infra.permissions import Purpose

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

MARKER: Final = ".keep"
"""The empty blob that makes a directory exist. Azure advises against names that end with a slash, and where there are
real directories (hierarchical namespace) such a name is none; Lightly takes no file of this kind for an image."""

_AUTONAMED_CHARACTERS: Final = 8  # azure-native appends as many random ones to a name that it makes up
_MAX_ACCOUNT: Final = 24


def permissions(purpose: Purpose) -> str:
    """The letters of a SAS for `purpose`: `rl` or `rcwdl`."""
    return "".join(letter for operation, letter in LETTERS.items() if operation in GRANTED[purpose])


def canonical_resource(account: str, container: str, directory: str = "") -> str:
    """The container, or the one directory in it (a normalised prefix), as a SAS is signed for it."""
    return f"/blob/{account}/{container}/{directory}".rstrip("/")


def time_text(moment: datetime) -> str:
    """A moment as a SAS has it: UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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
        "expires": time_text(expires),
        "protocol": "https",
        "signed_with": signed_with,
    }
    return json.dumps(grants, separators=(",", ":"))


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
