"""What is kept of a node (properties.md 5)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, Any, Final

from hpcsched.core.job.codec import pack, unpack
from hpcsched.core.scheduling.snapshot import NodeFree
from hpcsched.core.views import Inventory, NodeView
from hpcsched.store.base import NodeRow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcsched.core.orders import DefineTask
    from hpcsched.runtime.frames import Hello

COMPUTE_NODES: Final = "ComputeNodes"
REMOTE_NODES: Final = "AzureNodes"
"""The built-in group that every node is in."""


class NodeState(IntEnum):
    """Does the node take work? Numbers are the protos'."""

    OFFLINE = 1
    DRAINING = 2
    ONLINE = 3


class JobTypes(IntFlag):
    """Kinds of jobs that a node takes (JobType in lifecycle.md 1.4)."""

    BATCH = 1
    ADMIN = 2
    SERVICE = 4
    BROKER = 8


class Affinity(IntEnum):
    """Whether tasks are bound to their cores; the node's own word on AffinityType."""

    CLUSTER = 0
    ALL_JOBS = 1
    NON_EXCLUSIVE_JOBS = 2
    NO_JOBS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """A node as it is stored. Times are seconds since 1970, UTC.

    Attributes:
        guid: Names it for ever, in any cluster.
        removed: It was forgotten; only its number and name are still known.
        boot_id, instance, machine_id: As in its last Hello.
        compared_boot_id: The newest boot of which every job has learned what lives
            there. Until then nothing of an older boot may be sent again.
        declared: Groups that its own configuration names.
        joined, left: Groups that administrators put it in, or took it out of.
        labels: Set by administrators.
        forced_offline: It did not go Offline by draining.
        fenced: An administrator has said, while it was lost, that nothing runs there
            any more; until it is anything but Offline.
    """

    node_id: int
    name: str
    guid: str = ""
    removed: bool = False
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
    inventory: Inventory = field(default_factory=Inventory)
    declared: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    job_types: JobTypes = JobTypes.BATCH | JobTypes.ADMIN
    affinity: Affinity = Affinity.CLUSTER
    agent_version: str = ""
    join_time: float | None = None
    online_time: float | None = None
    offline_time: float | None = None
    forced_offline: bool = False
    fenced: bool = False
    reason: str = ""

    @property
    def groups(self) -> tuple[str, ...]:
        """Its groups, sorted. An administrator's word on one counts, then its own."""
        found = {*self.declared, COMPUTE_NODES}.difference(self.left)
        return tuple(sorted(found.union(self.joined)))

    @property
    def is_remote(self) -> bool:
        """Is it one of those that are given longer to be heard of?"""
        own = REMOTE_NODES in self.declared and REMOTE_NODES not in self.left
        return own or REMOTE_NODES in self.joined

    def row(self) -> NodeRow:
        """Return what the store keeps."""
        return NodeRow(node_id=self.node_id, name=self.name, blob=pack(asdict(self)))

    @classmethod
    def from_row(cls, row: NodeRow) -> NodeRecord:
        """Return the node of a stored row."""
        known = {one.name for one in fields(cls)}
        values: dict[str, Any] = unpack(row.blob)
        # In the first version groups were what the node declared.
        values.setdefault("declared", values.get("groups", ()))
        values = {k: v for k, v in values.items() if k in known}
        for name in ("state", "previous_state"):
            values[name] = NodeState(values[name])
        for name in ("declared", "joined", "left"):
            values[name] = tuple(values.get(name, ()))
        values["job_types"] = JobTypes(values.get("job_types", 3))
        values["affinity"] = Affinity(values.get("affinity", 0))
        values["inventory"] = _inventory(values.get("inventory", {}))
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
            inventory=resources.inventory,
            declared=tuple(resources.groups),
        )

    def idle(self) -> NodeFree:
        """Return the node as jobs could use it, none of its cores free."""
        return NodeFree(
            self.node_id,
            self.name,
            self.cores,
            self.memory_bytes,
            sockets=max(1, min(self.sockets, self.cores)),
            groups=frozenset(self.groups),
        )

    def in_state(
        self,
        state: NodeState,
        reason: str,
        now: float,
        *,
        forced: bool = False,
        fenced: bool = False,
    ) -> NodeRecord:
        """Return the record in another state."""
        return replace(
            self,
            previous_state=self.state,
            state=state,
            reason=reason,
            online_time=now if state is NodeState.ONLINE else self.online_time,
            offline_time=now if state is NodeState.OFFLINE else self.offline_time,
            forced_offline=forced and state is NodeState.OFFLINE,
            fenced=(fenced or self.fenced) and state is NodeState.OFFLINE,
        )

    def with_group(self, group: str) -> NodeRecord:
        """Return the record with the node in a group."""
        return replace(
            self,
            joined=_with(self.joined, group),
            left=tuple(name for name in self.left if name != group),
        )

    def without_group(self, group: str) -> NodeRecord:
        """Return the record with the node out of a group, whatever it declares."""
        return replace(
            self,
            joined=tuple(name for name in self.joined if name != group),
            left=_with(self.left, group) if group in self.declared else self.left,
        )

    def pins(self, order: DefineTask) -> bool:
        """Are processes of a task bound to their cores on this node?"""
        match self.affinity:
            case Affinity.CLUSTER:
                return order.pin
            case Affinity.NON_EXCLUSIVE_JOBS:
                return not order.exclusive
            case _:
                return self.affinity is Affinity.ALL_JOBS

    def view(
        self,
        *,
        reachable: bool,
        heard: float | None,
        cores_in_use: int,
        jobs: tuple[int, ...],
        running: int,
        load: float,
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
            guid=self.guid,
            join_time=self.join_time,
            labels=self.labels,
            forced_offline=self.forced_offline,
            job_types=int(self.job_types),
            affinity=int(self.affinity),
            inventory=self.inventory,
            load=load,
        )


def _with(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(sorted({*names, name}))


def _inventory(stored: Mapping[str, Any]) -> Inventory:
    known = {one.name for one in fields(Inventory)}
    values = {k: v for k, v in stored.items() if k in known}
    for name in ("gpu_info", "addresses"):
        values[name] = tuple(values.get(name, ()))
    return Inventory(**values)
