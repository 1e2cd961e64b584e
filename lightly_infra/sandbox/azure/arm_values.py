"""The small rules of Azure Resource Manager: names, values and moments, and its words for those it does not take."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

Body: TypeAlias = dict[str, Any]

_GROUP: Final = re.compile(r"[-\w.()]{0,89}[-\w()]")
_ACCOUNT: Final = re.compile(r"[a-z0-9]{3,24}")
_CONTAINER: Final = re.compile(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_KINDS: Final = frozenset({"StorageV2", "BlobStorage", "BlockBlobStorage", "FileStorage", "Storage"})
_PREMIUM: Final = frozenset({"LRS", "ZRS"})
_STANDARD: Final = _PREMIUM | {"GRS", "RAGRS", "GZRS", "RAGZRS"}
_TLS: Final = frozenset({"TLS1_0", "TLS1_1", "TLS1_2", "TLS1_3"})
_DAYS: Final = range(1, 366)  # of soft delete
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,7})?)?(Z|[+-]\d\d:\d\d)?)?")


class ArmError(Exception):
    """What Azure Resource Manager refuses, by its HTTP status, code and message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def invalid(*fields: str) -> ArmError:
    """A request whose fields are there and make no sense."""
    return ArmError(
        400, "InvalidValuesForRequestParameters", f"Values for request parameters are invalid: {', '.join(fields)}."
    )


def check_group_name(name: str) -> None:
    """1 to 90 letters, digits and `-_.()`, no dot at the end."""
    if not _GROUP.fullmatch(name):
        raise ArmError(400, "InvalidResourceGroup", f"The provided resource group name '{name}' is not valid.")


def check_account_name(name: str) -> None:
    """3 to 24 lower-case letters and digits."""
    if not _ACCOUNT.fullmatch(name):
        raise ArmError(
            400,
            "AccountNameInvalid",
            f"{name} is not a valid storage account name. Storage account name must be between 3 and 24 characters in "
            "length and use numbers and lower-case letters only.",
        )


def check_container_name(name: str) -> None:
    """3 to 63 lower-case letters, digits and single hyphens, a letter or a digit at both ends."""
    if not _CONTAINER.fullmatch(name):
        raise ArmError(400, "InvalidResourceName", f"The specified resource name '{name}' contains invalid characters.")


def spelled_location(location: str) -> str:
    """A location as Azure spells it: `West Europe` is `westeurope`."""
    return re.sub(r"\s", "", location).lower()


def location_of(body: Body) -> str:
    """Where something is to be."""
    location = spelled_location(str(body.get("location") or ""))
    if not location:
        raise ArmError(400, "LocationRequired", "The location property is required for this definition.")
    if not location.isalnum():
        raise ArmError(
            400,
            "LocationNotAvailableForResourceType",
            f"The provided location '{location}' is not available for resource type.",
        )
    return location


def check_account(body: Body) -> None:
    """The kind and the SKU are there, and they and the TLS version are ones that Azure has."""
    sku = str((body.get("sku") or {}).get("name"))
    tier, _, redundancy = sku.partition("_")
    tls = (body.get("properties") or {}).get("minimumTlsVersion")
    wrong = {
        "kind": body.get("kind") not in _KINDS,
        "sku": redundancy not in {"Standard": _STANDARD, "Premium": _PREMIUM}.get(tier, ()),
        "minimumTlsVersion": tls is not None and tls not in _TLS,
    }
    if any(wrong.values()):
        raise invalid(*(field for field, is_wrong in wrong.items() if is_wrong))


def check_soft_delete(policy: Body) -> None:
    """1 to 365 days, when it is on."""
    if policy.get("enabled") and policy.get("days") not in _DAYS:
        raise ArmError(
            400,
            "InvalidXmlNodeValue",
            f"The value for one of the XML nodes is not in the correct format: days is {policy.get('days')}, and must "
            "be 1 to 365.",
        )


def moment(value: object) -> str | None:
    """A moment as Azure writes it into a SAS, to seven decimal places; None for what is no moment."""
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        return None
    parsed = parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return f"{parsed:%Y-%m-%dT%H:%M:%S.%f}0Z"


def now() -> str:
    """The present moment, likewise."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}0Z"
