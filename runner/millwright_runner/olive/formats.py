"""pre_process_data_config → how rows become text."""

from __future__ import annotations

import string
from typing import Any

from millwright_api.errors import InvalidManifest, suggest
from millwright_runner.olive.model import task, trust
from millwright_runner.olive.table import load
from millwright_runner.olive.trace import show, wrong
from millwright_runner.olive.view import Found, View, fill, texts
from millwright_runner.olive.work import Work

STRATEGIES = ("line-by-line", "line-by-line-random", "join", "join-random", "join-sliding-window")


def text_format(work: Work, view: View, place: str) -> tuple[dict[str, Any], int | None]:
    """Returns {text: …} or {chat: …}, and how many rows are read, or None for all.

    Raises:
        InvalidManifest: a wrong type, or a strategy that Olive does not have.
    """
    section = load().sections["pre_process"]
    chat = _is_chat(work, view)
    prefix = f"{place}.{'chat' if chat else 'text'}"
    options = _chat(work, view, prefix) if chat else _text(work, view, prefix)
    flat = view.walk(section, prefix)
    if fill(section, work.era, flat):
        work.trace.note((), f"Olive's default of {place}, written out: maxLength {flat['maxLength']}")
    task(work, view)
    trust(work, view.get("trust_remote_code"))
    _kind(work, view)
    strategy = _strategy(work, view, prefix, options)
    options |= flat
    _padding(work, view, prefix, strategy, options)
    _separators(work, view, prefix, strategy, chat, options)
    return {"chat" if chat else "text": options}, _limit(work, view, place, strategy)


def _kind(work: Work, view: View) -> None:
    if found := view.text("dataset_type"):
        if found.value == "corpus":
            work.trace.note(found.path, "corpus is the only kind")
        else:
            work.trace.unmapped(found.path, "corpus is the only kind: write one text_template, answer and lossOn", blocks=True)
    if found := view.get("model_name"):
        work.trace.unmapped(found.path, "the tokenizer is the model's own", blocks=False)


def _is_chat(work: Work, view: View) -> bool:
    found = view.get("chat_template")
    if found is None:
        return False
    if isinstance(found.value, bool):
        if found.value:
            work.trace.mapped(found.path, "chat")
        else:
            work.trace.note(found.path, "off")
        return found.value
    why = "the tokenizer's own chat template is used: put this one into the model's folder as chat_template.jinja"
    work.trace.unmapped(found.path, why, blocks=True)
    return True


def _chat(work: Work, view: View, prefix: str) -> dict[str, Any]:
    for key in ("text_template", "text_cols"):
        if found := view.get(key):
            work.trace.note(found.path, "no effect beside chat_template")
    found = view.text("message_col")
    if found is None:
        return {}
    work.trace.mapped(found.path, f"{prefix}.column")
    return {"column": found.value}


def _text(work: Work, view: View, prefix: str) -> dict[str, Any]:
    if found := view.get("message_col"):
        work.trace.note(found.path, "no effect without chat_template")
    template, written = view.text("text_template"), view.get("text_cols")
    names = texts(written.path, written.value) if written else ["text"]
    columns = [names] if isinstance(names, str) else names
    used = _columns(work, template) if template else None
    if template is None or used is None:
        if written:
            work.trace.mapped(written.path, f"{prefix}.columns")
        return {"columns": columns}
    work.trace.mapped(template.path, f"{prefix}.template")
    if written and set(columns) <= set(used):
        work.trace.mapped(written.path, f"{prefix}.columns")
    elif written:
        work.trace.note(written.path, "no effect beside text_template, whose own columns are read")
    first = [name for name in columns if name in used]
    return {"columns": first + [name for name in used if name not in first], "template": template.value}


def _columns(work: Work, template: Found) -> list[str] | None:
    """Returns the template's columns, or None when it has forms that only Python's str.format knows."""
    try:
        fields = [(name, form, change) for _, name, form, change in string.Formatter().parse(template.value) if name is not None]
    except ValueError as error:
        raise InvalidManifest(f"the template is torn: {error}", where=show(template.path), hint="{{ for a brace") from error
    names = [name for name, form, change in fields]
    if not names or any(form or change or not name or set(name) & set(".[]") for name, form, change in fields):
        work.trace.unmapped(template.path, "a template has columns in braces and nothing more: {column}", blocks=True)
        return None
    return list(dict.fromkeys(names))


