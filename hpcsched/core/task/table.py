"""The transition table of a task as data (lifecycle.md 5, rows T1 to T28)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from hpcsched.core.task.states import TaskState as S

if TYPE_CHECKING:
    from collections.abc import Mapping


class TaskTrigger(StrEnum):
    """What may happen to a task."""

    SUBMIT = "submit"
    REJECT = "job rejected"
    DISPATCH = "dispatch"
    START = "process started"
    REFUSE = "node could not start it"
    EXIT = "process exited"
    CANCEL = "cancel"
    FORCE_CANCEL = "forced cancel"
    FINISH = "finish"
    TIME_OUT = "run time exceeded"
    SWEEP = "its job stops"
    LOSE = "node lost"
    PREEMPT = "preempted"
    STOPPED = "attempt has ended"
    REQUEUE = "requeue"
    CONFIGURE = "configure"
    CONCLUDE = "conclude"
    VERDICT = "verdict of the submission filter"
    FAIL_DEPENDENT = "task it depends on failed"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: from any of ``states``, the trigger leads along one of ``paths``."""

    name: str
    states: frozenset[S]
    trigger: TaskTrigger
    paths: tuple[tuple[S, ...], ...]


def _row(
    name: str, states: tuple[S, ...], trigger: TaskTrigger, *paths: tuple[S, ...]
) -> Row:
    return Row(name, frozenset(states), trigger, paths)


_T = TaskTrigger
_IN = (S.SUBMITTED, S.VALIDATING, S.QUEUED)
_EXTERNAL = (S.SUBMITTED, S.VALIDATING)
_WAITING = (S.CONFIGURING, S.SUBMITTED, S.VALIDATING, S.QUEUED)

TASK_TABLE: Final[tuple[Row, ...]] = (
    _row("T2 T3", (S.CONFIGURING,), _T.SUBMIT, _IN, _EXTERNAL),
    _row("J6 J7", (S.VALIDATING,), _T.VERDICT, (S.QUEUED,), (S.FAILED,)),
    _row(
        "J6 J7 late",
        (S.SUBMITTED,),
        _T.VERDICT,
        (S.VALIDATING, S.QUEUED),
        (S.VALIDATING, S.FAILED),
    ),
    _row(
        "J7",
        (S.CONFIGURING, S.SUBMITTED, S.VALIDATING),
        _T.REJECT,
        (S.SUBMITTED, S.VALIDATING, S.FAILED),
    ),
    _row("T5", (S.QUEUED,), _T.DISPATCH, (S.DISPATCHING,)),
    _row("T6", (S.DISPATCHING,), _T.START, (S.RUNNING,)),
    _row("T7 T8", (S.DISPATCHING,), _T.REFUSE, (S.QUEUED,), (S.FAILED,)),
    _row(
        "T9 T10 T11",
        (S.RUNNING,),
        _T.EXIT,
        (S.FINISHING, S.FINISHED),
        (S.FINISHING, S.FAILED),
        (S.FINISHING, S.QUEUED),
    ),
    # An instance of a service is never queued again: another one takes its place.
    _row("T7 service", (S.DISPATCHING,), _T.REFUSE, (S.CANCELED,)),
    _row("T22 service", (S.RUNNING, S.DISPATCHING), _T.LOSE, (S.CANCELED,)),
    _row("T12", _WAITING, _T.CANCEL, (S.CANCELED,)),
    _row("T12 forced", _WAITING, _T.FORCE_CANCEL, (S.CANCELED,)),
    _row("T13 T15", (S.RUNNING, S.DISPATCHING), _T.CANCEL, (S.CANCELING,)),
    _row("T14", (S.RUNNING, S.DISPATCHING), _T.FORCE_CANCEL, (S.CANCELING,)),
    _row("T14 escalation", (S.CANCELING,), _T.FORCE_CANCEL, ()),
    _row(
        "T18",
        (S.RUNNING,),
        _T.TIME_OUT,
        (S.CANCELING, S.FAILED),
        (S.CANCELING, S.QUEUED),
    ),
    _row("T19 T15", (S.RUNNING, S.DISPATCHING), _T.SWEEP, (S.CANCELING,)),
    _row("T20", _WAITING, _T.SWEEP, (S.CANCELED,)),
    _row("T21", (S.RUNNING,), _T.FINISH, (S.CANCELING,)),
    _row("T22 T23", (S.RUNNING, S.DISPATCHING), _T.LOSE, (S.QUEUED,), (S.FAILED,)),
    _row("T26", (S.RUNNING, S.DISPATCHING), _T.PREEMPT, (S.CANCELING,)),
    _row(
        "5.5",
        (S.CANCELING,),
        _T.LOSE,
        (S.QUEUED,),
        (S.FAILED,),
        (S.CANCELED,),
        (S.FINISHED,),
    ),
    _row(
        "end of stopping",
        (S.CANCELING,),
        _T.STOPPED,
        (S.FAILED,),
        (S.CANCELED,),
        (S.FINISHED,),
        (S.QUEUED,),
    ),
    _row("T27 waiting", (S.QUEUED,), _T.REQUEUE, (), _IN, _EXTERNAL),
    _row("T27 running", (S.RUNNING, S.DISPATCHING), _T.REQUEUE, (S.CANCELING,)),
    _row(
        "T27",
        (S.FAILED, S.CANCELED),
        _T.REQUEUE,
        (S.QUEUED,),
        _IN,
        _EXTERNAL,
        (S.CONFIGURING,),
    ),
    _row("4.1 added", (S.CONFIGURING,), _T.REQUEUE, _IN, _EXTERNAL),
    _row(
        "J27",
        (S.QUEUED, S.SUBMITTED, S.VALIDATING, S.FAILED, S.CANCELED),
        _T.CONFIGURE,
        (S.CONFIGURING,),
    ),
    _row(
        "ServiceConclude",
        (S.SUBMITTED, S.VALIDATING, S.QUEUED, S.RUNNING),
        _T.CONCLUDE,
        (),
    ),
    _row("T28", _WAITING, _T.FAIL_DEPENDENT, (S.FAILED,)),
    _row(
        "T28 running",
        (S.RUNNING, S.DISPATCHING),
        _T.FAIL_DEPENDENT,
        (S.CANCELING,),
    ),
)

TASK_ROWS: Final[Mapping[tuple[S, TaskTrigger], tuple[Row, ...]]] = {
    (state, trigger): tuple(
        row for row in TASK_TABLE if row.trigger is trigger and state in row.states
    )
    for state in S
    for trigger in TaskTrigger
}


def _legal() -> frozenset[tuple[int, int]]:
    pairs: set[tuple[int, int]] = set()
    for row in TASK_TABLE:
        for path in row.paths:
            for state in row.states if path else ():
                steps = zip((state, *path), path, strict=False)
                pairs.update((int(a), int(b)) for a, b in steps)
    return frozenset(pairs)


LEGAL_TASK_MOVES: Final = _legal()
"""Every step that some row allows."""


def allowed(state: S, trigger: TaskTrigger) -> bool:
    """Does some row allow the trigger in this state?"""
    return bool(TASK_ROWS[state, trigger])
