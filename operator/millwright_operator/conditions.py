"""Where a job stands → phase and conditions, kstatus-correct in every state.

    state                          Ready            Reconciling  Stalled  others
    validating, pending, running   False            True         -        Validated, Running
    queued (Kueue, Azure ML)       False            True         -        Running=False
    waits for a person             False            -            True     Running=False
    suspended by its user          False            -            -        Suspended=True
    refused by the preflight       False            -            True     Validated=False; waits for an edit
    succeeded                      True             -            -        Finished, Complete, ArtifactsPublished
    failed                         False            -            True     Finished, Failed

ConstraintsMet is there once the model was judged, in whichever of these states: False at a failure, and, where
onViolation is Warn, at a success. Ready does not speak of it.
Reconciling and Stalled are there only when True, and never both: kstatus reads the first as InProgress and the second
as Failed. Finished is there only at an end, and an end is for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from millwright_api.status import MESSAGE_BYTES, Condition, ConditionType, JobPhase, Status
from millwright_operator.clock import written
from millwright_operator.text import shown

Truth = Literal["True", "False", "Unknown"]


@dataclass(frozen=True)
class Said:
    """One condition's content.

    Attributes:
        status: whether it holds.
        reason: CamelCase.
        message: for people.
    """

    status: Truth
    reason: str
    message: str = ""


@dataclass(frozen=True)
class State:
    """Where a job stands.

    Attributes:
        phase: the summary.
        reason, message: why it is not ready, or how it ended.
        validated: what the preflight found.
        stalled: whether only a person can bring it on.
        judged: what became of the constraints; None while nobody has judged.
    """

    phase: JobPhase
    reason: str
    message: str
    validated: Said
    stalled: bool = False
    judged: Said | None = None


def finished(status: Status) -> bool:
    """Returns whether the job has come to an end; what is so is never changed."""
    return any(c.type == "Finished" and c.status == "True" for c in status.conditions)


def condition(status: Status, kind: ConditionType) -> Condition | None:
    """Returns one of a status' conditions; None where it is absent."""
    return next((c for c in status.conditions if c.type == kind), None)


def conditions(state: State, before: Status, generation: int, now: datetime) -> list[Condition]:
    """Returns a state's conditions; each keeps the time of its last transition while its status stays as it was."""
    return [_condition(kind, said, before, generation, now) for kind, said in _said(state).items()]


def _said(state: State) -> dict[ConditionType, Said]:
    reason, message = state.reason, state.message
    ended = state.phase in ("Succeeded", "Failed")
    paused = state.phase == "Suspended"
    said: dict[ConditionType, Said] = {
        "Ready": Said("True" if state.phase == "Succeeded" else "False", reason, message),
        "Validated": state.validated,
        "Running": Said("True" if state.phase == "Running" else "False", reason),
        "Suspended": Said("True" if paused else "False", reason if paused else "NotSuspended"),
    }
    if state.phase == "Failed" or state.stalled:
        said["Stalled"] = Said("True", reason, message)
    elif not ended and not paused:
        said["Reconciling"] = Said("True", reason, message)
    if ended:
        said["Finished"] = Said("True", state.phase)
    if state.phase == "Succeeded":
        said["Complete"] = Said("True", reason)
        said["ArtifactsPublished"] = Said("True", "Published", message)
    if state.phase == "Failed":
        said["Failed"] = Said("True", reason, message)
    if state.judged is not None:
        said["ConstraintsMet"] = state.judged
    return said


def _condition(kind: ConditionType, said: Said, before: Status, generation: int, now: datetime) -> Condition:
    old = condition(before, kind)
    since = old.last_transition_time if old and old.status == said.status else written(now)
    return Condition(
        type=kind,
        status=said.status,
        reason=said.reason,
        message=shown(said.message, MESSAGE_BYTES),
        last_transition_time=since,
        observed_generation=generation,
    )
