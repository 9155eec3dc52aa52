"""Every failure a user can meet, as one tree.

    MillwrightError
    ├── UserError                    exit 2   the same input fails again: never retried
    │   ├── InvalidManifest                   unknown key, wrong type, out of bounds, dangling reference
    │   ├── UnknownPass · UnknownMetric       none of that name is installed
    │   ├── ChainMismatch                     a pass does not read what the one before it writes
    │   ├── ModelNotFound · InvalidModel      the model is absent, or there and unusable
    │   ├── DataNotFound · InvalidData        the data are absent, or there and unusable
    │   ├── StoreNotFound · AccessDenied · StoreUnreachable
    │   │                                     the store was wrong before it ever answered
    │   ├── OutputExists                      the output holds another result
    │   ├── NoSpaceLeft                       the disk is too small
    │   ├── InvalidKey                        a key for signatures is none, or of a kind that is not used
    │   ├── RemoteCodeNotAllowed              the model brings code, and the platform runs none
    │   ├── MemoryInsufficient · GPUMemoryInsufficient
    │   │                                     a stage is expected to need more than it may have
    │   ├── ResultMissing                     the run ended well, and its result is not in the output any more
    │   ├── CredentialsMissing · LoginFailed · WrongTenant
    │   │                                     Azure knows nobody by what the environment says
    │   ├── WorkspaceNotFound · DatastoreNotFound · DatastoreNotSupported
    │   ├── ComputeNotFound · ComputeStopped · InstanceTypeNotFound · QuotaExceeded
    │   ├── EnvironmentNotFound · EnvironmentBuildFailed
    │   ├── SecretNotFound                    no such secret in the Key Vault, or no such variable to hand over
    │   ├── AzureMLRefused                    Azure ML does not take the job
    │   └── AzureMLJobCanceled                somebody else canceled it there
    ├── ConstraintsNotMet            exit 3   the model was made and failed a gate
    ├── TryAgain                     exit 75  the same input may well succeed later
    │   ├── StoreUnavailable                  a store that had answered stopped answering
    │   ├── AzureUnavailable                  Azure does not answer, or asks for fewer questions
    │   ├── HandoverMissing                   the stage before this one left no result in the cache
    │   └── Damaged                           bytes that arrived are not the bytes that were sent
    ├── Stopped                      exit 143 SIGTERM, checkpoint saved (130 for Ctrl-C)
    ├── TrialsFailed                 exit 1   of a search's trials too many failed, or all
    ├── AzureMLJobFailed             exit 1   the job failed on Azure ML, and the runner in it said nothing
    └── PassFailed                   exit 1   a pass broke in a way nobody foresaw

Each class knows its `reason` (CamelCase, for conditions), its `exit_code` and whether it is `retryable`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class MillwrightError(Exception):
    """Base of all: one message for a person, in three parts.

    Args:
        message: what was found, as a sentence without its full stop.
        where: the path in the manifest, the file and line, or the URI that it is about.
        hint: what is possible instead.
    """

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.where, self.hint = message, where, hint

    @property
    def reason(self) -> str:
        """The class's name: CamelCase, as Kubernetes wants a condition's reason."""
        return type(self).__name__

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{where}{self.message}{hint}"


class UserError(MillwrightError):
    """The input is wrong; running it again changes nothing."""

    exit_code = 2


class InvalidManifest(UserError):
    """The manifest has an unknown key, a wrong type, a value out of bounds or a dangling reference."""


class UnknownPass(UserError):
    """No pass of that name is installed."""


class UnknownMetric(UserError):
    """No metric of that name is installed."""


class ChainMismatch(UserError):
    """A pass does not read the format that the one before it writes."""


class ModelNotFound(UserError):
    """The model's source does not exist or cannot be seen with these credentials."""


class InvalidModel(UserError):
    """The model is there and cannot be used: no config, torn weights, modules that match nothing."""


class DataNotFound(UserError):
    """The data's source does not exist or cannot be seen with these credentials."""


class InvalidData(UserError):
    """The data are there and cannot be used: malformed line, missing column, nothing left after filtering."""


class StoreNotFound(UserError):
    """The bucket or folder that should hold the output does not exist."""


class AccessDenied(UserError):
    """The store answered and refused these credentials, or there were none."""


