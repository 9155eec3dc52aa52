"""What became of each leaf of Olive's JSON: mapped, noted, or not taken over. Nothing is dropped in silence, because a
leaf that nobody judged is listed as not taken over.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from millwright_api.errors import InvalidManifest

Path = tuple[str | int, ...]
"""Keys and list indices from the JSON's root."""

SECRET_KEY = re.compile(
    r"(^|[_-])(tokens?|passwords?|passwd|secrets?|sas|credentials?|(api|access|account|shared|private)[_-]?keys?"
    r"|connection[_-]?strings?)$",
    re.IGNORECASE,
)
SECRET_VALUE = re.compile(
    r"\bhf_\w{8,}|[?&]sig=|AccountKey=|SharedAccessSignature|://[^/@\s]+:[^/@\s]+@|-----BEGIN", re.IGNORECASE
)
MASK, SHOWN = "***", 100


@dataclass(frozen=True)
class Unmapped:
    """A line of the JSON that was not taken over.

    Attributes:
        path: where it is, such as `systems.aml.config.aml_compute`.
        value: what it says, as JSON, secrets masked, cut to 100 characters.
        why: why not, or what will be done with it.
        blocks: whether the result would differ from Olive's without it.
    """

    path: str
    value: str
    why: str
    blocks: bool

    def __str__(self) -> str:
        return f"{self.path} = {self.value}: {self.why}"


@dataclass(frozen=True)
class Note:
    """Something that a person should know about the import; `path` is empty where it is about no single line."""

    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}" if self.path else self.text


class Trace:
    """Keeps account of the leaves: scalars, empty containers, and lists of scalars."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._order = {path: index for index, (path, _) in enumerate(leaves(config))}
        self._leaves = dict(leaves(config))
        self._open = dict(self._leaves)
        self._unmapped: list[tuple[int, Unmapped]] = []
        self._possible: dict[Path, set[str]] = {}
        self._notes: list[tuple[int, Note]] = []
        self.mapped_to: dict[str, str] = {}
        """The JSON's path → the manifest's, of what was taken over."""
        self.origins: dict[str, str] = {}
        """The manifest's path → the JSON's."""

    def mapped(self, path: Path, *to: str) -> None:
        """What lies at or below `path` went to these places of the manifest."""
        for leaf, _ in self._settle(path):
            self.mapped_to[show(leaf)] = ", ".join(to)
        self.origins.update(dict.fromkeys(to, show(path)))

    def note(self, path: Path, text: str) -> None:
        """What lies at or below `path` asks for nothing in the manifest; or, where it was mapped, deserves a word.

        An empty path is a word about the whole.
        """
        if path:
            self._settle(path)
        place = next((index for leaf, index in self._order.items() if leaf[: len(path)] == path), 0)
        self._notes.append((place if path else len(self._order), Note(show(path), text)))

    @property
    def notes(self) -> list[Note]:
        """The notes in the JSON's order, then those about the whole; each once, whatever of it became several steps."""
        return list(dict.fromkeys(note for _, note in sorted(self._notes, key=lambda entry: entry[0])))

    def unmapped(self, path: Path, why: str, *, blocks: bool) -> None:
        """What lies at or below `path` is not taken over; one line per leaf."""
        for leaf, value in self._settle(path):
            self._unmapped.append((self._order[leaf], Unmapped(show(leaf), shown(leaf, value), why, blocks)))

    def covered(self, path: Path) -> None:
        """What lies at or below `path` is spoken of by a note on what is around it."""
        self._settle(path)

    def retract(self, path: Path) -> None:
        """What was taken over at or below `path` turned out not to do: it is open again."""
        for leaf, value in self._leaves.items():
            if leaf[: len(path)] == path and self.mapped_to.pop(show(leaf), ""):
                self._open[leaf] = value

    def is_open(self, path: Path) -> bool:
        """Whether something at or below `path` is not judged yet."""
        return any(leaf[: len(path)] == path for leaf in self._open)

    def possible(self, path: Path, names: Iterable[str]) -> None:
        """Says which keys a mapping may have, for suggestions."""
        self._possible.setdefault(path, set()).update(names)

    def finish(self) -> list[Unmapped]:
        """Lists what nobody judged as well, and returns all lines that were not taken over, in the JSON's order."""
        self._leave((), blocks=True)
        return [line for _, line in sorted(self._unmapped, key=lambda entry: entry[0])]

    def rest(self, path: Path) -> None:
        """What nobody judged at or below `path`, where nothing makes the model another one."""
        self._leave(path, blocks=False)

    def _leave(self, path: Path, *, blocks: bool) -> None:
        for leaf, value in [(leaf, value) for leaf, value in self._open.items() if leaf[: len(path)] == path]:
            if value in (None, {}, []) and leaf[-1] in self._possible.get(leaf[:-1], set()):
                self.note(leaf, "nothing is set")
            else:
                self.unmapped(leaf, self._unknown(leaf), blocks=blocks)

    def _settle(self, path: Path) -> list[tuple[Path, Any]]:
        below = [leaf for leaf in self._open if leaf[: len(path)] == path]
        return [(leaf, self._open.pop(leaf)) for leaf in below]

    def _unknown(self, leaf: Path) -> str:
        for end in range(len(leaf) - 1, -1, -1):
            names, key = self._possible.get(leaf[:end], set()), str(leaf[end])
            if key in names:
                return "written in a form, or beside another key, that leaves it without a meaning"
            if names:
                close = difflib.get_close_matches(key, sorted(names), n=1, cutoff=0.7)
                return f"unknown key{f': did you mean {close[0]!r}?' if close else ''}"
        return "unknown key"


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yields each leaf with its path."""
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from leaves(below, (*path, key))
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


@functools.lru_cache(maxsize=4096)
def show(path: Path) -> str:
    """Returns a path as a person writes it: `data_configs[0].load_dataset_config.split`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"[\w-]+", part):
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part, ensure_ascii=False)}]"
    return text


def shown(path: Path, value: Any) -> str:
    """Returns a value as one line of JSON: masked when its key or its look says it is a secret, and cut."""
    text = json.dumps(value, ensure_ascii=False)
    named = any(isinstance(part, str) and SECRET_KEY.search(part) for part in path)
    if (named and value not in (None, True, False, [], {})) or SECRET_VALUE.search(text):
        return MASK
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def wrong(path: Path, value: Any, wanted: str, hint: str | None = None) -> NoReturn:
    """Raises InvalidManifest: the value at `path` is not what is wanted there."""
    raise InvalidManifest(f"{shown(path, value)} is no {wanted}", where=show(path) or "the file", hint=hint)
