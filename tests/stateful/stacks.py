"""What a stack file may say, and how it is edited: tables of choices, so that an edit is a few small numbers.

An edit is data and means something after any other, so a sequence can lose any of its steps and still be run. Not every
stack that comes of it is good: one that `preview` refuses is put back as it was, as its author would.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any, Final

from tests.e2e.clouds import OBS_KEY, OTHER_OBS_KEY, OTHER_USER, PROJECT, USER

Choices = tuple[Any, ...]

_OBS: Final = {"endpoint": "https://obs.eu-de.otc.t-systems.com"}
_OBS_MADE: Final = {**_OBS, "region": "eu-de", "create": True}
_AZURE: Final = {"resource_group": "acme", "account": "acmedata"}
_GCS_MADE: Final = {"create": True, "project": PROJECT, "location": "europe-west3"}

PLACES: Final[dict[str, dict[str, Choices]]] = {
    "s3": {
        "input": (
            {"bucket": "acme-raw"},
            {"create": True},
            {"create": True, "bucket": "acme-in-{slot}"},
            {"bucket": "acme-in-{slot}"},
        ),
        "lightly": (
            {"create": True},
            {"create": True, "bucket": "acme-out-{slot}"},
            {"bucket": "acme-out-{slot}"},
            {"bucket": "acme-lightly"},
        ),
    },
    "gcs": {
        "input": (
            {"bucket": "acme-raw", "project": PROJECT},
            _GCS_MADE,
            _GCS_MADE | {"bucket": "acme-in-{slot}"},
            {"bucket": "acme-in-{slot}", "project": PROJECT},
        ),
        "lightly": (
            _GCS_MADE,
            _GCS_MADE | {"bucket": "acme-out-{slot}"},
            {"bucket": "acme-out-{slot}", "project": PROJECT},
            _GCS_MADE | {"bucket": "acme-out-{slot}", "location": "EU"},
            {"bucket": "acme-lightly", "project": PROJECT},
        ),
    },
    "azure": {
        "input": (
            _AZURE | {"container": "raw", "container_wide": True},
            _AZURE | {"container": "in-{slot}", "container_wide": True, "create": "container"},
            _AZURE | {"container": "in-{slot}", "container_wide": True},
        ),
        "lightly": (
            {"create": True, "location": "westeurope", "container": "out-{slot}"},
            _AZURE | {"container": "out-{slot}", "create": "container"},
            _AZURE | {"container": "out-{slot}"},
            {"resource_group": "acme", "account": "acmeout{slot}", "create": "account", "location": "westeurope"},
        ),
    },
    "obs": {
        "input": (
            {**_OBS, "bucket": "acme-raw"},
            {**_OBS_MADE, "bucket": "acme-in-{slot}"},
            {**_OBS, "bucket": "acme-in-{slot}"},
        ),
        "lightly": (
            _OBS_MADE,
            {**_OBS_MADE, "bucket": "acme-out-{slot}"},
            {**_OBS, "bucket": "acme-out-{slot}"},
            {**_OBS, "bucket": "acme-lightly"},
        ),
    },
}
"""Where the data lies: in something of the user's, in something that is made, or in what was made before."""

PREFIXES: Final = {"input": ("{slot}/raw/", "{slot}/night/"), "lightly": ("{slot}/lightly/", "{slot}/lightly-2/")}

ACCESSES: Final[dict[str, Choices]] = {
    "s3": (
        {"access": "delegated"},
        {"access": "keys"},
        {"access": {"kind": "keys", "rotate_every_days": 30}},
        {"access": {"kind": "delegated", "share": "acme"}},
        {"access": {"kind": "keys", "share": "acme"}},
        {"access": {"kind": "delegated", "external_id": "canary-external-id-9d41"}},
    ),
    "gcs": (
        {},
        {"access": {"rotate_every_days": 30}},
        {"access": {"share": "acme"}},
        {"access": {"share": "acme", "rotate_every_days": 30}},
    ),
    "azure": ({}, {"rotate_every_days": 30}),
    "obs": ({"user": USER, **OBS_KEY}, {"user": OTHER_USER, **OTHER_OBS_KEY}),
}
"""How Lightly gets in."""

CLOUDS: Final = tuple(PLACES)
RETENTION: Final[Choices] = ({}, {"retention_days": 30}, {"retention_days": 90})

