"""Rows of accounting: what was used, by whom, when (properties.md 10).

They are written in the transaction of the event that they speak of, and outlive their
job: each kind is kept for a time of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DAY_S: Final = 86400
GROUPS: Final = ("day", "owner", "project")
"""What sums of use can be told apart by."""


@dataclass(slots=True, kw_only=True, unsafe_hash=True)  # made too often to be frozen
class JobHistoryRow:
    """A job has reached a terminal state.

    Attributes:
        history_id: Given by the store, growing; 0 before.
        requeue_id: How often the job had been queued again, from 0.
        state: JobState as its number.
        event_time: Seconds since 1970, UTC.
        body: Everything else, encoded (runtime.history), opaque here.
    """

    job_id: int
    requeue_id: int
    owner: str
    project: str
    state: int
    event_time: float
    body: bytes
    history_id: int = 0

    def of(self, job_id: int, body: bytes) -> JobHistoryRow:
        """Return that of another job that is alike but for this."""
        return JobHistoryRow(
            job_id=job_id,
            requeue_id=self.requeue_id,
            owner=self.owner,
            project=self.project,
            state=self.state,
            event_time=self.event_time,
            body=body,
            history_id=self.history_id,
        )


@dataclass(slots=True, kw_only=True, unsafe_hash=True)  # made too often to be frozen
class AllocationRow:
    """A job has held some cores of one node, from a time to a time.

    Attributes:
        cores: Their ids as ranges, ``0-3,8``; empty for a command, which holds none.
        history_id: Given by the store, growing; 0 before.
    """

    job_id: int
    requeue_id: int
    node_id: int
    cores: str
    start_time: float
    end_time: float
    history_id: int = 0


@dataclass(slots=True, kw_only=True)  # made too often to be frozen
class UsageRow:
    """What jobs of one owner and project used on one day; rows add up.

    Attributes:
        day: Days since 1970, UTC.
        core_ms: Core-milliseconds held.
        user_ms, kernel_ms: Processor time of attempts, on the day that their job ended.
        finished, failed, canceled: Jobs that ended so.
    """

    day: int = 0
    owner: str = ""
    project: str = ""
    core_ms: int = 0
    user_ms: int = 0
    kernel_ms: int = 0
    finished: int = 0
    failed: int = 0
    canceled: int = 0


SUMS: Final = ("core_ms", "user_ms", "kernel_ms", "finished", "failed", "canceled")
"""Columns of ``UsageRow`` that add up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryQuery:
    """Which rows, in the order of their times; all conditions must hold.

    Attributes:
        node_id: Of allocations only.
        owner: Of job history only.
        since: The row's (end) time is not before this.
        until: It is before this.
        after: Time and id of the last row of the page before.
    """

    job_id: int = 0
    node_id: int = 0
    owner: str = ""
    since: float | None = None
    until: float | None = None
    after: tuple[float, int] | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """Which sums of use.

    Attributes:
        first_day, last_day: Days since 1970, UTC, both included.
        owner, project: Only theirs; None: everybody's.
        by: What the sums are told apart by, of ``GROUPS``; the rest of a row is blank.
    """

    first_day: int
    last_day: int
    owner: str | None = None
    project: str | None = None
    by: tuple[str, ...] = GROUPS
    offset: int = 0
    limit: int = 1000
