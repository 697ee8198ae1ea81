"""Calls about pools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.api.v1 import pool_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.client.api import Caller


class Pools:
    """Pools; only administrators change them."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Caller) -> None:
        self._connection = connection

    async def list(self) -> Sequence[pb.Pool]:
        """Return all pools by name."""
        request = pb.ListPoolsRequest()
        answer = await self._connection.call(lambda s: s.pools.ListPools, request)
        return answer.pools

    async def get(self, name: str) -> pb.Pool:
        """Return a pool."""
        request = pb.GetPoolRequest(name=name)
        answer = await self._connection.call(lambda s: s.pools.GetPool, request)
        return answer.pool

    async def create(
        self, name: str, weight: int = 0, *, request_id: str = ""
    ) -> pb.Pool:
        """Make a pool."""
        request = pb.CreatePoolRequest(
            name=name,
            weight=weight,
            request_id=request_id or self._connection.ids.uuid(),
        )
        answer = await self._connection.call(lambda s: s.pools.CreatePool, request)
        return answer.pool

    async def set(self, name: str, weight: int, *, request_id: str = "") -> pb.Pool:
        """Change the weight of a pool."""
        request = pb.SetPoolRequest(
            name=name,
            weight=weight,
            request_id=request_id or self._connection.ids.uuid(),
        )
        answer = await self._connection.call(lambda s: s.pools.SetPool, request)
        return answer.pool

    async def delete(
        self, name: str, *, force: bool = False, request_id: str = ""
    ) -> None:
        """Delete a pool; with ``force`` even one that is in use."""
        request = pb.DeletePoolRequest(
            name=name,
            force=force,
            request_id=request_id or self._connection.ids.uuid(),
        )
        await self._connection.call(lambda s: s.pools.DeletePool, request)
