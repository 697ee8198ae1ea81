"""Use cases of node groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.runtime.node_calls import NodeCalls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.core.caller import Caller
    from hpcsched.core.views import GroupView
    from hpcsched.runtime.front import Request
    from hpcsched.runtime.node_calls import Act
    from hpcsched.store.base import RequestRow


class GroupCalls(NodeCalls):
    """The rest of ``runtime.front.NodeFront``."""

    async def list_groups(
        self, caller: Caller, names: Sequence[str]
    ) -> Sequence[GroupView]:
        """Return node groups by name; all without names."""
        del caller
        return self._world.groups.views(names)

    async def create_group(
        self,
        caller: Caller,
        name: str,
        description: str,
        nodes: Sequence[str],
        request: Request,
    ) -> GroupView:
        """Make a node group."""
        caller.require_administrator("create node groups")
        actors = [self._world.nodes.find(node) for node in dict.fromkeys(nodes)]
        groups = self._world.groups

        async def act(row: RequestRow | None) -> None:
            await groups.create(name, description, actors, caller.user, row)

        return await self._changed_group(caller, request, act, name)

    async def describe_group(
        self, caller: Caller, name: str, description: str, request: Request
    ) -> GroupView:
        """Change a node group's description."""
        caller.require_administrator("change node groups")
        groups = self._world.groups

        async def act(row: RequestRow | None) -> None:
            await groups.describe(name, description, caller.user, row)

        return await self._changed_group(caller, request, act, name)

    async def delete_group(self, caller: Caller, name: str, request: Request) -> None:
        """Delete a node group."""
        caller.require_administrator("delete node groups")
        groups = self._world.groups

        async def act(row: RequestRow | None) -> None:
            await groups.delete(name, caller.user, row)

        await self._node_once(caller, request, act)

    async def change_group(
        self,
        caller: Caller,
        name: str,
        nodes: Sequence[str],
        request: Request,
        *,
        add: bool,
    ) -> GroupView:
        """Put nodes into a group or take them out; all or none."""
        caller.require_administrator("change node groups")
        groups = self._world.groups
        groups.require(name)
        actors = self._some_nodes(nodes, "nodes")
        change = groups.add if add else groups.remove

        async def act(row: RequestRow | None) -> None:
            await change(name, actors, caller.user, row)

        return await self._changed_group(caller, request, act, name)

    async def _changed_group(
        self, caller: Caller, request: Request, act: Act, name: str
    ) -> GroupView:
        await self._node_once(caller, request, act)
        (view,) = self._world.groups.views([name])
        return view
