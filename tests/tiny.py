"""Small models and tokenizers for tests, made with a fixed seed. torch and transformers only where a model is made."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

SPECIAL = ("<s>", "<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>")

PHRASES = [
    f"{who} {verb} {what}"
    for who in ("The old man", "My sister", "Nobody", "A small child", "Our neighbour", "The whole town")
    for verb in ("laughed about", "wept over", "ran away from", "could not believe", "looked at")
    for what in ("the letter", "the storm", "her new shoes", "that story", "the empty house")
]
"""150 sentences: enough for a byte-level BPE to learn merges from."""

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
"""Phi-3's: it closes a whole conversation with the end-of-text token, which a longer one has not in that place."""

SHAPE = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
}


def make_tokenizer(
    folder: Path, *, vocab: int = 512, chat_template: str | list[dict[str, str]] | None = CHAT_TEMPLATE, **config: Any
) -> Path:
    """Makes a byte-level BPE tokenizer's folder; needs no torch. `config` goes into tokenizer_config.json."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(PHRASES, trainer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": 512,
        **config,
    }
    if chat_template is not None:
        settings["chat_template"] = chat_template
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def make_model(folder: Path, family: str = "phi3", *, seed: int = 0, vocab: int = 512, **config: Any) -> Path:
    """Makes a whole model: phi3, llama or qwen2, about 0.2 M parameters. `config` overrides the shape."""
    import torch
    import transformers

    name = {"phi3": "Phi3", "llama": "Llama", "qwen2": "Qwen2"}[family]
    make_tokenizer(folder, vocab=vocab)
    settings = {
        **SHAPE,
        "vocab_size": vocab,
        "max_position_embeddings": 512,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
        "tie_word_embeddings": False,
        **config,
    }
    if family == "phi3":
        settings = {"original_max_position_embeddings": 512, "resid_pdrop": 0.0, "embd_pdrop": 0.0, **settings}
    torch.manual_seed(seed)
    model = getattr(transformers, f"{name}ForCausalLM")(getattr(transformers, f"{name}Config")(**settings))
    model.generation_config = transformers.GenerationConfig(bos_token_id=0, eos_token_id=1, pad_token_id=1)
    model.save_pretrained(folder)
    return folder


def write_safetensors(path: Path, tensors: dict[str, tuple[int, ...]]) -> Path:
    """Writes float32 zeros by the format's own rules; needs no torch."""
    header, at = {}, 0
    for name, shape in tensors.items():
        size = 4
        for length in shape:
            size *= length
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(at))
    return path


TENSORS = {
    "model.embed_tokens.weight": (512, 64),
    "model.layers.0.self_attn.qkv_proj.weight": (128, 64),
    "model.layers.0.self_attn.o_proj.weight": (64, 64),
    "model.layers.0.mlp.gate_up_proj.weight": (256, 64),
    "model.layers.0.mlp.down_proj.weight": (64, 128),
    "model.layers.0.input_layernorm.weight": (64,),
    "model.norm.weight": (64,),
    "lm_head.weight": (512, 64),
}
"""Names and shapes of a Phi-3 with one layer."""


def make_model_files(folder: Path, tensors: dict[str, tuple[int, ...]] | None = None, **config: Any) -> Path:
    """Makes what a look at a model needs, with weights of zeros; needs no torch."""
    make_tokenizer(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "phi3", "vocab_size": 512, **config}))
    write_safetensors(folder / "model.safetensors", tensors or TENSORS)
    return folder
