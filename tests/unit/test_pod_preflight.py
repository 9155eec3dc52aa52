"""The preflight: what it finds, with paths in the manifest; what it tells; what it reads and imports. Real S3 and hub."""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cliground import CliGround
from tests.conftest import S3Bucket
from tests.hub_server import Hub, Repo
from tests.importlog import ImportLog
from tests.podground import DATA, LORA, ROW, PodGround, Word, obey
from tests.strace import bytes_read, strace
from tests.tiny import TENSORS, make_model_files

HEAVY = {
    "azure",
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "datasets",
    "pandas",
    "onnxruntime",
    "onnx",
    "typer",
    "rich",
}
MIB, GIB = 2**20, 2**30


@pytest.fixture
def pod(tmp_path: Path) -> PodGround:
    return PodGround.make(tmp_path)


@pytest.fixture
def hub() -> Iterator[Hub]:
    served = Hub()
    yield served
    served.stop()


def limits(*stages: dict[str, Any]) -> str:
    return json.dumps(list(stages))


def data(**source: Any) -> dict[str, Any]:
    return {**DATA, "source": source}


def refused(word: Word, reason: str, *words: str) -> None:
    assert (word.code, word.report.outcome, word.report.reason) == (2, "Failed", reason), word.out + word.err
    for expected in words:
        assert expected in word.report.message


class TestAGoodJob:
    def test_it_says_in_one_line_what_the_job_is_expected_to_need(self, pod: PodGround) -> None:
        word = pod.run("preflight", MILLWRIGHT_LIMITS=limits({"steps": "0:3", "memory": 4 * GIB}))

        assert word.code == 0
        assert word.report.outcome == "Succeeded"
        assert word.report.message == "needs about 513 MiB of memory (limit 4.0 GiB), 1 MiB of disk"

    def test_of_several_stages_it_says_it_for_each(self, pod: PodGround) -> None:
        word = pod.run("preflight", MILLWRIGHT_LIMITS=limits({"steps": "0:2"}, {"steps": "2:3", "memory": GIB}))

        first, second = word.report.message.split("; ")
        assert first.startswith("stage 1 needs about 513 MiB of memory, ")
        assert second.startswith("stage 2 needs about 513 MiB of memory (limit 1.0 GiB), ")

    def test_nothing_is_left_in_the_output(self, pod: PodGround) -> None:
        pod.run("preflight")

        assert sorted(path.name for path in pod.claim.iterdir()) == ["model", "rows.jsonl"]

    def test_nothing_heavy_is_imported(self, pod: PodGround, tmp_path: Path) -> None:
        log = ImportLog(tmp_path / "imports")

        word = pod.run("preflight", imports=log)

        assert word.code == 0
        assert "tokenizers" in log.packages  # the watch sees what is imported
        assert log.packages & (HEAVY | {"boto3", "huggingface_hub", "pyarrow"}) == set()

    def test_a_plugin_is_looked_at_where_the_image_has_it(self, pod: PodGround) -> None:
        pod.write(passes=[obey("one")])

        assert pod.run("preflight").code == 0


