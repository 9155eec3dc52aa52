"""Tasks that come with lm_eval, read from its files: importing it takes seconds, and its own index of them many."""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from millwright_api.errors import InvalidManifest, suggest

PlacedRow = tuple[str, dict[str, Any]]

NOT_SHARES = frozenset({"bleu", "brier_score", "bypass", "chrf", "chrf++", "likelihood", "mcc", "perplexity", "ter"})
"""The harness' metrics that are no share of right answers, or better when they are lower; with those of KINDLESS."""

KINDLESS = {"loglikelihood_rolling": ("word_perplexity", "byte_perplexity", "bits_per_byte")}
"""Kinds of questions that have no such metric, and what they have."""

DEFAULTS = {
    "multiple_choice": ["acc", "acc_norm"],
    "generate_until": ["exact_match"],
    "loglikelihood": ["perplexity", "acc"],
}
"""Metrics of a task that names none, by its kind; as lm_eval's registry has them."""

_KEY = re.compile(r"""^["']?(task|group)["']?\s*:\s*["']?([^\s"'#\[\]{}]+)["']?\s*(?:#.*)?$""", re.MULTILINE)


class _Loader(yaml.SafeLoader):
    """Reads a task's file; a function of the package's own is its name."""


_Loader.add_constructor("!function", lambda loader, node: str(node.value).rpartition(".")[2])


def check_shipped(name: str, *, metric: str | None, filter: str | None, num_fewshot: int | None) -> None:  # noqa: A002
    """Refuses a task that is not there, or has not what is asked of it.

    Args:
        name: the task's.
        metric: which of its metrics; None: its first one.
        filter: which of its filters; None: its first one.
        num_fewshot: examples before each question; None: as it says.

    Raises:
        InvalidManifest: its `where` is the option.
    """
    config = read_task(path_of(name))
    if config.get("unsafe_code"):
        raise InvalidManifest(
            f"{name!r} runs code that the model writes, which Millwright does not",
            where="task",
            hint="take another task",
        )
    if num_fewshot and config.get("num_fewshot") == 0:
        raise InvalidManifest(
            f"found {num_fewshot}, and the questions of {name!r} have their examples already: it takes no others",
            where="numFewshot",
            hint="leave it out",
        )
    if "class" in config:
        return  # only its code knows what it gives
    kind = config.get("output_type", "generate_until")
    named = [str(entry["metric"]) for entry in config.get("metric_list") or ()] or DEFAULTS.get(kind, [])
    possible = [one for one in named if one not in NOT_SHARES]
    if kind in KINDLESS or not possible:
        others = ", ".join(KINDLESS.get(kind, named))
        raise InvalidManifest(
            f"{name!r} has no metric that is a share; it has {others}", where="task", hint="see perplexity"
        )
    more = bool(config.get("process_results"))  # code of the task's that may give metrics which it does not name
    if metric in NOT_SHARES or (metric is not None and metric not in possible and not more):
        raise InvalidManifest(f"{name!r} has no metric {metric!r}", where="metric", hint=suggest(metric, possible))
    filters = [str(entry["name"]) for entry in config.get("filter_list") or ()] or ["none"]
    if filter is not None and filter not in filters:
        raise InvalidManifest(f"{name!r} has no filter {filter!r}", where="filter", hint=suggest(filter, filters))


def shipped_config(name: str, rows: Sequence[PlacedRow]) -> dict[str, Any]:
    """Returns a task's configuration as lm_eval reads it, with its functions.

    Args:
        name: the task's.
        rows: its data; empty: those that it names itself, at the hub.

    Raises:
        InvalidManifest: there is no such task.
        InvalidData: the rows are no table.
    """
    from lm_eval.tasks._yaml_loader import load_yaml

    from millwright_runner.metrics.harness.table import table

    config: dict[str, Any] = load_yaml(path_of(name))
    if not rows:
        return config
    if "class" in config:
        raise InvalidManifest(f"{name!r} reads its data by code of its own, and no others", hint="leave data out")
    asked = str(config.get("test_split") or config.get("validation_split"))
    there = table([row for _, row in rows])
    # Examples come from the same rows: the harness then leaves out the one that is asked.
    examples = {**(config.get("fewshot_config") or {}), "split": asked}
    return config | {
        "custom_dataset": lambda **_: dict.fromkeys((config.get("validation_split"), asked), there),
        "dataset_kwargs": None,
        "metadata": {},
        "training_split": None,
        "fewshot_split": asked,
        "fewshot_config": examples,
    }


def path_of(name: str) -> Path:
    """Returns a task's file.

    Raises:
        InvalidManifest: there is none of that name, or it is a group of tasks.
    """
    tasks, groups = names()
    if name in tasks:
        return tasks[name]
    if name in groups:
        raise InvalidManifest(
            f"{name!r} is a group of tasks", where="task", hint=f"name one of them{_members(groups[name])}"
        )
    hint = suggest(name, tasks)
    raise InvalidManifest(
        f"lm_eval has no task {name!r}",
        where="task",
        hint=hint if hint.startswith("did you") else "lm-eval ls tasks lists them",
    )


@functools.cache
def names() -> tuple[dict[str, Path], dict[str, Path]]:
    """Returns the files of tasks and of groups of tasks, each by name: 14,000 in half a second, where parsing takes eight."""
    tasks: dict[str, Path] = {}
    groups: dict[str, Path] = {}
    for path in sorted(_root().rglob("*.yaml")):
        found = dict(_KEY.findall(path.read_text(encoding="utf-8", errors="replace")))
        if "task" in found:
            tasks.setdefault(found["task"], path)
        elif "group" in found:
            groups.setdefault(found["group"], path)
    return tasks, groups


def read_task(path: Path) -> dict[str, Any]:
    """Returns what a task's file says, with what it includes; of functions only their names."""
    config: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    included = config.pop("include", [])
    merged: dict[str, Any] = {}
    for one in included if isinstance(included, list) else [included]:
        merged |= read_task(path.parent / one)
    return merged | config


def _root() -> Path:
    spec = importlib.util.find_spec("lm_eval")
    assert spec is not None and spec.submodule_search_locations  # who asks has looked whether it is there
    return Path(next(iter(spec.submodule_search_locations))) / "tasks"


def _members(path: Path) -> str:
    members = read_task(path).get("task")
    plain = [one for one in members if isinstance(one, str)] if isinstance(members, list) else []
    return f", such as {', '.join(plain[:3])}" if plain else ""
