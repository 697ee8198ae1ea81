"""The head: every actor of a cluster behind one front door."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from hpcsched.core.job.environment import Scene
from hpcsched.core.settings import Settings
from hpcsched.runtime.cluster_calls import ClusterCalls
from hpcsched.runtime.feed import Feed
from hpcsched.runtime.job_calls import JobCalls
from hpcsched.runtime.ledger import KEEP_S, Ledgers
from hpcsched.runtime.node_registry import NodeRegistry
from hpcsched.runtime.outputs import Outputs
from hpcsched.runtime.registry import JobRegistry, decode_stored
from hpcsched.runtime.scheduler_actor import SchedulerActor
from hpcsched.runtime.watching import Watching
from hpcsched.runtime.world import World
from hpcsched.store.base import Delta

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from hpcsched.common.clock import Clock
    from hpcsched.common.rng import Ids
    from hpcsched.runtime.frames import AgentLink, AgentSession, Hello
    from hpcsched.store.base import Store, TokenRow

_log = logging.getLogger(__name__)
CHECK_S: Final = 1.0
PURGE_BATCH: Final = 100


class Head(JobCalls, Watching, Outputs, ClusterCalls):
    """See the module. Made, then ``recover``, then ``run`` for as long as it lives.

    Args:
        store: Durable state; the head is its only writer.
        clock: The time.
        ids: Where chance comes from.
        name: Name of the cluster.
        version: Version of the program.
        local_address: Where clients find the head, as tasks are told.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        ids: Ids,
        name: str,
        version: str,
        local_address: str = "",
    ) -> None:
        self._spawned: asyncio.Queue[Coroutine[Any, Any, None]] = asyncio.Queue()
        scene = Scene(cluster=name, head=local_address, node_names={})
        self._world = World(
            store=store,
            clock=clock,
            ids=ids,
            loop=asyncio.get_running_loop(),
            spawn=self._spawned.put_nowait,
            scene=scene,
        )
        self._ledgers = Ledgers(store)
        self._version = version
        self._start_time = clock.wall()
        self._texts: dict[str, str] = {}
        self._tokens: dict[bytes, TokenRow] = {}
        self._next_job = 1
        self._order = 0
        self._term = 0
        self.serving = False

    async def recover(self) -> None:
        """Load what the store has, and begin a new term. Nothing is sent to anybody yet."""
        world = self._world
        state = await world.store.load_cluster()
        self._term = state.counters.get("term", 0) + 1
        self._next_job = state.counters.get("next_job", 1)
        self._texts = dict(state.parameters)
        world.settings = Settings.from_texts(self._texts)
        self._tokens = {row.digest: row for row in state.tokens}
        world.feed = Feed(world.store, world.clock, state.last_seq, state.floor_seq)
        world.jobs = JobRegistry(world)
        world.scheduler = SchedulerActor(world)
        world.nodes = NodeRegistry(world, self._term)
        world.nodes.restore(state.nodes)
        await self._write(Delta(counters={"term": self._term}))
        count = 0
        for stored in await world.store.load_active():
            world.jobs.adopt(decode_stored(stored)).resume()
            world.jobs.tick(stored.row.job_id)
            count += 1
        _log.info(
            "recovered: term %d, %d active jobs, %d nodes",
            self._term,
            count,
            len(world.nodes),
        )

    async def run(self) -> None:
        """Live until cancelled."""
        self.serving = True
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._check_nodes_forever())
            tasks.create_task(self._clean_up_forever())
            while True:
                tasks.create_task(await self._spawned.get())

    def stopping(self) -> None:
        """Admit no new work."""
        self._world.stopping = True
        self.serving = False

    async def drain(self) -> None:
        """Say goodbye to agents and let every commit under way end."""
        self._world.nodes.goodbye(retry_ms=500)
        await self._write(Delta(counters={"term": self._term}))

    async def connect(
        self, hello: Hello, link: AgentLink, *, token_node: str
    ) -> AgentSession:
        """Accept a node's stream (runtime.frames.AgentFront)."""
        return await self._world.nodes.connect(hello, link, token_node=token_node)

    async def _check_nodes_forever(self) -> None:
        while True:
            before = self._world.clock.mono()
            await self._world.clock.sleep(CHECK_S)
            late = self._world.clock.mono() - before - CHECK_S
            if late > CHECK_S:
                # The head itself slept (stopped, suspended): nobody else is to blame.
                self._world.nodes.forgive(late)
            self._world.nodes.check()

    async def _clean_up_forever(self) -> None:
        while True:
            await self._world.clock.sleep(self._until_cleanup())
            await self.clean_up()

    def _until_cleanup(self) -> float:
        """Return the seconds until the next daily purge, local time (lifecycle.md 8)."""
        now = datetime.fromtimestamp(self._world.clock.wall()).astimezone()
        hour = self._world.settings.cleanup_hour
        at = now.replace(hour=hour, minute=0, second=0, microsecond=0)
        if at <= now:
            at += timedelta(days=1)
        return max(1.0, (at - now).total_seconds())

    async def clean_up(self) -> None:
        """Delete jobs that ended TTLCompletedJobs days ago, and old request ids (J32)."""
        now = self._world.clock.wall()
        before = now - self._world.settings.ttl_days * 86400.0
        store = self._world.store
        while True:
            ids = await store.expired_jobs(before, PURGE_BATCH)
            for job_id in ids:
                nodes = await self._world.jobs.look(job_id, lambda job: job.last_nodes)
                await self._purge(job_id, nodes)
                _log.info("job %d: deleted, its time is over", job_id)
            if len(ids) < PURGE_BATCH:
                break
        await store.forget_requests(now - KEEP_S)
