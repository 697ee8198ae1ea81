"""Accounting: which cores a job held, and how it ended (properties.md 10).

``book_uses`` and ``book_end`` are parts of ``apply``, so that a replay charges the
same. ``given_back`` and ``end_of`` make the rows that are stored with the event.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from hpcsched.core.job.books import Books
from hpcsched.core.job.events import EventName
from hpcsched.core.job.packing import pack, unpack
from hpcsched.core.job.states import CancelRequest, JobState, JobType
from hpcsched.core.task.states import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcsched.core.job.books import Totals
    from hpcsched.core.job.events import Event
    from hpcsched.core.job.model import Job, NodeUse

_BY_USER: Final = (
    CancelRequest.CANCEL_BY_USER,
    CancelRequest.CANCEL_FORCE_BY_USER,
    CancelRequest.CANCEL_GRACEFUL,
)
TEMPLATE: Final = "Default"


@dataclass(frozen=True, slots=True)
class Held:
    """Cores of one node that a job held, and gave back or had changed.

    Attributes:
        cores: Their ids; none for a command.
        start, end: Seconds since 1970, UTC.
    """

    node_id: int
    cores: tuple[int, ...]
    start: float
    end: float

    @property
    def core_ms(self) -> int:
        """Core-milliseconds."""
        return charge(len(self.cores), self.start, self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnd:
    """How a job reached a terminal state: one row of its history.

    Times are seconds since 1970, UTC. Sums are over what came after its end before,
    reruns of tasks included.

    Attributes:
        start_time: Of a job that never started, ``event_time``.
        wait_ms: From submit to start, or to the end.
        core_ms: Sum over allocations: the reference's RunTime.
        memory_kib: Largest resident sets of all attempts, added up.
        canceled_by: User who canceled it; empty for every other end.
    """

    requeue_id: int
    state: JobState
    event_time: float
    name: str = ""
    job_type: str = "Batch"
    template: str = TEMPLATE
    priority: int = 0
    submit_time: float | None = None
    start_time: float | None = None
    tasks: int = 0
    finished_tasks: int = 0
    failed_tasks: int = 0
    canceled_tasks: int = 0
    user_ms: int = 0
    kernel_ms: int = 0
    memory_kib: int = 0
    core_ms: int = 0
    wait_ms: int = 0
    software_license: str = ""
    preemptable: bool = False
    run_until_canceled: bool = False
    is_exclusive: bool = False
    fail_on_task_failure: bool = False
    canceled_by: str = ""
    error_message: str = ""


_COLUMNS: Final = frozenset({"requeue_id", "state", "event_time"})
"""Kept in columns of their own."""


def charge(cores: int, start: float, end: float) -> int:
    """Return core-milliseconds; a wall clock that was set back charges nothing."""
    return max(0, round((end - start) * 1000)) * cores


def _changed(job: Job, event: Event) -> Iterator[NodeUse]:
    """Yield what the job gives back or trades with an event, before it is applied."""
    for node_id, encoded in event.uses.items():
        use = job.uses.get(node_id)
        if use is not None and (encoded is None or tuple(encoded[0]) != use.cores):
            yield use


def book_uses(job: Job, event: Event) -> None:
    """Charge what an event takes from the job; to be called before it is taken."""
    more = sum(charge(len(u.cores), u.since, event.time) for u in _changed(job, event))
    if more:
        old = job.books
        job.books = Books(old.core_ms + more, old.charged, old.canceled_by)


def book_end(job: Job, event: Event) -> None:
    """Note who canceled the job, and draw a line below it when it has ended."""
    if event.name is EventName.JOB_CANCEL_REQUESTED:
        old = job.books
        job.books = Books(old.core_ms, old.charged, event.actor)
    if event.path and job.state.terminal:
        old = job.books
        job.books = Books(old.core_ms, _totals(job), old.canceled_by)


def _totals(job: Job) -> Totals:
    return (job.books.core_ms, job.user_ms, job.kernel_ms, job.memory_kib)


def given_back(job: Job, event: Event) -> list[Held]:
    """Return the allocations that an event ends; to be called before it is applied.

    What a job gives back in the moment in which it gets it is none.
    """
    command = job.spec.job_type is JobType.ADMIN
    return [
        Held(use.node_id, use.cores, use.since, max(use.since, event.time))
        for use in _changed(job, event)
        if command or (use.cores and use.since != event.time)
    ]


def end_of(job: Job, event: Event, before: Books) -> JobEnd | None:
    """Return the row for an event that has ended the job; None: there is none.

    A draft that is canceled has never been submitted, and has no history.

    Args:
        job: After the event.
        event: It.
        before: The books before it.
    """
    if not (event.path and job.state.terminal) or job.submit_time is None:
        return None
    totals = zip(_totals(job), before.charged, strict=True)
    core_ms, user_ms, kernel_ms, memory_kib = (now - then for now, then in totals)
    spec, counts = job.spec, job.counts
    started = event.time if job.start_time is None else job.start_time
    by_user = job.state is JobState.CANCELED and job.request_cancel in _BY_USER
    return JobEnd(
        requeue_id=job.requeue_count,
        state=job.state,
        event_time=event.time,
        name=spec.name,
        job_type="Admin" if spec.job_type is JobType.ADMIN else "Batch",
        priority=spec.priority,
        submit_time=job.submit_time,
        start_time=started,
        tasks=sum(counts),
        finished_tasks=counts[TaskState.FINISHED],
        failed_tasks=counts[TaskState.FAILED],
        canceled_tasks=counts[TaskState.CANCELED],
        user_ms=user_ms,
        kernel_ms=kernel_ms,
        memory_kib=memory_kib,
        core_ms=core_ms,
        wait_ms=max(0, round((started - job.submit_time) * 1000)),
        template=spec.job_template,
        software_license=spec.software_license,
        preemptable=spec.can_preempt,
        run_until_canceled=spec.run_until_canceled,
        is_exclusive=spec.is_exclusive,
        fail_on_task_failure=spec.fail_on_task_failure,
        canceled_by=job.books.canceled_by if by_user else "",
        error_message=job.error_message,
    )


_DEFAULTS: Final[dict[str, Any]] = {
    one.name: one.default for one in fields(JobEnd) if one.name not in _COLUMNS
}
_VALUES: Final = attrgetter(*_DEFAULTS)


def encode_end(end: JobEnd) -> bytes:
    """Return what of an end is not kept in columns, without what is default."""
    pairs = zip(_DEFAULTS.items(), _VALUES(end), strict=True)
    return pack({n: v for (n, new), v in pairs if v is not new and v != new})


def decode_end(requeue_id: int, state: int, event_time: float, body: bytes) -> JobEnd:
    """Return an end as it was stored; fields of later versions are passed over."""
    values = {k: v for k, v in unpack(body).items() if k in _DEFAULTS}
    return JobEnd(
        requeue_id=requeue_id, state=JobState(state), event_time=event_time, **values
    )
