"""The store in a bucket: interrupted and resumed, with servers killed, answers lost, and wrong addresses and rights."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from tests import smalldisk
from tests.conftest import S3Bucket
from tests.s3proxy import FORWARD, LOSE_ANSWER, REFUSE, Proxy
from tests.s3server import ACCESS, SECRET, S3Server

from millwright_api.errors import (
    AccessDenied,
    Damaged,
    MillwrightError,
    NoSpaceLeft,
    StoreNotFound,
    StoreUnavailable,
    StoreUnreachable,
    UserError,
)
from millwright_api.v1alpha1 import S3Location
from millwright_runner.stores import Conflict, line, open_store
from millwright_runner.stores.line import Patience
from millwright_runner.stores.s3 import S3Store
from millwright_runner.stores.s3_copy import copy_object

MIB = 1024 * 1024
PART = 5 * MIB
QUICK = Patience(seconds=60, first_pause=0.02, longest_pause=0.2)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make(path: Path, size: int) -> tuple[Path, str]:
    data = os.urandom(size)
    path.write_bytes(data)
    return path, sha(data)


def open_s3(bucket: S3Bucket, endpoint: str | None = None, patience: Patience = QUICK) -> S3Store:
    location = S3Location(uri=bucket.location("x").uri, endpoint=endpoint)
    return S3Store(location, patience=patience, part_size=PART)


def uploads(bucket: S3Bucket) -> list[str]:
    """The multipart uploads that are under way, which cost until somebody ends them."""
    client = boto3.client("s3", endpoint_url=bucket.server.endpoint, region_name="us-east-1")
    return [upload["Key"] for upload in client.list_multipart_uploads(Bucket=bucket.name).get("Uploads", [])]


@pytest.fixture
def own_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Bucket]:
    """A server of this test's own, to be killed."""
    server = S3Server(tmp_path / "server")
    server.start()
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    yield S3Bucket(server, server.bucket("killed"))
    server.stop()


# Interrupted, and resumed.

PUT_UNTIL_KILLED = """
import sys
from pathlib import Path
from millwright_api.v1alpha1 import S3Location
from millwright_runner.stores.s3 import S3Store
parts = 0
def wait_to_be_killed(moved):
    global parts
    parts += 1
    if parts == 3:
        print("three", flush=True)
        sys.stdin.read()
S3Store(S3Location(uri=sys.argv[1]), part_size=int(sys.argv[2])).put("f", Path(sys.argv[3]), sys.argv[4], wait_to_be_killed)
"""


def put_until_killed(uri: str, file: Path, digest: str) -> None:
    command = [sys.executable, "-c", PUT_UNTIL_KILLED, uri, str(PART), str(file), digest]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"three\n"
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_an_upload_whose_process_was_killed_goes_on_where_it_stopped(s3: S3Bucket, tmp_path: Path) -> None:
    file, digest = make(tmp_path / "f", 60 * MIB)
    put_until_killed(s3.location("x").uri, file, digest)
    proxy = Proxy(s3.server.port)
    store = open_s3(s3, proxy.endpoint)
    assert store.stat("f") is None  # no reader sees half of it
    told: list[int] = []
    store.put("f", file, digest, told.append)
    assert proxy.up < 60 * MIB - 3 * PART + MIB
    assert sum(told) == 60 * MIB
    assert store.get("f", tmp_path / "got", digest) == digest
    assert uploads(s3) == []


def test_an_upload_of_another_content_is_not_gone_on_with(s3: S3Bucket, tmp_path: Path) -> None:
    other, other_digest = make(tmp_path / "other", 60 * MIB)
    put_until_killed(s3.location("x").uri, other, other_digest)
    file, digest = make(tmp_path / "f", 60 * MIB)
    store = open_s3(s3)
    store.put("f", file, digest)
    assert store.get("f", tmp_path / "got", digest) == digest
    assert uploads(s3) == []


def test_an_upload_of_a_content_that_begins_the_same_ends_as_its_own(s3: S3Bucket, tmp_path: Path) -> None:
    """Two checkpoints may share their first parts; what the server notes of the file must still be true."""
    other, other_digest = make(tmp_path / "other", 60 * MIB)
    put_until_killed(s3.location("x").uri, other, other_digest)
    data = other.read_bytes()[: 2 * PART] + os.urandom(50 * MIB)
    file, digest = tmp_path / "f", sha(data)
    file.write_bytes(data)
    store = open_s3(s3)
    store.put("f", file, digest)
    stat = store.stat("f")
    assert stat is not None
    assert stat.sha256 == digest
    assert store.get("f", tmp_path / "got", digest) == digest
    assert uploads(s3) == []


