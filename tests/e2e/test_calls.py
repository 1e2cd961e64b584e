"""What a run costs Lightly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.e2e.runs import deploy

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightly_infra.sandbox.engine.interface import Program
    from lightly_infra.sandbox.environment import Sandbox


def test_a_new_dataset_costs_six_calls_and_an_unchanged_one_none(
    sandbox: Sandbox, program: Callable[..., Program], street_scenes: dict[str, Any]
) -> None:
    deploy(sandbox, program(street_scenes))

    (dataset_id,) = sandbox.lightly.datasets
    one, calls = f"/v1/datasets/{dataset_id}", sandbox.lightly.requests
    assert calls[:2] == ["POST /v1/datasets", "GET /v1/datasets/query/name/street-scenes"]
    assert calls[2:5] == [f"PUT {one}/datasource"] * 2 + [f"GET {one}/datasource/all"]
    # It is asked until the permissions are in effect; here they are at once.
    assert calls[5:] == [f"GET {one}/datasource/verify"]

    deploy(sandbox, program(street_scenes))
    assert sandbox.lightly.requests == calls