class TestWhatIsWrongWithTheManifest:
    def test_a_pass_that_is_none(self, pod: PodGround) -> None:
        pod.write(passes=[LORA, {"merg": {}}])

        refused(pod.run("preflight"), "UnknownPass", "spec.passes[1]", "did you mean 'merge'?")

    def test_an_option_of_a_plugin(self, pod: PodGround) -> None:
        pod.write(passes=[obey("one", stepps=3)])

        refused(
            pod.run("preflight"), "InvalidManifest", "spec.passes[0].custom.options.stepps", "did you mean 'steps'?"
        )

    def test_a_chain_that_does_not_fit(self, pod: PodGround) -> None:
        pod.write(passes=[LORA, {"genai": {}}])

        refused(pod.run("preflight"), "ChainMismatch", "spec.passes[1]", "merge")

    def test_a_template_with_an_unknown_column(self, pod: PodGround) -> None:
        pod.write(data=[{**DATA, "text": {"columns": ["phrase"], "template": "{frase}"}}])

        refused(pod.run("preflight"), "InvalidManifest", "spec.data[0].text.template", "frase")

    @pytest.mark.parametrize("path", ["model", "./model"])
    def test_a_relative_path_is_no_place_in_a_pod(self, pod: PodGround, path: str) -> None:
        pod.write(model={"path": path})

        refused(pod.run("preflight"), "InvalidManifest", "spec.model.path", "volume")

    @pytest.mark.parametrize("path", ["out", "/scratch/out"])
    def test_an_output_that_is_gone_with_the_pod(self, pod: PodGround, path: str) -> None:
        pod.write(output={"path": path})

        refused(pod.run("preflight"), "InvalidManifest", "spec.output.path", "volume")

    def test_a_result_that_has_to_be_signed_without_a_key(self, pod: PodGround) -> None:
        pod.write(output={"volume": {"claimName": "team", "path": "out"}, "sign": True})

        refused(pod.run("preflight"), "InvalidKey", "spec.output.sign", "MILLWRIGHT_SIGNING_KEY", "spec.credentials")

    def test_a_key_in_the_environment_lets_it_be_signed(self, pod: PodGround) -> None:
        pod.write(output={"volume": {"claimName": "team", "path": "out"}, "sign": True})

        assert pod.run("preflight", MILLWRIGHT_SIGNING_KEY="a key, which only a stage reads").code == 0

    def test_remote_code_that_the_platform_does_not_run(self, pod: PodGround) -> None:
        pod.write(model={"volume": {"claimName": "team", "path": "model"}, "trustRemoteCode": True})

        refused(pod.run("preflight"), "RemoteCodeNotAllowed", "spec.model.trustRemoteCode")

    def test_all_problems_are_told_at_once_each_with_its_path(self, pod: PodGround) -> None:
        pod.write(
            model={"volume": {"claimName": "team", "path": "modle"}},
            data=[data(volume={"claimName": "team", "path": "rows.csv"})],
            output={"volume": {"claimName": "nobodys"}},
        )

        word = pod.run("preflight")

        refused(word, "ModelNotFound")
        paths = [line.split(": ")[0] for line in word.report.message.splitlines()]
        assert paths == ["spec.model.volume", "spec.data[0].source.volume", "spec.output.volume"]
        assert "did you mean 'model'?" in word.report.message


COUNTING = '''\
"""A metric of an outsider's."""

from typing import ClassVar

from pydantic import Field

from millwright_runner.metrics import Measured, Metric


class Counting(Metric):
    """How many files there are."""

    name: ClassVar[str] = "counting"
    unit: ClassVar[str] = "files"
    higher_is_better: ClassVar[bool] = False
    asks: ClassVar[bool] = False

    least: int = Field(default=0, ge=0, description="Files that are not counted. Default: 0.")

    def measure(self, model, context):
        return Measured(float(len(list(model.artifact.folder.iterdir()))))
'''


