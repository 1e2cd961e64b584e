"""Credentials are renewed while Lightly works: no request is lost, and what does not work is not kept.

Ten times in CI (`THOROUGH=1 make test`), otherwise as often as three generations take.
"""

from __future__ import annotations

import os
import re
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from lightly_infra import provider
from lightly_infra.renewals import REVOKED_BY
from lightly_infra.sandbox.engine.interface import Program
from lightly_infra.sandbox.environment import EngineName, Sandbox
from tests.e2e.at_work import Reader, held, is_refused, use, verified_by_use
from tests.e2e.renewals import RENEWALS, Renewal
from tests.e2e.runs import changed, deploy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.at_work import Held

ROTATIONS = 10 if os.environ.get("THOROUGH") else 4


@pytest.fixture(params=RENEWALS)
def renewal(request: pytest.FixtureRequest) -> Renewal:
    return RENEWALS[request.param]


@pytest.fixture
def sandbox(engine: EngineName) -> Iterator[Sandbox]:
    with Sandbox(engine=engine) as running:
        yield running


def assert_proved(sandbox: Sandbox, program: Program) -> None:
    """What is there needs no change, and all is allowed and refused that must be."""
    assert changed(sandbox.refresh(program)) == set()
    again = deploy(sandbox, program)
    assert changed(again) == set()
    assert sandbox.report(again).ok


def test_renewals_lose_no_request_and_leave_two_generations(sandbox: Sandbox, renewal: Renewal) -> None:
    generations: list[list[Held]] = []
    with verified_by_use(sandbox):
        deploy(sandbox, renewal.program(0))
        generations.append(held(sandbox))
        with Reader(sandbox) as reader:
            for count in range(1, ROTATIONS + 1):
                reader.take()
                deploy(sandbox, renewal.program(count))
                reader.work()
                generations.append(held(sandbox))
                if count >= 2:
                    renewal.retire(sandbox, count - 2)

    assert reader.lost == []
    assert reader.requests >= 4 * ROTATIONS, "both datasources in each generation, by Lightly and by a worker"
    for one, other in pairwise(generations):
        assert all(before != after for before, after in zip(one, other, strict=True)), "each is another"
    for older in generations[:-2]:
        assert all(is_refused(sandbox, it) != renewal.ends_itself for it in older)
    for living in generations[-2:]:
        for it in living:
            use(sandbox, it)
    assert_proved(sandbox, renewal.program(ROTATIONS))


@pytest.mark.parametrize(
    ("name", "steps"), [("s3-keys", [REVOKED_BY]), ("gcs", [REVOKED_BY]), ("s3-external-id", [1, 2])]
)
def test_what_lightly_held_is_refused_after_a_revocation_and_lightly_works_all_the_while(
    sandbox: Sandbox, name: str, steps: list[int]
) -> None:
    renewal = RENEWALS[name]
    with verified_by_use(sandbox):
        deploy(sandbox, renewal.program(0))
        leaked = held(sandbox)
        for count in steps:
            deploy(sandbox, renewal.program(count))

    assert all(is_refused(sandbox, it) for it in leaked)
    for it in held(sandbox):
        use(sandbox, it)
    assert_proved(sandbox, renewal.program(steps[-1]))


def test_a_sas_is_signed_with_another_key_after_a_revocation_so_that_the_key_before_can_be_regenerated(
    sandbox: Sandbox,
) -> None:
    renewal = RENEWALS["azure"]
    before, after = (
        deploy(sandbox, renewal.program(count)).outputs["credentials"]["street-scenes"]["input"]["signed_with"]
        for count in (0, REVOKED_BY)
    )

    assert {before, after} == {"key1", "key2"}


def test_what_does_not_work_in_time_is_not_kept_and_nothing_older_goes(sandbox: Sandbox, renewal: Renewal) -> None:
    with verified_by_use(sandbox):
        deploy(sandbox, renewal.program(0))
        deploy(sandbox, renewal.program(1))
    before = held(sandbox)

    with verified_by_use(sandbox, knows=before.__contains__):
        failed = sandbox.up(renewal.program(2, verify_deadline=0.2))

    assert failed.failures
    for failure in failed.failures:
        assert re.search("the new credentials of the (Input|Lightly) datasource", failure.message)
        assert "AccessDenied: not known yet" in failure.message
        assert "The previous ones stay registered, and work" in failure.message
    assert held(sandbox) == before
    for it in before:
        use(sandbox, it)
    assert "delete" not in {it.operation for it in failed.changes}

    with verified_by_use(sandbox):
        deploy(sandbox, renewal.program(2))
    assert all(one != other for one, other in zip(held(sandbox), before, strict=True))
    for it in before:
        use(sandbox, it)


def test_datasources_from_before_they_had_a_deadline_stay_as_they_are(sandbox: Sandbox) -> None:
    config = {
        "type": "S3DelegatedAccess",
        "full_path": "s3://acme-raw/raw/",
        "s3_region": "eu-central-1",
        "s3_arn": "arn:aws:iam::123456789012:role/theirs",
        "s3_external_id": "canary-external-id",
    }

    def declaring(**deadline: float) -> Program:
        def run() -> None:
            scenes = provider.Dataset("scenes", {"name": "scenes", "type": "Images"})
            args: provider.DatasourceArgs = {"dataset_id": scenes.id, "purpose": "INPUT", "config": config}
            provider.Datasource("scenes-input", {**args, **deadline})  # type: ignore[typeddict-item] # its one key

        return Program(run, "own", "test", {"aws:region": "eu-central-1"})

    assert len(changed(deploy(sandbox, declaring()))) == 2
    for deadline in ({"deadline": 120.0}, {"deadline": 5.0}, {}):
        assert changed(sandbox.preview(declaring(**deadline))) == set()
        assert changed(deploy(sandbox, declaring(**deadline))) == set()
        assert changed(sandbox.refresh(declaring(**deadline))) == set()
