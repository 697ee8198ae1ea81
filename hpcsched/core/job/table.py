"""The transition table of a job as data (lifecycle.md 3, rows J1 to J33).

Code looks rows up, tests walk them, and the diagram in docs/ is drawn from them. A pair
of state and trigger without a row is refused with the trigger's reason, and changes
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.states import JobState as S

if TYPE_CHECKING:
    from collections.abc import Mapping


class JobTrigger(StrEnum):
    """What may happen to a job."""

    SUBMIT = "submit"
    START = "start"
    END_EMPTY = "end without work"
    RESIZE = "grow or shrink"
    CLOSE = "last task has ended"
    FAIL_FAST = "critical failure"
    TIME_OUT = "run time exceeded"
    CANCEL = "cancel"
    FORCE_CANCEL = "forced cancel"
    FINISH = "finish"
    FORCE_FINISH = "forced finish"
    LOSE_RESOURCES = "system error"
    PREEMPT = "preempted"
    REQUEUE = "requeue"
    REQUEUE_TASKS = "requeue tasks"
    CONFIGURE = "configure"
    MODIFY = "modify"
    HOLD = "hold or release"
    LOSE_PARENT = "parent deleted"
    STOPPED = "everything has stopped"
    VERDICT = "verdict of the submission filter"
    FAIL_ACTIVATION = "failed by the activation filter"
    ADD_TASKS = "add tasks"
    EXCLUDE_NODES = "exclude nodes"
    SUBMIT_TASKS = "submit tasks"
    CONCLUDE = "conclude service"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: from any of ``states``, the trigger leads along one of ``paths``.

    An empty path means that the state does not change.
    """

    name: str
    states: frozenset[S]
    trigger: JobTrigger
    paths: tuple[tuple[S, ...], ...]


def _row(
    name: str, states: tuple[S, ...], trigger: JobTrigger, *paths: tuple[S, ...]
) -> Row:
    return Row(name, frozenset(states), trigger, paths)


_IN = (S.SUBMITTED, S.VALIDATING, S.QUEUED)
_EXTERNAL = (S.SUBMITTED, S.VALIDATING, S.EXTERNAL_VALIDATION)
_REJECTED = (S.SUBMITTED, S.VALIDATING, S.FAILED)
_J28_REJECTED = (S.CONFIGURING, *_REJECTED)
_WAITING = (S.CONFIGURING, S.SUBMITTED, S.VALIDATING, S.EXTERNAL_VALIDATION, S.QUEUED)
_STOPPED = (S.FAILED, S.CANCELED)
_ALIVE = (*_WAITING, S.RUNNING)
_T = JobTrigger

