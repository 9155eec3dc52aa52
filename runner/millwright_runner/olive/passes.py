"""passes → spec.passes."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import Any

from millwright_api.errors import InvalidManifest, UnknownPass, suggest
from millwright_runner import registry
from millwright_runner.olive.datasets import DataSets
from millwright_runner.olive.evaluation import OF_A_PASS
from millwright_runner.olive.flows import Order, order
from millwright_runner.olive.space import MOST_STEPS, NO_ROOM, NO_STRATEGY, Source, Tried, add, has_room, variants
from millwright_runner.olive.systems import judge_system
from millwright_runner.olive.table import Counterpart, load
from millwright_runner.olive.trace import Path, Trace, show, wrong
from millwright_runner.olive.training import training
from millwright_runner.olive.values import number, read
from millwright_runner.olive.view import Found, View, fill, nest
from millwright_runner.olive.work import Work, label
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
    flows = order(work, top, found)
    out: list[dict[str, Any]] = []
    unmatched: list[str] = []
    made: dict[str, list[str]] = {}
    for name in flows.names:
        one = Found((*found.path, name), found.value[name])
        made[name] = _of_name(_Making(work, top, data, out, unmatched), name, one, flows)
    for group in flows.one_of:
        if len(labels := [label_ for name in group for label_ in made[name]]) > 1:
            work.space.parameters.append({"oneOf": labels})
    work.space.parameters += [{"pass": label_, "onOff": True} for name in flows.on_off for label_ in made[name]]
    if not out:
        raise UnknownPass(
            f"none of the passes has a counterpart: {', '.join(unmatched)}",
            where=show(found.path),
            hint=f"there are counterparts of {', '.join(p.name for p in load().passes.values() if p.to)}",
        )
    return out


@dataclass(frozen=True)
class _Making:
    """What the steps are made with, and those that there are.

    Attributes:
        out: spec.passes so far.
        unmatched: Olive's passes without a counterpart.
    """

    work: Work
    top: View
    data: DataSets
    out: list[dict[str, Any]]
    unmatched: list[str]


def _of_name(making: _Making, name: str, found: Found, flows: Order) -> list[str]:
    """Makes the steps of one name, of which one trial has one, and returns their names."""
    work, out = making.work, making.out
    chosen: list[tuple[Counterpart, Path, dict[str, Any]]] = []
    options: list[list[Tried]] = []
    for path, value in _alternatives(work, found):
        known = _counterpart(path, value)
        if known.to is None:
            near = f"; near: {known.near}" if known.near else ""
            work.trace.unmapped(path, f"{known.name} has no counterpart{near}", blocks=True)
            making.unmatched.append(known.name)
            continue
        reader = _Reader(making, _Pass(known, path))
        source = Source(path, value, known.to, reader.read)
        made = variants(work.space, work.trace, source, alone=name in flows.on_off)
        chosen += [(known, path, one) for one in made.values]
        options += [made.tried for _ in made.values]
    if len(chosen) > (MOST_STEPS if has_room(work.space) else 1):
        why = f"it takes {len(chosen)} steps here, and a choice has at most {MOST_STEPS}"
        work.trace.unmapped(found.path, why if has_room(work.space) else NO_ROOM, blocks=True)
        chosen, options = chosen[:1], [[]]
    labels: list[str] = []
    for _ in chosen:
        labels.append(label(name, 63, [*(str(step.get("name", next(iter(step)))) for step in out), *labels]))
    if len(labels) > 1 and not any(name in group for group in flows.one_of):
        work.space.parameters.append({"oneOf": labels})
    for (known, path, value), tried, label_ in zip(chosen, options, labels, strict=True):
        for one in tried:
            add(work.space, work.trace, one.path, {"pass": label_, "option": one.option, "choice": [*one.choice]})
        out.append(_made(making, known, path, value, label_))
    return labels


def _made(making: _Making, known: Counterpart, path: Path, value: dict[str, Any], label_: str) -> dict[str, Any]:
    """Returns a step."""
    view = View.of(making.work.trace, path, value, "config")
    one = _Pass(known, path, f"spec.passes[{len(making.out)}]")
    making.work.trace.origins[one.place] = one.where
    options = _ordered(str(known.to), _step(making.work, making.top, making.data, one, view))
    return {str(known.to): options} if label_ == known.to else {"name": label_, str(known.to): options}


@dataclass(frozen=True)
class _Pass:
    """A pass of the JSON on its way into the manifest: its counterpart, its place, and its step's place there."""

    known: Counterpart
    path: Path
    place: str = "spec.passes[0]"

    @property
    def prefix(self) -> str:
        """Path of its options in the manifest."""
        return f"{self.place}.{self.known.to}"

    @property
    def where(self) -> str:
        """Its place in the JSON, for people."""
        return show(self.path)


