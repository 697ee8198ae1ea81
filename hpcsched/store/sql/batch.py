"""The rows of one transaction, gathered from its deltas.

Rows of state are kept by their key, so that a row which several deltas change is
written once, as the last one left it. Nothing is asked of the database before the
write, but the write makes sure that each job is at the revision that its first delta
builds on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar
from zlib import crc32

from hpcsched.store.errors import StaleRevisionError
from hpcsched.store.sql import schema
from hpcsched.store.sql.books import Books
from hpcsched.store.sql.many import Many
from hpcsched.store.sql.rows import columns_of, terms_row, write_exactly
from hpcsched.store.sql.seals import seal, sealed
from hpcsched.store.sql.sums import with_seal
from hpcsched.store.step import Step, begins, step_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcsched.store.base import Delta, EventRow, JobRow
    from hpcsched.store.sql.rows import Session
    from hpcsched.store.sql.statements import BulkStatement, Cursor, Row, Statements


_Key = TypeVar("_Key", bound="tuple[int, ...]")


class _Job:
    """What happens to one job in the transaction."""

    __slots__ = ("base", "revision", "row")

    def __init__(self) -> None:
        self.base: int | None = None
        self.revision = 0
        self.row: JobRow | None = None


class Batch:
    """Deltas that become one transaction, or one part of it that may fail alone."""

    def __init__(self, last_seq: int) -> None:
        self.last_seq = last_seq
        self._events: list[Row] = []
        self._jobs: dict[int, _Job] = {}
        self._labels: dict[int, Mapping[str, str]] = {}
        self._relabelled: list[Row] = []
        self._terms: dict[int, Row] = {}
        self._parents: dict[int, Sequence[int]] = {}
        self._specs: dict[tuple[int, int], Row] = {}
        self._dropped: set[tuple[int, int]] = set()
        self._chunks: dict[tuple[int, int, int], Row] = {}
        self._notes: dict[tuple[int, int], Row] = {}
        self._outputs: dict[tuple[int, int, int], Row] = {}
        self._requests: list[Row] = []
        self._nodes: dict[int, Row] = {}
        self._entries: dict[tuple[str, str], bytes | None] = {}
        self._parameters: dict[str, str | None] = {}
        self._tokens: dict[str, Row | None] = {}
        self._counters: dict[str, int] = {}
        self._books = Books()
        self._many = Many()
        self._purged: list[int] = []

    @property
    def rows(self) -> int:
        """About how many rows will be written."""
        return (
            len(self._events)
            + len(self._jobs)
            + len(self._specs)
            + len(self._chunks)
            + len(self._notes)
            + len(self._outputs)
            + len(self._requests)
            + self._books.rows
            + self._many.rows
        )

    @property
    def purges(self) -> bool:
        """Whether a job is purged."""
        return bool(self._purged)

    def add(self, delta: Delta) -> int:
        """Take a delta; return the number of its first event, 0 without any.

        Raises:
            InvalidDeltaError: see step_of.
            StaleRevisionError: it does not follow a delta that is already in the batch.
        """
        step = step_of(delta)
        first = self.last_seq + 1 if delta.events else 0
        if delta.alike is not None:
            self.last_seq = self._many.add(delta, step, self.last_seq)
        else:
            if delta.events:
                self._add_events(delta)
            if step.job_id:
                self._add_job(step, delta)
                self._add_parts(step.job_id, delta)
        for r in delta.requests:
            answer = (r.principal, r.request_id, r.digest, r.answer, r.time)
            self._requests.append(sealed(answer))
        self._add_cluster(delta)
        if delta.history or delta.allocations or delta.usage or delta.sums:
            self._books.add(delta)
        if delta.purge_job is not None:
            self._purge(delta.purge_job)
        return first

    def _add_events(self, delta: Delta) -> None:
        seq, events = self.last_seq, self._events
        e: EventRow
        for e in delta.events:
            seq += 1
            told = (e.time, e.owner, e.body)
            events.append((seq, e.job_id, e.revision, *told, seal(told)))
        self.last_seq = seq

    def _add_job(self, step: Step, delta: Delta) -> None:
        job_id = step.job_id
        job = self._jobs.get(job_id)
        if job is None:
            job = self._jobs[job_id] = _Job()
        if step.base is not None:
            if job.base is None:
                job.base = step.base
            elif job.revision != step.base:
                raise StaleRevisionError(job_id, step.base)
            job.revision = step.revision
        if delta.job is not None:
            job.row = delta.job
            if 0 in delta.specs or begins(step):
                self._labels[job_id] = delta.job.labels
                if not begins(step):
                    self._relabelled.append((job_id,))

    def _add_parts(self, job_id: int, delta: Delta) -> None:
        if delta.terms is not None:
            self._terms[job_id] = terms_row(job_id, delta.terms)
        if delta.parents is not None:
            self._parents[job_id] = delta.parents
        for task_id, body in delta.specs.items():
            self._specs[job_id, task_id] = (job_id, task_id, body, crc32(body))
        if delta.drop_tables:
            self._drop_tables(job_id, delta)
        for (tbl, chunk), body in delta.chunks.items():
            row = (job_id, tbl, chunk, body, crc32(body))
            self._chunks[job_id, tbl, chunk] = row
        for note_id, body in delta.notes.items():
            self._notes[job_id, note_id] = (job_id, note_id, body, crc32(body))
        for o in delta.outputs:
            key = (job_id, o.task_id, o.instance_id)
            self._outputs[key] = sealed((*key, o.attempt, o.text))

    def _drop_tables(self, job_id: int, delta: Delta) -> None:
        gone = {(job_id, tbl) for tbl in delta.drop_tables}
        self._dropped |= gone
        for key in [key for key in self._chunks if key[:2] in gone]:
            del self._chunks[key]

    def _add_cluster(self, delta: Delta) -> None:
        for n in delta.nodes:
            self._nodes[n.node_id] = sealed((n.node_id, n.name, n.blob))
        self._entries.update(delta.entries)
        self._parameters.update(delta.parameters)
        for t in delta.tokens:
            who = (t.token_id, t.digest, t.user, t.role)
            self._tokens[t.token_id] = sealed((*who, t.create_time, t.expire_time))
        for token_id in delta.revoked_tokens:
            self._tokens[token_id] = None
        self._counters.update(delta.counters)

    def _purge(self, job_id: int) -> None:
        """Forget what was to be written of the job, but for its events: they count."""
        self._purged.append(job_id)
        self._jobs.pop(job_id, None)
        self._labels.pop(job_id, None)
        self._terms.pop(job_id, None)
        self._parents.pop(job_id, None)
        _drop_rows_of(job_id, self._specs)
        _drop_rows_of(job_id, self._chunks)
        _drop_rows_of(job_id, self._notes)
        _drop_rows_of(job_id, self._outputs)

    def write(self, session: Session, statements: Statements) -> None:
        """Write everything; the transaction is the caller's.

        Raises:
            StaleRevisionError: a job is not where its first delta wants it.
            Exception: whatever the driver raises.
        """
        run, s = session.cursor, statements
        self._many.write(session, s)
        if self._events:
            s.add_events.run(run, self._events)
        if self._jobs:
            self._write_jobs(session, s)
            self._write_labels(run, s)
        s.drop_chunks.run(run, sorted(self._dropped))
        s.put_terms.run(run, list(self._terms.values()))
        if self._parents:
            s.delete_parents.run(run, [(job_id,) for job_id in self._parents])
            s.add_parents.run(
                run,
                [
                    (job_id, parent)
                    for job_id, parents in self._parents.items()
                    for parent in dict.fromkeys(parents)
                ],
            )
        s.put_specs.run(run, list(self._specs.values()))
        s.put_chunks.run(run, list(self._chunks.values()))
        s.put_notes.run(run, list(self._notes.values()))
        s.put_outputs.run(run, list(self._outputs.values()))
        s.add_requests.run(run, self._requests)
        self._write_cluster(run, s)
        self._books.write(run, s)
        for job_id in self._purged:
            self._write_purge(job_id, session, s)

    def _write_jobs(self, session: Session, s: Statements) -> None:
        new: list[Row] = []
        moved: list[Row] = []
        bumped: list[Row] = []
        other: list[Row] = []
        for job_id, job in self._jobs.items():
            if job.row is None:
                if job.base is not None:
                    bumped.append((job_id, job.revision, job.base))
            elif job.base is None:
                other.append(columns_of(job.row, 0))
            elif job.base == 0:
                new.append(columns_of(job.row, job.revision))
            else:
                moved.append((*columns_of(job.row, job.revision), job.base))
        s.replace_jobs.run(session.cursor, other)
        for statement, rows in (
            (s.create_jobs, new),
            (s.advance_jobs, moved),
            (s.advance_revisions, bumped),
        ):
            if rows:
                self._write_exactly(session, statement, rows)

    def _write_labels(self, run: Cursor, s: Statements) -> None:
        s.delete_labels.run(run, self._relabelled)
        labels = [
            (job_id, name, value)
            for job_id, texts in self._labels.items()
            for name, value in texts.items()
        ]
        s.add_labels.run(run, labels)

    def _write_exactly(
        self, session: Session, statement: BulkStatement, rows: list[Row]
    ) -> None:
        """Write jobs of which each has to be at its base."""
        job_id = rows[0][0]
        write_exactly(session, statement, rows, self._jobs[job_id].base or 0)

    def _write_cluster(self, run: Cursor, s: Statements) -> None:
        if self._nodes:
            s.put_nodes.run(run, list(self._nodes.values()))
        if self._entries:
            bodies = {k: v for k, v in self._entries.items() if v is not None}
            s.put_entries.run(run, [sealed((*k, v)) for k, v in bodies.items()])
            s.delete_entries.run(run, [k for k in self._entries if k not in bodies])
        if self._parameters:
            kept = {k: v for k, v in self._parameters.items() if v is not None}
            s.put_parameters.run(run, [sealed(one) for one in kept.items()])
            gone = [(k,) for k in self._parameters if k not in kept]
            s.delete_parameters.run(run, gone)
        if self._tokens:
            rows = [row for row in self._tokens.values() if row is not None]
            s.put_tokens.run(run, rows)
            revoked = [(k,) for k, row in self._tokens.items() if row is None]
            s.delete_tokens.run(run, revoked)
        if self._counters:
            counters = self._counters.items()
            s.put_counters.run(run, [with_seal((k,), (n,)) for k, n in counters])

    def _write_purge(self, job_id: int, session: Session, s: Statements) -> None:
        """Take the job out of sight; the chores delete the rest of it."""
        newest = session.ask(s.newest_event_of_job, job_id=job_id)
        if newest > session.ask(s.floor):
            s.put_meta.run(session.cursor, [with_seal((schema.FLOOR,), (newest,))])
        s.delete_jobs.run(session.cursor, [(job_id,)])
        s.put_purges.run(session.cursor, [sealed((job_id,))])


def _drop_rows_of(job_id: int, rows: dict[_Key, Row]) -> None:
    for key in [key for key in rows if key[0] == job_id]:
        del rows[key]
