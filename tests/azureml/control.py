"""The stub from outside, under /stub/: what tests in another process or network namespace do through it.

GET  /stub/env                       the variables of Azure.env
GET  /stub/jobs                      name, states, environment and logs of each job
GET  /stub/wrong                     what no service would understand
GET  /stub/requests                  all that was asked
GET  /stub/secrets?vault=NAME        names of the secrets in a vault, and of those deleted; by default the workspace's own
POST /stub/compute, /stub/datastore, /stub/environment, /stub/model, /stub/secret      keyword arguments as JSON
POST /stub/state    {job, state}     drives a job; also {job, fail: [code, message]} and {job, log: text}
POST /stub/fault    {kind, ...}      kind is a method of Faults: throttle, error, delay, hang, drop, refuse, forbid, quota, clear
POST /stub/execute  {execute: bool, environment: {...}}
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.azureml.wire import Answer, Request, Route, route

if TYPE_CHECKING:
    from tests.azureml.stub import Azure

FAULTS = ("throttle", "error", "delay", "hang", "drop", "refuse", "forbid", "quota", "clear")


class Control:
    """Its calls."""

    def __init__(self, azure: Azure) -> None:
        self._azure = azure

    def routes(self) -> list[Route]:
        """Returns what it answers, to anybody."""
        return [
            route("GET", r"/stub/(?P<what>\w+)", self._tell, None),
            route("POST", r"/stub/(?P<what>\w+)", self._do, None),
        ]

    def _tell(self, request: Request, match: re.Match[str]) -> Answer:
        azure = self._azure
        if match["what"] == "jobs":
            return Answer(200, {name: _told(job) for name, job in azure.jobs.items()})
        if match["what"] == "secrets":
            vault = azure.vault(request.query.get("vault"))
            return Answer(200, {"names": sorted(vault.secrets), "deleted": vault.deleted})
        told = {"env": azure.env, "wrong": azure.wrong, "requests": azure.requests}
        return Answer(200, told[match["what"]])

    def _do(self, request: Request, match: re.Match[str]) -> Answer:
        azure, asked = self._azure, request.json()
        what = match["what"]
        if what in ("compute", "datastore", "environment"):
            getattr(azure, what)(**asked)
        elif what == "model":
            asked["files"] = {name: text.encode() for name, text in asked["files"].items()}
            azure.model(**asked)
        elif what == "secret":
            azure.vault(asked.get("vault")).secrets[asked["name"]] = asked["value"]
        elif what == "state":
            self._drive(asked)
        elif what == "fault" and asked.get("kind") in FAULTS:
            getattr(azure.faults, asked.pop("kind"))(**asked)
        elif what == "execute":
            azure.execute = asked.get("execute", True)
            azure.executor.environment.update(asked.get("environment", {}))
        else:
            return Answer(400, {"error": {"code": "Unknown", "message": what}})
        return Answer(200, {})

    def _drive(self, asked: dict[str, Any]) -> None:
        job = self._azure.jobs[asked["job"]]
        if "log" in asked:
            job.log(asked["log"])
        if "fail" in asked:
            job.fail(*asked["fail"])
        if "state" in asked:
            job.state(asked["state"])


def _told(job: Any) -> dict[str, Any]:
    return {
        "states": job.states, "definition": job.definition, "logs": job.logs, "error": job.error, "canceling": job.canceling,
    }  # fmt: skip
