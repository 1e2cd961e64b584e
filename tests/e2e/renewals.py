"""How credentials are renewed on each cloud: what the YAML and the stack's config say after so many renewals."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from lightly_infra import stack
from lightly_infra.sandbox.engine.interface import Program
from tests.e2e.clouds import CLOUDS, USER, dataset

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightly_infra.sandbox.environment import Sandbox

REGION: Final = "eu-central-1"


@dataclass(frozen=True)
class Renewal:
    """One way to renew what both datasources of a dataset get in with."""

    cloud: str
    """Its key in the YAML."""
    says: Callable[[int], dict[str, Any]]
    """What both datasources say besides, after so many renewals."""
    counted: str | None = None
    """What counts renewals in the stack's settings; None where the user renews by hand."""
    retire: Callable[[Sandbox, int], None] = lambda *_: None
    """Does the user's part: takes away what was used so many renewals after the start."""
    ends_itself: bool = False
    """Whether older credentials live until they expire."""

    def program(self, count: int, **more: Any) -> Program:
        """The shipped program after so many renewals, with more said of the dataset."""
        cloud = CLOUDS[self.cloud]  # type: ignore[index]
        wanted = dataset(cloud, cloud) | more
        for purpose in ("input", "lightly"):
            wanted[purpose][self.cloud] |= copy.deepcopy(self.says(count))
        config = {"aws:region": REGION, stack.DATASETS_KEY: json.dumps({"street-scenes": wanted})}
        return Program(lambda: self._run(count), "lightly-infra", "test", config, frozenset({stack.DATASETS_KEY}))

    def _run(self, count: int) -> None:
        """The shipped program. Counted in its config, each renewal would cost another process of dynamic providers."""
        read = stack.Settings.of_stack
        counted: dict[str, Any] = {self.counted: count} if self.counted else {}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stack.Settings, "of_stack", lambda: replace(read(), **counted))
            stack.main()


def _obs_key(count: int) -> dict[str, str]:
    return {"access_key_id": f"LIGHTLYACCESSKEY{count}", "secret_access_key": f"canary-secret-number-{count}"}


def _retire_obs_key(sandbox: Sandbox, count: int) -> None:
    key = _obs_key(count)["access_key_id"]
    sandbox.obs._server.client("iam").delete_access_key(UserName=USER, AccessKeyId=key)


RENEWALS: Final = {
    "s3-keys": Renewal(
        "s3", lambda _: {"access": {"kind": "keys", "share": "acme", "rotate_every_days": 30}}, "rotation"
    ),
    "s3-external-id": Renewal(
        "s3", lambda _: {"access": {"kind": "delegated", "share": "acme"}}, "external_id_rotation"
    ),
    "gcs": Renewal("gcs", lambda _: {"access": {"share": "acme", "rotate_every_days": 30}}, "rotation"),
    "azure": Renewal("azure", lambda _: {}, "rotation", ends_itself=True),
    "obs": Renewal("obs", _obs_key, retire=_retire_obs_key),
}
