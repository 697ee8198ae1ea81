"""PoolService: what is guaranteed to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.api.v1 import pool_service_pb2 as pb
from hpcsched.api.v1 import pool_service_pb2_grpc
from hpcsched.services.gate import caller
from hpcsched.services.requests import request_of

if TYPE_CHECKING:
    from hpcsched.core.views import PoolView
    from hpcsched.runtime.front import PoolFront


class PoolService(pool_service_pb2_grpc.PoolServiceServicer):
    """See the proto."""

    def __init__(self, front: PoolFront) -> None:
        self._front = front

    async def ListPools(
        self, request: pb.ListPoolsRequest, context: Any
    ) -> pb.ListPoolsResponse:
        views = await self._front.list_pools(caller())
        return pb.ListPoolsResponse(pools=map(pool_message, views))

    async def GetPool(
        self, request: pb.GetPoolRequest, context: Any
    ) -> pb.GetPoolResponse:
        view = await self._front.get_pool(caller(), request.name)
        return pb.GetPoolResponse(pool=pool_message(view))

    async def CreatePool(
        self, request: pb.CreatePoolRequest, context: Any
    ) -> pb.CreatePoolResponse:
        view = await self._front.create_pool(
            caller(), request.name, request.weight, request_of(request)
        )
        return pb.CreatePoolResponse(pool=pool_message(view))

    async def SetPool(
        self, request: pb.SetPoolRequest, context: Any
    ) -> pb.SetPoolResponse:
        view = await self._front.set_pool(
            caller(), request.name, request.weight, request_of(request)
        )
        return pb.SetPoolResponse(pool=pool_message(view))

    async def DeletePool(
        self, request: pb.DeletePoolRequest, context: Any
    ) -> pb.DeletePoolResponse:
        await self._front.delete_pool(
            caller(), request.name, request_of(request), force=request.force
        )
        return pb.DeletePoolResponse()


def pool_message(view: PoolView) -> pb.Pool:
    """Return a pool as it is shown."""
    return pb.Pool(
        name=view.name,
        weight=view.weight,
        guarantee=view.guarantee,
        current_allocation=view.current_allocation,
        jobs=view.jobs,
    )
