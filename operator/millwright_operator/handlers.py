"""kopf's part: four watches that hand on what they see. No state of kopf's own: `on.event` alone writes nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import kopf

from millwright_api import names
from millwright_operator.controller import Controller

EXIT_SECONDS = 25
"""From a signal until the process is killed; Kubernetes gives 30."""


async def watch(controller: Controller, namespaces: Sequence[str], stop: asyncio.Event) -> None:
    """Lets kopf watch until it is told to stop: by the event, or by a signal, which sets the event.

    Args:
        controller: is told what is seen.
        namespaces: where; empty: everywhere.
        stop: ends it.
    """
    registry = kopf.OperatorRegistry()
    register(registry, controller)
    try:
        await kopf.operator(
            registry=registry,
            settings=settings(),
            standalone=True,
            clusterwide=not namespaces,
            namespaces=namespaces,
            stop_flag=stop,
        )
    finally:
        stop.set()


def register(registry: kopf.OperatorRegistry, controller: Controller) -> None:
    """Adds the handlers to a registry; what they see goes to the controller."""

    @kopf.on.login(registry=registry)
    def login(**arguments: Any) -> kopf.ConnectionInfo | None:
        """By the pod's own account, else by a kubeconfig."""
        # Without this kopf would import the synchronous client for it
        return kopf.login_with_service_account(**arguments) or kopf.login_with_kubeconfig(**arguments)

    @kopf.on.event(names.GROUP, names.VERSION, names.PLURAL, registry=registry)
    async def optimizationjob(event: kopf.RawEvent, **_: Any) -> None:
        """Passes on what the watch of jobs of ours says."""
        controller.seen("optimizationjobs", event["type"], event["object"])

    @kopf.on.event("batch", "v1", "jobs", registry=registry)
    async def job(event: kopf.RawEvent, **_: Any) -> None:
        """Passes on what the watch of Jobs says."""
        controller.seen("jobs", event["type"], event["object"])

    @kopf.on.event("", "v1", "pods", registry=registry)
    async def pod(event: kopf.RawEvent, **_: Any) -> None:
        """Passes on what the watch of pods says."""
        controller.seen("pods", event["type"], event["object"])

    @kopf.on.event("", "v1", "configmaps", registry=registry)
    async def config_map(event: kopf.RawEvent, **_: Any) -> None:
        """Passes on what the watch of ConfigMaps says."""
        controller.seen("configmaps", event["type"], event["object"])


def settings() -> kopf.OperatorSettings:
    """Returns kopf's settings: no state of its own, watches that notice when they are cut, and no giving up."""
    found = kopf.OperatorSettings()
    found.persistence.finalizer = f"{names.GROUP}/unused"
    found.persistence.progress_storage = kopf.StatusProgressStorage(field="status.kopf.progress")
    found.persistence.diffbase_storage = Unused(field="status.kopf.lastHandled")
    found.watching.server_timeout, found.watching.client_timeout, found.watching.connect_timeout = 300, 330, 10
    found.watching.chunk_size = 500
    for resource in ("jobs.batch", "pods", "configmaps"):
        found.watching.label_selectors[resource] = names.LABEL_JOB
    found.networking.request_timeout, found.networking.connect_timeout = 30, 10
    found.networking.error_backoffs = Forever()
    found.scanning.disabled = True
    found.posting.enabled = False
    found.process.ultimate_exiting_timeout = EXIT_SECONDS
    return found


class Unused(kopf.StatusDiffBaseStorage):
    """Spares kopf the deep copy of every object of every event, which only handlers of changes look at; there are none.
    It was a quarter of the operator's CPU."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Returns an essence without anything in it."""
        return kopf.BodyEssence()


class Forever:
    """Pauses between kopf's requests that failed, without an end: 1, 2, 4, 8, 10, 10 … seconds."""

    def __iter__(self) -> Iterator[float]:
        pause = 1.0
        while True:
            yield pause
            pause = min(pause * 2, 10.0)


def log(*, json: bool, level: str) -> None:
    """Sets logging up. kopf's lines about single objects are left out: they say what every event says.

    Args:
        json: one object a line, for machines; else for people.
        level: DEBUG, INFO, WARNING or ERROR.
    """
    kopf.configure(log_format=kopf.LogFormat.JSON if json else kopf.LogFormat.FULL)
    logging.getLogger().setLevel(level)
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
