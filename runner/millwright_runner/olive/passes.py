"""passes → spec.passes."""

from __future__ import annotations

from typing import Any

from millwright_api.errors import InvalidManifest, UnknownPass, suggest
from millwright_runner.olive.datasets import DataSets
from millwright_runner.olive.table import Counterpart, load
from millwright_runner.olive.trace import Path, show, wrong
from millwright_runner.olive.training import training
from millwright_runner.olive.view import Found, View, fill, nest, number, read
from millwright_runner.olive.work import Work, label
from millwright_runner.olive.workflow import LATER_EVALUATION, judge_system


def steps(work: Work, top: View, data: DataSets) -> list[dict[str, Any]]:
    """Returns spec.passes.

    Raises:
        UnknownPass: Olive has no pass of that type, or none of the passes has a counterpart here.
        InvalidManifest: there are no passes, or an option is wrong.
    """
    found = top.get("passes")
    if found is None or found.value in ({}, []):
        raise InvalidManifest("no passes are named", where="passes", hint="name them in order, such as LoRA, MergeAdapterWeights")
    if not isinstance(found.value, dict):
        wrong(found.path, found.value, "mapping from names to passes")
    out: list[dict[str, Any]] = []
    unmatched: list[str] = []
    for name in _order(work, top, found):
        path, value = _single(work, Found((*found.path, name), found.value[name]))
        known = _counterpart(path, value)
        if known.to is None:
            near = f"; near: {known.near}" if known.near else ""
            work.trace.unmapped(path, f"{known.name} has no counterpart{near}", blocks=True)
            unmatched.append(known.name)
            continue
        taken = [str(step.get("name", next(iter(step)))) for step in out]
        out.append(_step(work, top, data, known, Found(path, value), f"spec.passes[{len(out)}]", label(name, 63, taken)))
    if not out:
        raise UnknownPass(
            f"none of the passes has a counterpart: {', '.join(unmatched)}", where=show(found.path),
            hint=f"there are counterparts of {', '.join(p.name for p in load().passes.values() if p.to)}",
        )
    return out


def _order(work: Work, top: View, passes: Found) -> list[str]:
    flows = top.get("pass_flows")
    if flows is None:
        return list(passes.value)
    if not (isinstance(flows.value, list) and flows.value and all(isinstance(flow, list) and flow for flow in flows.value)):
        wrong(flows.path, flows.value, "list of lists of passes' names")
    first = flows.value[0]
    for name in first:
        if name not in passes.value:
            raise InvalidManifest(f"no pass is called {name!r}", where=f"{show(flows.path)}[0]", hint=suggest(str(name), passes.value))
    work.trace.mapped((*flows.path, 0), "spec.passes")
    for index in range(1, len(flows.value)):
        why = "a further flow gives a further model: import once more with this flow first"
        work.trace.unmapped((*flows.path, index), why, blocks=True)
    for name in passes.value:
        if name not in first:
            work.trace.unmapped((*passes.path, name), "not in the first flow", blocks=False)
    return list(first)


def _single(work: Work, found: Found) -> tuple[Path, dict[str, Any]]:
    """A pass is a mapping, or (0.13) a list of alternatives for a search."""
    path, value = found.path, found.value
    if isinstance(value, list) and value:
        for index in range(1, len(value)):
            work.trace.unmapped((*path, index), "an alternative: comes with search", blocks=True)
        path, value = (*path, 0), value[0]
    if not isinstance(value, dict):
        wrong(path, value, "pass: a mapping with a type")
    return path, value


def _counterpart(path: Path, value: dict[str, Any]) -> Counterpart:
    table, kind = load(), value.get("type")
    known = {**table.older_passes, **table.passes}
    if not isinstance(kind, str):
        raise InvalidManifest("the pass has no type", where=show(path), hint="such as LoRA, MergeAdapterWeights, ModelBuilder")
    if kind.lower() not in known:
        names = [entry.name for entry in table.passes.values()]
        by_lower = {name.lower(): name for name in names}
        hint = suggest(kind.lower(), by_lower)
        for lower, name in by_lower.items():
            hint = hint.replace(f"'{lower}'", f"'{name}'")
        if not hint.startswith("did"):
            hint = f"Olive has {', '.join(sorted(names))}"
        raise UnknownPass(f"Olive has no pass called {kind!r}", where=show((*path, "type")), hint=hint)
    return known[kind.lower()]


