"""genai: converts and quantizes a model for onnxruntime-genai, by that project's own model builder."""

from __future__ import annotations

import contextlib
import io
import math
import os
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from millwright_api.errors import InvalidManifest, InvalidModel
from millwright_api.v1alpha1 import ExecutionProvider, Target
from millwright_runner.artifact import HF, ONNX_GENAI, Artifact
from millwright_runner.models import ModelFacts
from millwright_runner.passes import Context, Estimate, Pass

BUILDER_PROVIDERS: dict[ExecutionProvider, str] = {
    "CPUExecutionProvider": "cpu",
    "CUDAExecutionProvider": "cuda",
    "DmlExecutionProvider": "dml",
    "WebGpuExecutionProvider": "webgpu",
}

PRECISIONS: dict[ExecutionProvider, tuple[str, ...]] = {
    "CPUExecutionProvider": ("fp32", "fp16", "int8", "int4"),
    "CUDAExecutionProvider": ("fp32", "fp16", "bf16", "int8", "int4"),
    "DmlExecutionProvider": ("fp32", "fp16", "int8", "int4"),
    "WebGpuExecutionProvider": ("fp32", "fp16", "int8", "int4"),
}
"""What loads where. bf16 builds for the CPU too and then does not load there (tried with onnxruntime-genai 0.18)."""

BITS = {"int4": 4.5, "int8": 8.5, "fp16": 16, "bf16": 16, "fp32": 32}
"""Bits a weight; quantized ones with a scale of 16 bits per block of 32."""

NodeName = Annotated[str, StringConstraints(min_length=1, max_length=512)]

QUANTIZED_ONLY = ("block_size", "accuracy_level", "symmetric", "algorithm", "mixed_precision", "exclude_nodes")


