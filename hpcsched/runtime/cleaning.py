"""What is deleted in time: ended jobs, accounting, answers to old calls.

Once a day at JobCleanupHour, head-node time, on JobCleanUpDayOfWeek only if one is set
(lifecycle.md 8). When it ran last is kept, so that a run which was missed because no
head lived comes soon after the next start, and one that was done is not done again.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.parameters import DAYS
from hpcsched.runtime.durable import written
from hpcsched.runtime.job_reads import JobReads
from hpcsched.runtime.ledger import KEEP_S
from hpcsched.store.base import Delta
from hpcsched.store.errors import StoreBusyError, StoreFullError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcsched.core.job.model import Job

log = logging.getLogger(__name__)
LOOK_S: Final = 60.0
"""How often it is looked whether the time has come."""
RETRY_S: Final = 600.0
"""Pause after a run that failed."""
PURGE_BATCH: Final = 100
TOGETHER: Final = 8
"""Jobs that are deleted at a time: others' commits come in between."""
DAY_S: Final = 86400.0
LAST_CLEANUP: Final = "last cleanup"
"""Name of the counter with the time of the last run."""
_STOPS: Final = frozenset({"DISK_FULL", "OUTCOME_UNKNOWN"})


def next_cleanup(after: float, hour: int, day: str) -> float:
    """Return the time of the first purge after a time.

    Args:
        after: Seconds since 1970, UTC.
        hour: Local hour.
        day: Name of the only day of the week; empty: every day.
    """
    # Without a zone of its own a local time becomes UTC by the rules of its own date,
    # before and after the clocks change.
    local = datetime.fromtimestamp(after)  # noqa: DTZ006
    at = local.replace(hour=hour, minute=0, second=0, microsecond=0)
    while at.timestamp() <= after or (day and at.weekday() != DAYS.index(day)):
        at += timedelta(days=1)
    return at.timestamp()


class Cleaning(JobReads):
    """The part of the head that forgets."""

    _last_cleanup: float

    async def _clean_up_forever(self) -> None:
        clock = self._world.clock
        while True:
            # Looked at often: the hour may be set, and the wall clock as well.
            await clock.sleep(LOOK_S)
            if not self._is_time():
                continue
            try:
                await self.clean_up()
                now = clock.wall()
                await written(self._world, Delta(counters={LAST_CLEANUP: int(now)}))
                self._last_cleanup = now
            except (HpcError, StoreFullError, StoreBusyError) as refusal:
                # A full disk is no fault of ours, and it has been reported as such.
                log.warning("the purge of ended jobs has to wait: %s", refusal)
                await clock.sleep(RETRY_S)
            except Exception:
                log.exception("the purge of ended jobs failed; it is tried again")
                await clock.sleep(RETRY_S)

    def _is_time(self) -> bool:
        settings, now = self._world.settings, self._world.clock.wall()
        if settings.restore_mode or self._world.stopping:
            return False  # whoever restored a store wants to look at it first
        last = self._last_cleanup
        hour, day = settings.cleanup_hour, settings.cleanup_day
        return now < last or next_cleanup(last, hour, day) <= now

    async def clean_up(self) -> None:
        """Delete jobs that ended TTLCompletedJobs days ago, and what else is old (J32).

        Raises:
            HpcError: DISK_FULL, OUTCOME_UNKNOWN.
        """
        now, settings = self._world.clock.wall(), self._world.settings
        before = now - settings.ttl_days * DAY_S
        store = self._world.store
        tried: set[int] = set()
        while True:
            found = await store.expired_jobs(before, PURGE_BATCH + len(tried))
            ids = [job_id for job_id in found if job_id not in tried]
            if not ids:
                break
            for at in range(0, len(ids), TOGETHER):
                await self._expire_some(ids[at : at + TOGETHER], before)
            tried.update(ids)
            tried.intersection_update(found)
        await store.forget_requests(now - KEEP_S)
        await store.forget_allocations(now - settings.allocation_ttl_days * DAY_S)
        await store.forget_history(now - settings.history_ttl_days * DAY_S)
        self._world.feed.floor = await store.floor()

    async def _expire_some(self, ids: list[int], before: float) -> None:
        async with asyncio.TaskGroup() as tasks:
            runs = [tasks.create_task(self._expire(one, before)) for one in ids]
        for run in runs:
            refusal = run.result()
            if refusal is not None:
                raise refusal

    async def _expire(self, job_id: int, before: float) -> HpcError | None:
        """Delete a job; return why no more can be deleted now."""
        try:
            await self._purge(job_id, _expired(before), None)
        except HpcError as error:
            if error.reason in _STOPS:
                return error
            log.info("job %d stays: %s", job_id, error)
        else:
            log.info("job %d: deleted, its time is over", job_id)
        return None


def _expired(before: float) -> Callable[[Job], None]:
    def check(job: Job) -> None:
        ended = job.end_time
        if not job.state.terminal or ended is None or ended >= before:
            # It was queued again after it had been found.
            raise HpcError(
                "INVALID_OPERATION",
                job_id=job.job_id,
                state=job.state.label,
                operation="expire",
            )

    return check
