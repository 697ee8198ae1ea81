"""Pools over the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.api.v1 import pool_service_pb2 as pb
from hpcsched.api.v1 import pool_service_pb2_grpc
from hpcsched.core.views import PoolView

if TYPE_CHECKING:
    from tests.support.fake_front import FakeFront
    from tests.support.served import Served

VIEW = PoolView(name="a", weight=3, guarantee=6, current_allocation=2, jobs=1)
POOL = pb.Pool(name="a", weight=3, guarantee=6, current_allocation=2, jobs=1)


@pytest.fixture
def pools(served: Served) -> Any:
    return served.stub(pool_service_pb2_grpc.PoolServiceStub)


async def test_pools_are_listed_shown_made_changed_and_deleted(
    pools: Any, front: FakeFront
) -> None:
    front.answers["list_pools"] = [VIEW]
    for name in ("get_pool", "create_pool", "set_pool"):
        front.answers[name] = VIEW
    front.answers["delete_pool"] = None

    assert list((await pools.ListPools(pb.ListPoolsRequest())).pools) == [POOL]
    assert (await pools.GetPool(pb.GetPoolRequest(name="a"))).pool == POOL
    request = pb.CreatePoolRequest(name="a", weight=3, request_id="r")
    assert (await pools.CreatePool(request)).pool == POOL
    assert (await pools.SetPool(pb.SetPoolRequest(name="a", weight=3))).pool == POOL
    await pools.DeletePool(pb.DeletePoolRequest(name="a", force=True))

    calls = dict(front.calls)
    made, changed = calls["create_pool"], calls["set_pool"]
    assert (made["name"], made["weight"]) == ("a", 3)
    assert made["request"].request_id == "r"
    assert (changed["name"], changed["weight"]) == ("a", 3)
    assert (calls["delete_pool"]["name"], calls["delete_pool"]["force"]) == ("a", True)
