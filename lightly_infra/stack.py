"""The whole program behind `stacks/`: the YAML in, components out."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

import pulumi
from pulumi.runtime import config as runtime_config

from lightly_infra import paths, spec
from lightly_infra.dataset import Dataset, DatasetArgs
from lightly_infra.lightly.models import DatasetType
from lightly_infra.permissions import Purpose
from lightly_infra.provider import Dataset as Registration
from lightly_infra.provider import DatasetResourceArgs
from lightly_infra.provider.session import TOKEN_CONFIG_KEY

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from lightly_infra.clouds.aws.access import Access
    from lightly_infra.clouds.aws.storage import Bucket
    from lightly_infra.clouds.interface import CloudDatasource

DATASETS_KEY: Final = "lightly-infra:datasets"
LIGHTLY_ACCOUNT_KEY: Final = "lightly-infra:lightly_account_id"

_OURS: Final = "lightly-infra:"
_KEYS: Final = (DATASETS_KEY, LIGHTLY_ACCOUNT_KEY, TOKEN_CONFIG_KEY)


@dataclass(frozen=True)
class Settings:
    """What a stack's config says, checked."""

    datasets: Mapping[str, spec.DatasetSpec]
    """By the key in the YAML."""

    lightly_account_id: str | None = None
    """The AWS account that Lightly comes from, where it is not the usual one."""

    @classmethod
    def read(cls, config: Mapping[str, str], *, secret_keys: Collection[str] = ()) -> Settings:
        """Reads a stack's config, and `AWS_REGION` from the environment where `aws:region` is not set.

        Args:
            config: by key in full, such as `aws:region`; values as programs get them, objects as JSON.
            secret_keys: the keys whose values are encrypted.

        Raises:
            SpecError: with a line for each problem.
        """
        problems = [_unknown(key) for key in config if key.startswith(_OURS) and key not in _KEYS]
        if TOKEN_CONFIG_KEY in config and TOKEN_CONFIG_KEY not in secret_keys:
            problems.append(
                f"{TOKEN_CONFIG_KEY}: stands in clear; set it with `pulumi config set --secret {TOKEN_CONFIG_KEY}`, "
                "or better LIGHTLY_TOKEN in the environment, and have the token replaced"
            )
        if problems:
            raise spec.SpecError(problems)
        try:
            datasets = json.loads(config.get(DATASETS_KEY, "null"))
        except json.JSONDecodeError:
            raise spec.SpecError([f"{DATASETS_KEY}: not a mapping; write it as YAML under 'config:'"]) from None
        region = config.get("aws:region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        return cls(
            datasets=spec.parse(datasets, default_region=region),
            lightly_account_id=spec.parse_account_id(config.get(LIGHTLY_ACCOUNT_KEY)),
        )

    @classmethod
    def of_stack(cls) -> Settings:
        """The running stack's. Raises SpecError as `read` does."""
        config = runtime_config.get_config_env() | runtime_config.CONFIG.get()
        return cls.read(config, secret_keys={key for key in config if runtime_config.is_config_secret(key)})


def _unknown(key: str) -> str:
    near = get_close_matches(key, _KEYS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(_KEYS)}"
    return f"{key}: unknown key; {hint}"


def main() -> None:
    """Runs the stack: every dataset that its config declares.

    Raises:
        pulumi.RunError: the config is wrong or the token missing; nothing has been touched by then.
    """
    try:
        settings = Settings.of_stack()
    except spec.SpecError as error:
        lines = "".join(f"\n  {problem}" for problem in error.problems)
        raise pulumi.RunError(f"the config of stack {pulumi.get_stack()!r} does not hold:{lines}") from None
    # Said here, once, instead of by every resource; a preview needs no token.
    if not pulumi.runtime.is_dry_run() and not _has_token():
        raise pulumi.RunError(
            "no Lightly token: set LIGHTLY_TOKEN in the environment, or run "
            f"`pulumi config set --secret {TOKEN_CONFIG_KEY}`; nothing was changed"
        )
    deploy(settings)


def deploy(settings: Settings) -> None:
    """Declares all datasets and exports what they became."""
    builder = _Builder(settings)
    built = {key: builder.dataset(key, dataset) for key, dataset in settings.datasets.items()}
    pulumi.export("datasets", {key: it.outputs() for key, it in built.items()})
    pulumi.export("credentials", {key: it.credentials() for key, it in built.items()})


def _has_token() -> bool:
    return bool(os.environ.get("LIGHTLY_TOKEN") or runtime_config.get_config(TOKEN_CONFIG_KEY))


@dataclass(frozen=True)
class _Built:
    dataset: Dataset
    registration: Registration
    sources: Mapping[str, CloudDatasource]

    def outputs(self) -> dict[str, Any]:
        bypass = {} if self.dataset.verified else {"worker_config": {"datasource": {"bypass_verify": True}}}
        return {
            "id": self.dataset.dataset_id,
            "name": self.registration.name,
            "type": self.registration.type,
            "url": self.dataset.url,
            "verified": self.dataset.verified,
            **{name: {"path": it.path, **it.identity} for name, it in self.sources.items()},
            **bypass,
        }

    def credentials(self) -> dict[str, Any]:
        return {name: dict(it.secrets) for name, it in self.sources.items()}


