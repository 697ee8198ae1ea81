"""Nodes, the cluster, its parameters and its tokens as messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from hpcsched.api.v1 import cluster_service_pb2 as cluster_pb2
from hpcsched.api.v1 import node_pb2
from hpcsched.common.errors import HpcError
from hpcsched.core.caller import (
    ADMINISTRATOR,
    JOB_ADMINISTRATOR,
    JOB_OPERATOR,
    NODE,
    USER,
)
from hpcsched.core.job.states import JobState
from hpcsched.core.parameters import known
from hpcsched.core.task.states import TaskState
from hpcsched.services.convert_time import timestamp
from hpcsched.services.cursors import encode_cursor

if TYPE_CHECKING:
    from hpcsched.core.views import ClusterView, CoreView, GroupView, NodeView
    from hpcsched.runtime.front import Caller
    from hpcsched.store.backups import Backup
    from hpcsched.store.base import TokenRow

#: Roles as the store names them, and on the wire.
ROLES: Final = {
    USER: cluster_pb2.ROLE_USER,
    JOB_OPERATOR: cluster_pb2.ROLE_JOB_OPERATOR,
    JOB_ADMINISTRATOR: cluster_pb2.ROLE_JOB_ADMINISTRATOR,
    ADMINISTRATOR: cluster_pb2.ROLE_ADMINISTRATOR,
    NODE: cluster_pb2.ROLE_NODE,
}
_JOB_TYPES: Final = (
    node_pb2.Node.JOB_TYPE_BATCH,
    node_pb2.Node.JOB_TYPE_ADMIN,
    node_pb2.Node.JOB_TYPE_SERVICE,
    node_pb2.Node.JOB_TYPE_BROKER,
)
_ROLE_NAMES: Final = {int(number): name for name, number in ROLES.items()}


def node_message(view: NodeView) -> node_pb2.Node:
    """Return a node as it is shown."""
    inventory = view.inventory
    return node_pb2.Node(
        id=view.node_id,
        name=view.name,
        state=cast("node_pb2.Node.State.ValueType", int(view.state)),
        previous_state=cast("node_pb2.Node.State.ValueType", int(view.previous_state)),
        reachable=view.reachable,
        cores=view.cores,
        cores_in_use=view.cores_in_use,
        sockets=view.sockets,
        memory_bytes=view.memory_bytes,
        groups=view.groups,
        agent_version=view.agent_version,
        boot_id=view.boot_id,
        last_heartbeat_time=timestamp(view.last_heartbeat_time),
        online_time=timestamp(view.online_time),
        offline_time=timestamp(view.offline_time),
        reason=view.reason,
        containment=view.containment,
        job_ids=view.job_ids,
        running_tasks=view.running_tasks,
        guid=view.guid,
        labels=view.labels,
        move_to_offline=view.state == node_pb2.Node.STATE_DRAINING,
        forced_offline=view.forced_offline,
        availability=node_pb2.Node.AVAILABILITY_ALWAYS_ON,
        job_types=[kind for kind in _JOB_TYPES if kind & view.job_types],
        affinity=cast("node_pb2.Node.Affinity.ValueType", view.affinity),
        os=inventory.os,
        kernel=inventory.kernel,
        architecture=inventory.architecture,
        cpu_model=inventory.cpu_model,
        cpu_mhz=inventory.cpu_mhz,
        gpus=inventory.gpus,
        gpu_info=inventory.gpu_info,
        addresses=inventory.addresses,
        dns_suffix=inventory.dns_suffix,
        join_time=timestamp(view.join_time),
        load=view.load,
        orphans=view.orphans,
    )


def group_message(view: GroupView, *, nodes: bool) -> node_pb2.NodeGroup:
    """Return a node group, with or without the names of its nodes."""
    return node_pb2.NodeGroup(
        name=view.name,
        description=view.description,
        managed=view.managed,
        node_count=len(view.nodes),
        nodes=view.nodes if nodes else (),
    )


def core_message(view: CoreView) -> node_pb2.Core:
    """Return what a core does."""
    return node_pb2.Core(
        id=view.core,
        state=cast("node_pb2.Core.State.ValueType", view.state + 1),
        job_id=view.job_id,
        task_id=view.task_id,
        instance_id=view.instance_id,
    )


def cluster_message(
    view: ClusterView, caller: Caller
) -> cluster_pb2.GetClusterInfoResponse:
    """Return the cluster as this caller sees it."""
    nodes = view.nodes
    return cluster_pb2.GetClusterInfoResponse(
        name=view.name,
        version=view.version,
        user=caller.user,
        role=ROLES[caller.role],
        start_time=timestamp(view.start_time),
        term=view.term,
        nodes_total=nodes.get("total", 0),
        nodes_ready=nodes.get("ready", 0),
        nodes_offline=nodes.get("offline", 0),
        nodes_draining=nodes.get("draining", 0),
        nodes_unreachable=nodes.get("unreachable", 0),
        cores_total=view.cores_total,
        cores_busy=view.cores_busy,
        job_counts={
            JobState(state).name.lower(): count
            for state, count in view.job_counts.items()
        },
        cursor=encode_cursor(view.last_seq),
        task_counts={
            TaskState(state).name.lower(): count
            for state, count in view.task_counts.items()
        },
        jobs_total=sum(view.job_counts.values()),
        tasks_total=sum(view.task_counts.values()),
        cores_idle=view.cores_idle,
        cores_offline=view.cores_total - view.cores_busy - view.cores_idle,
        sockets_total=view.sockets,
        restore_mode=view.restore_mode,
        safe_mode=view.safe_mode,
        disk_problem=view.disk_problem,
        jobs_set_aside=view.jobs_set_aside,
        alarms=view.alarms,
        loop_lag_ms=view.loop_lag_ms,
        head=view.head,
    )


def parameter_message(row: tuple[str, str, str, str]) -> cluster_pb2.Parameter:
    """Return a parameter: name, value, default and description."""
    name, value, default, description = row
    return cluster_pb2.Parameter(
        name=name,
        value=value,
        default_value=default,
        description=description,
        user_defined=known(name) is None,
    )


def token_message(row: TokenRow) -> cluster_pb2.Token:
    """Return a token without its secret, of which the row has only a digest."""
    return cluster_pb2.Token(
        id=row.token_id,
        user=row.user,
        role=ROLES.get(row.role, cluster_pb2.ROLE_UNSPECIFIED),
        create_time=timestamp(row.create_time),
        expire_time=timestamp(row.expire_time),
    )


def backup_message(made: Backup) -> cluster_pb2.Backup:
    """Return a backup."""
    return cluster_pb2.Backup(
        name=made.name,
        directory=made.folder,
        size_bytes=made.size,
        create_time=timestamp(made.time),
        sha256=made.digest,
        cursor=encode_cursor(made.last_seq) if made.digest else "",
    )


def role_name(value: int) -> str:
    """Return a role as the store names it; not given is ``user``.

    Raises:
        HpcError: INVALID_FIELD, the number is no role.
    """
    if value == cluster_pb2.ROLE_UNSPECIFIED:
        return USER
    name = _ROLE_NAMES.get(value)
    if name is None:
        raise HpcError("INVALID_FIELD", field="role", problem=f"{value} is no role")
    return name
