"""Calls that survive the weather: addresses in turn, retries, one deadline for all.

A call that got no answer is made again with the very same request. Mutations carry a
``request_id``, so that a second delivery has no second effect.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Final, Self, TypeVar

import grpc
from grpc import aio

from hpcsched.client.heads import Heads
from hpcsched.client.patience import Patience
from hpcsched.client.stubs import Stubs
from hpcsched.client.target import Target
from hpcsched.common.clock import SystemClock
from hpcsched.common.errors import HpcError
from hpcsched.rpc.channel import client_channel

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from types import TracebackType

    from hpcsched.client.patience import Retries
    from hpcsched.common.clock import Clock
    from hpcsched.common.rng import Ids
    from hpcsched.rpc.addresses import Address
    from hpcsched.rpc.credentials import TlsFiles

__all__ = ["Connection", "Patience", "Stubs", "Target"]

Req = TypeVar("Req")
Res = TypeVar("Res")

_READY: Final = grpc.ChannelConnectivity.READY


class _Link:
    """The channel to one address."""

    __slots__ = ("address", "channel", "stubs")

    def __init__(self, address: Address, tls: TlsFiles | None) -> None:
        self.address = address
        self.channel = client_channel(address, tls)
        self.stubs = Stubs(self.channel)

    def had_connected(self) -> bool:
        """Was there a connection before the call failed?

        A channel that loses its connection goes idle; one that gets none does not.
        """
        return self.channel.get_state() is grpc.ChannelConnectivity.IDLE


class Connection(Heads[_Link]):
    """Calls to whichever of the heads answers.

    Use it as an asynchronous context manager, in the event loop that makes the calls.
    """

    def __init__(
        self,
        target: Target,
        *,
        patience: Patience | None = None,
        clock: Clock | None = None,
        ids: Ids | None = None,
    ) -> None:
        clock = clock or SystemClock()
        super().__init__(target, patience=patience, clock=clock, ids=ids)

    def _open(self, address: Address, tls: TlsFiles | None) -> _Link:
        return _Link(address, tls)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all channels; calls that are under way end."""
        for link in self._forget_links():
            await link.channel.close(None)

    async def call(
        self,
        method: Callable[[Stubs], aio.UnaryUnaryMultiCallable[Req, Res]],
        request: Req,
        *,
        timeout_s: float | None = None,
        persist: bool = False,
    ) -> Res:
        """Return the answer to a request; see ``client.api.Caller``.

        Raises:
            HpcError: the refusal, or HEAD_UNREACHABLE when patience ran out.
        """
        limit = self._patience.call_s if timeout_s is None else timeout_s
        retries = self._retries(limit=None if persist and self._answered else limit)
        while True:
            link = self._link()
            timeout = limit if retries.endless else retries.left()
            call = method(link.stubs)(request, timeout=timeout, metadata=self._metadata)
            guard = _Guard(self.clock, link, call, retries.connect_left())
            try:
                response = await call
            except (aio.AioRpcError, asyncio.CancelledError) as error:
                refusal = self._refusal(error, link, guard)
                if link.had_connected():
                    retries.restart_silence()
                await self._pause(retries, refusal)
            else:
                self._answered = True
                return response
            finally:
                guard.cancel()

    async def stream(
        self,
        method: Callable[[Stubs], aio.UnaryStreamMultiCallable[Req, Res]],
        request: Callable[[], Req],
        *,
        persist: bool = True,
    ) -> AsyncGenerator[Res, None]:
        """Yield the messages of a stream, over as many connections as it takes.

        Args:
            method: Which one.
            request: Called for each connection: it says where to resume, so the caller
                keeps the position of what it was given last.
            persist: Once any head has answered, go on trying without end.

        Raises:
            HpcError: the refusal, or HEAD_UNREACHABLE when patience ran out.
        """
        limit = None if persist and self._answered else self._patience.connect_s
        retries = self._retries(limit=limit)
        reached = False
        while True:
            messages = self._messages(method, request(), retries.connect_left())
            try:
                async with aclosing(messages):
                    async for message in messages:
                        reached = True
                        yield message
            except HpcError as refusal:
                if reached:  # patience begins anew with each break
                    limit = None if persist else self._patience.connect_s
                    retries = self._retries(limit=limit)
                    reached = False
                await self._pause(retries, refusal)
            else:
                return

    async def _messages(
        self,
        method: Callable[[Stubs], aio.UnaryStreamMultiCallable[Req, Res]],
        request: Req,
        connect_s: float,
    ) -> AsyncGenerator[Res, None]:
        link = self._link()
        call = method(link.stubs)(request, metadata=self._metadata)
        guard = _Guard(self.clock, link, call, connect_s)
        try:
            async for message in call:
                guard.cancel()
                self._answered = True
                yield message
        except (aio.AioRpcError, asyncio.CancelledError) as error:
            raise self._refusal(error, link, guard) from None
        finally:
            guard.cancel()
            call.cancel()

    async def _pause(self, retries: Retries, refusal: HpcError) -> None:
        """Wait before the next attempt.

        Raises:
            HpcError: this refusal: trying again is no use, or patience ran out.
        """
        await self.clock.sleep(self._next_head(retries, refusal))

    def _refusal(self, error: BaseException, link: _Link, guard: _Guard) -> HpcError:
        if isinstance(error, aio.AioRpcError):
            return self._refused(error, link)
        task = asyncio.current_task()
        if guard.fired and not (task and task.cancelling()):
            return HpcError(
                "HEAD_UNREACHABLE", address=link.address, problem="no connection"
            )
        raise error


class _Guard:
    """Ends a call for which no connection comes about: a frozen head accepts any."""

    __slots__ = ("_timer", "fired")

    def __init__(
        self,
        clock: Clock,
        link: _Link,
        call: aio.Call,
        seconds: float,
    ) -> None:
        self.fired = False
        self._timer = clock.call_at(
            clock.mono() + seconds, partial(self._look, link, call)
        )

    def cancel(self) -> None:
        self._timer.cancel()

    def _look(self, link: _Link, call: aio.Call) -> None:
        if link.channel.get_state() is not _READY:
            self.fired = True
            call.cancel()
