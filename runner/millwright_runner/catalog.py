"""Kinds of things that packages bring, by name: entry points of one group, each a class."""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from millwright_api.base import Strict
from millwright_api.errors import InvalidManifest, UserError, suggest
from millwright_runner.problems import describe

OWN_PACKAGE = "millwright_runner."

T = TypeVar("T", bound=Strict)


@dataclass(frozen=True)
class Catalog(Generic[T]):
    """The installed classes of one group.

    Attributes:
        group: the group of entry points.
        base: what each of them derives from; it has a `name`.
        noun: what messages call one: pass, metric.
        unknown: raised where there is none of a name.
    """

    group: str
    base: type[T]
    noun: str
    unknown: type[UserError]

    def names(self) -> list[str]:
        """Returns the names of all that are installed, sorted."""
        return sorted(_entry_points(self.group))

    def is_builtin(self, name: str) -> bool:
        """Whether one comes with Millwright: those have a key of their own in a manifest, others are `custom`."""
        return _entry_points(self.group)[name].value.startswith(OWN_PACKAGE)

    def builtin(self) -> dict[str, type[T]]:
        """Returns those that come with Millwright, by name, sorted."""
        return {name: self.get(name) for name in self.names() if self.is_builtin(name)}

    @functools.cache  # noqa: B019 - there is one of each, and it lives as long as the process
    def get(self, name: str) -> type[T]:
        """Returns a class by its name.

        Raises:
            UserError: `unknown`: none of that name is installed, or what is installed is broken.
        """
        entry = _entry_points(self.group).get(name)
        if entry is None:
            raise self.unknown(f"no {self.noun} is called {name!r}", hint=suggest(name, self.names()))
        try:
            found: Any = entry.load()
        except Exception as error:
            raise self.unknown(f"the {self.noun} {name!r} ({entry.value}) cannot be imported: {error}") from error
        if not (isinstance(found, type) and issubclass(found, self.base) and getattr(found, "name", None) == name):
            raise self.unknown(f"{entry.value} is registered as {name!r} and is no {self.noun} of that name")
        return found

    def chosen(self, name: str, *, custom: bool, where: str) -> type[T]:
        """Returns the class that a manifest names.

        Args:
            name: as it stands there.
            custom: whether it stands in the plug-in form, as `custom: {pass: NAME}`.
            where: its path in the manifest.

        Raises:
            UserError: `unknown`, with the path.
        """
        try:
            kind = self.get(name)
        except UserError as error:
            raise self.unknown(error.message, where=where, hint=error.hint) from error
        if not custom and not self.is_builtin(name):
            raise self.unknown(
                f"{name!r} is a plug-in",
                where=where,
                hint=f"write custom: {{{self.noun}: {name}, options: {{...}}}}",
            )
        return kind


def parse(kind: type[T], options: dict[str, Any], where: str) -> T:
    """Makes an object of its options.

    Raises:
        InvalidManifest: all that is wrong with them, one line each.
    """
    try:
        return kind.model_validate(options)
    except ValidationError as error:
        raise InvalidManifest(describe(error, kind, where)) from error


def raise_all(problems: Sequence[InvalidManifest]) -> None:
    """Raises what is wrong in one place as it is, and what is wrong in several together, one line each."""
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise InvalidManifest("\n".join(map(str, problems)))


@functools.cache
def _entry_points(group: str) -> dict[str, importlib.metadata.EntryPoint]:
    return {entry.name: entry for entry in importlib.metadata.entry_points(group=group)}
