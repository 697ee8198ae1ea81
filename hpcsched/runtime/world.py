"""What all actors share: the seams, the settings in force, and each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hpcsched.core.job.environment import Scene
from hpcsched.core.job.spec import DEFAULT_POOL
from hpcsched.core.settings import Settings
from hpcsched.runtime.alarms import Alarms
from hpcsched.runtime.connections import Connections
from hpcsched.runtime.loop_lag import LoopLag
from hpcsched.runtime.sound import Sound

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Mapping

    from hpcsched.common.clock import Clock
    from hpcsched.common.rng import Ids
    from hpcsched.runtime.apart import Apart
    from hpcsched.runtime.blobs import Blobs
    from hpcsched.runtime.families import Families
    from hpcsched.runtime.feed import Feed
    from hpcsched.runtime.identity import Identity
    from hpcsched.runtime.mailer import Mailer
    from hpcsched.runtime.node_groups import NodeGroups
    from hpcsched.runtime.node_registry import NodeRegistry
    from hpcsched.runtime.outgoing import Outgoing
    from hpcsched.runtime.registry import JobRegistry
    from hpcsched.runtime.safety import Safety
    from hpcsched.runtime.scheduler_actor import SchedulerActor
    from hpcsched.runtime.submission import SubmissionFilters
    from hpcsched.runtime.tally import Tally
    from hpcsched.store.base import Store

OF_MANY: Final = 3
"""Turns of the loop: a pass, what jobs do about it, and the way to the writer."""


@dataclass(slots=True, kw_only=True)
class World:
    """One head's actors and seams. Made once, by ``Head``.

    Attributes:
        spawn: Starts a coroutine in the head's TaskGroup.
        boot_id: Which boot of its machine the clock counts from; empty: it is not
            known.
        names: Node number to name; never shrinks.
        pools: Pool to weight.
        stopping: No new work is admitted.
        unsafe: Why the head is in safe mode: it looks, and touches nothing. Empty: it
            is not.
        full: Why the store's disk should take no new work; empty: it has room.
        identity: Which history of which cluster this is.
        alarms: What an administrator should look at.
        lag: How late the loop is.
        connections: How often nodes have connected of late.
        sound: Specifications that were checked of late.
        leaving: What has orders that leave in the next turn of the loop.
    """

    store: Store
    clock: Clock
    ids: Ids
    loop: asyncio.AbstractEventLoop
    spawn: Callable[[Coroutine[Any, Any, None]], None]
    scene: Scene
    boot_id: str = ""
    settings: Settings = field(default_factory=Settings)
    feed: Feed = field(init=False)
    jobs: JobRegistry = field(init=False)
    nodes: NodeRegistry = field(init=False)
    groups: NodeGroups = field(init=False)
    scheduler: SchedulerActor = field(init=False)
    tally: Tally = field(init=False)
    mailer: Mailer = field(init=False)
    pools: Mapping[str, int] = field(default_factory=lambda: {DEFAULT_POOL: 1})
    apart: Apart = field(init=False)
    submissions: SubmissionFilters = field(init=False)
    families: Families = field(init=False)
    blobs: Blobs = field(init=False)
    stopping: bool = False
    unsafe: str = ""
    full: str = ""
    identity: Identity = field(init=False)
    safety: Safety = field(init=False)
    alarms: Alarms = field(init=False)
    lag: LoopLag = field(init=False)
    connections: Connections = field(init=False)
    sound: Sound = field(init=False)
    leaving: list[Outgoing] = field(default_factory=list)
    departing: int = 0

    def __post_init__(self) -> None:
        self.alarms = Alarms(self.clock)
        self.lag = LoopLag(self.clock)
        self.connections = Connections(self.clock)
        self.sound = Sound()

    def wake_watchers(self) -> None:
        """Tell of what was shown, behind the orders that are about to leave."""
        self.feed.wake(behind=self.loop if self.leaving else None)

    def wake_watchers_of_many(self, turns: int = OF_MANY) -> None:
        """Tell of so many jobs that making the messages takes a while.

        That is behind what the scheduler is about to do with them, and while others are
        on their way to the disk that go to a node next: it may be idle. What becomes of
        them is told with the rest.
        """
        if turns:
            self.loop.call_soon(self.wake_watchers_of_many, turns - 1)
        elif not self.departing:
            self.wake_watchers()

    def hurry(self) -> None:
        """Let orders leave before what else follows from a commit, if few are to."""
        if not self.scheduler.waiting:
            for one in tuple(self.leaving):
                one.hurry()

    @property
    def resting(self) -> bool:
        """Is nothing to be started: the head stops, or a store was restored?"""
        return self.stopping or self.settings.restore_mode or bool(self.unsafe)

    def pool_of(self, name: str) -> str:
        """Return the pool that a job counts against: Default where its own is gone."""
        return name if name in self.pools else DEFAULT_POOL

    def name_of(self, node_id: int) -> str:
        """Return a node's name; a number that was never given out reads ``#n``."""
        return self.scene.node_names.get(node_id, f"#{node_id}")
