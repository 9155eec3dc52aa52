"""lora: fine-tunes a model by low-rank adapters (Hu et al. 2021, arXiv:2106.09685), with peft and transformers' Trainer."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from millwright_api.errors import InvalidModel
from millwright_api.v1alpha1 import Target
from millwright_runner.artifact import HF, HF_ADAPTER, Artifact
from millwright_runner.models import ModelFacts, linear_modules
from millwright_runner.passes import Context, DataRef, Estimate, Pass
from millwright_runner.training.options import Training

ModuleName = Annotated[str, StringConstraints(min_length=1, max_length=256)]
ModuleNames = Annotated[list[ModuleName], Field(max_length=256)]

DEFAULT_TARGETS: dict[str, list[str]] = {
    "bloom": ["query_key_value"],
    "falcon": ["query_key_value"],
    "gemma": ["q_proj", "v_proj"],
    "gemma2": ["q_proj", "v_proj"],
    "gemma3_text": ["q_proj", "v_proj"],
    "gpt2": ["c_attn"],
    "gpt_neox": ["query_key_value"],
    "llama": ["q_proj", "v_proj"],
    "mistral": ["q_proj", "v_proj"],
    "mixtral": ["q_proj", "v_proj"],
    "opt": ["q_proj", "v_proj"],
    "phi": ["q_proj", "v_proj", "fc1", "fc2"],
    "phi3": ["o_proj", "qkv_proj"],
    "qwen2": ["q_proj", "v_proj"],
    "qwen3": ["q_proj", "v_proj"],
    "stablelm": ["q_proj", "v_proj"],
}
"""Modules that are adapted when none are named, by model type: peft's table (a test compares), and for phi3, which
it lacks, those of Microsoft's published Phi-3 recipe. Other types get all linear modules, as QLoRA's authors advise."""


class Lora(Pass):
    """Trains a low-rank adapter on the model; the base stays as it is."""

    name: ClassVar[str] = "lora"
    consumes: ClassVar[frozenset[str]] = frozenset({HF})
    produces: ClassVar[str] = HF_ADAPTER
    libraries: ClassVar[tuple[str, ...]] = ("torch", "transformers", "peft")
    uses_accelerator: ClassVar[bool] = True

    r: int = Field(
        default=64, ge=1, le=4096, description="Rank of the adapter's matrices. Default: 64 (QLoRA paper, Olive)."
    )
    alpha: float = Field(
        default=16, gt=0, le=65536, description="Scale: the update counts alpha / r. Default: 16 (QLoRA paper, Olive)."
    )
    dropout: float = Field(default=0.05, ge=0, lt=1, description="Dropout before the adapter. Default: 0.05 (Olive).")
    bias: Literal["none", "all", "lora_only"] = Field(
        default="none", description="Biases that are trained too. Default: none (peft's)."
    )
    target_modules: ModuleNames | ModuleName | None = Field(
        default=None,
        description="Modules to adapt: names (their last parts), a regular expression over whole names, or all-linear. "
        "Default: the architecture's usual ones.",
    )
    modules_to_save: list[ModuleName] = Field(
        default=[],
        max_length=64,
        description="Modules trained in full and saved with the adapter, e.g. lm_head. Default: none.",
    )
    use_dora: bool = Field(
        default=False, description="Weight-decomposed adapters (DoRA, arXiv:2402.09353). Default: false."
    )
    use_rslora: bool = Field(
        default=False, description="Scale by alpha / sqrt(r) instead (rsLoRA, arXiv:2312.03732). Default: false."
    )
    initialization: Literal["default", "gaussian", "pissa", "olora", "orthogonal"] = Field(
        default="default",
        description="How the adapter starts; default: Kaiming-uniform A, zero B (peft's). Default: default.",
    )
    train_data: DataRef = Field(description="Data set to train on, by its name in spec.data.")
    eval_data: DataRef | None = Field(
        default=None, description="Data set to compute the evaluation loss on. Default: none."
    )
    eval_fraction: float | None = Field(
        default=None, gt=0, lt=1, description="Share of the training sequences held back for evaluation. Default: none."
    )
    eval_size: int | None = Field(
        default=None,
        ge=1,
        le=100_000_000,
        description="Number of training sequences held back for evaluation. Default: none.",
    )
    training: Training = Field(default=Training(), description="How it is trained.")

    @model_validator(mode="after")
    def _one_source_of_evaluation(self) -> Self:
        sources = {"evalData": self.eval_data, "evalFraction": self.eval_fraction, "evalSize": self.eval_size}
        given = [name for name, value in sources.items() if value is not None]
        if len(given) > 1:
            raise ValueError(f"at most one of {', '.join(sources)}; {' and '.join(given)} are given")
        if not given:
            for option, value in (
                ("earlyStopping", self.training.early_stopping),
                ("evalSteps", self.training.eval_steps),
            ):
                if value is not None:
                    raise ValueError(f"training.{option} needs evaluation data: one of {', '.join(sources)}")
        return self

    def targets(self, model_type: str) -> list[str] | str:
        """Returns the modules to adapt, as peft takes them."""
        if self.target_modules is not None:
            return self.target_modules
        return DEFAULT_TARGETS.get(model_type, "all-linear")

    def needs(self) -> frozenset[str]:
        """Returns bitsandbytes where the optimizer is its."""
        return frozenset({"bitsandbytes"} if self.training.optimizer.startswith("paged_") else ())

    def check(self, model: ModelFacts, target: Target) -> None:
        """Refuses target modules and modules to save that match nothing."""
        linear = linear_modules(model)
        wanted = self.targets(model.model_type)
        if not any(True for _ in matching(wanted, linear)):
            raise InvalidModel(
                f"{wanted!r} matches no linear module of {model.where}", where="targetModules", hint=possible(linear)
            )
        names = [wanted] if isinstance(wanted, str) else wanted
        for option, patterns, modules in (
            ("targetModules", [n for n in names if isinstance(wanted, list)], linear),
            ("modulesToSave", self.modules_to_save, [*linear, *(n.rpartition(".")[0] for n in model.tensors)]),
        ):
            for pattern in patterns:
                if not any(True for _ in matching([pattern], modules)):
                    raise InvalidModel(
                        f"{pattern!r} matches no module of {model.where}", where=option, hint=possible(modules)
                    )

    def estimate(self, model: ModelFacts) -> Estimate:
        """The base in the training type, the adapter with Adam's two moments and gradient, and activations of a batch."""
        width = {"float32": 4, "bfloat16": 2, "float16": 2}[self.training.dtype]
        adapter = self.adapter_parameters(model)
        return Estimate(memory=model.parameters * width + adapter * 16 + (512 << 20), disk=adapter * 4 * 4)

    def adapter_parameters(self, model: ModelFacts) -> int:
        """Returns how many numbers the adapter has: r × (in + out) for each adapted module."""
        linear = linear_modules(model)
        chosen = set(matching(self.targets(model.model_type), linear))
        return sum(self.r * sum(model.tensors[f"{name}.weight"]) for name in chosen)

    def peft_options(self, model_type: str) -> dict[str, Any]:
        """Returns the keyword arguments of peft's LoraConfig."""
        start: bool | str = True if self.initialization == "default" else self.initialization
        return {
            "r": self.r,
            "lora_alpha": self.alpha if not float(self.alpha).is_integer() else int(self.alpha),
            "lora_dropout": self.dropout,
            "bias": self.bias,
            "target_modules": self.targets(model_type),
            "modules_to_save": self.modules_to_save or None,
            "use_dora": self.use_dora,
            "use_rslora": self.use_rslora,
            "init_lora_weights": start,
            "task_type": "CAUSAL_LM",
        }

    def quantization(self) -> dict[str, Any] | None:
        """Returns the keyword arguments of transformers' BitsAndBytesConfig, or None for a base that stays as it is."""
        return None

    def run(self, artifact: Artifact, context: Context) -> None:
        """Trains; the folder then holds adapter_config.json and adapter_model.safetensors."""
        from millwright_runner.training.adapter import train_adapter

        train_adapter(self, artifact, context)


def matching(wanted: list[str] | str, modules: list[str]) -> list[str]:
    """Returns the modules that peft would adapt: the last parts of names, a full match of a pattern, or all-linear."""
    if wanted == "all-linear":
        return modules
    if isinstance(wanted, str):
        try:
            pattern = re.compile(wanted)
        except re.error as error:
            raise InvalidModel(f"{wanted!r} is no regular expression: {error}", where="targetModules") from error
        return [m for m in modules if pattern.fullmatch(m)]
    return [m for m in modules if any(m == name or m.endswith(f".{name}") for name in wanted)]


def possible(modules: list[str]) -> str:
    """Returns a hint with the last parts of all modules' names."""
    return f"there are {', '.join(sorted({m.rpartition('.')[2] for m in modules if m}))}, or all-linear"
