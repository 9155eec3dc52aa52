"""`millwright submit` in a folder, against the stub of Azure ML, with the plug-in that does as it is told."""

from __future__ import annotations

import os
import re
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.azureml.login import TENANT
from tests.azureml.stub import Azure
from tests.cliground import CliGround, Said
from tests.warm import AZURE

SOON = '''\
"""A courier that asks often: a test need not wait as long as a service that bills for questions."""

from millwright_runner.remote import asking

asking.Pace.__init__.__defaults__ = (0.1, 1.0, 0.3, 600.0, 600.0)
'''

EXECUTION: dict[str, Any] = {"compute": "gpu", "environment": {"image": "runner:1"}}


@dataclass
class SubmitGround:
    """A manifest whose model lies beside it and travels along, and whose output is a folder.

    Attributes:
        cli: runs the command there, logged in.
        azure: has the compute gpu.
    """

    cli: CliGround
    azure: Azure

    @classmethod
    def make(cls, folder: Path, azure: Azure) -> SubmitGround:
        cli = CliGround.make(folder)
        cli.loaded = AZURE
        (folder / "soon").mkdir()
        (folder / "soon" / "sitecustomize.py").write_text(SOON)
        path = os.pathsep.join([str(folder / "plugins"), str(folder / "soon")])
        cli.more = azure.env | {"PYTHONPATH": path}
        azure.compute("gpu")
        azure.executor.environment["PYTHONPATH"] = str(folder / "plugins")
        ground = cls(cli, azure)
        ground.write()
        return ground

    @property
    def folder(self) -> Path:
        return self.cli.folder

    def write(self, *passes: dict[str, Any], azure_ml: dict[str, Any] | None = None, **spec: Any) -> None:
        """Writes the manifest; `azure_ml` is added to what says where it runs."""
        self.cli.write_job(*passes, **{"execution": {"azureML": EXECUTION | (azure_ml or {})}, **spec})

    def container(self) -> str:
        """Makes a container of the workspace's account, and returns its address."""
        return self.azure.datastore("models", container=f"models-{uuid.uuid4().hex[:12]}").rstrip("/")

    def write_search(self, **spec: Any) -> None:
        """Writes the manifest of a search over two points; what a model weighs decides."""
        self.write(
            **spec,
            evaluation={"metrics": [{"name": "size", "sizeOnDisk": {}}]},
            search={
                "algorithm": {"grid": {}},
                "parameters": [{"pass": "step-0", "option": "steps", "choice": [1, 2]}],
                "objectives": [{"metric": "size", "direction": "Minimize"}],
                "maxTrials": 2,
            },
        )

    def line(self, words: str) -> int:
        """Returns the number of the manifest's first line with these words."""
        lines = (self.folder / "job.yaml").read_text().splitlines()
        return next(number for number, text in enumerate(lines, 1) if words in text)

    def url(self, name: str) -> str:
        """Returns a job's address as the service names it."""
        services = self.azure.jobs.resource(self.azure.jobs[name])["properties"]["services"]
        return f"{services['Studio']['endpoint']}&tid={TENANT}"  # the SDK adds that

    def until_asked(self, what: str) -> None:
        """Waits until the service was asked this, once more than before."""
        known = len(self.azure.requests)
        while not any(re.match(what, asked) for asked in self.azure.requests[known:]):
            time.sleep(0.01)

    def submit(self, *arguments: str, **environment: str) -> Said:
        """Runs `millwright submit job.yaml` to its end."""
        return self.cli.run("submit", "job.yaml", *arguments, **environment)
