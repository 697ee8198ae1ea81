"""NodeService: compute nodes and their groups."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from hpcsched.api.v1 import node_pb2, node_service_pb2_grpc
from hpcsched.api.v1 import node_service_pb2 as pb
from hpcsched.common.errors import HpcError
from hpcsched.core.listing.nodes import search_nodes
from hpcsched.core.listing.ordering import SortKey, decode_position, encode_position
from hpcsched.core.listing.properties import NODE_PROPERTIES
from hpcsched.runtime.node_front import NodeQuery, NodeUpdate
from hpcsched.services.convert_listing import conditions, projection, sort_keys
from hpcsched.services.convert_node import core_message, group_message, node_message
from hpcsched.services.cursors import Pages
from hpcsched.services.fitting import fitting
from hpcsched.services.gate import caller
from hpcsched.services.requests import page_size, request_of, texts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcsched.runtime.node_front import NodeFront

PAGE = 1000
LARGEST_PAGE = 10_000
_BY_NAME = (SortKey(property=NODE_PROPERTIES["name"]),)


class NodeService(node_service_pb2_grpc.NodeServiceServicer):
    """See the proto."""

    def __init__(self, front: NodeFront) -> None:
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
        query = NodeQuery(
            names=tuple(request.names),
            groups=tuple(request.groups),
            labels=dict(request.labels),
            states=tuple(request.states),
        )
        views = await self._front.find_nodes(caller(), query)
        rest = search_nodes(views, chosen, sort, after)
        nodes = [project(node_message(view)) for view, _ in rest[:size]]
        count = fitting(nodes)
        more = len(rest) > count
        token = pages.encode(encode_position(rest[count - 1][1])) if more else ""
        return pb.ListNodesResponse(nodes=nodes[:count], next_page_token=token)

    async def GetNode(
        self, request: pb.GetNodeRequest, context: Any
    ) -> pb.GetNodeResponse:
        query = NodeQuery(names=(_given(request.name, "name"),))
        (view,) = await self._front.find_nodes(caller(), query)
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
            fenced=request.fenced,
        )
        return pb.OfflineNodesResponse(nodes=map(node_message, views))

    async def UpdateNodes(
        self, request: pb.UpdateNodesRequest, context: Any
    ) -> pb.UpdateNodesResponse:
        affinity: int | None = None
        if request.HasField("affinity"):
            affinity = _known(request.affinity, node_pb2.Node.Affinity, "affinity")
        update = NodeUpdate(
            labels=dict(request.labels),
            job_types=_flags(request.job_types) if request.job_types else None,
            affinity=affinity,
        )
        names = texts(request.names, "names")
        views = await self._front.update_nodes(
            caller(), names, update, request_of(request)
        )
        return pb.UpdateNodesResponse(nodes=map(node_message, views))

    async def ForgetNodes(
        self, request: pb.ForgetNodesRequest, context: Any
    ) -> pb.ForgetNodesResponse:
        names = texts(request.names, "names")
        await self._front.forget_nodes(caller(), names, request_of(request))
        return pb.ForgetNodesResponse()

    async def GetCores(
        self, request: pb.GetCoresRequest, context: Any
    ) -> pb.GetCoresResponse:
        query = NodeQuery(names=(_given(request.name, "name"),))
        (node,) = await self._front.find_nodes(caller(), query)
        cores = [
            core_message(v) for v in await self._front.cores(caller(), request.name)
        ]
        states = Counter(core.state for core in cores)
        idle = states[node_pb2.Core.STATE_IDLE]
        offline = states[node_pb2.Core.STATE_OFFLINE]
        counters = node_pb2.NodeCounters(
            cores=len(cores),
            sockets=node.sockets,
            busy_cores=len(cores) - idle - offline,
            idle_cores=idle,
            offline_cores=offline,
        )
        return pb.GetCoresResponse(cores=cores, counters=counters)

    async def ListNodeGroups(
        self, request: pb.ListNodeGroupsRequest, context: Any
    ) -> pb.ListNodeGroupsResponse:
        views = await self._front.list_groups(caller(), tuple(request.names))
        groups = [group_message(view, nodes=False) for view in views]
        return pb.ListNodeGroupsResponse(groups=groups)

    async def GetNodeGroup(
        self, request: pb.GetNodeGroupRequest, context: Any
    ) -> pb.GetNodeGroupResponse:
        names = [_given(request.name, "name")]
        (view,) = await self._front.list_groups(caller(), names)
        return pb.GetNodeGroupResponse(group=group_message(view, nodes=True))

    async def CreateNodeGroup(
        self, request: pb.CreateNodeGroupRequest, context: Any
    ) -> pb.CreateNodeGroupResponse:
        view = await self._front.create_group(
            caller(),
            _given(request.name, "name"),
            request.description,
            texts(request.nodes, "nodes") if request.nodes else (),
            request_of(request),
        )
        return pb.CreateNodeGroupResponse(group=group_message(view, nodes=True))

    async def UpdateNodeGroup(
        self, request: pb.UpdateNodeGroupRequest, context: Any
    ) -> pb.UpdateNodeGroupResponse:
        name = _given(request.name, "name")
        view = await self._front.describe_group(
            caller(), name, request.description, request_of(request)
        )
        return pb.UpdateNodeGroupResponse(group=group_message(view, nodes=True))

    async def DeleteNodeGroup(
        self, request: pb.DeleteNodeGroupRequest, context: Any
    ) -> pb.DeleteNodeGroupResponse:
        name = _given(request.name, "name")
        await self._front.delete_group(caller(), name, request_of(request))
        return pb.DeleteNodeGroupResponse()

    async def AddNodesToGroup(
        self, request: pb.AddNodesToGroupRequest, context: Any
    ) -> pb.AddNodesToGroupResponse:
        group = await self._change_group(request, add=True)
        return pb.AddNodesToGroupResponse(group=group)

    async def RemoveNodesFromGroup(
        self, request: pb.RemoveNodesFromGroupRequest, context: Any
    ) -> pb.RemoveNodesFromGroupResponse:
        group = await self._change_group(request, add=False)
        return pb.RemoveNodesFromGroupResponse(group=group)

    async def _change_group(
        self,
        request: pb.AddNodesToGroupRequest | pb.RemoveNodesFromGroupRequest,
        *,
        add: bool,
    ) -> node_pb2.NodeGroup:
        view = await self._front.change_group(
            caller(),
            _given(request.group, "group"),
            texts(request.nodes, "nodes"),
            request_of(request),
            add=add,
        )
        return group_message(view, nodes=True)


def _given(value: str, field: str) -> str:
    if not value:
        raise HpcError("REQUIRED_FIELD", field=field)
    return value


def _known(value: int, kind: Any, field: str) -> int:
    """Return a number that the enumeration has.

    Raises:
        HpcError: INVALID_FIELD.
    """
    if value not in kind.values():
        problem = f"{value} is none of {', '.join(kind.keys())}"
        raise HpcError("INVALID_FIELD", field=field, problem=problem)
    return value


def _flags(values: Iterable[int]) -> int:
    flags = 0
    for value in values:
        if value == node_pb2.Node.JOB_TYPE_UNSPECIFIED:
            raise HpcError("REQUIRED_FIELD", field="job_types")
        flags |= _known(value, node_pb2.Node.JobType, "job_types")
    return flags
