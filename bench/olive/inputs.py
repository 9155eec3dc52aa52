"""Makes what both sides work on: phrases, a tiny (3.7M) and a big (126M) Phi-3, and the jobs as Olive's workflow JSON.

python inputs.py FOLDER
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "emotion"))

TEMPLATE = "### Text: {phrase}\n### The tone is:\n{tone}"
SHAPES = {
    "tiny": {
        "vocab_size": 2048,
        "hidden_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 512,
    },
    "big": {
        "vocab_size": 8000,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    },
}
MAX_LENGTH = {"tiny": 256, "big": 64}
"""Tokens in a sequence: the big model would take minutes with 256."""
CONTEXT = 512
ROWS = 480


def olive_job(size: str, folder: Path, work: Path) -> dict[str, Any]:
    """Returns the job as Olive's workflow JSON: LoRA of 10 steps × 4 in fp32, merge, int4."""
    lora = {
        "type": "LoRA",
        "target_modules": ["o_proj", "qkv_proj"],
        "r": 64,
        "alpha": 64,
        "lora_dropout": 0.1,
        "torch_dtype": "float32",
        "train_data_config": "train",
        "training_args": {
            "seed": 0,
            "data_seed": 42,
            "per_device_train_batch_size": 1,
            "per_device_eval_batch_size": 1,
            "gradient_accumulation_steps": 4,
            "gradient_checkpointing": False,
            "learning_rate": 1e-4,
            "num_train_epochs": 3,
            "max_steps": 10,
            "logging_steps": 10,
            "adam_beta2": 0.999,
            "max_grad_norm": 0.3,
        },
    }
    rows = {
        "name": "train",
        "type": "HuggingfaceContainer",
        "load_dataset_config": {"data_name": "json", "data_files": str(folder / "rows.json"), "split": "train"},
        "pre_process_data_config": {
            "text_cols": ["phrase", "tone"],
            "text_template": TEMPLATE,
            "strategy": "join",
            "max_seq_len": MAX_LENGTH[size],
            "pad_to_max_len": False,
            "use_attention_mask": False,
        },
    }
    machine = {
        "type": "LocalSystem",
        "accelerators": [{"device": "cpu", "execution_providers": ["CPUExecutionProvider"]}],
    }
    return {
        "input_model": {"type": "HfModel", "model_path": str(folder / size), "task": "text-generation"},
        "systems": {"local_system": machine},
        "host": "local_system",
        "target": "local_system",
        "data_configs": [rows],
        "passes": {
            "lora": lora,
            "merge": {"type": "MergeAdapterWeights"},
            "builder": {"type": "ModelBuilder", "precision": "int4"},
        },
        "log_severity_level": 0,
        "search_strategy": False,
        "cache_dir": str(work / "cache"),
        "output_dir": str(work / "out"),
    }


def make_model(shape: dict[str, int], texts: list[str], folder: Path) -> None:
    """Writes a Phi-3 of a shape with random weights: what is timed does not depend on what it knows."""
    import torch
    from make_model import make_tokenizer
    from transformers import GenerationConfig, Phi3Config, Phi3ForCausalLM

    tokenizer = make_tokenizer(texts)
    tokens = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    torch.manual_seed(0)
    model = Phi3ForCausalLM(
        Phi3Config(
            **shape,
            **tokens,
            num_key_value_heads=shape["num_attention_heads"],
            tie_word_embeddings=False,
            sliding_window=None,
            max_position_embeddings=CONTEXT,
            original_max_position_embeddings=CONTEXT,
        )
    )
    model.generation_config = GenerationConfig(**tokens)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make(folder: Path) -> None:
    """Writes everything into a folder; a file `made` is the last one."""
    from make_data import TONES, cues, rows

    folder.mkdir(parents=True, exist_ok=True)
    lines = rows([cues(tone)[0] for tone in TONES], ROWS, random.Random(7))
    (folder / "rows.json").write_text("\n".join(map(json.dumps, lines)) + "\n")
    for size, shape in SHAPES.items():
        make_model(shape, [TEMPLATE.format(**row) for row in lines], folder / size)
    (folder / "made").touch()


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported
    make(Path(sys.argv[1]).resolve())
