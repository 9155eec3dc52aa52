"""Trains an adapter: the model, peft's wrapper, transformers' Trainer, and going on from a checkpoint."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millwright_api.errors import InvalidManifest, InvalidModel
from millwright_runner.artifact import Artifact
from millwright_runner.data.sequences import PackedSequences, Part, split
from millwright_runner.passes import Context
from millwright_runner.training.batches import collator, micro_batch

if TYPE_CHECKING:
    from millwright_runner.passes.lora import Lora


def train_adapter(options: Lora, artifact: Artifact, context: Context) -> None:
    """Trains and leaves the adapter in `context.folder`.

    Raises:
        InvalidData: fewer sequences than an evaluation split needs, or a loss that is no number.
        InvalidModel: an architecture that peft cannot adapt.
        Stopped: a stop was asked for; a checkpoint is saved.
    """
    train, held_back = sequences(options, context)
    check_tokens(artifact, context)
    context.tell("loading libraries")
    from millwright_runner.training.loading import device_name, heavy_imports

    with heavy_imports():
        import peft  # noqa: F401
        import torch
        import transformers
        from transformers import AutoModelForCausalLM, Trainer  # noqa: F401

    context.stop.check("before training began; there is no checkpoint yet")
    device = device_name()
    if options.training.dtype == "float16" and device == "cpu":
        raise InvalidManifest("float16 trains on CUDA only", where="training.dtype", hint="here: float32 or bfloat16")
    transformers.set_seed(options.training.seed)
    size = options.training.per_device_train_batch_size
    longest = train.format.max_length
    micro = micro_batch(options.training.sequences_per_step, longest, device) if size == "auto" else int(size)
    while True:
        try:
            return _train(options, artifact, context, Setup(train, held_back, micro, device))
        except torch.OutOfMemoryError:
            if size != "auto" or micro == 1:
                raise InvalidManifest(
                    f"the GPU's memory does not hold a micro-batch of {micro} × {longest} tokens",
                    where="training.perDeviceTrainBatchSize",
                    hint="lower it or maxLength, or set gradientCheckpointing",
                ) from None
        micro = max(n for n in range(1, micro) if options.training.sequences_per_step % n == 0)
        torch.cuda.empty_cache()


def sequences(options: Lora, context: Context) -> tuple[PackedSequences | Part, PackedSequences | Part | None]:
    """Returns the sequences to train on, and those to evaluate on or None.

    Raises:
        InvalidData: an evaluation split leaves one side empty.
    """
    train = context.data[options.train_data]
    if options.eval_data is not None:
        return train, context.data[options.eval_data]
    if options.eval_fraction is None and options.eval_size is None:
        return train, None
    seed = options.training.seed if options.training.data_seed is None else options.training.data_seed
    return split(train, eval_fraction=options.eval_fraction, eval_size=options.eval_size, seed=seed)


def check_tokens(artifact: Artifact, context: Context) -> None:
    """Refuses tokens that the model has no embedding for: torch would break in the middle, without a name for it.

    Raises:
        InvalidModel: the tokenizer is another model's.
    """
    known = json.loads((artifact.folder / "config.json").read_text()).get("vocab_size")
    largest = max((data.largest_token() for data in context.data.values()), default=-1)
    if isinstance(known, int) and largest >= known:
        raise InvalidModel(
            f"its tokenizer gives the token {largest}, and the model knows {known} (vocab_size in config.json)",
            where=str(artifact.folder),
            hint="put the model's own tokenizer beside it",
        )


@dataclass(frozen=True)
class Setup:
    """What was decided about one try.

    Attributes:
        train: sequences to train on.
        held_back: sequences to evaluate on, or None.
        micro: sequences in a micro-batch.
        device: cpu or cuda.
    """

    train: PackedSequences | Part
    held_back: PackedSequences | Part | None
    micro: int
    device: str


def _train(options: Lora, artifact: Artifact, context: Context, setup: Setup) -> None:
    import transformers

    from millwright_runner.training.callbacks import BEST, Best, Reporting, Saving, refuse_divergence, save_adapter

    output = context.scratch / "trainer"
    checkpoint = restore(context, output)
    context.tell("loading the model")
    model, pad_id = wrapped_model(options, artifact, context, setup.device)
    spec = setup.train.format
    callbacks: list[transformers.TrainerCallback] = [Reporting(context)]
    if options.training.early_stopping is not None:
        callbacks.append(Best(options.training.early_stopping, output))
    trainer = transformers.Trainer(
        model=model,
        args=transformers.TrainingArguments(**trainer_arguments(options, setup, context, output)),
        data_collator=collator(pad_id, spec.padding_side, spec.max_length if spec.padding == "maxLength" else None),
        train_dataset=setup.train,
        eval_dataset=setup.held_back,
        callbacks=[*callbacks, Saving(context, output)],
    )
    for callback in (transformers.PrinterCallback, transformers.ProgressCallback):
        trainer.remove_callback(callback)
    context.tell("training")
    result = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    context.stop.check(f"stopped at step {trainer.state.global_step}; a checkpoint is saved")
    refuse_divergence(result.training_loss, trainer.state.global_step)
    context.tell("saving")
    best = output / BEST
    if options.training.early_stopping is not None and best.exists():
        shutil.copytree(best, context.folder, dirs_exist_ok=True)
    else:
        save_adapter(model, context.folder)
    losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    context.metrics |= {
        "trainLoss": result.training_loss,
        "optimizerSteps": trainer.state.global_step,
        "microBatch": setup.micro,
    }
    if losses:
        context.metrics |= {"evalLoss": losses[-1], "bestEvalLoss": min(losses)}
    context.history += [entry for entry in trainer.state.log_history if "loss" in entry or "eval_loss" in entry]


def wrapped_model(options: Lora, artifact: Artifact, context: Context, device: str) -> tuple[Any, int]:
    """Returns the model with an untrained adapter on it, and the token id to pad with.

    Raises:
        InvalidModel: peft cannot adapt these modules.
    """
    import peft

    from millwright_runner.training.loading import load_model

    quantization = options.quantization()
    dtype = "float32" if options.training.dtype == "float16" else options.training.dtype  # float16 is mixed precision
    model = load_model(artifact.folder, dtype, context.trust_remote_code, device=device, quantization=quantization)
    model.config.use_cache = False
    if quantization is not None:
        model = peft.prepare_model_for_kbit_training(
            model, use_gradient_checkpointing=options.training.gradient_checkpointing
        )
    elif options.training.gradient_checkpointing:
        model.enable_input_require_grads()
    pad_id = next((i for i in (model.config.pad_token_id, model.config.eos_token_id) if isinstance(i, int)), 0)
    try:
        wrapped = peft.get_peft_model(model, peft.LoraConfig(**options.peft_options(model.config.model_type)))
    except ValueError as error:
        raise InvalidModel(f"peft cannot adapt this model: {error}", where="targetModules") from error
    return wrapped, pad_id


def trainer_arguments(options: Lora, setup: Setup, context: Context, output: Path) -> dict[str, Any]:
    """Returns the keyword arguments of transformers' TrainingArguments."""
    training = options.training
    steps = training.eval_steps
    return {
        "output_dir": str(output),
        "seed": training.seed,
        "data_seed": training.data_seed,
        "num_train_epochs": training.epochs,
        "max_steps": training.max_steps or -1,
        "learning_rate": training.learning_rate,
        "lr_scheduler_type": training.scheduler,
        # Below 1 transformers 5 takes it as a share of all steps.
        "warmup_steps": training.warmup_ratio if training.warmup_steps is None else training.warmup_steps,
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.max_grad_norm,
        "per_device_train_batch_size": setup.micro,
        "per_device_eval_batch_size": training.per_device_eval_batch_size,
        "gradient_accumulation_steps": training.sequences_per_step // setup.micro,
        "optim": training.optimizer,
        "adam_beta1": training.adam_beta1,
        "adam_beta2": training.adam_beta2,
        "adam_epsilon": training.adam_epsilon,
        "activation_checkpointing": training.gradient_checkpointing,
        "bf16": training.dtype == "bfloat16",
        "fp16": training.dtype == "float16" and setup.device == "cuda",
        "use_cpu": setup.device == "cpu",
        "logging_steps": training.logging_steps,
        "logging_nan_inf_filter": False,
        "eval_strategy": ("steps" if steps else "epoch") if setup.held_back is not None else "no",
        "eval_steps": steps,
        "train_sampling_strategy": "group_by_length" if training.group_by_length else "random",
        "label_smoothing_factor": training.label_smoothing,
        "save_strategy": "steps",
        "save_steps": context.checkpoints.every_steps,
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "dataloader_pin_memory": setup.device == "cuda",
        "prediction_loss_only": True,
    }


def restore(context: Context, output: Path) -> Path | None:
    """Brings the newest checkpoint to where the Trainer looks for it, and clears what a killed run left there.

    Returns:
        The checkpoint's folder, or None when there is none.
    """
    shutil.rmtree(output, ignore_errors=True)
    latest = context.checkpoints.latest()
    if latest is None:
        return None
    step = int(json.loads((latest / "trainer_state.json").read_text())["global_step"])
    folder = output / f"checkpoint-{step}"
    shutil.copytree(latest, folder)
    if (folder / "best").exists():
        shutil.move(folder / "best", output / "best")
    context.resumed_from = step
    return folder
