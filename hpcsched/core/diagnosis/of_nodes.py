"""What may be wrong with nodes; those with the same trouble are told together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.common.nodelist import fold
from hpcsched.core.diagnosis.finding import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hpcsched.core.diagnosis.facts import ClusterFacts, NodeFacts

FLAPPING_S: Final = 3600.0
FLAPPING: Final = 4
"""A node that has connected so often within ``FLAPPING_S`` comes and goes."""
CLOCK_S: Final = 5.0
"""A difference of clocks that is larger is told."""
_SHOWN: Final = 16
_LISTED: Final = 1_000
"""Nodes that one finding lists."""


def node_findings(facts: ClusterFacts) -> Iterator[Finding]:
    """Say what is wrong with nodes."""
    nodes = facts.nodes
    if not nodes:
        yield Finding(
            severity=Severity.ERROR,
            rule="no_nodes",
            text="no node has ever joined",
            why="there is nothing that jobs could run on",
            action="start an agent on each node, with a token of role node",
            command="hpc token create --user '*' --role node --out FILE",
        )
        return
    if not any(node.ready for node in nodes) and not facts.safe_mode:
        yield Finding(
            severity=Severity.ERROR,
            rule="no_node_takes_work",
            text=f"none of the {len(nodes)} nodes takes work",
            why=f"nothing is started; {facts.queued} jobs are queued",
            action="look why",
            command="hpc node why all",
        )
    yield from _lost(nodes)
    yield from _unsteady(facts, nodes)
    yield from _out(facts, nodes)


def _lost(nodes: Sequence[NodeFacts]) -> Iterator[Finding]:
    lost = [n for n in nodes if not n.reachable and n.state != "Offline"]
    if lost:
        jobs = sorted({job_id for node in lost for job_id in node.job_ids})
        held = f"; {len(jobs)} jobs hold something there" if jobs else ""
        yield Finding(
            severity=Severity.ERROR,
            rule="node_unreachable",
            text=f"{_named(lost, 'is', 'are')} not reachable{held}",
            why="what ran there runs again elsewhere, or waits for the node",
            action="see to machine, network and agent; say so where it is gone for "
            "good: hpc node fence",
            command=f"hpc node why {_list(lost)}",
            nodes=_names(lost),
            job_ids=tuple(jobs[:_LISTED]),
        )
    quiet = [n for n in nodes if n.reachable and n.state == "Online" and not n.ready]
    quiet = [node for node in quiet if node.takes_jobs]
    if quiet:
        yield Finding(
            severity=Severity.WARNING,
            rule="node_silent",
            text=f"{_named(quiet, 'has', 'have')} not been heard of for a while, or "
            "not yet told what runs there",
            why="nothing new is sent there",
            action="wait a minute; then see to machine, network and agent",
            command=f"hpc node why {_list(quiet)}",
            nodes=_names(quiet),
        )


def _unsteady(facts: ClusterFacts, nodes: Sequence[NodeFacts]) -> Iterator[Finding]:
    flapping = [node for node in nodes if node.connections >= FLAPPING]
    if flapping:
        often = max(node.connections for node in flapping)
        yield Finding(
            severity=Severity.WARNING,
            rule="node_flapping",
            text=f"{_named(flapping, 'comes and goes', 'come and go')}: up to {often} "
            "connections in an hour",
            why="work may be lost and run again each time",
            action="see to the network between, and to the agent's log there",
            command="journalctl -u hpc-node-agent --since -1h",
            nodes=_names(flapping),
        )
    wrong = [node for node in nodes if abs(node.clock_ahead_s) >= CLOCK_S]
    if wrong:
        worst = max(wrong, key=lambda node: abs(node.clock_ahead_s))
        side = "ahead of" if worst.clock_ahead_s > 0 else "behind"
        yield Finding(
            severity=Severity.WARNING,
            rule="node_clock",
            text=f"{_named(wrong, 'has', 'have')} another time than the head: "
            f"{worst.name} is {abs(worst.clock_ahead_s):.0f} s {side} it",
            why="times of tasks, logs and accounting do not go together",
            action="let the machines' clocks follow one server",
            command="chronyc tracking",
            nodes=_names(wrong),
        )
    version = facts.version
    other = [n for n in nodes if n.agent_version not in {"", version} and n.reachable]
    if other:
        there = ", ".join(sorted({node.agent_version for node in other})[:_SHOWN])
        yield Finding(
            severity=Severity.WARNING,
            rule="node_version",
            text=f"{_named(other, 'has', 'have')} version {there}, the head {version}",
            why="it works, but not every feature may be there on all nodes",
            action="upgrade the agents; tasks live through it",
            command="systemctl restart hpc-node-agent",
            nodes=_names(other),
        )


def _out(facts: ClusterFacts, nodes: Sequence[NodeFacts]) -> Iterator[Finding]:
    orphans = [node for node in nodes if node.orphans]
    if orphans:
        count = sum(node.orphans for node in orphans)
        yield Finding(
            severity=Severity.WARNING,
            rule="node_orphans",
            text=f"{count} tasks run that the store does not know, on {_list(orphans)}",
            why="they are stopped when restore mode ends",
            action="look whether they may be",
            command="hpc node show " + _list(orphans),
            nodes=_names(orphans),
        )
    out = [node for node in nodes if node.state != "Online"]
    by_reason: dict[tuple[str, str], list[NodeFacts]] = {}
    for node in out:
        by_reason.setdefault((node.state, node.reason), []).append(node)
    for (state, reason), some in sorted(by_reason.items()):
        yield Finding(
            severity=Severity.NOTE,
            rule="node_offline" if state == "Offline" else "node_draining",
            text=f"{_named(some, 'is', 'are')} {state}" + (reason and f": {reason}"),
            why="no new work is started there",
            action="let it take work again when its cause is gone",
            command=f"hpc node online {_list(some)}",
            nodes=_names(some),
        )
    bare = [node for node in nodes if facts.groups and not node.grouped]
    if bare:
        yield Finding(
            severity=Severity.NOTE,
            rule="node_without_group",
            text=f"{_named(bare, 'is', 'are')} in no group of yours",
            why="jobs that name a group never run there",
            action="put it where it belongs",
            command=f"hpc group add GROUP {_list(bare)}",
            nodes=_names(bare),
        )


def _names(nodes: Sequence[NodeFacts]) -> tuple[str, ...]:
    return tuple(sorted(node.name for node in nodes)[:_LISTED])


def _list(nodes: Sequence[NodeFacts]) -> str:
    return fold(_names(nodes))


def _named(nodes: Sequence[NodeFacts], one: str, many: str) -> str:
    if len(nodes) == 1:
        return f"node {nodes[0].name} {one}"
    names = _names(nodes)[:_SHOWN]
    more = f" and {len(nodes) - len(names)} more" if len(nodes) > len(names) else ""
    return f"{len(nodes)} nodes ({fold(names)}{more}) {many}"
