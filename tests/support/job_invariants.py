"""What is always true of a job, whatever was asked of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hpcsched.core.job import codec
from hpcsched.core.job.apply import apply
from hpcsched.core.job.deriving import derive_state
from hpcsched.core.job.events import EventName
from hpcsched.core.job.invariants import COLUMNS as COLUMNS  # noqa: PLC0414
from hpcsched.core.job.invariants import findings_of
from hpcsched.core.job.invariants import picture as picture  # noqa: PLC0414
from hpcsched.core.job.locating import ACTIVE, rows_on
from hpcsched.core.job.model import Job
from hpcsched.core.job.readiness import ready_tasks
from hpcsched.core.job.settle import result_of
from hpcsched.core.job.states import JOB_TERMINAL, CancelRequest, JobState
from hpcsched.core.job.table import LEGAL_JOB_MOVES
from hpcsched.core.job.uses import Shelf, Uses
from hpcsched.core.job.waiting import held_back
from hpcsched.core.task.states import TASK_TERMINAL, TaskState
from hpcsched.core.task.table import LEGAL_TASK_MOVES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.core.job.events import Change, Event
    from hpcsched.core.job.spec import JobSpec
    from hpcsched.core.task.spec import TaskSpec

OPEN = (TaskState.SUBMITTED, TaskState.VALIDATING, TaskState.QUEUED)
AGAIN = {
    *(EventName.JOB_REQUEUED, EventName.TASKS_REQUEUED, EventName.JOB_CONFIGURED),
    EventName.JOB_REJECTED,
}


class Watcher:
    """Folds what was stored, and follows what watchers were told."""

    def __init__(
        self, job: Job, spec: JobSpec, tasks: Sequence[TaskSpec], now: float
    ) -> None:
        self.shadow = Job(job.job_id, job.owner, spec, now)
        self.specs: dict[int, bytes] = {0: codec.encode_spec(spec)}
        self.chunks: dict[tuple[int, int], bytes] = {}
        self.notes: dict[int, bytes] = {}
        self.bodies: list[tuple[float, bytes]] = []
        self.path: list[str] = []
        self.told: dict[tuple[int, int], int] = {}
        self.attempts: dict[tuple[int, int], int] = {}
        self.finished: set[tuple[int, int]] = set()
        self._job = job

    def take(self, events: Sequence[tuple[Event, list[Change]]]) -> None:
        """Fold events as they are stored, and hear what they say."""
        for event, changes in events:
            body = codec.encode_event(event, changes)
            self.bodies.append((event.time, body))
            again, told = codec.decode_event(event.time, body)
            assert told == changes
            assert apply(self.shadow, again) == changes
            for spec in event.added:
                self.specs[len(self.specs)] = codec.encode_spec(spec)
            self._respecify(event)
            for number, code, text in event.notes:
                self.notes[number] = codec.pack((code, text))
            for change in changes:
                self._hear(change)
                self._check_left(event, change)
        for number, table in self._job.tables.items():
            for chunk, body in table.take_dirty().items():
                self.chunks[number, chunk] = body

    def _respecify(self, event: Event) -> None:
        """Replace what was stored of edited tasks, as the store does."""
        for number, new in event.respecs.items():
            self.specs[number] = codec.encode_spec(new)
            if number and not new.is_sweep:  # type: ignore[union-attr]
                gone = [key for key in self.told if key[0] == number and key[1]]
                for key in gone:
                    del self.told[key]
        for table in event.tables:
            for chunk in [key for key in self.chunks if key[0] == table]:
                del self.chunks[chunk]

    def _hear(self, change: Change) -> None:
        spans = change.ranges or ((0, 0),)
        master = False
        if change.task_id:
            master = not change.ranges and self._is_master(change.task_id)
        for first, last in spans:
            for instance in range(first, last + 1):
                key = (change.task_id, instance)
                new = (
                    change.task_id and not master and instance and key not in self.told
                )
                started = 0 if new and not change.previous else 1
                known = self.told.get(key, started)
                assert change.previous == known, (key, change, "a state was left out")
                self._check_legal(change, master=master)
                self.told[key] = change.state
        if not change.task_id:
            self.path.append(JobState(change.state).label)

    def _check_legal(self, change: Change, *, master: bool) -> None:
        step = (change.previous, change.state)
        if not change.task_id:
            assert step in LEGAL_JOB_MOVES
        elif not master and change.previous:
            assert step in LEGAL_TASK_MOVES

    def _check_left(self, event: Event, change: Change) -> None:
        """What has ended begins again only because its user wants it to."""
        if change.task_id:
            ended = change.previous in TASK_TERMINAL
            ended = ended and not self._follows(change)
        else:
            ended = change.previous in JOB_TERMINAL
        assert not ended or event.name in AGAIN, (event.name, change)

    def _follows(self, change: Change) -> bool:
        """Is it a master, whose state follows from its elements?"""
        return not change.ranges and self._is_master(change.task_id)

    def _is_master(self, task_id: int) -> bool:
        return self._job.tasks[task_id - 1].has_elements

    def stored(self) -> Job:
        """Return the job as the store would give it back."""
        blob = codec.encode_job(self._job)
        job = self._job
        return codec.decode_job(
            job.job_id, job.owner, blob, self.specs, self.chunks, self.notes
        )


def check_invariants(job: Job, watcher: Watcher) -> None:
    """Check what must hold after every command."""
    now = picture(job)
    assert picture(watcher.shadow) == now, "folding the events gives another state"
    assert picture(watcher.stored()) == now, "the store gives another state"
    assert list(findings_of(job)) == []
    _check_told(job, watcher)
    _check_counts(job)
    _check_uses(job)
    _check_elements(job, watcher)
    _check_ready(job)
    _check_result(job, watcher)
    if job.state.terminal:
        assert not job.uses
        assert all(not record.open for record in job.tasks)
        assert all(record.state in TASK_TERMINAL for record in job.tasks)
        assert job.end_time is not None
        assert job.pending_end is None
    else:
        assert job.end_time is None
    if job.state in (JobState.CONFIGURING, JobState.QUEUED):
        assert not job.uses
        assert not job.on_nodes()


def _check_result(job: Job, watcher: Watcher) -> None:
    """A job that ended by itself ended as its tasks say (D11)."""
    if job.state.terminal and watcher.path[-2:-1] == ["Finishing"]:
        if job.request_cancel is CancelRequest.NONE:
            assert job.state is result_of(job)
    elif job.state in (JobState.QUEUED, JobState.RUNNING) and not job.service:
        waits = job.on_nodes() or job.spec.run_until_canceled
        waits = waits or any(job.counts[state] for state in OPEN) or held_back(job)
        assert waits, "it has nothing to do, and does not end"


def _check_ready(job: Job) -> None:
    """What is remembered of tasks that may start is what looking again would find."""
    if job.ready is None:
        return
    kept, job.ready = job.ready, None
    waiting = job.unready
    fresh = ready_tasks(job)
    queued = [t for t in kept if job.tasks[t - 1].counts[TaskState.QUEUED]]
    assert queued == fresh
    assert {t for t in waiting if job.tasks[t - 1].counts[TaskState.QUEUED]} == set(
        job.unready
    )


def _check_told(job: Job, watcher: Watcher) -> None:
    assert watcher.told.get((0, 0), 1) == job.state
    for record in job.tasks:
        assert watcher.told.get((record.task_id, 0), 1) == record.state
        assert record.state is derive_state(job, record)


def _check_counts(job: Job) -> None:
    total = [0] * len(job.counts)
    for record in job.tasks:
        # The instances of earlier rounds of a service count no more.
        first = record.base + (record.shown_from if record.ordinary else 0)
        states = job.table_of(record).state[first : record.base + record.count]
        found = [states.count(n) for n in range(len(total))]
        assert found == record.counts
        if record.ordinary:
            total = [a + b for a, b in zip(total, found, strict=True)]
    assert total == job.counts


def _check_sums(uses: Uses) -> None:
    """What is kept of all nodes is what going through them would give."""
    again = Uses()
    for use in uses.values():
        again.put(replace(use))
        again.busy += use.busy
        again.busy_nodes += use.busy > 0
    for name in ("cores", "sockets", "nodes", "phases", "busy", "busy_nodes"):
        assert getattr(uses, name) == getattr(again, name), name
    assert uses.crowded.keys() == again.crowded.keys()
    assert uses.held == again.held
    assert uses.ids == again.ids
    assert uses.packed == again.packed
    assert sorted(uses.not_open()) == sorted(again.not_open())
    for shelf in Shelf:
        assert uses.on(shelf) == again.on(shelf), shelf.name


def _check_uses(job: Job) -> None:
    _check_sums(job.uses)
    for use in job.uses.values():
        rows = list(rows_on(job, use.node_id))
        held = job.holds.get(use.node_id, {})
        widths = [record.width(job.table_of(record), row) for record, row in rows]
        taken = [core for cores in held.values() for core in cores]
        here = [record for record, _ in rows]
        here += [job.tasks[task_id - 1] for task_id, _ in held]
        assert use.live == len(here)
        assert use.busy == sum(widths) + len(taken)
        assert len(set(taken)) == len(taken), "two attempts hold one core"
        assert set(taken) <= set(use.cores)
        alone = sum(record.spec.is_exclusive for record in here)
        assert use.shut == alone
        assert not alone or sum(record.ordinary for record in here) == 1
    for record in job.tasks:
        table = job.table_of(record)
        for row in range(record.base, record.base + record.count):
            if table.state[row] in ACTIVE:
                assert table.get("node", row) in job.uses, (
                    "it runs where nothing is held"
                )


def _check_elements(job: Job, watcher: Watcher) -> None:
    for record in job.tasks:
        table = job.table_of(record)
        for row in range(record.base, record.base + record.count):
            key = (record.task_id, row)
            attempt = table.get("attempt", row)
            assert attempt >= watcher.attempts.get(key, 1)
            watcher.attempts[key] = attempt
            state = table.state[row]
            assert state != TaskState.FINISHING
            if key in watcher.finished:
                assert state == TaskState.FINISHED
            elif state == TaskState.FINISHED:
                watcher.finished.add(key)
            if state in TASK_TERMINAL:
                assert table.get("end", row), "it ended, but when?"
