"""Placing tasks inside the job's own grant (T5).

Tasks start in the order they were added, except for dependencies; requeued ones come
first. A bounded number goes to a node ahead of free cores, so that a core never waits
for a round trip: as many as would run there within 100 ms, judged by what the job's
tasks took so far.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol

from hpcsched.core.job.events import EventName, TaskMove
from hpcsched.core.job.holding import idle_cores
from hpcsched.core.job.locating import ACTIVE
from hpcsched.core.job.model import UNBOUNDED
from hpcsched.core.job.readiness import ready_tasks
from hpcsched.core.job.service import rests
from hpcsched.core.job.spanning import (
    Chooser,
    could_fit,
    is_absent,
    is_choosy,
    place_beside,
)
from hpcsched.core.job.states import JobType, UnitType
from hpcsched.core.job.uses import READY, Shelf
from hpcsched.core.task.elements import SENT
from hpcsched.core.task.states import TaskState, TaskType

if TYPE_CHECKING:
    from collections.abc import Generator

    from hpcsched.core.job.model import Job, NodeUse, TaskRecord
    from hpcsched.core.job.turn import Turn

    Spans = Generator[tuple[TaskRecord, int, int]]

AHEAD_S: Final = 0.1
AHEAD_LIMIT: Final = 128
RUN_LIMIT: Final = 4096
_QUEUED: Final = bytes([TaskState.QUEUED])
_SENT: Final = (TaskState.DISPATCHING,)
_NEW: Final = (TaskState.QUEUED, TaskState.DISPATCHING)


def next_task(job: Job) -> TaskRecord | None:
    """Return the next task to start on what the job holds; None: none may."""
    return _next(job, _Placer(job, _ready_uses(job)))


def is_stuck(job: Job) -> bool:
    """Can what the job holds never run its next task, even when nothing else runs?"""
    uses = _ready_uses(job)
    if _fits_anywhere(job) and any(use.cores for use in uses):
        return False
    placer = _Placer(job, uses)
    record = _next(job, placer)
    if record is None:
        return placer.passed_over
    if is_choosy(job, record):
        return is_absent(job, record, uses) or not could_fit(job, record, uses)
    widest = max((len(use.cores) for use in uses), default=0)
    return widest < record.spec.min_cores


def _fits_anywhere(job: Job) -> bool:
    """Can each of its tasks run on any core that it may get?"""
    return job.uniform and not job.picky and job.spec.unit_type is UnitType.CORE


def _next(job: Job, placer: _Placer) -> TaskRecord | None:
    if job.service is not None:
        return job.service
    for source in (_Front(job), _InOrder(job)):
        for record, _, _ in source.spans(placer):
            return record
    return None


def _ready_uses(job: Job) -> list[NodeUse]:
    return job.uses.on(*READY)


def lookahead(job: Job, cores: int) -> int:
    """Return how many cores' worth of tasks may wait on a node with so many cores."""
    if job.mean_run < 0:
        return 0
    return min(AHEAD_LIMIT, int(cores * AHEAD_S / max(job.mean_run, 1e-4)))


def place(turn: Turn) -> None:
    """Dispatch what fits: first to free cores, then ahead of them."""
    job = turn.job
    service = job.service
    if job.spec.job_type is JobType.ADMIN:
        return
    if service is None and not job.counts[TaskState.QUEUED]:
        return
    ahead = service is None and lookahead(job, job.uses.widest) > 0
    uses = job.uses.on(*(READY if ahead else (Shelf.IDLE, Shelf.FREE)))
    if service is not None:
        _place_new(turn, service, uses)
    elif uses:
        _place_queued(turn, uses)


def _place_new(turn: Turn, service: TaskRecord, uses: list[NodeUse]) -> None:
    if rests(service, turn.now):
        return
    source = _New(service, turn.settings.max_sweep)
    placer = _fill(turn.job, uses, source, too_many=False)
    if placer.moves:
        turn.emit(EventName.TASKS_DISPATCHED, moves=placer.moves)


