"""What a simulated spawner stands on: model cgroups, processes, a socket."""

from __future__ import annotations

from collections import deque
from errno import ENOENT
from typing import TYPE_CHECKING, Any

from node_agent.supervisor import protocol
from node_agent.supervisor.commands import Config
from node_agent.supervisor.definition import User
from node_agent.supervisor.failure import StartFailedError
from node_agent.supervisor.gathering import Gathering
from node_agent.supervisor.link import Link
from node_agent.supervisor.node import Node
from node_agent.supervisor.outputs import Outputs
from node_agent.supervisor.pinned import Birth
from node_agent.supervisor.recovery import Recovery
from node_agent.supervisor.slots import CLOSED, Slots
from node_agent.supervisor.timers import Timers
from tests.support.sim.clocks import SimClock
from tests.support.sim.lives import words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from node_agent.supervisor.attempt import Attempt, Queued
    from node_agent.supervisor.exits import Exit
    from node_agent.supervisor.slots import Slot
    from node_agent.supervisor.table import Table
    from tests.support.sim.clocks import Machine
    from tests.support.sim.disk import SimJournal
    from tests.support.sim.host import Host, Process
    from tests.support.sim.unixsocket import SimSocket

#: Of ``start_ticks``, as /proc has them.
TICKS = 100

#: Shares of the processes that the spawner's own thread makes, and of the others those
#: of which it hears when it looks.
MADE_HERE = 0.3
HEARD_AT_ONCE = 0.5


class SimConfig(Config):
    """The boot is the machine's."""

    __slots__ = ("machine",)
    machine: Machine

    def boot_id(self) -> str:
        return self.machine.boot_id


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

    def path_of(self, slot: int) -> str:
        """Return no directory: what a simulated process uses, nobody counts."""
        return f"/nowhere/slot-{slot}"

    def close(self) -> None:
        pass

    def end_others(self, used: set[int], spared: set[int]) -> None:
        """Kill what lives in slots that no attempt has."""
        for slot in sorted({one.slot for one in self._host.living} - used):
            self._host.signal(slot, 9)

    def is_populated(self, slot: int) -> bool:
        return self._host.populated(slot)

    def kill(self, slot: int) -> None:
        self._host.signal(slot, 9)

    def signal(self, slot: int, number: int) -> None:
        self._host.signal(slot, number)


class SimPinned:
    """Processes that exist, of which the spawner has not heard yet."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._births: list[Birth] = []
        self._hurried = False

    def __len__(self) -> int:
        return len(self._births)

    def add(self, birth: Birth) -> None:
        self._births.append(birth)

    def finished(self) -> Iterator[Birth]:
        for birth in list(self._births):
            if self._hurried or self._rng.random() < HEARD_AT_ONCE:
                self._births.remove(birth)
                yield birth
        self._hurried = False

    def wait(self) -> None:
        self._hurried = True

    def go(self) -> None:
        pass


class SimLauncher:
    """Starts processes on the host; of some of them one hears a little later."""

    def __init__(self, host: Host, pinned: SimPinned, rng: Random) -> None:
        self._host = host
        self._pinned = pinned
        self._rng = rng
        self.cpus = set(range(host.cores))

    def start(
        self, attempt: Attempt, queued: Queued, slot: Slot, *, alone: bool = False
    ) -> int:
        if alone or self._rng.random() < MADE_HERE:
            return self.start_here(attempt, queued, slot)
        birth = Birth(attempt, queued, slot)
        try:
            birth.number.value = self.start_here(attempt, queued, slot)
        except StartFailedError:
            birth.error = ENOENT
        self._pinned.add(birth)
        return 0

    def start_here(self, attempt: Attempt, queued: Queued, slot: Slot) -> int:
        cores = tuple(attempt.core_list)
        words = words_of(attempt.definition.raw)
        try:
            limit = attempt.definition.limit_s or 0.0
            started = self._host.start(attempt.key, cores, slot.number, words, limit)
        except OSError as error:
            raise StartFailedError("exec", error, b"live") from None
        return started.pid

    def make_room(self) -> None:
        pass

    def unpin(self) -> None:
        pass


class SimKin:
    """Nothing escapes its cgroup."""

    def __init__(self) -> None:
        self.mains: set[int] = set()
        self.elsewhere: set[int] = set()
        self.adopted: dict[int, Any] = {}

    def scan(self, owner_of: Any) -> list[int]:
        return []

    def forget(self, pid: int) -> None:
        self.mains.discard(pid)
        self.elsewhere.discard(pid)

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
        self._poll = Poll()  # type: ignore[assignment]
        self._obey = obey
        self._agent: Any = None
        self._reader = protocol.FrameReader()
        self._waiting = deque()
        self._unsent = memoryview(b"")
        self._blocked = self._closing = False
        self.greeted = self.urgent = self.tells_end = False

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
        self,
        config: SimConfig,
        host: Host,
        table: Table,
        journal: SimJournal,
        on_report: Callable[[bytes], None],
        *,
        rng: Random,
    ) -> None:
        self._on_report = on_report
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
        pinned = SimPinned(rng)
        self.pinned = pinned  # type: ignore[assignment]
        self.launcher = SimLauncher(host, pinned, rng)  # type: ignore[assignment]
        self.by_pid = {}
        self.busy = 0
        self.own = SimKin()  # type: ignore[assignment]
        self.foreign = SimKin()  # type: ignore[assignment]
        self.oom = NoOom()  # type: ignore[assignment]
        self.warnings = []
        self.stopping_all = False
        self.retiring = False
        self.gathering = Gathering(self.clock)
        self.was_behind = False
        self._fresh = []
        self._fresh_end = False

    def report(self, text: bytes, *, tells_end: bool = True) -> None:
        self._on_report(text)
        super().report(text, tells_end=tells_end)


class NoOom:
    """Nobody runs out of memory."""

    def has_struck(self) -> bool:
        return False


class SimStat:
    """What /proc would say."""

    def __init__(self, process: Process) -> None:
        self.state = "S" if process.living else "Z"
        self.parent = 0
        self.session = process.pid
        self.start_ticks = int(process.born_boot * TICKS)


class SimRecovery(Recovery):
    """Finds processes where the model has them."""

    def __init__(self, host: Host, node: SimNode, *parts: Any) -> None:
        super().__init__(node, *parts)
        self._host = host

    def _process(self, attempt: Attempt) -> Process | None:
        for one in reversed(self._host.all):
            if one.key == attempt.key and one.main:
                return one if one.boot == self._host.machine.boots else None
        return None

    def _stat(self, pid: int) -> Any:
        for one in self._host.all:
            if one.pid == pid and not one.reaped:
                return SimStat(one)
        return None

    def _find_living(self, attempt: Attempt) -> int | None:
        process = self._process(attempt)
        return process.pid if process is not None and process.living else None

    def _find_ended(self, attempt: Attempt, exits: list[Exit]) -> Exit | None:
        process = self._process(attempt)
        if process is None:
            return None
        return next((end for end in exits if end.pid == process.pid), None)

    def _has_missed_ends(self, attempt: Attempt) -> bool:
        return self._host.reaper_died_at >= attempt.tried_at

    def _watch(self, attempt: Attempt) -> bool:
        return True
