"""Bucket policies, names, endpoints and lifecycle rules of OBS, as pure functions.

OBS (Huawei Cloud, Open Telekom Cloud and others) takes policies in S3's form through its S3-compatible interface. What
is granted follows from `lightly_infra.permissions`; this module only spells it in OBS's words.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlsplit

from lightly_infra.clouds import s3_lifecycle
from lightly_infra.permissions import GRANTED, Operation, Purpose

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lightly_infra.retention import Expiry, Rule

Statement: TypeAlias = dict[str, Any]
"""One statement of a bucket policy, ready for `json.dumps`."""

VERSION: Final = "2008-10-17"
"""The one version of the policy language that OBS names (OBS Browser guide, "Configuring a Bucket Policy")."""

MAX_POLICY_BYTES: Final = 20 * 1024
"""What a bucket policy may have (the same guide)."""

ABORT_INCOMPLETE_UPLOADS_AFTER_DAYS: Final = 7
"""Parts of an upload that nobody finished cost storage for ever; as long as on S3."""

OBJECT_ACTIONS: Final[Mapping[Operation, str]] = {
    Operation.READ: "s3:GetObject",
    Operation.WRITE: "s3:PutObject",
    Operation.OVERWRITE: "s3:PutObject",  # OBS knows no difference between writing and overwriting
    Operation.DELETE: "s3:DeleteObject",
}
LIST_ACTION: Final = "s3:ListBucket"

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_IP_ADDRESS: Final = re.compile(r"\d{1,3}(\.\d{1,3}){3}")
_HOST: Final = re.compile(r"[0-9a-z.:-]+")  # the colons are an IPv6 address's
_KEY_ID: Final = re.compile(r"[0-9A-Za-z_.-]+")
_USER: Final = re.compile(r"arn:aws:iam::([0-9A-Za-z]+):user/([0-9A-Za-z_.@-]+)")
_NATIVE_USER: Final = re.compile(r"domain/([0-9A-Za-z]+):user/([0-9A-Za-z_.@-]+)")
# Endpoints of the two clouds that name them by region; something before `obs` is a bucket.
_REGIONAL: Final = re.compile(r"(.+\.)?obs\.([a-z0-9-]+)\.(myhuaweicloud\.(?:com|eu|cn)|otc\.t-systems\.com)")
# Of prefixes, what the clouds' consoles refuse in a rule and `paths` does not in any case.
_NOT_IN_RULES: Final = re.compile(r'[:"<>|]')
_USUAL_PORTS: Final = {"http": 80, "https": 443}


def grant(*, purpose: Purpose, bucket: str, prefix: str, user: str | None, sid: str) -> list[Statement]:
    """What lets a user do the operations of `purpose`, under `prefix` of `bucket`, and no more.

    Args:
        purpose: decides the operations (`lightly_infra.permissions.GRANTED`).
        bucket: the bucket's name.
        prefix: normalised (`lightly_infra.paths`); empty for the whole bucket.
        user: as `check_user` wants it; None leaves out who may, for a bucket whose policy is not ours to write.
        sid: what the statements' ids begin with, such as `sid_of` makes it.
    """
    operations = GRANTED[purpose]
    principal = {"Principal": {"AWS": [user]}} if user else {}
    objects = dict.fromkeys(OBJECT_ACTIONS[it] for it in operations if it in OBJECT_ACTIONS)
    statements = [
        {
            "Sid": f"{sid}Objects",
            "Effect": "Allow",
            **principal,
            "Action": list(objects),
            "Resource": [f"arn:aws:s3:::{bucket}/{prefix}*"],
        }
    ]
    if Operation.LIST in operations:
        under_prefix = {"Condition": {"StringLike": {"s3:prefix": [f"{prefix}*"]}}} if prefix else {}
        listing = {
            "Sid": f"{sid}List",
            "Effect": "Allow",
            **principal,
            "Action": [LIST_ACTION],
            "Resource": [f"arn:aws:s3:::{bucket}"],
            **under_prefix,
        }
        statements.insert(0, listing)
    return statements


def sid_of(name: str, user: str | None = None) -> str:
    """A statement's id from a resource's name: `raw-input` gives `RawInputa0200aa6`, letters and digits only.

    The digits at its end are the name's own, and the user's: without them, `cam-1-1` and `cam-11` would share an id,
    and another user could be let in only after the one before has been shut out.
    """
    words = "".join(part[:1].upper() + part[1:] for part in re.findall(r"[0-9A-Za-z]+", name))
    digits = hashlib.sha256(name.encode() + (user or "").encode()).hexdigest()
    return f"{words}{digits[:8]}"


def document(statements: Iterable[Statement]) -> dict[str, Any]:
    """A whole bucket policy."""
    return {"Version": VERSION, "Statement": list(statements)}


def same(one: object, other: object) -> bool:
    """Whether two parts of a policy say the same: OBS may give a list of one back as a text, and in another order."""
    return _plain(one) == _plain(other)


def lifecycle(expiries: Iterable[Expiry] = ()) -> list[dict[str, Any]]:
    """The rules of a bucket that is made: what was not finished goes, and what shall expire.

    Only what every vendor takes: the prefix stands in the rule itself, as OBS documents it, and there is never an
    `ExpiredObjectDeleteMarker`, which OBS has refused as malformed. No two rules are about the same object either: OBS
    takes none beside one for the whole bucket (OTC's console guide, "Configuring a Lifecycle Rule"; Huawei's names
    conditions under which it does). So where something expires, one rule ends that and what was not finished there, and
    unfinished uploads elsewhere in the bucket stay.

    Args:
        expiries: as `retention.check_expiries` gives them.

    Raises:
        ValueError: OBS takes no rule for one of the prefixes.
    """
    abort = {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ABORT_INCOMPLETE_UPLOADS_AFTER_DAYS}}
    expiring = [
        {
            "ID": it.rule_id,
            "Prefix": _check_rule_prefix(it.prefix),
            "Status": "Enabled",
            "Expiration": {"Days": it.days},
            **abort,
        }
        for it in expiries
    ]
    return expiring or [{"ID": "abort-incomplete-uploads", "Prefix": "", "Status": "Enabled", **abort}]


def rules(document: Mapping[str, Any]) -> list[Rule]:
    """What a bucket's lifecycle deletes; the document is as boto3's `get_bucket_lifecycle_configuration` gives it.

    A date that has passed still counts, though OBS then deletes only what was written before it.
    """
    return s3_lifecycle.rules(document)


def to_json(value: object) -> str:
    """In a fixed form: equal documents must be equal strings."""
    return json.dumps(value, separators=(",", ":"))


def check_bucket(name: str) -> str:
    """The bucket name itself, when OBS allows it (OBS SDK guide, "Creating a Bucket").

    Raises:
        ValueError: it breaks one of OBS's naming rules, which the message names.
    """
    if not _BUCKET.fullmatch(name):
        raise ValueError(
            f"{name!r} is no OBS bucket name: 3 to 63 lower-case letters, digits, dots and hyphens, "
            "with a letter or digit at both ends"
        )
    if ".." in name or ".-" in name or "-." in name:
        raise ValueError(f"{name!r} is no OBS bucket name: a dot must not stand beside another dot or a hyphen")
    if _IP_ADDRESS.fullmatch(name):
        raise ValueError(f"{name!r} is no OBS bucket name: it must not look like an IP address")
    return name


def check_user(value: str) -> str:
    """The user itself, when a bucket policy can name it.

    Raises:
        ValueError: it is no user, or more than one.
    """
    if _USER.fullmatch(value):
        return value
    if native := _NATIVE_USER.fullmatch(value):
        raise ValueError(f"{value!r}: write it as S3 does: 'arn:aws:iam::{native[1]}:user/{native[2]}'")
    raise ValueError(
        f"{value!r} is no user that a bucket policy can name: arn:aws:iam::DOMAIN_ID:user/USER_ID, both ids from "
        "the user's page 'My Credentials', and no pattern"
    )


def check_access_key_id(value: str) -> str:
    """The id of an access key itself, when it can be one.

    Raises:
        ValueError: it is none; the value is not repeated, for a secret may have been put in its place.
    """
    if not _KEY_ID.fullmatch(value):
        raise ValueError("is no access key id, which has letters and digits only (20 of them at most clouds)")
    return value


def check_endpoint(value: str, *, bucket: str | None = None) -> str:
    """The endpoint itself, when it is one.

    Args:
        value: such as `https://obs.eu-de.otc.t-systems.com`.
        bucket: whose name must not stand in front of the host.

    Raises:
        ValueError: the message says what to write instead.
    """
    if re.search(r"\s", value):
        raise ValueError("has white space in it, such as a newline from copying: remove it")
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname or "", parts.port  # whose look at it refuses what is no port
    except ValueError:
        raise ValueError("is no URL; write it as https://obs.REGION.CLOUD") from None
    if parts.username is not None or parts.password is not None:
        # The value is not repeated: what stands before the @ may be a key.
        raise ValueError("holds a user name or a password; keys go into access_key_id and secret_access_key")
    if parts.scheme not in {"http", "https"} or not host:
        bare = value.partition("://")[2] or value
        raise ValueError(f"{value!r} must start with http:// or https://: write 'https://{bare}'")
    if not _HOST.fullmatch(host):
        raise ValueError(f"{value!r} names no host; write it as https://obs.REGION.CLOUD")
    plain = f"{parts.scheme}://{parts.netloc}"
    if parts.path or parts.query or parts.fragment or value.endswith(("?", "#")):
        raise ValueError(f"{value!r} goes on behind the host; write {plain!r}")
    in_front = f"{bucket}." if bucket and host.startswith(f"{bucket}.") else None
    if in_front is None and (regional := _REGIONAL.fullmatch(host)):
        in_front = regional[1]
    if in_front:
        raise ValueError(f"{value!r} has a bucket in front of the host; write {plain.replace(in_front, '', 1)!r}")
    return value


def region_of(endpoint: str) -> str | None:
    """The region that an endpoint names, such as `eu-de` in `https://obs.eu-de.otc.t-systems.com`; None if none."""
    found = _REGIONAL.fullmatch(_hostname(endpoint))
    return found[2] if found else None


def host_of(endpoint: str) -> str:
    """The host of a checked endpoint, and its port if it is an unusual one: the same for all spellings."""
    parts, host = urlsplit(endpoint), _hostname(endpoint)
    return host if parts.port in {None, _USUAL_PORTS.get(parts.scheme)} else f"{host}:{parts.port}"


def cloud_of(endpoint: str) -> str:
    """Within what names of buckets and keys are unique: the cloud that an endpoint names by region, or else its host.

    So `https://obs.eu-de.otc.t-systems.com` gives `otc.t-systems.com`, whatever its region.
    """
    found = _REGIONAL.fullmatch(_hostname(endpoint))
    return found[3] if found else host_of(endpoint)


def _check_rule_prefix(prefix: str) -> str:
    if refused := _NOT_IN_RULES.search(prefix):
        raise ValueError(
            f"{prefix!r} holds {refused.group()!r}, for which OBS takes no rule: name the directory otherwise, or let "
            "nothing expire"
        )
    return prefix


def _hostname(endpoint: str) -> str:
    return (urlsplit(endpoint).hostname or "").rstrip(".")


def _plain(part: object) -> object:
    if isinstance(part, dict):
        return {name: _plain(value) for name, value in part.items()}
    if isinstance(part, list):
        plain = [_plain(it) for it in part]
        return plain[0] if len(plain) == 1 else sorted(plain, key=repr)
    return part
