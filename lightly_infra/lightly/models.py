"""What is said to Lightly and what it answers: the API's field rules, checked before anything is sent.

Configs (what we say) are strict and hold secrets; data (what Lightly says) is read leniently and holds none.
Rules and lists are the API's own, as its official client 1.5.26 checks them, but tighter where that catches a
slip of the hand: no white space around a value (the client lets a trailing newline pass), a name behind
`role/` and `key/`.
"""

from __future__ import annotations

import difflib
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StrictBool,
    TypeAdapter,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from lightly_infra.lightly.errors import InvalidInput, plain
from lightly_infra.permissions import Purpose

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_THUMB_SUFFIX: Final = ".lightly/thumbnails/[filename]_thumb.[extension]"

MASK: Final = "***"
"""What stands in a value that comes back masked; no field may hold it, so a mask that leaves some characters has it."""

REGIONS: Final = (
    *(
        "us-east-1",
        "us-east-2",
        "us-west-1",
        "us-west-2",
        "af-south-1",
        "ap-east-1",
        "ap-south-1",
        "ap-south-2",
    ),
    *("ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4"),
    *("ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ca-central-1", "cn-northwest-1"),
    *("eu-central-1", "eu-central-2", "eu-west-1", "eu-west-2", "eu-west-3", "eu-south-1", "eu-south-2"),
    *("eu-north-1", "me-south-1", "me-central-1", "sa-east-1", "us-gov-east", "us-gov-west"),
)

_SHORTEST_NAME: Final = 3
_SHORTEST_EXTERNAL_ID: Final = 10
_DATASET_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9 _-]+")
_ID = re.compile(r"[a-f0-9]{24}")
_EXTERNAL_ID = re.compile(r"[a-zA-Z0-9_+=,.@:/-]+")
_ROLE_ARN = re.compile(r"arn:aws:iam::[0-9]{12}:role/\S+")
_KEY_ARN = re.compile(r"arn:aws:kms:[a-zA-Z0-9-]*:[0-9]{12}:key/[A-Za-z0-9-]+")
_ENDPOINT = re.compile(r"https?://\S+")


class DatasetType(StrEnum):
    """What a dataset holds; the values are the API's own. It can't change once the dataset exists."""

    IMAGES = "Images"
    VIDEOS = "Videos"
    CROPS = "Crops"


def check_dataset_name(name: str) -> str:
    """`name`, if Lightly allows it. Raises InvalidInput."""
    if len(name) < _SHORTEST_NAME or not _DATASET_NAME.fullmatch(name):
        raise InvalidInput(
            f"dataset name {name!r}: use at least {_SHORTEST_NAME} characters, first a letter or a digit, "
            "then letters, digits, spaces, '_' or '-' (no accents)"
        )
    return name


def check_dataset_id(dataset_id: str) -> str:
    """`dataset_id`, if it can be one. Raises InvalidInput."""
    if not _ID.fullmatch(dataset_id):
        raise InvalidInput(
            f"dataset id {dataset_id!r}: an id is 24 characters of 0-9 and a-f; "
            "copy it from the address of the dataset's page in the Lightly app"
        )
    return dataset_id


def _filled(value: str) -> str:
    if not value:
        raise ValueError("must not be empty")
    if value != value.strip():
        raise ValueError("has white space around it, such as a newline from copying: remove it")
    return value


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError(f"{value!r} has a newline or another control character in it: remove it")
    return value


def check_thumb_suffix(value: str) -> str:
    """`value`, if thumbnails can be found by it. Raises ValueError."""
    if not value:
        raise ValueError(f"'' would name every thumbnail the same; leave it out for {DEFAULT_THUMB_SUFFIX!r}")
    return _one_line(value)


def _filled_secret(value: SecretStr) -> SecretStr:
    _filled(value.get_secret_value())
    return value


def _region(value: str) -> str:
    if value not in REGIONS:
        near = difflib.get_close_matches(value, REGIONS, n=3)
        hint = f"the nearest: {', '.join(near)}" if near else f"they are {', '.join(sorted(REGIONS))}"
        raise ValueError(
            f"{value!r} is not one of the {len(REGIONS)} regions that Lightly knows; {hint}. "
            "The bucket has to lie in one of them"
        )
    return value


def _external_id(value: SecretStr) -> SecretStr:
    plain = value.get_secret_value()
    if len(plain) < _SHORTEST_EXTERNAL_ID:
        raise ValueError(f"too short: {len(plain)} characters, Lightly wants {_SHORTEST_EXTERNAL_ID} or more")
    if not _EXTERNAL_ID.fullmatch(plain):
        raise ValueError("has a character that Lightly refuses; use only letters, digits and _+=,.@:/-")
    return value


