"""A step's folders: one process at a time, nothing half-made left for the next one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from millwright_api.errors import NoSpaceLeft, Stopped, UserError
from millwright_runner.workplace import PrivateFolder, check_space, workplace


def test_after_success_nothing_is_left(tmp_path: Path) -> None:
    with workplace(tmp_path, "k", waiting=lambda: None) as place:
        (place.scratch / "tokens").write_text("packed")

    assert list(tmp_path.iterdir()) == []


def test_after_a_failure_the_scratch_folder_is_kept_and_the_result_is_not(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), workplace(tmp_path, "k", waiting=lambda: None) as place:
        (place.result / "half").write_text("made")
        (place.scratch / "tokens").write_text("packed")
        raise RuntimeError

    with workplace(tmp_path, "k", waiting=lambda: None) as place:
        assert list(place.result.iterdir()) == []
        assert (place.scratch / "tokens").read_text() == "packed"


def test_after_a_users_error_nothing_is_left_not_even_the_folders_that_were_made(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()

    with (
        pytest.raises(UserError),
        workplace(tmp_path / "out" / ".millwright" / "work", "k", waiting=lambda: None) as place,
    ):
        (place.scratch / "tokens").write_text("packed")
        raise UserError("line 7 is malformed")

    assert list(tmp_path.rglob("*")) == [tmp_path / "out"]


HOLD = """
import sys
from pathlib import Path
from millwright_runner.workplace import workplace
with workplace(Path(sys.argv[1]), "k", waiting=lambda: None) as place:
    (place.result / "half").write_text("made")
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(root: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_waits_and_says_so(tmp_path: Path) -> None:
    other = holder(tmp_path)
    waited: list[str] = []

    def waiting() -> None:
        waited.append("yes")
        other.communicate("")

    with workplace(tmp_path, "k", waiting) as place:
        assert waited == ["yes"]
        assert list(place.result.iterdir()) == []


def test_a_wait_can_be_given_up(tmp_path: Path) -> None:
    other, looks = holder(tmp_path), iter(range(3))

    def waiting() -> None:
        if next(looks) == 2:
            raise Stopped("while waiting")

    with pytest.raises(Stopped), workplace(tmp_path, "k", waiting):
        pytest.fail("two processes had the lock")
    other.communicate("")


def test_a_killed_process_leaves_no_lock_behind(tmp_path: Path) -> None:
    other = holder(tmp_path)
    os.kill(other.pid, signal.SIGKILL)
    other.wait()

    def waiting() -> None:
        raise AssertionError("the lock outlived its process")

    with workplace(tmp_path, "k", waiting) as place:
        assert list(place.result.iterdir()) == []


def test_other_keys_do_not_wait(tmp_path: Path) -> None:
    other = holder(tmp_path)

    with workplace(tmp_path, "another", waiting=lambda: pytest.fail("waited")):
        pass
    other.communicate("")


def test_those_who_wait_get_the_lock_one_after_the_other(tmp_path: Path) -> None:
    """The first one removes the lock's file while the others wait on it: each must still be alone."""
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom millwright_runner.workplace import workplace\n"
        "root = Path(sys.argv[1])\n"
        "for _ in range(20):\n"
        "    with workplace(root / 'w', 'k', waiting=lambda: None):\n"
        "        (root / 'inside').mkdir()\n"
        "        (root / 'inside').rmdir()\n"
    )
    others = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(4)]

    assert [other.wait() for other in others] == [0, 0, 0, 0]


KEEP = """
import sys
from pathlib import Path
from millwright_runner.workplace import PrivateFolder
own = PrivateFolder(Path(sys.argv[1]))
(own.path / "result").write_text("kept")
print(own.path, flush=True)
sys.stdin.read()
"""


def keeper(root: Path) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", KEEP, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


class TestPrivateFolder:
    def test_it_is_empty_and_goes_with_its_lock(self, tmp_path: Path) -> None:
        own = PrivateFolder(tmp_path)
        content = list(own.path.iterdir())
        own.close()

        assert content == []
        assert list(tmp_path.iterdir()) == []

    def test_that_of_a_killed_process_is_removed(self, tmp_path: Path) -> None:
        other, folder = keeper(tmp_path)
        other.kill()
        other.communicate()
        os.utime(folder.with_suffix(".lock"), (0, 0))

        PrivateFolder(tmp_path).close()

        assert list(tmp_path.iterdir()) == []

    def test_that_of_a_living_process_stays_though_it_may_have_the_same_number_in_another_pod(
        self, tmp_path: Path
    ) -> None:
        other, folder = keeper(tmp_path)
        os.utime(folder.with_suffix(".lock"), (0, 0))

        PrivateFolder(tmp_path).close()
        kept = (folder / "result").read_text()
        other.communicate("")

        assert kept == "kept"

    def test_a_folder_without_a_lock_is_of_an_earlier_version_and_removed(self, tmp_path: Path) -> None:
        (tmp_path / "process-17").mkdir()

        PrivateFolder(tmp_path).close()

        assert list(tmp_path.iterdir()) == []

    def test_a_lock_that_has_just_been_made_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "process-17.lock").touch()
        (tmp_path / "process-17").mkdir()

        PrivateFolder(tmp_path).close()

        assert (tmp_path / "process-17").exists()


def test_work_larger_than_the_disk_is_refused_with_figures(tmp_path: Path) -> None:
    check_space(tmp_path / "not" / "there" / "yet", 1)
    with pytest.raises(NoSpaceLeft, match=r"1,000,000,000,000 MB are needed and .* MB are free"):
        check_space(tmp_path, 10**18)
