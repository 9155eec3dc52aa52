"""`OptimizationJob`, version v1alpha1: the manifest's contract as pydantic models.

camelCase in YAML, snake_case in Python; unknown keys are errors everywhere. Every field described here does what it
says: what this version does not do yet is not accepted. A step's options are data here; the runner's registry, which
has the pass classes, gives them their types.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_serializer, model_validator
from pydantic.alias_generators import to_camel

from millwright_api.base import Strict

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
"""A DNS label, as Kubernetes wants names: lower case, digits and dashes, at most 63 characters."""

S3Uri = Annotated[str, StringConstraints(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?$", max_length=1024)]
"""`s3://bucket/key`."""

ExecutionProvider = Literal[
    "CPUExecutionProvider", "CUDAExecutionProvider", "DmlExecutionProvider", "WebGpuExecutionProvider"
]

MAX_DATA, MAX_PASSES = 16, 32
"""Bounds on lists, so that the API server's cost budget for CEL rules holds."""


class _ExactlyOne(Strict):
    """A union by key: exactly one of the fields named in `_choices` is set."""

    @classmethod
    def choices(cls) -> tuple[str, ...]:
        """Returns the fields of which exactly one must be set, by their names in Python."""
        raise TypeError(f"{cls.__name__} names no choices")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        names = {name: to_camel(name) for name in self.choices()}
        chosen = [alias for name, alias in names.items() if getattr(self, name) is not None]
        if len(chosen) != 1:
            found = f"{' and '.join(chosen)} are given" if chosen else "none is given"
            raise ValueError(f"exactly one of {', '.join(names.values())} is needed; {found}")
        return self


class HuggingFaceModel(Strict):
    """A repository on the Hugging Face hub. The token comes from the environment (HF_TOKEN), never from here."""

    repo: str = Field(min_length=1, max_length=256, description="Repository, as owner/name.")
    revision: str | None = Field(
        default=None, max_length=128, description="Branch, tag or commit. A commit pins the result. Default: main."
    )


class HuggingFaceData(Strict):
    """A dataset on the Hugging Face hub."""

    repo: str = Field(min_length=1, max_length=256, description="Repository, as owner/name.")
    subset: str | None = Field(
        default=None, max_length=256, description="Configuration of the dataset. Default: its own."
    )
    split: str = Field(
        default="train", max_length=128, description="Split, also with a slice: train[:10%]. Default: train."
    )
    revision: str | None = Field(default=None, max_length=128, description="Branch, tag or commit. Default: main.")


class S3Location(Strict):
    """A place in an S3 store. Credentials come from boto3's standard chain, never from here."""

    uri: S3Uri = Field(description="s3://bucket/key; a folder's key may end in a slash.")
    endpoint: str | None = Field(
        default=None,
        max_length=512,
        pattern=r"^https?://",
        description="URL of an S3-compatible server. Default: AWS_ENDPOINT_URL, else AWS.",
    )
    region: str | None = Field(
        default=None, max_length=64, description="Region. Default: from the environment, else us-east-1."
    )


class Model(_ExactlyOne):
    """The model to start from: exactly one source, a folder in Hugging Face's form."""

    hugging_face: HuggingFaceModel | None = Field(default=None, description="From the Hugging Face hub.")
    s3: S3Location | None = Field(default=None, description="From an S3 folder.")
    path: str | None = Field(
        default=None, min_length=1, max_length=1024, description="From a folder, relative to the manifest's own folder."
    )
    trust_remote_code: bool = Field(
        default=False,
        description="Run Python code that comes with the model. Off also for everything underneath. Default: false.",
    )

    @classmethod
    def choices(cls) -> tuple[str, ...]:
        """One of three sources."""
        return ("hugging_face", "s3", "path")


class DataSource(_ExactlyOne):
    """Where rows come from: exactly one source. Files are JSON, JSONL, CSV or Parquet, told by their suffix."""

    hugging_face: HuggingFaceData | None = Field(default=None, description="A dataset on the Hugging Face hub.")
    s3: S3Location | None = Field(default=None, description="A file in an S3 store.")
    path: str | None = Field(
        default=None, min_length=1, max_length=1024, description="A file, relative to the manifest's own folder."
    )

    @classmethod
    def choices(cls) -> tuple[str, ...]:
        """One of three sources."""
        return ("hugging_face", "s3", "path")


