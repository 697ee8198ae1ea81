"""Health by grpc.health.v1: what load balancers and scripts look at."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.http2 import call_with_closed_window
from tests.support.served import PATIENCE_S, Served, rpc_error

STATUS = health_pb2.HealthCheckResponse
JOBS = "hpcsched.api.v1.JobService"


@pytest.fixture
def health(served: Served) -> Any:
    return health_pb2_grpc.HealthStub(served.channel)


async def test_a_watcher_is_told_each_change(health: Any, served: Served) -> None:
    request = health_pb2.HealthCheckRequest(service=JOBS)
    seen = aiter(health.Watch(request, timeout=PATIENCE_S))

    assert (await anext(seen)).status == STATUS.SERVING
    served.servers.not_serving()
    assert (await anext(seen)).status == STATUS.NOT_SERVING
    served.servers.not_serving()  # no change
    served.servers.serving()
    assert (await anext(seen)).status == STATUS.SERVING


async def test_a_service_that_does_not_exist_is_not_found_and_watched_as_unknown(
    health: Any,
) -> None:
    request = health_pb2.HealthCheckRequest(service="no.such.Service")

    error = await rpc_error(health.Check(request, timeout=PATIENCE_S))
    first = await anext(aiter(health.Watch(request, timeout=PATIENCE_S)))

    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert first.status == STATUS.SERVICE_UNKNOWN


async def test_a_watcher_that_takes_nothing_holds_nobody_up(
    health: Any, served: Served
) -> None:
    path = "/grpc.health.v1.Health/Watch"
    stuck = await call_with_closed_window(served.clients, path)
    everybody = health_pb2.HealthCheckRequest()
    other = aiter(health.Watch(everybody, timeout=PATIENCE_S))
    assert (await anext(other)).status == STATUS.SERVING

    served.servers.not_serving()

    assert (await anext(other)).status == STATUS.NOT_SERVING
    async with asyncio.timeout(PATIENCE_S):
        await served.servers.stop(0.1)
    stuck.close()
