"""A pass from outside: installed as its page says, it is a pass like any other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.pipeline.jobs import Mill, job

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "examples" / "plugin-drop-layers"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that finds the plug-in, installed into a folder of its own."""
    folder = tmp_path_factory.mktemp("plugin")
    source = shutil.copytree(PLUGIN, folder / "source", ignore=shutil.ignore_patterns("__pycache__", "dist", "build"))
    uv = shutil.which("uv") or str(ROOT / ".tools" / "uv" / "bin" / "uv")
    command = [
        uv,
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--python",
        sys.executable,
        "--target",
        str(folder / "site"),
        str(source),
    ]
    subprocess.run(command, check=True, timeout=300)
    return os.environ | {"PYTHONPATH": str(folder / "site")}


def millwright(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "millwright_runner", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def drop(phi3: Path, folder: Path, options: dict[str, object], *after: dict[str, object]) -> dict[str, object]:
    manifest = job(
        phi3, folder / "unused.jsonl", folder / "out", {"custom": {"pass": "drop-layers", "options": options}}, *after
    )
    manifest["spec"]["data"] = []
    return manifest


class TestOnceInstalled:
    def test_it_is_listed_beside_the_built_in_ones(self, installed: dict[str, str]) -> None:
        done = millwright(installed, "passes", "--json")

        assert [entry["name"] for entry in json.loads(done.stdout)] == [
            "drop-layers",
            "genai",
            "lora",
            "merge",
            "qlora",
        ]

    def test_its_options_are_shown_with_bounds_and_default(self, installed: dict[str, str]) -> None:
        done = millwright(installed, "passes", "drop-layers")

        assert done.returncode == 0
        assert "layers" in done.stdout
        assert "1000" in done.stdout

    def test_its_sample_manifest_is_valid(self, installed: dict[str, str]) -> None:
        done = millwright(installed, "validate", str(PLUGIN / "job.yaml"))

        assert (done.returncode, done.stderr) == (0, "")

    def test_it_runs_and_what_follows_builds_on_it(self, installed: dict[str, str], phi3: Path, mill: Mill) -> None:
        before = json.loads((phi3 / "config.json").read_text())["num_hidden_layers"]
        manifest = drop(phi3, mill.folder, {"layers": 1}, {"genai": {"precision": "fp32"}})

        result = mill.run(manifest, env=installed)

        assert result.code == 0, result.err
        config = json.loads((mill.folder / "out" / "model" / "genai_config.json").read_text())
        assert config["model"]["decoder"]["num_hidden_layers"] == before - 1
        assert result.report["passes"][0]["metrics"] == {"layers": before - 1}

    def test_its_result_comes_from_the_cache_and_another_option_does_not(
        self, installed: dict[str, str], phi3: Path, mill: Mill
    ) -> None:
        first = mill.run(drop(phi3, mill.folder, {"layers": 1}), env=installed)

        again = mill.run(drop(phi3, mill.folder, {}), env=installed)  # 1 is the default: the same job

        assert (first.code, again.code) == (0, 0)
        assert again.report["passes"][0]["cache"] == "Hit"
        assert again.report["fingerprint"] == first.report["fingerprint"]


class TestMistakes:
    def test_without_the_package_its_name_is_unknown(self, phi3: Path, mill: Mill) -> None:
        result = mill.run(drop(phi3, mill.folder, {}))

        assert result.code == 2
        assert "no pass is called 'drop-layers'" in result.err

    def test_a_misspelt_option_is_refused_with_the_nearest(
        self, installed: dict[str, str], phi3: Path, mill: Mill
    ) -> None:
        result = mill.run(drop(phi3, mill.folder, {"layer": 1}), env=installed)

        assert result.code == 2
        assert "did you mean 'layers'?" in result.err

    def test_its_own_check_is_heard_before_anything_loads(
        self, installed: dict[str, str], phi3: Path, mill: Mill
    ) -> None:
        result = mill.run(drop(phi3, mill.folder, {"layers": 900}), env=installed)

        assert result.code == 2
        assert "spec.passes[0].custom.options.layers" in result.err
        assert "possible: 1 to" in result.err
        assert not (mill.folder / "out").exists()

    def test_as_a_key_of_its_own_it_is_told_how_it_is_written(
        self, installed: dict[str, str], phi3: Path, mill: Mill
    ) -> None:
        manifest = drop(phi3, mill.folder, {})
        manifest["spec"]["passes"] = [{"drop-layers": {"layers": 1}}]

        result = mill.run(manifest, env=installed)

        assert result.code == 2
        assert "custom: {pass: drop-layers" in result.err