class _Packing(Strict):
    """How texts become token sequences; the same for text and chat."""

    strategy: Literal["join", "line-by-line"] = Field(
        default="join",
        description="join: all texts in one stream, cut into windows of maxLength. line-by-line: one sequence a row; "
        "longer rows are left out and counted. Default: join (Olive's).",
    )
    shuffle_seed: int | None = Field(
        default=None,
        ge=0,
        le=2**32 - 1,
        description="Shuffle the rows with this seed before anything else. Default: file order.",
    )
    max_length: int = Field(
        default=1024,
        ge=2,
        le=1_048_576,
        description="Longest sequence, in tokens. Default: 1024 (Olive's max_seq_len).",
    )
    stride: int | None = Field(
        default=None,
        ge=1,
        le=1_048_576,
        description="join only: tokens from one window's start to the next one's; less than maxLength overlaps. Default: maxLength.",
    )
    joiner: str | None = Field(
        default=None,
        max_length=64,
        description="join only: text put between two rows. Default: the tokenizer's end-of-text token.",
    )
    padding: Literal["longest", "maxLength"] = Field(
        default="longest", description="Pad a batch to its longest sequence, or always to maxLength. Default: longest."
    )
    padding_side: Literal["right", "left"] = Field(
        default="right", description="Side that padding goes to. Default: right."
    )
    loss_on: Literal["all", "answer"] = Field(
        default="all", description="Train on all tokens, or only on the answer's. Default: all (Olive's)."
    )

    @model_validator(mode="after")
    def _only_join_has_windows(self) -> Self:
        if self.strategy != "join":
            for field, value in (("stride", self.stride), ("joiner", self.joiner)):
                if value is not None:
                    raise ValueError(f"{field} goes with strategy join; strategy is {self.strategy}")
        if self.stride is not None and self.stride > self.max_length:
            raise ValueError(
                f"stride {self.stride} is larger than maxLength {self.max_length}: tokens in between would be lost"
            )
        return self


class TextFormat(_Packing):
    """Text made from columns, by a template."""

    columns: list[Annotated[str, StringConstraints(min_length=1, max_length=128)]] = Field(
        default=["text"], min_length=1, max_length=64, description="Columns that are read. Default: [text]."
    )
    template: str | None = Field(
        default=None,
        min_length=1,
        max_length=16384,
        description="Text of a row, columns in braces: '{question}\\n{answer}'; a literal brace is doubled. "
        "Default: the columns joined by a space.",
    )
    answer: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        description="Column that holds the answer. With lossOn answer, training counts from where the template puts it; "
        "where the template does not have it, it follows the text.",
    )

    @model_validator(mode="after")
    def _answer_is_known(self) -> Self:
        if self.loss_on == "answer" and self.answer is None:
            raise ValueError("lossOn: answer needs answer, the column that holds it")
        if self.answer is not None and self.answer not in self.columns:
            raise ValueError(f"answer names the column {self.answer!r}, which is not in columns {self.columns}")
        return self


class ChatFormat(_Packing):
    """Conversations, by the tokenizer's own chat template."""

    column: str = Field(
        default="messages",
        min_length=1,
        max_length=128,
        description="Column with a list of {role, content}. Default: messages. With lossOn answer, the assistant's turns count.",
    )


class Data(Strict):
    """A named set of rows and how to read them: exactly one of text and chat."""

    name: Name = Field(description="Name that passes refer to.")
    source: DataSource = Field(description="Where the rows are.")
    limit: int | None = Field(default=None, ge=1, description="Read only this many rows from the start. Default: all.")
    text: TextFormat | None = Field(default=None, description="Rows are columns of text.")
    chat: ChatFormat | None = Field(default=None, description="Rows are conversations.")

    @model_validator(mode="after")
    def _exactly_one_format(self) -> Self:
        if (self.text is None) == (self.chat is None):
            found = "both are given" if self.text else "none is given"
            raise ValueError(f"exactly one of text, chat is needed; {found}")
        return self

    @property
    def format(self) -> TextFormat | ChatFormat:
        """The one of text and chat that is given."""
        chosen = self.text or self.chat
        assert chosen is not None
        return chosen


