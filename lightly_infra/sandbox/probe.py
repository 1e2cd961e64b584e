"""Tries what Lightly may do with a datasource, and what it must not be able to do, with the credentials it was given.

The same for every cloud; how a cloud's bucket is used with such credentials is a `Store`. The emulated Lightly calls
this on verify. Nothing that is there already is ever written to or deleted: each object written has a fresh random name
and goes again.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final, Literal, Self

from lightly_infra.lightly.redaction import one_line, redact
from lightly_infra.permissions import Operation, Purpose, is_granted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

Outcome = Literal["allowed", "refused", "error"]

INSIDE: Final = "inside"
BESIDE: Final = "beside the prefix"
ELSEWHERE: Final = "in another bucket"


@dataclass(frozen=True)
class Attempt:
    """One thing that was tried, and how it went."""

    purpose: Purpose
    operation: str
    """An `Operation`, or another thing that a cloud lets one do, such as assuming a role."""
    target: str
    expected: Outcome
    outcome: Outcome
    detail: str = ""
    """Why it was refused or failed; without secrets."""

    @property
    def holds(self) -> bool:
        """Whether it went as it should."""
        return self.outcome == self.expected


class Store(ABC):
    """One bucket or container, used with credentials. A context manager that closes it."""

    actions: ClassVar[Mapping[Operation, str]]
    """What the cloud calls the permission for each operation, such as `s3:GetObject`."""

    secrets: Sequence[str] = ()
    """What no message may repeat."""

    @abstractmethod
    def keys(self, prefix: str) -> list[str]:
        """Lists under the prefix; some keys are enough."""

    @abstractmethod
    def read(self, key: str) -> None:
        """Reads an object."""

    @abstractmethod
    def put(self, key: str) -> None:
        """Writes an empty object, over the one of this name if there is one."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Deletes an object."""

    @abstractmethod
    def judge(self, error: Exception) -> tuple[Outcome, str] | None:
        """What an error of the calls above means, and the cloud's code and words for it; None for a fault of ours.

        That there is no such object is `allowed`: whoever is told so may read.
        """

    @abstractmethod
    def close(self) -> None:
        """Lets go of connections."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def try_objects(
    purpose: Purpose,
    store: Store,
    prefix: str,
    *,
    reaches: Collection[str] = (),
    lists_all: bool = False,
) -> list[Attempt]:
    """Tries everything under the prefix, and beside it what must be refused.

    Args:
        purpose: Decides what should be allowed.
        store: With the credentials that Lightly was given.
        prefix: The datasource's own, normalised.
        reaches: The prefixes that the same credentials are allowed besides, no place to try what must be refused;
            with the whole bucket (empty) among them, nothing lies beside.
        lists_all: Whether the credentials may list the whole bucket, by the user's own wish.
    """
    return _Objects(purpose, store, prefix).attempts((prefix, *reaches), lists_all=lists_all)


def try_elsewhere(purpose: Purpose, store: Store, target: str = ELSEWHERE) -> list[Attempt]:
    """Tries listing, reading and writing with a store where all of it must be refused, such as another bucket."""
    return _Objects(purpose, store, "").nothing_in(target, "")


def attempt(
    purpose: Purpose,
    operation: str,
    target: str,
    expected: Outcome,
    action: Callable[[], object],
    *,
    named: str,
    store: Store,
    hint: str = "",
) -> Attempt:
    """Does `action`, which the cloud calls `named`, and tells how it went; `hint` is what to look at when refused."""
    try:
        action()
    except Exception as error:
        judged = store.judge(error)
        if judged is None:
            raise
        outcome, said = judged
        detail = one_line(redact(said, list(store.secrets)))
        words = {
            "allowed": "",
            "refused": f"{named} was refused{hint} ({detail})",
            "error": f"{named} failed ({detail})",
        }
        return Attempt(purpose, operation, target, expected, outcome, words[outcome])
    return Attempt(purpose, operation, target, expected, "allowed")


def not_tried(purpose: Purpose, outcome: Outcome, detail: str) -> list[Attempt]:
    """What is granted and could not even be tried."""
    granted = [operation for operation in Operation if is_granted(purpose, operation)]
    return [Attempt(purpose, operation, INSIDE, "allowed", outcome, detail) for operation in granted]


def permissions(datasources: Sequence[Mapping[str, str]], attempts: Sequence[Attempt]) -> dict[str, object]:
    """The API's answer to verify: list and read count on all datasources, write and overwrite on Lightly's own."""
    paths = {Purpose(datasource["purpose"]): datasource["fullPath"] for datasource in datasources}
    answer: dict[str, object] = {}
    errors: dict[str, str] = {}
    for operation in (Operation.LIST, Operation.READ, Operation.WRITE, Operation.OVERWRITE):
        tried = [
            attempt
            for attempt in attempts
            if attempt.target == INSIDE and attempt.operation == operation and attempt.expected == "allowed"
        ]
        failed = [attempt for attempt in tried if not attempt.holds]
        key = f"can{operation.capitalize()}"
        answer[key] = bool(tried) and not failed
        if failed:
            errors[key] = "; ".join(f"{it.purpose} datasource {paths[it.purpose]}: {it.detail}" for it in failed)
        elif not tried:
            errors[key] = "no LIGHTLY datasource is set"
    return answer | ({"errors": errors} if errors else {})


def directory(path: str) -> str:
    """A path below a bucket as a prefix: with one slash at its end, or empty."""
    return path if not path or path.endswith("/") else f"{path}/"


class _Objects:
    """Tries objects in and beside a prefix."""

    def __init__(self, purpose: Purpose, store: Store, prefix: str) -> None:
        self._purpose = purpose
        self._store = store
        self._prefix = prefix
        self._writable = is_granted(purpose, Operation.WRITE)

    def attempts(self, reaches: Collection[str], *, lists_all: bool) -> list[Attempt]:
        """What may be done inside and, where there is a beside, what must not be done there."""
        beside = _beside(self._prefix, reaches)
        return [
            self._list(INSIDE, self._prefix),
            self._read(INSIDE, self._prefix),
            *(self._write_all() if self._writable else self._write_nothing()),
            *([] if beside is None else self.nothing_in(BESIDE, beside, lists_all=lists_all)),
        ]

    def nothing_in(self, target: str, prefix: str, *, lists_all: bool = False) -> list[Attempt]:
        """Tries what must be refused at `target`, under the prefix."""
        attempts = [] if lists_all else [self._list(target, prefix, "")]
        key = _fresh(prefix)
        attempts += [self._read(target, prefix), self._try(Operation.WRITE, target, lambda: self._store.put(key))]
        self._clean_up(attempts[-1], key)
        attempts.append(self._try(Operation.DELETE, target, lambda: self._store.delete(_fresh(prefix))))
        return attempts

    def _write_all(self) -> list[Attempt]:
        """Writes, overwrites and deletes one object of our own."""
        key = _fresh(self._prefix)
        return [
            self._try(Operation.WRITE, INSIDE, lambda: self._store.put(key)),
            self._try(Operation.OVERWRITE, INSIDE, lambda: self._store.put(key)),
            self._try(Operation.DELETE, INSIDE, lambda: self._store.delete(key)),
        ]

    def _write_nothing(self) -> list[Attempt]:
        """The same with fresh names for each, so that nothing is lost where it is allowed against all rules."""
        attempts = []
        for operation in (Operation.WRITE, Operation.OVERWRITE):
            key = _fresh(self._prefix)
            attempts.append(self._try(operation, INSIDE, partial(self._store.put, key)))
            self._clean_up(attempts[-1], key)
        key = _fresh(self._prefix)
        return [*attempts, self._try(Operation.DELETE, INSIDE, lambda: self._store.delete(key))]

    def _list(self, target: str, *prefixes: str) -> Attempt:
        """Lists under each of the prefixes; it is allowed when one of them is."""
        tried = [self._try(Operation.LIST, target, partial(self._store.keys, prefix)) for prefix in prefixes]
        return next((attempt for attempt in tried if attempt.outcome != "refused"), tried[0])

    def _read(self, target: str, prefix: str) -> Attempt:
        """Reads any object there is; where there is none, being told so is being allowed to read."""

        def read() -> None:
            key = (self._some_key(prefix) if target == INSIDE else None) or _fresh(prefix)
            self._store.read(key)

        return self._try(Operation.READ, target, read)

    def _some_key(self, prefix: str) -> str | None:
        """An object under the prefix; no directory's marker, which ministack authorises without its slash."""
        try:
            keys = self._store.keys(prefix)
        except Exception as error:
            if self._store.judge(error) is None:
                raise
            return None
        return next((key for key in keys if not key.endswith("/")), None)

    def _clean_up(self, attempt: Attempt, key: str) -> None:
        if attempt.outcome == "allowed":
            self._try(Operation.DELETE, attempt.target, lambda: self._store.delete(key))

    def _try(self, operation: Operation, target: str, action: Callable[[], object]) -> Attempt:
        allowed = target == INSIDE and is_granted(self._purpose, operation)
        expected: Outcome = "allowed" if allowed else "refused"
        named = self._store.actions[operation]
        return attempt(self._purpose, operation, target, expected, action, named=named, store=self._store)


def _fresh(prefix: str) -> str:
    return f"{prefix}lightly-probe-{secrets.token_hex(8)}"


def _beside(prefix: str, reaches: Collection[str]) -> str | None:
    """A prefix that nobody has and that is outside of all in `reaches`; None when one of those is the whole bucket.

    Rather one that begins like ours, `raw-1f2e/` beside `raw/`: a policy that forgot the slash is found out.
    """
    name = secrets.token_hex(8)
    candidates = (f"{prefix.removesuffix('/')}-{name}/", f"{name}/")
    return next((it for it in candidates if not any(it.startswith(other) for other in reaches)), None)
