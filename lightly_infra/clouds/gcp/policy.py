"""Google Cloud's words for what Lightly may do, and its rules for names: pure functions, no call to anybody.

What is granted follows from `lightly_infra.permissions`; this module only spells it as permissions and conditions.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from datetime import date
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NotRequired, TypedDict

from lightly_infra import ownership, paths
from lightly_infra.permissions import GRANTED, Operation, Purpose
from lightly_infra.retention import Rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from lightly_infra.retention import Expiry

PERMISSIONS: Final[Mapping[Operation, tuple[str, ...]]] = {
    Operation.LIST: ("storage.objects.list",),
    Operation.READ: ("storage.objects.get",),
    Operation.WRITE: ("storage.objects.create",),
    # GCS replaces an object by deleting it; Lightly's docs ask for `update` too, which changes an object's metadata.
    Operation.OVERWRITE: ("storage.objects.create", "storage.objects.delete", "storage.objects.update"),
    Operation.DELETE: ("storage.objects.delete",),
}

MAX_KEYS: Final = 10
"""Keys that a service account may have ("Quotas and limits" of IAM)."""

KMS_ROLE: Final = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
"""What the project's GCS service agent needs on a key ("Customer-managed encryption keys" of GCS's docs)."""

SUFFIX_CHARACTERS: Final = 8
"""Of the random suffix of ids that Google keeps for a while after they were deleted: 36^8 of them."""

ABORT_INCOMPLETE_UPLOADS_AFTER_DAYS: Final = 7
"""Parts of a multipart upload that nobody finished cost storage for ever; resumable uploads end after a week, too."""

MAX_RULES: Final = 100
"""Of a bucket's lifecycle, by the provider's schema."""

CONDITION_TITLE: Final = "lightly-directory"
CONDITION_DESCRIPTION: Final = "Lightly reaches one directory of the bucket. Made by lightly-infra."

_MAX_ACCOUNT_ID: Final = 30
_MAX_ROLE_ID: Final = 64
_MAX_LABELS: Final = 63 - ownership.TAGS  # 64 on a bucket, of which Pulumi's provider takes one

_MAX_PART: Final = 63
_MAX_DOTTED_BUCKET: Final = 222
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_IP_ADDRESS: Final = re.compile(r"\d{1,3}(\.\d{1,3}){3}")
_PROJECT: Final = r"(?:[a-z0-9.-]+\.[a-z0-9-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]"
_SERVICE_ACCOUNT: Final = re.compile(r"[a-z0-9][a-z0-9-]*@[a-z0-9.-]+\.gserviceaccount\.com")
_KMS_KEY: Final = re.compile(
    rf"projects/{_PROJECT}/locations/(?P<location>[a-z0-9-]+)/keyRings/[\w-]{{1,63}}/cryptoKeys/[\w-]{{1,63}}", re.ASCII
)
_LOCATION: Final = re.compile(r"[A-Z]+\d*|[A-Z]+-[A-Z]+\d+")
_ZONE: Final = re.compile(r"([A-Z]+-[A-Z]+\d+)-[A-Z]")
_LABEL_KEY: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE: Final = re.compile(r"[a-z0-9_-]{0,63}")

# Conditions of a lifecycle rule that no current version meets ("Object Lifecycle Management").
_OF_OLD_VERSIONS: Final = ("numNewerVersions", "daysSinceNoncurrentTime", "noncurrentTimeBefore")
# Those that some objects never meet: a custom time is on those only that somebody put it on.
_OF_SOME: Final = (
    *("matchesSuffixes", "matchesStorageClasses", "sizeAboveBytes", "sizeBelowBytes"),
    *("customTimeBefore", "daysSinceCustomTime"),
)

# Multi-regions that KMS calls otherwise ("Cloud KMS locations": `europe` encrypts what GCS keeps in `EU`).
_KMS_LOCATIONS: Final = {"EU": "europe"}


class Condition(TypedDict):
    """An IAM condition: when a role that was granted applies."""

    title: str
    description: str
    expression: str


class Grant(TypedDict):
    """All that Lightly's service account may do on a bucket."""

    bucket: str
    permissions: list[str]
    condition: NotRequired[Condition]


