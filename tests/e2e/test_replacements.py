"""A dataset that is replaced: the new one is there before the old one goes, and what fails costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lightly_infra.sandbox.environment import Sandbox
from tests.e2e.runs import changed, deploy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lightly_infra.sandbox.engine.interface import Program
    from lightly_infra.sandbox.environment import EngineName

    Make = Callable[..., Program]

Datasets = dict[str, Any]
NAME = "street-scenes"
ID = "ab" * 12
FILMS = {"name": "films", "type": "Videos"}


@pytest.fixture
def logged() -> list[str]:
    return []


@pytest.fixture
def sandbox(engine: EngineName, logged: list[str]) -> Iterator[Sandbox]:
    with Sandbox(engine=engine, clouds=["s3"], on_log=lambda _, message: logged.append(message)) as running:
        yield running


def filled(sandbox: Sandbox) -> str:
    """The id of the one dataset, which gets samples."""
    (dataset,) = sandbox.lightly.datasets.values()
    dataset.n_samples = 12
    return dataset.id


def edited(datasets: Datasets, **edit: str) -> Datasets:
    return {NAME: {**{key: it for key, it in datasets[NAME].items() if key != "type"}, **edit}}


def test_whatever_replacement_fails_the_dataset_stays_and_the_edit_can_be_reverted(
    sandbox: Sandbox, program: Make, street_scenes: Datasets
) -> None:
    street_scenes[NAME]["on_destroy"] = "delete"
    deploy(sandbox, program(street_scenes))
    made = filled(sandbox)

    for edit, status, said in (
        ({"id": ID}, None, "Check `id:`"),
        (FILMS, 500, "Lightly answered 500"),
    ):
        if status is not None:
            sandbox.lightly.fail_next("POST", "/v1/datasets", status)
        # Not by the sandbox, which would make up what the id names.
        failures = sandbox.engine.up(program(edited(street_scenes, **edit))).failures
        assert any(said in it.message for it in failures), failures

        assert sandbox.lightly.datasets[made].n_samples == 12
        assert len(sandbox.lightly.datasets[made].datasources) == 2
    assert changed(sandbox.preview(program(street_scenes))) == set()
    assert list(sandbox.lightly.datasets) == [made]


def test_another_type_under_another_name_is_made_first_and_the_old_one_goes_last(
    sandbox: Sandbox, program: Make, street_scenes: Datasets
) -> None:
    street_scenes[NAME]["on_destroy"] = "delete"
    deploy(sandbox, program(street_scenes))
    made = filled(sandbox)

    result = sandbox.up(program(edited(street_scenes, **FILMS)))

    assert ("replace", "Dataset", NAME) in changed(result)
    (films,) = sandbox.lightly.datasets.values()
    assert (films.name, films.type, len(films.datasources)) == ("films", "Videos", 2)
    of_datasets = [it.split("?")[0] for it in sandbox.lightly.requests if it.split()[0] in {"POST", "DELETE"}]
    assert of_datasets == ["POST /v1/datasets"] * 2 + [f"DELETE /v1/datasets/{made}"]


def test_a_dataset_of_another_stack_is_never_shared_and_used_only_when_asked(
    sandbox: Sandbox, program: Make, street_scenes: Datasets, logged: list[str]
) -> None:
    street_scenes[NAME]["on_destroy"] = "delete"
    sandbox.lightly.put_dataset(ID, NAME, "Images")

    for run in (sandbox.preview, sandbox.up):
        (failure,) = run(program(street_scenes)).failures
        for way in ("exists already", "`adopt: true`", f"`id: {ID}`", f"`take_over: {ID}`"):
            assert way in failure.message
    assert sandbox.lightly.datasets[ID].datasources == {}

    street_scenes[NAME]["adopt"] = True
    for run in (sandbox.preview, sandbox.up):
        logged.clear()
        assert not run(program(street_scenes)).failures
        assert any("it is adopted as it is, and never deleted" in it for it in logged), logged
    assert not sandbox.destroy(program(street_scenes)).failures
    assert list(sandbox.lightly.datasets) == [ID]


def test_what_an_interrupted_run_left_is_taken_over_by_its_id_once(
    sandbox: Sandbox, program: Make, street_scenes: Datasets, logged: list[str]
) -> None:
    left = edited(street_scenes, take_over=ID, on_destroy="delete")

    deploy(sandbox, program(left))

    assert list(sandbox.lightly.datasets) == [ID]
    assert [it for it in logged if ID in it] == [
        f"{NAME}.take_over: the sandbox made up dataset {ID} (Images, empty); a real `up` needs one that exists"
    ]
    del left[NAME]["take_over"]
    assert changed(sandbox.up(program(left))) == set()
    assert not sandbox.destroy(program(left)).failures
    assert sandbox.lightly.datasets == {}
