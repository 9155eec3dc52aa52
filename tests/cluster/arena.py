"""One namespace and one bucket of a test, and what a test does and asks there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from tests.cluster import jobs
from tests.cluster.asking import Server
from tests.cluster.jobs import Manifest, until

OPTJOB = "optimizationjobs.millwright.dev"


class Kubectl(Protocol):
    """Runs kubectl."""

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Returns what it printed; raises AssertionError with both streams when it failed."""


@dataclass(frozen=True)
class Arena:
    """A namespace with a Secret for S3 and a bucket with a model and rows.

    Attributes:
        plugin_image: a runner image that has the tests' plug-in.
    """

    kubectl: Kubectl
    server: Server
    namespace: str
    bucket: str
    endpoint: str
    s3: Any
    plugin_image: str

    def manifest(self, name: str, *passes: Manifest, **spec: Any) -> Manifest:
        """A job; with the plug-in's image when one of its passes is the plug-in's."""
        job = jobs.manifest(name, self.namespace, self.bucket, self.endpoint, *passes, **spec)
        if any("custom" in step for step in passes):
            image: Manifest = {"execution": {"kubernetes": {"image": self.plugin_image}}}
            job["spec"] = jobs.merged(image, job["spec"])
        return job

    def apply(self, body: Manifest) -> None:
        """kubectl apply, server-side."""
        self.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(body))

    def start(self, name: str, *passes: Manifest, **spec: Any) -> None:
        """Applies a job."""
        self.apply(self.manifest(name, *passes, **spec))

    def patch(self, name: str, **spec: Any) -> None:
        """Changes a job's spec."""
        self.kubectl("patch", OPTJOB, name, "-n", self.namespace, "--type=merge", "-p", json.dumps({"spec": spec}))

    def get(self, kind: str, name: str) -> Manifest | None:
        """One object, or None."""
        return self.server.get(kind, name, self.namespace)

    def list(self, kind: str, selector: str = "") -> list[Manifest]:
        """All objects of a kind, or those with these labels."""
        return self.server.list(kind, self.namespace, selector)

    def job(self, name: str) -> Manifest:
        """An OptimizationJob as it stands."""
        found = self.get(OPTJOB, name)
        assert found is not None, f"there is no job {name}"
        return found

    def status(self, name: str) -> Manifest:
        """Its status."""
        return dict(self.job(name).get("status", {}))

    def children(self, kind: str, name: str, role: str | None = None) -> list[Manifest]:
        """Jobs, pods or configmaps of an OptimizationJob."""
        selector = f"millwright.dev/job={name}" + (f",millwright.dev/role={role}" if role else "")
        return self.list(kind, selector)

    def live_pods(self, name: str, role: str | None = None) -> list[Manifest]:
        """Pods that still hold something."""
        return [pod for pod in self.children("pods", name, role) if not has_ended(pod)]

    def wait(
        self, name: str, ask: Callable[[Manifest], bool], what: str = "", seconds: float = jobs.SECONDS
    ) -> Manifest:
        """Waits until the job is as asked for, and returns it then; a job that ends otherwise ends the wait."""
        last: Manifest = {}

        def look() -> Manifest | None:
            nonlocal last
            last = self.job(name)
            return last if ask(last) else None

        try:
            return until(what or f"the job {name}", look, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; its status: {json.dumps(last.get('status'), indent=1)}") from None

    def finish(self, name: str, seconds: float = jobs.SECONDS) -> Manifest:
        """Waits until a job has ended, either way."""
        return self.wait(name, jobs.holds("Finished"), f"the end of {name}", seconds)

    def complete(self, name: str, seconds: float = jobs.SECONDS) -> Manifest:
        """Waits until a job has ended, and asks that it is complete."""
        ended = self.finish(name, seconds)
        assert jobs.condition(ended, "Complete").get("status") == "True", json.dumps(ended["status"], indent=1)
        return ended

    def stalled(self, name: str, seconds: float = jobs.SECONDS) -> Manifest:
        """Waits until a job says that it needs a person."""
        return self.wait(name, jobs.holds("Stalled"), f"{name} to stall", seconds)

    def events(self, name: str) -> list[Manifest]:
        """Events about an OptimizationJob."""
        return [e for e in self.list("events") if e.get("regarding", {}).get("name") == name]

    def published(self, name: str) -> Manifest | None:
        """The manifest of the model in the job's output, or None when there is none."""
        try:
            body = self.s3.get_object(Bucket=self.bucket, Key=f"out/{name}/manifest.json")["Body"].read()
        except self.s3.exceptions.NoSuchKey:
            return None
        return dict(json.loads(body))

    def keys(self, prefix: str) -> list[str]:
        """All keys below a prefix of the bucket."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def has_ended(pod: Manifest) -> bool:
    """Whether a pod holds nothing any more."""
    return pod["status"]["phase"] in ("Succeeded", "Failed")
