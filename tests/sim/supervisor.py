"""The supervisor of a simulated node: its real decisions and journal, model processes.

Orders, starts, stops, ends, records, journal and the socket's framing are the
product's. The model is below them: processes (host), cgroups, epoll, and the reaper,
which outlives a spawner and keeps the exit statuses of its children.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

from node_agent.supervisor.commands import Config
from node_agent.supervisor.definition import User
from node_agent.supervisor.ending import Ender
from node_agent.supervisor.exits import Exit
from node_agent.supervisor.journal import END_OF_LOG, Journal
from node_agent.supervisor.link import Link
from node_agent.supervisor.node import Node
from node_agent.supervisor.orders import Orders
from node_agent.supervisor.outputs import Outputs
from node_agent.supervisor.records import Fold, status
from node_agent.supervisor.recovery import Recovery
from node_agent.supervisor.replay import read_journal
from node_agent.supervisor.slots import CLOSED, Slots
from node_agent.supervisor.starting import Starter
from node_agent.supervisor.stopping import Stopper
from node_agent.supervisor.table import Table
from node_agent.supervisor.timers import Timers
from tests.sim.clocks import SimClock
from tests.sim.loop import PROGRAM, Program
from tests.sim.unixsocket import SimSocket, SimTransport

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

    from node_agent.supervisor.attempt import Attempt, Queued
    from node_agent.supervisor.procfs import Stat
    from node_agent.supervisor.slots import Slot
    from tests.sim.host import Host, Process
    from tests.sim.loop import SimLoop

SYNC_S = 0.1
TICKS = 100


class KilledError(BaseException):
    """The spawner dies in the middle of its turn."""


class SimConfig(Config):
    """The boot is the machine's."""

    __slots__ = ("machine",)

    def boot_id(self) -> str:
        return str(self.machine.boot_id)


class NodeDisk:
    """The directory of a node's supervisor; a power cut takes what is not synced."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder = folder
        self.journal = folder / "journal"
        self.journal.mkdir(parents=True)
        (folder / "output").mkdir()
        self.exits: list[Exit] = []
        self.term = 0
        self._rng = rng
        self._safe: dict[str, bytes] = {}

    def sync(self, journal: SimJournal) -> str:
        """Bring the segment that is written to the disk; return its path."""
        path = journal.path
        size = journal.written + len(END_OF_LOG)
        with open(path, "rb") as file:
            self._safe = {os.path.basename(path): file.read(size)}
        return path

    def power_cut(self) -> None:
        """Leave what was synced, and perhaps a part of what was written since."""
        torn: dict[str, bytes] = {}
        for name, safe in self._safe.items():
            path = self.journal / name
            data = path.read_bytes() if path.exists() else safe
            # the mark of the log's end is overwritten by the next record
            known = len(safe) - len(END_OF_LOG)
            more = data[known:].rstrip(b"\0")
            keep = self._rng.randrange(len(more) + 1) if more else 0
            torn[name] = data[: known + keep] + END_OF_LOG
        shutil.rmtree(self.journal)
        self.journal.mkdir()
        for name, data in torn.items():
            (self.journal / name).write_bytes(data)
        self.exits = []


class SimJournal(Journal):
    """The journal on a disk that may be the last thing the spawner sees."""

    on_flush: Callable[[bool], None] = staticmethod(lambda _: None)

    @property
    def written(self) -> int:
        return self._offset

    def flush(self) -> bool:
        if not self._pending:
            return True
        self.on_flush(False)
        done = super().flush()
        self.on_flush(True)
        return done


class SimSlots(Slots):
    """Slots without files."""

    def open(self, slot: Slot, kind: int) -> int:
        return CLOSED

    def clear(self) -> None:
        pass


class SimCgroups:
    """A cgroup per slot."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def enter(self, slot: int) -> None:
        pass

    def leave(self) -> None:
        pass

    def park(self, slot: int) -> None:
        pass

    def holds(self, pid: int) -> None:
        return None

    def close(self) -> None:
        pass

    def is_populated(self, slot: int) -> bool:
        return self._host.populated(slot)

    def kill(self, slot: int) -> None:
        self._host.signal(slot, 9)

    def signal(self, slot: int, number: int) -> None:
        self._host.signal(slot, number)


