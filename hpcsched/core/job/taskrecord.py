"""One task of a job, as the job remembers it beside its elements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hpcsched.core.task.states import TASK_TERMINAL, TaskState, TaskType

if TYPE_CHECKING:
    from hpcsched.core.task.elements import ElementTable
    from hpcsched.core.task.spec import TaskSpec

PER_NODE: Final = (TaskType.NODE_PREP, TaskType.NODE_RELEASE)


@dataclass(slots=True)
class TaskRecord:
    """One task of a job; a sweep is one record whatever its size.

    Attributes:
        table: Number of its element table (0: the plain tasks' common one).
        base: Its first row there.
        count: Number of its rows.
        counts: Rows per state.
        state, previous: State of the task itself: the element's, or the master's.
        canceled: The master was canceled explicitly (lifecycle.md 6).
        swept: Number of its elements that are Canceled, and not by name (masters).
        started: An element has started since the last requeue (masters).
        forgiven: Failures from before its job was queued again; they trip nothing.
        shown_from: Instances up to this one belong to earlier rounds (prep, release).
        requeues: requeue_count of a master.
        concluded: It makes no new instance (services).
        strikes: Rounds of instances that ended at once, one after the other (services).
        not_before: No new instance before this time (services).
        submit_time: When it was submitted by itself; None: with its job.
        created: When it was added; 0.0: with its job. Of a plain task the table knows.
        first_start, last_end: Of its elements since it was last queued (masters); 0.0:
            none.
        floor: Attempt number that no new element may be below: elements of the same
            numbers were there before its range was changed.
        hint: No row before it is Queued; derived, not stored.
        has_elements: It is a master.
    """

    task_id: int
    spec: TaskSpec
    table: int
    base: int
    count: int
    counts: list[int]
    state: TaskState = TaskState.CONFIGURING
    previous: TaskState | None = None
    canceled: bool = False
    swept: int = 0
    started: bool = False
    forgiven: int = 0
    shown_from: int = 0
    requeues: int = 0
    submit_time: float | None = None
    concluded: bool = False
    strikes: int = 0
    not_before: float = 0.0
    created: float = 0.0
    first_start: float = 0.0
    last_end: float = 0.0
    floor: int = 1
    hint: int = 0
    has_elements: bool = field(init=False)

    def __post_init__(self) -> None:
        self.has_elements = self.spec.type is not TaskType.BASIC

    @property
    def ordinary(self) -> bool:
        """Does it count for the job's result (no prep, no release)?"""
        return self.spec.type not in PER_NODE

    @property
    def open(self) -> int:
        """Number of elements that are not terminal."""
        return sum(self.counts) - sum(self.counts[state] for state in TASK_TERMINAL)

    @property
    def serving(self) -> bool:
        """Is it a service that makes new instances?"""
        if self.spec.type is not TaskType.SERVICE:
            return False
        return not (self.concluded or self.canceled)

    def row(self, instance: int) -> int:
        """Return the row of an instance (0 for a plain task)."""
        return self.base + (instance - 1 if self.has_elements else 0)

    def instance(self, row: int) -> int:
        """Return the instance of a row."""
        return row - self.base + 1 if self.has_elements else 0

    def width(self, table: ElementTable, row: int) -> int:
        """Return the cores that an attempt of this row takes."""
        if not self.ordinary or self.spec.node:
            return 0
        return int(table.get("width", row)) or self.spec.min_cores

    def all_ranges(self) -> tuple[tuple[int, int], ...]:
        """Return the ranges of every instance."""
        if not self.has_elements:
            return ((0, 0),)
        first = self.shown_from + 1 if self.ordinary else 1
        return ((first, self.count),) if first <= self.count else ()
