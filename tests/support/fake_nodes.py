"""Nodes and groups of the fake API (tests.support.fake_api)."""
# ruff: noqa: N802 - names come from the protos

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.api.v1 import node_pb2, node_service_pb2
from hpcsched.common.errors import HpcError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.fake_api import FakeApi

NODE = node_pb2.Node


class FakeNodes:
    """The nodes that a test has put there."""

    def __init__(self, api: FakeApi) -> None:
        self._api = api

    def _some(self, names: Any, change: Callable[[Any], None]) -> list[Any]:
        for name in names:
            if name not in self._api.nodes:
                raise HpcError("NODE_NOT_FOUND", node=name)
        for name in names:
            change(self._api.nodes[name])
        return [self._api.nodes[name] for name in names]

    def ListNodes(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            names = request.names or sorted(self._api.nodes)
            found = [self._api.nodes[n] for n in names if n in self._api.nodes]
            return _nodes("ListNodesResponse", found)

        return self._api.answer("ListNodes", request, context, work)

    def GetNode(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            (node,) = self._some([request.name], lambda _: None)
            return _message("GetNodeResponse")(node=node)

        return self._api.answer("GetNode", request, context, work)

    def OnlineNodes(self, request: Any, context: Any) -> Any:
        def change(node: Any) -> None:
            node.state = NODE.STATE_ONLINE

        def work() -> Any:
            return _nodes("OnlineNodesResponse", self._some(request.names, change))

        return self._api.answer("OnlineNodes", request, context, work)

    def OfflineNodes(self, request: Any, context: Any) -> Any:
        def change(node: Any) -> None:
            node.state = NODE.STATE_DRAINING if request.drain else NODE.STATE_OFFLINE
            node.reason = request.reason

        def work() -> Any:
            return _nodes("OfflineNodesResponse", self._some(request.names, change))

        return self._api.answer("OfflineNodes", request, context, work)

    def UpdateNodes(self, request: Any, context: Any) -> Any:
        def change(node: Any) -> None:
            node.labels.update(request.labels)
            if request.job_types:
                node.job_types[:] = request.job_types
            if request.HasField("affinity"):
                node.affinity = request.affinity

        def work() -> Any:
            return _nodes("UpdateNodesResponse", self._some(request.names, change))

        return self._api.answer("UpdateNodes", request, context, work)

    def ForgetNodes(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            for node in self._some(request.names, lambda _: None):
                del self._api.nodes[node.name]
            return _message("ForgetNodesResponse")()

        return self._api.answer("ForgetNodes", request, context, work)

    def GetCores(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            (node,) = self._some([request.name], lambda _: None)
            idle = node_pb2.Core.STATE_IDLE
            cores = [node_pb2.Core(id=n, state=idle) for n in range(1, node.cores)]
            busy = node_pb2.Core(
                state=node_pb2.Core.STATE_BUSY, job_id=1, task_id=2, instance_id=3
            )
            counters = node_pb2.NodeCounters(cores=node.cores, busy_cores=1)
            return _message("GetCoresResponse")(cores=[busy, *cores], counters=counters)

        return self._api.answer("GetCores", request, context, work)

    def _group(self, name: str) -> Any:
        if name not in self._api.groups:
            raise HpcError("NODE_GROUP_NOT_FOUND", group=name)
        return self._api.groups[name]

    def _changed(self, method: str, request: Any, context: Any, work: Any) -> Any:
        def changed() -> Any:
            group = work()
            group.node_count = len(group.nodes)
            return _message(f"{method}Response")(group=group)

        return self._api.answer(method, request, context, changed)

    def ListNodeGroups(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            groups = [node_pb2.NodeGroup() for _ in self._api.groups]
            for group, known in zip(groups, self._api.groups.values(), strict=True):
                group.CopyFrom(known)
                del group.nodes[:]
            return _message("ListNodeGroupsResponse")(groups=groups)

        return self._api.answer("ListNodeGroups", request, context, work)

    def GetNodeGroup(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            return self._group(request.name)

        return self._changed("GetNodeGroup", request, context, work)

    def CreateNodeGroup(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            group = node_pb2.NodeGroup(
                name=request.name,
                description=request.description,
                nodes=request.nodes,
            )
            self._api.groups[group.name] = group
            return group

        return self._changed("CreateNodeGroup", request, context, work)

    def UpdateNodeGroup(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            group = self._group(request.name)
            group.description = request.description
            return group

        return self._changed("UpdateNodeGroup", request, context, work)

    def DeleteNodeGroup(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            del self._api.groups[self._group(request.name).name]
            return _message("DeleteNodeGroupResponse")()

        return self._api.answer("DeleteNodeGroup", request, context, work)

    def AddNodesToGroup(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            group = self._group(request.group)
            group.nodes.extend(request.nodes)
            return group

        return self._changed("AddNodesToGroup", request, context, work)

    def RemoveNodesFromGroup(self, request: Any, context: Any) -> Any:
        def work() -> Any:
            group = self._group(request.group)
            left = [name for name in group.nodes if name not in request.nodes]
            group.nodes[:] = left
            return group

        return self._changed("RemoveNodesFromGroup", request, context, work)


def _message(name: str) -> Any:
    return getattr(node_service_pb2, name)


def _nodes(name: str, nodes: list[Any]) -> Any:
    return _message(name)(nodes=nodes)
