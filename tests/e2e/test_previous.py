"""What a program is told of its stack's last run, on both engines: it is what the run has made."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lightly_infra import stack
from lightly_infra.permissions import Purpose
from lightly_infra.stack import previous
from tests.e2e.runs import deploy

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightly_infra.sandbox.engine.interface import Program
    from lightly_infra.sandbox.environment import Sandbox


def test_a_program_is_told_what_its_stack_had_after_the_last_run(
    sandbox: Sandbox, program: Callable[..., Program], street_scenes: dict[str, Any]
) -> None:
    told: list[previous.Previous | None] = []

    def run() -> None:
        told.append(previous.read())
        stack.main()

    watched = replace(program(street_scenes), run=run)
    # A stack that has never run, which no question may end.
    assert not sandbox.preview(watched).failures
    deploy(sandbox, watched)
    assert told == [None, None]
    assert not sandbox.preview(watched).failures
    deploy(sandbox, watched)
    ((id_, registered),) = sandbox.lightly.datasets.items()
    buckets = [it["Name"] for it in sandbox.aws.client("s3").list_buckets()["Buckets"]]
    (bucket,) = [it for it in buckets if it.startswith("lightly-street-scenes")]
    roles = {it["Arn"] for it in sandbox.aws.client("iam").list_roles()["Roles"]}
    for read in told[2:]:
        assert read is not None
        (dataset,) = read.datasets.values()
        assert (dataset.key, dataset.id, dataset.name) == ("street-scenes", id_, registered.name)
        assert dataset.datasources[Purpose.INPUT]["full_path"] == "s3://acme-raw/street-scenes/"
        assert {(it.kind, it.name) for it in read.made} == {("bucket", bucket), *(("role", it) for it in roles)}
        assert {it.dataset for it in read.made} == {"street-scenes"}
        everything = str([it.outputs for it in read.resources])
        assert not [secret for secret in sandbox.lightly.secrets if secret in everything]
