"""`millwright watch` as a process, when things go wrong: a kubectl that replays what was recorded of a real one."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests import jobstates as states
from tests.cliground import CliGround, Said, Started

REPLAY = """#!/bin/bash
# Each watch of the job takes the next recording: what it prints, its last words, and then its exit code, or it hangs.
echo "$*" >>{folder}/calls
case "$*" in
  *"get events.events.k8s.io"*) echo $$ >>{folder}/pids; cat {folder}/events; exec sleep 60 ;;
  *"get namespaces"*) cat {folder}/namespaces; exit 0 ;;
  *"get-contexts"*) cat {folder}/contexts; exit 0 ;;
  *"--output=name"*) cat {folder}/names; exit 0 ;;
esac
echo $$ >>{folder}/pids
n=$(cat {folder}/turn); echo $((n + 1)) >{folder}/turn
[ -f {folder}/$n.out ] || exec sleep 60
cat {folder}/$n.out; cat {folder}/$n.err >&2
[ -f {folder}/$n.code ] || exec sleep 60
exit $(cat {folder}/$n.code)
"""
REFUSED = (
    'E1121 08:43:53.587623   19674 memcache.go:265] "Unhandled Error" err="connection refused"\n'
    "The connection to the server 10.0.0.1:6443 was refused - did you specify the right host or port?\n"
)


@dataclass
class Replay:
    """A folder with recordings, and the command line beside it."""

    ground: CliGround
    folder: Path

    def record(
        self, *bodies: states.Json, err: str = "", code: int | None = None, kind: str = "MODIFIED", tail: str = ""
    ) -> None:
        """Adds what one run of kubectl tells; without an exit code it then waits for more."""
        turn = len(list(self.folder.glob("*.out")))
        lines = [json.dumps({"type": kind, "object": body}) + "\n" for body in bodies]
        (self.folder / f"{turn}.out").write_text("".join(lines) + tail)
        (self.folder / f"{turn}.err").write_text(err)
        if code is not None:
            (self.folder / f"{turn}.code").write_text(str(code))

    def happen(self, *events: states.Json) -> None:
        lines = [json.dumps({"type": "ADDED", "object": event}) + "\n" for event in events]
        (self.folder / "events").write_text("".join(lines))

    def watch(self, *arguments: str) -> Said:
        return self.ground.run("watch", *(arguments or ("team-a/emotion",)), PATH=self.path)

    def until(self, wanted: str) -> str:
        """Watches until a line has come; returns all lines so far."""
        with self.started() as process:
            assert process.stderr is not None
            said = ""
            while wanted not in said:
                said += process.stderr.readline()
        return said

    @contextmanager
    def started(self) -> Iterator[Started]:
        """Starts to watch; it is ended with the block."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", self.path)
            with self.ground.started("watch", "team-a/emotion") as process:
                yield process

    @property
    def path(self) -> str:
        return f"{self.folder}{os.pathsep}{os.environ['PATH']}"

    @property
    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()


@pytest.fixture
def replay(tmp_path: Path) -> Replay:
    folder = tmp_path / "replay"
    folder.mkdir()
    (folder / "kubectl").write_text(REPLAY.format(folder=folder))
    (folder / "kubectl").chmod(0o755)
    (folder / "turn").write_text("0")
    for name in ("events", "names", "namespaces", "contexts"):
        (folder / name).touch()
    return Replay(CliGround.make(tmp_path), folder)


