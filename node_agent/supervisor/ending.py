"""The end of attempts: leftovers, output, the report, and what is free again."""

from __future__ import annotations

import os
from collections import deque

from node_agent.supervisor import delegating, procfs, protocol, records, reports
from node_agent.supervisor.kin import kill_tree
from node_agent.supervisor.linux import FRONT_NAME, REAPER_NAME
from node_agent.supervisor.slots import first_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from node_agent.supervisor.attempt import Attempt, Queued
    from node_agent.supervisor.exits import Exit
    from node_agent.supervisor.failure import StartFailedError
    from node_agent.supervisor.node import Node
    from node_agent.supervisor.reports import Ending

DRAIN_PATIENCE_S = 30.0
"""How long an end is held back for processes that do not die of SIGKILL."""

FIRST_LOOK_S = 0.005
SLOWEST_LOOK_S = 0.5
LATE_STATUS_S = 1.0


class Ender:
    """Brings attempts to their end.

    Attributes:
        ask_reaper: Asks for every end up to now; false: it cannot be asked. The answer
            is ``all_exits``.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._draining: list[Attempt] = []
        self._asked: deque[Attempt] = deque()
        self._look_s = FIRST_LOOK_S
        self._looking = False
        self.ask_reaper: Callable[[], bool] | None = None

    # -- the main process has ended

    def main_ended(self, attempt: Attempt) -> None:
        """End an attempt whose main process was reaped; its status is journalled."""
        node = self._node
        node.own.forget(attempt.pid)
        node.foreign.forget(attempt.pid)
        if attempt.reported:
            self._check(attempt)
            return
        if self._is_clear(attempt, first=True):
            self._finish(attempt)
            return
        attempt.drain_until = node.clock.boot() + DRAIN_PATIENCE_S
        self._drain(attempt)

    def status_from_reaper(self, end: Exit) -> None:
        """Take the status of a task that an earlier spawner has started."""
        node = self._node
        attempt = node.by_pid.get(end.pid)
        if attempt is None or attempt.own or attempt.status is not None:
            return
        earliest, latest = attempt.born
        ticks = end.start_ticks / procfs.TICKS_PER_S
        if end.start_ticks and not earliest - 0.1 <= ticks <= latest + 0.1:
            return
        self.take_exit(attempt, end)
        self.main_ended(attempt)

    def take_exit(self, attempt: Attempt, end: Exit) -> None:
        """Note what a reaper has collected, in the journal too."""
        attempt.status, attempt.ended_at, attempt.lost = end.status, end.at, False
        attempt.user_ms, attempt.system_ms = end.user_ms, end.system_ms
        attempt.max_rss_kb = end.max_rss_kb
        self._node.journal.add(records.status(attempt))

    def vanished(self, attempt: Attempt) -> None:
        """A main process that is not our child has ended; its parent may tell how."""
        self._node.poll.unregister(attempt.pidfd)
        self.expect_status(attempt)

    def expect_status(self, attempt: Attempt) -> None:
        """Wait for the status of a process that is gone."""
        attempt.timed = True
        self._node.timers.after(
            LATE_STATUS_S, lambda: self._status_is_late(attempt), attempt
        )

    def _status_is_late(self, attempt: Attempt) -> None:
        """Give a status up only if nobody can have it any more.

        Its parent may be slow, as the reaper is that waits for a disk, and what counts
        as lost is run again (P3, P5).
        """
        if attempt.status is not None or attempt.lost:
            return
        if self.ask_reaper is None:
            self._lose(attempt)
        elif self._waits_for_parent(attempt) or not self.ask_reaper():
            self.expect_status(attempt)
        else:
            self._asked.append(attempt)

    def all_exits(self) -> None:
        """Hear that the reaper has told of every end up to when it was asked."""
        attempt = self._asked.popleft() if self._asked else None
        if attempt is not None and attempt.status is None and not attempt.lost:
            self._lose(attempt)

    def _waits_for_parent(self, attempt: Attempt) -> bool:
        """Say whether one of ours still has to reap it; another would not tell us."""
        stat = procfs.read_stat(attempt.pid)
        if stat is None or not procfs.started_between(stat, *attempt.born):
            return False
        return procfs.read_name(stat.parent) in {REAPER_NAME, FRONT_NAME}

    def _lose(self, attempt: Attempt) -> None:
        attempt.lost = True
        attempt.ended_at = self._node.clock.wall()
        self.main_ended(attempt)

    # -- what it has left behind

    def _is_clear(self, attempt: Attempt, *, first: bool) -> bool:
        """Say whether no process of the attempt is left; kill what is."""
        node = self._node
        if attempt.contained and node.cgroups is not None:
            if not node.cgroups.is_populated(attempt.slot):
                return True
            if first:
                node.cgroups.kill(attempt.slot)
            return False
        clear = True
        for kin in node.kin_of(attempt):
            kin.scan(node.owner_of)
            if kin.adopted and (left := kin.of(attempt)):
                kill_tree(left)
                clear = False
        if attempt.lost and (strangers := self._tagged(attempt)):
            kill_tree(strangers)
            clear = False
        return clear

    def _tagged(self, attempt: Attempt) -> list[int]:
        """Return the processes anywhere that carry the attempt's tag."""
        own = (os.getpid(), os.getppid())
        return [
            pid
            for pid in procfs.processes()
            if procfs.read_tag(pid) == attempt.key
            and (stat := procfs.read_stat(pid)) is not None
            and stat.state != "Z"
            and not procfs.is_of_another(pid, own)
        ]

    def _drain(self, attempt: Attempt) -> None:
        self._draining.append(attempt)
        self._look_s = FIRST_LOOK_S
        self._plan_look()

    def _plan_look(self) -> None:
        if not self._looking:
            self._looking = True
            self._node.timers.after(self._look_s, self._look)

    def _look(self) -> None:
        self._looking = False
        self._look_s = min(SLOWEST_LOOK_S, 2 * self._look_s)
        self.orphans_changed()
        if self._draining:
            self._plan_look()

    def orphans_changed(self) -> None:
        """Look again at attempts whose leftovers were killed."""
        for attempt in list(self._draining):
            self._check(attempt)
        self._sweep_strays()

    def _check(self, attempt: Attempt) -> None:
        node = self._node
        if attempt.status is None and not attempt.lost:
            return  # unkillable, and reported already: its main process lives
        if self._is_clear(attempt, first=False):
            if attempt in self._draining:
                self._draining.remove(attempt)
            self._finish(attempt)
        elif not attempt.reported and node.clock.boot() > (attempt.drain_until or 0.0):
            self.give_up(attempt)

    def _sweep_strays(self) -> None:
        """Look again at orphans whose owner could not be told; kill one without any."""
        node = self._node
        for kin in (node.own, node.foreign):
            unclear = [
                pid for pid, owner in kin.adopted.items() if owner is None or owner.over
            ]
            for pid in unclear:
                candidates = node.possible_owners(pid)
                if not candidates:
                    kill_tree([pid])
                elif len(candidates) == 1:
                    kin.adopted[pid] = candidates[0]

    def give_up(self, attempt: Attempt) -> None:
        """Report an end although processes survive SIGKILL; keep what they use."""
        if attempt.lost or attempt.status is not None:
            ending = self._ending(attempt)
        else:
            ending = reports.Ending(protocol.KILLED)
        ending.code = "KILL_FAILED"
        ending.message = "processes of the task survive SIGKILL; its cores stay taken"
        self._report(attempt, ending)
        self._node.table.stuck.add(attempt.instance_key)
        self._node.warn(f"task {attempt.key}: {ending.message}")
        if attempt not in self._draining:
            self._drain(attempt)

    # -- the report

    def _ending(self, attempt: Attempt) -> Ending:
        if attempt.lost:
            return reports.Ending(
                protocol.STATUS_LOST,
                message="spawner and reaper had died: the exit status is not known",
            )
        if attempt.definition.account and not attempt.stopping:
            slot = self._node.slots.slot(attempt.slot)
            failure = delegating.failure_of(slot)
            if failure is not None:  # nothing of the task was executed
                attempt.started_at = None
                return failure
        killed = os.WIFSIGNALED(attempt.status or 0) and not attempt.stopping
        return reports.ending_of(
            attempt, out_of_memory=killed and self._node.oom.has_struck()
        )

    def _finish(self, attempt: Attempt) -> None:
        if not attempt.reported:
            self._report(attempt, self._ending(attempt))
        self._release(attempt)
        if self._node.own.adopted or self._node.foreign.adopted:
            self._sweep_strays()

    def start_failed(self, attempt: Attempt, error: StartFailedError) -> None:
        """End an attempt of which nothing was executed."""
        reason = protocol.NOT_STARTED if error.is_of_node else protocol.START_FAILED
        ending = reports.Ending(reason, code=error.code, message=error.text)
        self.close(attempt, ending)

    def close(self, attempt: Attempt, ending: Ending) -> None:
        """End an attempt that has no processes."""
        self._report(attempt, ending)
        self._release(attempt)

    def _report(self, attempt: Attempt, ending: Ending) -> None:
        node = self._node
        self._collect_output(attempt, ending)
        position = node.next_position()
        end = attempt.ended_at or node.clock.wall()
        text = reports.ended_text(position, attempt.key, attempt, end, ending)
        node.journal.add(records.ended(text))
        key = attempt.instance_key
        node.table.add_ended(position, text, key, attempt.attempt)
        node.report(text)
        node.tells_end = True
        attempt.reported = True
        node.journal.tasks -= 1

    def _collect_output(self, attempt: Attempt, ending: Ending) -> None:
        """Put the beginning of private output into the report, and keep the whole."""
        node = self._node
        slot = node.slots.slot(attempt.slot)
        sizes = node.slots.sizes(slot, attempt.definition)
        ending.sizes = sizes
        if sizes == (0, 0):
            return
        limit = attempt.definition.output_limit
        if not node.journal.has_room(2 * limit):
            limit = 0
            ending.message = ending.message or "output left out: the disk is full"
        ending.output = first_bytes((slot.fds[0], slot.fds[1]), sizes, limit)
        for kind in (0, 1):
            if sizes[kind]:
                node.slots.put_away(slot, kind, attempt.key)

    def _release(self, attempt: Attempt) -> None:
        """Give back what the attempt used."""
        node = self._node
        attempt.over = True
        node.activity += 1
        node.by_pid.pop(attempt.pid, None)
        node.own.forget(attempt.pid)
        node.foreign.forget(attempt.pid)
        node.busy &= ~attempt.cores
        if attempt.pidfd >= 0:
            os.close(attempt.pidfd)  # epoll forgets it with that
            attempt.pidfd = -1
        if attempt.timed:
            node.timers.one_is_over()
        node.slots.give_back(node.slots.slot(attempt.slot))
        node.table.is_over(attempt.instance_key)
        self.count_down(attempt.definition.job)

    def count_down(self, number: int) -> None:
        """Tell the agent if this was the last of a job that it ends, or of the node."""
        node = self._node
        table = node.table
        job = table.jobs.get(number)
        if job is not None and job.ending and not table.live_of(number):
            self.jobs_ended([number])
        if node.stopping_all and not table.live:
            node.stopping_all = False
            node.say_after_reports(protocol.ALL_STOPPED)

    def jobs_ended(self, numbers: list[int]) -> None:
        """Forget jobs of which nothing is left."""
        node = self._node
        table = node.table
        known = [number for number in numbers if number in table.jobs]
        for number in numbers:
            table.forget_refusals(number)
        if known:
            node.journal.add(records.jobs_ended(known))
            for number in known:
                table.end_job(number)
        if node.link is not None and node.link.tells_job_ends:
            node.say_after_reports(protocol.JOB_ENDED, *numbers, tells_end=False)

    def report_damage(self, attempt: Attempt) -> None:
        """Report the end of an attempt of which the journal has lost the record."""
        node = self._node
        position = node.next_position()
        ending = reports.Ending(
            protocol.STATUS_LOST, message="the record of its end is damaged"
        )
        text = reports.ended_text(
            position, attempt.key, attempt, node.clock.wall(), ending
        )
        node.journal.add(records.ended(text))
        key = attempt.instance_key
        node.table.add_ended(position, text, key, attempt.attempt)
        node.report(text)

    def never_tried(
        self,
        queued: Iterable[Queued],
        why: str,
        reason: str = protocol.NOT_STARTED,
        *,
        code: str | None = None,
        text: str = "was never started",
    ) -> None:
        """End attempts that were accepted and never tried."""
        node = self._node
        end = node.clock.wall()
        for item in queued:
            job, task, instance = key = item.instance_key
            position = node.next_position()
            ending = reports.Ending(reason, code=code, message=text)
            report = reports.ended_text(
                position,
                (job, task, instance, item.attempt),
                None,
                end,
                ending,
                why=why,
            )
            node.journal.add(records.ended(report))
            node.table.add_ended(position, report, key, item.attempt)
            node.report(report)
