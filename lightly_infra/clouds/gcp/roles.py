"""Custom roles that somebody has deleted: Google keeps them for 7 days, and its provider takes them for present."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from lightly_infra.clouds.functions import Refused, ask

if TYPE_CHECKING:
    from collections.abc import Iterable

TYPE: Final = "gcp:projects/iAMCustomRole:IAMCustomRole"


async def deleted(names: Iterable[str]) -> list[str]:
    """Those roles that are deleted, and can be brought back; none where nobody knows.

    Replaced, such a role would be brought back and then deleted as its own predecessor; removed, it would refuse.

    Args:
        names: such as `projects/acme-vision/roles/lightly_street_scenes_input_0a1b2c`.
    """
    known = sorted(set(names))
    answers = await asyncio.gather(*map(_is_deleted, known))
    return [name for name, gone in zip(known, answers, strict=True) if gone]


async def _is_deleted(name: str) -> bool:
    _, project, _, role_id = name.split("/")
    function = "gcp:projects/getIamCustomRole:getIamCustomRole"
    found = await ask(function, {"project": project, "roleId": role_id}, "pulumi_gcp")
    return not isinstance(found, Refused) and bool(found.get("deleted"))


def how_to_undelete(name: str) -> str:
    """What is wrong with a deleted role, and what to do."""
    _, project, _, role_id = name.split("/")
    return (
        f"the custom role {role_id!r} of project {project!r} has been deleted, so Lightly is granted nothing: run "
        f"`gcloud iam roles undelete {role_id} --project={project}` and `pulumi up --refresh`; 7 days after it was "
        "deleted it cannot come back: see docs/recovery.md"
    )
