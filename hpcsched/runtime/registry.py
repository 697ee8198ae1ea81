"""Jobs in memory: active ones, and the ended ones that were asked for lately."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from hpcsched.core.job import codec
from hpcsched.core.job.commands import Tick
from hpcsched.runtime.job_actor import JobActor, Ledger, Mail

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcsched.core.job.commands import Command
    from hpcsched.core.job.model import Job
    from hpcsched.runtime.world import World
    from hpcsched.store.base import StoredJob

_log = logging.getLogger(__name__)
ENDED_KEPT: Final = 256
RETRY_S: Final = 1.0


class JobRegistry:
    """Finds the actor of a job, loading it when it is not in memory."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._actors: dict[int, JobActor] = {}
        self._ended: OrderedDict[int, None] = OrderedDict()
        self._end_waiters: dict[int, list[asyncio.Future[None]]] = {}

    def __len__(self) -> int:
        return len(self._actors)

    def get(self, job_id: int) -> JobActor | None:
        """Return the actor if it is in memory."""
        return self._actors.get(job_id)

    def actor(self, job_id: int) -> JobActor:
        """Return the actor of a job that may exist; a new one starts to load."""
        actor = self._actors.get(job_id)
        if actor is None:
            actor = self._actors[job_id] = JobActor(job_id, self._world, None)
            self.load(actor)
        elif job_id in self._ended:
            self._ended.move_to_end(job_id)
        return actor

    def adopt(self, job: Job) -> JobActor:
        """Take in a job that is durable already."""
        actor = self._actors[job.job_id] = JobActor(job.job_id, self._world, job)
        return actor

    def load(self, actor: JobActor) -> None:
        """Read a job from the store for its actor."""
        self._world.spawn(self._load(actor))

    async def _load(self, actor: JobActor) -> None:
        while True:
            try:
                stored = await self._world.store.load_job(actor.job_id)
                job = None if stored is None else decode_stored(stored)
            except asyncio.CancelledError:
                raise
            except Exception:
                _log.exception("job %d cannot be read; trying again", actor.job_id)
                await self._world.clock.sleep(RETRY_S)
            else:
                break
        actor.loaded(job)
        if job is not None:
            actor.resume()
            self.note_state(actor)

    def forget(self, job_id: int) -> None:
        """Drop an actor; the store knows what there is to know."""
        self._actors.pop(job_id, None)
        self._ended.pop(job_id, None)

    def note_state(self, actor: JobActor) -> None:
        """Ended jobs leave memory, the least recently used first."""
        if actor.job is None:
            return
        if not actor.job.state.terminal:
            self._ended.pop(actor.job_id, None)
            return
        self._ended[actor.job_id] = None
        self._ended.move_to_end(actor.job_id)
        for future in self._end_waiters.pop(actor.job_id, ()):
            if not future.done():
                future.set_result(None)
        excess = len(self._ended) - ENDED_KEPT
        for job_id in list(self._ended)[: max(0, excess)]:
            if self._actors[job_id].idle:
                self.forget(job_id)

    def post(self, job_id: int, command: Command) -> None:
        """Send a command; nobody waits for the answer."""
        self.actor(job_id).post(Mail(None, command=command))

    def tell(
        self,
        job_id: int,
        command: Command,
        reply: Callable[[Any, BaseException | None], None],
    ) -> None:
        """Send a command; ``reply`` is called when it is durable, or refused."""
        self.actor(job_id).post(Mail(reply, command=command))

    def tick(self, job_id: int) -> None:
        """A limit of the job may have been reached."""
        self.post(job_id, Tick())

    async def ask(
        self, job_id: int, command: Command, ledger: Ledger | None = None
    ) -> Any:
        """Send a command and return its answer once it is durable.

        Raises:
            HpcError: the refusal.
        """
        future: asyncio.Future[Any] = self._world.loop.create_future()
        mail = Mail(_into(future), command=command, ledger=ledger)
        self.actor(job_id).post(mail)
        return await future

    async def look(self, job_id: int, reader: Callable[[Job], Any]) -> Any:
        """Return what a reader makes of the job, after all commits before.

        Raises:
            HpcError: JOB_NOT_FOUND, or what the reader raises.
        """
        future: asyncio.Future[Any] = self._world.loop.create_future()
        self.actor(job_id).post(Mail(_into(future), look=reader))
        return await future

    async def wait_end(self, job_id: int, timeout_s: float) -> None:
        """Return when the job is terminal, or the time is over."""
        future: asyncio.Future[None] = self._world.loop.create_future()
        waiters = self._end_waiters.setdefault(job_id, [])
        waiters.append(future)
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


def _into(future: asyncio.Future[Any]) -> Callable[[Any, BaseException | None], None]:
    def reply(answer: Any, error: BaseException | None) -> None:
        if future.done():
            return  # the caller has gone; what was committed stands
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(answer)

    return reply


def decode_stored(stored: StoredJob) -> Job:
    """Return a job as it was stored."""
    row = stored.row
    return codec.decode_job(
        row.job_id, row.owner, row.blob, stored.specs, stored.chunks, stored.notes
    )


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
