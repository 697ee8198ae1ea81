"""A head in this process: a store that can crash, fake agents, a manual clock."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any, Self

from hpcsched.core.caller import Caller
from hpcsched.core.job.spec import JobSpec
from hpcsched.core.task.spec import TaskSpec
from hpcsched.core.task.states import TaskType
from hpcsched.runtime.front import NewJob, Request, WatchQuery
from hpcsched.runtime.head import Head
from hpcsched.runtime.node_front import NodeQuery
from hpcsched.store.memory import MemoryStore
from tests.support.fake_agent import FakeAgent
from tests.support.manual_clock import MOST_TURNS, settle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from types import TracebackType

    from hpcsched.runtime.submission import FilterKit
    from hpcsched.store.memory_state import MemoryState
    from tests.support.manual_clock import ManualClock
    from tests.support.seeded_ids import SeededIds

ANN = Caller(user="ann")
BOB = Caller(user="bob")
ROOT = Caller(user="root", administrator=True)
NO_ID = Request()
STEP_S = 0.25


def once(name: str, body: bytes = b"") -> Request:
    """Return a request id, for calls that are repeated."""
    return Request(request_id=name, digest=hashlib.sha256(body).digest())


def a_task(**fields: Any) -> TaskSpec:
    return TaskSpec(**{"arguments": ("/bin/true",), **fields})


def a_sweep(end: int, **fields: Any) -> TaskSpec:
    return a_task(type=TaskType.PARAMETRIC_SWEEP, end=end, **fields)


def a_job(*tasks: TaskSpec, **spec: Any) -> NewJob:
    return NewJob(spec=JobSpec(**{"name": "job", **spec}), tasks=tasks or (a_task(),))


async def turns_until(call: asyncio.Task[Any]) -> None:
    """Let the loop turn until a call has its answer, and not once more."""
    for _ in range(MOST_TURNS):
        if call.done():
            return
        await asyncio.sleep(0)
    raise AssertionError("no answer")


class CrashingStore(MemoryStore):
    """Dies at a chosen transaction: after it was written, or just before.

    Attributes:
        crash_at: Number of the transaction; 0: never.
        written: Whether it is written before the end.
        crashed: The end has come: nobody is answered any more.
    """

    def __init__(self, state: MemoryState | None = None) -> None:
        super().__init__(state=state)
        self.crash_at = 0
        self.written = True
        self.crashed = False

    def _flush(self) -> None:
        dies = self.crash_at and self.transactions + 1 == self.crash_at
        if not dies or self._held or self._dead or not self._queue:
            super()._flush()
            return
        self.transactions += 1
        if self.written:
            for unit in self._queue:
                self._write(unit, None)
        self._queue.clear()
        self._dead = self.crashed = True


class Bench:
    """See the module. Use it as an async context manager."""

    def __init__(
        self,
        clock: ManualClock,
        ids: SeededIds,
        store: Any | None = None,
        filters: FilterKit | None = None,
    ) -> None:
        self.filters = filters
        self.clock = clock
        self.ids = ids
        self.store: Any = CrashingStore() if store is None else store
        self.agents: dict[str, FakeAgent] = {}
        self.boot_id = "boot-1"
        self.head: Head
        self._run: asyncio.Task[None] | None = None
        self._calls: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for agent in self.agents.values():
            agent.retry = None
            agent.cut()
        await self.stop()
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    # The head

    async def start(self) -> None:
        """Make a head of what the store has, and let it run."""
        self.head = Head(
            store=self.store,
            clock=self.clock,
            ids=self.ids,
            name="test",
            version="1",
            filters=self.filters,
            boot_id=self.boot_id,
        )
        await self.head.recover()
        self._run = asyncio.get_running_loop().create_task(self.head.run())
        for agent in self.agents.values():
            agent.front = self.head
        await settle()

    async def stop(self) -> None:
        if self._run is not None:
            self._run.cancel()
            await asyncio.gather(self._run, return_exceptions=True)
            self._run = None

    async def crash(self) -> None:
        """The head dies, and another one begins with what was committed."""
        old = self.store
        state = old._state.copy()
        old._dead = True
        old._queue.clear()
        for agent in self.agents.values():
            agent.cut()
        await self.stop()
        self.store = CrashingStore(state)
        await self.start()
        for agent in self.agents.values():
            agent.reconnect()
        await settle()

    @property
    def world(self) -> Any:
        return self.head._world

    # Nodes

    async def node(self, name: str = "n1", cores: int = 2, **facts: Any) -> FakeAgent:
        """Return a node that has joined and is in step."""
        agent = self.agents[name] = FakeAgent(
            self.head, self.clock, name, cores, **facts
        )
        await agent.connect()
        await settle()
        return agent

    async def nodes(self, *names: str) -> Any:
        """Return nodes as they are shown; without names all of them."""
        return await self.head.find_nodes(ANN, NodeQuery(names=names))

    # Calls

    async def submit(self, *tasks: TaskSpec, caller: Caller = ANN, **spec: Any) -> int:
        """Return the number of a new job in the queue."""
        new = a_job(*tasks, **spec)
        (job_id,) = await self.head.submit_jobs(
            caller, [new], NO_ID, validate_only=False
        )
        return job_id

    async def submit_two(self) -> list[int]:
        """Return the numbers of two new jobs, made together and granted afterwards."""
        new = [a_job(a_task()), a_job(a_task())]
        ids = await self.head.submit_jobs(ANN, new, NO_ID, validate_only=False)
        return list(ids)

    async def job(self, job_id: int) -> Any:
        return await self.head.get_job(ANN, job_id, full=False)

    async def state(self, job_id: int) -> str:
        label: str = (await self.job(job_id)).state.label
        return label

    async def task(self, job_id: int, task_id: int = 1, instance: int = 0) -> Any:
        return await self.head.get_task(ROOT, job_id, (task_id, instance), full=False)

    def begin(self, call: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Begin a call and do not wait for it."""
        task = asyncio.get_running_loop().create_task(call)
        self._calls.append(task)
        return task

    async def until(
        self, look: Callable[[], Awaitable[Any]], seconds: float = 120.0
    ) -> Any:
        """Let time pass until something is true; return it."""
        end = self.clock.mono() + seconds
        while not (found := await look()):
            assert self.clock.mono() < end, "not reached in time"
            await self.clock.advance(STEP_S)
        return found

    async def until_state(self, job_id: int, state: str, seconds: float = 120) -> None:
        async def look() -> bool:
            return await self.state(job_id) == state

        try:
            await self.until(look, seconds)
        except AssertionError:
            seen = await self.state(job_id)
            raise AssertionError(f"job {job_id} is {seen}, not {state}") from None

    async def events(self, after: int = 0) -> list[Any]:
        """Return what a watcher gets as its backlog, nodes included."""
        query = WatchQuery(after=after, nodes=True, backlog_only=True)
        found: list[Any] = []
        async for item in self.head.watch(ANN, query):
            found.extend(item.events)
        return found

    def check_at_rest(self) -> None:
        """Nothing is held, nothing waits: what was used has been given back."""
        scheduler = self.world.scheduler
        for node in self.world.nodes:
            assert scheduler.cores_in_use(node.record.node_id) == 0, node.record.name
        assert not scheduler.granting.pending
        assert not scheduler.waiting
        assert not scheduler.ahead.sent
        assert not scheduler.books.claims
        for agent in self.agents.values():
            assert not agent.live, "still runs"
            assert not agent.queue, "still waits"
            assert not agent.journal, "never acknowledged"
            assert not agent.overlaps, "a core was given twice"
            assert not agent.violations, agent.violations
            assert not [k for k, n in agent.starts.items() if n > 1], "started twice"
