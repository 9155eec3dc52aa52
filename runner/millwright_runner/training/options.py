"""The options of training, as an engineer writes them. Each default says whose it is."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from millwright_api.base import Strict

Dtype = Literal["float32", "bfloat16", "float16"]

Scheduler = Literal[
    "linear", "cosine", "constant", "constant_with_warmup", "cosine_with_restarts", "polynomial", "inverse_sqrt"
]

Optimizer = Literal["adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "paged_adamw_32bit", "paged_adamw_8bit"]


class EarlyStopping(Strict):
    """Stops when the evaluation loss no longer falls, and keeps the best adapter."""

    patience: int = Field(
        default=3, ge=1, le=1000, description="Evaluations without a better loss before it stops. Default: 3."
    )
    threshold: float = Field(
        default=0.0, ge=0, description="How much lower a loss must be to count as better. Default: 0 (transformers')."
    )


class Training(Strict):
    """How the adapter is trained, by transformers' Trainer."""

    seed: int = Field(
        default=42, ge=0, le=2**32 - 1, description="Seed of initialisation and dropout. Default: 42 (transformers')."
    )
    data_seed: int | None = Field(
        default=None,
        ge=0,
        le=2**32 - 1,
        description="Seed of the order of batches and of the evaluation split. Default: seed.",
    )
    epochs: float = Field(default=3.0, gt=0, le=10000, description="Passes over the data. Default: 3 (transformers').")
    max_steps: int | None = Field(
        default=None, ge=1, le=100_000_000, description="Optimizer steps; overrides epochs. Default: as epochs give."
    )
    learning_rate: float = Field(
        default=2e-4, gt=0, le=10, description="Peak learning rate. Default: 2e-4 (QLoRA paper, Olive)."
    )
    scheduler: Scheduler = Field(
        default="linear", description="Course of the learning rate after warm-up. Default: linear (transformers')."
    )
    warmup_steps: int | None = Field(
        default=None, ge=0, le=10_000_000, description="Optimizer steps of warm-up. Default: warmupRatio decides."
    )
    warmup_ratio: float = Field(
        default=0.0, ge=0, lt=1, description="Share of all optimizer steps that is warm-up. Default: 0 (transformers')."
    )
    weight_decay: float = Field(
        default=0.0, ge=0, le=10, description="Decoupled weight decay. Default: 0 (transformers')."
    )
    max_grad_norm: float = Field(
        default=1.0, ge=0, description="Gradients are clipped to this norm; 0 is off. Default: 1.0 (transformers')."
    )
    per_device_train_batch_size: Annotated[int, Field(ge=1, le=4096)] | Literal["auto"] = Field(
        default="auto",
        description="Sequences in a micro-batch, 1 to 4096, or auto: gradientAccumulationSteps then counts single sequences, and as many "
        "of them share a micro-batch as memory allows: the same effective batch, in fewer passes. Default: auto.",
    )
    per_device_eval_batch_size: int = Field(
        default=8, ge=1, le=4096, description="Sequences in an evaluation batch. Default: 8 (transformers')."
    )
    gradient_accumulation_steps: int = Field(
        default=16,
        ge=1,
        le=65536,
        description="Micro-batches in one optimizer step. Default: 16 (QLoRA paper, Olive until 0.6).",
    )
    optimizer: Optimizer = Field(
        default="adamw_torch", description="Optimizer, by transformers' name. Default: adamw_torch."
    )
    adam_beta1: float = Field(default=0.9, ge=0, lt=1, description="Adam's beta1. Default: 0.9 (transformers').")
    adam_beta2: float = Field(default=0.999, ge=0, lt=1, description="Adam's beta2. Default: 0.999 (transformers').")
    adam_epsilon: float = Field(default=1e-8, gt=0, le=1, description="Adam's epsilon. Default: 1e-8 (transformers').")
    gradient_checkpointing: bool = Field(
        default=False,
        description="Compute activations again instead of keeping them: less memory, a third slower. Default: false (transformers').",
    )
    dtype: Dtype = Field(
        default="bfloat16",
        description="Type of the base weights and of the computation; the adapter stays float32. On CPUs without AMX float32 is "
        "faster. Default: bfloat16 (Olive's).",
    )
    logging_steps: int = Field(
        default=10,
        ge=1,
        le=1_000_000,
        description="Optimizer steps between two reports of the loss. Default: 10 (Olive until 0.6).",
    )
    eval_steps: int | None = Field(
        default=None,
        ge=1,
        le=10_000_000,
        description="Optimizer steps between two evaluations, when there are evaluation data. Default: once an epoch.",
    )
    group_by_length: bool = Field(
        default=False, description="Put sequences of like length into a batch. Default: false (transformers')."
    )
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="Label smoothing. Default: 0 (transformers').")
    early_stopping: EarlyStopping | None = Field(
        default=None, description="Stop when it no longer gets better. Default: off."
    )

    @model_validator(mode="after")
    def _one_warmup(self) -> Self:
        if self.warmup_steps is not None and self.warmup_ratio:
            raise ValueError("warmupSteps and warmupRatio are both given; one of them decides")
        return self

    @property
    def sequences_per_step(self) -> int:
        """Sequences in one optimizer step on one device, whatever the micro-batch."""
        size = self.per_device_train_batch_size
        return self.gradient_accumulation_steps * (1 if size == "auto" else size)
