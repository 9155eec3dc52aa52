"""A job that runs on Azure ML: a manifest, a courier in this process, and the stub that answers it."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.azureml.jobs import Job
from tests.azureml.stub import Azure
from tests.azurite import KEY
from tests.cliground import PLUGIN, CliGround
from tests.tiny import make_model_files

from millwright_api.report import Progress, RunReport
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner.azure.patience import Patience
from millwright_runner.passes import StopFlag
from millwright_runner.remote.asking import Pace
from millwright_runner.remote.courier import Courier, Errand
from millwright_runner.remote.mailbox import Mailbox
from millwright_runner.remote.place import place_of
from millwright_runner.stores import Store

UID = "6f1c7a52-0000-4000-8000-000000000001"
QUICK = Pace(least=0.02, most=0.1, mail=0.02, patience=30, doubt=30)


def obey(name: str, **options: Any) -> dict[str, Any]:
    """A step of the outsider's pass that does as it is told."""
    return {"name": name, "custom": {"pass": "obey", "options": options}}


@dataclass
class CourierGround:
    """A workspace with a cluster `gpu` and an environment `runner`; an output in its account; a model beside the manifest.

    Attributes:
        azure: the stub.
        folder: the manifest's.
        execution: of the manifest, azureML's part.
        spec: further parts of the manifest.
        output: where its output lies.
    """

    azure: Azure
    folder: Path
    execution: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    output: str = ""

    @classmethod
    def make(cls, azure: Azure, folder: Path, monkeypatch: pytest.MonkeyPatch) -> CourierGround:
        """Makes it; this process and the jobs that are run reach it."""
        azure.use(monkeypatch)
        monkeypatch.setattr(Patience, "sleep", lambda *given, **named: None)  # the SDK's own pauses between attempts
        monkeypatch.setenv("AZURE_STORAGE_KEY", KEY)
        azure.executor.environment["AZURE_STORAGE_KEY"] = KEY
        azure.compute("gpu")
        azure.environment("runner")
        made = cls(azure, folder)
        azure.datastore("out", container="out")
        made.output = f"{azure.blobs.endpoint}/out"
        return made

    def with_model(self) -> CourierGround:
        """Puts a model of zeros beside the manifest, and the outsider's pass where jobs find it."""
        make_model_files(self.folder / "model")
        self.spec["model"] = {"path": "model"}
        CliGround(self.folder).install("obey", "obey:Obey", PLUGIN)
        self.azure.executor.environment["PYTHONPATH"] = str(self.folder / "plugins")
        self.azure.execute = True
        return self

    @property
    def document(self) -> dict[str, Any]:
        spec = {
            "model": {"huggingFace": {"repo": "owner/tiny"}},
            "passes": [obey("one"), obey("two")],
            "output": {"azureBlob": {"uri": f"{self.output}/{self.folder.name}"}},
            **self.spec,
            "execution": {"azureML": {"compute": "gpu", "environment": {"name": "runner"}, **self.execution}},
        }
        return {
            "apiVersion": "millwright.dev/v1alpha1",
            "kind": "OptimizationJob",
            "metadata": {"name": "emotion"},
            "spec": spec,
        }

    @property
    def job(self) -> OptimizationJob:
        return OptimizationJob.model_validate_json(json.dumps(self.document))

    def errand(self, part: dict[str, str] | None = None, uid: str | None = None) -> Errand:
        return Errand(self.job, self.folder, part or {}, uid)

    def courier(self, part: dict[str, str] | None = None, *, uid: str | None = None, grace: float = 20) -> Courier:
        return Courier(self.errand(part, uid), self.folder / "home", grace=grace, pace=QUICK)

    def submit(self, part: dict[str, str] | None = None, uid: str | None = None) -> Job:
        """Submits a job and leaves it there."""
        self.courier(part, uid=uid).submit(lambda told: None, StopFlag())
        return list(self.azure.jobs.values())[-1]

    def submitted(self, *, grace: float = 20) -> tuple[Going, Job]:
        """Starts a courier and waits until its job is there; the test drives it."""
        before = len(self.azure.jobs)
        going = self.start(self.courier(grace=grace))
        return going, self.azure.jobs.arrive(before + 1)[-1]

    @property
    def store(self) -> Store:
        errand = self.errand()
        return place_of(errand, self.courier().workspace, self.folder / "home").store

    def box(self, name: str) -> Mailbox:
        return Mailbox(self.store, name)

    def start(self, courier: Courier | None = None) -> Going:
        """Runs a courier in a thread."""
        return Going(courier or self.courier(), self)


class Going:
    """A courier that runs.

    Attributes:
        stop: asks it for a stop.
    """

    def __init__(self, courier: Courier, ground: CourierGround) -> None:
        self.stop, self._courier, self._ground = StopFlag(), courier, ground
        self._report: RunReport | None = None
        self._error: BaseException | None = None
        self.told: list[Progress] = []
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._report = self._courier.run(self._tell, self.stop)
            self._courier.told()
        except BaseException as error:
            self._error = error

    def _tell(self, progress: Progress) -> None:
        with self._news:
            self.told.append(progress)
            self._news.notify_all()

    def wait_for(self, words: str) -> Progress:
        """Waits until it tells something with these words in its message."""

        def found() -> Progress | None:
            return next((one for one in self.told if words in one.message), None)

        with self._news:
            if not self._news.wait_for(lambda: found() is not None or not self._thread.is_alive(), 120):
                raise TimeoutError(f"never said {words!r}, but {[one.message for one in self.told]}; {self._error!r}")
        one = found()
        assert one is not None, f"{[one.message for one in self.told]}; {self._error!r}"
        return one

    def end(self) -> RunReport:
        """Waits for its end."""
        self._thread.join(300)
        assert not self._thread.is_alive(), (
            f"it still runs: {[one.message for one in self.told]}; {[job.logs for job in self._ground.azure.jobs.values()]}"
        )
        if self._error is not None:
            raise self._error
        assert self._report is not None
        return self._report


def succeeded(**changes: Any) -> RunReport:
    """What a runner says that did all."""
    return RunReport(outcome="Succeeded", reason="Succeeded", exit_code=0, **changes)
