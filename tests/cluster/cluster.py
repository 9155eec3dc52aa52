"""The cluster that tests run on: the project's own ground, or any that is named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.cluster.asking import server
from tests.cluster.ground import images, install, programs, settings
from tests.cluster.ground.shell import GroundError, locked

PROJECT = settings.PROJECT
CHART = PROJECT / "charts" / "millwright"
RELEASE = os.environ.get("MILLWRIGHT_TEST_RELEASE", "millwright")
RELEASE_NAMESPACE = f"{RELEASE}-system"
IMAGE_VARIABLE = "MILLWRIGHT_TEST_{}_IMAGE"

Object = dict[str, Any]
"""A Kubernetes object as JSON."""

T = TypeVar("T")


@dataclass(frozen=True)
class S3:
    """An object store.

    Attributes:
        endpoint: as this machine reaches it.
        pod_endpoint: as pods reach it.
    """

    endpoint: str
    pod_endpoint: str
    access_key: str
    secret_key: str
    region: str

    @property
    def environment(self) -> dict[str, str]:
        """What a pod's Secret holds."""
        return {
            "AWS_ENDPOINT_URL_S3": self.pod_endpoint, "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key, "AWS_REGION": self.region,
        }  # fmt: skip

    def client(self) -> Any:
        """A client of boto3 for it, whatever AWS configuration this machine has."""
        import boto3

        return boto3.session.Session().client(
            "s3", endpoint_url=self.endpoint, aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key, region_name=self.region,
        )  # fmt: skip


@dataclass(frozen=True)
class Cluster:
    """A cluster with its object store and the project's images.

    Attributes:
        images: references of the images by their target: operator, preflight, azure, runner.
        is_ground: whether it is the project's own, whose programs can be stopped.
    """

    kubeconfig: Path
    s3: S3
    images: Mapping[str, str] = field(repr=False)
    is_ground: bool

    @property
    def environment(self) -> dict[str, str]:
        """For processes that speak to the cluster: KUBECONFIG, and kubectl and helm in PATH."""
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PATH": f"{settings.BIN}:{os.environ['PATH']}"}

    def command(self, *words: str, stdin: str | None = None, seconds: float = 300) -> subprocess.CompletedProcess[str]:
        """Runs a command with the cluster in its environment; how it ended is for the caller to look at."""
        return subprocess.run(
            words, input=stdin, env=self.environment, capture_output=True, text=True, timeout=seconds, check=False
        )

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Runs kubectl and returns what it printed; an AssertionError has both streams when it fails."""
        return self._checked("kubectl", *arguments, stdin=stdin)

    def helm(self, *arguments: str) -> str:
        """Runs Helm and returns what it printed; an AssertionError has both streams when it fails."""
        return self._checked("helm", *arguments)

    def _checked(self, *words: str, stdin: str | None = None) -> str:
        done = self.command(*words, stdin=stdin)
        assert done.returncode == 0, f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def apply(self, *objects: Object) -> None:
        """Applies objects server-side."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """One object, or None."""
        if namespace:
            return server(self.kubeconfig).get(kind, name, namespace)
        text = self.kubectl("get", kind, name, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text else None

    def list(self, kind: str, namespace: str, selector: str = "") -> list[Object]:
        """All objects of a kind in a namespace that carry these labels."""
        return server(self.kubeconfig).list(kind, namespace, selector)

    def stop(self, name: str) -> None:
        """Kills a program of the cluster with SIGKILL."""
        self.demand_ground(f"stops {name}")
        programs.stop(name)

    def start(self, name: str) -> None:
        """Starts a program of the cluster again and waits until it is ready."""
        self.demand_ground(f"starts {name}")
        programs.start(name)
        programs.wait_until_ready(name)

    def inside(self, *command: str) -> str:
        """Runs a command in the network and the mounts of the cluster's node."""
        self.demand_ground(f"runs {command[0]} on the node")
        return self._checked(*programs.inside(*command))

    def image(self, name: str, *options: str) -> str:
        """The reference of an image that only tests use; on another cluster than the ground it is named by a variable.

        Args:
            name: as in plugin.
            options: of `buildah build`, and the context.
        """
        if self.is_ground:
            images.build(f"{images.NAME}/{name}:test", *options)
            return images.push(f"{images.NAME}/{name}:test")
        variable = IMAGE_VARIABLE.format(name.upper())
        demand(variable)
        return os.environ[variable]

    def demand_ground(self, what: str) -> None:
        """Fails a test that does what only the project's own cluster allows; `what` says it: kills the store."""
        if not self.is_ground:
            reason = f"this test {what}: it needs the project's own cluster, without MILLWRIGHT_TEST_KUBECONFIG"
            raise pytest.fail.Exception(reason, pytrace=False)