def _place_queued(turn: Turn, uses: list[NodeUse]) -> None:
    job = turn.job
    if job.front:
        front = _Front(job)
        placer = _fill(job, uses, front)
        patch = front.patch
        if placer.moves or patch:
            turn.emit(EventName.TASKS_DISPATCHED, moves=placer.moves, patch=patch)
        if any(True for _ in _Front(job).spans(_Placer(job, uses))):
            return  # what was queued again is the next to start
    placer = _fill(job, uses, _InOrder(job))
    if placer.moves:
        turn.emit(EventName.TASKS_DISPATCHED, moves=placer.moves)


def _fill(
    job: Job, uses: list[NodeUse], source: _Source, *, too_many: bool = True
) -> _Placer:
    """Take from a source what fits; its moves are not applied yet.

    With ``too_many`` some go to nodes ahead of free cores.
    """
    placer = _Placer(job, uses)
    while True:
        _fill_rooms(job, uses, source, placer, too_many=too_many)
        if placer.choosy is None or not placer.settle_choosy(source):
            return placer


def _fill_rooms(
    job: Job,
    uses: list[NodeUse],
    source: _Source,
    placer: _Placer,
    *,
    too_many: bool,
) -> None:
    """Go through the nodes, until the next task is choosy or there is none."""
    for ahead in (False, True) if too_many else (False,):
        front = True  # nodes before the first with room have none next time either
        for use in islice(uses, placer.full[ahead], None):
            if use.shut:
                placer.full[ahead] += front
                continue
            room = len(use.cores) - use.busy - placer.booked.get(use.node_id, 0)
            owed = job.owing.get(use.node_id, 0)
            if owed:
                known = idle_cores(job, use) is not None
                room = room - owed if known else 0
            elif ahead and use.node_id not in placer.shut:
                room += lookahead(job, len(use.cores))
            if room <= 0:
                placer.full[ahead] += front
                continue
            front = False
            if not placer.fill(use, room, source):
                return
            if placer.choosy is not None:
                return


class _Source(Protocol):
    """Where elements to send come from."""

    def spans(self, placer: _Placer) -> Spans:
        """Yield (task, first row, last row), each time what is left of the next one."""

    def took(self, record: TaskRecord, last: int) -> None:
        """Rows up to ``last`` of the span were taken."""


class _InOrder:
    """Queued elements in the order in which their tasks were added."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._next: dict[int, int] = {}

    def spans(self, placer: _Placer) -> Spans:
        """Yield (task, first row, last row), each time what is left of the next one."""
        ready = ready_tasks(self._job)
        at = len(ready) - 1
        while at >= 0:
            record = self._job.tasks[ready[at] - 1]
            hint = max(record.hint, record.base)
            low = self._next.get(record.task_id, hint)
            last = record.base + record.count - 1
            span = queued_run(self._job, record, low, last)
            if span is not None and low == hint:
                record.hint = span[0]
            if span is None:
                del ready[at]
                at -= 1
            elif placer.concurrency(record) <= 0:
                at -= 1  # it stays where it is, whatever becomes of this generator
            else:
                yield record, *span

    def took(self, record: TaskRecord, last: int) -> None:
        """Rows up to ``last`` of the span were taken."""
        self._next[record.task_id] = last + 1


class _Front:
    """Elements that were queued again and go before all others of the job.

    One that waits for another task, or for its turn in its own sweep, is passed over.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._left = list(job.front)
        self._at = 0

    @property
    def patch(self) -> dict[str, Any]:
        """The front as it is now, if it changed."""
        left = tuple(self._left)
        return {} if left == self._job.front else {"front": left}

    def spans(self, placer: _Placer) -> Spans:
        """Yield (task, first row, last row) of the next span."""
        ready_tasks(self._job)
        self._at = 0
        while self._at < len(self._left):
            task_id, first, last = self._left[self._at]
            record = self._job.tasks[task_id - 1]
            low, high = record.row(first), record.row(last)
            span = queued_run(self._job, record, low, high)
            if span is None:
                del self._left[self._at]
            elif task_id in self._job.unready or placer.concurrency(record) <= 0:
                self._at += 1
            else:
                yield record, *span

    def took(self, record: TaskRecord, last: int) -> None:
        """Rows up to ``last`` of the span were taken."""
        task_id, _, end = self._left[self._at]
        if record.has_elements and record.instance(last) < end:
            self._left[self._at] = (task_id, record.instance(last) + 1, end)
        else:
            del self._left[self._at]


