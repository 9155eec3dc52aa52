"""What Millwright hears from transformers' Trainer: progress, stops, checkpoints, the best adapter so far."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from millwright_api.errors import InvalidData
from millwright_runner.passes import Context
from millwright_runner.training.options import EarlyStopping

BEST = "best"
"""Folder of the best adapter so far: beside the checkpoints, and a copy inside each of them."""


class Reporting(TrainerCallback):  # type: ignore[misc]
    """Tells progress after each step; ends the run between two steps when a stop was asked for."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Tells the step, and asks the Trainer to save and end when a stop was asked for."""
        self.context.tell("training", done=state.global_step, total=state.max_steps)
        if state.global_step >= state.max_steps:
            control.should_save = False  # the Trainer would save once more; the adapter itself is saved next
        elif self.context.stop.signal is not None:
            control.should_save = control.should_training_stop = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Tells the loss; a loss that is no number ends the run."""
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        refuse_divergence(loss, state.global_step)
        self.context.tell("training", done=state.global_step, total=state.max_steps, loss=loss)

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Tells that an evaluation goes on."""
        self.context.tell("evaluating", done=state.global_step, total=state.max_steps)


def refuse_divergence(loss: float, step: int) -> None:
    """Raises InvalidData when a loss is no number."""
    if not math.isfinite(loss):
        raise InvalidData(
            f"training diverged: the loss is {loss} at step {step}",
            where="training.learningRate",
            hint="lower it, add warmupSteps, or check the data",
        )


class Saving(TrainerCallback):  # type: ignore[misc]
    """Puts each checkpoint into the store, then drops the Trainer's own older ones."""

    def __init__(self, context: Context, output: Path) -> None:
        self.context, self.output = context, output

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Stores the checkpoint that was just written, with the best adapter so far."""
        folder = self.output / f"checkpoint-{state.global_step}"
        best = self.output / BEST
        if best.exists():
            shutil.copytree(best, folder / BEST, dirs_exist_ok=True)
        self.context.checkpoints.save(folder, state.global_step)
        for older in self.output.glob("checkpoint-*"):
            if older != folder:
                shutil.rmtree(older)


class Best(TrainerCallback):  # type: ignore[misc]
    """Keeps the adapter with the lowest evaluation loss, and ends training when it no longer falls.

    It keeps no count of its own: the Trainer's log history, which checkpoints hold, has all that it decides by.
    """

    def __init__(self, options: EarlyStopping, output: Path) -> None:
        self.options, self.output = options, output

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        """Saves the adapter when this evaluation was the best, else counts towards the end."""
        losses = [entry["eval_loss"] for entry in state.log_history if "eval_loss" in entry]
        since = evaluations_since_best(losses, self.options.threshold)
        if since == 0:
            save_adapter(model, self.output / BEST)
        elif since >= self.options.patience:
            control.should_training_stop = True


def evaluations_since_best(losses: list[float], threshold: float) -> int:
    """Returns how many evaluations came after the last one that was better by more than the threshold."""
    best, at = math.inf, 0
    for index, loss in enumerate(losses):
        if loss < best - threshold:
            best, at = loss, index
    return len(losses) - 1 - at


def save_adapter(model: Any, folder: Path) -> None:
    """Writes adapter_config.json and adapter_model.safetensors, and nothing that names this machine."""
    # The embedding's own weights are never trained here, so they need not be looked for on a hub.
    model.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # peft's template of a card, with nothing filled in
    # peft notes the base's folder, and keeps module names in sets, whose order changes from process to process.
    file = folder / "adapter_config.json"
    options = json.loads(file.read_text())
    sets = {
        name: sorted(options[name]) for name in ("target_modules", "modules_to_save") if isinstance(options[name], list)
    }
    file.write_text(json.dumps(options | sets | {"base_model_name_or_path": None}, indent=2, sort_keys=True))