class TestEvaluation:
    """What is measured is looked at before anything costs."""

    def measuring(self, pod: PodGround, *metrics: dict[str, Any], **rest: Any) -> None:
        text = {**DATA["text"], "template": "{phrase}: ", "answer": "tone"}
        holdout = {**DATA, "name": "holdout", "text": text}
        pod.write(data=[DATA, holdout], evaluation={"metrics": list(metrics), **rest})

    def test_a_good_one_passes(self, pod: PodGround) -> None:
        accuracy = {"name": "accuracy", "exactMatch": {"labels": ["joy", "sad"]}}
        bound = {"metric": "accuracy", "maxDrop": 0.02, "relativeTo": "previous"}
        self.measuring(pod, accuracy, {"sizeOnDisk": {}}, data="holdout", constraints=[bound])

        word = pod.run("preflight")

        assert word.code == 0, word.report.message

    def test_it_imports_nothing_heavy_either(self, pod: PodGround, tmp_path: Path) -> None:
        log = ImportLog(tmp_path / "imports")
        self.measuring(
            pod, {"exactMatch": {}}, {"perplexity": {}}, {"tokenLatency": {}}, {"peakMemory": {}}, data="holdout"
        )

        word = pod.run("preflight", imports=log)

        assert word.code == 0, word.report.message
        assert log.packages & (HEAVY | {"numpy", "boto3"}) == set()

    def test_an_option_of_a_metric(self, pod: PodGround) -> None:
        self.measuring(pod, {"sizeOnDisk": {}}, {"exactMatch": {"lables": ["joy"]}}, data="holdout")

        refused(
            pod.run("preflight"),
            "InvalidManifest",
            "spec.evaluation.metrics[1].exactMatch.lables",
            "did you mean 'labels'?",
        )

    def test_a_metric_without_the_answers_that_it_compares(self, pod: PodGround) -> None:
        self.measuring(pod, {"exactMatch": {}}, data="train")

        refused(pod.run("preflight"), "InvalidManifest", "spec.data[0].text.answer", "one of phrase, tone")

    def test_what_the_tokenizer_shows(self, pod: PodGround) -> None:
        self.measuring(pod, {"name": "accuracy", "exactMatch": {"labels": ["joy", "joy "]}}, data="holdout")

        refused(
            pod.run("preflight"), "InvalidManifest", "spec.evaluation.metrics[0].exactMatch.labels", "the same answer"
        )

    def test_several_problems_are_told_together(self, pod: PodGround) -> None:
        self.measuring(pod, {"sizeOnDisk": {"files": 1}})
        pod.write(**{**pod.spec, "model": {"volume": {"claimName": "team", "path": "modle"}}})

        refused(
            pod.run("preflight"), "ModelNotFound", "spec.model.volume", "spec.evaluation.metrics[0].sizeOnDisk.files"
        )

    def test_a_plug_ins_metric_is_looked_at_where_the_image_has_it(self, pod: PodGround) -> None:
        CliGround(pod.folder).install("counting", "counting:Counting", COUNTING, group="millwright.metrics")
        self.measuring(pod, {"custom": {"metric": "counting", "options": {"least": 1}}})

        assert pod.run("preflight").code == 0

    def test_and_its_options_too(self, pod: PodGround) -> None:
        CliGround(pod.folder).install("counting", "counting:Counting", COUNTING, group="millwright.metrics")
        self.measuring(pod, {"custom": {"metric": "counting", "options": {"lest": 1}}})

        refused(
            pod.run("preflight"),
            "InvalidManifest",
            "spec.evaluation.metrics[0].custom.options.lest",
            "did you mean 'least'?",
        )

    def test_a_metric_that_no_image_has(self, pod: PodGround) -> None:
        self.measuring(pod, {"custom": {"metric": "counting"}})

        refused(pod.run("preflight"), "UnknownMetric", "spec.evaluation.metrics[0]", "no metric is called 'counting'")


