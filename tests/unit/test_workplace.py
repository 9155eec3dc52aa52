"""A step's folders: one process at a time, nothing half-made left for the next one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from millwright_api.errors import NoSpaceLeft, Stopped, UserError
from millwright_runner.workplace import check_space, private_folder, workplace


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


def test_a_private_folder_is_empty_and_those_of_dead_processes_go(tmp_path: Path) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    gone = tmp_path / f"process-{dead.stdout.strip()}"
    gone.mkdir()
    alive = tmp_path / f"process-{os.getppid()}"
    alive.mkdir()

    own = private_folder(tmp_path)

    assert own.name == f"process-{os.getpid()}"
    assert list(own.iterdir()) == []
    assert alive.exists()
    assert not gone.exists()


def test_work_larger_than_the_disk_is_refused_with_figures(tmp_path: Path) -> None:
    check_space(tmp_path / "not" / "there" / "yet", 1)
    with pytest.raises(NoSpaceLeft, match=r"1,000,000,000,000 MB are needed and .* MB are free"):
        check_space(tmp_path, 10**18)
