"""Where in a folder of files a model in Hugging Face's form is: the folder itself, one below it, or inside MLflow's. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from posixpath import basename, dirname, join

from millwright_api.errors import InvalidModel
from millwright_runner.models import mlflow
from millwright_runner.models.examine import CONFIG, INDEX, TELLS, TOKENIZER_NEEDS, WEIGHTS

LISTED = 6
"""Names that a message lists at most."""


def names_in(files: Mapping[str, int], read: Callable[[str], bytes], where: str) -> dict[str, str]:
    """Returns the model's files: their names in Hugging Face's form, and which files these are.

    Args:
        files: sizes in bytes by path, of all that is there.
        read: returns the content of a small one.
        where: the place as a person knows it.

    Raises:
        InvalidModel: there is none, or several of which nobody says which.
    """
    described = (path for path in files if basename(path) == mlflow.DESCRIPTION)
    outermost = min(described, key=lambda path: (_depth(dirname(path)), path), default=None)
    whole = model_folders(files)
    if outermost is None or any(_depth(folder) < _depth(dirname(outermost)) for folder in whole):
        return {**_told(files, ""), **_files_of(files, _only(files, whole, where))}
    root = dirname(outermost)
    found = mlflow.look(read(outermost), join(where, outermost))
    folder = next((place for name in found.models if (place := _below(root, name)) in whole), None)
    if folder is None:
        inside = [place for place in whole if not root or place == root or place.startswith(f"{root}/")]
        if len(inside) != 1:
            raise found.nothing(files, inside, join(where, outermost))
        folder = inside[0]
    tokenizer = next((p for n in found.tokenizers if _has_tokenizer(files, p := _below(root, n))), folder)
    words = {n: p for n, p in _files_of(files, tokenizer).items() if n != CONFIG and not n.endswith(".safetensors")}
    return {**_told(files, root), **_files_of(files, folder), **words}


def model_folders(files: Mapping[str, int]) -> list[str]:
    """Returns the folders that have a config.json and weights beside it, the outermost first."""
    folders = {dirname(path) for path in files if basename(path) == CONFIG}
    found = [folder for folder in folders if {join(folder, WEIGHTS), join(folder, INDEX)} & files.keys()]
    return sorted(found, key=lambda folder: (_depth(folder), folder))


def _only(files: Mapping[str, int], whole: list[str], where: str) -> str:
    """Returns the folder of a model that no MLmodel describes."""
    if "" in whole or CONFIG in files:  # of a half one, what is missing is told later
        return ""
    if len(whole) == 1:
        return whole[0]
    if whole:
        raise InvalidModel(
            f"there are {len(whole)} models in it: {', '.join(whole[:LISTED])}",
            where=where,
            hint="name one of these folders: `azureML: {datastore, path}` does",
        )
    there = sorted(files)
    more = f" and {len(there) - LISTED} more" if len(there) > LISTED else ""
    raise InvalidModel(
        f"there is no model in it: no MLmodel, and nowhere a {CONFIG} beside {WEIGHTS} or its index",
        where=where,
        hint=f"there is {', '.join(there[:LISTED])}{more}",
    )


def _told(files: Mapping[str, int], folder: str) -> dict[str, str]:
    """Returns what tells of a licence in a folder around the model."""
    return {name: join(folder, name) for name in TELLS if join(folder, name) in files}


def _files_of(files: Mapping[str, int], folder: str) -> dict[str, str]:
    return {basename(path): path for path in files if dirname(path) == folder}


def _has_tokenizer(files: Mapping[str, int], folder: str) -> bool:
    names = _files_of(files, folder)
    return any(fnmatchcase(name, pattern) for name in names for pattern in TOKENIZER_NEEDS)


def _below(root: str, name: str) -> str:
    return join(root, name).strip("/") if name else root


def _depth(folder: str) -> int:
    return folder.count("/") + 1 if folder else 0
