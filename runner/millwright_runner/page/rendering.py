"""From a report to HTML."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from millwright_api.evaluation import INPUT
from millwright_runner import figures
from millwright_runner.page import samples, trial_charts, trials, view
from millwright_runner.page.document import read_document, read_manifest
from millwright_runner.words import duration, plural, size

if TYPE_CHECKING:
    from jinja2 import Environment


def render(document: object, manifest: object = None) -> str:
    """Returns the page: one HTML file without a script, which asks for nothing over the network.

    Args:
        document: report.json, parsed.
        manifest: the output's manifest.json, parsed; what is no such thing is left out.

    Raises:
        NotAReport: the document is something else.
    """
    from markupsafe import Markup

    report = read_document(document)
    ends = [one.after for one in report.evaluation]
    last = ends[-1] if ends else ""
    measured = report.measurements
    both = INPUT in measured and last != INPUT
    return _environment().get_template("page.html.j2").render(
        report=report,
        verdict=view.verdict(report),
        rows=view.table(report),
        warnings=figures.warnings(report.evaluation),
        metric_charts=[(title, Markup(chart)) for title, chart in view.metric_charts(report)],
        listing=trials.listing(report),
        trial_charts=[(title, Markup(chart)) for title, chart in trial_charts.overview(report)],
        parameter_charts=[(title, Markup(chart)) for title, chart in trial_charts.parameters(report)],
        shown=trials.SHOWN,
        wide=trials.WIDE,
        scatters=[(title, Markup(chart)) for title, chart in view.scatters(report)],
        training=[
            (step, [(title, Markup(chart)) for title, chart in drawn]) for step, drawn in view.training_charts(report)
        ],
        pairs=samples.pairs(measured[INPUT], measured.get(last, {})) if both else [],
        last=last,
        steps=view.steps(report),
        snippet=view.snippet_of(report),
        files=read_manifest(manifest).files,
        source=view.source(report),
    )  # fmt: skip


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("millwright_runner.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "size": size,
        "duration": duration,
        "plural": plural,
        "figure": figures.figure,
        "interval": figures.interval,
    }
    return environment
