"""What one wants done with datasets, made of the client's calls: create or adopt, verify until allowed."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar

from tenacity import Retrying, retry_if_exception_type, wait_random_exponential

from lightly_infra.lightly.errors import (
    BOTH,
    ApiError,
    DatasetConflict,
    DatasetNameExists,
    DatasetUnknown,
    InvalidAnswer,
    LightlyError,
    PermissionsMissing,
    Unreachable,
)
from lightly_infra.lightly.models import MASK, DatasetType, check_dataset_id, check_dataset_name, visible_values
from lightly_infra.lightly.redaction import one_line
from lightly_infra.permissions import Purpose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lightly_infra.lightly.client import LightlyClient
    from lightly_infra.lightly.models import DatasetData, DatasourceConfig, DatasourcePermissions

# Seconds. AWS's IAM and Google's take 10-30 s until a new grant is known everywhere; the rest is patience.
VERIFY_DEADLINE: Final = 120.0

# Seconds by which the clocks of one service's machines may differ: NTP keeps them within tens of milliseconds on the
# Internet (RFC 5905, appendix), so this is patience. `Date` being rounded down adds up to another second.
CLOCK_TOLERANCE: Final = 1.0

# Seconds to wait before reading again what was written just now and is not to be seen.
_READ_AGAIN: Final = (0.5, 1.0, 2.0)

# What the API answers instead of permissions when it could not even use the credentials.
_CREDENTIALS_ERROR: Final = "DATASET_DATASOURCE_CREDENTIALS_ERROR"

_BAD_REQUEST: Final = 400
_SERVER_ERROR: Final = 500
# Refused before anything was looked at: nothing to be found out by asking for the name.
_NOT_ABOUT_THE_NAME: Final = frozenset({401, 403, 429})


_T = TypeVar("_T")


@dataclass(frozen=True)
class RegisteredDataset:
    """A dataset that is there."""

    id: str
    name: str
    type: str
    adopted: bool
    """It was there before us, so it is never deleted by us."""


def create_or_adopt(
    client: LightlyClient,
    *,
    name: str | None,
    type: DatasetType | None,  # noqa: A002 - the API's word
    dataset_id: str | None = None,
    adopt: bool = False,
    take_over: str | None = None,
) -> RegisteredDataset:
    """The dataset of that name or id: created, or used because the user says so.

    A new dataset costs two calls: it is made, and read back. Of one that is there already nobody can tell whose it is,
    unless our own POST made it in this very call and only its answer was lost: see ADR 22.

    Args:
        client: The client.
        name: The dataset's name; it may be None with `dataset_id`.
        type: Its type; None takes any existing one and creates Images, the API's default.
        dataset_id: Adopts this one, whatever its name.
        adopt: Adopts one of that name, with whatever is in it; creates it where there is none.
        take_over: The id of an empty dataset that an interrupted run left: it counts as created here.

    Raises:
        InvalidInput: The name or an id is invalid.
        DatasetUnknown: There is no dataset of `dataset_id` or `take_over`.
        DatasetConflict: There is one that may not be used; the message says how to go on.
        ApiError, Unreachable, InvalidAnswer: It could not be created, and none was found.
    """
    wanted = DatasetWanted(name, type, dataset_id, adopt=adopt, take_over=take_over)
    if (dataset_id or take_over or adopt) and (found := existing(client, wanted)):
        return found
    return _created(client, check_dataset_name(name or ""), wanted)


@dataclass(frozen=True)
class DatasetWanted:
    """Which dataset is meant, as for `create_or_adopt`."""

    name: str | None
    type: DatasetType | None
    dataset_id: str | None = None
    adopt: bool = False
    take_over: str | None = None

    @property
    def type_if_new(self) -> DatasetType:
        """The API's default where none is given."""
        return self.type or DatasetType.IMAGES