KEYS: Final = {"a": ("street-scenes", "streets"), "b": ("night-drives", "nights")}
"""How a dataset's key in the YAML may read, by its slot."""

DATASET: Final[dict[str, Choices]] = {
    "key": (0, 1),
    "name": (None, "renamed-{slot}", "named-{slot}"),
    "type": ("Images", "Videos"),
    "on_destroy": (None, "delete"),
    "adopt": (None, True),
    "replace_datasources": (None, True),
}
SOURCE: Final = {"cloud": len(CLOUDS), "place": 5, "prefix": 2, "access": 6, "retention": 3}
"""What an edit may change of a datasource, and among how many; beyond a table's end it begins anew."""


@dataclass(frozen=True)
class Edit:
    """One change of the file."""

    slot: str
    """Which dataset."""
    part: str
    """`dataset`, `input` or `lightly`."""
    what: str
    """A key of `DATASET` or `SOURCE`, or of the dataset `there`: whether it stands in the file at all."""
    choice: int


@dataclass
class Stack:
    """A stack file."""

    datasets: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    """Choices by slot, part and what."""
    given: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What a message told to write, by slot: it stands as it is."""

    def with_edit(self, edit: Edit) -> Stack:
        """The file after an edit."""
        new = copy.deepcopy(self)
        if edit.what == "there":
            if edit.slot in new.datasets and len(new.datasets) > 1:
                del new.datasets[edit.slot]
                new.given.pop(edit.slot, None)
            elif edit.slot not in new.datasets:
                first = next(iter(new.datasets.values()))
                sources = {it: {"cloud": first[it]["cloud"]} for it in ("input", "lightly")}
                new.datasets[edit.slot] = {"dataset": {}, **sources}
        else:
            slot = edit.slot if edit.slot in new.datasets else next(iter(new.datasets))
            part = new.datasets[slot][edit.part]
            # What it says already becomes something else.
            choice = edit.choice + (part.get(edit.what, 0) == edit.choice)
            if edit.what == "cloud":
                part.clear()
            part[edit.what] = choice
        return new

    def with_given(self, slot: str, **fields: Any) -> Stack:
        """The file after a message was followed."""
        new = copy.deepcopy(self)
        new.given.setdefault(slot, {}).update(fields)
        return new

    def key(self, slot: str) -> str:
        """The dataset's key in the YAML."""
        return KEYS[slot][self.datasets[slot]["dataset"].get("key", 0) % 2]

    def slot(self, key: str) -> str | None:
        """The dataset of that key."""
        return next((it for it in self.datasets if self.key(it) == key), None)

    def declared(self) -> dict[str, dict[str, Any]]:
        """What stands under `lightly-infra:datasets`."""
        return {self.key(slot): self._dataset(slot) for slot in sorted(self.datasets)}

    def clouds(self) -> set[str]:
        """The clouds that it uses."""
        return {next(iter(it[part])) for it in self.declared().values() for part in ("input", "lightly")}

    def _dataset(self, slot: str) -> dict[str, Any]:
        chosen = self.datasets[slot]
        fields: dict[str, Any] = {"type": "Images", "verify_deadline": 3}
        for what, choices in DATASET.items():
            value = choices[chosen["dataset"].get(what, 0) % len(choices)]
            if what != "key" and value is not None:
                fields[what] = value
        for part in ("input", "lightly"):
            fields[part] = _source(part, chosen[part])
        fields |= self.given.get(slot, {})
        fields = {name: it for name, it in fields.items() if it is not None}
        return _filled(fields, slot)  # type: ignore[no-any-return]


def _source(part: str, chosen: dict[str, int]) -> dict[str, Any]:
    def of(what: str, choices: Choices) -> Any:
        return choices[chosen.get(what, 0) % len(choices)]

    cloud = of("cloud", CLOUDS)
    said = {"prefix": of("prefix", PREFIXES[part])}
    said |= of("place", PLACES[cloud][part]) | of("access", ACCESSES[cloud])
    if cloud == "azure" and part == "lightly":
        said["prefix"] = ""
    if part == "input":
        said |= of("retention", RETENTION)
    return {cloud: said}


def _filled(value: Any, slot: str) -> Any:
    if isinstance(value, str):
        return value.replace("{slot}", slot)
    if isinstance(value, dict):
        return {key: _filled(it, slot) for key, it in value.items()}
    return value
