"""Something that happened to a node: as it is kept, and as it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcsched.core.job.codec import pack
from hpcsched.core.views import EventView
from hpcsched.store.base import EventRow

if TYPE_CHECKING:
    from hpcsched.runtime.node_record import NodeState


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeEvent:
    """Something that happened to a node."""

    name: str
    node: str
    state: NodeState
    previous: NodeState
    reachable: bool
    message: str
    time: float

    def row(self) -> EventRow:
        """Return it as it is kept (feed.stored_event_view reads it)."""
        change = (int(self.reachable), (), int(self.state), int(self.previous))
        body = pack(
            {
                "n": self.name,
                "a": f"node:{self.node}",
                "t": self.message,
                "c": [change],
            }
        )
        return EventRow(job_id=0, revision=0, time=self.time, owner="", body=body)

    def view(self, seq: int) -> EventView:
        """Return it as watchers see it."""
        return EventView(
            seq=seq,
            job_id=0,
            revision=0,
            time=self.time,
            owner="",
            name=self.name,
            actor=f"node:{self.node}",
            message=self.message,
            node=self.node,
            node_state=(int(self.state), int(self.previous)),
            node_reachable=self.reachable,
        )
