"""The images, as pods see them: what is in them, what is not, who runs them."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.cluster import PROJECT, Cluster
from tests.cluster.ground import images
from tests.cluster.pods import ask_python, run_in_pod

TARGETS = ("operator", "preflight", "azure", "runner")
LIGHT_MEGABYTES = {"operator": 450, "preflight": 450, "azure": 520}
POD = "millwright_runner.pod"
ASK = """
import optuna
study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
for _ in range(12):
    trial = study.ask()
    study.tell(trial, trial.suggest_float("rate", 1e-5, 1, log=True))
print(len(study.trials), "trials")
"""
FACTS = """
import importlib.util, json, os, pathlib, pwd, sys
import millwright_api
modules = ["torch", "boto3", "pandas", "datasets", "transformers", "numpy", "kopf", "kubernetes", "pyarrow", "pip",
           "azure.ai.ml", "optuna", "sqlalchemy", "millwright_operator", "millwright_runner", "millwright_search", "onnxruntime_genai", "peft"]
code = pathlib.Path(millwright_api.__file__).parent
def found(name):
    parts = name.split(".")
    return all(importlib.util.find_spec(".".join(parts[:n])) for n in range(1, len(parts) + 1))
compiled = [p for p in code.rglob("*.py") if not pathlib.Path(importlib.util.cache_from_source(p)).exists()]
print(json.dumps({
    "uid": os.getuid(), "gid": os.getgid(), "name": pwd.getpwuid(os.getuid()).pw_name,
    "has": [m for m in modules if found(m)],
    "safe_path": sys.flags.safe_path, "not_compiled": [str(p) for p in compiled],
    "writable": os.access(code, os.W_OK), "caches": [p for p in ["/root/.cache/pip", "/home/millwright/.cache"] if os.path.exists(p)],
}))
"""


@pytest.fixture(scope="module")
def facts(cluster: Cluster, shared_namespace: str) -> dict[str, Any]:
    """What Python says in a pod of each image."""
    return {target: ask_python(cluster, shared_namespace, cluster.images[target], FACTS) for target in TARGETS}


class TestWhatIsInThem:
    @pytest.mark.parametrize(
        ("target", "modules"),
        [
            ("operator", {"kopf", "kubernetes", "numpy", "optuna", "millwright_operator", "millwright_search"}),
            ("preflight", {"boto3", "pyarrow", "millwright_operator", "millwright_runner", "millwright_search"}),
            (
                "azure",
                {"boto3", "pyarrow", "azure.ai.ml", "millwright_operator", "millwright_runner", "millwright_search"},
            ),
            (
                "runner",
                {
                    "torch",
                    "boto3",
                    "pandas",
                    "datasets",
                    "transformers",
                    "numpy",
                    "pyarrow",
                    "onnxruntime_genai",
                    "optuna",
                    "sqlalchemy",
                    "peft",
                    "azure.ai.ml",
                }
                | {"millwright_operator", "millwright_runner", "millwright_search"},
            ),
        ],
    )
    def test_an_image_has_what_it_needs_and_no_more(
        self, facts: dict[str, Any], target: str, modules: set[str]
    ) -> None:
        assert set(facts[target]["has"]) == modules

    @pytest.mark.parametrize("target", TARGETS)
    def test_modules_are_compiled_already(self, facts: dict[str, Any], target: str) -> None:
        assert facts[target]["not_compiled"] == []

    @pytest.mark.parametrize("target", TARGETS)
    def test_no_cache_of_the_build_is_left(self, facts: dict[str, Any], target: str) -> None:
        assert facts[target]["caches"] == []

    @pytest.mark.parametrize("target", sorted(LIGHT_MEGABYTES))
    def test_a_light_image_is_light(self, cluster: Cluster, target: str) -> None:
        cluster.demand_ground("asks the store that the images were built in")

        assert images.megabytes(f"millwright/{target}:dev") <= LIGHT_MEGABYTES[target]


class TestWhoRunsThem:
    @pytest.mark.parametrize("target", TARGETS)
    def test_it_is_a_user_with_a_name_and_no_rights(self, facts: dict[str, Any], target: str) -> None:
        told = facts[target]

        assert (told["uid"], told["gid"], told["name"], told["writable"]) == (65532, 65532, "millwright", False)

    @pytest.mark.parametrize("target", TARGETS)
    def test_no_module_is_taken_from_the_folder_they_are_started_in(self, facts: dict[str, Any], target: str) -> None:
        assert facts[target]["safe_path"] is True


class TestEntryPoints:
    @pytest.mark.parametrize(
        ("target", "command", "answer"),
        [
            ("operator", ("python", "-m", "millwright_operator", "--help"), "MILLWRIGHT_"),
            ("operator", ("python", "-c", ASK), "12 trials"),
            (
                "preflight",
                ("python", "-c", f"import {POD}.preflight as p, {POD}.report; print(p.__name__)"),
                "pod.preflight",
            ),
            (
                "azure",
                (
                    "python",
                    "-c",
                    f"import azure.identity, {POD}.preflight, {POD}.cancel, {POD}.azureml as a; print(a.__name__)",
                ),
                "pod.azureml",
            ),
            ("runner", ("python", "-c", f"import {POD}.preflight, {POD}.stage as s; print(s.__name__)"), "pod.stage"),
            ("runner", ("millwright", "passes"), "lora"),
        ],
    )
    def test_each_answers(
        self, cluster: Cluster, shared_namespace: str, target: str, command: tuple[str, ...], answer: str
    ) -> None:
        assert answer in run_in_pod(cluster, shared_namespace, cluster.images[target], *command)

    def test_the_runner_reads_parquet_and_so_does_the_light_image(
        self, cluster: Cluster, shared_namespace: str
    ) -> None:
        code = (
            "import io, json, pyarrow, pyarrow.parquet as parquet; f = io.BytesIO();"
            "parquet.write_table(pyarrow.table({'a': [1, 2]}), f); f.seek(0);"
            "print(json.dumps(parquet.read_table(f).to_pylist()));"
            "from millwright_runner.process import leave; leave(0)"
        )
        for target in ("preflight", "runner"):
            assert ask_python(cluster, shared_namespace, cluster.images[target], code) == [{"a": 1}, {"a": 2}]


class TestLabels:
    @pytest.mark.parametrize("target", TARGETS)
    def test_they_say_what_it_is(self, cluster: Cluster, target: str) -> None:
        cluster.demand_ground("asks the store that the images were built in")

        labels = images.inspect(f"millwright/{target}:dev")["config"]["Labels"]

        assert labels["org.opencontainers.image.title"] == f"Millwright {target}"
        assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
        assert labels["org.opencontainers.image.version"] == "0.1.0"
        assert labels["org.opencontainers.image.description"]


class TestLayers:
    def test_a_change_of_the_code_is_one_more_layer_on_the_same_dependencies(
        self, cluster: Cluster, tmp_path: Path, request: pytest.FixtureRequest
    ) -> None:
        cluster.demand_ground("builds an image")
        for name in ("Dockerfile", ".dockerignore", "LICENSE", "README.md", "pyproject.toml"):
            shutil.copy2(PROJECT / name, tmp_path / name)
        for name in ("api", "operator", "runner", "search", "requirements"):
            shutil.copytree(PROJECT / name, tmp_path / name)
        with (tmp_path / "runner" / "millwright_runner" / "__init__.py").open("a") as module:
            module.write(f"\n# {uuid.uuid4()}\n")

        images.build("millwright/changed:test", "--target=runner", "--build-arg=REVISION=abc123", str(tmp_path))
        request.addfinalizer(lambda: images.remove("millwright/changed:test"))

        changed = images.inspect("millwright/changed:test")
        assert changed["config"]["Labels"]["org.opencontainers.image.revision"] == "abc123"
        before = images.inspect("millwright/runner:dev")["rootfs"]["diff_ids"]
        after = changed["rootfs"]["diff_ids"]
        assert [one == other for one, other in zip(before, after, strict=True)] == [True, True, True, True, False]
        assert images.megabytes("millwright/changed:test") == images.megabytes("millwright/runner:dev")
