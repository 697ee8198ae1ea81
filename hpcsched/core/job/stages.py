"""What a job that runs or is being stopped is about just now, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.core.job.resources import goes_back
from hpcsched.core.job.states import JobState
from hpcsched.core.task.states import TaskState, TaskType

if TYPE_CHECKING:
    from hpcsched.core.job.model import Job


def why_it_runs(job: Job) -> list[str]:
    """Return sentences about a running job as a whole."""
    waiting = job.counts[TaskState.QUEUED]
    running = job.counts[TaskState.RUNNING]
    runs, waits = _s(running, "run"), _s(waiting, "wait")
    lines = [f"it runs: {_tasks(running)} {runs}, {waiting} {waits}"]
    if goes_back(job):
        lines.append("it gives back the nodes that are left, and is queued again then")
    elif job.spec.run_until_canceled and not waiting + job.on_nodes():
        lines.append(
            "it keeps its cores until it is finished or canceled (run_until_canceled)"
        )
    return lines


def why_it_stops(job: Job) -> list[str]:
    """Return sentences about what a job that is being stopped still waits for."""
    left = job.on_nodes()
    release = job.typed(TaskType.NODE_RELEASE)
    prep = job.typed(TaskType.NODE_PREP)
    if left:
        has = "has" if left == 1 else "have"
        line = f"it is being stopped: {_tasks(left)} {has} not ended yet"
    elif prep is not None and prep.open:
        line = f"it is being stopped: its node preparation runs on {_nodes(prep.open)}"
    elif release is not None and release.open:
        line = f"its node release runs on {_nodes(release.open)}"
    else:
        line = "it is being stopped"
    again = job.pending_end is JobState.QUEUED
    return [line, "it is queued again after that"] if again else [line]


def _tasks(count: int) -> str:
    return f"{count} task{_s(count)}"


def _nodes(count: int) -> str:
    return f"{count} node{_s(count)}"


def _s(count: int, verb: str = "") -> str:
    """Return the ending of a noun, or the form of a verb, for so many."""
    if verb:
        return f"{verb}s" if count == 1 else verb
    return "" if count == 1 else "s"
