"""Gates on real models: a good one is published with its figures, a broken one is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests import tiny
from tests.pipeline.jobs import Here, Mill, job, lora

from millwright_api.errors import ConstraintsNotMet
from millwright_api.report import EvaluationReport, MetricReport
from millwright_runner import catalog
from millwright_runner.artifact import ONNX_GENAI, Artifact
from millwright_runner.catalog import Catalog
from millwright_runner.passes import Context, Pass

TONES = {"laughed about": "joy", "wept over": "sad", "ran away from": "fear", "could not believe": "surprise"}
INT4 = {"genai": {"precision": "int4"}}
LEARNS = {"metric": "perplexity", "minImprovement": 100}
KEEPS = {"metric": "perplexity", "maxDropPercent": 50, "relativeTo": "previous"}


class Wreck(Pass):
    """Multiplies the scales of all int4 weights, as a quantizer with a bug would."""

    name: ClassVar[str] = "wreck"
    consumes: ClassVar[frozenset[str]] = frozenset({ONNX_GENAI})
    produces: ClassVar[str] = ONNX_GENAI

    def run(self, artifact: Artifact, context: Context) -> None:
        import onnx
        from onnx import numpy_helper

        for path in artifact.folder.iterdir():
            if not path.name.startswith("model.onnx"):
                (context.folder / path.name).write_bytes(path.read_bytes())
        model = onnx.load(str(artifact.folder / "model.onnx"))
        scales = [t for t in model.graph.initializer if "scale" in t.name.lower()]
        for tensor in scales:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 16, tensor.name))
        context.metrics["scales"] = len(scales)
        onnx.save(model, str(context.folder / "model.onnx"), save_as_external_data=True, location="model.onnx.data")


class Entry:
    """The entry point of a package with that pass."""

    value = "outside:Wreck"

    def load(self) -> type[Pass]:
        return Wreck


@pytest.fixture
def with_wreck(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Registers the pass, as an installed package would."""
    found = catalog._entry_points
    passes: dict[str, Any] = {**found("millwright.passes"), "wreck": Entry()}
    monkeypatch.setattr(catalog, "_entry_points", lambda group: passes if "passes" in group else found(group))
    Catalog.get.cache_clear()
    yield
    Catalog.get.cache_clear()


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Phrases whose verb says the tone: to train on, and to measure on."""
    folder = tmp_path_factory.mktemp("tones")
    known = [(phrase, tone) for phrase in tiny.PHRASES for verb, tone in TONES.items() if verb in phrase]
    for name, part in (("train.jsonl", known[::2]), ("test.jsonl", known[1::6])):
        lines = (json.dumps({"phrase": phrase, "tone": tone}) + "\n" for phrase, tone in part)
        (folder / name).write_text("".join(lines))
    return folder / "train.jsonl", folder / "test.jsonl"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What was trained and measured once is so for all tests of this module."""
    return tmp_path_factory.mktemp("cache")


def gated(
    model: Path,
    tones: tuple[Path, Path],
    output: str,
    *after: dict[str, Any],
    constraints: list[dict[str, Any]],
    rate: float = 1e-2,
) -> dict[str, Any]:
    """The recipe with an evaluation on rows that were not trained on."""
    train, test = tones
    training = {"learningRate": rate, "maxSteps": 12, "gradientAccumulationSteps": 1}
    tune = lora(r=4, modulesToSave=["lm_head", "embed_tokens"], training=training)
    evaluation = {
        "data": "test",
        "after": ["input", "last"],
        "metrics": [
            {"exactMatch": {"labels": list(TONES.values())}},
            {"perplexity": {"of": "answer"}},
            {"sizeOnDisk": {}},
        ],
        "constraints": constraints,
    }
    manifest = job(model, train, output, tune, {"merge": {}}, *(after or (INT4,)), evaluation=evaluation)
    text = manifest["spec"]["data"][0]["text"] | {"lossOn": "answer"}
    manifest["spec"]["data"] = [
        {"name": name, "source": {"path": str(path)}, "text": text} for name, path in (("train", train), ("test", test))
    ]
    return manifest


def by_name(report: EvaluationReport) -> dict[str, MetricReport]:
    return {metric.name: metric for metric in report.metrics}


class TestGates:
    def test_the_recipe_is_published_with_figures_of_before_and_after(
        self, phi3: Path, tones: tuple[Path, Path], cache: Path, here: Here, tmp_path: Path
    ) -> None:
        smaller = {"metric": "sizeOnDisk", "maxDropPercent": 0}

        report = here.run(gated(phi3, tones, "out", constraints=[LEARNS, KEEPS, smaller]), cache)

        before, previous, after = map(by_name, report.evaluation)
        assert [entry.after for entry in report.evaluation] == ["input", "merge", "genai"]
        assert report.artifact is not None
        assert [entry.met for entry in report.constraints] == [True] * 3
        assert after["sizeOnDisk"].value == report.artifact.bytes
        assert (after["exactMatch"].n, before["exactMatch"].n) == (20, 20)
        assert after["perplexity"].value == pytest.approx(previous["perplexity"].value, rel=0.2)
        samples = json.loads((tmp_path / "out" / "report.json").read_text())["measurements"]["genai"]["exactMatch"]
        assert {sample["answer"] for sample in samples["samples"]} <= set(TONES.values())

    def test_a_learning_rate_that_diverges_is_not_published(
        self, phi3: Path, tones: tuple[Path, Path], mill: Mill, tmp_path: Path
    ) -> None:
        done = mill.run(gated(phi3, tones, "out", constraints=[LEARNS], rate=1.0))

        assert (done.code, done.report["reason"]) == (3, "ConstraintsNotMet")
        assert "spec.evaluation.constraints: perplexity " in done.report["message"]
        assert "(nothing was published)" in done.report["message"]
        assert "artifact" not in done.report
        assert [entry["met"] for entry in done.report["constraints"]] == [False]
        assert [entry["after"] for entry in done.report["evaluation"]] == ["input", "genai"]
        assert not (tmp_path / "out" / "manifest.json").exists()
        assert not (tmp_path / "out" / "model").exists()

    @pytest.mark.usefixtures("with_wreck")
    def test_int4_with_wrecked_scales_is_not_published(
        self, phi3: Path, tones: tuple[Path, Path], cache: Path, here: Here, tmp_path: Path
    ) -> None:
        wreck = {"custom": {"pass": "wreck"}}

        with pytest.raises(ConstraintsNotMet) as caught:
            here.run(gated(phi3, tones, "out", INT4, wreck, constraints=[KEEPS]), cache)

        assert caught.value.message.startswith("perplexity is ")
        assert "maxDropPercent 50: off by " in caught.value.message
        assert not (tmp_path / "out" / "manifest.json").exists()
        told = json.loads((tmp_path / "home" / "runs" / "test" / "report.json").read_text())
        assert told["passes"][-1]["metrics"]["scales"] > 0
        assert [entry["met"] for entry in told["constraints"]] == [False]
