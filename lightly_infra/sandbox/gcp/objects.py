"""Objects: upload, download, listing, deletion, as Cloud Storage's JSON API does it and google-cloud-storage asks for.

Authorisation as in Cloud Storage's "IAM permissions for JSON methods": listing is asked of the bucket, with the prefix
as an attribute; the rest of the object; replacing one needs the permission to delete it too. Who may read, but not
list, gets 403 for an object that is not there, not 404; there is no prefix to ask about then.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from lightly_infra.sandbox import missing_extra
from lightly_infra.sandbox.gcp import authorise
from lightly_infra.sandbox.gcp.buckets import Bucket, Buckets, StoredObject, base, check_parameters, now
from lightly_infra.sandbox.gcp.errors import Refusal, invalid, unsupported

try:
    import google_crc32c
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route
except ImportError as missing:
    raise missing_extra(missing) from missing

if TYPE_CHECKING:
    from starlette.requests import Request

    from lightly_infra.sandbox.gcp.authorise import Authoriser, Caller
    from lightly_infra.sandbox.gcp.kms import Keys

_API: Final = "/storage/v1/b/{bucket}/o"
_PAGE: Final = 1000
_NAME_BYTES: Final = 1024
_SETTINGS: Final = (
    "contentType",
    "metadata",
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
)
_COMMON: Final = frozenset({"prettyPrint", "projection", "fields", "alt", "userProject", "generation"})
_UPLOAD: Final = _COMMON | {"uploadType", "name", "ifGenerationMatch", "upload_id"}
_LISTING: Final = _COMMON | {"prefix", "delimiter", "maxResults", "pageToken", "versions", "includeTrailingDelimiter"}
_RANGE: Final = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass
class _Session:
    """A resumable upload that has begun."""

    bucket: Bucket
    name: str
    settings: dict[str, Any]
    caller: Caller
    match: str | None
    content: bytes = b""


class Objects:
    """The objects' part of the JSON API."""

    def __init__(self, buckets: Buckets, authoriser: Authoriser, keys: Keys) -> None:
        self._buckets = buckets
        self._authoriser = authoriser
        self._keys = keys
        self._sessions: dict[str, _Session] = {}

    def routes(self) -> list[Route]:
        """Their part of the API."""
        one = f"{_API}/{{key:path}}"
        return [
            Route(f"/upload{_API}", self._upload, methods=["POST"]),
            Route(f"/upload{_API}", self._resume, methods=["PUT"]),
            Route(f"/download{one}", self._download, methods=["GET"]),
            Route(_API, self._list, methods=["GET"]),
            Route(one, self._get, methods=["GET"]),
            Route(one, self._patch, methods=["PATCH"]),
            Route(one, self._delete, methods=["DELETE"]),
        ]

    async def _list(self, request: Request) -> Response:
        check_parameters(request, _LISTING)
        caller, bucket, asked = self._authoriser.caller(request), self._buckets.find(request), request.query_params
        prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter", "")
        self._authoriser.require(
            caller,
            "storage.objects.list",
            authorise.bucket(bucket.name),
            bucket.policy,
            {authorise.LIST_PREFIX: prefix},
        )
        former = bucket.former if asked.get("versions", "").lower() == "true" else []
        found: list[tuple[str, StoredObject | None]] = []
        for it in sorted([*bucket.objects.values(), *former], key=lambda it: (it.name, it.generation)):
            if it.name.startswith(prefix):
                folder = _folder(it.name, prefix, delimiter)
                found.append((folder, None) if folder else (it.name, it))
        found = list(dict.fromkeys(found)) if delimiter else found
        return JSONResponse(_page(found, bucket, request))

    async def _get(self, request: Request) -> Response:
        check_parameters(request, _COMMON)
        bucket, it = self._readable(request)
        if request.query_params.get("alt") == "media":
            return self._media(bucket, it)
        return JSONResponse(_document(bucket, it, base(request)))

    async def _download(self, request: Request) -> Response:
        check_parameters(request, _COMMON)
        return self._media(*self._readable(request))

    async def _patch(self, request: Request) -> Response:
        check_parameters(request, _COMMON)
        body = await request.json()
        bucket, it = self._allowed(request, "storage.objects.update")
        it.settings = _settings({**it.settings, **body})
        it.metageneration += 1
        return JSONResponse(_document(bucket, it, base(request)))

    async def _delete(self, request: Request) -> Response:
        check_parameters(request, _COMMON | {"ifGenerationMatch"})
        bucket, it = self._allowed(request, "storage.objects.delete")
        _check_match(request.query_params.get("ifGenerationMatch"), it)
        if it in bucket.former:
            bucket.former.remove(it)
        else:
            del bucket.objects[it.name]
            if bucket.versioned and "generation" not in request.query_params:
                bucket.former.append(it)
        return Response(status_code=204)

    async def _upload(self, request: Request) -> Response:
        check_parameters(request, _UPLOAD)
        caller, bucket, asked = self._authoriser.caller(request), self._buckets.find(request), request.query_params
        body, kind = await request.body(), request.headers.get("content-type", "")
        match asked.get("uploadType"):
            case "media":
                settings, content = {"contentType": kind}, body
            case "multipart":
                settings, content = _parts(kind, body)
            case "resumable":
                settings, content = json.loads(body or b"{}"), b""
                settings.setdefault("contentType", request.headers.get("x-upload-content-type"))
            case other:
                raise invalid(f"Invalid upload type: {other}")
        name = str(asked.get("name") or settings.pop("name", ""))
        if not 0 < len(name.encode()) <= _NAME_BYTES or "\n" in name or "\r" in name:
            raise invalid(f"Invalid object name: {name!r}")
        session = _Session(bucket, name, _settings(settings), caller, asked.get("ifGenerationMatch"), content)
        self._check_write(session)
        if asked["uploadType"] == "resumable":
            upload_id = secrets.token_urlsafe(32)
            self._sessions[upload_id] = session
            there = f"{base(request)}{request.url.path}?uploadType=resumable&upload_id={upload_id}"
            return Response(headers={"location": there, "x-guploader-uploadid": upload_id})
        return JSONResponse(_document(bucket, self._write(session), base(request)))

    async def _resume(self, request: Request) -> Response:
        """A piece of a resumable upload; who knows its id goes on as whoever began it."""
        upload_id = request.query_params.get("upload_id", "")
        session = self._sessions.get(upload_id)
        if session is None:
            raise Refusal(404, "No such upload.")
        body = await request.body()
        piece = _RANGE.fullmatch(request.headers.get("content-range", f"bytes 0-{len(body) - 1}/{len(body)}"))
        if piece is None or (piece[1] and int(piece[1]) != len(session.content)):
            raise invalid("Invalid Content-Range.")
        session.content += body
        if piece[3] == "*" or len(session.content) < int(piece[3]):
            got = {"range": f"bytes=0-{len(session.content) - 1}"} if session.content else {}
            return Response(status_code=308, headers=got)
        self._check_write(session)
        del self._sessions[upload_id]
        return JSONResponse(_document(session.bucket, self._write(session), base(request)))

    def _check_write(self, session: _Session) -> None:
        bucket, resource = session.bucket, authorise.stored(session.bucket.name, session.name)
        existing = bucket.objects.get(session.name)
        self._authoriser.require(session.caller, "storage.objects.create", resource, bucket.policy)
        if existing is not None:
            self._authoriser.require(session.caller, "storage.objects.delete", resource, bucket.policy)
        _check_match(session.match, existing)
        self._keys.check_usable(bucket.kms_key, bucket.project)

    def _write(self, session: _Session) -> StoredObject:
        bucket, generation = session.bucket, time.time_ns() // 1000
        existing = bucket.objects.get(session.name)
        if existing is not None:
            generation = max(generation, existing.generation + 1)
            if bucket.versioned:
                bucket.former.append(existing)
        bucket.objects[session.name] = it = StoredObject(
            session.name, session.content, generation, session.settings, now(), bucket.kms_key
        )
        return it

    def _readable(self, request: Request) -> tuple[Bucket, StoredObject]:
        bucket, it = self._allowed(request, "storage.objects.get")
        self._keys.check_usable(it.kms_key, bucket.project)
        return bucket, it

    def _allowed(self, request: Request, permission: str) -> tuple[Bucket, StoredObject]:
        """The object of the path, where the caller has the permission on it."""
        caller, bucket = self._authoriser.caller(request), self._buckets.find(request)
        name, generation = request.path_params["key"], request.query_params.get("generation")
        resource = authorise.stored(bucket.name, name)
        self._authoriser.require(caller, permission, resource, bucket.policy)
        versions = [*bucket.former, *([bucket.objects[name]] if name in bucket.objects else [])]
        it = bucket.objects.get(name)
        if generation is not None:
            it = next((it for it in versions if it.name == name and str(it.generation) == generation), None)
        if it is not None:
            return bucket, it
        if not self._authoriser.allows(caller, "storage.objects.list", authorise.bucket(bucket.name), bucket.policy):
            raise authorise.denied(caller, permission, resource)
        raise Refusal(404, f"No such object: {bucket.name}/{name}")

    def _media(self, bucket: Bucket, it: StoredObject) -> Response:
        document = _document(bucket, it, "")
        return Response(
            it.content,
            media_type=document["contentType"],
            headers={
                "x-goog-hash": f"crc32c={document['crc32c']},md5={document['md5Hash']}",
                "x-goog-generation": document["generation"],
                "x-goog-metageneration": document["metageneration"],
                "etag": document["etag"],
            },
        )


