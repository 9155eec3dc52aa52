"""The report: says again what a stage's pod had said that is gone, from the manifest in the output."""

from __future__ import annotations

import json

from millwright_api.errors import ResultMissing, UnknownPass
from millwright_api.report import RunReport
from millwright_runner import record, registry
from millwright_runner.manifest import Manifest
from millwright_runner.plan import open_output
from millwright_runner.pod import inside
from millwright_runner.published import Published, read_published
from millwright_runner.recipe import Recipe, searched
from millwright_runner.stores import Store


def run() -> RunReport:
    """Returns the report of a run that ended well, as far as the output tells.

    Raises:
        ResultMissing: the output holds nothing, or another recipe's result.
    """
    job = inside.load()
    output = open_output(job.job.spec.output, inside.settings(job))
    output.check(write=False)
    published = read_published(output)
    if published is None:
        raise ResultMissing(
            "the last pod ended with exit code 0, and the output holds no model",
            where=output.uri,
            hint="it was removed since, or a pass or a library ended the process by itself",
        )
    if not is_of(job, published):
        maker = published.meta.get("job", "another job")
        raise ResultMissing(
            f"the run ended well, and the output now holds another result, of {maker}", where=output.uri
        )
    said = _said(job, output, published)
    return RunReport(
        outcome="Succeeded",
        reason="Succeeded",
        message="read from the output's manifest: the pod that published it is gone",
        exit_code=0,
        fingerprint=published.fingerprint,
        artifact=record.described(published),
        evaluation=said.evaluation if said else [],
        constraints=said.constraints if said else [],
        peak_memory_bytes=record.peak_memory(),
    )


def _said(job: Manifest, output: Store, published: Published) -> RunReport | None:
    """Returns what the run wrote down beside the model; None where that is not of this job's run of this model."""
    blob = output.read("report.json")
    try:
        document = json.loads(blob.data) if blob is not None else {}
        if (document["job"], document["fingerprint"]) != (job.job.metadata.name, published.fingerprint):
            return None
        return RunReport.model_validate(document, extra="ignore")
    except (ValueError, KeyError, TypeError):
        return None


def is_of(job: Manifest, published: Published) -> bool:
    """Whether a published model is of this job's recipe; of its name, where a plug-in that is not here is part of it."""
    spec = job.job.spec
    try:
        steps = registry.bind(job.job)
    except UnknownPass:
        return bool(published.meta.get("job") == job.job.metadata.name)
    noted = published.meta.get("recipe") if spec.search is None else searched(published)
    return not Recipe.of(steps, spec.target, "", {}, spec.search).differences(noted)
