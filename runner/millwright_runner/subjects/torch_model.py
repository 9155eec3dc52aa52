"""A PyTorch folder, or an adapter on one, as metrics see it: by transformers and peft."""

from __future__ import annotations

import functools
import inspect
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from millwright_runner.artifact import Artifact
from millwright_runner.subjects import Ids, Timing
from millwright_runner.subjects.batches import batches, check_fits, end_ids, padded, pieces, until_stop
from millwright_runner.training.loading import device_name, heavy_imports, load_model, release_memory

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


class TorchSubject:
    """See `subjects.Subject`. On a GPU the weights keep the type they were saved in.

    Args:
        artifact: a folder of format hf, or an adapter with its base.
        trust_remote_code: whether code that comes with the model may run.
    """

    def __init__(self, artifact: Artifact, *, trust_remote_code: bool) -> None:
        self.artifact, self._trust = artifact, trust_remote_code
        self._whole = artifact.base or artifact
        self._loaded: Any = None

    @functools.cached_property
    def end(self) -> frozenset[int]:
        """Ids that end a generated text."""
        return end_ids(self._whole.folder)

    @property
    def device(self) -> str:
        """Where it computes: cpu or cuda."""
        return device_name()

    def generate(
        self, prompts: Sequence[Ids], *, new_tokens: int, batch_size: int, stop: Sequence[Ids] = ()
    ) -> list[list[int]]:
        """Answers greedily; padded on the left, so that all answers begin at the same place."""
        import torch

        model = self._model(prompts, new_tokens)
        answers: list[list[int]] = [[] for _ in prompts]
        for chosen in batches(prompts, batch_size):
            ids, mask = self._tensors([prompts[index] for index in chosen], left=True)
            start = ids.shape[1]
            with torch.inference_mode():
                made = model.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    max_new_tokens=new_tokens,
                    stopping_criteria=[_stopping(stop, start)] if stop else None,
                )
            for index, row in zip(chosen, made[:, start:].tolist(), strict=True):
                answers[index] = until_stop(row, self.end, stop)
        return answers

    def log_probs(self, sequences: Sequence[Ids], *, batch_size: int) -> list[NDArray[np.float32]]:
        """Scores; padded on the right, where nothing that counts looks at it."""
        model = self._model(sequences, 0)
        scores: dict[int, NDArray[np.float32]] = {}
        for chosen in batches(sequences, batch_size, bytes_each=4 * _vocabulary(model)):
            ids, mask = self._tensors([sequences[index] for index in chosen])
            for index, row in zip(chosen, _log_probs(model, ids, mask), strict=True):
                scores[index] = row[: len(sequences[index]) - 1]
        return [scores[index] for index in range(len(sequences))]

    def timed(self, prompts: Sequence[Ids], *, new_tokens: int) -> Timing:
        """Takes the time by a loop of its own: transformers' `generate` does not say when a token is there."""
        model = self._model(prompts, new_tokens)
        ids, _ = self._tensors(prompts)
        answer = itertools.islice(_continued(model, ids), new_tokens)
        return Timing.between([self._now(), *(self._now() for _ in answer)])

    def stream(self, prompt: Ids, *, new_tokens: int) -> Iterator[int]:
        """Answers one prompt greedily, an id at a time."""
        model = self._model([prompt], new_tokens)
        ids, _ = self._tensors([prompt])
        for made in itertools.islice(_continued(model, ids), new_tokens):
            token = int(made)
            if token in self.end:
                return
            yield token

    def close(self) -> None:
        """Gives its memory back; the next question loads it again."""
        if self._loaded is not None:
            self._loaded = None
            release_memory()

    def _model(self, sequences: Sequence[Ids], new_tokens: int) -> Any:
        """Returns the model, after a look at whether it can take the sequences."""
        if self._loaded is None:
            self._loaded = self._load()
        config = self._loaded.config.get_text_config()
        check_fits(
            sequences,
            new_tokens,
            longest=getattr(config, "max_position_embeddings", None),
            vocabulary=_vocabulary(self._loaded),
            where=self._whole.folder,
        )
        return self._loaded

    def _load(self) -> Any:
        # bfloat16 on a CPU is slow where the processor has no instructions for it, and its sums depend on the batch.
        dtype = "auto" if self.device == "cuda" else "float32"
        model = load_model(self._whole.folder, dtype, self._trust, device=self.device)
        with heavy_imports():
            from transformers import GenerationConfig

        # Not the folder's: it may sample, or punish repetitions.
        model.generation_config = GenerationConfig(
            do_sample=False, eos_token_id=sorted(self.end) or None, pad_token_id=self._pad
        )
        if self.artifact.base is not None:
            with heavy_imports():
                import peft

            model = peft.PeftModel.from_pretrained(model, str(self.artifact.folder))
        return model.eval()

    @property
    def _pad(self) -> int:
        """Any id will do: the attention mask hides it."""
        return min(self.end, default=0)

    def _tensors(self, rows: Sequence[Ids], *, left: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns ids and attention mask, each of shape (rows, longest)."""
        import torch

        ids = padded(rows, self._pad, left=left)
        mask = padded([[1] * len(row) for row in rows], 0, left=left)
        return torch.tensor(ids, device=self.device), torch.tensor(mask, device=self.device)

    def _now(self) -> float:
        """Seconds, when all that was asked of the device is done."""
        if self.device == "cuda":
            import torch

            torch.cuda.synchronize()
        return time.perf_counter()


def _vocabulary(model: Any) -> int:
    return int(model.get_input_embeddings().num_embeddings)


def _log_probs(model: Any, ids: torch.Tensor, mask: torch.Tensor) -> NDArray[np.float32]:
    """Returns the natural logarithm of each id's probability after those before it.

    Args:
        model: a causal language model.
        ids: shape (rows, length).
        mask: 0 where an id is padding; the same shape.

    Returns:
        Shape (rows, length - 1).
    """
    import torch

    parts = pieces(ids.shape[1], len(ids), bytes_each=4 * _vocabulary(model))
    found, past = [], None
    for part in parts:
        with torch.inference_mode():
            made = model(
                input_ids=ids[:, part],
                attention_mask=mask[:, : part.stop],
                past_key_values=past,
                use_cache=len(parts) > 1,
            )
            following = ids[:, part.start + 1 : part.stop + 1, None]
            for row, wanted in zip(made.logits[:, : following.shape[1]], following, strict=True):
                found.append(torch.log_softmax(row.float(), dim=-1).gather(1, wanted)[:, 0].cpu())
            past = made.past_key_values
            del made  # before the next piece makes its own
    rows = [torch.cat(found[row :: len(ids)]) for row in range(len(ids))]
    scores: NDArray[np.float32] = torch.stack(rows).numpy()
    return scores


def _continued(model: Any, ids: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yields the likeliest ids after these, a token at a time and without end.

    Args:
        model: a causal language model.
        ids: shape (rows, length).

    Yields:
        Shape (rows, 1).
    """
    import torch

    last = {"logits_to_keep": 1} if _keeps_last(model) else {}
    past = None
    while True:
        with torch.inference_mode():
            made = model(input_ids=ids, past_key_values=past, use_cache=True, **last)
            past, ids = made.past_key_values, made.logits[:, -1:].argmax(dim=-1)
        yield ids


def _keeps_last(model: Any) -> bool:
    """Whether it can leave out the head for all tokens but the last, as `generate` has it do; code that comes with a
    model often cannot."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "logits_to_keep" in inspect.signature(base.forward).parameters


def _stopping(stop: Sequence[Ids], start: int) -> Callable[..., torch.Tensor]:
    """Returns a stopping criterion as transformers wants it: True for rows whose new ids end with one of `stop`."""
    import torch

    def stopped(ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        """Tells which rows are done."""
        done = torch.zeros(ids.shape[0], dtype=torch.bool, device=ids.device)
        for wanted in stop:
            if ids.shape[1] - start >= len(wanted):
                done |= (ids[:, -len(wanted) :] == torch.tensor(wanted, device=ids.device)).all(dim=1)
        return done

    return stopped
