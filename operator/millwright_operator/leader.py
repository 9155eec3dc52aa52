"""Leader election by a Lease: one operator works, others stand by. The election is the client library's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient, ApiException, CoordinationV1Api, V1Lease, V1ObjectMeta
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord
from kubernetes.aio.leaderelection.resourcelock.leaselock import LeaseLock

from millwright_operator import owner
from millwright_operator.cluster import MERGE, configuration

logger = logging.getLogger(__name__)

LEASE_SECONDS, RENEW_SECONDS, RETRY_SECONDS = 15, 10, 2
"""As Kubernetes' own components have them: a dead leader is replaced after 15 s; one that cannot renew for 10 s ends."""

REQUEST_SECONDS = 5.0
"""For one request about the Lease; the client's own limit of five minutes would outlive the Lease."""


class Lock(LeaseLock):  # type: ignore[misc]
    """The library's lock, which lets an API server that is away end the election: here that is a failed try."""

    async def get(self, name: str, namespace: str) -> tuple[bool, Any]:
        """Returns whether the Lease could be read, and its record or the error."""
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                found, record = await super().get(name, namespace)
                return found, record
        except (aiohttp.ClientError, OSError) as error:
            return False, ApiException(status=0, reason=str(error) or "no answer in time")

    async def create(self, name: str, namespace: str, election_record: LeaderElectionRecord) -> bool:
        """Returns whether the Lease was made. It belongs to our ServiceAccount, and goes when that goes."""
        # Not the library's own: it passes a boolean where its generated client takes only text
        meta = V1ObjectMeta(name=name, owner_references=owner.account())
        body = V1Lease(metadata=meta, spec=self.update_lease(election_record))
        return await self._tried(self.api_instance.create_namespaced_lease(namespace, body))

    async def update(self, name: str, namespace: str, updated_record: LeaderElectionRecord) -> bool:
        """Returns whether the Lease was taken or renewed."""
        return await self._tried(super().update(name, namespace, updated_record))

    @staticmethod
    async def _tried(request: Any) -> bool:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                return await request is not False
        except (ApiException, aiohttp.ClientError, OSError) as error:
            logger.info("the Lease could not be taken: %s", getattr(error, "reason", None) or error)
            return False


class Leadership:
    """Takes part in an election.

    Args:
        name: of the Lease.
        namespace: of the Lease.
        identity: of this process; no two are alike.
    """

    def __init__(self, name: str, namespace: str, identity: str) -> None:
        self._name, self._namespace, self._identity = name, namespace, identity
        self._leading = asyncio.Event()
        self._lock: Lock | None = None

    @property
    def leading(self) -> bool:
        """Whether this process is the leader."""
        return self._leading.is_set()

    async def won(self) -> None:
        """Waits until this process is the leader."""
        await self._leading.wait()

    async def run(self) -> None:
        """Stands for election and then renews the Lease; returns when it is lost. Cancelled, it lets the Lease go."""
        # A connection of its own: renewing must not wait for reconciles to give one back
        async with ApiClient(await configuration(connections=2)) as client:
            self._lock = Lock(self._name, self._namespace, self._identity, client)
            election = LeaderElection(
                Config(
                    self._lock,
                    lease_duration=LEASE_SECONDS,
                    renew_deadline=RENEW_SECONDS,
                    retry_period=RETRY_SECONDS,
                    onstarted_leading=self._won,
                    onstopped_leading=None,
                )
            )
            try:
                await election.run()
            finally:
                if self.leading:
                    self._leading.clear()
                    await self._release(client)

    async def _won(self) -> None:
        logger.info("this process leads: %s holds Lease %s/%s", self._identity, self._namespace, self._name)
        self._leading.set()

    async def _release(self, client: ApiClient) -> None:
        """Lets the Lease go, if it is still ours, so that a standby takes over at its next look."""
        assert self._lock is not None
        mine, record = await self._lock.get(self._name, self._namespace)
        if not mine or record.holder_identity != self._identity:
            return
        body = {
            "metadata": {"resourceVersion": self._lock.lease_reference.metadata.resource_version},
            "spec": {"holderIdentity": "", "leaseDurationSeconds": 1},
        }
        with contextlib.suppress(ApiException, aiohttp.ClientError, OSError):
            async with asyncio.timeout(REQUEST_SECONDS):
                await CoordinationV1Api(client).patch_namespaced_lease(
                    self._name, self._namespace, body, _content_type=MERGE
                )
