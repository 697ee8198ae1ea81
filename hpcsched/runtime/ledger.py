"""Repeatable calls: the same request id gives the same answer and has one effect.

The answer is written in the transaction of the change itself; a call that is repeated while
the first is still under way waits for it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.codec import unpack
from hpcsched.runtime.job_actor import Ledger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hpcsched.core.caller import Caller
    from hpcsched.runtime.front import Request
    from hpcsched.store.base import Store

ID_LIMIT: Final = 36
KEEP_S: Final = 24 * 3600.0


class Ledgers:
    """Carries out calls at most once per (caller, request id)."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._running: dict[tuple[str, str], tuple[bytes, asyncio.Future[None]]] = {}

    async def once(
        self,
        caller: Caller,
        request: Request,
        act: Callable[[Ledger | None], Awaitable[Any]],
        part: int = 0,
    ) -> Any:
        """Return the call's answer: from before if it was carried out, else by doing it.

        Args:
            caller: Whose request ids they are.
            request: Its id and digest.
            act: Carries it out, and commits the ledger entry with the change.
            part: Number of the step of a call on several jobs, each with a commit of its own.

        Raises:
            HpcError: REQUEST_ID_INVALID, REQUEST_ID_REUSED, or what ``act`` refuses, or what
                was refused half-way the first time.
        """
        if not request.request_id:
            return await act(None)
        if len(request.request_id) > ID_LIMIT:
            length = len(request.request_id)
            raise HpcError("REQUEST_ID_INVALID", length=length, limit=ID_LIMIT)
        name = f"{request.request_id}#{part}" if part else request.request_id
        key = (caller.user, name)
        while key in self._running:
            digest, running = self._running[key]
            _same(digest, request)
            await asyncio.wait([running])
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._running[key] = (request.digest, future)
        try:
            row = await self._store.find_request(*key)
            if row is not None:
                _same(row.digest, request)
                return told(row.answer)
            return await act(Ledger(caller.user, name, request.digest))
        finally:
            del self._running[key]
            future.set_result(None)


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
