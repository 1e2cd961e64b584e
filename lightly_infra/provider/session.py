"""What the dynamic providers share: the Lightly client, made from the environment when a call is due."""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING

from lightly_infra.dynamic import MessageFirst
from lightly_infra.lightly.client import LightlyClient

if TYPE_CHECKING:
    from pulumi.dynamic import ConfigureRequest

TOKEN_CONFIG_KEY = "lightly-infra:token"  # noqa: S105 - the name of a setting, not its value


class LightlyProvider(MessageFirst):
    """A dynamic provider that talks to Lightly.

    State holds the import path of each subclass, so moving or renaming one breaks users' stacks. Instances
    travel through state too and hold nothing until `configure` runs in the provider's own process.
    """

    # The serialized form is an import path. As a secret it would only hide from `pulumi preview` what it is.
    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        """Notes where the token may come from; whether there is one matters once a call is due."""
        self._lock = Lock()
        self._client: LightlyClient | None = None
        self._environment = dict(os.environ)
        token = req.config.get(TOKEN_CONFIG_KEY)
        if token and not self._environment.get("LIGHTLY_TOKEN"):
            self._environment["LIGHTLY_TOKEN"] = token

    @property
    def client(self) -> LightlyClient:
        """The client of this process; Pulumi calls a provider from several threads at once.

        Raises:
            TokenMissing: neither `LIGHTLY_TOKEN` nor the secret `lightly-infra:token` is set.
        """
        with self._lock:
            if self._client is None:
                self._client = LightlyClient.from_env(self._environment)
            return self._client
