"""Which causal language models transformers knows, read from its source: importing it takes two seconds."""

from __future__ import annotations

import functools
import importlib.util
import re
from pathlib import Path
from typing import Any

from millwright_api.errors import InvalidModel, suggest

_MAPPING = re.compile(r"MODEL_FOR_CAUSAL_LM_MAPPING_NAMES = OrderedDict\(\s*\[(.*?)\n    \]", re.DOTALL)
_ENTRY = re.compile(r'^\s*\("([^"]+)",', re.MULTILINE)


@functools.cache
def causal_models() -> frozenset[str]:
    """Returns the model types of causal language models; empty where transformers is not installed."""
    spec = importlib.util.find_spec("transformers")
    if spec is None or not spec.submodule_search_locations:
        return frozenset()
    path = Path(spec.submodule_search_locations[0]) / "models" / "auto" / "modeling_auto.py"
    mapping = _MAPPING.search(path.read_text(encoding="utf-8")) if path.exists() else None
    return frozenset(_ENTRY.findall(mapping[1])) if mapping else frozenset()


def check_known(config: dict[str, Any], *, trusted: bool, where: str) -> None:
    """Refuses a model that could not be loaded.

    Args:
        config: config.json.
        trusted: whether code that comes with the model may run.
        where: for messages.

    Raises:
        InvalidModel: transformers does not know it, and it brings no code, or code that is not trusted.
    """
    known, kind = causal_models(), config["model_type"]
    brings_code = "AutoModelForCausalLM" in (config.get("auto_map") or {})
    if not known or kind in known or (brings_code and trusted):
        return
    if brings_code:
        raise InvalidModel(
            f"transformers knows no causal language model of type {kind!r}; this one brings code of its own",
            where=where,
            hint="if you trust that code, set spec.model.trustRemoteCode: true",
        )
    close = suggest(kind, known)
    raise InvalidModel(
        f"transformers knows no causal language model of type {kind!r}",
        where=where,
        hint=close if close.startswith("did you") else "for example llama, phi3, qwen2, mistral, gemma2",
    )
