"""`millwright validate`: whether a manifest is right, without opening model or data."""

from __future__ import annotations

import sys

from millwright_api.errors import MillwrightError
from millwright_api.search import Search
from millwright_runner import manifest, registry
from millwright_runner.cli import azureml, screen
from millwright_runner.cli.options import DebugOption, JsonOption, ManifestArgument, QuietOption, SetOption
from millwright_runner.data.text import check_format
from millwright_runner.evaluation import bind_metrics, check_formats
from millwright_runner.trials import check_search
from millwright_runner.words import plural
from millwright_search.space import size

NAME = "validate"
EXAMPLE = "[bold]Example[/bold]  millwright validate job.yaml && git commit job.yaml"


def command(
    path: ManifestArgument,
    *,
    sets: SetOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Check a manifest: keys, types, bounds, passes and how they fit, data sets and their templates, metrics, a search.

    Opens neither model nor data, and no network; `plan` does.
    """
    job = manifest.load(path, sets or ())
    try:
        steps = registry.bind(job.job)
        searched = job.job.spec.search
        notes = check_search(job.job) if searched else []
        if not searched:
            registry.check_chain(steps)
        for index, entry in enumerate(job.job.spec.data):
            check_format(entry, f"spec.data[{index}]")
        metrics = bind_metrics(job.job)
        if not searched:
            check_formats(job.job, steps, metrics)
    except MillwrightError as error:
        job.locate(error)
        raise
    passes = [step.pass_.name for step in steps]
    if json:
        data = [entry.name for entry in job.job.spec.data]
        imported = {"notTakenOver": list(job.imported)} if job.imported else {}
        named = {"passes": passes, "data": data, "metrics": [metric.name for metric in metrics]}
        space = {"search": {"points": size(searched), "notes": notes}} if searched else {}
        screen.print_json(
            {"valid": True, "name": job.job.metadata.name, **named, **space, **imported, **azureml.as_document(job.job)}
        )
    elif not quiet:
        screen.tell_imported(job.imported)
        screen.tell_notes(notes)
        between = ", " if searched else " → "  # which of them follow one another differs from trial to trial
        parts = [
            f"{plural(len(passes), 'pass')} ({between.join(passes)})",
            plural(len(job.job.spec.data), "data set"),
        ]
        if metrics:
            parts.append(f"{plural(len(metrics), 'metric')} ({', '.join(metric.name for metric in metrics)})")
        if searched:
            parts.append(f"a search ({plural(len(searched.parameters), 'parameter')}, {points(searched)})")
        sys.stdout.write(f"{job.name} is valid: {', '.join(parts + azureml.told(job.job))}\n")


def points(search: Search) -> str:
    """Returns how large a search's space is, for people."""
    count = size(search)
    return "no end of points" if count is None else plural(count, "point")
