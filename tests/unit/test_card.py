"""The model card: what the hub's own library reads from it, and what a person does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from millwright_api.report import ConstraintReport, EvaluationReport, MetricReport
from millwright_api.v1alpha1 import Data, OptimizationJob
from millwright_runner.artifact import HF, HF_ADAPTER, ONNX_GENAI
from millwright_runner.beside.card import Facts, Metric, card
from millwright_runner.beside.licence import licence_of
from millwright_runner.beside.public import public_spec

HOLDOUT = Data.model_validate({"name": "holdout", "source": {"path": "holdout.jsonl"}, "text": {}})
EMOTION = Data.model_validate(
    {"name": "emotion", "source": {"huggingFace": {"repo": "dair-ai/emotion", "split": "test"}}, "text": {}}
)


def measured(after: str, *metrics: dict[str, Any], **more: Any) -> EvaluationReport:
    return EvaluationReport(after=after, metrics=[MetricReport(**metric) for metric in metrics], **more)


ACCURACY = {"name": "accuracy", "value": 0.925, "low": 0.864, "high": 0.96, "n": 120, "unit": "share"}
SIZE = {"name": "size", "value": 4_280_000.0, "unit": "bytes"}

FACTS = Facts(
    name="phi3-emotion",
    format=ONNX_GENAI,
    base="microsoft/Phi-3",
    licence={"license": "mit"},
    trained_on=[EMOTION],
    passes=[("finetune", "lora"), ("genai", "genai")],
    spec={"model": {"huggingFace": {"repo": "microsoft/Phi-3"}}},
    metrics={"accuracy": Metric("exactMatch", HOLDOUT, False), "size": Metric("sizeOnDisk", None, False)},
    evaluation=[
        measured("input", ACCURACY | {"value": 0.25, "low": 0.16, "high": 0.37}, SIZE | {"value": 7_640_000.0}),
        measured("genai", ACCURACY, SIZE),
    ],
    constraints=[ConstraintReport(metric="accuracy", met=True, message="accuracy is 0.925; min 0.9")],
    bytes=4_280_000,
)


def read(**changes: Any) -> Any:
    """What huggingface_hub reads of the card's metadata."""
    return ModelCard(card(replace(FACTS, **changes))).data


class TestMetadata:
    def test_the_hub_reads_what_it_is_and_of_what_it_was_made(self) -> None:
        data = read()

        assert data.base_model == "microsoft/Phi-3"
        assert data.license == "mit"
        assert data.library_name == "onnxruntime-genai"
        assert data.pipeline_tag == "text-generation"
        assert data.datasets == ["dair-ai/emotion"]
        assert data.tags == ["millwright", "lora", "genai"]

    @pytest.mark.parametrize(("kind", "library"), [(HF, "transformers"), (HF_ADAPTER, "peft"), ("gguf", None)])
    def test_the_library_is_the_one_that_reads_the_format(self, kind: str, library: str | None) -> None:
        assert read(format=kind).library_name == library

    def test_an_adapter_says_that_it_sits_on_its_base(self) -> None:
        assert read(format=HF_ADAPTER).to_dict()["base_model_relation"] == "adapter"

    def test_figures_are_those_of_the_finished_model_as_measured(self) -> None:
        data = read()

        (result,) = data.eval_results
        assert data.model_name == "phi3-emotion"
        assert (result.task_type, result.dataset_type, result.dataset_name) == ("text-generation", "holdout", "holdout")
        assert (result.metric_type, result.metric_name, result.metric_value) == ("exact_match", "accuracy", 0.925)

    def test_a_hubs_data_set_is_called_by_its_repository(self) -> None:
        (result,) = read(metrics={"accuracy": Metric("f1", EMOTION, False)}).eval_results

        assert (result.dataset_type, result.dataset_name, result.dataset_split) == (
            "dair-ai/emotion",
            "emotion",
            "test",
        )

    def test_what_is_no_number_is_no_figure(self) -> None:
        last = measured("genai", ACCURACY | {"value": None}, {"name": "size", "value": float("nan")})

        assert "model-index" not in read(evaluation=[last]).to_dict()

    def test_nothing_is_said_that_is_not_known(self) -> None:
        data = read(base=None, licence={}, trained_on=[HOLDOUT], evaluation=[]).to_dict()

        assert set(data) == {"library_name", "pipeline_tag", "tags"}