def _role_arn(value: str) -> str:
    if not _ROLE_ARN.fullmatch(value):
        raise ValueError(
            f"{value!r} is not a role ARN that Lightly accepts: arn:aws:iam::123456789012:role/NAME. "
            "Other partitions (aws-cn, aws-us-gov) are refused by Lightly: use access keys there"
        )
    return value


def _key_arn(value: str) -> str:
    if not _KEY_ARN.fullmatch(value):
        is_alias = value.startswith("alias/") or ":alias/" in value
        raise ValueError(
            f"{value!r} is {'an alias' if is_alias else 'no key ARN'}; give the key's ARN, "
            "arn:aws:kms:REGION:123456789012:key/ID (aws kms describe-key --key-id … prints it)"
        )
    return value


def _endpoint(value: str) -> str:
    if not _ENDPOINT.fullmatch(value):
        raise ValueError(f"{value!r} must start with http:// or https://, e.g. https://obs.eu-de.otc.t-systems.com")
    return value


Filled = Annotated[str, AfterValidator(_filled)]
FilledSecret = Annotated[SecretStr, AfterValidator(_filled_secret)]
Region = Annotated[str, AfterValidator(_region)]
KeyArn = Annotated[str, AfterValidator(_key_arn)]
RoleArn = Annotated[str, AfterValidator(_role_arn)]
ExternalId = Annotated[SecretStr, AfterValidator(_external_id)]


class _Config(BaseModel):
    """What all datasources have; python names and the API's camelCase are both accepted."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,  # pydantic would print secrets
        loc_by_alias=False,
    )

    purpose: Purpose
    full_path: Annotated[str, AfterValidator(_one_line)]
    """Where the data is, with the cloud's scheme, e.g. `s3://bucket/prefix/`."""
    thumb_suffix: Annotated[str, AfterValidator(check_thumb_suffix)] | None = DEFAULT_THUMB_SUFFIX
    """Where thumbnails go below the path; None leaves it to Lightly."""


class _AnyS3Config(_Config):
    s3_region: Region
    s3_server_side_encryption_kms_key: KeyArn | None = Field(None, alias="s3ServerSideEncryptionKMSKey")
    """Lightly sends it with every PutObject; needed where the bucket's default encryption is not enough."""


class S3Config(_AnyS3Config):
    """S3 by access key."""

    type: Literal["S3"] = "S3"
    s3_access_key_id: Filled
    s3_secret_access_key: FilledSecret


class S3DelegatedAccessConfig(_AnyS3Config):
    """S3 by a role that Lightly's account assumes."""

    type: Literal["S3DelegatedAccess"] = "S3DelegatedAccess"
    s3_external_id: ExternalId
    s3_arn: RoleArn = Field(alias="s3ARN")


class GCSConfig(_Config):
    """Google Cloud Storage by a service account's key."""

    type: Literal["GCS"] = "GCS"
    gcs_project_id: Filled
    gcs_credentials: SecretStr
    """The key's JSON document; the API does not look inside, so neither is it checked here."""


class AzureConfig(_Config):
    """Azure Blob Storage by a SAS token."""

    type: Literal["AZURE"] = "AZURE"
    account_name: Filled
    account_key: FilledSecret
    """The SAS token, with its leading `?`; the name is the API's."""


class OBSConfig(_Config):
    """Huawei's OBS and its relatives by access key."""

    type: Literal["OBS"] = "OBS"
    obs_endpoint: Annotated[str, AfterValidator(_endpoint)]
    obs_access_key_id: Filled
    obs_secret_access_key: FilledSecret


DatasourceConfig = Annotated[
    S3Config | S3DelegatedAccessConfig | GCSConfig | AzureConfig | OBSConfig, Field(discriminator="type")
]

_CONFIG: Final[TypeAdapter[DatasourceConfig]] = TypeAdapter(DatasourceConfig)
_CONFIGS: Final[tuple[type[_Config], ...]] = (
    S3Config,
    S3DelegatedAccessConfig,
    GCSConfig,
    AzureConfig,
    OBSConfig,
)

SECRET_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "S3": frozenset({"s3_secret_access_key"}),
    "S3DelegatedAccess": frozenset({"s3_external_id"}),
    "GCS": frozenset({"gcs_credentials"}),
    "AZURE": frozenset({"account_key"}),
    "OBS": frozenset({"obs_secret_access_key"}),
}
"""Which fields of a type are secret, by their python names."""

ALL_SECRET_FIELDS: Final = frozenset[str]().union(*SECRET_FIELDS.values())
IDENTITY_FIELDS: Final = frozenset({"s3_access_key_id", "s3_arn", "obs_access_key_id"})
"""What says whose a secret is."""

CREDENTIAL_FIELDS: Final = ALL_SECRET_FIELDS | IDENTITY_FIELDS | {"type"}
"""What says how Lightly gets in; all else of a config says where to, and how it is used there."""
PLAIN_FIELDS: Final = frozenset(name for config in _CONFIGS for name in config.model_fields) - ALL_SECRET_FIELDS
"""What of a config may be shown, also where the whole config is marked as a secret."""

