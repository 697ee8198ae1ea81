"""The network between agents and the head: sessions of serialised messages.

Within a session bytes arrive in order, as TCP brings them: a partition stalls them, and
nothing is lost but by the end of the session. Which of its two ends hears of that, and
when, is the network's choice. Sessions that one end has given up may live on at the
other, with messages still on their way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
from grpc import aio

from hpcsched.agent.v1 import agent_service_pb2 as pb
from hpcsched.common.errors import HpcError
from hpcsched.rpc.errors import status_code, to_status
from hpcsched.rpc.metadata import STATUS_DETAILS
from hpcsched.services import gate
from hpcsched.store.base import TokenRow
from tests.support.sim.loop import PROGRAM

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.support.sim.loop import Program, SimLoop

#: Messages on their way in one direction before a writer has to wait.
WINDOW = 64
UP, DOWN = 0, 1
NODE_TOKEN = TokenRow(
    token_id="1",  # noqa: S106  it opens nothing
    digest=b"",
    user="*",
    role="node",
    create_time=0,
    expire_time=None,
)


class Pipe:
    """One direction of a session."""

    def __init__(self, session: Session, way: int) -> None:
        self._session = session
        self._way = way
        self._flying: deque[bytes] = deque()
        self._last = 0.0
        self.arrived: deque[bytes] = deque()
        self.ended = False
        self.error: BaseException | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writers: list[asyncio.Future[None]] = []

    def send(self, data: bytes) -> None:
        network = self._session.network
        loop = network.loop
        self._flying.append(data)
        self._last = max(self._last, loop.time() + network.latency())
        network.later(self._last, self._land)

    def _land(self) -> None:
        if not self._flying or self.ended:
            return
        if self._session.network.is_cut(self._session.node, self._way):
            return  # it stays where it is until the cut is healed
        self.arrived.append(self._flying.popleft())
        self._session.network.delivered += 1
        self._wake()
        if len(self._flying) + len(self.arrived) < WINDOW:
            self._let_write()

    def heal(self) -> None:
        """Let what has piled up behind a cut go on its way."""
        network = self._session.network
        for _ in self._flying:
            self._last = max(self._last, network.loop.time() + network.latency())
            network.later(self._last, self._land)

    def end(self, error: BaseException | None = None) -> None:
        """The reader hears that nothing comes any more, after what has arrived."""
        if not self.ended:
            self.ended = True
            self.error = error
            self._flying.clear()
            self._wake()
            self._let_write()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _let_write(self) -> None:
        writers, self._writers = self._writers, []
        for writer in writers:
            if not writer.done():
                writer.set_result(None)

    async def room(self) -> None:
        """Wait while too much is on its way."""
        while not self.ended and len(self._flying) + len(self.arrived) >= WINDOW:
            future = self._session.network.loop.create_future()
            self._writers.append(future)
            await future

    async def take(self) -> bytes | None:
        """Return the next message; None at the end."""
        while not self.arrived:
            if self.ended:
                if self.error is not None:
                    raise self.error
                return None
            self._reader = self._session.network.loop.create_future()
            await self._reader
        data = self.arrived.popleft()
        self._let_write()
        return data


class Session:
    """One call of Connect: the agent's end and the head's end."""

    def __init__(self, network: Network, node: str, agent: Program) -> None:
        self.network = network
        self.node = node
        self.agent = agent
        self.head: Program | None = None
        self.handler: asyncio.Task[Any] | None = None
        self.term = 0
        self.up = Pipe(self, UP)
        self.down = Pipe(self, DOWN)
        self.canceled = False

    def begin(self) -> None:
        """The call reaches the head, if there is one."""
        network = self.network
        head = network.head
        if head is None or not head.alive:
            self.down.end(unavailable("connection refused"))
            return
        self.head = head
        service = network.service

        async def serve() -> None:
            gate._token.set(NODE_TOKEN)
            error: BaseException | None = None
            try:
                context = Context(self)
                await service.Connect(context.read, context)
            except HpcError as refusal:
                error = refused(refusal)
            except asyncio.CancelledError:
                error = unavailable("the handler was cancelled")
            except Exception as fault:  # noqa: BLE001  grpc would say UNKNOWN
                network.faults.append(f"Connect raised {fault!r}")
                error = unavailable(repr(fault))
            self.up.end()
            network.after_latency(lambda: self._end_down(error))

        self.handler = head.start(serve())

    def heard(self, message: Any) -> None:
        """Look whether an agent hears orders of a head of the past (I10)."""
        if message.HasField("welcome"):
            self.term = message.welcome.term
        seen = self.network.term_of(self.node)
        if message.orders and self.term < seen:
            fault = f"I10: {self.node} has seen term {seen}, and hears {self.term}"
            self.network.faults.append(fault)

    def _end_down(self, error: BaseException | None) -> None:
        if self.network.is_cut(self.node, DOWN):
            self.network.blocked.append((self.node, lambda: self._end_down(error)))
            return
        self.down.end(error)

    def cancel(self) -> None:
        """The agent gives the call up; the head hears of it unless it is cut off."""
        if self.canceled:
            return
        self.canceled = True
        self.down.end(asyncio.CancelledError())
        self.network.sessions.pop(self, None)
        self._tell_head()

    def _tell_head(self) -> None:
        self.network.after_latency(self._head_hears)

    def _head_hears(self) -> None:
        if self.network.is_cut(self.node, UP):
            if self.network.rng.random() < 0.5:
                return  # the reset is lost: the head keeps a dead session
            self.network.blocked.append((self.node, self._head_hears))
            return
        self.drop_head()

    def drop_head(self) -> None:
        """The head's end hears of the end, in one of the two ways that gRPC has."""
        self.up.end()
        if self.network.rng.random() < 0.5 and self.handler is not None:
            self.handler.cancel()

    def drop_agent(self, why: str) -> None:
        self.down.end(unavailable(why))


