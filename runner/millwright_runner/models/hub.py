"""Models on the Hugging Face hub: the weights' headers are looked at in place, and fetched as a whole when needed."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from millwright_api.errors import ModelNotFound
from millwright_api.names import fingerprint
from millwright_api.v1alpha1 import HuggingFaceModel
from millwright_runner.artifact import HF, Artifact
from millwright_runner.hub import ANSWER_SECONDS, Note, asking, offline, prepare, where_of
from millwright_runner.models.examine import SMALL, TELLS, examine
from millwright_runner.models.facts import FoundModel
from millwright_runner.models.local import find_local


class HubFiles:
    """A repository at a commit: satisfies `ModelFiles`."""

    def __init__(self, repo: str, commit: str, sizes: dict[str, int], where: str) -> None:
        self._repo, self._commit, self.sizes, self.where = repo, commit, sizes, where

    def first(self, name: str, size: int) -> bytes:
        """Returns the first bytes of a file, by a request for that range."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status  # type: ignore[attr-defined]

        if not size:
            return b""
        url = hf_hub_url(self._repo, name, revision=self._commit)
        answer = get_session().get(
            url, headers={**build_hf_headers(), "range": f"bytes=0-{size - 1}"}, timeout=ANSWER_SECONDS
        )
        hf_raise_for_status(answer)
        return bytes(answer.content[:size])


def find_on_hub(model: HuggingFaceModel, home: Path, *, trusted: bool) -> FoundModel:
    """Looks a repository up and fetches its small files into the hub client's own cache (HF_HOME).

    With HF_HUB_OFFLINE it looks there and nowhere else.

    Raises:
        ModelNotFound: no such repository or revision, or not downloaded before.
        InvalidModel: see `examine`.
        AccessDenied: private or gated, and HF_TOKEN does not open it.
        StoreUnreachable, StoreUnavailable: the hub does not answer.
    """
    prepare()
    where = where_of("models", model.repo, model.revision)
    note = Note(home, ["commit", "models", model.repo, model.revision])
    if offline():
        return _find_downloaded(model.repo, note.recall() or model.revision, home, where, trusted=trusted)
    with asking(where, ModelNotFound):
        commit, sizes = _listing(model)
        examined = examine(HubFiles(model.repo, commit, sizes, where), trusted=trusted)
    note.remember(commit)
    digest = _digest(model.repo, commit)
    bring = partial(_download, model.repo, commit, where=where)

    def fetch() -> Artifact:
        """Brings the whole model."""
        return Artifact(bring(examined.names), HF, digest)

    return FoundModel(digest, examined.facts, bring([*examined.small, *TELLS]), fetch, commit)


def _digest(repo: str, commit: str) -> str:
    return fingerprint(["hub", repo, commit])


def _listing(model: HuggingFaceModel) -> tuple[str, dict[str, int]]:
    from huggingface_hub import HfApi

    info = HfApi().model_info(model.repo, revision=model.revision, files_metadata=True, timeout=ANSWER_SECONDS)
    return str(info.sha), {entry.rfilename: entry.size or 0 for entry in info.siblings or []}


def _download(repo: str, commit: str, names: list[str], *, where: str) -> Path:
    from huggingface_hub import snapshot_download

    with asking(where, ModelNotFound):
        return Path(snapshot_download(repo, revision=commit, allow_patterns=names))


def _find_downloaded(repo: str, revision: str | None, home: Path, where: str, *, trusted: bool) -> FoundModel:
    from huggingface_hub import snapshot_download

    patterns = [*SMALL, "*.safetensors", "*.safetensors.index.json", *(["*.py"] if trusted else [])]
    with asking(where, ModelNotFound):
        folder = Path(snapshot_download(repo, revision=revision, allow_patterns=patterns, local_files_only=True))
    # The client keeps each commit in a folder of that name.
    found = find_local(folder, where, home, trusted=trusted, digest=_digest(repo, folder.name))
    return replace(found, commit=folder.name)
