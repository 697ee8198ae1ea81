"""Calls without an event loop, for programs that make a few of them and end.

An event loop, its threads and what has to be imported for them take a process that
makes one call longer than everything else together. Here a call blocks the thread that
makes it. The calls of the API are coroutines all the same: over such a connection they
never wait for anything else, so one step carries them to their end.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast

import grpc

from hpcsched.client.api import Api
from hpcsched.client.heads import Heads
from hpcsched.client.stubs import Stubs
from hpcsched.common.clock import SystemClock
from hpcsched.common.errors import HpcError
from hpcsched.rpc.channel import blocking_channel

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

    from grpc import aio

    from hpcsched.client.patience import Patience
    from hpcsched.client.target import Target
    from hpcsched.rpc.addresses import Address
    from hpcsched.rpc.credentials import TlsFiles

T = TypeVar("T")
Req = TypeVar("Req")
Res = TypeVar("Res")

_READY: Final = grpc.ChannelConnectivity.READY


class _Link:
    """The channel to one address."""

    __slots__ = ("address", "channel", "stubs")

    def __init__(self, address: Address, tls: TlsFiles | None) -> None:
        self.address = address
        self.channel = blocking_channel(address, tls)
        self.stubs = Stubs(cast("aio.Channel", self.channel))

    def state(self) -> grpc.ChannelConnectivity:
        """Return how the connection is; that starts threads, so not on the fast path.

        A channel that loses its connection goes idle; one that gets none does not.
        """
        told = threading.Event()
        states: list[grpc.ChannelConnectivity] = []

        def tell(state: grpc.ChannelConnectivity) -> None:
            states.append(state)
            told.set()

        self.channel.subscribe(tell)
        told.wait()
        self.channel.unsubscribe(tell)
        return states[-1]


class BlockingConnection(Heads[_Link]):
    """Calls to whichever of the heads answers, each of which blocks its thread."""

    clock: SystemClock

    def __init__(self, target: Target, *, patience: Patience | None = None) -> None:
        super().__init__(target, patience=patience, clock=SystemClock(), ids=None)

    def _open(self, address: Address, tls: TlsFiles | None) -> _Link:
        return _Link(address, tls)

    def close(self) -> None:
        """Close all channels."""
        for link in self._forget_links():
            link.channel.close()

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
            start = cast("grpc.UnaryUnaryMultiCallable[Req, Res]", method(link.stubs))
            call: Any = start.future(request, timeout=timeout, metadata=self._metadata)
            try:
                response: Res = _answer(link, call, retries.connect_left())
            except grpc.RpcError as error:
                refusal = self._refused(cast("aio.AioRpcError", error), link)
            except _NoConnectionError:
                refusal = HpcError(
                    "HEAD_UNREACHABLE", address=link.address, problem="no connection"
                )
            else:
                self._answered = True
                return response
            finally:
                call.cancel()  # of one that has ended nothing is left to do
            if link.state() is grpc.ChannelConnectivity.IDLE:
                retries.restart_silence()
            self.clock.block(self._next_head(retries, refusal))


class _NoConnectionError(Exception):
    """A head took the connection, or its name is looked up, and nothing came of it."""


def _answer(link: _Link, call: Any, connect_s: float) -> Any:
    """Return the answer.

    Raises:
        grpc.RpcError: what the call came to instead.
        _NoConnectionError: there was no connection after so many seconds.
    """
    try:
        return call.result(timeout=connect_s)
    except grpc.FutureTimeoutError:
        if link.state() is not _READY:
            raise _NoConnectionError from None
    return call.result()


class BlockingClient(Api):
    """A program's connection to a cluster, without an event loop.

    >>> with BlockingClient(Target.parse("head01", token=secret)) as client:
    ...     job = client.run(client.jobs.get(42))
    """

    def __init__(self, target: Target, *, patience: Patience | None = None) -> None:
        self._connection = BlockingConnection(target, patience=patience)
        super().__init__(self._connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine comes to that waits for calls of this client only.

        Raises:
            RuntimeError: it waits for something else, which needs an event loop.
        """
        try:
            work.send(None)
        except StopIteration as end:
            result: T = end.value
            return result
        work.close()
        raise RuntimeError(f"{work!r} needs an event loop: use AsyncClient")
