"""What a run says at its end: where the model is, what it took, and how to try it."""

from __future__ import annotations

from millwright_api.report import RunReport
from millwright_runner.artifact import HF, HF_ADAPTER, ONNX_GENAI
from millwright_runner.cli.words import duration, plural, size
from millwright_runner.plan import Plan

SNIPPETS = {
    ONNX_GENAI: """import onnxruntime_genai as og
model = og.Model({folder}); tokenizer = og.Tokenizer(model); params = og.GeneratorParams(model); params.set_search_options(max_length=64)
generator = og.Generator(model, params); generator.append_tokens(tokenizer.encode({prompt}))
while not generator.is_done(): generator.generate_next_token()
print(tokenizer.decode(generator.get_sequence(0)))""",
    HF: """from transformers import pipeline
print(pipeline("text-generation", {folder}, max_new_tokens=32)({prompt})[0]["generated_text"])""",
    HF_ADAPTER: """from peft import AutoPeftModelForCausalLM
model = AutoPeftModelForCausalLM.from_pretrained({folder})
print(model)""",
}
"""How a format is tried, by those who read it. Lines of Python, to be pasted into a shell as they are."""


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


def try_it(uri: str, format: str, prompt: str = "Hello") -> str:
    """Returns the commands that try a model, or nothing for a format of a plug-in's."""
    if format not in SNIPPETS:
        return ""
    remote = "://" in uri
    folder = "model" if remote else uri.rstrip("/")
    code = SNIPPETS[format].format(folder=repr(folder), prompt=repr(prompt))
    fetch = f"aws s3 cp --recursive {uri} {folder}\n" if uri.startswith("s3://") else ""
    return f"Try it:\n\n{fetch}python - <<'END'\n{code}\nEND"
