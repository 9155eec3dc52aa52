"""How the process is put together: kopf's settings, the pod's own label, the certificate's Job, an endpoint that fails."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import kopf
import pytest
from tests.unit.operator_edge.bodies import optjob
from tests.unit.operator_edge.fake_api import FakeApi, serving
from tests.unit.operator_edge.test_deeds import OPTJOB

from millwright_operator import app, handlers
from millwright_operator.certificate import Files, make
from millwright_operator.cluster import ApiError, Cluster
from millwright_operator.controller import Controller
from millwright_operator.metrics import Metrics
from millwright_operator.options import Options

POD = "/api/v1/namespaces/millwright-system/pods/millwright-0"
SECRETS = "/api/v1/namespaces/millwright-system/secrets"
IN_A_POD = {"POD_NAME": "millwright-0", "POD_NAMESPACE": "millwright-system"}
CERTIFICATE = IN_A_POD | {"MILLWRIGHT_CERTIFICATE_SECRET": "tls", "MILLWRIGHT_CERTIFICATE_DNS": "progress.svc"}


def against(api: FakeApi, monkeypatch: pytest.MonkeyPatch, script: Callable[[Cluster], Awaitable[object]]) -> object:
    """Runs a script with the fake API server as the cluster that the process connects to."""

    async def main() -> object:
        async with serving(api) as cluster:

            @asynccontextmanager
            async def connect(_: int) -> AsyncIterator[Cluster]:
                yield cluster

            monkeypatch.setattr(app, "connect", connect)
            return await script(cluster)

    return asyncio.run(main())


class TestKopf:
    def test_keeps_nothing_in_annotations_and_posts_nothing(self) -> None:
        settings = handlers.settings()

        assert isinstance(settings.persistence.progress_storage, kopf.StatusProgressStorage)
        assert isinstance(settings.persistence.diffbase_storage, kopf.StatusDiffBaseStorage)
        assert settings.posting.enabled is False
        assert settings.scanning.disabled is True

    def test_asks_the_server_for_our_children_only(self) -> None:
        selectors = handlers.settings().watching.label_selectors

        assert len(selectors) == 3
        assert set(selectors.values()) == {"millwright.dev/job"}

    def test_never_gives_up_on_the_api_server(self) -> None:
        pauses = list(itertools.islice(handlers.Forever(), 100))

        assert pauses[:5] == [1.0, 2.0, 4.0, 8.0, 10.0]
        assert set(pauses[5:]) == {10.0}

    def test_has_no_handler_that_would_add_a_finalizer_or_an_annotation(self) -> None:
        registry = kopf.OperatorRegistry()

        handlers.register(registry, controller=None)  # type: ignore[arg-type]

        assert len(registry._watching.get_all_handlers()) == 4
        assert list(registry._changing.get_all_handlers()) == []
        assert list(registry._spawning.get_all_handlers()) == []
        assert list(registry._indexing.get_all_handlers()) == []


class TestTheOwnPod:
    @pytest.mark.parametrize(("leads", "label"), [(True, "true"), (False, "false")])
    def test_says_whether_it_leads(self, monkeypatch: pytest.MonkeyPatch, leads: bool, label: str) -> None:
        api = FakeApi()
        api.put(POD, {"kind": "Pod"})

        against(api, monkeypatch, lambda cluster: app.mark(cluster, Options.read(IN_A_POD), leads=leads))

        assert api.objects[POD]["metadata"]["labels"] == {"millwright.dev/leader": label}

    def test_is_not_looked_for_outside_of_a_cluster(self, monkeypatch: pytest.MonkeyPatch) -> None:
        api = FakeApi()

        against(api, monkeypatch, lambda cluster: app.mark(cluster, Options.read({}), leads=True))

        assert api.asked == []

    def test_that_cannot_be_labelled_stops_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        api = FakeApi()
        api.refuse("PATCH", "pods", 403, reason="Forbidden")

        against(api, monkeypatch, lambda cluster: app.mark(cluster, Options.read(IN_A_POD), leads=True))

        assert api.verbs() == ["PATCH pods"]


class TestTheCertificatesJob:
    def test_makes_a_secret_where_there_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        api = FakeApi()

        made = against(api, monkeypatch, lambda _: app.create_certificate(Options.read(CERTIFICATE)))

        assert made is True
        assert api.objects[f"{SECRETS}/tls"]["type"] == "kubernetes.io/tls"

    def test_leaves_one_that_is_there_and_never_reads_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(app, "LEAVING_SECONDS", (0.0,))
        api = FakeApi()
        api.put(f"{SECRETS}/tls", {"data": {"tls.crt": "b2xk"}})

        made = against(api, monkeypatch, lambda _: app.create_certificate(Options.read(CERTIFICATE)))

        assert made is False
        assert api.objects[f"{SECRETS}/tls"]["data"] == {"tls.crt": "b2xk"}
        assert set(api.verbs()) == {"POST secrets"}

    def test_says_when_it_may_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        api = FakeApi()
        api.refuse("POST", "secrets", 403, reason="Forbidden", message="no")

        with pytest.raises(ApiError, match="HTTP 403 Forbidden: no"):
            against(api, monkeypatch, lambda _: app.create_certificate(Options.read(CERTIFICATE)))


class TestStarting:
    def test_waits_for_the_definition_to_be_there(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        api = FakeApi()
        api.put(OPTJOB, optjob())
        api.refuse("GET", "optimizationjobs$", 404, reason="NotFound")
        sleep = asyncio.sleep
        monkeypatch.setattr(app.asyncio, "sleep", lambda _: sleep(0))

        async def script(cluster: Cluster) -> int:
            controller = Controller(cluster, Options.read({}).platform(None), Metrics())
            await app.fill(controller)
            return controller.queue.depth

        assert against(api, monkeypatch, script) == 1
        assert "is the CRD optimizationjobs.millwright.dev installed?" in caplog.text

    @pytest.mark.parametrize(
        ("refusals", "forbidden"),
        [pytest.param(2, set(), id="rights that come late"), pytest.param(99, {"gone"}, id="a namespace that is gone")],
    )
    def test_a_namespace_that_may_not_be_read_keeps_no_other_waiting(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, refusals: int, forbidden: set[str]
    ) -> None:
        api = FakeApi()
        api.put(OPTJOB, optjob())
        api.refuse("GET", "/gone/", 403, times=refusals, reason="Forbidden", message="configmaps is forbidden")
        sleep = asyncio.sleep
        monkeypatch.setattr(app.asyncio, "sleep", lambda _: sleep(0))

        async def script(cluster: Cluster) -> tuple[int, set[str]]:
            where = ("gone", "team-a")
            controller = Controller(cluster, Options.read({}).platform(None), Metrics(), namespaces=where)
            await app.fill(controller)
            return controller.queue.depth, set(controller.forbidden)

        assert against(api, monkeypatch, script) == (1, forbidden)
        assert (
            "namespace gone is left out, as it may not be read; is it gone? GET /api/v1/namespaces/gone" in caplog.text
        )

    @pytest.mark.parametrize(
        ("first", "later"), [pytest.param(3, 0, id="it is back"), pytest.param(0, 99, id="it is gone")]
    )
    def test_it_starts_again_once_other_namespaces_may_be_read(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, first: int, later: int
    ) -> None:
        api = FakeApi()
        api.refuse("GET", "/team-b/", 403, times=first, reason="Forbidden")
        sleep = asyncio.sleep
        monkeypatch.setattr(app.asyncio, "sleep", lambda _: sleep(0))

        async def script(cluster: Cluster) -> None:
            where = ("team-a", "team-b")
            controller = Controller(cluster, Options.read({}).platform(None), Metrics(), namespaces=where)
            await controller.resync()
            api.refuse("GET", "/team-b/", 403, times=later, reason="Forbidden")
            await asyncio.wait_for(app.compare(controller, 300), 10)

        against(api, monkeypatch, script)
        assert "rights have changed in team-b: this process ends, the next one works by them" in caplog.text


class TestAnEndpointThatCannotBe:
    def test_stops_nothing_when_its_port_is_taken(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        made = make(["localhost"])
        (tmp_path / "crt").write_bytes(made.cert)
        (tmp_path / "key").write_bytes(made.key)

        async def script(cluster: Cluster) -> bool:
            with socket.create_server(("", 0)) as taken:
                options = Options.read({"MILLWRIGHT_PROGRESS_PORT": str(taken.getsockname()[1])})
                controller = Controller(cluster, options.platform(None), Metrics())
                files = Files(tmp_path / "crt", tmp_path / "key")
                task = asyncio.create_task(app.endpoint(options, files, controller, Metrics()))
                while "no progress endpoint" not in caplog.text:
                    await asyncio.sleep(0.01)
                alive = not task.done()
                task.cancel()
                return alive

        assert against(FakeApi(), monkeypatch, script) is True

    def test_says_that_a_certificate_without_its_ca_is_of_no_use(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        made = make(["localhost"])
        (tmp_path / "crt").write_bytes(made.cert)
        (tmp_path / "key").write_bytes(made.key)
        options = Options.read({"MILLWRIGHT_PROGRESS_PORT": "0", "MILLWRIGHT_PROGRESS_CA": str(tmp_path / "ca.crt")})

        async def script(cluster: Cluster) -> None:
            controller = Controller(cluster, options.platform(None), Metrics())
            files = Files(tmp_path / "crt", tmp_path / "key")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(app.endpoint(options, files, controller, Metrics()), 0.1)

        against(FakeApi(), monkeypatch, script)
        assert f"until there is {tmp_path}/ca.crt: the Secret needs ca.crt too" in caplog.text

    def test_starts_without_its_certificate_and_takes_it_when_it_comes(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(app, "FILES_SECONDS", 0.01)
        made, files = make(["localhost"]), Files(tmp_path / "crt", tmp_path / "key")
        (tmp_path / "ca").write_bytes(made.ca)
        names = {"MILLWRIGHT_PROGRESS_URL": "https://p/v1/progress", "MILLWRIGHT_PROGRESS_CA": str(tmp_path / "ca")}
        options = Options.read(names)

        async def script(cluster: Cluster) -> bool:
            controller = Controller(cluster, options.platform(None), Metrics())
            controller.cache.put("optimizationjobs", optjob())
            task = asyncio.create_task(app.renew(options, files, controller))
            (tmp_path / "crt").write_bytes(made.cert)
            (tmp_path / "key").write_bytes(made.key)
            while not controller.queue.depth:
                await asyncio.sleep(0.01)
            task.cancel()
            return files.refresh()

        assert against(FakeApi(), monkeypatch, script) is False  # it was read already


class TestWaiting:
    def test_for_the_first_of_several_ends_those_that_were_begun_for_it(self) -> None:
        async def main() -> bool:
            other, mine = asyncio.Event(), asyncio.ensure_future(asyncio.Event().wait())
            await app.first(asyncio.sleep(0), other.wait(), mine)
            await asyncio.sleep(0)
            kept = not mine.done()
            mine.cancel()
            return kept

        assert asyncio.run(main()) is True

    def test_what_the_first_raises_is_raised(self) -> None:
        async def broken() -> None:
            raise ApiError("GET /", 500)

        with pytest.raises(ApiError):
            asyncio.run(app.first(broken(), asyncio.sleep(100)))
