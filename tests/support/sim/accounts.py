"""Accounting at the end of a run: sums are right, and what ran is in them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from hpcsched.common.ranges import count, parse_ranges
from hpcsched.core.job.accounting import charge
from hpcsched.core.job.states import JobState
from hpcsched.core.task.states import TaskState
from hpcsched.runtime.registry import decode_stored

if TYPE_CHECKING:
    from tests.support.sim.simulation import Simulation

ENDS = ("finished", "failed", "canceled")


class AccountChecks:
    """See the module (I17)."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._fail = sim.checks.fail

    def run(self) -> None:
        if self._sim.workload.extras.purges:
            return  # rows of accounting are forgotten too, by ages of their own
        self._sums()
        self._ends()
        self._what_ran()

    def _sums(self) -> None:
        """What is charged to users is what their jobs held."""
        books = self._sim.site.state.books
        held = sum(
            charge(_count(row.cores), row.start_time, row.end_time)
            for row in books.held
        )
        used = sum(row.core_ms for row in books.used.values())
        rounding = 2 * sum(_count(row.cores) for row in books.held)
        if abs(held - used) > rounding:
            self._fail(f"I17: {used} core-ms are charged, {held} were held")

    def _ends(self) -> None:
        """Each end of a job is told once, and counted once."""
        books = self._sim.site.state.books
        told = Counter(JobState(row.state).name.lower() for row in books.history)
        for name in ENDS:
            counted = sum(getattr(row, name) for row in books.used.values())
            if counted != told[name]:
                self._fail(f"I17: {counted} jobs are {name}, history has {told[name]}")
        rows = Counter(row.job_id for row in books.history)
        for job_id, ends in self._sim.checks.ends.items():
            if rows[job_id] != ends:
                self._fail(f"I17: job {job_id} ended {ends} times, not {rows[job_id]}")

    def _what_ran(self) -> None:
        """A job has held a core of the node on which a task of it has finished."""
        sim = self._sim
        held = {(row.job_id, row.node_id) for row in sim.site.state.books.held}
        head = sim.site.head
        assert head is not None
        numbers = {node.record.name: node.record.node_id for node in head._world.nodes}
        for job_id, stored in sim.site.state.jobs.items():
            job = decode_stored(stored.stored())
            if not job.books.core_ms:
                continue  # it took no time that could be measured
            for key, node in self._finished(job):
                if (job_id, numbers[node]) not in held:
                    self._fail(f"I17: {key} ran on {node}, which {job_id} never held")

    def _finished(self, job: Any) -> Any:
        starts = self._sim.checks._starts
        for record in job.tasks:
            table = job.table_of(record)
            for row in range(record.base, record.base + record.count):
                instance = record.instance(row) if record.has_elements else 0
                attempt = table.get("attempt", row)
                key = (job.job_id, record.task_id, instance, attempt)
                if table.state[row] == TaskState.FINISHED and key in starts:
                    yield key, starts[key].node


def _count(cores: str) -> int:
    return count(parse_ranges(cores)) if cores else 0
