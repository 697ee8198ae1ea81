"""Stopping attempts: signal, grace, kill; run-time limits.

A second stop can only bring the kill forward. Every step is journalled before it is
taken, with its deadline on CLOCK_BOOTTIME, so another spawner goes on where this stops.
"""

from __future__ import annotations

import signal

from node_agent.supervisor import protocol, records
from node_agent.supervisor.kin import kill_tree, signal_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from node_agent.supervisor.attempt import Attempt
    from node_agent.supervisor.ending import Ender
    from node_agent.supervisor.node import Node

KILL_PATIENCE_S = 30.0
JOB_ENDED = "JOB_ENDED"
STOP = "stop"
RECALLED = "recalled"
LIMIT = "limit"


MOST_EARLY = 50_000
"""Stops that may come before what they stop."""


class Stopper:
    """Carries out stops and limits.

    Attributes:
        settle: Waits until no process is just being made: it could not be signalled.
    """

    def __init__(self, node: Node, ender: Ender) -> None:
        self._node = node
        self._ender = ender
        self.settle: Callable[[], None] = _nothing_is_made

    def stop(
        self,
        job: int,
        task: int,
        attempts: list[list[int]],
        grace_s: float | None,
        why: str,
    ) -> None:
        """Stop attempts of a task; one that has not come yet will be refused."""
        self.settle()
        node = self._node
        table = node.table
        dropped, early = [], []
        for instance, number in attempts:
            key = (job, task, instance)
            queued, alive = table.queued.get(key), table.live.get(key)
            if queued is not None and queued.attempt == number:
                table.unqueue(key)
                dropped.append(queued)
            elif alive is not None and alive.attempt == number:
                self.stop_attempt(alive, grace_s, why)
            elif number > self._newest(key):
                early.append((task, instance, number))
        if dropped:
            self._ender.never_tried(dropped, why)
        # A head stops what it has ordered, and that is no more than may wait here.
        is_known = job in table.jobs or table.room_for_jobs
        room = MOST_EARLY - table.early if is_known else 0
        del early[max(0, room) :]
        if early:
            table.stop_early(job, early)
            node.journal.add(records.stopped_early(job, early))

    def give_back(self, job: int, task: int, attempts: list[list[int]]) -> None:
        """End attempts that wait for a core; any other stays as it is."""
        table = self._node.table
        dropped = []
        for instance, number in attempts:
            key = (job, task, instance)
            queued = table.queued.get(key)
            if queued is not None and queued.attempt == number:
                table.unqueue(key)
                dropped.append(queued)
        if dropped:
            self._ender.never_tried(dropped, RECALLED, code=RECALLED)

    def _newest(self, key: tuple[int, int, int]) -> int:
        """Return the newest attempt of an instance that has been here."""
        table = self._node.table
        ended = table.newest_ended(key)
        here = [table.queued.get(key), table.live.get(key)]
        known = [item.attempt for item in here if item is not None]
        return max([*known, -1 if ended is None else ended])

    def stop_all(self, grace_s: float | None, why: str) -> None:
        """Stop every attempt of the node; those in the queue were never started."""
        self.settle()
        node = self._node
        node.stopping_all = True
        queued = list(node.table.queued.values())
        for item in queued:
            node.table.unqueue(item.instance_key)
        self._ender.never_tried(queued, why)
        for attempt in list(node.table.live.values()):
            self.stop_attempt(attempt, grace_s, why)
        if not node.table.live:
            node.stopping_all = False
            node.say_after_reports(protocol.ALL_STOPPED)

    def end_job(self, number: int) -> None:
        """Kill what is left of a job; it is forgotten when nothing lives."""
        node = self._node
        live = node.table.live_of(number)
        if live:
            self.settle()
        job = node.table.jobs.get(number)
        if job is None or not (job.accepted or live):
            self._ender.jobs_ended([number])
            return
        if job.accepted:
            waiting = node.table.queued.values()
            queued = [item for item in waiting if item.definition.job == number]
            for item in queued:
                node.table.unqueue(item.instance_key)
            self._ender.never_tried(queued, JOB_ENDED)
        job.ending = True
        for attempt in node.table.live_of(number):
            self.stop_attempt(attempt, 0.0, JOB_ENDED)
        if job.ending and not node.table.live_of(number):
            self._ender.jobs_ended([number])

    def end_jobs(self, numbers: list[int]) -> None:
        """Do the same for several, together for those of which nothing is left."""
        table = self._node.table
        alive = {item.definition.job for item in table.live.values()}
        over = []
        for number in dict.fromkeys(numbers):
            job = table.jobs.get(number)
            if number in alive or (job is not None and job.accepted):
                self.end_job(number)
            else:
                over.append(number)
        if over:
            self._ender.jobs_ended(over)

    def stop_attempt(
        self, attempt: Attempt, grace_s: float | None, why: str, kind: str = STOP
    ) -> None:
        """Signal an attempt and kill it when the grace period is over; 0 kills now."""
        if attempt.status is not None or attempt.lost or attempt.killed:
            return
        node = self._node
        grace = attempt.definition.grace_s if grace_s is None else grace_s
        deadline = node.clock.boot() + grace
        if attempt.stopping:
            if attempt.deadline is not None and deadline >= attempt.deadline:
                return
            attempt.deadline = deadline
            if grace > 0:
                node.journal.add(records.stop(attempt))
                self._watch(attempt, deadline)
                return
        else:
            attempt.stopping, attempt.why, attempt.deadline = kind, why, deadline
            if grace > 0:
                self.signal_attempt(attempt)
                return
        self.kill(attempt)

    def signal_attempt(self, attempt: Attempt) -> None:
        """Send the stop's signal to every process of the attempt."""
        node = self._node
        node.journal.add(records.stop(attempt))
        node.journal.flush()
        self._send(attempt, attempt.definition.signal)
        node.gathering.expect_end(node.clock.boot())
        attempt.signalled = True
        node.journal.add(records.stop(attempt))
        if attempt.deadline is not None:
            self._watch(attempt, attempt.deadline)

    def kill(self, attempt: Attempt) -> None:
        """Kill every process of the attempt."""
        node = self._node
        attempt.killed = True
        node.journal.add(records.stop(attempt))
        node.journal.flush()
        self._send(attempt, signal.SIGKILL)
        now = node.clock.boot()
        node.gathering.expect_end(now)
        attempt.drain_until = now + KILL_PATIENCE_S
        self._watch(attempt, attempt.drain_until)

    def _send(self, attempt: Attempt, number: int) -> None:
        node = self._node
        if attempt.contained and node.cgroups is not None:
            if number == signal.SIGKILL:
                node.cgroups.kill(attempt.slot)
            else:
                node.cgroups.signal(attempt.slot, number)
            return
        roots = []
        for kin in node.kin_of(attempt):
            kin.scan(node.owner_of)
            roots += kin.of(attempt)
        if self._main_lives(attempt):
            roots.insert(0, attempt.pid)
        if number == signal.SIGKILL:
            kill_tree(roots)
        else:
            signal_tree(roots, number)

    def _main_lives(self, attempt: Attempt) -> bool:
        """Say whether the process id is still the main process's.

        A child of ours keeps its id until we reap it; any other is asked by its pidfd.
        """
        if attempt.own or attempt.pidfd < 0:
            return attempt.own
        try:
            signal.pidfd_send_signal(attempt.pidfd, 0)
        except ProcessLookupError:
            return False
        return True

    # -- deadlines

    def watch_limit(self, attempt: Attempt) -> None:
        """See to it that the attempt's run-time limit is kept."""
        if attempt.definition.limit_s is not None:
            self._watch(attempt, attempt.born[1] + attempt.definition.limit_s)

    def resume(self, attempt: Attempt) -> None:
        """Go on with what an earlier spawner has begun."""
        self.watch_limit(attempt)
        if attempt.stopping and attempt.status is None:
            if attempt.killed:
                self.kill(attempt)
            elif not attempt.signalled:
                self.signal_attempt(attempt)
            elif attempt.deadline is not None:
                self._watch(attempt, attempt.deadline)

    def _watch(self, attempt: Attempt, when: float) -> None:
        attempt.timed = True
        self._node.timers.at(when, lambda: self._due(attempt, when), attempt)

    def _due(self, attempt: Attempt, when: float) -> None:
        if attempt.status is not None or attempt.lost or attempt.reported:
            return
        if attempt.killed:
            if when >= (attempt.drain_until or 0.0):
                self._ender.give_up(attempt)
        elif attempt.stopping:
            if attempt.deadline is not None and when >= attempt.deadline:
                self.kill(attempt)
        else:
            self.stop_attempt(attempt, None, protocol.TIME_LIMIT, LIMIT)


def _nothing_is_made() -> None:
    """Settle where nothing starts."""
