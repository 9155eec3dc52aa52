"""Imports what Millwright and its tests import at work, so that Python keeps it compiled: a third of what is installed.

Compiling all of it takes three times as long; compiling nothing lets several processes compile the same at once, and again
at each start where PYTHONDONTWRITEBYTECODE is set.
"""

import importlib
import sys

AT_WORK = """
    torch transformers transformers.trainer transformers.models.auto.modeling_auto transformers.models.llama.modeling_llama
    transformers.models.phi3.modeling_phi3 transformers.models.qwen2.modeling_qwen2 peft accelerate datasets
    onnx_ir onnxruntime onnxruntime_genai.models.builder lm_eval.evaluator lm_eval.tasks pyarrow.parquet
    boto3 kopf kubernetes.aio.client kubernetes.aio.config
    azure.ai.ml azure.identity azure.keyvault.secrets azure.storage.blob
    hypothesis pygal pytest rich.live typer xdist
"""


def main() -> None:
    """Imports all of AT_WORK; an ImportError is of a package that is not as requirements.lock has it."""
    sys.dont_write_bytecode = False
    for name in AT_WORK.split():
        importlib.import_module(name)


if __name__ == "__main__":
    main()
