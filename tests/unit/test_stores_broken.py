"""Stores of objects that break: interrupted and resumed, with connections cut, answers lost, and wrong addresses. S3 and Blob alike."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.brokenwire import FORWARD, LOSE_ANSWER, REFUSE, TEAR, Proxy
from tests.storeground import MIB, BlobGround, Ground, S3Ground, make, sha

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
from millwright_runner.stores import Conflict, Store, line
from millwright_runner.stores.line import Patience

LARGE = 8
"""Parts of a large file: more than are under way at once."""


@pytest.fixture(params=["s3", "blob"])
def ground(request: pytest.FixtureRequest) -> Ground:
    server = request.getfixturevalue(request.param)
    return S3Ground(server) if request.param == "s3" else BlobGround(server)


def large(ground: Ground, path: Path) -> tuple[Path, str]:
    return make(path, LARGE * ground.part)


# Interrupted, and resumed.

UNTIL_KILLED = """
import sys
from pathlib import Path
parts = 0
def wait_to_be_killed(moved):
    global parts
    parts += 1
    if parts == 3:
        print("three", flush=True)
        sys.stdin.read()
store = open_store(sys.argv[1], int(sys.argv[2]))
getattr(store, sys.argv[5])("f", Path(sys.argv[3]), sys.argv[4], wait_to_be_killed)
"""


def until_killed(ground: Ground, file: Path, digest: str, what: str = "put") -> None:
    """Does something in another process, which is killed when three parts have been moved."""
    command = [
        sys.executable,
        "-c",
        ground.code + UNTIL_KILLED,
        f"{ground.uri}x",
        str(ground.part),
        str(file),
        digest,
        what,
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"three\n"
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def interrupted(ground: Ground, file: Path, digest: str) -> None:
    """Leaves an upload as a process does that is killed when a part has been moved."""

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ground.open().put("f", file, digest, stop)


def test_an_upload_whose_process_was_killed_goes_on_where_it_stopped(ground: Ground, tmp_path: Path) -> None:
    file, digest = large(ground, tmp_path / "f")
    until_killed(ground, file, digest)
    proxy = Proxy(ground.port)
    store = ground.open(proxy.endpoint)
    assert store.stat("f") is None  # no reader sees half of it
    told: list[int] = []
    store.put("f", file, digest, told.append)
    assert proxy.up < (LARGE - 3) * ground.part + MIB // 2
    assert sum(told) == LARGE * ground.part
    assert store.get("f", tmp_path / "got", digest) == digest
    assert ground.leftovers() == []


def test_an_upload_of_another_content_is_not_gone_on_with(ground: Ground, tmp_path: Path) -> None:
    other, other_digest = large(ground, tmp_path / "other")
    interrupted(ground, other, other_digest)
    file, digest = large(ground, tmp_path / "f")
    store = ground.open()
    store.put("f", file, digest)
    assert store.get("f", tmp_path / "got", digest) == digest
    assert ground.leftovers() == []


def test_an_upload_of_a_content_that_begins_the_same_ends_as_its_own(ground: Ground, tmp_path: Path) -> None:
    """Two checkpoints may share their first parts; what the server notes of the file must still be true."""
    other, other_digest = large(ground, tmp_path / "other")
    interrupted(ground, other, other_digest)
    data = other.read_bytes()[: 2 * ground.part] + os.urandom((LARGE - 2) * ground.part)
    file, digest = tmp_path / "f", sha(data)
    file.write_bytes(data)
    store = ground.open()
    store.put("f", file, digest)
    stat = store.stat("f")
    assert stat is not None
    assert stat.sha256 == digest
    assert store.get("f", tmp_path / "got", digest) == digest
    assert ground.leftovers() == []


def test_a_file_that_is_there_already_is_not_sent_again(ground: Ground, tmp_path: Path) -> None:
    proxy = Proxy(ground.port)
    store = ground.open(proxy.endpoint)
    for size in (MIB // 2, 4 * ground.part):
        file, digest = make(tmp_path / "f", size)
        store.put("f", file, digest)
        before = proxy.up
        store.put("f", file, digest)
        assert proxy.up - before < 10_000


def test_two_processes_may_upload_the_same_file_at_once(ground: Ground, tmp_path: Path) -> None:
    file, digest = large(ground, tmp_path / "f")
    script = "import sys; from pathlib import Path\nopen_store(sys.argv[1], int(sys.argv[2])).put('f', Path(sys.argv[3]), sys.argv[4])"
    command = [sys.executable, "-c", ground.code + script, f"{ground.uri}x", str(ground.part), str(file), digest]
    running = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait() for process in running] == [0, 0]
    assert ground.open().get("f", tmp_path / "got", digest) == digest
    assert ground.leftovers() == []


def test_a_download_whose_process_was_killed_goes_on_where_it_stopped(ground: Ground, tmp_path: Path) -> None:
    file, digest = large(ground, tmp_path / "f")
    ground.open().put("f", file, digest)
    until_killed(ground, tmp_path / "got" / "f", digest, "get")
    assert [p.suffix for p in (tmp_path / "got").iterdir()] == [".part"]
    proxy = Proxy(ground.port)
    told: list[int] = []
    ground.open(proxy.endpoint).get("f", tmp_path / "got" / "f", digest, told.append)
    assert sha((tmp_path / "got" / "f").read_bytes()) == digest
    assert [p.name for p in (tmp_path / "got").iterdir()] == ["f"]
    assert proxy.down < (LARGE - 1) * ground.part
    assert sum(told) == LARGE * ground.part


def test_a_part_file_that_holds_something_else_is_fetched_anew(ground: Ground, tmp_path: Path) -> None:
    """After a power cut, blocks that were never written read as zeros."""
    file, digest = make(tmp_path / "f", 20 * MIB)
    store = ground.open()
    store.put("f", file, digest)
    for rubbish in (bytes(7 * MIB), bytes(30 * MIB)):
        (tmp_path / f".got.{digest[:16]}.part").write_bytes(rubbish)
        told: list[int] = []
        assert store.get("f", tmp_path / "got", digest, told.append) == digest
        assert sum(told) == 20 * MIB
        assert (tmp_path / "got").read_bytes() == file.read_bytes()


def test_bytes_that_changed_in_the_store_are_noticed(ground: Ground, tmp_path: Path) -> None:
    file, digest = make(tmp_path / "f", 12 * MIB)
    store = ground.open()
    store.put("f", file, digest)
    ground.damage("f")
    with pytest.raises(Damaged, match=f"{ground.uri}x/f: its sha256 is"):
        store.get("f", tmp_path / "got", None)  # the store had been told its digest
    assert not (tmp_path / "got").exists()


def test_an_object_that_is_replaced_while_it_is_read_is_noticed(ground: Ground, tmp_path: Path) -> None:
    store = ground.open()
    one, digest_one = large(ground, tmp_path / "one")
    two, digest_two = large(ground, tmp_path / "two")
    store.put("f", one, digest_one)
    replaced = threading.Event()

    def replace(_: int) -> None:
        if not replaced.is_set():
            replaced.set()
            store.put("f", two, digest_two)

    with pytest.raises(Damaged, match="replaced or removed while it was read"):
        store.get("f", tmp_path / "got", None, replace)
    assert store.get("f", tmp_path / "got", None) == digest_two


# Servers that go away, and answers that get lost.


def test_a_server_that_had_answered_and_stays_away_is_unavailable_not_unreachable(ground: Ground) -> None:
    proxy = Proxy(ground.port)
    store = ground.open(proxy.endpoint, Patience(seconds=0.5, first_pause=0.05))
    store.check(write=True)
    proxy.close()
    with pytest.raises(StoreUnavailable, match=r"had answered and stopped.*Connection refused") as caught:
        store.write("f", b"x")
    assert caught.value.exit_code == 75


def test_a_server_that_has_answered_the_preflight_is_waited_for_by_a_stage_that_begins_in_an_outage(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(line.ENV_ANSWERED, "1")
    port = unused_port()
    store = ground.open(f"http://127.0.0.1:{port}", Patience(seconds=0.5, first_pause=0.05))
    with pytest.raises(
        StoreUnavailable, match=r"had answered the preflight and does not now.*Connection refused"
    ) as caught:
        store.check(write=True)
    assert caught.value.exit_code == 75


@pytest.mark.parametrize("operation", ["commit", "put", "conditional"])
def test_an_answer_that_is_lost_does_not_undo_what_was_done(ground: Ground, tmp_path: Path, operation: str) -> None:
    begins, holds = ground.commit.split(" /") if operation == "commit" else ("PUT", "")
    lost: list[str] = []

    def fate(request: str) -> str:
        wanted = request.startswith(begins) and holds.strip() in request
        if wanted and len(lost) < 2:  # a client's own retry and the first of ours
            lost.append(request)
            return LOSE_ANSWER
        return FORWARD

    store = ground.open(Proxy(ground.port, fate).endpoint)
    assert store.stat("f") is None  # the server has answered once
    if operation == "conditional":
        store.write("f", b"mine", if_absent=True)
        with pytest.raises(Conflict):
            store.write("f", b"mine", if_absent=True)
    else:
        file, digest = make(tmp_path / "f", 3 * ground.part if operation == "commit" else 100)
        store.put("f", file, digest)
        assert store.get("f", tmp_path / "got", digest) == digest
    assert len(lost) == 2


def test_connections_that_break_now_and_then_do_not_matter(ground: Ground, tmp_path: Path) -> None:
    count = 0

    def every_third(_: str) -> str:
        nonlocal count
        count += 1
        return REFUSE if count % 3 == 0 else FORWARD

    store = ground.open(Proxy(ground.port, every_third).endpoint)
    file, digest = large(ground, tmp_path / "f")
    store.put("f", file, digest)
    assert store.get("f", tmp_path / "got", digest) == digest


def test_a_server_that_goes_away_and_comes_back_is_waited_for(ground: Ground, tmp_path: Path) -> None:
    away = 0

    def gone_for_ten(_: str) -> str:
        nonlocal away
        away -= 1
        return REFUSE if away >= 0 else FORWARD

    def go(_: int) -> None:
        nonlocal away
        away = 10 if away == 0 else away

    store = ground.open(Proxy(ground.port, gone_for_ten).endpoint)
    file, digest = large(ground, tmp_path / "f")
    for move in (store.put, store.get):
        store.check(write=False)
        away = 0
        move("f", file, digest, go)
        assert away < 0


def test_a_copy_that_is_there_already_is_not_made_again(ground: Ground, tmp_path: Path) -> None:
    file, digest = make(tmp_path / "f", MIB)
    proxy = Proxy(ground.port)
    store = ground.open(proxy.endpoint)
    store.put("f", file, digest)
    store.copy("f", "g")
    before = len(proxy.requests)
    store.copy("f", "g")
    assert [request.split()[0] for request in proxy.requests[before:]] == ["HEAD", "HEAD"]


@pytest.mark.parametrize("parts", [0.5, 3])
def test_a_file_that_is_torn_on_its_way_is_sent_again(ground: Ground, tmp_path: Path, parts: float) -> None:
    torn: list[str] = []

    def fate(request: str) -> str:
        if request.startswith("PUT") and not torn:
            torn.append(request)
            return TEAR
        return FORWARD

    store = ground.open(Proxy(ground.port, fate).endpoint)
    store.check(write=False)
    file, digest = make(tmp_path / "f", int(parts * ground.part))
    store.put("f", file, digest)
    assert torn
    assert store.get("f", tmp_path / "got", None) == digest


# Wrong addresses: said at once.


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def failure(store_of: Callable[[], Store]) -> MillwrightError:
    """What a check raises."""
    with pytest.raises(MillwrightError) as caught:
        store_of().check(write=True)
    return caught.value


def test_a_server_that_never_answered_is_unreachable_and_not_waited_for(ground: Ground) -> None:
    port = unused_port()
    patience = Patience(seconds=3600)  # not used: a wrong address would otherwise take an hour here
    error = failure(lambda: ground.open(f"http://127.0.0.1:{port}", patience))
    assert isinstance(error, StoreUnreachable)
    assert f"no answer from http://127.0.0.1:{port}" in str(error)
    assert ": Connection refused" in str(error)
    assert error.exit_code == 2


def test_a_server_whose_name_does_not_exist_is_unreachable(ground: Ground) -> None:
    error = failure(lambda: ground.open("http://no-such-host.invalid:9000", Patience(seconds=3600)))
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
    ground: Ground, answer: bytes, expected: type[MillwrightError]
) -> None:
    with a_server_that_says(answer) as endpoint:
        error = failure(lambda: ground.open(endpoint))
        assert isinstance(error, expected)
        assert endpoint in str(error)
        assert error.exit_code == 2


def test_a_server_that_takes_calls_and_never_answers_is_unreachable(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "FIRST_READ_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = failure(lambda: ground.open(f"http://127.0.0.1:{silent.getsockname()[1]}"))
    assert isinstance(error, StoreUnreachable)


def test_a_server_that_is_overloaded_for_too_long_is_unavailable(ground: Ground) -> None:
    busy = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n"
    with a_server_that_says(busy) as endpoint:
        error = failure(lambda: ground.open(endpoint, Patience(seconds=0.3, first_pause=0.05)))
    assert isinstance(error, StoreUnavailable)
    assert error.exit_code == 75


def test_a_server_whose_disk_is_full_says_so(ground: Ground) -> None:
    body = b"<Error><Code>InsufficientStorage</Code><Message>No space left on device.</Message></Error>"
    full = b"HTTP/1.1 507 Insufficient Storage\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )
    with a_server_that_says(full) as endpoint:
        error = failure(lambda: ground.open(endpoint))
    assert isinstance(error, NoSpaceLeft)
    assert "No space left on device" in str(error)


def test_a_bucket_that_is_misspelt_gets_a_suggestion(ground: Ground) -> None:
    name = ground.uri.rstrip("/").rpartition("/")[2]
    error = failure(lambda: ground.open(uri=f"{ground.uri.rstrip('/')[:-1]}/x"))
    assert isinstance(error, StoreNotFound)
    assert f"did you mean '{name}'?" in str(error)


def test_every_call_says_that_a_bucket_is_missing_not_only_the_check(ground: Ground, tmp_path: Path) -> None:
    store = ground.open(uri=f"{ground.uri.rstrip('/').rpartition('/')[0]}/no-such-bucket/x")
    file, digest = make(tmp_path / "f", 100)
    for call in (
        lambda: store.read("f"), lambda: list(store.list("")), lambda: store.write("f", b""),
        lambda: store.put("f", file, digest), lambda: store.delete(["f"]),
    ):  # fmt: skip
        with pytest.raises(StoreNotFound, match=r"no (bucket|container) 'no-such-bucket'"):
            call()


def test_without_a_prefix_the_bucket_itself_is_the_store(ground: Ground) -> None:
    for uri in (ground.uri.rstrip("/"), ground.uri):
        store = ground.open(uri=uri)
        store.write("f", b"x")
        assert store.uri == ground.uri
        assert [entry.key for entry in store.list("")] == ["f"]


def test_a_store_does_not_see_its_neighbour_whose_name_begins_the_same(ground: Ground) -> None:
    ground.open(uri=f"{ground.uri}job-1").write("f", b"x")
    ground.open(uri=f"{ground.uri}job-10").write("g", b"x")
    assert [entry.key for entry in ground.open(uri=f"{ground.uri}job-1").list("")] == ["f"]
