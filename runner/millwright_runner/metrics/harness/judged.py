"""Runs lm-evaluation-harness on one task. Imports lm_eval, and through it datasets and more: two seconds."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millwright_api.errors import DataNotFound, InvalidData, InvalidManifest, UserError, suggest
from millwright_runner.metrics import MetricContext, Sample
from millwright_runner.subjects import Subject

if TYPE_CHECKING:
    from millwright_runner.metrics.lm_eval import LmEval


@dataclass(frozen=True)
class Judged:
    """What the harness says of a model.

    Attributes:
        metric: which of its metrics.
        value: of all questions.
        items: what each question gave, in order, as `aggregate` takes it.
        aggregate: makes a value of items.
        scores: the same as numbers, where the value is their mean; else empty.
        samples: questions with the right answer and the model's.
        broken: whether a probability was no number: then the value means nothing.
        truncated: questions that were cut off at their start.
    """

    metric: str
    value: float
    items: Sequence[Any]
    aggregate: Callable[[Sequence[Any]], float]
    scores: tuple[float, ...]
    samples: list[Sample]
    broken: bool
    truncated: int


def judged(config: dict[str, Any], options: LmEval, model: Subject, context: MetricContext) -> Judged:
    """Asks a model a task's questions.

    Args:
        config: the task, as lm_eval reads it.
        options: the metric's.
        model: who answers.
        context: tokenizer, and whether to stop.

    Raises:
        DataNotFound: the task's data cannot be reached.
        InvalidManifest: the task has no such metric or filter.
    """
    with _quiet():
        from lm_eval.api.metrics import mean
        from lm_eval.evaluator import evaluate

        from millwright_runner.metrics.harness.bridge import Bridge

        task = _task(config, options)
        wanted = set(task.aggregation())
        greedy = task.OUTPUT_TYPE == "loglikelihood" or "exact_match" in wanted
        bridge = Bridge(model, context.tokens, batch_size=options.batch_size, greedy=greedy, check=context.check)
        name = task.task_name
        found: Any = evaluate(lm=bridge, task_dict={"tasks": {name: task}}, limit=options.limit, bootstrap_iters=0)
    metric, kept = _chosen(found["results"][name], task, options)
    samples = [sample for sample in found["samples"][name] if sample["filter"] == kept and metric in sample]
    items = [sample[metric] for sample in samples]
    aggregate = task.aggregation()[metric]
    plain = aggregate is mean and all(isinstance(item, int | float) for item in items)
    return Judged(
        metric,
        float(found["results"][name][f"{metric},{kept}"]),
        items,
        aggregate,
        tuple(map(float, items)) if plain else (),
        [_sample(sample, task) for sample in samples],
        bridge.broken,
        bridge.truncated,
    )


def _task(config: dict[str, Any], options: LmEval) -> Any:
    from lm_eval.tasks import TaskManager

    named = config.get("dataset_path")
    try:
        (task,) = TaskManager(include_defaults=False).load([config])["tasks"].values()
    except UserError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        if "custom_dataset" in config:
            raise InvalidData(f"{config['task']} cannot ask the rows: {type(error).__name__}: {text}") from error
        raise DataNotFound(
            f"lm_eval's task {config['task']} asks the data set {named} at the hub, which cannot be read: {text}",
            hint="name a data set of the job with the same columns as the metric's data",
        ) from error
    if options.num_fewshot is not None or task.config.num_fewshot is None:
        task.set_config("num_fewshot", options.num_fewshot or 0)
    task.set_fewshot_seed(options.seed)
    return task


def _chosen(results: dict[str, Any], task: Any, options: LmEval) -> tuple[str, str]:
    """Returns the metric and the filter that the value is of."""
    pairs = [tuple(key.split(",", 1)) for key in results if "," in key and "_stderr," not in key]
    better = task.higher_is_better()
    metrics = list(dict.fromkeys(metric for metric, _ in pairs if better.get(metric, True)))
    metric = options.metric or next(iter(metrics), "")
    if metric not in metrics:
        raise InvalidManifest(f"the task gives no metric {metric!r}", hint=suggest(metric, metrics))
    filters = [kept for found, kept in pairs if found == metric]
    kept = options.filter or filters[0]
    if kept not in filters:
        raise InvalidManifest(f"the task has no filter {kept!r}", hint=suggest(kept, filters))
    return metric, kept


def _sample(sample: dict[str, Any], task: Any) -> Sample:
    """Returns a question as a person reads it: of choices the most probable one is the answer."""
    arguments, responses, target = sample["arguments"], sample["filtered_resps"], sample["target"]
    question = str(arguments[0][0])
    if task.OUTPUT_TYPE == "generate_until":
        return Sample(question, str(target), str(responses[0]))
    if task.OUTPUT_TYPE == "loglikelihood":
        return Sample(question, str(target), str(target) if responses[0][1] else "")
    choices = [str(following).strip() for _, following in arguments]
    best = max(range(len(choices)), key=lambda index: responses[index][0])
    right = choices[target] if isinstance(target, int) and target < len(choices) else str(target)
    return Sample(question, right, choices[best])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the harness' log and its bars from a pod's log; what matters is raised."""
    import datasets
    import lm_eval.api.task

    logger, task = logging.getLogger("lm_eval"), lm_eval.api.task
    level, bars, shown = logger.level, task.tqdm, datasets.are_progress_bars_disabled()
    logger.setLevel(logging.CRITICAL)
    task.tqdm = lambda rows, **_: rows
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        task.tqdm = bars
        if not shown:
            datasets.enable_progress_bars()
