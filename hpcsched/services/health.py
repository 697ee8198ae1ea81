"""grpc.health.v1: whether the head takes calls. Anybody may ask.

The servicer of grpcio-health-checking holds a lock while it writes to a watcher. One
that takes nothing then keeps everybody from changing a status, and so a head from
stopping. Here a change is only noted; each watcher is written to by its own call.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

_UNKNOWN: Final = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health(health_pb2_grpc.HealthServicer):
    """The status of each service; ``""`` is the server as a whole."""

    def __init__(self, services: Iterable[str]) -> None:
        not_serving = health_pb2.HealthCheckResponse.NOT_SERVING
        self._statuses = dict.fromkeys(services, int(not_serving))
        self._changed = asyncio.Event()

    def set_all(self, status: int) -> None:
        """Note a change of all services and wake those who watch."""
        self._statuses = dict.fromkeys(self._statuses, status)
        self._changed.set()
        self._changed = asyncio.Event()

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> health_pb2.HealthCheckResponse:
        """Return the status of a service."""
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Send the status of a service, and each that is another than the last sent."""
        sent = None
        while True:
            changed = self._changed
            status = self._statuses.get(request.service, _UNKNOWN)
            if status != sent:
                yield health_pb2.HealthCheckResponse(status=status)
                sent = status
            await changed.wait()
