"""The spawner's loop: signals, the reaper, the agent, deadlines; then journal and send.

One turn reaps what has ended, obeys what has come, starts what fits, writes the journal
once and sends one frame. Nothing in it waits for a disk or for the agent.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys

from node_agent.supervisor import commands
from node_agent.supervisor.channel import Channel
from node_agent.supervisor.ending import Ender
from node_agent.supervisor.exits import Exit, wait_status
from node_agent.supervisor.front import lock_file
from node_agent.supervisor.link import Link
from node_agent.supervisor.linux import (
    become_subreaper,
    default_signals,
    name_this_process,
    read_signals,
    signal_descriptor,
)
from node_agent.supervisor.log import log
from node_agent.supervisor.opening import open_node, take_lock
from node_agent.supervisor.orders import Orders
from node_agent.supervisor.pinned import LOOK_S
from node_agent.supervisor.reaping import Reaping
from node_agent.supervisor.recovery import ReaperLostError, Recovery
from node_agent.supervisor.retiring import Retirement
from node_agent.supervisor.starting import Starter
from node_agent.supervisor.stopping import Stopper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from node_agent.supervisor.clock import Clock
    from node_agent.supervisor.commands import Config

SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SUCCESSION_S = 0.5
SHORT_PAUSE_S = 0.005
IDLE_S = 0.05
TICK_S = 1.0


class Spawner:
    """One run of the spawner."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._reaper = os.getppid()
        default_signals()
        become_subreaper()
        name_this_process("hpc-spawner")
        self._signals = signal_descriptor(SIGNALS)
        self._lock = take_lock(config, clock)
        os.set_inheritable(commands.CHANNEL_FD, False)  # noqa: FBT003
        self._channel = Channel(socket.socket(fileno=commands.CHANNEL_FD))
        self._exits: list[Exit] = []
        self._unacknowledged = 0
        self._all_exits = False
        self._recovered = False
        self._syncing = False
        self._idle_planned = False
        self._idle_seen = 0
        self._ticking = False
        self._checker = 0
        self._status: int | None = None
        self._succeeding = False
        self._more = True  # what an earlier spawner has left in the queue
        self._node, self._endless = open_node(config, clock, self._reaper)
        self._ender = Ender(self._node)
        self._ender.ask_reaper = lambda: self._channel.send("exits")
        self._stopper = Stopper(self._node, self._ender)
        self._starter = Starter(self._node, self._ender, self._stopper)
        self._stopper.settle = self._starter.settle
        self._reaping = Reaping(self._node, self._starter, self._ender, self._reaped)
        self._orders = Orders(
            self._node,
            self._starter,
            self._stopper,
            self._ender,
            on_upgrade=self._check_new_code,
            on_shutdown=self._shut_down,
        )
        self._retirement = Retirement(self._node, self._stopper, self._shut_down)

    # -- beginning

    def _recover(self) -> None:
        node = self._node
        recovery = Recovery(
            node,
            self._starter,
            self._stopper,
            self._ender,
            ask_reaper=self._ask_for_exits,
        )
        present = recovery.look()
        try:
            self._ask_for_exits()
            recovery.run(present, self._exits)
        except ReaperLostError:  # what it has collected is not known
            return
        self._recovered = True
        for attempt in self._endless:
            self._ender.report_damage(attempt)
        self._endless = []
        node.slots.clear()
        if not node.publish() or not node.compact():
            log(f"the journal cannot be made short: {node.journal.failure}")
        node.journal.make_spare()
        self._exits = []

    def _ask_for_exits(self) -> None:
        """Wait for every end that the reaper can know of by now.

        Raises:
            ReaperLostError: it has died.
        """
        self._all_exits = False
        self._channel.send("exits")
        while not self._all_exits:
            if self._status is not None:
                raise ReaperLostError
            select.select([self._channel], [], [])
            self._hear_reaper()

    # -- the loop

    def begin(self) -> None:
        """Take over what lives, and listen.

        Raises:
            OSError: it cannot.
        """
        poll = self._node.poll
        poll.register(self._signals, select.EPOLLIN)
        poll.register(self._channel, select.EPOLLIN)
        self._recover()
        self._node.link = Link(
            self._config.socket, self._config.group, poll, self._orders.obey
        )
        if self._config.run_as == commands.OWNER:
            self._node.launcher.make_ready()
        self._channel.send("ready")
        self._give_signs_of_life()

    def run(self) -> int:
        """Serve until told to stop; return the exit status."""
        node = self._node
        poll = node.poll
        while self._status is None:
            for descriptor, events in poll.poll(self._patience_s()):
                self._handle(descriptor, events)
            node.timers.run()
            self._starter.look()
            self._reaping.run()
            self._more = self._starter.start_what_fits()
            if node.was_behind:
                self._reap_again()
            self._end_turn()
            self._retirement.look()
        return self._leave()

    def _reap_again(self) -> None:
        """Reap what has ended while this thread stood behind it on the task's core."""
        self._node.was_behind = False
        if signal.SIGCHLD in self._hear_signals():
            self._reaping.run()

    def _patience_s(self) -> float | None:
        """Return how long to wait for whatever comes next, None for ever."""
        self._node.pinned.go()
        if self._more:
            return 0.0
        patience_s = self._node.timers.patience_s(self._node.gathering.due)
        if not len(self._node.pinned):
            return patience_s
        return LOOK_S if patience_s is None else min(LOOK_S, patience_s)

    def _handle(self, descriptor: int, events: int) -> None:
        node = self._node
        if descriptor == self._signals:
            self._hear_signals()
        elif descriptor == self._channel.fileno():
            self._hear_reaper()
        elif node.link is None or not node.link.handle(descriptor, events):
            for attempt in list(node.by_pid.values()):
                if attempt.pidfd == descriptor:
                    self._ender.vanished(attempt)

    def _hear_signals(self) -> set[int]:
        """Take in the signals that have arrived; return which they were."""
        arrived = read_signals(self._signals)
        if arrived & {signal.SIGTERM, signal.SIGINT}:
            self._status = 0
        if signal.SIGHUP in arrived:
            self._check_new_code()
        return arrived

    def _end_turn(self) -> None:
        node = self._node
        if node.publish() and self._unacknowledged:
            self._channel.send("acknowledge", self._unacknowledged)
            self._unacknowledged = 0
        if node.link is not None and not node.may_wait():
            node.link.flush()
        journal = node.journal
        if journal.is_long:
            node.compact()
        if journal.dirty and not self._syncing:
            journal.dirty = False
            self._syncing = self._channel.send("sync", journal.path)
        node.launcher.unpin()
        if not self._idle_planned and node.activity != self._idle_seen:
            self._idle_planned = True
            node.timers.after(IDLE_S, self._idle)
        if node.by_pid and not self._ticking:
            self._ticking = True
            self._tick()

    # -- the reaper

    def _hear_reaper(self) -> None:
        packets = self._channel.receive()
        if packets is None:
            self._succeeding = True
            self._status = 0
            return
        for name, *items in packets:
            if name == "ends":
                self._take_exits([Exit(*fields) for fields in items[0]])
            elif name == "all_exits" and self._recovered:
                self._ender.all_exits()
            elif name == "all_exits":
                self._all_exits = True
            elif name == "synced":
                self._synced(*items)
            elif name == "upgrade":
                self._check_new_code()
            elif name == "retire":
                self._retirement.begin(items[0])
            elif name == "pulse":
                self._channel.send("pulse")

    def _take_exits(self, ends: list[Exit]) -> None:
        self._unacknowledged += len(ends)
        if not self._recovered:
            self._exits += ends
            return
        for end in ends:
            self._ender.status_from_reaper(end)
        self._ender.orphans_changed()

    def _synced(self, path: str, failure: str | None) -> None:
        self._syncing = False
        journal = self._node.journal
        if path != journal.path:
            journal.dirty = True  # not this one: it still has to be synced
        elif failure is None:
            journal.synced(path)
        else:
            # After a failed sync nobody knows what is on the disk: write it all anew.
            self._node.warn(f"journal: {failure}")
            self._node.timers.after(TICK_S, self._compact)

    def _compact(self) -> None:
        self._node.compact()

    # -- now and then

    def _idle(self) -> None:
        """Do what no task should wait for."""
        node = self._node
        self._idle_planned = False
        self._idle_seen = node.activity
        if node.cgroups is not None and self._config.run_as == commands.SELF:
            slot = node.slots.next_free()
            node.cgroups.park(len(node.slots) if slot is None else slot)
        if not node.by_pid:
            os.chdir("/")  # keep nobody's file system busy

    def _tick(self) -> None:
        """While tasks live, look once a second for a strike of the OOM killer."""
        node = self._node
        if not node.by_pid:
            self._ticking = False
            return
        node.oom.sample(self._clock.boot())
        node.timers.after(TICK_S, self._tick)

    def _give_signs_of_life(self) -> None:
        if self._config.alive_ms:
            self._channel.send("alive")
            self._node.timers.after(
                self._config.alive_ms / 1000, self._give_signs_of_life
            )

    # -- new code, and the end

    def _check_new_code(self) -> None:
        """Load the new code in another process first: what fails there stays there."""
        if self._checker:
            return
        command = commands.command_of(commands.CHECK, self._config)
        try:
            self._checker = os.posix_spawn(
                command[0], command, os.environ, setsigmask=()
            )
        except OSError as error:
            self._node.warn(f"upgrade: {error}")
            return
        self._node.own.mains.add(self._checker)

    def _reaped(self, info: os.waitid_result) -> None:
        """Hear of a process that was nobody's."""
        if info.si_pid != self._checker:
            return
        self._checker = 0
        if wait_status(info) != 0:
            self._node.warn("upgrade: the new code cannot be loaded; nothing changed")
            return
        self._starter.settle()
        self._end_turn()
        self._prepare_to_leave()
        os.set_inheritable(commands.CHANNEL_FD, True)  # noqa: FBT003
        self._execute(commands.command_of(commands.SPAWNER, self._config))

    def _shut_down(self) -> None:
        self._status = commands.EXIT_SHUT_DOWN

    def _leave(self) -> int:
        status = self._status or 0
        node = self._node
        self._starter.settle()
        self._end_turn()
        self._prepare_to_leave()
        if node.cgroups is not None and not node.by_pid:
            node.cgroups.close()
        if self._succeeding:
            self._succeed_reaper()
        return status

    def _succeed_reaper(self) -> None:
        """Become the reaper in place of a dead one; return if another has done so."""
        deadline = self._clock.boot() + SUCCESSION_S
        path = self._config.path("reaper.lock")
        while (lock := lock_file(path)) is None:
            # A dying process's sockets close a moment before its locks are released.
            if self._clock.boot() > deadline:
                return
            self._clock.pause(SHORT_PAUSE_S)
        os.close(lock)
        log("the reaper has died; taking its place")
        self._execute(commands.command_of(commands.REAPER, self._config))

    def _prepare_to_leave(self) -> None:
        node = self._node
        if node.link is not None:
            node.link.flush()
            node.link.close()
        if node.cgroups is not None:
            node.cgroups.leave()
        node.launcher.unpin()
        node.launcher.close()
        node.journal.close()

    def _execute(self, command: list[str]) -> None:
        """Become another program: same process id, so the tasks stay our children."""
        sys.stderr.flush()
        os.chdir("/")
        os.execv(command[0], command)  # noqa: S606 - without a shell, and meant so
