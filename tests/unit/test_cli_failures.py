"""How a failure is told: reason, place, hint; its exit code; and the screen's parts."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from millwright_api import errors
from millwright_api.errors import (
    Damaged,
    InvalidManifest,
    MillwrightError,
    NoSpaceLeft,
    OutputExists,
    PassFailed,
    Stopped,
    TrialsFailed,
    UserError,
)
from millwright_api.v1alpha1 import S3Location
from millwright_runner.cli import failures, places, screen
from millwright_runner.cli.failures import InternalError, as_failure, exit_code, needs_traceback
from millwright_runner.manifest import load


def told(error: MillwrightError, details: Path | None = None, width: int = 80) -> str:
    out = io.StringIO()
    failures.tell(error, Console(file=out, width=width, highlight=False, markup=False, emoji=False), details)
    return out.getvalue()


def leaves(kind: type[Exception]) -> list[type[Exception]]:
    return [leaf for sub in kind.__subclasses__() for leaf in leaves(sub)] or [kind]


OURS = [leaf for leaf in leaves(MillwrightError) if leaf.__module__ == errors.__name__]


class TestTheBlock:
    def test_reason_place_and_message_are_one_line_and_the_hint_the_next(self) -> None:
        error = InvalidManifest("unknown key", where="job.yaml:12: spec.passes[0].lora.ranck", hint="did you mean 'r'?")

        assert (
            told(error)
            == "InvalidManifest: job.yaml:12: spec.passes[0].lora.ranck: unknown key\n  hint: did you mean 'r'?\n"
        )

    def test_without_place_and_hint_it_is_shorter(self) -> None:
        assert told(UserError("no")) == "UserError: no\n"

    def test_several_problems_are_counted_and_indented(self) -> None:
        assert (
            told(InvalidManifest("a: x\nb: y", where="job.yaml"))
            == "InvalidManifest: job.yaml: 2 problems\n  a: x\n  b: y\n"
        )

    def test_long_lines_are_not_broken_so_that_paths_can_be_copied(self) -> None:
        path = "/a/rather/long/path" * 10

        assert told(UserError("no", where=path), width=40) == f"UserError: {path}: no\n"

    def test_brackets_are_text_and_no_markup(self) -> None:
        assert told(UserError("[bold]a[/bold] :smile: {x}")) == "UserError: [bold]a[/bold] :smile: {x}\n"

    def test_details_are_named(self) -> None:
        assert told(PassFailed("it broke"), Path("/tmp/x.log")) == "PassFailed: it broke\n  details: /tmp/x.log\n"

    @pytest.mark.parametrize("error", [Damaged("torn"), Stopped("SIGTERM: stopped at step 3")])
    def test_what_can_go_on_says_so(self, error: MillwrightError) -> None:
        assert told(error).endswith("  hint: the same command goes on from what is done\n")


class TestExitCodes:
    def test_every_failure_has_a_code_of_its_branch(self) -> None:
        assert {exit_code(kind("x")) for kind in OURS} == {1, 2, 3, 75, 143}  # type: ignore[arg-type]

    @pytest.mark.parametrize(("number", "code"), [(15, 143), (2, 130), (1, 129)])
    def test_a_stop_is_128_and_the_signal(self, number: int, code: int) -> None:
        assert exit_code(Stopped("x", signal=number)) == code

    def test_none_is_a_success(self) -> None:
        assert all(exit_code(kind("x")) != 0 for kind in [*OURS, InternalError, failures.UsageError])  # type: ignore[arg-type]

    def test_the_report_has_the_same_code(self) -> None:
        report = failures.report(Stopped("x", signal=2))

        assert (report.outcome, report.reason, report.exit_code) == ("Stopped", "Stopped", 130)


class TestAnyException:
    def test_ours_stay_what_they_are(self) -> None:
        error = OutputExists("it holds another result")

        assert as_failure(error) is error

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
    def test_a_full_disk_is_the_users(self, number: int) -> None:
        found = as_failure(OSError(number, os.strerror(number), "/models/x"))

        assert isinstance(found, NoSpaceLeft)
        assert found.where == "/models/x"

    def test_an_installation_without_azures_sdks_says_what_to_install(self) -> None:
        found = as_failure(ModuleNotFoundError("No module named 'azure.storage'", name="azure.storage"))

        assert exit_code(found) == 2
        assert "azure.storage is not installed here (pip install 'millwright[azure]'" in str(found)

    def test_too_little_memory_says_what_estimates_it(self) -> None:
        assert "millwright plan" in str(as_failure(MemoryError()))

    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (ValueError("a\nb"), "ValueError: a"),
            (KeyError("x"), "KeyError: 'x'"),
            (RuntimeError(), "RuntimeError: no message"),
        ],
    )
    def test_the_rest_is_a_bug_told_in_one_line(self, error: Exception, message: str) -> None:
        found = as_failure(error)

        assert isinstance(found, InternalError)
        assert (found.message, exit_code(found)) == (message, 1)

    def test_only_what_is_no_input_needs_a_traceback(self) -> None:
        assert needs_traceback(PassFailed("x"))
        assert needs_traceback(InternalError("x"))
        assert needs_traceback(TrialsFailed("x"))  # the log has the tracebacks of all of them
        others = set(OURS) - {PassFailed, TrialsFailed}
        assert not any(needs_traceback(kind("x")) for kind in others)  # type: ignore[arg-type]


class TestDetails:
    @pytest.fixture(autouse=True)
    def _temporary(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def error(self) -> Exception:
        try:
            raise ValueError("of the tensors")
        except ValueError as error:
            return error

    def test_the_traceback_is_written(self) -> None:
        place = screen.write_details(self.error(), None)

        assert place is not None
        assert "ValueError: of the tensors" in place.read_text()
        assert place.stat().st_mode & 0o077 == 0  # it may hold what others should not read

    def test_what_libraries_printed_comes_before_it_and_only_its_end_is_kept(self) -> None:
        with screen.nameless_log() as log:
            log.write(b"first\n" + b"x" * screen.KEPT_BYTES + b"last\xff\n")

            place = screen.write_details(self.error(), log)

        assert place is not None
        text = place.read_text()
        assert "first" not in text
        assert text.index("last") < text.index("Traceback")

    def test_without_a_place_for_it_there_are_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tempfile.tempdir", "/proc/none")

        assert screen.write_details(self.error(), None) is None


class TestLibrariesAreKeptOff:
    def run(self, body: str) -> subprocess.CompletedProcess[str]:
        code = f"import os, sys\nfrom millwright_runner.cli import screen\n{body}"
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    def test_prints_go_to_the_log_and_the_console_to_the_screen(self) -> None:
        said = self.run(
            "with screen.nameless_log() as log:\n"
            "    with screen.libraries_kept_off(log) as console:\n"
            "        print('python'); os.write(1, b'c\\n'); os.system('echo child >&2'); console.print('shown')\n"
            "    print('after')\n"
            "    log.seek(0); print(sorted(log.read().split()))\n"
        )

        assert said.stdout == "after\n[b'c', b'child', b'python']\n"
        assert said.stderr == "shown\n"

    def test_streams_come_back_after_a_failure(self) -> None:
        said = self.run(
            "try:\n"
            "    with screen.nameless_log() as log, screen.libraries_kept_off(log):\n"
            "        raise ValueError\n"
            "except ValueError:\n"
            "    print('out'); print('err', file=sys.stderr)\n"
        )

        assert (said.stdout, said.stderr) == ("out\n", "err\n")

    def test_no_file_is_left_open(self) -> None:
        said = self.run(
            "before = len(os.listdir('/proc/self/fd'))\n"
            "for _ in range(5):\n"
            "    with screen.nameless_log() as log, screen.libraries_kept_off(log): pass\n"
            "print(len(os.listdir('/proc/self/fd')) - before)\n"
        )

        assert said.stdout == "0\n"


class TestPlaces:
    @pytest.mark.parametrize(
        ("environment", "folder"),
        [
            ({"MILLWRIGHT_HOME": "/data/mill", "XDG_CACHE_HOME": "/cache"}, "/data/mill"),
            ({"XDG_CACHE_HOME": "/cache"}, "/cache/millwright"),
            ({"HOME": "/home/ann"}, "/home/ann/.cache/millwright"),
            ({"HOME": "/home/ann", "MILLWRIGHT_HOME": "~/mill"}, "/home/ann/mill"),
            ({"HOME": "/home/ann", "MILLWRIGHT_HOME": "", "XDG_CACHE_HOME": ""}, "/home/ann/.cache/millwright"),
        ],
    )
    def test_the_machines_folder_follows_the_environment(
        self, environment: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("MILLWRIGHT_HOME", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

        assert places.home() == Path(folder)

    @pytest.mark.parametrize(
        ("text", "place"),
        [
            (None, None),
            ("s3://team-a/cache/", S3Location(uri="s3://team-a/cache/")),
            ("/data/cache", Path("/data/cache")),
            ("~/cache", Path("/home/ann/cache")),
        ],
    )
    def test_a_cache_is_a_folder_or_a_bucket(
        self, text: str | None, place: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", "/home/ann")

        assert places.cache_place(text) == place

    def test_a_relative_cache_starts_where_the_command_was_typed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)

        assert places.cache_place("cache") == tmp_path / "cache"

    def test_settings_make_the_machines_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MILLWRIGHT_HOME", str(tmp_path / "a" / "home"))
        (tmp_path / "job.yaml").write_text(
            "{apiVersion: millwright.dev/v1alpha1, kind: OptimizationJob, metadata: {name: j},"
            " spec: {model: {path: m}, passes: [{merge: {}}], output: {path: o}}}"
        )

        found = places.settings(load(tmp_path / "job.yaml"), None)

        assert (found.base, found.home, found.cache) == (tmp_path, tmp_path / "a" / "home", None)
        assert found.home.is_dir()
