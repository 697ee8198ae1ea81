"""Where an ended attempt leads: T7 to T11, T13 to T15, T18, T22 and T23."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hpcsched.core.job import codes
from hpcsched.core.job.events import TaskMove
from hpcsched.core.job.locating import current_row, to_ranges
from hpcsched.core.job.recalling import way_back
from hpcsched.core.job.service import replaces
from hpcsched.core.job.states import JobState
from hpcsched.core.job.stopping import stopped_state
from hpcsched.core.job.told import CORE_LIMIT, told_cores
from hpcsched.core.reports import EndDetail, Ended
from hpcsched.core.task.elements import HAS_EXIT, HAS_OUTPUT, STARTED, WHOLE
from hpcsched.core.task.states import CancelOrigin, EndReason, TaskState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.core.job.model import TaskRecord
    from hpcsched.core.job.turn import Turn

_NO_DETAIL: Final = EndDetail()
_LIVE: Final = (TaskState.DISPATCHING, TaskState.RUNNING)
_RAN: Final = (
    EndReason.EXITED,
    EndReason.SIGNALED,
    EndReason.TIME_LIMIT,
    EndReason.OUT_OF_MEMORY,
)
"""Only a process that ran can end so."""
_REASONS: Final = frozenset(EndReason) - {EndReason.NONE}
_SMOOTH: Final = 0.3
UINT32: Final = (1 << 32) - 1
TIME_LIMIT: Final = 1e11
"""Seconds since 1970 that no clock shows: a node's time beyond it is none."""
S = TaskState


class _Way(NamedTuple):
    """Where ended attempts go that go the same way.

    Attributes:
        code, text: Error to keep; 0: the one that is there.
        counter: Counter to raise with a rerun.
        fresh: Reruns so far are forgotten: the user asked for this one.
        columns: What else is known of the end.
    """

    was: int
    path: tuple[TaskState, ...]
    code: int = 0
    text: str = ""
    counter: str = ""
    fresh: bool = False
    columns: tuple[tuple[str, int], ...] = ()


