"""Models that a person names on the command line: a folder, a job's output, the same in a store."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from millwright_api.errors import InvalidModel, MillwrightError, ModelNotFound, OutputExists
from millwright_api.names import fingerprint
from millwright_runner.artifact import HF, HF_ADAPTER, ONNX_GENAI, Artifact
from millwright_runner.cli.places import home, place_named
from millwright_runner.data.tokens import Tokens, load_tokens, read_json
from millwright_runner.digests import DigestMemo
from millwright_runner.lookup import close_names, missing_path
from millwright_runner.metrics.speed import prompts, room
from millwright_runner.models.examine import TOKENIZER_NEEDS
from millwright_runner.models.local import find_local
from millwright_runner.published import CLAIM, LINK, read_published
from millwright_runner.stores import Store, open_store
from millwright_runner.stores.locations import as_folder
from millwright_runner.subjects import Subject
from millwright_runner.subjects.genai_model import DEVICES
from millwright_runner.training import loading
from millwright_runner.trees import MANIFEST, fetch_tree

MARKS = {"genai_config.json": ONNX_GENAI, "adapter_config.json": HF_ADAPTER, "config.json": HF}
"""What a folder of each format has; the first of them that is there decides."""

PROVIDERS = {device: provider for provider, device in DEVICES.items()}

LOOKED_AT = 1000
"""Keys of a store that are looked at for a hint."""


@dataclass(frozen=True)
class Named:
    """A model that was found, and lies on this machine.

    Attributes:
        where: what the person called it.
        artifact: its folder, and its format.
        tokens: its tokenizer; of an adapter without one, its base's.
        trusted: whether code that comes with it may run.
    """

    where: str
    artifact: Artifact
    tokens: Tokens
    trusted: bool

    @property
    def room(self) -> int | None:
        """Tokens that it takes, prompt and answer together; None where its configuration does not say."""
        return room((self.artifact.base or self.artifact).folder)

    def open(self) -> Subject:
        """Returns the model, to be asked; it is loaded by the first question."""
        from millwright_runner.subjects.opening import open_subject

        provider = _provider(self.artifact)
        return open_subject(self.artifact, provider=provider, trust_remote_code=self.trusted)


def find_named(where: str, base: str | None, *, trusted: bool) -> Named:
    """Finds a model and brings it to this machine; nothing is loaded.

    Args:
        where: a path or a URI.
        base: of an adapter: its base; None: what the adapter itself names.
        trusted: whether code that comes with it may run.

    Raises:
        InvalidManifest: `where` is a URI of another kind than a store's.
        ModelNotFound: nothing lies there, or no model.
        InvalidModel: a file is missing or malformed; an adapter's base is nowhere.
        AccessDenied, StoreNotFound, StoreUnreachable: the store did not let us look.
    """
    folder, kind = _bring(where)
    if kind == HF:
        find_local(folder, where, home(), trusted=trusted, digest="")
        return Named(where, Artifact(folder, HF, ""), load_tokens(folder), trusted)
    if kind == HF_ADAPTER:
        below = find_named(_base(folder, where, base), None, trusted=trusted)
        tokens = load_tokens(folder) if _has_tokenizer(_names(folder)) else below.tokens
        return Named(where, Artifact(folder, HF_ADAPTER, "", below.artifact), tokens, trusted)
    _check_onnx(folder, where)
    return Named(where, Artifact(folder, kind, ""), load_tokens(folder), trusted)


def _bring(where: str) -> tuple[Path, str]:
    """Returns a folder of this machine, and its format."""
    place = place_named(where, "model")
    if isinstance(place, Path):
        return _local(place, where)
    return _from_store(open_store(as_folder(place)), where)


def _local(folder: Path, where: str) -> tuple[Path, str]:
    if not folder.exists():
        raise ModelNotFound("there is no such folder", where=where, hint=missing_path(folder))
    if not folder.is_dir():
        raise ModelNotFound(
            "this is a file, and a model is a folder", where=where, hint="name the folder that it lies in"
        )
    names = _names(folder)
    kind = _format(names)
    if kind is not None:
        return folder, kind
    if MANIFEST in names and (output := _output(open_store(folder), where)) is not None:
        return output
    below = sorted(path.name for path in folder.iterdir() if path.is_dir() and _format(_names(path)) is not None)
    raise _no_model(where, names, LINK if LINK in below else below[0] if below else None)


def _from_store(store: Store, where: str) -> tuple[Path, str]:
    kind = _format([mark for mark in MARKS if store.stat(mark) is not None])
    if kind is not None:
        return _fetched(store), kind
    if (output := _output(store, where)) is not None:
        return output
    keys = [entry.key for entry in itertools.islice(store.list(""), LOOKED_AT)]
    if not keys:
        raise ModelNotFound("nothing lies there", where=where, hint="a model's key is its folder's")
    below = [key.rpartition("/")[0] for key in keys if key.rpartition("/")[2] in MARKS]
    raise _no_model(where, {key.partition("/")[0] for key in keys}, below[0] if below else None)


def _output(store: Store, where: str) -> tuple[Path, str] | None:
    """Returns the model of a job's output, verified; None where it is none, or none of ours."""
    try:
        published = read_published(store)
    except OutputExists:
        return None
    if published is None:
        return None
    if published.format not in MARKS.values():
        raise ModelNotFound(
            f"the output's model has the format {published.format}, which only the plug-in that made it can run",
            where=where,
            hint=f"possible: {', '.join(MARKS.values())}",
        )
    tree = published.tree
    return fetch_tree(store, tree, home() / "models" / tree.digest, DigestMemo(home())), published.format


