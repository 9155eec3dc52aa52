"""In a container with a limit, no more threads compute than the limit has cores."""

from __future__ import annotations

from pathlib import Path

import pytest

from millwright_runner.cores import cores, keep_to_limit, threads


def version_2(folder: Path, limit: str) -> Path:
    """A container's own control group as Linux shows it."""
    (folder / "cgroup.controllers").write_text("cpu memory\n")
    (folder / "cpu.max").write_text(f"{limit}\n")
    return folder


def version_1(folder: Path, quota: str, period: str = "100000") -> Path:
    """The same on older systems."""
    (folder / "cpu").mkdir()
    (folder / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (folder / "cpu" / "cpu.cfs_period_us").write_text(f"{period}\n")
    return folder


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


class TestCores:
    @pytest.mark.parametrize(("limit", "many"), [
        ("400000 100000", 4), ("150000 100000", 2), ("50000 100000", 1), ("1600000 100000", 8), ("max 100000", 8),
    ])  # fmt: skip
    def test_are_no_more_than_the_containers_limit(self, tmp_path: Path, limit: str, many: int) -> None:
        assert cores(version_2(tmp_path, limit)) == many

    @pytest.mark.parametrize(("quota", "many"), [("250000", 3), ("-1", 8)])
    def test_on_older_systems_too(self, tmp_path: Path, quota: str, many: int) -> None:
        assert cores(version_1(tmp_path, quota)) == many

    def test_are_those_of_the_process_where_nothing_limits_it(self, tmp_path: Path) -> None:
        assert cores(tmp_path) == 8

    def test_are_those_of_the_process_where_the_limit_cannot_be_read(self, tmp_path: Path) -> None:
        assert cores(version_2(tmp_path, "many of them")) == 8


class TestThreads:
    def test_are_as_many_as_the_limit_has_cores(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OMP_NUM_THREADS", "")  # put back at the end, whatever is set here
        monkeypatch.delenv("OMP_NUM_THREADS")

        keep_to_limit(version_2(tmp_path, "300000 100000"))

        assert threads() == 3

    def test_that_a_person_has_set_stay(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OMP_NUM_THREADS", "5")

        keep_to_limit(version_2(tmp_path, "300000 100000"))

        assert threads() == 5

    def test_are_the_libraries_choice_without_a_limit(self, tmp_path: Path) -> None:
        keep_to_limit(tmp_path)

        assert threads() is None

    @pytest.mark.parametrize("said", ["", "0", "4,2", "many"])
    def test_that_are_no_plain_number_are_left_to_the_library(self, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
        monkeypatch.setenv("OMP_NUM_THREADS", said)

        assert threads() is None
