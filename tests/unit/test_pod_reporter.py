"""Reporting progress: over real TLS, the latest only, and never in the way of the work."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.progressserver import Authority, ProgressServer

from millwright_api.report import Progress
from millwright_runner.pod.reporter import Reporter

SHORT, LONG = 0.05, 3600.0


def step(name: str = "finetune", done: int = 0) -> Progress:
    return Progress(step_name=name, step_index=0, steps=2, message="training", done=done, total=100, loss=1.5)


@dataclass
class Ground:
    """A CA, a token, and an endpoint."""

    folder: Path
    authority: Authority
    servers: list[ProgressServer] = field(default_factory=list)

    @property
    def token(self) -> Path:
        return self.folder / "token"

    def serve(self, **how: int | float) -> ProgressServer:
        server = ProgressServer(self.authority, **how).start()  # type: ignore[arg-type]
        self.servers.append(server)
        return server

    def reporter(self, server: ProgressServer | str, *, interval: float = SHORT, timeout: float = 3.0) -> Reporter:
        url = server if isinstance(server, str) else server.url
        return Reporter(url, self.authority.ca, self.token, interval=interval, timeout=timeout)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    made = Ground(tmp_path, Authority(tmp_path).make())
    made.token.write_text("token-of-this-pod\n")
    yield made
    for server in made.servers:
        server.stop()


class TestWhatIsTold:
    def test_the_first_progress_goes_at_once_with_the_pods_token(self, ground: Ground) -> None:
        server = ground.serve()

        ground.reporter(server, interval=LONG).tell(step(done=7))

        assert server.wait_for(1) == [step(done=7)]
        assert server.tokens == ["token-of-this-pod"]

    def test_between_two_reports_only_the_latest_is_kept(self, ground: Ground) -> None:
        server = ground.serve()
        reporter = ground.reporter(server, interval=0.5)
        reporter.tell(step(done=0))
        server.wait_for(1)

        for done in range(1, 100):
            reporter.tell(step(done=done))

        assert server.wait_for(2)[1].done == 99

    def test_the_last_loss_stays_until_the_step_does_something_else(self, ground: Ground) -> None:
        server = ground.serve()
        reporter = ground.reporter(server, interval=0.1)
        reporter.tell(step(done=10))
        server.wait_for(1)
        reporter.tell(step(done=11).model_copy(update={"loss": None}))
        server.wait_for(2)

        reporter.tell(Progress(step_name="finetune", step_index=0, steps=2, message="saving"))

        assert [told.loss for told in server.wait_for(3)] == [1.5, 1.5, None]

    def test_another_step_does_not_wait_for_the_interval(self, ground: Ground) -> None:
        server = ground.serve()
        reporter = ground.reporter(server, interval=LONG)
        reporter.tell(step("finetune"))
        server.wait_for(1)

        reporter.tell(step("finetune", done=50))
        reporter.tell(step("merge"))

        assert [told.step_name for told in server.wait_for(2)] == ["finetune", "merge"]

    def test_one_connection_serves_all_reports(self, ground: Ground) -> None:
        server = ground.serve()
        reporter = ground.reporter(server)
        for number in range(4):
            reporter.tell(step(f"step-{number}"))
            server.wait_for(number + 1)

        assert server.connections == 1

    def test_a_connection_that_was_closed_in_the_meantime_is_made_anew(self, ground: Ground) -> None:
        server = ground.serve()
        reporter = ground.reporter(server)
        reporter.tell(step("one"))
        server.wait_for(1)
        server.stop()
        again = ground.serve(port=server.port)
        ground.servers.remove(server)

        reporter.tell(step("two"))

        assert again.wait_for(1)[0].step_name == "two"


class TestRotation:
    def test_the_token_is_read_anew_for_each_report(self, ground: Ground) -> None:
        server = ground.serve()
        reporter = ground.reporter(server)
        reporter.tell(step("one"))
        server.wait_for(1)
        ground.token.write_text("a-fresh-token")

        reporter.tell(step("two"))
        server.wait_for(2)

        assert server.tokens == ["token-of-this-pod", "a-fresh-token"]

    def test_another_ca_is_trusted_as_soon_as_it_is_there(self, ground: Ground, tmp_path: Path) -> None:
        first = ground.serve()
        reporter = ground.reporter(first)
        reporter.tell(step("one"))
        first.wait_for(1)
        first.stop()
        ground.servers.remove(first)
        other = Authority(tmp_path, "another").make()
        ground.authority.ca.write_bytes(other.ca.read_bytes())
        second = ProgressServer(other, port=first.port).start()
        ground.servers.append(second)

        reporter.tell(step("two"))

        assert second.wait_for(1)[0].step_name == "two"

    def test_an_endpoint_that_another_ca_signed_learns_nothing(
        self, ground: Ground, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        server = ProgressServer(Authority(tmp_path, "stranger").make()).start()
        ground.servers.append(server)
        good = ground.serve()

        reporter = ground.reporter(server)
        reporter.tell(step())
        wait_until_said(capfd, "certificate verify failed")
        ground.reporter(good).tell(step())  # the ground itself works
        good.wait_for(1)

        assert (server.told, server.tokens) == ([], [])


class TestBadDays:
    """The work's thread returns from each `tell`; a test that would hang there fails by its time limit."""

    def tell_often(self, reporter: Reporter) -> None:
        """What a training does: 200 steps, from a thread that must end."""
        work = threading.Thread(target=lambda: [reporter.tell(step(done=done)) for done in range(200)])
        work.start()
        work.join(timeout=30)
        assert not work.is_alive()

    def test_an_endpoint_that_is_away_fails_nothing_and_is_told_of_once(
        self, ground: Ground, capfd: pytest.CaptureFixture[str]
    ) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            reporter = ground.reporter(f"https://127.0.0.1:{taken.getsockname()[1]}/v1/progress")

            self.tell_often(reporter)
            said = wait_until_said(capfd, "the job goes on without")
            self.tell_often(reporter)

        assert said.count("progress cannot be reported") == 1

    def test_an_endpoint_that_hangs_holds_nothing_up(self, ground: Ground, capfd: pytest.CaptureFixture[str]) -> None:
        server = ground.serve(silent=30)
        reporter = ground.reporter(server, timeout=0.2)

        self.tell_often(reporter)

        assert "timed out" in wait_until_said(capfd, "the job goes on without")

    def test_an_endpoint_that_refuses_is_asked_again_later(
        self, ground: Ground, capfd: pytest.CaptureFixture[str]
    ) -> None:
        server = ground.serve(status=403)
        reporter = ground.reporter(server)
        reporter.tell(step("one"))
        wait_until_said(capfd, "HTTP 403")
        server.status = 204

        reporter.tell(step("two"))

        assert server.wait_for(1)[0].step_name == "two"

    def test_an_endpoint_that_comes_back_is_told_the_latest(
        self, ground: Ground, capfd: pytest.CaptureFixture[str]
    ) -> None:
        server = ground.serve()
        server.stop()
        ground.servers.remove(server)
        reporter = ground.reporter(server.url)
        reporter.tell(step(done=1))
        wait_until_said(capfd, "the job goes on without")
        reporter.tell(step(done=2))
        reporter.tell(step(done=3))

        again = ground.serve(port=server.port)

        assert again.wait_for(1)[0].done == 3

    @pytest.mark.parametrize("missing", ["token", "ca.crt"])
    def test_a_token_or_ca_that_is_not_there_yet_is_waited_for(
        self, ground: Ground, missing: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        file = ground.folder / missing
        content = file.read_bytes()
        file.unlink()
        server = ground.serve()
        reporter = ground.reporter(server)
        reporter.tell(step("one"))
        wait_until_said(capfd, "No such file")
        file.write_bytes(content)

        reporter.tell(step("two"))

        assert server.wait_for(1)[0].step_name == "two"

    def test_an_address_that_is_none_fails_nothing(self, ground: Ground, capfd: pytest.CaptureFixture[str]) -> None:
        self.tell_often(ground.reporter("https://no-such-host.invalid:1/v1/progress"))

        assert wait_until_said(capfd, "the job goes on without")


def wait_until_said(capfd: pytest.CaptureFixture[str], word: str) -> str:
    """Waits for a line on stderr; returns all that was said until then."""
    said, look = "", threading.Event()
    for _ in range(2000):
        said += capfd.readouterr().err
        if word in said:
            return said
        look.wait(0.01)
    raise AssertionError(f"nobody said {word!r}, but: {said}")