def _document(bucket: Bucket, it: StoredObject, where: str) -> dict[str, Any]:
    path, generation = f"b/{bucket.name}/o/{quote(it.name, safe='')}", str(it.generation)
    crc32c = google_crc32c.value(it.content).to_bytes(4, "big")
    return {
        "kind": "storage#object",
        "id": f"{bucket.name}/{it.name}/{generation}",
        "selfLink": f"{where}/storage/v1/{path}",
        "mediaLink": f"{where}/download/storage/v1/{path}?generation={generation}&alt=media",
        "name": it.name,
        "bucket": bucket.name,
        "generation": generation,
        "metageneration": str(it.metageneration),
        "contentType": "application/octet-stream",
        "storageClass": bucket.settings["storageClass"],
        "size": str(len(it.content)),
        "md5Hash": base64.b64encode(hashlib.md5(it.content, usedforsecurity=False).digest()).decode(),
        "crc32c": base64.b64encode(crc32c).decode(),
        "etag": f"CL{generation}{it.metageneration}=",
        "timeCreated": it.created,
        "updated": it.created,
        **({"kmsKeyName": f"{it.kms_key}/cryptoKeyVersions/1"} if it.kms_key else {}),
        **it.settings,
    }


def _page(found: list[tuple[str, StoredObject | None]], bucket: Bucket, request: Request) -> dict[str, Any]:
    """One page: objects, and the folders between them."""
    asked = request.query_params
    start, size = int(asked.get("pageToken", "0")), min(int(asked.get("maxResults", _PAGE)), _PAGE)
    here = found[start : start + size]
    page: dict[str, Any] = {
        "kind": "storage#objects",
        "items": [_document(bucket, it, base(request)) for _, it in here if it is not None],
        "prefixes": [folder for folder, it in here if it is None],
    }
    return page | ({"nextPageToken": str(start + size)} if start + size < len(found) else {})


