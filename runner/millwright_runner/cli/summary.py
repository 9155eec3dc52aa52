"""What a run says at its end: where the model is, what it took, and how to try it."""

from __future__ import annotations

import shutil
import sys

from millwright_api.report import RunReport
from millwright_runner.artifact import HF, HF_ADAPTER, ONNX_GENAI
from millwright_runner.cli.words import duration, plural, size
from millwright_runner.plan import Plan

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
    HF_ADAPTER: """from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer
model = AutoPeftModelForCausalLM.from_pretrained({folder})
tokenizer = AutoTokenizer.from_pretrained(model.peft_config["default"].base_model_name_or_path)
tokens = model.generate(**tokenizer({prompt}, return_tensors="pt"), max_new_tokens=32)
print(tokenizer.decode(tokens[0]))""",
}
"""How a format is tried, by what reads it: Python, to be pasted into a shell."""


def summary(plan: Plan, report: RunReport) -> str:
    """Returns the closing text of a run that made a model. Lines may be longer than a screen is wide: paths stay whole."""
    made = report.artifact
    assert made is not None  # a run that ends without a model raises
    hits = [entry for entry in report.passes if entry.cache == "Hit"]
    times = ", ".join(f"{p.name} {'cached' if p.cache == 'Hit' else duration(p.seconds)}" for p in report.passes)
    rows = [
        ("model", made.uri),
        ("size", f"{size(made.bytes)} in {plural(made.files, 'file')}, format {made.format}"),
        ("time", f"{duration(report.seconds)} ({times})"),
        ("cache", f"{len(hits)} of {plural(len(report.passes), 'step')}"),
        ("report", f"{plan.output.uri}report.json"),
    ]
    if report.peak_memory_bytes:
        rows.insert(3, ("memory", f"{size(report.peak_memory_bytes)} at most"))
    text = "\n".join(f"{name:<8}{value}" for name, value in rows)
    how = try_it(made.uri, made.format)
    return f"{text}\n\n{how}" if how else text


def try_it(uri: str, kind: str, prompt: str = "Hello") -> str:
    """Returns the commands that try a model, or nothing for a format (`kind`) of a plug-in's."""
    if kind not in SNIPPETS:
        return ""
    remote = "://" in uri
    folder = "model" if remote else uri.rstrip("/")
    code = SNIPPETS[kind].format(folder=repr(folder), prompt=repr(prompt))
    fetch = f"aws s3 cp --recursive {uri} {folder}\n" if uri.startswith("s3://") else ""
    return f"Try it:\n\n{fetch}ORT_DISABLE_TELEMETRY=1 {_python()} - <<'END'\n{code}\nEND"


def _python() -> str:
    """Returns how the interpreter that has these libraries is called in this shell."""
    return "python" if shutil.which("python") == sys.executable else sys.executable
