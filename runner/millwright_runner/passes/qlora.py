"""qlora: lora on a base quantized to four bits (Dettmers et al. 2023, arXiv:2305.14314), by bitsandbytes."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from millwright_api.errors import InvalidModel
from millwright_api.v1alpha1 import Target
from millwright_runner.models import ModelFacts
from millwright_runner.passes import Estimate
from millwright_runner.passes.lora import Lora


class Qlora(Lora):
    """Trains a low-rank adapter while the base lies in memory in four bits; merging goes into the full base."""

    name: ClassVar[str] = "qlora"
    libraries: ClassVar[tuple[str, ...]] = (*Lora.libraries, "bitsandbytes")

    quant_type: Literal["nf4", "fp4"] = Field(
        default="nf4", description="Four-bit type of the base. Default: nf4 (QLoRA paper, Olive)."
    )
    double_quant: bool = Field(
        default=False,
        description="Quantize the quantization constants too: 0.4 bits a weight less. Default: false (Olive).",
    )
    compute_dtype: Literal["float32", "bfloat16", "float16"] | None = Field(
        default=None, description="Type that weights are unpacked to for computing. Default: training.dtype."
    )

    def needs(self) -> frozenset[str]:
        """Returns bitsandbytes: it quantizes the base."""
        return frozenset({"bitsandbytes"})

    def check(self, model: ModelFacts, target: Target) -> None:
        """Also refuses a base that is quantized already."""
        super().check(model, target)
        if "quantization_config" in model.config:
            raise InvalidModel(f"{model.where} is quantized already", hint="start from the full model, or use lora")

    def estimate(self, model: ModelFacts) -> Estimate:
        """As lora, the base at about 0.6 bytes a weight (four bits and a constant per 64 weights)."""
        adapter = self.adapter_parameters(model)
        return Estimate(memory=int(model.parameters * 0.6) + adapter * 16 + (512 << 20), disk=adapter * 4 * 4)

    def quantization(self) -> dict[str, Any]:
        """Returns the keyword arguments of transformers' BitsAndBytesConfig."""
        return {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": self.quant_type,
            "bnb_4bit_use_double_quant": self.double_quant,
            "bnb_4bit_compute_dtype": self.compute_dtype or self.training.dtype,
        }
