"""One segment, in this process: the part of a trial's plan that it is, and what the search has to know of its end."""

from __future__ import annotations

import sys
import traceback
from dataclasses import replace

from millwright_api.errors import Stopped, TryAgain
from millwright_api.v1alpha1 import OptimizationJob
from millwright_runner import pipeline
from millwright_runner.passes import StopFlag
from millwright_runner.pipeline import Part
from millwright_runner.plan import Found, Settings, look_up, make_plan
from millwright_runner.steps import Observer
from millwright_runner.training.loading import release_memory
from millwright_runner.trials import in_manifest, passes_of, trial_job
from millwright_runner.unforeseen import InternalError, as_failure
from millwright_search.trials import Seen, Segment, Trial

HEAVY = ("torch", "onnxruntime_genai")
"""What models are loaded by. Without any of them there is nothing to give back, and looking for it takes 50 ms."""


class Bench:
    """Does segments of one search, one after the other.

    Args:
        job: with the search.
        settings: where.
        stop: asks for a stop.
        found: what all trials start from; None: it is looked up.
    """

    def __init__(self, job: OptimizationJob, settings: Settings, stop: StopFlag, found: Found | None = None) -> None:
        assert job.spec.search is not None  # who has none is not searched
        self._job, self._search, self._stop = job, job.spec.search, stop
        self._settings = replace(settings, signer=None)  # trials publish nothing
        self._found = found or look_up(job, self._settings)
        self._passes = passes_of(job)

    def do(self, trial: Trial, segment: Segment, observer: Observer) -> Seen:
        """Does a segment of a trial, or finds that it is done. What goes wrong with it is part of what is returned.

        Raises:
            Stopped: a stop was asked for; a checkpoint is saved.
            TryAgain: something outside failed: no trial is to blame.
        """
        part = Part(
            range(segment.first, segment.end),
            publishes=False,
            baseline=trial.number == 0 and segment.index == 0,
            alongside=self._passes,
        )
        try:
            plan = make_plan(
                trial_job(self._job, trial.at), self._settings, self._found, publishes=False, upto=segment.end
            )
            report = pipeline.run(plan, self._settings, observer, self._stop, part)
        except (Stopped, TryAgain):
            raise
        except Exception as error:
            failure = as_failure(error)
            if isinstance(failure, InternalError):
                raise
            in_manifest(failure, self._job, trial.at)
            traceback.print_exception(error)  # into the log: the search may end well
            sys.stderr.flush()
            return Seen("Failed", reason=failure.reason, message=str(failure))
        finally:
            if any(name in sys.modules for name in HEAVY):
                release_memory()
        return Seen.of(self._search, segment, report)
