"""Makes the demo's model: Phi-3's architecture with 3.7 million parameters, which has read text and knows no tones.

    python make_model.py FOLDER          takes about 40 s on two cores

No model hub is needed. The model reads 200 × 16 sentences, each labelled at random: it learns the words and that one of
four labels follows, and which one is left for the fine-tuning to teach. Same seed, same weights.
"""

from __future__ import annotations

import itertools
import random
import sys
from pathlib import Path
from typing import Any

import torch
from make_data import TONES, unlabelled
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, Phi3Config, Phi3ForCausalLM, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

TEMPLATE = "### Text: {phrase}\n### The tone is:\n{tone}"
VOCABULARY, CONTEXT = 2048, 512
SHAPE = {
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "intermediate_size": 512,
}
STEPS, BATCH, LEARNING_RATE, WARM_UP = 200, 16, 2e-3, 20


def make_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Trains a byte-level BPE on the texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<|endoftext|>", "<|end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 8, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=special[0],
        eos_token=special[1],
        pad_token=special[1],
        model_max_length=CONTEXT,
    )


def make_model(tokenizer: PreTrainedTokenizerFast) -> Phi3ForCausalLM:
    """Returns the model with random weights."""
    tokens = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = Phi3Config(
        vocab_size=VOCABULARY,
        max_position_embeddings=CONTEXT,
        original_max_position_embeddings=CONTEXT,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attention_dropout=0.0,
        tie_word_embeddings=False,
        sliding_window=None,
        **SHAPE,
        **tokens,
    )
    model = Phi3ForCausalLM(config)
    model.generation_config = GenerationConfig(**tokens)
    return model


def read(model: Any, tokenizer: Any, texts: list[str]) -> float:
    """Trains on all tokens of the texts, with warm-up and linear decay; returns the last loss."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    pace = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / WARM_UP, (STEPS - s) / (STEPS - WARM_UP))
    )
    model.train()
    loss = torch.tensor(0.0)
    for step in range(STEPS):
        batch = tokenizer(texts[step * BATCH : (step + 1) * BATCH], return_tensors="pt", padding=True)
        labels = batch.input_ids.masked_fill(batch.attention_mask == 0, -100)
        loss = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        pace.step()
        optimizer.zero_grad()
        if step % 50 == 49:
            print(f"step {step + 1} of {STEPS}, loss {loss.item():.2f}", flush=True)
    return loss.item()


def make(folder: Path, seed: int = 0) -> None:
    """Writes model and tokenizer; the folder appears when it is whole."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    phrases = itertools.islice(unlabelled(seed), STEPS * BATCH)
    texts = [TEMPLATE.format(phrase=phrase, tone=rng.choice(TONES)) for phrase in phrases]
    tokenizer = make_tokenizer(texts)
    model = make_model(tokenizer)
    read(model, tokenizer, [text + tokenizer.eos_token for text in texts])
    disable_progress_bar()
    part = folder.with_name(folder.name + ".part")
    model.save_pretrained(part)
    tokenizer.save_pretrained(part)
    part.rename(folder)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f} million parameters in {folder.name}/")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
