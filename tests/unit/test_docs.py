"""The documentation tells the truth: its links lead somewhere, its manifests are valid, its commands exist."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, ClassVar, cast, get_args

import pytest
import yaml
from pydantic.alias_generators import to_camel
from tests import searches

from millwright_api import errors
from millwright_api.azureml import AzureML, AzureMLEnvironment
from millwright_api.evaluation import Evaluation
from millwright_api.search import MAX_CHOICES, MAX_OBJECTIVES, MAX_PARAMETERS, MAX_TRIALS, Parameter, Search
from millwright_api.status import ConditionType, JobPhase
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import registry, trials
from millwright_runner.cli.app import app
from millwright_runner.evaluation.bound import METRICS
from millwright_runner.metrics import Asking, Metric, MetricContext
from millwright_runner.passes import Context, Pass
from millwright_runner.subjects import Subject
from millwright_runner.unforeseen import InternalError
from millwright_search.trials import OverReason, TrialPhase

ROOT = Path(__file__).parents[2]
EXAMPLES = [page for page in (ROOT / "examples").rglob("*.md") if not {"build", "out"} & set(page.parts)]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *EXAMPLES])
VERBS = sorted(command.name or "" for command in app.registered_commands)
PLUGIN = ROOT / "examples" / "plugin-drop-layers"


def blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks of a page in one language; '' are those without any."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)


def told_by_the_command_line() -> set[str]:
    """Failures that the runner makes besides those of the contract, by their names; the failure of a job, here or there, has the job's own reason."""
    known = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    classes = [
        node
        for path in (ROOT / "runner").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    ]
    found: set[str] = set()
    for _ in range(3):  # subclasses of subclasses
        found |= {one.name for one in classes if {ast.unparse(base) for base in one.bases} & (known | found)}
    return found - {"JobFailed", "JobMissedGate", "RemoteFailed"}


def explained() -> list[str]:
    """Reasons of conditions that have an entry in troubleshooting."""
    text = (ROOT / "docs" / "troubleshooting.md").read_text()
    return re.findall(r"^### (\w+)$", text.partition("\n## Reasons\n")[2], re.M)


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

        assert suspects <= tree | set(explained())


class TestTheReadme:
    def test_it_mentions_every_verb(self) -> None:
        text = (ROOT / "README.md").read_text()

        assert [verb for verb in VERBS if f"millwright {verb}" not in text] == []

    def test_its_manifest_is_valid_and_its_passes_fit(self) -> None:
        text, *_ = blocks(ROOT / "README.md", "yaml")

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


NO_REASONS = {
    # types of conditions, phases and truths; what Kubernetes calls things; Events that tell no trouble
    "ArtifactsPublished", "Complete", "Failed", "Finished", "Pending", "Queued", "Ready", "Reconciling", "Running", "Stalled",
    "Suspended", "Validated", "Fail", "True", "False", "Unknown", "Normal", "Warning", "Resumed", "StageStarted", "StageSucceeded",
    "AttemptFailed", "Preempt", "CreateContainerConfigError", "CreateContainerError", "ErrImageNeverPull", "ErrImagePull",
    "ImagePullBackOff", "InvalidImageName", "RegistryUnavailable", "StartError", "Job", "Stage", "SearchOver",
    # ends of trials and of searches: docs/search.md has them
    "Active", "Pruned", "NoTrialSucceeded",
}  # fmt: skip


class TestTroubleshooting:
    ROOMS = (
        "account", "before", "case", "conditions", "failures", "judged", "reconcile", "release", "search", "segmentjobs", "standing", "story",
        "trialstatus", "working",
    )  # fmt: skip

    def told(self) -> set[str]:
        """Words in CamelCase in the rooms that make conditions, and the failures that a runner reports."""
        trees = (
            ast.parse((ROOT / "operator" / "millwright_operator" / f"{room}.py").read_text()) for room in self.ROOMS
        )
        words = {
            node.value
            for tree in trees
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"[A-Z]\w+", node.value)
        }
        leaves = {name for name, kind in vars(errors).items() if isinstance(kind, type) and not kind.__subclasses__()}
        return (
            (words - NO_REASONS)
            | {InternalError.__name__}
            | {name for name in leaves if issubclass(getattr(errors, name), errors.MillwrightError)}
        )

    def test_every_reason_of_a_condition_is_explained(self) -> None:
        assert sorted(self.told() - set(explained())) == []

    def test_nothing_is_explained_that_no_condition_says(self) -> None:
        assert sorted(set(explained()) - self.told()) == []

    def test_every_failure_of_the_command_line_is_explained_and_no_other(self) -> None:
        text = (ROOT / "docs" / "troubleshooting.md").read_text()
        _, _, section = text.partition("\n## What only the command line says\n")
        headings = re.findall(r"^### (\w+)$", section.partition("\n## ")[0], re.M)

        assert sorted(headings) == sorted(told_by_the_command_line())

    def test_no_reason_is_explained_twice(self) -> None:
        assert len(explained()) == len(set(explained()))

    def test_the_phases_table_of_concepts_has_every_phase(self) -> None:
        text = (ROOT / "docs" / "concepts.md").read_text()

        assert [phase for phase in get_args(JobPhase) if not re.search(rf"^\| {phase} \|", text, re.M)] == []

    def test_the_conditions_table_of_concepts_has_every_condition(self) -> None:
        table = re.findall(r"^\| (`.*?) \|", (ROOT / "docs" / "concepts.md").read_text(), re.M)
        named = set(re.findall(r"`(\w+)`", " ".join(table)))

        assert set(get_args(ConditionType)) <= named


