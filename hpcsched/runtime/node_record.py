"""What is kept of a node (properties.md 5)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from hpcsched.core.job.codec import pack, unpack
from hpcsched.core.views import NodeView
from hpcsched.store.base import NodeRow

if TYPE_CHECKING:
    from hpcsched.runtime.frames import Hello


class NodeState(IntEnum):
    """Does the node take work? Numbers are the protos'."""

    OFFLINE = 1
    DRAINING = 2
    ONLINE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """A node as it is stored. Times are seconds since 1970, UTC.

    Attributes:
        boot_id, instance, machine_id: As in its last Hello.
        compared_boot_id: The newest boot of which every job has learned what lives
            there. Until then nothing of an older boot may be sent again.
    """

    node_id: int
    name: str
    state: NodeState = NodeState.ONLINE
    previous_state: NodeState = NodeState.ONLINE
    boot_id: str = ""
    instance: str = ""
    machine_id: str = ""
    compared_boot_id: str = ""
    cores: int = 0
    sockets: int = 0
    memory_bytes: int = 0
    containment: str = ""
    groups: tuple[str, ...] = ()
    agent_version: str = ""
    online_time: float | None = None
    offline_time: float | None = None
    reason: str = ""

    def row(self) -> NodeRow:
        """Return what the store keeps."""
        return NodeRow(node_id=self.node_id, name=self.name, blob=pack(asdict(self)))

    @classmethod
    def from_row(cls, row: NodeRow) -> NodeRecord:
        """Return the node of a stored row."""
        known = {one.name for one in fields(cls)}
        values: dict[str, Any] = unpack(row.blob)
        values = {k: v for k, v in values.items() if k in known}
        for name in ("state", "previous_state"):
            values[name] = NodeState(values[name])
        values["groups"] = tuple(values["groups"])
        return cls(**values)

    def learned(self, hello: Hello) -> NodeRecord:
        """Return the record with what a Hello says."""
        resources = hello.resources
        return replace(
            self,
            boot_id=hello.boot_id,
            instance=hello.instance,
            machine_id=hello.machine_id,
            agent_version=hello.agent_version,
            compared_boot_id=self.compared_boot_id or hello.boot_id,
            cores=resources.cores,
            sockets=resources.sockets,
            memory_bytes=resources.memory_bytes,
            containment=resources.containment,
            groups=tuple(resources.groups) or self.groups,
        )

    def in_state(self, state: NodeState, reason: str, now: float) -> NodeRecord:
        """Return the record in another state."""
        return replace(
            self,
            previous_state=self.state,
            state=state,
            reason=reason,
            online_time=now if state is NodeState.ONLINE else self.online_time,
            offline_time=now if state is NodeState.OFFLINE else self.offline_time,
        )

    def view(
        self,
        *,
        reachable: bool,
        heard: float | None,
        cores_in_use: int,
        jobs: tuple[int, ...],
        running: int,
    ) -> NodeView:
        """Return the node as it is shown."""
        return NodeView(
            node_id=self.node_id,
            name=self.name,
            state=int(self.state),
            previous_state=int(self.previous_state),
            reachable=reachable,
            cores=self.cores,
            cores_in_use=cores_in_use,
            sockets=self.sockets,
            memory_bytes=self.memory_bytes,
            groups=self.groups,
            agent_version=self.agent_version,
            boot_id=self.boot_id,
            last_heartbeat_time=heard,
            online_time=self.online_time,
            offline_time=self.offline_time,
            reason=self.reason,
            containment=self.containment,
            job_ids=jobs,
            running_tasks=running,
        )
