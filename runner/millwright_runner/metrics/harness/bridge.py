"""A model of ours as lm-evaluation-harness sees it: what its own HFLM does, by the questions that every format answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from millwright_api.errors import InvalidData, InvalidManifest
from millwright_runner.data.tokens import Tokens
from millwright_runner.metrics.batches import BATCHES_AT_ONCE, scored
from millwright_runner.metrics.speed import room
from millwright_runner.subjects import Ids, Subject
from millwright_runner.subjects.batches import batches, until_stop

Scored = tuple[float, bool]
Pair = tuple[Any, list[int], list[int]]
"""A request, its context's ids, and those of what follows."""


class Bridge(TemplateLM):  # type: ignore[misc]  # lm_eval has no types
    """See lm_eval's TemplateLM.

    Args:
        model: who answers.
        tokens: its tokenizer.
        batch_size: texts at once.
        greedy: whether anybody wants to know what greedy search would have written; it costs a generation.
        check: called now and then; raises when a stop was asked for.

    Attributes:
        broken: whether a probability was no number.
        truncated: contexts that were cut off at their start, since the model takes no more.
    """

    def __init__(
        self, model: Subject, tokens: Tokens, *, batch_size: int, greedy: bool, check: Callable[[], None]
    ) -> None:
        super().__init__()
        self._model, self._tokens, self._batch, self._greedy, self._check = model, tokens, batch_size, greedy, check
        self._room = room((model.artifact.base or model.artifact).folder)
        self.broken, self.truncated = False, 0

    @property
    def eot_token_id(self) -> int:
        """The id that ends a text."""
        return self._tokens.required_end("the harness needs one")

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text without a context: the id that begins one, else the one that ends one."""
        begin = self._tokens.special.get("bos_token")
        found = self._tokens.tokenizer.token_to_id(begin) if begin else None
        return self.eot_token_id if found is None else int(found)

    @property
    def tokenizer_name(self) -> str:
        """Names the tokenizer."""
        return self._tokens.digest

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Returns a text's ids; special ones only once, where the text begins with them itself."""
        begin = self._tokens.special.get("bos_token")
        special = not (begin and string.startswith(begin)) if add_special_tokens is None else add_special_tokens
        return list(self._tokens.encode([string], special=special, places=False)[0].ids)

    def loglikelihood(self, requests: Sequence[Instance], disable_tqdm: bool = True) -> list[Scored]:
        """Returns for each request the logarithm of the probability of what follows, and whether greedy search writes it."""
        found: list[Scored] = super().loglikelihood(requests, disable_tqdm=True)
        return found

    def _loglikelihood_tokens(self, requests: Sequence[Pair], **_: Any) -> list[Scored]:
        fitting = [self._fitting(context, following) for _, context, following in requests]
        sums = self._sums(fitting)
        greedy = self._written(fitting) if self._greedy else [False] * len(fitting)
        return list(zip(sums, greedy, strict=True))

    def loglikelihood_rolling(self, requests: Sequence[Instance], disable_tqdm: bool = True) -> list[float]:
        """Returns the logarithm of each text's probability, in windows where it is longer than the model takes."""
        found = []
        for request in requests:
            ids = self.tok_encode(request.args[0])
            longest = (self._room or len(ids) + 1) - 1
            windows = get_rolling_token_windows(ids, self.prefix_token_id, longest, 1)
            found.append(math.fsum(self._sums([make_disjoint_window(window) for window in windows])))
        return found

    def generate_until(self, requests: Sequence[Instance], disable_tqdm: bool = True) -> list[str]:
        """Returns what greedy search writes after each prompt, up to the first of its stops.

        Raises:
            InvalidManifest: the task wants answers that are drawn by chance.
        """
        answers: list[str] = [""] * len(requests)
        for options, chosen in _alike(requests):
            if options["do_sample"]:
                raise InvalidManifest(
                    "the task draws its answers by chance, and models are asked greedily here", hint="take another task"
                )
            prompts = [self._cut(self.tok_encode(requests[index].args[0]), options["max_gen_toks"]) for index in chosen]
            texts = self._generated(prompts, options["max_gen_toks"], options["until"])
            for index, text in zip(chosen, texts, strict=True):
                answers[index] = text
        return answers

    def _sums(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[float]:
        sequences = [[*context, *following] for context, following in pairs]
        if not sequences:
            return []
        arrays = scored(self._model, sequences, batch_size=self._batch, check=self._check)
        sums = [
            float(array[len(context) - 1 :].sum(dtype="float64"))
            for array, (context, _) in zip(arrays, pairs, strict=True)
        ]
        self.broken |= any(map(math.isnan, sums))
        return sums

    def _written(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[bool]:
        """Whether greedy search writes what follows; those of one length together, since none is to be longer."""
        found = [False] * len(pairs)
        for length in sorted({len(following) for _, following in pairs}):
            chosen = [index for index, (_, following) in enumerate(pairs) if len(following) == length]
            made = self._ids([pairs[index][0] for index in chosen], length, ())
            for index, ids in zip(chosen, made, strict=True):
                found[index] = ids == until_stop(pairs[index][1], self._model.end, ())
        return found

    def _generated(self, prompts: Sequence[Ids], new_tokens: int, until: Sequence[str]) -> list[str]:
        ends = handle_stop_sequences(list(until), eos=self._tokens.tokenizer.id_to_token(self.eot_token_id))
        decode = self._tokens.tokenizer.decode
        stops = [ids for text in until if text in decode(ids := self._tokens.in_context(text))]
        made = self._ids(prompts, new_tokens, stops)
        return [postprocess_generated_text(decode(ids, skip_special_tokens=True), ends, None) for ids in made]

    def _ids(self, prompts: Sequence[Ids], new_tokens: int, stop: Sequence[Ids]) -> list[list[int]]:
        found: dict[int, list[int]] = {}
        for chunk in batches(prompts, self._batch * BATCHES_AT_ONCE):
            self._check()
            asked = [prompts[index] for index in chunk]
            made = self._model.generate(asked, new_tokens=new_tokens, batch_size=self._batch, stop=stop)
            found |= zip(chunk, made, strict=True)
        return [found[index] for index in range(len(prompts))]

    def _fitting(self, context: list[int], following: list[int]) -> tuple[list[int], list[int]]:
        if not following:
            raise InvalidData(
                "an answer to choose from becomes no token", hint="look at docToChoice and targetDelimiter"
            )
        return self._cut(context, len(following)), following

    def _cut(self, context: list[int], more: int) -> list[int]:
        """Returns a context, cut off at its start so that there is room for what follows, as HFLM does it."""
        if self._room is None or len(context) + more <= self._room:
            return context
        if more >= self._room:
            raise InvalidData(f"{more} tokens are to follow a question, and the model takes {self._room} in all")
        self.truncated += 1
        return context[-(self._room - more) :]


def _alike(requests: Sequence[Instance]) -> Iterable[tuple[dict[str, Any], list[int]]]:
    """Returns requests that want their answers alike: the options, and which they are."""
    groups: dict[str, tuple[dict[str, Any], list[int]]] = {}
    for index, request in enumerate(requests):
        options = dict(normalize_gen_kwargs(request.args[1]))
        groups.setdefault(repr(sorted(options.items(), key=str)), (options, []))[1].append(index)
    return groups.values()