_PYTHON_NAMES: Final = {field.alias or name: name for config in _CONFIGS for name, field in config.model_fields.items()}


def parse_config(values: Mapping[str, object]) -> DatasourceConfig:
    """A config from snake_case or camelCase values. Raises InvalidInput, which names every bad field."""
    complaint = None
    try:
        return _CONFIG.validate_python(dict(values))
    except ValidationError as error:
        # Raised outside of this block: pydantic's error holds the values, and a context would carry it along.
        complaint = InvalidInput.of("datasource", error)
    raise complaint


def config_problems(values: Mapping[str, object], *, unknown: frozenset[str] = frozenset()) -> dict[str, str]:
    """What is wrong with a config, by python name, as far as can be told with some fields not known yet."""
    if "type" in unknown:
        return {}
    try:
        _CONFIG.validate_python({name: value for name, value in values.items() if name not in unknown})
    except ValidationError as error:
        found = [(_field(item["loc"]), plain(item["msg"])) for item in error.errors(include_input=False)]
        return {name: problem for name, problem in found if name not in unknown}
    return {}


def _field(loc: tuple[int | str, ...]) -> str:
    # The location is the type that was chosen and then the field, by its alias where it was missing.
    last = str(loc[-1]) if loc else "type"
    return _PYTHON_NAMES.get(last, last)


def to_api(config: DatasourceConfig) -> dict[str, str]:
    """What travels to Lightly, secrets revealed; what is None is left out, for the API knows no null."""
    return {
        alias: value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, alias in _aliases(config).items()
        if (value := getattr(config, name)) is not None
    }


def secret_values(config: DatasourceConfig) -> tuple[str, ...]:
    """The secrets of `config`, for redaction."""
    return tuple(getattr(config, name).get_secret_value() for name in sorted(SECRET_FIELDS[config.type]))


def visible_values(config: DatasourceConfig) -> dict[str, str]:
    """What of `config` may be read back, by python name."""
    return DatasourceData.from_api(to_api(config)).visible


def only_credentials_differ(one: DatasourceConfig, other: DatasourceConfig) -> bool:
    """Whether they get into the same place, and in another way."""
    left, right = (it.model_dump(exclude=set(CREDENTIAL_FIELDS)) for it in (one, other))
    return one != other and left == right


def _aliases(config: _Config) -> dict[str, str]:
    return {name: field.alias or name for name, field in type(config).model_fields.items()}


class _Data(BaseModel):
    """What Lightly answers: unknown fields are passed over, so that a newer API can be read."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )


class DatasetData(_Data):
    """A dataset as Lightly knows it."""

    id: Annotated[str, AfterValidator(check_dataset_id)]
    name: str
    type: str
    """One of DatasetType, or something newer."""
    n_samples: Annotated[int, Field(strict=True, ge=0)]
    created_at: Annotated[int, Field(strict=True, ge=0)] | None = None
    """Milliseconds since 1970 by Lightly's clock; None when the answer does not say, as below."""
    datasources: tuple[str, ...] | None = None


class DatasourceData(_Data):
    """A datasource as Lightly knows it, without its secrets, which come back masked (`*****`) or whole."""

    type: str
    purpose: str
    visible: dict[str, str]
    """The fields that are no secrets, type and purpose among them, by python name."""

    @classmethod
    def from_api(cls, answer: Mapping[str, Any]) -> DatasourceData:
        """Any datasource that the API can answer, even one that our own rules would refuse."""
        known = {_PYTHON_NAMES[key]: value for key, value in answer.items() if key in _PYTHON_NAMES}
        known.setdefault("purpose", Purpose.INPUT_OUTPUT.value)  # the API's default
        shown = {key: value for key, value in known.items() if key not in ALL_SECRET_FIELDS and value is not None}
        return cls.model_validate({**shown, "visible": shown})


class DatasourcePermissions(_Data):
    """What Lightly can do with a dataset's datasources: list and read all of them, write to its own."""

    can_list: StrictBool
    can_read: StrictBool
    can_write: StrictBool
    can_overwrite: StrictBool
    errors: dict[str, Any] | None = None
    """Why not, by `canList`, `canRead`, `canWrite`, `canOverwrite`."""

    @property
    def missing(self) -> tuple[str, ...]:
        """What Lightly can't do: some of "list", "read", "write", "overwrite"."""
        return tuple(name for name in ("list", "read", "write", "overwrite") if not getattr(self, f"can_{name}"))

    def reason(self, name: str) -> str:
        """Lightly's own words on why it can't `name`, e.g. "list"; empty where it has none."""
        return str((self.errors or {}).get(f"can{name.capitalize()}") or "")
