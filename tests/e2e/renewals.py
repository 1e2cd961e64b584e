"""How credentials are renewed on each cloud: what the YAML and the stack's config say after so many renewals."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from lightly_infra import stack
from lightly_infra.sandbox.engine.interface import Program
from lightly_infra.stack.settings import EXTERNAL_ID_ROTATION_KEY, ROTATION_KEY
from tests.e2e.clouds import CLOUDS, USER, dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lightly_infra.sandbox.environment import CloudName, Sandbox

REGION: Final = "eu-central-1"


def shipped(config: Mapping[str, str], *, known: Mapping[str, str]) -> Program:
    """The shipped program with a config, of which the engine knows another.

    With each other config an engine starts the dynamic providers anew, which takes longer than all the rest.
    """
    secret = frozenset({stack.DATASETS_KEY})

    def run() -> None:
        with pytest.MonkeyPatch.context() as patch:
            read = stack.Settings.read
            patch.setattr(stack.Settings, "of_stack", lambda: read(config, secret_keys=secret))
            stack.main()

    return Program(run, "lightly-infra", "test", known, secret)


@dataclass(frozen=True)
class Renewal:
    """One way to renew what both datasources of a dataset get in with."""

    cloud: CloudName
    says: Callable[[int], dict[str, Any]]
    """What both datasources say besides, after so many renewals."""
    counted: str | None = None
    """The key of the stack's config that counts renewals; None where the user renews by hand."""
    retire: Callable[[Sandbox, int], None] = lambda *_: None
    """Does the user's part: takes away what was used so many renewals after the start."""
    ends_itself: bool = False
    """Whether older credentials live until they expire."""

    def program(self, count: int, **more: Any) -> Program:
        """The shipped program after so many renewals, with more said of the dataset."""
        config = self._config(count, **more)
        # Where the user renews by hand, the sandbox plays that part, by the config that the engine knows.
        return shipped(config, known=self._config(0) if self.counted else config)

    def _config(self, count: int, **more: Any) -> dict[str, str]:
        cloud = CLOUDS[self.cloud]
        wanted = dataset(cloud, cloud) | more
        for purpose in ("input", "lightly"):
            wanted[purpose][self.cloud] |= copy.deepcopy(self.says(count))
        config = {"aws:region": REGION, stack.DATASETS_KEY: json.dumps({"street-scenes": wanted})}
        return config | ({self.counted: str(count)} if self.counted else {})


def _obs_key(count: int) -> dict[str, str]:
    return {"access_key_id": f"LIGHTLYACCESSKEY{count}", "secret_access_key": f"canary-secret-number-{count}"}


def _retire_obs_key(sandbox: Sandbox, count: int) -> None:
    key = _obs_key(count)["access_key_id"]
    sandbox.obs._server.client("iam").delete_access_key(UserName=USER, AccessKeyId=key)


RENEWALS: Final = {
    "s3-keys": Renewal(
        "s3", lambda _: {"access": {"kind": "keys", "share": "acme", "rotate_every_days": 30}}, ROTATION_KEY
    ),
    "s3-external-id": Renewal(
        "s3", lambda _: {"access": {"kind": "delegated", "share": "acme"}}, EXTERNAL_ID_ROTATION_KEY
    ),
    "gcs": Renewal("gcs", lambda _: {"access": {"share": "acme", "rotate_every_days": 30}}, ROTATION_KEY),
    "azure": Renewal("azure", lambda _: {}, ROTATION_KEY, ends_itself=True),
    "obs": Renewal("obs", _obs_key, retire=_retire_obs_key),
}
