"""How much each caller may have under way, and whose turn it is (RELIABILITY P14).

Overload is refused, not absorbed: what is above a limit is told so at once, before
anything of its request is read. What is let in and is heavy takes turns, one caller
after the other, so that a greedy one waits for itself and not the others for it.
Nothing here holds up agents: their reports and heartbeats come over another server.
"""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from typing import TYPE_CHECKING, Final

from hpcsched.common.errors import HpcError
from hpcsched.common.limits import CallLimits

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Iterator

HEAVY_BYTES: Final = 32 * 1024
"""Requests above take turns: a job of some tasks is smaller, reading one takes long."""
AT_ONCE: Final = 2
"""Heavy requests that are carried out at a time."""


class Admission:
    """What is under way, by caller, connection and address.

    Attributes:
        refused: Calls that were refused since the start, by reason.
    """

    def __init__(self, limits: CallLimits) -> None:
        self._limits = limits
        self._calls: Counter[str] = Counter()
        self._streams: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._all_calls = 0
        self._all_streams = 0
        self._all_bytes = 0
        self._peers: dict[str, dict[str, int]] = {}
        self._hosts: dict[str, dict[str, int]] = {}
        self.refused: Counter[str] = Counter()

    @property
    def idle(self) -> bool:
        """Is nothing under way, and nothing kept of what was?"""
        kept = (self._calls, self._streams, self._bytes, self._peers, self._hosts)
        sums = (self._all_calls, self._all_streams, self._all_bytes)
        return not (any(kept) or any(sums))

    @contextlib.contextmanager
    def call(self, user: str, peer: str, size: int) -> Iterator[None]:
        """Count a call that is answered at once.

        Args:
            user: Who calls.
            peer: The other end of the connection, as gRPC names it.
            size: Of the request, bytes.

        Raises:
            HpcError: TOO_MANY_CALLS, TOO_MANY_BYTES, TOO_MANY_CONNECTIONS.
        """
        self._check_calls(user)
        self._check_bytes(user, size)
        with self._connection(user, peer):
            self._calls[user] += 1
            self._all_calls += 1
            self._bytes[user] += size
            self._all_bytes += size
            try:
                yield
            finally:
                _less(self._calls, user, 1)
                self._all_calls -= 1
                _less(self._bytes, user, size)
                self._all_bytes -= size

    def _check_calls(self, user: str) -> None:
        limits, mine = self._limits, self._calls.get(user, 0)
        if mine >= limits.calls_per_user:
            limit, setting = limits.calls_per_user, "calls_per_user"
        elif self._all_calls >= limits.calls and mine >= self._share(limits.calls):
            limit, setting = limits.calls, "calls"
        else:
            return
        raise self._refusal("TOO_MANY_CALLS", user=user, limit=limit, setting=setting)

    def _check_bytes(self, user: str, size: int) -> None:
        limits, mine = self._limits, self._bytes.get(user, 0)
        most, all_most = limits.megabytes_per_user << 20, limits.megabytes << 20
        full = self._all_bytes + size > all_most
        if mine and mine + size > most:
            limit, setting = limits.megabytes_per_user, "megabytes_per_user"
        elif mine and full and mine + size > self._share(all_most):
            limit, setting = limits.megabytes, "megabytes"
        else:
            return
        raise self._refusal("TOO_MANY_BYTES", limit=limit, setting=setting)

    def _share(self, limit: int) -> int:
        """Return what each of those who call may have when the head is full."""
        return max(1, limit // max(1, len(self._calls)))

    @contextlib.contextmanager
    def stream(self, user: str, peer: str) -> Iterator[None]:
        """Count a call that stays: a watch, an output that is followed, a wait.

        Raises:
            HpcError: TOO_MANY_STREAMS, TOO_MANY_CONNECTIONS.
        """
        limits = self._limits
        for count, limit, setting in (
            (self._streams.get(user, 0), limits.streams_per_user, "streams_per_user"),
            (self._all_streams, limits.streams, "streams"),
        ):
            if count >= limit:
                raise self._refusal("TOO_MANY_STREAMS", limit=limit, setting=setting)
        with self._connection(user, peer):
            self._streams[user] += 1
            self._all_streams += 1
            try:
                yield
            finally:
                _less(self._streams, user, 1)
                self._all_streams -= 1

    @contextlib.contextmanager
    def _connection(self, user: str, peer: str) -> Iterator[None]:
        """Count the connections that have something under way."""
        limits = self._limits
        host = peer.rpartition(":")[0]
        for of, key, limit, setting in (
            (self._peers, user, limits.connections_per_user, "connections_per_user"),
            (
                self._hosts,
                host,
                limits.connections_per_address,
                "connections_per_address",
            ),
        ):
            known = of.get(key, {})
            if peer not in known and len(known) >= limit:
                raise self._refusal(
                    "TOO_MANY_CONNECTIONS", limit=limit, setting=setting
                )
        for of, key in ((self._peers, user), (self._hosts, host)):
            counts = of.setdefault(key, {})
            counts[peer] = counts.get(peer, 0) + 1
        try:
            yield
        finally:
            for of, key in ((self._peers, user), (self._hosts, host)):
                counts = of[key]
                counts[peer] -= 1
                if not counts[peer]:
                    del counts[peer]
                if not counts:
                    del of[key]

    def _refusal(self, reason: str, *, setting: str, **facts: object) -> HpcError:
        self.refused[reason] += 1
        return HpcError(reason, setting=f"limits.{setting}", **facts)


def _less(counts: Counter[str], key: str, number: int) -> None:
    counts[key] -= number
    if counts[key] <= 0:
        del counts[key]


class FairTurns:
    """Lets few at a time work, and takes callers in turn, whoever has asked more."""

    def __init__(self, future: Callable[[], asyncio.Future[None]]) -> None:
        """Take what makes futures of the loop."""
        self._future = future
        self._busy = 0
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @contextlib.asynccontextmanager
    async def turn(self, user: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it for the block."""
        if self._busy < AT_ONCE and not self._waiting:
            self._busy += 1
        else:
            await self._wait(user)
        try:
            yield
        finally:
            self._busy -= 1
            self._pass_on()

    async def _wait(self, user: str) -> None:
        future = self._future()
        self._waiting.setdefault(user, deque()).append(future)
        try:
            await future
        except BaseException:
            if not future.cancelled():
                self._busy -= 1  # it was given the turn, and goes without it
                self._pass_on()
                raise
            line = self._waiting.get(user, deque())
            if future in line:
                line.remove(future)
                if not line:
                    del self._waiting[user]
            raise

    def _pass_on(self) -> None:
        while self._waiting and self._busy < AT_ONCE:
            user = next(iter(self._waiting))
            line = self._waiting.pop(user)
            future = line.popleft()
            if line:
                self._waiting[user] = line  # behind all the others
            if not future.done():
                self._busy += 1
                future.set_result(None)
