"""lmEval on a real model: the figures are those that lm-evaluation-harness finds with its own HFLM, in every format."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests import tiny
from tests.hub_server import Hub, Repo
from tests.importlog import ImportLog
from tests.pipeline.jobs import COMMAND, Mill, job
from tests.tablemodel import Room, examples_of

from millwright_api.v1alpha1 import Target
from millwright_runner.artifact import HF, HF_ADAPTER, ONNX_GENAI, Artifact
from millwright_runner.data.tokens import load_tokens
from millwright_runner.metrics import Measured
from millwright_runner.metrics.harness.shipped import path_of
from millwright_runner.metrics.lm_eval import LmEval
from millwright_runner.passes import StopFlag
from millwright_runner.passes.genai import Genai
from millwright_runner.subjects.opening import open_subject

TONES = ["joy", "sadness", "fear", "calm"]
COUNT = 40
PHRASES = tiny.PHRASES[:COUNT]

ECHO = {
    "output_type": "generate_until",
    "doc_to_text": "Text: {{phrase}}\nTone:",
    "doc_to_target": "echo",
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 8, "do_sample": False},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}
OWN_ECHO = {
    "outputType": "generate_until",
    "docToText": "Text: {{phrase}}\nTone:",
    "docToTarget": "echo",
    "maxGenToks": 8,
}
"""The same task for lm_eval and in a manifest: to say what column echo holds."""


@pytest.fixture(scope="module")
def hf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_model(tmp_path_factory.mktemp("harness") / "hf")


@pytest.fixture(scope="module")
def artifacts(hf: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """The model as it is, under an adapter that changes it, and as the genai pass writes it."""
    import peft
    from transformers import AutoModelForCausalLM

    base = Artifact(hf, HF, "")
    adapter, fp32 = tmp_path_factory.mktemp("adapter"), tmp_path_factory.mktemp("fp32")
    model = AutoModelForCausalLM.from_pretrained(hf)
    peft.get_peft_model(
        model, peft.LoraConfig(r=8, lora_alpha=64, target_modules="all-linear", init_lora_weights=False)
    ).save_pretrained(adapter)
    context: Any = SimpleNamespace(
        folder=fp32, scratch=fp32 / "scratch", target=Target(), trust_remote_code=False, stop=StopFlag(),
        tell=lambda message: None,
    )  # fmt: skip
    Genai(precision="fp32").run(base, context)
    return {
        HF: base,
        HF_ADAPTER: Artifact(adapter, HF_ADAPTER, "", base),
        ONNX_GENAI: Artifact(fp32, ONNX_GENAI, ""),
    }


@pytest.fixture(scope="module")
def rows(hf: Path) -> list[dict[str, Any]]:
    """Rows whose tone is any, and in every third the answer is what transformers alone writes: a text up to a line's end
    (echo), and the first token (next)."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(hf, dtype="float32"), AutoTokenizer.from_pretrained(hf)
    found = []
    for index, phrase in enumerate(PHRASES):
        batch = tokenizer(f"Text: {phrase}\nTone:", return_tensors="pt")
        made = model.generate(**batch, max_new_tokens=8, do_sample=False)[0, batch.input_ids.shape[1] :]
        echo, following = (tokenizer.decode(ids, skip_special_tokens=True) for ids in (made, made[:1]))
        other = {} if index % 3 == 0 else {"echo": "something else", "next": " else"}
        found.append(
            {"phrase": phrase, "tone": TONES[index % 4], "echo": echo.split("\n")[0], "next": following} | other
        )
    return found


@pytest.fixture(params=[HF, ONNX_GENAI])
def room(
    request: pytest.FixtureRequest,
    artifacts: dict[str, Artifact],
    rows: list[dict[str, Any]],
    hf: Path,
    tmp_path: Path,
) -> Iterator[Room]:
    yield from opened(artifacts[request.param], rows, hf, tmp_path)


def opened(artifact: Artifact, rows: list[dict[str, Any]], hf: Path, folder: Path) -> Iterator[Room]:
    """What the metric gets: a model in one format, and rows."""
    tokens = load_tokens(hf)
    text = next(key for key, value in rows[0].items() if isinstance(value, str))
    model: Any = open_subject(artifact, provider="CPUExecutionProvider", trust_remote_code=False)
    placed = [(f"rows.jsonl, line {number}", row) for number, row in enumerate(rows, 1)]
    examples = examples_of(folder, tokens, rows, columns=[text], template="{" + text + "}")
    yield Room(model, tokens, examples, rows=placed)
    model.close()


