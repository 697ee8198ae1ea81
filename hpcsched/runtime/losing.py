"""Telling a job that a node is lost (T22, T23), for as long as that is true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.commands import LoseNode

if TYPE_CHECKING:
    from hpcsched.runtime.node_actor import NodeActor
    from hpcsched.runtime.world import World

AGAIN_S: Final = 1.0
UNWRITTEN: Final = ("DISK_FULL", "OUTCOME_UNKNOWN", "QUEUE_FULL")
"""Why a job may not have taken what it was told; another time it may."""


def tell_of_loss(world: World, node: NodeActor, job_id: int) -> None:
    """Tell a job; again where that cannot be written, unless the node is back."""
    record = node.record
    command = LoseNode(node_id=record.node_id, node=record.name, fenced=record.fenced)

    def again() -> None:
        if node.known_lost and job_id in node.jobs:
            tell_of_loss(world, node, job_id)

    def reply(_: Any, error: BaseException | None) -> None:
        if isinstance(error, HpcError) and error.reason in UNWRITTEN:
            world.clock.call_at(world.clock.mono() + AGAIN_S, again)

    world.jobs.tell(job_id, command, reply)
