"""Groups of nodes: their names are definitions, their nodes are kept with the nodes.

Administrators make them; so does a node that declares one in its configuration, which
suits nodes that come and go. One is built in: every node is in ``ComputeNodes``. What
administrators say about a node and a group counts more than what the node declares.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.codec import pack, unpack
from hpcsched.core.views import GroupView
from hpcsched.runtime.node_changes import Change
from hpcsched.runtime.node_event import NodeEvent
from hpcsched.runtime.node_record import COMPUTE_NODES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hpcsched.runtime.node_actor import NodeActor
    from hpcsched.runtime.node_record import NodeRecord
    from hpcsched.runtime.world import World
    from hpcsched.store.base import RequestRow

KIND: Final = "group"
NAME_LIMIT: Final = 80
DESCRIPTION_LIMIT: Final = 320
GROUP_LIMIT: Final = 10_000
_BUILT_IN: Final = {COMPUTE_NODES: "Every node of the cluster"}
#: Lists of groups are written with commas and semicolons.
_NAME: Final = re.compile(r"[^\s,;](?:[^\t\n\r\f\v,;]*[^\s,;])?")


class NodeGroups:
    """See the module."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._descriptions: dict[str, str] = {}

    def restore(self, entries: Mapping[tuple[str, str], bytes]) -> None:
        """Take in what is stored."""
        for (kind, name), body in entries.items():
            if kind == KIND:
                self._descriptions[name] = unpack(body).get("description", "")

    def known(self, name: str) -> bool:
        """Is there such a group?"""
        return name in self._descriptions or name in _BUILT_IN

    def require(self, name: str) -> None:
        """Refuse a name that is no group's.

        Raises:
            HpcError: NODE_GROUP_NOT_FOUND.
        """
        if not self.known(name):
            raise HpcError("NODE_GROUP_NOT_FOUND", group=name)

    def views(self, names: Sequence[str] = ()) -> list[GroupView]:
        """Return groups by name; all without names.

        Raises:
            HpcError: NODE_GROUP_NOT_FOUND.
        """
        for name in names:
            self.require(name)
        chosen = sorted(set(names) or {*self._descriptions, *_BUILT_IN})
        nodes: dict[str, list[str]] = {name: [] for name in chosen}
        for actor in self._world.nodes:
            for group in actor.record.groups:
                if group in nodes:
                    nodes[group].append(actor.record.name)
        return [
            GroupView(
                name=name,
                description=self._descriptions.get(name) or _BUILT_IN.get(name, ""),
                managed=name in _BUILT_IN,
                nodes=tuple(sorted(nodes[name])),
            )
            for name in chosen
        ]

    async def create(
        self,
        name: str,
        description: str,
        nodes: Sequence[NodeActor],
        by: str,
        request: RequestRow | None,
    ) -> None:
        """Make a group, with nodes in it.

        Raises:
            HpcError: INVALID_FIELD, TEXT_TOO_LONG, NODE_GROUP_EXISTS, QUEUE_FULL;
                DISK_FULL, OUTCOME_UNKNOWN.
        """
        check_name(name)
        _check_description(description)

        def decide() -> Change:
            for other in (*self._descriptions, *_BUILT_IN):
                if other.casefold() == name.casefold():
                    raise HpcError("NODE_GROUP_EXISTS", group=other)
            if len(self._descriptions) >= GROUP_LIMIT:
                raise HpcError("QUEUE_FULL", what="there are too many node groups")
            change = self._members(nodes, by, joins=name)
            change.events = [
                self._event("NodeGroupCreated", name, by, description),
                *change.events,
            ]
            return self._defining(change, name, description)

        await self._make(nodes, decide, request)

    async def describe(
        self, name: str, description: str, by: str, request: RequestRow | None
    ) -> None:
        """Change a group's description.

        Raises:
            HpcError: TEXT_TOO_LONG, NODE_GROUP_NOT_FOUND, NODE_GROUP_MANAGED;
                DISK_FULL, OUTCOME_UNKNOWN.
        """
        _check_description(description)

        def decide() -> Change:
            self._require_own(name)
            event = self._event("NodeGroupChanged", name, by, description)
            return self._defining(Change(events=[event]), name, description)

        await self._make((), decide, request)

    async def delete(self, name: str, by: str, request: RequestRow | None) -> None:
        """Delete a group; its nodes are no longer in it, even if they declare it.

        Jobs that name it wait until there is one of that name again.

        Raises:
            HpcError: NODE_GROUP_NOT_FOUND, NODE_GROUP_MANAGED; DISK_FULL,
                OUTCOME_UNKNOWN.
        """
        nodes = list(self._world.nodes)

        def decide() -> Change:
            self._require_own(name)
            change = self._members(nodes, by, leaves=name)
            change.events = [
                *change.events,
                self._event("NodeGroupDeleted", name, by, ""),
            ]
            change.entries = {(KIND, name): None}
            change.then = lambda: _forget(self._descriptions, name)
            return change

        await self._make(nodes, decide, request)

    async def add(
        self,
        name: str,
        nodes: Sequence[NodeActor],
        by: str,
        request: RequestRow | None,
    ) -> None:
        """Put nodes into a group.

        Raises:
            HpcError: NODE_GROUP_NOT_FOUND, NODE_GROUP_MANAGED; DISK_FULL,
                OUTCOME_UNKNOWN.
        """

        def decide() -> Change:
            self._require_own(name)
            return self._members(nodes, by, joins=name)

        await self._make(nodes, decide, request)

    async def remove(
        self,
        name: str,
        nodes: Sequence[NodeActor],
        by: str,
        request: RequestRow | None,
    ) -> None:
        """Take nodes out of a group; those that are not in it are passed over.

        Raises:
            HpcError: NODE_GROUP_NOT_FOUND, NODE_GROUP_MANAGED; DISK_FULL,
                OUTCOME_UNKNOWN.
        """

        def decide() -> Change:
            self._require_own(name)
            return self._members(nodes, by, leaves=name)

        await self._make(nodes, decide, request)

    def declared(self, names: Iterable[str], by: str) -> Change:
        """Return what makes groups of those that a node declares and nobody knows."""
        change = Change()
        for name in names:
            if not self.known(name):
                event = self._event("NodeGroupCreated", name, by, "")
                change.events = [*change.events, event]
                change.entries = {**change.entries, (KIND, name): _body("")}
        new = [name for _, name in change.entries]
        change.then = lambda: self._descriptions.update(dict.fromkeys(new, ""))
        return change

    async def _make(
        self, nodes: Sequence[NodeActor], decide: Any, request: RequestRow | None
    ) -> None:
        # Definitions have a turn of their own, as if they were a node of no name.
        names = [actor.record.name for actor in nodes]
        await self._world.nodes.changes.make(["", *names], decide, request)

    def _require_own(self, name: str) -> None:
        self.require(name)
        if name in _BUILT_IN:
            raise HpcError("NODE_GROUP_MANAGED", group=name)

    def _defining(self, change: Change, name: str, description: str) -> Change:
        change.entries = {(KIND, name): _body(description)}
        change.then = lambda: self._descriptions.update({name: description})
        return change

    def _members(
        self,
        nodes: Iterable[NodeActor],
        by: str,
        *,
        joins: str = "",
        leaves: str = "",
    ) -> Change:
        now = self._world.clock.wall()
        records: dict[str, tuple[NodeActor, NodeRecord]] = {}
        events = []
        for actor in nodes:
            before = actor.record
            record = before.with_group(joins) if joins else before
            record = record.without_group(leaves) if leaves else record
            if record == before or before.removed:
                continue
            records[record.name] = (actor, record)
            event = groups_event(before, record, by, now, reachable=actor.reachable)
            events += [] if event is None else [event]
        return Change(records=list(records.values()), events=events)

    def _event(self, what: str, group: str, by: str, message: str) -> NodeEvent:
        now = self._world.clock.wall()
        return NodeEvent(name=what, time=now, actor=by, group=group, message=message)