def _strategy(work: Work, view: View, prefix: str, options: dict[str, Any]) -> str:
    found = view.text("strategy", "corpus_strategy")
    strategy = found.value if found else ("line-by-line" if work.era == "old" else "join")
    if found is None:
        work.trace.note((), f"Olive's default of {prefix}, written out: strategy {strategy}")
    elif strategy not in STRATEGIES:
        raise InvalidManifest(f"{strategy!r} is no strategy", where=show(found.path), hint=suggest(strategy, STRATEGIES))
    else:
        work.trace.mapped(found.path, f"{prefix}.strategy")
    options["strategy"] = "join" if strategy.startswith("join") else "line-by-line"
    _shuffle(work, view, prefix, strategy, found, options)
    stride = view.whole("stride")
    if strategy == "join-sliding-window":
        if stride is None:
            raise InvalidManifest("join-sliding-window needs stride", where=show(found.path) if found else prefix)
        options["stride"] = stride.value
        work.trace.mapped(stride.path, f"{prefix}.stride")
        work.trace.note(stride.path, "Olive counts no loss on the overlap of two windows; here all of a window counts")
    elif stride:
        work.trace.note(stride.path, f"no effect with {strategy}")
    return strategy


def _shuffle(work: Work, view: View, prefix: str, strategy: str, found: Found | None, options: dict[str, Any]) -> None:
    seed = view.whole("random_seed")
    if found and strategy.endswith("random"):
        options["shuffleSeed"] = seed.value if seed else 0
        how = "draws rows with repetition" if strategy.startswith("line") else "draws windows at random places"
        work.trace.note(found.path, f"Olive {how}; here all rows are taken, in an order by shuffleSeed")
        if seed:
            work.trace.mapped(seed.path, f"{prefix}.shuffleSeed")
    elif seed:
        work.trace.note(seed.path, f"no effect with {strategy}")


def _padding(work: Work, view: View, prefix: str, strategy: str, options: dict[str, Any]) -> None:
    if pad := view.flag("pad_to_max_len"):
        if strategy.startswith("join"):
            work.trace.note(pad.path, "join has nothing to pad")
        else:
            options["padding"] = "maxLength" if pad.value else "longest"
            work.trace.mapped(pad.path, f"{prefix}.padding")
    if drop := view.flag("drop_short_sequences"):
        if drop.value and not strategy.startswith("join"):
            work.trace.unmapped(drop.path, "shorter rows are trained on, padded: use join for full windows", blocks=True)
        else:
            work.trace.note(drop.path, "join gives none" if drop.value else "off, as here")
    if not strategy.startswith("join"):
        work.trace.note((), f"{prefix}: Olive cuts rows longer than maxLength; here they are left out and counted")


def _separators(work: Work, view: View, prefix: str, strategy: str, chat: bool, options: dict[str, Any]) -> None:
    special, joiner = view.flag("add_special_tokens"), view.get("joiner")
    if joiner and not isinstance(joiner.value, str):
        wrong(joiner.path, joiner.value, "text")
    join, plain = strategy.startswith("join"), special is not None and not special.value
    if special and chat:
        work.trace.note(special.path, "no effect beside chat_template")
    elif special and join and plain:
        work.trace.mapped(special.path, f"{prefix}.joiner")
    elif special and plain:
        work.trace.unmapped(special.path, "each row ends in the end-of-text token", blocks=True)
    elif special:
        work.trace.note(special.path, "each row ends in the end-of-text token")
    if join and (plain or chat):
        options["joiner"] = joiner.value if joiner else ("" if work.era == "old" else "\n\n")
        if joiner:
            work.trace.mapped(joiner.path, f"{prefix}.joiner")
        return
    if join:
        text = "Olive puts the tokenizer's begin and end tokens around each row; here the end token parts the rows"
        work.trace.note(special.path if special else (), text if special else f"{prefix}: {text}")
    if joiner:
        why = "the end-of-text token alone parts the rows" if join else f"no effect with {strategy}"
        if join and joiner.value.strip():
            work.trace.unmapped(joiner.path, f"{why}; with add_special_tokens false this text does", blocks=False)
        else:
            work.trace.note(joiner.path, why)


def _limit(work: Work, view: View, place: str, strategy: str) -> int | None:
    found = view.whole("max_samples")
    if found is None:
        return None
    if strategy.startswith("join"):
        why = "it counts windows; a limit counts rows: set `limit` to as many rows as give them"
        work.trace.unmapped(found.path, why, blocks=True)
        return None
    work.trace.mapped(found.path, f"{place}.limit")
    return int(found.value)