class Call:
    """The agent's end, as ``grpc.aio`` gives it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def read(self) -> Any:
        data = await self._session.down.take()
        if data is None:
            return aio.EOF
        message = pb.ConnectResponse.FromString(data)
        self._session.heard(message)
        return message

    async def write(self, request: Any) -> None:
        session = self._session
        if session.down.ended:
            raise session.down.error or asyncio.InvalidStateError("the call is over")
        await session.up.room()
        session.up.send(request.SerializeToString())
        await asyncio.sleep(0)

    def cancel(self) -> None:
        self._session.cancel()


class Context:
    """The head's end, as ``grpc.aio`` gives it to a servicer."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def read(self) -> Any:
        """Return the next message, None at the end, as the gate reads them."""
        data = await self._session.up.take()
        return None if data is None else pb.ConnectRequest.FromString(data)

    async def write(self, response: Any) -> None:
        session = self._session
        await session.down.room()
        if session.up.ended:
            raise aio.UsageError("the call is over")
        session.down.send(response.SerializeToString())
        await asyncio.sleep(0)


class SimLine:
    """What a dialer returns."""

    def __init__(self, call: Call) -> None:
        self.call = call

    async def close(self) -> None:
        self.call.cancel()


class SimDialer:
    """Dials over the simulated network."""

    def __init__(self, network: Network, node: str) -> None:
        self._network = network
        self._node = node

    def dial(self, head: Any, term: int) -> Any:
        program = PROGRAM.get()
        assert program is not None
        return SimLine(self._network.dial(self._node, program))


class Network:
    """All links, and what is wrong with them.

    Attributes:
        head: The program that listens now.
        service: Its AgentService.
        blocked: What waits for the end of a cut.
    """

    def __init__(self, loop: SimLoop, rng: random.Random) -> None:
        self.loop = loop
        self.rng = rng
        self.head: Program | None = None
        self.service: Any = None
        self.sessions: dict[Session, None] = {}
        self.ghosts: list[Session] = []
        self.blocked: list[tuple[str, Callable[[], None]]] = []
        self.faults = loop.failures
        self.delivered = 0
        self.slow = 1.0
        self.term_of: Callable[[str], int] = lambda _: 0
        self._cuts: set[tuple[str, int]] = set()

    def latency(self) -> float:
        base = 0.0002 + self.rng.expovariate(2000)
        if self.slow > 1 and self.rng.random() < 0.3:
            return base * self.slow
        return base

    def later(self, when: float, call: Callable[[], object]) -> None:
        token = PROGRAM.set(None)
        try:
            self.loop.call_at(when, call)
        finally:
            PROGRAM.reset(token)

    def after_latency(self, call: Callable[[], object]) -> None:
        self.later(self.loop.time() + self.latency(), call)

    def is_cut(self, node: str, way: int) -> bool:
        return (node, way) in self._cuts

    def dial(self, node: str, agent: Program) -> Call:
        session = Session(self, node, agent)
        self.sessions[session] = None
        self.after_latency(lambda: self._reach(session))
        return Call(session)

    def _reach(self, session: Session) -> None:
        if session.canceled:
            return
        if self.is_cut(session.node, UP):
            self.blocked.append((session.node, lambda: self._reach(session)))
            return
        session.begin()

    def cut(self, node: str, *ways: int) -> None:
        self._cuts.update((node, way) for way in ways)

    def heal(self, node: str) -> None:
        self._cuts -= {(node, UP), (node, DOWN)}
        blocked, self.blocked = self.blocked, []
        for name, call in blocked:
            if name == node:
                self.after_latency(call)
            else:
                self.blocked.append((name, call))
        for session in [*self.sessions, *self.ghosts]:
            if session.node == node:
                session.up.heal()
                session.down.heal()

    def break_off(self, session: Session, *, agent: bool, head: bool) -> None:
        """End a session; an end that is not told finds out by itself, if ever."""
        if agent:
            session.drop_agent("connection reset")
        if head:
            session.drop_head()
        if not head:
            self.ghosts.append(session)

    def head_died(self, program: Program) -> None:
        """A head's end of every session that it has is gone."""
        if program is self.head:
            self.head = None
        for session in list(self.sessions):
            if session.head is program:
                self.after_latency(partial(session.drop_agent, "reset"))

    def cut_off(self, session: Session) -> None:
        session.up.ended = True  # what is sent arrives nowhere

    def agent_died(self, node: str, *, silent: bool) -> None:
        """The agent's end of every session of a node is gone."""
        for session in list(self.sessions):
            if session.node == node and not session.agent.alive:
                self.sessions.pop(session, None)
                session.canceled = True
                if silent:
                    self.ghosts.append(session)
                else:
                    session._tell_head()

    def of(self, node: str) -> list[Session]:
        return [one for one in self.sessions if one.node == node]


def unavailable(why: str) -> aio.AioRpcError:
    return aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE, aio.Metadata(), aio.Metadata(), why
    )


def refused(error: HpcError) -> aio.AioRpcError:
    status = to_status(error)
    trailing = aio.Metadata((STATUS_DETAILS, status.SerializeToString()))
    return aio.AioRpcError(
        status_code(error), aio.Metadata(), trailing, details=status.message
    )
