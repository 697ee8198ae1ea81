"""Nodes of which a job has to hear whether its attempts live there (core/job/doubting).

A job that is over asks nobody. When it is queued again its nodes may have been back
meanwhile, and are asked then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.core.job.commands import LoseNode

if TYPE_CHECKING:
    from hpcsched.core.job.model import Job
    from hpcsched.runtime.node_actor import NodeActor
    from hpcsched.runtime.world import World


def nodes_in_doubt(world: World, job: Job) -> tuple[frozenset[int], list[NodeActor]]:
    """Return the nodes whose word a job awaits, and those of them that have said it.

    A node that has been forgotten is as good as fenced: whoever forgets it says that it
    is no more.
    """
    if job.state.terminal:
        return frozenset(), []
    found: set[int] = set()
    asked: list[NodeActor] = []
    for node_id in job.doubts:
        node = world.nodes.by_id(node_id)
        if node is None:
            name = world.name_of(node_id)
            command = LoseNode(node_id=node_id, node=name, fenced=True)
            world.jobs.tell(job.job_id, command, _nobody)
            continue
        found.add(node_id)
        session = node.session
        if job.job_id not in node.jobs and session is not None and session.asked:
            asked.append(node)
    return frozenset(found), asked


def _nobody(_: Any, error: BaseException | None) -> None:
    """It follows from the job's state: it is told again with what is next."""