def measured(room: Room, **options: Any) -> Measured:
    return LmEval.model_validate(options).measure(room.model, room)


class Harness:
    """lm-evaluation-harness alone: its own model, its own reading of a file of rows."""

    def __init__(self, hf: Path, folder: Path, **model: Any) -> None:
        from lm_eval.models.huggingface import HFLM

        self.folder, self.model = folder, HFLM(pretrained=str(hf), device="cpu", dtype="float32", batch_size=8, **model)
        self.found: dict[str, dict[str, float]] = {}

    def __call__(self, rows: list[dict[str, Any]], *, fewshot: int = 0, **task: Any) -> dict[str, float]:
        """Returns the task's figures; asks once for each task."""
        key = json.dumps([rows, fewshot, task], default=str)
        if key not in self.found:
            self.found[key] = self._asked(rows, fewshot, task)
        return self.found[key]

    def _asked(self, rows: list[dict[str, Any]], fewshot: int, task: dict[str, Any]) -> dict[str, float]:
        from lm_eval.evaluator import evaluate
        from lm_eval.tasks import TaskManager

        file = self.folder / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        config = {
            "task": "reference",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(file)}, "cache_dir": str(self.folder / "cache")},
            "test_split": "test",
            "fewshot_split": "test",
            "num_fewshot": fewshot,
            **task,
        }
        loaded = TaskManager(include_defaults=False).load([config])
        for one in loaded["tasks"].values():
            one.set_fewshot_seed(1234)
        found: Any = evaluate(lm=self.model, task_dict=loaded, bootstrap_iters=1000)
        results: dict[str, float] = found["results"][config["task"]]
        return results


@pytest.fixture(scope="module")
def harness(hf: Path, tmp_path_factory: pytest.TempPathFactory) -> Harness:
    return Harness(hf, tmp_path_factory.mktemp("reference"))


class TestAgainstTheHarnessItself:
    @pytest.mark.parametrize("fewshot", [0, 2])
    @pytest.mark.parametrize("metric", ["acc", "acc_norm"])
    def test_a_choice_among_answers(
        self, room: Room, harness: Harness, rows: list[dict[str, Any]], metric: str, fewshot: int
    ) -> None:
        expected = harness(
            rows,
            fewshot=fewshot,
            output_type="multiple_choice",
            doc_to_text="Text: {{phrase}}\nTone:",
            doc_to_target="{{" + repr(TONES) + ".index(tone)}}",
            doc_to_choice=TONES,
            metric_list=[{"metric": metric, "aggregation": "mean", "higher_is_better": True}],
        )

        found = measured(
            room,
            metric=metric,
            numFewshot=fewshot,
            config={
                "outputType": "multiple_choice",
                "docToText": "Text: {{phrase}}\nTone:",
                "docToTarget": "tone",
                "docToChoice": TONES,
            },
        )

        assert 0 < found.value < 1, "the model is always right or never: nothing could differ"
        assert found.value == pytest.approx(expected[f"{metric},none"], abs=1e-4)
        assert found.details["standardError"] == pytest.approx(expected[f"{metric}_stderr,none"], abs=1e-4)
        assert found.n == COUNT

    def test_free_text(self, room: Room, harness: Harness, rows: list[dict[str, Any]]) -> None:
        found = measured(room, config=OWN_ECHO)

        assert found.value == pytest.approx(14 / COUNT)
        assert found.value == pytest.approx(harness(rows, **ECHO)["exact_match,none"], abs=1e-4)

    def test_whether_greedy_search_writes_the_answer(
        self, room: Room, harness: Harness, rows: list[dict[str, Any]]
    ) -> None:
        task = {
            "output_type": "loglikelihood",
            "doc_to_text": "Text: {{phrase}}\nTone:",
            "doc_to_target": "{{next}}",
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        }

        found = measured(
            room,
            config={
                "outputType": "loglikelihood",
                "docToText": "Text: {{phrase}}\nTone:",
                "docToTarget": "{{next}}",
                "targetDelimiter": "",
            },
        )

        assert 0 < found.value < 1
        assert found.value == pytest.approx(harness(rows, **task)["acc,none"], abs=1e-4)


def test_an_adapter_is_asked_with_its_base(
    artifacts: dict[str, Artifact], rows: list[dict[str, Any]], hf: Path, tmp_path: Path, harness: Harness
) -> None:
    alone = Harness(hf, tmp_path, peft=str(artifacts[HF_ADAPTER].folder))
    (room,) = opened(artifacts[HF_ADAPTER], rows, hf, tmp_path)

    found = measured(room, config=OWN_ECHO)

    assert found.value == pytest.approx(alone(rows, **ECHO)["exact_match,none"], abs=1e-4)
    assert found.value < harness(rows, **ECHO)["exact_match,none"], "the adapter changes nothing"