def _step(
    work: Work, top: View, data: DataSets, known: Counterpart, found: Found, place: str, name: str
) -> dict[str, Any]:
    assert known.to is not None
    prefix = f"{place}.{known.to}"
    view = View.of(work.trace, found.path, found.value, "config")
    view.walk(load().sections["pass"], place, frozenset({"config"}))
    work.trace.mapped((*found.path, "type"), prefix)
    judge_system(work, view.get("host"), top)
    if evaluator := view.get("evaluator"):
        work.trace.unmapped(evaluator.path, LATER_EVALUATION, blocks=False)
    options = _genai(work, view, prefix) if known.to == "genai" else _merge(view, prefix)
    if known.to in ("lora", "qlora"):
        options = _lora(work, view, data, known, prefix)
    step: dict[str, Any] = {known.to: nest(options)}
    return step if name == known.to else {"name": name, **step}


def _merge(view: View, prefix: str) -> dict[str, Any]:
    return view.walk(load().sections["merge"], prefix, load().sections["pass"].names)


def _lora(work: Work, view: View, data: DataSets, known: Counterpart, prefix: str) -> dict[str, Any]:
    sections = load().sections
    section = sections["lora"] + sections["qlora" if known.to == "qlora" else "lora_only"]
    options = {**view.walk(section, prefix, sections["pass"].names), **known.options}
    train = view.get("train_data_config")
    if train is None:
        raise InvalidManifest(f"{known.name} names no data to train on", where=show(view.parts[0][0]), hint="train_data_config")
    options["trainData"] = data.refer(train, f"{prefix}.trainData")
    evaluates = _evaluation(work, view, data, prefix, options)
    added = fill(section, work.era, options)
    written, more = training(work, view, f"{prefix}.training", evaluates, str(options["training.dtype"]), known.to == "qlora")
    options |= {f"training.{key}": value for key, value in written.items()}
    told = [f"{key} {options[key]}" for key in added] + [f"{key} {written[key]}" for key in more]
    if told:
        work.trace.note((), f"Olive's defaults of {show(view.parts[0][0])}, written out: {', '.join(told)}")
    order = [key for key in options if not key.startswith("training.")]
    return {key: options[key] for key in [*order, *(key for key in options if key.startswith("training."))]}


def _evaluation(work: Work, view: View, data: DataSets, prefix: str, options: dict[str, Any]) -> bool:
    """Maps the evaluation data; returns whether there are any."""
    config, size = view.get("eval_data_config"), view.get("eval_dataset_size")
    if config:
        options["evalData"] = data.refer(config, f"{prefix}.evalData")
        if size:
            work.trace.note(size.path, "no effect beside eval_data_config")
        return True
    if size is None:
        return False
    share = number(size.path, size.value)
    if share <= 0:
        wrong(size.path, size.value, "size of an evaluation set", "below 1 a share, from 1 a number of sequences")
    key = "evalFraction" if share < 1 else "evalSize"
    options[key] = share if share < 1 else int(share)
    work.trace.mapped(size.path, f"{prefix}.{key}")
    return True


def _genai(work: Work, view: View, prefix: str) -> dict[str, Any]:
    section = load().sections["genai"]
    extra = View(work.trace, [part for path, data in view.parts for part in View.of(work.trace, path, data, "extra_options").parts])
    options = extra.walk(section, prefix, load().sections["pass"].names | {"extra_options", "config"})
    row = section.row("int4_algo_config")
    if found := extra.text(*row.olive):
        chosen = read(row, found)
        if chosen:
            options |= chosen
            work.trace.mapped(found.path, *(f"{prefix}.{key}" for key in chosen))
        else:
            hint = suggest(found.value, row.choices or ())
            work.trace.unmapped(found.path, f"has no counterpart; {hint}", blocks=True)
    if "precision" not in options and work.era != "new":
        raise InvalidManifest("it names no precision", where=show(view.parts[0][0]), hint=", ".join(section.row("precision").choices or ()))
    if isinstance(options.get("excludeNodes"), str):
        options["excludeNodes"] = options["excludeNodes"].split(",")
    if fill(section, work.era, options):
        work.trace.note((), f"Olive's default of {show(view.parts[0][0])}, written out: precision {options['precision']}")
    return options
