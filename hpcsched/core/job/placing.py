"""Placing tasks inside the job's own grant (T5), and giving back what it does not need (J11).

Tasks start in the order they were added, except for dependencies; requeued ones come first.
A bounded number goes to a node ahead of free cores, so that a core never waits for a round
trip: as many as would run there within 50 ms, judged by what the job's tasks took so far.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.core.job.events import EventName, TaskMove
from hpcsched.core.job.model import UsePhase
from hpcsched.core.job.states import JobState, JobType
from hpcsched.core.task.elements import SENT
from hpcsched.core.task.states import TaskState, TaskType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcsched.core.job.model import Job, NodeUse, TaskRecord
    from hpcsched.core.job.turn import Turn

AHEAD_S: Final = 0.05
AHEAD_LIMIT: Final = 64
RUN_LIMIT: Final = 4096
_QUEUED: Final = bytes([TaskState.QUEUED])
_ACTIVE: Final = (TaskState.DISPATCHING, TaskState.RUNNING, TaskState.CANCELING)


def ready_tasks(job: Job) -> list[int]:
    """Return the tasks that may start now, in order; kept until something changes it."""
    if job.ready is not None:
        return job.ready
    names: dict[str, list[TaskRecord]] = {}
    for record in job.ordinary():
        names.setdefault(record.spec.name, []).append(record)
    job.ready, job.unready = [], set()
    for record in job.ordinary():
        if not record.counts[TaskState.QUEUED]:
            continue
        if all(
            not parent.open
            for name in record.spec.depends_on
            for parent in names.get(name, ())
        ):
            job.ready.append(record.task_id)
        else:
            job.unready.add(record.task_id)
    job.ready.reverse()  # the next one is the last, so that taking it is cheap
    return job.ready


def lookahead(job: Job, cores: int) -> int:
    """Return how many cores' worth of tasks may wait on a node with so many cores."""
    if job.mean_run < 0:
        return 0
    return min(AHEAD_LIMIT, int(cores * AHEAD_S / max(job.mean_run, 1e-4)))


def place(turn: Turn) -> None:
    """Dispatch what fits: first to free cores, then ahead of them."""
    job = turn.job
    if job.spec.job_type is JobType.ADMIN or not job.counts[TaskState.QUEUED]:
        return
    uses = [use for use in job.uses.values() if use.phase is UsePhase.READY]
    if not uses:
        return
    for source in (_Front(job), _InOrder(job)) if job.front else (_InOrder(job),):
        placer = _Placer(job, source)
        for ahead in (False, True):
            for use in uses:
                room = len(use.cores) - use.busy - placer.booked.get(use.node_id, 0)
                if ahead:
                    room += lookahead(job, len(use.cores))
                if room > 0 and not placer.fill(use, room):
                    break
        if placer.moves or source.patch:
            name = EventName.TASKS_DISPATCHED
            turn.emit(name, moves=placer.moves, patch=source.patch)
        if job.front:
            return  # what was queued again is the next to start


class _InOrder:
    """Queued elements in the order in which their tasks were added."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._next: dict[int, int] = {}
        self.patch: dict[str, object] = {}

    def spans(self, placer: _Placer) -> Iterator[tuple[TaskRecord, int, int]]:
        """Yield (task, first row, last row), each time what is left of the next task."""
        ready = ready_tasks(self._job)
        blocked: list[int] = []
        while ready:
            record = self._job.tasks[ready[-1] - 1]
            low = self._next.get(record.task_id, record.hint)
            span = queued_run(self._job, record, low, record.base + record.count - 1)
            if low == record.hint and span is not None:
                record.hint = span[0]
            if span is None:
                ready.pop()
            elif placer.concurrency(record) <= 0:
                blocked.append(ready.pop())
            else:
                yield record, *span
        ready.extend(reversed(blocked))

    def took(self, record: TaskRecord, last: int) -> None:
        """Rows up to ``last`` of the span were taken."""
        self._next[record.task_id] = last + 1


class _Front:
    """Elements that were queued again and go before all others of the job."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._left = list(job.front)

    @property
    def patch(self) -> dict[str, object]:
        """The front as it is now, if it changed."""
        left = tuple(self._left)
        return {} if left == self._job.front else {"front": left}

    def spans(self, placer: _Placer) -> Iterator[tuple[TaskRecord, int, int]]:
        """Yield (task, first row, last row) of the next span."""
        ready_tasks(self._job)
        while self._left:
            task_id, first, last = self._left[0]
            record = self._job.tasks[task_id - 1]
            span = queued_run(self._job, record, record.row(first), record.row(last))
            if span is None:
                self._left.pop(0)
            elif task_id in self._job.unready or placer.concurrency(record) <= 0:
                return
            else:
                yield record, *span

    def took(self, record: TaskRecord, last: int) -> None:
        """Rows up to ``last`` of the span were taken."""
        task_id, _, end = self._left[0]
        if record.has_elements and record.instance(last) < end:
            self._left[0] = (task_id, record.instance(last) + 1, end)
        else:
            self._left.pop(0)


