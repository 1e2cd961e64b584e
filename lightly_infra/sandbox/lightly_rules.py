"""What the emulated Lightly API accepts and answers: the hosted one's field rules, as its official client knows them.

Written from the API's description and not from `lightly_infra.lightly.models`, so that the two check each other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lightly_infra.lightly.models import DEFAULT_THUMB_SUFFIX, REGIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightly_infra.sandbox.probe import Attempt

MASK: Final = "*****"
DATASET_TYPES: Final = ("Images", "Videos", "Crops")
IMAGE_TYPES: Final = ("full", "thumbnail", "meta")
PURPOSES: Final = ("INPUT_OUTPUT", "INPUT", "LIGHTLY")  # the first is the default

_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9 _-]+")
_SHORTEST_NAME: Final = 3
_ID: Final = re.compile(r"[a-f0-9]{24}")


class Refusal(Exception):
    """An error answer."""

    def __init__(self, status: int, code: str, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.code = code
        self.error = error


@dataclass(frozen=True)
class _Rule:
    shortest: int = 0
    pattern: str = ".*"
    one_of: tuple[str, ...] = ()
    required: bool = True
    secret: bool = False

    def check(self, name: str, value: object) -> None:
        if not isinstance(value, str):
            raise malformed(f"{name} must be a string")
        if len(value) < self.shortest:
            raise malformed(f"{name} must have at least {self.shortest} characters")
        if not re.fullmatch(self.pattern, value, re.DOTALL):
            raise malformed(f"{name} must match ^{self.pattern}$")
        if self.one_of and value not in self.one_of:
            raise malformed(f"{name} must be one of {', '.join(self.one_of)}")


_REGION = _Rule(one_of=REGIONS)
_KMS_KEY = _Rule(pattern=r"arn:aws:kms:[a-zA-Z0-9-]*:[0-9]{12}:key[^\n]+", required=False)
_KEY_ID = _Rule(shortest=1)
_SECRET = _Rule(shortest=1, secret=True)

FIELDS: Final[Mapping[str, Mapping[str, _Rule]]] = {
    "S3": {
        "s3Region": _REGION,
        "s3AccessKeyId": _KEY_ID,
        "s3SecretAccessKey": _SECRET,
        "s3ServerSideEncryptionKMSKey": _KMS_KEY,
    },
    "S3DelegatedAccess": {
        "s3Region": _REGION,
        # Secret, but read back whole: a mask would not pass the client's own pattern.
        "s3ExternalId": _Rule(shortest=10, pattern=r"[a-zA-Z0-9_+=,.@:\/-]+"),
        "s3ARN": _Rule(shortest=12, pattern=r"arn:aws:iam::[0-9]{12}:role[^\n]+"),
        "s3ServerSideEncryptionKMSKey": _KMS_KEY,
    },
    "GCS": {"gcsProjectId": _KEY_ID, "gcsCredentials": _Rule(secret=True)},
    "AZURE": {"accountName": _KEY_ID, "accountKey": _SECRET},
    "OBS": {
        "obsEndpoint": _Rule(pattern=r"https?:\/\/[^\n]+"),
        "obsAccessKeyId": _KEY_ID,
        "obsSecretAccessKey": _SECRET,
    },
    "LOCAL": {"webServerLocation": _Rule(pattern=r"https?:\/\/[^\n]+", required=False)},
    "LIGHTLY": {},
}
"""What each type of datasource has beside `type`, `purpose`, `fullPath` and `thumbSuffix`."""

_COMMON: Final[Mapping[str, _Rule]] = {
    "type": _Rule(one_of=tuple(FIELDS)),
    "purpose": _Rule(one_of=PURPOSES, required=False),
    "fullPath": _Rule(),
    "thumbSuffix": _Rule(required=False),
}
_NEW_DATASET: Final[Mapping[str, _Rule]] = {
    "name": _Rule(shortest=_SHORTEST_NAME, pattern=_NAME.pattern),
    "type": _Rule(one_of=DATASET_TYPES, required=False),
    "creator": _Rule(required=False),
    "imgType": _Rule(one_of=IMAGE_TYPES, required=False),
    "parentDatasetId": _Rule(pattern=_ID.pattern, required=False),
}
_CHANGED_DATASET: Final[Mapping[str, _Rule]] = {"name": _NEW_DATASET["name"]}


def is_secret(type_: str, name: str) -> bool:
    """Whether a field of a type of datasource holds a secret, masked in answers or not."""
    rule = FIELDS[type_].get(name)
    return name == "s3ExternalId" or (rule is not None and rule.secret)


@dataclass
class Dataset:
    """A dataset as the emulated API keeps it; tests may write to it."""

    id: str
    name: str
    type: str
    created_at: int
    """Milliseconds since 1970, like `last_modified_at`."""
    last_modified_at: int
    n_samples: int = 0
    size_in_bytes: int = 0
    optional: dict[str, str] = field(default_factory=dict)
    """`imgType` and `parentDatasetId`, where given."""
    datasources: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)
    """By purpose; with their secrets."""
    proof: list[Attempt] = field(default_factory=list, repr=False)
    """What the last verify tried."""

    def answer(self) -> dict[str, Any]:
        """The API's DatasetData, with no other fields: the official client refuses what it does not know."""
        return {
            "id": self.id,
            "name": self.name,
            "userId": "sandbox",
            "type": self.type,
            "nSamples": self.n_samples,
            "sizeInBytes": self.size_in_bytes,
            "createdAt": self.created_at,
            "lastModifiedAt": self.last_modified_at,
            "datasources": [datasource["id"] for datasource in self.datasources.values()],
            **self.optional,
        }

    def set_datasource(self, datasource: dict[str, str]) -> None:
        """Sets the datasource of its purpose; `INPUT_OUTPUT` and the pair of the two others replace each other."""
        purpose = datasource["purpose"]
        gone = ("INPUT", "LIGHTLY") if purpose == "INPUT_OUTPUT" else ("INPUT_OUTPUT",)
        kept = {name: value for name, value in self.datasources.items() if name not in gone}
        self.datasources = {**kept, purpose: datasource}


