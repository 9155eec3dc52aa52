"""The documentation tells the truth: its links lead somewhere, its manifests are valid, its commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from millwright_api import errors
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import registry
from millwright_runner.cli.app import app
from millwright_runner.passes import Context, Pass

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
VERBS = sorted(command.name or "" for command in app.registered_commands)
PLUGIN = ROOT / "examples" / "plugin-drop-layers"


def blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks of a page in one language; '' are those without any."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
class TestEveryPage:
    def test_its_links_lead_somewhere(self, page: Path) -> None:
        dead = []
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            if "://" not in link and (not target.exists() or (anchor and anchor not in anchors(target))):
                dead.append(link)

        assert dead == []

    def test_it_begins_with_its_title(self, page: Path) -> None:
        assert page.read_text().startswith("# ")

    def test_the_verbs_it_names_exist(self, page: Path) -> None:
        named = set(re.findall(r"(?:^|`|\+ )millwright ([a-z]+)\b", page.read_text(), re.M))

        assert named <= set(VERBS)

    def test_its_make_targets_exist(self, page: Path) -> None:
        targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.M))
        named = set(re.findall(r"(?:^|`)make ([a-z][a-z0-9-]+)\b", page.read_text(), re.M))

        assert named <= targets

    def test_its_exception_names_exist(self, page: Path) -> None:
        tree = {name for name in vars(errors) if re.match(r"[A-Z]\w+$", name)}
        named = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)[`:]", page.read_text()))
        suspects = {
            name
            for name in named
            if re.search(r"(Mismatch|Manifest|Exists|Unreachable|Unavailable|Denied|NotFound|Left)$", name)
        }

        assert suspects <= tree


class TestTheReadme:
    def test_it_mentions_every_verb(self) -> None:
        text = (ROOT / "README.md").read_text()

        assert [verb for verb in VERBS if f"millwright {verb}" not in text] == []

    def test_its_manifest_is_valid_and_its_passes_fit(self) -> None:
        (text,) = blocks(ROOT / "README.md", "yaml")

        bound = registry.bind(OptimizationJob.model_validate(yaml.safe_load(text)))

        registry.check_chain(bound)
        assert [step.pass_.name for step in bound] == ["lora", "merge", "genai"]

    def test_its_exit_codes_are_those_of_the_classes(self) -> None:
        (sentence,) = re.findall(r"Exit codes: (.*?)\n\n", (ROOT / "README.md").read_text(), re.S)
        codes = {int(code) for code in re.findall(r"\b\d+\b", sentence)}
        classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.MillwrightError)]

        assert codes == {0, 130} | {c.exit_code for c in classes}


class TestThePages:
    def test_every_page_is_named_in_the_readme(self) -> None:
        text = (ROOT / "README.md").read_text()

        assert [page.name for page in (ROOT / "docs").glob("*.md") if f"docs/{page.name}" not in text] == []

    def test_every_built_in_pass_is_described_with_every_option(self) -> None:
        text = (ROOT / "docs" / "passes.md").read_text()

        for name in ("genai", "lora", "merge", "qlora"):
            options = [info.alias or field for field, info in registry.get(name).model_fields.items()]
            assert [option for option in (name, *options) if option not in text] == []

    def test_concepts_has_every_built_in_pass_in_its_table_of_formats(self) -> None:
        text = (ROOT / "docs" / "concepts.md").read_text()

        for name in ("genai", "lora", "merge", "qlora"):
            kind = registry.get(name)
            assert re.search(rf"^\| `{re.escape(kind.produces)}` .*`{name}`", text, re.M), name


class TestWriteAPass:
    @pytest.mark.parametrize("language", ["python", "toml"])
    def test_its_code_is_that_of_the_sample(self, language: str) -> None:
        sources = "\n".join(path.read_text() for path in (PLUGIN / "drop_layers.py", PLUGIN / "pyproject.toml"))

        shown = blocks(ROOT / "docs" / "write-a-pass.md", language)

        assert len(shown) == 1
        assert shown[0] in sources

    def test_its_table_has_every_attribute_of_a_pass(self) -> None:
        text = (ROOT / "docs" / "write-a-pass.md").read_text()
        hooks = ("name", "consumes", "produces", "libraries", "version", "uses_target", "check", "estimate", "run")
        assert all(hasattr(Pass, hook) or hook in Pass.__annotations__ for hook in hooks)
        told = set(Context.__dataclass_fields__) - {"folder", "target"}
        assert [word for word in (*hooks, *told) if not re.search(rf"`{word}\b", text)] == []


class TestExamples:
    MANIFESTS = sorted((ROOT / "examples" / "emotion").glob("job*.yaml"))

    @pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda p: p.name)
    def test_the_command_line_finds_each_manifest_valid(self, manifest: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "millwright_runner", "validate", str(manifest)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert (done.returncode, done.stderr) == (0, "")

    def test_the_real_phi3_is_pinned_and_aims_at_a_gpu(self) -> None:
        job = OptimizationJob.model_validate(
            yaml.safe_load((ROOT / "examples" / "emotion" / "job-phi3.yaml").read_text())
        )

        assert job.spec.model.hugging_face is not None
        assert re.fullmatch(r"[0-9a-f]{40}", job.spec.model.hugging_face.revision or "")
        assert job.spec.model.trust_remote_code is False
        assert job.spec.target.execution_provider == "CUDAExecutionProvider"
