"""Giving back what the job does not need (J11), never below its minimum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.core.job.events import EventName
from hpcsched.core.job.holding import idle_cores
from hpcsched.core.job.model import UsePhase
from hpcsched.core.job.states import JobState, JobType
from hpcsched.core.task.states import TaskState

if TYPE_CHECKING:
    from hpcsched.core.job.model import Job, NodeUse
    from hpcsched.core.job.turn import Turn


def shrink(turn: Turn) -> None:
    """Give back the cores that no waiting task needs."""
    job = turn.job
    if (
        not (turn.settings.shrink or turn.settings.mode == "Balanced")
        or job.state is not JobState.RUNNING
        or job.counts[TaskState.QUEUED]
        or job.spec.run_until_canceled
        or job.spec.job_type is JobType.ADMIN
    ):
        return
    if job.service is not None:
        if job.service.strikes:
            _leave_idle(turn, job.service.spec.min_cores)
        return
    held = sum(len(use.cores) for use in job.uses.values())
    spare = held - (job.spec.min_cores or 0)
    uses: dict[int, tuple[Any, ...]] = {}
    for use in sorted(job.uses.values(), key=lambda use: use.busy):
        if spare <= 0 or use.phase is not UsePhase.READY:
            continue
        kept = kept_cores(job, use, spare)
        spare -= len(use.cores) - len(kept)
        if not kept:
            uses[use.node_id] = (use.cores, int(UsePhase.LEAVING), use.prepared)
        elif len(kept) < len(use.cores):
            uses[use.node_id] = (kept, int(use.phase), use.prepared)
    if uses:
        turn.emit(EventName.JOB_RESIZED, uses=uses)


def _leave_idle(turn: Turn, width: int) -> None:
    """Give back idle nodes of a service whose instances end at once.

    Nodes with room for one instance stay until the job's minimum is held.
    """
    job = turn.job
    ready = [use for use in job.uses.values() if use.phase is UsePhase.READY]
    held = sum(len(use.cores) for use in ready)
    able = sum(len(use.cores) >= width for use in ready)
    uses: dict[int, tuple[Any, ...]] = {}
    for use in ready:
        held -= len(use.cores)
        able -= len(use.cores) >= width
        if use.live or held < job.min_cores() or not able:
            held += len(use.cores)
            able += len(use.cores) >= width
        else:
            uses[use.node_id] = (use.cores, int(UsePhase.LEAVING), use.prepared)
    if uses:
        turn.emit(EventName.JOB_RESIZED, uses=uses)


def kept_cores(job: Job, use: NodeUse, spare: int) -> tuple[int, ...]:
    """Return what is left of a node's cores when up to ``spare`` idle ones go."""
    if use.busy >= len(use.cores):
        return use.cores
    idle = idle_cores(job, use)
    if idle is None:
        return use.cores
    back = frozenset(idle[max(0, len(idle) - spare) :])
    return tuple(core for core in use.cores if core not in back)