class TestHowItEnds:
    def test_a_complete_job_is_exit_0_with_its_model_on_stdout(self, replay: Replay) -> None:
        replay.record(states.running(), states.complete())

        said = replay.watch()

        assert said.code == 0
        assert "model   s3://team-a/models/emotion/abc/\n" in said.out
        assert said.err.splitlines()[-1] == "genai (3/3): done in 8.2 s"

    def test_a_failed_job_is_exit_1_with_reason_message_and_the_way_to_its_logs(self, replay: Replay) -> None:
        replay.record(states.failed())

        said = replay.watch()

        assert (said.code, said.out) == (1, "")
        assert said.err.splitlines()[-2:] == [
            "OOMKilled: team-a/emotion: attempt 3 of 3: the container was killed for memory: limit 2Gi",
            "  hint: logs: kubectl logs -n team-a -l millwright.dev/job=emotion --tail=50",
        ]

    def test_the_log_that_a_message_ends_with_is_shown_below_it_and_not_counted_as_problems(
        self, replay: Replay
    ) -> None:
        replay.record(
            states.failed("PassFailed", "spec.passes[0].lora: lora failed: RuntimeError: no\nTraceback\n  line 1")
        )

        said = replay.watch()

        assert said.err.splitlines()[-4:-1] == [
            "PassFailed: team-a/emotion: spec.passes[0].lora: lora failed: RuntimeError: no",
            "  Traceback",
            "    line 1",
        ]

    def test_for_programs_stdout_has_nothing_but_a_line_for_each_change(self, replay: Replay) -> None:
        replay.record(states.running(20), states.running(20), states.failed())

        said = replay.watch("team-a/emotion", "--json")

        assert said.code == 1
        assert [json.loads(line)["status"]["phase"] for line in said.out.splitlines()] == ["Running", "Failed"]
        assert said.err.startswith("OOMKilled: team-a/emotion: ")

    def test_a_job_that_waits_for_a_person_is_watched_on(self, replay: Replay) -> None:
        replay.record(states.stalled(), states.validating(), states.complete())

        said = replay.watch()

        assert said.code == 0
        assert "what to do: mend the manifest" in said.err

    @pytest.mark.parametrize("as_event", [True, False])
    def test_a_job_that_is_deleted_ends_it(self, replay: Replay, as_event: bool) -> None:
        replay.record(states.running(), code=0)
        if as_event:
            replay.record(states.running(), kind="DELETED")
        else:
            replay.record(
                err='Error from server (NotFound): optimizationjobs.millwright.dev "emotion" not found', code=1
            )

        said = replay.watch()

        assert said.code == 1
        assert said.err.splitlines()[-1] == "JobDeleted: team-a/emotion: it was deleted while it was watched"

    def test_a_job_that_was_made_anew_is_watched_on_and_that_is_said(self, replay: Replay) -> None:
        replay.record(states.running(), code=0)
        anew = states.complete()
        anew["metadata"]["uid"] = "another"
        replay.record(anew)

        said = replay.watch()

        assert said.code == 0
        assert "team-a/emotion was deleted and made anew; this is the new one\n" in said.err

    def test_a_status_of_another_version_says_so(self, replay: Replay) -> None:
        replay.record(states.job({"phase": "Searching"}))

        said = replay.watch()

        assert said.code == 2
        assert said.err.startswith("StatusNotUnderstood: status.phase: found 'Searching'")


class TestAConnectionThatBreaks:
    def test_a_watch_that_the_server_closes_is_opened_again_without_a_word(self, replay: Replay) -> None:
        replay.record(states.running(), code=0)
        replay.record(states.running(), states.complete())

        said = replay.watch()

        assert said.code == 0
        assert "connect" not in said.err

    def test_a_server_that_stays_away_is_told_once_and_so_is_its_return(self, replay: Replay) -> None:
        replay.record(states.running(), code=0)
        for _ in range(3):
            replay.record(err=REFUSED, code=1)
        replay.record(states.complete())

        said = replay.watch()

        told = [line for line in said.err.splitlines() if "connect" in line]
        assert said.code == 0
        assert told == [
            "connection lost, trying again: The connection to the server 10.0.0.1:6443 was refused - "
            "did you specify the right host or port?",
            "connected again",
        ]

    def test_a_document_that_arrives_torn_is_asked_for_again(self, replay: Replay) -> None:
        replay.record(states.running(), tail='{"type": "MODIFIED", "object": {"api', code=1)
        replay.record(states.complete())

        assert replay.watch().code == 0

    def test_who_may_not_read_events_sees_the_job_all_the_same(self, replay: Replay) -> None:
        script = (replay.folder / "kubectl").read_text()
        (replay.folder / "kubectl").write_text(script.replace("exec sleep 60 ;;", "exit 1 ;;"))
        replay.record(states.running(), states.complete())

        assert replay.watch().code == 0

    def test_warnings_are_those_on_this_very_job(self, replay: Replay) -> None:
        replay.happen(
            states.event("AttemptFailed", "of the one before", kind="Warning", uid="another"),
            states.event("Evicted", "the node needs its memory", kind="Warning"),
        )
        replay.record(states.running())

        said = replay.until("warning: Evicted")

        assert "warning: Evicted: the node needs its memory" in said
        assert "of the one before" not in said


