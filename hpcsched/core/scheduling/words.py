"""In words for people: what a job needs of nodes, and what rules nodes out for it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from hpcsched.common.units import format_size
from hpcsched.core.job.states import NodeGroupOp, UnitType
from hpcsched.core.scheduling.eligibility import RuledOut, idle_units, ruled_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hpcsched.core.scheduling.proposal import Preemption
    from hpcsched.core.scheduling.snapshot import Demand, Holder, NodeFree

_UNITS: Final = {
    UnitType.CORE: "core",
    UnitType.SOCKET: "socket",
    UnitType.NODE: "node",
}


def needs(demand: Demand, nodes: Sequence[NodeFree]) -> str:
    """Say what a job needs, and whether the nodes that take work could ever give it."""
    text = f"it needs {_count(demand.least, demand.unit)}"
    if demand.single:
        text += " of one node"
    elif demand.one_group:
        text += " of one group"
    there = idle_units(demand, nodes)
    if there >= demand.least:
        return f"{text}, and not so many are free now"
    most = "at most " if there and (demand.single or demand.one_group) else ""
    return f"{text}; the nodes that it may use have {most}{there}"


def _count(number: int, unit: UnitType) -> str:
    return f"{number} {_UNITS[unit]}{'' if number == 1 else 's'}"


def what_rules_out(demand: Demand, nodes: Iterable[tuple[NodeFree, str]]) -> str:
    """Say how many nodes a job cannot use, by cause; nothing if it can use all.

    Args:
        demand: What it wants.
        nodes: All that are known, each with why it takes no work now, or "".
    """
    causes: Counter[RuledOut] = Counter()
    states: Counter[str] = Counter()
    total = 0
    for node, state in nodes:
        total += 1
        cause = ruled_out(node, demand)
        if cause is not None:
            causes[cause] += 1
        elif state:
            states[state] += 1
    out = causes.total() + states.total()
    if not out:
        return ""
    parts = [_cause(demand, cause, causes[cause]) for cause in sorted(causes)]
    parts += [f"{states[one]} {_be(states[one])} {one}" for one in sorted(states)]
    of = "node" if total == 1 else "nodes"
    return f"{out} of {total} {of} cannot be used: {', '.join(parts)}"


def _be(count: int) -> str:
    return "is" if count == 1 else "are"


def _cause(demand: Demand, cause: RuledOut, count: int) -> str:
    have = "has" if count == 1 else "have"
    sizes, memory = demand.sizes or (0, 0), demand.memory or (0, 0)
    match cause:
        case RuledOut.NOT_REQUESTED:
            text = f"{_be(count)} not requested"
        case RuledOut.NOT_IN_GROUPS:
            text = f"{_be(count)} not in {_groups(demand)}"
        case RuledOut.EXCLUDED:
            text = f"{_be(count)} excluded"
        case RuledOut.TOO_FEW_CORES:
            text = f"{have} fewer than {_count(sizes[0], UnitType.CORE)}"
        case RuledOut.TOO_MANY_CORES:
            text = f"{have} more than {_count(sizes[1], UnitType.CORE)}"
        case RuledOut.TOO_LITTLE_MEMORY:
            least = max(memory[0], demand.process_memory)
            text = f"{have} less than {format_size(least)} of memory"
        case RuledOut.TOO_MUCH_MEMORY:
            text = f"{have} more than {format_size(memory[1])} of memory"
        case RuledOut.TOO_NARROW:
            width = _count(demand.width, demand.unit)
            text = f"{have} too little for its next task, which needs {width}"
    return f"{count} {text}"


def _groups(demand: Demand) -> str:
    names = ", ".join(sorted(demand.groups))
    if len(demand.groups) == 1:
        return f"node group {names}"
    every = demand.group_op is NodeGroupOp.INTERSECT
    return f"{'all' if every else 'any'} of its node groups {names}"


def why_preempted(wanted: Preemption, holder: Holder) -> str:
    """Say for whose sake a job is to give cores up; nothing if it may keep all."""
    if wanted.by:
        return f"preempted by job {wanted.by}"
    if not wanted.cores:
        return ""
    if holder.cap:
        return "its job held more than its target_resource_count"
    return "other jobs were due a share of its cores"
