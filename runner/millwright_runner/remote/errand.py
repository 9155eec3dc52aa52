"""What is to be done on Azure ML: a job, which part of it, and on whose behalf. Pure but for the environment it is read from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from millwright_api.azureml import AzureML
from millwright_api.errors import InvalidManifest
from millwright_api.names import ENV_BASELINE, ENV_STEPS, ENV_TRIAL, ENV_TRIALS, ENV_UID
from millwright_api.v1alpha1 import OptimizationJob

PARTS = (ENV_STEPS, ENV_TRIAL, ENV_TRIALS, ENV_BASELINE)
"""What says which part of a job a process is to do; the runner on Azure ML is told the same as a pod would be."""

EXAMPLE = "execution: {azureML: {compute: gpu, environment: {image: …}}}"


@dataclass(frozen=True)
class Errand:
    """A job, or a part of one, that is to run on Azure ML.

    Attributes:
        job: the manifest; it has execution.azureML.
        base: the manifest's folder: condaFile, configFile, and what travels along start there.
        part: which part, as variables of a pod's environment (see PARTS); empty: all of it.
        uid: the OptimizationJob's uid; None: there is no cluster (`millwright submit`), and files of this machine travel.
        subject: how the part is called beside the job's name, for people; may be empty.
    """

    job: OptimizationJob
    base: Path
    part: Mapping[str, str]
    uid: str | None = None

    @classmethod
    def of_environment(cls, job: OptimizationJob, base: Path) -> Errand:
        """Returns what a pod of the cluster is to have done, as its environment says."""
        part = {name: os.environ[name] for name in PARTS if name in os.environ}
        return cls(job, base, part, os.environ.get(ENV_UID) or None)

    @property
    def wanted(self) -> AzureML:
        """How it is to run there.

        Raises:
            InvalidManifest: the manifest does not say.
        """
        azure_ml = self.job.spec.execution.azure_ml
        if azure_ml is None:
            raise InvalidManifest("nothing says how to run on Azure ML", where="spec.execution.azureML", hint=EXAMPLE)
        return azure_ml

    @property
    def title(self) -> str:
        """How the job is called in lists that people read."""
        name, names = self.job.metadata.name, [step.name for step in self.job.spec.passes]
        if ENV_TRIALS in self.part:
            return f"{name}: the search's end"
        if ENV_TRIAL in self.part:
            return f"{name}: trial {self.part[ENV_TRIAL]}, steps {self.part.get(ENV_STEPS, 'all')}"[:255]
        first, _, end = self.part.get(ENV_STEPS, "").partition(":")
        return f"{name}: {', '.join(names[int(first) : int(end)])}"[:255] if end else name
