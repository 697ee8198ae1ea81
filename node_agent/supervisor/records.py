"""The journal's records: how each is written, and what it does to the table.

A record is one letter and its contents. Those of the hot path (intent, started,
ended) are made without an encoder; reports are kept in the very text that is sent.
"""

from __future__ import annotations

import json

from node_agent.supervisor.alike import Alike
from node_agent.supervisor.attempt import Attempt, cores_in, mask_of
from node_agent.supervisor.definition import Definition, User
from node_agent.supervisor.seen import Seen
from node_agent.supervisor.table import Job, Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, ClassVar

    from node_agent.supervisor.attempt import InstanceKey, Queued


_ENCODER = json.JSONEncoder(separators=(",", ":"))


def _dump(value: object) -> bytes:
    return _ENCODER.encode(value).encode()


def beginning(table: Table) -> bytes:
    """Return the first record of a segment."""
    return b"B" + _dump(
        [
            table.boot_id,
            table.instance,
            table.position,
            table.acknowledged,
            table.settings,
        ]
    )


def defined(raw: object) -> bytes:
    """A definition."""
    return b"D" + _dump(raw)


def granted(job: int, cores: list[int]) -> bytes:
    """The cores that a job may use."""
    return f"G[{job},[{','.join(map(str, cores))}]]".encode()


def accepted(job: int, task: int, number: int, items: list[list[Any]]) -> bytes:
    """Attempts that were put into the queue."""
    return b"Q" + _dump([job, task, number, items])


def alike(items: list[Any]) -> bytes:
    """Jobs that were defined, granted cores and accepted together."""
    return b"L" + _dump(items)


def intent(attempt: Attempt) -> bytes:
    """An attempt that is about to be tried."""
    job, task, instance, number = attempt.key
    return (
        f"I{job} {task} {instance} {number} {attempt.definition.number} {attempt.slot}"
        f" {attempt.cores:x} {attempt.contained:d} {attempt.tried_at:.3f}"
    ).encode()


def started(attempt: Attempt) -> bytes:
    """The process of an attempt exists."""
    earliest, latest = attempt.born
    return f"S{earliest:.3f} {latest:.3f} ".encode() + attempt.started_text


def reported(text: bytes) -> bytes:
    """An unacknowledged ``started`` of an attempt that has ended."""
    return b"U" + text


def status(attempt: Attempt) -> bytes:
    """The main process of an attempt has ended and is about to be reaped."""
    job, task, instance, number = attempt.key
    return (
        f"W{job} {task} {instance} {number} {attempt.status} {attempt.ended_at}"
    ).encode()


def stop(attempt: Attempt) -> bytes:
    """An attempt was told to end."""
    return b"X" + _dump(
        [
            *attempt.key,
            attempt.stopping,
            attempt.why,
            attempt.deadline,
            attempt.killed,
            attempt.signalled,
        ]
    )


def ended(text: bytes) -> bytes:
    """An attempt has ended."""
    return b"E" + text


def acknowledged(position: int) -> bytes:
    """Reports that the head has stored."""
    return b"A%d" % position


def stopped_early(job: int, attempts: Iterable[tuple[int, int, int]]) -> bytes:
    """Attempts that were stopped before they came."""
    return b"R" + _dump([job, list(attempts)])


def jobs_ended(jobs: Iterable[int]) -> bytes:
    """Nothing of these jobs is left."""
    return b"J" + b" ".join([b"%d" % job for job in jobs])


def purged(job: int) -> bytes:
    """A job was deleted by the head."""
    return b"P%d" % job


def set_to(settings: dict[str, Any]) -> bytes:
    """The agent's settings."""
    return b"T" + _dump(settings)


def snapshot(table: Table) -> Iterator[bytes]:
    """Return records that lead to the table from nothing."""
    yield beginning(table)
    for job in table.jobs.values():
        yield from _job(table, job)
    yield from _queue(sorted(table.queued.values(), key=lambda item: item.arrival))
    for alive in table.live.values():
        yield from _living(table, alive)
    alive_texts = {id(item.started_text) for item in table.live.values()}
    for text, key in table.reports.values():
        if key is not None:
            yield ended(text)
        elif id(text) not in alive_texts:
            yield reported(text)


def _job(table: Table, job: Job) -> Iterator[bytes]:
    for definition in job.definitions.values():
        yield defined(definition.raw)
    if job.grant:
        yield granted(job.number, cores_in(job.grant))
    for task, seen in job.seen.items():
        for attempt, masks in seen.masks():
            yield b"N" + _dump([job.number, task, attempt, masks])
    if job.stopped:
        yield stopped_early(job.number, job.stopped)
    if job.number in table.ended_jobs:
        yield jobs_ended([job.number])


def _living(table: Table, alive: Attempt) -> Iterator[bytes]:
    definition = alive.definition
    known = table.job(definition.job).definitions
    if known.get((definition.task, definition.number)) is not definition:
        yield b"O" + _dump(definition.raw)
    yield intent(alive)
    if alive.pid:
        yield started(alive)
    if alive.status is not None:
        yield status(alive)
    if alive.stopping:
        yield stop(alive)


def _queue(queue: Iterable[Queued]) -> Iterator[bytes]:
    items: list[list[Any]] = []
    definition: Definition | None = None
    for queued in queue:
        if queued.dropped:
            continue
        if definition is not queued.definition:
            if definition is not None and items:
                yield accepted(
                    definition.job, definition.task, definition.number, items
                )
            definition, items = queued.definition, []
        items.append(
            [queued.instance, queued.attempt, queued.value, queued.ncores, queued.extra]
        )
    if definition is not None and items:
        yield accepted(definition.job, definition.task, definition.number, items)