def existing(client: LightlyClient, wanted: DatasetWanted) -> RegisteredDataset | None:
    """The dataset that is there and would be used; None where one would be created.

    Raises:
        InvalidInput, DatasetUnknown, DatasetConflict: as `create_or_adopt` does.
    """
    if wanted.dataset_id is not None:
        found = _by_id(client, wanted.dataset_id, "id")
    elif wanted.take_over is not None:
        return _left_behind(client, wanted.take_over, wanted)
    else:
        named = client.find_datasets(check_dataset_name(wanted.name or ""))
        if not named:
            return None
        if len(named) > 1 or not wanted.adopt:
            raise _conflict(named, wanted)
        found = named[0]
    if wanted.type is not None and found.type != wanted.type:
        raise DatasetConflict(
            f"dataset {found.name!r} (id {found.id}) holds {found.type}, not {wanted.type}, and a type can't change: "
            f"set `type: {found.type}`, or choose another name or `id:`"
        )
    return RegisteredDataset(found.id, found.name, found.type, adopted=True)


def _created(client: LightlyClient, name: str, wanted: DatasetWanted) -> RegisteredDataset:
    started = client.clock()
    failure: LightlyError
    try:
        made = client.create_dataset(name, wanted.type_if_new)
    except (ApiError, Unreachable, InvalidAnswer) as error:
        failure = error
    else:
        _confirm_created(client, made, name, wanted, started)
        return RegisteredDataset(made, name, wanted.type_if_new.value, adopted=False)
    if not _may_exist(failure):
        raise failure
    # Which error a taken name gives is not documented, and a lost answer may have been a good one: look.
    try:
        found = client.find_datasets(name)
    except LightlyError:
        raise failure from None
    if not found:
        raise failure
    if _is_lost(failure) and len(found) == 1 and _is_made_since(client, found[0], wanted, started):
        return RegisteredDataset(found[0].id, name, found[0].type, adopted=False)
    if wanted.adopt and (there := existing(client, wanted)):
        return there
    raise _conflict(found, wanted)


def _confirm_created(client: LightlyClient, made: str, name: str, wanted: DatasetWanted, started: float) -> None:
    """Raises unless a new dataset is there, and is the only one of its name."""
    found = read_back(client, lambda: client.find_datasets(name), lambda seen: any(it.id == made for it in seen))
    mine = next((it for it in found if it.id == made), None)
    if mine is None or mine.type != wanted.type_if_new or mine.n_samples:
        seen = "; ".join(_described(it) for it in found) or "none"
        raise InvalidAnswer(
            f"Lightly says that it made dataset {name!r} ({wanted.type_if_new}, empty) as {made}, but of that name it "
            f"has: {seen}. Nothing was set on it; check LIGHTLY_SERVER_LOCATION and whether a proxy answered"
        )
    if others := [it for it in found if it.id != made]:
        # Left where it is, the next run would make one more.
        if _is_made_since(client, mine, wanted, started):
            client.delete_dataset(made)
        raise _conflict(others, wanted)


def _by_id(client: LightlyClient, dataset_id: str, field: str) -> DatasetData:
    check_dataset_id(dataset_id)
    try:
        return client.get_dataset(dataset_id)
    except DatasetUnknown as error:
        raise DatasetUnknown(
            f"GET of dataset {dataset_id}",
            status=error.status,
            code=error.code,
            message=error.message,
            request_id=error.request_id,
            remedy=f"Check `{field}:` (it is in the address of the dataset's page in the app) and that the token's "
            f"user may see it, or remove `{field}:` to create the dataset",
        ) from None


def _left_behind(client: LightlyClient, dataset_id: str, wanted: DatasetWanted) -> RegisteredDataset:
    """The dataset to take over, if nothing speaks against its being what an interrupted run left."""
    found = _by_id(client, dataset_id, "take_over")
    problems = []
    if found.name != wanted.name:
        problems.append(f"it is named {found.name!r}, not {wanted.name!r}")
    if found.type != wanted.type_if_new:
        problems.append(f"it holds {found.type}, not {wanted.type_if_new}")
    if content := _content(client, found):
        problems.append(f"it has {content}")
    if problems:
        raise DatasetConflict(
            f"dataset {dataset_id} can't be taken over ({'; '.join(problems)}): only an empty one of the same name and "
            "type can be what an interrupted run left. Remove `take_over:`, or use the dataset with "
            f"`id: {dataset_id}` (it is then never deleted)"
        )
    return RegisteredDataset(found.id, found.name, found.type, adopted=False)