def malformed(error: str) -> Refusal:
    """A request that breaks a rule."""
    return Refusal(400, "MALFORMED_REQUEST", error)


def new_dataset(body: object) -> dict[str, str]:
    """A checked request to create a dataset, defaults filled in."""
    return {"type": "Images", **_checked(body, _NEW_DATASET)}


def changed_dataset(body: object) -> dict[str, str]:
    """A checked request to change a dataset."""
    return _checked(body, _CHANGED_DATASET)


def new_datasource(body: object) -> dict[str, str]:
    """A checked request to set a datasource, defaults filled in."""
    kind = body.get("type") if isinstance(body, dict) else None
    own = FIELDS.get(kind, {}) if isinstance(kind, str) else {}
    return {
        "purpose": PURPOSES[0],
        "thumbSuffix": DEFAULT_THUMB_SUFFIX,
        **_checked(body, {**_COMMON, **own}),
    }


def masked(datasource: Mapping[str, str]) -> dict[str, str]:
    """The datasource as it is read back."""
    rules = FIELDS[datasource["type"]]
    return {name: MASK if name in rules and rules[name].secret else value for name, value in datasource.items()}


def _checked(body: object, rules: Mapping[str, _Rule]) -> dict[str, str]:
    if not isinstance(body, dict):
        raise malformed("the body must be a JSON object")
    # `type` first: with a wrong one, all else is unknown.
    for name, rule in rules.items():
        if name in body:
            rule.check(name, body[name])
        elif rule.required:
            raise malformed(f"{name} is required")
    if unknown := sorted(set(body) - set(rules)):
        raise malformed(f"unknown fields: {', '.join(unknown)}")
    return dict(body)