class Step(BaseModel):
    """One step of the recipe: a pass by its name, with its options: `- lora: {r: 16}`; a plug-in's is
    `- custom: {pass: NAME, options: {...}}`.

    Attributes:
        name: what others call it; the pass's name unless given.
        pass_name: the pass.
        options: the pass's options, as data.
        custom: whether it was written in the plug-in form.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    pass_name: str
    options: dict[str, Any]
    custom: bool = False

    @model_validator(mode="before")
    @classmethod
    def _from_union(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("a step is a mapping such as 'lora: {r: 16}'")
        keys = [key for key in value if key != "name"]
        if len(keys) != 1:
            found = f"{' and '.join(map(str, keys))} are given" if keys else "none is given"
            raise ValueError(f"a step names exactly one pass; {found}")
        (pass_name,) = keys
        options, custom = value[pass_name], pass_name == "custom"
        options = {} if options is None else options
        if not isinstance(options, dict):
            raise ValueError(f"the options of {pass_name} are a mapping, not {type(options).__name__}")
        if custom:
            unknown = sorted(set(options) - {"pass", "options"})
            if unknown or not isinstance(options.get("pass"), str):
                raise ValueError(f"custom takes pass (a name) and options{f', not {unknown[0]}' if unknown else ''}")
            pass_name, options = options["pass"], options.get("options") or {}
        return {"name": value.get("name", pass_name), "pass_name": pass_name, "options": options, "custom": custom}

    @model_serializer
    def _to_union(self) -> dict[str, Any]:
        body: dict[str, Any] = {"pass": self.pass_name, "options": self.options} if self.custom else self.options
        return {"name": self.name, ("custom" if self.custom else self.pass_name): body}


class Target(Strict):
    """What the finished model shall run on."""

    execution_provider: ExecutionProvider = Field(
        default="CPUExecutionProvider", description="onnxruntime's execution provider. Default: CPUExecutionProvider."
    )


class Output(_ExactlyOne):
    """Where the model goes: exactly one place."""

    s3: S3Location | None = Field(default=None, description="A folder in an S3 store.")
    path: str | None = Field(
        default=None, min_length=1, max_length=1024, description="A folder, relative to the manifest's own folder."
    )
    replace: bool = Field(
        default=False,
        description="Replace another result that the output holds; off, such a job is refused. Default: false.",
    )

    @classmethod
    def choices(cls) -> tuple[str, ...]:
        """One of two places."""
        return ("s3", "path")


class Cache(Strict):
    """Whether results of passes are reused; they lie in the output's store."""

    mode: Literal["Off", "ReadOnly", "ReadWrite"] = Field(default="ReadWrite", description="Default: ReadWrite.")


class Checkpoint(Strict):
    """How often training is saved, so that it can go on after a stop."""

    every_steps: int = Field(
        default=200, ge=1, le=1_000_000, description="Optimizer steps between two checkpoints. Default: 200."
    )


class Spec(Strict):
    """What is wanted."""

    model: Model
    data: list[Data] = Field(default=[], max_length=MAX_DATA, description="Named data sets that passes refer to.")
    passes: list[Step] = Field(min_length=1, max_length=MAX_PASSES, description="The recipe, in order.")
    target: Target = Target()
    output: Output
    cache: Cache = Cache()
    checkpoint: Checkpoint = Checkpoint()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for what, names in (("data", [d.name for d in self.data]), ("passes", [p.name for p in self.passes])):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{what} has the name {twice[0]!r} more than once; give each its own name")
        return self


class Metadata(BaseModel):
    """Kubernetes' object metadata: the name is ours, the rest passes through untouched."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=52)] = Field(
        description="DNS label of at most 52 characters, so that children's names fit into 63."
    )


class OptimizationJob(Strict):
    """A model, data, passes and a place for the result."""

    api_version: Literal["millwright.dev/v1alpha1"]
    kind: Literal["OptimizationJob"]
    metadata: Metadata
    spec: Spec
