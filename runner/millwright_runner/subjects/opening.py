"""Opens a model for metrics, whatever its format. Nothing heavy is imported before the first question."""

from __future__ import annotations

from millwright_api.errors import ChainMismatch, InvalidModel
from millwright_runner.artifact import HF, HF_ADAPTER, ONNX_GENAI, Artifact
from millwright_runner.subjects import Subject
from millwright_runner.subjects.genai_model import GenaiSubject
from millwright_runner.subjects.torch_model import TorchSubject


def open_subject(artifact: Artifact, *, provider: str, trust_remote_code: bool) -> Subject:
    """Returns a model that answers.

    Args:
        artifact: its folder; an adapter needs its base.
        provider: execution provider that the job builds for, e.g. CPUExecutionProvider: what runs onnx-genai here
            when it can.
        trust_remote_code: whether code that comes with the model may run.

    Raises:
        ChainMismatch: a format that no question can be asked of.
        InvalidModel: an adapter without a base.
    """
    if artifact.format == HF_ADAPTER and artifact.base is None:
        raise InvalidModel("the adapter does not say what it sits on", where=str(artifact.folder))
    if artifact.format in (HF, HF_ADAPTER):
        return TorchSubject(artifact, trust_remote_code=trust_remote_code)
    if artifact.format == ONNX_GENAI:
        return GenaiSubject(artifact, provider=provider)
    possible = ", ".join(sorted((HF, HF_ADAPTER, ONNX_GENAI)))
    raise ChainMismatch(
        f"a model of format {artifact.format} cannot be asked anything; possible: {possible}",
        where=str(artifact.folder),
    )
