"""NodeService: compute nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.api.v1 import node_pb2, node_service_pb2_grpc
from hpcsched.api.v1 import node_service_pb2 as pb
from hpcsched.common.errors import HpcError
from hpcsched.core.listing.nodes import search_nodes
from hpcsched.core.listing.ordering import SortKey, decode_position, encode_position
from hpcsched.core.listing.properties import NODE_PROPERTIES
from hpcsched.services.convert_listing import conditions, projection, sort_keys
from hpcsched.services.convert_node import node_message
from hpcsched.services.cursors import Pages
from hpcsched.services.fitting import fitting
from hpcsched.services.gate import caller
from hpcsched.services.requests import page_size, request_of, texts

if TYPE_CHECKING:
    from hpcsched.runtime.front import ClusterFront

PAGE = 1000
LARGEST_PAGE = 10_000
_BY_NAME = (SortKey(property=NODE_PROPERTIES["name"]),)


class NodeService(node_service_pb2_grpc.NodeServiceServicer):
    """See the proto."""

    def __init__(self, front: ClusterFront) -> None:
        self._front = front

    async def ListNodes(
        self, request: pb.ListNodesRequest, context: Any
    ) -> pb.ListNodesResponse:
        size = page_size(request.page_size, default=PAGE, largest=LARGEST_PAGE)
        pages = Pages(request)
        sort = sort_keys(request, NODE_PROPERTIES) or _BY_NAME
        token = pages.decode(request.page_token)
        after = decode_position(token, sort, 1) if token else None
        chosen = conditions(request, NODE_PROPERTIES)
        project = projection(request.read_mask, node_pb2.Node.DESCRIPTOR)
        views = await self._front.list_nodes(caller(), tuple(request.names))
        rest = search_nodes(views, chosen, sort, after)
        nodes = [project(node_message(view)) for view, _ in rest[:size]]
        count = fitting(nodes)
        more = len(rest) > count
        token = pages.encode(encode_position(rest[count - 1][1])) if more else ""
        return pb.ListNodesResponse(nodes=nodes[:count], next_page_token=token)

    async def GetNode(
        self, request: pb.GetNodeRequest, context: Any
    ) -> pb.GetNodeResponse:
        if not request.name:
            raise HpcError("REQUIRED_FIELD", field="name")
        (view,) = await self._front.list_nodes(caller(), [request.name])
        return pb.GetNodeResponse(node=node_message(view))

    async def OnlineNodes(
        self, request: pb.OnlineNodesRequest, context: Any
    ) -> pb.OnlineNodesResponse:
        names = texts(request.names, "names")
        views = await self._front.online_nodes(caller(), names, request_of(request))
        return pb.OnlineNodesResponse(nodes=map(node_message, views))

    async def OfflineNodes(
        self, request: pb.OfflineNodesRequest, context: Any
    ) -> pb.OfflineNodesResponse:
        views = await self._front.offline_nodes(
            caller(),
            texts(request.names, "names"),
            request_of(request),
            drain=request.drain,
            reason=request.reason,
        )
        return pb.OfflineNodesResponse(nodes=map(node_message, views))
