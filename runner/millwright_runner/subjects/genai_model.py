"""An onnx-genai folder as metrics see it: by onnxruntime-genai."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from millwright_api.errors import InvalidModel
from millwright_runner.artifact import Artifact
from millwright_runner.cores import threads
from millwright_runner.data.tokens import read_json
from millwright_runner.subjects import Ids, Timing
from millwright_runner.subjects.batches import batches, check_fits, end_ids, padded, pieces, stops, until_stop
from millwright_runner.training.loading import release_memory

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_BATCH = 32
"""onnxruntime-genai 0.18 refuses 40."""

PAD = -1
"""Fills rows up. genai takes no attention mask: it hides every token that is the padding, and a folder names its end
token as that, which texts may well contain. This one is in no text, and ONNX has an embedding for it, the last one: an
index below zero counts from the end."""

DEVICES = {"CUDAExecutionProvider": "cuda", "DmlExecutionProvider": "dml", "WebGpuExecutionProvider": "webgpu"}
"""Providers with a device of their own, by onnxruntime-genai's name for it."""

GREEDY = {
    "do_sample": False,
    "num_beams": 1,
    "num_return_sequences": 1,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
}
"""Said aloud: the builder copies what the model's own generation_config.json has."""


class GenaiSubject:
    """See `subjects.Subject`.

    A model that was built for a device which this machine, or this build of onnxruntime-genai, does not have, runs on
    the CPU: its quality is the same there, its speed is not.

    Args:
        artifact: a folder of format onnx-genai.
        provider: the execution provider that it was built for.
    """

    def __init__(self, artifact: Artifact, *, provider: str) -> None:
        self.artifact = artifact
        self._device = DEVICES.get(provider, "cpu")
        self._model: Any = None

    @functools.cached_property
    def end(self) -> frozenset[int]:
        """Ids that end a generated text."""
        return end_ids(self.artifact.folder)

    @property
    def device(self) -> str:
        """Where it computes: cpu, cuda, dml or webgpu. Only loading it tells: is_webgpu_available is true without it."""
        if self._device != "cpu" and self._model is None:
            self._prepare([], 0)
        return self._device

    def generate(
        self, prompts: Sequence[Ids], *, new_tokens: int, batch_size: int, stop: Sequence[Ids] = ()
    ) -> list[list[int]]:
        """Answers greedily, in batches of 32 at most."""
        self._prepare(prompts, new_tokens)
        answers: list[list[int]] = [[] for _ in prompts]
        for chosen in batches(prompts, min(batch_size, MAX_BATCH)):
            rows = [prompts[index] for index in chosen]
            with self._in_words("run"):
                made = self._continued(rows, new_tokens, stop)
            for index, row in zip(chosen, made, strict=True):
                answers[index] = until_stop(row, self.end, stop)
        return answers

    def log_probs(self, sequences: Sequence[Ids], *, batch_size: int) -> list[NDArray[np.float32]]:
        """Scores: whole sequences go in, and the logits of all positions come out."""
        self._prepare(sequences, 0)
        scores: dict[int, NDArray[np.float32]] = {}
        for chosen in batches(sequences, min(batch_size, MAX_BATCH), bytes_each=4 * self._config["vocab_size"]):
            rows = [sequences[index] for index in chosen]
            with self._in_words("run"):
                found = self._log_probs(rows)
            for index, row, scored in zip(chosen, rows, found, strict=True):
                scores[index] = scored[: len(row) - 1]
        return [scores[index] for index in range(len(sequences))]

    def timed(self, prompts: Sequence[Ids], *, new_tokens: int) -> Timing:
        """Takes the time of each token; the first includes the prompt."""
        self._prepare(prompts, new_tokens)
        length = len(prompts[0]) + new_tokens
        with self._in_words("run"):
            generator = self._generator(len(prompts), length, min_length=length)
            moments = [time.perf_counter()]
            generator.append_tokens(padded(prompts, PAD))
            for _ in range(new_tokens):
                generator.generate_next_token()
                moments.append(time.perf_counter())
        return Timing.between(moments)

    def stream(self, prompt: Ids, *, new_tokens: int) -> Iterator[int]:
        """Answers one prompt greedily, an id at a time; a row alone, so int4 may round otherwise than in `generate`."""
        self._prepare([prompt], new_tokens)
        with self._in_words("run"):
            generator = self._generator(1, len(prompt) + new_tokens)
            generator.append_tokens([list(prompt)])
        for _ in range(new_tokens):
            with self._in_words("run"):
                generator.generate_next_token()
            (token,) = generator.get_next_tokens().tolist()
            if token in self.end:
                return
            yield token

    def close(self) -> None:
        """Gives its memory back; the next question loads it again."""
        if self._model is not None:
            self._model = None
            release_memory()

    @functools.cached_property
    def _config(self) -> dict[str, Any]:
        """The model's part of genai_config.json: context_length, vocab_size and more."""
        config: dict[str, Any] = read_json(self.artifact.folder / "genai_config.json").get("model", {})
        for name in ("context_length", "vocab_size"):
            if not isinstance(config.get(name), int):
                raise InvalidModel(f"genai_config.json has no model.{name}", where=str(self.artifact.folder))
        return config

    def _prepare(self, sequences: Sequence[Ids], new_tokens: int) -> None:
        """Looks whether the model can take the sequences, and loads it."""
        vocabulary: int = self._config["vocab_size"]
        longest: int = self._config["context_length"]
        check_fits(sequences, new_tokens, longest=longest, vocabulary=vocabulary, where=self.artifact.folder)
        if self._model is None:
            self._model = self._load()

    def _load(self) -> Any:
        if self._device != "cpu":
            with contextlib.suppress(RuntimeError):
                return self._loaded_on(self._device)
            self._device = "cpu"
        with self._in_words("load"):
            return self._loaded_on("cpu")

    def _loaded_on(self, device: str) -> Any:
        library = _library()
        config = library.Config(str(self.artifact.folder))
        config.overlay(json.dumps({"model": {"pad_token_id": PAD}}))
        if count := threads():  # onnxruntime reads no variable
            config.overlay(json.dumps({"model": {"decoder": {"session_options": {"intra_op_num_threads": count}}}}))
        if device == "cpu":
            config.clear_providers()
        return library.Model(config)

    @contextlib.contextmanager
    def _in_words(self, verb: str) -> Iterator[None]:
        """Says of which model a failure of the library is."""
        try:
            yield
        except RuntimeError as error:
            text = f"onnxruntime-genai cannot {verb} it on {self._device}: {str(error).strip()}"
            raise InvalidModel(text, where=str(self.artifact.folder)) from error

    def _generator(self, rows: int, max_length: int, *, min_length: int = 0) -> Any:
        library = _library()
        options = library.GeneratorParams(self._model)
        options.set_search_options(batch_size=rows, max_length=max_length, min_length=min_length, **GREEDY)
        return library.Generator(self._model, options)

    def _log_probs(self, rows: Sequence[Ids]) -> list[NDArray[np.float32]]:
        """Returns each row's scores; behind its end they mean nothing."""
        import numpy as np

        filled = np.asarray(padded(rows, PAD), dtype=np.int32)
        length = filled.shape[1]
        generator = self._generator(len(rows), length)
        found = []
        for part in pieces(length, len(rows), bytes_each=4 * self._config["vocab_size"]):
            following = filled[:, part.start + 1 : part.stop + 1]
            if following.size:  # nothing comes after the last one
                generator.append_tokens(filled[:, part])
                found.append(_of_tokens(generator.get_output("logits"), following))
        return list(np.concatenate(found, axis=1))

    def _continued(self, rows: Sequence[Ids], new_tokens: int, stop: Sequence[Ids]) -> list[list[int]]:
        """Returns each row's new ids; behind its end they mean nothing.

        Padded on the right: the attention operator that the builder takes for most models counts the tokens of a row
        from its start. Two rows at least: the CPU's int4 kernel for a single row rounds otherwise (logits differ by 0.3
        now and then), and an answer shall not hang on how many others are asked for with it.
        """
        together = rows if len(rows) > 1 else [*rows, *rows]
        generator = self._generator(len(together), max(map(len, rows)) + new_tokens)
        generator.append_tokens(padded(together, PAD))
        made: list[list[int]] = [[] for _ in rows]
        going = set(range(len(rows)))
        for _ in range(new_tokens):
            generator.generate_next_token()
            for row, token in zip(made, generator.get_next_tokens().tolist(), strict=False):
                row.append(token)
            going -= {row for row in going if stops(made[row], self.end, stop)}
            if not going:
                break
        return made


def _of_tokens(logits: NDArray[Any], following: NDArray[np.int32]) -> NDArray[np.float32]:
    """Returns the natural logarithm of the probability of what follows each position.

    Args:
        logits: shape (rows, at least length, vocabulary).
        following: token ids; shape (rows, length).

    Returns:
        Shape (rows, length).
    """
    import numpy as np

    scores = np.empty(following.shape, np.float32)
    with np.errstate(all="ignore"):  # a model that is broken gives NaN, and that is its score
        for row, wanted in enumerate(following):
            here = logits[row, : len(wanted)].astype(np.float32)
            here -= here.max(axis=-1, keepdims=True)
            scores[row] = here[np.arange(len(wanted)), wanted] - np.log(np.exp(here).sum(axis=-1))
    return scores


def _library() -> Any:
    """Imports onnxruntime-genai, which reads when it is imported whether it may tell its makers about it."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime_genai

    return onnxruntime_genai
