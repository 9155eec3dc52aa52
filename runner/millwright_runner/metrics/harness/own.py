"""A task of one's own on the job's rows. Questions, answers and choices are made here, in Jinja's sandbox: the harness itself
would let a manifest's template do what it likes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import jinja2
import jinja2.sandbox

from millwright_api.errors import InvalidData, InvalidManifest, suggest
from millwright_runner.metrics import MetricContext
from millwright_runner.metrics.harness.table import table

if TYPE_CHECKING:
    from millwright_runner.metrics.lm_eval import OwnTask

NAME, SPLIT = "rows", "rows"
"""What the harness calls the task and its data."""


def check_templates(task: OwnTask) -> None:
    """Refuses templates that no row could fill. Raises InvalidManifest; its `where` is the option."""
    texts = {"docToText": task.doc_to_text, "docToTarget": task.doc_to_target}
    texts |= {f"docToChoice[{index}]": text for index, text in enumerate(task.doc_to_choice or ())}
    for option, text in texts.items():
        try:
            _environment().parse(text or "")
        except jinja2.TemplateSyntaxError as error:
            raise InvalidManifest(f"malformed template: {error.message}", where=f"config.{option}") from error


def own_config(task: OwnTask, metric: str, context: MetricContext) -> dict[str, Any]:
    """Returns the task's configuration as lm_eval reads it, with the rows as its data.

    Args:
        task: what the manifest says.
        metric: which of the harness' metrics.
        context: the rows.

    Raises:
        InvalidData: a row lacks what a template asks for, or its right answer is none of its choices; with its place.
    """
    rows = table(list(_questions(task, context)))
    judging: dict[str, Any] = {
        "metric": metric,
        "aggregation": "mean",
        "higher_is_better": True,
    }
    config: dict[str, Any] = {
        "task": NAME,
        "custom_dataset": lambda **_: {SPLIT: rows},
        "test_split": SPLIT,
        "fewshot_split": SPLIT,
        "output_type": task.output_type,
        "doc_to_text": "question",
        "doc_to_target": "answer",
        "target_delimiter": task.target_delimiter,
        "fewshot_delimiter": task.fewshot_delimiter,
        "metric_list": [judging],
    }
    if task.output_type == "multiple_choice":
        config["doc_to_choice"] = "choices"
    if task.output_type == "generate_until":
        judging |= {"ignore_case": task.ignore_case, "ignore_punctuation": task.ignore_punctuation}
        config["generation_kwargs"] = {"until": list(task.until), "max_gen_toks": task.max_gen_toks, "do_sample": False}
    return config


def _questions(task: OwnTask, context: MetricContext) -> Iterator[dict[str, Any]]:
    """Yields what each row becomes: question, answer, and choices where there are some."""
    read = _Reader()
    for (place, row), example in zip(context.rows, context.examples, strict=True):
        question = example.prompt if task.doc_to_text is None else read.text(task.doc_to_text, row, place)
        answer = example.answer or "" if task.doc_to_target is None else read.text(task.doc_to_target, row, place)
        if task.doc_to_choice is None:
            yield {"question": question, "answer": answer}
            continue
        choices = [choice for text in task.doc_to_choice for choice in read.texts(text, row, place)]
        if "" in choices:
            raise InvalidData(f"choice {choices.index('') + 1} is empty", where=place, hint="look at docToChoice")
        yield {"question": question, "answer": _place(answer, choices, place), "choices": choices}


def _place(answer: str, choices: list[str], place: str) -> int:
    """Returns where the right answer stands among the choices."""
    if answer in choices:
        return choices.index(answer)
    if answer.strip().isdecimal() and int(answer) < len(choices):
        return int(answer)
    raise InvalidData(
        f"the right answer {answer[:80]!r} is none of the choices", where=place, hint=suggest(answer, choices)
    )


class _Reader:
    """Fills columns' names and templates with a row."""

    def __init__(self) -> None:
        self._environment = _environment()
        self._templates: dict[str, jinja2.Template] = {}

    def text(self, source: str, row: Mapping[str, Any], place: str) -> str:
        """Returns one text. Raises InvalidData."""
        found = self.texts(source, row, place)
        if len(found) != 1:
            raise InvalidData(f"{source!r} holds {len(found)} values, and one is asked for", where=place)
        return found[0]

    def texts(self, source: str, row: Mapping[str, Any], place: str) -> list[str]:
        """Returns a text, or all of a list that a column holds. Raises InvalidData."""
        if source in row or source.partition(".")[0] in row:
            value = _column(source, row, place)
            return [str(one) for one in value] if isinstance(value, list) else [str(value)]
        try:
            return [self._template(source).render(row)]
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            hint = f"the columns are {', '.join(row)}"
            raise InvalidData(f"{source!r} cannot be filled: {error}", where=place, hint=hint) from error

    def _template(self, source: str) -> jinja2.Template:
        if source not in self._templates:
            self._templates[source] = self._environment.from_string(source)
        return self._templates[source]


def _column(path: str, row: Mapping[str, Any], place: str) -> Any:
    if path in row:
        return row[path]
    value: Any = row
    for key in path.split("."):
        if not isinstance(value, Mapping) or key not in value:
            names = list(value) if isinstance(value, Mapping) else []
            raise InvalidData(f"there is no {path!r} in this row", where=place, hint=suggest(key, names))
        value = value[key]
    return value


def _environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    return jinja2.sandbox.ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
