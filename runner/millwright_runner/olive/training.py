"""training_args → a tuning pass's `training`."""

from __future__ import annotations

from typing import Any

from millwright_api.errors import suggest
from millwright_runner.olive.table import load
from millwright_runner.olive.trace import wrong
from millwright_runner.olive.values import number
from millwright_runner.olive.view import Found, View, fill
from millwright_runner.olive.work import Work

CHECKPOINT = "spec.checkpoint.everySteps"


def training(
    work: Work, options: View, prefix: str, *, evaluates: bool, dtype: str, quantized: bool
) -> tuple[dict[str, Any], list[str]]:
    """Maps the training arguments.

    Args:
        options: the pass's options.
        prefix: the training's place in the manifest.
        evaluates: whether there are evaluation data.
        dtype: the type it trains in.
        quantized: whether the base is, which has another default optimizer from 0.8 on.

    Returns:
        The options, and the names of those that are Olive's defaults written out.
    """
    section = load().sections["training_args"]
    found = options.get("training_args")
    view = View.of(work.trace, found.path, found.value, "extra_args") if found else View(work.trace, [])
    out = view.walk(section, prefix, frozenset({"extra_args"}))
    _lengths(work, view, prefix, out)
    added = fill(section, work.era, out)
    if work.era == "old" and not view.get("max_steps"):
        out["maxSteps"] = section.row("max_steps").default["old"]
        added.append("maxSteps")
        if epochs := view.get("num_train_epochs"):
            work.trace.note(
                epochs.path,
                "Olive's default of max_steps goes before it: leave out maxSteps if the epochs shall decide",
            )
    added += _optimizer(work, out, prefix, quantized)
    added += _warmup(work, view, prefix, out)
    _evaluations(work, view, prefix, evaluates, out)
    _sampling(work, view, prefix, out)
    _mixed_precision(work, view, dtype)
    _saving(work, view)
    return out, [key for key in added if key in out]


def _optimizer(work: Work, out: dict[str, Any], prefix: str, quantized: bool) -> list[str]:
    """Writes out Olive's default optimizer; a base that is not quantized does without bitsandbytes' paged memory."""
    if "optimizer" in out or (work.era == "new" and not quantized):
        return []
    out["optimizer"] = "paged_adamw_32bit" if quantized else "adamw_torch"
    if not quantized:
        work.trace.note(
            (),
            f"{prefix}: Olive's default is paged_adamw_32bit; adamw_torch makes the same updates without bitsandbytes",
        )
    return ["optimizer"]


def _lengths(work: Work, view: View, prefix: str, out: dict[str, Any]) -> None:
    found = view.whole("max_steps")
    if found is None:
        return
    if found.value > 0:
        out["maxSteps"] = found.value
        work.trace.mapped(found.path, f"{prefix}.maxSteps")
        if epochs := view.get("num_train_epochs"):
            work.trace.note(epochs.path, "max_steps goes before it")
    else:
        work.trace.note(found.path, "no limit: the epochs decide")
        out.setdefault("epochs", 3)


def _warmup(work: Work, view: View, prefix: str, out: dict[str, Any]) -> list[str]:
    """warmup_steps goes before warmup_ratio, and a constant learning rate has neither."""
    count, share = view.whole("warmup_steps"), view.get("warmup_ratio")
    if count and count.value > 0:
        out["warmupSteps"] = count.value
        work.trace.mapped(count.path, f"{prefix}.warmupSteps")
        if share:
            work.trace.note(share.path, "warmup_steps goes before it")
        return []
    if count:
        work.trace.note(count.path, "none: warmup_ratio decides")
    if share:
        out["warmupRatio"] = number(share.path, share.value)
        work.trace.mapped(share.path, f"{prefix}.warmupRatio")
        return []
    if out.get("scheduler") == "constant":
        return []
    out["warmupRatio"] = load().sections["training_args"].row("warmup_ratio").default[work.era]
    return ["warmupRatio"]


def _evaluations(work: Work, view: View, prefix: str, evaluates: bool, out: dict[str, Any]) -> None:
    strategy, interval = view.text("eval_strategy", "evaluation_strategy"), view.get("eval_steps")
    kinds = ("steps", "epoch", "no")
    if strategy and strategy.value not in kinds:
        wrong(strategy.path, strategy.value, "evaluation strategy", suggest(strategy.value, kinds))
    if not evaluates:
        for found in (strategy, interval):
            if found:
                work.trace.note(found.path, "no effect without evaluation data")
        return
    chosen = strategy.value if strategy else ("no" if work.era == "old" else "steps")
    if chosen != "steps":
        why = "evaluated once an epoch, which changes nothing in the model"
        for found, text in (
            (strategy, "as here" if chosen == "epoch" else why),
            (interval, f"no effect with {chosen}"),
        ):
            if found:
                work.trace.note(found.path, text)
        return
    if strategy:
        work.trace.mapped(strategy.path, f"{prefix}.evalSteps")
    if interval and number(interval.path, interval.value) < 1:
        work.trace.unmapped(
            interval.path, "a share of all steps: write a number; evaluated once an epoch", blocks=False
        )
        return
    steps = view.whole("eval_steps")
    out["evalSteps"] = steps.value if steps else out["loggingSteps"]
    if steps:
        work.trace.mapped(steps.path, f"{prefix}.evalSteps")


def _sampling(work: Work, view: View, prefix: str, out: dict[str, Any]) -> None:
    found = view.text("train_sampling_strategy")
    if found is None:
        return
    if found.value == "group_by_length":
        out["groupByLength"] = True
        work.trace.mapped(found.path, f"{prefix}.groupByLength")
    elif found.value == "random":
        work.trace.note(found.path, "as here")
    else:
        work.trace.unmapped(found.path, "rows come in random order, or grouped by length", blocks=True)


def _mixed_precision(work: Work, view: View, dtype: str) -> None:
    found = view.flag("bf16")
    if found is None:
        return
    if not found.value or dtype == "bfloat16":
        work.trace.note(found.path, f"training is in {dtype}, by torch_dtype")
    else:
        work.trace.unmapped(found.path, f"training is in {dtype}, by torch_dtype: set that to bfloat16", blocks=True)


def _saving(work: Work, view: View) -> None:
    found: Found | None = view.get("save_steps")
    if found is None:
        return
    if number(found.path, found.value) >= 1:
        work.every_steps = view.whole("save_steps").value  # type: ignore[union-attr]
        work.trace.mapped(found.path, CHECKPOINT)
    else:
        work.trace.unmapped(found.path, f"a share of all steps: {CHECKPOINT} is a number", blocks=False)
