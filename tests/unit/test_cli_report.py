"""`millwright report`: the page of a folder, a bucket or a file; served, opened, or what is wrong."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import searches
from tests.cliground import CliGround
from tests.conftest import S3Bucket
from tests.reports import MANIFEST, report

from millwright_runner import page, record
from millwright_runner.cli import app
from millwright_runner.cli.report import find
from millwright_runner.stores import open_store

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job's output, in the folder that the command runs in."""
    monkeypatch.setenv("MILLWRIGHT_HOME", str(tmp_path / "home"))
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "out"
    (folder / "1d09af37").mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps(report()))
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    (folder / "1d09af37" / "model.onnx").write_bytes(b"onnx")
    return folder


@pytest.fixture
def say(output: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Say:
    """Runs the verb; returns its exit code and both streams."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = app.main(["report", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


class TestPage:
    def test_of_a_search_it_has_the_trials(self, say: Say, output: Path) -> None:
        (output / "report.json").write_text(json.dumps(report(search=searches.search())))

        code, _, _ = say("out")

        assert code == 0
        assert "8 trials: 5 succeeded" in (output / "report.html").read_text()

    def test_of_a_folder_it_lies_beside_the_report(self, say: Say, output: Path) -> None:
        code, out, _ = say("out")

        assert (code, out) == (0, f"{output / 'report.html'}\n")
        assert "model.onnx" in (output / "report.html").read_text()

    def test_a_report_is_named_itself(self, say: Say, output: Path) -> None:
        (output / "report.json").rename(output / "old.json")

        assert say("out/old.json")[0] == 0
        assert "emotion" in (output / "report.html").read_text()

    def test_it_is_written_where_one_wants_it(self, say: Say, tmp_path: Path) -> None:
        code, out, _ = say("out", "--output", "pages/mine.html")

        assert (code, out) == (0, "pages/mine.html\n")
        assert (tmp_path / "pages" / "mine.html").is_file()

    @pytest.mark.parametrize("ending", ["", "/", "/report.json"])
    def test_of_a_bucket_it_lies_in_the_machines_folder(self, say: Say, s3: S3Bucket, ending: str) -> None:
        store = open_store(s3.location("out"))
        store.write("report.json", json.dumps(report()).encode())

        code, out, _ = say(f"{s3.location('out').uri.rstrip('/')}{ending}")

        assert code == 0
        assert "home/pages/" in out
        assert "emotion" in Path(out.strip()).read_text()

    def test_without_a_display_no_browser_is_opened(self, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
        opened: list[str] = []
        monkeypatch.setattr(webbrowser, "open", opened.append)

        say("out")

        assert opened == []

    def test_on_demand_it_is(self, say: Say, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        opened: list[str] = []
        monkeypatch.setattr(webbrowser, "open", opened.append)

        say("out", "--open")

        assert opened == [(output / "report.html").as_uri()]

    def test_on_a_terminal_with_a_display_it_is(self, say: Say, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        opened: list[str] = []
        monkeypatch.setattr(webbrowser, "open", opened.append)
        monkeypatch.setenv("DISPLAY", ":0")
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

        say("out")
        say("out", "--no-open")

        assert opened == [(output / "report.html").as_uri()]


class TestBadInput:
    def test_a_path_that_does_not_exist(self, say: Say) -> None:
        code, _, err = say("otu")

        assert code == 2
        assert "ReportNotFound: otu: there is no such file or folder" in err
        assert "did you mean 'out'?" in err

    def test_the_models_own_folder(self, say: Say, output: Path) -> None:
        code, _, err = say("out/1d09af37")

        assert code == 2
        assert f"this is the model's own folder; did you mean {output}?" in err

    def test_a_folder_above_it(self, say: Say) -> None:
        code, _, err = say(".")

        assert code == 2
        assert "did you mean ./out/report.json?" in err

    def test_a_folder_without_a_report_says_what_is_there(self, say: Say, output: Path) -> None:
        (output / "report.json").unlink()

        code, _, err = say("out")

        assert code == 2
        assert "there is no report.json: no run has ended with this as its output" in err
        assert "it holds 1d09af37, manifest.json" in err

    def test_an_empty_place_in_a_bucket(self, say: Say, s3: S3Bucket) -> None:
        code, _, err = say(s3.location("nothing").uri)

        assert code == 2
        assert "it is empty" in err

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("{torn", "this is not JSON: "),
            ("[" * 100_000, "this is not JSON: "),
            ('{"kind": "PublishedModel"}', "this is no run's report: found an object with 'kind'"),
        ],
        ids=["torn", "deep", "another document"],
    )
    def test_a_file_that_is_no_report(self, say: Say, output: Path, text: str, told: str) -> None:
        (output / "report.json").write_text(text)

        code, _, err = say("out")

        assert code == 2
        assert f"NotAReport: {output / 'report.json'}: {told}" in err
        assert not (output / "report.html").exists()

    def test_a_manifest_that_is_torn_is_left_out(self, say: Say, output: Path) -> None:
        (output / "manifest.json").write_text("{torn")

        assert say("out")[0] == 0

    def test_a_page_that_cannot_be_written(self, say: Say, output: Path) -> None:
        code, _, err = say("out", "--output", "out/manifest.json/page.html")

        assert code == 2
        assert "the page cannot be written" in err
        assert "choose a place with --output FILE" in err

    def test_a_port_without_serving(self, say: Say) -> None:
        code, _, err = say("out", "--port", "8000")

        assert code == 2
        assert "only with --serve" in err

    def test_a_uri_of_another_kind(self, say: Say) -> None:
        assert say("gs://bucket/out")[0] == 2


class TestServe:
    def test_it_is_served_to_this_machine_until_it_is_stopped(self, output: Path) -> None:
        process = serving(output)
        try:
            url = process.stdout.readline().strip()

            with urllib.request.urlopen(url) as answer:
                page = answer.read().decode()
            assert url.startswith("http://127.0.0.1:")
            assert page == (output / "report.html").read_text()
            assert status(url + "manifest.json") == 404
            assert status(url, host="elsewhere.example:80") == 404
        finally:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)

        assert (process.returncode, err) == (0, "")

    def test_a_port_that_is_taken_is_said(self, say: Say) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]

            code, _, err = say("out", "--serve", "--port", str(port))

        assert code == 2
        assert f"port {port} cannot be listened on" in err


def serving(output: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "millwright_runner", "report", str(output), "--serve"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ,
    )  # fmt: skip


def status(url: str, host: str | None = None) -> int:
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


class TestRuns:
    """What a run leaves: tests/pipeline has those with figures."""

    @pytest.fixture
    def ground(self, tmp_path: Path) -> CliGround:
        return CliGround.make(tmp_path)

    def test_a_run_leaves_the_page_beside_the_model_and_in_the_machines_folder(self, ground: CliGround) -> None:
        assert ground.run("run", "job.yaml").code == 0

        page = (ground.folder / "out" / "report.html").read_text()
        assert "Published" in page
        assert "step-0" in page
        assert page == (ground.folder / "home" / "runs" / "copy" / "report.html").read_text()

    def test_a_run_that_failed_leaves_it_in_the_machines_folder_only(self, ground: CliGround) -> None:
        ground.write_job({"end": "input"})

        assert ground.run("run", "job.yaml").code == 2

        assert not (ground.folder / "out" / "report.html").exists()
        page = (ground.folder / "home" / "runs" / "copy" / "report.html").read_text()
        assert "Failed: InvalidModel" in page
        assert "it has no head" in page

    def test_its_report_gives_the_same_page_again(self, ground: CliGround) -> None:
        ground.run("run", "job.yaml")
        page = ground.folder / "out" / "report.html"
        first = page.read_bytes()

        assert ground.run("report", "out").code == 0

        assert page.read_bytes() == first

    def test_options_and_files_are_told_by_the_report(self, ground: CliGround) -> None:
        ground.write_job({"steps": 2, "say": "hello"})

        ground.run("run", "job.yaml")

        page = (ground.folder / "out" / "report.html").read_text()
        assert "<dt>say</dt><dd>hello</dd>" in page
        assert "config.json" in page

    def test_a_page_that_cannot_be_drawn_says_so_and_the_run_goes_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_: object) -> str:
            raise ValueError("<b>no ink</b>")

        monkeypatch.setattr(page, "render", broken)

        drawn = record.page_of(report(), None).decode()

        assert "No page could be made: ValueError: &lt;b&gt;no ink&lt;/b&gt;" in drawn


def test_a_place_is_found_once_it_has_a_report(output: Path) -> None:
    store, name = find("out")

    assert (store.uri, name) == (f"{output}/", "report.json")