class SimLauncher:
    """Starts processes on the host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.cpus = set(range(host.cores))

    def start(self, attempt: Attempt, queued: Queued, slot: Slot) -> int:
        cores = tuple(attempt.core_list)
        return self._host.start(attempt.key, cores, slot.number).pid

    def make_room(self) -> None:
        pass

    def unpin(self) -> None:
        pass


class SimKin:
    """Nothing escapes its cgroup."""

    def __init__(self) -> None:
        self.mains: set[int] = set()
        self.adopted: dict[int, Any] = {}

    def scan(self, owner_of: Any) -> list[int]:
        return []

    def of(self, attempt: Attempt) -> list[int]:
        return []


class Poll:
    """What a link registers with."""

    def register(self, *_: Any) -> None:
        pass

    modify = unregister = register


class SimLink(Link):
    """The real framing over a simulated socket."""

    def __init__(self, obey: Callable[[Any], None]) -> None:
        from collections import deque  # noqa: PLC0415

        from node_agent.supervisor import protocol  # noqa: PLC0415

        self._poll = Poll()  # type: ignore[assignment]
        self._obey = obey
        self._agent: Any = None
        self._reader = protocol.FrameReader()
        self._waiting = deque()
        self._unsent = memoryview(b"")
        self._blocked = self._closing = self.greeted = False

    def accept(self, socket: SimSocket) -> None:
        self.drop()
        self._agent = socket

    def serve(self) -> None:
        """Read what the agent has sent; send what it could not take before."""
        while self._agent is not None and self._agent.readable:
            self._read(self._agent)
        if self._agent is not None and self._blocked:
            self.flush()

    def close(self) -> None:
        self.drop()


class SimNode(Node):
    """What the parts of the spawner share, without a machine."""

    def __init__(
        self, config: SimConfig, host: Host, table: Table, journal: SimJournal
    ) -> None:
        self.config = config
        self.clock = SimClock(host.machine)  # type: ignore[assignment]
        self.table = table
        self.journal = journal
        self.cgroups = SimCgroups(host)  # type: ignore[assignment]
        self.user = User()
        self.activity = 0
        self.timers = Timers(self.clock)
        self.link = None
        self.boot_id = config.boot_id()
        self.outputs = Outputs(config.path("output"), 1 << 30, for_group=False)
        self.slots = SimSlots(config.path("output"), self.outputs, for_group=False)
        self.launcher = SimLauncher(host)  # type: ignore[assignment]
        self.by_pid = {}
        self.busy = 0
        self.own = SimKin()  # type: ignore[assignment]
        self.foreign = SimKin()  # type: ignore[assignment]
        self.oom = NoOom()  # type: ignore[assignment]
        self.warnings = []
        self.stopping_all = False
        self.retiring = False
        self._fresh = []


class NoOom:
    """Nobody runs out of memory."""

    def has_struck(self) -> bool:
        return False


class SimRecovery(Recovery):
    """Finds processes where the model has them."""

    def __init__(self, spawner: Spawner, *parts: Any) -> None:
        super().__init__(spawner.node, *parts)
        self._host = spawner.host

    def _process(self, attempt: Attempt) -> Process | None:
        for one in reversed(self._host.all):
            if one.key == attempt.key and one.main:
                return one if one.boot == self._host.machine.boots else None
        return None

    def look(self) -> dict[int, Stat]:
        return {}

    def _resolve(self, attempt: Attempt, present: Any, exits: list[Exit]) -> None:
        process = self._process(attempt)
        if process is not None:
            attempt.pid = process.pid
        super()._resolve(attempt, present, exits)

    def _find_living(self, attempt: Attempt) -> int | None:
        process = self._process(attempt)
        return process.pid if process is not None and process.living else None

    def _find_ended(self, attempt: Attempt, exits: list[Exit]) -> Exit | None:
        process = self._process(attempt)
        if process is None:
            return None
        return next((end for end in exits if end.pid == process.pid), None)

    def _register(self, attempt: Attempt, stat: Any) -> None:
        self._node.by_pid[attempt.pid] = attempt
        attempt.own = False

    def _take_over(self, attempt: Attempt, stat: Any, exits: list[Exit]) -> None:
        process = self._process(attempt)
        living = process if process is not None and process.living else None
        super()._take_over(attempt, living, exits)  # type: ignore[arg-type]

    def _watch(self, attempt: Attempt) -> bool:
        return True


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
        journal = SimJournal(config.path("journal"))
        journal.resume(replay.segment, replay.offset, replay.old)
        journal.on_flush = self._flushed  # type: ignore[method-assign]
        self.node = node = SimNode(config, host, table, journal)
        for warning in replay.warnings:
            node.warnings.append(warning)
        self.ender = Ender(node)
        self.stopper = Stopper(node, self.ender)
        self.starter = Starter(node, self.ender, self.stopper)
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
        recovery = SimRecovery(self, self.starter, self.stopper, self.ender)
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
        self._reap()
        more = self.starter.start_what_fits()
        if node.publish():
            self._acknowledge_exits()
        self.link.flush()
        if node.journal.is_long:
            node.compact()
        self._sync()
        if more:
            self.wake()
            return
        patience = node.timers.patience_s()
        if patience is not None:
            self.loop.call_later(max(0.0005, patience), self.wake)

    def _reap(self) -> None:
        for process in self.host.all:
            if process.reaped or process.living or not process.main:
                continue
            attempt = self.node.by_pid.get(process.pid)
            if not process.own:
                continue
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
        self.program: Program | None = None
        self.reaper_alive = True
        host.on_exit = self._exited

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
        if self.program is not None:
            self.program.kill()

    def _died(self) -> None:
        self.loop.sockets.pop(self.socket, None)
        spawner, self.spawner = self.spawner, None
        if spawner is not None:
            link = getattr(spawner, "link", None)
            if link is not None and link._agent is not None:
                link._agent.close()
        for process in self.host.all:
            process.own = False
            if not process.living and not process.reaped and process.main:
                self._reaper_reaps(process)

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
