"""Taking a node's reports: processes started, attempts ended (T6 to T11, T13 to T15, T18).

Late, doubled and unknown reports are normal input: what names another attempt than the
current one, or an element that is not on that node, changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hpcsched.core.job import codes
from hpcsched.core.job.events import EventName, TaskMove
from hpcsched.core.job.model import PER_NODE, UsePhase
from hpcsched.core.job.states import JobState
from hpcsched.core.job.stopping import stopped_state
from hpcsched.core.reports import EndDetail, Ended, Started
from hpcsched.core.task.elements import HAS_EXIT, HAS_OUTPUT, STARTED
from hpcsched.core.task.states import EndReason, TaskState, TaskType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.core.job.commands import TakeReports
    from hpcsched.core.job.model import Job, TaskRecord
    from hpcsched.core.job.turn import Turn

_NO_DETAIL: Final = EndDetail()
_LIVE: Final = (TaskState.DISPATCHING, TaskState.RUNNING)
_SMOOTH: Final = 0.3
S = TaskState


def take_reports(turn: Turn, command: TakeReports) -> None:
    """Fold the reports of one node, one event per kind."""
    started = [r for r in command.reports if isinstance(r, Started)]
    ended = [r for r in command.reports if isinstance(r, Ended)]
    also = {
        (r.task_id, i, a)
        for r in ended
        for i, a in zip(r.instances, r.attempts, strict=False)
    }
    moves = []
    for report in started:
        moves.extend(_started(turn.job, report, command.node_id, also))
    if moves:
        turn.emit(EventName.TASKS_STARTED, moves=moves)
    moves = []
    for end in ended:
        moves.extend(_Ending(turn, end, command).moves())
    if moves:
        turn.emit(EventName.TASKS_ENDED, moves=moves)
    _per_node_ends(turn, moves, command)


def current_row(
    job: Job, task_id: int, instance: int, attempt: int, node_id: int
) -> tuple[TaskRecord, int] | None:
    """Return the row of an attempt if it is the current one and on that node."""
    record = job.task(task_id)
    if record is None or record.has_elements != (instance > 0):
        return None
    if record.has_elements and instance > record.count:
        return None
    row = record.row(instance)
    table = job.table_of(record)
    if table.get("attempt", row) != attempt or table.get("node", row) != node_id:
        return None
    return record, row


def _started(
    job: Job, report: Started, node_id: int, also: set[tuple[int, int, int]]
) -> list[TaskMove]:
    """T6; those whose end came along are left to it."""
    times: dict[int, tuple[float, int]] = {}
    record: TaskRecord | None = None
    for position, instance in enumerate(report.instances):
        attempt = report.attempts[position]
        if (report.task_id, instance, attempt) in also:
            continue
        found = current_row(job, report.task_id, instance, attempt, node_id)
        if found is None:
            continue
        record, row = found
        if job.table_of(record).state[row] == S.DISPATCHING:
            times[instance] = (report.times[position], report.cores[position] + 1)
    if record is None or not times:
        return []
    instances = sorted(times)
    return [
        TaskMove(
            task_id=record.task_id,
            ranges=to_ranges(instances),
            was=S.DISPATCHING,
            path=(S.RUNNING,),
            columns={
                "start": [times[i][0] for i in instances],
                "core": [max(0, times[i][1]) for i in instances],
            },
            flags=STARTED,
        )
    ]


def to_ranges(instances: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Return ascending numbers as ranges."""
    ranges: list[tuple[int, int]] = []
    for number in instances:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return tuple(ranges)


