"""Where data lies: prefixes, bucket names and resource paths, and which of them holds which.

A prefix is a directory: it is either empty (the whole bucket) or ends with a slash, so that `raw/` never
means `raw-private/` too.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# A key is at most 1,024 bytes of UTF-8 on S3, GCS and OBS, and 1,024 characters on Azure (their guides on naming).
MAX_KEY_BYTES: Final = 1024
MAX_PREFIX_BYTES: Final = 512
"""Half of a key, so that what lies under the prefix has room for names of its own."""
MAX_BUCKET_CHARACTERS: Final = 63

# Alphabets with letters that look like Latin ones ("Unicode Security Mechanisms", UTS 39).
_LOOK_ALIKE: Final = frozenset({"CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "FULLWIDTH", "MATHEMATICAL"})

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_IP_ADDRESS: Final = re.compile(r"\d{1,3}(\.\d{1,3}){3}")
# Reserved by S3 (user guide, "General purpose bucket naming rules").
_RESERVED_STARTS: Final = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_ENDS: Final = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


def normalise_prefix(prefix: str) -> str:
    """The prefix as a directory: with one slash at its end, or empty for the whole bucket.

    Raises:
        ValueError: the prefix could reach outside itself, or would mean something else in a policy; the
            message says what to change.
    """
    if "://" in prefix:
        raise ValueError(f"{prefix!r} is a whole path; give only what follows the bucket, such as 'street-scenes/'")
    if prefix.startswith("/"):
        raise ValueError(f"{prefix!r} starts with a slash; object keys do not: write {prefix.lstrip('/')!r}")
    if wild := re.search(r"[*?]|\$\{", prefix):
        raise ValueError(
            f"{prefix!r} holds {wild.group()!r}, which a policy would read as a pattern; name one directory"
        )
    if not prefix.isprintable() or "\\" in prefix:
        raise ValueError(f"{prefix!r} holds a backslash or a control character; use plain text and '/'")
    directory = prefix if prefix.endswith("/") or not prefix else f"{prefix}/"
    parts = directory.split("/")[:-1]
    if any(part in {".", ".."} for part in parts):
        raise ValueError(f"{prefix!r} holds '.' or '..', which object keys do not resolve; write it out")
    if "" in parts:
        raise ValueError(f"{prefix!r} holds an empty directory name ('//'); remove the second slash")
    if len(directory.encode()) > MAX_PREFIX_BYTES:
        raise ValueError(
            f"the prefix has {len(directory.encode())} bytes; {MAX_PREFIX_BYTES} are the most, since an object's key "
            f"has {MAX_KEY_BYTES} and needs room for a name of its own: shorten it"
        )
    return directory


def oddities(prefix: str) -> list[str]:
    """What in a prefix is allowed and most likely a slip: blanks at an edge, look-alike letters, a split accent."""
    found = []
    if odd := [it for it in prefix.split("/") if it != it.strip()]:
        found.append(f"{odd[0]!r} begins or ends with a blank")
    for word in re.findall(r"\w+", prefix):
        scripts = {unicodedata.name(it, "").partition(" ")[0] for it in word if it.isalpha()}
        if "LATIN" in scripts and (others := scripts & _LOOK_ALIKE):
            other = next(it for it in word if unicodedata.name(it, "").partition(" ")[0] in others)
            found.append(f"{word!r} has the letter {other!a} ({unicodedata.name(other)}) among Latin ones")
    if unicodedata.normalize("NFC", prefix) != prefix:
        found.append(f"it has letters in parts ({prefix!a}), which look like others that are one character")
    return found


def contains(outer: str, inner: str) -> bool:
    """Whether every key under the normalised prefix `inner` is under the normalised prefix `outer` too."""
    return inner.startswith(outer)


def check_s3_bucket(name: str) -> str:
    """The bucket name itself, when S3 allows it.

    Raises:
        ValueError: it breaks one of S3's naming rules, which the message names.
    """
    if not _BUCKET.fullmatch(name):
        raise ValueError(
            f"{name!r} is no S3 bucket name: 3 to 63 lower-case letters, digits, dots and hyphens, "
            "with a letter or digit at both ends"
        )
    if ".." in name:
        raise ValueError(f"{name!r} is no S3 bucket name: two dots must not stand side by side")
    if _IP_ADDRESS.fullmatch(name):
        raise ValueError(f"{name!r} is no S3 bucket name: it must not look like an IP address")
    for start in _RESERVED_STARTS:
        if name.startswith(start):
            raise ValueError(f"{name!r} is no S3 bucket name: S3 keeps names that start with {start!r}")
    for end in _RESERVED_ENDS:
        if name.endswith(end):
            raise ValueError(f"{name!r} is no S3 bucket name: S3 keeps names that end with {end!r}")
    return name


def resource_path(scheme: str, bucket: str, prefix: str) -> str:
    """The path Lightly is told, such as `s3://acme-raw/street-scenes/`."""
    return f"{scheme}://{bucket}/{prefix}"


def slug(name: str, *, limit: int = 38) -> str:
    """A name for cloud resources: lower-case letters, digits and single hyphens, at most `limit` characters.

    38 leaves room for `lightly-`, the purpose and Pulumi's 8 random characters within S3's 63.
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:limit].rstrip("-")
