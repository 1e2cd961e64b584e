"""Everything around one stack, kept from sequence to sequence and emptied in between: clouds, Lightly, the engine."""

from __future__ import annotations

import contextlib
import functools
import http.client
import inspect
import json
import logging
import os
import re
import signal
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote, unquote, urlsplit

from lightly_infra.clouds.aws import policy
from lightly_infra.permissions import Operation, Purpose, is_granted
from lightly_infra.sandbox import environment as sandboxes
from lightly_infra.sandbox import project
from lightly_infra.sandbox.aws.ministack import Credentials, Ministack
from lightly_infra.sandbox.aws.probe import S3Store
from lightly_infra.sandbox.azure.arm_server import ArmServer
from lightly_infra.sandbox.azure.probe import AzureStore
from lightly_infra.sandbox.engine import plugins
from lightly_infra.sandbox.engine.environment import environment
from lightly_infra.sandbox.engine.provider import Provider, ProviderError
from lightly_infra.sandbox.environment import EngineName, Sandbox
from lightly_infra.sandbox.gcp import iam
from lightly_infra.sandbox.gcp.clients import KeyCredentials
from lightly_infra.sandbox.gcp.probe import GcsStore
from lightly_infra.sandbox.gcp.server import GcpEmulator
from lightly_infra.sandbox.lightly import LightlyServer
from lightly_infra.sandbox.obs.ministack import ObsServer, User
from lightly_infra.sandbox.probe import INSIDE, Attempt, directory
from lightly_infra.sandbox.seed import BESIDE, ELSEWHERE, image
from tests.stateful import emulators, fast
from tests.stateful.faults import Fault, Faulty

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lightly_infra.sandbox.engine.interface import Program
    from lightly_infra.sandbox.probe import Store

TOKEN: Final = "canary-token-5c1f0e77"

Thing = tuple[str, ...]
"""Something in a cloud: the cloud's key in the YAML, what it is, its name."""

STORAGE: Final = frozenset({"bucket", "object", "group", "account", "container"})
"""What data lies in. All other things let somebody in."""

_PATH: Final = re.compile(r"(?:\w+://)?([^/]+)/?(.*)")
_LIGHTLY: Final = Credentials(policy.LIGHTLY_ACCOUNT_ID, "test")


class Killed(ProviderError):
    """The run is no more. A provider's error, since that is what stops the embedded engine."""


