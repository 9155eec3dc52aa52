"""Fixtures of the tests that need a cluster."""

from __future__ import annotations

import os
import random
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.azurite import Azurite
from tests.cluster import jobs
from tests.cluster.arena import Arena
from tests.cluster.asking import server
from tests.cluster.cluster import (
    CHART,
    RELEASE,
    RELEASE_NAMESPACE,
    Cluster,
    Object,
    chart_values,
    named_cluster,
    once_a_run,
    own_cluster,
    split_reference,
)
from tests.cluster.ground import settings
from tests.cluster.ground.shell import GroundError, locked, turn, using
from tests.cluster.ground.users import borrowed
from tests.cluster.jobs import until

if TYPE_CHECKING:
    from tests.cluster.azureworld import AzureWorld

GIVEN = list(filter(None, os.environ.get("MILLWRIGHT_TEST_NAMESPACES", "").split(",")))
"""Where the test user may make no namespaces, or others work in theirs: those that tests may use, all there already."""

TAKEN: list[str] = []

MADE_BY_TESTS = "millwright-tests=true"
"""The label of a release that tests made and may take away."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Lets tests of several processes share the cluster, and gives it to one that kills parts of it for itself."""
    if Path(__file__).parent not in item.path.parents:  # it is asked for all tests of this process
        return (yield)
    with turn(settings.HOME / "turn.lock", alone=item.get_closest_marker("alone") is not None):
        return (yield)


def run_id() -> str:
    """Names this test run: the same in all of its processes."""
    return os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid())


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A real cluster: a fresh ground of the project, or the one that MILLWRIGHT_TEST_KUBECONFIG names."""
    named = os.environ.get("MILLWRIGHT_TEST_KUBECONFIG")
    try:
        if named:
            yield named_cluster(Path(named))
        else:
            with borrowed(run_id()):
                yield own_cluster()
    except GroundError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


@pytest.fixture(scope="session")
def installed(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with Millwright installed by its chart, cluster-wide, from today's code.

    On a cluster that was named it goes with the last process of the run; what was there before the tests came stays.
    """
    lock = settings.HOME / "chart.lock"
    with using(settings.HOME / "chart.users") as is_last:
        with locked(lock):
            if cluster.is_ground:
                once_a_run("release", lambda: install(cluster))
            else:  # the process that has installed it may be gone, and it with that
                install(cluster)
        yield cluster
        with locked(lock):
            if not cluster.is_ground and is_last() and release_is_there(cluster, MADE_BY_TESTS):
                cluster.helm("uninstall", RELEASE, "--namespace", RELEASE_NAMESPACE, "--wait")


def install(cluster: Cluster) -> None:
    """Installs or upgrades the release of the session."""
    ours = () if release_is_there(cluster) else ("--labels", MADE_BY_TESTS)
    cluster.helm(
        "upgrade", "--install", RELEASE, str(CHART), "--namespace", RELEASE_NAMESPACE, "--create-namespace",
        "--wait", "--timeout", "3m", *chart_values(cluster.images), *only(GIVEN), *ours,
    )  # fmt: skip


def release_is_there(cluster: Cluster, labels: str = "") -> bool:
    """Whether the cluster has the release; with these labels only when they are its own."""
    chosen = ("--selector", labels) if labels else ()
    names = cluster.helm("list", "--short", "--namespace", RELEASE_NAMESPACE, *chosen).split()
    return RELEASE in names


def only(namespaces: list[str]) -> list[str]:
    """Arguments for Helm that keep Millwright to these namespaces; none: it watches all."""
    return ["--set", f"watchNamespaces={{{','.join(namespaces)}}}", "--set", "crds.enabled=false"] if namespaces else []


def new_namespace(cluster: Cluster, prefix: str = "test") -> str:
    """Makes a namespace of a fresh name, or takes the next of those that are given."""
    if GIVEN:
        TAKEN.append(GIVEN[len(TAKEN) % len(GIVEN)])
        return TAKEN[-1]
    name = f"{prefix}-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    return name


def drop_namespace(cluster: Cluster, name: str) -> None:
    """Deletes a namespace that was made."""
    if not GIVEN:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A fresh namespace, for one test."""
    name = new_namespace(cluster)
    yield name
    drop_namespace(cluster, name)


@pytest.fixture(scope="module")
def shared_namespace(cluster: Cluster) -> Iterator[str]:
    """A fresh namespace, for the tests of one module."""
    name = new_namespace(cluster)
    yield name
    drop_namespace(cluster, name)


def new_bucket(cluster: Cluster) -> str:
    """Makes a bucket of a fresh name."""
    name = f"b-{uuid.uuid4().hex[:12]}"
    cluster.s3.client().create_bucket(Bucket=name)
    return name


@pytest.fixture
def bucket(cluster: Cluster) -> str:
    """A fresh bucket in the cluster's object store, for one test."""
    return new_bucket(cluster)