JOB_TABLE: Final[tuple[Row, ...]] = (
    _row("J3 J4 J6", (S.CONFIGURING,), _T.SUBMIT, _IN),
    _row("J5", (S.CONFIGURING,), _T.SUBMIT, _EXTERNAL),
    _row("J7", (S.CONFIGURING,), _T.SUBMIT, _REJECTED),
    _row(
        "J6 J7 filter",
        (S.EXTERNAL_VALIDATION,),
        _T.VERDICT,
        (S.QUEUED,),
        (S.FAILED,),
    ),
    _row("J8", (S.QUEUED,), _T.START, (S.RUNNING,)),
    _row("J9", (S.QUEUED,), _T.FAIL_ACTIVATION, (S.FAILED,)),
    _row("J10", (S.QUEUED,), _T.END_EMPTY, (S.FINISHED,), (S.FAILED,), (S.CANCELED,)),
    _row("J11", (S.RUNNING,), _T.RESIZE, ()),
    _row("J12 J13", (S.RUNNING,), _T.CLOSE, (S.FINISHING,)),
    _row("J14", (S.RUNNING,), _T.FAIL_FAST, (S.CANCELING,)),
    _row("J14 preempted", (S.CANCELING,), _T.FAIL_FAST, ()),
    _row("J16", (S.RUNNING,), _T.TIME_OUT, (S.CANCELING,)),
    _row("J20 limit", (S.CANCELING, S.FINISHING), _T.TIME_OUT, ()),
    _row("J17", _WAITING, _T.CANCEL, (S.CANCELED,)),
    _row("J17 forced", _WAITING, _T.FORCE_CANCEL, (S.CANCELED,)),
    _row("J18 J20", (S.RUNNING,), _T.CANCEL, (S.CANCELING,)),
    _row("J19", (S.RUNNING,), _T.FORCE_CANCEL, (S.CANCELING,)),
    _row("J19 escalation", (S.CANCELING,), _T.FORCE_CANCEL, ()),
    _row("J22", (S.QUEUED,), _T.FINISH, (S.FINISHING, S.FINISHED)),
    _row("J22 running", (S.RUNNING,), _T.FINISH, (S.FINISHING,)),
    _row("J22 forced", (S.QUEUED,), _T.FORCE_FINISH, (S.FINISHING, S.FINISHED)),
    _row("J22 running, forced", (S.RUNNING,), _T.FORCE_FINISH, (S.FINISHING,)),
    _row("J22 escalation", (S.FINISHING,), _T.FORCE_FINISH, ()),
    _row(
        "J23",
        (S.RUNNING,),
        _T.PREEMPT,
        (),
        (S.CANCELING,),
        (S.CANCELING, S.QUEUED),
    ),
    _row("J24 J25", (S.RUNNING,), _T.LOSE_RESOURCES, (S.QUEUED,), (S.FAILED,)),
    _row("J26 running", (S.RUNNING,), _T.REQUEUE, (S.CANCELING,)),
    _row("J26", _STOPPED, _T.REQUEUE, _IN, _EXTERNAL, _REJECTED),
    _row("J26 tasks", _STOPPED, _T.REQUEUE_TASKS, _IN, _EXTERNAL, _REJECTED),
    _row("4.2", (*_WAITING, S.RUNNING), _T.REQUEUE_TASKS, ()),
    _row(
        "J27",
        (S.CANCELED, S.FAILED, S.QUEUED, S.SUBMITTED),
        _T.CONFIGURE,
        (S.CONFIGURING,),
    ),
    _row("Commit", (S.CONFIGURING,), _T.MODIFY, ()),
    _row(
        "J28",
        (S.QUEUED,),
        _T.MODIFY,
        (S.CONFIGURING, *_IN),
        (S.CONFIGURING, *_EXTERNAL),
        _J28_REJECTED,
        (),
    ),
    _row("J29", (S.CANCELED, S.FAILED), _T.MODIFY, (S.CONFIGURING,)),
    _row("J30", (S.RUNNING,), _T.MODIFY, ()),
    _row("J31", (S.QUEUED,), _T.HOLD, ()),
    _row("3.4", (S.QUEUED,), _T.LOSE_PARENT, (S.CANCELED,)),
    _row(
        "end of cleaning up",
        (S.FINISHING,),
        _T.STOPPED,
        (S.FINISHED,),
        (S.FAILED,),
        (S.CANCELED,),
    ),
    _row(
        "end of stopping",
        (S.CANCELING,),
        _T.STOPPED,
        (S.CANCELED,),
        (S.FAILED,),
        (S.QUEUED,),
        _IN,
        _EXTERNAL,
        _REJECTED,
    ),
    _row("T1", _ALIVE, _T.ADD_TASKS, ()),
    _row("excluded nodes", (*_ALIVE, S.FINISHING, S.CANCELING), _T.EXCLUDE_NODES, ()),
    _row("T3", _ALIVE, _T.SUBMIT_TASKS, ()),
    _row(
        "ServiceConclude",
        (S.SUBMITTED, S.VALIDATING, S.EXTERNAL_VALIDATION, S.QUEUED, S.RUNNING),
        _T.CONCLUDE,
        (),
    ),
)

_REFUSAL: Final[Mapping[JobTrigger, str]] = {
    _T.SUBMIT: "JOB_NOT_CONFIGURING",
    _T.CANCEL: "INVALID_CANCEL_JOB_STATE",
    _T.FORCE_CANCEL: "INVALID_CANCEL_JOB_STATE",
    _T.EXCLUDE_NODES: "INVALID_EXCLUSION_STATE",
    _T.CONFIGURE: "JOB_NOT_CONFIGURABLE",
    _T.CONCLUDE: "SERVICE_NOT_CONCLUDABLE",
    _T.HOLD: "HOLD_STATE",
}

JOB_ROWS: Final[Mapping[tuple[S, JobTrigger], tuple[Row, ...]]] = {
    (state, trigger): tuple(
        row for row in JOB_TABLE if row.trigger is trigger and state in row.states
    )
    for state in S
    for trigger in JobTrigger
}


def _legal() -> frozenset[tuple[S, S]]:
    pairs: set[tuple[S, S]] = set()
    for row in JOB_TABLE:
        for path in row.paths:
            for state in row.states if path else ():
                pairs.update(zip((state, *path), path, strict=False))
    return frozenset(pairs)


LEGAL_JOB_MOVES: Final = _legal()
"""Every step that some row allows."""


def require(state: S, trigger: JobTrigger, job_id: int) -> None:
    """Refuse a trigger that no row allows in this state.

    Raises:
        HpcError: INVALID_CANCEL_JOB_STATE, JOB_NOT_CONFIGURING, JOB_NOT_CONFIGURABLE,
            SERVICE_NOT_CONCLUDABLE or INVALID_OPERATION (lifecycle.md 3, "Calls that no
            row allows").
    """
    if not JOB_ROWS[state, trigger]:
        raise HpcError(
            _REFUSAL.get(trigger, "INVALID_OPERATION"),
            job_id=job_id,
            state=state.label,
            operation=trigger.value,
        )
