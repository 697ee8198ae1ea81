"""Why a job waits, in concrete facts: the plan itself is asked, nothing is guessed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from typing import TYPE_CHECKING, Final

from hpcsched.core.job.states import JobState, PendingReason
from hpcsched.core.job.waiting import nodes_waited_for
from hpcsched.core.scheduling.plan import propose
from hpcsched.core.scheduling.words import what_rules_out
from hpcsched.runtime.node_record import JobTypes, NodeState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpcsched.core.job.model import Job
    from hpcsched.core.scheduling.proposal import Reservation
    from hpcsched.runtime.node_actor import NodeActor
    from hpcsched.runtime.world import World

_SHOWN: Final = 8
"""Nodes or jobs that a sentence names."""


def why_it_waits(world: World, job_id: int) -> list[str]:
    """Return sentences about a queued job's place, and what it waits for."""
    scheduler = world.scheduler
    if not scheduler.waiting.has(job_id):
        return []
    said = scheduler.gate.text(job_id)
    lines = [said] if said else []
    demand = scheduler.waiting[job_id]
    first = scheduler.ahead_of(demand)
    if first is not None:
        before = scheduler.waiting.place(job_id)
        wait = "1 other wants" if before == 1 else f"{before} others want"
        lines.append(
            f"job {first.job_id} (priority {first.priority}) goes first; "
            f"{wait} resources before it"
        )
    policy = replace(scheduler.policy(), explain=True, lookahead=0)
    plan = propose(scheduler.snapshot(), policy)
    givers = plan.awaiting.get(job_id)
    if givers:
        lines.append(f"it starts with the cores given up for it by {_named(givers)}")
    reservation = plan.reservation
    if reservation is None:
        return lines
    if reservation.job_id == job_id:
        lines.append(f"expected start: {_start(world, reservation)}")
    elif first is not None and reservation.job_id == first.job_id:
        lines.append(
            f"expected start of job {first.job_id}: {_start(world, reservation)}"
        )
    return lines


_HOLDERS: Final = {
    PendingReason.HELD_BY_USER: "its owner holds it",
    PendingReason.HELD_BY_ADMIN: "an administrator holds it",
    PendingReason.HELD_BY_ACTIVATION_FILTER: "the activation filter holds it",
}


def why_held_back(world: World, job: Job) -> list[str]:
    """Return sentences about a hold, or about the parents that a job waits for.

    Or about the nodes on which attempts of its tasks may live.
    """
    held = _HOLDERS.get(job.held_by)
    if held is not None:
        by_admin = job.held_by is PendingReason.HELD_BY_ADMIN
        if job.hold_until is not None:
            at = datetime.fromtimestamp(job.hold_until, UTC)
            until = f"until {at:%Y-%m-%d %H:%M:%S} UTC"
            if by_admin:
                until += ", and only an administrator can release it before"
        elif by_admin:
            until = f"until one releases it: hpc job release {job.job_id}"
        else:
            until = f"until it is released: hpc job release {job.job_id}"
        return [f"{held} {until}", *([job.hold_note] if job.hold_note else [])]
    names = sorted(world.name_of(node_id) for node_id in nodes_waited_for(job))
    if names:
        return [
            f"it waits until node {name} is back, or `hpc node fence {name}`: "
            f"an attempt of one of its tasks may live there, and none may run twice"
            for name in names[:_SHOWN]
        ]
    waits: dict[str, list[int]] = {}
    for number in job.spec.parent_job_ids:
        state = job.parents.get(number)
        if state != JobState.FINISHED:
            lost = state in {JobState.FAILED, JobState.CANCELED}
            kind = JobState(state).label if lost and state else "not Finished yet"
            waits.setdefault(kind, []).append(number)
    return [
        f"it waits for {_named(numbers)}, {kind}" for kind, numbers in waits.items()
    ]


def why_not_these_nodes(world: World, job_id: int) -> list[str]:
    """Return a sentence on nodes that a queued job cannot use, if there are any."""
    if not world.scheduler.waiting.has(job_id):
        return []
    demand = world.scheduler.waiting[job_id]
    known = ((actor.record.idle(), _why_not_ready(actor)) for actor in world.nodes)
    text = what_rules_out(demand, known)
    return [text] if text else []


def why_it_is_held(world: World, job: Job) -> list[str]:
    """Return a sentence on each lost node that a running job waits for (node_loss)."""
    lost = [use for use in job.uses.values() if use.phase.lost and use.live]
    lines = [
        f"what runs on {world.name_of(use.node_id)}, which is lost, is not run again "
        f"before it is back, or an administrator says that nothing runs there "
        f"(hpc node fence)"
        for use in lost[:_SHOWN]
    ]
    if len(lost) > _SHOWN:
        lines.append(f"so it is with {len(lost) - _SHOWN} more nodes")
    return lines


def _why_not_ready(actor: NodeActor) -> str:
    if actor.ready:
        return ""
    if actor.record.state is not NodeState.ONLINE:
        return actor.record.state.name.lower()
    if JobTypes.BATCH not in actor.record.job_types:
        return "not for jobs of the queue"
    return "not ready" if actor.reachable else "unreachable"


def _start(world: World, reservation: Reservation) -> str:
    where = _claimed(world, reservation.claim)
    if reservation.start == inf:
        return f"not known, waits for {where}, where jobs without a run-time limit run"
    at = datetime.fromtimestamp(reservation.start, UTC)
    text = f"{at:%Y-%m-%d %H:%M:%S} UTC, waits for {where}"
    if reservation.waits_for:
        text += f", after the end of {_named(reservation.waits_for)}"
    return text


def _claimed(world: World, claim: Mapping[int, int]) -> str:
    total = sum(claim.values())
    nodes = sorted(world.name_of(node_id) for node_id in claim)
    names = ", ".join(nodes[:_SHOWN])
    if len(nodes) > _SHOWN:
        names += f" and {len(nodes) - _SHOWN} more"
    return f"{total} core{'s' if total > 1 else ''} on {names}"


def _named(jobs: Iterable[int]) -> str:
    numbers = [str(job_id) for job_id in jobs]
    names = ", ".join(numbers[:_SHOWN])
    if len(numbers) > _SHOWN:
        names += f" and {len(numbers) - _SHOWN} more"
    return f"job {names}" if len(numbers) == 1 else f"jobs {names}"
