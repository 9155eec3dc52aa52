"""merge: adds an adapter's update into its base's weights, by peft."""

from __future__ import annotations

import shutil
from typing import ClassVar, Literal

from pydantic import Field

from millwright_api.errors import InvalidModel
from millwright_runner.artifact import HF, HF_ADAPTER, Artifact
from millwright_runner.models import ModelFacts
from millwright_runner.passes import Context, Estimate, Pass


class Merge(Pass):
    """Adds the adapter into the base: a whole model again, that needs no peft to run."""

    name: ClassVar[str] = "merge"
    consumes: ClassVar[frozenset[str]] = frozenset({HF_ADAPTER})
    produces: ClassVar[str] = HF
    libraries: ClassVar[tuple[str, ...]] = ("torch", "transformers", "peft")

    dtype: Literal["float32", "bfloat16", "float16"] | None = Field(
        default=None, description="Type of the merged weights. Default: the base's own."
    )

    def estimate(self, model: ModelFacts) -> Estimate:
        """The base in memory, and a copy of it on disk."""
        return Estimate(memory=model.bytes + (512 << 20), disk=model.files)

    def run(self, artifact: Artifact, context: Context) -> None:
        """Merges; the folder then holds the model with its base's tokenizer."""
        from millwright_runner.training.loading import heavy_imports, load_model

        with heavy_imports():
            import peft
            import torch

        base = artifact.base
        if base is None:
            raise InvalidModel("the adapter does not say what it sits on", where=str(artifact.folder))
        context.tell("loading")
        # On the CPU: the sum is cheap, and a GPU that holds nothing else is not needed for it.
        model = load_model(base.folder, self.dtype or "auto", context.trust_remote_code, device="cpu")
        with torch.no_grad():
            context.tell("merging")
            adapted = peft.PeftModel.from_pretrained(model, str(artifact.folder))
            try:
                merged = adapted.merge_and_unload(safe_merge=True)
            except ValueError as error:  # what safe_merge is for
                raise InvalidModel(f"the merged weights are no numbers: {error}", where=str(artifact.folder)) from error
        context.stop.check("while merging")
        context.tell("saving")
        merged.save_pretrained(str(context.folder))
        copy_companions(base, context)


def copy_companions(base: Artifact, context: Context) -> None:
    """Copies what a model's folder has besides weights and what save_pretrained wrote: tokenizer, chat template, code."""
    for file in sorted(base.folder.iterdir()):
        known = file.suffix in {".json", ".txt", ".model", ".jinja"} or (
            file.suffix == ".py" and context.trust_remote_code
        )
        if (
            file.is_file()
            and known
            and not file.name.endswith(".index.json")
            and not (context.folder / file.name).exists()
        ):
            shutil.copyfile(file, context.folder / file.name)
