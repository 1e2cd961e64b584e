"""Which places are asked for leftovers, and what is said where they cannot be listed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra import ownership
from lightly_infra.clouds.aws import leftovers as of_s3
from lightly_infra.clouds.obs import leftovers as of_obs
from lightly_infra.leftovers import Known
from lightly_infra.stack import leftovers
from lightly_infra.stack.settings import DATASETS_KEY, Settings

if TYPE_CHECKING:
    from lightly_infra.clouds.obs.connection import Server
    from lightly_infra.leftovers import Leftover

STACK = "acme/vision/prod"
KNOWN = Known(frozenset({STACK, ownership.label(STACK)}), frozenset())
INPUT = {"s3": {"bucket": "acme-raw", "prefix": "scenes/", "access": "delegated"}}
OBS = {
    "create": True,
    "prefix": "lightly/",
    "access_key_id": "LIGHTLYACCESSKEYID",
    "secret_access_key": "a-secret-key",
    "user": "arn:aws:iam::a1b2c3d4e5f60718293a4b5c6d7e8f90:user/0f1e2d3c4b5a69788796a5b4c3d2e1f0",
}


def settings(*lightly: dict[str, Any]) -> Settings:
    datasets = {f"scenes-{number}": {"input": INPUT, "lightly": source} for number, source in enumerate(lightly)}
    config = {"aws:region": "eu-central-1", DATASETS_KEY: json.dumps(datasets)}
    return Settings.read(config, secret_keys={DATASETS_KEY})


@pytest.fixture(autouse=True)
def _nothing_on_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_s3, "find", lambda *_: iter(()))


def said(wanted: Settings, cloud: str) -> str:
    (message,) = (it.message for it in leftovers.find(wanted, KNOWN) if it.details["cloud"] == cloud)
    return message


def test_every_server_of_obs_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def find(server: Server, *_: object) -> list[Leftover]:
        asked.append(server.endpoint)
        return []

    monkeypatch.setattr(of_obs, "find", find)
    places = [{**OBS, "endpoint": f"https://obs.{it}.otc.t-systems.com", "region": it} for it in ("eu-nl", "eu-de")]

    assert said(settings(*({"obs": it} for it in places)), "obs") == "nothing on obs"
    assert asked == [it["endpoint"] for it in places]


def test_the_command_on_google_cloud_asks_every_project_for_the_label() -> None:
    made = [
        {"create": True, "location": "europe-west3", "prefix": "lightly/", "project": it}
        for it in ("acme-one", "acme-two")
    ]

    message = said(settings(*({"gcs": it} for it in made)), "gcs")

    assert all(f"--project {it['project']} " in message for it in made)
    assert f"of stack {ownership.label(STACK)}\\." in message


def test_the_command_on_azure_asks_for_the_tag() -> None:
    made = {"create": True, "location": "westeurope", "prefix": ""}

    assert f"'lightly-infra:stack={STACK}'" in said(settings({"azure": made}), "azure")
