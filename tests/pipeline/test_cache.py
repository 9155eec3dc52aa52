"""The cache on real runs: what is made once is not made again, shared by whoever asks, and rebuilt when damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import S3Bucket
from tests.pipeline.jobs import Here, Mill, job, lora

from millwright_api.errors import OutputExists
from millwright_api.report import RunReport
from millwright_runner.published import read_published
from millwright_runner.stores import open_store


def caches(report: RunReport) -> list[str]:
    return [entry.cache for entry in report.passes]


def digest(report: RunReport) -> str:
    assert report.artifact is not None
    return report.artifact.digest


def test_a_second_run_takes_everything_from_the_cache(phi3: Path, rows: Path, here: Here, tmp_path: Path) -> None:
    first = here.run(job(phi3, rows, "out"))
    made = (tmp_path / "out" / "model" / "model.onnx").stat()

    second = here.run(job(phi3, rows, "out"))

    assert (caches(first), caches(second)) == (["Miss"] * 3, ["Hit"] * 3)
    assert digest(first) == digest(second)
    assert (tmp_path / "out" / "model" / "model.onnx").stat().st_mtime_ns == made.st_mtime_ns
    assert second.passes[0].metrics == first.passes[0].metrics != {}


def test_another_precision_trains_nothing_again(phi3: Path, rows: Path, here: Here, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    variants = [{"precision": "int4"}, {"precision": "int4", "blockSize": 16}, {"precision": "int8"}]

    reports = [
        here.run(job(phi3, rows, f"out-{i}", lora(), {"merge": {}}, {"genai": v}), cache)
        for i, v in enumerate(variants)
    ]

    assert [caches(report) for report in reports] == [["Miss"] * 3, ["Hit", "Hit", "Miss"], ["Hit", "Hit", "Miss"]]
    assert len({digest(report) for report in reports}) == 3


def test_data_that_changed_are_trained_on_again(phi3: Path, rows: Path, here: Here, tmp_path: Path) -> None:
    mine = tmp_path / "mine.jsonl"
    mine.write_text(rows.read_text())
    here.run(job(phi3, mine, "one", lora()), tmp_path / "cache")
    mine.write_text(rows.read_text().replace("joy", "joyful"))

    assert caches(here.run(job(phi3, mine, "two", lora()), tmp_path / "cache")) == ["Miss"]


@pytest.mark.parametrize("damage", ["torn", "changed", "gone"])
def test_a_damaged_result_is_found_and_made_again(
    damage: str, phi3: Path, rows: Path, here: Here, tmp_path: Path
) -> None:
    first = here.run(job(phi3, rows, "out"))
    for file in tmp_path.glob("out/**/model.onnx.data"):
        if damage == "gone":
            file.unlink()
        else:
            content = file.read_bytes()
            file.write_bytes(content[:-8] if damage == "torn" else content[:-8] + b"........")

    second = here.run(job(phi3, rows, "out"))

    assert caches(second) == ["Hit", "Hit", "Miss"]
    assert digest(second) == digest(first)
    assert caches(here.run(job(phi3, rows, "out"))) == ["Hit"] * 3


def test_off_keeps_nothing_and_reuses_nothing(phi3: Path, rows: Path, here: Here, tmp_path: Path) -> None:
    manifest = job(phi3, rows, "out", lora(), {"merge": {}}, cache={"mode": "Off"})

    reports = [here.run(manifest), here.run(manifest)]

    assert [caches(report) for report in reports] == [["Off", "Off"], ["Off", "Off"]]
    assert digest(reports[0]) == digest(reports[1])
    assert not (tmp_path / "out" / ".millwright" / "cache").exists()


def test_read_only_uses_the_cache_and_adds_nothing(phi3: Path, rows: Path, here: Here, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    here.run(job(phi3, rows, "one", lora()), cache)
    before = sorted(cache.rglob("*"))

    report = here.run(job(phi3, rows, "two", lora(), {"merge": {}}, cache={"mode": "ReadOnly"}), cache)

    assert caches(report) == ["Hit", "Miss"]
    assert sorted(cache.rglob("*")) == before


def test_two_processes_with_one_cache_do_the_work_once(phi3: Path, rows: Path, tmp_path: Path) -> None:
    mills = [Mill(tmp_path / name) for name in ("a", "b")]
    for mill in mills:
        mill.folder.mkdir()
    running = [mill.start(job(phi3, rows, "out"), "--cache", str(tmp_path / "cache")) for mill in mills]

    for process in running:
        process.communicate(timeout=180)

    assert [process.returncode for process in running] == [0, 0]
    told = [mill.said() for mill in mills]
    for step in ("lora (1/3)", "merge (2/3)", "genai (3/3)"):
        assert sum(f"{step}: done" in text for text in told) == 1, told


def test_an_output_that_holds_another_result_is_refused_until_told(
    phi3: Path, rows: Path, here: Here, tmp_path: Path
) -> None:
    first = here.run(job(phi3, rows, "out", {"genai": {"precision": "int4"}}))
    other: dict[str, Any] = job(phi3, rows, "out", {"genai": {"precision": "int8"}})

    with pytest.raises(OutputExists, match=r"holds another result .* \(set spec.output.replace: true"):
        here.run(other)
    untouched = read_published(open_store(tmp_path / "out"))
    other["spec"]["output"]["replace"] = True
    replaced = here.run(other)

    assert untouched is not None
    assert untouched.tree.digest == digest(first)
    now = read_published(open_store(tmp_path / "out"))
    assert now is not None
    assert now.tree.digest == digest(replaced) != digest(first)


def test_results_in_s3_are_found_by_another_machine(
    phi3: Path, rows: Path, here: Here, s3: S3Bucket, tmp_path: Path
) -> None:
    first = here.run(job(phi3, rows, f"{s3.uri}models/a/"))
    elsewhere = Here(tmp_path / "another-machine")
    elsewhere.folder.mkdir()

    again = elsewhere.run(job(phi3, rows, f"{s3.uri}models/a/"))
    manifest = job(phi3, rows, f"{s3.uri}models/a/", lora(), {"merge": {}}, {"genai": {"precision": "fp32"}})
    manifest["spec"]["output"]["replace"] = True
    other = elsewhere.run(manifest)

    assert caches(again) == ["Hit"] * 3
    assert digest(again) == digest(first)
    assert caches(other) == ["Hit", "Hit", "Miss"]


def test_a_damaged_result_in_s3_is_found_and_made_again(phi3: Path, rows: Path, here: Here, s3: S3Bucket) -> None:
    manifest = job(phi3, rows, f"{s3.uri}models/a/", lora(), {"merge": {}})
    first = here.run(manifest)
    for file in s3.folder.rglob("model.safetensors"):
        file.write_bytes(file.read_bytes()[:-4])

    second = here.run(manifest)

    assert caches(second) == ["Hit", "Miss"]
    assert digest(second) == digest(first)


def test_the_disk_holds_each_file_once(phi3: Path, rows: Path, here: Here, tmp_path: Path) -> None:
    report = here.run(job(phi3, rows, "out"))

    held = {
        file.stat().st_ino: file.stat().st_size
        for file in (tmp_path / "out").rglob("*")
        if file.is_file() and not file.is_symlink()
    }
    large = sum(size for size in held.values() if size > 100_000)
    needed = sum(entry.bytes or 0 for entry in report.passes)
    assert large <= 1.2 * needed


def test_a_run_leaves_a_report_beside_the_model_with_the_course_of_the_loss(
    phi3: Path, rows: Path, here: Here, tmp_path: Path
) -> None:
    here.run(job(phi3, rows, "out", lora()))

    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [entry["step"] for entry in report["history"]["lora"]] == [2, 4, 6, 8]
    assert report["passes"][0]["cache"] == "Miss"


def test_a_run_that_finds_all_done_leaves_the_report_of_the_run_that_did_it(
    phi3: Path, rows: Path, here: Here, tmp_path: Path
) -> None:
    here.run(job(phi3, rows, "out", lora()))
    first = (tmp_path / "out" / "report.json").read_bytes()

    again = here.run(job(phi3, rows, "out", lora()))

    assert caches(again) == ["Hit"]
    assert (tmp_path / "out" / "report.json").read_bytes() == first
