"""Run history: a run's details, its error, its logs."""

from __future__ import annotations

import re
import urllib.parse
from typing import Any

from tests.azureml import shapes
from tests.azureml.job import Job
from tests.azureml.jobs import Jobs
from tests.azureml.wire import HISTORY_VERSIONS, Answer, Request, Route, route, user_error


class History:
    """Of one workspace; `scope` is its ARM id."""

    def __init__(self, scope: str, base: str, jobs: Jobs) -> None:
        self._scope, self._base, self._jobs = scope, base, jobs

    def routes(self) -> list[Route]:
        """Returns what it answers."""
        prefix = "/history/v1.0" + re.escape(self._scope)
        known: dict[str, Any] = {"versions": re.compile(rf"({HISTORY_VERSIONS.pattern})?")}
        return [
            route("GET", prefix + r"/runs/(?P<name>[^/]+)/details", self._details, **known),
            route("GET", prefix + r"/runs/(?P<name>[^/]+)", self._run, **known),
            route("POST", prefix + r"/rundata", self._data, **known),
            route("PATCH", prefix + r"/experiments/[^/]+/runs/(?P<name>[^/]+)", self._change, **known),
            route("GET", r"/logs" + re.escape(self._scope) + r"/(?P<name>[^/]+)/(?P<log>.+)", self._log, None),
        ]

    def _told(self, job: Job) -> dict[str, Any]:
        return {
            "runId": job.name, "runNumber": 1, "status": job.status, "startTimeUtc": job.started, "endTimeUtc": job.ended,
            "error": job.error, "warnings": None, "properties": {"ContentSnapshotId": job.definition.get("codeId", "")},
            "target": (job.definition.get("computeId") or "Serverless").rsplit("/", 1)[-1],
        }  # fmt: skip

    def _known(self, name: str) -> Job:
        if name not in self._jobs:
            raise user_error(404, f"Run {name} was not found")
        return self._jobs[name]

    def _details(self, request: Request, match: re.Match[str]) -> Answer:
        job = self._known(match["name"])
        job.look()
        status = self._told(job)  # before the logs: who sees an end has seen the whole log
        files = {
            name: f"{self._base}/logs{self._scope}/{job.name}/{urllib.parse.quote(name)}?sig=stub"
            for name in sorted(job.logs)
        }
        return Answer(
            200, {**status, "logFiles": files, "runDefinition": {}, "inputDatasets": [], "outputDatasets": []}
        )

    def _run(self, request: Request, match: re.Match[str]) -> Answer:
        return Answer(200, {**self._told(self._known(match["name"])), "outputs": {}})

    def _data(self, request: Request, match: re.Match[str]) -> Answer:
        asked = shapes.read(shapes.RunData, request)
        return Answer(200, {"runMetadata": {**self._told(self._known(asked.run_id)), "outputs": {}}})

    def _change(self, request: Request, match: re.Match[str]) -> Answer:
        job = self._known(match["name"])
        change = shapes.read(shapes.RunChange, request).model_dump(by_alias=True, exclude_none=True)
        change.pop("runId", None)
        job.definition.update(change)
        return Answer(200, self._told(job))

    def _log(self, request: Request, match: re.Match[str]) -> Answer:
        job = self._known(match["name"])
        if match["log"] not in job.logs:
            raise user_error(404, f"{match['log']} was not found")
        return Answer(200, job.logs[match["log"]].encode(), {"Content-Type": "text/plain; charset=utf-8"})
