"""One stream to the head, from its Hello to its end.

One task reads, one writes, one watches the time; nothing is ever cancelled while it
reads or writes except by ending the whole call (RELIABILITY 6.1, G5 to G8).
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import grpc

from hpcsched.agent.v1 import agent_service_pb2
from hpcsched.rpc.errors import from_rpc_error
from node_agent.core.orders import ReadOutput, StopReading
from node_agent.core.session import SequenceError, Session, StaleHeadError
from node_agent.link.convert import (
    PROTOCOL_MAX,
    PROTOCOL_MIN,
    head_frame,
    hello_requests,
    request_of,
)
from node_agent.link.outbox import Outbox
from node_agent.outputs import Outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from hpcsched.common.clock import Clock
    from hpcsched.common.errors import HpcError
    from node_agent.core.frames import HeadFrame, Welcome
    from node_agent.link.dialing import Call
    from node_agent.link.node import Node

log = logging.getLogger(__name__)

#: How long the head may take for its Welcome, seconds.
WELCOME_TIMEOUT_S: Final = 10.0

#: Heartbeat intervals of silence after which the head counts as gone.
MISSED_HEARTBEATS: Final = 3

#: How long a goodbye waits for its acknowledgement, seconds.
GOODBYE_TIMEOUT_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEnd:
    """How a stream ended.

    Attributes:
        why: In words, for the log.
        welcomed: The head had accepted the session.
        lasted_s: Seconds from the Welcome.
        refusal: What the head said against us, if it did.
        retry_after_s: When the head asked to be called again; None: it did not.
    """

    why: str
    welcomed: bool
    lasted_s: float
    refusal: HpcError | None = None
    retry_after_s: float | None = None


class Stream:
    """A call of Connect."""

    def __init__(
        self,
        call: Call,
        node: Node,
        clock: Clock,
        *,
        address: str,
        on_welcome: Callable[[Welcome], None],
    ) -> None:
        self._call = call
        self._node = node
        self._clock = clock
        self._address = address
        self._on_welcome = on_welcome
        self._session = Session()
        self._wake = asyncio.Event()
        self._outputs = Outputs(node.shelf, clock, self._wake_up)
        self._outbox = Outbox(
            node, self._session, self._outputs, clock, wake=self._wake_up
        )
        self._welcome = asyncio.Event()
        self._over = asyncio.Event()
        self._end: tuple[str, HpcError | None, float | None] | None = None
        self._interval_s = WELCOME_TIMEOUT_S
        self._welcomed_at: float | None = None
        self._heard_at = self._sent_at = self._beat_at = clock.boot()
        self._usage_at = self._beat_at

    async def run(self) -> StreamEnd:
        """Serve until the stream ends, for whatever reason."""
        try:
            async with asyncio.TaskGroup() as tasks:
                workers = [
                    tasks.create_task(self._guard(self._read())),
                    tasks.create_task(self._guard(self._write())),
                    tasks.create_task(self._guard(self._watch())),
                    tasks.create_task(self._guard(self._outputs.run())),
                ]
                await self._over.wait()
                self._call.cancel()
                for worker in workers:
                    worker.cancel()
        finally:
            self._call.cancel()
            self._node.attach(_nobody)
        why, refusal, retry_after_s = self._end or ("cancelled", None, None)
        began = self._welcomed_at
        return StreamEnd(
            why=why,
            welcomed=began is not None,
            lasted_s=0.0 if began is None else self._clock.boot() - began,
            refusal=refusal,
            retry_after_s=retry_after_s,
        )

    def stop(
        self,
        why: str,
        *,
        refusal: HpcError | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        """End the stream; the first reason counts."""
        if self._end is None:
            self._end = (why, refusal, retry_after_s)
            self._over.set()

    async def leave(self) -> None:
        """Send what waits and a goodbye, and end; it takes two seconds at the most."""
        if self._welcomed_at is None:
            self.stop("left before the welcome")
            return
        self._outbox.leave()
        deadline = self._clock.mono() + GOODBYE_TIMEOUT_S
        timer = self._clock.call_at(deadline, lambda: self.stop("goodbye unanswered"))
        try:
            await self._over.wait()
        finally:
            timer.cancel()

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        """Run one of the workers; whatever ends it ends the stream, and only that."""
        try:
            await work
        except asyncio.CancelledError:
            # grpc raises this as well when the call, not this task, was cancelled.
            self.stop("the call was cancelled")
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
        except grpc.aio.AioRpcError as error:
            refusal = from_rpc_error(error, address=self._address)
            known = None if refusal.reason == "HEAD_UNREACHABLE" else refusal
            self.stop(str(refusal), refusal=known)
        except (SequenceError, StaleHeadError) as error:
            self.stop(str(error))
        except Exception as error:  # whatever it is, this stream is over (G8)
            if self._end is None:
                log.exception("the stream failed", extra={"head": self._address})
            self.stop(f"{type(error).__name__}: {error}")

    # Reading

    async def _read(self) -> None:
        while True:
            response = await self._call.read()
            if not isinstance(response, agent_service_pb2.ConnectResponse):  # EOF
                self.stop("the head has closed the stream")
                return
            self._heard_at = self._clock.boot()
            await self._hear(head_frame(response))

    async def _hear(self, frame: HeadFrame) -> None:
        if frame.welcome is not None and not self._welcome.is_set():
            await self._begin(frame.welcome)
        if not self._welcome.is_set():
            raise SequenceError("the head's first frame is no Welcome")
        self._take_ack(frame.ack)
        if frame.position:
            self._node.heard_of(frame.position)
        for problem in frame.problems:
            log.error("order not understood", extra={"problem": problem})
        if frame.seq:
            if self._session.accept(frame.seq):
                await self._carry_out(frame)
        elif frame.orders:
            raise SequenceError("orders in a frame without a number")
        if frame.goodbye_retry_ms > 0:
            self.stop(
                "the head is stopping", retry_after_s=frame.goodbye_retry_ms / 1000
            )

    def _take_ack(self, ack: int) -> None:
        if self._session.acknowledged(ack):
            position = self._node.spool.release(ack)
            if position is not None:
                self._node.acknowledged(position)
            if self._node.spool.has_waiting:  # they may go on gathering, or not
                self._wake_up()
        if self._outbox.goodbye_sent and self._session.all_acknowledged:
            self.stop("left")

    async def _begin(self, welcome: Welcome) -> None:
        if not PROTOCOL_MIN <= welcome.protocol <= PROTOCOL_MAX:
            raise SequenceError(
                f"the head speaks protocol {welcome.protocol}; this agent speaks "
                f"{PROTOCOL_MIN} to {PROTOCOL_MAX}"
            )
        await self._node.welcomed(welcome)
        if welcome.heartbeat_ms > 0:
            self._interval_s = welcome.heartbeat_ms / 1000
        self._outbox.takes_lived = welcome.takes_lived
        self._welcomed_at = self._heard_at
        self._node.spool.rewind()
        self._node.attach(self._wake_up)
        self._welcome.set()
        self._outbox.say_in_step()
        self._on_welcome(welcome)

    async def _carry_out(self, frame: HeadFrame) -> None:
        orders = []
        for order in frame.orders:
            if isinstance(order, ReadOutput):
                self._outputs.read(order)
            elif isinstance(order, StopReading):
                self._outputs.stop(order.read_id)
            else:
                orders.append(order)
        self._node.carry_out(orders, lambda: self._carried_out(frame.seq))

    def _carried_out(self, seq: int) -> None:
        self._session.carried_out(seq)
        self._wake_up()

    # Writing

    def _wake_up(self) -> None:
        self._wake.set()

    async def _write(self) -> None:
        # Of a call that is over already the reader hears why.
        with suppress(asyncio.InvalidStateError):
            await self._write_all()

    async def _write_all(self) -> None:
        for request in hello_requests(self._node.facts(), self._node.inventory()):
            await self._call.write(request)
        await self._welcome.wait()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while (frame := self._outbox.next_frame()) is not None:
                await self._call.write(request_of(frame))
                self._sent_at = self._clock.boot()

    # The time

    async def _watch(self) -> None:
        """Send heartbeats, and end a stream whose other end is silent.

        The time is the boot's: a machine that was suspended reconnects at once.
        """
        deadline = self._clock.mono() + WELCOME_TIMEOUT_S
        timer = self._clock.call_at(deadline, self._miss_welcome)
        try:
            await self._welcome.wait()
        finally:
            timer.cancel()
        self._beat_at = self._clock.boot()
        self._usage_at = self._beat_at - self._interval_s  # ask at once
        while True:
            now, interval = self._clock.boot(), self._interval_s
            if now - self._heard_at >= MISSED_HEARTBEATS * interval:
                silence = now - self._heard_at
                self.stop(f"the head has been silent for {silence:.1f} s")
                return
            # Not every frame of ours is answered, but every heartbeat is: so silence
            # of the head asks for one as much as silence of ours.
            due = interval + min(
                max(self._sent_at, self._beat_at), max(self._heard_at, self._beat_at)
            )
            if now >= due:
                self._beat_at = now
                self._outbox.beat()
                continue
            if now >= self._usage_at + interval:
                self._usage_at = now
                self._node.ask_usage()
            last = self._heard_at + MISSED_HEARTBEATS * interval
            soon = min(due, last, self._usage_at + interval)
            await self._clock.sleep(max(0.001, soon - now))

    def _miss_welcome(self) -> None:
        self.stop(f"no welcome within {WELCOME_TIMEOUT_S:g} s")


def _nobody() -> None:
    """Whom a node without a stream calls."""
