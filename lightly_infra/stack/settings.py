"""What a stack's config says, checked."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pulumi
import yaml
from pulumi.runtime import config as runtime_config

from lightly_infra import expiry, spec
from lightly_infra.clouds.aws import policy
from lightly_infra.provider.session import TOKEN_CONFIG_KEY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

DATASETS_KEY: Final = spec.DATASETS_KEY
LIGHTLY_ACCOUNT_KEY: Final = "lightly-infra:lightly_account_id"

OBS_SECRET_KEY: Final = "obs:secret_access_key"  # noqa: S105 - the name of a setting, not its value

ROTATION_KEY: Final = "lightly-infra:rotation"
EXTERNAL_ID_ROTATION_KEY: Final = "lightly-infra:external_id_rotation"
WARN_DAYS_KEY: Final = "lightly-infra:warn_days"

_OURS: Final = ("lightly-infra:", "obs:")
_KEYS: Final = (
    *(DATASETS_KEY, LIGHTLY_ACCOUNT_KEY, TOKEN_CONFIG_KEY),
    *(ROTATION_KEY, EXTERNAL_ID_ROTATION_KEY, WARN_DAYS_KEY),
    *("obs:endpoint", "obs:region", "obs:access_key_id", OBS_SECRET_KEY),
)
# Where datasources that do not say otherwise get it from: first the stack's config, then the environment.
_DEFAULTS: Final = {
    "region": ("aws:region", "AWS_REGION", "AWS_DEFAULT_REGION"),
    "azure_location": ("azure-native:location",),
    "project": ("gcp:project", "GOOGLE_CLOUD_PROJECT", "GOOGLE_PROJECT", "CLOUDSDK_CORE_PROJECT"),
    "obs_endpoint": ("obs:endpoint",),
    "obs_region": ("obs:region",),
}


@dataclass(frozen=True)
class Settings:
    """What a stack's config says, checked."""

    datasets: Mapping[str, spec.DatasetSpec]
    """By the key in the YAML."""

    lightly_account_id: str = policy.LIGHTLY_ACCOUNT_ID
    """The AWS account that Lightly comes from."""

    rotation: int = 0
    """How often credentials were renewed on top of their epochs (`lightly-infra rotate`)."""

    external_id_rotation: int = 0
    """How often minted external ids were renewed (`lightly-infra rotate --external-ids`)."""

    warn_days: int = expiry.WARN_DAYS
    """How many days before a credential expires it is said."""

    config: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The stack's whole config: who acts on a cloud is the providers' to say there."""

    @classmethod
    def read(cls, config: Mapping[str, str], *, secret_keys: Collection[str] = ()) -> Settings:
        """Reads a stack's config, and from the environment what clouds' own tools take from there, too.

        Args:
            config: by key in full, such as `aws:region`; values as programs get them, objects as JSON.
            secret_keys: the keys whose values are encrypted, in whole or in part.

        Raises:
            SpecError: with a line for each problem.
        """
        problems = [_unknown(key) for key in config if key.startswith(_OURS) and key not in _KEYS]
        if TOKEN_CONFIG_KEY in config and TOKEN_CONFIG_KEY not in secret_keys:
            problems.append(
                f"{TOKEN_CONFIG_KEY}: stands in clear; set it with `pulumi config set --secret {TOKEN_CONFIG_KEY}`, "
                "or better LIGHTLY_TOKEN in the environment, and have the token replaced"
            )
        if OBS_SECRET_KEY in config and OBS_SECRET_KEY not in secret_keys:
            problems.append(
                f"{OBS_SECRET_KEY}: stands in clear; set it with `pulumi config set --secret {OBS_SECRET_KEY}`, or "
                "OBS_SECRET_ACCESS_KEY in the environment, and have the key replaced"
            )
        if problems:
            raise spec.SpecError(problems)
        try:
            raw = json.loads(config.get(DATASETS_KEY, "null"))
        except json.JSONDecodeError:
            raise spec.SpecError([f"{DATASETS_KEY}: not a mapping; write it as YAML under 'config:'"]) from None
        datasets = spec.parse(raw, {name: _default(config, *keys) for name, keys in _DEFAULTS.items()})
        # A stack's config says of a whole key only whether something in it is secret; files are read by `in_clear`.
        if DATASETS_KEY not in secret_keys and (plain := [plain_secret(path) for path, _ in spec.secrets_of(datasets)]):
            raise spec.SpecError(plain)
        account = spec.parse_account_id(config.get(LIGHTLY_ACCOUNT_KEY))
        return replace(
            cls.of_own_program(config), datasets=datasets, lightly_account_id=account or policy.LIGHTLY_ACCOUNT_ID
        )

    @classmethod
    def of_own_program(cls, config: Mapping[str, str]) -> Settings:
        """What a stack's config says beside datasets, which a program of one's own makes itself.

        Raises:
            SpecError: a number is none.
        """
        return cls(
            {},
            rotation=_number(config, ROTATION_KEY, 0),
            external_id_rotation=_number(config, EXTERNAL_ID_ROTATION_KEY, 0),
            warn_days=_number(config, WARN_DAYS_KEY, expiry.WARN_DAYS),
            config=config,
        )

    @classmethod
    def of_stack(cls) -> Settings:
        """The running stack's. Raises SpecError as `read` does."""
        config = runtime_config.get_config_env() | runtime_config.CONFIG.get()
        settings = cls.read(config, secret_keys={key for key in config if runtime_config.is_config_secret(key)})
        if plain := [plain_secret(path) for path in in_clear(_datasets_as_written())]:
            raise spec.SpecError(plain)
        return settings


