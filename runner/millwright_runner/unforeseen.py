"""Any exception as a failure that can be told. The command line needs this at its start: nothing but errors is imported."""

from __future__ import annotations

from millwright_api.errors import InvalidManifest, MillwrightError, NoSpaceLeft
from millwright_runner.stores.disk import FULL


class InternalError(MillwrightError):
    """Something that is none of the failures that a user can meet: a bug."""


def as_failure(error: BaseException) -> MillwrightError:
    """Returns any exception as one that can be told."""
    if isinstance(error, MillwrightError):
        return error
    if isinstance(error, OSError) and error.errno in FULL:
        return NoSpaceLeft(f"the disk is full: {error.strerror}", where=str(error.filename) if error.filename else None)
    if isinstance(error, MemoryError):
        return InternalError(
            "this machine has too little memory for it", hint="`millwright plan` estimates what a job needs"
        )
    if isinstance(error, ModuleNotFoundError) and str(error.name).partition(".")[0] == "azure":
        return InvalidManifest(
            f"this needs Azure's SDKs, and {error.name} is not installed here",
            hint="pip install 'millwright[azure]'; on a cluster an image that has them, as Millwright's own runner",
        )
    first = (str(error) or "no message").splitlines()[0]
    return InternalError(f"{type(error).__name__}: {first}", hint="this is a bug of Millwright's or of a library")
