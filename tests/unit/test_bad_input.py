"""Bad input, one row each, through the real command line: exit code 2, one message that says where, what was found and
what is possible, nothing written, and nothing heavy loaded first."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests import smalldisk
from tests.badinput import GOOD, HEAVY, REMOVED, ROWS, Ground, Told
from tests.conftest import S3Bucket
from tests.tiny import TENSORS, make_model_files, write_safetensors

from millwright_runner.digests import DigestMemo, digest_folder
from millwright_runner.published import publish
from millwright_runner.stores.file import FileStore

SPEC, LORA, TEXT, METRICS = "spec", "spec.passes.0.lora", "spec.data.0.text", "spec.evaluation.metrics"
SECOND_MODEL = {"spec.model.s3": {"uri": "s3://models/phi3/"}}


@dataclass(frozen=True)
class Bad:
    """A row of the table.

    Attributes:
        name: what is wrong.
        reason: the exception's name, the first word of the message.
        where: the place, which follows.
        found: what was found.
        possible: what is possible instead.
        changes: what the manifest has, other than GOOD.
        ground: changes other files, after the manifest is written.
        arguments: of the command.
    """

    name: str
    reason: str
    where: str
    found: str
    possible: str
    changes: dict[str, Any] = field(default_factory=dict)
    ground: Callable[[Ground], Any] = lambda ground: None
    arguments: tuple[str, ...] = ("run", "job.yaml")


def without(name: str) -> Callable[[Ground], None]:
    return lambda ground: (ground.folder / name).unlink()


def torn(name: str, *, keep: int) -> Callable[[Ground], None]:
    return lambda ground: ground.write(name, (ground.folder / name).read_bytes()[:keep])


def data_in(name: str, content: bytes, **changes: Any) -> dict[str, Any]:
    """A row whose data lie in another file."""
    return {
        "changes": {"spec.data.0.source.path": name} | changes,
        "ground": lambda ground: ground.write(name, content),
    }


KEYS = [
    Bad(
        "a misspelt option of a pass",
        "InvalidManifest",
        "job.yaml:24: spec.passes[0].lora.rnk",
        "unknown key",
        "possible: alpha, bias",
        {f"{LORA}.rnk": 4},
    ),
    Bad(
        "a misspelt option that is close",
        "InvalidManifest",
        "spec.passes[0].lora.dropuot",
        "unknown key",
        "did you mean 'dropout'?",
        {f"{LORA}.dropuot": 0.1},
    ),
    Bad(
        "an option in snake case",
        "InvalidManifest",
        "spec.passes[0].lora.target_modules",
        "unknown key",
        "did you mean 'targetModules'?",
        {f"{LORA}.target_modules": ["o_proj"]},
    ),
    Bad(
        "an option one level too high",
        "InvalidManifest",
        "spec.passes[0].lora.learningRate",
        "unknown key",
        "possible: ",
        {f"{LORA}.learningRate": 1e-4},
    ),
    Bad(
        "a misspelt option of training",
        "InvalidManifest",
        "spec.passes[0].lora.training.learningrate",
        "unknown key",
        "did you mean 'learningRate'?",
        {f"{LORA}.training.learningrate": 1e-4},
    ),
    Bad(
        "a misspelt key of spec",
        "InvalidManifest",
        "spec.ouput",
        "unknown key",
        "did you mean 'output'?",
        {"spec.ouput": {"path": "out"}},
    ),
    Bad(
        "a misspelt key of a data set",
        "InvalidManifest",
        "spec.data[0].text.maxlength",
        "unknown key",
        "did you mean 'maxLength'?",
        {f"{TEXT}.maxlength": 64},
    ),
    Bad(
        "a search for nothing",
        "InvalidManifest",
        "spec.search.parameters",
        "is missing",
        "expected a list of mappings, 1 to 12 entries",
        {"spec.search": {"maxTrials": 12}},
    ),
    Bad(
        "a misspelt pass",
        "UnknownPass",
        "spec.passes[1]",
        "no pass is called 'merg'",
        "did you mean 'merge'?",
        {"spec.passes.1": {"merg": {}}},
    ),
    Bad(
        "a pass of nobody's",
        "UnknownPass",
        "spec.passes[1]",
        "no pass is called 'distill'",
        "possible: genai, lora, merge, qlora",
        {"spec.passes.1": {"distill": {}}},
    ),
    Bad(
        "a plug-in that is not installed",
        "UnknownPass",
        "spec.passes[1]",
        "no pass is called 'sparsegpt'",
        "possible: genai, lora",
        {"spec.passes.1": {"custom": {"pass": "sparsegpt"}}},
    ),
    Bad(
        "two passes in a step",
        "InvalidManifest",
        "spec.passes[1]",
        "a step names exactly one pass; merge and genai are given",
        "exactly one",
        {"spec.passes.1": {"merge": {}, "genai": {}}},
    ),
    Bad(
        "another kind",
        "InvalidManifest",
        "job.yaml:2: kind",
        "found 'Deployment'",
        "expected OptimizationJob",
        {"kind": "Deployment"},
    ),
    Bad(
        "an apiVersion from the future",
        "InvalidManifest",
        "job.yaml:1: apiVersion",
        "found 'millwright.dev/v2'",
        "expected millwright.dev/v1alpha1",
        {"apiVersion": "millwright.dev/v2"},
    ),
    Bad(
        "a name that is no DNS label",
        "InvalidManifest",
        "metadata.name",
        "found 'My_Job'",
        "expected",
        {"metadata.name": "My_Job"},
    ),
]

BOUNDS = [
    Bad(
        "text for a number",
        "InvalidManifest",
        "spec.passes[0].lora.r",
        "found '64'",
        "without quotes",
        {f"{LORA}.r": "64"},
    ),
    Bad(
        "a fraction for a whole number",
        "InvalidManifest",
        "spec.passes[0].lora.r",
        "found 6.5",
        "expected a whole number, 1 to 4096",
        {f"{LORA}.r": 6.5},
    ),
    Bad("a rank of nought", "InvalidManifest", "spec.passes[0].lora.r", "found 0", "1 to 4096", {f"{LORA}.r": 0}),
    Bad(
        "a dropout of one",
        "InvalidManifest",
        "spec.passes[0].lora.dropout",
        "found 1",
        "at least 0, below 1",
        {f"{LORA}.dropout": 1.0},
    ),
    Bad(
        "a negative learning rate",
        "InvalidManifest",
        "spec.passes[0].lora.training.learningRate",
        "found -0.1",
        "above 0",
        {f"{LORA}.training.learningRate": -0.1},
    ),
    Bad(
        "a learning rate that is not a number",
        "InvalidManifest",
        "job.yaml:24",
        ".nan",
        "is no number",
        {f"{LORA}.training.learningRate": float("nan")},
    ),
    Bad(
        "a block size that no kernel has",
        "InvalidManifest",
        "spec.passes[2].genai.blockSize",
        "found 48",
        "16, 32, 64, 128, 256",
        {"spec.passes.2.genai.blockSize": 48},
    ),
    Bad(
        "a misspelt precision",
        "InvalidManifest",
        "spec.passes[2].genai.precision",
        "found 'int44'",
        "did you mean 'int4'?",
        {"spec.passes.2.genai.precision": "int44"},
    ),
    Bad(
        "a misspelt provider",
        "InvalidManifest",
        "spec.target.executionProvider",
        "found 'CPU'",
        "one of CPUExecutionProvider",
        {"spec.target": {"executionProvider": "CPU"}},
    ),
    Bad(
        "a number for a list",
        "InvalidManifest",
        "spec.data[0].text.columns",
        "found 'phrase'",
        "expected a list",
        {f"{TEXT}.columns": "phrase"},
    ),
    Bad(
        "a list for a mapping",
        "InvalidManifest",
        "spec.model",
        "found a list of 1",
        "expected a mapping",
        {"spec.model": ["model"]},
    ),
    Bad("no passes", "InvalidManifest", "spec.passes", "found an empty list", "1 to 32 entries", {"spec.passes": []}),
    Bad("no output", "InvalidManifest", "spec.output", "is missing", "expected a mapping", {"spec.output": REMOVED}),
    Bad(
        "early stopping without evaluation data",
        "InvalidManifest",
        "spec.passes[0].lora",
        "earlyStopping needs evaluation data",
        "one of evalData, evalFraction, evalSize",
        {f"{LORA}.training.earlyStopping": {"patience": 2}},
    ),
    Bad(
        "a stride that loses tokens",
        "InvalidManifest",
        "spec.data[0].text",
        "stride 65 is larger than maxLength 64",
        "would be lost",
        {f"{TEXT}.stride": 65},
    ),
]

REFERENCES = [
    Bad("two model sources", "InvalidManifest", "spec.model", "s3 and path are given", "exactly one of huggingFace, s3, azureBlob, azureML, path, volume", SECOND_MODEL),
    Bad("no model source", "InvalidManifest", "spec.model", "none is given", "exactly one of huggingFace, s3, azureBlob, azureML, path, volume", {"spec.model": {}}),
    Bad("two outputs", "InvalidManifest", "spec.output", "s3 and path are given", "exactly one of s3, azureBlob, path, volume", {"spec.output.s3": {"uri": "s3://models/x/"}}),
    Bad("text and chat at once", "InvalidManifest", "spec.data[0]", "both are given", "exactly one of text, chat", {"spec.data.0.chat": {}}),
    Bad("data that are not declared", "InvalidManifest", "spec.passes[0].lora.trainData", "no data set is called 'trian'", "did you mean 'train'?", {f"{LORA}.trainData": "trian"}),
    Bad("evaluation data that are not declared", "InvalidManifest", "spec.passes[0].lora.evalData", "no data set is called 'holdout'", "possible: train", {f"{LORA}.evalData": "holdout"}),
    Bad("data where none are declared", "InvalidManifest", "spec.passes[0].lora.trainData", "no data set is called 'train'", "none is possible", {"spec.data": []}),
    Bad("two data sets of one name", "InvalidManifest", "spec", "data has the name 'train' more than once", "each its own name", {"spec.data": [GOOD["spec"]["data"][0]] * 2}),
    Bad("a template with an unknown column", "InvalidManifest", "spec.data[0].text.template", "'ton'", "did you mean 'tone'?", {f"{TEXT}.template": "{phrase} {ton}"}),
    Bad("a template with an open brace", "InvalidManifest", "spec.data[0].text.template", "expected '}'", "a literal brace is doubled", {f"{TEXT}.template": "{phrase"}),
    Bad("an answer that is no column", "InvalidManifest", "spec.data[0].text", "answer names the column 'label'", "['phrase', 'tone']", {f"{TEXT}.answer": "label"}),
    Bad("an adapter that is converted without merge", "ChainMismatch", "spec.passes[1]", "genai reads hf, and qlora before it gives hf+adapter", "put merge in between",
        {"spec.passes": [{"qlora": {"trainData": "train"}}, {"genai": {}}]}),
    Bad("merge without an adapter", "ChainMismatch", "spec.passes[0]", "merge reads hf+adapter, and the model gives hf", "put lora or qlora in between", {"spec.passes": [{"merge": {}}]}),
    Bad("a precision that the provider cannot load", "InvalidManifest", "spec.passes[2].genai.precision", "bf16 does not run on CPUExecutionProvider", "there: fp32, fp16, int8, int4", {"spec.passes.2.genai.precision": "bf16"}),
    Bad("a metric without its data", "InvalidManifest", "spec.evaluation.metrics[0]", "exactMatch is measured on data, and names none", "set spec.evaluation.data, or data here", {METRICS: [{"exactMatch": {}}]}),
    Bad("a metric on data that are not declared", "InvalidManifest", "spec", "evaluation.metrics[0].data names the data set 'holdout'", "possible: train", {METRICS: [{"exactMatch": {}, "data": "holdout"}]}),
    Bad("a metric on data that do not name their answers", "InvalidManifest", "spec.data[0].text.answer", "the data set 'train' does not say which column holds them", "one of phrase, tone", {METRICS: [{"f1": {}, "data": "train"}]}),
    Bad("a metric that is none", "UnknownMetric", "spec.evaluation.metrics[0]", "no metric is called 'sizeOnDsk'", "did you mean 'sizeOnDisk'?", {METRICS: [{"sizeOnDsk": {}}]}),
    Bad("two metrics of one name", "InvalidManifest", "spec.evaluation", "metrics has the name 'sizeOnDisk' more than once", "each its own name", {METRICS: [{"sizeOnDisk": {}}, {"sizeOnDisk": {}}]}),
    Bad("a misspelt option of a metric", "InvalidManifest", "spec.evaluation.metrics[0].exactMatch.maxNewToken", "unknown key", "did you mean 'maxNewTokens'?",
        {METRICS: [{"exactMatch": {"maxNewToken": 4}, "data": "train"}], f"{TEXT}.answer": "tone"}),
    Bad("labels that are one answer", "InvalidManifest", "spec.evaluation.metrics[0].exactMatch.labels", "'joy' and 'joy ' are the same answer", "leave one of them out",
        {METRICS: [{"exactMatch": {"labels": ["joy", "joy "]}, "data": "train"}], f"{TEXT}.answer": "tone"}),
    Bad("a constraint on a metric that is none", "InvalidManifest", "spec.evaluation", "constraints[0] names the metric 'size'", "possible: sizeOnDisk",
        {METRICS: [{"sizeOnDisk": {}}], "spec.evaluation.constraints": [{"metric": "size", "max": 1}]}),
    Bad("a constraint with two bounds", "InvalidManifest", "spec.evaluation.constraints[0]", "max and min are given", "exactly one of max, min, maxDrop",
        {METRICS: [{"sizeOnDisk": {}}], "spec.evaluation.constraints": [{"metric": "sizeOnDisk", "max": 1, "min": 0}]}),
    Bad("a block size without quantization", "InvalidManifest", "spec.passes[2].genai", "precision is fp32", "blockSize goes with int4 and int8", {"spec.passes.2.genai": {"precision": "fp32", "blockSize": 32}}),
    Bad("an optimizer that needs quantization's library", "InvalidManifest", "spec.passes[0].lora.training.optimizer", "found 'adam'", "expected", {f"{LORA}.training.optimizer": "adam"}),
]  # fmt: skip

MODELS = [
    Bad(
        "a model folder that is not there",
        "ModelNotFound",
        "modle",
        "there is no such folder",
        "did you mean 'model'?",
        {"spec.model.path": "modle"},
    ),
    Bad(
        "a model that is a file",
        "ModelNotFound",
        "rows.jsonl",
        "this is a file",
        "a model is a folder",
        {"spec.model.path": "rows.jsonl"},
    ),
    Bad(
        "a model without config",
        "InvalidModel",
        "model",
        "there is no config.json",
        "save_pretrained",
        ground=without("model/config.json"),
    ),
    Bad(
        "a model whose config is torn",
        "InvalidModel",
        "model/config.json",
        "malformed JSON",
        "line 1 column",
        ground=torn("model/config.json", keep=12),
    ),
    Bad(
        "a model without a tokenizer",
        "InvalidModel",
        "model",
        "there is no tokenizer",
        "tokenizer.json",
        ground=without("model/tokenizer.json"),
    ),
    Bad(
        "a model whose tokenizer is torn",
        "InvalidModel",
        "model",
        "tokenizer",
        "tokenizer",
        ground=torn("model/tokenizer.json", keep=99),
    ),
    Bad(
        "a model without weights",
        "InvalidModel",
        "model",
        "found no weights at all",
        "save_pretrained",
        ground=without("model/model.safetensors"),
    ),
    Bad(
        "weights that are torn in the header",
        "InvalidModel",
        "model/model.safetensors",
        "torn safetensors file: the header ends at",
        "download it again",
        ground=torn("model/model.safetensors", keep=100),
    ),
    Bad(
        "weights that are torn in the data",
        "InvalidModel",
        "model/model.safetensors",
        "torn safetensors file: the header tells of",
        "download it again",
        ground=torn("model/model.safetensors", keep=200_000),
    ),
    Bad(
        "weights of nought bytes",
        "InvalidModel",
        "model/model.safetensors",
        "torn safetensors file",
        "the file has 0",
        ground=torn("model/model.safetensors", keep=0),
    ),
    Bad(
        "a shard that is missing",
        "InvalidModel",
        "model/model.safetensors.index.json",
        "1 of 1 files are missing: one.safetensors",
        "download the model again",
        ground=lambda ground: (
            without("model/model.safetensors")(ground),
            ground.write("model/model.safetensors.index.json", '{"weight_map": {"lm_head.weight": "one.safetensors"}}'),
        ),
    ),
    Bad(
        "a model without some of its layers",
        "InvalidModel",
        "model",
        "config.json asks for 3 layers, and the weights have none for layer 1",
        "download the model again",
        ground=lambda ground: ground.write("model/config.json", '{"model_type": "phi3", "num_hidden_layers": 3}'),
    ),
    Bad(
        "a model without its head",
        "InvalidModel",
        "model",
        "the weights have no lm_head.weight",
        "does not tie it to the embedding",
        ground=lambda ground: (
            ground.write("model/config.json", '{"model_type": "phi3", "tie_word_embeddings": false}'),
            without("model/model.safetensors")(ground),
            write_safetensors(
                ground.folder / "model" / "model.safetensors",
                {name: shape for name, shape in TENSORS.items() if name != "lm_head.weight"},
            ),
        ),
    ),
    Bad(
        "an architecture that nobody knows",
        "InvalidModel",
        "model/config.json",
        "'phi33'",
        "phi3",
        ground=lambda ground: ground.write("model/config.json", '{"model_type": "phi33"}'),
    ),
    Bad(
        "target modules that match nothing",
        "InvalidModel",
        "spec.passes[0].lora.targetModules",
        "'qkv_porj' matches no",
        "there are down_proj, gate_up_proj, o_proj, qkv_proj, or all-linear",
        {f"{LORA}.targetModules": ["o_proj", "qkv_porj"]},
    ),
    Bad(
        "a pattern that matches nothing",
        "InvalidModel",
        "spec.passes[0].lora.targetModules",
        "'.*attn' matches no",
        "qkv_proj, or all-linear",
        {f"{LORA}.targetModules": ".*attn"},
    ),
    Bad(
        "a pattern that is none",
        "InvalidModel",
        "spec.passes[0].lora.targetModules",
        "'(o_proj' is no regular expression",
        "position 0",
        {f"{LORA}.targetModules": "(o_proj"},
    ),
    Bad(
        "modules to save that match nothing",
        "InvalidModel",
        "spec.passes[0].lora.modulesToSave",
        "'head' matches no",
        "lm_head",
        {f"{LORA}.modulesToSave": ["head"]},
    ),
]

DATA = [
    Bad(
        "a data file that is not there",
        "DataNotFound",
        "row.jsonl",
        "there is no such file",
        "did you mean 'rows.jsonl'?",
        {"spec.data.0.source.path": "row.jsonl"},
    ),
    Bad(
        "a folder for a data file",
        "DataNotFound",
        "model",
        "this is a folder",
        "tokenizer.json",
        {"spec.data.0.source.path": "model"},
    ),
    Bad(
        "an empty file",
        "InvalidData",
        "rows.jsonl",
        "the file is empty",
        "",
        ground=lambda ground: ground.write("rows.jsonl", b""),
    ),
    Bad(
        "a file of blank lines",
        "InvalidData",
        "rows.jsonl",
        "there are no rows",
        "",
        ground=lambda ground: ground.write("rows.jsonl", b"\n\n  \n"),
    ),
    Bad("an empty array", "InvalidData", "rows.json", "there are no rows", "", **data_in("rows.json", b"[]")),
    Bad(
        "a header and no rows",
        "InvalidData",
        "rows.csv",
        "there are no rows",
        "",
        **data_in("rows.csv", b"phrase,tone\n"),
    ),
    Bad(
        "a suffix that is no format",
        "InvalidData",
        "rows.txt",
        "the suffix '.txt' is no format of rows",
        ".json, .jsonl, .csv, .parquet",
        **data_in("rows.txt", ROWS),
    ),
    Bad(
        "a malformed line",
        "InvalidData",
        "rows.jsonl, line 3",
        "JSON",
        "",
        ground=lambda ground: ground.write("rows.jsonl", ROWS[: len(ROWS) // 20] + b'{"phrase": \n' + ROWS),
    ),
    Bad(
        "a malformed line far down",
        "InvalidData",
        "rows.jsonl, line 41",
        "JSON",
        "",
        ground=lambda ground: ground.write("rows.jsonl", ROWS + b'{"phrase": "x", "tone"}\n'),
    ),
    Bad(
        "a last line that is torn",
        "InvalidData",
        "rows.jsonl, line 41",
        "JSON",
        "",
        ground=lambda ground: ground.write("rows.jsonl", ROWS + b'{"phrase": "x", "to'),
    ),
    Bad(
        "a line that is no object",
        "InvalidData",
        "rows.jsonl, line 1",
        "list",
        "",
        ground=lambda ground: ground.write("rows.jsonl", b"[1, 2]\n"),
    ),
    Bad(
        "a line that is no UTF-8",
        "InvalidData",
        "rows.jsonl, line 41",
        "not UTF-8: byte 0xff",
        "save the file as UTF-8",
        ground=lambda ground: ground.write("rows.jsonl", ROWS + b'{"phrase": "\xff\xfe", "tone": "joy"}\n'),
    ),
    Bad(
        "a malformed array",
        "InvalidData",
        "rows.json, line 3",
        "JSON",
        "",
        **data_in("rows.json", b'[\n{"phrase": "a", "tone": "b"},\n{"phrase": }\n]'),
    ),
    Bad(
        "a CSV row with too many fields",
        "InvalidData",
        "rows.csv, line 3",
        "3",
        "2",
        **data_in("rows.csv", b"phrase,tone\na,b\na,b,c\n"),
    ),
    Bad(
        "a Parquet file that is none",
        "InvalidData",
        "rows.parquet",
        "Parquet",
        "",
        **data_in("rows.parquet", b"PAR1 no"),
    ),
    Bad(
        "a torn gzip file",
        "InvalidData",
        "rows.jsonl.gz",
        "not a whole gzip file",
        "",
        **data_in("rows.jsonl.gz", b"\x1f\x8b\x08\x00abc"),
    ),
    Bad(
        "a missing column",
        "InvalidData",
        "rows.jsonl, line 1",
        "'text'",
        "phrase, tone",
        {f"{TEXT}.columns": ["text"], f"{TEXT}.template": "{text}"},
    ),
    Bad(
        "a missing column of a CSV file",
        "InvalidData",
        "rows.csv",
        "'tone'",
        "phrase, label",
        **data_in("rows.csv", b"phrase,label\na,b\n"),
    ),
    Bad(
        "a missing column far down",
        "InvalidData",
        "rows.jsonl, line 41",
        "'tone'",
        "phrase",
        ground=lambda ground: ground.write("rows.jsonl", ROWS + b'{"phrase": "x"}\n'),
    ),
    Bad(
        "messages that are not there",
        "InvalidData",
        "rows.jsonl, line 1",
        "'messages'",
        "phrase, tone",
        {TEXT: REMOVED, "spec.data.0.chat": {}},
    ),
    Bad(
        "a message without content",
        "InvalidData",
        "rows.jsonl, line 1",
        "message 1 (user) has no content",
        "that is a text",
        {TEXT: REMOVED, "spec.data.0.chat": {}},
        lambda ground: ground.write("rows.jsonl", b'{"messages": [{"role": "user"}]}\n'),
    ),
    Bad(
        "rows that are all too long",
        "InvalidData",
        "rows.jsonl",
        "all 40 rows are longer than maxLength 4",
        "set maxLength to",
        {f"{TEXT}.maxLength": 4, f"{TEXT}.strategy": "line-by-line"},
    ),
    Bad(
        "too few rows for an evaluation",
        "InvalidData",
        "job.yaml:24: spec.passes[0].lora.evalSize",
        "1000 of them would be held back",
        "give more rows",
        {f"{LORA}.evalSize": 1000},
    ),
]

OUTPUTS = [
    Bad(
        "an output that is a file",
        "StoreNotFound",
        "rows.jsonl/",
        "is a file, not a folder",
        "",
        {"spec.output.path": "rows.jsonl"},
    ),
    Bad(
        "an output below a file",
        "StoreNotFound",
        "rows.jsonl/out/",
        "is a file, not a folder",
        "",
        {"spec.output.path": "rows.jsonl/out"},
    ),
    Bad(
        "an output with another tool's manifest",
        "OutputExists",
        "out/",
        "manifest.json that Millwright did not write",
        "choose another output",
        ground=lambda ground: ground.write("out/manifest.json", "{}"),
    ),
    Bad(
        "an output on a file system of the kernel's",
        "StoreNotFound",
        "/proc/out",
        "no file can be there",
        "",
        {"spec.output.path": "/proc/out"},
    ),
    Bad(
        "a bucket name that is none",
        "InvalidManifest",
        "spec.output.s3.uri",
        "found 's3://Bucket/x'",
        "s3://",
        {"spec.output": {"s3": {"uri": "s3://Bucket/x"}}},
    ),
    Bad(
        "a cache of another scheme",
        "InvalidManifest",
        "--cache",
        "'gs://bucket/x'",
        "s3://",
        arguments=("run", "job.yaml", "--cache", "gs://bucket/x"),
    ),
]

TEXTS = [
    Bad(
        "a manifest that is not there",
        "InvalidManifest",
        "jop.yaml",
        "there is no such file",
        "did you mean 'job.yaml'?",
        arguments=("run", "jop.yaml"),
    ),
    Bad(
        "a manifest of nought bytes",
        "InvalidManifest",
        "job.yaml",
        "the file is empty",
        "apiVersion",
        ground=lambda ground: ground.write("job.yaml", b""),
    ),
    Bad(
        "a manifest of comments",
        "InvalidManifest",
        "job.yaml",
        "the file is empty",
        "apiVersion",
        ground=lambda ground: ground.write("job.yaml", b"# later\n---\n"),
    ),
    Bad(
        "a manifest that is a list",
        "InvalidManifest",
        "job.yaml",
        "expected a mapping",
        "apiVersion",
        ground=lambda ground: ground.write("job.yaml", b"- lora\n"),
    ),
    Bad(
        "tabs in YAML",
        "InvalidManifest",
        "job.yaml:2",
        "tab",
        "spaces",
        ground=lambda ground: ground.write("job.yaml", b"spec:\n\tmodel: x\n"),
    ),
    Bad(
        "a key twice",
        "InvalidManifest",
        "job.yaml:3",
        "kind",
        "",
        ground=lambda ground: ground.write(
            "job.yaml", b"apiVersion: millwright.dev/v1alpha1\nkind: OptimizationJob\nkind: OptimizationJob\n"
        ),
    ),
    Bad(
        "YAML that is open",
        "InvalidManifest",
        "job.yaml:",
        "",
        "",
        ground=lambda ground: ground.write("job.yaml", b"spec: {model: {path: x}\n"),
    ),
    Bad(
        "two documents",
        "InvalidManifest",
        "job.yaml:",
        "document",
        "",
        ground=lambda ground: ground.write("job.yaml", b"a: 1\n---\nb: 2\n"),
    ),
    Bad(
        "a manifest that is binary",
        "InvalidManifest",
        "job.yaml",
        "",
        "",
        ground=lambda ground: ground.write("job.yaml", b"\x7fELF\x00\xff"),
    ),
    Bad(
        "a manifest that is a folder",
        "InvalidManifest",
        "model",
        "this is a folder",
        "config.json",
        arguments=("run", "model"),
    ),
    Bad(
        "a --set of an unknown key",
        "InvalidManifest",
        "--set passes.lora.rank: spec.passes[0].lora.rank",
        "unknown key",
        "",
        arguments=("run", "job.yaml", "--set", "passes.lora.rank=8"),
    ),
    Bad(
        "a --set of an unknown step",
        "InvalidManifest",
        "--set passes.fintune.r",
        "spec.passes has no entry 'fintune'",
        "possible: genai, lora, merge",
        arguments=("run", "job.yaml", "--set", "passes.fintune.r=8"),
    ),
    Bad(
        "a --set of a wrong type",
        "InvalidManifest",
        "--set passes.lora.r: spec.passes[0].lora.r",
        "found 'eight'",
        "expected a whole number",
        arguments=("run", "job.yaml", "--set", "passes.lora.r=eight"),
    ),
    Bad(
        "a --set without a value",
        "InvalidManifest",
        "--set",
        "found 'passes.lora.r'",
        "path=value",
        arguments=("run", "job.yaml", "--set", "passes.lora.r"),
    ),
    Bad(
        "a --set beyond a list",
        "InvalidManifest",
        "--set passes[7].lora.r",
        "spec.passes has no entry 7",
        "it has 3",
        arguments=("run", "job.yaml", "--set", "passes[7].lora.r=8"),
    ),
]

OLIVE = {
    "input_model": {"type": "HfModel", "model_path": "model"},
    "data_configs": [{"name": "d", "type": "HuggingfaceContainer", "load_dataset_config": {"data_name": "json", "data_files": "rows.jsonl", "split": "train"},
                      "pre_process_data_config": {"text_cols": ["phrase"]}}],
    "passes": {"f": {"type": "LoRA", "train_data_config": "d"}, "m": {"type": "MergeAdapterWeights"}},
    "output_dir": "out",
}  # fmt: skip


def olive(passes: dict[str, Any]) -> Callable[[Ground], None]:
    return lambda ground: ground.write("olive.json", json.dumps(OLIVE | {"passes": OLIVE["passes"] | passes}))  # type: ignore[operator]


WORKFLOWS = [
    Bad(
        "an Olive pass of nobody's",
        "UnknownPass",
        "passes.q",
        "'OnnxQantization'",
        "OnnxQuantization",
        ground=olive({"q": {"type": "OnnxQantization"}}),
        arguments=("run", "olive.json"),
    ),
    Bad(
        "an Olive pass that has no counterpart",
        "InvalidManifest",
        "passes.q",
        "OrtTransformersOptimization",
        "import",
        ground=olive({"q": {"type": "OrtTransformersOptimization"}}),
        arguments=("run", "olive.json"),
    ),
    Bad(
        "an Olive workflow that is torn",
        "InvalidManifest",
        "olive.json",
        "",
        "",
        ground=lambda ground: ground.write("olive.json", '{"input_model": '),
        arguments=("import", "olive.json"),
    ),
    Bad(
        "an Olive pass without a type",
        "InvalidManifest",
        "passes.q",
        "type",
        "",
        ground=olive({"q": {}}),
        arguments=("import", "olive.json"),
    ),
]

TABLE = [*KEYS, *BOUNDS, *REFERENCES, *MODELS, *DATA, *OUTPUTS, *TEXTS, *WORKFLOWS]


@pytest.fixture(scope="session")
def zeros(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model_files(tmp_path_factory.mktemp("zeros") / "model")


@pytest.fixture
def ground(tmp_path: Path, zeros: Path) -> Ground:
    return Ground.make(tmp_path, zeros)


def assert_refused(told: Told, reason: str, *parts: str) -> None:
    """One block on stderr with all parts, exit code 2, nothing made, nothing heavy imported."""
    assert told.code == 2, told
    assert told.out == ""
    blocks = re.findall(r"^([A-Z]\w+)(?::|$)", told.err, re.MULTILINE)  # what a run has told before is in lower case
    assert blocks == [reason], told.err
    assert "Traceback" not in told.err
    for part in parts:
        assert part in told.err, told.err
    assert told.made == []
    assert told.heavy == []


@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: bad.name)
def test_is_refused_with_one_message(bad: Bad, ground: Ground) -> None:
    ground.manifest(bad.changes)
    bad.ground(ground)

    told = ground.run(*bad.arguments)

    assert_refused(told, bad.reason, bad.where, bad.found, bad.possible)


def test_the_job_that_all_rows_differ_from_is_right(ground: Ground) -> None:
    ground.manifest({})

    told = ground.run("plan", "job.yaml", "--json")

    assert told.code == 0, told.err
    assert [step["cache"] for step in json.loads(told.out)["steps"]] == ["Miss", "Miss", "Miss"]
    assert told.heavy == []
    assert told.made == []


def test_all_mistakes_in_a_manifest_are_told_at_once(ground: Ground) -> None:
    ground.manifest(
        {f"{LORA}.r": 0, "spec.target": {"executionProvder": "CPU"}, "spec.modle": {}, "metadata.name": REMOVED}
    )

    told = ground.run("run", "job.yaml")

    assert_refused(
        told,
        "InvalidManifest",
        "InvalidManifest: 3 problems",
        "spec.modle: unknown key",
        "spec.target.executionProvder",
        "metadata.name: is missing",
    )


@pytest.mark.parametrize("verb", ["run", "plan", "validate"])
def test_every_verb_refuses_it_alike(ground: Ground, verb: str) -> None:
    ground.manifest({"spec.passes.1": {"merg": {}}})

    told = ground.run(verb, "job.yaml")

    assert_refused(
        told, "UnknownPass", "job.yaml:24: spec.passes[1]", "no pass is called 'merg'", "did you mean 'merge'?"
    )


def test_with_json_the_refusal_is_also_one_document_on_stdout(ground: Ground) -> None:
    ground.manifest({f"{LORA}.r": 0})

    told = ground.run("run", "job.yaml", "--json")

    report = json.loads(told.out)
    assert (report["outcome"], report["reason"], report["exit_code" if "exit_code" in report else "exitCode"]) == (
        "Failed",
        "InvalidManifest",
        2,
    )
    assert_refused(replace(told, out=""), "InvalidManifest", "spec.passes[0].lora.r")


@pytest.mark.parametrize("replaced", [False, True], ids=["of this format", "although its files are gone"])
def test_an_output_that_holds_another_result(ground: Ground, replaced: bool) -> None:
    result = ground.folder / "home" / "result"
    result.mkdir()
    (result / "model.onnx").write_text("weights")
    memo = DigestMemo(ground.folder / "home")
    files, _ = digest_folder(result, memo)
    publish(
        FileStore(ground.folder / "out"), "f" * 64, folder=result, files=files, cached=None, memo=memo,
        format="onnx-genai", meta={}, replace=False,
    )  # fmt: skip
    if replaced:
        (ground.folder / "out" / ("f" * 12) / "model.onnx").unlink()
    ground.manifest({})

    told = ground.run("run", "job.yaml")

    assert_refused(
        told,
        "OutputExists",
        f"{ground.folder}/out/: it holds another result (ffffffffffff",
        "set spec.output.replace: true",
    )


ON_SMALL_DISK = """
import json, os, pathlib, subprocess, sys
disk = pathlib.Path(sys.argv[1])
done = subprocess.run([sys.executable, "-m", "millwright_runner", "run", "job.yaml"], cwd=disk.parent, capture_output=True, text=True)
print(json.dumps([done.returncode, done.stdout, done.stderr, [str(path) for path in disk.rglob("*")]]))
"""


@pytest.mark.parametrize(
    ("kind", "rank"), [(smalldisk.TMPFS, 4096), (smalldisk.TMPFS, 4), (smalldisk.LIMIT, 4)],
    ids=["too small for the job from the start", "full while rows become tokens", "a limit while rows become tokens"],
)  # fmt: skip
def test_no_space_is_left(ground: Ground, monkeypatch: pytest.MonkeyPatch, kind: str, rank: int) -> None:
    for name, value in {"MILLWRIGHT_HOME": str(ground.folder / "home"), **ground.imports.environment}.items():
        monkeypatch.setenv(name, value)
    ground.manifest({f"{LORA}.r": rank})
    ground.write("rows.jsonl", ROWS * 1000)  # as tokens more than the disk holds

    done = smalldisk.run(kind, ON_SMALL_DISK, ground.folder / "out")

    code, out, err, made = json.loads(done.stdout)
    told = Told(code, out, err, sorted(ground.imports.packages & HEAVY), made)
    assert_refused(told, "NoSpaceLeft", f"{ground.folder}/out/.millwright/work")


def s3_job(s3: S3Bucket, **changes: Any) -> dict[str, Any]:
    return {"spec.output": {"s3": {"uri": f"{s3.uri}phi3/"}}} | changes


def content(s3: S3Bucket) -> list[Path]:
    """What lies in a bucket, without the server's own scratch folder."""
    return sorted(path for path in s3.folder.rglob("*") if ".sgwtmp" not in path.parts)