class StoreUnreachable(UserError):
    """The store never answered: before the first answer, a wrong address is the likeliest cause."""


class OutputExists(UserError):
    """The output holds another result and the manifest does not say to replace it."""


class NoSpaceLeft(UserError):
    """The disk cannot hold what the job has to write."""


class InvalidKey(UserError):
    """A key for signatures is none, cannot be read without a password, or is of a kind that is not used."""


class RemoteCodeNotAllowed(UserError):
    """The manifest trusts code that comes with the model, and the platform runs none."""


class MemoryInsufficient(UserError):
    """A stage is expected to need more memory than its pod may use."""


class GPUMemoryInsufficient(UserError):
    """A stage is expected to need more memory than its accelerator has."""


class ResultMissing(UserError):
    """A run ended well and its result is not in the output any more: it was replaced or removed."""


class CredentialsMissing(UserError):
    """There is nothing to log in to Azure with: no variables, no workload identity, no managed identity, no az login."""


class LoginFailed(UserError):
    """Azure's login refuses the client, its secret or its certificate."""


class WrongTenant(UserError):
    """The tenant does not exist, or is not the one that the subscription belongs to."""


class WorkspaceNotFound(UserError):
    """The workspace, its resource group or its subscription does not exist, or nobody said which."""


class DatastoreNotFound(UserError):
    """The workspace has no such datastore."""


class DatastoreNotSupported(UserError):
    """The datastore is of a kind that cannot be read."""


class ComputeNotFound(UserError):
    """The workspace has no such compute."""


class ComputeStopped(UserError):
    """The compute is there and does not run jobs: stopped, failed, detached, being deleted."""


class InstanceTypeNotFound(UserError):
    """The attached cluster has no such InstanceType."""


class QuotaExceeded(UserError):
    """The subscription's quota does not allow what is asked for."""


class EnvironmentNotFound(UserError):
    """There is no such environment, or no such version or label of it."""


class EnvironmentBuildFailed(UserError):
    """Azure ML could not build the image that the job runs in; the message has the end of the build's log."""


class SecretNotFound(UserError):
    """The Key Vault has no such secret, or the credentials have no variable of that name."""


class AzureMLRefused(UserError):
    """Azure ML does not take the job, for none of the other reasons; the message has the service's words."""


class AzureMLJobCanceled(UserError):
    """The job was canceled on Azure ML by somebody else."""


class ConstraintsNotMet(MillwrightError):
    """The model was made and failed a gate, or of a search every model did; nothing was published."""

    exit_code = 3


class TryAgain(MillwrightError):
    """Something outside failed that heals by itself."""

    exit_code = 75
    retryable = True


class StoreUnavailable(TryAgain):
    """A store that had answered before stopped answering, through all retries."""


class AzureUnavailable(TryAgain):
    """Azure does not answer, answers with an error of its own, or throttles, through all retries."""


class HandoverMissing(TryAgain):
    """A stage starts from a result that is not in the cache any more: the stage before it has to make it again."""


class Damaged(TryAgain):
    """Bytes that were read do not have the digest they were written with."""


class Stopped(MillwrightError):
    """The run was asked to stop and left a checkpoint; the same command goes on from it.

    Args:
        signal: the signal's number; the exit code is 128 + signal, as shells have it.
    """

    exit_code = 143
    retryable = True

    def __init__(self, message: str, *, signal: int = 15) -> None:
        super().__init__(message)
        self.signal = signal


class TrialsFailed(MillwrightError):
    """Of a search's trials more failed than the manifest tolerates, or all did; the commonest reason is told."""


class AzureMLJobFailed(MillwrightError):
    """The job failed on Azure ML without the runner's word; the message has the service's words and the end of its log."""


class PassFailed(MillwrightError):
    """A pass raised something that is none of the above; the traceback is its cause."""


def suggest(name: str, possible: Iterable[str]) -> str:
    """Returns `did you mean 'x'?` when one is close, else the list of what is possible.

    Args:
        name: what was written.
        possible: what could have been written.
    """
    names = sorted(possible)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6) or difflib.get_close_matches(
        name.lower(), [n for n in names if n.lower() == name.lower()], n=1, cutoff=0
    )
    if close:
        return f"did you mean '{close[0]}'?"
    return f"possible: {', '.join(names)}" if names else "none is possible here"
