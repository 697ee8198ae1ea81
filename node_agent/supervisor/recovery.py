"""Finding the tasks of an earlier spawner again, and what became of them meanwhile."""

from __future__ import annotations

import os
import select
import signal

from node_agent.supervisor import procfs, protocol, reports
from node_agent.supervisor.kin import send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from node_agent.supervisor.attempt import Attempt
    from node_agent.supervisor.ending import Ender
    from node_agent.supervisor.exits import Exit
    from node_agent.supervisor.node import Node
    from node_agent.supervisor.starting import Starter
    from node_agent.supervisor.stopping import Stopper

CLOCK_SLACK_S = 0.02
EXEC_PATIENCE_S = 2.0
"""How long, in seconds, a process that a dying spawner has made may take to become the
task's program, before its environment can tell whose it is."""

POLL_S = 0.005


class ReaperLostError(Exception):
    """The reaper has died: which tasks have ended, and how, is for another to find."""


class Recovery:
    """Takes over every attempt that the journal knows and whose end it does not.

    Args:
        node: With what the journal left.
        starter: Journals a start that was not.
        stopper: Takes up stops and limits again.
        ender: Ends what has ended.
        ask_reaper: Adds to the exits given to ``run`` what has ended since; raises
            ``ReaperLostError``.
    """

    def __init__(
        self,
        node: Node,
        starter: Starter,
        stopper: Stopper,
        ender: Ender,
        *,
        ask_reaper: Callable[[], None] = lambda: None,
    ) -> None:
        self._ask_reaper = ask_reaper
        self._never_executed: set[int] = set()
        self._node = node
        self._starter = starter
        self._stopper = stopper
        self._ender = ender
        self._in_doubt: list[Attempt] = []
        self._reaper = os.getppid()

    def look(self) -> dict[int, procfs.Stat]:
        """Return which main processes are there.

        Must be called before the reaper is asked for its exits: then whatever is not
        there is among them.
        """
        found = {}
        for attempt in self._node.table.live.values():
            stat = self._stat(attempt.pid) if attempt.pid else None
            if stat is not None and procfs.started_between(stat, *attempt.born):
                found[attempt.pid] = stat
        return found

    def _stat(self, pid: int) -> procfs.Stat | None:
        """Return what the machine knows of a process (a seam of the simulation)."""
        return procfs.read_stat(pid)

    def run(self, present: dict[int, procfs.Stat], exits: list[Exit]) -> None:
        """Take over what lives, and end what does not.

        Raises:
            ReaperLostError: it could not be asked for the end of one in doubt.
        """
        node = self._node
        attempts = list(node.table.live.values())
        if node.table.boot_id != node.boot_id:
            self._after_reboot(attempts, exits)
            return
        for attempt in attempts:
            node.slots.reserve(attempt.slot)
            node.busy |= attempt.cores
            node.journal.tasks += 1
            self._open_outputs(attempt)
        self._in_doubt = [attempt for attempt in attempts if not attempt.pid]
        for attempt in self._in_doubt:
            self._resolve(attempt, present, exits)
        alive = [attempt for attempt in attempts if not attempt.over]
        for attempt in alive:  # all of them, before anything counts as left behind
            self._register(attempt, present.get(attempt.pid))
        for attempt in alive:
            self._take_over(attempt, present.get(attempt.pid), exits)
        self._end_strangers({attempt.slot for attempt in alive})

    def _end_strangers(self, used: set[int]) -> None:
        """Kill tasks of which this journal knows nothing: an older one is lost.

        The head has them run again, as it is not told of them; two must not run (P3).
        """
        node = self._node
        for kin in (node.own, node.foreign):
            kin.scan(node.owner_of)
        self._ender.orphans_changed()
        if node.cgroups is not None:
            node.cgroups.end_others(used, {os.getpid(), self._reaper})

    def _register(self, attempt: Attempt, stat: procfs.Stat | None) -> None:
        node = self._node
        node.by_pid[attempt.pid] = attempt
        attempt.own = stat is not None and stat.parent == os.getpid()
        if stat is not None:
            kin = node.own if attempt.own else node.foreign
            kin.mains.add(attempt.pid)

    def _open_outputs(self, attempt: Attempt) -> None:
        node = self._node
        slot = node.slots.slot(attempt.slot)
        files = (attempt.definition.stdout, attempt.definition.stderr)
        for kind, template in enumerate(files):
            if template is None:
                kept = node.outputs.path(*attempt.key, kind)
                try:
                    if os.path.exists(kept):  # moved, and then not reported
                        os.rename(kept, slot.paths[kind])
                    node.slots.open(slot, kind)
                except OSError as error:
                    node.warn(f"output of task {attempt.key}: {error}")

    def _after_reboot(self, attempts: list[Attempt], exits: list[Exit]) -> None:
        """End everything that ran before the machine was started again."""
        node = self._node
        for attempt in attempts:
            node.slots.reserve(attempt.slot)
            node.journal.tasks += 1
            self._open_outputs(attempt)
            end = self._exit_of(attempt, exits, node.table.boot_id)
            if end is not None:
                self._ender.take_exit(attempt, end)
            if attempt.status is not None:
                ending = reports.ending_of(attempt, out_of_memory=False)
            else:
                ending = reports.Ending(
                    protocol.NODE_REBOOTED, message="the node was started again"
                )
            self._ender.close(attempt, ending)
        queued = list(node.table.queued.values())
        for item in queued:
            node.table.unqueue(item.instance_key)
        reason = protocol.NODE_REBOOTED
        self._ender.never_tried(queued, reason, reason)
        node.table.boot_id = node.boot_id

    # -- an intent without a process id

    def _resolve(
        self,
        attempt: Attempt,
        present: dict[int, procfs.Stat],
        exits: list[Exit],
    ) -> None:
        """Find out whether the process was made before the spawner died.

        The spawner journals each intent before and each process id after. It makes
        one process at a time by itself, and some at once that get cores of their own,
        so those in doubt have different cores.
        """
        node = self._node
        pid = self._find_living(attempt)
        if pid is None:
            # It may have ended while it was looked for: asked for any earlier, ends
            # would not tell of it, and what has run would be run again (P3).
            self._ask_reaper()
            end = self._find_ended(attempt, exits)
            if end is None:
                self._ender.close(attempt, self._without_trace(attempt))
                return
            attempt.pid = end.pid
            born = end.start_ticks / procfs.TICKS_PER_S
        else:
            attempt.pid = pid
            stat = self._stat(pid)
            if stat is not None:
                present[pid] = stat
            born = (
                node.clock.boot()
                if stat is None
                else stat.start_ticks / procfs.TICKS_PER_S
            )
        attempt.born = (born, born)
        attempt.started_at = node.clock.wall() - (node.clock.boot() - born)
        slot = node.slots.slot(attempt.slot)
        self._starter.report_started(attempt, slot)

    def _without_trace(self, attempt: Attempt) -> reports.Ending:
        """Return the end of an attempt of which neither process nor end is found."""
        if self._has_missed_ends(attempt):
            return reports.Ending(
                protocol.STATUS_LOST,
                message="spawner and reaper had died: whether it began is not known",
            )
        return reports.Ending(
            protocol.NOT_STARTED, message="the supervisor ended before the start"
        )

    def _has_missed_ends(self, attempt: Attempt) -> bool:
        """Say whether the reaper is younger than the attempt's intent.

        Then a process that had begun may have ended while nobody was there to hear of
        it; run again it would have run twice (P3).
        """
        stat = procfs.read_stat(self._reaper)
        began = None if stat is None else stat.start_ticks / procfs.TICKS_PER_S
        return began is None or began > attempt.tried_at - CLOCK_SLACK_S

    def _strangers(self) -> list[int]:
        known = {attempt.pid for attempt in self._node.table.live.values()}
        children = procfs.children_of(self._reaper)
        return [pid for pid in children if pid not in known and pid != os.getpid()]

    def _find_living(self, attempt: Attempt) -> int | None:
        """Return the orphan that is the attempt's main process, if it lives."""
        deadline = self._node.clock.boot() + EXEC_PATIENCE_S
        while True:
            young = []
            for pid in self._strangers():
                stat = procfs.read_stat(pid)
                if stat is None or stat.state == "Z" or pid in self._never_executed:
                    continue
                if procfs.runs_supervisor_code(pid):
                    young.append(pid)  # not yet the task's program
                elif stat.session == pid and procfs.read_tag(pid) == attempt.key:
                    return pid
            if not young:
                return self._find_anywhere(attempt)
            if self._node.clock.boot() > deadline:
                self._end_before_exec(young)
            self._node.clock.pause(POLL_S)

    def _end_before_exec(self, young: list[int]) -> None:
        """Kill processes that are not the task's program after so long.

        One that is stopped executes nothing more of a program: what it is then, it is
        when it is killed. Without this it could begin once its attempt counts as not
        started, and is run again.
        """
        for pid in young:
            send(pid, signal.SIGSTOP)
            if procfs.runs_supervisor_code(pid):
                send(pid, signal.SIGKILL)
                self._never_executed.add(pid)
            else:
                send(pid, signal.SIGCONT)

    def _find_anywhere(self, attempt: Attempt) -> int | None:
        """Return the main process if reaper and spawner died: it is not below us."""
        own = (os.getpid(), self._reaper)
        for pid in procfs.processes():
            if procfs.read_tag(pid) != attempt.key:
                continue
            stat = procfs.read_stat(pid)
            if stat is None or stat.session != pid or stat.state == "Z":
                continue
            if not procfs.is_of_another(pid, own):
                return pid
        return None

    def _find_ended(self, attempt: Attempt, exits: list[Exit]) -> Exit | None:
        """Return the end of the attempt's main process, if it has ended already.

        The first process that began a session after the intent: the dying spawner's
        last act came before anything that other tasks did later. Of several in doubt
        each is known by its cores, which the next of them does not have.
        """
        known = {item.pid for item in self._node.table.live.values()}
        earliest = int(attempt.tried_at * procfs.TICKS_PER_S) - 1
        found = [
            end
            for end in exits
            if end.boot_id == self._node.boot_id
            and end.session == end.pid
            and end.start_ticks >= earliest
            and end.pid not in known
            and end.pid not in self._never_executed
        ]
        own = [end for end in found if end.cores and end.cores == _pinned(attempt)]
        others = {_pinned(one) for one in self._in_doubt if one is not attempt}
        if others and not own:  # its program chose other cores, or it never was
            found = [end for end in found if end.cores not in others - {0}]
        elif others:
            found = own
        return min(found, key=lambda end: end.start_ticks, default=None)

    # -- a process id

    def _exit_of(
        self, attempt: Attempt, exits: list[Exit], boot_id: str
    ) -> Exit | None:
        earliest, latest = attempt.born
        for end in exits:
            ticks = end.start_ticks / procfs.TICKS_PER_S
            if (
                end.pid == attempt.pid
                and end.boot_id == boot_id
                and (not end.start_ticks or earliest - 0.1 <= ticks <= latest + 0.1)
            ):
                return end
        return None

    def _take_over(
        self, attempt: Attempt, stat: procfs.Stat | None, exits: list[Exit]
    ) -> None:
        end = self._exit_of(attempt, exits, self._node.boot_id)
        if end is not None:
            self._ender.take_exit(attempt, end)
        if attempt.own:
            attempt.status = None  # it is reaped, and journalled, again
            self._stopper.resume(attempt)
        elif attempt.status is not None:
            self._ender.main_ended(attempt)
        elif stat is None or not self._watch(attempt):
            self._ender.expect_status(attempt)
        else:
            self._stopper.resume(attempt)

    def _watch(self, attempt: Attempt) -> bool:
        """Watch a process that is no child of ours; return whether it lives."""
        node = self._node
        try:
            attempt.pidfd = os.pidfd_open(attempt.pid)
        except ProcessLookupError:
            return False
        node.poll.register(attempt.pidfd, select.EPOLLIN)
        return True


def _pinned(attempt: Attempt) -> int:
    """Return the cores that its process is made on, bit by bit; 0: on any."""
    return attempt.cores if attempt.definition.pin else 0
