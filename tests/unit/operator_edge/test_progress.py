"""The progress endpoint: over real TLS on loopback, with the runner's own client where that matters."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.unit.operator_edge.bodies import pod
from tests.unit.operator_edge.fake_api import FakeApi, serving

from millwright_operator.app import listening
from millwright_operator.cache import Cache
from millwright_operator.certificate import Files, make
from millwright_operator.cluster import ApiError
from millwright_operator.metrics import Metrics
from millwright_operator.observed import Heard, Key
from millwright_operator.progress import BODY_BYTES, KNOWN_SECONDS, UNKNOWN_SECONDS, Bearer, Endpoint, reviewer

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
REPORT = {"stepName": "merge", "stepIndex": 0, "steps": 1, "done": 3, "total": 9}
PHI3 = Key("team-a", "phi3")
Answer = tuple[int, str]
Post = Callable[..., Awaitable[Answer]]


class Desk:
    """An endpoint with one known pod, a reviewer that can be told to fail, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.cache, self.heard, self.metrics = Cache(), list[tuple[Key, Heard]](), Metrics()
        self.cache.put("pods", pod("phi3-s0-a", uid="pod-a"))
        self.tokens: dict[str, Bearer] = {"good": Bearer("team-a", "phi3-s0-a", "pod-a")}
        self.reviews: list[str] = []
        self.away: Exception | None = None
        self.time = 1000.0

    async def review(self, token: str) -> Bearer | None:
        self.reviews.append(token)
        if self.away:
            raise self.away
        return self.tokens.get(token)

    def endpoint(self) -> Endpoint:
        return Endpoint(
            self.review,
            self.cache.pod,
            lambda key, heard: self.heard.append((key, heard)),
            self.metrics,
            clock=lambda: self.time,
            now=lambda: NOON,
        )

    def serve(self, folder: Path, script: Callable[[Post], Awaitable[None]]) -> None:
        """Serves it over TLS while a script posts."""
        made = make(["localhost"])
        (folder / "cert").write_bytes(made.cert)
        (folder / "key").write_bytes(made.key)
        files = Files(folder / "cert", folder / "key")
        files.refresh()
        trust = ssl.create_default_context(cadata=made.ca.decode())

        async def main() -> None:
            async with (
                listening(self.endpoint().application(), 0, "progress", files.context) as port,
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session,
            ):

                async def post(token: str | None = "good", path: str = "/v1/progress", **what: Any) -> Answer:
                    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
                    what = what or {"json": REPORT}
                    async with session.post(f"https://localhost:{port}{path}", headers=headers, **what) as answer:
                        return answer.status, await answer.text()

                await script(post)

        asyncio.run(main())


@pytest.fixture
def desk() -> Desk:
    return Desk()


class TestAGoodReport:
    def test_it_reaches_its_job_with_the_pod_s_uid(self, desk: Desk, tmp_path: Path) -> None:
        async def script(post: Post) -> None:
            assert await post() == (204, "")

        desk.serve(tmp_path, script)

        ((key, heard),) = desk.heard
        assert (key, heard.pod_uid, heard.at, heard.progress.done) == (PHI3, "pod-a", NOON, 3)

    def test_a_trials_pod_reports_too(self, desk: Desk, tmp_path: Path) -> None:
        desk.cache.put("pods", pod("phi3-s0-a", version=2, uid="pod-a", role="trial"))

        async def script(post: Post) -> None:
            assert await post() == (204, "")

        desk.serve(tmp_path, script)

        assert [heard.pod_uid for _, heard in desk.heard] == ["pod-a"]

    def test_a_token_is_asked_about_once_in_a_while(self, desk: Desk, tmp_path: Path) -> None:
        async def script(post: Post) -> None:
            for _ in range(5):
                await post()
            desk.time += KNOWN_SECONDS
            await post()

        desk.serve(tmp_path, script)

        assert desk.reviews == ["good", "good"]
        assert len(desk.heard) == 6

    def test_answers_are_counted(self, desk: Desk, tmp_path: Path) -> None:
        async def script(post: Post) -> None:
            await post()
            await post(token=None)

        desk.serve(tmp_path, script)

        values = {
            code: desk.metrics.registry.get_sample_value("millwright_progress_reports_total", {"code": code})
            for code in ("204", "401")
        }
        assert values == {"204": 1.0, "401": 1.0}