def test_a_file_that_is_there_already_is_not_sent_again(s3: S3Bucket, tmp_path: Path) -> None:
    proxy = Proxy(s3.server.port)
    store = open_s3(s3, proxy.endpoint)
    for size in (MIB, 20 * MIB):
        file, digest = make(tmp_path / "f", size)
        store.put("f", file, digest)
        before = proxy.up
        store.put("f", file, digest)
        assert proxy.up - before < 10_000


def test_two_processes_may_upload_the_same_file_at_once(s3: S3Bucket, tmp_path: Path) -> None:
    file, digest = make(tmp_path / "f", 40 * MIB)
    script = (
        "import sys; from pathlib import Path\nfrom millwright_api.v1alpha1 import S3Location\n"
        "from millwright_runner.stores.s3 import S3Store\n"
        "S3Store(S3Location(uri=sys.argv[1]), part_size=int(sys.argv[2])).put('f', Path(sys.argv[3]), sys.argv[4])"
    )
    command = [sys.executable, "-c", script, s3.location("x").uri, str(PART), str(file), digest]
    running = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert open_s3(s3).get("f", tmp_path / "got", digest) == digest
    assert uploads(s3) == []


def test_a_download_whose_process_was_killed_goes_on_where_it_stopped(s3: S3Bucket, tmp_path: Path) -> None:
    file, digest = make(tmp_path / "f", 60 * MIB)
    open_s3(s3).put("f", file, digest)
    script = PUT_UNTIL_KILLED.replace(
        '.put("f", Path(sys.argv[3]), sys.argv[4], w', '.get("f", Path(sys.argv[3]), sys.argv[4], w'
    )
    command = [sys.executable, "-c", script, s3.location("x").uri, str(PART), str(tmp_path / "got" / "f"), digest]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"three\n"
    process.kill()
    process.communicate()
    assert [p.suffix for p in (tmp_path / "got").iterdir()] == [".part"]
    proxy = Proxy(s3.server.port)
    told: list[int] = []
    open_s3(s3, proxy.endpoint).get("f", tmp_path / "got" / "f", digest, told.append)
    assert sha((tmp_path / "got" / "f").read_bytes()) == digest
    assert [p.name for p in (tmp_path / "got").iterdir()] == ["f"]
    assert proxy.down < 60 * MIB - PART
    assert sum(told) == 60 * MIB


def test_a_part_file_that_holds_something_else_is_fetched_anew(s3: S3Bucket, tmp_path: Path) -> None:
    """After a power cut, blocks that were never written read as zeros."""
    file, digest = make(tmp_path / "f", 20 * MIB)
    store = open_s3(s3)
    store.put("f", file, digest)
    for rubbish in (bytes(7 * MIB), bytes(30 * MIB)):
        (tmp_path / f".got.{digest[:16]}.part").write_bytes(rubbish)
        told: list[int] = []
        assert store.get("f", tmp_path / "got", digest, told.append) == digest
        assert sum(told) == 20 * MIB
        assert (tmp_path / "got").read_bytes() == file.read_bytes()


def test_bytes_that_changed_in_the_store_are_noticed(s3: S3Bucket, tmp_path: Path) -> None:
    file, digest = make(tmp_path / "f", 12 * MIB)
    store = open_s3(s3)
    store.put("f", file, digest)
    with (s3.folder / "x" / "f").open("r+b") as stream:
        stream.seek(6 * MIB)
        stream.write(b"damaged")
    with pytest.raises(Damaged, match=f"{s3.uri}x/f: its sha256 is"):
        store.get("f", tmp_path / "got", None)  # the store had been told its digest
    assert not (tmp_path / "got").exists()


def test_an_object_that_is_replaced_while_it_is_read_is_noticed(s3: S3Bucket, tmp_path: Path) -> None:
    store = open_s3(s3)
    one, digest_one = make(tmp_path / "one", 60 * MIB)
    two, digest_two = make(tmp_path / "two", 60 * MIB)
    store.put("f", one, digest_one)
    replaced = threading.Event()

    def replace(_: int) -> None:
        if not replaced.is_set():
            replaced.set()
            store.put("f", two, digest_two)

    with pytest.raises(Damaged, match="replaced or removed while it was read"):
        store.get("f", tmp_path / "got", None, replace)
    assert store.get("f", tmp_path / "got", None) == digest_two


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


