"""Where a model and data come from and where the result goes: unions by key, exactly one place each."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from millwright_api.base import Name, Strict

S3Uri = Annotated[str, StringConstraints(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?$", max_length=1024)]
"""`s3://bucket/key`."""

RELATIVE_PATH = r"^(([^/.][^/]*|\.[^/.][^/]*|\.\.[^/]+)(/([^/.][^/]*|\.[^/.][^/]*|\.\.[^/]+))*/?)?$"
"""A path that stays below where it starts: no leading slash, no `.` or `..` as a part."""


class ExactlyOne(Strict):
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


class VolumeLocation(Strict):
    """A place in a PersistentVolumeClaim of the job's namespace; there is none without a cluster."""

    claim_name: Name = Field(description="The claim's name.")
    path: str = Field(
        default="",
        max_length=1024,
        pattern=RELATIVE_PATH,
        description="Path inside the volume, without a leading slash. Default: the volume's root.",
    )


class Model(ExactlyOne):
    """The model to start from: exactly one source, a folder in Hugging Face's form."""

    hugging_face: HuggingFaceModel | None = Field(default=None, description="From the Hugging Face hub.")
    s3: S3Location | None = Field(default=None, description="From an S3 folder.")
    path: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="From a folder, relative to the manifest's own folder; on a cluster an absolute path in the pod.",
    )
    volume: VolumeLocation | None = Field(default=None, description="From a folder in a volume of the cluster.")
    trust_remote_code: bool = Field(
        default=False,
        description="Run Python code that comes with the model. Off also for everything underneath. Default: false.",
    )

    @classmethod
    def choices(cls) -> tuple[str, ...]:
        """One of four sources."""
        return ("hugging_face", "s3", "path", "volume")


class DataSource(ExactlyOne):
    """Where rows come from: exactly one source. Files are JSON, JSONL, CSV or Parquet, told by their suffix."""

    hugging_face: HuggingFaceData | None = Field(default=None, description="A dataset on the Hugging Face hub.")
    s3: S3Location | None = Field(default=None, description="A file in an S3 store.")
    path: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="A file, relative to the manifest's own folder; on a cluster an absolute path in the pod.",
    )
    volume: VolumeLocation | None = Field(default=None, description="A file in a volume of the cluster.")

    @classmethod
    def choices(cls) -> tuple[str, ...]:
        """One of four sources."""
        return ("hugging_face", "s3", "path", "volume")


class Output(ExactlyOne):
    """Where the model goes: exactly one place."""

    s3: S3Location | None = Field(default=None, description="A folder in an S3 store.")
    path: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="A folder, relative to the manifest's own folder; on a cluster an absolute path below a writable mount of the podTemplate.",
    )
    volume: VolumeLocation | None = Field(default=None, description="A folder in a volume of the cluster.")
    replace: bool = Field(
        default=False,
        description="Replace another result that the output holds; off, such a job is refused. Default: false.",
    )
    sign: bool = Field(
        default=False,
        description="Publish nothing unsigned: a job without a key is refused. The key is MILLWRIGHT_SIGNING_KEY of a Secret of credentials, or `millwright run --sign-key`. Default: false.",
    )

    @classmethod
    def choices(cls) -> tuple[str, ...]:
        """Three places."""
        return ("s3", "path", "volume")