class ServiceAccountKey(NamedTuple):
    """What is no secret in a key's JSON document."""

    email: str
    project: str
    key_id: str

    @property
    def path(self) -> str:
        """The key as the API calls it."""
        return f"projects/{self.project}/serviceAccounts/{self.email}/keys/{self.key_id}"


# -- what is granted


def grant(*, purpose: Purpose, bucket: str, prefix: str, bucket_wide_listing: bool = False) -> Grant:
    """What Lightly may do: the operations of `purpose`, under `prefix` of `bucket`, and no more.

    Args:
        purpose: decides the operations (`lightly_infra.permissions.GRANTED`).
        bucket: the bucket's name.
        prefix: normalised (`normalise_prefix`); empty for the whole bucket, which needs no condition.
        bucket_wide_listing: whether Lightly may list the names of all objects, as in its own docs. Without, a client
            that lists without a prefix is refused.
    """
    granted: Grant = {"bucket": bucket, "permissions": permissions(purpose)}
    if prefix:
        granted["condition"] = {
            "title": CONDITION_TITLE,
            "description": CONDITION_DESCRIPTION,
            "expression": expression(bucket, prefix, bucket_wide_listing=bucket_wide_listing),
        }
    return granted


def permissions(purpose: Purpose) -> list[str]:
    """The permissions of the custom role."""
    return list(dict.fromkeys(it for operation in GRANTED[purpose] for it in PERMISSIONS[operation]))


def expression(bucket: str, prefix: str, *, bucket_wide_listing: bool = False) -> str:
    """When the role applies, in the Common Expression Language: for objects under `prefix`, and for listing them.

    The resource of a listing is the bucket; what is asked for is an attribute of the call, absent on all others. IAM
    allows 12 logical operators ("Quotas and limits"); this has one, and with the longest prefix some 2,500 bytes.

    Raises:
        ValueError: bucket or prefix could end the text that they stand in, and say more than a name.
    """
    check_bucket(bucket)
    if prefix != normalise_prefix(prefix) or not prefix:
        raise ValueError(f"{prefix!r} is no normalised prefix")
    objects = f'resource.name.startsWith("projects/_/buckets/{bucket}/objects/{prefix}")'
    if bucket_wide_listing:
        listing = 'resource.type == "storage.googleapis.com/Bucket"'
    else:
        listing = f'api.getAttribute("storage.googleapis.com/objectListPrefix", "").startsWith("{prefix}")'
    return f"{objects} || {listing}"


