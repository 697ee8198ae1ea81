"""Both servers on loopback, in front of a front door that the test fills."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.api.v1 import (
    cluster_service_pb2_grpc,
    job_service_pb2_grpc,
    node_service_pb2_grpc,
    watch_service_pb2_grpc,
)
from hpcsched.rpc.addresses import Address
from hpcsched.rpc.channel import client_channel
from hpcsched.services.server import Servers
from tests.support.fake_front import FakeFront
from tests.support.served import Served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.manual_clock import ManualClock
    from tests.support.seeded_ids import SeededIds

ANY = Address("127.0.0.1", 0)


@pytest.fixture
async def front() -> FakeFront:
    return FakeFront()


@pytest.fixture
async def served(
    front: FakeFront, clock: ManualClock, ids: SeededIds
) -> AsyncIterator[Served]:
    servers = Servers(front, clock, ids)
    clients, agents = servers.bind(ANY, ANY, None)
    await servers.start()
    servers.serving()
    try:
        async with client_channel(clients, None) as channel:
            yield Served(
                servers=servers, clients=clients, agents=agents, channel=channel
            )
    finally:
        await servers.stop(0)


@pytest.fixture
def jobs(served: Served) -> Any:
    return served.stub(job_service_pb2_grpc.JobServiceStub)


@pytest.fixture
def nodes(served: Served) -> Any:
    return served.stub(node_service_pb2_grpc.NodeServiceStub)


@pytest.fixture
def cluster(served: Served) -> Any:
    return served.stub(cluster_service_pb2_grpc.ClusterServiceStub)


@pytest.fixture
def watches(served: Served) -> Any:
    return served.stub(watch_service_pb2_grpc.WatchServiceStub)