@dataclass
class World:
    """A context manager; one in a process."""

    engine: EngineName = "embedded"
    said: list[str] = field(default_factory=list)
    """What was logged and printed since the last `hear`."""
    dead: bool = False
    """Whether the deployer was killed in this run."""

    def __enter__(self) -> Self:
        self._closing = contextlib.ExitStack()
        self._faulty: dict[str, Faulty] = {}
        self._keys = fast.KeyPairs()
        root = str(Path(__file__).parents[2])
        known = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([root, known] if known else [root])
        self._closing.callback(lambda: os.environ.update(PYTHONPATH=known) if known else os.environ.pop("PYTHONPATH"))
        self._replace(Ministack, "application", "tests.stateful.emulators:aws")
        self._replace(ObsServer, "application", "tests.stateful.emulators:obs")
        self._replace(iam, "key_pair", self._keys)
        for kind, name in ((LightlyServer, "lightly"), (GcpEmulator, "gcs"), (ArmServer, "azure")):
            self._put_faults_before(kind, name)
        if self.engine == "embedded":
            fast.quicken(self._replace)
            self._replace(plugins, "_DynamicHost", fast.DynamicHost)
            for name in ("create", "update", "delete"):
                self._replace(Provider, name, self._mortal(getattr(Provider, name)))
        self.sandbox = self._closing.enter_context(
            Sandbox(engine=self.engine, token=TOKEN, clouds=(), on_log=self._hear)
        )
        self.sandbox.lightly._probers = dict.fromkeys(("S3", "S3DelegatedAccess", "GCS", "AZURE", "OBS"), self._probe)
        handler = _Handler(self.said)
        logging.getLogger().addHandler(handler)
        self._closing.callback(logging.getLogger().removeHandler, handler)
        return self

    def __exit__(self, *error: object) -> None:
        self.sandbox.engine.close()  # the sandbox knows the first one alone
        self._closing.close()

    def reset(self) -> None:
        """Empties everything, and begins with a new stack."""
        self.dead = False
        self.hear()
        sandbox = self.sandbox
        sandbox.engine.close()
        sandbox.lightly.datasets.clear()
        with sandbox.lightly._log.lock:
            sandbox.lightly._log.requests.clear()
            sandbox.lightly._log.failures.clear()
        self._keys.reset()
        for name in sandbox._started:
            getattr(self, f"_reset_{name}")()
            sandbox._environment.update(sandbox.cloud(name).environment())
        for each in self._faulty.values():
            each.arm(None)
        sandbox._engine = sandbox._make_engine()

    # -- faults

    @contextlib.contextmanager
    def faults(self, fault: Fault | None) -> Iterator[None]:
        """Arms a fault for the run within."""
        self.dead = False
        self._armed = fault
        for name, faulty in self._faulty.items():
            faulty.arm(fault if fault and fault.at == name else None)
        remote = fault if fault and fault.at in {"s3", "obs"} else None
        if remote:
            self._door(remote.at, remote)
        self.came = 0
        try:
            yield
        finally:
            if remote:
                self.came = self._door(remote.at, method="GET")["came"]
                self._door(remote.at)
            elif fault and fault.at in self._faulty:
                self.came = self._faulty[fault.at].came
            for faulty in self._faulty.values():
                faulty.arm(None)
            self.dead = False

    def kill(self) -> None:
        """Ends the deployer, now."""
        self.dead = True
        if self.engine == "pulumi":
            for pid in _children("pulumi"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    # -- the user's part

    def seed(self, program: Program) -> None:
        """Makes what the program takes as given."""
        with environment(self.sandbox.environment):
            for name, given in sandboxes._sources(project.settings(program)).items():
                self.sandbox._start_cloud(name).prepare(given)

    def use(self, datasource: Mapping[str, str]) -> str:
        """Lists and reads, and where Lightly may it writes, as Lightly does; what goes wrong, or nothing."""
        purpose, place = datasource["purpose"], _PATH.fullmatch(datasource["fullPath"])
        if not place:
            return f"{datasource['fullPath']!r} is no path"
        bucket, prefix = place[1], directory(place[2])
        try:
            with self._opened(datasource, bucket) as store:
                keys = [it for it in store.keys(prefix) if not it.endswith("/")]
                if purpose == Purpose.LIGHTLY:
                    store.put(f"{prefix}state.json")
                    store.read(f"{prefix}state.json")
                elif keys:
                    store.read(keys[0])
        except Exception as error:  # noqa: BLE001 - each is what Lightly would say
            return f"{type(error).__name__}: {error}"[:300]
        return ""

    # -- what there is

    def inventory(self) -> frozenset[Thing]:
        """Everything in the clouds that have started."""
        found: set[Thing] = set()
        for name in self.sandbox._started:
            found |= {(name, *it) for it in getattr(self, f"_list_{name}")()}
        return frozenset(found)

    def secrets(self) -> frozenset[str]:
        """Every secret that exists by now, in every form that it travels in."""
        plain = {TOKEN}
        for dataset in self.sandbox.lightly.datasets.values():
            for it in dataset.datasources.values():
                plain |= _secrets_in(it)
        if "azure" in self.sandbox._started:
            plain |= set(self.sandbox.azure.account_keys())
        return frozenset(form for it in plain for form in (it, quote(it, safe=""), json.dumps(it)[1:-1]))

    def hear(self) -> str:
        """What was said since this was last asked."""
        heard = "\n".join(self.said)
        self.said.clear()
        return heard

    # -- below: how each cloud is emptied, listed and used

    def _reset_s3(self) -> None:
        _empty(self.sandbox.aws._ministack)

    def _reset_obs(self) -> None:
        server = self.sandbox.obs._server
        _empty(server)
        everything = {"Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": ["*"]}]}
        server.let_in(User(f"arn:aws:iam::{server.account}:user/deployer", server.deployer, everything))

    def _reset_gcs(self) -> None:
        cloud = self.sandbox.gcp
        old, new = cloud.emulator, GcpEmulator()
        for it in (cloud._client, cloud._administrator):
            if it is not None:
                it.close()
        cloud._client = cloud._administrator = None
        cloud._wide.clear()
        cloud._emulator = new
        new._serving, old._serving = old._serving, None
        self._faulty["gcs"].inner = new._app
        cloud._make_bucket(ELSEWHERE, "lightly-sandbox")
        cloud.client().bucket(ELSEWHERE).blob(BESIDE).upload_from_string(image(), "image/png")

    def _reset_azure(self) -> None:
        arm = self.sandbox.azure._arm
        for account in list(arm._accounts.values()):
            arm.delete_account(account.group.name, account.name)
        arm._groups.clear()
        arm.taken.clear()

    def _list_s3(self) -> set[Thing]:
        return {tuple(it) for it in self._door("s3", method="GET")["things"]}

    def _list_obs(self) -> set[Thing]:
        # Whoever deploys comes with the emulator, whenever that starts.
        return {tuple(it) for it in self._door("obs", method="GET")["things"] if "user/deployer" not in str(it)}

    def _list_gcs(self) -> set[Thing]:
        emulator = self.sandbox.gcp.emulator
        found: set[Thing] = set()
        for bucket in emulator.buckets.all.values():
            found.add(("bucket", bucket.name))
            found |= {("object", bucket.name, it) for it in bucket.objects}
            for binding in bucket.policy.bindings:
                found |= {
                    ("binding", bucket.name, binding.role, it, str(binding.expression))
                    for it in binding.members
                    if it.startswith(("serviceAccount:", "deleted:"))
                }
        for account in emulator.accounts._accounts.values():
            found.add(("service account", account.email))
            found |= {("key", account.email, it) for it in account.keys}
        return found | {("role", name) for name, role in emulator.roles._roles.items() if not role.deleted}

    def _list_azure(self) -> set[Thing]:
        from lightly_infra.sandbox.azure.blobs import service_client

        arm = self.sandbox.azure._arm
        found: set[Thing] = {("group", it.name) for it in arm._groups.values()}
        for account in list(arm._accounts.values()):
            found.add(("account", account.name))
            with service_client(arm.account_url(account.name), arm.data_key(account.name), arm.ca_bundle) as service:
                for container in service.list_containers():
                    found.add(("container", account.name, container.name))
                    blobs = service.get_container_client(container.name).list_blob_names()
                    found |= {("object", account.name, container.name, it) for it in blobs}
        return found

    @contextlib.contextmanager
    def _opened(self, datasource: Mapping[str, str], bucket: str) -> Iterator[Store]:
        match datasource["type"]:
            case "GCS":
                gcp = self.sandbox.gcp
                credentials = KeyCredentials(datasource["gcsCredentials"])
                with GcsStore(gcp.emulator.url, bucket, credentials, gcp.client()) as blobs:
                    yield blobs
            case "AZURE":
                arm = self.sandbox.azure._arm
                if datasource["accountName"] not in arm.accounts:
                    raise LookupError(f"no account {datasource['accountName']}")
                with AzureStore(arm, datasource["accountName"], bucket, datasource["accountKey"]) as container:
                    yield container
            case "OBS":
                keys = Credentials(datasource["obsAccessKeyId"], datasource["obsSecretAccessKey"])
                yield S3Store(self.sandbox.obs._server.client("s3", "eu-de", credentials=keys), bucket)
            case kind:
                region = datasource["s3Region"]
                if kind == "S3":
                    keys = Credentials(datasource["s3AccessKeyId"], datasource["s3SecretAccessKey"])
                else:
                    session = self.sandbox.aws.client("sts", region, credentials=_LIGHTLY).assume_role(
                        RoleArn=datasource["s3ARN"],
                        RoleSessionName="lightly",
                        ExternalId=datasource["s3ExternalId"],
                    )["Credentials"]
                    keys = Credentials(session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])
                yield S3Store(self.sandbox.aws.client("s3", region, credentials=keys), bucket)

    def _probe(self, datasource: Mapping[str, str], _: object) -> list[Attempt]:
        """Verifies by use: to try what must be refused, too, takes far longer and is proved elsewhere."""
        why = self.use(datasource)
        purpose = Purpose(datasource["purpose"])
        outcome: Any = "refused" if why else "allowed"
        why = f"AccessDenied: {why.partition(':')[0]}" if why else ""
        return [Attempt(purpose, it, INSIDE, "allowed", outcome, why) for it in Operation if is_granted(purpose, it)]

    # -- below: plumbing

    def _hear(self, severity: str, message: str) -> None:
        self.said.append(f"{severity}: {message}")

    def _replace(self, of: Any, name: str, value: Any) -> None:
        inherited = name not in vars(of) and not inspect.isfunction(of)
        before = getattr(of, name)
        setattr(of, name, value)
        self._closing.callback(lambda: delattr(of, name) if inherited else setattr(of, name, before))

    def _mortal(self, act: Any) -> Any:
        def step(*args: Any, **options: Any) -> Any:
            if self.dead:
                raise Killed("killed")
            try:
                done = act(*args, **options)
            except ProviderError:
                if self.dead:
                    raise Killed("killed") from None
                raise
            if self.dead:  # done, and never noted
                raise Killed("killed")
            return done

        return step

    def _put_faults_before(self, kind: type[Any], name: str) -> None:
        make = kind.app

        def app(server: Any) -> Any:
            async def within(scope: Any, receive: Any, send: Any) -> None:
                if scope["type"] == "http" and scope["path"] == "/_kill":
                    self.kill()
                await faulty(scope, receive, send)

            faulty = self._faulty[name] = Faulty(
                name,
                make(server),
                lambda scope: self._is_deployer(name, scope),
                _REFUSALS[name],
                self.kill,
                lambda: self.dead,
                self._forget,
            )
            return within

        self._replace(kind, "app", app)

    def _is_deployer(self, name: str, scope: Any) -> bool:
        if name != "gcs":
            return not scope["path"].startswith("/_")
        signed = dict(scope["headers"]).get(b"authorization", b"").decode()
        # Not by `sandbox.gcp`, which waits until it has started.
        emulator = vars(self.sandbox._started["gcs"])["_emulator"]
        return bool(signed == f"Bearer {emulator.token}")

    def _forget(self, dataset_id: str, purpose: str) -> None:
        dataset = self.sandbox.lightly.datasets.get(dataset_id)
        if dataset is not None:
            dataset.datasources = {key: it for key, it in dataset.datasources.items() if key == purpose}

    def _door(self, name: str, fault: Fault | None = None, method: str = "PUT") -> dict[str, Any]:
        server = self.sandbox.aws._ministack if name == "s3" else self.sandbox.obs._server
        body = emulators.order(fault, f"{self.sandbox.lightly.url}/_kill") if method == "PUT" else None
        told: dict[str, Any] = json.loads(_ask(server, method, emulators.DOOR, body))
        return told


