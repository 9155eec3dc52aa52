"""The rules of the house: where things lie, how long they are, and who may know whom."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for side in ("api", "operator", "runner", "search") for path in (ROOT / side).rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKED = {
    canonicalize_name(name): Version(version)
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", (ROOT / "requirements.lock").read_text(), re.M)
}
MODULE_LINES, FUNCTION_LINES = 400, 60
HEAVY = (
    "torch",
    "transformers",
    "peft",
    "datasets",
    "pyarrow",
    "boto3",
    "azure",
    "msal",
    "onnxruntime",
    "onnxruntime_genai",
    "accelerate",
)


def requirements() -> list[Requirement]:
    """All requirements of the project: its own and those of its extras."""
    extras = PROJECT["project"]["optional-dependencies"].values()
    return [Requirement(line) for lines in (PROJECT["project"]["dependencies"], *extras) for line in lines]


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


class TestWhereThingsLie:
    @pytest.mark.parametrize("folder", ["api", "runner", "operator"])
    def test_a_side_has_no_module_of_its_own_beside_its_package(self, folder: str) -> None:
        assert [path.name for path in (ROOT / folder).glob("*.py")] == []

    def test_the_standard_library_is_found_from_the_root(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "json.tool"], cwd=ROOT, input='{"a": 1}', capture_output=True, text=True, check=False
        )

        assert (done.returncode, done.stdout) == (0, '{\n    "a": 1\n}\n')

    def test_no_file_shadows_a_module_of_the_standard_library_at_the_root(self) -> None:
        shadows = [path.name for path in ROOT.glob("*.py") if path.stem in sys.stdlib_module_names]

        assert shadows == []

    @pytest.mark.parametrize(
        "path",
        [
            "README.md",
            "CONTRIBUTING.md",
            "CHANGELOG.md",
            "LICENSE",
            "Makefile",
            ".ci/run",
            "requirements.lock",
            "docs/limits.md",
        ],
    )
    def test_what_a_visitor_looks_for_is_there(self, path: str) -> None:
        assert (ROOT / path).stat().st_size > 0

    def test_the_licence_is_the_whole_text_of_apache_2(self) -> None:
        text = (ROOT / "LICENSE").read_text()

        assert "Version 2.0, January 2004" in text
        assert "END OF TERMS AND CONDITIONS" in text

    def test_scripts_can_be_run(self) -> None:
        scripts = [ROOT / ".ci" / "run", *(ROOT / "examples").rglob("*.sh"), *(ROOT / "tools").glob("*.sh")]

        assert [path.name for path in scripts if not path.stat().st_mode & 0o100] == []

    def test_decisions_are_numbered_without_a_gap(self) -> None:
        numbers = sorted(int(path.name[:4]) for path in (ROOT / "docs" / "decisions").glob("*.md"))

        assert numbers == list(range(1, len(numbers) + 1))


class TestSizes:
    @pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
    def test_modules_and_functions_stay_readable(self, path: Path) -> None:
        text = path.read_text()
        long = [f.name for f in functions(ast.parse(text)) if (f.end_lineno or 0) - f.lineno + 1 > FUNCTION_LINES]

        assert len(text.splitlines()) <= MODULE_LINES
        assert long == []

    @pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
    def test_every_public_name_has_a_docstring_and_every_function_its_types(self, path: Path) -> None:
        tree = ast.parse(path.read_text())
        named = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
        inner = {id(i) for f in functions(tree) for i in ast.walk(f) if i is not f}
        bare = [n.name for n in named if not n.name.startswith("_") and id(n) not in inner and not ast.get_docstring(n)]
        untyped = [f.name for f in functions(tree) if f.returns is None]

        assert (bare, untyped) == ([], [])

    def test_the_median_module_is_at_most_150_lines(self) -> None:
        sizes = sorted(len(path.read_text().splitlines()) for path in SOURCES)

        assert sizes[len(sizes) // 2] <= 150


class TestWhoMayKnowWhom:
    def test_import_contracts_hold(self) -> None:
        done = subprocess.run(
            [str(Path(sys.executable).with_name("lint-imports")), "--no-logo"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

        assert done.returncode == 0, done.stdout

    @pytest.mark.parametrize(
        "module",
        [
            "millwright_api.v1alpha1",
            "millwright_runner.plan",
            "millwright_runner.pipeline",
            "millwright_runner.cli.app",
            "millwright_runner.olive",
        ],
    )
    def test_a_module_can_be_imported_where_nothing_heavy_is_installed(self, module: str) -> None:
        hide = "; ".join(f"sys.modules[{name!r}] = None" for name in HEAVY)

        done = python("-c", f"import sys; {hide}; import {module}")

        assert (done.returncode, done.stderr) == (0, "")

    def test_the_built_in_passes_can_be_listed_where_nothing_heavy_is_installed(self) -> None:
        hide = "; ".join(f"sys.modules[{name!r}] = None" for name in HEAVY)
        code = f"import sys; {hide}; from millwright_runner import registry; print([registry.get(n).name for n in registry.names()])"

        done = python("-c", code)

        assert (done.stdout.strip(), done.stderr) == ("['genai', 'lora', 'merge', 'qlora']", "")

    def test_the_contract_imports_nothing_but_pydantic_and_the_standard_library(self) -> None:
        found = {
            name.split(".")[0]
            for path in (ROOT / "api").rglob("*.py")
            for node in ast.walk(ast.parse(path.read_text()))
            for name in (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }

        assert found - set(sys.stdlib_module_names) <= {"pydantic", "millwright_api"}


class TestTheLock:
    @pytest.mark.parametrize("requirement", requirements(), ids=str)
    def test_it_has_each_requirement_at_a_version_that_fits(self, requirement: Requirement) -> None:
        assert requirement.specifier.contains(LOCKED[canonicalize_name(requirement.name)])

    def test_boto3_is_a_current_one_beside_kubernetes(self) -> None:
        # kubernetes 37.0.2 and boto3 exclude one another: a resolver then takes a boto3 of ten years ago
        assert LOCKED["boto3"] >= Version("1.44")
        assert LOCKED["kubernetes"] != Version("37.0.2")
        assert LOCKED["kubernetes"] >= Version("37.0.1")

    def test_it_names_no_host(self) -> None:
        assert "://" not in (ROOT / "requirements.lock").read_text()

    def test_it_has_a_hash_for_each_version(self) -> None:
        entries = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text().strip())

        assert [
            entry.split()[0] for entry in entries if "--hash=sha256:" not in entry and not entry.startswith("#")
        ] == []


class TestTheMakefile:
    def test_alone_it_lists_what_there_is(self) -> None:
        done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

        listed = [line.split()[1] for line in done.stdout.splitlines()]
        assert done.returncode == 0
        assert {"demo", "test", "test-fast", "check", "docs", "bench-olive", "clean"} <= set(listed)

    def test_ci_runs_the_test_command_of_the_readme(self) -> None:
        assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("exec make test")
        assert "\nmake test\n" in (ROOT / "README.md").read_text()


class TestSettingUp:
    """tools/setup.sh, in a copy of the project that has only what it reads."""

    @pytest.fixture
    def copy(self, tmp_path: Path) -> Path:
        for name in (
            "pyproject.toml",
            "requirements.lock",
            "tools/setup.sh",
            "tools/uv.sh",
            "tools/apt.sh",
            "tools/lock.sh",
        ):
            target = tmp_path / "copy" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
        return tmp_path / "copy"

    def done_before(self, copy: Path) -> None:
        files = b"".join((copy / name).read_bytes() for name in ("pyproject.toml", "requirements.lock"))
        cksum = subprocess.run(["cksum"], input=files, capture_output=True, check=True).stdout.decode().strip()
        (copy / ".venv").mkdir()
        (copy / ".venv" / ".millwright").write_text(cksum)

    def run(self, copy: Path, script: str = "setup.sh") -> subprocess.CompletedProcess[str]:
        """On a machine that has a shell and nothing else: no Python, no uv, no apt-get."""
        tools = copy.parent / "bin"
        tools.mkdir()
        for name in ("bash", "cat", "cksum", "dirname", "id", "rm"):
            (tools / name).symlink_to(shutil.which(name) or name)
        return subprocess.run(
            [str(tools / "bash"), str(copy / "tools" / script)],
            env={"PATH": str(tools)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def test_the_second_time_it_does_nothing(self, copy: Path) -> None:
        self.done_before(copy)

        done = self.run(copy)

        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    @pytest.mark.parametrize("name", ["pyproject.toml", "requirements.lock"])
    def test_after_a_change_of_the_requirements_it_sets_up_again(self, copy: Path, name: str) -> None:
        self.done_before(copy)
        with (copy / name).open("a") as file:
            file.write("\n")

        done = self.run(copy)

        assert done.returncode == 2

    def test_where_something_is_missing_it_says_what_and_how_to_get_it(self, copy: Path) -> None:
        done = self.run(copy)

        assert done.returncode == 2
        assert (
            "Python 3.11 or newer is missing; install it (on Debian: apt-get install python3 python3-venv)"
            in done.stderr
        )
        assert not (copy / ".venv").exists()

    def test_uv_is_asked_for_again_where_only_it_has_gone(self, copy: Path) -> None:
        self.done_before(copy)

        done = self.run(copy, "lock.sh")

        assert done.returncode == 2
        assert "Python's venv module is missing; install it" in done.stderr


def test_tests_are_at_least_as_long_as_what_they_test() -> None:
    def lines(paths: list[Path]) -> int:
        return sum(len(path.read_text().splitlines()) for path in paths)

    assert lines(sorted((ROOT / "tests").rglob("*.py"))) >= 1.2 * lines(SOURCES)
