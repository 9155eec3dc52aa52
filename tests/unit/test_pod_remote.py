"""The runner inside a job of Azure ML: it does what a stage's pod does, and what it has to say lies in the mailbox."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import pytest
from tests.importlog import ImportLog
from tests.podground import PodGround, obey

from millwright_api.errors import StoreUnavailable
from millwright_api.report import Progress
from millwright_runner.pod import remote
from millwright_runner.remote.mailbox import Mailbox
from millwright_runner.stores import Store, open_store

NAME = "emotion-1"


@pytest.fixture
def pod(tmp_path: Path) -> PodGround:
    ground = PodGround.make(tmp_path)
    ground.write(passes=[obey("one"), obey("two", steps=4)], data=[])
    return ground


def box(pod: PodGround) -> Mailbox:
    return Mailbox(open_store(pod.claim / "out"), NAME)


class TestItsWord:
    def test_is_in_the_mailbox_with_the_model_in_the_output(self, pod: PodGround) -> None:
        word = pod.run("remote", MILLWRIGHT_REMOTE=NAME)

        said = box(pod).report()
        assert word.code == 0
        assert said is not None and said.artifact is not None
        assert [entry.name for entry in said.passes] == ["one", "two"]
        assert (pod.claim / "out" / "manifest.json").exists()

    def test_is_of_the_part_that_it_was_given(self, pod: PodGround) -> None:
        (pod.folder / "job" / "part.json").write_text('{"MILLWRIGHT_STEPS": "0:1"}')

        pod.run("remote", MILLWRIGHT_REMOTE=NAME)

        said = box(pod).report()
        assert said is not None
        assert ([entry.name for entry in said.passes], said.artifact) == (["one"], None)

    @pytest.mark.parametrize(
        "end, reason, code", [("input", "InvalidModel", 2), ("again", "Damaged", 75), ("crash", "PassFailed", 1)]
    )
    def test_of_a_failure_has_its_reason(self, pod: PodGround, end: str, reason: str, code: int) -> None:
        pod.write(passes=[obey("one", end=end)], data=[])

        word = pod.run("remote", MILLWRIGHT_REMOTE=NAME)

        said = box(pod).report()
        assert said is not None
        assert (word.code, said.reason, said.exit_code) == (code, reason, code)

    def test_of_what_cannot_begin_has_its_reason_too(self, pod: PodGround) -> None:
        pod.write(model={"volume": {"claimName": "team", "path": "absent"}}, data=[], passes=[obey("one")])

        pod.run("remote", MILLWRIGHT_REMOTE=NAME)

        said = box(pod).report()
        assert said is not None
        assert said.reason == "ModelNotFound"

    def test_takes_the_place_of_what_a_node_that_was_taken_away_said(self, pod: PodGround) -> None:
        open_store(pod.claim / "out").write(f".millwright/remote/{NAME}/report.json", b"{}")

        with pod.started("remote", MILLWRIGHT_REMOTE=NAME) as process:
            pod.read(process, "emotion")
            pod.end(process)

        said = box(pod).report()
        assert said is not None and said.outcome == "Succeeded"


class TestWhatItImports:
    def test_an_environment_without_azures_libraries_serves(self, pod: PodGround, tmp_path: Path) -> None:
        log = ImportLog(tmp_path / "imports")

        word = pod.run("remote", imports=log, MILLWRIGHT_REMOTE=NAME)

        assert word.code == 0
        assert log.packages & {"azure", "msal", "boto3", "torch", "rich", "typer"} == set()


class TestHowFarItIs:
    def test_is_in_the_mailbox_while_it_works(self, pod: PodGround) -> None:
        pod.write(passes=[obey("one", end="never")], data=[])

        with pod.started("remote", MILLWRIGHT_REMOTE=NAME) as process:
            pod.read(process, "waiting for a stop")
            mailbox = box(pod)
            while (told := mailbox.progress()) is None:
                assert process.poll() is None

        assert (told.step_name, told.steps) == ("one", 1)


class TestAStop:
    def test_by_signal_ends_it_with_a_checkpoint(self, pod: PodGround) -> None:
        pod.write(passes=[obey("one", end="never")], data=[])

        with pod.started("remote", MILLWRIGHT_REMOTE=NAME) as process:
            pod.read(process, "waiting for a stop")
            process.send_signal(signal.SIGTERM)
            word = pod.end(process)

        said = box(pod).report()
        assert said is not None
        assert (word.code, said.outcome) == (143, "Stopped")
        assert "a checkpoint is saved" in said.message

    def test_in_the_mailbox_is_the_same_as_the_signal(self, pod: PodGround, monkeypatch: pytest.MonkeyPatch) -> None:
        sent: list[tuple[int, int]] = []
        looks: list[float] = []
        mailbox = box(pod)
        monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
        monkeypatch.setattr(remote.time, "sleep", lambda seconds: (looks.append(seconds), mailbox.stop()))

        remote._watch_for_stop(mailbox)

        assert sent == [(os.getpid(), signal.SIGTERM)]
        assert looks == [remote.LOOK_SECONDS]

    def test_is_looked_for_again_when_the_store_was_away(self, pod: PodGround, monkeypatch: pytest.MonkeyPatch) -> None:
        answers = iter([StoreUnavailable("away"), True])

        def stat(self: Mailbox) -> bool:
            answer = next(answers)
            if isinstance(answer, Exception):
                raise answer
            return answer

        sent = threading.Event()
        monkeypatch.setattr(Mailbox, "asked_to_stop", stat)
        monkeypatch.setattr(os, "kill", lambda pid, number: sent.set())
        monkeypatch.setattr(remote.time, "sleep", lambda seconds: None)

        remote._watch_for_stop(box(pod))

        assert sent.is_set()


class TestTheMailbox:
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        (tmp_path / "out").mkdir()
        return open_store(tmp_path / "out")

    def test_holds_the_latest_progress(self, store: Store) -> None:
        mailbox = Mailbox(store, NAME)
        for done in (1, 2):
            mailbox.post(Progress(step_name="one", step_index=0, steps=1, done=done))

        told = mailbox.progress()
        assert told is not None and told.done == 2

    def test_of_another_release_says_nothing(self, store: Store) -> None:
        for name in ("progress.json", "report.json"):
            store.write(f".millwright/remote/{NAME}/{name}", json.dumps({"unknown": 1}).encode())

        assert (Mailbox(store, NAME).progress(), Mailbox(store, NAME).report()) == (None, None)

    def test_keeps_what_was_asked_and_told_apart(self, store: Store) -> None:
        mailbox = Mailbox(store, NAME)
        assert (mailbox.asked_to_stop(), mailbox.told()) == (False, False)

        mailbox.stop()
        mailbox.tell()

        assert (mailbox.asked_to_stop(), mailbox.told()) == (True, True)
        assert Mailbox(store, "emotion-2").told() is False
