"""The inside of a spawner in one process: no tasks, no time but the test's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from node_agent.supervisor.attempt import Attempt
from node_agent.supervisor.commands import Config
from node_agent.supervisor.definition import Definition, User
from node_agent.supervisor.ending import Ender
from node_agent.supervisor.journal import Journal
from node_agent.supervisor.node import Node
from node_agent.supervisor.stopping import Stopper
from node_agent.supervisor.table import Table

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from node_agent.supervisor.cgroup import Cgroups
    from node_agent.supervisor.clock import Clock


class BootClock:
    """CLOCK_BOOTTIME as the test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def boot(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1.6e9 + self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


class StubbornCgroups:
    """Cgroups whose processes die when the test says so.

    Attributes:
        populated: Whether a process lives in any of them.
        sent: Signals that were sent, with the time; 9 for kills.
    """

    def __init__(self, clock: BootClock) -> None:
        self._clock = clock
        self.populated = True
        self.sent: list[tuple[float, int]] = []

    def is_populated(self, number: int) -> bool:
        return self.populated

    def signal(self, number: int, wanted: int) -> None:
        self.sent.append((self._clock.now, wanted))

    def kill(self, number: int) -> None:
        self.sent.append((self._clock.now, 9))

    def holds(self, pid: int) -> int | None:
        return None


class NodeKit:
    """A node with one attempt that seems to run."""

    def __init__(self, directory: Path, **definition: Any) -> None:
        self.clock = BootClock()
        self.cgroups = StubbornCgroups(self.clock)
        journal_place = directory / "journal"
        journal_place.mkdir(parents=True)
        journal = Journal(str(journal_place))
        assert journal.rotate([b"B"])
        config = Config(
            directory=str(directory), socket=str(directory / "supervisor.sock")
        )
        user = User()
        self.node = Node(
            config,
            _as_clock(self.clock),
            Table("boot", "instance"),
            journal=journal,
            cgroups=_as_cgroups(self.cgroups),
            user=user,
            reaper=os.getppid(),
        )
        self.ender = Ender(self.node)
        self.stopper = Stopper(self.node, self.ender)
        raw = {"job": 7, "task": 1, "def": 1, "argv": [["x"]], **definition}
        self.definition = Definition(raw, user)
        self.node.table.define(self.definition)
        self.attempt = self._run()

    def _run(self) -> Attempt:
        node = self.node
        slot = node.slots.take()
        attempt = Attempt(
            self.definition,
            0,
            1,
            slot=slot.number,
            cores=0b10,
            contained=True,
            tried_at=self.clock.now,
        )
        node.table.try_attempt(attempt)
        node.busy |= attempt.cores
        node.journal.tasks += 1
        attempt.pid = 2**22  # never a process id here
        attempt.born = (self.clock.now, self.clock.now)
        attempt.started_at = self.clock.wall()
        node.by_pid[attempt.pid] = attempt
        self.stopper.watch_limit(attempt)
        return attempt

    def sleep(self, seconds: float) -> None:
        """Let time pass, with deadlines being kept on the way."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.now = min(end, self.clock.now + 0.5)
            self.node.timers.run()

    def main_ends(self, status: int) -> None:
        """Let the main process end."""
        self.attempt.status = status
        self.attempt.ended_at = self.clock.wall()
        self.ender.main_ended(self.attempt)

    def close(self) -> None:
        """Close what is open."""
        self.node.journal.close()
        self.node.poll.close()
        self.node.own.close()
        self.node.foreign.close()


def _as_clock(clock: Any) -> Clock:
    found: Clock = clock
    return found


def _as_cgroups(cgroups: Any) -> Cgroups:
    found: Cgroups = cgroups
    return found