def _conflict(found: Sequence[DatasetData], wanted: DatasetWanted) -> DatasetConflict:
    """That the name is taken, by what, and each of the ways on."""
    if len(found) > 1:
        each = "; ".join(_described(it) for it in found)
        return DatasetConflict(f"there are {len(found)} datasets named {wanted.name!r}: say which with `id:` ({each})")
    (other,) = found
    fits = wanted.type in {None, other.type}
    use = f"set `adopt: true` or `id: {other.id}`" + ("" if fits else f", and `type: {other.type}`")
    ways = [f"to use it, {use} (it is then never deleted)", "to make another, choose another name"]
    if fits and not other.n_samples and not other.datasources:
        ways.append(f"if an interrupted run of this very stack left it, set `take_over: {other.id}`")
    return DatasetConflict(
        f"dataset {wanted.name!r} exists already, maybe someone else's or another stack's: {_described(other)}. "
        f"Either {'; or '.join(ways)}"
    )


def _described(dataset: DatasetData) -> str:
    parts = [f"id {dataset.id}", dataset.type, f"{dataset.n_samples} samples"]
    if count := len(dataset.datasources or ()):
        parts.append(f"{count} datasource{'s'[: count > 1]}")
    if dataset.created_at is not None:
        with suppress(ValueError, OverflowError, OSError):  # no date that anybody could read
            parts.append(f"created {datetime.fromtimestamp(dataset.created_at / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC")
    return ", ".join(parts)


def _is_made_since(client: LightlyClient, found: DatasetData, wanted: DatasetWanted, started: float) -> bool:
    """Whether a dataset can only be what our own POST has made: of our type, empty, and no older than the call."""
    since = client.server_time(started)
    return (
        found.type == wanted.type_if_new
        and since is not None
        and found.created_at is not None
        and found.created_at / 1000 >= since - CLOCK_TOLERANCE
        and not _content(client, found)
    )


def _is_lost(error: LightlyError) -> bool:
    """Whether a POST may have been carried out all the same."""
    return not isinstance(error, ApiError) or error.status >= _SERVER_ERROR


def read_back(client: LightlyClient, read: Callable[[], _T], is_right: Callable[[_T], bool]) -> _T:
    """What `read` sees, read again for some seconds while it is not what was written: replicas lag behind."""
    seen = read()
    for wait in _READ_AGAIN:
        if is_right(seen):
            break
        client.sleep(wait)
        seen = read()
    return seen


def _may_exist(error: LightlyError) -> bool:
    """Whether there may be a dataset of the name: it was taken, or the answer was lost."""
    if isinstance(error, Unreachable):
        return error.may_have_arrived
    if not isinstance(error, ApiError):
        return True
    return error.status >= _BAD_REQUEST and error.status not in _NOT_ABOUT_THE_NAME


def _content(client: LightlyClient, found: DatasetData) -> str:
    """What is in a dataset, in words; empty when nothing is."""
    if found.n_samples:
        return f"{found.n_samples} samples"
    # Asked even when the dataset says that it has none: taking over must not go wrong.
    count = len(found.datasources or ()) or len(client.list_datasources(found.id))
    return f"{count} datasource{'s'[: count > 1]}" if count else ""


def rename(client: LightlyClient, dataset_id: str, name: str) -> None:
    """Gives a dataset another name, and reads it back.

    Raises:
        InvalidInput: The name is invalid.
        DatasetUnknown: There is no such dataset.
        DatasetConflict: The name is taken.
        InvalidAnswer: Lightly answered success, and the dataset has its old name.
    """
    try:
        client.update_dataset(dataset_id, name=name)
    except DatasetNameExists:
        taken = True
    else:
        taken = False
    if taken:
        raise DatasetConflict(
            f"dataset {dataset_id} can't be renamed to {name!r}: Lightly has another dataset of that name. "
            "Choose another name, or rename or delete that other one in the Lightly app first"
        )
    seen = read_back(client, lambda: client.get_dataset(dataset_id), lambda it: it.name == name)
    if seen.name != name:
        raise InvalidAnswer(
            f"Lightly says that dataset {dataset_id} is renamed to {name!r}, but it is still named {seen.name!r}. "
            "Run `pulumi up` again, and tell Lightly's support if that does not help"
        )


