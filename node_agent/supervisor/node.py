"""What the parts of the spawner share: the table, the journal, and the machinery."""

from __future__ import annotations

import os
import select

from node_agent.supervisor import procfs, protocol, records
from node_agent.supervisor.commands import OWNER
from node_agent.supervisor.gathering import Gathering
from node_agent.supervisor.kin import Kin
from node_agent.supervisor.launch import Launcher
from node_agent.supervisor.log import log
from node_agent.supervisor.nursery import Nursery
from node_agent.supervisor.oom import OomCounter
from node_agent.supervisor.outputs import DEFAULT_QUOTA_BYTES, Outputs
from node_agent.supervisor.pinned import PinnedStarts
from node_agent.supervisor.slots import Slots
from node_agent.supervisor.timers import Timers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from node_agent.supervisor.attempt import Attempt
    from node_agent.supervisor.cgroup import Cgroups
    from node_agent.supervisor.clock import Clock
    from node_agent.supervisor.commands import Config
    from node_agent.supervisor.definition import User
    from node_agent.supervisor.journal import Journal
    from node_agent.supervisor.link import Link
    from node_agent.supervisor.table import Table

CLOCK_SLACK_S = 0.1
"""The kernel tells when a process began in hundredths of a second, rounded down."""


class Node:
    """The state and the tools of one spawner.

    Attributes:
        by_pid: Attempts whose main process exists or whose leftovers do.
        activity: Grows with every start and end.
        busy: Bit mask of the cores that tasks have.
        own: Children of this process.
        pinned: Processes that threads of it are making.
        tells_end: An end is about to be told, and is not to wait for a start.
        gathering: Whether what is to be told may wait.
        was_behind: A process was made on a core that this thread had to share with it.
        foreign: Children of the reaper: what a spawner before this one has started.
        warnings: What the agent must be told after its hello.
        retiring: The machine goes down: every task is being ended, none is started.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        table: Table,
        *,
        journal: Journal,
        cgroups: Cgroups | None,
        user: User,
        reaper: int,
    ) -> None:
        self.config = config
        self.clock = clock
        self.table = table
        self.journal = journal
        self.cgroups = cgroups
        self.user = user
        self.activity = 0
        self.timers = Timers(clock)
        self.poll = select.epoll()
        self.link: Link | None = None
        self.boot_id = config.boot_id()
        for_group = config.group is not None
        for folder in ("", "slots"):
            path = config.path("output", folder)
            os.makedirs(path, exist_ok=True)
            if config.group is not None:
                os.chown(path, -1, config.group)
            os.chmod(path, 0o2750 if for_group else 0o700)
        quota = table.settings.get("output_quota", DEFAULT_QUOTA_BYTES)
        self.outputs = Outputs(config.path("output"), quota, for_group=for_group)
        self.slots = Slots(
            config.path("output", "slots"),
            self.outputs,
            for_group=for_group,
            hosts=_hosts_directory(config),
        )
        self.own = Kin(os.getpid())
        nursery = Nursery(self.own.mains, cgroups)
        self.tells_end = False
        self.gathering = Gathering(clock)
        self.was_behind = False
        self.pinned = PinnedStarts(clock)
        alone = self.pinned if self.pinned.possible else None
        if cgroups is not None:
            cgroups.before_moving = self.pinned.wait_until_born
        self.launcher = Launcher(self.slots, config, nursery, alone)
        self.by_pid: dict[int, Attempt] = {}
        self.busy = 0
        self.foreign = Kin(reaper)
        self.foreign.mains.add(os.getpid())
        self.oom = OomCounter(_oom_counters())
        self.warnings: list[str] = []
        self.stopping_all = False
        self.retiring = False
        self._fresh: list[bytes] = []
        self._fresh_end = False

    @property
    def containment(self) -> str:
        """``cgroup`` or ``group``."""
        return "group" if self.cgroups is None else "cgroup"

    def next_position(self) -> int:
        """Return the number of the next report."""
        self.table.position += 1
        return self.table.position

    def report(self, text: bytes, *, tells_end: bool = True) -> None:
        """Send a report to the agent once it is in the journal."""
        self._send_published(text, tells_end=tells_end)

    def say_after_reports(self, *message: Any, tells_end: bool = True) -> None:
        """Say what is only true once the reports before it have arrived."""
        self._send_published(protocol.encode_message(message), tells_end=tells_end)

    def _send_published(self, text: bytes, *, tells_end: bool) -> None:
        self._fresh.append(text)
        self._fresh_end |= tells_end

    def say(self, *message: Any, urgent: bool = True) -> None:
        """Send the agent what is not kept for it if it is not there."""
        if self.link is not None:
            self.link.send(protocol.encode_message(message), urgent=urgent)

    def warn(self, text: str) -> None:
        """Log a fault of this node, and tell the agent."""
        log(text)
        if self.link is not None and self.link.greeted:
            self.say(protocol.ERROR, text)
        else:
            self.warnings.append(text)

    def publish(self) -> bool:
        """Write the journal, and then hand new reports to the link.

        Returns:
            Whether the journal is written.
        """
        if not self.journal.flush() and not self.compact():
            return False
        self.tells_end = False
        if self._fresh:
            if self.link is not None:
                self.link.report(self._fresh, tells_end=self._fresh_end)
            self._fresh = []
            self._fresh_end = False
        return True

    def may_wait(self) -> bool:
        """Say whether what there is to send may wait for more."""
        link, table = self.link, self.table
        return link is not None and self.gathering.goes_on(
            0 if link.urgent else link.waits,
            queued=len(table.queued),
            live=len(table.live),
            tells_end=link.tells_end,
        )

    def unpublished(self) -> set[int]:
        """Return the identities of reports that are not in the journal yet."""
        return {id(text) for text in self._fresh}

    def compact(self) -> bool:
        """Begin a new segment of the journal with nothing but what still matters."""
        return self.journal.rotate(records.snapshot(self.table))

    def owner_of(self, pid: int) -> Attempt | None:
        """Return the attempt that an orphan belongs to, None if it cannot be told."""
        candidates = self.possible_owners(pid)
        return candidates[0] if len(candidates) == 1 else None

    def possible_owners(self, pid: int) -> list[Attempt]:
        """Return the attempts that an orphan can belong to.

        Its session, its environment or its cgroup name one. One that has changed the
        first and emptied the second belongs to some attempt that began before it did.
        """
        stat = procfs.read_stat(pid)
        if stat is None:
            return []
        attempts = list({*self.by_pid.values(), *self.table.live.values()})
        if stat.session in self.by_pid:
            return [self.by_pid[stat.session]]
        tag = procfs.read_tag(pid)
        if tag is not None:
            return [attempt for attempt in attempts if attempt.key == tag]
        slot = None if self.cgroups is None else self.cgroups.holds(pid)
        if slot is not None:
            return [item for item in attempts if item.contained and item.slot == slot]
        latest = stat.start_ticks / procfs.TICKS_PER_S + CLOCK_SLACK_S
        return [attempt for attempt in attempts if attempt.born[0] <= latest]

    def kin_of(self, attempt: Attempt) -> Iterable[Kin]:
        """Return where orphans of the attempt are looked for."""
        return (self.own,) if attempt.own else (self.foreign, self.own)


def _hosts_directory(config: Config) -> str | None:
    """Return where tasks of other accounts can read their lists of hosts."""
    if config.run_as != OWNER:
        return None
    path = config.path("hosts")
    os.makedirs(path, exist_ok=True)
    for folder in (config.directory, path):  # to pass, not to list
        os.chmod(folder, 0o711)  # noqa: S103
    return path


def _oom_counters() -> list[str]:
    from node_agent.supervisor.cgroup import own_cgroup  # noqa: PLC0415

    try:
        return [os.path.join(own_cgroup(), "memory.events"), "/proc/vmstat"]
    except OSError:
        return ["/proc/vmstat"]
