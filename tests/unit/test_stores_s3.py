"""What only a bucket does: servers killed, copies in parts, boto3's chain of credentials. See test_stores_broken.py as well."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests import smalldisk
from tests.brokenwire import Proxy
from tests.conftest import S3Bucket
from tests.s3server import ACCESS, SECRET, S3Server
from tests.storeground import MIB, QUICK, S3Ground, make

from millwright_api.errors import (
    AccessDenied,
    MillwrightError,
    StoreUnreachable,
)
from millwright_api.v1alpha1 import S3Location
from millwright_runner.stores.line import Patience
from millwright_runner.stores.s3 import S3Store
from millwright_runner.stores.s3_copy import copy_object
from millwright_runner.stores.s3_line import hint_for

PART = 5 * MIB


def open_s3(bucket: S3Bucket, endpoint: str | None = None, patience: Patience = QUICK) -> S3Store:
    location = S3Location(uri=bucket.location("x").uri, endpoint=endpoint)
    return S3Store(location, patience=patience, part_size=PART)


@pytest.fixture
def own_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Bucket]:
    """A server of this test's own, to be killed."""
    server = S3Server(tmp_path / "server")
    server.start()
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    yield S3Bucket(server, server.bucket("killed"))
    server.stop()


# Servers that die, and answers that get lost.


def test_an_upload_outlives_a_server_that_is_killed_and_comes_back(own_server: S3Bucket, tmp_path: Path) -> None:
    file, digest = make(tmp_path / "f", 60 * MIB)
    store, kills = open_s3(own_server), 0

    def kill_twice(_: int) -> None:
        nonlocal kills
        if kills < 2:
            kills += 1
            own_server.server.kill()
            own_server.server.start()  # the four requests under way have been cut

    store.put("f", file, digest, kill_twice)
    assert kills == 2
    assert store.get("f", tmp_path / "got", digest) == digest


def test_a_download_outlives_a_server_that_is_killed_and_comes_back(own_server: S3Bucket, tmp_path: Path) -> None:
    file, digest = make(tmp_path / "f", 60 * MIB)
    store, killed = open_s3(own_server), threading.Event()
    store.put("f", file, digest)

    def kill_once(_: int) -> None:
        if not killed.is_set():
            killed.set()
            own_server.server.kill()
            own_server.server.start()  # the four requests under way have been cut

    assert store.get("f", tmp_path / "got", digest, kill_once) == digest


# Copies by the server.


def test_a_large_copy_is_made_in_parts_and_keeps_what_is_known_of_the_file(s3: S3Bucket, tmp_path: Path) -> None:
    file, digest = make(tmp_path / "f", 23 * MIB)
    proxy = Proxy(s3.server.port)
    store = open_s3(s3, proxy.endpoint)
    store.put("f", file, digest)
    before = proxy.up + proxy.down
    copy_object(store._line, "x/f", "x/g", whole_up_to=PART, part_size=PART)
    assert proxy.up + proxy.down - before < 100_000
    stat = store.stat("g")
    assert stat is not None
    assert (stat.size, stat.sha256) == (23 * MIB, digest)
    assert store.get("g", tmp_path / "got", digest) == digest
    assert sum("partNumber=" in request and "g?" in request for request in proxy.requests) == 5


# Wrong addresses and rights: said at once, and never with a secret.


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def failure(store_of: object) -> MillwrightError:
    """What a check raises; no part of it may show a secret."""
    with pytest.raises(MillwrightError) as caught:
        store_of().check(write=True)  # type: ignore[operator]
    shown = f"{caught.value} {caught.value!r}"
    assert SECRET not in shown
    assert "wrong-secret" not in shown
    return caught.value


def test_an_endpoint_that_is_no_address_is_said_so(s3: S3Bucket) -> None:
    error = failure(lambda: open_s3(s3, "http://"))
    assert isinstance(error, StoreUnreachable)
    assert s3.name in str(error)


def test_an_endpoint_with_a_login_in_it_is_shown_without(s3: S3Bucket) -> None:
    error = failure(lambda: open_s3(s3, f"http://user:{SECRET}@127.0.0.1:{unused_port()}"))
    assert isinstance(error, StoreUnreachable)


def test_a_wrong_secret_is_denied_and_says_where_the_credentials_came_from(
    s3: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    error = failure(lambda: open_s3(s3))
    assert isinstance(error, AccessDenied)
    assert "SignatureDoesNotMatch" in str(error)
    assert "the environment (AWS_ACCESS_KEY_ID)" in str(error)


def test_a_clock_that_is_wrong_is_called_so(s3: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    late = datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=2)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: late)
    error = failure(lambda: open_s3(s3))
    assert isinstance(error, AccessDenied)
    assert "(a clock is wrong: this machine's, or the server's)" in str(error)


def test_a_server_without_tls_and_one_whose_certificate_is_not_trusted_say_what_to_set() -> None:
    assert "http://" in hint_for("[SSL: WRONG_VERSION_NUMBER] wrong version number")
    assert "AWS_CA_BUNDLE" in hint_for(
        "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate"
    )
    assert "is the endpoint right?" in hint_for("Connection refused")


def test_an_unknown_key_is_denied(s3: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    assert isinstance(failure(lambda: open_s3(s3)), AccessDenied)


def test_no_credentials_at_all_are_denied_with_what_to_set(s3: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    error = failure(lambda: open_s3(s3))
    assert isinstance(error, AccessDenied)
    assert "AWS_ACCESS_KEY_ID" in str(error)


def test_a_profile_that_does_not_exist_is_denied(s3: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "misspelt")
    error = failure(lambda: open_s3(s3))
    assert isinstance(error, AccessDenied)
    assert "misspelt" in str(error)


def test_credentials_from_a_file_are_named_as_such(
    s3: S3Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "credentials").write_text(
        f"[default]\naws_access_key_id={ACCESS}\naws_secret_access_key=wrong-secret\n"
    )
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    assert "the file of shared credentials" in str(failure(lambda: open_s3(s3)))


GET_TO_A_SMALL_DISK = """
import sys
from pathlib import Path
from millwright_api.errors import NoSpaceLeft
target = Path(sys.argv[1]) / "f"
try:
    open_store(sys.argv[2], 1 << 20).get("f", target, sys.argv[3])
except NoSpaceLeft as error:
    print(error)
assert not target.exists()
"""


@pytest.mark.parametrize("kind", [smalldisk.TMPFS, smalldisk.LIMIT])
def test_a_download_that_does_not_fit_says_so_with_figures(s3: S3Bucket, tmp_path: Path, kind: str) -> None:
    ground = S3Ground(s3)
    file, digest = make(tmp_path / "f", 10 * MIB)
    ground.open().put("f", file, digest)
    done = smalldisk.run(kind, ground.code + GET_TO_A_SMALL_DISK, tmp_path / "disk", f"{ground.uri}x", digest)
    assert done.returncode == 0, done.stderr
    assert "no space left: 10,485,760 bytes needed, " in done.stdout
