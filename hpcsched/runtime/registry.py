"""Jobs in memory: active ones, and the ended ones that were asked for lately."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from hpcsched.runtime.dormant import Dormant
from hpcsched.runtime.job_actor import JobActor
from hpcsched.runtime.mail import Ledger, Mail
from hpcsched.store.rows import decode_stored as decode_stored  # noqa: PLC0414  the same

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hpcsched.core.job.commands import Command
    from hpcsched.core.job.model import Job
    from hpcsched.runtime.lots import Lot
    from hpcsched.runtime.mail import Reply
    from hpcsched.runtime.world import World

log = logging.getLogger(__name__)
ENDED_KEPT: Final = 256
ENDED_ROWS: Final = 2_000_000
"""Elements of ended jobs that stay in memory: some 100 MB at the most."""
RETRY_S: Final = 1.0
HIGHEST_ID: Final = 2**31 - 1


class JobRegistry:
    """Finds the actor of a job, loading it when it is not in memory."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._actors: dict[int, JobActor] = {}
        self._ended: OrderedDict[int, int] = OrderedDict()
        self._ended_rows = 0
        self._end_waiters: dict[int, list[asyncio.Future[None]]] = {}
        self._dormant = Dormant(world)

    def __len__(self) -> int:
        return len(self._actors) + len(self._dormant)

    @property
    def awake(self) -> int:
        """How many have an actor."""
        return len(self._actors)

    def get(self, job_id: int) -> JobActor | None:
        """Return the actor if it is in memory."""
        return self._actors.get(job_id)

    def actor(self, job_id: int) -> JobActor:
        """Return the actor of a job that may exist; a new one starts to load."""
        actor = self._actors.get(job_id)
        if actor is None:
            job = self._dormant.wake(job_id)
            actor = self._actors[job_id] = JobActor(job_id, self._world, job)
            if job is None and not self._dormant.is_leaving(job_id):
                self.load(actor)
        elif job_id in self._ended:
            self._ended.move_to_end(job_id)
        return actor

    def adopt(self, job: Job) -> JobActor:
        """Take in a job that is durable already.

        Somebody may have asked for its number before it was given out: a job has one
        actor, so that one gets it.
        """
        actor = self._actors.get(job.job_id)
        if actor is None:
            actor = self._actors[job.job_id] = JobActor(job.job_id, self._world, job)
        else:
            actor.loaded(job)
        return actor

    def adopt_lot(self, lot: Lot) -> None:
        """Take in jobs that are durable already, alike, and of no interest so far.

        Of whom somebody has asked for, or waits for, gets an actor at once.
        """
        self._dormant.put(lot)
        asked = [job_id for job_id in lot.ids if job_id in self._actors]
        for job_id in {*asked, *self._world.families.awaited(lot.ids)}:
            job = self._dormant.wake(job_id)
            if job is not None:
                self.adopt(job).resume()

    def begin_leaving(self, ids: Sequence[int]) -> None:
        """Jobs of one lot are about to be changed together, without waking them."""
        self._dormant.take(ids)

    def end_leaving(self, lot: Lot, ids: Sequence[int], *, gone: bool) -> None:
        """What they were to become is durable, or they are what they were.

        Who has asked for one of them meanwhile gets it now.
        """
        self._dormant.left(lot, ids, gone=gone)
        self._give(ids)

    @property
    def some_change(self) -> bool:
        """Are there jobs that sleep and are being changed together?"""
        return self._dormant.some_leave

    def is_changing(self, job_id: int) -> bool:
        """Is a job that sleeps being changed together with others?"""
        return self._dormant.is_leaving(job_id)

    def begin_change(self, ids: Sequence[int]) -> None:
        """Jobs of lots are about to be changed together; they stay where they are."""
        self._dormant.hold(ids)

    def end_change(self, ids: Sequence[int]) -> None:
        """They are what they were to become, or what they were."""
        self._dormant.let_go(ids)
        self._give(ids)

    def have_ended(self, ids: Sequence[int]) -> None:
        """Jobs that slept are over: the change has made them so."""
        lots = self._world.scheduler.waiting.leave_lot(ids)
        for lot in lots:
            self._world.tally.note_alike(lot.kind.like, -len(lot))
            lot.kind.forget(lot.ids)
        self.end_change(ids)

    def _give(self, ids: Sequence[int]) -> None:
        """Give jobs to those that have been asked for meanwhile."""
        for actor in [self._actors[n] for n in ids if n in self._actors]:
            job = self._dormant.wake(actor.job_id)
            if job is None:
                self.load(actor)
            else:
                actor.loaded(job)

    def load(self, actor: JobActor) -> None:
        """Read a job from the store for its actor."""
        self._world.spawn(self._load(actor))

    async def _load(self, actor: JobActor) -> None:
        stored = None
        while 0 < actor.job_id <= HIGHEST_ID:
            try:
                stored = await self._world.store.load_job(actor.job_id)
            except Exception:
                log.exception("job %d cannot be read; trying again", actor.job_id)
                await self._world.clock.sleep(RETRY_S)
            else:
                break
        try:
            job = None if stored is None else decode_stored(stored)
        except Exception as fault:  # noqa: BLE001  it is logged with its job
            actor.unreadable(fault)
            return
        actor.loaded(job)
        self.note_state(actor)

    def pools(self) -> Iterator[str]:
        """Yield the pool of each active job, as the job names it."""
        for actor in self._actors.values():
            if actor.job is not None and not actor.job.state.terminal:
                yield actor.job.spec.pool
        yield from self._dormant.pools()

    def in_pool(self, name: str) -> list[int]:
        """Return the active jobs that name a pool."""
        alone = [
            job_id
            for job_id, actor in self._actors.items()
            if actor.job is not None
            and not actor.job.state.terminal
            and actor.job.spec.pool == name
        ]
        return [*alone, *self._dormant.in_pool(name)]

    def refresh(self) -> None:
        """Settings have changed: let every job say anew what it wants."""
        for job_id in list(self._actors):
            self.refresh_one(job_id)
        self._dormant.review()

    def refresh_one(self, job_id: int) -> None:
        """Let a job say anew what it wants."""
        actor = self._actors.get(job_id)
        if actor is not None and actor.job is not None and not actor.committing:
            actor.resume()

    def post_all(self, command: Command) -> None:
        """Send a command to every job that lives and to which something happened."""
        for actor in list(self._actors.values()):
            if actor.job is not None and not actor.job.state.terminal:
                actor.post(Mail(None, command=command))

    def forget(self, job_id: int) -> None:
        """Drop an actor; the store knows what there is to know."""
        self._actors.pop(job_id, None)
        self._ended_rows -= self._ended.pop(job_id, 0)

    def note_state(self, actor: JobActor) -> None:
        """Ended jobs leave memory, the least recently used first."""
        job, job_id = actor.job, actor.job_id
        if job is None:
            return
        self._ended_rows -= self._ended.pop(job_id, 0)
        if not job.state.terminal:
            return
        rows = sum(record.count for record in job.tasks)
        self._ended[job_id] = rows
        self._ended_rows += rows
        for future in self._end_waiters.pop(job_id, ()):
            _resolve(future)
        if len(self._ended) > ENDED_KEPT or self._ended_rows > ENDED_ROWS:
            self._make_room()

    def _make_room(self) -> None:
        while len(self._ended) > ENDED_KEPT or self._ended_rows > ENDED_ROWS:
            oldest = next((n for n in self._ended if self._actors[n].idle), None)
            if oldest is None:
                return
            self.forget(oldest)

    def post(self, job_id: int, command: Command) -> None:
        """Send a command; nobody waits for the answer."""
        self.actor(job_id).post(Mail(None, command=command))

    def tell(self, job_id: int, command: Command, reply: Reply) -> None:
        """Send a command; ``reply`` is called when it is durable, or refused."""
        self.actor(job_id).post(Mail(reply, command=command))

    def tell_now(self, job_id: int, command: Command, reply: Reply) -> None:
        """Send a command; a job that has nothing else to do decides on it at once."""
        self.actor(job_id).decide_now(Mail(reply, command=command))

    async def ask(
        self, job_id: int, command: Command, ledger: Ledger | None = None
    ) -> Any:
        """Send a command and return its answer once it is durable.

        Raises:
            HpcError: the refusal.
        """
        future: asyncio.Future[Any] = self._world.loop.create_future()
        mail = Mail(_into(future), command=command, ledger=ledger)
        self.actor(job_id).decide_now(mail)
        return await future

    def at_once(
        self, job_id: int, command: Command, ledger: Ledger | None
    ) -> tuple[asyncio.Future[Any], bool]:
        """Send a command, and have it decided now if the job has nothing else to do.

        Returns:
            The answer, once it is durable, and whether it was decided and not refused.
        """
        future: asyncio.Future[Any] = self._world.loop.create_future()
        mail = Mail(_into(future), command=command, ledger=ledger)
        return future, self.actor(job_id).decide_now(mail)

    async def look(self, job_id: int, reader: Callable[[Job], Any]) -> Any:
        """Return what a reader makes of the job, after all commits before.

        Raises:
            HpcError: JOB_NOT_FOUND, or what the reader raises.
        """
        future: asyncio.Future[Any] = self._world.loop.create_future()
        self.actor(job_id).post(Mail(_into(future), look=reader))
        return await future

    async def purge(
        self, job_id: int, check: Callable[[Job], None], ledger: Ledger | None
    ) -> tuple[int, ...]:
        """Delete a job that ``check`` does not refuse; return the nodes that it was on.

        Raises:
            HpcError: JOB_NOT_FOUND, DISK_FULL, or what ``check`` raises.
        """
        future: asyncio.Future[tuple[int, ...]] = self._world.loop.create_future()
        self.actor(job_id).post(Mail(_into(future), purge=check, ledger=ledger))
        return await future

    async def wait_end(self, job_id: int, timeout_s: float) -> None:
        """Return when the job is terminal, or the time is over."""
        future: asyncio.Future[None] = self._world.loop.create_future()
        self._end_waiters.setdefault(job_id, []).append(future)
        clock = self._world.clock
        timer = clock.call_at(clock.mono() + timeout_s, lambda: _resolve(future))
        try:
            if await self.look(job_id, lambda job: job.state.terminal):
                return
            await future
        finally:
            timer.cancel()
            left = self._end_waiters.get(job_id)
            if left is not None and future in left:
                left.remove(future)
                if not left:
                    del self._end_waiters[job_id]


def _into(future: asyncio.Future[Any]) -> Reply:
    def reply(answer: Any, error: BaseException | None) -> None:
        if future.done():
            return  # the caller has gone; what was committed stands
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(answer)

    return reply


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
