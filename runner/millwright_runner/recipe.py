"""A recipe without the libraries' versions: what a published model was made by, as an image without torch can compare it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from millwright_api.errors import OutputExists
from millwright_api.names import fingerprint
from millwright_api.search import Search
from millwright_api.v1alpha1 import OptimizationJob, Target
from millwright_runner.published import Published
from millwright_runner.registry import BoundStep

_HOW = {"parallel_trials", "max_failed_trials", "keep"}
"""Of a search: how it goes and what is kept of it, not which trials there are to choose from."""


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
    def of(
        cls,
        steps: Sequence[BoundStep],
        target: Target,
        model: str,
        data: Mapping[str, str],
        search: Search | None = None,
    ) -> Recipe:
        """Makes a recipe.

        Args:
            steps: the passes with their options.
            target: what the model shall run on.
            model: the model's digest, or an empty text.
            data: data set's name → its digest, or an empty text.
            search: what is tried of the passes; None: nothing, they run as they are.
        """
        named: Any = [
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
        if search is not None:
            named = [named, search.model_dump(mode="json", exclude=_HOW)]
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


def refuse_other_recipe(
    job: OptimizationJob,
    steps: Sequence[BoundStep],
    published: Published | None,
    where: str,
    *,
    model: str,
    data: Mapping[str, str],
) -> None:
    """Refuses an output that holds the result of another recipe, or of another search.

    Whether the same recipe gives the very same result depends on the runner's libraries, which is seen by the cache key; and which
    trial of the same search is best may depend on the machine.

    Args:
        job: the manifest.
        steps: its passes.
        published: what the output holds.
        where: the output, for messages.
        model: the model's digest, or an empty text.
        data: data set's name → its digest, or an empty text.

    Raises:
        OutputExists: with what differs.
    """
    if published is None or job.spec.output.replace:
        return
    own = Recipe.of(steps, job.spec.target, model, data, job.spec.search)
    noted = published.meta.get("recipe")
    others = own.differences(noted if job.spec.search is None else searched(published))
    if others:
        raise OutputExists(
            f"it holds another result ({published.fingerprint[:12]}, of {published.meta.get('job', 'another job')}): "
            f"{' and '.join(others)} differ",
            where=where,
            hint="set spec.output.replace: true, or choose another output",
        )


def searched(published: Published) -> Any:
    """Returns the recipe of the search that a published model was found by, as `Recipe.differences` takes it; without a search
    one that is none's."""
    noted = published.meta.get("search")
    return noted.get("recipe", {}) if isinstance(noted, dict) else {}


def _differ(own: str | None, other: str | None) -> bool:
    return own is not None and other is not None and own != other