class Ending:
    """Sorts the ends of one report into groups that go the same way.

    Attributes:
        used: Sums over its attempts: user and kernel time in ms, memory in KiB.
    """

    def __init__(
        self, turn: Turn, report: Ended, node_id: int, seen: set[tuple[int, int]]
    ) -> None:
        self._turn = turn
        self._job = turn.job
        self._report = report
        self._node_id = node_id
        self._groups: dict[_Way, list[tuple[int, int]]] = {}
        self._seen = seen
        self.used = [0, 0, 0]

    def moves(self) -> list[TaskMove]:
        """Return the moves; an attempt that is not the current one has none."""
        report, job = self._report, self._job
        record: TaskRecord | None = None
        for position in range(_length(report)):
            instance = report.instances[position]
            attempt = report.attempts[position]
            found = current_row(job, report.task_id, instance, attempt, self._node_id)
            if found is None or (report.task_id, instance) in self._seen:
                continue
            record, row = found
            state = job.table_of(record).state[row]
            if state in _LIVE:
                way = self._by_itself(record, row, state, position)
            elif state == S.CANCELING:
                way = self._stopped(record, row, position)
            else:
                continue
            self._seen.add((report.task_id, instance))
            self._count(position)
            self._groups.setdefault(way, []).append((instance, position))
        if record is None:
            return []
        return [self._move(record, way, at) for way, at in self._groups.items()]

    def _reason(self, position: int) -> int:
        """Return the end reason; one that we do not know tells us nothing."""
        reason = self._report.reasons[position]
        return reason if reason in _REASONS else EndReason.STATUS_LOST

    def _by_itself(
        self, record: TaskRecord, row: int, state: int, position: int
    ) -> _Way:
        """Return the way of an end that we did not ask for."""
        report = self._report
        reason = self._reason(position)
        code = report.exit_codes[position]
        detail = report.details.get(position, _NO_DETAIL)
        ran = reason in _RAN or report.starts[position] > 0
        run = (S.RUNNING,) if state == S.DISPATCHING and ran else ()
        if reason == EndReason.EXITED and self._job.is_valid_exit(record, code):
            if record.ordinary:  # preparations tell nothing of the tasks
                self._learn(position)
            return _Way(state, (*run, S.FINISHING, S.FINISHED))
        if reason in codes.SYSTEM_ERRORS:
            number, text = codes.SYSTEM_ERRORS[EndReason(reason)]
            error = (number, detail.message or text)
            back = None if ran else self._back(record, row, state, detail)
            return back or self._system(record, row, _Way(state, run, *error))
        if reason == EndReason.START_FAILED:
            number = codes.START_CODES.get(detail.code, codes.TASK_EXECUTION_FAILURE)
            error = (number, detail.message or "the task could not be started")
            if detail.code == "user":
                return self._system(record, row, _Way(state, run, *error))
            before = (S.FINISHING,) if state == S.RUNNING or run else ()
            return self._failed(record, row, _Way(state, (*run, *before), *error))
        if reason == EndReason.TIME_LIMIT:
            limit = f"the task's run-time limit of {record.spec.runtime:g} s"
            error = (codes.TASK_RUNTIME_EXPIRED, f"{limit} was reached")
            return self._failed(record, row, _Way(state, (*run, S.CANCELING), *error))
        error = (codes.TASK_FAILURE, codes.end_text(reason, code, detail.message))
        return self._failed(record, row, _Way(state, (*run, S.FINISHING), *error))

    def _back(
        self, record: TaskRecord, row: int, state: int, detail: EndDetail
    ) -> _Way | None:
        """Return the way of what its node was asked for, and has not started.

        Where nothing is to start any more it makes no difference why it did not.
        """
        if state != S.DISPATCHING:
            return None
        if detail.code != codes.GIVEN_BACK and self._job.state is JobState.RUNNING:
            return None
        back = way_back(self._job, record, row)
        if back is None:
            return None
        return _Way(state, back.path, back.code, back.text, columns=back.columns)

    def _failed(self, record: TaskRecord, row: int, way: _Way) -> _Way:
        """T11, T18: a fault of the task's own; rerun only if the job asks for that."""
        retries = self._job.table_of(record).get("retries", row)
        if may_go_again(self._turn, record) and retries < self._job.spec.retry_limit:
            return way._replace(path=(*way.path, S.QUEUED), counter="retries")
        return way._replace(path=(*way.path, S.FAILED))

    def _system(self, record: TaskRecord, row: int, way: _Way) -> _Way:
        """T7, T8, T22, T23: nobody's fault."""
        if may_rerun(self._turn, record, row):
            return way._replace(path=(*way.path, S.QUEUED), counter="auto")
        if replaces(self._job, record):
            return way._replace(path=(*way.path, S.CANCELED))
        return way._replace(path=(*way.path, S.FAILED))

    def _stopped(self, record: TaskRecord, row: int, position: int) -> _Way:
        """The end of a stop of ours: the head's record decides, not the exit code."""
        table = self._job.table_of(record)
        started = bool(table.get("flags", row) & STARTED)
        started |= self._reason(position) in _RAN or self._report.starts[position] > 0
        origin = table.get("origin", row)
        to = stopped_state(
            self._job, table.get("pending", row), origin, started=started
        )
        return _Way(S.CANCELING, (to,), fresh=origin == CancelOrigin.REQUEUE)

    def _count(self, position: int) -> None:
        """Add up what attempts used, those that run again included."""
        report = self._report
        used = self.used
        used[0] += min(max(0, report.user_ms[position]), UINT32)
        used[1] += min(max(0, report.kernel_ms[position]), UINT32)
        used[2] += min(max(0, report.max_rss_kib[position]), UINT32)

    def _learn(self, position: int) -> None:
        start = _time(self._report.starts[position])
        took = _time(self._report.ends[position]) - start
        if start and took >= 0:
            mean = self._job.mean_run
            self._job.mean_run = took if mean < 0 else mean + _SMOOTH * (took - mean)

    def _move(
        self, record: TaskRecord, way: _Way, at: list[tuple[int, int]]
    ) -> TaskMove:
        at.sort()
        ranges = to_ranges([instance for instance, _ in at])
        if way.path[-1] == S.QUEUED:
            again = requeued_move(
                record, ranges, way.was, way.path, way.counter, fresh=way.fresh
            )
            again.why = self._turn.note(way.code, way.text) if way.code else 0
            return again
        columns = self._columns(record, at) | dict(way.columns)
        is_canceled = way.path[-1] is S.CANCELED
        if is_canceled and way.was != S.CANCELING and not way.columns:
            columns["origin"] = int(CancelOrigin.NODE)  # a service's instance
        if way.code:
            columns["note"] = self._turn.note(way.code, way.text)
        one = TaskMove(
            task_id=record.task_id,
            ranges=ranges,
            was=way.was,
            path=way.path,
            columns=columns,
        )
        self._flags(record, one, at)
        return one

    def _flags(
        self, record: TaskRecord, one: TaskMove, at: list[tuple[int, int]]
    ) -> None:
        """Exit codes and outputs differ by row; if all agree it is one flag."""
        report = self._report
        table = self._job.table_of(record)
        flags = []
        sets = {}
        for instance, position in at:
            flag = HAS_EXIT if 0 <= report.exit_codes[position] < 1 << 31 else 0
            if report.starts[position] > 0 or self._reason(position) in _RAN:
                flag |= STARTED
            detail = report.details.get(position)
            flag |= HAS_OUTPUT if detail and detail.output else 0
            if report.widths:
                row = record.row(instance)
                whole, others = told_cores(record, table, row, report, position)
                flag |= WHOLE if whole else 0
                if others:
                    sets[instance] = others
            flags.append(flag)
        one.sets = sets
        if len(set(flags)) == 1:
            one.flags = flags[0]
            return
        old = [table.get("flags", record.row(instance)) for instance, _ in at]
        both = zip(flags, old, strict=True)
        one.columns = {**one.columns, "flags": [flag | was for flag, was in both]}

    def _columns(self, record: TaskRecord, at: list[tuple[int, int]]) -> dict[str, Any]:
        report, now = self._report, self._turn.now
        positions = [position for _, position in at]

        def counts(values: Sequence[int], most: int = UINT32) -> Any:
            return _same([min(max(0, values[p]), most) for p in positions])

        columns: dict[str, Any] = {
            "reason": _same([int(self._reason(p)) for p in positions]),
            "end": _same([_time(report.ends[p]) or now for p in positions]),
            "user_ms": counts(report.user_ms),
            "kernel_ms": counts(report.kernel_ms),
            "rss": counts(report.max_rss_kib),
        }
        exits = [report.exit_codes[p] for p in positions]
        columns["exit"] = _same([code if 0 <= code < 1 << 31 else -1 for code in exits])
        table = self._job.table_of(record)
        rows = [record.row(instance) for instance, _ in at]
        starts = [_time(report.starts[p]) for p in positions]
        known = zip(starts, rows, strict=True)
        columns["start"] = _same([time or table.get("start", r) for time, r in known])
        cores = [report.cores[p] for p in positions]
        both = zip(cores, rows, strict=True)
        columns["core"] = _same(
            [c + 1 if 0 <= c < CORE_LIMIT else table.get("core", r) for c, r in both]
        )
        return {n: v for n, v in columns.items() if v != 0 or n == "exit"}