@pytest.fixture(scope="module")
def shared_bucket(cluster: Cluster) -> str:
    """A fresh bucket in the cluster's object store, for the tests of one module."""
    return new_bucket(cluster)


@pytest.fixture(scope="session")
def plugin_image(cluster: Cluster) -> str:
    """A runner image with the pass of tests/cluster/plugin, which breaks as it is told."""
    folder = Path(__file__).parent / "plugin"
    repository, _, _ = split_reference(cluster.images["runner"])  # what was just built has a tag, no digest yet

    def build() -> str:
        return cluster.image("plugin", "--build-arg", f"RUNNER={repository}:dev", str(folder))

    return once_a_run("plugin", build) if cluster.is_ground else build()


def new_arena(cluster: Cluster, plugin_image: str, namespace: str, folder: Path, *, trainable: bool) -> Arena:
    """Puts a model, rows and the Secret for them where a test's jobs look for them."""
    bucket = new_bucket(cluster)
    jobs.seed_bucket(cluster.s3.client(), bucket, folder, trainable=trainable)
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": jobs.SECRET, "namespace": namespace},
            "stringData": cluster.s3.environment,
        }
    )
    asked = server(cluster.kubeconfig)
    return Arena(cluster.kubectl, asked, namespace, bucket, cluster.s3.pod_endpoint, cluster.s3.client(), plugin_image)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which models and rows are made, once."""
    return tmp_path_factory.mktemp("made")


@pytest.fixture(scope="module")
def arena(installed: Cluster, plugin_image: str, shared_namespace: str, made: Path) -> Arena:
    """A module's namespace and bucket, with a model that only the tests' plug-in can use: no torch is needed for it."""
    return new_arena(installed, plugin_image, shared_namespace, made, trainable=False)


@pytest.fixture(scope="module")
def trainable(installed: Cluster, plugin_image: str, made: Path) -> Iterator[Arena]:
    """Another namespace and bucket of a module, with a small real model."""
    namespace = new_namespace(installed, "train")
    yield new_arena(installed, plugin_image, namespace, made, trainable=True)
    drop_namespace(installed, namespace)


@pytest.fixture(scope="module")
def azure_ml(
    installed: Cluster, arena: Arena, azurite: Azurite, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AzureWorld]:
    """Azure, for the jobs of a module's namespace."""
    from tests.cluster.azureworld import AzureWorld

    installed.demand_ground("serves pods a stub of Azure from this machine")
    folder = tmp_path_factory.mktemp("azure")
    for each in (folder.parent.parent, folder.parent, folder):
        each.chmod(0o755)
    (folder / "ca").mkdir(mode=0o755)
    world = AzureWorld(arena, azurite, folder)
    yield world
    world.close()


class OperatorPods:
    """The operator's pods, for tests that kill them."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def kill(self) -> None:
        """Kills one operator's process with SIGKILL, at a moment of chance, and waits until another one is in its place."""
        before = self._running()
        time.sleep(random.uniform(0, 0.8))
        for pod in before:
            name = pod["metadata"]["name"]
            self._cluster.kubectl(
                "delete", "pod", name, "-n", RELEASE_NAMESPACE, "--force", "--grace-period=0", "--wait=false"
            )
        gone = {pod["metadata"]["uid"] for pod in before}
        until("another operator", lambda: [p for p in self._running() if p["metadata"]["uid"] not in gone])

    def scale(self, replicas: int) -> None:
        """Sets how many there are, and waits until it is so."""
        self._cluster.kubectl("scale", "deployment", RELEASE, "-n", RELEASE_NAMESPACE, f"--replicas={replicas}")
        until("the operator's pods", lambda: len(self._running()) == replicas)

    def _running(self) -> list[Object]:
        pods = self._cluster.list("pods", RELEASE_NAMESPACE, "app.kubernetes.io/component=operator")
        return [p for p in pods if p["status"]["phase"] == "Running" and "deletionTimestamp" not in p["metadata"]]


@pytest.fixture
def operator_pods(installed: Cluster) -> OperatorPods:
    """The operator's pods of the installed release."""
    return OperatorPods(installed)
