"""The bench measures what it says, and gives both sides the same job."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import olive

BENCH = Path(__file__).parents[2] / "bench" / "olive"
MIB = 1 << 20


def load(name: str) -> ModuleType:
    sys.path.insert(0, str(BENCH))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(BENCH))


measure = load("measure")
inputs = load("inputs")
bench = load("bench")


def run(code: str, folder: Path) -> Any:
    """Measures a program, from a small process as the bench is one: the kernel counts a child's memory from its fork on,
    when it still has its parent's, and a test process may be large."""
    script = (
        "import os, sys, pathlib; from measure import measure\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "print(measure([sys.executable, '-c', sys.argv[2]], folder, folder / 'log', os.environ))\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", script, str(folder), code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(BENCH)},
    )
    return eval(told.stdout, {"Measured": measure.Measured})


class TestMeasure:
    def test_the_exit_status_and_the_output_are_kept(self, tmp_path: Path) -> None:
        measured = run("print('hello'); raise SystemExit(3)", tmp_path)

        assert measured.exit == 3
        assert (tmp_path / "log").read_text() == "hello\n"

    def test_a_signal_is_a_negative_exit_status(self, tmp_path: Path) -> None:
        assert run("import os; os.kill(os.getpid(), 9)", tmp_path).exit == -9

    def test_cpu_of_children_counts(self, tmp_path: Path) -> None:
        busy = "import time\nwhile time.process_time() < 0.5: pass"

        measured = run(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])", tmp_path)

        assert measured.cpu_s >= 0.5
        assert measured.wall_s >= 0.5

    def test_the_peak_is_that_of_the_largest_process(self, tmp_path: Path) -> None:
        child = "b = b'x' * (200 << 20)"

        measured = run(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])", tmp_path)

        assert 200 <= measured.peak_mib <= 260

    def test_the_tree_is_the_sum_of_processes_that_live_at_a_time(self, tmp_path: Path) -> None:
        child = "import time; b = b'x' * (100 << 20); time.sleep(0.6)"
        parent = f"""
import subprocess, sys
b = b'x' * (100 << 20)
both = [subprocess.Popen([sys.executable, '-c', {child!r}]) for _ in range(2)]
[p.wait() for p in both]
"""
        measured = run(parent, tmp_path)

        assert measured.peak_mib < 200
        assert 300 <= measured.tree_mib <= 400

    def test_pages_that_a_forked_child_shares_count_once(self, tmp_path: Path) -> None:
        measured = run(
            "import os, time\nb = b'x' * (200 << 20)\npid = os.fork()\ntime.sleep(0.6)\nif pid: os.waitpid(pid, 0)",
            tmp_path,
        )

        assert 200 <= measured.tree_mib <= 280

    def test_figures_are_data(self, tmp_path: Path) -> None:
        assert set(run("pass", tmp_path).as_dict()) == {"exit", "others_cpu_s", *bench.FIGURES}


@pytest.mark.parametrize("size", ["tiny", "big"])
class TestTheJob:
    def test_millwright_takes_all_of_olives_json_over(self, size: str, tmp_path: Path) -> None:
        imported = olive.convert(
            inputs.olive_job(size, tmp_path, tmp_path / "work"), name=size, config_path=tmp_path / "job.json"
        )

        assert imported.unmapped == []
        assert imported.runnable

    def test_both_train_the_same_number_of_sequences_of_the_same_length(self, size: str, tmp_path: Path) -> None:
        theirs = inputs.olive_job(size, tmp_path, tmp_path / "work")
        ours = OptimizationJob.model_validate(
            olive.convert(theirs, name=size, config_path=tmp_path / "job.json").manifest
        ).spec

        lora = ours.passes[0].options
        arguments = theirs["passes"]["lora"]["training_args"]
        assert lora["training"]["gradientAccumulationSteps"] == 4
        assert arguments["per_device_train_batch_size"] * arguments["gradient_accumulation_steps"] == 4
        assert lora["training"]["maxSteps"] == arguments["max_steps"] == 10
        assert ours.data[0].format.max_length == inputs.MAX_LENGTH[size]
        assert [step.pass_name for step in ours.passes] == ["lora", "merge", "genai"]


class TestTheTable:
    def results(self) -> Any:
        results = bench.Results()
        for key, wall in (("tiny cold: olive, CI=1", (20.0, 10.0, 30.0)), ("tiny cold: millwright", (5.0, 6.0, 4.0))):
            for seconds in wall:
                results.add(key, measure.Measured(0, seconds, seconds * 2, 1000.0, 1100.0, 50.0, 0.0))
        return results

    def test_figures_are_medians(self) -> None:
        assert self.results().median("tiny cold: olive, CI=1", "wall_s") == 20.0

    def test_a_line_of_the_peer_has_our_figure_divided_by_its(self) -> None:
        table = bench.table(self.results())

        assert list(table.columns[1].cells) == ["20.0 (0.25)", "5.0"]

    def test_the_report_has_each_run_and_the_medians(self) -> None:
        report = bench.report(self.results())

        assert [run["wall_s"] for run in report["runs"]["tiny cold: millwright"]] == [5.0, 6.0, 4.0]
        assert report["medians"]["tiny cold: millwright"]["wall_s"] == 5.0

    def test_a_run_on_a_busy_machine_is_marked(self, capsys: pytest.CaptureFixture[str]) -> None:
        bench.Results().add("tiny cold: millwright", measure.Measured(0, 5.0, 5.0, 900.0, 900.0, 10.0, 12.0))

        assert "others used 12 s of CPU: discard" in capsys.readouterr().err

    def test_a_file_with_two_names_counts_once_on_disk(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(bytes(2 * MIB))
        (tmp_path / "b").hardlink_to(tmp_path / "a")
        side = bench.Contender("x", lambda size: [], {}, lambda size: [tmp_path], lambda size: tmp_path)

        assert bench.on_disk(side, "tiny") == 2.0


def test_nothing_of_the_environment_changes_by_importing_it() -> None:
    code = "import os; before = dict(os.environ); import inputs, measure, bench; print(dict(os.environ) == before)"

    told = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(BENCH)}, capture_output=True, check=True
    )

    assert told.stdout == b"True\n"


def test_the_pins_are_versions_and_name_no_host() -> None:
    lines = [
        line for name in ("requirements.txt", "constraints.txt") for line in (BENCH / name).read_text().splitlines()
    ]

    assert [line for line in lines if line.count("==") != 1 or "/" in line] == []
