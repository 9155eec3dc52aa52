"""pre_process_data_config → how rows become text."""

from __future__ import annotations

import string
from typing import Any

from millwright_api.errors import InvalidManifest
from millwright_runner.olive.model import task, trust
from millwright_runner.olive.packing import Form, map_padding, map_separators, map_strategy, rows_read
from millwright_runner.olive.table import load
from millwright_runner.olive.trace import show
from millwright_runner.olive.values import texts
from millwright_runner.olive.view import Found, View, fill
from millwright_runner.olive.work import Work


def text_format(work: Work, view: View, place: str) -> tuple[dict[str, Any], int | None]:
    """Returns {text: …} or {chat: …}, and how many rows are read, or None for all.

    Args:
        view: the options of the component that makes text of rows.
        place: the data set's place in the manifest.

    Raises:
        InvalidManifest: a wrong type, or a strategy that Olive does not have.
    """
    chat = _is_chat(work, view, place)
    key = "chat" if chat else "text"
    form = Form(work, view, f"{place}.{key}", chat)
    flat = view.walk(load().sections["pre_process"], form.place)
    (_conversation if chat else _columns_and_template)(form)
    task(work, view)
    trust(work, view.get("trust_remote_code"))
    _others(form)
    map_strategy(form)
    if fill(load().sections["pre_process"], work.era, flat):
        work.trace.note((), f"Olive's default of {form.place}, written out: maxLength {flat['maxLength']}")
    form.options |= flat
    map_padding(form)
    map_separators(form)
    return {key: form.options}, rows_read(form, place)


def _others(form: Form) -> None:
    if found := form.view.text("dataset_type"):
        if found.value == "corpus":
            form.note(found, "corpus is the only kind")
        else:
            why = "corpus is the only kind: write one text_template, and name the answer and lossOn in the manifest"
            form.work.trace.unmapped(found.path, why, blocks=True)
    if found := form.view.get("model_name"):
        form.work.trace.unmapped(found.path, "the tokenizer is the model's own", blocks=False)


def _is_chat(work: Work, view: View, place: str) -> bool:
    found = view.get("chat_template")
    if found is None or found.value is False:
        if found:
            work.trace.note(found.path, "off: columns are read")
        return False
    if found.value is True:
        work.trace.mapped(found.path, f"{place}.chat")
    else:
        why = "the tokenizer's own template is used: put this one into the model's folder as chat_template.jinja"
        work.trace.unmapped(found.path, why, blocks=True)
    return True


def _conversation(form: Form) -> None:
    for key in ("text_template", "text_cols"):
        form.note(form.view.get(key), "no effect beside chat_template")
    if column := form.view.text("message_col"):
        form.put(column, "column", column.value)


def _columns_and_template(form: Form) -> None:
    form.note(form.view.get("message_col"), "no effect without chat_template")
    template, written = form.view.text("text_template"), form.view.get("text_cols")
    names = texts(written.path, written.value) if written else ["text"]
    columns = [names] if isinstance(names, str) else names
    used = _fields(form, template) if template else None
    if template is None or used is None:
        form.put(written, "columns", columns)
        return
    first = [name for name in columns if name in used]
    form.put(None, "columns", first + [name for name in used if name not in first])
    form.put(template, "template", template.value)
    if written and first == columns:
        form.work.trace.mapped(written.path, f"{form.place}.columns")
    else:
        form.note(written, "no effect beside text_template, whose own columns are read")


def _fields(form: Form, template: Found) -> list[str] | None:
    """Returns the template's columns; None, and says so, when it has forms that only Python's str.format knows."""
    try:
        parts = [part[1:] for part in string.Formatter().parse(template.value) if part[1] is not None]
    except ValueError as error:
        raise InvalidManifest(
            f"the template is torn: {error}", where=show(template.path), hint="{{ for a brace"
        ) from error
    names = [str(name) for name, _, _ in parts]
    if not names or any(shape or change or not name or set(str(name)) & set(".[]") for name, shape, change in parts):
        why = "a template has columns in braces and nothing more: {column}"
        form.work.trace.unmapped(template.path, why, blocks=True)
        return None
    return list(dict.fromkeys(names))
