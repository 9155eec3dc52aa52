"""`millwright submit` in a folder, against the stub of Azure ML, with the plug-in that does as it is told."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.azureml.stub import Azure
from tests.cliground import CliGround, Said

SOON = '''\
"""A courier that asks often: a test need not wait as long as a service that bills for questions."""

from millwright_runner.remote import asking

asking.Pace.__init__.__defaults__ = (0.05, 0.3, 0.05, 600.0, 600.0)
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

    def submit(self, *arguments: str, **environment: str) -> Said:
        """Runs `millwright submit job.yaml` to its end."""
        return self.cli.run("submit", "job.yaml", *arguments, **environment)
