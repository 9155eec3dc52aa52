"""Where pods report how far they are: POST over TLS, proved by a token that is good for nothing else.

A token is asked about once (TokenReview) and remembered by its hash for a while. It names a pod, and that pod must be
one of ours, by uid, and unfinished: so nobody speaks for another job. Nothing here holds up a reconcile: whoever cannot
be served is told to come again, and a runner works on without.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, Protocol, TypeVar

from aiohttp import web
from pydantic import ValidationError

from millwright_api.names import AUDIENCE
from millwright_api.report import Progress
from millwright_operator.cluster import ApiError, Cluster, path_of
from millwright_operator.metrics import Metrics
from millwright_operator.observed import Heard, Key, SeenPod

PATH = "/v1/progress"
BODY_BYTES = 16 * 1024
TOKEN_BYTES = 8 * 1024
REMEMBERED = 4096
"""Tokens and pods that are remembered; the ones used longest ago are forgotten first."""

KNOWN_SECONDS, UNKNOWN_SECONDS = 300.0, 30.0
"""How long a review's answer holds: a pod that was recognised, and a token that was refused."""

REVIEWS_AT_ONCE, REVIEW_SECONDS = 8, 5.0
READ_SECONDS = 10.0
"""How long a body may take to arrive."""

REPORTS_PER_SECOND, REPORTS_AT_ONCE = 1.0, 10.0
"""Of one pod. A runner sends one in five seconds, and one for each step that begins."""

T = TypeVar("T")


@dataclass(frozen=True)
class Bearer:
    """The pod that a token was made for."""

    namespace: str
    pod: str
    uid: str


class Reviewer(Protocol):
    """Asks whose a token is."""

    async def __call__(self, token: str) -> Bearer | None:
        """Returns the pod; None: the token is none of ours. Raises ApiError when nobody answers."""