def test_a_server_that_had_answered_and_stays_away_is_unavailable_not_unreachable(own_server: S3Bucket) -> None:
    store = open_s3(own_server, patience=Patience(seconds=0.5, first_pause=0.05))
    store.check(write=True)
    own_server.server.kill()
    with pytest.raises(StoreUnavailable, match=r"had answered and stopped.*Connection refused") as caught:
        store.write("f", b"x")
    assert caught.value.exit_code == 75
    own_server.server.start()
    store.write("f", b"x")


@pytest.mark.parametrize("operation", ["CompleteMultipartUpload", "put", "conditional"])
def test_an_answer_that_is_lost_does_not_undo_what_was_done(s3: S3Bucket, tmp_path: Path, operation: str) -> None:
    marker = {"CompleteMultipartUpload": "POST /", "put": "PUT /", "conditional": "PUT /"}[operation]
    lost: list[str] = []

    def fate(request: str) -> str:
        wanted = request.startswith(marker) and ("uploadId=" in request or operation != "CompleteMultipartUpload")
        if wanted and len(lost) < 2:  # botocore's own retry and the first of ours
            lost.append(request)
            return LOSE_ANSWER
        return FORWARD

    store = open_s3(s3, Proxy(s3.server.port, fate).endpoint)
    assert store.stat("f") is None  # the server has answered once
    if operation == "conditional":
        store.write("f", b"mine", if_absent=True)
        with pytest.raises(Conflict):
            store.write("f", b"mine", if_absent=True)
    else:
        file, digest = make(tmp_path / "f", 12 * MIB if operation == "CompleteMultipartUpload" else 100)
        store.put("f", file, digest)
        assert store.get("f", tmp_path / "got", digest) == digest
    assert len(lost) == 2


def test_connections_that_break_now_and_then_do_not_matter(s3: S3Bucket, tmp_path: Path) -> None:
    count = 0

    def every_third(_: str) -> str:
        nonlocal count
        count += 1
        return REFUSE if count % 3 == 0 else FORWARD

    store = open_s3(s3, Proxy(s3.server.port, every_third).endpoint)
    file, digest = make(tmp_path / "f", 60 * MIB)
    store.put("f", file, digest)
    assert store.get("f", tmp_path / "got", digest) == digest


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


def test_a_copy_that_is_there_already_is_not_made_again(s3: S3Bucket, tmp_path: Path) -> None:
    file, digest = make(tmp_path / "f", MIB)
    proxy = Proxy(s3.server.port)
    store = open_s3(s3, proxy.endpoint)
    store.put("f", file, digest)
    store.copy("f", "g")
    before = len(proxy.requests)
    store.copy("f", "g")
    assert [request.split()[0] for request in proxy.requests[before:]] == ["HEAD", "HEAD"]


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


def test_a_server_that_never_answered_is_unreachable_and_not_waited_for(s3: S3Bucket) -> None:
    port = unused_port()
    patience = Patience(seconds=3600)  # not used: a wrong address would otherwise take an hour here
    error = failure(lambda: open_s3(s3, f"http://127.0.0.1:{port}", patience))
    assert isinstance(error, StoreUnreachable)
    assert f"no answer from http://127.0.0.1:{port}: Connection refused" in str(error)
    assert error.exit_code == 2


def test_a_server_whose_name_does_not_exist_is_unreachable(s3: S3Bucket) -> None:
    error = failure(lambda: open_s3(s3, "http://no-such-host.invalid:9000", Patience(seconds=3600)))
    assert isinstance(error, StoreUnreachable)
    assert "no-such-host.invalid" in str(error)


