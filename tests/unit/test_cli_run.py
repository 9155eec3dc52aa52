"""`millwright run` as a process: streams, exit codes, signals, what is left behind."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.cliground import CliGround


@pytest.fixture
def ground(tmp_path: Path) -> CliGround:
    return CliGround.make(tmp_path)


def wait_for(process: subprocess.Popen[str], words: str) -> None:
    """Reads stderr up to a line with these words."""
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError(f"it ended without saying {words!r}")


# A run that ends well.


def test_a_run_says_where_the_model_is_what_it_took_and_how_to_try_it(ground: CliGround) -> None:
    said = ground.run("run", "job.yaml")

    model = re.search(r"^model +(/\S+/)$", said.out, re.MULTILINE)
    assert said.code == 0
    assert model is not None
    assert (Path(model[1]) / "config.json").is_file()
    assert re.search(r"^size +\S+ [kM]B in \d files, format hf$", said.out, re.MULTILINE)
    assert re.search(r"^time +\S+ s \(step-0 \S+ s\)$", said.out, re.MULTILINE)
    assert re.search(r"^cache +0 of 1 step$", said.out, re.MULTILINE)
    assert f"report  {ground.folder}/out/report.html" in said.out
    assert "from transformers import pipeline" in said.out


def test_progress_goes_to_stderr_in_plain_lines(ground: CliGround) -> None:
    said = ground.run("run", "job.yaml")

    assert said.err.split("\n")[:2] == [
        f"copy: 1 step; output {ground.folder}/out/",
        "step-0 (1/1): training 1/3, loss 1",
    ]
    assert "step-0 (1/1): done in" in said.err
    assert "\x1b" not in said.err + said.out


def test_a_second_run_takes_everything_from_the_cache(ground: CliGround) -> None:
    ground.write_job({}, {"steps": 5})
    ground.run("run", "job.yaml")

    said = ground.run("run", "job.yaml")

    assert said.code == 0
    assert re.search(r"^cache +2 of 2 steps$", said.out, re.MULTILINE)
    assert "(step-0 cached, step-1 cached)" in said.out
    assert "step-1 (2/2): from the cache" in said.err


def test_quiet_says_only_where_the_model_is(ground: CliGround) -> None:
    said = ground.run("run", "job.yaml", "--quiet")

    assert said.err == ""
    assert (Path(said.out.rstrip("\n")) / "model.safetensors").is_file()


def test_json_prints_the_report_and_nothing_else(ground: CliGround) -> None:
    ground.write_job({"say": "hello"})

    said = ground.run("run", "job.yaml", "--json")

    report = json.loads(said.out)
    assert (report["outcome"], report["exitCode"], report["passes"][0]["cache"]) == ("Succeeded", 0, "Miss")
    assert report["artifact"]["uri"].startswith(f"{ground.folder}/out/")
    beside = json.loads((ground.folder / "out" / "report.json").read_text())
    assert {key: beside.get(key) for key in report} == report


def test_the_manifest_may_come_from_standard_input(ground: CliGround) -> None:
    said = ground.run("run", "-", "--quiet", stdin=(ground.folder / "job.yaml").read_text())

    assert said.code == 0
    assert (ground.folder / "out" / "manifest.json").is_file()


def test_the_cache_may_lie_elsewhere(ground: CliGround) -> None:
    ground.run("run", "job.yaml", "--cache", "shared")
    ground.write_job(output={"path": "second"})

    said = ground.run("run", "job.yaml", "--cache", "shared")

    assert re.search(r"^cache +1 of 1 step$", said.out, re.MULTILINE)
    assert (ground.folder / "shared").is_dir()


# What libraries print.


def test_what_libraries_print_stays_off_the_screen(ground: CliGround) -> None:
    ground.write_job({"say": "noise"})

    said = ground.run("run", "job.yaml")

    assert said.code == 0
    assert "noise" not in said.out + said.err
    assert ground.leftovers() == []


def test_with_debug_it_is_shown(ground: CliGround) -> None:
    ground.write_job({"say": "noise"})

    said = ground.run("run", "job.yaml", "--debug")

    assert {"noise from python", "noise from a child"} <= set(said.out.split("\n"))
    assert "noise from C" in said.err


def test_a_crash_keeps_it_beside_the_traceback(ground: CliGround) -> None:
    ground.write_job({"say": "noise", "end": "crash"})

    said = ground.run("run", "job.yaml")

    details = re.search(r"details: (\S+)", said.err)
    assert details is not None
    text = Path(details[1]).read_text()
    assert (
        text.index("noise from a child")
        < text.index("Traceback")
        < text.index("RuntimeError: tensors of different sizes")
    )


def test_without_room_for_temporary_files_it_runs_all_the_same(ground: CliGround) -> None:
    ground.write_job({"say": "noise"})

    said = ground.run("run", "job.yaml", "--quiet", TMPDIR="/proc/none", TEMP="/proc/none", TMP="/proc/none")

    assert (said.code, said.err) == (0, "")


# A run that does not.


def test_a_crash_of_a_pass_is_one_block_and_exit_1(ground: CliGround) -> None:
    ground.write_job({"end": "crash"})

    said = ground.run("run", "job.yaml")

    head, details = said.err.rstrip("\n").split("\n")[-2:]
    assert (said.code, said.out) == (1, "")
    assert (
        head
        == "PassFailed: job.yaml:12: spec.passes[0].custom.options: obey failed: RuntimeError: tensors of different sizes"
    )
    assert details.startswith(f"  details: {ground.folder}/tmp/millwright-")
    assert "Traceback" not in said.err


def test_with_debug_the_traceback_is_shown(ground: CliGround) -> None:
    ground.write_job({"end": "crash"})

    said = ground.run("run", "job.yaml", "--debug")

    assert said.code == 1
    assert "Traceback (most recent call last)" in said.err
    assert "details:" not in said.err


def test_a_users_error_in_a_pass_is_exit_2_and_names_the_line(ground: CliGround) -> None:
    ground.write_job({"steps": 1, "end": "input"})

    said = ground.run("run", "job.yaml")

    assert said.code == 2
    assert said.err.endswith(
        "InvalidModel: job.yaml:13: spec.passes[0].custom.options.steps: it has no head\n  hint: take one with a head\n"
    )
    assert ground.leftovers() == []


def test_what_heals_by_itself_is_exit_75(ground: CliGround) -> None:
    ground.write_job({"end": "again"})

    said = ground.run("run", "job.yaml")

    assert said.code == 75
    assert said.err.endswith("Damaged: model: it arrived torn\n  hint: the same command goes on from what is done\n")


def test_a_crash_in_native_code_is_shown_and_no_success(ground: CliGround) -> None:
    ground.write_job({"end": "abort"})

    said = ground.run("run", "job.yaml")

    assert said.code == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in said.err


@pytest.mark.parametrize(
    ("end", "code", "reason"), [("crash", 1, "PassFailed"), ("input", 2, "InvalidModel"), ("again", 75, "Damaged")]
)
def test_json_reports_the_failure_with_the_steps_before_it(ground: CliGround, end: str, code: int, reason: str) -> None:
    ground.write_job({}, {"end": end, "say": "noise"})

    said = ground.run("run", "job.yaml", "--json")

    report = json.loads(said.out)
    assert (said.code, report["exitCode"], report["outcome"], report["reason"]) == (code, code, "Failed", reason)
    assert [step["phase"] for step in report["passes"]] == ["Succeeded", "Failed"]
    assert "artifact" not in report


def test_a_failed_run_publishes_nothing(ground: CliGround) -> None:
    ground.write_job({"end": "crash"})

    ground.run("run", "job.yaml")

    assert not (ground.folder / "out" / "manifest.json").exists()


def test_the_steps_before_the_failure_are_not_run_again(ground: CliGround) -> None:
    ground.write_job({}, {"end": "crash"})
    ground.run("run", "job.yaml")
    ground.write_job({}, {"end": "well"})

    said = ground.run("run", "job.yaml")

    assert said.code == 0
    assert "(step-0 cached, step-1" in said.out


def test_a_home_that_cannot_be_made(ground: CliGround) -> None:
    said = ground.run("run", "job.yaml", MILLWRIGHT_HOME="/proc/none")

    assert said.code == 2
    assert said.err == (
        "AccessDenied: /proc/none: the folder for downloads and scratch files cannot be made: No such file or directory\n"
        "  hint: set MILLWRIGHT_HOME to a folder that can be written to\n"
    )


# Signals.


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_lets_the_pass_save_and_tells_so(ground: CliGround, number: signal.Signals, code: int) -> None:
    ground.write_job({"end": "never"})

    with ground.started("run", "job.yaml") as process:
        wait_for(process, "waiting for a stop")
        process.send_signal(number)
        out, err = process.communicate(timeout=60)

    assert process.returncode == code
    assert out == ""
    assert f"{number.name}: stopping, a checkpoint is saved first" in err
    assert "step-0 (1/1): stopped after" in err
    assert err.endswith(
        f"Stopped: {number.name}: stopped at step 3; a checkpoint is saved\n  hint: the same command goes on from what is done\n"
    )


def test_a_stop_is_reported_in_json(ground: CliGround) -> None:
    ground.write_job({"end": "never"})

    with ground.started("run", "job.yaml", "--json") as process:
        wait_for(process, "waiting for a stop")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)

    report = json.loads(out)
    assert (report["outcome"], report["reason"], report["exitCode"]) == ("Stopped", "Stopped", 143)


def test_a_second_ctrl_c_stops_at_once(ground: CliGround) -> None:
    ground.install("deaf", "deaf:Deaf", DEAF)
    steps = [{"custom": {"pass": "deaf", "options": {}}}]
    ground.write_job(passes=steps)

    with ground.started("run", "job.yaml") as process:
        wait_for(process, "listening to nobody")
        process.send_signal(signal.SIGINT)
        wait_for(process, "Ctrl-C again stops at once")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)

    assert process.returncode == 130


DEAF = '''\
"""A pass that never looks whether it should stop."""

import time
from typing import ClassVar

from millwright_runner.artifact import HF
from millwright_runner.passes import Pass


class Deaf(Pass):
    """Never ends."""

    name: ClassVar[str] = "deaf"
    consumes: ClassVar[frozenset[str]] = frozenset({HF})
    produces: ClassVar[str] = HF

    def run(self, artifact, context):
        context.tell("listening to nobody")
        while True:
            time.sleep(0.01)
'''


def test_nohup_keeps_its_promise(ground: CliGround) -> None:
    ground.write_job({"end": "never"})

    process = subprocess.Popen(
        ["nohup", *ground.command("run", "job.yaml")], cwd=ground.folder, env=ground.environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(process, "waiting for a stop")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 143
    assert "SIGHUP" not in err


def test_a_kill_leaves_no_temporary_files(ground: CliGround) -> None:
    ground.write_job({"end": "never", "say": "noise"})

    with ground.started("run", "job.yaml") as process:
        wait_for(process, "waiting for a stop")
        process.kill()
        process.wait(timeout=60)

    assert ground.leftovers() == []


# A terminal.


def test_on_a_terminal_it_redraws_itself_and_gives_the_cursor_back(ground: CliGround) -> None:
    said = ground.on_terminal("run", "job.yaml")

    assert said.code == 0
    assert said.out.count("\x1b[?25l") == said.out.count("\x1b[?25h") == 1
    assert "✓" in said.out
    assert "step-0  done in" in said.out


def test_on_a_dumb_terminal_there_are_plain_lines(ground: CliGround) -> None:
    said = ground.on_terminal("run", "job.yaml", TERM="dumb")

    assert said.code == 0
    assert "\x1b" not in said.out
    assert "step-0 (1/1): done in" in said.out


def test_the_model_can_be_piped_on(ground: CliGround) -> None:
    said = ground.shell('model=$($M run job.yaml --quiet) && ls "$model"')

    assert "config.json" in said.out.split("\n")


def test_a_reader_that_goes_away_does_not_hurt(ground: CliGround) -> None:
    said = ground.shell("$M run job.yaml --json | true; echo ${PIPESTATUS[0]}")

    assert said.out.strip() in ("0", "141")
    assert (ground.folder / "out" / "manifest.json").is_file()
    assert "Traceback" not in said.err
    assert ground.leftovers() == []


# A manifest that a cluster takes too.

FOR_A_CLUSTER = {
    "execution": {"kubernetes": {"resources": {"limits": {"nvidia.com/gpu": "1"}}, "queue": "team-a"}},
    "credentials": [{"secretName": "hf-token"}],
    "retry": {"maxAttempts": 5},
    "suspend": True,
    "activeDeadlineSeconds": 3600,
    "ttlSecondsAfterFinished": 60,
}


def with_resources(ground: CliGround) -> None:
    """Writes the job as for a cluster, its first step with resources of its own."""
    file = ground.write_job({}, {"steps": 5}, **FOR_A_CLUSTER)
    document = yaml.safe_load(file.read_text())
    document["spec"]["passes"][1]["resources"] = {"requests": {"memory": "4Gi"}}
    file.write_text(yaml.safe_dump(document))


def test_what_is_for_a_cluster_is_ignored_and_named_in_one_line(ground: CliGround) -> None:
    with_resources(ground)

    said = ground.run("run", "job.yaml")

    assert said.code == 0, said.err
    assert said.err.splitlines()[0] == (
        "For a cluster, ignored on this machine: spec.execution, spec.credentials, spec.retry, spec.suspend, "
        "spec.activeDeadlineSeconds, spec.ttlSecondsAfterFinished, spec.passes[1].resources"
    )


def test_quiet_does_not_name_what_it_ignores(ground: CliGround) -> None:
    with_resources(ground)

    said = ground.run("run", "job.yaml", "--quiet")

    assert (said.code, said.err) == (0, "")


def test_a_manifest_without_anything_for_a_cluster_says_nothing_of_it(ground: CliGround) -> None:
    assert "cluster" not in ground.run("run", "job.yaml").err


def test_what_is_for_a_cluster_changes_no_key(ground: CliGround) -> None:
    ground.write_job({}, {"steps": 5}, name="plain.yaml")
    with_resources(ground)

    plain = json.loads(ground.run("plan", "plain.yaml", "--json").out)
    for_a_cluster = json.loads(ground.run("plan", "job.yaml", "--json").out)

    assert for_a_cluster["fingerprint"] == plain["fingerprint"]
    assert ground.run("validate", "job.yaml").code == 0


# A manifest that Azure ML takes too.

ON_AZURE_ML = {
    "subscriptionId": "11111111-2222-3333-4444-555555555555",
    "resourceGroup": "team",
    "workspace": "ml-team",
    "compute": "gpu",
    "environment": {"image": "runner:1"},
}


def test_what_is_for_azure_ml_is_ignored_and_names_the_verb_that_does_it(ground: CliGround) -> None:
    template = {"podTemplate": {"terminationGracePeriodSeconds": 60}}
    ground.write_job(execution={"azureML": ON_AZURE_ML, "kubernetes": template}, retry={"maxAttempts": 5})

    said = ground.run("run", "job.yaml")

    assert said.code == 0, said.err
    assert said.err.splitlines()[:2] == [
        "For a cluster, ignored on this machine: spec.execution.kubernetes, spec.retry",
        "For Azure ML, ignored on this machine: spec.execution.azureML; `millwright submit` runs it there",
    ]


def test_where_it_would_run_changes_no_key(ground: CliGround) -> None:
    ground.write_job(name="plain.yaml")
    ground.write_job(execution={"azureML": ON_AZURE_ML})

    plain = json.loads(ground.run("plan", "plain.yaml", "--json").out)
    there = json.loads(ground.run("plan", "job.yaml", "--json").out)

    assert there["fingerprint"] == plain["fingerprint"]
    assert there["azureML"] == {
        "compute": "gpu", "instanceType": None, "environment": "image runner:1", "experiment": "copy"
    }  # fmt: skip


def test_plan_and_validate_say_where_submit_would_run_it(ground: CliGround) -> None:
    ground.write_job(execution={"azureML": ON_AZURE_ML})

    plan = ground.run("plan", "job.yaml")
    validate = ground.run("validate", "job.yaml")

    assert plan.out.splitlines()[0] == (
        "submit  on Azure ML: workspace ml-team (resource group team, subscription "
        "11111111-2222-3333-4444-555555555555), compute gpu, image runner:1, experiment copy"
    )
    assert validate.out == "job.yaml is valid: 1 pass (obey), 0 data sets, to run on Azure ML (compute gpu)\n"


def test_validate_opens_nothing_in_azure_and_names_it(ground: CliGround) -> None:
    source = {"azureML": {"datastore": "blobs", "path": "train.jsonl"}}
    data = [{"name": "train", "source": source, "text": {}}]
    ground.write_job(data=data, output={"azureBlob": {"uri": "https://team.blob.core.windows.net/models/x/"}})

    said = ground.run("validate", "job.yaml")
    document = json.loads(ground.run("validate", "job.yaml", "--json").out)

    assert said.out == "job.yaml is valid: 1 pass (obey), 1 data set, in Azure: data train and output\n"
    assert document["inAzure"] == ["spec.data[0].source.azureML", "spec.output.azureBlob"]
