"""What a kubelet asks (is it alive, is it ready) and what Prometheus asks, over plain HTTP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from millwright_operator.metrics import Metrics

STUCK_SECONDS = 300.0
"""A reconcile that takes longer hangs: each of its requests has a limit of 30 s."""

SILENT_SECONDS = 120.0
"""A watch that owes news for longer is dead, whatever its connection says."""


@dataclass
class Health:
    """What the probes say; its owner fills it in as things come to be.

    Attributes:
        ready: why it is not ready; empty: it is. A standby is.
        longest: seconds that the oldest reconcile has been going on.
        silence: seconds that a watch has owed something.
    """

    ready: str = "starting"
    longest: Callable[[], float] = field(default=lambda: 0.0)
    silence: Callable[[], float] = field(default=lambda: 0.0)

    def ill(self) -> str:
        """Returns what is wrong, so that a restart is the cure; empty: nothing."""
        if (seconds := self.longest()) > STUCK_SECONDS:
            return f"a reconcile has not ended for {seconds:.0f} s"
        if (seconds := self.silence()) > SILENT_SECONDS:
            return f"a watch has been silent for {seconds:.0f} s about something that changed"
        return ""


def probes(health: Health) -> web.Application:
    """Returns /healthz and /readyz: 200, or 503 with the reason."""

    async def healthz(_: web.Request) -> web.Response:
        """Whether the process is to be restarted."""
        return _answer(health.ill())

    async def readyz(_: web.Request) -> web.Response:
        """Whether it stands ready: it leads, or it waits to."""
        return _answer(health.ready)

    application = web.Application()
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/readyz", readyz)
    return application


def exposition(metrics: Metrics) -> web.Application:
    """Returns /metrics."""

    async def expose(_: web.Request) -> web.Response:
        """All metrics, as Prometheus reads them."""
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.router.add_get("/metrics", expose)
    return application


def _answer(wrong: str) -> web.Response:
    return web.Response(status=503 if wrong else 200, text=wrong or "ok")
