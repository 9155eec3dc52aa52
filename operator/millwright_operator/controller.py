"""Between what is seen and what is done: news go into the cache and the queue; a worker reconciles one job at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from millwright_api import names
from millwright_operator.actions import Action, WriteStatus
from millwright_operator.asking import Memory
from millwright_operator.cache import KINDS, Cache, Kind
from millwright_operator.cluster import ApiError, Cluster
from millwright_operator.conditions import finished
from millwright_operator.deeds import Deeds, Stale
from millwright_operator.metrics import Metrics
from millwright_operator.observed import Body, Children, Heard, Key, Resource
from millwright_operator.pace import Pace
from millwright_operator.platform import Platform
from millwright_operator.queue import TryLater, WorkQueue
from millwright_operator.reconcile import reconcile

logger = logging.getLogger(__name__)

CHILD_SELECTOR = names.LABEL_JOB


class Controller:
    """Keeps jobs as their specs want them.

    Args:
        cluster: where.
        platform: what children are made with; see `change_platform`.
        metrics: counts.
        namespaces: where to look; empty: everywhere.
        workers: jobs reconciled at once.
        instance: name of this process, for Events.
        now: the present time, with its time zone.
    """

    def __init__(
        self,
        cluster: Cluster,
        platform: Platform,
        metrics: Metrics,
        *,
        namespaces: tuple[str, ...] = (),
        workers: int = 32,
        instance: str = "millwright",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cluster, self._platform, self._metrics = cluster, platform, metrics
        self._namespaces: tuple[str | None, ...] = namespaces or (None,)
        self.forbidden: frozenset[str] = frozenset()
        """Namespaces that were to be worked in, and could not be read when last tried."""
        self._now = now
        self.cache = Cache()
        self.queue: WorkQueue[Key] = WorkQueue(self._work, workers=workers)
        self._heard: dict[Key, Heard] = {}
        self._memories: dict[Key, Memory] = {}
        self._pace = Pace()
        self._deeds = Deeds(cluster, self._take, self._gone, metrics, instance=instance, now=now)
        metrics.watch(lambda: self.queue.depth, self.cache.resources)

    def seen(self, kind: Kind, event: str | None, body: Body) -> None:
        """Takes what a watch says: event ADDED, MODIFIED or DELETED; None for what it lists first."""
        gone = event == "DELETED"
        key = self.cache.drop(kind, body) if gone else self.cache.put(kind, body, watched=True)
        if key is not None:
            if gone and kind == "optimizationjobs":
                self._heard.pop(key, None)
                self._memories.pop(key, None)
                self._deeds.forget(key)
                self._pace.forget(key)
            self.queue.add(key)

    def heard(self, key: Key, heard: Heard) -> None:
        """Takes what a pod says of its progress; only the latest counts."""
        self._heard[key] = heard
        self.queue.add(key, self._pace.rest(key, self._clock()))

    def change_platform(self, platform: Platform) -> None:
        """Makes children with something else from now on: the endpoint's CA was renewed."""
        if platform != self._platform:
            self._platform = platform
            for resource in self.cache.resources():
                self.queue.add(resource.key)

    async def resync(self) -> int:
        """Lists everything and compares; returns how many jobs had news that no watch had brought.

        At the start, before any watch, it fills the cache: nothing is reconciled before all four kinds are in, else a
        job's children would look lost, and be made again. Later it finds what fell between two of kopf's watches: kopf
        lists anew after a gap and says nothing of what was deleted in it.

        A namespace of several that may not be read is left out, and the others are worked in: one team's namespace that is
        deleted, and the Role in it, is no other team's trouble. `forbidden` names them afterwards.

        Raises:
            ApiError: lists were refused everywhere, or the API server is away.
        """
        news: set[Key] = set()
        refused: dict[str, ApiError] = {}
        for namespace in self._namespaces:
            try:
                news |= await self._compare(namespace)
            except ApiError as error:
                if namespace is None or error.status != 403:
                    raise
                refused[namespace] = error
        for key in news:
            self.queue.add(key)
        if len(refused) == len(self._namespaces):
            raise next(iter(refused.values()))
        for name, refusal in refused.items():
            logger.warning("namespace %s is left out, as it may not be read; is it gone? %s", name, refusal)
        self.forbidden = frozenset(refused)
        return len(news)

    async def _compare(self, namespace: str | None) -> set[Key]:
        """Lists all of one namespace, or of all of them; returns the jobs that have news."""
        news: set[Key] = set()
        # Children first: a job that is listed last has all of its children in the cache
        for kind in reversed(KINDS):
            selector = "" if kind == "optimizationjobs" else CHILD_SELECTOR
            listed = await self._cluster.list(kind, namespace, selector)
            news |= self.cache.compare(kind, namespace, listed.items, listed.version, self._clock())
        return news

    async def _work(self, key: Key) -> None:
        resource = self.cache.resource(key)
        if resource is None:
            self._heard.pop(key, None)
            return
        self._metrics.reconciles.inc()
        heard = self._heard.get(key)
        deeds, children = self._deeds, self.cache.children(key)
        children = replace(children, refused=deeds.refused.get(key), podless=deeds.podless.get(key, ()))
        actions = await self._decide(resource, children, heard)
        try:
            with self._metrics.seconds.time():
                again = await self._deeds.do(resource, self._paced(key, actions))
        except Stale:
            self.queue.add(key)
        except ApiError as error:
            self._metrics.errors.labels(error.reason or str(error.status)).inc()
            raise TryLater(str(error), error.retry_after) from error
        else:
            if again is not None:
                self.queue.add(key, again)

    async def _decide(self, resource: Resource, children: Children, heard: Heard | None) -> tuple[Action, ...]:
        """What is to be done. For a search in a thread, so that others need not wait: to ask TPE for a trial takes tenths
        of a second."""
        if "search" not in resource.spec or finished(resource.status):
            self._memories.pop(resource.key, None)
            return reconcile(resource, children, heard, self._platform, self._now())
        memory = self._memories.setdefault(resource.key, Memory())
        look = partial(reconcile, resource, children, heard, self._platform, self._now(), memory=memory)
        return await asyncio.to_thread(look)

    def _paced(self, key: Key, actions: Iterable[Action]) -> list[Action]:
        """Leaves out a status write for progress alone whose time has not come; it is asked for again then."""
        kept: list[Action] = []
        for action in actions:
            if isinstance(action, WriteStatus):
                now = self._clock()
                if not action.progress_only:
                    self._pace.wrote(key, now)
                elif (wait := self._pace.wait(key, now)) > 0:
                    self.queue.add(key, wait)
                    continue
            kept.append(action)
        return kept

    def _take(self, kind: Kind, body: Mapping[str, Any]) -> None:
        key = self.cache.put(kind, body)
        if key is not None:
            self.queue.add(key)

    def _gone(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        key = self.cache.drop(kind, {"metadata": {"namespace": namespace, "name": name, "uid": uid}})
        if key is not None:
            self.queue.add(key)

    @staticmethod
    def _clock() -> float:
        return asyncio.get_running_loop().time()
