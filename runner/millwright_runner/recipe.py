"""A recipe without the libraries' versions: what a published model was made by, as an image without torch can compare it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from millwright_api.names import fingerprint
from millwright_api.v1alpha1 import Target
from millwright_runner.registry import BoundStep


@dataclass(frozen=True)
class Recipe:
    """What changes a result, but for the versions of libraries.

    Attributes:
        passes: names passes, options and target (64 hex digits).
        model: the model's digest; None where it is not known.
        data: digests of the data sets, in the order that passes refer to them; None where one is not known.
    """

    passes: str
    model: str | None
    data: tuple[str | None, ...]

    @classmethod
    def of(cls, steps: Sequence[BoundStep], target: Target, model: str, data: Mapping[str, str]) -> Recipe:
        """Makes a recipe.

        Args:
            steps: the passes with their options.
            target: what the model shall run on.
            model: the model's digest, or an empty text.
            data: data set's name → its digest, or an empty text.
        """
        named = [
            {
                "pass": step.pass_.name,
                "version": step.pass_.version,
                "options": step.pass_.key_options(),
                "data": sorted(step.pass_.data_refs()),
                "target": target.model_dump(mode="json") if step.pass_.uses_target else None,
            }
            for step in steps
        ]
        refs = [name for step in steps for _, name in sorted(step.pass_.data_refs().items())]
        return cls(fingerprint(named), model or None, tuple(data.get(name) or None for name in refs))

    def as_data(self) -> dict[str, Any]:
        """Returns it as it stands in a published model's manifest."""
        return {"passes": self.passes, "model": self.model, "data": list(self.data)}

    def differences(self, noted: Any) -> list[str]:
        """Returns in what a published model's recipe is another one: passes, model, data. What is not known on either
        side is taken for equal; so is all when nothing was noted."""
        if not isinstance(noted, dict):
            return []
        pairs = zip(self.data, noted.get("data", []), strict=False)
        differs = {
            "passes": noted.get("passes") != self.passes,
            "model": _differ(self.model, noted.get("model")),
            "data": any(_differ(own, other) for own, other in pairs),
        }
        return [part for part, is_other in differs.items() if is_other]


def _differ(own: str | None, other: str | None) -> bool:
    return own is not None and other is not None and own != other
