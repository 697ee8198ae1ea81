"""Finding a head and staying with it: the loop around the streams."""

from __future__ import annotations

import asyncio
import logging
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from node_agent.link.dialing import DialError, GrpcDialer
from node_agent.link.dialing import HeadsConfig as HeadsConfig  # noqa: PLC0414
from node_agent.link.stream import Stream, StreamEnd

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcsched.common.clock import Clock
    from hpcsched.common.rng import Ids
    from hpcsched.rpc.addresses import Address
    from hpcsched.rpc.credentials import TlsFiles
    from node_agent.core.frames import Welcome
    from node_agent.link.dialing import Dialer
    from node_agent.link.node import Node

log = logging.getLogger(__name__)

#: Pauses between attempts, seconds: doubled each time, spread over the upper half.
FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 10.0

#: A session that lasted so long, seconds, makes the next pause a short one again.
STEADY_S: Final = 5.0

#: Longest pause after shorter sessions, seconds. A head that welcomes is there: it may
#: have been killed several times in a row, and each time work waits for us.
LONGEST_PAUSE_WELCOMED_S: Final = 2.0

#: What a head that stops may ask for at the most, seconds.
LONGEST_RETRY_S: Final = 60.0

#: After so many failures the TLS handshake is tried by itself, to hear the reason.
DIAGNOSE_AT: Final = 2
DIAGNOSE_EVERY: Final = 20
DIAGNOSE_TIMEOUT_S: Final = 5.0


class Heads:
    """Keeps a stream to one of the heads, from the first inventory to the goodbye."""

    def __init__(
        self,
        config: HeadsConfig,
        node: Node,
        clock: Clock,
        ids: Ids,
        *,
        ready: asyncio.Event,
        term: Callable[[], int],
        on_status: Callable[[str], object],
        dialer: Dialer | None = None,
    ) -> None:
        """Begin.

        Args:
            config: Where heads are.
            node: What the streams serve.
            clock: The time.
            ids: Chance, to spread the attempts of many nodes.
            ready: Set while the node knows what lives on it.
            term: Returns the highest term of a head so far.
            on_status: Hears a line for people when something has changed.
            dialer: Opens the streams; None: over gRPC.
        """
        self._config = config
        self._node = node
        self._clock = clock
        self._ids = ids
        self._ready = ready
        self._term = term
        self._on_status = on_status
        self._dialer = GrpcDialer(config) if dialer is None else dialer
        self._stream: Stream | None = None
        self._leaving = False
        self._failures = 0
        self._short_sessions = 0
        self._told = ""

    async def run(self) -> None:
        """Connect, serve, and connect again, until ``leave``."""
        heads = self._config.heads
        at = 0
        while not self._leaving:
            await self._ready.wait()
            end = await self._visit(heads[at])
            if self._leaving:
                return
            self._tell(heads[at], end)
            pause = self._pause(end, len(heads))
            if not end.welcomed or end.retry_after_s is not None:
                at = (at + 1) % len(heads)
            await self._clock.sleep(pause)

    def interrupt(self, why: str) -> None:
        """End the stream, if there is one; the next begins with a new inventory."""
        if self._stream is not None:
            self._stream.stop(why)

    async def leave(self) -> None:
        """Say goodbye and end; it takes two seconds at the most."""
        self._leaving = True
        if self._stream is not None:
            await self._stream.leave()

    async def _visit(self, head: Address) -> StreamEnd:
        try:
            line = self._dialer.dial(head, self._term())
        except DialError as error:
            return StreamEnd(why=str(error), welcomed=False, lasted_s=0.0)
        try:
            self._stream = Stream(
                line.call,
                self._node,
                self._clock,
                address=str(head),
                on_welcome=lambda welcome: self._welcome(head, welcome),
            )
            end = await self._stream.run()
        finally:
            self._stream = None
            await line.close()
        if not end.welcomed and end.refusal is None:
            await self._diagnose(head)
        return end

    def _welcome(self, head: Address, welcome: Welcome) -> None:
        log.info(
            "connected to the head",
            extra={
                "head": str(head),
                "cluster": welcome.cluster_name,
                "session": welcome.session,
                "term": welcome.term,
            },
        )
        self._told = ""
        self._on_status(f"connected to {head}")

    def _tell(self, head: Address, end: StreamEnd) -> None:
        """Log an end once, however often it is the same."""
        what = f"{head}: {end.why}"
        if what != self._told:
            self._told = what
            level = logging.ERROR if end.refusal is not None else logging.WARNING
            log.log(
                level,
                "no stream to the head",
                extra={"head": str(head), "why": end.why},
            )
        self._on_status(f"not connected: {what}")

    def _pause(self, end: StreamEnd, heads: int) -> float:
        """Return how long to wait before the next attempt, seconds."""
        if end.welcomed:
            # Attempts that found nobody before it say nothing about the next one.
            self._failures = 0
            steady = end.lasted_s >= STEADY_S
            self._short_sessions = 0 if steady else self._short_sessions + 1
        self._failures += 1
        if end.refusal is not None:
            return self._spread(LONGEST_PAUSE_S)
        if end.retry_after_s is not None and heads == 1:
            return min(LONGEST_RETRY_S, end.retry_after_s) + self._spread(FIRST_PAUSE_S)
        if end.welcomed:
            times = max(0, self._short_sessions - 1)
            longest = LONGEST_PAUSE_WELCOMED_S
            return self._spread(min(longest, FIRST_PAUSE_S * 2 ** min(times, 16)))
        rounds, rest = divmod(self._failures - 1, heads)
        if rest < heads - 1:
            return 0.0  # another head has not been asked yet
        return self._spread(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(rounds, 16)))

    def _spread(self, pause: float) -> float:
        return pause * (0.5 + 0.5 * self._ids.jitter())

    async def _diagnose(self, head: Address) -> None:
        """Log why TLS fails: gRPC only says that the head is unavailable (G19)."""
        tls = self._config.tls
        failures = self._failures + 1
        if tls is None or (failures != DIAGNOSE_AT and failures % DIAGNOSE_EVERY):
            return
        problem = await tls_problem(head, tls, self._config.authority)
        if problem:
            log.error("TLS fails", extra={"head": str(head), "problem": problem})


async def tls_problem(head: Address, tls: TlsFiles, authority: str) -> str:
    """Return why a TLS handshake with the head fails; empty if it does not."""
    try:
        context = ssl.create_default_context(cafile=tls.ca or None)
        if tls.cert:
            context.load_cert_chain(tls.cert, tls.key)
        context.set_alpn_protocols(["h2"])
        async with asyncio.timeout(DIAGNOSE_TIMEOUT_S):
            _, writer = await asyncio.open_connection(
                head.host,
                head.port,
                ssl=context,
                server_hostname=authority or head.host,
            )
    except TimeoutError:
        return f"no answer within {DIAGNOSE_TIMEOUT_S:g} s"
    except ssl.SSLCertVerificationError as error:
        return error.verify_message or str(error)
    except OSError as error:  # ssl.SSLError is one
        return str(error)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return ""