def _fetched(store: Store) -> Path:
    """Fetches what lies in a folder of a store, but for an output's own notes; what is there already stays."""
    wanted = [entry for entry in store.list("") if entry.key not in (MANIFEST, CLAIM)]
    stats = {entry.key: store.stat(entry.key) for entry in wanted}
    known = [[key, stat.size, stat.sha256 or stat.etag] for key, stat in stats.items() if stat]
    folder = home() / "models" / fingerprint(known)
    for entry in wanted:
        target, stat = folder / entry.key, stats[entry.key]
        if not (target.exists() and target.stat().st_size == entry.size):
            target.parent.mkdir(parents=True, exist_ok=True)
            store.get(entry.key, target, stat.sha256 if stat else None)
    return folder


def _base(folder: Path, where: str, base: str | None) -> str:
    """Returns where the model lies that an adapter sits on."""
    if base is not None:
        return base
    named = read_json(folder / "adapter_config.json").get("base_model_name_or_path")
    if isinstance(named, str) and named:
        for place in (folder / named, Path(named).expanduser()):  # as peft has it, from where the command runs
            if place.is_dir():
                return str(place)
    found = f"names {named!r}, and there is no such folder here" if named else "does not say where that lies"
    raise InvalidModel(
        f"this is an adapter, the model that it sits on is missing: adapter_config.json {found}",
        where=where,
        hint="name it: --base PATH|URI",
    )


def _check_onnx(folder: Path, where: str) -> None:
    """Refuses a folder without the files that its genai_config.json names."""
    model = read_json(folder / "genai_config.json").get("model")
    decoder = model.get("decoder") if isinstance(model, dict) else None
    name = decoder.get("filename") if isinstance(decoder, dict) else None
    if not isinstance(name, str):
        raise InvalidModel("genai_config.json has no model.decoder.filename", where=where)
    names = _names(folder)
    if name not in names:
        raise InvalidModel(
            f"genai_config.json names {name}, and there is no such file",
            where=where,
            hint=close_names(name, names, "it"),
        )
    if not _has_tokenizer(names):
        raise InvalidModel(
            "there is no tokenizer", where=where, hint=f"it needs one of {', '.join(TOKENIZER_NEEDS[:4])}"
        )


def _no_model(where: str, names: Collection[str], below: str | None) -> ModelNotFound:
    found = ", ".join(sorted(names)[:6]) or "nothing"
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    formats = "; ".join(f"{kind} has {mark}" for mark, kind in MARKS.items())
    meant = f"did you mean {where.rstrip('/')}/{below}? " if below else ""
    return ModelNotFound(
        f"no model lies there: found {found}{more}",
        where=where,
        hint=f"{meant}possible: {formats}; a job's output has {MANIFEST}",
    )


def _format(names: Collection[str]) -> str | None:
    return next((kind for mark, kind in MARKS.items() if mark in names), None)


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _has_tokenizer(names: Collection[str]) -> bool:
    return "tokenizer.json" in names or any(need in names for need in TOKENIZER_NEEDS)


def _provider(artifact: Artifact) -> str:
    """Returns the execution provider that an onnx-genai folder was built for."""
    if artifact.format != ONNX_GENAI:
        return "CPUExecutionProvider"
    session = read_json(artifact.folder / "genai_config.json")["model"]["decoder"].get("session_options", {})
    named = [name.lower() for options in session.get("provider_options", []) for name in options]
    return next((PROVIDERS[name] for name in named if name in PROVIDERS), "CPUExecutionProvider")


def load(found: Named) -> Subject:
    """Returns a model, loaded.

    Raises:
        InvalidModel: it cannot be loaded.
    """
    whole = found.artifact.base or found.artifact
    quantized = "quantization_config" in read_json(whole.folder / "config.json")
    loading.hide_unneeded({"bitsandbytes"} if quantized else set())
    subject = found.open()
    ask(subject, found)
    return subject


def ask(subject: Subject, found: Named) -> None:
    """Asks a model the least that there is to ask, so that it is loaded.

    Raises:
        InvalidModel: it cannot be loaded.
    """
    try:
        subject.generate(prompts(found.tokens, 1, 1), new_tokens=1, batch_size=1)
    except MillwrightError:
        raise
    except Exception as error:  # what libraries raise of a broken file is of any class
        raise InvalidModel(f"it cannot be loaded: {type(error).__name__}: {error}", where=found.where) from error
