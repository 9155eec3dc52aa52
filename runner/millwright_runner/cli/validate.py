"""`millwright validate`: whether a manifest is right, without opening model or data."""

from __future__ import annotations

import sys

from millwright_api.errors import MillwrightError
from millwright_runner import manifest, registry
from millwright_runner.cli import screen
from millwright_runner.cli.options import DebugOption, JsonOption, ManifestArgument, QuietOption, SetOption
from millwright_runner.cli.words import plural
from millwright_runner.data.text import check_format

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
    """Check a manifest: keys, types, bounds, passes and how they fit, data sets and their templates.

    Opens neither model nor data, and no network; `plan` does.
    """
    job = manifest.load(path, sets or ())
    try:
        steps = registry.bind(job.job)
        registry.check_chain(steps)
        for index, entry in enumerate(job.job.spec.data):
            check_format(entry, f"spec.data[{index}]")
    except MillwrightError as error:
        job.locate(error)
        raise
    passes = [step.pass_.name for step in steps]
    if json:
        data = [entry.name for entry in job.job.spec.data]
        imported = {"notTakenOver": list(job.imported)} if job.imported else {}
        screen.print_json({"valid": True, "name": job.job.metadata.name, "passes": passes, "data": data, **imported})
    elif not quiet:
        screen.tell_imported(job.imported)
        data_sets = plural(len(job.job.spec.data), "data set")
        sys.stdout.write(f"{job.name} is valid: {plural(len(passes), 'pass')} ({' → '.join(passes)}), {data_sets}\n")
