"""What a renewal has done to each credential of a stack, and what is left to do by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lightly_infra import epochs
from lightly_infra.stack.settings import EXTERNAL_ID_ROTATION_KEY, ROTATION_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from lightly_infra.spec import DatasetSpec
    from lightly_infra.spec.fields import DatasourceSpec
    from lightly_infra.stack.settings import Settings

REVOKED_BY: Final = 3
"""How far the number goes up to end the generation that Lightly holds: two and what comes after it is no longer kept;
and odd, so that another key signs a SAS than the one that is to be regenerated (docs/decisions/0029)."""

_FACTS: Final = ("kind", "created", "expires", "epoch", "signed_with")


@dataclass(frozen=True)
class Renewed:
    """One credential, after a renewal."""

    dataset: str
    datasource: str
    renewed: bool | None
    """None where it was not asked for: an external id when keys are renewed, and the other way round."""

    note: str
    """Why it was not renewed and how it is, or what is left to do."""

    facts: Mapping[str, Any]

    @property
    def is_left_to_do(self) -> bool:
        """Whether somebody has to do something that a renewal cannot."""
        return self.renewed is False or bool(self.note and self.renewed)

    def as_json(self) -> dict[str, Any]:
        """The credential for machines."""
        facts = {name: self.facts.get(name) for name in _FACTS}
        return {
            "dataset": self.dataset,
            "datasource": self.datasource,
            **facts,
            "renewed": self.renewed,
            "note": self.note or None,
        }


@dataclass(frozen=True)
class Renewal:
    """What was asked for, and what there was before."""

    settings: Settings
    external_ids: bool
    """Of external ids, and not of keys and SAS."""

    revokes: bool
    """Whether the generation before is ended."""

    before: Mapping[str, Any]
    """The stack's outputs."""

    def asks_for(self, source: DatasourceSpec) -> bool:
        """Whether what a datasource gets in with is renewed by this."""
        return source.mints_external_id if self.external_ids else source.rotates

    @property
    def options(self) -> str:
        """What asks the command for this one."""
        return " --external-ids" * self.external_ids + " --revoke-previous" * self.revokes

    def plan(self) -> tuple[str, int, list[int]]:
        """The key of the config that counts, its value, and how far it goes up before each `pulumi up`."""
        key = EXTERNAL_ID_ROTATION_KEY if self.external_ids else ROTATION_KEY
        value = self.settings.external_id_rotation if self.external_ids else self.settings.rotation
        # Another generation would end the one that Lightly holds.
        outstanding = self.is_outstanding(epochs.now())
        if not self.revokes:
            return key, value, [0 if outstanding else 1]
        # A role must take the id that Lightly holds until Lightly has been told another.
        steps = [1, 1] if self.external_ids else [REVOKED_BY]
        return key, value, [0, *steps] if outstanding else steps

    def impossible(self) -> str | None:
        """Why there is nothing to renew, if so."""
        sources = [it for _, _, it in self._sources()]
        if any(map(self.asks_for, sources)):
            return None
        hows = dict.fromkeys(how for it in sources if (how := it.how_to_renew(external_ids=self.external_ids)))
        what = "external id is minted" if self.external_ids else "credential is renewed"
        return f"no {what} here: {'; '.join(hows) or 'this stack declares no datasets in its config'}"

    def is_outstanding(self, now: datetime) -> bool:
        """Whether a renewal that was asked for, or whose day has come, is not done for each that is renewed here."""
        return any(
            self._behind(known, now) > 0
            for key, purpose, source in self._sources()
            if self.asks_for(source) and (known := _known(self.before, key, purpose))
        )

    def results(self, after: Mapping[str, Any], *, complete: bool) -> list[Renewed]:
        """What has become of each credential.

        Args:
            after: The stack's outputs now.
            complete: Whether the update was done, without a failure.
        """
        return [self._result(key, purpose, it, after, complete=complete) for key, purpose, it in self._sources()]

    def _result(
        self, key: str, purpose: str, source: DatasourceSpec, after: Mapping[str, Any], *, complete: bool
    ) -> Renewed:
        before, known = _known(self.before, key, purpose), _known(after, key, purpose)
        if not self.asks_for(source):
            how = source.how_to_renew(external_ids=self.external_ids)
            concerns = (known.get("kind") == "role") == self.external_ids
            note = f"not renewed: {how}" if how else ""
            return Renewed(key, purpose, renewed=False if concerns else None, note=note, facts=known)
        if known.get("epoch") == before.get("epoch"):
            why = "the update is not done: run `pulumi up`" if not complete else "it is as it was"
            return Renewed(key, purpose, renewed=False, note=f"not renewed: {why}", facts=known)
        if not complete:
            note = "registered, but the previous one lives: run `pulumi up` again"
            return Renewed(key, purpose, renewed=False, note=note, facts=known)
        path = str(_found(after, "datasets", key, purpose).get("path") or "")
        return Renewed(key, purpose, renewed=True, note=self._left_to_do(source, before, path), facts=known)

    def _left_to_do(self, source: DatasourceSpec, before: Mapping[str, Any], path: str) -> str:
        """What ends the generation before, where a deleted user or key does not."""
        if not self.revokes or not before.get("signed_with"):
            return ""
        return (
            f"the previous SAS lives until {before.get('expires')}: regenerate {before['signed_with']} of its account "
            f"to end it, and all else that uses that key: `{source.how_to_end(str(before['signed_with']), path)}`"
        )

    def _behind(self, known: Mapping[str, Any], now: datetime) -> int:
        if self.external_ids:
            return self.settings.external_id_rotation - int(known.get("epoch") or 0)
        return epochs.behind(known, now=now, rotation=self.settings.rotation)

    def _sources(self) -> Iterator[tuple[str, str, DatasourceSpec]]:
        datasets: Mapping[str, DatasetSpec] = self.settings.datasets
        for key, dataset in datasets.items():
            for purpose, cloud in dataset.datasources.items():
                yield key, purpose.lower(), cloud.datasource


def _known(outputs: Mapping[str, Any], key: str, purpose: str) -> Mapping[str, Any]:
    return _found(outputs, "credentials", key, purpose)


def _found(outputs: Any, *steps: str) -> Mapping[str, Any]:
    for step in steps:
        outputs = outputs.get(step) if isinstance(outputs, Mapping) else None
    return outputs if isinstance(outputs, Mapping) else {}