class _Ending:
    """Sorts the ends of one report into groups that go the same way."""

    def __init__(self, turn: Turn, report: Ended, command: TakeReports) -> None:
        self._turn = turn
        self._job = turn.job
        self._report = report
        self._node_id = command.node_id
        self._groups: dict[tuple[Any, ...], list[tuple[int, int]]] = {}
        self._seen: set[int] = set()

    def moves(self) -> list[TaskMove]:
        report, job = self._report, self._job
        record: TaskRecord | None = None
        for position, instance in enumerate(report.instances):
            attempt = report.attempts[position]
            found = current_row(job, report.task_id, instance, attempt, self._node_id)
            if found is None or instance in self._seen:
                continue
            record, row = found
            state = job.table_of(record).state[row]
            if state in _LIVE:
                key = self._by_itself(record, row, state, position)
            elif state == S.CANCELING:
                key = self._stopped(record, row, position)
            else:
                continue
            self._seen.add(instance)
            self._groups.setdefault(key, []).append((instance, position))
        if record is None:
            return []
        return [self._move(record, key, at) for key, at in self._groups.items()]

    def _by_itself(
        self, record: TaskRecord, row: int, state: int, position: int
    ) -> tuple[Any, ...]:
        """Return (was, path, code, text, counter) of an end that we did not ask for."""
        report = self._report
        reason = report.reasons[position]
        exit_code = report.exit_codes[position]
        detail = report.details.get(position, _NO_DETAIL)
        ran = report.starts[position] > 0
        run = (S.RUNNING,) if state == S.DISPATCHING and ran else ()
        if reason == EndReason.EXITED and self._job.is_valid_exit(record, exit_code):
            self._learn(position)
            return (state, (*run, S.FINISHING, S.FINISHED), 0, "", "")
        if reason in codes.SYSTEM_ERRORS:
            code, text = codes.SYSTEM_ERRORS[EndReason(reason)]
            return self._system(record, row, state, run, (code, detail.message or text))
        if reason == EndReason.TIME_LIMIT:
            text = f"the task's run-time limit of {record.spec.runtime:g} s was reached"
            return (
                state,
                (*run, S.CANCELING, S.FAILED),
                codes.TASK_RUNTIME_EXPIRED,
                text,
                "",
            )
        if reason == EndReason.START_FAILED:
            code = codes.START_CODES.get(detail.code, codes.TASK_EXECUTION_FAILURE)
            text = detail.message or "the task could not be started"
            if detail.code == "user":
                return self._system(record, row, state, run, (code, text))
            path = (S.FAILED,) if state == S.DISPATCHING else (S.FINISHING, S.FAILED)
            return (state, path, code, text, "")
        text = codes.end_text(reason, exit_code, detail.message)
        retries = self._job.table_of(record).get("retries", row)
        may_rerun = record.ordinary and record.spec.is_rerunnable
        if (
            may_rerun
            and retries < self._job.spec.retry_limit
            and self._job.state is JobState.RUNNING
        ):
            return (state, (*run, S.FINISHING, S.QUEUED), 0, "", "retries")
        return (state, (*run, S.FINISHING, S.FAILED), codes.TASK_FAILURE, text, "")

    def _system(
        self,
        record: TaskRecord,
        row: int,
        state: int,
        run: tuple[TaskState, ...],
        error: tuple[int, str],
    ) -> tuple[Any, ...]:
        """T7, T8, T22, T23."""
        if may_rerun(self._turn, record, row):
            return (state, (*run, S.QUEUED), 0, "", "auto")
        return (state, (*run, S.FAILED), *error, "")

    def _stopped(self, record: TaskRecord, row: int, position: int) -> tuple[Any, ...]:
        """The end of a stop of ours: the head's record decides, not the exit code."""
        table = self._job.table_of(record)
        started = self._report.starts[position] > 0 or bool(
            table.get("flags", row) & STARTED
        )
        to = stopped_state(table.get("pending", row), started=started)
        return (S.CANCELING, (to,), None, "", "")

    def _learn(self, position: int) -> None:
        took = self._report.ends[position] - self._report.starts[position]
        if took >= 0:
            mean = self._job.mean_run
            self._job.mean_run = took if mean < 0 else mean + _SMOOTH * (took - mean)

    def _move(
        self, record: TaskRecord, key: tuple[Any, ...], at: list[tuple[int, int]]
    ) -> TaskMove:
        was, path, code, text, counter = key
        at.sort()
        ranges = to_ranges([instance for instance, _ in at])
        if path[-1] == S.QUEUED:
            return TaskMove(
                task_id=record.task_id,
                ranges=ranges,
                was=was,
                path=path,
                clear=True,
                bump=("attempt", counter) if counter else ("attempt",),
            )
        columns = self._columns([position for _, position in at])
        if code:
            columns["note"] = self._turn.note(code, text)
        flags = 0
        if any(self._report.starts[p] > 0 for _, p in at):
            flags |= STARTED
        one = TaskMove(
            task_id=record.task_id,
            ranges=ranges,
            was=was,
            path=path,
            columns=columns,
            flags=flags,
        )
        self._per_row_flags(record, one, at)
        return one

    def _per_row_flags(
        self, record: TaskRecord, one: TaskMove, at: list[tuple[int, int]]
    ) -> None:
        """Exit codes and outputs differ from row to row; when all agree it is one flag."""
        report = self._report
        flags = []
        for _, position in at:
            flag = HAS_EXIT if report.exit_codes[position] >= 0 else 0
            detail = report.details.get(position)
            flags.append(
                flag | (HAS_OUTPUT if detail is not None and detail.output else 0)
            )
        if all(flag == flags[0] for flag in flags):
            one.flags |= flags[0]
            return
        table = self._job.table_of(record)
        old = [table.get("flags", record.row(instance)) for instance, _ in at]
        both = zip(flags, old, strict=True)
        one.columns = {**one.columns, "flags": [f | o | one.flags for f, o in both]}
        one.flags = 0

    def _columns(self, positions: list[int]) -> dict[str, Any]:
        report = self._report

        def pick(values: Sequence[Any]) -> Any:
            chosen = [values[p] for p in positions]
            return chosen[0] if chosen.count(chosen[0]) == len(chosen) else chosen

        columns: dict[str, Any] = {
            "reason": pick(report.reasons),
            "exit": pick(report.exit_codes),
            "start": pick(report.starts),
            "end": pick(report.ends),
            "core": pick([max(0, c + 1) for c in report.cores]),
            "user_ms": pick(report.user_ms),
            "kernel_ms": pick(report.kernel_ms),
            "rss": pick(report.max_rss_kib),
        }
        return {
            name: value
            for name, value in columns.items()
            if value != 0 or name == "exit"
        }


