"""What really runs on a node: processes, their lives, and who hears of their ends.

This is the ground truth that everything that the scheduler records is compared with.
"""

from __future__ import annotations

import errno
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.sim.loop import PROGRAM

if TYPE_CHECKING:
    import asyncio
    import random
    from collections.abc import Callable

    from tests.support.sim.clocks import Machine
    from tests.support.sim.loop import SimLoop

Key = tuple[int, int, int, int]
"""(job, task, instance, attempt)."""


@dataclass(frozen=True, slots=True)
class Life:
    """How a process would go on if nobody disturbed it.

    Attributes:
        seconds: Until it ends by itself; None: never.
        deaf: It ignores every signal but SIGKILL.
        lags: Seconds from the signal to its end.
        daemons: Children that stay when it has ended.
    """

    seconds: float | None
    code: int = 0
    deaf: bool = False
    lags: float = 0.0
    daemons: int = 0
    start_fails: bool = False
    node_fails: bool = False


@dataclass(slots=True)
class Process:
    """One process of a task, and what has become of it."""

    pid: int
    key: Key
    node: str
    boot: int
    cores: tuple[int, ...]
    slot: int
    born: float
    born_boot: float
    life: Life
    limit: float = 0.0
    main: bool = True
    ended: float | None = None
    status: int | None = None
    reaped: bool = False
    own: bool = True
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)

    @property
    def living(self) -> bool:
        return self.ended is None


class Host:
    """One node's processes.

    Attributes:
        plan: Says how a process lives.
        all: Every process that ever was, of every boot.
        violations: What must never happen, in words.
        on_exit: Told of each end of a main process.
        reaper_died_at: When, in seconds since the boot, at the last time.
    """

    def __init__(
        self, loop: SimLoop, machine: Machine, rng: random.Random, name: str, cores: int
    ) -> None:
        self.loop = loop
        self.machine = machine
        self.rng = rng
        self.name = name
        self.cores = cores
        self.plan: Callable[[Key, str], Life] = lambda *_: Life(1.0)
        self.all: list[Process] = []
        self.violations: list[str] = []
        self.reaper_died_at = -1.0
        self.on_exit: Callable[[Process], None] = lambda _: None
        self.on_end: Callable[[Process], None] = lambda _: None
        self.on_start: Callable[[Process], None] = lambda _: None
        self._pid = 10_000_000  # no number that /proc has

    @property
    def living(self) -> list[Process]:
        return [one for one in self.all if one.living]

    def start(
        self,
        key: Key,
        cores: tuple[int, ...],
        slot: int,
        words: str,
        limit: float = 0.0,
    ) -> Process:
        """Execute an attempt's command.

        Raises:
            OSError: it cannot be.
        """
        life = self.plan(key, words)
        if life.start_fails:
            raise OSError(errno.ENOENT, "no such program")
        if life.node_fails:
            raise OSError(errno.EAGAIN, "too many processes")
        for other in self.all:
            if other.living and set(other.cores) & set(cores) and other.main:
                self.violations.append(f"{key} and {other.key} share a core")
            if other.living and other.key[:3] == key[:3]:
                self.violations.append(f"{key} starts while {other.key} lives")
        process = self._new(key, cores, slot, life, main=True)
        process.limit = limit
        for _ in range(life.daemons):
            self._new(key, (), slot, Life(None, deaf=life.deaf), main=False)
        self.on_start(process)
        return process

    def _new(
        self, key: Key, cores: tuple[int, ...], slot: int, life: Life, *, main: bool
    ) -> Process:
        self._pid += 1
        process = Process(
            pid=self._pid,
            key=key,
            node=self.name,
            boot=self.machine.boots,
            cores=cores,
            slot=slot,
            born=self.loop.time(),
            born_boot=self.machine.boot(),
            life=life,
            main=main,
        )
        self.all.append(process)
        if life.seconds is not None:
            self._after(process, life.seconds, life.code << 8)
        return process

    def _after(self, process: Process, seconds: float, status: int) -> None:
        token = PROGRAM.set(None)
        try:
            process.timer = self.loop.call_later(
                seconds, self._end, process, status, process.boot
            )
        finally:
            PROGRAM.reset(token)

    def _end(self, process: Process, status: int, boot: int) -> None:
        if not process.living or boot != self.machine.boots:
            return
        process.ended = self.loop.time()
        process.status = status
        if process.timer is not None:
            process.timer.cancel()
        if process.main:
            self.on_exit(process)
            self.on_end(process)

    def signal(self, slot: int, number: int) -> None:
        """Send a signal to everything in a slot."""
        for process in list(self.all):
            if not process.living or process.slot != slot:
                continue
            if number == signal.SIGKILL:
                self._end(process, int(number), process.boot)
            elif not process.life.deaf:
                self._after(process, process.life.lags, int(number))

    def populated(self, slot: int) -> bool:
        return any(one.living and one.slot == slot for one in self.all)

    def power_off(self) -> None:
        """Every process is gone, and nobody hears of it."""
        for process in self.living:
            process.ended = self.loop.time()
            process.status = None
            process.reaped = True
            if process.timer is not None:
                process.timer.cancel()
        for process in self.all:
            process.reaped = True
