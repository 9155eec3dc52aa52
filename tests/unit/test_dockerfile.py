"""What the images are made of, as far as it can be said without building them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
TARGETS = ("operator", "preflight", "azure", "runner")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
STAGES = dict(re.findall(r"^FROM \S+ AS (\S+)\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.M | re.S))


def locked(path: Path) -> dict[str, str]:
    """Versions by name, as a lock has them."""
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", path.read_text(), re.M))


class TestLocks:
    @pytest.mark.parametrize("target", TARGETS)
    def test_an_image_has_the_versions_that_all_else_has(self, target: str) -> None:
        everything = locked(ROOT / "requirements.lock").items()

        assert locked(ROOT / "requirements" / f"{target}.lock").items() <= everything, "make lock"

    @pytest.mark.parametrize("target", TARGETS)
    def test_an_image_has_all_that_its_extra_asks_for(self, target: str) -> None:
        lines = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"][target]]
        found = locked(ROOT / "requirements" / f"{target}.lock")

        for requirement in map(Requirement, lines):
            assert found[canonicalize_name(requirement.name)] in requirement.specifier, f"{requirement}: make lock"

    @pytest.mark.parametrize("target", TARGETS)
    def test_every_file_that_is_installed_is_known_by_its_hash(self, target: str) -> None:
        entries = re.split(r"^(?=\S+==)", (ROOT / "requirements" / f"{target}.lock").read_text(), flags=re.M)

        assert [entry.split()[0] for entry in entries if entry.strip() and "--hash=sha256:" not in entry] == []

    @pytest.mark.parametrize(
        ("target", "absent"),
        [
            ("operator", {"torch", "boto3", "scipy", "transformers", "huggingface-hub"}),
            (
                "preflight",
                {"torch", "pandas", "datasets", "transformers", "numpy", "kubernetes", "kopf", "azure-ai-ml"},
            ),
            ("azure", {"torch", "pandas", "datasets", "transformers", "numpy", "kubernetes", "kopf", "pytest"}),
            ("runner", {"kubernetes", "kopf", "pytest"}),
        ],
    )
    def test_an_image_has_nothing_that_it_needs_not(self, target: str, absent: set[str]) -> None:
        assert absent & locked(ROOT / "requirements" / f"{target}.lock").keys() == set()


class TestDockerfile:
    @pytest.mark.parametrize("target", TARGETS)
    def test_only_labels_come_after_the_code(self, target: str) -> None:
        words = re.findall(r"^([A-Z]+) ", STAGES[target], re.M)

        assert f"FROM {target}-dependencies AS {target}\n" in DOCKERFILE
        assert words[words.index("COPY") :] == ["COPY", "ARG", "ARG", "LABEL"]
        assert "COPY --from=code" not in STAGES[f"{target}-dependencies"]

    @pytest.mark.parametrize("target", TARGETS)
    def test_dependencies_are_installed_with_their_hashes(self, target: str) -> None:
        stage = STAGES[f"{target}-dependencies"]

        assert f"COPY requirements/{target}.lock" in stage
        assert "--require-hashes" in stage

    def test_the_image_for_azure_adds_to_the_preflights_and_repeats_nothing_of_it(self) -> None:
        light, azure = (locked(ROOT / "requirements" / f"{target}.lock").items() for target in ("preflight", "azure"))

        assert "FROM preflight-dependencies AS azure-dependencies\n" in DOCKERFILE
        assert light < azure

    @pytest.mark.parametrize("target", TARGETS)
    def test_no_image_runs_as_root(self, target: str) -> None:
        assert "\nUSER 65532:65532\n" in STAGES[target]

    def test_the_version_that_the_labels_say_is_the_projects(self) -> None:
        versions = re.findall(r"^ARG VERSION=(\S+)$", DOCKERFILE, re.M)

        assert versions == [PROJECT["version"]] * len(TARGETS)

    def test_what_the_code_is_copied_from_is_not_left_out_of_the_context(self) -> None:
        taken = {
            line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
        }

        assert taken == {
            "LICENSE", "README.md", "pyproject.toml", "requirements",
            "api/millwright_api", "operator/millwright_operator", "runner/millwright_runner",
            "search/millwright_search",
        }  # fmt: skip
        assert all((ROOT / path).exists() for path in taken)

    def test_the_operators_code_is_all_that_it_imports(self) -> None:
        imported = {
            name
            for file in (ROOT / "operator" / "millwright_operator").rglob("*.py")
            for name in re.findall(r"^\s*(?:from|import) (millwright_\w+)", file.read_text(), re.M)
        }

        copied = re.search(r"cp -a (.+) /operator", STAGES["code"])
        assert copied is not None
        assert imported <= set(copied[1].split())