def may_rerun(turn: Turn, record: TaskRecord, row: int) -> bool:
    """May a system error be answered by another attempt (lifecycle.md 5.2)?"""
    job = turn.job
    return (
        record.ordinary
        and not record.spec.node
        and record.spec.is_rerunnable
        and job.state is JobState.RUNNING
        and job.table_of(record).get("auto", row) < turn.settings.task_retries
    )


def _per_node_ends(turn: Turn, moves: list[TaskMove], command: TakeReports) -> None:
    """A node preparation or release has ended: the node is ready, excluded or given back."""
    job = turn.job
    use = job.uses.get(command.node_id)
    for one in moves:
        record = job.tasks[one.task_id - 1]
        if record.spec.type not in PER_NODE or use is None or not one.path[-1].terminal:
            continue
        node = {use.node_id: (use.cores, int(UsePhase.READY), True)}
        if record.spec.type is TaskType.NODE_RELEASE:
            turn.emit(EventName.NODE_DROPPED, uses={use.node_id: None})
        elif one.path[-1] is S.FINISHED:
            turn.emit(EventName.NODE_PREPARED, uses=node)
        elif one.columns.get("reason") in codes.SYSTEM_ERRORS:
            turn.emit(EventName.NODE_DROPPED, uses={use.node_id: None})
        elif job.state is JobState.RUNNING:
            excluded = (*job.excluded, command.node)
            turn.emit(
                EventName.NODE_PREP_FAILED,
                patch={"excluded": excluded},
                uses={use.node_id: None},
                message=f"node preparation failed on {command.node}",
            )
        else:
            leaving = (use.cores, int(UsePhase.LEAVING), False)
            turn.emit(EventName.NODE_RELEASING, uses={use.node_id: leaving})
