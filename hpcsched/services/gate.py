"""The gate before every call: who calls, what that allows, and refusals as statuses."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

import grpc
from grpc import aio

from hpcsched.common.errors import HpcError
from hpcsched.core.caller import Caller
from hpcsched.rpc.errors import to_status
from hpcsched.rpc.metadata import bearer_token, call_name
from hpcsched.services.cursors import with_cursors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from hpcsched.common.rng import Ids
    from hpcsched.runtime.front import ClusterFront
    from hpcsched.store.base import TokenRow

_log = logging.getLogger(__name__)
AGENT_SERVICE: Final = "/hpcsched.agent.v1.AgentService/"
_OPEN: Final = ("/grpc.health.v1.Health/", "/grpc.reflection.")
_token: ContextVar[TokenRow] = ContextVar("token")


def caller() -> Caller:
    """Return who makes the present call."""
    row = _token.get()
    return Caller(user=row.user, administrator=row.role == "administrator")


def node_of_token() -> str:
    """Return the node that the present stream's token stands for; ``*`` for any."""
    return _token.get().user


class _Status:
    """A status with details in the form that gRPC wants."""

    def __init__(self, error: HpcError) -> None:
        status = to_status(error)
        self.code = next(c for c in grpc.StatusCode if c.value[0] == status.code)
        self.details = status.message
        self.trailing_metadata = (
            ("grpc-status-details-bin", status.SerializeToString()),
        )


class Gate(aio.ServerInterceptor):
    """Lets calls with a valid token of the right role in; refusals become statuses."""

    def __init__(
        self, front: ClusterFront, ids: Ids, is_serving: Callable[[], bool]
    ) -> None:
        self._front = front
        self._ids = ids
        self._is_serving = is_serving

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
        kinds = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_unary:

            async def unary(request: Any, context: Any) -> Any:
                try:
                    self._admit(method, metadata)
                    return await handler.unary_unary(request, context)
                except Exception as error:  # noqa: BLE001  every fault becomes a status
                    await self._refuse(error, method, metadata, context)

            return grpc.unary_unary_rpc_method_handler(unary, **kinds)
        if handler.unary_stream:

            async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
                try:
                    self._admit(method, metadata)
                    async with contextlib.aclosing(
                        handler.unary_stream(request, context)
                    ) as answers:
                        async for answer in answers:
                            yield answer
                except Exception as error:  # noqa: BLE001  every fault becomes a status
                    await self._refuse(error, method, metadata, context)

            return grpc.unary_stream_rpc_method_handler(stream, **kinds)

        async def both(requests: Any, context: Any) -> None:
            try:
                self._admit(method, metadata)
                await handler.stream_stream(requests, context)
            except Exception as error:  # noqa: BLE001  every fault becomes a status
                await self._refuse(error, method, metadata, context)

        return grpc.stream_stream_rpc_method_handler(both, **kinds)

    def _admit(self, method: str, metadata: Any) -> None:
        """Find out who calls.

        Raises:
            HpcError: UNAUTHENTICATED, PERMISSION_DENIED or HEAD_STOPPING.
        """
        secret = bearer_token(metadata)
        if not secret:
            raise HpcError("UNAUTHENTICATED", problem="the call has no token")
        row = self._front.authenticate(secret)
        if row is None:
            problem = "the token is unknown, has ended or was revoked"
            raise HpcError("UNAUTHENTICATED", problem=problem)
        for_agents = method.startswith(AGENT_SERVICE)
        if for_agents != (row.role == "node"):
            operation = (
                "connect as a node" if for_agents else "use the API with a node's token"
            )
            raise HpcError("PERMISSION_DENIED", user=row.user, operation=operation)
        if not self._is_serving():
            raise HpcError("HEAD_STOPPING")
        _token.set(row)

    async def _refuse(
        self, error: Exception, method: str, metadata: Any, context: Any
    ) -> None:
        """End the call with the refusal's status."""
        if isinstance(error, HpcError):
            refusal = with_cursors(error)
        elif isinstance(error, aio.AbortError):
            raise error
        else:
            incident = self._ids.uuid()
            _log.error(
                "%s: incident %s",
                method,
                incident,
                exc_info=error,
                extra={"call": call_name(metadata)},
            )
            refusal = HpcError("INTERNAL", incident=incident)
        with contextlib.suppress(asyncio.InvalidStateError):
            await context.abort_with_status(_Status(refusal))
