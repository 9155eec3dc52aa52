"""`millwright watch` beside a real API server and a real operator: the whole life of jobs, also of those that go wrong."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.cluster.arena import OPTJOB, Arena
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import probe

SECONDS = 240
"""Only there to end a test that would hang."""


class Watcher:
    """Runs the command line against the cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._environment = cluster.environment | {"COLUMNS": "200", "PYTHONUNBUFFERED": "1"}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(*arguments),
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    @contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Starts it with its stderr on a pipe."""
        process = subprocess.Popen(
            self._command(*arguments), env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    @staticmethod
    def _command(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "millwright_runner", "watch", *arguments]


def read_until(process: subprocess.Popen[str], pattern: str) -> str:
    """Reads lines until one matches, and returns that."""
    assert process.stderr is not None
    for line in process.stderr:
        if re.search(pattern, line):
            return line
    raise AssertionError(f"it ended without a line like {pattern}")


@pytest.fixture
def watcher(installed: Cluster) -> Watcher:
    return Watcher(installed)


@pytest.fixture(scope="module")
def whole(installed: Cluster, arena: Arena) -> subprocess.CompletedProcess[str]:
    """What is said of a job of two steps, from its start to its end."""
    arena.start("whole", probe("first", units=60), probe("second", mark="b"))
    return Watcher(installed).run(f"{arena.namespace}/whole")


class TestAJobThatCompletes:
    def test_its_life_is_told_in_order_and_its_model_at_the_end(
        self, arena: Arena, whole: subprocess.CompletedProcess[str]
    ) -> None:
        assert whole.returncode == 0, whole.stderr
        places = [
            whole.stderr.index(word) for word in ("Running: stage 1 of 1", "first (1/2): done", "second (2/2): done")
        ]
        assert places == sorted(places)
        assert re.search(rf"^model   s3://{arena.bucket}/out/whole/", whole.stdout, re.M)

    def test_the_running_step_has_count_and_loss(self, whole: subprocess.CompletedProcess[str]) -> None:
        assert re.search(r"^first \(1/2\): probing \d+/60, loss [\d.]+", whole.stderr, re.M), whole.stderr

    def test_for_programs_each_line_is_a_status_and_the_last_is_the_end(self, arena: Arena, watcher: Watcher) -> None:
        arena.start("lines", probe("work", mark="lines"))

        said = watcher.run(f"{arena.namespace}/lines", "--json")

        statuses = [json.loads(line)["status"] for line in said.stdout.splitlines()]
        assert said.returncode == 0
        assert statuses[-1]["phase"] == "Succeeded"
        assert all(before != after for before, after in itertools.pairwise(statuses))

    @pytest.mark.usefixtures("whole")
    def test_one_that_is_over_is_told_at_once(self, arena: Arena, watcher: Watcher) -> None:
        arena.complete("whole")

        said = watcher.run(f"{arena.namespace}/whole")

        assert said.returncode == 0
        assert said.stderr.startswith(f"{arena.namespace}/whole: Succeeded: published ")


class TestAJobThatFails:
    def test_the_exit_code_is_1_and_reason_and_message_are_the_jobs(self, arena: Arena, watcher: Watcher) -> None:
        arena.start("broken", probe("work", fails="user"))

        said = watcher.run(f"{arena.namespace}/broken")

        assert said.returncode == 1
        assert re.search(rf"^InvalidData: {arena.namespace}/broken: ", said.stderr, re.M), said.stderr
        assert f"kubectl logs -n {arena.namespace} -l millwright.dev/job=broken" in said.stderr

    def test_one_that_waits_for_a_person_is_watched_on_until_it_is_mended(self, arena: Arena, watcher: Watcher) -> None:
        good = arena.manifest("mended", probe("work", mark="mended"))
        arena.start("mended", probe("work", mark="mended"), model={"s3": {"uri": f"s3://{arena.bucket}/modle/"}})
        with watcher.started(f"{arena.namespace}/mended") as process:
            line = read_until(process, "Stalled")
            advice = read_until(process, "what to do")
            arena.apply(good)

            out, _ = process.communicate(timeout=SECONDS)

        assert "ModelNotFound" in line
        assert "mend the manifest and apply it again" in advice
        assert process.returncode == 0
        assert "model   s3://" in out

    def test_one_that_is_deleted_ends_the_watching(self, arena: Arena, watcher: Watcher) -> None:
        arena.start("gone", probe("work", units=1000))
        with watcher.started(f"{arena.namespace}/gone") as process:
            read_until(process, "Running")
            arena.kubectl("delete", OPTJOB, "gone", "-n", arena.namespace)

            _, err = process.communicate(timeout=SECONDS)

        assert process.returncode == 1
        assert "it was deleted while it was watched" in err


class TestWhatIsNotThere:
    def test_a_job_gets_the_name_it_may_have(self, arena: Arena, watcher: Watcher) -> None:
        arena.start("emotion", probe("work"), suspend=True)

        said = watcher.run(f"{arena.namespace}/emotoin")

        assert said.returncode == 2
        assert "did you mean 'emotion'?" in said.stderr

    def test_a_namespace_is_told_from_a_job(self, watcher: Watcher) -> None:
        said = watcher.run("kube-sytem/emotion")

        assert said.returncode == 2
        assert "the cluster has no namespace kube-sytem" in said.stderr
        assert "did you mean 'kube-system'?" in said.stderr


@pytest.mark.alone
class TestAnApiServerThatGoesAway:
    def test_the_watching_goes_on_when_it_is_back(self, installed: Cluster, arena: Arena, watcher: Watcher) -> None:
        arena.start("through", probe("work", units=80))
        with watcher.started(f"{arena.namespace}/through") as process:
            read_until(process, "Running")
            installed.stop("kube-apiserver")
            try:
                read_until(process, "connection lost, trying again")
            finally:
                installed.start("kube-apiserver")
            read_until(process, "connected again")

            process.communicate(timeout=SECONDS)

        assert process.returncode == 0
