"""What a job's state asks of nodes and of the scheduler, once it is durable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.core.job.commands import SyncNode
from hpcsched.core.job.effects import effects_of_turn, effects_on_node, held_cores
from hpcsched.core.job.states import JobType
from hpcsched.core.orders import EndJob, StartTasks
from hpcsched.runtime.demand import demand_of, holder_of, process_of
from hpcsched.runtime.doubting import nodes_in_doubt

if TYPE_CHECKING:
    from hpcsched.core.job.decide import Decision
    from hpcsched.core.job.model import Job
    from hpcsched.core.orders import Order
    from hpcsched.runtime.mail import Mail
    from hpcsched.runtime.node_actor import NodeActor
    from hpcsched.runtime.world import World


def orders_after(
    world: World, job: Job, decision: Decision, mail: Mail
) -> list[tuple[int, Order]]:
    """Return (node, order) for what a turn asks for."""
    if not isinstance(mail.command, SyncNode):
        return effects_of_turn(decision.turn, world.scene)
    node_id = mail.command.node_id
    own = effects_on_node(job, node_id, world.settings, world.scene)
    if world.settings.restore_mode:
        own = [order for order in own if not isinstance(order, StartTasks)]
    also = effects_of_turn(decision.turn, world.scene)
    return [(node_id, order) for order in own] + [
        (other, order)
        for other, order in also
        if other != node_id or isinstance(order, EndJob)
    ]


def tell(world: World, job: Job, *, wanting: bool) -> None:
    """Tell nodes and scheduler what a job holds, and what it wants."""
    if wanting:
        world.submissions.note(job)
    batch = job.spec.job_type is not JobType.ADMIN
    world.tally.note(job)
    world.families.note(job)
    there = job.uses.ids | {job.ahead[0]} if job.ahead else job.uses.ids
    asked: list[NodeActor] = []
    if job.doubts:
        in_doubt, asked = nodes_in_doubt(world, job)
        there |= in_doubt
    world.nodes.note_uses(job.job_id, there, evictable=batch)
    for node in asked:
        node.compare_again(job.job_id)
    ahead = world.scheduler.ahead
    if len(job.tasks) == 1 or ahead.knows(job.job_id):
        ahead.note(job)
    units = world.scheduler.units
    world.scheduler.update(
        job.job_id,
        demand_of(job, world.settings, units) if wanting else None,
        held_cores(job),
        exclusive=job.spec.is_exclusive,
        holder=holder_of(job, world.settings, units),
        process=process_of(job),
    )
