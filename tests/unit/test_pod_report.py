"""The report's pod: what a lost pod had said is read again from the output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.conftest import S3Bucket
from tests.importlog import ImportLog
from tests.podground import PodGround, obey


@pytest.fixture
def pod(tmp_path: Path) -> PodGround:
    ground = PodGround.make(tmp_path)
    ground.write(passes=[obey("one")], data=[])
    return ground


def sized(pod: PodGround) -> None:
    """Asks for the size of the model before and after, and for a bound that it keeps to."""
    evaluation = {
        "after": ["input", "last"],
        "metrics": [{"sizeOnDisk": {}}],
        "constraints": [{"metric": "sizeOnDisk", "min": 1}],
    }
    pod.write(passes=[obey("one")], data=[], evaluation=evaluation)


class TestReport:
    def test_it_says_the_artifact_and_the_fingerprint_again(self, pod: PodGround) -> None:
        lost = pod.run("stage").report

        word = pod.run("report")

        assert word.code == 0
        assert (word.report.outcome, word.report.reason) == ("Succeeded", "Succeeded")
        assert word.report.artifact == lost.artifact
        assert word.report.fingerprint == lost.fingerprint

    def test_it_reads_from_s3_as_well_and_imports_nothing_heavy(
        self, pod: PodGround, s3: S3Bucket, tmp_path: Path
    ) -> None:
        pod.write(passes=[obey("one")], data=[], output={"s3": {"uri": f"{s3.uri}models/"}})
        lost = pod.run("stage").report
        log = ImportLog(tmp_path / "imports")

        word = pod.run("report", imports=log)

        assert word.report.artifact == lost.artifact
        assert "boto3" in log.packages
        assert log.packages & {"torch", "transformers", "datasets", "tokenizers", "huggingface_hub", "rich"} == set()

    def test_it_says_again_what_was_measured_and_judged(self, pod: PodGround) -> None:
        sized(pod)
        lost = pod.run("stage").report

        word = pod.run("report")

        assert [entry.after for entry in lost.evaluation] == ["input", "one"]
        assert word.report.evaluation == lost.evaluation
        assert word.report.constraints == lost.constraints

    @pytest.mark.parametrize(
        "change",
        [{"job": "another"}, {"fingerprint": "0" * 64}, {"evaluation": "torn"}, None],
        ids=["another job's", "another model's", "torn", "no JSON"],
    )
    def test_what_is_no_record_of_this_run_is_not_told(self, change: dict[str, str] | None, pod: PodGround) -> None:
        sized(pod)
        pod.run("stage")
        record = pod.claim / "out" / "report.json"
        record.write_text("{" if change is None else json.dumps(json.loads(record.read_text()) | change))

        word = pod.run("report")

        assert (word.code, word.report.evaluation, word.report.constraints) == (0, [], [])

    def test_an_empty_output_is_a_result_that_is_missing(self, pod: PodGround) -> None:
        (pod.claim / "out").mkdir()

        word = pod.run("report")

        assert (word.code, word.report.outcome, word.report.reason) == (2, "Failed", "ResultMissing")
        assert "volume://team/out/" in word.report.message

    def test_another_recipes_result_is_not_told_as_this_jobs(self, pod: PodGround) -> None:
        pod.run("stage")
        pod.write(passes=[obey("one", steps=9)], data=[])

        word = pod.run("report")

        assert word.report.reason == "ResultMissing"
        assert "of emotion" in word.report.message

    def test_where_the_plugin_is_not_installed_the_jobs_name_decides(self, pod: PodGround) -> None:
        pod.run("stage")

        word = pod.run("report", PYTHONPATH="")

        assert word.code == 0
        assert word.report.artifact is not None
