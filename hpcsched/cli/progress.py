"""How far jobs are: a live bar on a terminal, a line per step where piped."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, Protocol, Self

from hpcsched.cli.problems import note
from hpcsched.cli.shapes import ended_count, job_state, short

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import TaskID

    from hpcsched.api.v1 import job_pb2, task_pb2
    from hpcsched.cli.app import App

#: Lines per job where there is no terminal: one for each so many percent.
STEP_PERCENT: Final = 10


class Progress(Protocol):
    """What shows how far jobs are."""

    def show(self, job: job_pb2.Job) -> None:
        """Show a job as it is now."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def percent(counts: task_pb2.TaskCounts) -> int:
    """Return the share of elements that have ended, rounded down."""
    return 100 * ended_count(counts) // counts.total if counts.total else 0


def summary(counts: task_pb2.TaskCounts) -> str:
    """Return the counts in words, those of nought left out."""
    parts = [
        f"{counts.finished} finished" if counts.finished else "",
        f"{counts.running} running" if counts.running else "",
        f"{counts.queued + counts.dispatching} queued"
        if counts.queued + counts.dispatching
        else "",
        f"{counts.failed} failed" if counts.failed else "",
        f"{counts.canceled} canceled" if counts.canceled else "",
    ]
    return ", ".join(part for part in parts if part)


class Lines:
    """A line on stderr when a job's state changes, and for every ten percent."""

    def __init__(self) -> None:
        self._shown: dict[int, tuple[int, int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return

    def show(self, job: job_pb2.Job) -> None:
        counts = job.task_counts
        step = (job.state, percent(counts) // STEP_PERCENT)
        if self._shown.get(job.id) == step:
            return
        self._shown[job.id] = step
        state = short(job_state(job.state))
        done = f"{ended_count(counts)}/{counts.total}"
        details = summary(counts)
        note(f"job {job.id} {state} {done}" + (f" ({details})" if details else ""))


class Bar:
    """A live bar per job on the terminal of stderr."""

    def __init__(self, app: App) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
        )
        from rich.progress import Progress as RichProgress

        self._bars: dict[int, TaskID] = {}
        self._drawn = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[details]}"),
            console=app.console(stderr=True),
        )

    def __enter__(self) -> Self:
        self._drawn.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._drawn.stop()

    def show(self, job: job_pb2.Job) -> None:
        if job.id not in self._bars:
            self._bars[job.id] = self._drawn.add_task("", total=None, details="")
        counts = job.task_counts
        self._drawn.update(
            self._bars[job.id],
            description=f"job {job.id} {short(job_state(job.state))}",
            total=counts.total or None,
            completed=ended_count(counts),
            details=summary(counts),
        )


def open_progress(app: App, *, plain: bool = False) -> Progress:
    """Return what fits: a bar on a terminal, else lines.

    Args:
        app: The call.
        plain: Lines in any case: something else writes on the terminal, too.
    """
    return Lines() if plain or not sys.stderr.isatty() else Bar(app)
