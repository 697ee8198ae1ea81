"""The gate before every call: who calls, what that allows, and refusals as statuses."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from grpc import aio

from hpcsched.common.errors import HpcError
from hpcsched.common.limits import CallLimits
from hpcsched.core.caller import Caller
from hpcsched.rpc.errors import status_code, to_status
from hpcsched.rpc.metadata import REQUEST_ID, STATUS_DETAILS, bearer_token, call_name
from hpcsched.services.admission import HEAVY_BYTES, Admission, FairTurns
from hpcsched.services.cursors import with_cursors
from hpcsched.services.denials import DenialLog
from hpcsched.services.interrupting import WriteDeadline, after, interruptible
from hpcsched.services.limits import (
    ABORT_DEADLINE_S,
    DEFAULT_DEADLINE_S,
    REAUTHENTICATE_S,
)
from hpcsched.services.sending import Once

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from hpcsched.common.clock import Clock
    from hpcsched.common.rng import Ids
    from hpcsched.runtime.front import ClusterFront
    from hpcsched.store.base import TokenRow

_log = logging.getLogger(__name__)
AGENT_SERVICE: Final = "/hpcsched.agent.v1.AgentService/"
_WAITS: Final = "/WaitJob"
"""The unary call that stays open like a stream."""
_WATCH: Final = "/Watch"
"""The stream that many may have open, and are sent the same."""
_OPEN: Final = ("/grpc.health.v1.Health/", "/grpc.reflection.")
_token: ContextVar[TokenRow] = ContextVar("token")
Pairs: TypeAlias = tuple[tuple[str, str], ...]


def caller() -> Caller:
    """Return who makes the present call."""
    row = _token.get()
    return Caller.of(row.user, row.role)


def node_of_token() -> str:
    """Return the node that the present stream's token stands for; ``*`` for any."""
    return _token.get().user


#: Why a token does not open the gate, nor keep a stream open.
_INVALID: Final = "the token is unknown, has ended or was revoked"


class _DeadlineError(Exception):
    """The deadline that we gave to a call has passed."""


class _UnheardError(Exception):
    """The peer does not even take the status."""


class _Status:
    """A status with details in the form that gRPC wants."""

    def __init__(self, error: HpcError, echo: Pairs) -> None:
        status = to_status(error)
        self.code = status_code(error)
        self.details = status.message
        self.trailing_metadata = (
            *echo,
            (STATUS_DETAILS, status.SerializeToString()),
        )


class Gate(aio.ServerInterceptor):
    """Lets calls with a valid token of the right role in; refusals become statuses.

    A unary call ends at its deadline, and has one. A stream ends when its token is no
    longer valid or its reader takes nothing.
    """

    def __init__(
        self,
        front: ClusterFront,
        clock: Clock,
        ids: Ids,
        is_serving: Callable[[], bool],
        limits: CallLimits = CallLimits(),  # noqa: B008  it is frozen
    ) -> None:
        self._front = front
        self.clock = clock
        self._ids = ids
        self._is_serving = is_serving
        self._denials = DenialLog(clock)
        self.admission = Admission(limits)
        self._once: Once | None = None
        self._turns = FairTurns(lambda: asyncio.get_running_loop().create_future())

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of a call."""
        handler = await continuation(handler_call_details)
        method = str(handler_call_details.method)
        if handler is None or method.startswith(_OPEN):
            return handler
        metadata = handler_call_details.invocation_metadata or ()
        return self._wrap(handler, method, tuple(metadata))

    def _wrap(self, handler: Any, method: str, metadata: Any) -> Any:
        # Requests are read behind the gate: who may not call costs no parsing (P14),
        # and what cannot be read is refused like everything else.
        serializer = handler.response_serializer
        if method.endswith(_WATCH):
            serializer = self._once = self._once or Once(serializer)
        kinds = {"request_deserializer": None, "response_serializer": serializer}
        call = _Call(self, handler, method, metadata)
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(call.unary, **kinds)
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(call.stream, **kinds)
        return grpc.stream_stream_rpc_method_handler(call.both, **kinds)

    def admission_of(
        self, method: str, peer: str, size: int
    ) -> contextlib.AbstractContextManager[None]:
        """Let a unary call be answered, within the caller's limits.

        Raises:
            HpcError: TOO_MANY_CALLS, TOO_MANY_BYTES, TOO_MANY_STREAMS,
                TOO_MANY_CONNECTIONS.
        """
        user = _token.get().user
        if method.endswith(_WAITS):
            return self.admission.stream(user, peer)
        return self.admission.call(user, peer, size)

    def turn(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Let a heavy call be answered in the caller's turn."""
        return self._turns.turn(_token.get().user)

    def streaming(self, peer: str) -> contextlib.AbstractContextManager[None]:
        """Let a stream of a client be open, within the caller's limits.

        Raises:
            HpcError: TOO_MANY_STREAMS, TOO_MANY_CONNECTIONS.
        """
        return self.admission.stream(_token.get().user, peer)

    @contextlib.contextmanager
    def deadline(self) -> Iterator[None]:
        """Give a call without a deadline one; gRPC itself sees to the others."""
        with (
            interruptible() as interrupt,
            after(self.clock, DEFAULT_DEADLINE_S, interrupt, _DeadlineError()),
        ):
            yield

    @contextlib.contextmanager
    def while_valid(self, secret: str) -> Iterator[Callable[[Exception], None]]:
        """Interrupt a block once the token that it was opened with is not valid."""
        with interruptible() as interrupt:
            timer = None

            def look() -> None:
                nonlocal timer
                if self._front.authenticate(secret) is None:
                    interrupt(HpcError("UNAUTHENTICATED", problem=_INVALID))
                else:
                    timer = self.clock.call_at(self._next_look(), look)

            timer = self.clock.call_at(self._next_look(), look)
            try:
                yield interrupt
            finally:
                timer.cancel()

    def _next_look(self) -> float:
        return self.clock.mono() + REAUTHENTICATE_S

    def admit(self, method: str, metadata: Any) -> str:
        """Find out who calls, and return the secret of the token.

        Raises:
            HpcError: UNAUTHENTICATED, PERMISSION_DENIED or HEAD_STOPPING.
        """
        secret = bearer_token(metadata)
        if not secret:
            raise HpcError("UNAUTHENTICATED", problem="the call has no token")
        row = self._front.authenticate(secret)
        if row is None:
            raise HpcError("UNAUTHENTICATED", problem=_INVALID)
        for_agents = method.startswith(AGENT_SERVICE)
        if for_agents != (row.role == "node"):
            operation = (
                "connect as a node" if for_agents else "use the API with a node's token"
            )
            raise HpcError("PERMISSION_DENIED", user=row.user, operation=operation)
        if not self._is_serving():
            raise HpcError("HEAD_STOPPING")
        if not for_agents and not self._front.admits(Caller.of(row.user, row.role)):
            operation = "connect while AllowNewUserConnections is False"
            raise HpcError("PERMISSION_DENIED", user=row.user, operation=operation)
        _token.set(row)
        return secret

    async def refuse(
        self, error: Exception, method: str, echo: Pairs, context: Any
    ) -> None:
        """End the call with the refusal's status."""
        if isinstance(error, aio.AbortError):
            raise error
        if isinstance(error, _DeadlineError):
            details = f"no answer within {DEFAULT_DEADLINE_S:g} s"
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, details, echo)
        if isinstance(error, HpcError):
            refusal = with_cursors(error)
            name = dict(echo).get(REQUEST_ID, "")
            self._denials.note(refusal, method, context.peer(), name)
        else:
            incident = self._ids.uuid()
            _log.error(
                "%s: incident %s",
                method,
                incident,
                exc_info=error,
                extra={"call": dict(echo).get(REQUEST_ID, "")},
            )
            refusal = HpcError("INTERNAL", incident=incident)
        try:
            with (
                interruptible() as interrupt,
                after(self.clock, ABORT_DEADLINE_S, interrupt, _UnheardError()),
                contextlib.suppress(asyncio.InvalidStateError),
            ):
                await context.abort_with_status(_Status(refusal, echo))
        except (_UnheardError, aio.InternalError):
            # The second: a message was broken off on its way.
            _log.info("%s: the peer took no status for %s", method, refusal.reason)
            # Leaving like this drops the call, which resets its stream.
            raise asyncio.CancelledError from None