@dataclass(frozen=True)
class _Reader:
    """Converts a pass as it would be with another value, and leaves no trace of it."""

    making: _Making
    one: _Pass

    def read(self, value: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Returns the options, and the paths in the JSON of what has no counterpart."""
        config: Any = value
        for key in reversed(self.one.path):
            config = {key: config}
        work, trace = self.making.work, Trace(config)
        top = View(trace, self.making.top.parts)
        scratch = Work(trace, work.era, work.paths, azure=copy.deepcopy(work.azure))
        view = View.of(trace, self.one.path, value, "config")
        options = _step(scratch, top, DataSets(scratch, top), self.one, view)
        return options, [line.path for line in trace.finish() if line.blocks]


def _ordered(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Returns a pass's options nested, in the order that the pass describes them in."""
    order = [field.alias for field in registry.get(name).model_fields.values()]
    training = [field.alias for field in Training.model_fields.values()]
    places = {key: (index, 0) for index, key in enumerate(order)}
    places |= {f"training.{key}": (len(order), index) for index, key in enumerate(training)}
    return nest(dict(sorted(options.items(), key=lambda item: places.get(item[0], (len(order) + 1, 0)))))


def _alternatives(work: Work, found: Found) -> list[tuple[Path, dict[str, Any]]]:
    """A pass is a mapping, or (0.13) a list of them, of which a search chooses one."""
    path, value = found.path, found.value
    if not isinstance(value, list) or not value:
        if not isinstance(value, dict):
            wrong(path, value, "pass: a mapping with a type")
        return [(path, value)]
    for index, one in enumerate(value):
        if not isinstance(one, dict):
            wrong((*path, index), one, "pass: a mapping with a type")
    if work.space.why_not is None:
        return [((*path, index), one) for index, one in enumerate(value)]
    for index in range(1, len(value)):
        if work.space.why_not == NO_STRATEGY:
            work.trace.note((*path, index), "an alternative: without a search Olive takes the first")
        else:
            work.trace.unmapped((*path, index), work.space.why_not, blocks=True)
    return [((*path, 0), value[0])]


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


def _step(work: Work, top: View, data: DataSets, one: _Pass, view: View) -> dict[str, Any]:
    view.walk(load().sections["pass"], one.place, frozenset({"config"}))
    if kind := view.get("type"):
        work.trace.mapped(kind.path, one.prefix)
    judge_system(work, view.get("host"), top)
    if evaluator := view.get("evaluator"):
        # a search of Olive's goes by what each pass is measured for
        work.trace.unmapped(evaluator.path, OF_A_PASS, blocks=work.space.why_not is None)
    if one.known.to in ("lora", "qlora"):
        return _lora(work, data, one, view)
    return _genai(work, one, view) if one.known.to == "genai" else _merge(one, view)


def _merge(one: _Pass, view: View) -> dict[str, Any]:
    return view.walk(load().sections["merge"], one.prefix, load().sections["pass"].names)


def _lora(work: Work, data: DataSets, one: _Pass, view: View) -> dict[str, Any]:
    sections, known, prefix = load().sections, one.known, one.prefix
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


def _genai(work: Work, one: _Pass, view: View) -> dict[str, Any]:
    section, prefix = load().sections["genai"], one.prefix
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
