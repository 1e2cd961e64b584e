"""What carries a stack's marks in a project of Google Cloud: accounts and their keys, roles, buckets. Only reads."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from lightly_infra.clouds import rest
from lightly_infra.clouds.functions import Refused, ask
from lightly_infra.clouds.gcp import lifecycle
from lightly_infra.leftovers import CannotListError, Marked
from lightly_infra.lightly.redaction import one_line, redact

if TYPE_CHECKING:
    from collections.abc import Iterator

_IAM: Final = "https://iam.googleapis.com/v1/"
_IAM_VARIABLE: Final = "GOOGLE_IAM_CUSTOM_ENDPOINT"
"""Where Google's provider goes instead, if it is set ("Provider Configuration Reference", custom endpoints)."""
_MOST_PAGES: Final = 100
"""An account's projects have 100 service accounts and 300 roles unless Google was asked for more ("Quotas")."""


async def marked(project: str) -> list[Marked]:
    """All that lightly-infra has made there, for whichever stack.

    Args:
        project: its id.

    Raises:
        CannotListError: Google refuses, or cannot be reached. It takes `iam.serviceAccounts.list`,
            `iam.serviceAccountKeys.list`, `iam.roles.list` and `storage.buckets.list`.
    """
    acting = await ask("gcp:organizations/getClientConfig:getClientConfig", {}, "pulumi_gcp")
    if isinstance(acting, Refused):
        raise CannotListError(one_line(redact(acting.said)))
    token = str(acting.get("accessToken"))
    try:
        return await asyncio.to_thread(lambda: list(_listed(project, token)))
    except rest.Unanswered as error:
        raise CannotListError(one_line(redact(str(error), [token]))) from None


def _listed(project: str, token: str) -> Iterator[Marked]:
    iam = os.environ.get(_IAM_VARIABLE) or _IAM
    there = f"{iam.rstrip('/')}/projects/{quote(project, safe='')}"
    with rest.Rest(iam) as api:
        for it in _pages(api, f"{there}/serviceAccounts", "accounts", token, pageSize="100"):
            account, said = it["email"], it.get("description", "")
            command = f"gcloud iam service-accounts delete {account} --project={project} --quiet"
            found = Marked("service account", account, description=said, commands=(command,))
            if not found.is_ours:
                continue
            yield found
            keys = f"{there}/serviceAccounts/{quote(account, safe='')}/keys"
            for key in _pages(api, keys, "keys", token, keyTypes="USER_MANAGED"):
                number = key["name"].rpartition("/")[2]
                command = f"gcloud iam service-accounts keys delete {number} --iam-account={account} --quiet"
                yield Marked(
                    f"key of service account {account}:", key["name"], said, within=account, commands=(command,)
                )
        for it in _pages(api, f"{there}/roles", "roles", token, pageSize="300"):
            number = it["name"].rpartition("/")[2]
            command = f"gcloud iam roles delete {number} --project={project}"
            yield Marked("custom role", it["name"], it.get("description", ""), commands=(command,))
    storage = lifecycle.endpoint()
    with rest.Rest(storage) as api:
        wanted = {"project": project, "maxResults": "1000", "fields": "items(name,labels),nextPageToken"}
        for it in _pages(api, f"{storage}/storage/v1/b", "items", token, **wanted):
            yield Marked("bucket", it["name"], marks=it.get("labels") or {})


def _pages(api: rest.Rest, url: str, items: str, token: str, **params: str) -> Iterator[Any]:
    for _ in range(_MOST_PAGES):
        body = api.get(f"{url}?{urlencode(params)}", {"Authorization": f"Bearer {token}"})
        try:
            answer = json.loads(body)
            yield from answer.get(items) or ()
        except (ValueError, AttributeError, KeyError, TypeError):
            raise rest.Unanswered("what came back is no listing") from None
        if not (following := answer.get("nextPageToken")):
            return
        params["pageToken"] = following
    raise rest.Unanswered("a listing without end")