STORES = [
    ("StoreUnreachable", "s3://", "no answer from http://127.0.0.1:9", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, {}),
    ("AccessDenied", "s3://", "SignatureDoesNotMatch", {"AWS_SECRET_ACCESS_KEY": "wrong"}, {}),
    (
        "AccessDenied",
        "s3://",
        "credentials come from the environment (AWS_ACCESS_KEY_ID)",
        {"AWS_ACCESS_KEY_ID": "nobody"},
        {},
    ),
    (
        "StoreNotFound",
        "s3://no-such-bucket/phi3/",
        "bucket",
        {},
        {"spec.output": {"s3": {"uri": "s3://no-such-bucket/phi3/"}}},
    ),
    ("ModelNotFound", "/nothing/", "nothing lies there", {}, {"spec.model": {"s3": {"uri": "s3://BUCKET/nothing/"}}}),
    (
        "DataNotFound",
        "/row.jsonl",
        "did you mean 'rows.jsonl'?",
        {},
        {"spec.data.0.source": {"s3": {"uri": "s3://BUCKET/row.jsonl"}}},
    ),
    (
        "InvalidData",
        "/empty.jsonl",
        "the file is empty",
        {},
        {"spec.data.0.source": {"s3": {"uri": "s3://BUCKET/empty.jsonl"}}},
    ),
    (
        "OutputExists",
        "/other/",
        "manifest.json that Millwright did not write",
        {},
        {"spec.output": {"s3": {"uri": "s3://BUCKET/other/"}}},
    ),
]


@pytest.mark.parametrize(
    ("reason", "where", "found", "environment", "changes"),
    STORES,
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_store_that_does_not_serve(
    ground: Ground, s3: S3Bucket, monkeypatch: pytest.MonkeyPatch,
    reason: str, where: str, found: str, environment: dict[str, str], changes: dict[str, Any],
) -> None:  # fmt: skip
    (s3.folder / "rows.jsonl").write_bytes(ROWS)
    (s3.folder / "empty.jsonl").touch()
    (s3.folder / "other").mkdir()
    (s3.folder / "other" / "manifest.json").write_text("{}")
    there = content(s3)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    ground.manifest(json.loads(json.dumps(s3_job(s3, **changes)).replace("BUCKET", s3.name)))

    told = ground.run("run", "job.yaml")

    assert_refused(told, reason, where, found)
    assert content(s3) == there
