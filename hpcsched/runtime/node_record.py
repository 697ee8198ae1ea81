"""What is kept of a node (properties.md 5)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
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


@dataclass(slots=True, kw_only=True)
class NodeRecord:
    """A node as it is stored. Times are seconds since 1970, UTC.

    Attributes:
        boot_id, instance, machine_id: As in its last Hello.
    """

    node_id: int
    name: str
    state: NodeState = NodeState.ONLINE
    previous_state: NodeState = NodeState.ONLINE
    boot_id: str = ""
    instance: str = ""
    machine_id: str = ""
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
        record = cls(**{k: v for k, v in values.items() if k in known})
        record.state = NodeState(record.state)
        record.previous_state = NodeState(record.previous_state)
        return record

    def learn(self, hello: Hello) -> bool:
        """Take over what a Hello says; True if anything is new."""
        before = asdict(self)
        resources = hello.resources
        self.boot_id, self.instance = hello.boot_id, hello.instance
        self.machine_id, self.agent_version = hello.machine_id, hello.agent_version
        self.cores, self.sockets = resources.cores, resources.sockets
        self.memory_bytes = resources.memory_bytes
        self.containment = resources.containment
        if resources.groups:
            self.groups = tuple(resources.groups)
        return asdict(self) != before

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