def delete(client: LightlyClient, dataset_id: str) -> None:
    """Deletes a dataset, and makes sure that it is gone; nothing where there is none.

    Raises:
        InvalidAnswer: Lightly answered success, and the dataset is still there.
    """
    try:
        client.delete_dataset(dataset_id)
    except DatasetUnknown:
        return  # somebody was faster; what was wanted holds
    if read_back(client, lambda: _exists(client, dataset_id), lambda exists: not exists):
        raise InvalidAnswer(
            f"Lightly says that dataset {dataset_id} is deleted, but it is still there. Run the same command again, or "
            "delete it in the Lightly app"
        )


def _exists(client: LightlyClient, dataset_id: str) -> bool:
    try:
        client.get_dataset(dataset_id)
    except DatasetUnknown:
        return False
    return True


# What tells one place from another, and what people call it; the last two are of one type only.
_PLACE: Final = {"type": "type", "full_path": "path", "account_name": "account", "obs_endpoint": "endpoint"}


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


def confirm_datasources(client: LightlyClient, dataset_id: str, configs: Sequence[DatasourceConfig]) -> None:
    """Makes sure that Lightly has datasources that were set just now; sets once more what it has not taken.

    One call, where all is well. What comes back masked or not at all is not compared.

    Raises:
        InvalidAnswer: It still has something else.
    """
    wanted = {it.purpose.value: it for it in configs}
    if not (wrong := _not_taken(client, dataset_id, wanted)):
        return
    for purpose in wrong:
        client.set_datasource(dataset_id, wanted[purpose])
    check_taken(client, dataset_id, configs)


def check_taken(client: LightlyClient, dataset_id: str, configs: Sequence[DatasourceConfig]) -> None:
    """Raises InvalidAnswer if Lightly has something else than was set just now."""
    wanted = {it.purpose.value: it for it in configs}
    if wrong := read_back(client, lambda: _not_taken(client, dataset_id, wanted), lambda seen: not seen):
        shown = "; ".join(f"{purpose}: {differences}" for purpose, differences in wrong.items())
        raise InvalidAnswer(
            f"Lightly says that it has taken the datasources of dataset {dataset_id}, but it has something else "
            f"({one_line(shown)}). Run `pulumi up` again, which sets them anew, and tell Lightly's support if that "
            "does not help; nothing that got Lightly in before has been removed"
        )


def _not_taken(client: LightlyClient, dataset_id: str, wanted: Mapping[str, DatasourceConfig]) -> dict[str, str]:
    """By purpose, in which visible fields Lightly has something else."""
    found = client.list_datasources(dataset_id)
    wrong = {}
    for purpose, config in wanted.items():
        of_purpose = [it.visible for it in found if it.purpose == purpose]
        sent = visible_values(config)
        differences = "; ".join(it for visible in of_purpose for it in _deviations(sent, visible))
        if differences or not of_purpose:
            wrong[purpose] = differences or "none"
    return wrong


def _deviations(sent: Mapping[str, str], visible: Mapping[str, str]) -> Iterator[str]:
    for name, value in visible.items():
        wanted = sent.get(name, "")
        # Lightly takes a directory with its slash and without, and has a default for thumbnails.
        is_same = value.rstrip("/") == wanted.rstrip("/") if name == "full_path" else value == wanted
        if not is_same and MASK not in value and (wanted or name != "thumb_suffix"):
            yield f"{name} {value!r} instead of {wanted!r}"


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
        "a wrong external id, or a trust policy that does not name Lightly's account with that external id; what "
        "somebody has changed or deleted by hand, `pulumi up --refresh` puts back"
    ),
    r"invalidaccesskeyid|invalidclienttokenid": (
        "an access key that was deleted or made inactive: `pulumi up --refresh` puts it back; of a key of your own, "
        "make it active again, or give another"
    ),
    r"\bsas\b|authenticationfailed": (
        "a SAS that has expired, is another container's, or was signed with an account key that has been renewed "
        "since: have it signed anew with `pulumi up`"
    ),
    r"storage\.objects\.|invalid_grant": (
        "a service account or its key that was disabled or deleted (`pulumi up --refresh`; of a key also `gcloud iam "
        "service-accounts keys enable`), a custom role that was deleted (`gcloud iam roles undelete ROLE "
        "--project=PROJECT`), or one whose condition names another bucket or prefix; what was granted just now may "
        "take Google Cloud some minutes: raise verify_deadline"
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
