"""What the dynamic providers of OBS share: clients, made from the environment when a call is due."""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Literal, NotRequired, TypedDict

import pulumi  # noqa: TC002 - Pulumi reads the resources' annotations when it runs
from pulumi.dynamic import CheckFailure, ConfigureRequest

from lightly_infra.clouds.obs import policy
from lightly_infra.clouds.obs.api import Obs
from lightly_infra.clouds.obs.connection import Server, Settings
from lightly_infra.dynamic import MessageFirst, is_unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Addressing = Literal["path", "virtual"]
ADDRESSING: Final = ("path", "virtual")


class ServerArgs(TypedDict):
    """An OBS of some cloud. All of it can change without another bucket being meant, but the region."""

    endpoint: pulumi.Input[str]
    """Such as `https://obs.eu-de.otc.t-systems.com`."""

    region: pulumi.Input[str]
    """The bucket's region, such as `eu-de`."""

    addressing: NotRequired[Addressing]
    """Where the bucket stands in URLs: in the `path` (default), or in front of the host (`virtual`)."""


class ObsProvider(MessageFirst):
    """A dynamic provider that talks to OBS.

    State holds the import path of each subclass, so moving or renaming one breaks users' stacks. Instances travel
    through state too and hold nothing until `configure` runs in the provider's own process.
    """

    # The serialized form is an import path. As a secret it would only hide from `pulumi preview` what it is.
    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        """Notes where the keys may come from; whether there are any matters once a call is due."""
        self._lock = Lock()
        self._made: dict[Server, Obs] = {}
        self._settings = Settings.read(os.environ, req.config.get)

    def obs(self, props: Mapping[str, Any]) -> Obs:
        """The OBS that the properties name; Pulumi calls a provider from several threads at once.

        Raises:
            CredentialsMissing: no keys are set.
        """
        server = Server(props["endpoint"], props["region"], props.get("addressing") or "path")
        with self._lock:
            if server not in self._made:
                self._made[server] = Obs(server, self._settings)
            return self._made[server]


def check_server(news: Mapping[str, Any]) -> list[CheckFailure]:
    """What is wrong with the fields of `ServerArgs`, as far as they are known."""
    failures = failures_of(news, {"endpoint": policy.check_endpoint, "bucket": policy.check_bucket})
    if (addressing := news.get("addressing")) not in {None, *ADDRESSING} and not is_unknown(addressing):
        failures.append(CheckFailure("addressing", f"{addressing!r}: use {' or '.join(map(repr, ADDRESSING))}"))
    return failures


def failures_of(news: Mapping[str, Any], rules: Mapping[str, Callable[[str], object]]) -> list[CheckFailure]:
    """What the rules say of the fields of their names that are known."""
    failures = []
    for name, rule in rules.items():
        if isinstance(value := news.get(name), str):
            try:
                rule(value)
            except ValueError as error:
                failures.append(CheckFailure(name, str(error)))
    return failures