class TestWhoIsNotLetIn:
    def test_nobody_without_a_token(self, desk: Desk, tmp_path: Path) -> None:
        async def script(post: Post) -> None:
            assert await post(token=None) == (401, "a bearer token is needed")

        desk.serve(tmp_path, script)

        assert desk.reviews == []

    def test_nobody_with_a_token_of_somebody_else_s_making(self, desk: Desk, tmp_path: Path) -> None:
        async def script(post: Post) -> None:
            for _ in range(3):
                assert (await post(token="forged"))[0] == 401

        desk.serve(tmp_path, script)

        assert desk.reviews == ["forged"]  # refused at once while that is remembered
        assert desk.heard == []

    def test_a_refused_token_is_asked_about_again_after_a_while(self, desk: Desk, tmp_path: Path) -> None:
        async def script(post: Post) -> None:
            await post(token="late")
            desk.tokens["late"] = desk.tokens["good"]
            desk.time += UNKNOWN_SECONDS
            assert (await post(token="late"))[0] == 204

        desk.serve(tmp_path, script)

    def test_no_pod_that_is_none_of_ours(self, desk: Desk, tmp_path: Path) -> None:
        desk.tokens["stranger"] = Bearer("team-a", "stranger", "uid-9")

        async def script(post: Post) -> None:
            assert await post(token="stranger") == (403, "pod stranger belongs to no job that is known here")

        desk.serve(tmp_path, script)

    def test_no_earlier_pod_of_that_name(self, desk: Desk, tmp_path: Path) -> None:
        desk.tokens["former"] = Bearer("team-a", "phi3-s0-a", "another-uid")

        async def script(post: Post) -> None:
            assert (await post(token="former"))[0] == 403

        desk.serve(tmp_path, script)

    def test_no_pod_of_that_name_in_another_namespace(self, desk: Desk, tmp_path: Path) -> None:
        desk.tokens["elsewhere"] = Bearer("team-b", "phi3-s0-a", "pod-a")

        async def script(post: Post) -> None:
            assert (await post(token="elsewhere"))[0] == 403

        desk.serve(tmp_path, script)

    @pytest.mark.parametrize(("phase", "role"), [("Succeeded", "stage"), ("Failed", "stage"), ("Running", "preflight")])
    def test_no_pod_that_has_ended_or_is_no_stage(self, desk: Desk, tmp_path: Path, phase: str, role: str) -> None:
        desk.cache.put("pods", pod("phi3-s0-a", version=2, uid="pod-a", phase=phase, role=role))

        async def script(post: Post) -> None:
            assert await post() == (403, "pod phi3-s0-a runs no stage")

        desk.serve(tmp_path, script)

    def test_no_pod_that_was_deleted_though_its_token_is_remembered(self, desk: Desk, tmp_path: Path) -> None:
        async def script(post: Post) -> None:
            assert (await post())[0] == 204
            desk.cache.drop("pods", pod("phi3-s0-a", uid="pod-a"))
            assert (await post())[0] == 403

        desk.serve(tmp_path, script)


class TestWhatIsNotTaken:
    def test_too_much_is_refused_before_anybody_is_asked(self, desk: Desk, tmp_path: Path) -> None:
        async def script(post: Post) -> None:
            assert (await post(data=b"x" * (BODY_BYTES + 1)))[0] == 413

        desk.serve(tmp_path, script)

        assert desk.reviews == []

    def test_too_much_without_saying_so_is_refused_too(self, desk: Desk, tmp_path: Path) -> None:
        async def endless() -> Any:
            for _ in range(40):
                yield b"x" * 1024

        async def script(post: Post) -> None:
            assert (await post(data=endless()))[0] == 413

        desk.serve(tmp_path, script)

    @pytest.mark.parametrize(
        ("body", "says"),
        [(b"", "the body"), (b"{", "the body"), (b"[]", "the body"), (b'{"stepName": "a"}', "stepIndex")],
    )
    def test_what_is_no_progress_is_refused_with_the_place(
        self, desk: Desk, tmp_path: Path, body: bytes, says: str
    ) -> None:
        async def script(post: Post) -> None:
            status, text = await post(data=body)
            assert status == 400
            assert text.startswith(says)

        desk.serve(tmp_path, script)

        assert desk.heard == []

    def test_unknown_keys_are_refused(self, desk: Desk, tmp_path: Path) -> None:
        async def script(post: Post) -> None:
            status, text = await post(json=REPORT | {"spec": {}})
            assert (status, text) == (400, "spec: Extra inputs are not permitted")

        desk.serve(tmp_path, script)

    def test_other_paths_are_not_there(self, desk: Desk, tmp_path: Path) -> None:
        async def script(post: Post) -> None:
            assert (await post(path="/v1/other"))[0] == 404

        desk.serve(tmp_path, script)