def groups_event(
    before: NodeRecord, record: NodeRecord, by: str, now: float, *, reachable: bool
) -> NodeEvent | None:
    """Return the event of a node whose groups differ, or None."""
    old, new = set(before.groups), set(record.groups)
    if old == new:
        return None
    return NodeEvent(
        name="NodeGroupsChanged",
        time=now,
        actor=by,
        node=record.name,
        state=record.state,
        previous=record.state,
        reachable=reachable,
        joined=tuple(sorted(new - old)),
        left=tuple(sorted(old - new)),
    )


def is_name(name: str) -> bool:
    """Can a group be called so?"""
    return len(name) <= NAME_LIMIT and bool(_NAME.fullmatch(name))


def check_name(name: str) -> None:
    """Refuse what cannot be a group's name.

    Raises:
        HpcError: REQUIRED_FIELD, TEXT_TOO_LONG, INVALID_FIELD.
    """
    if not name:
        raise HpcError("REQUIRED_FIELD", field="group")
    if len(name) > NAME_LIMIT:
        length = len(name)
        raise HpcError("TEXT_TOO_LONG", field="group", length=length, limit=NAME_LIMIT)
    if not is_name(name):
        problem = f"{name!r}: no commas, semicolons or blanks at the ends"
        raise HpcError("INVALID_FIELD", field="group", problem=problem)


def _check_description(text: str) -> None:
    if len(text) > DESCRIPTION_LIMIT:
        raise HpcError(
            "TEXT_TOO_LONG",
            field="description",
            length=len(text),
            limit=DESCRIPTION_LIMIT,
        )


def _body(description: str) -> bytes:
    return pack({"description": description})


def _forget(descriptions: dict[str, str], name: str) -> None:
    descriptions.pop(name, None)