class _New:
    """Instances of a service, which come into being as they are sent."""

    def __init__(self, service: TaskRecord, most: int) -> None:
        self._service = service
        self._next = service.count
        self._most = most

    def spans(self, placer: _Placer) -> Spans:
        """Yield (task, first row, last row) of those that there may still be."""
        while self._next < self._most and placer.concurrency(self._service) > 0:
            yield self._service, self._next, self._most - 1

    def took(self, record: TaskRecord, last: int) -> None:
        """Rows up to ``last`` of the span were taken."""
        del record
        self._next = last + 1


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

    def __init__(self, job: Job, uses: list[NodeUse]) -> None:
        self._job = job
        self.booked: dict[int, int] = {}
        self._chooser = Chooser(job, uses, self.booked)
        self._taken: dict[int, int] = {}
        self._absent: dict[int, bool] = {}
        self.moves: list[TaskMove] = []
        self.full = [0, 0]
        self.shut: set[int] = set()
        self.choosy: tuple[TaskRecord, int] | None = None

    def fill(self, use: NodeUse, room: int, source: _Source) -> bool:
        """Use up the room of a node; False when no task is left that may start."""
        for record, first, last in source.spans(self):
            if is_choosy(self._job, record):
                self.choosy = (record, first)
                return True
            width = self._width(record, use, room)
            if not width:
                return True  # order counts: nothing overtakes what does not fit
            count = min(room // width, last - first + 1, self.concurrency(record))
            self._take(record, use, first, first + count - 1, width)
            source.took(record, first + count - 1)
            room -= count * width
            if room <= 0:
                return True
        return False

    def settle_choosy(self, source: _Source) -> bool:
        """Take the next task, which is choosy; False when it has to wait."""
        assert self.choosy is not None  # noqa: S101  _fill has looked
        (record, row), self.choosy = self.choosy, None
        job = self._job
        chosen = self._chooser.next_for(record)
        place = None if chosen is None else place_beside(job, chosen, self.booked)
        if chosen is None or place is None:
            return False
        use, width = chosen[0]
        self._take(record, use, row, row, width)
        if place:
            self.moves[-1].places = {record.instance(row): place}
        for other, count in chosen[1:]:
            before = self.booked.get(other.node_id, 0)
            self.booked[other.node_id] = before + count
        if record.spec.is_exclusive:
            for one, _ in chosen:
                self.booked[one.node_id] = len(one.cores)
                self.shut.add(one.node_id)
        source.took(record, row)
        return True

    @property
    def passed_over(self) -> bool:
        """Was there a task for whose nodes the job would have to be elsewhere?"""
        return any(self._absent.values())

    def concurrency(self, record: TaskRecord) -> int:
        """Return how many more elements of the task may be on nodes at once.

        None of one that asks for nodes on which the job is not.
        """
        if record.spec.is_picky:
            absent = self._absent.get(record.task_id)
            if absent is None:
                absent = is_absent(self._job, record, _ready_uses(self._job))
                self._absent[record.task_id] = absent
            if absent:
                return 0
        limit = record.spec.max_concurrent or UNBOUNDED
        active = sum([record.counts[state] for state in ACTIVE])
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
        new = first >= record.base + record.count
        self.moves.append(
            TaskMove(
                task_id=record.task_id,
                ranges=((record.instance(first), record.instance(last)),),
                was=0 if new else TaskState.QUEUED,
                path=_NEW if new else _SENT,
                columns=columns,
                flags=SENT,
            )
        )
        count = last - first + 1
        task_id, node_id = record.task_id, use.node_id
        self._taken[task_id] = self._taken.get(task_id, 0) + count
        self.booked[node_id] = self.booked.get(node_id, 0) + count * width
