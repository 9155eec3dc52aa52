"""What a training process imports, and the command line, imported by the server that warm processes are forks of."""

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
    for name in ("torch", "transformers", "peft", "onnxruntime_genai.models.builder"):
        importlib.import_module(name)
    from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments  # they load at first use
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping
    from transformers.models.phi3 import Phi3ForCausalLM

    get_checkpoint_conversion_mapping("phi3")  # of all architectures, kept from the first call on

for name in [name for name, module in sys.modules.items() if module is None]:
    del sys.modules[name]  # each run hides by itself what it does not need

from tests.warm_command import LOADED as COMMAND  # noqa: E402  with what was hidden while transformers looked for it

LOADED = (*COMMAND, AutoModelForCausalLM, AutoTokenizer, Phi3ForCausalLM, Trainer, TrainingArguments)
