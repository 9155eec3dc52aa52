"""What a training process imports, imported by the server that warm processes are forks of."""

from __future__ import annotations

import importlib
import os
import sys

from millwright_runner.process import prepare
from millwright_runner.training.loading import heavy_imports, hide_unneeded

os.environ["OMP_NUM_THREADS"] = "1"
prepare([])
hide_unneeded(set())
with heavy_imports():
    for name in ("torch", "transformers", "peft", "onnx_ir"):
        importlib.import_module(name)
    from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments  # they load at first use

for name in [name for name, module in sys.modules.items() if module is None]:
    del sys.modules[name]  # each run hides by itself what it does not need

LOADED = (AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments)
