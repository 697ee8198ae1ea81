"""How many tasks are in which state, over the whole cluster: read at once, any time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.core.job.model import STATES
from hpcsched.core.task.states import TASK_TERMINAL
from hpcsched.runtime.accounting import ended_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcsched.core.job.model import Job


class Tally:
    """Sums over the jobs that live, and over those that have ended.

    Those of ended jobs are counters of the store, changed in the transaction in which a
    job ends, begins anew or is deleted; this keeps pace with the commits.
    """

    def __init__(self, counters: Mapping[str, int]) -> None:
        self._ended = {
            name: counters.get(name, 0) for name in map(ended_name, TASK_TERMINAL)
        }
        self._live: dict[int, tuple[int, ...]] = {}
        self._totals = [0] * STATES

    def note(self, job: Job) -> None:
        """Count a job as it is now, committed."""
        before = self._live.get(job.job_id)
        if job.state.terminal:
            if before is not None:
                del self._live[job.job_id]
                self._add(before, -1)
            return
        after = tuple(job.counts)
        if after == before:
            return
        self._live[job.job_id] = after
        if before is None:
            self._add(after, 1)
            return
        totals = self._totals
        for state, count in enumerate(after):
            if count != before[state]:
                totals[state] += count - before[state]

    def note_alike(self, job: Job, count: int) -> None:
        """Count so many jobs that are like one, committed."""
        self._add(tuple(job.counts), count)

    def stands_alone(self, job: Job) -> None:
        """A job that was counted with others is noted by itself from now on."""
        self._live[job.job_id] = tuple(job.counts)

    def _add(self, counts: tuple[int, ...], sign: int) -> None:
        totals = self._totals
        for state, count in enumerate(counts):
            if count:
                totals[state] += sign * count

    def committed(self, sums: Mapping[str, int]) -> None:
        """A delta with these changes of counters is durable."""
        for name, change in sums.items():
            if name in self._ended:
                self._ended[name] += change

    @property
    def counts(self) -> dict[int, int]:
        """Tasks per state: instances, without masters, preparations, releases."""
        counts = dict(enumerate(self._totals))
        for state in TASK_TERMINAL:
            counts[int(state)] += self._ended[ended_name(state)]
        return {state: count for state, count in counts.items() if state and count}
