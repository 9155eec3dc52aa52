"""The process: it stands for election, fills the cache, and then lets kopf watch until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import ssl
import uuid
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from aiohttp import web

from millwright_api import names
from millwright_operator import handlers, owner
from millwright_operator.certificate import Files, make
from millwright_operator.cluster import MERGE, ApiError, Cluster, connect, path_of
from millwright_operator.controller import Controller
from millwright_operator.leader import Leadership
from millwright_operator.metrics import Metrics
from millwright_operator.options import Options
from millwright_operator.probes import Health, exposition, probes
from millwright_operator.progress import Endpoint, reviewer

logger = logging.getLogger(__name__)

LABEL_LEADER = f"{names.GROUP}/leader"
REVIEW_CONNECTIONS = 4
FILES_SECONDS = 15.0
"""How often the certificate's files are looked at; the kubelet needs about a minute to bring a renewed Secret."""

LEAVING_SECONDS = (1.0, 2.0, 4.0, 8.0)
"""Between tries to store the certificate while one is there."""

PATIENCE_SECONDS = 8.0
"""Longest pause before a namespace that may not be read is left out: rights that were just given take a moment to hold."""

SETTLED_SECONDS = 10.0
"""From the start of kopf's watches until the first comparison with what is there."""


async def serve(options: Options) -> None:
    """Runs the operator until SIGTERM or SIGINT. Should the Lease be lost, the process ends then and there.

    Raises:
        OSError: a port is taken.
        NoCluster: there is none to connect to.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    metrics, health = Metrics(), Health()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(listening(probes(health), options.probes_port, "probes"))
        await stack.enter_async_context(listening(exposition(metrics), options.metrics_port, "metrics"))
        cluster = await stack.enter_async_context(connect(options.workers))
        await mark(cluster, options, leads=False)
        async with elected(options, health, stop):
            if stop.is_set():
                return
            metrics.leading.set(1)
            await mark(cluster, options, leads=True)
            try:
                await lead(options, cluster, metrics, health, stop)
            finally:
                await mark(cluster, options, leads=False)


@asynccontextmanager
async def elected(options: Options, health: Health, stop: asyncio.Event) -> AsyncIterator[None]:
    """Waits until this process leads, or is to stop; lets the Lease go afterwards."""
    if not options.lease_namespace:
        logger.warning("MILLWRIGHT_LEASE_NAMESPACE is not set: there is no election, so this must be the only operator")
        yield
        return
    leadership = Leadership(options.lease_name, options.lease_namespace, identity(options))
    election = asyncio.create_task(leadership.run(), name="election")
    election.add_done_callback(_end_at_once)
    health.ready = ""
    try:
        await first(leadership.won(), stop.wait())
        yield
    finally:
        election.cancel()
        await asyncio.wait([election])


async def lead(
    options: Options,
    cluster: Cluster,
    metrics: Metrics,
    health: Health,
    stop: asyncio.Event,
) -> None:
    """Does the leader's work until it is to stop."""
    files = Files(options.tls_cert, options.tls_key) if options.tls_cert and options.tls_key else None
    controller = Controller(
        cluster,
        options.platform(_text(options.progress_ca)),
        metrics,
        namespaces=options.namespaces,
        workers=options.workers,
        instance=identity(options),
    )
    health.ready = "reading what there is"
    await first(fill(controller), stop.wait())
    if stop.is_set():
        return
    health.ready, health.longest = "", controller.queue.longest
    health.silence = lambda: controller.cache.silence(asyncio.get_running_loop().time())
    # All of these begin before kopf, which cancels at its end whatever began after it
    duties: list[Awaitable[object]] = [controller.queue.run(), compare(controller, options.resync_seconds)]
    duties.append(renew(options, files, controller))
    if files is not None:
        duties.append(endpoint(options, files, controller, metrics))
    tasks = [asyncio.ensure_future(duty) for duty in duties]
    await asyncio.sleep(0)
    try:
        readable = [name for name in options.namespaces if name not in controller.forbidden]
        await first(handlers.watch(controller, readable, stop), *tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def fill(controller: Controller) -> None:
    """Fills the cache; tries until it is filled: the API server may be away, the CRD not there yet. Namespaces that still
    may not be read after a while are left out."""
    pause = 1.0
    while True:
        try:
            await controller.resync()
            if not controller.forbidden or pause > PATIENCE_SECONDS:
                return
        except ApiError as error:
            missing = error.status == 404 and names.PLURAL in str(error)
            hint = f" (is the CRD {names.PLURAL}.{names.GROUP} installed?)" if missing else ""
            logger.warning("what there is cannot be read%s: %s; again in %.0f s", hint, error, pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, 10.0)


async def compare(controller: Controller, seconds: float) -> None:
    """Compares from time to time what watches brought with what there is. Returns once other namespaces may be read than at
    the start: kopf neither begins a watch nor gives one up, so the process ends, and the next one works where it may."""
    left_out = controller.forbidden
    pause = min(SETTLED_SECONDS, seconds)
    while True:
        await asyncio.sleep(pause)
        pause = seconds
        try:
            news = await controller.resync()
        except ApiError as error:
            logger.warning("what there is could not be compared: %s", error)
        else:
            if news:
                logger.info("%d jobs had news that no watch had brought yet", news)
            if changed := left_out ^ controller.forbidden:
                logger.warning(
                    "rights have changed in %s: this process ends, the next one works by them", ", ".join(changed)
                )
                return


async def renew(options: Options, files: Files | None, controller: Controller) -> None:
    """Looks at the certificate's and the CA's files, and takes what is new."""
    while True:
        await asyncio.sleep(FILES_SECONDS)
        if files is not None:
            try:
                if files.refresh():
                    logger.info("the progress endpoint has a new certificate")
            except OSError as error:
                logger.warning("the progress endpoint's certificate cannot be read: %s", error)
        controller.change_platform(options.platform(_text(options.progress_ca)))


async def endpoint(options: Options, files: Files, controller: Controller, metrics: Metrics) -> None:
    """Serves the progress endpoint; what goes wrong with it is no reason to stop."""
    try:
        files.refresh()
    except OSError as error:
        logger.warning("the progress endpoint waits for its certificate: %s", error)
    if options.progress_ca is not None and _text(options.progress_ca) is None:
        logger.warning(
            "no pod can report its progress until there is %s: the Secret needs ca.crt too", options.progress_ca
        )
    # A pool of its own: reviews never wait for reconciles, nor reconciles for reviews
    async with connect(REVIEW_CONNECTIONS) as cluster:
        application = Endpoint(reviewer(cluster), controller.cache.pod, controller.heard, metrics).application()
        try:
            async with listening(application, options.progress_port, "progress", files.context):
                await asyncio.Event().wait()
        except OSError as error:
            logger.error("there is no progress endpoint, jobs run on without it: %s", error)
            await asyncio.Event().wait()


async def mark(cluster: Cluster, options: Options, *, leads: bool) -> None:
    """Labels the operator's own pod, so that the Service finds the leader; outside a cluster there is none."""
    if not (options.pod_name and options.pod_namespace):
        return
    body = {"metadata": {"labels": {LABEL_LEADER: str(leads).lower()}}}
    try:
        await cluster.ask("PATCH", path_of("pods", options.pod_namespace, options.pod_name), body, MERGE)
    except ApiError as error:
        logger.warning("this pod's label %s could not be set: %s", LABEL_LEADER, error)


async def create_certificate(options: Options) -> bool:
    """Makes the endpoint's certificate and stores it as a Secret. Returns whether it did; else there was one already.

    Raises:
        ApiError: it may not, or the API server is away.
    """
    made = make(options.certificate_dns)
    secret = made.secret(options.certificate_secret, options.pod_namespace, owner.account())
    async with connect(1) as cluster:
        # One that is there may be an earlier release's, on its way out with its owner; we may not look
        for pause in (*LEAVING_SECONDS, None):
            try:
                await cluster.ask("POST", path_of("secrets", options.pod_namespace), secret)
            except ApiError as error:
                if error.status != 409:
                    raise
            else:
                return True
            if pause is not None:
                await asyncio.sleep(pause)
    return False


@asynccontextmanager
async def listening(
    application: web.Application, port: int, what: str, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Serves an application meanwhile; gives the port.

    Raises:
        OSError: the port is taken.
    """
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        # All addresses of IPv4 and IPv6; a free port would be another one for each of them
        await web.TCPSite(runner, None if port else "0.0.0.0", port, ssl_context=tls).start()
        found = int(runner.addresses[0][1])
        logger.info("%s: port %d", what, found)
        yield found
    finally:
        await runner.cleanup()


async def first(*waits: Awaitable[object]) -> None:
    """Returns when the first of several is done; others that were begun here are cancelled. Raises what it raised."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task, wait in zip(tasks, waits, strict=True):
            if task is not wait:
                task.cancel()
    for task in done:
        task.result()


def _end_at_once(election: asyncio.Task[None]) -> None:
    """Nothing that is still under way may write once the Lease is lost: no tidying up, not even a moment's."""
    if not election.cancelled():
        logger.error("the Lease is lost (%s): another operator may work by now; this one ends", election.exception())
        logging.shutdown()
        os._exit(1)


def identity(options: Options) -> str:
    """Returns a name of this process that no other has, also not the former one in the same pod."""
    return f"{options.pod_name or socket.gethostname()}_{os.getpid()}_{_BORN}"


_BORN = uuid.uuid4().hex[:8]


def _text(path: Path | None) -> str | None:
    try:
        return path.read_text() if path is not None else None
    except OSError:
        return None
