"""The head: every actor of a cluster behind one front door."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.environment import Scene
from hpcsched.core.job.numbering import first_attempt
from hpcsched.core.settings import Settings
from hpcsched.runtime.accounting_calls import AccountingCalls
from hpcsched.runtime.apart import Apart
from hpcsched.runtime.backup_calls import BackupCalls
from hpcsched.runtime.blobs import Blobs
from hpcsched.runtime.cleaning import LAST_CLEANUP, Cleaning
from hpcsched.runtime.cluster_calls import ClusterCalls
from hpcsched.runtime.diagnosing import Diagnosing
from hpcsched.runtime.durable import written
from hpcsched.runtime.edit_calls import EditCalls
from hpcsched.runtime.families import Families
from hpcsched.runtime.feed import Feed
from hpcsched.runtime.following import Following
from hpcsched.runtime.group_calls import GroupCalls
from hpcsched.runtime.ledger import Ledgers
from hpcsched.runtime.mailer import Mailer
from hpcsched.runtime.node_groups import NodeGroups
from hpcsched.runtime.node_registry import NodeRegistry
from hpcsched.runtime.parameter_calls import ParameterCalls
from hpcsched.runtime.pool_calls import PoolCalls, pools_of
from hpcsched.runtime.registry import JobRegistry
from hpcsched.runtime.rejoining import Rejoining
from hpcsched.runtime.safety import Safety
from hpcsched.runtime.scheduler_actor import SchedulerActor
from hpcsched.runtime.submission import SubmissionFilters
from hpcsched.runtime.tally import Tally
from hpcsched.runtime.template_calls import TemplateCalls, stored_templates
from hpcsched.runtime.token_calls import TokenCalls
from hpcsched.runtime.watching import Watching
from hpcsched.runtime.world import World
from hpcsched.store.base import Delta
from hpcsched.store.progress import RESTORED_JOBS, generation_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from hpcsched.common.clock import Clock
    from hpcsched.common.rng import Ids
    from hpcsched.runtime.checking import Report
    from hpcsched.runtime.frames import AgentLink, AgentSession, Hello
    from hpcsched.runtime.submission import FilterKit
    from hpcsched.store.base import Store, TokenRow

log = logging.getLogger(__name__)
CHECK_S: Final = 1.0
GOODBYE_MS: Final = 500


class Head(
    TemplateCalls,
    EditCalls,
    GroupCalls,
    Watching,
    Following,
    Cleaning,
    ClusterCalls,
    ParameterCalls,
    TokenCalls,
    AccountingCalls,
    PoolCalls,
    BackupCalls,
    Diagnosing,
):
    """See the module. Made, then ``recover``, then ``run`` for as long as it lives.

    Args:
        store: Durable state; the head is its only writer.
        clock: The time.
        ids: Where chance comes from.
        name: Name of the cluster.
        version: Version of the program.
        filters: What runs filter programs; None: it can run none.
        on_log_level: Called with the text of EventLogLevel where one was set, at the
            start and when it changes.
        blob_key: Of users' blobs.
        check_store: Looks through the store until it is enough; None: nobody can.
        certificate_end: When the head's certificate ends; None: it is not known.
        boot_id: Which boot of this machine it is; empty: limits are counted by the wall
            clock alone where another head was started.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        ids: Ids,
        name: str,
        version: str,
        filters: FilterKit | None = None,
        on_log_level: Callable[[str], None] = lambda _: None,
        blob_key: bytes | None = None,
        check_store: Callable[[Callable[[], bool]], Report] | None = None,
        certificate_end: Callable[[], float | None] = lambda: None,
        boot_id: str = "",
    ) -> None:
        self._spawned: deque[Coroutine[Any, Any, None]] = deque()
        self._running: asyncio.TaskGroup | None = None
        scene = Scene(cluster=name, head="", node_names={})
        self._world = World(
            store=store,
            clock=clock,
            ids=ids,
            loop=asyncio.get_running_loop(),
            spawn=self._spawn,
            scene=scene,
            boot_id=boot_id,
        )
        self._world.blobs = Blobs(blob_key, ids)
        self._filters = filters
        self._world.submissions = SubmissionFilters(
            self._world, filters, self._check_nodes
        )
        self._world.mailer = Mailer(self._world)
        self._world.apart = Apart(self._world)
        self._ledgers = Ledgers(self._world)
        self._version = version
        self._start_time = clock.wall()
        self._texts: dict[str, str] = {}
        self._tokens: dict[bytes, TokenRow] = {}
        self._token_lock = asyncio.Lock()
        self._backup_lock = asyncio.Lock()
        self._check_lock = asyncio.Lock()
        self._check_store = check_store
        self._certificate_end = certificate_end
        self._variable_lock = asyncio.Lock()
        self._on_log_level = on_log_level
        self._last_cleanup = 0.0
        self._counters: dict[str, int] = {}
        self._next_job = 1
        self._order = 0
        self._term = 0
        self._over = False
        self.serving = False

    def listens_at(self, address: str) -> None:
        """Take where clients find the head, which tasks and filters are told."""
        self._world.scene = replace(self._world.scene, head=address)

    async def recover(self) -> None:
        """Load what the store has, and begin a new term; nothing is sent yet."""
        world = self._world
        state = await world.store.load_cluster()
        self._term = state.counters.get("term", 0) + 1
        self._next_job = state.counters.get("next_job", 1)
        self._texts = dict(state.parameters)
        templates = stored_templates(state.entries)
        world.settings = replace(
            Settings.from_texts(self._texts, templates),
            restored=(
                state.counters.get(RESTORED_JOBS, 0),
                first_attempt(generation_of(self._term)),
            ),
        )
        self._tokens = {row.digest: row for row in state.tokens}
        self._counters = dict(state.counters)
        self._restore_variables(state.entries)
        if world.settings.log_level:
            self._on_log_level(world.settings.log_level)
        world.pools = pools_of(state.entries)
        world.feed = Feed(world.store, world.clock, state.last_seq, state.floor_seq)
        world.tally = Tally(state.counters)
        world.jobs = JobRegistry(world)
        world.families = Families(world, known=await world.store.has_families())
        world.scheduler = SchedulerActor(world)
        world.scheduler.gate.kit = self._filters
        world.safety = Safety(world, state, lambda: self._next_job)
        world.nodes = NodeRegistry(world)
        world.groups = NodeGroups(world)
        world.groups.restore(state.entries)
        world.nodes.restore(state.nodes)
        now = int(world.clock.wall())
        self._last_cleanup = state.counters.get(LAST_CLEANUP, now)
        kept = {"term": self._term, LAST_CLEANUP: int(self._last_cleanup)}
        await written(world, Delta(counters=kept, entries=world.safety.entries()))
        rejoining = Rejoining(world)
        for stored in await world.store.load_active():
            rejoining.take(stored)
        rejoining.finish()
        self._order = rejoining.order
        for node in world.nodes:
            world.nodes.look_at_drain(node)
        world.apart.restore(state.entries)
        world.apart.retry_kept()
        log.info(
            "recovered: term %d, %d active jobs, %d nodes",
            self._term,
            rejoining.count,
            len(world.nodes),
        )

    async def run(self) -> None:
        """Live until cancelled."""
        self.serving = True
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._check_nodes_forever())
                tasks.create_task(self._clean_up_forever())
                self._running = tasks
                while self._spawned:
                    self._spawn(self._spawned.popleft())
                try:
                    await self._world.loop.create_future()
                finally:
                    self._running = None
        finally:
            self.serving = False
            self._over = True
            while self._spawned:
                self._spawned.popleft().close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Let an actor's work run; after the end nothing does."""
        if self._over:
            work.close()
        elif self._running is not None:
            task = self._running.create_task(_guarded(work))
            task.add_done_callback(lambda _: work.close())  # it may never have begun
        else:
            self._spawned.append(work)  # the head does not run yet, or no more

    def stopping(self) -> None:
        """Admit no new work."""
        self._world.stopping = True
        self.serving = False

    async def drain(self) -> None:
        """Say goodbye to agents and let every commit under way end."""
        self._world.nodes.goodbye(retry_ms=GOODBYE_MS)
        try:
            await written(self._world, Delta(counters={"term": self._term}))
        except HpcError as error:
            log.warning("the last commits may not have been written: %s", error)

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
            self._world.lag.note(late)
            if late > CHECK_S:
                # The head itself slept (stopped, suspended): nobody else is to blame.
                self._world.nodes.forgive(late)
            self._world.nodes.check()
            await self._look_at_disk()

    async def _look_at_disk(self) -> None:
        world = self._world
        try:
            problem = await world.store.space_problem()
        except Exception as error:  # noqa: BLE001  who cannot look knows nothing
            log.warning("the room of the disk is not known: %s", error)
            return
        if bool(problem) != bool(world.full):
            if problem:
                log.error("no new work is taken: %s", problem)
            else:
                log.info("there is room on the disk again: new work is taken")
        world.full = problem


async def _guarded(work: Coroutine[Any, Any, None]) -> None:
    """Do one actor's work: a fault in it is not the head's end."""
    try:
        await work
    except Exception:
        log.exception("a task of an actor failed")