class _Call:
    """One call: its handler between admission and refusal."""

    def __init__(self, gate: Gate, handler: Any, method: str, metadata: Any) -> None:
        self._gate = gate
        self._handler = handler
        self._method = method
        self._metadata = metadata

    async def unary(self, data: bytes, context: Any) -> Any:
        async def body(_: str) -> Any:
            if context.time_remaining() is not None:
                return await answer()
            with self._gate.deadline():
                return await answer()

        async def answer() -> Any:
            gate, size = self._gate, len(data)
            with gate.admission_of(self._method, context.peer(), size):
                if size <= HEAVY_BYTES or self._method.endswith(_WAITS):
                    return await self._handler.unary_unary(self._read(data), context)
                async with gate.turn():
                    return await self._handler.unary_unary(self._read(data), context)

        return await self._guard(body, context)

    async def stream(self, data: bytes, context: Any) -> None:
        async def body(secret: str) -> None:
            request = self._read(data)
            with (
                self._gate.streaming(context.peer()),
                self._gate.while_valid(secret) as interrupt,
                WriteDeadline(self._gate.clock, interrupt) as deadline,
            ):
                answers = self._handler.unary_stream(request, context)
                async with contextlib.aclosing(answers):
                    async for answer in answers:
                        deadline.begin()
                        await context.write(answer)
                        deadline.end()

        await self._guard(body, context)

    async def both(self, requests: Any, context: Any) -> None:
        del requests  # an iterator of grpc.aio knows no end that is not an exception

        async def read() -> Any:
            data = await context.read()
            return None if data is aio.EOF else self._read(data)

        async def body(secret: str) -> None:
            with self._gate.while_valid(secret):
                await self._handler.stream_stream(read, context)

        await self._guard(body, context)

    def _read(self, data: bytes) -> Any:
        """Return a message of the caller's.

        Raises:
            HpcError: MALFORMED_REQUEST.
        """
        try:
            return self._handler.request_deserializer(data)
        except DecodeError as error:
            raise HpcError("MALFORMED_REQUEST", problem=error) from None

    async def _guard(self, body: Callable[[str], Awaitable[Any]], context: Any) -> Any:
        name = call_name(self._metadata)
        echo: Pairs = ((REQUEST_ID, name),) if name else ()
        try:
            if echo:
                context.set_trailing_metadata(echo)
            return await body(self._gate.admit(self._method, self._metadata))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise  # the peer is gone, or the server stops
            # Something that the call waited for was given up. gRPC would send nothing
            # at all, and the caller would wait for ever.
            _log.warning("%s: what it waited for was given up", self._method)
            refusal = HpcError("OUTCOME_UNKNOWN")
            await self._gate.refuse(refusal, self._method, echo, context)
        except Exception as error:  # noqa: BLE001  every fault becomes a status
            await self._gate.refuse(error, self._method, echo, context)
