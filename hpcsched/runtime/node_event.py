"""Something that happened to a node or a group: as it is kept, and as it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hpcsched.core.job.codec import pack, unpack
from hpcsched.core.views import EventView
from hpcsched.store.base import EventRow

if TYPE_CHECKING:
    from typing import Any

    from hpcsched.store.base import StoredEvent

SYSTEM: Final = "system"
"""The actor of what nobody asked for."""


def agent_of(node: str) -> str:
    """Return the actor of what a node does by itself."""
    return f"node:{node}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeEvent:
    """Something that happened to a node, or (without ``node``) to a group of nodes.

    Attributes:
        name: Such as ``NodeOnline``, ``NodeGroupsChanged``, ``NodeGroupCreated``.
        actor: Who caused it: a user, ``node:NAME``, ``system``.
        state, previous: NodeState numbers, equal where the state did not change.
        message: Why, or what changed.
        joined, left: Names of groups.
        group: The group, in an event of a group.
    """

    name: str
    time: float
    actor: str
    node: str = ""
    state: int = 0
    previous: int = 0
    reachable: bool = True
    message: str = ""
    joined: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    group: str = ""

    def row(self) -> EventRow:
        """Return it as it is kept."""
        body: dict[str, Any] = {
            "n": self.name,
            "a": self.actor,
            "t": self.message,
            "c": [(int(self.reachable), (), int(self.state), int(self.previous))],
            "d": self.node,
        }
        if self.joined or self.left:
            body["g"] = (self.joined, self.left)
        if self.group:
            body["o"] = self.group
        return EventRow(job_id=0, revision=0, time=self.time, owner="", body=pack(body))

    def view(self, seq: int) -> EventView:
        """Return it as watchers see it."""
        return EventView(
            seq=seq,
            job_id=0,
            revision=0,
            time=self.time,
            owner="",
            name=self.name,
            actor=self.actor,
            message=self.message,
            node=self.node,
            node_state=(int(self.state), int(self.previous)),
            node_reachable=self.reachable,
            joined_groups=self.joined,
            left_groups=self.left,
            group=self.group,
        )


def stored_node_event(row: StoredEvent) -> NodeEvent:
    """Return an event of a node as it was kept.

    The first version of the program named the node in the actor only.
    """
    body = unpack(row.body)
    ((reachable, _, state, previous),) = body["c"]
    joined, left = body.get("g", ((), ()))
    return NodeEvent(
        name=body["n"],
        time=row.time,
        actor=body["a"],
        node=body["d"] if "d" in body else body["a"].removeprefix("node:"),
        state=state,
        previous=previous,
        reachable=bool(reachable),
        message=body.get("t", ""),
        joined=tuple(joined),
        left=tuple(left),
        group=body.get("o", ""),
    )
