"""Calls about nodes and node groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.api.v1 import node_pb2, node_service_pb2
from hpcsched.client.listing import EVERYTHING, Choice
from hpcsched.client.pages import Page, gather

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hpcsched.client.api import Caller

LARGEST_NODE_PAGE: Final = 10_000


class Nodes:
    """Nodes of the cluster; only administrators change them."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Caller) -> None:
        self._connection = connection

    async def list(
        self,
        names: Iterable[str] = (),
        *,
        groups: Iterable[str] = (),
        labels: Mapping[str, str] | None = None,
        choice: Choice = EVERYTHING,
        limit: int | None = None,
        page_token: str = "",
    ) -> Page[node_pb2.Node]:
        """Return nodes, by name unless ``choice`` says otherwise.

        Args:
            names: Only these; without names all of them.
            groups: Only nodes that are in all of these.
            labels: Only nodes with all of these; an empty value stands for any.
            choice: Conditions, the order, and which fields.
            limit: Most nodes to return; None fetches every page.
            page_token: Where an earlier list stopped.
        """
        wanted, within = tuple(names), tuple(groups)

        async def fetch(size: int, token: str) -> Page[node_pb2.Node]:
            request = node_service_pb2.ListNodesRequest(
                names=wanted,
                groups=within,
                labels=labels,
                page_size=size,
                page_token=token,
            )
            choice.put_into(request)
            answer = await self._connection.call(lambda s: s.nodes.ListNodes, request)
            return Page(items=answer.nodes, next_page_token=answer.next_page_token)

        return await gather(
            fetch, limit=limit, page_token=page_token, page_size=LARGEST_NODE_PAGE
        )

    async def get(self, name: str) -> node_pb2.Node:
        """Return a node."""
        request = node_service_pb2.GetNodeRequest(name=name)
        answer = await self._connection.call(lambda s: s.nodes.GetNode, request)
        return answer.node

    async def online(
        self, names: Iterable[str], *, request_id: str = ""
    ) -> Sequence[node_pb2.Node]:
        """Let nodes take work."""
        request = node_service_pb2.OnlineNodesRequest(
            names=names, request_id=request_id or self._connection.ids.uuid()
        )
        answer = await self._connection.call(lambda s: s.nodes.OnlineNodes, request)
        return answer.nodes

    async def offline(
        self,
        names: Iterable[str],
        *,
        drain: bool = False,
        reason: str = "",
        fenced: bool = False,
        request_id: str = "",
    ) -> Sequence[node_pb2.Node]:
        """Take nodes out at once, or with ``drain`` after what runs there has ended.

        ``fenced``: they are lost, and nothing runs there any more.
        """
        request = node_service_pb2.OfflineNodesRequest(
            names=names,
            drain=drain,
            reason=reason,
            fenced=fenced,
            request_id=request_id or self._connection.ids.uuid(),
        )
        answer = await self._connection.call(lambda s: s.nodes.OfflineNodes, request)
        return answer.nodes

    async def update(
        self,
        names: Iterable[str],
        *,
        labels: Mapping[str, str] | None = None,
        job_types: Iterable[node_pb2.Node.JobType.ValueType] = (),
        affinity: node_pb2.Node.Affinity.ValueType | None = None,
        request_id: str = "",
    ) -> Sequence[node_pb2.Node]:
        """Change what administrators say about nodes, all of them or none.

        Args:
            names: The nodes.
            labels: To set; an empty value deletes one.
            job_types: Kinds of jobs that they take; none: no change.
            affinity: Their own word on AffinityType; None: no change.
            request_id: Makes the call repeatable.
        """
        request = node_service_pb2.UpdateNodesRequest(
            names=names,
            labels=labels,
            job_types=job_types,
            affinity=affinity,
            request_id=request_id or self._connection.ids.uuid(),
        )
        answer = await self._connection.call(lambda s: s.nodes.UpdateNodes, request)
        return answer.nodes

    async def forget(self, names: Iterable[str], *, request_id: str = "") -> None:
        """Forget nodes that are gone for good, all of them or none."""
        request = node_service_pb2.ForgetNodesRequest(
            names=names, request_id=request_id or self._connection.ids.uuid()
        )
        await self._connection.call(lambda s: s.nodes.ForgetNodes, request)

    async def cores(self, name: str) -> node_service_pb2.GetCoresResponse:
        """Return what each core of a node does now."""
        request = node_service_pb2.GetCoresRequest(name=name)
        return await self._connection.call(lambda s: s.nodes.GetCores, request)


class Groups:
    """Node groups; only administrators change them."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Caller) -> None:
        self._connection = connection

    async def list(self, names: Iterable[str] = ()) -> Sequence[node_pb2.NodeGroup]:
        """Return groups by name, without the names of their nodes."""
        request = node_service_pb2.ListNodeGroupsRequest(names=names)
        answer = await self._connection.call(lambda s: s.nodes.ListNodeGroups, request)
        return answer.groups

    async def get(self, name: str) -> node_pb2.NodeGroup:
        """Return a group with the names of its nodes."""
        request = node_service_pb2.GetNodeGroupRequest(name=name)
        answer = await self._connection.call(lambda s: s.nodes.GetNodeGroup, request)
        return answer.group

    async def create(
        self,
        name: str,
        *,
        description: str = "",
        nodes: Iterable[str] = (),
        request_id: str = "",
    ) -> node_pb2.NodeGroup:
        """Make a group."""
        request = node_service_pb2.CreateNodeGroupRequest(
            name=name,
            description=description,
            nodes=nodes,
            request_id=request_id or self._connection.ids.uuid(),
        )
        answer = await self._connection.call(lambda s: s.nodes.CreateNodeGroup, request)
        return answer.group

    async def describe(
        self, name: str, description: str, *, request_id: str = ""
    ) -> node_pb2.NodeGroup:
        """Change a group's description."""
        request = node_service_pb2.UpdateNodeGroupRequest(
            name=name,
            description=description,
            request_id=request_id or self._connection.ids.uuid(),
        )
        answer = await self._connection.call(lambda s: s.nodes.UpdateNodeGroup, request)
        return answer.group

    async def delete(self, name: str, *, request_id: str = "") -> None:
        """Delete a group; its nodes stay."""
        request = node_service_pb2.DeleteNodeGroupRequest(
            name=name, request_id=request_id or self._connection.ids.uuid()
        )
        await self._connection.call(lambda s: s.nodes.DeleteNodeGroup, request)

    async def add(
        self, name: str, nodes: Iterable[str], *, request_id: str = ""
    ) -> node_pb2.NodeGroup:
        """Put nodes into a group, all or none."""
        request = node_service_pb2.AddNodesToGroupRequest(
            group=name,
            nodes=nodes,
            request_id=request_id or self._connection.ids.uuid(),
        )
        answer = await self._connection.call(lambda s: s.nodes.AddNodesToGroup, request)
        return answer.group

    async def remove(
        self, name: str, nodes: Iterable[str], *, request_id: str = ""
    ) -> node_pb2.NodeGroup:
        """Take nodes out of a group, all or none."""
        request = node_service_pb2.RemoveNodesFromGroupRequest(
            group=name,
            nodes=nodes,
            request_id=request_id or self._connection.ids.uuid(),
        )
        answer = await self._connection.call(
            lambda s: s.nodes.RemoveNodesFromGroup, request
        )
        return answer.group
