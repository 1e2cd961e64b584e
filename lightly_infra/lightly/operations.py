"""What one wants done with datasets, made of the client's calls: create or adopt, verify until allowed."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tenacity import Retrying, retry_if_exception_type, wait_random_exponential

from lightly_infra.lightly.errors import (
    BOTH,
    ApiError,
    DatasetConflict,
    DatasetUnknown,
    InvalidAnswer,
    LightlyError,
    PermissionsMissing,
    Unreachable,
)
from lightly_infra.lightly.models import DatasetType, check_dataset_id, check_dataset_name
from lightly_infra.lightly.redaction import one_line
from lightly_infra.permissions import Purpose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lightly_infra.lightly.client import LightlyClient
    from lightly_infra.lightly.models import DatasetData, DatasourcePermissions

# Seconds. AWS's IAM and Google's take 10-30 s until a new grant is known everywhere; the rest is patience.
VERIFY_DEADLINE: Final = 120.0

# What the API answers instead of permissions when it could not even use the credentials.
_CREDENTIALS_ERROR: Final = "DATASET_DATASOURCE_CREDENTIALS_ERROR"

_BAD_REQUEST: Final = 400
# Refused before anything was looked at: nothing to be found out by asking for the name.
_NOT_ABOUT_THE_NAME: Final = frozenset({401, 403, 429})


@dataclass(frozen=True)
class RegisteredDataset:
    """A dataset that is there."""

    id: str
    name: str
    type: str
    adopted: bool
    """It was somebody's before us, so it is never deleted by us."""


def create_or_adopt(
    client: LightlyClient,
    *,
    name: str | None,
    type: DatasetType | None,  # noqa: A002 - the API's word
    dataset_id: str | None = None,
    adopt: bool = False,
) -> RegisteredDataset:
    """The dataset of that name or id: created, taken over, or adopted.

    A new dataset costs one call. Creating is not idempotent: a crash after it leaves an orphan that the next
    run meets by its name. So a dataset without samples and datasources is taken over, one with content only
    by `adopt`.

    Args:
        client: The client.
        name: The dataset's name; it may be None with `dataset_id`.
        type: Its type; None takes any existing one and creates Images, the API's default.
        dataset_id: Adopts this one, whatever its name.
        adopt: Adopts one of that name, with whatever is in it; creates it where there is none.

    Raises:
        InvalidInput: The name or the id can't be one.
        DatasetUnknown: There is no dataset of `dataset_id`.
        DatasetConflict: There is one that may not be used; the message says how to go on.
        ApiError, Unreachable: It could not be created, and none was found.
    """
    if dataset_id is not None:
        return _by_id(client, dataset_id, type)
    check_dataset_name(name := name or "")
    if adopt and (found := _by_name(client, name)):
        return _taken(found, type, adopted=True)
    wanted = type or DatasetType.IMAGES
    try:
        return RegisteredDataset(client.create_dataset(name, wanted), name, wanted.value, adopted=False)
    except (ApiError, Unreachable, InvalidAnswer) as error:
        if not _may_exist(error):
            raise
        # Which error a taken name gives is not documented, and a lost answer may have been a good one: look.
        found = _by_name(client, name)
        if found is None:
            raise
    if not adopt and (content := _content(client, found)):
        raise DatasetConflict(
            f"dataset {name!r} exists already ({found.type}, id {found.id}, {content}), maybe someone else's: "
            f"set `adopt: true` or `id: {found.id}` to use it (it is then never deleted), or change the name"
        )
    return _taken(found, type, adopted=adopt)


def _by_id(client: LightlyClient, dataset_id: str, type: DatasetType | None) -> RegisteredDataset:  # noqa: A002
    check_dataset_id(dataset_id)
    try:
        found = client.get_dataset(dataset_id)
    except DatasetUnknown as error:
        raise DatasetUnknown(
            f"GET of dataset {dataset_id}",
            status=error.status,
            code=error.code,
            message=error.message,
            request_id=error.request_id,
            remedy="Check `id:` (it is in the address of the dataset's page in the app) and that the token's "
            "user may see it, or remove `id:` to create the dataset",
        ) from None
    return _taken(found, type, adopted=True)


def _by_name(client: LightlyClient, name: str) -> DatasetData | None:
    found = client.find_datasets(name)
    if len(found) > 1:
        ids = ", ".join(sorted(dataset.id for dataset in found))
        raise DatasetConflict(f"there are {len(found)} datasets named {name!r}: say which one with `id:` ({ids})")
    return found[0] if found else None