def reviewer(cluster: Cluster) -> Reviewer:
    """Returns one that asks the API server (TokenReview)."""

    async def review(token: str) -> Bearer | None:
        """Asks for a token's bearer: see Reviewer."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [AUDIENCE]},
        }
        status = (await cluster.ask("POST", path_of("tokenreviews"), body)).get("status") or {}
        # An API server that knows no audiences leaves them out: then the token may have been made for anything
        if not status.get("authenticated") or AUDIENCE not in (status.get("audiences") or ()):
            return None
        user = status.get("user") or {}
        extra = user.get("extra") or {}
        account = str(user.get("username", "")).split(":")
        pod = extra.get("authentication.kubernetes.io/pod-name") or [""]
        uid = extra.get("authentication.kubernetes.io/pod-uid") or [""]
        if account[:2] != ["system", "serviceaccount"] or len(account) != 4 or not pod[0] or not uid[0]:
            return None
        return Bearer(account[2], pod[0], uid[0])

    return review


class Endpoint:
    """Answers reports.

    Args:
        review: asks whose a token is.
        find: returns a pod of ours by namespace, name and uid, and whose it is.
        heard: is given what a pod said.
        metrics: counts answers.
        clock: seconds; never goes back.
        now: the present time, with its time zone.
    """

    def __init__(
        self,
        review: Reviewer,
        find: Callable[[str, str, str], tuple[Key, SeenPod] | None],
        heard: Callable[[Key, Heard], None],
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._review, self._find, self._heard, self._metrics = review, find, heard, metrics
        self._clock, self._now = clock, now
        self._bearers: _Recent[tuple[Bearer | None, float]] = _Recent()
        self._buckets: _Recent[tuple[float, float]] = _Recent()
        self._reviews = asyncio.Semaphore(REVIEWS_AT_ONCE)

    def application(self) -> web.Application:
        """Returns it as a web application."""
        application = web.Application(client_max_size=BODY_BYTES, middlewares=[self._count])
        application.router.add_post(PATH, self._post)
        return application

    @web.middleware
    async def _count(self, request: web.Request, handler: Callable[[web.Request], object]) -> web.StreamResponse:
        code = 500
        try:
            response: web.StreamResponse = await handler(request)  # type: ignore[misc]
            code = response.status
            return response
        except web.HTTPException as refusal:
            code = refusal.status
            raise
        finally:
            self._metrics.reports.labels(str(code)).inc()

    async def _post(self, request: web.Request) -> web.Response:
        if (request.content_length or 0) > BODY_BYTES:
            raise web.HTTPRequestEntityTooLarge(max_size=BODY_BYTES, actual_size=request.content_length or 0)
        bearer = await self._bearer(_token(request))
        found = self._find(bearer.namespace, bearer.pod, bearer.uid)
        if found is None:
            raise web.HTTPForbidden(text=f"pod {bearer.pod} belongs to no job that is known here")
        key, pod = found
        if pod.finished or pod.role not in ("stage", "trial"):
            raise web.HTTPForbidden(text=f"pod {bearer.pod} runs no stage")
        if (wait := self._too_often(bearer.uid)) > 0:
            raise web.HTTPTooManyRequests(text="too many reports of one pod", headers={"Retry-After": f"{wait:.0f}"})
        self._heard(key, Heard(await _body(request), bearer.uid, self._now()))
        return web.Response(status=204)

    async def _bearer(self, token: str) -> Bearer:
        """Raises HTTPUnauthorized for a token that is none of ours, HTTPServiceUnavailable when nobody can tell."""
        mark = hashlib.sha256(token.encode()).hexdigest()
        bearer, until = self._bearers.get(mark, (None, 0.0))
        if self._clock() >= until:
            try:
                async with asyncio.timeout(REVIEW_SECONDS), self._reviews:
                    bearer = await self._review(token)
            except (ApiError, TimeoutError):
                raise _later("the API server does not say whose the token is") from None
            self._bearers.put(mark, (bearer, self._clock() + (KNOWN_SECONDS if bearer else UNKNOWN_SECONDS)))
        if bearer is None:
            raise _unauthorized("the token is not one of a pod of ours, or is too old")
        return bearer

    def _too_often(self, pod: str) -> float:
        """Counts a report of a pod. Returns the seconds until the next is welcome; 0: this one is."""
        now = self._clock()
        tokens, at = self._buckets.get(pod, (REPORTS_AT_ONCE, now))
        tokens = min(REPORTS_AT_ONCE, tokens + (now - at) * REPORTS_PER_SECOND)
        enough = tokens >= 1
        self._buckets.put(pod, (tokens - 1 if enough else tokens, now))
        return 0.0 if enough else max(1.0, (1 - tokens) / REPORTS_PER_SECOND)


class _Recent(Generic[T]):
    """The values that were used last, by a key."""

    def __init__(self) -> None:
        self._values: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable, default: T) -> T:
        """Returns a key's value, or the default."""
        return self._values.get(key, default)

    def put(self, key: Hashable, value: T) -> None:
        """Remembers a value, and forgets the oldest when there are too many."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > REMEMBERED:
            self._values.popitem(last=False)


def _token(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise _unauthorized("a bearer token is needed")
    if len(token) > TOKEN_BYTES:
        raise _unauthorized("the token is too long")
    return token


async def _body(request: web.Request) -> Progress:
    try:
        async with asyncio.timeout(READ_SECONDS):
            raw = await request.read()
        return Progress.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        raise web.HTTPBadRequest(text=f"{where}: {first['msg']}") from None
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="the body did not arrive") from None


def _unauthorized(why: str) -> web.HTTPUnauthorized:
    return web.HTTPUnauthorized(text=why, headers={"WWW-Authenticate": "Bearer"})


def _later(why: str) -> web.HTTPServiceUnavailable:
    return web.HTTPServiceUnavailable(text=why, headers={"Retry-After": "5"})
