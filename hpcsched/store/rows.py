"""What lists know of a job, made from the job itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.core.job import codec
from hpcsched.store.base import JobRow

if TYPE_CHECKING:
    from hpcsched.core.job.model import Job
    from hpcsched.store.base import StoredJob


def decode_stored(stored: StoredJob) -> Job:
    """Return a job as it was stored."""
    row = stored.row
    return codec.decode_job(
        row.job_id, row.owner, row.blob, stored.specs, stored.chunks, stored.notes
    )


def job_row(job: Job) -> JobRow:
    """Return the row of a job."""
    return JobRow(
        job_id=job.job_id,
        owner=job.owner,
        name=job.spec.name,
        project=job.spec.project,
        state=int(job.state),
        priority=job.spec.priority,
        create_time=job.create_time,
        submit_time=job.submit_time,
        end_time=job.end_time,
        labels=job.spec.custom_properties,
        active=not job.state.terminal,
        blob=codec.encode_job(job),
        previous_state=None if job.previous_state is None else int(job.previous_state),
        start_time=job.start_time,
        change_time=job.change_time,
        requeue_count=job.requeue_count,
        counts=(len(job.tasks), sum(job.counts), *job.counts[1:]),
    )