def _taken(found: DatasetData, type: DatasetType | None, *, adopted: bool) -> RegisteredDataset:  # noqa: A002
    if type is not None and found.type != type:
        raise DatasetConflict(
            f"dataset {found.name!r} (id {found.id}) holds {found.type}, not {type}, and a type can't change: "
            f"set `type: {found.type}`, or choose another name or `id:`"
        )
    return RegisteredDataset(found.id, found.name, found.type, adopted=adopted)


def _may_exist(error: ApiError | Unreachable | InvalidAnswer) -> bool:
    if isinstance(error, Unreachable):
        return error.may_have_arrived
    if isinstance(error, InvalidAnswer):
        return True
    return error.status >= _BAD_REQUEST and error.status not in _NOT_ABOUT_THE_NAME


def _content(client: LightlyClient, found: DatasetData) -> str:
    """What is in a dataset, in words; empty when nothing is, so that it can only be an orphan."""
    if found.n_samples:
        return f"{found.n_samples} samples"
    # Asked even when the dataset says that it has none: taking over must not go wrong.
    count = len(found.datasources or ()) or len(client.list_datasources(found.id))
    return f"{count} datasource{'s'[: count > 1]}" if count else ""


# What tells one place from another, and what people call it; the last two are of one type only.
_PLACE: Final = {"type": "type", "full_path": "path", "account_name": "account", "obs_endpoint": "endpoint"}


def existing_dataset(client: LightlyClient, *, name: str | None, dataset_id: str | None) -> str | None:
    """The id of the dataset that would be adopted; None where there is none of that name.

    Raises:
        DatasetConflict: There are several of that name.
    """
    if dataset_id is not None:
        return dataset_id
    found = _by_name(client, name) if name else None
    return found.id if found else None


def check_datasources(
    client: LightlyClient, dataset_id: str, wanted: Mapping[str, Mapping[str, str]], *, replace: bool = False
) -> list[str]:
    """What setting an existing dataset's datasources would replace that points elsewhere now.

    Args:
        client: The client.
        dataset_id: The dataset.
        wanted: By purpose, under the Python names of the API: `type`, and as far as they are known `full_path`,
            `account_name` and `obs_endpoint`. A path that is left out is that of something yet to be made.
        replace: That this is fine.

    Returns:
        A line for each such datasource, such as `INPUT: type S3 -> GCS; path s3://a/b/ -> gs://c/d/`.

    Raises:
        DatasetConflict: There is one, and `replace` does not allow it.
    """
    found = {it.purpose: it for it in client.list_datasources(dataset_id)}
    lines = []
    for purpose, told in wanted.items():
        # One for both and the pair of the two replace each other.
        old = found.get(purpose) or found.get(Purpose.INPUT_OUTPUT)
        if old is not None and (differences := "; ".join(_differences(old.visible, told))):
            lines.append(f"{purpose}: {differences}")
    if lines and not replace:
        shown = "".join(f"\n  {line}" for line in lines)
        raise DatasetConflict(
            f"dataset {dataset_id} has datasources that point elsewhere and would be replaced:{shown}\nHave them "
            "replaced with `replace_datasources: true`, or write what Lightly has"
        )
    return lines


def _differences(old: Mapping[str, str], told: Mapping[str, str]) -> Iterator[str]:
    for name, label in _PLACE.items():
        before, now = old.get(name, ""), told.get(name, "")
        counts = name in {"type", "full_path"} or (now and old.get("type") == told.get("type"))
        # Lightly takes a directory with its slash and without.
        if counts and before.rstrip("/") != now.rstrip("/"):
            yield f"{label} {before or '(none)'} -> {now or 'one that is made here'}"


class _NotYet(LightlyError):
    """Permission-shaped: it may be that the cloud has not heard of its own grants yet."""

    def __init__(self, permissions: DatasourcePermissions | None, said: str) -> None:
        super().__init__(said)
        self.permissions = permissions