def _same(values: list[Any]) -> Any:
    """Return one value where all are equal, so that the column needs only that."""
    return values[0] if values.count(values[0]) == len(values) else values


def _time(time: float) -> float:
    return time if 0.0 < time < TIME_LIMIT else 0.0


def _length(report: Ended) -> int:
    """Return how many ends are complete: a peer may send columns of other lengths."""
    columns = (
        *(report.instances, report.attempts, report.reasons, report.exit_codes),
        *(report.starts, report.ends, report.cores),
        *(report.user_ms, report.kernel_ms, report.max_rss_kib),
    )
    return min(len(column) for column in columns)


def requeued_move(
    record: TaskRecord,
    ranges: tuple[tuple[int, int], ...],
    was: int,
    path: tuple[TaskState, ...],
    counter: str,
    *,
    fresh: bool,
) -> TaskMove:
    """Return the move of attempts that are followed by another one."""
    return TaskMove(
        task_id=record.task_id,
        ranges=ranges,
        was=was,
        path=path,
        clear=True,
        bump=(counter,) if counter else (),
        columns={"auto": 0, "retries": 0} if fresh else {},
    )


def may_go_again(turn: Turn, record: TaskRecord) -> bool:
    """May its attempts be followed by others at all (lifecycle.md 5.2)?"""
    spec = record.spec
    runs = turn.job.state is JobState.RUNNING
    runs = runs and record.ordinary and spec.size > 0  # and no service
    return runs and not spec.node and spec.is_rerunnable


def may_rerun(turn: Turn, record: TaskRecord, row: int) -> bool:
    """May a system error be answered by another attempt (lifecycle.md 5.2)?"""
    reruns = turn.job.table_of(record).get("auto", row)
    return may_go_again(turn, record) and bool(reruns < turn.settings.task_retries)