class Fold:
    """Leads from the journal's records to the table.

    Attributes:
        endless: Attempts that were followed by newer ones, so they have ended, while
            the record of their end is damaged.
    """

    def __init__(self, table: Table, user: User) -> None:
        self.table = table
        self._user = user
        self._orphans: dict[tuple[int, int, int], Definition] = {}
        self.endless: list[Attempt] = []

    def apply(self, payload: bytes) -> None:
        """Carry out one record.

        Raises:
            ValueError: the record makes no sense: another version wrote it.
        """
        handler = self._handlers.get(payload[:1])
        if handler is not None:
            handler(self, payload[1:])

    def finish(self) -> Table:
        """Return the table after the last record."""
        table = self.table
        table.reports = dict(sorted(table.reports.items()))
        return table

    def _begin(self, data: bytes) -> None:
        table = self.table
        (
            table.boot_id,
            table.instance,
            table.position,
            table.acknowledged,
            table.settings,
        ) = json.loads(data)

    def _define(self, data: bytes) -> None:
        self.table.define(Definition(json.loads(data), self._user))

    def _orphan(self, data: bytes) -> None:
        definition = Definition(json.loads(data), self._user)
        self._orphans[definition.job, definition.task, definition.number] = definition

    def _definition(self, job: int, task: int, number: int) -> Definition:
        """Return a definition; a harmless one if the record of it was damaged."""
        known = self.table.job(job).definitions.get((task, number))
        if known is not None:
            return known
        orphan = self._orphans.get((job, task, number))
        if orphan is None:
            raw = {"job": job, "task": task, "def": number, "argv": [["false"]]}
            orphan = Definition(raw, self._user)
        return orphan

    def _grant(self, data: bytes) -> None:
        job, cores = json.loads(data)
        self.table.grant(job, mask_of(cores))

    def _accept(self, data: bytes) -> None:
        job, task, number, items = json.loads(data)
        definition = self._definition(job, task, number)
        for instance, attempt, value, ncores, extra in items:
            self.table.accept(definition, instance, attempt, value, ncores, extra)

    def _take_alike(self, data: bytes) -> None:
        Alike(json.loads(data), self._user).take_in(self.table)

    def _intend(self, data: bytes) -> None:
        fields = data.split()
        job, task, instance, number, definition, slot = map(int, fields[:6])
        attempt = Attempt(
            self._definition(job, task, definition),
            instance,
            number,
            slot=slot,
            cores=int(fields[6], 16),
            contained=fields[7] == b"1",
            tried_at=float(fields[8]),
        )
        older = self.table.live.get(attempt.instance_key)
        if older is not None and older.attempt != number:
            self.endless.append(older)
        self.table.try_attempt(attempt)

    def _start(self, data: bytes) -> None:
        earliest, latest, text = data.split(b" ", 2)
        _, position, job, task, instance, number, *rest = json.loads(text)
        self.table.add_started(position, text)
        attempt = self._alive((job, task, instance), number)
        if attempt is None:
            return
        attempt.born = float(earliest), float(latest)
        attempt.started_text = text
        attempt.pid, attempt.started_at = rest[0], rest[1]
        attempt.out_path, attempt.err_path = rest[3], rest[4]

    def _alive(self, key: InstanceKey, number: int) -> Attempt | None:
        attempt = self.table.live.get(key)
        if attempt is None or attempt.attempt != number:
            return None
        return attempt

    def _report(self, data: bytes) -> None:
        self.table.add_started(json.loads(data)[1], data)

    def _wait(self, data: bytes) -> None:
        fields = data.split()
        job, task, instance, number, status_ = map(int, fields[:5])
        attempt = self._alive((job, task, instance), number)
        if attempt is not None:
            attempt.status = status_
            attempt.ended_at = float(fields[5])

    def _stop(self, data: bytes) -> None:
        job, task, instance, number, stopping, why, deadline, killed, signalled = (
            json.loads(data)
        )
        attempt = self._alive((job, task, instance), number)
        if attempt is not None:
            attempt.stopping, attempt.why, attempt.deadline = stopping, why, deadline
            attempt.killed, attempt.signalled = killed, signalled

    def _end(self, data: bytes) -> None:
        _, position, job, task, instance, number, _ = json.loads(data)
        self.table.add_ended(position, data, (job, task, instance), number)

    def _acknowledge(self, data: bytes) -> None:
        self.table.acknowledge(int(data))

    def _stop_early(self, data: bytes) -> None:
        job, attempts = json.loads(data)
        self.table.stop_early(job, map(tuple, attempts))

    def _end_job(self, data: bytes) -> None:
        for job in map(int, data.split()):
            self.table.end_job(job)

    def _purge(self, data: bytes) -> None:
        self.table.purge(int(data))

    def _see(self, data: bytes) -> None:
        job, task, attempt, masks = json.loads(data)
        self.table.job(job).seen.setdefault(task, Seen()).merge(attempt, masks)

    def _set(self, data: bytes) -> None:
        self.table.settings.update(json.loads(data))

    _handlers: ClassVar[dict[bytes, Callable[[Fold, bytes], None]]] = {
        b"B": _begin,
        b"D": _define,
        b"O": _orphan,
        b"G": _grant,
        b"Q": _accept,
        b"L": _take_alike,
        b"I": _intend,
        b"S": _start,
        b"U": _report,
        b"W": _wait,
        b"X": _stop,
        b"E": _end,
        b"A": _acknowledge,
        b"R": _stop_early,
        b"J": _end_job,
        b"P": _purge,
        b"N": _see,
        b"T": _set,
    }
