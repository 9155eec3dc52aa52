"""The live view of a job on a cluster: a line for each step, with stage, bar, loss and time left; below it the news."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from millwright_api.report import Progress
from millwright_runner.cli import tables
from millwright_runner.cli.jobs import trials
from millwright_runner.cli.jobs.lines import OVER, JobView, left
from millwright_runner.cli.jobs.look import Happening, Look, finished, running, when
from millwright_runner.cli.live import MARKS, WIDE
from millwright_runner.cli.watch import SERVICE, count, ending, loss, share_of
from millwright_runner.words import duration, plural, sparkline

NEWS = 4
"""Events shown: the newest."""

AROUND, LEAST = 7, 5
"""Lines of the screen that are neither steps, events nor trials; and trials that are shown on a screen however low."""

PHASES = {"Succeeded": "green", "Failed": "red", "Stalled": "yellow", "Suspended": "yellow"}


def now() -> datetime:
    """Returns the present, in UTC."""
    return datetime.now(UTC)


class LiveJob(JobView):
    """Redraws itself four times a second, in place.

    Args:
        console: a terminal.
        clock: the present, in UTC.
    """

    def __init__(self, console: Console, clock: Callable[[], datetime] = now) -> None:
        self._clock = clock
        self._seen: Look | None = None
        self._events: list[Happening] = []
        self._losses: list[float] = []
        self._step, self._note = "", ""
        self._spinner = Spinner("dots")
        self._live = Live(self, console=console, refresh_per_second=4, redirect_stdout=False, redirect_stderr=False)

    def __enter__(self) -> LiveJob:
        self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._note = ""
        self._live.stop()

    def show(self, seen: Look) -> None:
        """Is drawn at the next refresh."""
        here = running(seen)
        if here is not None:
            if here.step_name != self._step:
                self._losses = []
            if here.loss is not None and self._losses[-1:] != [here.loss]:
                self._losses.append(here.loss)
            self._step = here.step_name
        self._seen, self._note = seen, ""

    def event(self, what: Happening) -> None:
        """Is drawn at the next refresh, among the newest."""
        self._events = sorted({*self._events, what}, key=lambda event: event.time)[-NEWS:]

    def note(self, text: str) -> None:
        """Is drawn until the next change."""
        self._note = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        seen = self._seen
        if seen is None:
            yield Text(self._note or "asking the cluster …", "dim")
            return
        yield self._title(seen)
        yield self._steps(seen, options.max_width)
        if trials.searching(seen) and (grid := trials.table(seen, self._room(seen, options.max_height), self._spinner)):
            yield grid
        known = seen.status.evaluation
        if known and seen.ended != "Complete":  # the closing text of a job that is complete has it too
            yield tables.table(known.results, known.constraints)
        yield Text(seen.headline(), PHASES.get(seen.status.phase or "", "default"))
        if advice := seen.advice():
            yield Text(f"what to do: {advice}", "yellow")
        if remote := seen.status.remote:
            line = Text(f"{SERVICE}{remote.state}  {remote.url or remote.name}", "dim")
            line.no_wrap, line.overflow = True, "ellipsis"
            yield line
        for event in self._events:
            line = Text(
                f"{when(event.time):%H:%M:%S} {event.reason}  {event.note}", "yellow" if event.warning else "dim"
            )
            line.no_wrap, line.overflow = True, "ellipsis"
            yield line
        if self._note:
            yield Text(self._note, "yellow")

    def _room(self, seen: Look, height: int) -> int:
        """Rows of the screen that are left for trials."""
        return max(LEAST, height - len(seen.passes) - len(self._events) - AROUND)

    def _title(self, seen: Look) -> Text:
        status = seen.status
        age = seen.seconds
        if age is None:
            age = (self._clock() - (when(status.start_time) if status.start_time else seen.created)).total_seconds()
        parts = [plural(len(seen.passes), "step"), duration(max(age, 0.0))]
        if len(status.stages) > 1:
            parts.append(plural(len(status.stages), "stage"))
        if status.attempts and status.attempts > len(status.stages):
            parts.append(plural(status.attempts, "attempt"))
        title = Text.assemble((seen.title, "bold"), "".join(f" · {part}" for part in parts))
        title.no_wrap, title.overflow = True, "ellipsis"
        return title

    def _steps(self, seen: Look, width: int) -> Table:
        table = Table.grid(padding=(0, 1), expand=False)
        for shrinks in (False, True, False, False, True):  # else all do, and the mark is gone first
            table.add_column(no_wrap=not shrinks, overflow="ellipsis")
        here, several = running(seen), len({entry.stage for entry in seen.passes}) > 1
        for entry in seen.passes:
            stage = Text(f"stage {entry.stage + 1}" if several else "", "dim")
            if entry.phase in OVER:
                mark, style = MARKS[entry.phase]
                table.add_row(Text(mark, style), _line(entry.name), stage, "", _line(ending(finished(entry))))
            elif here is not None and here.step_name == entry.name:
                table.add_row(self._spinner, _line(entry.name, "bold"), stage, *self._running(here, seen, width))
            else:
                waits = "running" if entry.phase == "Running" else "waiting"
                table.add_row(Text("·", "dim"), _line(entry.name, "dim"), stage, "", _line(waits, "dim"))
        return table

    def _running(self, here: Progress, seen: Look, width: int) -> tuple[ProgressBar | str, Text]:
        bar: ProgressBar | str = ""
        if here.total:
            bar = ProgressBar(total=1.0, completed=share_of(here), width=20 if width < WIDE else 32)
        curve = sparkline(self._losses) if width >= WIDE else ""
        last = loss(self._losses[-1]) if self._losses and here.total else ""
        return bar, _line("  ".join(word for word in (here.message, count(here), last, curve, left(seen)) if word))


def _line(text: str, style: str = "") -> Text:
    """Returns text that is cut where the room ends, in a column that may shrink."""
    return Text(text, style, no_wrap=True, overflow="ellipsis")