class TestWhatIsNotThere:
    def test_without_kubectl_it_says_what_is_missing(self, replay: Replay) -> None:
        said = replay.ground.run("watch", "team-a/emotion", PATH=str(Path(sys.executable).parent))

        assert (said.code, said.out) == (2, "")
        assert said.err == (
            "KubectlNotFound: kubectl is not installed, or not on the PATH\n"
            "  hint: the cluster is asked through it: install kubectl\n"
        )

    def test_a_job_that_is_not_there_gets_the_name_it_may_have(self, replay: Replay) -> None:
        replay.record(err='Error from server (NotFound): optimizationjobs.millwright.dev "emotoin" not found\n', code=1)
        (replay.folder / "names").write_text("optimizationjob.millwright.dev/emotion\n")

        said = replay.watch("team-a/emotoin")

        assert said.code == 2
        assert said.err == (
            "JobNotFound: team-a/emotoin: there is no OptimizationJob emotoin in namespace team-a\n"
            "  hint: did you mean 'emotion'?\n"
        )

    def test_so_does_a_namespace(self, replay: Replay) -> None:
        replay.record(err='Error from server (NotFound): namespaces "team-b" not found\n', code=1)
        (replay.folder / "namespaces").write_text("namespace/default\nnamespace/team-a\n")

        said = replay.watch("team-b/emotion")

        assert said.err.splitlines() == [
            "JobNotFound: team-b/emotion: the cluster has no namespace team-b",
            "  hint: did you mean 'team-a'?",
        ]

    @pytest.mark.parametrize(
        ("err", "reason", "hint"),
        [
            ("error: the server doesn't have a resource type \"optimizationjobs\"", "JobNotFound", "install Millwright"),
            (REFUSED, "ClusterUnreachable", "kubectl get namespaces"),
            ("Error in configuration: context was not found for specified context: zz", "ClusterUnreachable", "same context"),
            ('Error from server (Forbidden): optimizationjobs.millwright.dev "x" is forbidden: User "bob" cannot get resource', "AccessDenied", "get and watch"),
            ("error: You must be logged in to the server (the server has asked for the client to provide credentials)", "AccessDenied", "log in"),
            ("The connection to the server localhost:8080 was refused - did you specify the right host or port?", "ClusterUnreachable", "name one with KUBECONFIG or --kubeconfig"),
        ],
    )  # fmt: skip
    def test_a_cluster_that_says_no_is_exit_2_with_what_helps(
        self, replay: Replay, err: str, reason: str, hint: str
    ) -> None:
        replay.record(err=err + "\n", code=1)

        said = replay.watch()

        assert (said.code, said.out) == (2, "")
        assert said.err.startswith(f"{reason}: team-a/emotion: ")
        assert hint in said.err.splitlines()[1]
        assert "memcache" not in said.err

    def test_so_does_a_context(self, replay: Replay) -> None:
        replay.record(err='error: context "prdo" does not exist\n', code=1)
        (replay.folder / "contexts").write_text("prod\nstaging\n")

        said = replay.watch("team-a/emotion", "--context", "prdo")

        assert said.err.splitlines() == [
            'ClusterUnreachable: team-a/emotion: context "prdo" does not exist',
            "  hint: did you mean 'prod'?",
        ]

    @pytest.mark.parametrize("job", ["team-a/emotion", "Team/Emotion"])
    def test_for_programs_stdout_has_statuses_only_and_so_nothing_then(self, replay: Replay, job: str) -> None:
        replay.record(err='Error from server (NotFound): namespaces "team-a" not found\n', code=1)

        said = replay.watch(job, "--json")

        assert (said.code, said.out) == (2, "")
        assert said.err.startswith(("JobNotFound: ", "UsageError: "))

    @pytest.mark.parametrize("job", ["a/b/c", "/emotion", "team-a/", "Team/Emotion", "team-a/emotion;true"])
    def test_what_is_no_name_is_refused_before_kubectl_is_asked(self, replay: Replay, job: str) -> None:
        said = replay.watch(job)

        assert said.code == 2
        assert said.err.startswith(f"UsageError: expected NAMESPACE/NAME or NAME, found '{job}'")
        assert not (replay.folder / "calls").exists()


class TestWhichCluster:
    def test_context_and_kubeconfig_are_handed_to_kubectl(self, replay: Replay) -> None:
        replay.record(states.complete())

        replay.watch("team-a/emotion", "--context", "prod", "--kubeconfig", "my.config")

        assert replay.calls[0] == (
            "--context=prod --kubeconfig=my.config --namespace=team-a get optimizationjobs.millwright.dev emotion "
            "--output=json --watch --output-watch-events"
        )

    def test_a_name_alone_leaves_the_namespace_to_the_kubeconfig(self, replay: Replay) -> None:
        replay.record(states.complete())

        said = replay.watch("emotion")

        assert said.code == 0
        assert replay.calls[0].startswith("get optimizationjobs.millwright.dev emotion ")


class TestLeaving:
    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_who_leaves_is_told_that_the_job_goes_on(self, replay: Replay, number: signal.Signals, code: int) -> None:
        replay.record(states.running())

        with replay.started() as process:
            assert process.stderr is not None
            process.stderr.readline()
            process.send_signal(number)
            _, err = process.communicate(timeout=60)

        assert process.returncode == code
        assert err.splitlines()[-1] == "the job goes on; look again: millwright watch team-a/emotion"

    def test_no_kubectl_is_left_behind(self, replay: Replay) -> None:
        replay.record(states.running(), states.complete())

        replay.watch()

        assert [pid for pid in _pids(replay) if _runs(pid)] == []


class TestOnATerminal:
    def test_the_live_view_ends_with_all_steps_and_gives_the_cursor_back(self, replay: Replay) -> None:
        replay.record(states.running(), states.complete())

        said = replay.ground.on_terminal("watch", "team-a/emotion", PATH=replay.path)

        assert said.code == 0
        assert "team-a/emotion" in said.out
        assert "done in 1 min 02 s, went on from step 40" in said.out
        assert said.out.rindex("\x1b[?25h") > said.out.rindex("\x1b[?25l")


def _pids(replay: Replay) -> list[int]:
    return [int(line) for line in (replay.folder / "pids").read_text().split()]


def _runs(pid: int) -> bool:
    status = Path("/proc") / str(pid) / "stat"
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"
