"""How a format is tried, by what reads it: Python, to be pasted into a shell or a notebook."""

from __future__ import annotations

from millwright_runner.artifact import HF, HF_ADAPTER, ONNX_GENAI

SNIPPETS = {
    ONNX_GENAI: """import onnxruntime_genai as og
model = og.Model({folder})
tokenizer, params = og.Tokenizer(model), og.GeneratorParams(model)
params.set_search_options(max_length=64)
generator = og.Generator(model, params)
generator.append_tokens(tokenizer.encode({prompt}))
while not generator.is_done(): generator.generate_next_token()

print(tokenizer.decode(generator.get_sequence(0)))""",
    HF: """from transformers import pipeline
generate = pipeline("text-generation", {folder}, max_new_tokens=32)
print(generate({prompt})[0]["generated_text"])""",
    HF_ADAPTER: """from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
base, tokenizer = AutoModelForCausalLM.from_pretrained({base}), AutoTokenizer.from_pretrained({base})
model = PeftModel.from_pretrained(base, {folder})
tokens = model.generate(**tokenizer({prompt}, return_tensors="pt"), max_new_tokens=32)
print(tokenizer.decode(tokens[0]))""",
}
"""By format; `folder`, `base` and `prompt` are filled in as Python has them."""


def snippet(kind: str, *, folder: str, base: str, prompt: str = "Hello") -> str:
    """Returns the Python that tries a model, or nothing for a format of a plug-in's.

    Args:
        kind: its format.
        folder: where the model lies.
        base: where the model lies that an adapter sits on.
        prompt: what to ask it.
    """
    return SNIPPETS[kind].format(folder=repr(folder), base=repr(base), prompt=repr(prompt)) if kind in SNIPPETS else ""