class TestText:
    def test_figures_stand_side_by_side_with_their_intervals(self) -> None:
        text = card(FACTS)

        assert "| metric | unit | before | after genai | n |" in text
        assert "| accuracy | share | 0.25 (0.16 to 0.37) | 0.925 (0.864 to 0.96) | 120 |" in text
        assert "| size | bytes | 7,640,000 | 4,280,000 |  |" in text

    def test_a_constraint_that_was_not_met_is_not_hidden(self) -> None:
        broken = ConstraintReport(metric="accuracy", met=False, message="accuracy is 0.5; min 0.9")

        assert "- **not met**: accuracy is 0.5; min 0.9" in card(replace(FACTS, constraints=[broken]))

    def test_without_figures_it_says_so(self) -> None:
        assert "Nothing was measured." in card(replace(FACTS, evaluation=[]))

    @pytest.mark.parametrize("kind", [ONNX_GENAI, HF, HF_ADAPTER])
    def test_the_way_to_try_it_is_python(self, kind: str) -> None:
        code = card(replace(FACTS, format=kind)).split("```python\n")[1].split("```")[0]

        compile(code, "card", "exec")
        assert "'model'" in code

    def test_an_adapter_whose_base_is_not_on_the_hub_says_where_it_looks_for_it(self) -> None:
        text = card(replace(FACTS, format=HF_ADAPTER, base=None))

        assert "in the folder `model` and the model that it sits on in `base`:" in text
        assert "from_pretrained('base')" in text

    def test_a_plug_ins_format_has_no_way_to_try_it(self) -> None:
        assert "## Try it" not in card(replace(FACTS, format="gguf"))

    def test_rows_that_were_trained_on_are_a_limit(self) -> None:
        text = card(replace(FACTS, evaluation=[measured("genai", ACCURACY, overlap={"holdout": 7})]))

        assert "Rows of holdout that were trained on as well: 7. The figures flatter the model." in text

    def test_an_unknown_licence_is_a_limit(self) -> None:
        assert "says nothing of its licence" in card(replace(FACTS, licence={}))
        assert "says nothing of its licence" not in card(FACTS)

    def test_a_template_with_a_fence_does_not_end_the_code(self) -> None:
        text = card(replace(FACTS, spec={"template": "```\n# Not a title\n```"}))

        assert "````yaml\n" in text

    def test_the_same_facts_give_the_same_bytes(self) -> None:
        assert card(FACTS) == card(replace(FACTS))


class TestLicence:
    def test_it_is_what_the_models_own_card_says(self, tmp_path: Path) -> None:
        head = "license: other\nlicense_name: phi\nlicense_link: LICENSE\nbase_model: x"
        (tmp_path / "README.md").write_text(f"---\r\n{head}\r\n---\r\n# Phi\n")

        assert licence_of(tmp_path) == {"license": "other", "license_name": "phi", "license_link": "LICENSE"}

    def test_else_it_is_the_tag_of_a_licence_file(self, tmp_path: Path) -> None:
        (tmp_path / "LICENSE").write_text("Copyright\nSPDX-License-Identifier: Apache-2.0\n")

        assert licence_of(tmp_path) == {"license": "apache-2.0"}

    @pytest.mark.parametrize(
        "text", ["", "# No head", "---\n: [\n---\n", "---\n- a\n---\n", "---\nlicense:\n---\n", "---\nlicense: 3\n---\n",
                 "---\nlicense: mit\n", "text\n---\nlicense: mit\n---\n"]
    )  # fmt: skip
    def test_a_card_that_does_not_say_it_says_nothing(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "README.md").write_text(text)

        assert licence_of(tmp_path) == {}

    def test_it_is_not_guessed_from_a_text(self, tmp_path: Path) -> None:
        (tmp_path / "LICENSE").write_text("MIT License\n\nPermission is hereby granted, free of charge")

        assert licence_of(tmp_path) == {}

    def test_bytes_that_are_no_text_are_no_licence(self, tmp_path: Path) -> None:
        (tmp_path / "README.md").write_bytes(b"\xff\xfe\x00---")
        (tmp_path / "LICENSE").mkdir()

        assert licence_of(tmp_path) == {}


class TestWhatEverybodyMayRead:
    def test_only_what_makes_the_model_stays_and_no_place_of_a_machine(self) -> None:
        text = """
        apiVersion: millwright.dev/v1alpha1
        kind: OptimizationJob
        metadata: {name: j}
        spec:
          model: {path: /home/ann/models/phi3}
          data:
          - {name: a, source: {s3: {uri: "s3://team-a/a.jsonl", endpoint: "http://ann:pass@minio.local:9000"}}, text: {}}
          - {name: c, source: {path: ../c.jsonl}, text: {}}
          passes:
          - {lora: {trainData: a}, resources: {limits: {cpu: "4"}}}
          output: {path: /srv/out}
          credentials: [{secretName: team-a}]
          execution: {kubernetes: {image: registry.local/runner}}
        """

        spec = public_spec(OptimizationJob.model_validate(yaml.safe_load(text)))

        assert spec == {
            "model": {"path": "phi3"},
            "data": [
                {"name": "a", "source": {"s3": {"uri": "s3://team-a/a.jsonl"}}, "text": {}},
                {"name": "c", "source": {"path": "../c.jsonl"}, "text": {}},
            ],
            "passes": [{"name": "lora", "lora": {"trainData": "a"}}],
        }
