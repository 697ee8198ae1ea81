"""What a store in memory holds once it is committed."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING

from hpcsched.store.alike import one_by_one
from hpcsched.store.base import StoredEvent, StoredJob
from hpcsched.store.errors import DuplicateRequestError, StaleRevisionError
from hpcsched.store.memory_books import MemoryBooks
from hpcsched.store.step import Step, begins, step_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcsched.store.base import (
        Delta,
        JobRow,
        NodeRow,
        RequestRow,
        TaskOutput,
        Terms,
        TokenRow,
    )


@dataclass(slots=True)
class MemoryJob:
    """One job. Its maps are replaced, never changed: a copy may share them."""

    row: JobRow
    revision: int = 0
    specs: Mapping[int, bytes] = field(default_factory=dict)
    chunks: Mapping[tuple[int, int], bytes] = field(default_factory=dict)
    notes: Mapping[int, bytes] = field(default_factory=dict)
    outputs: Mapping[tuple[int, int], TaskOutput] = field(default_factory=dict)
    terms: Terms = field(default_factory=dict)
    parents: Sequence[int] = ()

    def stored(self) -> StoredJob:
        """Return it as a head loads it."""
        return StoredJob(
            row=self.row,
            revision=self.revision,
            specs=MappingProxyType(dict(self.specs)),
            chunks=MappingProxyType(dict(self.chunks)),
            notes=MappingProxyType(dict(self.notes)),
        )


@dataclass(slots=True)
class MemoryState:
    """Every row, by its key."""

    events: list[StoredEvent] = field(default_factory=list)
    jobs: dict[int, MemoryJob] = field(default_factory=dict)
    requests: dict[tuple[str, str], RequestRow] = field(default_factory=dict)
    nodes: dict[int, NodeRow] = field(default_factory=dict)
    entries: dict[tuple[str, str], bytes] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, TokenRow] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    books: MemoryBooks = field(default_factory=MemoryBooks)
    last_seq: int = 0
    floor_seq: int = 0

    def copy(self) -> MemoryState:
        """Return a state that changes to this one do not reach."""
        return replace(
            self,
            events=list(self.events),
            jobs={job_id: replace(job) for job_id, job in self.jobs.items()},
            requests=dict(self.requests),
            nodes=dict(self.nodes),
            entries=dict(self.entries),
            parameters=dict(self.parameters),
            books=self.books.copy(),
            tokens=dict(self.tokens),
            counters=dict(self.counters),
        )

    def apply(self, deltas: Sequence[Delta]) -> list[int]:
        """Take deltas, all or none; return the numbers of their first events.

        Raises:
            StoreError: a delta does not fit; nothing has changed.
        """
        each = [list(one_by_one(delta)) for delta in deltas]
        self._check(list(chain.from_iterable(each)))
        numbers = []
        for some in each:
            first, *_ = [self._apply(one) for one in some]
            numbers.append(first)
        return numbers

    def events_after(self, after: int, limit: int, job_id: int) -> list[StoredEvent]:
        """Return events above a number, of one job or (0) of all."""
        start = bisect_right(self.events, after, key=lambda event: event.seq)
        found: list[StoredEvent] = []
        for event in self.events[start:]:
            if len(found) >= limit:
                break
            if not job_id or event.job_id == job_id:
                found.append(event)
        return found

    def _check(self, deltas: Sequence[Delta]) -> None:
        revisions: dict[int, int] = {}
        requests: set[tuple[str, str]] = set()
        for delta in deltas:
            step = step_of(delta)
            job = self.jobs.get(step.job_id)
            if step.base is not None:
                kept = revisions.get(step.job_id, 0 if job is None else job.revision)
                known = job is not None or delta.job is not None
                known = known or step.job_id in revisions
                if kept != step.base or not known:
                    raise StaleRevisionError(step.job_id, step.base)
                revisions[step.job_id] = step.revision
            for request in delta.requests:
                key = (request.principal, request.request_id)
                if key in self.requests or key in requests:
                    problem = "the request id has been answered before"
                    raise DuplicateRequestError(problem)
                requests.add(key)

    def _apply(self, delta: Delta) -> int:
        first = self.last_seq + 1 if delta.events else 0
        for event in delta.events:
            self.last_seq += 1
            stored = StoredEvent(
                seq=self.last_seq,
                job_id=event.job_id,
                revision=event.revision,
                time=event.time,
                owner=event.owner,
                body=event.body,
            )
            self.events.append(stored)
        step = step_of(delta)
        if step.job_id:
            self._apply_job(step, delta)
        for request in delta.requests:
            self.requests[request.principal, request.request_id] = request
        self._apply_cluster(delta)
        if delta.purge_job is not None:
            self._purge(delta.purge_job)
        return first

    def _apply_job(self, step: Step, delta: Delta) -> None:
        job = self.jobs.get(step.job_id)
        if delta.job is not None:
            job = self._put_row(job, delta.job, step, delta)
        if job is None:
            return
        if step.base is not None:
            job.revision = step.revision
        if delta.terms is not None:
            job.terms = dict(delta.terms)
        if delta.parents is not None:
            job.parents = tuple(delta.parents)
        job.specs = {**job.specs, **delta.specs}
        kept = {k: v for k, v in job.chunks.items() if k[0] not in delta.drop_tables}
        job.chunks = {**kept, **delta.chunks}
        job.notes = {**job.notes, **delta.notes}
        outputs = {(o.task_id, o.instance_id): o for o in delta.outputs}
        job.outputs = {**job.outputs, **outputs}

    def _put_row(
        self, job: MemoryJob | None, row: JobRow, step: Step, delta: Delta
    ) -> MemoryJob:
        relabelled = 0 in delta.specs or begins(step)
        labels: Mapping[str, str] = {} if job is None else job.row.labels
        row = replace(row, labels=dict(row.labels) if relabelled else labels)
        if job is None:
            job = self.jobs[row.job_id] = MemoryJob(row)
        job.row = row
        return job

    def _apply_cluster(self, delta: Delta) -> None:
        for node in delta.nodes:
            self.nodes[node.node_id] = node
        for key, body in delta.entries.items():
            if body is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = body
        for name, value in delta.parameters.items():
            if value is None:
                self.parameters.pop(name, None)
            else:
                self.parameters[name] = value
        for token in delta.tokens:
            self.tokens[token.token_id] = token
        for token_id in delta.revoked_tokens:
            self.tokens.pop(token_id, None)
        self.counters.update(delta.counters)
        for name, amount in delta.sums.items():
            self.counters[name] = self.counters.get(name, 0) + amount
        self.books.add(delta)

    def forget_node_events(self, before: float) -> None:
        """Drop the oldest events of nodes, up to the first that is young enough."""
        gone: list[int] = []
        for event in self.events:
            if not event.job_id:
                if event.time >= before:
                    break
                gone.append(event.seq)
        if gone:
            dropped = set(gone)
            self.events = [one for one in self.events if one.seq not in dropped]
            self.floor_seq = max(self.floor_seq, gone[-1])

    def _purge(self, job_id: int) -> None:
        self.jobs.pop(job_id, None)
        gone = [event.seq for event in self.events if event.job_id == job_id]
        self.events = [event for event in self.events if event.job_id != job_id]
        self.floor_seq = max(self.floor_seq, *gone) if gone else self.floor_seq