class TestModels:
    def test_a_model_that_is_not_there(self, pod: PodGround) -> None:
        pod.write(model={"volume": {"claimName": "team", "path": "modle"}})

        refused(
            pod.run("preflight"), "ModelNotFound", "spec.model.volume: volume://team/modle", "did you mean 'model'?"
        )

    def test_a_torn_file_of_weights(self, pod: PodGround) -> None:
        weights = pod.claim / "model" / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])

        refused(pod.run("preflight"), "InvalidModel", "spec.model.volume", "torn safetensors file")

    def test_an_option_that_does_not_fit_the_model(self, pod: PodGround) -> None:
        lora = {"lora": {"trainData": "train", "targetModules": ["q_proj"]}}
        pod.write(passes=[lora, {"merge": {}}])

        refused(pod.run("preflight"), "InvalidModel", "spec.passes[0].lora.targetModules", "qkv_proj")

    def test_a_private_repository_of_the_hub_names_the_way_in(self, pod: PodGround, hub: Hub) -> None:
        hub.repos["models/team/secret"] = Repo(model_files(pod), private=True)
        pod.write(model={"huggingFace": {"repo": "team/secret"}})

        word = pod.run("preflight", HF_ENDPOINT=hub.url, HF_HOME=str(pod.folder / "hf"))

        refused(word, "ModelNotFound", "spec.model.huggingFace: hf://models/team/secret", "HF_TOKEN")

    def test_a_hub_that_is_silent_is_not_waited_for_without_end(self, pod: PodGround) -> None:
        pod.write(model={"huggingFace": {"repo": "team/phi"}})
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"

            word = pod.run("preflight", HF_ENDPOINT=url, HF_HOME=str(pod.folder / "hf"))

        refused(word, "StoreUnreachable", "spec.model.huggingFace: hf://models/team/phi", "timed out")

    def test_of_a_model_on_the_hub_no_weights_are_fetched(self, pod: PodGround, hub: Hub) -> None:
        hub.repos["models/team/phi"] = Repo(model_files(pod))
        pod.write(model={"huggingFace": {"repo": "team/phi"}})

        word = pod.run("preflight", HF_ENDPOINT=hub.url, HF_HOME=str(pod.folder / "hf"))

        assert word.code == 0, word.out
        weights = [asked for asked in hub.asked if "model.safetensors" in asked]
        assert weights
        assert all("bytes=0-" in asked for asked in weights)

    def test_of_a_large_model_in_a_volume_only_the_headers_are_read(self, pod: PodGround) -> None:
        size = write_large_model(pod.claim / "model" / "model.safetensors", parameters=40_000_000)

        read = preflight_reads(pod)

        assert size > 150_000_000
        assert read["model.safetensors"] < MIB


class TestData:
    def test_a_column_that_is_not_there(self, pod: PodGround) -> None:
        pod.write(data=[{**DATA, "text": {"columns": ["phrasee"]}}])

        word = pod.run("preflight")

        refused(
            word,
            "InvalidData",
            "spec.data[0].source.volume: volume://team/rows.jsonl, line 1",
            "did you mean 'phrase'?",
        )

    def test_a_file_that_is_not_there(self, pod: PodGround) -> None:
        pod.write(data=[data(volume={"claimName": "team", "path": "row.jsonl"})])

        refused(pod.run("preflight"), "DataNotFound", "spec.data[0].source.volume", "rows.jsonl")

    def test_a_conversation_that_the_models_template_refuses(self, pod: PodGround) -> None:
        settings = pod.claim / "model" / "tokenizer_config.json"
        template = "{{ raise_exception('roles must alternate') }}"
        settings.write_text(json.dumps(json.loads(settings.read_text()) | {"chat_template": template}))
        turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello!"}]
        (pod.claim / "chat.jsonl").write_text(json.dumps({"messages": turns}) + "\n")
        pod.write(
            data=[{"name": "train", "source": {"volume": {"claimName": "team", "path": "chat.jsonl"}}, "chat": {}}]
        )

        refused(pod.run("preflight"), "InvalidData", "spec.data[0].chat", "roles must alternate")

    def test_of_a_large_file_in_a_volume_only_the_first_rows_are_read(self, pod: PodGround) -> None:
        line = (json.dumps(ROW) + "\n").encode()
        with (pod.claim / "rows.jsonl").open("wb") as file:
            file.write(line * 20)
            file.truncate(200_000_000)  # a hole that no reader reaches

        assert preflight_reads(pod)["rows.jsonl"] < MIB

    def test_of_a_large_file_in_s3_only_the_first_rows_are_fetched(self, pod: PodGround, s3: S3Bucket) -> None:
        line = (json.dumps(ROW) + "\n").encode()
        with (s3.folder / "rows.jsonl").open("wb") as file:
            file.write(line * 5000)
            file.truncate(100_000_000)
        pod.write(data=[data(s3={"uri": f"{s3.uri}rows.jsonl"})])

        word = pod.run("preflight", MILLWRIGHT_LIMITS=limits({"steps": "0:3"}))

        assert word.code == 0, word.out
        assert not any(path.stat().st_size > MIB for path in (pod.folder / "scratch").rglob("*") if path.is_file())

    def test_a_column_that_a_large_file_in_s3_has_not(self, pod: PodGround, s3: S3Bucket) -> None:
        with (s3.folder / "rows.jsonl").open("wb") as file:
            file.write((json.dumps({"text": "x"}) + "\n").encode() * 20)
            file.truncate(100_000_000)
        pod.write(data=[data(s3={"uri": f"{s3.uri}rows.jsonl"})])

        refused(pod.run("preflight"), "InvalidData", f"spec.data[0].source.s3: {s3.uri}rows.jsonl, line 1", "phrase")

    def test_an_object_that_is_not_there_suggests_its_neighbours(self, pod: PodGround, s3: S3Bucket) -> None:
        (s3.folder / "rows.jsonl").write_text(json.dumps(ROW))
        pod.write(data=[data(s3={"uri": f"{s3.uri}row.jsonl"})])

        refused(pod.run("preflight"), "DataNotFound", "spec.data[0].source.s3", "rows.jsonl")


