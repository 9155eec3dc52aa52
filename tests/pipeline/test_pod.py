"""Pods that train: stopped and resumed, in several stages, with an endpoint that hangs, with a store that goes away."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.importlog import ImportLog
from tests.pipeline.jobs import Mill, job, lora, wait_for
from tests.podground import PodGround, Word
from tests.progressserver import Authority, ProgressServer
from tests.s3server import S3Server

from millwright_api.v1alpha1 import S3Location
from millwright_runner.digests import DigestMemo
from millwright_runner.published import damaged_files, read_published
from millwright_runner.stores import open_store

OUTAGE_SECONDS = 60
TRAINING = {"maxSteps": 60, "loggingSteps": 10}


@pytest.fixture
def pod(tmp_path: Path, phi3: Path, rows: Path) -> PodGround:
    """A claim with the model and the rows, and a job of three steps."""
    ground = PodGround.make(tmp_path, warm=True)
    shutil.rmtree(ground.claim / "model")
    shutil.copytree(phi3, ground.claim / "model")
    shutil.copy(rows, ground.claim / "rows.jsonl")
    write(ground)
    return ground


def write(pod: PodGround, **spec: Any) -> None:
    """Writes the pipeline tests' usual job, its files in the claim."""
    usual = job(pod.claim / "model", pod.claim / "rows.jsonl", "unused")["spec"]
    data = [{**usual["data"][0], "source": {"volume": {"claimName": "team", "path": "rows.jsonl"}}}]
    passes = [lora(dropout=0.1, training=TRAINING), {"merge": {}}, {"genai": {"precision": "int4"}}]
    pod.write(**{"data": data, "passes": passes, "checkpoint": {"everySteps": 10}, **spec})


def digests(*words: Word) -> dict[str, str | None]:
    for word in words:
        assert word.code == 0, word.out + word.err
    return {entry.name: entry.digest for word in words for entry in word.report.passes}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, phi3: Path, rows: Path) -> dict[str, str | None]:
    """What each step makes when the job is left alone, in one stage."""
    ground = PodGround.make(tmp_path_factory.mktemp("undisturbed"), warm=True)
    shutil.rmtree(ground.claim / "model")
    shutil.copytree(phi3, ground.claim / "model")
    shutil.copy(rows, ground.claim / "rows.jsonl")
    write(ground)
    return digests(ground.run("stage"))


class TestStages:
    def test_two_stages_make_the_same_model_as_one(self, pod: PodGround, undisturbed: dict[str, str | None]) -> None:
        first = pod.run("stage", MILLWRIGHT_STEPS="0:2", MILLWRIGHT_HOME=str(pod.folder / "scratch-0"))
        second = pod.run("stage", MILLWRIGHT_STEPS="2:3", MILLWRIGHT_HOME=str(pod.folder / "scratch-1"))

        assert digests(first, second) == undisturbed
        assert second.report.artifact is not None
        assert second.report.artifact.digest == undisturbed["genai"]

    def test_a_stage_imports_no_more_than_millwright_run_does(
        self, pod: PodGround, phi3: Path, rows: Path, tmp_path: Path
    ) -> None:
        write(pod, passes=[lora(training={"maxSteps": 1})])
        inside, outside = ImportLog(tmp_path / "inside"), ImportLog(tmp_path / "outside")
        (tmp_path / "mill").mkdir()

        word = pod.run("stage", imports=inside)
        ran = Mill(tmp_path / "mill").run(
            job(phi3, rows, "out", lora(training={"maxSteps": 1})), env=outside.environment, fresh=True
        )

        assert (word.code, ran.code) == (0, 0)
        assert inside.packages - outside.packages == set()
        assert "torch" in inside.packages


