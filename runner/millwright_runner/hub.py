"""The Hugging Face hub: the one place that knows what its client raises. Tokens come from the environment (HF_TOKEN)."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from millwright_api.errors import (
    AccessDenied,
    MillwrightError,
    NoSpaceLeft,
    StoreUnavailable,
    StoreUnreachable,
    UserError,
)
from millwright_api.names import fingerprint
from millwright_runner.stores.disk import FULL
from millwright_runner.stores.line import answered_before

ANSWER_SECONDS = 6.0
"""How long the hub may be silent when something is looked up; its client would wait for ever."""

HELD_BACK = (401, 403)
"""HTTP answers that mean: not with these credentials."""


def offline() -> bool:
    """Whether the environment forbids the network: HF_HUB_OFFLINE, as the hub's client reads it."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def prepare() -> None:
    """Sets what has to be set before the hub's client is imported: it tells nobody what is done, and prints nothing."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")


def where_of(kind: str, repo: str, revision: str | None) -> str:
    """Returns how messages name a repository: hf://models/owner/name@revision."""
    return f"hf://{kind}/{repo}{f'@{revision}' if revision else ''}"


class Note:
    """Something that the hub said and that holds, or is good enough without a network: a small file in `home`.

    Args:
        home: this machine's folder for downloads and notes.
        key: what it is about.
    """

    def __init__(self, home: Path, key: list[Any]) -> None:
        self._file = home / "hub" / f"{fingerprint(key)[:32]}.json"

    def recall(self) -> Any:
        """Returns what was noted, or None."""
        try:
            return json.loads(self._file.read_text())
        except (OSError, ValueError):
            return None  # never noted, or torn: it is asked again

    def remember(self, value: Any) -> None:
        """Notes a JSON value."""
        with contextlib.suppress(OSError):  # a home that cannot be written to: it is asked again
            self._file.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._file.with_suffix(f".{os.getpid()}")  # another process may note the same
            fresh.write_text(json.dumps(value))
            fresh.replace(self._file)


@contextlib.contextmanager
def asking(where: str, missing: type[UserError]) -> Iterator[None]:
    """Turns what the hub's client raises inside into exceptions of ours.

    Args:
        where: what is asked for.
        missing: what to raise when it is not there: ModelNotFound or DataNotFound.
    """
    from huggingface_hub import errors

    try:
        yield
    except (errors.HfHubHTTPError, errors.EntryNotFoundError, errors.OfflineModeIsEnabled, errors.HFValidationError,
            errors.RevisionResolutionError, OSError) as error:  # fmt: skip
        raise _translated(error, where, missing) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("httpx2", "httpcore2", "httpx", "httpcore"):
            raise
        raise _silent(error, where) from error


def _translated(error: Exception, where: str, missing: type[UserError]) -> MillwrightError:
    from huggingface_hub import errors

    absent = {  # the first that fits: some of these classes descend from others
        errors.GatedRepoError: ("the repository is gated", "accept its terms on the hub, and set HF_TOKEN"),
        errors.RevisionNotFoundError: ("there is no such revision", "a branch, a tag or a commit; without one it is main"),
        errors.RepositoryNotFoundError: ("there is no such repository, or it is private",
                                         "check owner/name; for a private one set HF_TOKEN"),
        errors.HFValidationError: (f"this is no repository's name: {_line(error)}", "it is owner/name"),
        errors.RemoteEntryNotFoundError: (f"there is no such file: {_line(error)}", None),
    }  # fmt: skip
    for kind, (message, hint) in absent.items():
        if isinstance(error, kind):
            return (AccessDenied if kind is errors.GatedRepoError else missing)(message, where=where, hint=hint)
    if offline():
        return missing(
            "not all of it was downloaded before, and HF_HUB_OFFLINE is set",
            where=where,
            hint="run once without HF_HUB_OFFLINE",
        )
    if isinstance(error, OSError) and error.errno in FULL:
        return NoSpaceLeft("no space left for the download", where=where, hint="HF_HOME sets another place for it")
    cause = error.__cause__
    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(cause, errors.HfHubHTTPError):
        return _translated(cause, where, missing)
    return _unavailable(error, where)


def _unavailable(error: Exception, where: str) -> MillwrightError:
    from huggingface_hub import errors

    if isinstance(error, errors.HfHubHTTPError) and error.response is not None:
        code = error.response.status_code
        if code in HELD_BACK:
            return AccessDenied(
                f"the hub refuses (HTTP {code})", where=where, hint="set HF_TOKEN to a token that may read it"
            )
        return StoreUnavailable(f"the hub answers with HTTP {code}", where=where)
    if isinstance(error, ConnectionError | errors.LocalEntryNotFoundError | errors.RevisionResolutionError):
        return _silent(error.__cause__ or error, where)
    return StoreUnavailable(_line(error), where=where)


def _silent(error: BaseException, where: str) -> MillwrightError:
    kind = StoreUnavailable if answered_before() else StoreUnreachable
    return kind(f"the hub does not answer: {_line(error)}", where=where, hint=_endpoint())


def _endpoint() -> str:
    from huggingface_hub import constants

    return f"it was asked at {constants.ENDPOINT}; HF_ENDPOINT sets another one"


def _line(error: BaseException) -> str:
    """The first line of a message: the rest of the client's is advice on its own functions."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
