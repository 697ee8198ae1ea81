"""Reports of one stream on their way into the jobs, and what is acknowledged of them.

An acknowledgement lets the node forget: it is sent only when every job has recorded its
part of a frame, and of all frames before. A job that cannot take a report because of a
fault of ours is given it again, more and more slowly and in small parts. After a few
faults in a row the job is set aside (``runtime.apart``), which keeps what comes for it.
Other jobs do not wait for it.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.commands import TakeReports
from hpcsched.runtime.sleepers import Sleepers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpcsched.runtime.frames import AgentFrame
    from hpcsched.runtime.node_record import NodeRecord
    from hpcsched.runtime.world import World

log = logging.getLogger(__name__)
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0


class Intake:
    """See the module.

    Args:
        world: Where the jobs are.
        record: The node.
        is_current: Says whether the stream still lives.
        acknowledge: Called with the number of the newest frame that is recorded with
            all before it.
        break_off: Called when something is not durable: the node is to send it again.
    """

    __slots__ = (
        "_acknowledge",
        "_break_off",
        "_is_current",
        "_record",
        "_sleepers",
        "_unacked",
        "_world",
    )

    def __init__(
        self,
        world: World,
        record: NodeRecord,
        *,
        is_current: Callable[[], bool],
        acknowledge: Callable[[int], None],
        break_off: Callable[[HpcError], None],
    ) -> None:
        self._world = world
        self._record = record
        self._is_current = is_current
        self._acknowledge = acknowledge
        self._break_off = break_off
        self._unacked: deque[list[int]] = deque()
        self._sleepers = Sleepers(world, record, tell=self._tell, told=self._answered)

    def take(self, frame: AgentFrame) -> None:
        """Hand the reports of a frame to their jobs."""
        # The frame, and the answers it waits for: one more, until all are asked.
        entry = [frame.seq, 1]
        self._unacked.append(entry)
        by_job: dict[int, list[Any]] = {}
        for report in self._sleepers.take(frame.reports, entry):
            by_job.setdefault(report.job_id, []).append(report)
        for job_id, reports in by_job.items():
            self._tell(job_id, reports, entry)
        self._answered([entry], None)

    def _answered(self, entries: Sequence[list[int]], error: HpcError | None) -> None:
        """Reports of frames are durable, or could not be made so."""
        if error is not None:
            self._break_off(error)
            return
        for entry in entries:
            entry[1] -= 1
        self._release()

    def _tell(
        self,
        job_id: int,
        reports: Sequence[Any],
        entry: list[int],
        pause: float = FIRST_PAUSE_S,
    ) -> None:
        """Let a job take reports; the frame waits for its answer."""
        entry[1] += 1
        self._post(job_id, reports, entry, pause)

    def _post(
        self, job_id: int, reports: Sequence[Any], entry: list[int], pause: float
    ) -> None:
        def reply(_: Any, error: BaseException | None) -> None:
            if isinstance(error, HpcError) and error.reason == "INTERNAL":
                self._faulted(job_id, reports, entry, pause)
            elif isinstance(error, HpcError) and error.reason != "JOB_NOT_FOUND":
                self._break_off(error)
            else:
                self._answered([entry], None)

        command = TakeReports(
            node_id=self._record.node_id, node=self._record.name, reports=list(reports)
        )
        self._world.jobs.tell_now(job_id, command, reply)

    def _faulted(
        self, job_id: int, reports: Sequence[Any], entry: list[int], pause: float
    ) -> None:
        """The job could not take them: they are not recorded, and must not be lost."""
        if len(reports) > 1:  # the others are no fault's
            entry[1] -= 1
            for report in reports:
                self._tell(job_id, [report], entry, pause)
            return
        log.error(
            "node %s: a report for job %d is kept, and tried again in %g s",
            self._record.name,
            job_id,
            pause,
        )

        def again() -> None:
            if self._is_current():
                longer = min(LONGEST_PAUSE_S, 2 * pause)
                self._post(job_id, reports, entry, longer)

        clock = self._world.clock
        clock.call_at(clock.mono() + pause, again)

    def _release(self) -> None:
        newest = 0
        while self._unacked and self._unacked[0][1] <= 0:
            newest = self._unacked.popleft()[0]
        if newest:
            self._acknowledge(newest)
