"""Rows of jobs that are alike: made here, slice by slice, from one of them each.

So a hundred thousand jobs of one call cost the loop's thread one delta, and this one a
few tuples for each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from zlib import crc32

from hpcsched.store.alike import ONLY_TASK, Varied
from hpcsched.store.sql import schema
from hpcsched.store.sql.rows import columns_of, terms_row, write_exactly
from hpcsched.store.sql.seals import mixed, seal, sealed, seals
from hpcsched.store.step import begins

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.store.alike import Alike, Own
    from hpcsched.store.base import Delta, JobRow
    from hpcsched.store.sql.rows import Session
    from hpcsched.store.sql.statements import Cursor, Row, Statements
    from hpcsched.store.step import Step

_NAMES: Final = [column.name for column in schema.job.c]
_BLOB: Final = _NAMES.index("blob")
_START: Final = _NAMES.index("start_time")
SLICE: Final = 2048
"""Jobs of which the rows are in memory at a time."""


class Many:
    """What such deltas of one transaction write."""

    def __init__(self) -> None:
        self.rows = 0
        self._each: list[_One] = []
        self._varied: list[_Own] = []

    def add(self, delta: Delta, step: Step, last_seq: int) -> int:
        """Take a delta; return the number of its last event."""
        alike, row = delta.alike, delta.job
        if alike is None or row is None or step.base is None:
            raise AssertionError("jobs that are alike have a row and events")
        if isinstance(alike, Varied):
            count = len(alike.own)
            self._varied.append(_Own(delta, alike, row, step, last_seq))
            self.rows += count * (1 + len(delta.events) + len(delta.chunks))
            return last_seq + count * len(delta.events)
        one = _One(delta, alike, row, step, last_seq)
        self._each.append(one)
        self.rows += len(alike.ids) * one.width
        return last_seq + len(alike.ids) * len(delta.events)

    def write(self, session: Session, statements: Statements) -> None:
        """Write everything; the transaction is the caller's.

        Raises:
            StaleRevisionError: a job is not where its delta wants it.
        """
        for one in self._each:
            for at in range(0, len(one.alike.ids), SLICE):
                one.write(session, statements, at, one.alike.ids[at : at + SLICE])
        for own in self._varied:
            for at in range(0, len(own.alike.own), SLICE):
                own.write(session, statements, at, own.alike.own[at : at + SLICE])


class _One:
    """One of them."""

    __slots__ = ("alike", "delta", "row", "seq", "step", "width")

    def __init__(
        self, delta: Delta, alike: Alike, row: JobRow, step: Step, last_seq: int
    ) -> None:
        self.delta = delta
        self.alike = alike
        self.row = row
        self.step = step
        self.seq = last_seq + 1
        parts = (delta.events, delta.specs, delta.chunks, delta.notes, delta.history)
        self.width = 1 + sum(map(len, parts))

    def write(
        self, session: Session, s: Statements, at: int, ids: Sequence[int]
    ) -> None:
        """Write a slice of the jobs that begins at a position."""
        self._events(session.cursor, s, at, ids)
        self._jobs(session, s, ids)
        self._parts(session.cursor, s, at, ids)

    def _events(self, run: Cursor, s: Statements, at: int, ids: Sequence[int]) -> None:
        alike, events, base = self.alike, self.delta.events, self.step.base or 0
        count = len(events)
        first = self.seq + at * count
        rows: list[Row] = [()] * (count * len(ids))
        for number, (event, body) in enumerate(zip(events, alike.bodies, strict=True)):
            time, owner, revision = event.time, event.owner, base + number + 1
            fill, shift = body.filled, alike.shift
            if alike.own and not number:
                filled = list(map(body.filled_with, alike.own[at : at + len(ids)]))
            elif body.has_number:
                filled = [fill(i + shift) for i in ids]
            if body.has_number:
                rest = (time, owner)
                rows[number::count] = [
                    (
                        first + number + n * count,
                        i,
                        revision,
                        time,
                        owner,
                        filled[n],
                        crc,
                    )
                    for n, (i, crc) in enumerate(
                        zip(ids, seals(rest, filled), strict=True)
                    )
                ]
            else:
                what = (time, owner, body.before)
                told = (revision, *what, seal(what))
                rows[number::count] = [
                    (first + number + n * count, i, *told) for n, i in enumerate(ids)
                ]
        s.add_events.run(run, rows)

    def _jobs(self, session: Session, s: Statements, ids: Sequence[int]) -> None:
        base, shift = self.step.base or 0, self.alike.shift
        fill = self.alike.blob.filled
        columns = columns_of(self.row, self.step.revision)
        left, right = columns[1:_BLOB], columns[_BLOB + 1 : -1]
        last = (base,) if base else ()
        rows = [
            (i, *left, blob, *right, crc32(blob), *last)
            for i, blob in ((i, fill(i + shift)) for i in ids)
        ]
        statement = s.advance_jobs if base else s.create_jobs
        write_exactly(session, statement, rows, base)

    def _parts(self, run: Cursor, s: Statements, at: int, ids: Sequence[int]) -> None:
        delta = self.delta
        if begins(self.step):
            labels = self.row.labels.items()
            s.add_labels.run(run, [(i, *one) for i in ids for one in labels])
        if delta.terms is not None:
            rest = terms_row(0, delta.terms)[1:]
            s.put_terms.run(run, [(i, *rest) for i in ids])
        own = dict(zip(ids, self.alike.own[at : at + len(ids)], strict=False))
        specs = [
            (*one, crc32(one[1]))
            for one in sorted(delta.specs.items())
            if not (own and one[0] == ONLY_TASK)
        ]
        s.put_specs.run(
            run,
            [
                *((i, *one) for i in ids for one in specs),
                *((i, ONLY_TASK, body, crc32(body)) for i, body in own.items()),
            ],
        )
        chunks = [
            (*key, body, crc32(body)) for key, body in sorted(delta.chunks.items())
        ]
        s.put_chunks.run(run, [(i, *one) for i in ids for one in chunks])
        notes = [(*one, crc32(one[1])) for one in sorted(delta.notes.items())]
        s.put_notes.run(run, [(i, *one) for i in ids for one in notes])
        history = [
            sealed((h.requeue_id, h.owner, h.project, h.state, h.event_time, h.body))
            for h in delta.history
        ]
        s.add_history.run(
            run,
            [(i, *one, crc ^ mixed(i)) for i in ids for *one, crc in history],
        )


class _Own:
    """Jobs that have some rows of their own."""

    __slots__ = ("alike", "delta", "row", "seq", "step")

    def __init__(
        self, delta: Delta, alike: Varied, row: JobRow, step: Step, last_seq: int
    ) -> None:
        self.delta = delta
        self.alike = alike
        self.row = row
        self.step = step
        self.seq = last_seq + 1

    def write(
        self, session: Session, s: Statements, at: int, some: Sequence[Own]
    ) -> None:
        """Write a slice of the jobs that begins at a position."""
        events, base = self.delta.events, self.step.base or 0
        count = len(events)
        owners = [event.owner for event in events]
        seq, told = self.seq + at * count, []
        for job_id, times, bodies, *_ in some:
            for number, what in enumerate(zip(times, owners, bodies, strict=True)):
                row = (seq, job_id, base + number + 1, *what, seal(what))
                told.append(row)
                seq += 1
        s.add_events.run(session.cursor, told)
        columns = columns_of(self.row, self.step.revision)
        left = columns[1:_BLOB]
        middle, right = columns[_BLOB + 1 : _START], columns[_START + 1 : -1]
        last = (base,) if base else ()
        rows = [
            (i, *left, blob, *middle, start, *right, crc32(blob), *last)
            for i, _, _, start, blob, _ in some
        ]
        statement = s.advance_jobs if base else s.create_jobs
        write_exactly(session, statement, rows, base)
        keys = sorted(self.delta.chunks)
        s.put_chunks.run(
            session.cursor,
            [
                (one.job_id, *key, body, crc32(body))
                for one in some
                for key, body in zip(keys, one.chunks, strict=True)
            ],
        )
