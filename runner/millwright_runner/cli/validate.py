"""`millwright validate`: whether a manifest is right, without opening model or data."""

from __future__ import annotations

import sys

from millwright_api.errors import MillwrightError
from millwright_runner import manifest, registry
from millwright_runner.cli import screen
from millwright_runner.cli.options import DebugOption, JsonOption, ManifestArgument, QuietOption, SetOption
from millwright_runner.data.text import check_format
from millwright_runner.evaluation import bind_metrics, check_formats
from millwright_runner.words import plural

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
    """Check a manifest: keys, types, bounds, passes and how they fit, data sets and their templates, metrics.

    Opens neither model nor data, and no network; `plan` does.
    """
    job = manifest.load(path, sets or ())
    try:
        steps = registry.bind(job.job)
        registry.check_chain(steps)
        for index, entry in enumerate(job.job.spec.data):
            check_format(entry, f"spec.data[{index}]")
        metrics = bind_metrics(job.job)
        check_formats(job.job, steps, metrics)
    except MillwrightError as error:
        job.locate(error)
        raise
    passes = [step.pass_.name for step in steps]
    if json:
        data = [entry.name for entry in job.job.spec.data]
        imported = {"notTakenOver": list(job.imported)} if job.imported else {}
        named = {"passes": passes, "data": data, "metrics": [metric.name for metric in metrics]}
        screen.print_json({"valid": True, "name": job.job.metadata.name, **named, **imported})
    elif not quiet:
        screen.tell_imported(job.imported)
        parts = [f"{plural(len(passes), 'pass')} ({' → '.join(passes)})", plural(len(job.job.spec.data), "data set")]
        if metrics:
            parts.append(f"{plural(len(metrics), 'metric')} ({', '.join(metric.name for metric in metrics)})")
        sys.stdout.write(f"{job.name} is valid: {', '.join(parts)}\n")
