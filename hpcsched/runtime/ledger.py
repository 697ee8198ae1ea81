"""Repeatable calls: the same request id gives the same answer and has one effect.

The answer is written in the transaction of the change itself. A call that is repeated
while the first is still under way waits for it; a caller who goes away stops nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.codec import unpack
from hpcsched.runtime.eager import Begun
from hpcsched.runtime.mail import Ledger
from hpcsched.store.errors import DuplicateRequestError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hpcsched.core.caller import Caller
    from hpcsched.runtime.front import Request
    from hpcsched.runtime.world import World

    Act = Callable[[Ledger | None], Awaitable[Any]]

ID_LIMIT: Final = 36
RUNNING_LIMIT: Final = 1024
"""Calls of one user that are carried out at a time, also those it has given up."""
KEEP_S: Final = 24 * 3600.0


class Ledgers:
    """Carries out calls at most once per (caller, request id)."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._running: dict[tuple[str, str], tuple[bytes, asyncio.Future[Any]]] = {}
        self._by_user: Counter[str] = Counter()

    async def once(
        self,
        caller: Caller,
        request: Request,
        act: Act,
        part: int = 0,
        *,
        likely_new: bool = False,
    ) -> Any:
        """Return the call's answer: as it was given before, else by doing it.

        Args:
            caller: Whose request ids they are.
            request: Its id and digest.
            act: Carries it out, and commits the ledger entry with the change.
            part: Number of the step of a call on several jobs, each with a commit of
                its own.
            likely_new: Do not ask the store first: ``act`` raises
                DuplicateRequestError, without an effect, when the store knows the id;
                or it refuses what was done before, then the store is asked.
                Saves a read where repetitions are rare and latency counts.

        Raises:
            HpcError: REQUEST_ID_INVALID, REQUEST_ID_REUSED, QUEUE_FULL, or what ``act``
                refuses, or what was refused half-way the first time.
        """
        if not request.request_id:
            return await act(None)
        if len(request.request_id) > ID_LIMIT:
            length = len(request.request_id)
            raise HpcError("REQUEST_ID_INVALID", length=length, limit=ID_LIMIT)
        # A name of two lines is never a client's own id: those come as one.
        name = f"{request.request_id}\n{part}" if part else request.request_id
        key = (caller.user, name)
        if self._by_user[caller.user] >= RUNNING_LIMIT and key not in self._running:
            what = f"{RUNNING_LIMIT} calls of {caller.user} are being carried out"
            raise HpcError("QUEUE_FULL", what=what)
        while key in self._running:
            digest, running = self._running[key]
            _same(digest, request)
            await asyncio.wait([running])
        future: asyncio.Future[Any] = self._world.loop.create_future()
        self._running[key] = (request.digest, future)
        self._by_user[caller.user] += 1
        # The head's task, not the caller's: a call that is broken off goes on, and
        # keeps its repetition waiting until its answer is durable. What is decided at
        # once is on its way to the disk before that task begins.
        call = Begun(self._carry_out(key, request, act, future, likely_new=likely_new))
        if not call.over:
            self._world.spawn(call.rest())
        return await asyncio.shield(future)

    async def _carry_out(
        self,
        key: tuple[str, str],
        request: Request,
        act: Act,
        future: asyncio.Future[Any],
        *,
        likely_new: bool,
    ) -> None:
        try:
            answer = await self._answer(key, request, act, likely_new=likely_new)
        except Exception as error:  # noqa: BLE001  it is the caller's
            future.set_exception(error)
            future.exception()  # who asked may have gone
        except BaseException:
            future.cancel()
            raise
        else:
            future.set_result(answer)
        finally:
            del self._running[key]
            self._by_user[key[0]] -= 1
            if not self._by_user[key[0]]:
                del self._by_user[key[0]]

    async def _answer(
        self, key: tuple[str, str], request: Request, act: Act, *, likely_new: bool
    ) -> Any:
        if likely_new:
            try:
                return await act(Ledger(*key, request.digest))
            except DuplicateRequestError:
                pass
            except HpcError:
                # What was done the first time may be what stands in the way now.
                row = await self._world.store.find_request(*key)
                if row is None:
                    raise
                _same(row.digest, request)
                return told(row.answer)
        row = await self._world.store.find_request(*key)
        if row is None:
            return await act(Ledger(*key, request.digest))
        _same(row.digest, request)
        return told(row.answer)


def _same(digest: bytes, request: Request) -> None:
    if digest != request.digest:
        raise HpcError("REQUEST_ID_REUSED", request_id=request.request_id)


def told(answer: bytes) -> Any:
    """Return, or raise, what was answered before."""
    value, refusal = unpack(answer)
    if refusal is not None:
        reason, message, facts = refusal
        raise HpcError.from_wire(reason, message, facts)
    return value
