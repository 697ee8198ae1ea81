"""Giving back what the job does not need (J11), never below its minimum."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from hpcsched.core.job.events import EventName
from hpcsched.core.job.holding import idle_cores
from hpcsched.core.job.model import UsePhase
from hpcsched.core.job.states import JobState, JobType, UnitType
from hpcsched.core.job.uses import READY, Shelf
from hpcsched.core.task.states import TaskState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.core.job.model import Job, NodeUse
    from hpcsched.core.job.turn import Turn


def shrink(turn: Turn) -> None:
    """Give back the units that no waiting task needs."""
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
            _leave_idle(turn, job.service.spec.bounds(job.spec.unit_type)[0])
        return
    unit = job.spec.unit_type
    spare = job.held_units() - (job.spec.least or 0)
    uses: dict[int, tuple[Any, ...]] = {}
    for use in _with_idle_units(job) if spare > 0 else ():
        if spare <= 0:
            break
        kept = kept_cores(job, use, use.in_cores(unit, spare))
        spare -= use.units(unit) - use.units_without(unit, len(use.cores) - len(kept))
        if not kept:
            uses[use.node_id] = (use.cores, int(UsePhase.LEAVING), use.prepared)
        elif len(kept) < len(use.cores):
            uses[use.node_id] = (kept, int(use.phase), use.prepared)
    if uses:
        turn.emit(EventName.JOB_RESIZED, uses=uses, patch={"has_shrunk": True})


def _with_idle_units(job: Job) -> list[NodeUse]:
    """Return the nodes that may have units to give back, the idlest first."""
    idle = job.uses.on(Shelf.IDLE)
    if job.spec.unit_type is not UnitType.NODE:
        idle += sorted(job.uses.on(Shelf.FREE), key=attrgetter("busy"))
    return idle


def _leave_idle(turn: Turn, width: int) -> None:
    """Give back idle nodes of a service whose instances end at once.

    Nodes with room for one instance stay until the job's minimum is held.
    """
    job = turn.job
    ready = job.uses.on(*READY)
    unit = job.spec.unit_type
    held = sum(use.units(unit) for use in ready)
    able = sum(use.units(unit) >= width for use in ready)
    uses: dict[int, tuple[Any, ...]] = {}
    for use in ready:
        mine = use.units(unit)
        held -= mine
        able -= mine >= width
        if use.live or held < job.least() or not able:
            held += mine
            able += mine >= width
        else:
            uses[use.node_id] = (use.cores, int(UsePhase.LEAVING), use.prepared)
    if uses:
        turn.emit(EventName.JOB_RESIZED, uses=uses, patch={"has_shrunk": True})


def kept_cores(job: Job, use: NodeUse, spare: int) -> tuple[int, ...]:
    """Return what is left of a node's cores when up to ``spare`` idle ones go.

    Of sockets and nodes, where those are the job's unit, only whole ones go.
    """
    if use.busy >= len(use.cores):
        return use.cores
    idle = idle_cores(job, use)
    if idle is None:
        return use.cores
    match job.spec.unit_type:
        case UnitType.SOCKET:
            back = _idle_sockets(use, idle, spare)
        case UnitType.NODE:
            whole = len(idle) == len(use.cores) <= spare
            back = frozenset(idle) if whole else frozenset()
        case _:
            back = frozenset(idle[max(0, len(idle) - spare) :])
    return tuple(core for core in use.cores if core not in back)


def _idle_sockets(use: NodeUse, idle: Sequence[int], spare: int) -> frozenset[int]:
    """Return the cores of the last idle sockets that are no more than ``spare``."""
    sockets: dict[int, list[int]] = {}
    for core in use.cores:
        sockets.setdefault(use.socket_of(core), []).append(core)
    back: list[int] = []
    for cores in reversed(sockets.values()):
        if set(cores) <= set(idle) and len(back) + len(cores) <= spare:
            back += cores
    return frozenset(back)
