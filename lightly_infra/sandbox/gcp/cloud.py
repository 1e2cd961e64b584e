"""Google Cloud in the sandbox: the emulator, what users bring to it, and how Lightly's credentials are tried on it."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, ClassVar, Final, Self
from urllib.parse import quote

from lightly_infra import paths
from lightly_infra.clouds.gcp import policy
from lightly_infra.permissions import Purpose
from lightly_infra.sandbox.cloud import CannotSeed, EmulatedCloud
from lightly_infra.sandbox.gcp import clients
from lightly_infra.sandbox.gcp.clients import Administrator, TokenCredentials, storage_client, unless_there
from lightly_infra.sandbox.gcp.iam import ACCOUNT_ID, PROJECT_ID
from lightly_infra.sandbox.gcp.probe import located, neighbours, probe
from lightly_infra.sandbox.gcp.server import PROJECT, GcpEmulator
from lightly_infra.sandbox.seed import BESIDE, ELSEWHERE, IMAGES, image
from lightly_infra.spec.gcs import GcsSpec

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from lightly_infra.sandbox.cloud import Source
    from lightly_infra.sandbox.gcp.clients import StorageClient
    from lightly_infra.sandbox.probe import Attempt

_EMAIL: Final = re.compile(rf"({ACCOUNT_ID.pattern})@({PROJECT_ID.pattern})\.iam\.gserviceaccount\.com")
_LOCATION: Final = "EU"  # of buckets that users bring


class GcpCloud(EmulatedCloud):
    """The emulated Google Cloud. Everything in it is gone when it stops."""

    name: ClassVar[str] = "Google Cloud"

    def __init__(self) -> None:
        self._emulator: GcpEmulator | None = None
        self._administrator: Administrator | None = None
        self._client: StorageClient | None = None
        self._wide: set[tuple[str | None, str, Purpose]] = set()

    @property
    def emulator(self) -> GcpEmulator:
        """The server, with its faults to be switched on."""
        if self._emulator is None:
            raise RuntimeError("the emulated Google Cloud is not running")
        return self._emulator

    def start(self) -> Self:
        """Starts the emulator, with a bucket that nobody is granted anything on."""
        if self._emulator is None:
            self._emulator = GcpEmulator().start()
            try:
                self._make_bucket(ELSEWHERE, PROJECT)
                self.client().bucket(ELSEWHERE).blob(BESIDE).upload_from_string(image(), "image/png")
            except BaseException:
                self.stop()
                raise
        return self

    def stop(self) -> None:
        """Ends it. May be called again."""
        client, self._client = self._client, None
        administrator, self._administrator = self._administrator, None
        emulator, self._emulator = self._emulator, None
        self._wide.clear()
        if client is not None:
            client.close()
        if administrator is not None:
            administrator.close()
        if emulator is not None:
            emulator.stop()

    def environment(self) -> dict[str, str]:
        """What sends our provider here, as the administrator, and official clients of Cloud Storage."""
        return {
            clients.ENDPOINT: self.emulator.url,
            "GOOGLE_IAM_CUSTOM_ENDPOINT": f"{self.emulator.url}/v1/",
            clients.TOKEN: self.emulator.token,
            clients.PROJECT: PROJECT,
        }

    def prepare(self, sources: Sequence[Source]) -> None:
        """Makes buckets with images, keys and service accounts; grants brought keys what the manual says.

        Raises:
            CannotSeed: a brought key was not issued here, or an account has another kind of email.
        """
        specs = [(it, it.spec) for it in sources if isinstance(it.spec, GcsSpec)]
        made = {gcs.bucket for _, gcs in specs if gcs.create}
        for source, gcs in specs:
            if gcs.bucket is not None and gcs.bucket not in made:
                self._make_bucket(gcs.bucket, gcs.project)
                self._put(gcs.bucket, gcs.prefix, source.files)
            if gcs.kms_key is not None:
                self.emulator.keys.put(gcs.kms_key)
            if gcs.bucket_wide_listing:
                self._wide.add((gcs.bucket, gcs.prefix, source.purpose))
            if gcs.access.service_account is not None:
                self.make_account(gcs.access.service_account, f"{source.where}.access.service_account")
            if gcs.access.credentials is not None:
                where = f"{source.where}.access.credentials"
                email = self._issued(gcs.access.credentials.get_secret_value(), where)
                if gcs.bucket is None or gcs.bucket in made:
                    raise CannotSeed(
                        f"{where}: they are yours to be granted something, on a bucket that is only made here; name a "
                        "bucket of yours, or leave credentials out"
                    )
                self.grant(email, source.purpose, gcs.bucket, gcs.prefix, gcs.project)

    def put_images(self, place: str, prefix: str) -> None:
        """Makes the bucket `place` where it is missing, with images under the prefix."""
        policy.check_bucket(place)
        self._make_bucket(place, PROJECT)
        self._put(place, paths.normalise_prefix(prefix))

    def probe(self, datasource: Mapping[str, str], others: Collection[Mapping[str, str]]) -> list[Attempt]:
        """Tries a datasource: see `sandbox.gcp.probe`."""
        return probe(
            datasource,
            others,
            gcp=self.emulator,
            owner=self.client(),
            lists_all=any(self._lists_all(it) for it in (datasource, *neighbours(datasource, others))),
        )

    # -- what tests and users do by hand

    def client(self) -> StorageClient:
        """The official client of Cloud Storage, as the administrator."""
        if self._client is None:
            credentials = TokenCredentials(self.emulator.token)
            self._client = storage_client(self.emulator.url, credentials, PROJECT)
        return self._client

    def make_account(self, email: str, where: str = "email") -> None:
        """Has a service account there; does nothing when it is there already.

        Raises:
            CannotSeed: the email is not NAME@PROJECT.iam.gserviceaccount.com; the message begins with `where`.
        """
        named = _EMAIL.fullmatch(email)
        if named is None:
            raise CannotSeed(
                f"{where}: the emulated Google Cloud has no accounts that Google makes itself; name one such as "
                f"lightly@{PROJECT}.iam.gserviceaccount.com"
            )
        with unless_there():
            self._api.call("POST", f"/v1/projects/{named[2]}/serviceAccounts", {"accountId": named[1]})

    def make_key(self, email: str) -> str:
        """A new key of a service account: its JSON."""
        found = self._api.call("POST", f"/v1/projects/-/serviceAccounts/{quote(email)}/keys", {})
        return base64.b64decode(found["privateKeyData"]).decode()

    def delete_key(self, key_json: str) -> None:
        """Deletes a key, as somebody else may behind our back."""
        key = json.loads(key_json)
        email, key_id = quote(key["client_email"]), key["private_key_id"]
        self._api.call("DELETE", f"/v1/projects/-/serviceAccounts/{email}/keys/{key_id}")

    def delete_role(self, name: str) -> None:
        """Deletes a custom role, as somebody else may behind our back: softly."""
        self._api.call("DELETE", f"/v1/{name}")

    def undelete_role(self, name: str) -> None:
        """Brings it back, as `gcloud iam roles undelete` does."""
        self._api.call("POST", f"/v1/{name}:undelete", {})

    def grant(self, email: str, purpose: Purpose, bucket: str, prefix: str, project: str) -> None:
        """Grants an account what the manual tells users to grant; does nothing when it has it already."""
        role_id = f"lightly_{purpose.lower()}_by_hand"
        role = {"title": role_id, "includedPermissions": policy.permissions(purpose), "stage": "GA"}
        with unless_there():
            self._api.call("POST", f"/v1/projects/{project}/roles", {"roleId": role_id, "role": role})
        granted = policy.grant(purpose=purpose, bucket=bucket, prefix=prefix)
        binding = {
            "role": f"projects/{project}/roles/{role_id}",
            "members": {f"serviceAccount:{email}"},
            "condition": granted.get("condition"),
        }
        place = self.client().bucket(bucket)
        found = place.get_iam_policy(requested_policy_version=3)
        if binding not in [{"condition": None} | it for it in found.bindings]:
            found.version = 3
            found.bindings.append({key: value for key, value in binding.items() if value is not None})
            place.set_iam_policy(found)

    @property
    def _api(self) -> Administrator:
        if self._administrator is None:
            self._administrator = Administrator(self.environment())
        return self._administrator

    def _make_bucket(self, name: str, project: str) -> None:
        if "." in name:
            self.emulator.buckets.domains.add(name)
        uniform = {"uniformBucketLevelAccess": {"enabled": True}}
        body = {"name": name, "location": _LOCATION, "iamConfiguration": uniform}
        with unless_there():
            self._api.call("POST", "/storage/v1/b", body, params={"project": project})

    def _put(self, bucket: str, prefix: str, files: Iterable[str] = IMAGES) -> None:
        """These files under the prefix, and one object beside it."""
        content, place = image(), self.client().bucket(bucket)
        for key in (*(f"{prefix}{name}" for name in files), BESIDE):
            place.blob(key).upload_from_string(content, "image/png")

    def _issued(self, key_json: str, where: str) -> str:
        """The account of a key that was issued here."""
        key = json.loads(key_json)
        account = self.emulator.accounts.find(key["client_email"])
        if account is None or key["private_key_id"] not in account.keys:
            raise CannotSeed(
                f"{where}: the emulated Google Cloud did not issue this key, and real keys are of no use to it; leave "
                "credentials out here, and a service account is made"
            )
        return account.email

    def _lists_all(self, datasource: Mapping[str, str]) -> bool:
        """Whether the stack wished it; of a bucket with a generated name the rest has to tell which it is."""
        place = located(datasource)
        if place is None:
            return False
        bucket, prefix = place
        purpose = Purpose(datasource["purpose"])
        return not self._wide.isdisjoint({(bucket, prefix, purpose), (None, prefix, purpose)})