def _folder(name: str, prefix: str, delimiter: str) -> str:
    """The folder below the prefix that stands for the object in a listing; empty for the object itself."""
    rest = name[len(prefix) :]
    if not delimiter or delimiter not in rest:
        return ""
    return prefix + rest[: rest.index(delimiter) + len(delimiter)]


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    """What is kept of an object's metadata; checksums are not compared."""
    ignored = {"name", "bucket", "crc32c", "md5Hash", "acl", "storageClass"}
    if unknown := sorted(set(given) - {*_SETTINGS, *ignored}):
        raise unsupported(f"the property {unknown[0]!r} of an object")
    return {name: given[name] for name in _SETTINGS if given.get(name)}


def _parts(kind: str, body: bytes) -> tuple[dict[str, Any], bytes]:
    """The metadata and the content of a `multipart/related` upload."""
    boundary = re.search(r'boundary="?([^";]+)', kind)
    if boundary is None:
        raise invalid("The upload has no boundary.")
    pieces = body.split(b"--" + boundary[1].encode())
    if len(pieces) != 4:  # noqa: PLR2004 - before, metadata, content and after
        raise invalid("The upload is no metadata and content.")
    (_, _, metadata), (head, _, content) = (piece.partition(b"\r\n\r\n") for piece in pieces[1:3])
    settings = json.loads(metadata)
    if named := re.search(rb"(?i)content-type: *([^\r\n]+)", head):
        settings.setdefault("contentType", named[1].decode())
    return settings, content.removesuffix(b"\r\n")


def _check_match(wanted: str | None, it: StoredObject | None) -> None:
    """Refuses when a generation is asked for that is not the current one; 0 stands for no object."""
    if wanted is not None and wanted != str(it.generation if it else 0):
        raise Refusal(412, "At least one of the pre-conditions you specified did not hold.")