def to_json(granted: Grant) -> str:
    """The grant in one form only: equal grants are equal strings."""
    return json.dumps(granted, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


# -- when objects go


def lifecycle(expiries: Iterable[Expiry] = ()) -> list[dict[str, Any]]:
    """The rules of a bucket that is made, as pulumi-gcp takes them: what was not finished goes, and what shall expire.

    Current versions expire, as on other clouds: in a bucket with versioning they become former ones. A rule that did
    not say so would delete those, too, which are as old.

    Args:
        expiries: as `retention.check_expiries` gives them.

    Raises:
        ValueError: they are more than GCS has room for.
    """
    made: list[dict[str, Any]] = [
        {
            "action": {"type": "AbortIncompleteMultipartUpload"},
            "condition": {"age": ABORT_INCOMPLETE_UPLOADS_AFTER_DAYS},
        }
    ]
    for it in expiries:
        condition: dict[str, Any] = {"age": it.days, "with_state": "LIVE"}
        if it.prefix:
            condition["matches_prefixes"] = [it.prefix]
        made.append({"action": {"type": "Delete"}, "condition": condition})
    if len(made) > MAX_RULES:
        raise ValueError(
            f"{len(made) - 1} directories that expire; a bucket has room for {MAX_RULES - 1}: let a directory around "
            "them expire, or use another bucket"
        )
    return made


def rules(found: Iterable[Mapping[str, Any]], *, today: date) -> list[Rule]:
    """What deletes objects, of a bucket's lifecycle rules as pulumi-gcp's `getBucket` tells them.

    GCS gives rules no names: they are counted. `getBucket` tells 0 or nothing of a condition that a rule does not have.

    Args:
        found: all of the bucket's rules.
        today: what was to be deleted if it was made before a day that has passed is gone, and nothing new will be.
    """
    return [
        it
        for number, rule in enumerate(found, start=1)
        if any(action.get("type") == "Delete" for action in rule.get("actions") or ())
        for condition in rule.get("conditions") or ()
        for it in _rules(f"number {number}", condition, today)
    ]


def _rules(name: str, condition: Mapping[str, Any], today: date) -> Iterator[Rule]:
    """One for each prefix: all conditions of a rule have to be met, but only one of its prefixes."""
    created_before = condition.get("createdBefore")
    if created_before and date.fromisoformat(created_before) <= today:
        return
    days = int(condition.get("age") or 0)
    for prefix in condition.get("matchesPrefixes") or [""]:
        if condition.get("withState") == "ARCHIVED" or any(condition.get(it) for it in _OF_OLD_VERSIONS):
            old = int(condition.get("daysSinceNoncurrentTime") or 0)
            yield Rule(name, prefix, old_versions_days=max(old, days))
        else:
            yield Rule(name, prefix, days, partly=any(condition.get(it) for it in _OF_SOME))


# -- names of what is made


def account_id(name: str, suffix: str) -> str:
    """A service account's id, by the name of what it is for: 6 to 30 characters, first a letter."""
    room = _MAX_ACCOUNT_ID - SUFFIX_CHARACTERS - 1
    base = paths.slug(name, limit=room)
    if not base[:1].isalpha():
        base = paths.slug(f"lightly-{base}", limit=room)
    return f"{base}-{suffix}"


def role_id(name: str, suffix: str) -> str:
    """A custom role's id, by the name of what it is for: `[a-zA-Z0-9_.]{3,64}`, which knows no hyphen."""
    base = paths.slug(name, limit=_MAX_ROLE_ID - SUFFIX_CHARACTERS - 1) or "lightly"
    return f"{base.replace('-', '_')}_{suffix}"


# -- checks


def normalise_prefix(prefix: str) -> str:
    """The prefix as a directory, as `paths.normalise_prefix`, and safe to stand in an expression.

    Raises:
        ValueError: it could reach outside itself, or would mean something else in an expression.
    """
    if quote := re.search(r"[\"'`]", prefix):
        raise ValueError(
            f"{prefix!r} holds {quote.group()}, which would end the text in an IAM condition; "
            "use a directory without quotes"
        )
    return paths.normalise_prefix(prefix)


def check_bucket(name: str) -> str:
    """The bucket name itself, when GCS allows it ("Bucket naming guidelines").

    Raises:
        ValueError: it breaks one of the rules, which the message names.
    """
    said = f"{name!r} is no GCS bucket name"
    if not _BUCKET.fullmatch(name):
        raise ValueError(
            f"{said}: 3 to 63 lower-case letters, digits, hyphens, underscores and dots, with a letter or digit at "
            "both ends"
        )
    if any(not 0 < len(part) <= _MAX_PART for part in name.split(".")):
        raise ValueError(f"{said}: 1 to {_MAX_PART} characters, and so each part between dots")
    if _IP_ADDRESS.fullmatch(name):
        raise ValueError(f"{said}: it must not look like an IP address")
    if name.startswith("goog") or "google" in name or "g00gle" in name:
        raise ValueError(f"{said}: Google keeps names that start with 'goog' or hold 'google'")
    return name


def check_project(value: str) -> str:
    """The project id itself, when Google Cloud allows it.

    Raises:
        ValueError: it is none; the message says what it looks like.
    """
    if value.isdigit():
        raise ValueError(f"{value!r} is a project's number; give its id, such as acme-vision-prod")
    if not re.fullmatch(_PROJECT, value):
        raise ValueError(
            f"{value!r} is no project id: 6 to 30 lower-case letters, digits and hyphens, first a letter and no hyphen "
            "at the end, such as acme-vision-prod (not the project's name)"
        )
    return value


def check_service_account(value: str) -> str:
    """The service account's e-mail itself, when it is one.

    Raises:
        ValueError: it is none; the message says what it looks like.
    """
    if not _SERVICE_ACCOUNT.fullmatch(value):
        raise ValueError(f"{value!r} is no service account; give its e-mail, NAME@PROJECT.iam.gserviceaccount.com")
    return value


def normalise_location(value: str) -> str:
    """The location in GCS's own spelling: upper case, so that it shows no difference from what GCS answers.

    Raises:
        ValueError: it can be none; the message says what one looks like.
    """
    location = value.upper()
    if zone := _ZONE.fullmatch(location):
        raise ValueError(f"{value!r} is a zone; a bucket lies in a region: write {zone[1].lower()!r}")
    if not _LOCATION.fullmatch(location):
        raise ValueError(f"{value!r} is not a location; name a region such as europe-west3, or EU, US or ASIA")
    return location


def check_kms_key(value: str) -> str:
    """The key's name in full itself, when it is one.

    Raises:
        ValueError: it is none; the message says what one looks like.
    """
    key, version, _ = value.partition("/cryptoKeyVersions/")
    if version and _KMS_KEY.fullmatch(key):
        raise ValueError(f"{value!r} is one version of a key, which rotation leaves behind; name the key: {key!r}")
    if not _KMS_KEY.fullmatch(value):
        raise ValueError(
            f"{value!r} is not a key; give its name in full, projects/PROJECT/locations/LOCATION/keyRings/RING/"
            "cryptoKeys/KEY"
        )
    return value


def check_kms_location(kms_key: str, location: str) -> None:
    """Refuses a key in another location than the bucket: GCS would.

    Raises:
        ValueError: the message names both locations.
    """
    match = _KMS_KEY.fullmatch(kms_key)
    of_key, wanted = match["location"] if match else "", _KMS_LOCATIONS.get(location, location.lower())
    if of_key != wanted:
        raise ValueError(
            f"{kms_key!r} is a key in {of_key!r}, but a bucket in {location!r} needs one in {wanted!r}; name such a key"
        )


def check_labels(labels: Mapping[str, str]) -> None:
    """Refuses labels that Google Cloud would refuse ("Labels overview").

    Raises:
        ValueError: the message names the key and the rule.
    """
    if len(labels) > _MAX_LABELS:
        raise ValueError(f"{len(labels)} labels; a bucket has room for {_MAX_LABELS} of yours")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key):
            raise ValueError(
                f"{key[:_MAX_PART]!r}: a label's key has 1 to {_MAX_PART} lower-case letters, digits, '_' and '-', "
                "first a letter"
            )
        if not _LABEL_VALUE.fullmatch(value):
            raise ValueError(
                f"{key!r}: a label's value has at most {_MAX_PART} lower-case letters, digits, '_' and '-'"
            )


