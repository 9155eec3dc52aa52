"""What the API server last said of OptimizationJobs and their children: small objects, made once, never the whole JSON.

Versions only go forward: what arrives late (a list taken before an event, a watch's repetition, the answer to a write
that is overtaken) changes nothing. A uid that was deleted never comes back.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from millwright_operator import seen
from millwright_operator.observed import Body, Children, Key, Resource, SeenJob, SeenManifest, SeenPod

Kind = Literal["optimizationjobs", "jobs", "pods", "configmaps"]
KINDS: tuple[Kind, ...] = get_args(Kind)

REMEMBERED_DELETIONS = 4096

Seen = Resource | SeenJob | SeenPod | SeenManifest
Name = tuple[str, str]
"""Namespace and name."""

READERS: Mapping[Kind, Callable[[Body], Seen | None]] = {
    "optimizationjobs": seen.resource,
    "jobs": seen.job,
    "pods": seen.pod,
    "configmaps": seen.manifest,
}


class Entry(NamedTuple):
    """One object: its version, uid, whose it is, and what is kept of it."""

    version: int
    uid: str
    key: Key
    thing: Seen


@dataclass(frozen=True)
class Owed:
    """A version that a list had and the watch had not: a live watch delivers it within moments.

    Attributes:
        version: the least that has to come.
        since: when the list was taken, in seconds of the caller's clock.
    """

    version: int
    since: float


class Cache:
    """Objects by kind and name, children by the job they belong to."""

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[Name, Entry]] = {kind: {} for kind in KINDS}
        self._children: defaultdict[Key, dict[tuple[Kind, str], Seen]] = defaultdict(dict)
        self._deleted: OrderedDict[str, None] = OrderedDict()
        self._owed: dict[tuple[Kind, Name], Owed] = {}

    def put(self, kind: Kind, body: Body, *, watched: bool = False) -> Key | None:
        """Takes an object as it was seen.

        Args:
            kind: what it is.
            body: the object.
            watched: whether a watch brought it.

        Returns:
            Whose it is when this is news; None when it is not, or is nobody's.
        """
        meta = body.get("metadata") or {}
        name = _name(meta)
        version, uid = version_of(meta), str(meta.get("uid", ""))
        before = self._objects[kind].get(name)
        if watched and _settled(self._owed.get((kind, name)), version):
            del self._owed[kind, name]
        if uid in self._deleted or (before is not None and version <= before.version):
            return None
        thing = READERS[kind](body)
        key = Key(*name) if kind == "optimizationjobs" else seen.key(body)
        if thing is None or key is None:
            return before.key if before is not None and self._remove(kind, name) else None
        if before is not None and before.key != key:
            self._remove(kind, name)
        self._objects[kind][name] = Entry(version, uid, key, thing)
        if kind != "optimizationjobs":
            self._children[key][kind, name[1]] = thing
        return key

    def drop(self, kind: Kind, body: Body) -> Key | None:
        """Takes that an object is gone. Returns whose it was, or None when it was not known."""
        meta = body.get("metadata") or {}
        uid = str(meta.get("uid", ""))
        self._deleted[uid] = None
        if len(self._deleted) > REMEMBERED_DELETIONS:
            self._deleted.popitem(last=False)
        self._owed.pop((kind, _name(meta)), None)
        before = self._objects[kind].get(_name(meta))
        if before is None or before.uid != uid:
            return None
        self._remove(kind, _name(meta))
        return before.key

    def resource(self, key: Key) -> Resource | None:
        """Returns an OptimizationJob; None when there is none of that name."""
        entry = self._objects["optimizationjobs"].get((key.namespace, key.name))
        return entry.thing if entry is not None and isinstance(entry.thing, Resource) else None

    def resources(self) -> Iterator[Resource]:
        """Yields all OptimizationJobs."""
        for entry in self._objects["optimizationjobs"].values():
            if isinstance(entry.thing, Resource):
                yield entry.thing

    def children(self, key: Key) -> Children:
        """Returns all that carries a job's label, by name."""
        things = [thing for _, thing in sorted(self._children.get(key, {}).items(), key=lambda item: item[0])]
        return Children(
            jobs=tuple(thing for thing in things if isinstance(thing, SeenJob)),
            pods=tuple(thing for thing in things if isinstance(thing, SeenPod)),
            manifests=tuple(thing for thing in things if isinstance(thing, SeenManifest)),
        )

    def pod(self, namespace: str, name: str, uid: str) -> tuple[Key, SeenPod] | None:
        """Returns a pod of ours and whose it is; None when there is none of that name and uid."""
        entry = self._objects["pods"].get((namespace, name))
        if entry is None or entry.uid != uid or not isinstance(entry.thing, SeenPod):
            return None
        return entry.key, entry.thing

    def count(self, kind: Kind) -> int:
        """Returns how many objects of a kind are known."""
        return len(self._objects[kind])

    def compare(self, kind: Kind, namespace: str | None, bodies: Iterable[Body], version: int, now: float) -> set[Key]:
        """Takes a whole list, and finds what the watch has missed: news, and objects that are gone.

        Args:
            kind: of what.
            namespace: which was listed; None: all.
            bodies: all objects of that kind there.
            version: the list's own: an older object that is not in it is gone.
            now: in seconds of the caller's clock.

        Returns:
            The jobs that have news.
        """
        news: set[Key] = set()
        listed: set[Name] = set()
        for body in bodies:
            meta = body.get("metadata") or {}
            name = _name(meta)
            listed.add(name)
            if (key := self.put(kind, body)) is not None:
                news.add(key)
                self._owed[kind, name] = Owed(version_of(meta), now)
        known = self._objects[kind]
        for name in [n for n in known if namespace in (None, n[0]) and n not in listed and known[n].version <= version]:
            news.add(known[name].key)
            self._remove(kind, name)
        return news

    def silence(self, now: float) -> float:
        """Returns for how many seconds a watch has owed something that a list had; 0 when none does."""
        return now - min(owed.since for owed in self._owed.values()) if self._owed else 0.0

    def _remove(self, kind: Kind, name: Name) -> bool:
        entry = self._objects[kind].pop(name)
        self._owed.pop((kind, name), None)
        if kind != "optimizationjobs":
            things = self._children[entry.key]
            things.pop((kind, name[1]), None)
            if not things:
                del self._children[entry.key]
        return True


def version_of(meta: Mapping[str, Any]) -> int:
    """Returns an object's or a list's resourceVersion. They are numbers that grow; what is none counts as the oldest."""
    text = str(meta.get("resourceVersion", ""))
    return int(text) if text.isascii() and text.isdigit() else 0


def _settled(owed: Owed | None, version: int) -> bool:
    return owed is not None and version >= owed.version


def _name(meta: Mapping[str, Any]) -> Name:
    return str(meta.get("namespace", "")), str(meta.get("name", ""))
