"""A job on a cluster as plain lines: one for each change, none twice."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import IO

from millwright_runner import figures
from millwright_runner.cli.jobs import trials
from millwright_runner.cli.jobs.look import Happening, Look, finished, running
from millwright_runner.cli.watch import (
    LEAST_SECONDS,
    LEAST_SHARE,
    MOST_SECONDS,
    SERVICE,
    count,
    ending,
    loss,
    share_of,
)

OVER = ("Succeeded", "Failed", "Stopped")
"""Phases that a step does not leave by itself."""


class JobView:
    """Shows nothing: the base of the others."""

    def __enter__(self) -> JobView:
        return self

    def __exit__(self, *exc: object) -> None:
        """Leaves the screen in order."""

    def show(self, seen: Look) -> None:
        """Told at each change of the job."""

    def event(self, what: Happening) -> None:
        """Told of each Event on the job."""

    def note(self, text: str) -> None:
        """Told what happens to the watching itself."""


class JsonLines(JobView):
    """One JSON document a line for each change of the status.

    Args:
        out: where to.
    """

    def __init__(self, out: IO[str]) -> None:
        self._out, self._last = out, ""

    def show(self, seen: Look) -> None:
        """Writes the job's place, generation and status."""
        line = json.dumps(
            {
                "namespace": seen.namespace,
                "name": seen.name,
                "uid": seen.uid,
                "generation": seen.generation,
                "status": seen.said,
            },
            ensure_ascii=False,
        )
        if line != self._last:
            self._out.write(line + "\n")
            self._out.flush()
        self._last = line


class JobLines(JobView):
    """Lines for logs.

    Args:
        out: where to.
        clock: seconds, monotonic.
    """

    def __init__(self, out: IO[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._out, self._clock = out, clock
        self._said: dict[str, str] = {}
        self._told: set[Happening] = set()
        self._phase = ("", "")
        self._last_time, self._last_share = 0.0, 0.0

    def show(self, seen: Look) -> None:
        """Writes what is new since the last look."""
        lines = dict(facts(seen))
        for about, line in lines.items():
            if self._said.get(about) != line:
                self._write(line)
        self._said = lines
        self._progress(seen)

    def event(self, what: Happening) -> None:
        """Writes warnings; what else Events tell is in the status."""
        if what.warning and what not in self._told:
            self._told.add(what)
            self._write(f"warning: {what.reason}: {what.note}".removesuffix(": "))

    def note(self, text: str) -> None:
        """Writes it."""
        self._write(text)

    def _progress(self, seen: Look) -> None:
        """Writes a new phase of a step at once, and how far one is from time to time."""
        now = running(seen)
        if now is None or (now.message.startswith(SERVICE) and seen.status.remote is not None):
            return
        clock, phase, share = self._clock(), (now.step_name, now.message), share_of(now)
        waited = clock - self._last_time
        due = waited >= MOST_SECONDS or (waited >= LEAST_SECONDS and share - self._last_share >= LEAST_SHARE)
        news = phase != self._phase and not trials.searching(seen)  # of a trial nobody wants to know each phase
        if not news and not (due and now.done is not None):
            return
        self._phase, self._last_time, self._last_share = phase, clock, share
        words = ", ".join(word for word in (count(now), "" if now.loss is None else loss(now.loss), left(seen)) if word)
        self._write(f"{now.step_name} ({now.step_index + 1}/{now.steps}): {now.message} {words}".rstrip())

    def _write(self, line: str) -> None:
        self._out.write(line + "\n")
        self._out.flush()


def facts(seen: Look) -> Iterator[tuple[str, str]]:
    """Yields what holds of a job, each as what it is about and a line; a line that changes is news."""
    headline = f"{seen.status.phase}: trials" if trials.searching(seen) and running(seen) else seen.headline()
    yield "headline", f"{seen.title}: {headline}"
    if advice := seen.advice():
        yield "advice", f"what to do: {advice}"
    if remote := seen.status.remote:
        yield "remote", f"job {remote.name}{f': {remote.url}' if remote.url else ''}"
        yield "remote state", f"{SERVICE}{remote.state}"
    for index, entry in enumerate(seen.passes):
        if entry.phase in OVER:
            yield f"pass {entry.name}", f"{entry.name} ({index + 1}/{len(seen.passes)}): {ending(finished(entry))}"
    yield from trials.lines(seen)
    known = seen.status.evaluation
    for result in known.results if known else ():
        yield f"measured {result.after}", f"measured after {result.after}: {figures.line(result)}"
    for place, line in enumerate(figures.verdicts(known.constraints) if known else ()):
        yield f"constraint {place}", line


def left(seen: Look) -> str:
    """Returns `1h20m left`, or nothing."""
    now = seen.status.progress
    return f"{now.eta} left" if now is not None and now.eta else ""