def demand(*variables: str) -> None:
    """Sees to it that the environment has what tests on a cluster that was named need.

    Raises:
        GroundError: variables are not set; the message has all of them.
    """
    missing = [name for name in variables if not os.environ.get(name)]
    if missing:
        raise GroundError(f"MILLWRIGHT_TEST_KUBECONFIG names a cluster, so these must be set too: {', '.join(missing)}")


def own_cluster() -> Cluster:
    """The project's own, which is up; its images are built from today's code."""
    keys = settings.S3
    endpoint = keys["AWS_ENDPOINT_URL_S3"]
    s3 = S3(endpoint, endpoint, keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"], keys["AWS_REGION"])
    return Cluster(settings.ADMIN_KUBECONFIG, s3, once_a_run("images", _all_built), is_ground=True)


def once_a_run(what: str, make: Callable[[], T]) -> T:
    """Makes something on the ground that is up, in the first process of a test run that asks for it; the others are told
    what it has made. To find that all of an image is there already takes seconds of a core.

    Args:
        what: its name, for files.
        make: returns what JSON can hold.
    """
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is None:  # a run of one process
        return make()
    told = settings.RUN / f"{what}-{run}.json"
    with locked(settings.RUN / f"{what}.lock"):
        if not told.exists():
            told.write_text(json.dumps(make()))
    found: T = json.loads(told.read_text())
    return found


def _all_built() -> dict[str, str]:
    """Builds the project's images; returns their references by target."""
    images.build_all()
    return images.push_all()


def named_cluster(kubeconfig: Path) -> Cluster:
    """Any other, as the environment describes it.

    Raises:
        GroundError: a variable or a program is missing, the file is not there, or the API server does not answer.
    """
    variables = {target: IMAGE_VARIABLE.format(target.upper()) for target in settings.TARGETS}
    demand("AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", *variables.values())
    endpoint = os.environ["AWS_ENDPOINT_URL_S3"]
    s3 = S3(
        endpoint,
        os.environ.get("MILLWRIGHT_TEST_POD_S3_ENDPOINT", endpoint),
        os.environ["AWS_ACCESS_KEY_ID"],
        os.environ["AWS_SECRET_ACCESS_KEY"],
        os.environ.get("AWS_REGION", "us-east-1"),
    )
    references = {target: os.environ[variable] for target, variable in variables.items()}
    cluster = Cluster(kubeconfig.absolute(), s3, references, is_ground=False)
    _demand_answer(cluster)
    if shutil.which("helm", path=cluster.environment["PATH"]) is None:
        install.program("helm")
    return cluster


def _demand_answer(cluster: Cluster) -> None:
    """Sees to it that a kubeconfig leads to a cluster: without a file kubectl asks localhost:8080, which tells nobody anything.

    Raises:
        GroundError: it does not.
    """
    named = f"MILLWRIGHT_TEST_KUBECONFIG names {cluster.kubeconfig}"
    if not cluster.kubeconfig.is_file() or not cluster.kubeconfig.read_bytes().strip():
        raise GroundError(f"{named}: there is no such file, or it is empty")
    if shutil.which("kubectl", path=cluster.environment["PATH"]) is None:
        raise GroundError(f"{named}, and kubectl is not on the PATH")
    answer = cluster.command("kubectl", "get", "--raw", "/version", "--request-timeout=15s")
    if answer.returncode:
        said = (answer.stderr.strip().splitlines() or ["no reason was given"])[-1]
        raise GroundError(f"{named}, and its API server cannot be used: {said}")


def chart_values(references: Mapping[str, str]) -> list[str]:
    """Arguments for Helm that make the chart use these images."""
    words = []
    for target, reference in references.items():
        repository, tag, digest = split_reference(reference)
        for key, value in (("repository", repository), ("tag", tag), ("digest", digest)):
            words += ["--set-string", f"images.{target}.{key}={value}"]
    return words


def split_reference(reference: str) -> tuple[str, str, str]:
    """A reference of an image as repository, tag and digest; what it does not have is empty."""
    name, _, digest = reference.partition("@")
    folder, slash, last = name.rpartition("/")
    base, _, tag = last.partition(":")
    return f"{folder}{slash}{base}", tag, digest
