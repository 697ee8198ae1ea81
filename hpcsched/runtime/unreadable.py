"""Jobs of which the store says what nobody can read: shown, told, and deletable.

Their rows are whole (a damaged one ends the head), but were written by a version that
was wrong, or that is newer. Nothing can be decided for such a job, not even an event:
it is set aside (``runtime.apart``). Lists show what its columns say of it. A version
that can read it lets it go on; an administrator may delete it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpcsched.common.errors import HpcError
from hpcsched.core.job.codec import BLANK, pack
from hpcsched.core.job.states import JobState
from hpcsched.core.orders import PurgeJob
from hpcsched.core.task.states import TASK_TERMINAL
from hpcsched.runtime.accounting import ended_name
from hpcsched.runtime.durable import written
from hpcsched.runtime.stored import stored_view
from hpcsched.runtime.turns import request_row
from hpcsched.store.base import Delta, JobQuery

if TYPE_CHECKING:
    from hpcsched.core.caller import Caller
    from hpcsched.core.settings import Settings
    from hpcsched.core.views import JobView
    from hpcsched.runtime.mail import Ledger
    from hpcsched.runtime.world import World
    from hpcsched.store.base import JobRow


def row_view(world: World, row: JobRow, settings: Settings) -> JobView:
    """Return a job as its row has it; one that cannot be read is set aside."""
    try:
        return stored_view(row, world.name_of, settings)
    except Exception as fault:  # noqa: BLE001 - whatever is stored
        world.apart.put_unreadable(row.job_id, fault)
    return stored_view(replace(row, blob=_blob_of(row)), world.name_of, settings)


async def bare_view(world: World, job_id: int, settings: Settings) -> JobView:
    """Return what the row of an unreadable job says.

    Raises:
        HpcError: JOB_NOT_FOUND.
    """
    row = await _row(world, job_id)
    return row_view(world, row, settings)


async def delete_unreadable(
    world: World, caller: Caller, job_id: int, ledger: Ledger | None
) -> None:
    """Delete a job that cannot be read; what runs of it is stopped as unknown.

    Raises:
        HpcError: PERMISSION_DENIED, JOB_NOT_FOUND, DISK_FULL.
    """
    caller.require_administrator(f"forget job {job_id}, which cannot be read")
    row = await _row(world, job_id)
    requests = []
    if ledger is not None:
        requests = [request_row(ledger, None, world.clock.wall())]
    sums = {}
    if not row.active:
        counts = (0, *row.counts[2:])
        sums = {ended_name(s): -counts[s] for s in TASK_TERMINAL if counts[s]}
    await written(world, Delta(purge_job=job_id, requests=requests, sums=sums))
    world.tally.committed(sums)
    world.families.gone(job_id)
    world.apart.gone(job_id)
    world.jobs.forget(job_id)
    world.feed.floor = await world.store.floor()
    for node in world.nodes:
        world.nodes.send(node.record.node_id, PurgeJob(job_id=job_id))
        node.compare_again(job_id)


async def _row(world: World, job_id: int) -> JobRow:
    asked = JobQuery(min_id=job_id, max_id=job_id, limit=1)
    rows = await world.store.list_jobs(asked) if job_id > 0 else []
    if not rows:
        raise HpcError("JOB_NOT_FOUND", job_id=job_id)
    return rows[0]


def _blob_of(row: JobRow) -> bytes:
    """Return what would be kept of a job of which only the columns are known."""
    body: dict[str, Any] = {
        **{name: value for name, value in BLANK.items() if value is None},
        "counts": (0, *row.counts[2:]),
        "size": row.counts[0],
        "spec": ("", row.project, 0),
        "cores": (1, 1),
        "uses": {},
        "create_time": row.create_time,
        "submit_time": row.submit_time,
        "start_time": row.start_time,
        "end_time": row.end_time,
        "change_time": row.change_time,
        "requeue_count": row.requeue_count,
        "previous_state": row.previous_state,
        "state": JobState(row.state),
    }
    return pack({name: value for name, value in body.items() if name != "tasks"})
