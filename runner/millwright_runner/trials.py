"""A search's trials as jobs: what a point of the space makes of a manifest, and whether the space can be searched at all."""

from __future__ import annotations

from millwright_api.search import Point
from millwright_api.v1alpha1 import OptimizationJob


def trial_job(job: OptimizationJob, at: Point) -> OptimizationJob:
    """Returns the job that a trial is: the manifest without its search, with the passes that run at a point and their options.

    Args:
        job: a job with a search.
        at: the trial's values; None: as the manifest has it.

    Raises:
        UnknownPass, InvalidManifest: with the path in the manifest (spec.search.parameters[1].choice[2]).
    """
    raise NotImplementedError


def check_search(job: OptimizationJob) -> list[str]:
    """Refuses a search that cannot work, before anything costs; returns what a person should know all the same.

    That is: a space smaller than maxTrials, with both numbers.

    Raises:
        UnknownPass, InvalidManifest: an option that the pass has not ("did you mean"), a value out of the option's bounds, with
            the path in the manifest; all that is wrong.
        ChainMismatch: passes that do not follow one another, at a point that onOff and oneOf allow; it is named.
    """
    raise NotImplementedError
