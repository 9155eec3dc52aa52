"""validate, plan, passes and import, as a person and as a program use them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cliground import BROKEN, CliGround

from millwright_runner import manifest

ROOT = Path(__file__).parents[2]
OLIVE: dict[str, Any] = {
    "input_model": {"type": "HfModel", "model_path": "model"},
    "systems": {"there": {"type": "Docker", "config": {"image_name": "gpu"}}},
    "host": "there",
    "passes": {"build": {"type": "ModelBuilder", "precision": "int4"}},
    "output_dir": "out",
}


@pytest.fixture
def ground(tmp_path: Path) -> CliGround:
    return CliGround.make(tmp_path)


class TestValidate:
    def test_a_right_manifest_is_one_line(self, ground: CliGround) -> None:
        ground.write_job({}, {"steps": 1})

        said = ground.run("validate", "job.yaml")

        assert (said.code, said.out, said.err) == (0, "job.yaml is valid: 2 passes (obey → obey), 0 data sets\n", "")

    def test_neither_model_nor_data_need_be_there(self, ground: CliGround) -> None:
        data = [{"name": "train", "source": {"s3": {"uri": "s3://nowhere/at-all"}}, "text": {}}]
        ground.write_job(model={"path": "no/such/model"}, data=data)

        said = ground.run("validate", "job.yaml")

        assert said.out == "job.yaml is valid: 1 pass (obey), 1 data set\n"

    def test_json_says_what_it_understood(self, ground: CliGround) -> None:
        said = ground.run("validate", "job.yaml", "--json")

        assert json.loads(said.out) == {"valid": True, "name": "copy", "passes": ["obey"], "data": [], "metrics": []}

    def test_metrics_are_named(self, ground: CliGround) -> None:
        ground.write_job(evaluation={"metrics": [{"name": "size", "sizeOnDisk": {}}, {"tokenLatency": {}}]})

        said = ground.run("validate", "job.yaml")
        document = json.loads(ground.run("validate", "job.yaml", "--json").out)

        assert said.out == "job.yaml is valid: 1 pass (obey), 0 data sets, 2 metrics (size, tokenLatency)\n"
        assert document["metrics"] == ["size", "tokenLatency"]

    def test_an_option_of_a_metric_is_told_with_its_line(self, ground: CliGround) -> None:
        path = ground.write_job(evaluation={"metrics": [{"sizeOnDisk": {}}, {"tokenLatency": {"newTokns": 4}}]})
        line = next(i for i, text in enumerate(path.read_text().splitlines(), 1) if "newTokns" in text)

        said = ground.run("validate", "job.yaml")

        assert said.code == 2
        assert f"job.yaml:{line}: spec.evaluation.metrics[1].tokenLatency.newTokns: unknown key" in said.err
        assert "did you mean 'newTokens'?" in said.err

    def test_a_metric_that_is_none_is_told_with_its_line(self, ground: CliGround) -> None:
        path = ground.write_job(evaluation={"metrics": [{"sizeOnDsk": {}}]})
        line = next(i for i, text in enumerate(path.read_text().splitlines(), 1) if "sizeOnDsk" in text)

        said = ground.run("validate", "job.yaml")

        assert said.code == 2
        assert f"job.yaml:{line}: spec.evaluation.metrics[0]" in said.err
        assert "no metric is called 'sizeOnDsk'" in said.err
        assert "did you mean 'sizeOnDisk'?" in said.err

    def test_a_metric_without_its_data_is_told(self, ground: CliGround) -> None:
        ground.write_job(evaluation={"metrics": [{"exactMatch": {}}]})

        said = ground.run("validate", "job.yaml")

        assert said.code == 2
        assert "exactMatch is measured on data, and names none" in said.err
        assert "set spec.evaluation.data" in said.err

    def test_quiet_says_nothing(self, ground: CliGround) -> None:
        said = ground.run("validate", "job.yaml", "--quiet")

        assert (said.code, said.out, said.err) == (0, "", "")

    def test_a_problem_is_one_line_with_its_place(self, ground: CliGround) -> None:
        said = ground.run("validate", "job.yaml", "--set", "passes.step-0.stpes=1")

        assert (said.code, said.out) == (2, "")
        assert said.err == (
            "InvalidManifest: --set passes.step-0.stpes: spec.passes[0].custom.options.stpes: unknown key (did you mean 'steps'?)\n"
        )

    def test_several_problems_are_counted_and_listed(self, ground: CliGround) -> None:
        said = ground.run("validate", "job.yaml", "--set", "modle.path=x", "--set", "output.pth=y")

        assert said.err.split("\n") == [
            "InvalidManifest: 2 problems",
            "  --set output.pth: spec.output.pth: unknown key (did you mean 'path'?)",
            "  --set modle.path: spec.modle: unknown key (did you mean 'model'?)",
            "",
        ]  # fmt: skip

    def test_json_of_a_wrong_one_has_the_same_shape_as_every_failure(self, ground: CliGround) -> None:
        said = ground.run("validate", "job.yaml", "--json", "--set", "modle=x")

        report = json.loads(said.out)
        assert (report["outcome"], report["reason"], report["exitCode"]) == ("Failed", "InvalidManifest", 2)
        assert "did you mean 'model'?" in report["message"]

    def test_a_chain_that_does_not_fit_is_refused(self, ground: CliGround) -> None:
        ground.write_job(passes=[{"merge": {}}])

        said = ground.run("validate", "job.yaml")

        assert said.err == (
            "ChainMismatch: job.yaml:9: spec.passes[0]: merge reads hf+adapter, and the model gives hf\n"
            "  hint: put lora or qlora in between\n"
        )

    def test_a_plug_in_that_is_written_like_a_built_in_is_corrected(self, ground: CliGround) -> None:
        ground.write_job(passes=[{"obey": {}}])

        said = ground.run("validate", "job.yaml")

        assert "'obey' is a plug-in\n  hint: write custom: {pass: obey, options: {...}}" in said.err

    def test_a_template_is_checked_against_its_columns(self, ground: CliGround) -> None:
        text = {"columns": ["phrase"], "template": "{phrse}"}
        ground.write_job(data=[{"name": "train", "source": {"path": "t.jsonl"}, "text": text}])

        said = ground.run("validate", "job.yaml")

        assert said.code == 2
        assert "spec.data[0].text.template" in said.err
        assert "phrse" in said.err

    def test_an_olive_workflow_lists_what_it_leaves_out(self, ground: CliGround) -> None:
        (ground.folder / "olive.json").write_text(json.dumps(OLIVE))

        said = ground.run("validate", "olive.json")

        assert said.out == "olive.json is valid: 1 pass (genai), 0 data sets\n"
        assert said.err.startswith(
            "Not taken over from the Olive workflow; the model is the same without:\n  systems.there.type = "
        )
        assert len(said.err.rstrip("\n").split("\n")) == 4

    def test_every_example_is_valid(self, ground: CliGround) -> None:
        for path in sorted((ROOT / "examples").glob("emotion/job*.yaml")):
            assert ground.run("validate", str(path)).code == 0


class TestPlan:
    def test_a_model_that_is_asked_needs_memory_and_one_that_is_weighed_does_not(self, ground: CliGround) -> None:
        needed = {}
        for name in ("none", "sizeOnDisk", "tokenLatency"):
            ground.write_job(**({} if name == "none" else {"evaluation": {"metrics": [{name: {}}]}}))
            needed[name] = json.loads(ground.run("plan", "job.yaml", "--json").out)["memoryBytes"]

        assert needed["none"] == needed["sizeOnDisk"] < 512 << 20 < needed["tokenLatency"]

    def test_it_says_what_would_be_measured(self, ground: CliGround) -> None:
        metrics = [{"name": "size", "sizeOnDisk": {}}, {"tokenLatency": {}}]
        ground.write_job({}, {}, evaluation={"after": ["input", "last"], "metrics": metrics})

        said = ground.run("plan", "job.yaml")
        document = json.loads(ground.run("plan", "job.yaml", "--json").out)

        assert "measured of the input: size, tokenLatency\n" in said.out
        assert "measured after step-1: size, tokenLatency\n" in said.out
        assert [point["after"] for point in document["measured"]] == ["input", "step-1"]
        assert [(one["metric"], one["kept"]) for one in document["measured"][0]["metrics"]] == [
            ("sizeOnDisk", False), ("tokenLatency", False),
        ]  # fmt: skip

    def test_it_shows_steps_keys_and_what_they_need(self, ground: CliGround) -> None:
        ground.write_job({}, {"steps": 7})

        said = ground.run("plan", "job.yaml")

        assert said.code == 0
        assert re.search(r"^job +copy$", said.out, re.MULTILINE)
        assert re.search(rf"^output +{ground.folder}/out/$", said.out, re.MULTILINE)
        assert re.search(r"^1 +step-0 +obey +[0-9a-f]{12} +miss +\S+ kB +\S+ kB *$", said.out, re.MULTILINE)
        assert re.search(r"^2 +step-1 +obey +[0-9a-f]{12} +miss ", said.out, re.MULTILINE)
        assert re.search(
            r"^2 of 2 steps would run: about \S+ kB of memory at the peak, \S+ kB written to this disk.$",
            said.out,
            re.MULTILINE,
        )

    def test_it_makes_nothing(self, ground: CliGround) -> None:
        ground.run("plan", "job.yaml")

        out = ground.folder / "out"
        assert not out.exists() or list(out.rglob("*")) == []

    def test_after_a_run_nothing_would_run(self, ground: CliGround) -> None:
        ground.run("run", "job.yaml")

        said = ground.run("plan", "job.yaml")

        assert re.search(r"^1 +step-0 +obey +[0-9a-f]{12} +hit +– +– *$", said.out, re.MULTILINE)
        assert said.out.endswith("The output holds this very result: nothing would run.\n")

    def test_what_is_in_the_cache_would_only_be_published(self, ground: CliGround) -> None:
        ground.run("run", "job.yaml", "--cache", "shared")
        ground.write_job(output={"path": "second"})

        said = ground.run("plan", "job.yaml", "--cache", "shared")

        assert said.out.endswith("All steps are in the cache: the result would only be published.\n")

    def test_a_changed_option_is_a_miss_from_there_on(self, ground: CliGround) -> None:
        ground.write_job({}, {"steps": 5}, output={"path": "out", "replace": True})
        ground.run("run", "job.yaml")

        said = ground.run("plan", "job.yaml", "--set", "passes.step-1.steps=6", "--json")

        assert [step["cache"] for step in json.loads(said.out)["steps"]] == ["Hit", "Miss"]

    def test_without_a_cache_it_says_off(self, ground: CliGround) -> None:
        ground.write_job(cache={"mode": "Off"})

        said = ground.run("plan", "job.yaml", "--json")

        assert [step["cache"] for step in json.loads(said.out)["steps"]] == ["Off"]

    def test_json_has_whole_keys_and_bytes(self, ground: CliGround) -> None:
        plan = json.loads(ground.run("plan", "job.yaml", "--json").out)

        assert plan["published"] is False
        assert plan["fingerprint"] == plan["steps"][-1]["key"]
        assert len(plan["fingerprint"]) == 64
        assert plan["steps"][0]["produces"] == "hf"
        assert plan["memoryBytes"] >= plan["model"]["bytes"] > 0

    def test_what_would_make_the_run_fail_is_found(self, ground: CliGround) -> None:
        ground.write_job(model={"path": "modle"})

        said = ground.run("plan", "job.yaml")

        assert said.code == 2
        assert said.err.startswith("ModelNotFound: ")

    @pytest.mark.parametrize(
        ("place", "message"),
        [
            ("gs://bucket/x", "InvalidManifest: --cache: found 'gs://bucket/x', expected s3://bucket/key"),
            ("s3://B", "InvalidManifest: --cache: found 's3://B', expected s3://bucket/key"),
            (
                "https://a.blob.core.windows.net/c?sv=1&sig=secret",
                "InvalidManifest: --cache: found an address with a query, expected one without\n"
                "  hint: https://a.blob.core.windows.net/c, and what follows ? in AZURE_STORAGE_SAS_TOKEN\n",
            ),
            (
                "",
                "InvalidManifest: --cache: found nothing, expected a folder, s3://bucket/key or https://account.blob.core.windows.net/container/key",
            ),
        ],
    )
    def test_a_cache_that_is_no_place_is_refused(self, ground: CliGround, place: str, message: str) -> None:
        said = ground.run("plan", "job.yaml", "--cache", place)

        assert said.code == 2
        assert said.err.startswith(message)


class TestPasses:
    def test_all_are_listed_with_what_they_read_and_write(self, ground: CliGround) -> None:
        said = ground.run("passes")

        lines = {line.split()[0]: line for line in said.out.split("\n") if line}
        assert {"lora", "qlora", "merge", "genai", "obey"} <= set(lines)
        assert re.match(r"merge +hf\+adapter +hf +Adds the adapter into the base", lines["merge"])

    def test_one_is_shown_with_all_its_options_nested_ones_too(self, ground: CliGround) -> None:
        said = ground.run("passes", "lora")

        assert said.out.startswith("lora  hf → hf+adapter\nTrains a low-rank adapter")
        assert "\nr  a whole number, 1 to 4096" in said.out
        assert re.search(r"^trainData .* required$", said.out, re.MULTILINE)
        assert re.search(r"^training\.learningRate  a number, above 0, at most 10", said.out, re.MULTILINE)
        assert re.search(r"^training\.earlyStopping\.patience ", said.out, re.MULTILINE)

    def test_a_plug_ins_defaults_are_shown(self, ground: CliGround) -> None:
        said = ground.run("passes", "obey")

        assert "steps  a whole number, at least 0  default 3\n    Steps of work." in said.out

    def test_json_has_types_defaults_and_descriptions(self, ground: CliGround) -> None:
        document = json.loads(ground.run("passes", "genai", "--json").out)

        precision = document["options"][0]
        assert (document["name"], document["reads"], document["writes"], document["builtIn"]) == (
            "genai",
            ["hf"],
            "onnx-genai",
            True,
        )
        assert precision["path"] == "precision"
        assert precision["default"] == "int4"
        assert precision["takes"] == "one of int4, int8, fp16, bf16, fp32"

    def test_every_built_in_option_is_described_and_says_its_default(self, ground: CliGround) -> None:
        passes = [p for p in json.loads(ground.run("passes", "--json").out) if p["builtIn"]]

        for entry in passes:
            for option in entry["options"]:
                place = f"{entry['name']}.{option['path']}"
                nested = option["takes"].startswith("a mapping")
                assert option["description"].endswith("."), place
                assert option["required"] or nested or "Default:" in option["description"], place

    def test_an_unknown_one_suggests(self, ground: CliGround) -> None:
        said = ground.run("passes", "lroa")

        assert (said.code, said.out) == (2, "")
        assert said.err == "UnknownPass: no pass is called 'lroa'\n  hint: did you mean 'lora'?\n"

    def test_a_broken_plug_in_does_not_hide_the_others(self, ground: CliGround) -> None:
        ground.install("broken", "broken:Broken", BROKEN)

        said = ground.run("passes")

        assert said.code == 0
        assert "lora " in said.out
        assert (
            "UnknownPass: the pass 'broken' (broken:Broken) cannot be imported: No module named 'a_module_that_nobody_has'"
            in said.err
        )

    def test_the_page_in_docs_is_what_the_passes_say(self, ground: CliGround) -> None:
        said = ground.run("passes", "--markdown")

        assert said.out == (ROOT / "docs" / "passes.md").read_text(), "make docs"
        assert "obey" not in said.out

    def test_a_plug_ins_own_page_can_be_made(self, ground: CliGround) -> None:
        said = ground.run("passes", "obey", "--markdown")

        assert "## obey (plug-in)" in said.out
        assert "| `steps` | a whole number, at least 0 | `3` | Steps of work. |" in said.out


class TestImport:
    @pytest.fixture(autouse=True)
    def _workflow(self, ground: CliGround) -> None:
        (ground.folder / "olive.json").write_text(json.dumps(OLIVE))

    def test_the_manifest_goes_to_stdout_and_what_is_left_out_to_stderr(self, ground: CliGround) -> None:
        said = ground.run("import", "olive.json")

        document = yaml.safe_load(said.out)
        assert said.code == 0
        assert (document["kind"], document["spec"]["passes"]) == (
            "OptimizationJob",
            [{"name": "build", "genai": {"precision": "int4"}}],
        )
        assert [line.partition(" = ")[0] for line in said.err.rstrip("\n").split("\n")] == [
            "systems.there.type", "systems.there.config.image_name", "host",
        ]  # fmt: skip

    def test_the_file_that_is_written_can_be_run(self, ground: CliGround) -> None:
        said = ground.run("import", "olive.json", "-o", "imported.yaml", "--quiet")

        assert (said.code, said.out, said.err) == (0, "", "")
        assert ground.run("validate", "imported.yaml").code == 0

    def test_paths_lead_from_the_files_own_folder(self, ground: CliGround) -> None:
        (ground.folder / "jobs").mkdir()

        ground.run("import", "olive.json", "-o", "jobs/job.yaml")

        job = manifest.load_job(ground.folder / "jobs" / "job.yaml")
        assert job.spec.model.path == "../model"

    def test_importing_again_changes_nothing(self, ground: CliGround) -> None:
        ground.run("import", "olive.json", "-o", "job.yaml", "--force")

        assert ground.run("import", "olive.json", "-o", "job.yaml").code == 0

    def test_a_file_with_other_content_is_kept(self, ground: CliGround) -> None:
        before = (ground.folder / "job.yaml").read_text()

        said = ground.run("import", "olive.json", "-o", "job.yaml", "--quiet")

        assert (said.code, said.err) == (
            2,
            "FileExists: job.yaml: it is there already, with other content\n  hint: --force replaces it\n",
        )
        assert (ground.folder / "job.yaml").read_text() == before

    @pytest.mark.parametrize(
        ("place", "message"),
        [
            ("no/such/job.yaml", "AccessDenied: no/such/job.yaml: there is no folder no/such\n"),
            ("model", "AccessDenied: model: it cannot be written: Is a directory\n"),
        ],
    )
    def test_a_place_that_cannot_be_written_is_refused(self, ground: CliGround, place: str, message: str) -> None:
        said = ground.run("import", "olive.json", "-o", place, "--quiet")

        assert (said.code, said.err) == (2, message)

    def test_json_has_the_manifest_and_the_lines(self, ground: CliGround) -> None:
        document = json.loads(ground.run("import", "olive.json", "--json").out)

        assert document["runnable"] is True
        assert document["manifest"]["kind"] == "OptimizationJob"
        assert document["notTakenOver"][0]["path"] == "systems.there.type"

    def test_what_changes_the_model_is_marked(self, ground: CliGround) -> None:
        (ground.folder / "olive.json").write_text(
            json.dumps(OLIVE | {"search_strategy": {"execution_order": "joint", "sampler": "tpe"}})
        )

        said = ground.run("import", "olive.json")

        assert said.code == 0
        assert re.search(r"^search_strategy.*\(the model is another one without it\)$", said.err, re.MULTILINE)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ('{"input_model": ', "InvalidManifest: bad.json:1: not JSON"),
            ("[]", "InvalidManifest: bad.json: it is no mapping"),
            ('{"passes": {}}', "InvalidManifest: the file: there is no input_model"),
        ],
    )
    def test_what_is_no_workflow_is_refused(self, ground: CliGround, content: str, message: str) -> None:
        (ground.folder / "bad.json").write_text(content)

        said = ground.run("import", "bad.json")

        assert (said.code, said.out) == (2, "")
        assert said.err.startswith(message)

    def test_a_pass_that_olive_does_not_have_is_refused(self, ground: CliGround) -> None:
        (ground.folder / "bad.json").write_text(json.dumps(OLIVE | {"passes": {"x": {"type": "ModelBuider"}}}))

        said = ground.run("import", "bad.json")

        assert said.code == 2
        assert said.err.startswith("UnknownPass: ")
        assert "did you mean 'ModelBuilder'?" in said.err