def plain_secret(path: str) -> str:
    """What to say of a secret that stands in clear at `path` below `lightly-infra:datasets`."""
    return f"{path}: stands in clear; set it with `{spec.command_to_set(path)}`, and have what stood here replaced"


def in_clear(datasets: object) -> Iterator[str]:
    """The paths of secrets that stand in clear in `lightly-infra:datasets` as a stack's file has it."""
    if isinstance(datasets, dict):
        names = spec.secret_fields()
        for key, value in datasets.items():
            yield from _in_clear(spec.step(str(key)), value, names)


def _datasets_as_written() -> object:
    """What the running stack's own file says, where it can be found: there one sees which values are encrypted."""
    try:
        root = Path(str(pulumi.get_root_directory()))
        project = yaml.safe_load((root / "Pulumi.yaml").read_text(encoding="utf-8"))
        file = root / project.get("stackConfigDir", ".") / f"Pulumi.{pulumi.get_stack()}.yaml"
        return yaml.safe_load(file.read_text(encoding="utf-8"))["config"][DATASETS_KEY]
    except (OSError, ValueError, yaml.YAMLError, AttributeError, KeyError, TypeError):
        return None  # `--config-file`, the Automation API: then `read` has checked the key as a whole


def _in_clear(path: str, value: object, names: Collection[str]) -> Iterator[str]:
    if not isinstance(value, dict) or set(value) == {"secure"}:
        return
    for key, inner in value.items():
        encrypted = isinstance(inner, dict) and set(inner) == {"secure"}
        if key in names and inner not in (None, spec.PLACEHOLDER) and not encrypted:
            yield f"{path}.{key}"  # a key's JSON may stand there as a mapping
        yield from _in_clear(f"{path}.{key}", inner, names)


def _default(config: Mapping[str, str], key: str, *variables: str) -> str | None:
    return config.get(key) or next((value for it in variables if (value := os.environ.get(it))), None)


def _number(config: Mapping[str, str], key: str, default: int) -> int:
    value = config.get(key)
    if value is None:
        return default
    if not re.fullmatch(r"[0-9]{1,6}", value):
        raise spec.SpecError([f"{key}: {value!r}: write a whole number, 0 or more"])
    return int(value)


def _unknown(key: str) -> str:
    near = get_close_matches(key, _KEYS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(_KEYS)}"
    return f"{key}: unknown key; {hint}"
