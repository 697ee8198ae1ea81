"""Events of a job: what happened, and exactly which state follows from it.

An event carries the transitions themselves (which states the job passed, which elements
moved where, which columns they got), so that ``apply`` needs no rules, folding needs no
clock, and a watcher is told the same facts that the state was made from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcsched.core.job.spec import JobSpec
    from hpcsched.core.job.states import JobState
    from hpcsched.core.task.elements import Place
    from hpcsched.core.task.spec import TaskSpec
    from hpcsched.core.task.states import TaskState

Ranges = tuple[tuple[int, int], ...]
"""Instance numbers, each (first, last); ((0, 0),) for a plain task."""


class EventName(StrEnum):
    """What happened. Names are part of the API: additive changes only."""

    JOB_CREATED = "JobCreated"
    TASKS_ADDED = "TasksAdded"
    JOB_SUBMITTED = "JobSubmitted"
    JOB_REJECTED = "JobRejected"
    JOB_VALIDATED = "JobValidated"
    JOB_ACTIVATION_FAILED = "JobActivationFailed"
    JOB_SENT_AHEAD = "JobSentAhead"
    JOB_RECALLED = "JobRecalled"
    JOB_RETURNED = "JobReturned"
    JOB_STARTED = "JobStarted"
    JOB_RESIZED = "JobResized"
    JOB_CANCEL_REQUESTED = "JobCancelRequested"
    JOB_FINISH_REQUESTED = "JobFinishRequested"
    JOB_REQUEUE_REQUESTED = "JobRequeueRequested"
    JOB_REQUEUED = "JobRequeued"
    JOB_CONFIGURED = "JobConfigured"
    JOB_MODIFIED = "JobModified"
    JOB_HELD = "JobHeld"
    JOB_RELEASED = "JobReleased"
    JOB_PARENT_CHANGED = "JobParentChanged"
    JOB_FAILED_FAST = "JobFailedFast"
    JOB_TIMED_OUT = "JobTimedOut"
    JOB_LOST_RESOURCES = "JobLostResources"
    JOB_PREEMPTION_REQUESTED = "JobPreemptionRequested"
    JOB_PREEMPTED = "JobPreempted"
    JOB_BACKFILL_OVER = "JobBackfillOver"
    JOB_SET_ASIDE = "JobSetAside"
    JOB_GOES_ON = "JobGoesOn"
    JOB_CLOSING = "JobClosing"
    JOB_ENDED = "JobEnded"
    TASKS_SUBMITTED = "TasksSubmitted"
    TASK_MODIFIED = "TaskModified"
    TASKS_DISPATCHED = "TasksDispatched"
    TASKS_STARTED = "TasksStarted"
    TASKS_ENDED = "TasksEnded"
    TASKS_CANCEL_REQUESTED = "TasksCancelRequested"
    TASKS_FINISH_REQUESTED = "TasksFinishRequested"
    TASKS_REQUEUED = "TasksRequeued"
    TASKS_LOST = "TasksLost"
    TASKS_PREEMPTED = "TasksPreempted"
    TASKS_RECALLED = "TasksRecalled"
    ATTEMPTS_GONE = "AttemptsGone"
    SERVICE_CONCLUDED = "ServiceConcluded"
    SERVICE_STEADY = "ServiceSteady"
    NODE_PREPARED = "NodePrepared"
    NODE_PREP_FAILED = "NodePrepFailed"
    NODE_RELEASING = "NodeReleasing"
    NODE_DROPPED = "NodeDropped"
    NODES_EXCLUDED = "NodesExcluded"


@dataclass(slots=True, kw_only=True)
class TaskMove:
    """Elements of one task that went the same way.

    Attributes:
        task_id: The task.
        ranges: Which elements, ascending.
        was: State of all of them before; 0: they are new.
        path: States passed, the last is the new one; empty: only columns change.
        columns: Name to one value for all, or to one value per element.
        flags: Flags to set.
        bump: Counters to raise by one.
        clear: Forget the results of the last attempt first; one that was sent to a node
            is followed by the next number.
        places: What elements hold on other nodes from now on, by instance; only of
            those for which that changes.
        sets: Cores of attempts on their own nodes, by instance; only of those with
            several that do not follow each other.
        why: Number of the note that says why, for watchers: what runs again keeps none.
    """

    task_id: int
    ranges: Ranges
    was: int = 0
    path: tuple[TaskState, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)
    flags: int = 0
    bump: tuple[str, ...] = ()
    clear: bool = False
    places: Mapping[int, Place] = field(default_factory=dict)
    sets: Mapping[int, Sequence[int]] = field(default_factory=dict)
    why: int = 0

    @property
    def count(self) -> int:
        """Number of elements."""
        return sum(last - first + 1 for first, last in self.ranges)


@dataclass(slots=True, kw_only=True)
class Event:
    """One event.

    Attributes:
        time: When it was decided, seconds since 1970, UTC.
        actor: A user's name, ``system`` or ``node:NAME``.
        message: Reason or text that goes with it.
        path: States the job passed, the last is its state now; empty: unchanged.
        patch: Fields of the job that change.
        moves: Elements that moved.
        tasks: Fields of task records that change, by task number.
        added: Specifications of tasks that were added, in order.
        respecs: Specifications that replace others, by task number (0: the job's own).
        tables: Element tables that are made anew because of ``respecs``: a sweep's own
            one, and 0 where a task becomes, or ceases to be, a plain one.
        notes: Texts that the moves' ``note`` column refers to, (number, code, text).
        uses: Nodes whose use changed: encoded NodeUse, or None when given back.
    """

    name: EventName
    time: float
    actor: str
    message: str = ""
    path: tuple[JobState, ...] = ()
    patch: Mapping[str, Any] = field(default_factory=dict)
    moves: Sequence[TaskMove] = ()
    tasks: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    added: Sequence[TaskSpec] = ()
    respecs: Mapping[int, JobSpec | TaskSpec] = field(default_factory=dict)
    tables: tuple[int, ...] = ()
    notes: Sequence[tuple[int, int, str]] = ()
    uses: Mapping[int, tuple[Any, ...] | None] = field(default_factory=dict)


@dataclass(slots=True, unsafe_hash=True)  # made too often to be frozen
class Change:
    """A change of state that an event means, as watchers see it (task 0: the job).

    Attributes:
        code, text: Why, where it is no matter of course: the reference's number and
            what people read; they are the same for all elements, or left out.
    """

    task_id: int
    ranges: Ranges
    state: int
    previous: int
    code: int = 0
    text: str = ""