class TestSearch:
    PAGE = ROOT / "docs" / "search.md"
    BASE: ClassVar[dict[str, Any]] = {
        "apiVersion": "millwright.dev/v1alpha1",
        "kind": "OptimizationJob",
        "metadata": {"name": "search"},
        "spec": {
            "model": {"path": "model"},
            "data": [
                {"name": name, "source": {"path": f"{name}.jsonl"}, "text": {"columns": ["a", "b"], "answer": "b"}}
                for name in ("train", "holdout")
            ],
            "passes": [
                {"name": "small", "lora": {"trainData": "train"}},
                {"name": "large", "lora": {"trainData": "train"}},
                {"merge": {}},
            ],
            "evaluation": {"metrics": [{"name": "accuracy", "exactMatch": {}, "data": "holdout"}]},
            "output": {"path": "out"},
        },
    }

    def job(self, written: dict[str, Any]) -> OptimizationJob:
        """The base with what a block of the page says."""
        return OptimizationJob.model_validate({**self.BASE, "spec": {**self.BASE["spec"], **written}})

    def test_its_manifests_are_searches_that_can_be_made(self) -> None:
        whole, switches, early = (yaml.safe_load(text) for text in blocks(self.PAGE, "yaml"))

        trials.check_search(self.job(whole))
        trials.check_search(self.job(switches))
        metrics = self.BASE["spec"]["evaluation"]["metrics"]
        trials.check_search(
            self.job(
                {
                    "evaluation": early["evaluation"] | {"metrics": metrics},
                    "search": switches["search"] | early["search"],
                }
            )
        )

    def test_the_readmes_search_is_one_of_the_readmes_manifest(self) -> None:
        manifest, search, _ = (yaml.safe_load(text) for text in blocks(ROOT / "README.md", "yaml"))
        steps = [{"name": "finetune", **manifest["spec"]["passes"][0]}, *manifest["spec"]["passes"][1:]]
        metrics = {"metrics": [{"name": "accuracy", "exactMatch": {}, "data": "holdout"}]}

        trials.check_search(self.job({"passes": steps, "evaluation": metrics, **search}))

    def test_its_tables_have_every_end_of_a_search_and_of_a_trial(self) -> None:
        text = self.PAGE.read_text()
        words = (*get_args(OverReason), *get_args(TrialPhase), "NoFigure")

        assert [word for word in words if f"`{word}`" not in text] == []

    def test_it_has_every_key_of_a_search_and_of_a_parameter(self) -> None:
        text = self.PAGE.read_text()
        keys = [to_camel(name) for kind in (Search, Parameter) for name in kind.model_fields if name != "pass_"]

        assert [key for key in keys if not re.search(rf"\b{key}\b", text)] == []

    def test_it_names_the_bounds_that_there_are(self) -> None:
        limits = self.PAGE.read_text().partition("## Limits")[2]
        bounds = f"{MAX_PARAMETERS} parameters, {MAX_CHOICES} values of a choice, {MAX_OBJECTIVES} objectives, {MAX_TRIALS} trials"

        assert f"At most {bounds}" in limits

    def test_it_explains_every_key_of_a_line_of_trials_jsonl(self) -> None:
        table = self.PAGE.read_text().partition("## What it leaves")[2].partition("## ")[0]
        document = {"search": searches.search()}

        keys = {key for row in document["search"]["trials"] for key in row}

        assert sorted(key for key in keys if f"`{key}`" not in table) == []


