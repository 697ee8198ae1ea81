"""The end of a round: waiting until all has ended, and what the head shows then."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hpcsched.api.v1 import job_pb2, task_pb2
from hpcsched.common.clock import SystemClock
from tests.support.crash import work
from tests.support.history.model import (
    BASIC,
    PREP,
    RELEASE,
    SWEEP,
    TERMINAL,
    FinalJob,
    FinalNode,
    FinalTask,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.client import AsyncClient

KINDS = {
    task_pb2.TASK_TYPE_BASIC: BASIC,
    task_pb2.TASK_TYPE_PARAMETRIC_SWEEP: SWEEP,
    task_pb2.TASK_TYPE_NODE_PREP: PREP,
    task_pb2.TASK_TYPE_NODE_RELEASE: RELEASE,
}

#: I8: what 60 s after the last fault has not ended is stuck.
PATIENCE_S = 60.0


async def until_ended(client: AsyncClient, first: int) -> bool:
    """Wait until all jobs from an id on have ended; say whether they did in time."""
    clock = SystemClock()
    deadline = clock.mono() + PATIENCE_S
    open_states = [
        value
        for name, value in job_pb2.Job.State.items()
        if name.removeprefix("STATE_") not in (*TERMINAL, "UNSPECIFIED")
    ]
    while clock.mono() < deadline:
        page = await client.jobs.list(states=open_states, min_id=first)
        waiting = [j for j in page.items if j.state != job_pb2.Job.STATE_CONFIGURING]
        nodes = (await client.nodes.list()).items
        if not waiting and not any(node.cores_in_use for node in nodes):
            return True
        await asyncio.sleep(0.1)
    return False


async def jobs(client: AsyncClient, first: int) -> dict[int, FinalJob]:
    """Return the jobs from an id on as the head shows them."""
    found = (await client.jobs.list(min_id=first)).items
    return {job.id: await _job(client, job) for job in found}


async def nodes(client: AsyncClient) -> list[FinalNode]:
    """Return the nodes as the head shows them."""
    return [
        FinalNode(name=node.name, cores=node.cores, cores_in_use=node.cores_in_use)
        for node in (await client.nodes.list()).items
    ]


async def _job(client: AsyncClient, job: job_pb2.Job) -> FinalJob:
    tasks = (await client.tasks.list(job.id, elements=True)).items
    counts = job.task_counts
    return FinalJob(
        job_id=job.id,
        name=job.name,
        state=job_pb2.Job.State.Name(job.state).removeprefix("STATE_"),
        priority=job.priority,
        requeues=job.requeue_count,
        message=job.error_message,
        revision=job.revision,
        counts={name: getattr(counts, name.lower()) for name in TERMINAL},
        tasks=_tasks(tasks),
    )


def _tasks(tasks: Sequence[task_pb2.Task]) -> tuple[FinalTask, ...]:
    return tuple(
        FinalTask(
            key=(task.job_id, task.task_id, task.instance_id),
            kind=KINDS[task.type],
            state=task_pb2.Task.State.Name(task.state).removeprefix("STATE_"),
            exit_code=task.exit_code if task.HasField("exit_code") else None,
            end_reason=_reason(task),
            attempt=task.attempt,
            valid=work.VALID,
            reruns=task.auto_requeue_count,
        )
        for task in tasks
    )


def _reason(task: task_pb2.Task) -> str:
    if task.end_reason == task_pb2.END_REASON_UNSPECIFIED:
        return ""
    return task_pb2.EndReason.Name(task.end_reason).removeprefix("END_REASON_")
