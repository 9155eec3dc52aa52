"""search_strategy → spec.search. What differs between trials is in space.py."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from millwright_api.errors import InvalidManifest
from millwright_api.search import MAX_TRIALS, Search
from millwright_runner.olive.space import NO_OBJECTIVE, NO_STRATEGY
from millwright_runner.olive.table import load
from millwright_runner.olive.trace import show, wrong
from millwright_runner.olive.values import read
from millwright_runner.olive.view import Found, View
from millwright_runner.olive.work import Work
from millwright_search import space

PLACE = "spec.search"
SEED = 1
"""Olive's default."""

UNRANKED = (
    "nothing that the search ranks is measured here: add metrics to spec.evaluation (exactMatch, perplexity, tokenLatency, "
    "sizeOnDisk), and spec.search by hand"
)


def asked(top: View) -> Found | None:
    """Returns the search that the JSON asks for; None without one."""
    found = top.get("search_strategy")
    return found if found is not None and found.value not in (False, {}) else None


def allow(work: Work, top: View, objectives: list[dict[str, Any]]) -> None:
    """Says before the passes are looked at whether what they search can be taken over."""
    found = asked(top)
    if found is None:
        work.space.why_not = NO_STRATEGY
        return
    work.space.why_not = None if objectives else NO_OBJECTIVE
    include = found.value.get("include_pass_params", True) if isinstance(found.value, dict) else True
    work.space.ranges = work.era == "new" and include is not False


def search(work: Work, top: View, objectives: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Returns spec.search, after the passes have said what differs between trials; None where there is no search, or none
    that can be done here, which is listed.

    Raises:
        InvalidManifest: the strategy names no sampler, or one that Olive has not, or a number is none.
    """
    found, trace = asked(top), work.trace
    if found is None:
        if off := top.get("search_strategy"):
            trace.note(off.path, "off: one model, as here")
        return None
    unasked = f"Olive searches unasked: {'; '.join(work.space.unasked)}" if work.space.unasked else ""
    if work.space.why_not is not None:
        _cannot(work, found, UNRANKED)
        return None
    if not work.space.parameters and unasked:
        why = f"nothing is written that differs between trials. {unasked}: write spec.search with what is meant"
        _cannot(work, found, why)
        return None
    if not work.space.parameters:
        trace.note(found.path, "nothing differs between trials: one model, as here")
        return None
    if unasked:
        trace.note((), f"{unasked}. That is not taken over: add to spec.search.parameters what is meant")
    return _written(work, found, objectives)


def _cannot(work: Work, found: Found, why: str) -> None:
    """Lists the strategy, with the reason where its sampler stands."""
    for key in ("sampler", "search_algorithm"):
        if isinstance(found.value, dict) and key in found.value:
            work.trace.unmapped((*found.path, key), why, blocks=True)
            why = f"of that search, see {show((*found.path, key))}"
    work.trace.unmapped(found.path, why, blocks=True)


def _written(work: Work, found: Found, objectives: list[dict[str, Any]]) -> dict[str, Any]:
    trace = work.trace
    if found.value is True:
        trace.mapped(found.path, f"{PLACE}.algorithm")
        view = View(trace, [])
        algorithm: dict[str, Any] = {"grid": {}}
    else:
        view = View.of(trace, found.path, found.value, "sampler_config", "search_algorithm_config")
        view.walk(load().sections["search_strategy"], PLACE)
        algorithm = _algorithm(work, view, found)
    _order(work, view)
    out: dict[str, Any] = {"algorithm": algorithm, "parameters": work.space.parameters, "objectives": objectives}
    out["maxTrials"] = _trials(work, view, out)
    if limit := view.whole("max_time"):
        out["maxSeconds"] = limit.value
        trace.mapped(limit.path, f"{PLACE}.maxSeconds")
    if models := view.whole("output_model_num"):
        if models.value > 1:
            out["keep"] = "pareto"
            trace.note(models.path, "keep: pareto publishes the whole front, however many models it has")
        else:
            trace.note(models.path, "the best, as here")
    return out


def _algorithm(work: Work, view: View, found: Found) -> dict[str, Any]:
    sampler = view.text("sampler", "search_algorithm")
    row = load().sections["search_strategy"].row("sampler")
    if sampler is None:
        raise InvalidManifest("it names no sampler", where=show(found.path), hint=", ".join(row.choices or ()))
    kind = read(row, sampler.path, sampler.value)
    work.trace.mapped(sampler.path, f"{PLACE}.algorithm.{kind}")
    seed = view.whole("seed")
    if kind == "grid":
        if seed:
            work.trace.note(seed.path, "every point is tried, in order")
        return {"grid": {}}
    if seed is None:
        work.trace.note((), f"Olive's default of {show(found.path)}, written out: seed {SEED}")
        return {kind: {"seed": SEED}}
    work.trace.mapped(seed.path, f"{PLACE}.algorithm.{kind}.seed")
    return {kind: {"seed": seed.value}}


def _order(work: Work, view: View) -> None:
    order = view.text("execution_order")
    if order is None:
        return
    if order.value.lower() == "joint":
        work.trace.note(order.path, "as here")
    elif order.value.lower() == "pass-by-pass":
        why = "passes are searched together here, which reaches the same models; trials share the passes that they begin with"
        work.trace.unmapped(order.path, why, blocks=False)
    else:
        wrong(order.path, order.value, "execution order", "joint, pass-by-pass")


def _trials(work: Work, view: View, out: dict[str, Any]) -> int:
    """Returns the number of trials: what is written, else as many as the space has points."""
    limits = []
    samples, iterations = view.whole("max_samples") or view.whole("num_samples"), view.whole("max_iter")
    for found in (samples, iterations):
        if found is None:
            continue
        if found.value <= 0 and found is samples:
            work.trace.note(found.path, "0: every point")
            continue
        if found.value <= 0:
            wrong(found.path, found.value, "number of trials")
        work.trace.mapped(found.path, f"{PLACE}.maxTrials")
        # the older samplers are asked for so many of each flow
        flows = work.space.flows if found is samples and view.get("search_algorithm") else 1
        limits.append(found.value * flows)
    if samples is None and view.get("search_algorithm") and "grid" not in out["algorithm"]:
        limits.append(work.space.flows)
        work.trace.note((), f"{PLACE}.maxTrials: num_samples is 1 unless it is written")
    wanted = min(limits) if limits else _size(out)
    if wanted > MAX_TRIALS:
        work.trace.note((), f"{PLACE}.maxTrials: {wanted} trials are more than {MAX_TRIALS}, the most there can be")
    return int(min(wanted, MAX_TRIALS))


def _size(out: dict[str, Any]) -> int:
    try:
        return space.size(Search.model_validate(out)) or MAX_TRIALS
    except ValidationError:  # told with the whole manifest
        return MAX_TRIALS
