"""The command as a process: help, usage errors, start-up, streams that are closed or full, signals before any work."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from tests.cliground import CliGround
from tests.importlog import ImportLog

VERBS = ["run", "plan", "validate", "submit", "passes", "import", "watch"]


@pytest.fixture
def ground(tmp_path: Path) -> CliGround:
    return CliGround.make(tmp_path)


@pytest.fixture
def fresh(tmp_path: Path) -> CliGround:
    """For tests of how the interpreter itself starts."""
    return CliGround.make(tmp_path, fresh=True)


# Help.


def test_help_teaches_the_verbs_with_an_example_of_each(ground: CliGround) -> None:
    said = ground.run("--help")

    assert said.code == 0
    for verb in VERBS:
        assert re.search(rf"│ {verb} ", said.out)
    for line in (
        "millwright validate job.yaml",
        "millwright plan job.yaml",
        "millwright run job.yaml",
        "millwright submit job.yaml",
        "millwright import olive.json",
    ):
        assert line in said.out
    assert "Exit codes: 0 done · 2 the input is wrong" in said.out


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help_with_an_example(ground: CliGround, verb: str) -> None:
    said = ground.run(verb, "--help")

    assert (said.code, said.err) == (0, "")
    assert f"Example  millwright {verb} " in said.out
    assert "--json" in said.out


@pytest.mark.parametrize("columns", ["60", "80", "120"])
def test_help_keeps_to_the_screens_width(ground: CliGround, columns: str) -> None:
    said = ground.run("run", "--help", COLUMNS=columns)

    assert max(len(line) for line in said.out.split("\n")) <= int(columns)


def test_no_verb_gives_help_and_is_no_success(ground: CliGround) -> None:
    said = ground.run()

    assert (said.code, said.out) == (2, "")
    assert "Usage: millwright" in said.err


def test_the_version_is_one_line(ground: CliGround) -> None:
    assert ground.run("--version").out == f"millwright {version('millwright')}\n"


def test_where_only_the_command_is_installed_it_says_what_brings_the_rest() -> None:
    code = "import sys; sys.modules['typer'] = None; from millwright_runner.__main__ import main; main()"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "this installation has no command line: pip install 'millwright[runner]', or use the runner's image\n"
    )


def test_the_installed_command_is_the_same_program(ground: CliGround) -> None:
    script = Path(sys.executable).with_name("millwright")

    said = subprocess.run([str(script), "--version"], capture_output=True, text=True, check=True)

    assert said.stdout == ground.run("--version").out


# Usage errors.


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["run"], "millwright run: missing argument 'MANIFEST' (millwright run --help)"),
        (["rnu"], "millwright: no such command 'rnu'. Did you mean 'run'? (millwright --help)"),
        (
            ["run", "--jsn", "job.yaml"],
            "millwright run: no such option: --jsn (Possible options: --json, --set) (millwright run --help)",
        ),
        (
            ["run", "job.yaml", "more.yaml"],
            "millwright run: got unexpected extra argument(s) (more.yaml) (millwright run --help)",
        ),
        (["run", "job.yaml", "--set"], "millwright: option '--set' requires an argument (millwright --help)"),
    ],
)
def test_a_usage_error_is_one_line_and_exit_2(ground: CliGround, arguments: list[str], line: str) -> None:
    said = ground.run(*arguments)

    assert (said.code, said.out, said.err) == (2, "", line + "\n")


def test_a_usage_error_with_json_is_a_document_too(ground: CliGround) -> None:
    said = ground.run("plan", "--json")

    assert json.loads(said.out)["reason"] == "UsageError"
    assert said.code == 2


# What is loaded, and what the process tells libraries.


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["submit", "--help"], ["validate", "job.yaml"], ["plan", "job.yaml"], ["passes"], ["passes", "lora"]],
)
def test_it_starts_without_anything_heavy(fresh: CliGround, arguments: list[str]) -> None:
    imports = ImportLog(fresh.folder / "log")
    watched = imports.environment
    path = os.pathsep.join([watched["PYTHONPATH"], str(fresh.folder / "plugins")])

    said = fresh.run(*arguments, IMPORT_LOG=watched["IMPORT_LOG"], PYTHONPATH=path)

    assert said.code == 0
    assert (
        imports.packages
        & {"torch", "transformers", "peft", "onnxruntime", "boto3", "botocore", "datasets", "pyarrow", "numpy", "azure"}
        == set()
    )


def test_telemetry_is_off_before_anything_is_imported_and_cannot_be_switched_on(ground: CliGround) -> None:
    code = (
        "import os, sys; from millwright_runner.process import prepare; prepare([]);"
        "print(os.environ['ORT_DISABLE_TELEMETRY'], os.environ['HF_HUB_DISABLE_TELEMETRY'], os.environ['DO_NOT_TRACK']);"
        "print([m for m in sys.modules if m.split('.')[0] in ('typer', 'rich', 'pydantic', 'torch', 'onnxruntime')])"
    )

    said = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"ORT_DISABLE_TELEMETRY": "0"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert said.stdout == "1 1 1\n[]\n"


def test_warnings_of_libraries_stay_off_the_screen_but_for_debug(fresh: CliGround) -> None:
    fresh.install(
        "loud", "loud:Loud", 'import warnings\nwarnings.warn("mind the gap")\n' + PASS.format(name="loud", kind="Loud")
    )

    quiet, loud = fresh.run("passes"), fresh.run("passes", "--debug")

    assert "mind the gap" not in quiet.err
    assert "mind the gap" in loud.err


PASS = '''
from typing import ClassVar
from millwright_runner.artifact import HF
from millwright_runner.passes import Pass


class {kind}(Pass):
    """Does nothing."""

    name: ClassVar[str] = "{name}"
    consumes: ClassVar[frozenset[str]] = frozenset({{HF}})
    produces: ClassVar[str] = HF
'''


# Streams.


def test_results_on_a_full_disk_are_no_success(ground: CliGround) -> None:
    said = ground.shell("$M passes --json >/dev/full")

    assert said.code == 2
    assert said.err == "NoSpaceLeft: the disk is full: No space left on device\n"


def test_a_result_that_waits_in_a_buffer_until_the_end_is_no_success_either(ground: CliGround) -> None:
    said = ground.shell("PYTHONUNBUFFERED= $M validate job.yaml >/dev/full")

    assert said.code == 1
    assert said.err == "the result could not be written: No space left on device\n"


def test_a_reader_that_goes_away_is_told_by_the_exit_code_only(ground: CliGround) -> None:
    said = ground.shell("$M passes lora | head -n 1; echo ${PIPESTATUS[0]}")

    assert said.out == "lora  hf → hf+adapter\n141\n"
    assert said.err == ""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_does_not_hurt(ground: CliGround, closed: str) -> None:
    assert ground.shell(f"$M run job.yaml {closed}").code == 0
    assert (ground.folder / "out" / "manifest.json").is_file()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_screen_that_knows_no_unicode_gets_escapes(fresh: CliGround, encoding: str) -> None:
    said = fresh.run("validate", "job.yaml", PYTHONIOENCODING=encoding)
    fresh.write_job({}, {})

    two = fresh.run("validate", "job.yaml", PYTHONIOENCODING=encoding)

    assert said.code == two.code == 0
    assert "(obey \\u2192 obey)" in two.out


def test_a_file_name_that_is_no_unicode_is_told_all_the_same(ground: CliGround) -> None:
    said = ground.shell("$M validate $'job\\xff.yaml'")

    assert said.code == 2
    assert "there is no such file" in said.err
    assert "Traceback" not in said.err


# The end.


ARROW_THAT_ABORTS = "import atexit, os\natexit.register(os.abort)\n"


@pytest.mark.parametrize("code", [0, 3])
def test_the_end_of_a_library_that_aborts_now_and_then_is_not_waited_for(tmp_path: Path, code: int) -> None:
    (tmp_path / "pyarrow.py").write_text(ARROW_THAT_ABORTS)
    program = f"import pyarrow; from millwright_runner.process import leave; print('all is well'); leave({code})"

    said = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=False, timeout=60
    )

    assert (said.returncode, said.stdout) == (code, "all is well\n")


# Signals before any work.


SLOW_PASS = "import time, pathlib\npathlib.Path('importing').touch()\ntime.sleep(60)\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("verb", ["run", "plan", "validate"])
def test_a_signal_while_a_job_is_looked_at_ends_it_at_once(
    ground: CliGround, number: signal.Signals, code: int, verb: str
) -> None:
    os.mkfifo(ground.folder / "job.pipe")
    with (
        ground.started(verb, "job.pipe", "--json") as process,
        (ground.folder / "job.pipe").open("w"),  # opens when it has begun to read; it waits for more
    ):
        process.send_signal(number)
        out, err = process.communicate(timeout=60)

    assert process.returncode == code
    assert (
        err
        == f"Stopped: {number.name}: stopped before anything was made\n  hint: the same command goes on from what is done\n"
    )
    assert json.loads(out)["exitCode"] == code


def test_a_signal_during_imports_ends_it_without_a_traceback(fresh: CliGround) -> None:
    (fresh.folder / "plugins" / "typer.py").write_text(SLOW_PASS)
    with fresh.started("run", "job.yaml") as process:
        while not (fresh.folder / "importing").exists():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (130, "")


# Bugs.


def test_a_bug_is_one_line_with_the_place_of_its_traceback(ground: CliGround) -> None:
    ground.install(
        "odd", "odd:Odd", PASS.format(name="odd", kind="Odd") + "    def data_refs(self):\n        return 1 / 0\n"
    )
    ground.write_job(passes=[{"custom": {"pass": "odd"}}])

    said = ground.run("validate", "job.yaml")

    place = re.search(r"details: (\S+)", said.err)
    assert said.code == 1
    assert said.err.startswith(
        "InternalError: ZeroDivisionError: division by zero\n  hint: this is a bug of Millwright's or of a library\n"
    )
    assert place is not None
    assert "ZeroDivisionError: division by zero" in Path(place[1]).read_text()


def test_a_bug_with_debug_shows_the_traceback(ground: CliGround) -> None:
    ground.install(
        "odd", "odd:Odd", PASS.format(name="odd", kind="Odd") + "    def data_refs(self):\n        return 1 / 0\n"
    )
    ground.write_job(passes=[{"custom": {"pass": "odd"}}])

    said = ground.run("validate", "job.yaml", "--debug")

    assert "Traceback (most recent call last)" in said.err
    assert ground.leftovers() == []


def test_a_bug_in_json_is_a_document_too(ground: CliGround) -> None:
    ground.install(
        "odd", "odd:Odd", PASS.format(name="odd", kind="Odd") + "    def data_refs(self):\n        return 1 / 0\n"
    )
    ground.write_job(passes=[{"custom": {"pass": "odd"}}])

    said = ground.run("validate", "job.yaml", "--json")

    assert json.loads(said.out)["exitCode"] == 1
