"""The job aggregate: everything that one JobActor owns (lifecycle.md 2).

Only ``apply`` writes to it. Task records share packed element tables: the plain tasks
of a job are rows of table 0, each sweep and each per-node task has a table of its own.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.exitcodes import parse_exit_codes
from hpcsched.core.job.books import NO_BOOKS, Books
from hpcsched.core.job.nodeuse import NodeUse as NodeUse  # noqa: PLC0414  part of a job
from hpcsched.core.job.nodeuse import UsePhase as UsePhase  # noqa: PLC0414  the same
from hpcsched.core.job.states import (
    CancelRequest,
    FailureReason,
    JobState,
    PendingReason,
)
from hpcsched.core.job.taskrecord import PER_NODE as PER_NODE  # noqa: PLC0414
from hpcsched.core.job.taskrecord import TaskRecord as TaskRecord  # noqa: PLC0414
from hpcsched.core.job.uses import NO_USES, Uses
from hpcsched.core.task.states import TASK_TERMINAL, TaskState, TaskType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcsched.common.exitcodes import ExitCodes
    from hpcsched.core.job.spec import JobSpec
    from hpcsched.core.orders import DefineTask
    from hpcsched.core.scheduling.snapshot import Demand, Holder
    from hpcsched.core.task.elements import ElementTable
    from hpcsched.core.task.spec import TaskSpec

STATES = len(TaskState) + 1
UNBOUNDED: Final = 2147483647
"""As many as there are (cores, instances at once)."""
_NO_PARAMS: Final[Mapping[str, str]] = {}
_NOTHING: Final[Mapping[int, int]] = {}
_NO_DOUBTS: Final[Mapping[int, tuple[tuple[int, int, int], ...]]] = {}
_IDLE: Final = itemgetter(*TASK_TERMINAL, TaskState.CONFIGURING)
"""Elements by state: of those that need no cores (any more)."""


class Job:
    """A job in memory; its fields are those of patches and of the stored blob.

    Attributes:
        held_by: Who holds it back while it is queued: HELD_BY_…, or NONE.
        hold_until: When that ends by itself; None: when it is released.
        hold_note: What the activation filter said to that; may be empty.
        parents: JobState numbers of its parents, as far as it has been told.
        doubts: Attempts that may live on lost nodes, by node (core/job/doubting.py).
        due: When its limits come by a clock that nobody sets (runtime/deadlines.py). It
            follows from no event: only who keeps the job knows.
        demand, holder: What the scheduler was told last, and what that was made of.
    """

    __slots__ = (
        "ahead",
        "auto_requeue_count",
        "books",
        "change_time",
        "counts",
        "create_time",
        "critical",
        "definitions",
        "demand",
        "dependants",
        "doubts",
        "due",
        "eased",
        "end_time",
        "error_code",
        "error_message",
        "error_params",
        "excluded",
        "exit_codes",
        "failure_reason",
        "forced",
        "front",
        "graceful",
        "has_grown",
        "has_shrunk",
        "held_by",
        "hold_note",
        "hold_until",
        "holder",
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
        "narrowest",
        "note_ids",
        "notes",
        "open_names",
        "owing",
        "owner",
        "parents",
        "peak_cores",
        "peak_sockets",
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
        self.error_params: Mapping[str, str] = _NO_PARAMS
        self.failure_reason = FailureReason.NONE
        self.request_cancel = CancelRequest.NONE
        self.pending_end: JobState | None = None
        self.pending_reason = PendingReason.NONE
        self.held_by = PendingReason.NONE
        self.hold_until: float | None = None
        self.hold_note = ""
        self.parents: Mapping[int, int] = _NOTHING
        self.forced = False
        self.graceful = False
        self.requeue_count = 0
        self.auto_requeue_count = 0
        self.excluded: tuple[str, ...] = ()
        # Since it last started; and: people took nodes from it, which is no error.
        self.has_grown = self.has_shrunk = self.eased = False
        self.last_nodes: tuple[int, ...] = ()
        # Most that it has held at one time since it last started:
        self.peak_cores = self.peak_sockets = 0
        # Sums over every attempt that ever ended on a node, reruns included:
        self.user_ms = self.kernel_ms = self.memory_kib = 0
        self.books: Books = NO_BOOKS
        # What tasks that are choosy about nodes need to know of them, as of the last
        # grant: node to (name, groups), and the cores of the largest node that the job
        # may use (0: not known).
        self.sites: dict[int, tuple[str, tuple[str, ...]]] = {}
        self.largest = 0
        self.tasks: list[TaskRecord] = []
        self.tables: dict[int, ElementTable] = {}
        self.uses: Uses = NO_USES
        # Queued, and waiting on a node: its number, the cores of which the task may
        # have any one, and the node's cores and sockets (core/job/ahead.py).
        self.ahead: tuple[Any, ...] = ()
        self.doubts = _NO_DOUBTS
        self.due: tuple[Any, ...] = ()
        self.front: tuple[tuple[int, int, int], ...] = ()
        self.is_backfill = False
        # Preemption: cores to give up by node; at once, not as tasks end; all of them.
        self.owing: Mapping[int, int] = _NOTHING
        self.preempted_now = self.yields_all = False
        self.notes: list[tuple[int, str]] = [(0, "")]
        self._derive()

    def _derive(self) -> None:
        """Begin with what is not stored: it is rebuilt when the job is loaded."""
        self.counts = [0] * STATES
        self.holds: dict[int, dict[tuple[int, int], tuple[int, ...]]] = {}
        self.note_ids: dict[tuple[int, str], int] = {(0, ""): 0}
        self.definitions: dict[int, tuple[tuple[object, ...], DefineTask]] = {}
        self.demand: tuple[tuple[object, ...], Demand] | None = None
        self.holder: tuple[tuple[object, ...], Holder] | None = None
        self.exit_codes: dict[int, ExitCodes] = {}
        self.masters: list[TaskRecord] = []
        self.special: dict[TaskType, TaskRecord] = {}
        self.critical: list[TaskRecord] = []
        self.marked: dict[int, None] = {}
        self.widest, self.narrowest = 1, 0
        self.uniform = True
        self.picky = False
        self.ready: list[int] | None = None
        self.unready: dict[int, None] = {}
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
        self.ready, self.picky, self.narrowest = None, False, 0
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
            low, high = self._bounds(spec)
            self.widest = max(self.widest, low)
            self.narrowest = min(self.narrowest or low, low)
            self.picky |= spec.is_picky
            self.uniform &= not spec.max_concurrent and spec.size > 0 and high == 1
        self.ready = None

    def typed(self, kind: TaskType) -> TaskRecord | None:
        """Return the job's node preparation, release or service, if it has one."""
        return self.special.get(kind)

    def number_of(self, kind: TaskType) -> int:
        """Return the number of its node preparation or release; 0: it has none."""
        record = self.special.get(kind)
        return 0 if record is None else record.task_id

    @property
    def service(self) -> TaskRecord | None:
        """Its service while that makes new instances, else None."""
        if not self.special:
            return None
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

    def held_units(self) -> int:
        """Return what it holds now, in its unit."""
        return self.uses.units(self.spec.unit_type)

    def least(self) -> int:
        """Units to start with: given, or computed."""
        given = self.spec.least
        return self.computed_min() if given is None else given

    def most(self) -> int:
        """Most units that it can use: given, or computed."""
        given = self.spec.most
        return self.computed_max() if given is None else given

    def computed_min(self) -> int:
        """Return the largest minimum of an open task (properties.md 3.2, note 2)."""
        if self.widest == 1:
            return 1
        return max(
            (self._bounds(t.spec)[0] for t in self.ordinary() if t.open or t.serving),
            default=1,
        )

    def _bounds(self, spec: TaskSpec) -> tuple[int, int]:
        """Return the units that one process of a task takes, at least and at most."""
        low, high = spec.bounds(self.spec.unit_type)
        required = len(spec.required_nodes)
        return max(low, required), max(high, required)

    def computed_max(self) -> int:
        """Return the sum of the maxima of the open elements (note 2).

        A service can use whatever there is: UNBOUNDED, unless it is limited itself.
        """
        unit = self.spec.unit_type
        service = self.service
        if service is not None and not self.state.terminal:
            spec = service.spec
            return spec.max_concurrent * spec.bounds(unit)[0] or UNBOUNDED
        if self.uniform:
            total: int = sum(self.counts) - sum(_IDLE(self.counts))
            return max(1, total, self.spec.least or 1)
        total = 0
        for task in self.ordinary():
            open_ = task.open - task.counts[TaskState.CONFIGURING]
            if task.spec.max_concurrent:
                open_ = min(open_, task.spec.max_concurrent)
            total += max(0, open_) * self._bounds(task.spec)[1]
        return max(total, self.least())