class TestAzure:
    PAGE = ROOT / "docs" / "azure.md"
    FOLDER = ROOT / "examples" / "azure"
    PASSES: ClassVar[list[dict[str, Any]]] = [{"lora": {"trainData": "train"}}, {"merge": {}}]

    def written(self, **spec: Any) -> OptimizationJob:
        """A job with what a block says."""
        whole = {"passes": self.PASSES, "output": {"s3": {"uri": "s3://abc/x"}}, **spec}
        return OptimizationJob.model_validate({**TestSearch.BASE, "spec": whole})

    def test_its_manifests_are_valid(self) -> None:
        blob, registry_, there = (yaml.safe_load(text) for text in blocks(self.PAGE, "yaml"))

        jobs = [self.written(**blob), self.written(**{**blob, **registry_}), self.written(**{**blob, **there})]

        assert [job.spec.model.azure_blob is not None for job in jobs] == [True, False, True]
        assert jobs[2].spec.execution.azure_ml is not None

    def test_what_the_readme_says_of_it_is_valid(self) -> None:
        blob, *_ = (yaml.safe_load(text) for text in blocks(self.PAGE, "yaml"))
        *_, execution = (yaml.safe_load(text) for text in blocks(ROOT / "README.md", "yaml"))

        assert self.written(**blob, **execution).spec.execution.azure_ml is not None

    def test_it_has_every_key_of_running_there(self) -> None:
        text = self.PAGE.read_text()
        keys = [
            info.alias or name for kind in (AzureML, AzureMLEnvironment) for name, info in kind.model_fields.items()
        ]

        assert [key for key in keys if not re.search(rf"\b{key}\b", text)] == []

    def test_its_table_has_every_reason_of_azures(self) -> None:
        table = self.PAGE.read_text().partition("\n## When it goes wrong\n")[2]
        names = list(vars(errors))
        azures = names[names.index("CredentialsMissing") : names.index("AzureMLJobCanceled") + 1]
        azures += ["AzureUnavailable", "AzureMLJobFailed"]
        assert "ComputeStopped" in azures
        assert sorted(name for name in azures if f"`{name}`" not in table) == []

    def test_the_examples_environment_has_what_the_runner_needs_as_it_is_tested(self) -> None:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        wanted = [
            *extras["dependencies"],
            *(part for name in ("runner", "azure") for part in extras["optional-dependencies"][name]),
        ]
        locked = (ROOT / "requirements" / "runner.lock").read_text()

        *_, pip = yaml.safe_load((self.FOLDER / "conda.yaml").read_text())["dependencies"]

        assert {entry.partition("==")[0] for entry in pip["pip"]} == {
            re.split(r"[^\w-]", part)[0].lower() for part in wanted
        }
        assert [entry for entry in pip["pip"] if not re.search(rf"^{re.escape(entry)} ", locked, re.M)] == []


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


class TestWriteAMetric:
    PAGE = ROOT / "docs" / "write-a-metric.md"

    def politeness(self) -> type[Metric]:
        """The page's class, as Python reads it."""
        (code,) = blocks(self.PAGE, "python")
        names: dict[str, Any] = {}
        exec(compile(code, str(self.PAGE), "exec"), names)
        kind: type[Metric] = names["Politeness"]
        return kind

    def test_its_class_is_a_metric_that_measures(self) -> None:
        class Answered:
            def answers(self, asking: Asking) -> list[str]:
                return ["yes please", "no", "kindly", "please"][: asking.new_tokens]

        measured = self.politeness()().measure(cast(Any, None), cast(Any, Answered()))

        assert (measured.value, measured.n, measured.scores) == (0.5, 4, (1.0, 0.0, 0.0, 1.0))

    def test_its_entry_point_names_that_class(self) -> None:
        (text,) = blocks(self.PAGE, "toml")

        (group,) = tomllib.loads(text)["project"]["entry-points"].items()
        assert group == (METRICS.group, {self.politeness().name: "politeness:Politeness"})

    def test_its_manifest_is_an_evaluation_with_options_that_the_class_has(self) -> None:
        (text,) = blocks(self.PAGE, "yaml")

        evaluation = Evaluation.model_validate(yaml.safe_load(text)["evaluation"])

        assert self.politeness().model_validate(evaluation.metrics[0].options).model_dump() == {"word": "kindly"}

    def test_its_tables_have_every_attribute_of_a_metric_a_model_and_a_context(self) -> None:
        text = self.PAGE.read_text()
        hooks = [name for name in (*Metric.__annotations__, *vars(Metric)) if not name.startswith(("_", "model_"))]
        assert {"unit", "asks", "check", "measure", "key_options"} <= set(hooks)
        asked = [
            name for name in (*vars(Subject), *MetricContext.__annotations__, *vars(MetricContext)) if name[0] != "_"
        ]
        assert {"generate", "log_probs", "examples", "answers"} <= set(asked)
        assert [word for word in (*hooks, *asked) if not re.search(rf"`{word}\b", text)] == []


class TestEvaluation:
    def test_the_manifest_of_concepts_is_an_evaluation(self) -> None:
        (text,) = blocks(ROOT / "docs" / "concepts.md", "yaml")

        evaluation = Evaluation.model_validate(yaml.safe_load(text)["evaluation"])

        assert [metric.metric_name for metric in evaluation.metrics] == ["exactMatch", "tokenLatency"]
        assert all(METRICS.get(m.metric_name).model_validate(m.options) for m in evaluation.metrics)

    def test_the_example_publishes_only_what_can_tell_the_tones(self) -> None:
        job = OptimizationJob.model_validate(yaml.safe_load((ROOT / "examples" / "emotion" / "job.yaml").read_text()))

        assert job.spec.evaluation is not None
        assert [(bound.metric, bound.min) for bound in job.spec.evaluation.constraints] == [("accuracy", 0.8)]


class TestExamples:
    MANIFESTS = [
        path for name in ("emotion", "azure") for path in sorted((ROOT / "examples" / name).glob("job*.yaml"))
    ] + [path for path in sorted((ROOT / "examples" / "cluster").glob("*.yaml")) if path.name != "plugin.yaml"]

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
