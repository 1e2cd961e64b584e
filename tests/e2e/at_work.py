"""Lightly at work: it uses the credentials that it holds, all day, while they are renewed."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Final, Self
from weakref import WeakKeyDictionary

from lightly_infra.clouds.aws import policy
from lightly_infra.permissions import Operation, Purpose, is_granted
from lightly_infra.sandbox.aws.ministack import Credentials
from lightly_infra.sandbox.aws.probe import S3Store
from lightly_infra.sandbox.azure.probe import AzureStore
from lightly_infra.sandbox.gcp.clients import KeyCredentials
from lightly_infra.sandbox.gcp.probe import GcsStore
from lightly_infra.sandbox.probe import INSIDE, Attempt, directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lightly_infra.sandbox.environment import Sandbox
    from lightly_infra.sandbox.probe import Store

    Held = Mapping[str, str]
    """A datasource as Lightly has it, secrets included."""

_PATH: Final = re.compile(r"(?:\w+://)?([^/]+)/?(.*)")
_TYPES: Final = ("S3", "S3DelegatedAccess", "GCS", "AZURE", "OBS")


def held(sandbox: Sandbox) -> list[Held]:
    """What Lightly holds of its one dataset at this moment, the Input first."""
    (dataset,) = sandbox.lightly.datasets.values()
    return [_without_id(it) for _, it in sorted(dataset.datasources.items())]


def _without_id(datasource: Held) -> Held:
    """Each time that a datasource is set it gets another."""
    return {name: it for name, it in datasource.items() if name != "id"}


def use(sandbox: Sandbox, datasource: Held) -> None:
    """Lists and reads in an Input; lists, writes and reads in a Lightly datasource. Raises what the cloud answers."""
    place = _PATH.fullmatch(datasource["fullPath"])
    assert place
    bucket, prefix = place[1], directory(place[2])
    with _opened(sandbox, datasource, bucket) as store:
        keys = [it for it in store.keys(prefix) if not it.endswith("/")]
        if datasource["purpose"] == Purpose.INPUT:
            store.read(keys[0])
        else:
            store.put(f"{prefix}state.json")
            store.read(f"{prefix}state.json")


def is_refused(sandbox: Sandbox, datasource: Held) -> bool:
    """Whether the cloud does not let these credentials in; whatever else goes wrong is raised."""
    place = _PATH.fullmatch(datasource["fullPath"])
    assert place
    try:
        use(sandbox, datasource)
    except Exception as error:
        judge = GcsStore.judge if datasource["type"] == "GCS" else S3Store.judge
        judged = judge(None, error)  # type: ignore[arg-type] # they look at the error alone
        if judged is None or judged[0] != "refused":
            raise
        return True
    return False


@contextmanager
def _opened(sandbox: Sandbox, datasource: Held, bucket: str) -> Iterator[Store]:
    match datasource["type"]:
        case "GCS":
            gcp, key = sandbox.gcp, _key(datasource["gcsCredentials"])
            with GcsStore(gcp.emulator.url, bucket, key, gcp.client()) as blobs:
                blobs.authenticate()  # each time: a token outlives its key
                yield blobs
        case "AZURE":
            sas = datasource["accountKey"]
            with AzureStore(sandbox.azure._arm, datasource["accountName"], bucket, sas) as container:
                yield container
        case "OBS":  # here and below, clients are kept by their credentials, and closed with the sandbox
            keys = Credentials(datasource["obsAccessKeyId"], datasource["obsSecretAccessKey"])
            yield S3Store(sandbox.obs._server.client("s3", "eu-de", credentials=keys), bucket)
        case _:
            keys, region = _session(sandbox, datasource), datasource["s3Region"]
            yield S3Store(sandbox.aws.client("s3", region, credentials=keys), bucket)


_key = cache(KeyCredentials)
"""A service account's key, read once: that takes 30 ms."""

_SESSIONS: Final[WeakKeyDictionary[Sandbox, dict[tuple[str, str], Credentials]]] = WeakKeyDictionary()


def _session(sandbox: Sandbox, datasource: Held) -> Credentials:
    """The datasource's key, or a session of its role: the role is assumed each time, and the first session used."""
    if datasource["type"] == "S3":
        return Credentials(datasource["s3AccessKeyId"], datasource["s3SecretAccessKey"])
    lightly = Credentials(policy.LIGHTLY_ACCOUNT_ID, "test")
    session = sandbox.aws.client("sts", datasource["s3Region"], credentials=lightly).assume_role(
        RoleArn=datasource["s3ARN"], RoleSessionName="lightly", ExternalId=datasource["s3ExternalId"]
    )["Credentials"]
    begun = Credentials(session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])
    sessions = _SESSIONS.setdefault(sandbox, {})
    return sessions.setdefault((datasource["s3ARN"], datasource["s3ExternalId"]), begun)


@contextmanager
def verified_by_use(sandbox: Sandbox, knows: Callable[[Held], bool] = lambda _: True) -> Iterator[None]:
    """Has the emulated Lightly verify by use alone: to try what must be refused, too, takes far longer.

    Args:
        sandbox: It has started.
        knows: Whether the cloud has heard of the credentials yet, on top of whether it lets them in.
    """

    def probe(datasource: Held, _: object) -> list[Attempt]:
        why = "AccessDenied: not known yet"
        if knows(_without_id(datasource)):
            try:
                use(sandbox, datasource)
            except Exception as error:  # noqa: BLE001 - Lightly answers, whatever goes wrong
                why = f"AccessDenied: {type(error).__name__}"
            else:
                why = ""
        purpose = Purpose(datasource["purpose"])
        outcome = "refused" if why else "allowed"
        return [Attempt(purpose, it, INSIDE, "allowed", outcome, why) for it in Operation if is_granted(purpose, it)]  # type: ignore[arg-type]

    before, sandbox.lightly._probers = sandbox.lightly._probers, dict.fromkeys(_TYPES, probe)
    try:
        yield
    finally:
        sandbox.lightly._probers = before


class Reader:
    """Uses what Lightly holds at each moment, and what a worker took with it when the last renewal began.

    Attributes:
        requests: How often something was used.
        lost: What went wrong.
    """

    def __init__(self, sandbox: Sandbox, *, pause: float = 0.2) -> None:
        self._sandbox = sandbox
        self._pause = pause
        self._taken: list[Held] = []
        self._done = threading.Event()
        self._hurry = threading.Event()
        self._turn = threading.Condition()
        self._rounds = 0
        self._thread = threading.Thread(target=self._work, name="reader")
        self.requests = 0
        self.lost: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._hurry.set()
        self._thread.join()

    def take(self) -> None:
        """A worker begins now, and will work with what it is given until the next one begins."""
        with self._turn:
            self._taken = held(self._sandbox)

    def work(self) -> None:
        """Returns when everything has been used once more."""
        with self._turn:
            began = self._rounds
            self._hurry.set()
            assert self._turn.wait_for(lambda: self._rounds > began, timeout=60)

    def _work(self) -> None:
        while not self._done.is_set():
            self._hurry.clear()
            with self._turn:
                holds = held(self._sandbox)
                for it in (*holds, *(it for it in self._taken if it not in holds)):
                    self._use(it)
                self._rounds += 1
                self._turn.notify_all()
            self._hurry.wait(self._pause)

    def _use(self, datasource: Held) -> None:
        self.requests += 1
        try:
            use(self._sandbox, datasource)
        except Exception as error:  # noqa: BLE001 - each is a request that was lost
            self.lost.append(f"{datasource['purpose']}: {type(error).__name__}: {error}")
