"""Reads YAML and JSON as kubectl does (sigs.k8s.io/yaml over go-yaml v2), and remembers the line of each value.

The same file must mean the same to `millwright run` and to a cluster. Where kubectl is lenient (duplicate keys, a
second document that it would read too, tags that turn into other types) this is strict: nothing is dropped in silence.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from millwright_api.errors import InvalidManifest
from millwright_runner import scalars
from millwright_runner.schema import Place

MAX_BYTES = 1 << 20
"""Largest document, in bytes: what Kubernetes' store takes."""

MAX_DEPTH, MAX_VALUES = 64, 50_000
"""Bounds on nesting and on values after aliases are expanded, so that no file can eat the machine."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Document:
    """A document's value, plain Python as from JSON, and the line (from 1) on which each of its places begins."""

    value: Any
    lines: dict[Place, int]


@dataclass
class _Node:
    """A piece of YAML before aliases are expanded: scalars have text, others have children."""

    line: int
    value: Any = None
    pairs: list[tuple[_Node, _Node]] | None = None
    items: list[_Node] | None = None
    merge: bool = False
    whole: bool = True


def read(raw: bytes, name: str) -> Document:
    """Reads one document.

    Args:
        raw: the file's content.
        name: what messages call the file.

    Raises:
        InvalidManifest: it is too large, not UTF-8, malformed, or more than one document.
    """
    if len(raw) > MAX_BYTES:
        raise InvalidManifest(
            f"{len(raw):,} bytes are too many for a manifest", where=name, hint=f"at most {MAX_BYTES:,}"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InvalidManifest(
            "this is no text in UTF-8", where=f"{name}:{line}", hint="expected YAML or JSON"
        ) from error
    try:
        return _Reader(name).read(text)
    except InvalidManifest:
        if text.lstrip()[:1] == "{" and (value := scalars.from_json(text)) is not None:
            return Document(value, {})  # JSON that YAML 1.1 cannot express: surrogate pairs, tabs
        raise


@dataclass
class _Reader:
    name: str
    anchors: dict[str, _Node] = field(default_factory=dict)
    lines: dict[Place, int] = field(default_factory=dict)
    values: int = 0

    def read(self, text: str) -> Document:
        """Returns the one document in a text."""
        try:
            documents = list(self._documents(yaml.parse(text, Loader=_LOADER)))
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            said = error.problem or error.context or "malformed"
            hint = "indent with spaces, not tabs" if _tab_at(text, mark) else None
            line = min(mark.line, text.rstrip().count("\n")) + 1 if mark else 1  # the end may lie behind the last line
            self._refuse(line, f"this is no YAML: {said}", hint)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            code = error.character if isinstance(error.character, int) else ord(error.character)
            self._refuse(line, f"the character {code:#04x} is not allowed in YAML", "expected YAML or JSON")
        full = [
            node for node in documents if node.pairs is not None or node.items is not None or node.value is not None
        ]
        if len(full) > 1:
            self._refuse(full[1].line, "a second document begins here", "one manifest to a file")
        return Document(self._value(full[0], (), 0) if full else None, self.lines)

    def _documents(self, events: Iterator[Any]) -> Iterator[_Node]:
        for event in events:
            if not isinstance(event, yaml.DocumentEndEvent | yaml.StreamStartEvent | yaml.StreamEndEvent):
                if isinstance(event, yaml.DocumentStartEvent):
                    self.anchors = {}
                else:
                    yield self._compose(event, events, 0)

    def _compose(self, event: Any, events: Iterator[Any], depth: int) -> _Node:
        node = _Node(event.start_mark.line + 1)
        if depth > MAX_DEPTH:
            self._refuse(node.line, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._aliased(str(event.anchor), node.line)
        if event.anchor:
            self.anchors[event.anchor] = node
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._refuse(node.line, f"the tag {tag} is not supported", "write the value without it")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, node)
        node.whole = False
        children = []
        while not isinstance(following := next(events), yaml.MappingEndEvent | yaml.SequenceEndEvent):
            children.append(self._compose(following, events, depth + 1))
        if isinstance(event, yaml.MappingStartEvent):
            node.pairs = list(zip(children[::2], children[1::2], strict=True))
        else:
            node.items = children
        node.whole = True
        return node

    def _aliased(self, anchor: str, line: int) -> _Node:
        found = self.anchors.get(anchor)
        if found is None:
            self._refuse(
                line, f"*{anchor} refers to no anchor", f"anchors: {', '.join(self.anchors)}" if self.anchors else None
            )
        if not found.whole:
            self._refuse(line, f"*{anchor} contains itself")
        return found

    def _scalar(self, event: Any, node: _Node) -> _Node:
        if not event.implicit[0] or event.tag:  # quoted, a block of text, or tagged as text
            node.value = event.value
            return node
        node.merge = event.value == "<<"
        try:
            node.value = scalars.scalar(event.value)
        except ValueError as error:
            self._refuse(node.line, str(error))
        return node

    def _value(self, node: _Node, path: Place, depth: int) -> Any:
        self.values += 1
        self._within_bounds(node.line, depth)
        self.lines.setdefault(path, node.line)
        if node.items is not None:
            return [self._value(item, (*path, index), depth + 1) for index, item in enumerate(node.items)]
        if node.pairs is None:
            return node.value
        result: dict[str, Any] = {}
        for key, child in self._pairs(node, 0):
            name = self._key(key)
            if name in result:
                self._refuse(key.line, f"the key {name!r} is given twice")
            self.lines[(*path, name)] = key.line
            result[name] = self._value(child, (*path, name), depth + 1)
        return result

    def _pairs(self, node: _Node, depth: int) -> Iterator[tuple[_Node, _Node]]:
        """Yields a mapping's pairs; `<<` stands for those of the mappings that it names."""
        for key, child in node.pairs or ():
            if not key.merge:
                yield key, child
                continue
            for source in [child] if child.items is None else child.items:
                self.values += 1
                if source.pairs is None:
                    self._refuse(key.line, "<< takes a mapping or a list of mappings")
                self._within_bounds(key.line, depth)
                yield from self._pairs(source, depth + 1)

    def _key(self, node: _Node) -> str:
        value = node.value
        if node.pairs is not None or node.items is not None or value is None:
            self._refuse(node.line, "a key is text, not null, a list or a mapping")
        return value if isinstance(value, str) else json.dumps(value)

    def _within_bounds(self, line: int, depth: int) -> None:
        if self.values > MAX_VALUES or depth > MAX_DEPTH:
            self._refuse(line, f"more than {MAX_VALUES:,} values or {MAX_DEPTH} levels once its aliases are expanded")

    def _refuse(self, line: int, message: str, hint: str | None = None) -> NoReturn:
        raise InvalidManifest(message, where=f"{self.name}:{line}", hint=hint)


def _tab_at(text: str, mark: Any) -> bool:
    lines = text.splitlines()
    return mark is not None and mark.line < len(lines) and "\t" in lines[mark.line][: mark.column + 1]
