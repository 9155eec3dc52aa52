"""`make demo-cluster` where it cannot begin: before it has made or asked for anything."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "emotion" / "demo-cluster.sh"


def started_in(folder: Path, kubeconfig: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MILLWRIGHT_", "AWS_"))}
    return subprocess.run(
        [str(SCRIPT)], cwd=folder, env=clean | {"MILLWRIGHT_TEST_KUBECONFIG": kubeconfig},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("content", [None, ""])
def test_a_kubeconfig_that_is_not_there_is_named_by_its_whole_path(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "config").write_text(content)

    done = started_in(tmp_path, "config")

    expected = f"MILLWRIGHT_TEST_KUBECONFIG names {tmp_path}/config: there is no such file, or it is empty\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)


def test_of_a_cluster_that_is_named_the_images_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("kind: Config\n")

    done = started_in(tmp_path, str(tmp_path / "config"))

    assert done.returncode != 0
    assert "MILLWRIGHT_TEST_OPERATOR_IMAGE: names the operator image" in done.stderr
