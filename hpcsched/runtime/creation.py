"""What makes a new job durable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.core.job import codec
from hpcsched.runtime.job_actor import event_row, job_row, take_chunks
from hpcsched.store.base import Delta

if TYPE_CHECKING:
    from hpcsched.core.job.decide import Decision
    from hpcsched.core.job.model import Job
    from hpcsched.core.job.spec import JobSpec
    from hpcsched.core.task.spec import TaskSpec
    from hpcsched.runtime.job_actor import Mail


class Draft:
    """A new job whose specification has been checked before."""

    def __init__(self, spec: JobSpec, tasks: tuple[TaskSpec, ...]) -> None:
        self.spec = spec
        self.tasks = tasks


def creation_of(job: Job, decisions: list[tuple[Decision, Mail]]) -> Delta:
    """Return what makes a new job durable: its events, its state, its specifications."""
    events = [pair for decision, _ in decisions for pair in decision.turn.events]
    rows = [
        event_row(job, number, event.time, codec.encode_event(event, changes))
        for number, (event, changes) in enumerate(events, start=1)
    ]
    notes = {
        number: codec.pack((code, text))
        for event, _ in events
        for number, code, text in event.notes
    }
    specs = {record.task_id: codec.encode_spec(record.spec) for record in job.tasks}
    specs[0] = codec.encode_spec(job.spec)
    return Delta(
        events=rows, job=job_row(job), specs=specs, chunks=take_chunks(job), notes=notes
    )
