"""One command for many jobs, in order, up to the first refusal (lifecycle.md 4.3).

A job that has nothing else to do decides at once, and the next one need not wait for
its commit: whatever was decided in the meantime is committed together. The order, and
that nothing behind a refusal is done, hold all the same, as each decision is made
before the next begins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.runtime.canceling import cancel_alike
from hpcsched.runtime.durable import to_its_end
from hpcsched.runtime.mail import Ledger

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Sequence

    from hpcsched.core.caller import Caller
    from hpcsched.core.job.commands import Command
    from hpcsched.runtime.canceling import Canceled
    from hpcsched.runtime.front import Request
    from hpcsched.runtime.ledger import Ledgers
    from hpcsched.runtime.world import World

SLICE: Final = 32
"""Decisions between two looks at what else the head has to do."""


class InTurn:
    """One call on several jobs.

    Args:
        world: The head's actors.
        ledgers: Make its steps repeatable, each by itself.
        caller: Whose call it is.
        request: Its id and digest.
        command: Returns the command for a job.

    Attributes:
        alike: Jobs that were canceled together, by the position of the first.
    """

    def __init__(
        self,
        world: World,
        ledgers: Ledgers,
        caller: Caller,
        request: Request,
        command: Callable[[int], Awaitable[Command]],
    ) -> None:
        self._world = world
        self._ledgers = ledgers
        self._caller = caller
        self._request = request
        self._command = command
        self._fresh = False
        self.alike: dict[int, Canceled] = {}

    async def one(self, job_id: int, part: int) -> Any:
        """Do it to one job, and return once that is durable.

        Raises:
            HpcError: the refusal, or what was refused the first time.
        """

        async def act(ledger: Ledger | None) -> Any:
            command = await self._command(job_id)
            answer = await self._world.jobs.ask(job_id, command, ledger)
            self._fresh = True
            return answer

        return await self._ledgers.once(
            self._caller, self._request, act, part, likely_new=True
        )

    async def all(self, job_ids: Sequence[int]) -> None:
        """Do it to all of them; it goes on when the caller goes.

        Raises:
            HpcError: the first refusal; it tells how many are done.
        """
        part = 0
        while part < len(job_ids) and not self._fresh:
            try:
                answer = await self.one(job_ids[part], part)
            except HpcError as refusal:
                raise counted(refusal, part) from None
            # A repetition begins where the first time was broken off. A step of that
            # may have been for several jobs; then so many was its answer.
            several = not self._fresh and isinstance(answer, int)
            part += answer if several else 1
        if part < len(job_ids):
            await to_its_end(self._world, self._behind_each_other(job_ids, part))

    async def _behind_each_other(self, job_ids: Sequence[int], part: int) -> None:
        ahead = self._world.scheduler.ahead
        with ahead.left_alone(frozenset(job_ids[part:])):
            await self._each(job_ids, part)

    async def _each(self, job_ids: Sequence[int], part: int) -> None:
        waiting: list[tuple[int, asyncio.Future[Any]]] = []
        world = self._world
        while part < len(job_ids):
            command, ledger = await self._command(job_ids[part]), self._ledger(part)
            canceled = cancel_alike(world, job_ids, part, command, ledger)
            if canceled is not None:
                self.alike[part] = canceled
                waiting.append((part, canceled.future))
                part += len(canceled.ids)
                await world.clock.sleep(0)
                continue
            future, decided = world.jobs.at_once(job_ids[part], command, ledger)
            waiting.append((part, future))
            part += 1
            if not decided:
                await _all_of(waiting)
                waiting = []
            elif part % SLICE == 0:
                await world.clock.sleep(0)
        await _all_of(waiting)

    def _ledger(self, part: int) -> Ledger | None:
        request = self._request
        if not request.request_id:
            return None
        name = f"{request.request_id}\n{part}"
        return Ledger(self._caller.user, name, request.digest)


async def _all_of(waiting: Sequence[tuple[int, asyncio.Future[Any]]]) -> None:
    """Wait for answers in order.

    Raises:
        HpcError: the first refusal.
    """
    refusal: HpcError | None = None
    for number, future in waiting:
        try:
            await future
        except HpcError as error:
            refusal = refusal or counted(error, number)
    if refusal is not None:
        raise refusal


def counted(refusal: HpcError, done: int) -> HpcError:
    """Return a refusal that tells how many were done before it."""
    refusal.facts["done"] = str(done)
    return refusal
