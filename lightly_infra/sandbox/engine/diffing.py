"""Whether a resource changes, and whether that means replacing it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lightly_infra.sandbox.engine.paths import contains, parse_path, reset_ignored
from lightly_infra.sandbox.engine.urns import is_provider_type
from lightly_infra.sandbox.engine.values import changed_paths

if TYPE_CHECKING:
    from lightly_infra.sandbox.engine.provider import Diff
    from lightly_infra.sandbox.engine.providers import Providers
    from lightly_infra.sandbox.engine.state import ResourceState
    from lightly_infra.sandbox.engine.values import Path, Properties


@dataclass(frozen=True)
class Difference:
    """What stands between the old and the new state.

    Attributes:
        changes: Whether anything does.
        changed: The properties that differ, as far as known: a provider may say "changes" and no more.
        replaces: The properties that force a replacement.
        paths: Where exactly they differ.
    """

    changes: bool
    changed: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    paths: tuple[Path, ...] = ()
    forced: bool = False
    delete_before_replace: bool = False

    @property
    def replace(self) -> bool:
        """Whether the resource must be replaced."""
        return self.changes and (self.forced or bool(self.replaces))

    @property
    def keys(self) -> tuple[str, ...]:
        """The properties to blame: those that force a replacement, else those that changed."""
        return self.replaces or self.changed or top_level(self.paths)

    def replaced_on(self, properties: tuple[str, ...]) -> Difference:
        """The same with `replace_on_changes` applied: a change at or below those paths forces a replacement."""
        wanted = [parse_path(text) for text in properties]
        keys = {key for key in self.changed if any(contains(path, (key,)) for path in wanted)}
        hit = any(contains(path, at) for path in wanted for at in self.paths)
        return dataclasses.replace(self, replaces=tuple(sorted({*self.replaces, *keys})), forced=self.forced or hit)


def difference(
    providers: Providers,
    old: ResourceState,
    news: Properties,
    new: ResourceState,
    ignore_changes: tuple[str, ...],
) -> Difference:
    """Compares the old state with the new inputs `news`; components have no provider and are compared by value."""
    if not new.custom:
        paths = changed_paths(old.inputs, news)
        return Difference(bool(paths), top_level(paths), paths=tuple(paths))
    if is_provider_type(new.type):
        answer = providers.diff_config(new, old.inputs, news)
    else:
        answer = providers.for_checks(new).diff(new.urn, old.id, old.inputs, old.outputs, news, ignore_changes)
    return judge(answer, old.inputs, news, ignore_changes)


def judge(answer: Diff, old: Properties, new: Properties, ignore_changes: tuple[str, ...]) -> Difference:
    """Fills in what the provider left to the engine: then the inputs decide, without those to be ignored."""
    changes, changed, paths = answer.changes, answer.changed, tuple(answer.detailed)
    if changes is None:
        paths = tuple(changed_paths(old, reset_ignored(new, old, ignore_changes)))
        changes, changed = bool(paths), top_level(paths)
    return Difference(
        changes,
        changed,
        answer.replaces,
        paths,
        forced=any(answer.detailed.values()),
        delete_before_replace=answer.delete_before_replace,
    )


def top_level(paths: tuple[Path, ...] | list[Path]) -> tuple[str, ...]:
    """The top-level properties of the paths, sorted."""
    return tuple(sorted({str(path[0]) for path in paths if path}))
