"""Nodes that a job may not use any more: ExcludedNodes, groups that change (T24, T25).

The submitter's list is a part of the specification; nodes whose preparation failed are
kept apart from it and shown in the same list.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpcsched.common.errors import HpcError
from hpcsched.core.job.commandjob import refuse_command
from hpcsched.core.job.events import EventName
from hpcsched.core.job.nodes import leaving
from hpcsched.core.job.resourcecheck import UNITS, check_excluded_known
from hpcsched.core.job.states import JobState, NodeGroupOp
from hpcsched.core.job.table import JobTrigger, require
from hpcsched.core.job.wishes import demand_for
from hpcsched.core.scheduling.eligibility import idle_units, in_groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.core.job.commands import ExcludeNodes, ReviewNodes
    from hpcsched.core.job.events import TaskMove
    from hpcsched.core.job.model import Job
    from hpcsched.core.job.turn import Turn
    from hpcsched.core.scheduling.inventory import Inventory

    Uses = dict[int, tuple[Any, ...] | None]


def excluded_nodes(job: Job) -> tuple[str, ...]:
    """Return the nodes that a job may not use, the submitter's first."""
    return tuple(dict.fromkeys((*job.spec.excluded_nodes, *job.excluded)))


def barred_nodes(turn: Turn) -> frozenset[int]:
    """Return the numbers of the nodes that the job may not use."""
    names = excluded_nodes(turn.job)
    if not names or turn.inventory is None:
        return frozenset()
    found = (turn.inventory.node(name) for name in names)
    return frozenset(node.node_id for node in found if node is not None)


def exclude_nodes(turn: Turn, command: ExcludeNodes) -> None:
    """Forbid nodes to a job, or allow them again, all or none (api.md 4).

    What runs on a node that is forbidden now is stopped; what can be run again is
    queued, the rest fails.

    Raises:
        HpcError: PERMISSION_DENIED, INVALID_EXCLUSION_STATE, EXCLUDED_NODE_UNKNOWN,
            EXCLUDED_NODE_REQUIRED, TOO_MANY_EXCLUDED_NODES, EXCLUDED_TOO_MANY_NODES.
    """
    job = turn.job
    command.caller.require_owner(job.owner, f"exclude nodes from job {job.job_id}")
    require(job.state, JobTrigger.EXCLUDE_NODES, job.job_id)
    refuse_command(job, "exclude nodes from")
    check_excluded_known("nodes", (*command.add, *command.remove), turn.inventory)
    before = excluded_nodes(job)
    gone = set(before) if command.clear else set(command.remove)
    kept = [name for name in before if name not in gone]
    after = tuple(dict.fromkeys((*kept, *command.add)))
    new = [name for name in after if name not in before]
    if new:
        _check_new(turn, after, new)
    if after == before:
        return
    moves, uses = _leave(turn, new, "node {} was excluded from the job")
    system = tuple(name for name in job.excluded if name in after)
    patch: dict[str, Any] = {"excluded": system, "eased": job.eased or bool(uses)}
    own = tuple(name for name in after if name not in system)
    turn.emit(
        EventName.NODES_EXCLUDED,
        moves=moves,
        uses=uses,
        patch=patch,
        respecs={0: replace(job.spec, excluded_nodes=own)},
        message=_told(new, [name for name in before if name not in after]),
    )


def _told(new: Sequence[str], gone: Sequence[str]) -> str:
    parts = []
    if new:
        parts.append("excluded: " + ", ".join(new))
    if gone:
        parts.append("allowed again: " + ", ".join(gone))
    return "; ".join(parts)


def _check_new(turn: Turn, after: Sequence[str], new: Sequence[str]) -> None:
    """Refuse what a task requires, too long a list, and what leaves too little."""
    job = turn.job
    for record in job.ordinary():
        for name in record.spec.required_nodes:
            if name in new and record.open:
                task = f"{job.job_id}.{record.task_id}"
                raise HpcError(
                    "EXCLUDED_NODE_REQUIRED", field="nodes", node=name, task=task
                )
    limit = turn.settings.excluded_limit
    if len(after) > limit:
        raise HpcError(
            "TOO_MANY_EXCLUDED_NODES", field="nodes", count=len(after), limit=limit
        )
    if turn.inventory is not None:
        _check_enough(job, after, turn.inventory)


def _check_enough(job: Job, after: Sequence[str], inventory: Inventory) -> None:
    """Refuse if the minimum could be met, and could not be any more."""
    nodes = list(inventory.nodes())
    least = job.least()
    left = idle_units(demand_for(job.spec, least, after), nodes)
    if left >= least:
        return
    if idle_units(demand_for(job.spec, least, excluded_nodes(job)), nodes) < least:
        return  # it is not because of them
    raise HpcError(
        "EXCLUDED_TOO_MANY_NODES",
        field="nodes",
        job_id=job.job_id,
        wanted=least,
        available=left,
        unit=UNITS[job.spec.unit_type],
    )


def review_nodes(turn: Turn, command: ReviewNodes) -> None:
    """T24, T25: a node has left the job's node groups."""
    job, wanted = turn.job, frozenset(turn.job.spec.node_groups)
    if job.state is not JobState.RUNNING or not wanted or turn.inventory is None:
        return
    known = turn.inventory.nodes()
    groups = {node.node_id: node.groups for node in known if node.node_id in job.uses}
    mine = groups.get(command.node_id)
    if mine is None:
        return
    if job.spec.node_group_op is NodeGroupOp.UNIFORM:
        still = any(all(one in g for g in groups.values()) for one in wanted)
    else:
        still = in_groups(mine, wanted, job.spec.node_group_op)
    if still:
        return
    text = "node {} left the job's node groups"
    moves, uses = _leave(turn, [command.node], text)
    if uses:
        turn.emit(
            EventName.NODE_RELEASING,
            moves=moves,
            uses=uses,
            patch={"eased": True},
            message=text.format(command.node),
        )


def _leave(turn: Turn, names: Sequence[str], text: str) -> tuple[list[TaskMove], Uses]:
    """Return what it takes to leave nodes on which the job is."""
    moves: list[TaskMove] = []
    uses: Uses = {}
    job = turn.job
    if job.state is not JobState.RUNNING or turn.inventory is None:
        return moves, uses
    for name in names:
        node = turn.inventory.node(name)
        use = None if node is None else job.uses.get(node.node_id)
        if use is not None:
            found, encoded = leaving(turn, use, text.format(name))
            moves += found
            if encoded is not None:
                uses[use.node_id] = encoded
    return moves, uses
