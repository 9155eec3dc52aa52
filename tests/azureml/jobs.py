"""Command jobs of a workspace: submitted, looked at, canceled; and one job as tests drive it."""

from __future__ import annotations

import datetime
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.azureml import shapes
from tests.azureml.assets import Assets
from tests.azureml.computes import Computes
from tests.azureml.wire import Answer, Request, Route, route, user_error

ENDED = ("Completed", "Failed", "Canceled", "NotResponding")
STATES = (
    "NotStarted", "Starting", "Provisioning", "Preparing", "Queued", "Running", "Finalizing", "CancelRequested", "Paused", *ENDED,
)  # fmt: skip
STD_LOG, BUILD_LOG = "user_logs/std_log.txt", "azureml-logs/20_image_build_log.txt"
CHANGEABLE = ("description", "displayName", "isArchived", "properties", "tags")
PAGE = 2
"""Jobs on a page: small, so that who reads only the first one is found out."""


class Job:
    """One command job.

    Attributes:
        name: its name.
        definition: its properties as they were submitted.
        states: every status that it had, in order; the last is what it has.
        error: run history's error, of a job that failed.
        logs: text by name, as user_logs/std_log.txt.
        canceling: how often it was asked to cancel.
        cancels_by_itself: a job that a test drives becomes Canceled soon after it was asked to; else the test says when.
        exit_code: of its process, once it ran.
    """

    def __init__(self, name: str, definition: Mapping[str, Any]) -> None:
        self.name, self.definition = name, dict(definition)
        self.states = ["Starting"]
        self.error: dict[str, Any] | None = None
        self.logs: dict[str, str] = {}
        self.canceling = 0
        self.cancels_by_itself = True
        self.exit_code: int | None = None
        self.started: str | None = None
        self.ended: str | None = None
        self.on_cancel: Callable[[], None] | None = None
        self._seen_canceling = False
        self._changed = threading.Condition()

    @property
    def status(self) -> str:
        return self.states[-1]

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of its definition."""
        return dict(self.definition.get("environmentVariables") or {})

    def state(self, status: str) -> Job:
        """Makes it be in another state."""
        if status not in STATES:
            raise ValueError(f"{status} is none of {', '.join(STATES)}")
        with self._changed:
            if status != self.status:
                self.states.append(status)
            if status == "Running" and self.started is None:
                self.started = _now()
            if status in ENDED:
                self.ended = _now()
            self._changed.notify_all()
        return self

    def log(self, text: str, name: str = STD_LOG) -> Job:
        """Appends to a log."""
        with self._changed:
            self.logs[name] = self.logs.get(name, "") + text
            self._changed.notify_all()
        return self

    def complete(self) -> Job:
        """It ends well."""
        return self.state("Finalizing").state("Completed")

    def fail(
        self, code: str = "UserError", message: str = "Execution failed. Exit status: 1.", log: str | None = None
    ) -> Job:
        """It ends badly, with an error as run history has it; `log` is appended to its log."""
        if log is not None:
            self.log(log)
        self.error = {
            "error": {"code": code, "message": message, "messageParameters": {}, "details": [], "severity": None},
            "time": _now(), "environment": "local", "location": "local", "componentName": "CommonRuntime",
        }  # fmt: skip
        return self.state("Failed")

    def fail_build(self, log: str) -> Job:
        """Its environment's image could not be built."""
        self.state("Preparing").log(log, BUILD_LOG)
        last = log.strip().splitlines()[-1] if log.strip() else ""
        return self.fail(
            "ImageBuildFailure", f"Image build failed. For more details, check log file {BUILD_LOG}. {last}".strip()
        )

    def wait(self, *statuses: str, timeout: float = 60) -> Job:
        """Waits until it is in one of these states; TimeoutError says in which it is instead."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.status in statuses, timeout):
                raise TimeoutError(f"{self.name} is {self.status}, not {' or '.join(statuses)}; its log: {self.logs}")
        return self

    def wait_log(self, text: str, name: str = STD_LOG, timeout: float = 60) -> Job:
        """Waits until a log has this in it."""
        with self._changed:
            if not self._changed.wait_for(lambda: text in self.logs.get(name, ""), timeout):
                raise TimeoutError(f"{self.name} is {self.status} and has not said {text!r}; its log: {self.logs}")
        return self

    def cancel(self) -> None:
        """What the service does when asked: a state at once, the end later."""
        self.canceling += 1
        if self.status == "CancelRequested":
            return
        self.state("CancelRequested")
        if self.on_cancel is not None:
            self.on_cancel()

    def look(self) -> None:
        """Somebody asks: a driven job that is to be canceled is seen as CancelRequested, and after that is Canceled."""
        if self.status == "CancelRequested" and self.on_cancel is None and self.cancels_by_itself:
            if self._seen_canceling:
                self.state("Canceled")
            self._seen_canceling = True


class Jobs(Mapping[str, Job]):
    """All jobs of one workspace, by name.

    Attributes:
        scope: the workspace's ARM id.
        builds: log of a failed image build, for every environment that has to be built; None: builds succeed.
    """

    def __init__(self, scope: str, base: str, computes: Computes, assets: Assets, start: Callable[[Job], bool]) -> None:
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
            if (wanted := definition.get(field)) is not None and wanted.startswith("/subscriptions/"):
                parts = wanted.rsplit("/", 3)
                asset = self._assets.kinds[kind].get(parts[1])
                there = asset is not None and (
                    parts[3] in asset.labels or parts[3] == "latest"
                    if parts[2] == "labels"
                    else parts[3] in asset.versions
                )
                if not there:
                    raise user_error(404, f"{kind[:-1].capitalize()} {parts[1]} with version {parts[3]} not found.")

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
        wanted = definition["environmentId"]
        name = wanted.split("/environments/")[-1].split("/")[0]
        if name in self.failing_environments:
            return self.failing_environments[name]
        parts = wanted.rsplit("/", 1)
        found = self._assets.found("environments", name, parts[-1])
        built = found is not None and (found["properties"].get("condaFile") or found["properties"].get("build"))
        return self.builds if built else None

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


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
