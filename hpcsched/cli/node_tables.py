"""Nodes for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.api.v1 import node_pb2
from hpcsched.cli.shapes import short
from hpcsched.cli.tables import Table, facts
from hpcsched.cli.times import shown
from hpcsched.common.nodelist import fold
from hpcsched.common.units import format_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NODE = node_pb2.Node


def state_name(node: node_pb2.Node) -> str:
    """Return a node's state for people."""
    return short(NODE.State.Name(node.state))


def node_table(nodes: Iterable[node_pb2.Node]) -> Table:
    """Return a line per node."""
    table = Table(
        columns=(
            "NAME",
            "STATE",
            "REACHABLE",
            "CORES",
            "USED",
            "TASKS",
            "MEMORY",
            "REASON",
        ),
        numbers=frozenset({3, 4, 5, 6}),
    )
    for node in nodes:
        table.add(
            node.name,
            state_name(node),
            "yes" if node.reachable else "no",
            node.cores,
            node.cores_in_use,
            node.running_tasks,
            format_size(node.memory_bytes),
            node.reason,
        )
    return table


def node_facts(node: node_pb2.Node) -> str:
    """Return all about one node."""
    return facts(
        (
            ("Node", node.name),
            ("State", state_name(node)),
            ("Reachable", "yes" if node.reachable else "no"),
            ("Cores", f"{node.cores_in_use} of {node.cores} in use"),
            ("Sockets", node.sockets or ""),
            ("Memory", format_size(node.memory_bytes)),
            ("Groups", ",".join(node.groups)),
            ("Labels", ", ".join(f"{k}={v}" for k, v in sorted(node.labels.items()))),
            ("Takes", ", ".join(job_types(node))),
            ("Affinity", _affinity(node)),
            ("Tasks", node.running_tasks),
            ("Jobs", ",".join(str(job_id) for job_id in node.job_ids)),
            ("Reason", node.reason),
            ("Containment", node.containment),
            ("Agent", node.agent_version),
            ("Heard of", shown(node, "last_heartbeat_time")),
            ("Online since", shown(node, "online_time")),
            ("Offline since", shown(node, "offline_time")),
            ("Joined", shown(node, "join_time")),
            ("System", " ".join(filter(None, (node.os, node.kernel)))),
            ("Processor", _processor(node)),
            ("GPUs", "; ".join(node.gpu_info)),
            ("Addresses", ", ".join(node.addresses)),
            ("Domain", node.dns_suffix),
            ("Load", f"{node.load:.2f}" if node.reachable else ""),
            ("Id", f"{node.id} {node.guid}"),
        )
    )


def job_types(node: node_pb2.Node) -> list[str]:
    """Return the kinds of jobs that a node takes, short."""
    names = (NODE.JobType.Name(kind) for kind in node.job_types)
    return [name.removeprefix("JOB_TYPE_").lower() for name in names]


def _affinity(node: node_pb2.Node) -> str:
    if node.affinity == NODE.AFFINITY_UNSPECIFIED:
        return ""
    name = NODE.Affinity.Name(node.affinity).removeprefix("AFFINITY_")
    return name.replace("_", " ").lower()


def _processor(node: node_pb2.Node) -> str:
    clock = f"{node.cpu_mhz} MHz" if node.cpu_mhz else ""
    return ", ".join(filter(None, (node.cpu_model, node.architecture, clock)))


def group_table(groups: Iterable[node_pb2.NodeGroup]) -> Table:
    """Return a line per group."""
    table = Table(columns=("NAME", "NODES", "DESCRIPTION"), numbers=frozenset({1}))
    for group in groups:
        table.add(group.name, group.node_count, group.description)
    return table


def group_facts(group: node_pb2.NodeGroup) -> str:
    """Return all about one group."""
    return facts(
        (
            ("Group", group.name),
            ("Description", group.description),
            ("Built in", "yes" if group.managed else ""),
            ("Nodes", f"{group.node_count} {fold(group.nodes)}".strip()),
        )
    )


def node_reasons(node: node_pb2.Node) -> Sequence[str]:
    """Return why a node takes no work, or that it does, the main reason first."""
    reasons = []
    if not node.reachable:
        last = shown(node, "last_heartbeat_time")
        since = f"; it was last heard of at {last}" if last else ""
        reasons.append(f"the head does not hear from it{since}")
    if node.state == NODE.STATE_OFFLINE:
        reasons.append("it is Offline: hpc node online lets it take work")
    if node.state == NODE.STATE_DRAINING:
        jobs = ",".join(str(job_id) for job_id in node.job_ids)
        left = f": what runs there, of jobs {jobs}, may end" if jobs else ""
        reasons.append(f"it is Draining{left}")
    if node.reason and node.state != NODE.STATE_ONLINE:
        reasons.append(f"the administrator says: {node.reason}")
    if node.job_types and NODE.JOB_TYPE_BATCH not in node.job_types:
        kinds = ", ".join(job_types(node))
        reasons.append(f"it takes {kinds} jobs only: hpc node set --job-types")
    if not reasons and node.cores_in_use >= node.cores:
        jobs = ",".join(str(job_id) for job_id in node.job_ids)
        reasons.append(f"all its {node.cores} cores are held by jobs {jobs}")
    if not reasons:
        free = node.cores - node.cores_in_use
        reasons.append(f"it takes work: {free} of its {node.cores} cores are free")
    return reasons