class Genai(Pass):
    """Builds the ONNX model that onnxruntime-genai runs, at the precision asked for."""

    name: ClassVar[str] = "genai"
    consumes: ClassVar[frozenset[str]] = frozenset({HF})
    produces: ClassVar[str] = ONNX_GENAI
    libraries: ClassVar[tuple[str, ...]] = ("onnxruntime-genai", "onnxruntime", "onnx-ir")
    uses_target: ClassVar[bool] = True

    precision: Literal["int4", "int8", "fp16", "bf16", "fp32"] = Field(
        default="int4", description="Type of the weights. bf16 runs on CUDA only. Default: int4."
    )
    block_size: Literal[16, 32, 64, 128, 256] | None = Field(
        default=None, description="int4, int8: weights that share one scale. Default: 32 (the builder's)."
    )
    accuracy_level: int | None = Field(
        default=None,
        ge=1,
        le=4,
        description="int4, int8: least precision of the activations: 1 fp32, 2 fp16, 3 bf16, 4 int8. "
        "Default: 4 on CPU, else the kernel's own choice (the builder's).",
    )
    symmetric: bool | None = Field(
        default=None, description="int4, int8: quantize around zero. Default: true (the builder's)."
    )
    algorithm: Literal["default", "rtn", "k_quant"] | None = Field(
        default=None,
        description="int4, int8: how scales are found. Default: default, round-to-nearest (the builder's).",
    )
    mixed_precision: Literal["last", "last-and-sensitive"] | None = Field(
        default=None,
        description="int4: keep these weights at int8: the last matrix, or also the layers that suffer most "
        "(llama.cpp's choice). Default: none.",
    )
    exclude_nodes: list[NodeName] = Field(
        default=[],
        max_length=256,
        description="int4, int8: nodes left at full precision, e.g. /lm_head/MatMul. Default: none.",
    )
    exclude_lm_head: bool = Field(
        default=False, description="Leave out the head: the model gives hidden states. Default: false."
    )
    exclude_embeds: bool = Field(
        default=False, description="Leave out the embedding: the model takes embeddings. Default: false."
    )

    @model_validator(mode="after")
    def _only_quantized_weights_have_blocks(self) -> Self:
        for option in QUANTIZED_ONLY:
            needs = ("int4",) if option == "mixed_precision" else ("int4", "int8")
            if getattr(self, option) not in (None, []) and self.precision not in needs:
                raise ValueError(f"{to_camel(option)} goes with {' and '.join(needs)}; precision is {self.precision}")
        return self

    def check(self, model: ModelFacts, target: Target) -> None:
        """Refuses a precision that the target cannot load."""
        provider = target.execution_provider
        if self.precision not in PRECISIONS[provider]:
            raise InvalidManifest(
                f"{self.precision} does not run on {provider}",
                where="precision",
                hint=f"there: {', '.join(PRECISIONS[provider])}; {self.precision} runs on "
                + ", ".join(p for p, known in PRECISIONS.items() if self.precision in known),
            )
        heads, shared = (model.config.get(f"num_{name}_heads") for name in ("attention", "key_value"))
        if self.precision == "fp16" and provider == "CPUExecutionProvider" and shared not in (None, heads):
            raise InvalidManifest(  # it loads, and the second token ends in "Shape mismatch attempting to re-use buffer" (0.18)
                f"fp16 with grouped attention heads ({shared} for {heads}) does not run on {provider}",
                where="precision",
                hint="there: fp32, int8, int4",
            )

    def estimate(self, model: ModelFacts) -> Estimate:
        """The source once, and the result twice, being built and being written."""
        embedding = sum(math.prod(shape) for name, shape in model.tensors.items() if "embed" in name or ".wte" in name)
        whole = 0 if self.precision in ("fp16", "bf16", "fp32") else embedding  # it is not quantized: four bytes each
        made = int((model.parameters - whole) * BITS[self.precision] / 8) + whole * 4
        return Estimate(memory=model.bytes + 2 * made + (512 << 20), disk=made)

    def run(self, artifact: Artifact, context: Context) -> None:
        """Builds; the folder then holds model.onnx, model.onnx.data, genai_config.json and the tokenizer."""
        context.tell("loading the builder")
        from millwright_runner.training.loading import heavy_imports

        with heavy_imports():
            from onnxruntime_genai.models import builder

        output, cache = str(context.folder), str(context.scratch / "builder")
        arguments = (
            "",
            str(artifact.folder),
            output,
            self.precision,
            BUILDER_PROVIDERS[context.target.execution_provider],
            cache,
        )
        context.stop.check("before building")
        context.tell("building")
        with _quiet() as said, _no_git():
            try:
                options = builder.parse_extra_options(*arguments, self.builder_options(context.trust_remote_code))
                builder.create_model(*arguments, **options)
            except NotImplementedError as error:
                raise InvalidModel(
                    f"the builder cannot convert this model: {error}", where=str(artifact.folder)
                ) from error
            except Exception as error:
                if "ignore_mismatched_sizes" in str(error):  # transformers' advice to its own callers
                    raise InvalidModel(
                        "its weights do not have the shapes that config.json asks for", where=str(artifact.folder)
                    ) from error
                error.add_note(f"the builder's last words: {said.getvalue()[-2000:]}")
                raise
        if not (context.folder / "model.onnx").is_file():
            raise InvalidModel(f"the builder made no model.onnx; its last words: {said.getvalue()[-500:].strip()}")

    def builder_options(self, trust_remote_code: bool) -> list[str]:
        """Returns the builder's KEY=VALUE options; what is not asked for is left to its defaults."""
        mixed = {"last": "last_matmul:int8", "last-and-sensitive": "last_matmul:int8,mixed_layers:int8", None: None}
        given: dict[str, Any] = {
            "block_size": self.block_size,
            "accuracy_level": self.accuracy_level,
            "is_symmetric": self.symmetric,
            "algo_config": self.algorithm,
            "matmul_mixed_precision": mixed[self.mixed_precision],
            "nodes_to_exclude": ",".join(self.exclude_nodes) or None,
            "exclude_lm_head": self.exclude_lm_head or None,
            "exclude_embeds": self.exclude_embeds or None,
            "hf_remote": trust_remote_code,
        }
        # hf_token=false: the builder would otherwise send the stored token; the model is on disk already.
        return ["hf_token=false", *(f"{key}={_text(value)}" for key, value in given.items() if value is not None)]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@contextlib.contextmanager
def _quiet() -> Iterator[io.StringIO]:
    """Keeps the builder's prints (a line per layer) and onnx_ir's log out of the way; yields what was printed."""
    import logging

    said, root = io.StringIO(), logging.getLogger()
    level = root.level
    root.setLevel(logging.WARNING)
    logging.getLogger("onnx_ir").setLevel(logging.WARNING)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            yield said
    finally:
        root.setLevel(level)


@contextlib.contextmanager
def _no_git() -> Iterator[None]:
    """Lets the builder find no git repository: it writes the HEAD of whichever one it is installed below into the
    model, so that the same model got another digest with every commit there. It then writes its own release's."""
    before = os.environ.get("GIT_DIR")
    os.environ["GIT_DIR"] = os.devnull
    try:
        yield
    finally:
        if before is None:
            del os.environ["GIT_DIR"]
        else:
            os.environ["GIT_DIR"] = before
