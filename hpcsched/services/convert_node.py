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
from hpcsched.services.convert_time import timestamp
from hpcsched.services.cursors import encode_cursor

if TYPE_CHECKING:
    from hpcsched.core.views import ClusterView, NodeView
    from hpcsched.runtime.front import Caller
    from hpcsched.store.base import TokenRow

#: Roles as the store names them, and on the wire.
ROLES: Final = {
    USER: cluster_pb2.ROLE_USER,
    JOB_OPERATOR: cluster_pb2.ROLE_JOB_OPERATOR,
    JOB_ADMINISTRATOR: cluster_pb2.ROLE_JOB_ADMINISTRATOR,
    ADMINISTRATOR: cluster_pb2.ROLE_ADMINISTRATOR,
    NODE: cluster_pb2.ROLE_NODE,
}
_ROLE_NAMES: Final = {int(number): name for name, number in ROLES.items()}


def node_message(view: NodeView) -> node_pb2.Node:
    """Return a node as it is shown."""
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
    )


def parameter_message(row: tuple[str, str, str, str]) -> cluster_pb2.Parameter:
    """Return a parameter: name, value, default and description."""
    name, value, default, description = row
    return cluster_pb2.Parameter(
        name=name, value=value, default_value=default, description=description
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
