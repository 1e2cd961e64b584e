from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import tempfile
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from lightly_infra.sandbox.aws.ministack import Credentials, Ministack
from lightly_infra.sandbox.process import ChildError, free_port
from tests.sandbox.liveness import alive, within

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for temporary files that is empty and ours."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


def _listening(pid: int) -> set[str]:
    """The addresses that a process listens on, by /proc."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            sockets.add(target.removeprefix("socket:[").removesuffix("]"))
    found = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in sockets and (fields[3] == "0A" or table.startswith("udp")):
                address, _, port = fields[1].partition(":")
                found.add(f"{table}:{address}:{int(port, 16)}")
    return found


def test_it_is_the_account_that_it_says(ministack: Ministack) -> None:
    assert ministack.client("sts").get_caller_identity()["Account"] == ministack.account == "123456789012"


@linux
def test_it_listens_on_one_port_of_the_loopback_interface_and_nowhere_else(ministack: Ministack) -> None:
    ministack.client("iam").list_users()
    port = int(ministack.endpoint.rpartition(":")[2])
    assert ministack.pid is not None
    assert _listening(ministack.pid) == {f"tcp:0100007F:{port}"}


def test_its_certificate_holds_for_the_address_and_for_localhost(ministack: Ministack) -> None:
    import http.client

    context = ssl.create_default_context(cafile=ministack.ca_bundle)
    for host in ("127.0.0.1", "localhost"):
        connection = http.client.HTTPSConnection(host, int(ministack.endpoint.rpartition(":")[2]), context=context)
        connection.request("GET", "/_ministack/health")
        assert connection.getresponse().status == 200
        connection.close()


def test_wrong_credentials_are_refused(ministack: Ministack) -> None:
    stranger = ministack.client("s3", credentials=Credentials("AKIAIOSFODNN7EXAMPLE", "wrong"))
    with pytest.raises(ClientError, match=r"InvalidAccessKeyId|SignatureDoesNotMatch"):
        stranger.list_buckets()


def test_another_account_is_a_stranger(ministack: Ministack) -> None:
    lightly = ministack.client("sts", credentials=Credentials("916419735646", "test"))
    assert lightly.get_caller_identity()["Account"] == "916419735646"


def test_credentials_do_not_show_their_secrets() -> None:
    assert repr(Credentials("AKIA", "secret-1", "secret-2")) == "Credentials(access_key='AKIA')"


def test_the_environment_is_all_that_an_sdk_needs(ministack: Ministack) -> None:
    script = """
        import boto3
        client = boto3.client("sts")
        print(client.get_caller_identity()["Account"], client.meta.region_name)
    """
    # Of our own environment nothing but where things are: no profile, no proxy.
    env = {**ministack.environment("eu-west-1"), "PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], env=env, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["123456789012", "eu-west-1"]


def test_clients_ignore_the_users_profile_and_proxy(ministack: Ministack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "does-not-exist")
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{free_port()}")
    client = ministack.client("sts", "eu-north-1")
    assert client.get_caller_identity()["Account"] == "123456789012"


def test_stopping_leaves_nothing_behind(temporary: Path) -> None:
    emulator = Ministack()
    with emulator:
        pid = emulator.pid
        emulator.client("s3", "us-east-1").create_bucket(Bucket="gone-soon")
        assert list(temporary.iterdir())
    assert list(temporary.iterdir()) == []
    assert pid is not None
    assert not alive(pid)
    emulator.stop()
    with pytest.raises(RuntimeError, match="not running"):
        _ = emulator.ca_bundle


def test_a_start_that_fails_says_why_and_leaves_nothing_behind(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr("lightly_infra.sandbox.process.free_port", lambda: taken.getsockname()[1])
        # The probe must not wait for an answer of the wrong server.
        monkeypatch.setattr(Ministack, "_answers", lambda *_: False)
        with pytest.raises(ChildError, match=r"the emulated AWS ended while it was starting(?s:.*)in use"):
            Ministack().start()
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_nothing_is_left_when_we_are_killed(tmp_path: Path) -> None:
    script = """
        import time
        from lightly_infra.sandbox.aws.ministack import Ministack
        emulator = Ministack().start()
        print(emulator.pid, flush=True)
        time.sleep(60)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert list(tmp_path.iterdir())
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    assert within(5, lambda: not alive(pid)), "the emulator outlived its parent"
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named_with_the_way_to_install_it() -> None:
    script = """
        import importlib.util
        found = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *rest: None if name == "trustme" else found(name, *rest)
        try:
            import lightly_infra.sandbox.aws.ministack
        except ImportError as error:
            print(error)
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert "'trustme'" in run.stdout
    assert "pip install 'lightly-infra[sandbox]'" in run.stdout


def test_an_object_can_be_older_than_it_is(ministack: Ministack) -> None:
    client = ministack.client("s3")
    client.create_bucket(Bucket="aged", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    client.put_object(Bucket="aged", Key="old", Body=b"x", Metadata={"written": "2026-01-02T03:04:05.000Z"})
    client.put_object(Bucket="aged", Key="new", Body=b"x")

    listed = {it["Key"]: it["LastModified"] for it in client.list_objects_v2(Bucket="aged")["Contents"]}

    assert listed["old"] == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert listed["new"] > datetime.now(UTC) - timedelta(minutes=5)
    assert client.head_object(Bucket="aged", Key="old")["LastModified"] == listed["old"]
