"""The whole life of a job of one task, as its node told it in one report.

Of short jobs that waited on a node nothing is heard until they have ended: that they
started, when and where, and that all was well. Those of one kind then differ in what
was measured of them, and in nothing else. So one of them with strange values shows
where in the bytes each of the measured ones stands (core/job/stencils.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from hpcsched.core.job.accounting import charge
from hpcsched.core.job.ahead import attempt_ahead, on_our_clock
from hpcsched.core.job.commands import TakeReports
from hpcsched.core.job.ending import TIME_LIMIT, UINT32
from hpcsched.core.job.stencils import numbers, short_numbers, times
from hpcsched.core.reports import Ended, Started
from hpcsched.core.task.states import EndReason

if TYPE_CHECKING:
    from hpcsched.core.job.model import Job
    from hpcsched.core.reports import Report

_STRANGE_ORDER: Final = 0xE9B371C5
_STRANGE_CORE: Final = 0xE1F3
_STRANGE_USED: Final = (0xB7C1D3E5, 0xA9C5E7D1, 0x9DB3C7E9)
_STRANGE_SHIFT: Final = 0.0078125 + 1 / 4096
_HALF_MS: Final = 0.0002
_EXITED: Final = int(EndReason.EXITED)


class Life(NamedTuple):
    """What was measured of a job that waited on a node, ran there and finished.

    Attributes:
        order: Its place in the queue.
        start, end: Of its process, by the node's clock.
        begun: When it started, as the head sees it (J8).
        now: When the head heard of it.
        core: The one on which it ran.
        used: User and kernel time in milliseconds, largest resident set in KiB.
        core_ms: Core-milliseconds that it held.
        wait_ms: Milliseconds that it waited.
    """

    order: int
    start: float
    end: float
    begun: float
    now: float
    core: int
    used: tuple[int, int, int]
    core_ms: int
    wait_ms: int

    @property
    def pattern(self) -> tuple[bool, ...]:
        """Which of its values are as in a job of which nothing was measured.

        What is as everywhere is not written, so that others have other bytes.
        """
        user, kernel, memory = self.used
        held, waited = self.core_ms, self.wait_ms
        at_once = self.begun == self.now
        return at_once, not user, not kernel, not memory, not held, not waited

    def words(self) -> list[bytes]:
        """Return the ways in which its values are written."""
        core = self.core
        return [
            *times(self.start, self.end, self.begun, self.now),
            *numbers(self.order, *self.used, self.core_ms, self.wait_ms),
            *short_numbers(core, core + 1),
        ]

    def report(self, job: Job) -> Ended:
        """Return the node's report of it."""
        user, kernel, memory = self.used
        return Ended(
            job_id=job.job_id,
            task_id=1,
            instances=[0],
            attempts=[attempt_ahead(job)],
            reasons=[int(EndReason.EXITED)],
            exit_codes=[0],
            starts=[self.start],
            ends=[self.end],
            cores=[self.core],
            user_ms=[user],
            kernel_ms=[kernel],
            max_rss_kib=[memory],
        )


def life_of(
    report: Report, job: Job, order: int, now: float, attempt: int
) -> Life | None:
    """Return what a report tells of a job that is as another one that waits.

    Args:
        report: Of the node on which it waits.
        job: The other one.
        order: The place of the job in the queue.
        now: Seconds since 1970.
        attempt: The one that waits, of each of them.

    Returns:
        None: it is not a whole life in which all was well, and in a plain way.
    """
    if not isinstance(report, Ended) or not _is_plain(report, attempt):
        return None
    start, end, core = report.starts[0], report.ends[0], report.cores[0]
    used = (report.user_ms[0], report.kernel_ms[0], report.max_rss_kib[0])
    in_time = 0 < start < TIME_LIMIT and 0 < end < TIME_LIMIT
    if not in_time or core not in job.ahead[1] or min(used) < 0 or max(used) > UINT32:
        return None
    begun = min(max(on_our_clock(start, end, now), job.change_time), now)
    submitted = job.submit_time or 0.0
    life = lived(order, (start, end, begun, now), core, used, submitted)
    return life if max(life.core_ms, life.wait_ms) <= UINT32 else None


def lived(
    order: int,
    times: tuple[float, float, float, float],
    core: int,
    used: tuple[int, int, int],
    submitted: float,
) -> Life:
    """Return a life with what follows from its times.

    Args:
        order: Of the life, as are:
        times: ``start``, ``end``, ``begun`` and ``now``.
        core: Where it ran.
        used: User and kernel time, memory.
        submitted: When it was submitted; that of each of its kind.
    """
    _, _, begun, now = times
    held, waited = charge(1, begun, now), charge(1, submitted, begun)
    return Life(order, *times, core, used, held, waited)


def is_start(report: Report, attempt: int) -> bool:
    """Does a report tell no more than that the attempt which waits has started?"""
    return (
        isinstance(report, Started)
        and report.task_id == 1
        and list(report.instances) == [0]
        and report.attempts[0] == attempt
    )


def _is_plain(report: Ended, attempt: int) -> bool:
    """Did the attempt that waits start there, as it was to, and end as it should?"""
    return (
        report.task_id == 1
        and report.attempts[0] == attempt
        and len(report.instances) == 1
        and not report.instances[0]
        and report.reasons[0] == _EXITED
        and not report.exit_codes[0]
        and not report.details
        and (not report.widths or max(report.widths) <= 1)
    )


def strange_life(life: Life, submitted: float) -> Life:
    """Return one with values that stand nowhere else, of the same pattern."""
    at_once, *nothing = life.pattern
    *unused, held_none, waited_none = nothing
    wait = _HALF_MS if waited_none else 987_654.0 + _STRANGE_SHIFT
    held = 0.0 if at_once else _HALF_MS if held_none else 456_789.0 + _STRANGE_SHIFT
    begun = submitted + wait
    used = tuple(
        0 if none else value for none, value in zip(unused, _STRANGE_USED, strict=True)
    )
    start, end = begun - 3 * _STRANGE_SHIFT, begun + 5 * _STRANGE_SHIFT
    return lived(
        _STRANGE_ORDER,
        (start, end, begun, begun + held),
        _STRANGE_CORE,
        (used[0], used[1], used[2]),
        submitted,
    )


def as_if_waiting(job: Job, life: Life) -> None:
    """Let a job be one that waits where a strange life would be believed."""
    node_id, _, *shape = job.ahead
    job.submit_order = life.order
    job.ahead = (node_id, (life.core,), *shape)
    job.change_time = life.begun


def news_of(job: Job, life: Life, node_id: int, node: str) -> TakeReports:
    """Return the report of a life as the job is given it."""
    return TakeReports(node_id=node_id, node=node, reports=[life.report(job)])
