"""A tokenizer's folder, read without transformers: the tokenizer itself, its end-of-text token, its chat template."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millwright_api.errors import InvalidModel
from millwright_api.names import fingerprint

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
"""Keys of tokenizer_config.json that name a special token, as transformers has them."""


@dataclass(frozen=True)
class Tokens:
    """What a tokenizer's folder holds.

    Attributes:
        folder: the folder.
        tokenizer: text to token ids.
        special: special tokens by their role: bos_token, eos_token, …
        end: id of the end-of-text token; None when the folder names none.
        chat_template: Jinja source; None when there is none.
        digest: names all that changes what a text becomes, 64 hex digits.
    """

    folder: Path
    tokenizer: Tokenizer
    special: dict[str, str]
    end: int | None
    chat_template: str | None
    digest: str

    def encode(self, texts: list[str], *, special: bool, places: bool) -> list[Encoding]:
        """Tokenizes a batch on all cores, without Python's lock.

        Args:
            texts: the texts.
            special: whether tokens are added that the tokenizer puts around a text.
            places: whether the encodings know which characters each token stands for (half as fast).
        """
        if places:
            return self.tokenizer.encode_batch(texts, add_special_tokens=special)
        return self.tokenizer.encode_batch_fast(texts, add_special_tokens=special)

    def in_context(self, text: str) -> list[int]:
        """Returns a text's tokens as it stands after another text: some tokenizers put a space before whatever comes first."""
        letter, both = (encoding.ids for encoding in self.encode(["a", f"a{text}"], special=False, places=False))
        if both[: len(letter)] == letter:
            return list(both[len(letter) :])
        return list(self.encode([text], special=False, places=False)[0].ids)

    def required_end(self, why: str) -> int:
        """Returns the end-of-text token's id.

        Raises:
            InvalidModel: the folder names none.
        """
        if self.end is None:
            raise InvalidModel(
                f"the tokenizer names no end-of-text token, and {why}",
                where=str(self.folder),
                hint="set eos_token in its tokenizer_config.json",
            )
        return self.end


def load_tokens(folder: Path) -> Tokens:
    """Reads a tokenizer's folder.

    Raises:
        InvalidModel: a file is missing or malformed, or the end-of-text token is not in the vocabulary.
    """
    config = {**read_json(folder / "special_tokens_map.json"), **read_json(folder / "tokenizer_config.json")}
    special = {role: text for role in SPECIAL if (text := _text_of(config.get(role))) is not None}
    tokenizer = _load_tokenizer(folder)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    template = _chat_template(folder, config)
    end = _end(folder, tokenizer, special)
    content = hashlib.sha256(tokenizer.to_str().encode()).hexdigest()
    return Tokens(folder, tokenizer, special, end, template, fingerprint([content, special, end, template]))


def read_json(path: Path) -> dict[str, Any]:
    """Returns a JSON object from a file; empty when there is no file.

    Raises:
        InvalidModel: the file is no JSON object.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InvalidModel(f"malformed JSON: {error}", where=str(path)) from error
    if not isinstance(value, dict):
        raise InvalidModel(f"a JSON object is expected, and this is a {type(value).__name__}", where=str(path))
    return value


def _load_tokenizer(folder: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.exists():
        return _convert(folder)
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise InvalidModel(f"not a tokenizer: {error}", where=str(path)) from error


def _convert(folder: Path) -> Tokenizer:
    """Lets transformers make a fast tokenizer of older files: the one case that needs it."""
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    try:
        backend = getattr(AutoTokenizer.from_pretrained(folder, trust_remote_code=False), "backend_tokenizer", None)
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise InvalidModel(f"the tokenizer cannot be loaded: {error}", where=str(folder)) from error
    if not isinstance(backend, Tokenizer):
        raise InvalidModel(
            "there is no tokenizer.json, and transformers makes none of what is there",
            where=str(folder),
            hint="save the tokenizer in its fast form, with a tokenizer.json",
        )
    return backend


def _text_of(token: Any) -> str | None:
    """A special token is written as its text or as an object with its text."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) and text else None


def _end(folder: Path, tokenizer: Tokenizer, special: dict[str, str]) -> int | None:
    text = special.get("eos_token")
    if text is not None:
        end = tokenizer.token_to_id(text)
        if end is None:
            raise InvalidModel(
                f"eos_token {text!r} is not in the vocabulary", where=str(folder / "tokenizer_config.json")
            )
        return int(end)
    ids = read_json(folder / "config.json").get("eos_token_id")
    first = ids[0] if isinstance(ids, list) and ids else ids
    return first if isinstance(first, int) else None


def _chat_template(folder: Path, config: dict[str, Any]) -> str | None:
    """The file wins over the config, as in transformers; of several templates it is the one called default."""
    path = folder / "chat_template.jinja"
    if path.exists():
        return path.read_text(encoding="utf-8")
    template = config.get("chat_template")
    if isinstance(template, list):
        named = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, dict)}
        template = named.get("default")
    return template if isinstance(template, str) else None