def verify_until_allowed(
    client: LightlyClient,
    dataset_id: str,
    *,
    deadline: float = VERIFY_DEADLINE,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> DatasourcePermissions:
    """Asks Lightly to try the datasources until it can do all that it needs to.

    Args:
        client: The client.
        dataset_id: The dataset, whose datasources are set.
        deadline: Seconds to keep asking while permissions propagate; a call under way is waited for. With 0
            there is one call.
        sleep: Waits, for tests.
        clock: Seconds, for tests.

    Raises:
        PermissionsMissing: Something is not allowed at the deadline.
        ApiError, Unreachable, InvalidAnswer: At once, for waiting does not help.
    """
    attempts = until(deadline, _NotYet, wait=1.0, longest=10.0, sleep=sleep, clock=clock)
    try:
        return attempts(_verify, client, dataset_id)
    except _NotYet as error:
        missing = _missing(dataset_id, deadline, error)
    raise missing


def until(
    deadline: float,
    passing: type[LightlyError],
    *,
    wait: float,
    longest: float,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> Retrying:
    """Calls what it is given until it no longer fails with `passing`, at most until the deadline.

    Args:
        deadline: Seconds from now; a call under way is waited for.
        passing: What time may mend.
        wait: Seconds before the second call, with jitter; twice as long each time.
        longest: Seconds between two calls, at most.
        sleep: Waits.
        clock: Seconds.
    """
    end = clock() + deadline
    jitter = wait_random_exponential(multiplier=wait, max=longest)
    return Retrying(
        retry=retry_if_exception_type(passing),
        stop=lambda _: clock() >= end,
        wait=lambda state: min(jitter(state), max(0.0, end - clock())),
        sleep=sleep,
        reraise=True,
    )


def _verify(client: LightlyClient, dataset_id: str) -> DatasourcePermissions:
    try:
        permissions = client.verify(dataset_id)
    except ApiError as error:
        if error.code != _CREDENTIALS_ERROR:
            raise
        raise _NotYet(None, error.message) from None
    if permissions.missing:
        raise _NotYet(permissions, "")
    return permissions


def _missing(dataset_id: str, deadline: float, error: _NotYet) -> PermissionsMissing:
    permissions = error.permissions
    if permissions is None:
        missing: tuple[str, ...] = ()
        about = BOTH
        text = f"it can't use the credentials at all: {error}"
    else:
        missing = permissions.missing
        about = frozenset[str]().union(*(_about(name, permissions.reason(name)) for name in missing))
        text = "; ".join(_cannot(permissions))
    after = f" after {deadline:.0f} s" if deadline else ""
    return PermissionsMissing(
        f"Lightly has not got the permissions for dataset {dataset_id}{after}: {one_line(text)}. "
        f"Likely cause: {_likely_cause(missing, text)}",
        missing=missing,
        about=about,
    )


def _cannot(permissions: DatasourcePermissions) -> list[str]:
    """What Lightly can't do, where, and its reasons; what has the same reason is said together."""
    together: dict[tuple[str, str], list[str]] = {}
    for name in permissions.missing:
        reason = permissions.reason(name)
        together.setdefault((_where(name, reason), reason), []).append(name)
    return [
        f"it can't {' or '.join(names)} in {where}" + (f" ({reason})" if reason else "")
        for (where, reason), names in together.items()
    ]


def _about(name: str, reason: str) -> frozenset[str]:
    """Which datasources a missing permission may be about: only Lightly's own is ever written to."""
    if name in {"write", "overwrite"}:
        return frozenset({Purpose.LIGHTLY.value})
    return frozenset(it for it in BOTH if re.search(rf"\b{it}\b", reason)) or BOTH


def _where(name: str, reason: str) -> str:
    """The same in words."""
    about = _about(name, reason)
    if about == BOTH:
        return "the Input or the Lightly datasource"
    return "the Input datasource" if Purpose.INPUT in about else "the Lightly datasource"


# What is said in the clouds' own words, and what it then most likely is. The first that is found holds.
_CAUSES: Final[Mapping[str, str]] = {
    r"nosuchbucket|containernotfound|bucket does not exist": (
        "the bucket does not exist, or lies in another account: check its name"
    ),
    r"assumerole|external id": (
        "a wrong external id, or a trust policy that does not name Lightly's account with that external id"
    ),
    r"\bsas\b|authenticationfailed": (
        "a SAS that has expired, is another container's, or was signed with an account key that has been renewed "
        "since: have it signed anew with `pulumi up`"
    ),
    r"storage\.objects\.|invalid_grant": (
        "a service account's key that was deleted, or a role whose condition names another bucket or prefix; what "
        "was granted just now may take Google Cloud some minutes: raise verify_deadline"
    ),
    r"kms": "the KMS key: its own policy and the identity's must allow to decrypt and, for writing, to encrypt",
}


def _likely_cause(missing: tuple[str, ...], text: str) -> str:
    for pattern, cause in _CAUSES.items():
        if re.search(pattern, text, re.IGNORECASE):
            return cause
    if missing and "list" not in missing and "read" not in missing:
        return "a policy without s3:PutObject (or its twin in your cloud) on the Lightly prefix, or its KMS key"
    return (
        "a wrong external id or trust policy, credentials that were deleted or have expired, a bucket or "
        "prefix other than the one that the policy names, or a KMS key that may not be used"
    )
