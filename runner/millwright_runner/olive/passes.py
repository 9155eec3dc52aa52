"""passes → spec.passes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from millwright_api.errors import InvalidManifest, UnknownPass, suggest
from millwright_runner import registry
from millwright_runner.olive.datasets import DataSets
from millwright_runner.olive.evaluation import OF_A_PASS
from millwright_runner.olive.table import Counterpart, load
from millwright_runner.olive.trace import Path, show, wrong
from millwright_runner.olive.training import training
from millwright_runner.olive.values import number, read
from millwright_runner.olive.view import Found, View, fill, nest
from millwright_runner.olive.work import Work, label
from millwright_runner.olive.workflow import judge_system
from millwright_runner.training.options import Training


def steps(work: Work, top: View, data: DataSets) -> list[dict[str, Any]]:
    """Returns spec.passes.

    Raises:
        UnknownPass: Olive has no pass of that type, or none of the passes has a counterpart here.
        InvalidManifest: there are no passes, or an option is wrong.
    """
    found = top.get("passes")
    if found is None or found.value in ({}, []):
        raise InvalidManifest(
            "no passes are named", where="passes", hint="name them in order, such as LoRA, MergeAdapterWeights"
        )
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
        view = View.of(work.trace, path, value, "config")
        options = _ordered(known.to, _step(work, top, data, _Pass(known, view, f"spec.passes[{len(out)}]", show(path))))
        label_ = label(name, 63, [str(step.get("name", next(iter(step)))) for step in out])
        out.append({known.to: options} if label_ == known.to else {"name": label_, known.to: options})
    if not out:
        raise UnknownPass(
            f"none of the passes has a counterpart: {', '.join(unmatched)}",
            where=show(found.path),
            hint=f"there are counterparts of {', '.join(p.name for p in load().passes.values() if p.to)}",
        )
    return out


def _ordered(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Returns a pass's options nested, in the order that the pass describes them in."""
    order = [field.alias for field in registry.get(name).model_fields.values()]
    training = [field.alias for field in Training.model_fields.values()]
    places = {key: (index, 0) for index, key in enumerate(order)}
    places |= {f"training.{key}": (len(order), index) for index, key in enumerate(training)}
    return nest(dict(sorted(options.items(), key=lambda item: places.get(item[0], (len(order) + 1, 0)))))


def _order(work: Work, top: View, passes: Found) -> list[str]:
    flows = top.get("pass_flows")
    if flows is None:
        return list(passes.value)
    if not (
        isinstance(flows.value, list) and flows.value and all(isinstance(flow, list) and flow for flow in flows.value)
    ):
        wrong(flows.path, flows.value, "list of lists of passes' names")
    first = flows.value[0]
    for name in first:
        if name not in passes.value:
            raise InvalidManifest(
                f"no pass is called {name!r}", where=f"{show(flows.path)}[0]", hint=suggest(str(name), passes.value)
            )
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
        raise InvalidManifest(
            "the pass has no type", where=show(path), hint="such as LoRA, MergeAdapterWeights, ModelBuilder"
        )
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


@dataclass(frozen=True)
class _Pass:
    """A pass of the JSON on its way into the manifest: its counterpart, its keys, and its step's place there."""

    known: Counterpart
    view: View
    place: str
    where: str

    @property
    def prefix(self) -> str:
        """Path of its options in the manifest."""
        return f"{self.place}.{self.known.to}"


def _step(work: Work, top: View, data: DataSets, one: _Pass) -> dict[str, Any]:
    one.view.walk(load().sections["pass"], one.place, frozenset({"config"}))
    if kind := one.view.get("type"):
        work.trace.mapped(kind.path, one.prefix)
    judge_system(work, one.view.get("host"), top)
    if evaluator := one.view.get("evaluator"):
        work.trace.unmapped(evaluator.path, OF_A_PASS, blocks=False)
    if one.known.to in ("lora", "qlora"):
        return _lora(work, data, one)
    return _genai(work, one) if one.known.to == "genai" else _merge(one)


def _merge(one: _Pass) -> dict[str, Any]:
    return one.view.walk(load().sections["merge"], one.prefix, load().sections["pass"].names)


def _lora(work: Work, data: DataSets, one: _Pass) -> dict[str, Any]:
    sections, view, known, prefix = load().sections, one.view, one.known, one.prefix
    section = sections["lora"] + sections["qlora" if known.to == "qlora" else "lora_only"]
    options = {**view.walk(section, prefix, sections["pass"].names), **known.options}
    train = view.get("train_data_config")
    if train is None:
        raise InvalidManifest(f"{known.name} names no data to train on", where=one.where, hint="train_data_config")
    options["trainData"] = data.refer(train, f"{prefix}.trainData")
    evaluates = _evaluation(work, view, data, prefix, options)
    added = fill(section, work.era, options)
    written, more = training(
        work,
        view,
        f"{prefix}.training",
        evaluates=evaluates,
        dtype=str(options["training.dtype"]),
        quantized=known.to == "qlora",
    )
    options |= {f"training.{key}": value for key, value in written.items()}
    told = [*added, *(f"training.{key}" for key in more)]
    if told:
        defaults = ", ".join(f"{key} {json.dumps(options[key]).strip(chr(34))}" for key in told)
        work.trace.note((), f"Olive's defaults of {one.where}, written out: {defaults}")
    return options


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


def _genai(work: Work, one: _Pass) -> dict[str, Any]:
    section, view, prefix = load().sections["genai"], one.view, one.prefix
    extra = View(
        work.trace,
        [part for path, data in view.parts for part in View.of(work.trace, path, data, "extra_options").parts],
    )
    options = extra.walk(section, prefix, load().sections["pass"].names | {"extra_options", "config"})
    row = section.row("int4_algo_config")
    if found := extra.text(*row.olive):
        chosen = read(row, found.path, found.value)
        if chosen:
            options |= chosen
            work.trace.mapped(found.path, *(f"{prefix}.{key}" for key in chosen))
        else:
            hint = suggest(found.value, row.choices or ())
            work.trace.unmapped(found.path, f"has no counterpart; {hint}", blocks=True)
    if "precision" not in options and work.era != "new":
        raise InvalidManifest(
            "it names no precision", where=one.where, hint=", ".join(section.row("precision").choices or ())
        )
    if isinstance(options.get("excludeNodes"), str):
        options["excludeNodes"] = options["excludeNodes"].split(",")
    if fill(section, work.era, options):
        work.trace.note((), f"Olive's default of {one.where}, written out: precision {options['precision']}")
    return options
