"""Other credentials are handed over: whatever happens, what works stays registered."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import httpx
import pytest

from lightly_infra.lightly.client import LightlyClient
from lightly_infra.lightly.errors import (
    ApiError,
    DatasetUnknown,
    HandoverFailed,
    LightlyError,
    TokenRefused,
)
from lightly_infra.lightly.handover import hand_over
from lightly_infra.lightly.models import DatasetType, parse_config
from lightly_infra.permissions import Operation, Purpose, is_granted
from lightly_infra.sandbox.lightly import LightlyServer
from lightly_infra.sandbox.probe import INSIDE, Attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from lightly_infra.lightly.models import DatasourceConfig

OLD, NEW = "canary-of-the-old-key", "canary-of-the-new-key"


def network() -> httpx.HTTPTransport:
    """The network without TLS, which the emulated Lightly does not speak: to read authorities takes 20 ms."""
    return httpx.HTTPTransport(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


class Platform:
    """The emulated Lightly, with clouds that let in whoever shows one of the keys in `good`.

    Its client sleeps by moving a clock on, and notes what was registered during each of these naps.
    """

    def __init__(self, server: LightlyServer) -> None:
        self.server = server
        self.good = {"key-of-lightly", OLD}
        self.takes = dict[str, int]()
        """How many verifies it takes until a good key is known."""
        self.now = 0.0
        self.napped_with: list[str] = []
        self.clients: list[LightlyClient] = []
        self.dataset_id = self.client().create_dataset("Street scenes", DatasetType.IMAGES)
        self.set(config(OLD))
        self.set(config("key-of-lightly", "LIGHTLY"))
        server._log.requests.clear()

    def probe(self, datasource: Mapping[str, str], _: object) -> list[Attempt]:
        key, purpose = datasource["s3SecretAccessKey"], Purpose(datasource["purpose"])
        known = self.takes[key] = self.takes.get(key, 0) - 1
        lets_in = key in self.good and known < 0
        why = "" if lets_in else f"AccessDenied: {key} is unknown"
        return [
            Attempt(purpose, it, INSIDE, "allowed", "allowed" if lets_in else "refused", why)
            for it in Operation
            if is_granted(purpose, it)
        ]

    def client(self, transport: httpx.BaseTransport | None = None) -> LightlyClient:
        made = LightlyClient("t0ken", base_url=self.server.url, transport=transport, sleep=lambda _: None)
        self.clients.append(made)
        return made

    def set(self, datasource: DatasourceConfig) -> None:
        self.client().set_datasource(self.dataset_id, datasource)

    @property
    def registered(self) -> str:
        return self.server.datasets[self.dataset_id].datasources["INPUT"]["s3SecretAccessKey"]

    def hand_over(self, client: LightlyClient | None = None, *, new: str = NEW, deadline: float = 60) -> None:
        def sleep(seconds: float) -> None:
            self.now += seconds
            self.napped_with.append(self.registered)

        hand_over(
            client or self.client(),
            self.dataset_id,
            config(OLD),
            config(new),
            deadline=deadline,
            sleep=sleep,
            clock=lambda: self.now,
        )

    @property
    def calls(self) -> str:
        """What was asked for, such as `verify set`."""
        return " ".join("set" if it.startswith("PUT") else it.rsplit("/", 1)[-1] for it in self.server.requests)


def config(secret: str, purpose: str = "INPUT") -> DatasourceConfig:
    common = {"purpose": purpose, "full_path": f"s3://acme-raw/{purpose}/", "s3_region": "eu-central-1"}
    return parse_config({**common, "type": "S3", "s3_access_key_id": "AKIAEXAMPLE", "s3_secret_access_key": secret})


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[LightlyServer, list[Platform]]]:
    platforms: list[Platform] = []

    def probe(datasource: Mapping[str, str], others: Collection[Mapping[str, str]]) -> list[Attempt]:
        return platforms[-1].probe(datasource, others)

    with LightlyServer("t0ken", probers={"S3": probe}) as server:
        yield server, platforms


@pytest.fixture
def platform(running: tuple[LightlyServer, list[Platform]]) -> Iterator[Platform]:
    server, platforms = running
    server.datasets.clear()
    server._log.failures.clear()
    server.deny_verifies(0)
    platforms.append(platform := Platform(server))
    yield platform
    for it in platform.clients:
        it.close()


def test_credentials_that_work_are_registered(platform: Platform) -> None:
    platform.good.add(NEW)

    platform.hand_over()

    assert platform.registered == NEW
    assert platform.calls == "verify set verify all"


@pytest.mark.parametrize("tries", [1, 3])
def test_while_the_cloud_gets_to_know_them_the_ones_before_are_registered(platform: Platform, tries: int) -> None:
    platform.good.add(NEW)
    platform.takes[NEW] = tries

    platform.hand_over()

    assert platform.registered == NEW
    assert platform.napped_with == [OLD] * tries
    assert 0 < platform.now < 60


def test_credentials_that_were_not_taken_are_noticed_although_lightly_works_with_the_ones_before(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = config(NEW).model_copy(update={"s3_access_key_id": "AKIANEW"})
    dataset = platform.server.datasets[platform.dataset_id]
    monkeypatch.setattr(dataset, "set_datasource", lambda _: None)

    said = r"could not be tried: .*s3_access_key_id 'AKIAEXAMPLE' instead of 'AKIANEW'.*stay registered, and work"
    with pytest.raises(HandoverFailed, match=said):
        hand_over(platform.client(), platform.dataset_id, config(OLD), other, deadline=0)
    assert platform.registered == OLD
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("status", "is_about_them"), [(400, True), (409, True), (401, False), (403, False), (500, False)]
)
def test_only_what_is_about_the_credentials_asks_to_correct_them(
    platform: Platform, status: int, *, is_about_them: bool
) -> None:
    platform.server.fail_next("PUT", "datasource", status)
    with pytest.raises(HandoverFailed) as failed:
        platform.hand_over(deadline=0)
    assert ("Correct the new ones" in str(failed.value)) == is_about_them
    assert ("when that is mended" in str(failed.value)) != is_about_them


def test_credentials_that_do_not_work_are_not_kept_and_the_message_says_so(platform: Platform) -> None:
    with pytest.raises(HandoverFailed) as failed:
        platform.hand_over(deadline=30)

    assert platform.registered == OLD
    assert platform.now == 30
    assert set(platform.napped_with) == {OLD}
    said = str(failed.value)
    assert said.startswith(
        f"the new credentials of the Input datasource of dataset {platform.dataset_id} do not work, nor did they "
        "within 30 s: Lightly has not got the permissions"
    )
    assert "can't list or read in the Input datasource" in said
    assert "AccessDenied" in said
    assert said.endswith("The previous ones stay registered, and work. Correct the new ones and run `pulumi up` again")
    assert "canary" not in said


def test_where_the_ones_before_do_not_work_there_is_nothing_to_keep(platform: Platform) -> None:
    platform.good -= {OLD}

    platform.hand_over()

    assert platform.registered == NEW, "whether it works the verification tells"
    before, *asked, after, read = platform.calls.split()
    assert (before, asked[0], after, read) == ("verify", "set", "set", "all")
    assert set(asked[1:]) == {"verify"}
    assert len(asked) > 2, "a moment's refusal does not cost them their place"


def test_ones_that_are_refused_for_a_moment_keep_their_place(platform: Platform) -> None:
    platform.takes = {OLD: 3}

    with pytest.raises(HandoverFailed, match="do not work"):
        platform.hand_over(new="canary-of-a-wrong-key")

    assert platform.registered == OLD


def test_what_is_wrong_with_the_other_datasource_is_no_reason(platform: Platform) -> None:
    platform.good -= {"key-of-lightly"}

    with pytest.raises(HandoverFailed, match="the new credentials of the Input datasource"):
        platform.hand_over(new="canary-of-a-wrong-key")
    assert platform.registered == OLD

    platform.good |= {NEW}
    platform.hand_over()
    assert platform.registered == NEW


def test_an_answer_that_says_nothing_of_credentials_changes_nothing(platform: Platform) -> None:
    platform.server.fail_next("GET", "verify", 429, times=100)

    with pytest.raises(ApiError):
        platform.hand_over(new="canary-of-a-wrong-key")

    assert platform.registered == OLD
    platform.server._log.failures.clear()


def test_credentials_that_nobody_can_make_sense_of_do_not_stand_in_the_way(platform: Platform) -> None:
    platform.server.fail_next("GET", "verify", 400, times=2)

    platform.hand_over()

    assert platform.registered == NEW


def test_what_lightly_answered_to_have_taken_and_has_not_does_not_stand_in_the_way(platform: Platform) -> None:
    platform.good.add(NEW)
    platform.server.datasets[platform.dataset_id].datasources.clear()

    platform.hand_over()

    assert platform.registered == NEW


def test_what_a_killed_run_has_left_is_put_right_before_anything(platform: Platform) -> None:
    platform.set(config("canary-of-a-wrong-key"))
    platform.server._log.requests.clear()

    with pytest.raises(HandoverFailed, match="stay registered, and work"):
        platform.hand_over(new="canary-of-a-wrong-key", deadline=0.1)

    assert platform.registered == OLD
    assert platform.calls.startswith("verify set verify set verify set")


def test_when_the_ones_before_stop_working_meanwhile_it_is_said(platform: Platform) -> None:
    platform.takes = {OLD: 0}

    def forget(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            platform.good -= {OLD}
        return inner.handle_request(request)

    with network() as inner, pytest.raises(HandoverFailed, match="but do not work at the moment, either"):
        platform.hand_over(platform.client(httpx.MockTransport(forget)), deadline=0.1)


@pytest.mark.parametrize(
    ("status", "kind"), [(401, TokenRefused), (404, ApiError), (500, ApiError)], ids=["token", "path", "server"]
)
def test_when_it_cannot_be_told_whether_the_ones_before_work_nothing_is_touched(
    platform: Platform, status: int, kind: type[LightlyError]
) -> None:
    if status == 404:
        platform.server.datasets.clear()
        kind = DatasetUnknown
    else:
        platform.server.fail_next("GET", "verify", status)
    with pytest.raises(kind):
        platform.hand_over()
    assert platform.calls == "verify"


def test_when_the_new_ones_cannot_be_tried_the_ones_before_come_back(platform: Platform) -> None:
    platform.good.add(NEW)
    verifies = 0

    def broken(request: httpx.Request) -> httpx.Response:
        nonlocal verifies
        verifies += request.url.path.endswith("verify")
        if verifies == 2 and request.method == "GET":
            return httpx.Response(500, json={"error": f"cannot use {NEW} and {OLD}"})
        return inner.handle_request(request)

    with network() as inner, pytest.raises(HandoverFailed, match=r"could not be tried: .*500") as failed:
        platform.hand_over(platform.client(httpx.MockTransport(broken)))

    assert platform.registered == OLD
    assert "stay registered, and work" in str(failed.value)
    assert "canary" not in str(failed.value)


@pytest.mark.parametrize("answer", [httpx.Response(400, json={}), httpx.ConnectError("gone")], ids=["refused", "gone"])
def test_when_the_ones_before_cannot_come_back_it_is_said_what_mends_it(
    platform: Platform, answer: httpx.Response | Exception
) -> None:
    puts = 0

    def lost(request: httpx.Request) -> httpx.Response:
        nonlocal puts
        puts += request.method == "PUT"
        if puts >= 2:
            if isinstance(answer, Exception):
                raise answer
            return answer
        return inner.handle_request(request)

    said = r"do not work \(.*\), and the previous ones could not be registered again \(.*Run `pulumi up` again"
    with network() as inner, pytest.raises(HandoverFailed, match=said):
        platform.hand_over(platform.client(httpx.MockTransport(lost)))
    assert platform.registered == NEW

    with pytest.raises(HandoverFailed, match="stay registered, and work"):
        platform.hand_over(deadline=0.1)
    assert platform.registered == OLD


def test_when_lightly_falls_silent_at_the_end_that_is_said(platform: Platform) -> None:
    calls = 0

    def silent(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        if calls > 4:
            raise httpx.ConnectError("gone", request=request)
        return inner.handle_request(request)

    with network() as inner, pytest.raises(HandoverFailed, match="did not say whether they work"):
        platform.hand_over(platform.client(httpx.MockTransport(silent)), deadline=0)
    assert platform.registered == OLD


class Killed(BaseException):
    """The process is no more."""


class Mortal(httpx.BaseTransport):
    """Kills who uses it at one of the requests: before it is sent, or before its answer arrives."""

    def __init__(self, at: int, *, sent: bool) -> None:
        self.at, self.sent, self.inner = at, sent, network()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.at -= 1
        if self.at == 0 and not self.sent:
            raise Killed
        response = self.inner.handle_request(request)
        if self.at == 0:
            response.close()
            raise Killed
        return response

    def close(self) -> None:
        self.inner.close()


def knows_new(platform: Platform) -> None:
    platform.good.add(NEW)


def learns_new(platform: Platform) -> None:
    platform.good.add(NEW)
    platform.takes[NEW] = 2


def knows_none(platform: Platform) -> None:
    platform.good -= {OLD}


def knows_old(_: Platform) -> None:
    """As it is from the start."""


@pytest.mark.parametrize("sent", [True, False], ids=["after", "before"])
@pytest.mark.parametrize(
    ("world", "ends_with"),
    [(knows_new, NEW), (learns_new, NEW), (knows_none, NEW), (knows_old, OLD)],
    ids=lambda it: getattr(it, "__name__", ""),
)
def test_killed_at_any_request_the_next_run_comes_to_the_same_end(
    running: tuple[LightlyServer, list[Platform]], world: Callable[[Platform], None], ends_with: str, *, sent: bool
) -> None:
    server, platforms = running
    at, killed = 0, True
    while killed:
        at += 1
        server.datasets.clear()
        platforms.append(platform := Platform(server))
        world(platform)
        mortal = Mortal(at, sent=sent)
        try:
            said, killed = run(platform, platform.client(mortal)), False
        except Killed:
            said = run(platform, platform.client())
        assert platform.registered == ends_with
        assert ("and work" in said) == (NEW not in platform.good and OLD in platform.good)
        for it in platform.clients:
            it.close()
    assert at > 3, "it was killed at each request, up to the one that never came"


def run(platform: Platform, client: LightlyClient) -> str:
    """Hands over, and tells what was said where that failed."""
    try:
        platform.hand_over(client, deadline=10)
    except HandoverFailed as failed:
        return str(failed)
    return ""
