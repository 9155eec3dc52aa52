"""Artifacts: what passes read and write, a folder in a known format."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from millwright_api.names import fingerprint

HF = "hf"
"""config.json, tokenizer and safetensors, as transformers' save_pretrained writes them."""

HF_ADAPTER = "hf+adapter"
"""A PEFT adapter's folder; its base model is the artifact's `base`."""

ONNX_GENAI = "onnx-genai"
"""model.onnx with its data, genai_config.json and tokenizer, as onnxruntime-genai loads them."""


@dataclass(frozen=True)
class FileDigest:
    """One file of an artifact: its path relative to the artifact's folder, with slashes; bytes; sha256 in hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Artifact:
    """A folder that a pass made, or the model that a job starts from.

    Attributes:
        folder: where it lies on this machine.
        format: one of the formats above, or a plug-in's own.
        digest: names the content (64 hex digits), see `digest_of`; of a hub's model, the fingerprint of repo and commit.
        base: what an adapter sits on; None for whole models.
    """

    folder: Path
    format: str
    digest: str
    base: Artifact | None = None


def digest_of(files: Iterable[FileDigest]) -> str:
    """Returns the digest of a folder: the fingerprint of its files' paths, sizes and sha256, in path order."""
    return fingerprint([[f.path, f.size, f.sha256] for f in sorted(files, key=lambda f: f.path)])
