"""`make demo-cluster` as a newcomer sees it, in a copy of the example; and every manifest of the examples before a real API server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests import emotion
from tests.cluster.cluster import PROJECT, RELEASE_NAMESPACE, Cluster
from tests.cluster.conftest import GIVEN, only

EXAMPLES = PROJECT / "examples"
NAMESPACE = "millwright-demo"
MANIFESTS = [EXAMPLES / "emotion" / "job-cluster.yaml", *sorted((EXAMPLES / "cluster").glob("*.yaml"))]


def run(folder: Path, cluster: Cluster) -> str:
    """Runs the demo of a copy, on this cluster; returns what it printed."""
    s3 = cluster.s3
    own = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{cluster.environment['PATH']}",
        "MILLWRIGHT_HOME": str(folder / "home"),
        "MILLWRIGHT_PROJECT": str(PROJECT),
        "MILLWRIGHT_TEST_KUBECONFIG": str(cluster.kubeconfig),
        "MILLWRIGHT_TEST_POD_S3_ENDPOINT": s3.pod_endpoint,
        **(s3.environment | {"AWS_ENDPOINT_URL_S3": s3.endpoint}),
        **{f"MILLWRIGHT_TEST_{target.upper()}_IMAGE": reference for target, reference in cluster.images.items()},
    }
    done = subprocess.run(
        [str(folder / "demo-cluster.sh"), *only([*GIVEN, NAMESPACE] if GIVEN else [])],
        env=cluster.environment | own,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@dataclass(frozen=True)
class Demo:
    """A copy of the example that has been run."""

    folder: Path
    cluster: Cluster
    said: str

    def get(self, kind: str) -> list[dict[str, Any]]:
        """Objects of the job."""
        return self.cluster.list(kind, NAMESPACE, "millwright.dev/job=emotion")

    @property
    def status(self) -> dict[str, Any]:
        job = self.cluster.get("optimizationjobs.millwright.dev", "emotion", NAMESPACE)
        assert job is not None
        return dict(job["status"])


@pytest.fixture(scope="module")
def demo(installed: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo") / "emotion"
    shutil.copytree(EXAMPLES / "emotion", folder, ignore=shutil.ignore_patterns("build", "out", "__pycache__"))
    emotion.borrow(tmp_path_factory, folder / "build")
    return Demo(folder, installed, run(folder, installed))


class TestTheDemo:
    def test_the_model_from_s3_classifies_far_better_than_the_one_before(self, demo: Demo) -> None:
        accuracy = json.loads((demo.folder / "build" / "accuracy-cluster.json").read_text())

        assert accuracy["before"] <= 0.4
        assert accuracy["cluster"] >= 0.8
        assert f"{accuracy['cluster']:.1%}" in demo.said

    def test_it_is_watched_to_its_end(self, demo: Demo) -> None:
        words = (
            "Running: stage 1 of 2 (finetune, merge)",
            "Running: stage 2 of 2 (genai)",
            "Succeeded: published onnx-genai",
        )

        places = [demo.said.index(word) for word in words]

        assert places == sorted(places)

    def test_the_two_stages_have_resources_of_their_own(self, demo: Demo) -> None:
        pods = {
            pod["metadata"]["labels"]["millwright.dev/stage"]: pod["spec"]["containers"][0]["resources"]["limits"][
                "memory"
            ]
            for pod in demo.get("pods")
            if "millwright.dev/stage" in pod["metadata"]["labels"]
        }

        assert pods == {"0": "4Gi", "1": "3Gi"}

    def test_the_operator_is_a_pod_under_an_account_of_its_own_that_reads_no_secrets(self, demo: Demo) -> None:
        pods = demo.cluster.list("pods", RELEASE_NAMESPACE, "app.kubernetes.io/component=operator")
        accounts = {pod["spec"]["serviceAccountName"] for pod in pods}

        answers = [
            demo.cluster.command(
                "kubectl", "auth", "can-i", verb, "secrets", "-n", NAMESPACE, "--as", f"system:serviceaccount:{RELEASE_NAMESPACE}:{account}"
            ).stdout.strip()
            for account in accounts
            for verb in ("get", "list", "watch")
        ]  # fmt: skip

        assert len(accounts) == 1
        assert accounts != {"default"}
        assert answers == ["no"] * 3

    def test_run_again_all_passes_come_from_the_cache(self, demo: Demo) -> None:
        said = run(demo.folder, demo.cluster)

        assert [entry["cache"] for entry in demo.status["passes"]] == ["Hit"] * 3
        assert "make_model" not in said


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.name)
def test_each_example_is_taken_by_the_api_server_as_it_is(installed: Cluster, namespace: str, manifest: Path) -> None:
    body = yaml.safe_load(manifest.read_text())
    body["metadata"]["namespace"] = namespace

    said = installed.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=json.dumps(body))

    assert f"{body['metadata']['name']} serverside-applied" in said