class TestStopAndResume:
    def test_a_pod_that_is_evicted_leaves_a_checkpoint_and_the_next_one_goes_on_to_the_same_model(
        self, pod: PodGround, undisturbed: dict[str, str | None]
    ) -> None:
        checkpoints = pod.claim / "out" / ".millwright" / "checkpoints"
        with pod.started("stage") as process:
            wait_for(lambda: list(checkpoints.glob("*/*/manifest.json")) or process.poll() is not None)
            process.send_signal(signal.SIGTERM)
            evicted = pod.end(process)
        saved = sorted(int(path.parent.name) for path in checkpoints.glob("*/*/manifest.json"))[-1]
        shutil.rmtree(pod.folder / "scratch")

        resumed = pod.run("stage")

        assert (evicted.code, evicted.report.outcome) == (143, "Stopped")
        assert evicted.report.passes[0].phase == "Stopped"
        assert resumed.report.passes[0].resumed_from == saved
        assert digests(resumed) == undisturbed


class TestProgress:
    @pytest.fixture
    def endpoint(self, tmp_path: Path, pod: PodGround) -> Iterator[ProgressServer]:
        server = ProgressServer(Authority(tmp_path).make())
        (pod.folder / "token").write_text("token-of-this-pod")
        shutil.copy(server.authority.ca, pod.folder / "job" / "ca.crt")
        server.start()
        yield server
        server.stop()

    def test_the_operator_hears_of_each_step(
        self, pod: PodGround, endpoint: ProgressServer, undisturbed: dict[str, str | None]
    ) -> None:
        word = pod.run("stage", MILLWRIGHT_PROGRESS_URL=endpoint.url)

        assert digests(word) == undisturbed
        assert {told.step_name for told in endpoint.told} == {"lora", "merge", "genai"}
        assert all(told.steps == 3 for told in endpoint.told)
        assert set(endpoint.tokens) == {"token-of-this-pod"}

    def test_an_endpoint_that_hangs_changes_nothing(
        self, pod: PodGround, endpoint: ProgressServer, undisturbed: dict[str, str | None]
    ) -> None:
        endpoint.silent = 3600

        word = pod.run("stage", MILLWRIGHT_PROGRESS_URL=endpoint.url)

        assert digests(word) == undisturbed
        assert endpoint.told == []


class TestTheStoreGoesAway:
    @pytest.fixture
    def server(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
        own = S3Server(tmp_path / "s3")
        for name, value in own.environment.items():
            monkeypatch.setenv(name, value)
        own.start()
        own.bucket("models")
        yield own
        own.stop()

    def through_an_outage(self, pod: PodGround, server: S3Server, phase: str, seconds: float) -> Word:
        """Runs the job on the store, which is killed in a phase and comes back some time later."""
        write(pod, output={"s3": {"uri": "s3://models/x/"}})
        with pod.started("stage") as process:
            pod.read(process, phase)
            server.kill()
            time.sleep(seconds)
            assert process.poll() is None, "it gave up"
            server.start()
            return pod.end(process)

    def test_for_a_minute_during_a_checkpoint_the_training_waits_and_goes_on(
        self, pod: PodGround, server: S3Server, undisturbed: dict[str, str | None]
    ) -> None:
        word = self.through_an_outage(pod, server, "lora (1/3): training", OUTAGE_SECONDS)

        assert digests(word) == undisturbed
        assert word.report.passes[0].resumed_from is None
        self.is_whole(word)

    @pytest.mark.parametrize("phase", ["lora (1/3): storing", "genai (3/3): publishing"])
    def test_during_an_upload_it_waits_and_goes_on(
        self, pod: PodGround, server: S3Server, undisturbed: dict[str, str | None], phase: str
    ) -> None:
        word = self.through_an_outage(pod, server, phase, 5)

        assert digests(word) == undisturbed
        self.is_whole(word)

    def is_whole(self, word: Word) -> None:
        assert word.report.artifact is not None
        store = open_store(S3Location(uri="s3://models/x/"))
        published = read_published(store)
        assert published is not None
        assert damaged_files(store, published, DigestMemo(Path("unused"))) == []