class TestOutputs:
    def test_a_bucket_that_is_not_there(self, pod: PodGround, s3: S3Bucket) -> None:
        pod.write(output={"s3": {"uri": "s3://no-such-bucket/x/"}})

        refused(pod.run("preflight"), "StoreNotFound", "spec.output.s3", "no-such-bucket")

    def test_wrong_credentials(self, pod: PodGround, s3: S3Bucket) -> None:
        pod.write(output={"s3": {"uri": f"{s3.uri}x/"}})

        word = pod.run("preflight", AWS_SECRET_ACCESS_KEY="wrong")

        refused(word, "AccessDenied", "spec.output.s3", "AWS_ACCESS_KEY_ID")
        assert "wrong" not in word.report.message

    def test_no_credentials(self, pod: PodGround, s3: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        pod.write(output={"s3": {"uri": f"{s3.uri}x/"}})

        refused(pod.run("preflight"), "AccessDenied", "spec.output.s3", "credentials")

    def test_writing_to_s3_is_tried_and_nothing_left(self, pod: PodGround, s3: S3Bucket) -> None:
        pod.write(output={"s3": {"uri": f"{s3.uri}models/x/"}})

        word = pod.run("preflight")

        assert word.code == 0, word.out
        assert [path for path in s3.folder.rglob("*") if path.is_file()] == []

    def test_an_output_that_may_not_be_written_to(self, pod: PodGround) -> None:
        (pod.claim / "out").write_text("a file")

        refused(pod.run("preflight"), "StoreNotFound", "spec.output.volume")

    def test_the_same_recipe_may_be_there_already(self, pod: PodGround) -> None:
        pod.write(passes=[obey("one")])
        assert pod.run("stage").code == 0

        assert pod.run("preflight").code == 0

    @pytest.mark.parametrize(
        ("change", "differs"),
        [
            ({"passes": [obey("one", steps=7)]}, "passes differ"),
            ({"passes": [obey("one"), obey("two")]}, "passes differ"),
            ({"model": {"volume": {"claimName": "team", "path": "other"}}}, "model differ"),
        ],
        ids=["an option", "a step more", "another model"],
    )
    def test_another_recipes_result_is_refused_before_anything_costs(
        self, pod: PodGround, change: dict[str, Any], differs: str
    ) -> None:
        make_model_files(pod.claim / "other", TENSORS, rope_theta=5000.0)
        pod.write(passes=[obey("one")])
        assert pod.run("stage").code == 0
        pod.write(**{"passes": [obey("one")], **change})

        refused(pod.run("preflight"), "OutputExists", "spec.output.volume: volume://team/out/", differs, "replace")

    def test_another_recipes_result_may_be_replaced_when_the_manifest_says_so(self, pod: PodGround) -> None:
        pod.write(passes=[obey("one")])
        assert pod.run("stage").code == 0
        output = {"volume": {"claimName": "team", "path": "out"}, "replace": True}
        pod.write(passes=[obey("one", steps=7)], output=output)

        assert pod.run("preflight").code == 0


class TestMemory:
    def test_more_memory_than_the_limit_is_refused_with_both_figures(self, pod: PodGround) -> None:
        word = pod.run("preflight", MILLWRIGHT_LIMITS=limits({"steps": "0:2"}, {"steps": "2:3", "memory": 100 * MIB}))

        refused(word, "MemoryInsufficient", "spec.passes[2]: genai needs about 513 MiB", "the limit is 100 MiB")

    def test_on_a_gpu_the_models_memory_counts_against_the_gpu(self, pod: PodGround) -> None:
        write_large_model(pod.claim / "model" / "model.safetensors", parameters=40_000_000)
        stage = {"steps": "0:1", "memory": GIB // 2, "accelerators": 1, "accelerator": 50 * MIB}
        pod.write(passes=[LORA])

        word = pod.run("preflight", MILLWRIGHT_LIMITS=limits(stage))

        refused(word, "GPUMemoryInsufficient", "spec.passes[0]: lora needs about 77 MiB", "the GPU has 50 MiB", "qlora")

    def test_a_gpu_that_is_large_enough_leaves_the_host_little_to_hold(self, pod: PodGround) -> None:
        write_large_model(pod.claim / "model" / "model.safetensors", parameters=40_000_000)
        stage = {"steps": "0:1", "memory": GIB // 2, "accelerators": 1, "accelerator": GIB}
        pod.write(passes=[LORA])

        word = pod.run("preflight", MILLWRIGHT_LIMITS=limits(stage))

        assert word.code == 0, word.out
        assert "512 MiB of memory (limit 512 MiB)" in word.report.message
        assert "of GPU memory (limit 1.0 GiB)" in word.report.message

    def test_more_disk_than_the_limit_is_refused_before_an_eviction_would_tell(self, pod: PodGround) -> None:
        write_large_model(pod.claim / "model" / "model.safetensors", parameters=40_000_000)
        stage = {"steps": "0:3", "ephemeralStorage": 100 * MIB}

        refused(pod.run("preflight", MILLWRIGHT_LIMITS=limits(stage)), "NoSpaceLeft", "of disk", "the limit is 100 MiB")


def model_files(pod: PodGround) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (pod.claim / "model").iterdir()}


def write_large_model(file: Path, parameters: int) -> int:
    """Writes a whole Phi-3 of one layer with a large head, its zeros a hole in the file; returns its size in bytes."""
    tensors = {**TENSORS, "lm_head.weight": (parameters // 64, 64)}
    header, at = {}, 0
    for name, (first, *rest) in tensors.items():
        size = 4 * first * (rest[0] if rest else 1)
        header[name] = {"dtype": "F32", "shape": [first, *rest], "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        stream.truncate(8 + len(text) + at)
    return 8 + len(text) + at


def preflight_reads(pod: PodGround) -> dict[str, int]:
    """Runs a preflight that succeeds; returns the bytes that it read of each file."""
    log = pod.folder / "strace"
    done = strace(
        "read,readv,pread64",
        log,
        [sys.executable, "-m", "millwright_runner.pod", "preflight"],
        pod.environment,
        pod.folder,
    )
    assert done.returncode == 0, done.stdout
    return bytes_read(log)
