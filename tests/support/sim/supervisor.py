"""The supervisor of a simulated node: its real decisions and journal, model processes.

Orders, starts, stops, ends, recovery, records, journal and the socket's framing are the
product's. The model is below them: processes (host), cgroups, epoll, and the reaper,
which outlives a spawner and keeps the exit statuses of its children.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from node_agent.supervisor.definition import User
from node_agent.supervisor.ending import Ender
from node_agent.supervisor.exits import Exit
from node_agent.supervisor.orders import Orders
from node_agent.supervisor.pinned import LOOK_S
from node_agent.supervisor.records import Fold, status
from node_agent.supervisor.replay import read_journal
from node_agent.supervisor.starting import Starter
from node_agent.supervisor.stopping import Stopper
from node_agent.supervisor.table import Table
from tests.support.sim.clocks import SimClock
from tests.support.sim.disk import SimJournal
from tests.support.sim.loop import PROGRAM, Program
from tests.support.sim.nodeparts import TICKS, SimConfig, SimLink, SimNode, SimRecovery
from tests.support.sim.unixsocket import SimSocket, SimTransport

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.support.sim.disk import NodeDisk
    from tests.support.sim.host import Host, Process
    from tests.support.sim.loop import SimLoop

#: Longest time that a record stays unsynced, seconds.
SYNC_S = 0.1


class KilledError(BaseException):
    """The spawner dies in the middle of its turn."""


class Spawner:
    """One run of the spawner: its loop as a callback of the simulation's."""

    def __init__(self, supervisor: Supervisor, program: Program) -> None:
        self.supervisor = supervisor
        self.program = program
        self.host = host = supervisor.host
        self.loop = supervisor.loop
        config = supervisor.config
        replay = read_journal(config.path("journal"))
        instance = supervisor.rng.randbytes(8).hex()
        table = Table(config.boot_id(), instance)
        fold = Fold(table, User())
        for payload in replay.payloads:
            fold.apply(payload)
        fold.finish()
        journal = supervisor.journal = SimJournal(config.path("journal"))
        journal.resume(replay.segment, replay.offset, replay.old)
        journal.on_flush = self._flushed
        self.node = node = SimNode(
            config, host, table, journal, supervisor.on_report, rng=supervisor.rng
        )
        for warning in replay.warnings:
            node.warnings.append(warning)
        self.ender = Ender(node)
        self.stopper = Stopper(node, self.ender)
        self.starter = Starter(node, self.ender, self.stopper)
        self.stopper.settle = self.starter.settle
        self.orders = Orders(
            node,
            self.starter,
            self.stopper,
            self.ender,
            on_upgrade=lambda: None,
            on_shutdown=lambda: None,
        )
        self._endless = fold.endless
        self._planned: Any = None
        self.sockets: list[SimSocket] = []
        self._syncing = False
        self.wounds = -1
        self.taken = 0

    def _flushed(self, after: bool) -> None:
        """Die before or after the journal is written, if that is the plan."""
        if self.wounds >= 0:
            self.wounds -= 1
            if self.wounds < 0:
                self.program.kill()
                raise KilledError

    def begin(self) -> None:
        node = self.node
        exits = list(self.supervisor.disk.exits)
        self.taken = len(exits)
        parts = self.starter, self.stopper, self.ender
        recovery = SimRecovery(self.host, node, *parts)
        recovery.run(recovery.look(), exits)
        for attempt in self._endless:
            self.ender.report_damage(attempt)
        node.publish()
        node.compact()
        self._acknowledge_exits()
        link = node.link = SimLink(self.orders.obey)
        self.loop.sockets[self.supervisor.socket] = self._accept
        self.link = link
        self.wake()

    def _acknowledge_exits(self) -> None:
        del self.supervisor.disk.exits[: self.taken]
        self.taken = 0

    def _accept(self, protocol: Any, agent: Program) -> SimTransport:
        socket = SimSocket(self.loop, self.supervisor.rng, self.wake)
        self.sockets.append(socket)
        transport = SimTransport(socket, protocol, agent)
        socket.transport = transport
        self.program.soon(self._connected, socket)
        return transport

    def _connected(self, socket: SimSocket) -> None:
        self.link.accept(socket)
        self.wake()

    def wake(self) -> None:
        """Let there be a turn soon."""
        if self._planned is None and self.program.alive:
            self._planned = True
            self.program.soon(self._turn_soon)

    def _turn_soon(self) -> None:
        delay = self.supervisor.rng.random() * 0.0005
        self._planned = self.loop.call_later(delay, self._turn)

    def _turn(self) -> None:
        try:
            self._serve()
        except KilledError:
            return

    def _serve(self) -> None:
        node = self.node
        self._planned = None
        self.link.serve()
        node.timers.run()
        self.starter.look()
        self._reap()
        more = self.starter.start_what_fits()
        if node.publish():
            self._acknowledge_exits()
        if not node.may_wait():
            self.link.flush()
        if node.journal.is_long:
            node.compact()
        self._sync()
        if more:
            self.wake()
            return
        patience = node.timers.patience_s(node.gathering.due)
        if len(node.pinned):
            patience = LOOK_S if patience is None else min(LOOK_S, patience)
        if patience is not None:
            self.loop.call_later(max(0.0005, patience), self.wake)

    def _reap(self) -> None:
        for process in self.host.all:
            if process.reaped or process.living or not process.main:
                continue
            if not process.own:
                continue
            if process.pid not in self.node.by_pid and len(self.node.pinned):
                self.starter.settle(process.pid)
            attempt = self.node.by_pid.get(process.pid)
            if attempt is None or attempt.status is not None:
                process.reaped = True
                continue
            attempt.status = process.status
            attempt.ended_at = self.node.clock.wall()
            self.node.journal.add(status(attempt))
            self.node.journal.flush()
            process.reaped = True
            self.ender.main_ended(attempt)
        exits = self.supervisor.disk.exits[self.taken :]
        self.taken += len(exits)
        for end in exits:
            self.ender.status_from_reaper(end)
        if exits or self.ender._draining:
            self.ender.orphans_changed()

    def _sync(self) -> None:
        journal = self.node.journal
        if not journal.dirty or self._syncing:
            return
        journal.dirty = False
        self._syncing = True
        delay = self.supervisor.rng.random() * SYNC_S
        self.loop.call_later(delay, self._synced, journal.path)

    def _synced(self, path: str) -> None:
        journal: Any = self.node.journal
        self._syncing = False
        if path != journal.path:
            journal.dirty = True
            self.wake()
            return
        self.supervisor.disk.sync(journal)
        journal.synced(path)