SCIENCE = [
    {
        "id": str(index),
        "question": f"What did they do: {phrase}?",
        "choices": {"text": TONES, "label": ["A", "B", "C", "D"]},
        "answerKey": "ABCD"[index * 7 % 4],
    }
    for index, phrase in enumerate(PHRASES)
]
"""Rows as the data set of arc_easy has them."""


class TestATaskThatComesWithTheHarness:
    @pytest.mark.parametrize("fewshot", [0, 3])
    def test_it_is_asked_on_the_jobs_data(
        self, artifacts: dict[str, Artifact], hf: Path, tmp_path: Path, harness: Harness, fewshot: int
    ) -> None:
        from lm_eval.tasks._yaml_loader import load_yaml

        (room,) = opened(artifacts[HF], SCIENCE, hf, tmp_path)
        shipped = load_yaml(path_of("arc_easy"))
        own = {"test_split": "test", "fewshot_split": "test", "training_split": None, "validation_split": None}
        kept = {key: value for key, value in shipped.items() if key not in ("tag", "dataset_path", "dataset_name")}

        found = measured(room, task="arc_easy", numFewshot=fewshot, metric="acc_norm")

        expected = harness(SCIENCE, fewshot=fewshot, **(kept | own))
        assert 0 < found.value < 1
        assert found.value == pytest.approx(expected["acc_norm,none"], abs=1e-4)
        assert found.n == COUNT


class TestByTheCommandLine:
    def manifest(self, mill: Mill, hf: Path) -> dict[str, Any]:
        """A job that measures a task of its own, and one that reads its data at the hub."""
        data = mill.folder / "rows.jsonl"
        data.write_text("".join(json.dumps({"phrase": one, "tone": TONES[len(one) % 4]}) + "\n" for one in PHRASES))
        own = {"outputType": "multiple_choice", "docToText": "phrase", "docToTarget": "tone", "docToChoice": TONES}
        metrics = [{"name": "tones", "lmEval": {"config": own}}, {"name": "arc", "lmEval": {"task": "arc_easy"}}]
        evaluation = {"data": "train", "metrics": metrics, "constraints": [{"metric": "tones", "min": 0.01}]}
        return job(hf, data, mill.folder / "out", {"genai": {"precision": "int4"}}, evaluation=evaluation)

    def test_a_job_is_measured_and_judged(self, mill: Mill, hf: Path) -> None:
        hub = Hub({"datasets/allenai/ai2_arc": Repo(arc_files())})
        try:
            ended = mill.run(
                self.manifest(mill, hf), env={"HF_ENDPOINT": hub.url, "HF_HOME": str(mill.folder / "hf")}, fresh=True
            )
        finally:
            hub.stop()

        assert ended.code == 0, ended.err
        (measured,) = ended.report["evaluation"]
        assert [(one["name"], one["n"], one["unit"]) for one in measured["metrics"]] == [
            ("tones", COUNT, "share"),
            ("arc", len(SCIENCE), "share"),
        ]
        assert [one["met"] for one in ended.report["constraints"]] == [True]
        assert "it/s" not in ended.err.partition("measuring tones")[2], "the harness' bars are on the screen"

    def test_a_plan_imports_nothing_of_the_harness(self, mill: Mill, hf: Path, tmp_path: Path) -> None:
        log = ImportLog(tmp_path / "imports")
        command = [*COMMAND, "plan", str(mill.write(self.manifest(mill, hf)))]

        done = subprocess.run(
            command,
            env=mill.environment | log.environment,
            cwd=mill.folder,
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.returncode == 0, done.stderr
        assert log.packages & {"lm_eval", "datasets", "numpy", "torch", "pandas"} == set()


def arc_files() -> dict[str, bytes]:
    """The files of arc_easy's data set as the hub has them."""
    import pyarrow
    import pyarrow.parquet

    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(SCIENCE), buffer)
    splits = ("train", "validation", "test")
    listed = "".join(f"  - split: {split}\n    path: ARC-Easy/{split}-*\n" for split in splits)
    card = f"---\nconfigs:\n- config_name: ARC-Easy\n  data_files:\n{listed}---\n"
    return {f"ARC-Easy/{split}-0.parquet": buffer.getvalue() for split in splits} | {"README.md": card.encode()}
