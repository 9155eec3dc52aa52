"""Command jobs of a workspace: submitted, looked at, canceled."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.azureml import shapes
from tests.azureml.assets import Asset
from tests.azureml.computes import Computes
from tests.azureml.job import ENDED, Job
from tests.azureml.wire import Answer, Request, Route, route, user_error

NAMED = re.compile(
    r"(azureml://registries/(?P<registry>[^/]+)|(?P<scope>/subscriptions/.+/workspaces/[^/]+))/(?P<kind>codes|environments)/"
    r"(?P<name>[^/]+)/(?P<by>versions|labels)/(?P<version>[^/]+)",
    re.IGNORECASE,
)
"""Code or an environment, as a job's definition names it."""

CHANGEABLE = ("description", "displayName", "isArchived", "properties", "tags")
PAGE = 2
"""Jobs on a page: small, so that who reads only the first one is found out."""


class Jobs(Mapping[str, Job]):
    """All jobs of one workspace, by name.

    Attributes:
        scope: the workspace's ARM id.
        builds: log of a failed image build, for every environment that has to be built; None: builds succeed.
        failing_environments: the same by an environment's name.
    """

    def __init__(
        self,
        scope: str,
        base: str,
        computes: Computes,
        assets: Callable[[str, str | None], Mapping[str, Asset]],
        start: Callable[[Job], bool],
    ) -> None:
        self.scope, self._base, self._computes, self._assets, self._start = scope, base, computes, assets, start
        self._all: dict[str, Job] = {}
        self._lock = threading.Lock()
        self.builds: str | None = None
        self.failing_environments: dict[str, str] = {}
        self._arrived = threading.Condition()

    def __getitem__(self, name: str) -> Job:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._all))

    def __len__(self) -> int:
        return len(self._all)

    @property
    def only(self) -> Job:
        """The one job that there is."""
        (job,) = self._all.values()
        return job

    def arrive(self, number: int = 1, timeout: float = 60) -> list[Job]:
        """Waits until this many were submitted and returns them."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self._all) >= number, timeout):
                raise TimeoutError(f"{len(self._all)} of {number} jobs were submitted")
        return list(self._all.values())

    def add(self, name: str, definition: Mapping[str, Any]) -> Job:
        """Makes a job that is there already, or takes one in."""
        with self._arrived:
            job = self._all[name] = Job(name, definition)
            self._arrived.notify_all()
        return job

    def routes(self, prefix: str) -> list[Route]:
        """Returns what it answers below a workspace's path."""
        job = prefix + r"/jobs/(?P<name>[^/]+)"
        return [
            route("GET", prefix + r"/jobs", self._list),
            route("PUT", job, self._put),
            route("GET", job, self._get),
            route("POST", job + "/cancel", self._cancel),
            route("GET", job + r"/cancel/operation", self._canceling),
        ]

    def resource(self, job: Job) -> dict[str, Any]:
        """Returns a job as the service shows it."""
        services = {
            "Tracking": {
                "jobServiceType": "Tracking",
                "endpoint": f"azureml://{self._base[8:]}/mlflow/v1.0{self.scope}",
            },
            "Studio": {"jobServiceType": "Studio", "endpoint": f"{self._base}/runs/{job.name}?wsid={self.scope}"},
        }
        known = {
            "tags": {},
            "properties": {},
            "isArchived": False,
            "inputs": {},
            "outputs": {},
            "experimentName": "Default",
        }
        return {
            "id": f"{self.scope}/jobs/{job.name}", "name": job.name, "type": "Microsoft.MachineLearningServices/workspaces/jobs",
            "properties": {**known, **job.definition, "status": job.status, "services": services},
            "systemData": {"createdAt": "2026-01-01T00:00:00Z", "createdBy": "stub", "createdByType": "Application"},
        }  # fmt: skip

    def known(self, name: str) -> Job:
        """Returns a job; refuses when there is none."""
        if name not in self._all:
            raise user_error(404, f"Job {name} not found in workspace {self.scope.rsplit('/', 1)[-1]}.")
        return self._all[name]

    def _list(self, request: Request, match: re.Match[str]) -> Answer:
        start = int(request.query.get("$skip", 0))
        jobs = list(self._all.values())
        if (tag := request.query.get("tag")) is not None:
            name, _, value = tag.partition("=")
            jobs = [job for job in jobs if (job.definition.get("tags") or {}).get(name) == value]
        answer: dict[str, Any] = {"value": [self.resource(job) for job in jobs[start : start + PAGE]]}
        if start + PAGE < len(jobs):
            target = re.sub(r"[?&]\$skip=\d+", "", request.target.replace("%24skip", "$skip"))
            answer["nextLink"] = f"{self._base}{target}{'&' if '?' in target else '?'}$skip={start + PAGE}"
        return Answer(200, answer)

    def _get(self, request: Request, match: re.Match[str]) -> Answer:
        job = self.known(match["name"])
        job.look()
        return Answer(200, self.resource(job))

    def _put(self, request: Request, match: re.Match[str]) -> Answer:
        name = match["name"]
        body = shapes.read(shapes.CommandJob, request, "properties", ("id", "name", "type", "systemData"))
        if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,254}", name):
            raise user_error(400, f"The job name {name} is invalid: letters, digits, _ and -, at most 255.")
        definition = body.model_dump(by_alias=True, exclude_none=True)
        identity = definition.get("identity", {}).get("identityType")
        if identity == "UserIdentity" and "x-azureml-token" not in request.headers:
            raise user_error(400, "A job that runs as its user needs the user's token in the header x-azureml-token.")
        with self._lock:  # two submissions at the same time: one makes it
            there = self._all.get(name)
            if there is not None:
                return self._change(there, definition)
            self._check(definition)
            job = self.add(name, definition)
        told = self.resource(job)
        if (build := self._build(definition)) is not None:
            job.fail_build(build)
        else:
            self._start(job)
        return Answer(201, told)

    def _change(self, job: Job, definition: Mapping[str, Any]) -> Answer:
        other = sorted(
            field
            for field in {*definition, *job.definition} - set(CHANGEABLE)
            if definition.get(field) != job.definition.get(field)
        )
        if other:
            raise user_error(
                400,
                "A job with this name already exists. If you are trying to create a new job, use a different name. If you are "
                f"trying to update an existing job, the existing job's {other[0]} cannot be changed. Only description, "
                "displayName, tags, properties, and isArchived can be updated.",
            )
        job.definition.update(definition)
        return Answer(200, self.resource(job))

    def _check(self, definition: Mapping[str, Any]) -> None:
        """Refuses what names something that is not there."""
        resources = definition.get("resources") or {}
        if (compute := definition.get("computeId")) is not None:
            if not compute.lower().startswith(f"{self.scope}/computes/".lower()):
                raise user_error(400, f"The compute {compute} is not of this workspace.")
            name = compute.rsplit("/", 1)[-1]
            found = self._computes.named(name)
            if found is None:
                raise user_error(400, f"Unknown compute target '{name}'.")
            self._check_compute(name, found["properties"], resources)
        for kind, field in (("codes", "codeId"), ("environments", "environmentId")):
            if (wanted := definition.get(field)) is not None:
                self._found(kind, wanted)

    def _found(self, kind: str, wanted: str) -> tuple[str, str]:
        """Returns the name and version of what a definition names, or refuses."""
        match = NAMED.fullmatch(wanted)
        if match is None or match["kind"] != kind or (match["scope"] and match["scope"].lower() != self.scope.lower()):
            raise user_error(400, f"{wanted} is no {kind[:-1]} of this workspace or a registry.")
        asset = self._assets(kind, match["registry"]).get(match["name"], Asset())
        version = match["version"]
        if match["by"] == "labels":
            version = asset.latest if version == "latest" else asset.labels.get(version)
        if version is None or version not in asset.versions:
            raise user_error(
                404, f"{kind[:-1].capitalize()} {match['name']} with {match['by'][:-1]} {match['version']} not found."
            )
        return match["name"], version

    def _check_compute(self, name: str, compute: Mapping[str, Any], resources: Mapping[str, Any]) -> None:
        if compute["computeType"] == "ComputeInstance" and compute["properties"]["state"] not in (
            "Running",
            "JobRunning",
        ):
            state = compute["properties"]["state"]
            raise user_error(
                400, f"The specified compute instance {name} is in {state} state. Start it before submitting a job."
            )
        if compute["provisioningState"] != "Succeeded":
            raise user_error(400, f"The specified compute {name} is in {compute['provisioningState']} state.")
        kind = resources.get("instanceType")
        if (
            compute["computeType"] == "Kubernetes"
            and kind is not None
            and kind not in compute["properties"]["instanceTypes"]
        ):
            raise user_error(400, f"Instance type {kind} is not found in the compute {name}.")

    def _build(self, definition: Mapping[str, Any]) -> str | None:
        """Returns the log of the image build that fails, if it does."""
        name, version = self._found("environments", definition["environmentId"])
        if name in self.failing_environments:
            return self.failing_environments[name]
        properties = (
            self._assets("environments", None).get(name, Asset()).versions.get(version, {}).get("properties", {})
        )
        return self.builds if properties.get("condaFile") or properties.get("build") else None

    def _cancel(self, request: Request, match: re.Match[str]) -> Answer:
        job = self.known(match["name"])
        if job.status in ENDED:
            raise user_error(400, f"Run {job.name} is already in terminal state {job.status}: it cannot be canceled.")
        job.cancel()
        return self._pending(job)

    def _pending(self, job: Job) -> Answer:
        location = f"{self._base}{self.scope}/jobs/{job.name}/cancel/operation?api-version=2025-01-01-preview"
        return Answer(202, None, {"Location": location, "retry-after-ms": "50"})

    def _canceling(self, request: Request, match: re.Match[str]) -> Answer:
        job = self.known(match["name"])
        job.look()
        if job.status not in ENDED:
            return self._pending(job)
        return Answer(200, None)
