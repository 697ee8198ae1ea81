"""The job aggregate: everything that one JobActor owns (lifecycle.md 2).

Only ``apply`` writes to it. Task records share packed element tables: the plain tasks
of a job are rows of table 0, each sweep and each per-node task has a table of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hpcsched.common.exitcodes import parse_exit_codes
from hpcsched.core.job.books import Books
from hpcsched.core.job.nodeuse import NodeUse as NodeUse  # noqa: PLC0414  part of a job
from hpcsched.core.job.nodeuse import UsePhase as UsePhase  # noqa: PLC0414  the same
from hpcsched.core.job.states import (
    CancelRequest,
    FailureReason,
    JobState,
    PendingReason,
)
from hpcsched.core.task.states import TASK_TERMINAL, TaskState, TaskType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcsched.common.exitcodes import ExitCodes
    from hpcsched.core.job.spec import JobSpec
    from hpcsched.core.orders import DefineTask
    from hpcsched.core.task.elements import ElementTable
    from hpcsched.core.task.spec import TaskSpec

STATES = len(TaskState) + 1
PER_NODE = (TaskType.NODE_PREP, TaskType.NODE_RELEASE)
UNBOUNDED: Final = 2147483647
"""As many as there are (cores, instances at once)."""


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
        floor: Attempt number that no new element may be below: elements of the same
            numbers were there before its range was changed.
        hint: No row before it is Queued; derived, not stored.
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
    floor: int = 1
    hint: int = 0

    @property
    def has_elements(self) -> bool:
        """Is it a master?"""
        return self.spec.type is not TaskType.BASIC

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


class Job:
    """A job in memory; its fields are those of patches and of the stored blob.

    Attributes:
        held_by: Who holds it back while it is queued: HELD_BY_…, or NONE.
        hold_until: When that ends by itself; None: when it is released.
        parents: JobState numbers of its parents, as far as it has been told.
    """

    __slots__ = (
        "auto_requeue_count",
        "books",
        "change_time",
        "counts",
        "create_time",
        "critical",
        "definitions",
        "dependants",
        "end_time",
        "error_code",
        "error_message",
        "excluded",
        "exit_codes",
        "failure_reason",
        "forced",
        "front",
        "graceful",
        "held_by",
        "hold_until",
        "holds",
        "is_backfill",
        "job_id",
        "kernel_ms",
        "largest",
        "last_nodes",
        "marked",
        "masters",
        "mean_run",
        "memory_kib",
        "note_ids",
        "notes",
        "open_names",
        "owing",
        "owner",
        "parents",
        "pending_end",
        "pending_reason",
        "picky",
        "preempted_now",
        "previous_state",
        "ready",
        "request_cancel",
        "requeue_count",
        "requeued",
        "revision",
        "sites",
        "spec",
        "special",
        "start_time",
        "state",
        "submit_order",
        "submit_time",
        "tables",
        "tasks",
        "uniform",
        "unready",
        "user_ms",
        "uses",
        "validation",
        "widest",
        "yields_all",
    )

    def __init__(self, job_id: int, owner: str, spec: JobSpec, now: float) -> None:
        self.job_id = job_id
        self.owner = owner
        self.spec = spec
        self.state = JobState.CONFIGURING
        self.previous_state: JobState | None = None
        self.revision = 0
        self.create_time = now
        self.change_time = now
        self.submit_time: float | None = None
        self.start_time: float | None = None
        self.end_time: float | None = None
        self.submit_order = 0
        self.validation = 0
        self.requeued = False
        self.error_code = 0
        self.error_message = ""
        self.failure_reason = FailureReason.NONE
        self.request_cancel = CancelRequest.NONE
        self.pending_end: JobState | None = None
        self.pending_reason = PendingReason.NONE
        self.held_by = PendingReason.NONE
        self.hold_until: float | None = None
        self.parents: Mapping[int, int] = {}
        self.forced = False
        self.graceful = False
        self.requeue_count = 0
        self.auto_requeue_count = 0
        self.excluded: tuple[str, ...] = ()
        self.last_nodes: tuple[int, ...] = ()
        # Sums over every attempt that ever ended on a node, reruns included:
        self.user_ms = 0
        self.kernel_ms = 0
        self.memory_kib = 0
        self.books = Books()
        # What tasks that are choosy about nodes need to know of them, as of the last
        # grant: node to (name, groups), and the cores of the largest node that the job
        # may use (0: not known).
        self.sites: dict[int, tuple[str, tuple[str, ...]]] = {}
        self.largest = 0
        self.tasks: list[TaskRecord] = []
        self.tables: dict[int, ElementTable] = {}
        self.uses: dict[int, NodeUse] = {}
        self.front: tuple[tuple[int, int, int], ...] = ()
        self.is_backfill = False
        # Preemption: cores to give up by node; at once, not as tasks end; all of them.
        self.owing: Mapping[int, int] = {}
        self.preempted_now = False
        self.yields_all = False
        self.notes: list[tuple[int, str]] = [(0, "")]
        self._derive()

    def _derive(self) -> None:
        """Begin with what is not stored: it is rebuilt when the job is loaded."""
        self.counts = [0] * STATES
        self.holds: dict[int, dict[tuple[int, int], tuple[int, ...]]] = {}
        self.note_ids: dict[tuple[int, str], int] = {(0, ""): 0}
        self.definitions: dict[int, tuple[tuple[object, ...], DefineTask]] = {}
        self.exit_codes: dict[int, ExitCodes] = {}
        self.masters: list[TaskRecord] = []
        self.special: dict[TaskType, TaskRecord] = {}
        self.critical: list[TaskRecord] = []
        self.marked: set[int] = set()
        self.widest = 1
        self.uniform = True
        self.picky = False
        self.ready: list[int] | None = None
        self.unready: set[int] = set()
        self.open_names: dict[str, int] = {}
        self.dependants: dict[str, set[int]] = {}
        self.mean_run = -1.0

    @property
    def order(self) -> tuple[int, int, int]:
        """Place in the queue: priority, user-requeued first, then submit order."""
        return (-self.spec.priority, 0 if self.requeued else 1, self.submit_order)

    def table_of(self, task: TaskRecord) -> ElementTable:
        """Return the table that holds a task's rows."""
        return self.tables[task.table]

    def task(self, task_id: int) -> TaskRecord | None:
        """Return a task by number, or None."""
        if 1 <= task_id <= len(self.tasks):
            return self.tasks[task_id - 1]
        return None

    def append(self, record: TaskRecord) -> None:
        """Add a task, and remember what is asked of it often."""
        self.tasks.append(record)
        self._remember(record)

    def reindex(self) -> None:
        """Forget what was remembered of specifications: some have been replaced."""
        self.masters, self.special, self.critical = [], {}, []
        self.exit_codes, self.widest, self.uniform = {}, 1, True
        self.ready, self.picky = None, False
        for record in self.tasks:
            self._remember(record)

    def _remember(self, record: TaskRecord) -> None:
        spec = record.spec
        if record.table:
            self.masters.append(record)
        if not (record.ordinary and spec.size):
            self.special[spec.type] = record
        if spec.critical or (spec.critical is None and spec.critical_count):
            self.critical.append(record)
        if record.ordinary:
            self.widest = max(self.widest, spec.min_cores, len(spec.required_nodes))
            self.picky |= spec.is_picky
            self.uniform &= not spec.max_concurrent and spec.size > 0
            self.uniform &= not spec.required_nodes
            self.uniform &= (spec.max_cores or spec.min_cores) == 1
        self.ready = None

    def typed(self, kind: TaskType) -> TaskRecord | None:
        """Return the job's node preparation, release or service, if it has one."""
        return self.special.get(kind)

    @property
    def service(self) -> TaskRecord | None:
        """Its service while that makes new instances, else None."""
        record = self.special.get(TaskType.SERVICE)
        return record if record is not None and record.serving else None

    def ordinary(self) -> Iterator[TaskRecord]:
        """Yield the tasks that count for the result."""
        return (task for task in self.tasks if task.ordinary)

    def on_nodes(self) -> int:
        """Number of ordinary elements whose attempt may live on a node."""
        counts = self.counts
        return (
            counts[TaskState.DISPATCHING]
            + counts[TaskState.RUNNING]
            + counts[TaskState.FINISHING]
            + counts[TaskState.CANCELING]
        )

    def is_valid_exit(self, task: TaskRecord, code: int) -> bool:
        """Does an exit code count as success (properties.md 4.4)?"""
        text = task.spec.valid_exit_codes or self.spec.valid_exit_codes or "0"
        if text == "0":
            return code == 0
        codes = self.exit_codes.get(task.task_id)
        if codes is None:
            codes = self.exit_codes[task.task_id] = parse_exit_codes(text)
        return codes.matches(code)

    def min_cores(self) -> int:
        """Cores to start with: given, or the largest minimum of an open task."""
        if self.spec.min_cores is not None:
            return self.spec.min_cores
        if self.widest == 1:
            return 1
        return max(
            (
                max(t.spec.min_cores, len(t.spec.required_nodes))
                for t in self.ordinary()
                if t.open or t.serving
            ),
            default=1,
        )

    def max_cores(self) -> int:
        """Most cores that it can use: given, or the sum over open elements.

        A service can use whatever there is: UNBOUNDED, unless it is limited itself.
        """
        if self.spec.max_cores is not None:
            return self.spec.max_cores
        if self.service is not None and not self.state.terminal:
            most = self.service.spec.max_concurrent * self.service.spec.min_cores
            return most or UNBOUNDED
        if self.uniform:
            idle = (*TASK_TERMINAL, TaskState.CONFIGURING)
            return max(1, sum(self.counts) - sum(self.counts[s] for s in idle))
        total = 0
        for task in self.ordinary():
            per = task.spec.max_cores or task.spec.min_cores
            open_ = task.open - task.counts[TaskState.CONFIGURING]
            if task.spec.max_concurrent:
                open_ = min(open_, task.spec.max_concurrent)
            total += max(0, open_) * per
        return max(total, self.min_cores())
