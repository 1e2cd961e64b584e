"""What the emulated GCP resource types share: the administrator's client, the project, and the provider's labels."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from lightly_infra.sandbox.gcp.clients import PROJECT, Administrator, GoogleError
from lightly_infra.sandbox.resource_type import Input, ResourceError, ResourceType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from lightly_infra.sandbox.resource_type import Properties, Refusal

_ATTRIBUTION = {"goog-pulumi-provisioned": "true"}


class Session:
    """The configuration of one provider: where its client goes, and what it adds to its resources."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = dict(env)
        self._administrator: Administrator | None = None
        self.project = env.get(PROJECT, "")
        self.labels: dict[str, str] = dict(_ATTRIBUTION)

    def use(self, *, project: str | None, labels: Mapping[str, str], attribution: bool) -> None:
        """Take over a provider's configuration; what it does not say is as in the environment."""
        self.project = project or self.project
        self.labels = (_ATTRIBUTION if attribution else {}) | dict(labels)

    @property
    def api(self) -> Administrator:
        """The client."""
        if self._administrator is None:
            try:
                self._administrator = Administrator(self._env)
            except KeyError as missing:
                raise ResourceError(f"the emulated gcp provider needs {missing} in its environment") from missing
        return self._administrator


NAME_OF_PROJECT = Input(replaces=True, computed=True)


class GcpType(ResourceType):
    """A resource type that acts through a session. One with a `project` gets the provider's."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def complete(self, inputs: Properties) -> Properties:
        """Adds the provider's project where the type has one."""
        completed = super().complete(inputs)
        if "project" in self.inputs and self.session.project:
            completed = {"project": self.session.project} | completed
        return completed

    def refusals(self, inputs: Properties) -> Iterable[Refusal]:
        """A project that nobody named."""
        if "project" in self.inputs and not inputs.get("project"):
            yield "project", "required field is not set: set it, or gcp:project"


@contextmanager
def saying(what: str) -> Iterator[None]:
    """Says before Google's refusal what was tried, as the real provider does."""
    try:
        yield
    except GoogleError as error:
        raise ResourceError(f"{what}: {error}") from error
