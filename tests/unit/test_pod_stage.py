"""A stage's pod: which steps it does, what it hands over, and its last word however it ends. No torch."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from tests.importlog import ImportLog
from tests.keys import Pair
from tests.podground import PodGround, obey

from millwright_api.report import TERMINATION_MESSAGE_BYTES, RunReport
from millwright_runner.pod import inside
from millwright_runner.signing import PublicKey
from millwright_runner.stores import open_store
from millwright_runner.verification import verify


@pytest.fixture
def pod(tmp_path: Path) -> PodGround:
    ground = PodGround.make(tmp_path)
    ground.write(passes=[obey("one"), obey("two", steps=4), obey("three", steps=5)], data=[])
    return ground


def phases(report: RunReport) -> list[tuple[str, str, str]]:
    return [(entry.name, entry.phase, entry.cache) for entry in report.passes]


class TestSigning:
    def test_the_key_of_a_secret_signs_what_is_published(self, pod: PodGround) -> None:
        pair = Pair.make()

        word = pod.run("stage", MILLWRIGHT_SIGNING_KEY=pair.private.decode())

        assert word.code == 0
        assert verify(open_store(pod.claim / "out"), PublicKey.load(pair.public, "pub.pem")).problems == []
        assert pair.private.decode().splitlines()[1] not in word.out + word.err

    def test_a_bad_key_ends_it_before_anything_runs(self, pod: PodGround) -> None:
        word = pod.run("stage", MILLWRIGHT_SIGNING_KEY=Pair.make().encrypted.decode())

        assert (word.code, word.report.reason, word.report.passes) == (2, "InvalidKey", [])
        assert word.report.message.startswith("MILLWRIGHT_SIGNING_KEY: the key is encrypted")


class TestWhichStepsItDoes:
    def test_alone_it_does_all_of_them_and_publishes(self, pod: PodGround) -> None:
        word = pod.run("stage")

        assert word.code == 0
        assert phases(word.report) == [(name, "Succeeded", "Miss") for name in ("one", "two", "three")]
        assert word.report.artifact is not None
        assert word.report.artifact.uri.startswith("volume://team/out/")
        assert (pod.claim / "out" / "manifest.json").exists()

    def test_a_first_stage_does_its_own_steps_and_publishes_nothing(self, pod: PodGround) -> None:
        word = pod.run("stage", MILLWRIGHT_STEPS="0:2")

        assert word.code == 0
        assert word.report.outcome == "Succeeded"
        assert phases(word.report) == [("one", "Succeeded", "Miss"), ("two", "Succeeded", "Miss")]
        assert word.report.artifact is None
        assert not (pod.claim / "out" / "manifest.json").exists()

    def test_the_next_stage_goes_on_from_the_cache_and_the_last_one_publishes(self, pod: PodGround) -> None:
        pod.run("stage", MILLWRIGHT_STEPS="0:1")
        middle = pod.run("stage", MILLWRIGHT_STEPS="1:2")
        last = pod.run("stage", MILLWRIGHT_STEPS="2:3")

        assert phases(middle.report) == [("two", "Succeeded", "Miss")]
        assert phases(last.report) == [("three", "Succeeded", "Miss")]
        assert last.report.artifact is not None

    def test_what_the_stage_before_should_have_left_is_not_made_on_the_wrong_hardware(self, pod: PodGround) -> None:
        word = pod.run("stage", MILLWRIGHT_STEPS="1:3")

        assert word.code == 75
        assert word.report.reason == "HandoverMissing"
        assert "spec.passes[0]" in word.report.message
        assert "one" in word.report.message
        assert word.report.passes == []

    def test_a_stage_that_runs_again_after_success_finds_its_work_done(self, pod: PodGround) -> None:
        pod.run("stage", MILLWRIGHT_STEPS="0:2")

        again = pod.run("stage", MILLWRIGHT_STEPS="0:2")

        assert again.code == 0
        assert phases(again.report) == [("one", "Succeeded", "Hit"), ("two", "Succeeded", "Hit")]

    def test_a_result_that_is_published_already_ends_the_first_stage_with_the_artifact(self, pod: PodGround) -> None:
        pod.run("stage")

        word = pod.run("stage", MILLWRIGHT_STEPS="0:1")

        assert word.code == 0
        assert phases(word.report) == [("one", "Succeeded", "Hit")]
        assert word.report.artifact is not None

    def test_a_full_hit_that_is_not_published_is_published_by_the_last_stage(self, pod: PodGround) -> None:
        pod.run("stage")
        (pod.claim / "out" / "manifest.json").unlink()

        first = pod.run("stage", MILLWRIGHT_STEPS="0:1")
        last = pod.run("stage", MILLWRIGHT_STEPS="1:3")

        assert (first.code, first.report.artifact) == (0, None)
        assert phases(last.report) == [("two", "Succeeded", "Hit"), ("three", "Succeeded", "Hit")]
        assert last.report.artifact is not None

    @pytest.mark.parametrize("mode", ["Off", "ReadOnly"])
    def test_several_stages_need_a_cache_that_is_written_to(self, pod: PodGround, mode: str) -> None:
        pod.write(passes=[obey("one"), obey("two")], data=[], cache={"mode": mode})

        word = pod.run("stage", MILLWRIGHT_STEPS="0:1")

        assert word.code == 2
        assert word.report.reason == "InvalidManifest"
        assert "spec.cache.mode" in word.report.message

    def test_one_stage_needs_no_cache(self, pod: PodGround) -> None:
        pod.write(passes=[obey("one")], data=[], cache={"mode": "Off"})

        word = pod.run("stage", MILLWRIGHT_STEPS="0:1")

        assert phases(word.report) == [("one", "Succeeded", "Off")]

    def test_report_json_beside_the_model_tells_of_all_stages(self, pod: PodGround) -> None:
        pod.run("stage", MILLWRIGHT_STEPS="0:2")
        pod.run("stage", MILLWRIGHT_STEPS="2:3")

        told = json.loads((pod.claim / "out" / "report.json").read_text())

        assert [(entry["name"], entry["cache"]) for entry in told["passes"]] == [
            ("one", "Hit"),
            ("two", "Hit"),
            ("three", "Miss"),
        ]

    @pytest.mark.parametrize("steps", ["", "2", "1:1", "2:1", "0:4", "a:b"])
    def test_steps_that_the_job_has_not_are_the_operators_mistake_and_told(self, pod: PodGround, steps: str) -> None:
        word = pod.run("stage", MILLWRIGHT_STEPS=steps)

        assert word.code == 1
        assert word.report.reason == "InternalError"
        assert "ValueError" in word.report.message


class TestGates:
    def gate(self, pod: PodGround, **evaluation: object) -> None:
        sized = {"after": ["input", "each"], "metrics": [{"sizeOnDisk": {}}], **evaluation}
        pod.write(passes=[obey("one"), obey("two", steps=4)], data=[], evaluation=sized)

    def test_each_stage_tells_what_it_measured_and_the_last_one_the_verdict(self, pod: PodGround) -> None:
        self.gate(pod, constraints=[{"metric": "sizeOnDisk", "min": 1}])

        first = pod.run("stage", MILLWRIGHT_STEPS="0:1").report
        last = pod.run("stage", MILLWRIGHT_STEPS="1:2").report

        assert [entry.after for entry in first.evaluation] == ["input", "one"]
        assert (first.constraints, [entry.met for entry in last.constraints]) == ([], [True])
        assert [entry.after for entry in last.evaluation] == ["input", "one", "two"]
        assert all(entry.metrics[0].value for entry in last.evaluation)

    def test_a_failed_gate_ends_the_last_one_with_exit_code_3_and_nothing_is_published(self, pod: PodGround) -> None:
        self.gate(pod, constraints=[{"metric": "sizeOnDisk", "max": 1}])
        pod.run("stage", MILLWRIGHT_STEPS="0:1")

        word = pod.run("stage", MILLWRIGHT_STEPS="1:2")

        assert (word.code, word.report.outcome, word.report.reason) == (3, "Failed", "ConstraintsNotMet")
        assert "sizeOnDisk is " in word.report.message
        assert "max 1 bytes" in word.report.message or "max 1: off by " in word.report.message
        assert [entry.met for entry in word.report.constraints] == [False]
        assert phases(word.report) == [("two", "Succeeded", "Miss")]
        assert not (pod.claim / "out" / "manifest.json").exists()

    def test_a_warning_lets_it_be_published(self, pod: PodGround) -> None:
        self.gate(pod, constraints=[{"metric": "sizeOnDisk", "max": 1}], onViolation="Warn")

        word = pod.run("stage")

        assert (word.code, [entry.met for entry in word.report.constraints]) == (0, [False])
        assert "constraint NOT met: sizeOnDisk is " in word.out
        assert (pod.claim / "out" / "manifest.json").exists()


class TestItsLastWord:
    @pytest.mark.parametrize(
        ("end", "code", "reason"),
        [("input", 2, "InvalidModel"), ("again", 75, "Damaged"), ("crash", 1, "PassFailed")],
    )
    def test_each_kind_of_failure_has_its_exit_code_and_reason(
        self, pod: PodGround, end: str, code: int, reason: str
    ) -> None:
        pod.write(passes=[obey("one"), obey("two", end=end)], data=[])

        word = pod.run("stage")

        assert word.code == code
        assert (word.report.outcome, word.report.reason, word.report.exit_code) == ("Failed", reason, code)
        assert phases(word.report) == [("one", "Succeeded", "Miss"), ("two", "Failed", "Miss")]
        assert word.report.reason in word.out

    def test_code_that_breaks_is_told_with_the_end_of_its_traceback(self, pod: PodGround) -> None:
        pod.write(passes=[obey("one", end="crash")], data=[])

        word = pod.run("stage")

        assert "spec.passes[0].custom.options" in word.report.message
        assert 'raise RuntimeError("tensors of different sizes")' in word.report.message
        assert word.report.message.endswith("RuntimeError: tensors of different sizes")
        assert "Traceback" in word.err

    @pytest.mark.parametrize(
        ("end", "told"),
        [("exit", "obey failed: SystemExit: 2"), ("nothing", "spec.passes[0].custom.options: obey made nothing")],
    )
    def test_a_pass_that_ends_the_process_or_removes_its_folder_is_to_blame(
        self, pod: PodGround, end: str, told: str
    ) -> None:
        pod.write(passes=[obey("one", end=end)], data=[])

        word = pod.run("stage")

        assert (word.code, word.report.reason) == (1, "PassFailed")
        assert told in word.report.message

    def test_what_a_secret_gave_the_pod_is_not_told(self, pod: PodGround) -> None:
        pod.write(passes=[obey("one", end="crash")], data=[])

        word = pod.run(
            "stage", TEAM_TOKEN="different sizes", TEAM_TOKEN_FILE="RuntimeError", AWS_SECRET_ACCESS_KEY="one"
        )

        assert word.report.message.endswith("RuntimeError: tensors of [redacted]")
        assert "different sizes" not in word.message.decode()

    def test_a_manifest_that_is_wrong_is_told(self, pod: PodGround) -> None:
        pod.write(passes=[{"merg": {}}])

        word = pod.run("stage")

        assert (word.code, word.report.reason) == (2, "UnknownPass")
        assert word.report.message == "spec.passes[0]: no pass is called 'merg' (did you mean 'merge'?)"

    def test_a_manifest_with_a_value_out_of_bounds_is_told_by_its_path_and_not_by_the_mounted_files_lines(
        self, pod: PodGround
    ) -> None:
        pod.write(passes=[obey("one"), {"lora": {"r": 0, "trainData": "train"}}], checkpoint={"everySteps": 0})

        word = pod.run("stage")

        assert word.report.message.startswith("spec.checkpoint.everySteps: found 0, expected")

    def test_a_manifest_that_is_not_there_is_told(self, pod: PodGround) -> None:
        (pod.folder / "job" / "manifest.json").unlink()

        word = pod.run("stage")

        assert (word.code, word.report.reason) == (2, "InvalidManifest")

    def test_a_manifest_that_is_no_json_is_told(self, pod: PodGround) -> None:
        (pod.folder / "job" / "manifest.json").write_text('{"apiVersion": ')

        assert pod.run("stage").report.reason == "InvalidManifest"

    def test_a_broken_plugin_is_told(self, pod: PodGround) -> None:
        (pod.folder / "plugins" / "obey.py").write_text("import a_module_that_nobody_has\n")

        word = pod.run("stage")

        assert (word.code, word.report.reason) == (2, "UnknownPass")
        assert "a_module_that_nobody_has" in word.report.message

    def test_scratch_that_cannot_be_made_is_told(self, pod: PodGround) -> None:
        (pod.folder / "scratch").write_text("a file")

        word = pod.run("stage")

        assert (word.code, word.report.outcome) == (2, "Failed")
        assert "scratch" in word.report.message

    def test_many_words_in_any_alphabet_fit_into_the_termination_message(self, pod: PodGround) -> None:
        (pod.claim / "rows.jsonl").write_text(json.dumps({f"столбец-номер-{n:03}": "x" for n in range(400)}))
        columns = ["фраза"]
        data = {
            "name": "train",
            "source": {"volume": {"claimName": "team", "path": "rows.jsonl"}},
            "text": {"columns": columns},
        }
        pod.write(passes=[obey("one")], data=[data])

        word = pod.run("stage")

        assert word.code == 2
        assert "столбец-номер-000" in word.report.message
        assert len(word.message) <= TERMINATION_MESSAGE_BYTES

    def test_a_termination_message_that_cannot_be_written_changes_no_exit_code(self, pod: PodGround) -> None:
        process = pod.start("stage", MILLWRIGHT_TERMINATION_LOG=str(pod.folder / "nowhere" / "log"))

        word = pod.end(process)

        assert word.code == 0
        assert "the termination message cannot be written" in word.err

    def test_a_role_that_is_none_is_refused(self, pod: PodGround) -> None:
        word = pod.run("stag")

        assert word.code == 2
        assert "preflight, stage, report" in word.err


class TestStopping:
    def test_sigterm_during_the_work_ends_in_143_with_a_stopped_report(self, pod: PodGround) -> None:
        pod.write(passes=[obey("one"), obey("two", end="never")], data=[])
        with pod.started("stage") as process:
            pod.read(process, "waiting for a stop")
            process.send_signal(signal.SIGTERM)
            word = pod.end(process)

        assert word.code == 143
        assert (word.report.outcome, word.report.reason, word.report.exit_code) == ("Stopped", "Stopped", 143)
        assert phases(word.report) == [("one", "Succeeded", "Miss"), ("two", "Stopped", "Miss")]
        assert "SIGTERM: stopping, a checkpoint is saved first" in word.out

    def test_after_a_stop_the_next_pod_goes_on_from_what_is_done(self, pod: PodGround) -> None:
        pod.write(passes=[obey("one"), obey("two", end="never")], data=[])
        with pod.started("stage") as process:
            pod.read(process, "waiting for a stop")
            process.send_signal(signal.SIGTERM)
            pod.end(process)
        pod.write(passes=[obey("one"), obey("two")], data=[])

        word = pod.run("stage")

        assert phases(word.report) == [("one", "Succeeded", "Hit"), ("two", "Succeeded", "Miss")]

    def test_sigterm_before_the_work_begins_ends_at_once_with_a_report(self, pod: PodGround) -> None:
        fifo = pod.folder / "job" / "manifest.json"
        fifo.unlink()
        os.mkfifo(fifo)  # the stage waits for its manifest
        with pod.started("stage") as process, fifo.open("wb"):
            process.send_signal(signal.SIGTERM)
            word = pod.end(process)

        assert word.code == 143
        assert (word.report.outcome, word.report.exit_code) == ("Stopped", 143)


class TestRemoteCode:
    @pytest.fixture
    def trusting(self, pod: PodGround) -> PodGround:
        source = {"volume": {"claimName": "team", "path": "model"}, "trustRemoteCode": True}
        pod.write(model=source, passes=[obey("one")], data=[])
        return pod

    def test_code_of_a_model_runs_only_where_the_platform_allows_it(self, trusting: PodGround) -> None:
        word = trusting.run("stage")

        assert (word.code, word.report.reason) == (2, "RemoteCodeNotAllowed")
        assert "spec.model.trustRemoteCode" in word.report.message

    def test_where_the_platform_allows_it_the_manifest_decides(self, trusting: PodGround) -> None:
        assert trusting.run("stage", MILLWRIGHT_ALLOW_REMOTE_CODE="1").code == 0


class TestWhatItImports:
    def test_a_stage_that_needs_no_torch_imports_none(self, pod: PodGround, tmp_path: Path) -> None:
        log = ImportLog(tmp_path / "imports")

        word = pod.run("stage", imports=log)

        assert word.code == 0
        assert (
            log.packages & {"torch", "transformers", "datasets", "boto3", "kubernetes", "kopf", "typer", "rich"}
            == set()
        )


class TestPart:
    def test_without_a_word_all_steps_are_the_pods(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MILLWRIGHT_STEPS", raising=False)

        assert inside.part(3) == range(3)

    def test_steps_are_written_with_a_colon(self) -> None:
        assert inside.parse_steps("1:3") == range(1, 3)