def check_credentials(text: str) -> ServiceAccountKey:
    """What a brought key says of itself.

    Raises:
        ValueError: it is no key of a service account; the message repeats nothing of it.
    """
    document = _json_object(text)
    if (kind := document.get("type")) != "service_account":
        raise ValueError(
            f"{_KINDS.get(str(kind), 'something else')}; Lightly takes a service account's key, whose type is "
            "'service_account'"
        )
    for field in ("client_email", "project_id", "private_key", "private_key_id", "token_uri"):
        if not isinstance(document.get(field), str) or not document[field]:
            raise ValueError(f"the key's JSON has no {field}; give the file as Google made it, whole")
    if not document["private_key"].startswith("-----BEGIN ") or "PRIVATE KEY-----" not in document["private_key"]:
        raise ValueError("private_key in the key's JSON is no PEM block; give the file as Google made it, whole")
    if not _SERVICE_ACCOUNT.fullmatch(document["client_email"]):
        raise ValueError("client_email in the key's JSON is no service account's; give a service account's key")
    return ServiceAccountKey(document["client_email"], document["project_id"], document["private_key_id"])


# Other files that Google's tools write, by their `type`.
_KINDS: Final = {
    "authorized_user": "these are a person's credentials (gcloud auth application-default login)",
    "external_account": "this is a configuration of workload identity federation",
    "impersonated_service_account": "this is a configuration of impersonation",
}


def _json_object(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if isinstance(document, dict):
        return document
    # Raised outside of the except block: the decoder's error holds the document.
    if not text.strip():
        raise ValueError("empty; give the key's JSON document")
    if _is_encoded(text):
        raise ValueError("this is base64; decode it and give the key's JSON document")
    if text.strip().endswith(".json"):
        raise ValueError("this looks like a file's name; give what is in the file: the key's JSON document")
    raise ValueError("no JSON object; give the key's JSON document, the whole file as Google made it")


def _is_encoded(text: str) -> bool:
    try:
        return base64.b64decode(text, validate=False).lstrip().startswith(b"{")
    except (binascii.Error, ValueError):
        return False
