"""One command job, as tests drive it."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Mapping
from typing import Any

ENDED = ("Completed", "Failed", "Canceled", "NotResponding")
STATES = (
    "NotStarted", "Starting", "Provisioning", "Preparing", "Queued", "Running", "Finalizing", "CancelRequested", "Paused", *ENDED,
)  # fmt: skip
STD_LOG, BUILD_LOG = "user_logs/std_log.txt", "azureml-logs/20_image_build_log.txt"


class Job:
    """One command job.

    Attributes:
        name: its name.
        definition: its properties as they were submitted.
        states: every status that it had, in order; the last is what it has.
        error: run history's error, of a job that failed.
        logs: text by name, as user_logs/std_log.txt.
        canceling: how often it was asked to cancel.
        cancels_by_itself: a job that a test drives becomes Canceled soon after it was asked to; else the test says when.
        exit_code: of its process, once it ran.
    """

    def __init__(self, name: str, definition: Mapping[str, Any]) -> None:
        self.name, self.definition = name, dict(definition)
        self.states = ["Starting"]
        self.error: dict[str, Any] | None = None
        self.logs: dict[str, str] = {}
        self.canceling = 0
        self.cancels_by_itself = True
        self.exit_code: int | None = None
        self.started: str | None = None
        self.ended: str | None = None
        self.on_cancel: Callable[[], None] | None = None
        self._seen_canceling = False
        self._changed = threading.Condition()

    @property
    def status(self) -> str:
        return self.states[-1]

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of its definition."""
        return dict(self.definition.get("environmentVariables") or {})

    def state(self, status: str) -> Job:
        """Makes it be in another state."""
        if status not in STATES:
            raise ValueError(f"{status} is none of {', '.join(STATES)}")
        with self._changed:
            if status != self.status:
                self.states.append(status)
            if status == "Running" and self.started is None:
                self.started = _now()
            if status in ENDED:
                self.ended = _now()
            self._changed.notify_all()
        return self

    def log(self, text: str, name: str = STD_LOG) -> Job:
        """Appends to a log."""
        with self._changed:
            self.logs[name] = self.logs.get(name, "") + text
            self._changed.notify_all()
        return self

    def complete(self) -> Job:
        """It ends well."""
        return self.state("Finalizing").state("Completed")

    def fail(
        self, code: str = "UserError", message: str = "Execution failed. Exit status: 1.", log: str | None = None
    ) -> Job:
        """It ends badly, with an error as run history has it; `log` is appended to its log."""
        if log is not None:
            self.log(log)
        self.error = {
            "error": {"code": code, "message": message, "messageParameters": {}, "details": [], "severity": None},
            "time": _now(), "environment": "local", "location": "local", "componentName": "CommonRuntime",
        }  # fmt: skip
        return self.state("Failed")

    def fail_build(self, log: str) -> Job:
        """Its environment's image could not be built."""
        self.state("Preparing").log(log, BUILD_LOG)
        last = log.strip().splitlines()[-1] if log.strip() else ""
        return self.fail(
            "ImageBuildFailure", f"Image build failed. For more details, check log file {BUILD_LOG}. {last}".strip()
        )

    def wait(self, *statuses: str, timeout: float = 60) -> Job:
        """Waits until it is in one of these states; TimeoutError says in which it is instead."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.status in statuses, timeout):
                raise TimeoutError(f"{self.name} is {self.status}, not {' or '.join(statuses)}; its log: {self.logs}")
        return self

    def wait_log(self, text: str, name: str = STD_LOG, timeout: float = 60) -> Job:
        """Waits until a log has this in it."""
        with self._changed:
            if not self._changed.wait_for(lambda: text in self.logs.get(name, ""), timeout):
                raise TimeoutError(f"{self.name} is {self.status} and has not said {text!r}; its log: {self.logs}")
        return self

    def cancel(self) -> None:
        """What the service does when asked: a state at once, the end later."""
        self.canceling += 1
        if self.status == "CancelRequested":
            return
        self.state("CancelRequested")
        if self.on_cancel is not None:
            self.on_cancel()

    def look(self) -> None:
        """Somebody asks: a driven job that is to be canceled is seen as CancelRequested, and after that is Canceled."""
        if self.status == "CancelRequested" and self.on_cancel is None and self.cancels_by_itself:
            if self._seen_canceling:
                self.state("Canceled")
            self._seen_canceling = True


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