class TestTooOften:
    def test_a_pod_that_reports_all_the_time_is_told_to_slow_down(self, desk: Desk, tmp_path: Path) -> None:
        async def script(post: Post) -> None:
            codes = [(await post())[0] for _ in range(15)]
            assert codes == [204] * 10 + [429] * 5
            desk.time += 2
            assert [(await post())[0] for _ in range(3)] == [204, 204, 429]

        desk.serve(tmp_path, script)

    def test_other_pods_do_not_suffer(self, desk: Desk, tmp_path: Path) -> None:
        desk.cache.put("pods", pod("phi3-s0-b", uid="pod-b"))
        desk.tokens["other"] = Bearer("team-a", "phi3-s0-b", "pod-b")

        async def script(post: Post) -> None:
            for _ in range(12):
                await post()
            assert (await post(token="other"))[0] == 204

        desk.serve(tmp_path, script)


class TestAnApiServerThatIsAway:
    @pytest.mark.parametrize("error", [ApiError("POST /tokenreviews", 0, reason="Unreachable"), TimeoutError()])
    def test_reporters_are_told_to_come_again(self, desk: Desk, tmp_path: Path, error: Exception) -> None:
        desk.away = error

        async def script(post: Post) -> None:
            assert (await post())[0] == 503
            desk.away = None
            assert (await post())[0] == 204  # nothing was remembered of the failure

        desk.serve(tmp_path, script)

    def test_pods_that_are_known_report_on(self, desk: Desk, tmp_path: Path) -> None:
        async def script(post: Post) -> None:
            await post()
            desk.away = TimeoutError()
            assert (await post())[0] == 204

        desk.serve(tmp_path, script)


USER: dict[str, Any] = {
    "username": "system:serviceaccount:team-a:default",
    "extra": {
        "authentication.kubernetes.io/pod-name": ["phi3-s0-a"],
        "authentication.kubernetes.io/pod-uid": ["pod-a"],
    },
}
GOOD: dict[str, Any] = {"authenticated": True, "audiences": ["progress.millwright.dev"], "user": USER}


class TestTheReview:
    """What the API server's TokenReview has to say."""

    def ask(self, status: dict[str, Any]) -> tuple[Bearer | None, FakeApi]:
        api = FakeApi()
        api.refuse("POST", "tokenreviews$", 201)
        api.refusals[0].body = {"kind": "TokenReview", "status": status}

        async def main() -> Bearer | None:
            async with serving(api) as cluster:
                return await reviewer(cluster)("the-token")

        return asyncio.run(main()), api

    def test_a_token_of_a_pod_for_our_audience_names_the_pod(self) -> None:
        bearer, api = self.ask(GOOD)

        assert bearer == Bearer("team-a", "phi3-s0-a", "pod-a")
        assert api.asked[0].body is not None
        assert api.asked[0].body["spec"] == {"token": "the-token", "audiences": ["progress.millwright.dev"]}

    @pytest.mark.parametrize(
        "change",
        [
            {"authenticated": False},
            {"audiences": ["https://kubernetes.default.svc"]},
            {"audiences": None},
            {"user": {"username": "system:serviceaccount:team-a:default"}},
            {"user": USER | {"username": "admin"}},
            {"user": USER | {"username": "system:node:node-1:x"}},
            {"user": USER | {"extra": {"authentication.kubernetes.io/pod-name": ["phi3-s0-a"]}}},
        ],
        ids=["refused", "other audience", "no audience", "no pod", "a person", "a node", "no uid"],
    )
    def test_any_other_names_nobody(self, change: dict[str, Any]) -> None:
        assert self.ask(GOOD | change)[0] is None
