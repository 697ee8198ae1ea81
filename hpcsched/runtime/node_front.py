"""The front door of nodes and node groups (see ``runtime.front``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcsched.core.caller import Caller
    from hpcsched.core.views import CoreView, GroupView, NodeView
    from hpcsched.runtime.front import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeQuery:
    """Which nodes; all conditions must hold.

    Attributes:
        groups: In all of these.
        labels: With all of these; an empty value stands for any.
        states: NodeState numbers.
    """

    names: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    states: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeUpdate:
    """What administrators say about nodes; None: no change.

    Attributes:
        labels: To set; an empty value deletes one.
        job_types: Flags of node_record.JobTypes.
        affinity: A node_record.Affinity number.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    job_types: int | None = None
    affinity: int | None = None


class NodeFront(Protocol):
    """Use cases of nodes and node groups."""

    async def find_nodes(self, caller: Caller, query: NodeQuery) -> Sequence[NodeView]:
        """Return the nodes that a query chooses, by name."""
        ...

    async def online_nodes(
        self, caller: Caller, names: Sequence[str], request: Request
    ) -> Sequence[NodeView]: ...
    async def offline_nodes(
        self,
        caller: Caller,
        names: Sequence[str],
        request: Request,
        *,
        drain: bool,
        reason: str,
        fenced: bool = False,
    ) -> Sequence[NodeView]: ...
    async def update_nodes(
        self, caller: Caller, names: Sequence[str], update: NodeUpdate, request: Request
    ) -> Sequence[NodeView]: ...
    async def forget_nodes(
        self, caller: Caller, names: Sequence[str], request: Request
    ) -> None: ...
    async def cores(self, caller: Caller, name: str) -> Sequence[CoreView]: ...
    async def list_groups(
        self, caller: Caller, names: Sequence[str]
    ) -> Sequence[GroupView]:
        """Return node groups by name; all when no names are given."""
        ...

    async def create_group(
        self,
        caller: Caller,
        name: str,
        description: str,
        nodes: Sequence[str],
        request: Request,
    ) -> GroupView: ...
    async def describe_group(
        self, caller: Caller, name: str, description: str, request: Request
    ) -> GroupView: ...
    async def delete_group(
        self, caller: Caller, name: str, request: Request
    ) -> None: ...
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
        ...
