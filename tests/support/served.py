"""Calls to servers that run in the test's own process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from hpcsched.rpc.errors import from_rpc_error
from hpcsched.rpc.metadata import call_metadata
from tests.support.fake_front import USER
from tests.support.polling import wait_for_async

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hpcsched.common.errors import HpcError
    from hpcsched.rpc.addresses import Address
    from hpcsched.services.server import Servers
    from tests.support.manual_clock import ManualClock

#: A call in these tests that takes longer hangs, seconds.
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Two servers, their addresses, and a client's channel."""

    servers: Servers
    clients: Address
    agents: Address
    channel: grpc.aio.Channel

    def stub(self, kind: Callable[[Any], Any], secret: str = USER) -> Caller:
        """Return a stub whose calls have a token and a deadline."""
        return Caller(kind(self.channel), secret)


class Caller:
    """A stub with a token: ``await jobs.GetJob(request)``."""

    def __init__(self, stub: Any, secret: str) -> None:
        self._stub = stub
        self._secret = secret

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(request: Any, **kwargs: Any) -> Any:
            kwargs.setdefault("timeout", PATIENCE_S)
            kwargs.setdefault("metadata", call_metadata(token=self._secret))
            return getattr(self._stub, method)(request, **kwargs)

        return call


async def refusal(call: Awaitable[Any]) -> HpcError:
    """Return the refusal with which a call ends, as a client reads it."""
    return from_rpc_error(await rpc_error(call), address="head:1")


async def rpc_error(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    """Return the error with which a call ends."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def drain(stream: Any) -> list[Any]:
    """Return everything that a stream sends to its end."""
    return [message async for message in stream]


async def no_timer_is_left(clock: ManualClock) -> None:
    """Wait until the server is done with its calls; a client may learn of it sooner."""
    await wait_for_async(lambda: clock.waiting, until=lambda left: left == ())
