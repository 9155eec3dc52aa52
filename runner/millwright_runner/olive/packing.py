"""How texts become token sequences: strategy, padding, what stands between two rows, and how many rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from millwright_api.errors import InvalidManifest, suggest
from millwright_runner.olive.trace import show
from millwright_runner.olive.view import Found, View
from millwright_runner.olive.work import Work

STRATEGIES = ("line-by-line", "line-by-line-random", "join", "join-random", "join-sliding-window")

AROUND = "Olive puts the tokenizer's begin and end tokens around each row; here the end token parts them"
CUT_LONG = "Olive cuts rows longer than maxLength; here they are left out and counted"


@dataclass
class Form:
    """A data set's form on its way into the manifest.

    Attributes:
        work: the import.
        view: Olive's options.
        place: the form's place in the manifest, such as `spec.data[0].text`.
        chat: whether rows are conversations.
        options: the manifest's options so far.
        strategy: Olive's name of the strategy, once `map_strategy` has found it.
    """

    work: Work
    view: View
    place: str
    chat: bool
    options: dict[str, Any] = field(default_factory=dict)
    strategy: str = "join"

    @property
    def joins(self) -> bool:
        """Whether the strategy puts all rows into one stream."""
        return self.strategy.startswith("join")

    def put(self, found: Found | None, key: str, value: Any) -> None:
        """Sets an option, and says which line it comes from."""
        self.options[key] = value
        if found:
            self.work.trace.mapped(found.path, f"{self.place}.{key}")

    def note(self, found: Found | None, text: str) -> None:
        """Notes a line that is written."""
        if found:
            self.work.trace.note(found.path, text)


def map_strategy(form: Form) -> None:
    """Maps the strategy with its shuffling and stride.

    Raises:
        InvalidManifest: Olive has no such strategy, or it lacks its stride.
    """
    found = form.view.text("strategy", "corpus_strategy")
    form.strategy = found.value if found else ("line-by-line" if form.work.era == "old" else "join")
    if form.strategy not in STRATEGIES:
        hint = suggest(form.strategy, STRATEGIES)
        raise InvalidManifest(f"{form.strategy!r} is no strategy", where=show(found.path) if found else None, hint=hint)
    form.put(found, "strategy", "join" if form.joins else "line-by-line")
    if found is None:
        form.work.trace.note((), f"Olive's default of {form.place}, written out: strategy {form.strategy}")
    _shuffle(form, found)
    stride = form.view.whole("stride")
    if form.strategy != "join-sliding-window":
        form.note(stride, f"no effect with {form.strategy}")
    elif stride is None:
        raise InvalidManifest("join-sliding-window needs stride", where=show(found.path) if found else None)
    else:
        form.put(stride, "stride", stride.value)
        form.note(stride, "Olive counts no loss on the overlap of two windows; here all of a window counts")


def _shuffle(form: Form, found: Found | None) -> None:
    seed = form.view.whole("random_seed")
    if not form.strategy.endswith("random"):
        form.note(seed, f"no effect with {form.strategy}")
        return
    how = "windows at random places" if form.joins else "rows with repetition"
    form.note(found, f"Olive draws {how}; here all rows are taken, in an order by shuffleSeed")
    form.put(seed, "shuffleSeed", seed.value if seed else 0)


def map_padding(form: Form) -> None:
    """Maps padding, and what becomes of rows that are too short or too long."""
    pad, drop = form.view.flag("pad_to_max_len"), form.view.flag("drop_short_sequences")
    if form.joins:
        form.note(pad, "join has nothing to pad")
        form.note(drop, "join has none, but for the last: Olive drops the rest that fills no window, here it is kept")
        return
    if pad:
        form.put(pad, "padding", "maxLength" if pad.value else "longest")
    if drop and drop.value:
        why = "rows shorter than maxLength are trained on: use join for full windows"
        form.work.trace.unmapped(drop.path, why, blocks=True)
    else:
        form.note(drop, "off, as here")
    form.work.trace.note((), f"{form.place}: {CUT_LONG}")


def map_separators(form: Form) -> None:
    """Maps what stands between two rows."""
    special, joiner = form.view.flag("add_special_tokens"), form.view.text("joiner")
    bare = form.chat or (special is not None and not special.value)
    if form.chat:
        form.note(special, "no effect beside a chat template, which has its own")
    if form.joins and bare:
        form.put(joiner, "joiner", joiner.value if joiner else ("" if form.work.era == "old" else "\n\n"))
        if special and not form.chat:
            form.work.trace.mapped(special.path, f"{form.place}.joiner")
        return
    if special and bare and not form.chat:
        form.work.trace.unmapped(special.path, "each row ends in the end-of-text token", blocks=True)
    elif form.joins:
        form.work.trace.note(special.path if special else (), AROUND if special else f"{form.place}: {AROUND}")
    elif not form.chat:
        form.note(special, "each row ends in the end-of-text token")
    if joiner and form.joins and joiner.value.strip():
        why = "the end-of-text token alone parts the rows; with add_special_tokens false this text does"
        form.work.trace.unmapped(joiner.path, why, blocks=False)
    else:
        form.note(
            joiner, "the end-of-text token alone parts the rows" if form.joins else f"no effect with {form.strategy}"
        )


def rows_read(form: Form, place: str) -> int | None:
    """Returns how many rows are read, or None for all; `place` is the data set's own in the manifest."""
    found = form.view.whole("max_samples")
    if found is None:
        return None
    if form.joins:
        why = "it counts windows, and a limit counts rows: set `limit` to as many rows as give them"
        form.work.trace.unmapped(found.path, why, blocks=True)
        return None
    form.work.trace.mapped(found.path, f"{place}.limit")
    return int(found.value)