def queued_run(
    job: Job, record: TaskRecord, low: int, high: int
) -> tuple[int, int] | None:
    """Return the next rows of a task that are Queued side by side, or None."""
    table = job.table_of(record)
    first = table.find(TaskState.QUEUED, low, high)
    if first < 0:
        return None
    part = table.state[first : min(high + 1, first + RUN_LIMIT)]
    return first, first + len(part) - len(part.lstrip(_QUEUED)) - 1


class _Placer:
    """Takes queued elements from a source and collects the moves that send them."""

    def __init__(self, job: Job, source: _InOrder | _Front) -> None:
        self._job = job
        self._source = source
        self._taken: dict[int, int] = {}
        self.moves: list[TaskMove] = []
        self.booked: dict[int, int] = {}

    def fill(self, use: NodeUse, room: int) -> bool:
        """Use up the room of a node; False when no task is left that may start."""
        for record, first, last in self._source.spans(self):
            width = self._width(record, use, room)
            if not width:
                return True  # order counts: nothing overtakes what does not fit
            count = min(room // width, last - first + 1, self.concurrency(record))
            self._take(record, use, first, first + count - 1, width)
            room -= count * width
            if room <= 0:
                return True
        return False

    def concurrency(self, record: TaskRecord) -> int:
        """Return how many more elements of the task may be on nodes at once."""
        limit = record.spec.max_concurrent or record.count
        active = sum(record.counts[state] for state in _ACTIVE)
        return limit - active - self._taken.get(record.task_id, 0)

    def _width(self, record: TaskRecord, use: NodeUse, room: int) -> int:
        """Return the cores for one process of the task on this node; 0: none fits."""
        least = record.spec.min_cores
        if least > room or least > len(use.cores):
            return 0
        if record.spec.type is TaskType.BASIC:
            return min(record.spec.max_cores or least, room, len(use.cores))
        return least

    def _take(
        self, record: TaskRecord, use: NodeUse, first: int, last: int, width: int
    ) -> None:
        columns = {"node": use.node_id}
        if width != record.spec.min_cores:
            columns["width"] = width
        self.moves.append(
            TaskMove(
                task_id=record.task_id,
                ranges=((record.instance(first), record.instance(last)),),
                was=TaskState.QUEUED,
                path=(TaskState.DISPATCHING,),
                columns=columns,
                flags=SENT,
            )
        )
        self._source.took(record, last)
        count = last - first + 1
        task_id, node_id = record.task_id, use.node_id
        self._taken[task_id] = self._taken.get(task_id, 0) + count
        self.booked[node_id] = self.booked.get(node_id, 0) + count * width


def rows_on(job: Job, node_id: int) -> Iterator[tuple[TaskRecord, int]]:
    """Yield (task, row) of every attempt of the job that may live on a node."""
    for record in job.tasks:
        if not sum(record.counts[state] for state in _ACTIVE):
            continue
        table = job.table_of(record)
        last = record.base + record.count - 1
        for state in _ACTIVE:
            row = table.find(state, record.base, last)
            while row >= 0:
                if table.get("node", row) == node_id:
                    yield record, row
                row = table.find(state, row + 1, last)


def shrink(turn: Turn) -> None:
    """Give back what no waiting task needs, never below the job's minimum (J11)."""
    job = turn.job
    if (
        not turn.settings.shrink
        or job.state is not JobState.RUNNING
        or job.counts[TaskState.QUEUED]
        or job.spec.run_until_canceled
        or job.spec.job_type is JobType.ADMIN
    ):
        return
    least = job.spec.min_cores or 0
    held = sum(len(use.cores) for use in job.uses.values())
    uses: dict[int, tuple[object, ...]] = {}
    for use in job.uses.values():
        spare = len(use.cores) - use.busy
        if use.phase is not UsePhase.READY or spare <= 0 or held - spare < least:
            continue
        if not use.busy:
            uses[use.node_id] = (use.cores, int(UsePhase.LEAVING), use.prepared)
            held -= len(use.cores)
            continue
        used = _cores_used(job, use)
        if used is not None and len(used) < len(use.cores):
            uses[use.node_id] = (used, int(use.phase), use.prepared)
            held -= len(use.cores) - len(used)
    if uses:
        turn.emit(EventName.JOB_RESIZED, uses=uses)


def _cores_used(job: Job, use: NodeUse) -> tuple[int, ...] | None:
    """Return the cores that running tasks occupy; None when that is not known exactly."""
    used: set[int] = set()
    for record, row in rows_on(job, use.node_id):
        table = job.table_of(record)
        core = table.get("core", row) - 1
        wide = (table.get("width", row) or record.spec.min_cores) > 1
        if wide or core < 0 or table.state[row] == TaskState.DISPATCHING:
            return None
        used.add(core)
    return tuple(sorted(used)) if used <= set(use.cores) else None