class _Builder:
    """Makes components; what several datasets share is made once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._first: list[Registration] = []
        self._accesses: dict[str, Access] = {}
        self._buckets: dict[str, Bucket] = {}
        self._to_create = {
            cloud.s3.bucket: (cloud.s3, dataset)
            for dataset in settings.datasets.values()
            for cloud in (dataset.input, dataset.lightly)
            if cloud.s3.create and cloud.s3.bucket
        }

    def dataset(self, key: str, wanted: spec.DatasetSpec) -> _Built:
        name = paths.slug(key)
        registration = self._register(name, key, wanted)
        # All that costs money waits until Lightly knows the dataset: a refused token stops here.
        opts = pulumi.ResourceOptions(depends_on=[registration])
        source = self._s3(name, Purpose.INPUT, wanted.input.s3, wanted, opts)
        target = self._s3(name, Purpose.LIGHTLY, wanted.lightly.s3, wanted, opts)
        args: DatasetArgs = {"registration": registration, "input": source, "lightly": target}
        if wanted.verify_deadline is not None:
            args["verify_deadline"] = wanted.verify_deadline
        return _Built(Dataset(name, args), registration, {"input": source, "lightly": target})

    def _register(self, name: str, key: str, wanted: spec.DatasetSpec) -> Registration:
        args: DatasetResourceArgs = {"adopt": wanted.adopt, "on_destroy": wanted.on_destroy}
        if wanted.id is not None:
            args["dataset_id"] = wanted.id
        if wanted.name is not None or wanted.id is None:
            args["name"] = wanted.name or key
        if wanted.type is not None or wanted.id is None:
            args["type"] = wanted.type or DatasetType.IMAGES
        # The others wait for the first: what is wrong with the token or the network is said once.
        registration = Registration(name, args, pulumi.ResourceOptions(depends_on=list(self._first)))
        self._first = self._first or [registration]
        return registration

    def _s3(
        self,
        dataset: str,
        purpose: Purpose,
        wanted: spec.S3Spec,
        of: spec.DatasetSpec,
        opts: pulumi.ResourceOptions,
    ) -> CloudDatasource:
        from lightly_infra.clouds import aws

        name = f"lightly-{dataset}-{purpose.lower()}"
        args: aws.S3DatasourceArgs = {
            "purpose": purpose,
            "bucket": self._bucket(name, wanted, of, opts),
            "prefix": wanted.prefix,
            "region": wanted.region,
            "access": self._access(name, wanted, opts),
            "allowed_source_ips": wanted.allowed_source_ips,
        }
        if wanted.kms_key_arn:
            args["kms_key_arn"] = wanted.kms_key_arn
        return aws.S3Datasource(name, args, opts)

    def _bucket(
        self, name: str, wanted: spec.S3Spec, of: spec.DatasetSpec, opts: pulumi.ResourceOptions
    ) -> Bucket | str:
        from lightly_infra.clouds import aws

        if wanted.bucket is not None:
            if wanted.bucket not in self._to_create:
                return wanted.bucket
            # One datasource of the stack creates it, others may use it.
            wanted, of = self._to_create[wanted.bucket]
        # Named after itself, whichever of its datasets comes first or goes: another name is another bucket.
        name = f"{wanted.bucket}-bucket" if wanted.bucket else name
        if name not in self._buckets:
            args: aws.BucketArgs = {
                "region": wanted.region,
                "versioning": wanted.versioning,
                "retain": of.on_destroy == "keep",
                "tags": _tags(wanted),
            }
            if wanted.bucket:
                args["bucket"] = wanted.bucket
            if wanted.kms_key_arn:
                args["kms_key_arn"] = wanted.kms_key_arn
            if logs := wanted.access_logs:
                args["access_logs"] = {"bucket": logs.bucket, "prefix": logs.prefix}
            self._buckets[name] = aws.Bucket(name, args, opts)
        return self._buckets[name]

    def _access(self, name: str, wanted: spec.S3Spec, opts: pulumi.ResourceOptions) -> Access:
        from lightly_infra.clouds import aws

        access = wanted.access
        # No datasource's own access is called so: those end in their purpose.
        name = f"lightly-{access.share}-shared" if access.share else name
        if name in self._accesses:
            return self._accesses[name]
        if access.kind == "keys":
            user: aws.AccessKeysArgs = {"tags": _tags(wanted)}
            if access.permissions_boundary:
                user["permissions_boundary"] = access.permissions_boundary
            self._accesses[name] = aws.AccessKeys(name, user, opts)
        else:
            args: aws.DelegatedAccessArgs = {"tags": _tags(wanted)}
            if access.permissions_boundary:
                args["permissions_boundary"] = access.permissions_boundary
            if access.role_arn:
                args["role_arn"] = access.role_arn
            if access.external_id:
                args["external_id"] = access.external_id.get_secret_value()
            if self._settings.lightly_account_id:
                args["lightly_account_id"] = self._settings.lightly_account_id
            self._accesses[name] = aws.DelegatedAccess(name, args, opts)
        return self._accesses[name]


def _tags(wanted: spec.S3Spec) -> dict[str, str]:
    return {"managed-by": "lightly-infra", **wanted.tags}
