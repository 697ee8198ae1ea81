"""When a job must be looked at although nothing happens to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.core.job.calls import deadline_of
from hpcsched.core.job.holds import hold_deadline
from hpcsched.core.job.recalling import recall_time
from hpcsched.core.job.service import wake_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.core.job.model import Job
    from hpcsched.core.settings import Settings


def next_tick(job: Job, settings: Settings, now: float) -> float | None:
    """Return when the job needs a Tick, or None; seconds since 1970.

    A Tick then changes what this returns: otherwise the job would be ticked for ever.
    """
    return min(ticks(job, settings, now), default=None)


def ticks(job: Job, settings: Settings, now: float) -> Sequence[float]:
    """Return each moment at which the job needs a Tick; seconds since 1970."""
    back = recall_time(job)
    if not (job.spec.runtime or job.special or job.held_by):
        return () if back is None else (back,)  # most jobs need no more
    lasting = lasting_ticks(job, settings, now)
    return lasting if back is None else (back, *lasting)


def lasting_ticks(job: Job, settings: Settings, now: float) -> Sequence[float]:
    """Return those that a head which is started again must not count anew (F64)."""
    if not (job.spec.runtime or job.special or job.held_by):
        return ()
    times = (
        deadline_of(job, settings.release_s),
        wake_time(job, now),
        hold_deadline(job),
    )
    return [time for time in times if time is not None]
