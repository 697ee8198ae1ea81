"""What turns of a job become: rows for the store, events for watchers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.core.job import codec
from hpcsched.core.job.commands import TakeReports
from hpcsched.core.job.terms import terms_of
from hpcsched.core.reports import Ended
from hpcsched.core.views import EventView
from hpcsched.runtime.accounting import add_accounting
from hpcsched.runtime.feed import changes_view
from hpcsched.store.base import Delta, EventRow, RequestRow, TaskOutput
from hpcsched.store.rows import job_row as job_row  # noqa: PLC0414  users find it here

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcsched.core.job.decide import Decision
    from hpcsched.core.job.model import Job
    from hpcsched.core.job.spec import JobSpec
    from hpcsched.core.task.spec import TaskSpec
    from hpcsched.runtime.mail import Ledger, Mail

    Decided = list[tuple[Decision, Mail]]


def new_job_delta(job: Job, decided: Decided, now: float) -> Delta:
    """Return what makes a new job durable: events, state, specifications."""
    delta = turns_delta(job, 0, decided, now)
    delta.specs = {**delta.specs, 0: codec.encode_spec(job.spec)}
    delta.terms = terms_of(job)
    delta.parents = job.spec.parent_job_ids or None
    return delta


def turns_delta(job: Job, first: int, decided: Decided, now: float) -> Delta:
    """Return what makes turns durable that began at a revision."""
    rows: list[EventRow] = []
    notes: dict[int, bytes] = {}
    requests: list[RequestRow] = []
    outputs: list[TaskOutput] = []
    added = 0
    edited: set[int] = set()
    tables: set[int] = set()
    revision = first
    for decision, mail in decided:
        for event, changes in decision.turn.events:
            revision += 1
            rows.append(
                EventRow(
                    job_id=job.job_id,
                    revision=revision,
                    time=event.time,
                    owner=job.owner,
                    body=codec.encode_event(event, changes),
                )
            )
            for number, code, text in event.notes:
                notes[number] = codec.pack((code, text))
            added += len(event.added)
            if event.respecs:
                edited.update(event.respecs)
                tables.update(event.tables)
        if mail.ledger is not None:
            requests.append(request_row(mail.ledger, decision, now))
        if isinstance(mail.command, TakeReports):
            outputs.extend(_outputs(job, mail.command, decision))
    if added:
        edited.update(range(len(job.tasks) - added + 1, len(job.tasks) + 1))
    delta = Delta(
        events=rows,
        job=job_row(job) if rows else None,
        specs={number: codec.encode_spec(spec_of(job, number)) for number in edited},
        chunks=take_chunks(job) if rows else {},
        drop_tables=sorted(tables),
        outputs=outputs if rows else (),
        notes=notes,
        requests=requests,
    )
    if 0 in edited:
        delta.terms = terms_of(job)
        delta.parents = job.spec.parent_job_ids
    add_accounting(delta, job, [decision.turn for decision, _ in decided])
    return delta


def spec_of(job: Job, number: int) -> JobSpec | TaskSpec:
    """Return the specification of a task, or (0) the job's own."""
    return job.tasks[number - 1].spec if number else job.spec


def _outputs(
    job: Job, command: TakeReports, decision: Decision
) -> Iterator[TaskOutput]:
    """Yield what attempts wrote that are still the current ones."""
    limit = decision.turn.settings.output_limit
    for report in command.reports:
        if not isinstance(report, Ended):
            continue
        record = job.task(report.task_id)
        for position, detail in report.details.items():
            known = record is not None and 0 <= position < len(report.instances)
            if not known or not detail.output or record is None:
                continue
            instance = report.instances[position]
            attempt = report.attempts[position]
            if not 0 <= record.row(instance) - record.base < record.count:
                continue
            if job.table_of(record).get("attempt", record.row(instance)) != attempt:
                continue
            yield TaskOutput(
                task_id=report.task_id,
                instance_id=instance,
                attempt=attempt,
                text=detail.output[:limit],
            )


def take_chunks(job: Job) -> dict[tuple[int, int], bytes]:
    """Return the packed columns that changed since the last call."""
    return {
        (table_id, number): body
        for table_id, table in job.tables.items()
        if table.dirty
        for number, body in table.take_dirty().items()
    }


def request_row(ledger: Ledger, decision: Decision | Any, now: float) -> RequestRow:
    """Return the row that makes a decision's answer, or a plain one, repeatable."""
    refusal = getattr(decision, "refusal", None)
    answer = getattr(decision, "answer", decision)
    told = None if refusal is None else (refusal.reason, str(refusal), refusal.facts)
    return RequestRow(
        principal=ledger.principal,
        request_id=ledger.request_id,
        digest=ledger.digest,
        answer=codec.pack((answer, told)),
        time=now,
    )


def turns_views(job: Job, seq: int, decided: Decided) -> list[EventView]:
    """Return the events of committed turns as watchers see them.

    Args:
        job: After them.
        seq: Number of the first.
        decided: The turns.
    """
    total = sum(len(decision.turn.events) for decision, _ in decided)
    revision = job.revision - total
    views: list[EventView] = []
    for decision, _ in decided:
        for event, changes in decision.turn.events:
            revision += 1
            views.append(
                EventView(
                    seq=seq + len(views),
                    job_id=job.job_id,
                    revision=revision,
                    time=event.time,
                    owner=job.owner,
                    name=str(event.name),
                    actor=event.actor,
                    changes=changes_view(changes),
                    message=event.message,
                )
            )
    return views
