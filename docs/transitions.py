"""What a change of the YAML makes, keeps and removes: the table of `transitions.md`, which end-to-end tests run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Transition:
    """One change of a stack's YAML, and what `pulumi up` does then."""

    change: str
    made: frozenset[str] = frozenset()
    """What is new, of what costs money or lets somebody in."""
    removed: frozenset[str] = frozenset()
    """What is deleted, after Lightly has been told its successor."""
    stays: frozenset[str] = frozenset()
    """What leaves the stack and stays where it is."""
    told: bool = False
    """Whether Lightly is told a datasource anew."""
    refused: bool = False
    """Whether `preview` and `up` refuse it before anything is touched."""


def _row(change: str, *, made: str = "", removed: str = "", stays: str = "", told: bool = False) -> Transition:
    made_, removed_, stays_ = (frozenset(it.split(", ")) if it else frozenset[str]() for it in (made, removed, stays))
    return Transition(change, made_, removed_, stays_, told)


def _no(change: str) -> Transition:
    return Transition(change, refused=True)


TRANSITIONS: Final = {
    # storage
    "made-to-existing": _row("`create: true` → `bucket:` with the name of that bucket", stays="bucket"),
    "existing-to-made": _no("and back: `create: true` with the name of a bucket that exists"),
    "another-bucket": _row("a bucket that was made → another one of yours", stays="bucket", told=True),
    "maker-leaves": _row(
        "the dataset that makes a bucket leaves, another one names it as `bucket:`",
        removed="role",
        stays="bucket, dataset",
    ),
    "container-to-existing": _row(
        "Azure: `create: true` → the container, account and resource group that it made",
        stays="container, account, resource group",
    ),
    "container-to-made": _no("and back: `create: container` with the name of a container that exists"),
    # identities
    "role-to-keys": _row("S3: `access: delegated` → `keys`", made="user, key", removed="role", told=True),
    "keys-to-role": _row("S3: `access: keys` → `delegated`", made="role", removed="user, key", told=True),
    "into-a-share": _row("an access of its own → a `share`", made="identity", removed="identity", told=True),
    "share-renamed": _row("a `share` gets another name", made="identity", removed="identity", told=True),
    "out-of-a-share": _row("a `share` → an access of its own", made="identity", removed="identity", told=True),
    "named-as-own": _no("an identity or a key that was made here is named as one of yours"),
    # where
    "prefix": _row("another `prefix`", told=True),
    "another-cloud": _row(
        "the Lightly bucket moves to another cloud",
        made="bucket, identity",
        removed="identity",
        stays="bucket",
        told=True,
    ),
    # names
    "name": _row("another `name`"),
    "formerly": _row("another key, with `formerly: <the first key>`"),
    "formerly-not-the-first": _no("another key, with `formerly: <a key in between>`"),
    "key": _row(
        "another key, without `formerly` (a warning says so first)",
        made="dataset, bucket, role",
        removed="role",
        stays="dataset, bucket",
        told=True,
    ),
    "leaves": _row("the dataset leaves the YAML", removed="identity", stays="dataset, bucket"),
    "leaves-and-goes": _row(
        "the same, with `on_destroy: delete` deployed before", removed="identity, dataset", stays="bucket"
    ),
}
"""By a name that tests know."""


def markdown() -> str:
    """The table, for `docs/transitions.md`."""
    lines = [
        "| change | made | removed, last | kept, no longer managed | Lightly is told anew |",
        "| --- | --- | --- | --- | --- |",
    ]
    for it in TRANSITIONS.values():
        if it.refused:
            lines.append(f"| {it.change} | refused before anything is touched | | | |")
            continue
        cells = (", ".join(sorted(words)) or "nothing" for words in (it.made, it.removed, it.stays))
        lines.append(f"| {it.change} | {' | '.join(cells)} | {'yes' if it.told else 'no'} |")
    return "\n".join(lines)