@contextlib.contextmanager
def a_server_that_says(answer: bytes) -> Iterator[str]:
    """Another kind of server at the address that was given: a typo in the port is enough to meet one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                    with client:
                        client.recv(65536)
                        client.sendall(answer)
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


PAGE = b"<html><body>Welcome!</body></html>"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"220 mail.example ESMTP\r\n", StoreUnreachable),
        (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(PAGE), PAGE), StoreUnreachable),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%s" % (len(PAGE), PAGE), StoreNotFound),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", StoreNotFound),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", AccessDenied),
        (b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n", UserError),
    ],
)
def test_a_server_of_another_kind_is_the_users_error(
    s3: S3Bucket, answer: bytes, expected: type[MillwrightError]
) -> None:
    with a_server_that_says(answer) as endpoint:
        error = failure(lambda: open_s3(s3, endpoint))
        assert isinstance(error, expected)
        assert endpoint in str(error)
        assert error.exit_code == 2


def test_a_server_that_takes_calls_and_never_answers_is_unreachable(
    s3: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "FIRST_READ_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = failure(lambda: open_s3(s3, f"http://127.0.0.1:{silent.getsockname()[1]}"))
    assert isinstance(error, StoreUnreachable)


def test_a_server_that_is_overloaded_for_too_long_is_unavailable(s3: S3Bucket) -> None:
    busy = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n"
    with a_server_that_says(busy) as endpoint:
        error = failure(lambda: open_s3(s3, endpoint, Patience(seconds=0.3, first_pause=0.05)))
    assert isinstance(error, StoreUnavailable)
    assert error.exit_code == 75


def test_a_server_whose_disk_is_full_says_so(s3: S3Bucket) -> None:
    body = b"<Error><Code>InsufficientStorage</Code><Message>No space left on device.</Message></Error>"
    full = b"HTTP/1.1 507 Insufficient Storage\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with a_server_that_says(full) as endpoint:
        error = failure(lambda: open_s3(s3, endpoint))
    assert isinstance(error, NoSpaceLeft)
    assert "No space left on device" in str(error)


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


def test_a_bucket_that_is_misspelt_gets_a_suggestion(s3: S3Bucket) -> None:
    location = S3Location(uri=f"s3://{s3.name[:-1]}/x")
    error = failure(lambda: S3Store(location))
    assert isinstance(error, StoreNotFound)
    assert f"did you mean '{s3.name}'?" in str(error)


def test_every_call_says_that_a_bucket_is_missing_not_only_the_check(s3: S3Bucket, tmp_path: Path) -> None:
    store = S3Store(S3Location(uri="s3://no-such-bucket/x"))
    file, digest = make(tmp_path / "f", 100)
    for call in (
        lambda: store.read("f"), lambda: list(store.list("")), lambda: store.write("f", b""),
        lambda: store.put("f", file, digest), lambda: store.delete(["f"]),
    ):  # fmt: skip
        with pytest.raises(StoreNotFound, match="no bucket 'no-such-bucket'"):
            call()


GET_TO_A_SMALL_DISK = """
import sys
from pathlib import Path
from millwright_api.errors import NoSpaceLeft
from millwright_api.v1alpha1 import S3Location
from millwright_runner.stores import open_store
target = Path(sys.argv[1]) / "f"
try:
    open_store(S3Location(uri=sys.argv[2])).get("f", target, sys.argv[3])
except NoSpaceLeft as error:
    print(error)
assert not target.exists()
"""


@pytest.mark.parametrize("kind", [smalldisk.TMPFS, smalldisk.LIMIT])
def test_a_download_that_does_not_fit_says_so_with_figures(s3: S3Bucket, tmp_path: Path, kind: str) -> None:
    file, digest = make(tmp_path / "f", 10 * MIB)
    open_s3(s3).put("f", file, digest)
    done = smalldisk.run(kind, GET_TO_A_SMALL_DISK, tmp_path / "disk", s3.location("x").uri, digest)
    assert done.returncode == 0, done.stderr
    assert "no space left: 10,485,760 bytes needed, " in done.stdout


def test_without_a_prefix_the_bucket_itself_is_the_store(s3: S3Bucket) -> None:
    for uri in (f"s3://{s3.name}", f"s3://{s3.name}/"):
        store = open_store(S3Location(uri=uri))
        store.write("f", b"x")
        assert store.uri == f"s3://{s3.name}/"
        assert [entry.key for entry in store.list("")] == ["f"]


def test_a_store_does_not_see_its_neighbour_whose_name_begins_the_same(s3: S3Bucket) -> None:
    open_store(s3.location("job-1")).write("f", b"x")
    open_store(s3.location("job-10")).write("g", b"x")
    assert [entry.key for entry in open_store(s3.location("job-1")).list("")] == ["f"]
