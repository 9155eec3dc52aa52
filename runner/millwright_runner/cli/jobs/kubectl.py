"""kubectl as a child process: contexts, kubeconfigs and log-in plug-ins are its own, and work here as they do there."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from millwright_api.errors import AccessDenied, MillwrightError, UserError
from millwright_api.names import GROUP, KIND, PLURAL
from millwright_runner.lookup import close_names

RESOURCE = f"{PLURAL}.{GROUP}"
"""The full name: others have an OptimizationJob too."""

LIST_SECONDS = 15
"""How long a list of names may take; it is only wanted for a hint."""

ENDING_SECONDS = 5
"""How long a kubectl may take to end; it takes none."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
"""Seconds between two attempts to reach the cluster again; doubled each time."""

NOISE = re.compile(r"^[EWIF]\d{4} ")
"""Lines that kubectl's libraries log besides its message."""


class KubectlNotFound(UserError):
    """kubectl is not installed here, or not on the PATH."""


class JobNotFound(UserError):
    """The cluster has no such job, no such namespace, or no OptimizationJobs at all."""


class ClusterUnreachable(UserError):
    """The cluster never answered: a wrong address or context is the likeliest cause."""


@dataclass(frozen=True)
class Target:
    """Which job, on which cluster.

    Attributes:
        name: the job's name.
        namespace: its namespace; None is the kubeconfig's.
        options: options of kubectl that choose the cluster, such as `--context=…`.
    """

    name: str
    namespace: str | None
    options: tuple[str, ...] = ()

    def command(self, *arguments: str, namespace: str | None = None) -> list[str]:
        """Returns a command line of kubectl's in the job's namespace."""
        chosen = namespace or self.namespace
        return ["kubectl", *self.options, *([f"--namespace={chosen}"] if chosen else []), *arguments]

    def job_watch(self) -> list[str]:
        """Returns the command that tells the job now and at each change."""
        return self.command("get", RESOURCE, self.name, "--output=json", "--watch", "--output-watch-events")

    def event_watch(self, namespace: str) -> list[str]:
        """Returns the command that tells the Events on the job, those of the last hour too."""
        about = f"regarding.kind={KIND},regarding.name={self.name}"
        return self.command(
            "get",
            "events.events.k8s.io",
            f"--field-selector={about}",
            "--output=json",
            "--watch",
            "--output-watch-events",
            namespace=namespace,
        )

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True)
class Lost:
    """A kubectl that ended, although there was more to tell.

    Attributes:
        message: what it said; empty when the API server closed the watch, which is usual now and then.
    """

    message: str


def documents(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yields the JSON documents of a stream: one a line, or each spread over lines that end in a bare `}`."""
    text = ""
    for line in lines:
        text += line
        if line.startswith(("{", "}")) and line.rstrip().endswith("}"):
            yield json.loads(text)
            text = ""


class Watches:
    """Watches that run until all are ended together: a kubectl by itself would wait for the next change for ever."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()

    def follow(self, command: list[str], put: Callable[[dict[str, Any] | Lost], None]) -> None:
        """Runs a watch again and again and hands on what it tells, until `end`.

        Raises:
            KubectlNotFound: there is no kubectl.
        """
        pause = FIRST_PAUSE
        while not self._ended.is_set():
            with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
                process = self._start(command, said)
                if process is None:
                    return
                with process:
                    assert process.stdout is not None  # it is a pipe
                    for document in documents(process.stdout):
                        put(document)
                        pause = FIRST_PAUSE
                with self._lock:
                    self._running.discard(process)
                said.seek(0)
                put(Lost(last_words(said.read()) if process.returncode else ""))
            self._ended.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def end(self) -> None:
        """Ends all watches, starts none any more, and returns when no kubectl is left."""
        self._ended.set()
        with self._lock:
            for process in self._running:
                process.terminate()
            for process in self._running:
                try:
                    process.wait(ENDING_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()

    def _start(self, command: list[str], said: IO[str]) -> subprocess.Popen[str] | None:
        """Returns a kubectl; None when all have been ended, also while it was to start."""
        with self._lock:
            if self._ended.is_set():
                return None
            try:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, text=True
                )
            except FileNotFoundError as error:
                raise KubectlNotFound(
                    "kubectl is not installed, or not on the PATH",
                    hint="the cluster is asked through it: install kubectl",
                ) from error
            self._running.add(process)
            return process


def last_words(text: str) -> str:
    """Returns kubectl's own message out of what it wrote to stderr."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    own = [line for line in lines if not NOISE.match(line)]
    return (own or lines or ["no reason was given"])[-1].removeprefix("error: ").removeprefix("Error from server ")


def explain(message: str, target: Target) -> MillwrightError:
    """Returns the failure that kubectl's last words mean, when the job was never seen."""
    place = f"namespace {target.namespace}" if target.namespace else "this kubeconfig's namespace"
    if "namespaces" in message and "not found" in message:
        names = _names(target.command("get", "namespaces", "--output=name"))
        hint = close_names(target.namespace or "", names, "the cluster") if names else None
        return JobNotFound(f"the cluster has no namespace {target.namespace}", where=str(target), hint=hint)
    if "(NotFound)" in message:
        jobs = _names(target.command("get", RESOURCE, "--output=name"))
        hint = None if jobs is None else close_names(target.name, jobs, place)
        return JobNotFound(f"there is no OptimizationJob {target.name} in {place}", where=str(target), hint=hint)
    if "doesn't have a resource type" in message:
        return JobNotFound(
            "this cluster knows no OptimizationJobs",
            where=str(target),
            hint="install Millwright on it: docs/install.md",
        )
    if "(Forbidden)" in message:
        return AccessDenied(message, where=str(target), hint="watching takes get and watch on " + RESOURCE)
    if "logged in" in message or "Unauthorized" in message:
        return AccessDenied(
            message, where=str(target), hint="the kubeconfig's token or certificate is not accepted: log in"
        )
    return ClusterUnreachable(message, where=str(target), hint=_way_in(message, target))


def _way_in(message: str, target: Target) -> str:
    """Returns what may help where no cluster was reached."""
    if missing := re.search(r'context "(.*)" does not exist', message):
        known = _lines(["kubectl", *target.options, "config", "get-contexts", "--output=name"])
        if known is not None:
            return close_names(missing[1], known, "the kubeconfig")
    if "localhost:8080" in message:
        return "this is where kubectl looks without a kubeconfig: name one with KUBECONFIG or --kubeconfig"
    return "does `kubectl get namespaces` work with the same context?"


def _names(command: list[str]) -> list[str] | None:
    lines = _lines(command)
    return None if lines is None else [line.partition("/")[2] for line in lines]


def _lines(command: list[str]) -> list[str] | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIST_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.split()
