"""drop-layers: leaves out the last layers of a model, which tuning then makes up for (Gromov et al. 2024, arXiv:2403.17887)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from millwright_api.errors import InvalidManifest
from millwright_api.v1alpha1 import Target
from millwright_runner.artifact import HF, Artifact
from millwright_runner.models import ModelFacts
from millwright_runner.passes import Context, Pass


class DropLayers(Pass):
    """Leaves out the last layers of a model."""

    name: ClassVar[str] = "drop-layers"
    consumes: ClassVar[frozenset[str]] = frozenset({HF})
    produces: ClassVar[str] = HF
    libraries: ClassVar[tuple[str, ...]] = ("torch", "transformers")

    layers: int = Field(default=1, ge=1, le=1000, description="Layers to leave out, counted from the end. Default: 1.")

    def check(self, model: ModelFacts, target: Target) -> None:
        """Refuses to leave out all layers; nothing is loaded for that."""
        has = model.config["num_hidden_layers"]
        if self.layers >= has:
            raise InvalidManifest(f"{model.where} has {has} layers", where="layers", hint=f"possible: 1 to {has - 1}")

    def run(self, artifact: Artifact, context: Context) -> None:
        """Loads, cuts, saves."""
        context.tell("loading")
        import transformers  # takes seconds: only when the pass really runs

        trust = context.trust_remote_code
        model = transformers.AutoModelForCausalLM.from_pretrained(
            artifact.folder, dtype="auto", trust_remote_code=trust
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(artifact.folder, trust_remote_code=trust)
        decoder, config = model.get_decoder(), model.config
        keep = config.num_hidden_layers - self.layers
        decoder.layers = decoder.layers[:keep]
        config.num_hidden_layers = keep
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[:keep]
        context.stop.check("before saving")
        context.tell("saving")
        model.save_pretrained(context.folder)
        tokenizer.save_pretrained(context.folder)
        context.metrics["layers"] = keep
