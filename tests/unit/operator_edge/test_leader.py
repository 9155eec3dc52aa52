"""The lock behind the election, when the API server is away. Elections themselves are held on the real cluster."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord

from millwright_operator import leader
from millwright_operator.app import listening
from millwright_operator.leader import Lock

RECORD = LeaderElectionRecord("me", "15", "2026-11-21 12:00:00.000001", "2026-11-21 12:00:00.000001")


def ask(address: str) -> tuple[Any, bool]:
    async def main() -> tuple[Any, bool]:
        async with ApiClient(Configuration(host=address)) as client:
            lock = Lock("millwright", "team-a", "me", client)
            found = await lock.get("millwright", "team-a")
            created = await lock.create("millwright", "team-a", RECORD)
            return found, created

    return asyncio.run(main())


class TestAnApiServerThatIsAway:
    def test_is_a_failed_try_and_no_end_of_the_election(self) -> None:
        (got, error), created = ask("http://127.0.0.1:1")

        assert (got, created) == (False, False)
        assert error.reason

    def test_one_that_never_answers_is_not_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(leader, "REQUEST_SECONDS", 0.05)

        async def never(_: web.Request) -> web.Response:
            await asyncio.Event().wait()
            raise AssertionError

        async def main() -> tuple[bool, Any]:
            application = web.Application()
            application.router.add_route("*", "/{path:.*}", never)
            async with (
                listening(application, 0, "test") as port,
                ApiClient(Configuration(host=f"http://localhost:{port}")) as client,
            ):
                return await Lock("millwright", "team-a", "me", client).get("millwright", "team-a")

        got, error = asyncio.run(main())

        assert got is False
        assert error.reason == "no answer in time"
