"""What was made for a deployed stack and its state does not know, on each cloud that the stack uses."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from lightly_infra import health
from lightly_infra.leftovers import CannotListError
from lightly_infra.spec.obs import ObsSpec
from lightly_infra.spec.s3 import S3Spec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lightly_infra.leftovers import Known, Leftover
    from lightly_infra.spec.fields import DatasourceSpec
    from lightly_infra.stack.settings import Settings

# Nothing that this package needs anyway can list these. `{stack}` is what the marks say of the stack.
_BY_HAND: Final[Mapping[str, str]] = {
    "azure": "az resource list --tag 'lightly-infra:stack={stack}' --output table",
    "gcs": "gcloud iam service-accounts list --project {project} --filter 'description~\"of stack {stack}\\.\"'",
}


def find(settings: Settings, known: Known) -> Iterator[health.Finding]:
    """Of every cloud that the stack uses.

    Args:
        settings: The stack's.
        known: What its state knows.
    """
    clouds: dict[str, DatasourceSpec] = {}
    for dataset in settings.datasets.values():
        clouds |= {cloud.cloud: cloud.datasource for cloud in dataset.datasources.values()}
    for cloud, source in clouds.items():
        try:
            yield from health.leftovers(cloud, list(_of(cloud, source, settings, known)))
        except CannotListError as error:
            yield health.not_listed(cloud, str(error))


def _of(cloud: str, source: DatasourceSpec, settings: Settings, known: Known) -> Iterator[Leftover]:
    if not known.stacks:
        raise CannotListError("nothing in the state carries marks yet: run `pulumi up`, which adds them")
    if isinstance(source, S3Spec):
        from lightly_infra.clouds.aws import leftovers

        return leftovers.find(settings.config, source.region, known)
    if isinstance(source, ObsSpec):
        from lightly_infra.clouds.obs import connection
        from lightly_infra.clouds.obs import leftovers as of_obs

        if source.region is None:
            raise CannotListError("region is missing: name the bucket's, or set obs:region for the stack")
        server = connection.Server(source.endpoint, source.region, source.addressing)
        acting = connection.Settings.read(os.environ, settings.config.get)
        return iter(of_obs.find(server, acting, known))
    # The shortest is a label, which all clouds allow; of several the tag says most.
    stack = min(known.stacks, key=len) if cloud == "gcs" else max(known.stacks, key=len)
    command = _BY_HAND[cloud].format(stack=stack, project=getattr(source, "project", None))
    raise CannotListError(f"it cannot be listed from here; `{command}` shows what there is")