class _Handler(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.INFO)
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith(("botocore", "urllib3", "azure", "asyncio", "uvicorn")):
            self._said.append(record.getMessage())


def _json_error(status: int) -> tuple[bytes, bytes]:
    return b"application/json", json.dumps({"error": {"code": status, "message": "for the test's sake"}}).encode()


def _lightly_error(status: int) -> tuple[bytes, bytes]:
    code = {403: "FORBIDDEN"}.get(status, "INTERNAL_SERVER_ERROR")
    return b"application/json", json.dumps({"code": code, "error": "for the test's sake"}).encode()


_REFUSALS: Final[dict[str, Any]] = {"lightly": _lightly_error, "gcs": _json_error, "azure": _json_error}


def _secrets_in(datasource: Mapping[str, str]) -> set[str]:
    names = ("s3ExternalId", "s3SecretAccessKey", "obsSecretAccessKey")
    found = {datasource[it] for it in names if it in datasource}
    if sas := datasource.get("accountKey"):
        found.add(unquote(sas.partition("sig=")[2].partition("&")[0]))
    if key := datasource.get("gcsCredentials"):
        with contextlib.suppress(ValueError, KeyError):
            lines = json.loads(key)["private_key"].splitlines()
            found.add(lines[len(lines) // 2])
    return found


def _empty(server: Ministack) -> None:
    for credentials in [it for it in server._clients if it.access_key != "test"]:
        server._clients.pop(credentials).close()
    _ask(server, "POST", "/_ministack/reset", None)


def _ask(server: Ministack, method: str, path: str, body: bytes | None) -> bytes:
    at = urlsplit(server.endpoint)
    connection = http.client.HTTPSConnection(
        at.hostname or "", at.port, timeout=30, context=_trusting(server.ca_bundle)
    )
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status == http.HTTPStatus.OK, (answer.status, content[:200])
        return content
    finally:
        connection.close()


@functools.cache
def _trusting(ca_bundle: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_bundle)


def _children(name: str) -> list[int]:
    """This process's own children of that name."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            pid, _, rest = stat.read_text().partition(" (")
            command, _, fields = rest.rpartition(") ")
            if command == name and int(fields.split()[1]) == os.getpid():
                found.append(int(pid))
    return found


__all__ = ["STORAGE", "TOKEN", "Killed", "Thing", "World"]
