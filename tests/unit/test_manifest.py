"""From a file to a job: messages name the file and the line."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from millwright_api.errors import InvalidManifest, InvalidModel, Stopped, UnknownPass
from millwright_runner import manifest, registry

JOB = """\
apiVersion: millwright.dev/v1alpha1
kind: OptimizationJob
metadata: {name: phi3-emotion}
spec:
  model: {path: model}
  data:
  - name: train
    source: {path: train.jsonl}
    text:
      columns: [phrase, tone]
      template: "{phrase}: {tone}"
      maxLength: 128
  passes:
  - name: finetune
    lora:
      r: 64
      trainData: train
      training: {learningRate: 1e-4}
  - merge: {}
  - genai: {precision: int4}
  output: {path: out}
"""


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str | bytes = JOB, name: str = "job.yaml") -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(path: Path, *sets: str) -> list[str]:
    with pytest.raises(InvalidManifest) as caught:
        manifest.load(path, sets)
    return str(caught.value).split("\n")


# What is right.


def test_a_manifest_becomes_a_job() -> None:
    job = manifest.load_job(write())

    assert job.metadata.name == "phi3-emotion"
    assert [step.name for step in job.spec.passes] == ["finetune", "merge", "genai"]
    assert job.spec.passes[0].options["training"] == {"learningRate": 0.0001}


def test_json_is_as_good() -> None:
    as_json = write(json.dumps(manifest.load_job(write()).model_dump(mode="json", exclude_none=True)), "job.json")

    assert manifest.load_job(as_json) == manifest.load_job(Path("job.yaml"))


def test_relative_paths_start_at_the_manifest() -> None:
    assert manifest.load(write(name="team/jobs/job.yaml")).base == Path("team/jobs")


def test_standard_input_is_a_manifest_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(JOB.encode())))

    found = manifest.load(manifest.STDIN)

    assert found.job.metadata.name == "phi3-emotion"
    assert found.base == Path.cwd()


def test_whole_numbers_may_be_written_with_a_fraction_as_the_api_server_allows() -> None:
    job = manifest.load_job(write(JOB.replace("maxLength: 128", "maxLength: 1.28e2")))

    assert job.spec.data[0].format.max_length == 128


def test_a_set_changes_a_value() -> None:
    job = manifest.load_job(write(), ["passes.finetune.r=8", "data.train.limit=100", "passes.finetune.training.seed=1"])

    assert job.spec.passes[0].options == {"r": 8, "trainData": "train", "training": {"learningRate": 0.0001, "seed": 1}}
    assert job.spec.data[0].limit == 100


@pytest.mark.parametrize("word", ["Off", "off", "no", "y"])
def test_in_a_set_words_are_words_and_not_yamls_booleans(word: str) -> None:
    job = manifest.load_job(write(), [f"passes.finetune.r={word}", "model.trustRemoteCode=true", "cache.mode=Off"])

    assert job.spec.passes[0].options["r"] == word
    assert job.spec.model.trust_remote_code is True
    assert job.spec.cache.mode == "Off"


def test_a_later_set_wins() -> None:
    job = manifest.load_job(write(), ["passes.finetune.r=8", "passes.finetune.r=16"])

    assert job.spec.passes[0].options["r"] == 16


def test_a_set_can_choose_another_output() -> None:
    job = manifest.load_job(write(), ["output={s3: {uri: s3://team-a/models/}}"])

    assert job.spec.output.s3 is not None
    assert job.spec.output.path is None


# Files that are none.


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("jbo.yaml", "did you mean 'job.yaml'?"),
        ("else.txt", "in that folder: job.yaml"),
        ("no/such/job.yaml", "there is no folder no/such either"),
    ],
)
def test_a_missing_file_suggests_what_is_there(name: str, hint: str) -> None:
    write()

    assert refused(Path(name)) == [f"{name}: there is no such file ({hint})"]


def test_a_missing_file_in_an_empty_folder() -> None:
    assert refused(Path("job.yaml")) == ["job.yaml: there is no such file"]


def test_a_folder_names_the_manifests_in_it() -> None:
    write(name="jobs/a.yaml")
    write(name="jobs/b.json")

    assert refused(Path("jobs")) == ["jobs: this is a folder, not a file (files in it: a.yaml, b.json)"]


def test_a_file_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*args: Any, **kwargs: Any) -> None:
        raise PermissionError(13, "Permission denied")

    path = write()
    monkeypatch.setattr(Path, "open", denied)

    assert refused(path) == ["job.yaml: the file cannot be read: Permission denied"]


def test_a_path_that_no_system_takes() -> None:
    assert refused(Path("job\0.yaml")) == ["job\0.yaml: the file cannot be read: embedded null byte"]
    assert refused(Path("x" * 5000)) == [f"{'x' * 5000}: the file cannot be read: File name too long"]


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing yet\n", "---\n", "null\n"])
def test_an_empty_file_says_what_a_manifest_has(text: str) -> None:
    assert refused(write(text)) == ["job.yaml: the file is empty (a manifest has apiVersion, kind, metadata and spec)"]


@pytest.mark.parametrize(
    ("text", "found"),
    [("- a\n- b", "a list of 2"), ("5", "5"), ("just words", "'just words'"), ("[]", "an empty list")],
)
def test_what_is_no_mapping_is_no_manifest(text: str, found: str) -> None:
    assert refused(write(text)) == [
        f"job.yaml: found {found}, expected a mapping (a manifest has apiVersion, kind, metadata and spec)"
    ]


def test_a_binary_file_is_no_manifest() -> None:
    assert refused(write(b"\x89PNG\r\n\x1a\n")) == ["job.yaml:1: this is no text in UTF-8 (expected YAML or JSON)"]


def test_an_endless_file_is_read_only_up_to_the_bound() -> None:
    assert refused(Path("/dev/zero")) == ["/dev/zero: 1,048,577 bytes are too many for a manifest (at most 1,048,576)"]


# Problems name file and line.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("maxLength", "maxLenght"), "job.yaml:12: spec.data[0].text.maxLenght: unknown key (did you mean 'maxLength'?)"),
        (("output:", "ouput:"), "job.yaml:21: spec.ouput: unknown key (did you mean 'output'?)"),
        (("kind: Opt", "kind: opt"), "job.yaml:2: kind: found 'optimizationJob', expected OptimizationJob (did you mean 'OptimizationJob'?)"),
        (("128", "'128'"), "job.yaml:12: spec.data[0].text.maxLength: found '128', expected a whole number, 2 to 1048576 (write it without quotes)"),
        (("phi3-emotion", "Phi3"), "job.yaml:3: metadata.name: found 'Phi3', expected lower-case letters, digits and dashes, no dash at either end, up to 52 characters"),
        (("{path: model}", "{path: model, s3: {uri: s3://team/k}}"), "job.yaml:5: spec.model: exactly one of huggingFace, s3, azureBlob, azureML, path, volume is needed; s3 and path are given"),
    ],
)  # fmt: skip
def test_a_problem_is_told_with_file_and_line(change: tuple[str, str], message: str) -> None:
    assert message in refused(write(JOB.replace(*change)))


def test_what_is_missing_is_told_at_the_line_of_its_parent() -> None:
    assert refused(write(JOB.replace("  output: {path: out}\n", ""))) == [
        "job.yaml:4: spec.output: is missing (expected a mapping with s3, azureBlob, path, volume, replace, sign)"
    ]


def test_what_is_missing_at_the_top_is_told_of_the_file() -> None:
    lines = refused(write("spec: {}"))

    assert "job.yaml: apiVersion: is missing (expected millwright.dev/v1alpha1)" in lines


def test_all_problems_are_told_at_once() -> None:
    text = (
        JOB.replace("maxLength: 128", "maxLenght: 128")
        .replace("path: out", "pth: out")
        .replace("path: model", "path: 5")
    )

    lines = refused(write(text))

    assert [line.split(": ")[0] for line in lines] == ["job.yaml:12", "job.yaml:21", "job.yaml:5"]


def test_a_problem_of_a_set_is_told_as_such() -> None:
    assert refused(write(), "data.train.txt=x") == [
        "--set data.train.txt: spec.data[0].txt: unknown key (did you mean 'text'?)"
    ]


def test_a_problem_below_a_replaced_part_no_longer_names_the_old_line() -> None:
    lines = refused(write(), "data.train.text={maxLength: 0}")

    assert lines == [
        "--set data.train.text: spec.data[0].text.maxLength: found 0, expected a whole number, 2 to 1048576"
    ]


# Errors that are found later.


def test_an_error_of_a_pass_gets_its_line() -> None:
    found = manifest.load(write(JOB.replace("r: 64", "rr: 64")))
    with pytest.raises(InvalidManifest) as caught:
        registry.bind(found.job)

    found.locate(caught.value)

    assert str(caught.value).startswith("job.yaml:16: spec.passes[0].lora.rr: unknown key")


def test_errors_of_several_passes_are_told_together() -> None:
    found = manifest.load(write(JOB.replace("r: 64", "rr: 64").replace("int4", "int5")))
    with pytest.raises(InvalidManifest) as caught:
        registry.bind(found.job)

    found.locate(caught.value)

    assert [line.split(": ")[0] for line in caught.value.message.split("\n")] == ["job.yaml:16", "job.yaml:20"]


def test_an_unknown_pass_gets_its_line() -> None:
    found = manifest.load(write(JOB.replace("- merge:", "- marge:")))
    with pytest.raises(UnknownPass) as caught:
        registry.bind(found.job)

    found.locate(caught.value)

    assert str(caught.value) == "job.yaml:19: spec.passes[1]: no pass is called 'marge' (did you mean 'merge'?)"


def test_an_error_about_an_option_that_is_not_written_names_the_step() -> None:
    error = InvalidModel("matches nothing", where="spec.passes[0].lora.targetModules")

    manifest.load(write()).locate(error)

    assert error.where == "job.yaml:15: spec.passes[0].lora.targetModules"


def test_other_errors_stay_as_they_are() -> None:
    for error in (InvalidModel("torn", where="model/model.safetensors"), Stopped("SIGINT: stopped at step 3")):
        before = str(error)

        manifest.load(write()).locate(error)

        assert str(error) == before


# Olive's workflows.

OLIVE: dict[str, Any] = {
    "input_model": {"type": "HfModel", "model_path": "model"},
    "passes": {"build": {"type": "ModelBuilder", "precision": "int4"}},
    "output_dir": "out",
}


def test_an_olive_workflow_is_taken_as_it_is() -> None:
    found = manifest.load(write(json.dumps(OLIVE), "flow.json"))

    assert found.job.metadata.name == "flow"
    assert [step.pass_name for step in found.job.spec.passes] == ["genai"]


def test_what_an_import_leaves_out_is_told() -> None:
    elsewhere = {"systems": {"box": {"type": "Docker", "config": {"image_name": "olive"}}}, "host": "box"}

    found = manifest.load(write(json.dumps(OLIVE | elsewhere), "flow.json"))

    assert [line.partition(" = ")[0] for line in found.imported] == [
        "systems.box.type",
        "systems.box.config.image_name",
        "host",
    ]


def test_a_workflow_whose_model_would_be_another_one_is_refused() -> None:
    search = {"search_strategy": {"execution_order": "joint", "sampler": "tpe"}}

    lines = refused(write(json.dumps(OLIVE | search), "flow.json"))

    assert any("search_strategy" in line for line in lines)
    assert "`millwright import` writes a manifest to edit" in lines[-1]


def test_sets_change_an_imported_workflow_too() -> None:
    job = manifest.load_job(write(json.dumps(OLIVE), "flow.json"), ["passes.build.precision=int8"])

    assert job.spec.passes[0].options["precision"] == "int8"


def test_a_manifest_loads_without_the_converter() -> None:
    write()
    code = (
        "import sys; from pathlib import Path; from millwright_runner import manifest; manifest.load(Path('job.yaml'));"
        "print([m for m in sys.modules if m.startswith('millwright_runner.olive')])"
    )

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert said == "[]\n"
