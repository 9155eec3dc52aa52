"""What lies beside a published model's files: its card and its provenance. Imports nothing heavy, as a run that finds
everything in its place asks whether they are still right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from millwright_runner.artifact import FileDigest
from millwright_runner.beside.card import Facts, Metric, card
from millwright_runner.beside.chosen import Chosen
from millwright_runner.beside.licence import licence_of
from millwright_runner.beside.provenance import provenance
from millwright_runner.beside.public import public_spec
from millwright_runner.plan import Plan
from millwright_runner.published import CARD, PROVENANCE
from millwright_runner.told import Told

__all__ = ["Chosen", "files_beside"]


def files_beside(
    plan: Plan, told: Told, files: Sequence[FileDigest], before: Mapping[str, bytes], *, chosen: Chosen | None = None
) -> dict[str, bytes]:
    """Returns what is to lie beside a model: name → content.

    Args:
        plan: of the run.
        told: what the run has found out.
        files: the published model's.
        before: what lies beside this very model already.
        chosen: the trial of a search that the model is of; None without a search.
    """
    return {
        _free(CARD, files): card(_facts(plan, told, files, chosen)).encode(),
        (name := _free(PROVENANCE, files)): provenance(plan, files, before.get(name), chosen=chosen),
    }


def _facts(plan: Plan, told: Told, files: Sequence[FileDigest], chosen: Chosen | None) -> Facts:
    spec = plan.job.spec
    names = [step.step.name for step in plan.steps]
    refs = {name for step in plan.steps for name in step.step.pass_.data_refs().values()}
    return Facts(
        name=plan.job.metadata.name,
        format=plan.steps[-1].step.pass_.produces,
        base=spec.model.hugging_face.repo if spec.model.hugging_face else None,
        licence=licence_of(plan.model.tokenizer),
        trained_on=[entry for entry in spec.data if entry.name in refs],
        passes=[(step.step.name, step.step.pass_.name) for step in plan.steps],
        spec=public_spec(chosen.job if chosen else plan.job),
        metrics={m.name: Metric(m.metric.name, m.data, m.metric.of_machine) for m in plan.evaluation.metrics},
        evaluation=sorted(told.evaluation, key=lambda one: names.index(one.after) if one.after in names else -1),
        constraints=told.constraints,
        bytes=sum(file.size for file in files),
        chosen=chosen,
    )


def _free(name: str, files: Sequence[FileDigest]) -> str:
    """Returns the name, or where the model has a file of its own that is called so, one that is free."""
    stem, dot, suffix = name.partition(".")
    return f"{stem}.millwright{dot}{suffix}" if any(file.path == name for file in files) else name