class Supervisor:
    """Reaper and spawner of one node."""

    def __init__(
        self, loop: SimLoop, host: Host, disk: NodeDisk, rng: random.Random
    ) -> None:
        self.loop = loop
        self.host = host
        self.disk = disk
        self.rng = rng
        self.socket = f"/sim/{host.name}/supervisor.sock"
        self.config = SimConfig(
            directory=str(disk.folder), socket=self.socket, cgroup="require"
        )
        self.config.machine = host.machine
        self.spawner: Spawner | None = None
        self.on_death: Callable[[], None] = lambda: None
        self.on_report: Callable[[bytes], None] = lambda _: None
        self.program: Program | None = None
        self.journal: SimJournal | None = None
        self.reaper_alive = True
        self.reaper_deaths = 0
        host.on_exit = self._exited

    @property
    def alive(self) -> bool:
        return self.program is not None and self.program.alive

    def start(self) -> None:
        """Start a spawner."""
        self.reaper_alive = True
        program = self.program = Program(self.loop, f"{self.host.name}/spawner")
        program.on_death = self._died
        for process in self.host.all:
            process.own = False
            if not process.living and not process.reaped and process.main:
                self._reaper_reaps(process)
        token = PROGRAM.set(program)
        try:
            spawner = self.spawner = Spawner(self, program)
            spawner.begin()
        except KilledError:
            return
        finally:
            PROGRAM.reset(token)

    def kill(self, *, reaper: bool = False) -> None:
        """Kill the spawner, and the reaper with it."""
        self.reaper_alive = not reaper
        self.reaper_deaths += reaper
        if reaper:
            self.host.reaper_died_at = SimClock(self.host.machine).boot()
        if self.program is not None:
            self.program.kill()

    def bury(self) -> None:
        """Give back what a dead spawner has left open."""
        if self.journal is not None:
            self.journal.abandon()

    def _died(self) -> None:
        self.bury()
        self.loop.sockets.pop(self.socket, None)
        spawner, self.spawner = self.spawner, None
        if spawner is not None:
            for socket in spawner.sockets:  # those that wait to be accepted, too
                socket.close()
        for process in self.host.all:
            process.own = False
            if not process.living and not process.reaped and process.main:
                self._reaper_reaps(process)
        self.on_death()

    def _exited(self, process: Process) -> None:
        spawner = self.spawner
        if spawner is None:
            self._reaper_reaps(process)
        elif process.own:
            spawner.wake()
        else:
            self._reaper_reaps(process)
            spawner.wake()

    def _reaper_reaps(self, process: Process) -> None:
        process.reaped = True
        if not self.reaper_alive or process.status is None:
            return  # nobody hears of it: its status is lost
        self.disk.exits.append(
            Exit(
                self.host.machine.boot_id,
                process.pid,
                int(process.born_boot * TICKS),
                process.pid,
                process.status,
                self.host.machine.wall(),
            )
        )
