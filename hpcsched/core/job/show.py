"""What is shown of a job and its tasks: values for services, made from the state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.common.substitution import compile_template, render
from hpcsched.core.job.allocation import allocation_of, sockets_of
from hpcsched.core.job.errorparams import error_params
from hpcsched.core.job.lifetime import created
from hpcsched.core.job.model import Job, UsePhase
from hpcsched.core.job.readiness import ready_tasks
from hpcsched.core.job.states import (
    CancelRequest,
    JobState,
    JobType,
    PendingReason,
    UnitType,
)
from hpcsched.core.job.waiting import held_back
from hpcsched.core.task.elements import HAS_EXIT
from hpcsched.core.task.states import (
    TASK_TERMINAL,
    CancelOrigin,
    EndReason,
    TaskState,
    TaskType,
)
from hpcsched.core.views import JobView, TaskView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hpcsched.core.job.model import NodeUse, TaskRecord
    from hpcsched.core.settings import Settings


_READY: Final = (UsePhase.READY,)
_HELD: Final = {
    PendingReason.HELD_BY_USER: "its job is held by its owner",
    PendingReason.HELD_BY_ADMIN: "its job is held by an administrator",
    PendingReason.HELD_BY_ACTIVATION_FILTER: "its job is held by the activation filter",
    PendingReason.ATTEMPT_MAY_LIVE: "an attempt of its job may live on a lost node",
    PendingReason.PARENT_JOBS_NOT_FINISHED: "its job waits for other jobs",
    PendingReason.PARENT_JOBS_CANCELED_OR_FAILED: "its job waits for other jobs, which "
    "failed or were canceled",
}
"""Why a task waits whose job is held back."""


def job_view(
    job: Job,
    name_of: Callable[[int], str],
    settings: Settings | None = None,
    *,
    full: bool = False,
) -> JobView:
    """Return the job as it is; without settings as if it may grow and shrink."""
    counts = {n: count for n, count in enumerate(job.counts) if count and n}
    spec = job.spec
    return JobView(
        job_id=job.job_id,
        name=job.spec.name,
        owner=job.owner,
        state=job.state,
        previous_state=job.previous_state,
        priority=job.spec.priority,
        job_type="Admin" if job.spec.job_type is JobType.ADMIN else "Batch",
        counts=counts,
        task_count=len(job.tasks),
        error_code=job.error_code,
        error_message=job.error_message,
        error_params=job.error_params,
        failure_reason=job.failure_reason,
        request_cancel=job.request_cancel,
        pending_reason=held_back(job) or job.pending_reason,
        create_time=job.create_time,
        submit_time=job.submit_time,
        start_time=job.start_time,
        end_time=job.end_time,
        change_time=job.change_time,
        requeue_count=job.requeue_count,
        auto_requeue_count=job.auto_requeue_count,
        allocated_nodes=tuple(name_of(n) for n in job.last_nodes),
        allocated_cores=job.uses.cores,
        unit_type=job.spec.unit_type,
        least=job.least(),
        most=job.most(),
        auto_min=job.spec.least is None,
        auto_max=job.spec.most is None,
        units_held=units_held(job.uses.values()),
        can_grow=settings is None or settings.grow,
        can_shrink=settings is None or settings.shrink,
        has_grown=job.has_grown,
        has_shrunk=job.has_shrunk,
        revision=job.revision,
        project=job.spec.project,
        progress=progress_of(counts) if spec.progress is None else spec.progress,
        progress_message=spec.progress_message,
        job_template=spec.job_template,
        has_runtime=spec.runtime > 0,
        hold_until=job.hold_until if held_back(job) else None,
        parent_job_ids=spec.parent_job_ids,
        custom_properties=job.spec.custom_properties,
        excluded_nodes=tuple(dict.fromkeys((*job.spec.excluded_nodes, *job.excluded))),
        user_name=job.spec.user_name or job.owner,
        is_backfill=job.is_backfill,
        pool=job.spec.pool,
        can_preempt=job.spec.can_preempt,
        user_ms=job.user_ms,
        kernel_ms=job.kernel_ms,
        memory_kib=job.memory_kib,
        required_nodes=required_nodes(job),
        peak_cores=job.peak_cores,
        peak_sockets=job.peak_sockets,
        prep_task=job.number_of(TaskType.NODE_PREP),
        release_task=job.number_of(TaskType.NODE_RELEASE),
        spec=job.spec if full else None,
    )


def required_nodes(job: Job) -> tuple[str, ...]:
    """Return the nodes that some task requires, in the order of the tasks."""
    if not job.picky:
        return ()
    names = (name for task in job.tasks for name in task.spec.required_nodes)
    return tuple(dict.fromkeys(names))


def units_held(uses: Iterable[NodeUse]) -> dict[UnitType, int]:
    """Return what is held of each unit."""
    total = dict.fromkeys(UnitType, 0)
    for use in uses:
        for unit in UnitType:
            total[unit] += use.units(unit)
    return total


def progress_of(counts: dict[int, int]) -> int:
    """Return the share of ended elements in percent."""
    total = sum(counts.values())
    ended = sum(counts.get(state, 0) for state in TASK_TERMINAL)
    return 100 * ended // total if total else 0


def task_view(
    job: Job,
    record: TaskRecord,
    instance: int,
    name_of: Callable[[int], str],
    *,
    full: bool = False,
) -> TaskView:
    """Return a plain task or an element (``instance`` above 0)."""
    table = job.table_of(record)
    row = record.row(instance)
    get = table.get
    state = TaskState(table.state[row])
    flags = get("flags", row)
    code, text = job.notes[get("note", row)]
    origin = CancelOrigin(get("origin", row))
    previous = get("prev", row)
    value: int | str = instance
    if record.spec.is_sweep:
        value = record.spec.value_of(instance)
    nodes = allocation_of(job, record, row)
    return TaskView(
        job_id=job.job_id,
        task_id=record.task_id,
        instance_id=instance,
        name=element_name(record, instance, value),
        type=record.spec.type,
        state=state,
        previous_state=TaskState(previous) if previous else None,
        exit_code=get("exit", row) if flags & HAS_EXIT else None,
        end_reason=EndReason(get("reason", row)),
        attempt=get("attempt", row),
        requeue_count=get("requeues", row),
        auto_requeue_count=get("auto", row),
        execution_retry_count=get("retries", row),
        error_code=code,
        error_message=text,
        error_params=error_params(job, record, row, name_of) if code else {},
        nodes=tuple(name_of(one.node_id) for one in nodes),
        cores=nodes[0].cores if nodes else (),
        allocated_cores=sum(one.count for one in nodes),
        allocated_sockets=sockets_of(job, nodes),
        core_ids=" ".join(
            " ".join((name_of(one.node_id), *map(str, one.cores))) for one in nodes
        ),
        create_time=created(job, record),
        submit_time=submitted(job, record, state),
        start_time=get("start", row) or None,
        end_time=get("end", row) or None if state.terminal else None,
        instance_value=value if isinstance(value, int) and record.spec.is_sweep else 0,
        cancel_origin=origin,
        request_cancel=CancelRequest(get("request", row)),
        v1_canceled=state is TaskState.FAILED and origin is CancelOrigin.USER_TASK,
        exit_if_possible=_asked_to_exit(record, state, origin),
        pending_reason=waiting_for(job, record) if state is TaskState.QUEUED else "",
        spec=record.spec if full else None,
        user_ms=get("user_ms", row),
        kernel_ms=get("kernel_ms", row),
        max_rss_kib=get("rss", row),
        change_time=changed_time(job, record, instance),
        failed_node=name_of(nodes[0].node_id)
        if state is TaskState.FAILED and nodes
        else "",
    )


def changed_time(job: Job, record: TaskRecord, instance: int) -> float:
    """Return when a task, a master or an element changed last, as far as is known."""
    if record.has_elements and not instance:
        state = record.state
        times = (record.first_start, record.last_end)
    else:
        table, row = job.table_of(record), record.row(instance)
        state = TaskState(table.state[row])
        times = (table.get("start", row), table.get("end", row))
    return max(created(job, record), submitted(job, record, state) or 0.0, *times)


def _asked_to_exit(record: TaskRecord, state: TaskState, origin: CancelOrigin) -> bool:
    """ExitIfPossible: the scheduler wants an instance of a service to end soon."""
    asked = state is TaskState.CANCELING and origin is CancelOrigin.PREEMPTION
    return asked and record.spec.type is TaskType.SERVICE


def element_name(record: TaskRecord, instance: int, value: int | str) -> str:
    """Return the name with the element's value in it (properties.md 8.1)."""
    name = record.spec.name
    if not instance or ("*" not in name and "^" not in name):
        return name
    if record.spec.lines:
        value = record.spec.lines[instance - 1]
    return str(render(compile_template(name), value))


def master_view(
    job: Job, record: TaskRecord, name_of: Callable[[int], str], *, full: bool = False
) -> TaskView:
    """Return the master of a sweep, or a per-node task as a whole."""
    code, text, params = 0, "", {}
    faulty = _first_faulty(job, record)
    if faulty >= 0:
        code, text = job.notes[job.table_of(record).get("note", faulty)]
        params = dict(error_params(job, record, faulty, name_of))
    counts = {n: count for n, count in enumerate(record.counts) if count and n}
    canceled = CancelOrigin.USER_TASK if record.canceled else CancelOrigin.NONE
    waiting = record.state is TaskState.QUEUED
    return TaskView(
        job_id=job.job_id,
        task_id=record.task_id,
        instance_id=0,
        name=record.spec.name,
        type=record.spec.type,
        state=record.state,
        previous_state=record.previous,
        exit_code=None,
        end_reason=EndReason.NONE,
        attempt=1,
        requeue_count=record.requeues,
        auto_requeue_count=0,
        execution_retry_count=0,
        error_code=code,
        error_message=text,
        error_params=params,
        nodes=(),
        cores=(),
        create_time=created(job, record),
        submit_time=submitted(job, record, record.state),
        start_time=record.first_start or None,
        end_time=record.last_end or None if record.state.terminal else None,
        instance_value=0,
        cancel_origin=canceled,
        request_cancel=CancelRequest.NONE,
        v1_canceled=False,
        pending_reason=waiting_for(job, record) if waiting else "",
        concluded=record.concluded,
        counts=counts,
        change_time=changed_time(job, record, 0),
        spec=record.spec if full else None,
        user_ms=_total(job, record, "user_ms") if full else 0,
        kernel_ms=_total(job, record, "kernel_ms") if full else 0,
    )


def submitted(job: Job, record: TaskRecord, state: TaskState) -> float | None:
    """Return when a task was submitted: by itself, or with its job."""
    if state is TaskState.CONFIGURING:
        return None
    return record.submit_time or job.submit_time


def _total(job: Job, record: TaskRecord, name: str) -> int:
    """Return the sum of a column over the elements of a master."""
    first = record.base + record.shown_from
    return job.table_of(record).total(name, first, record.base + record.count - 1)


def _first_faulty(job: Job, record: TaskRecord) -> int:
    """Return the row of the first failed or canceled element; -1: there is none."""
    table = job.table_of(record)
    first = record.base + (record.shown_from if record.ordinary else 0)
    for state in (TaskState.FAILED, TaskState.CANCELED):
        if record.counts[state]:
            row = table.find(state, first, record.base + record.count - 1)
            if row >= 0:
                return row
    return -1


def waiting_for(job: Job, record: TaskRecord) -> str:
    """Return in words why a queued task has not started."""
    ready_tasks(job)
    if record.task_id in job.unready:
        return "waits for " + ", ".join(record.spec.depends_on)
    if job.state is not JobState.RUNNING:
        held = held_back(job)
        return _HELD.get(held, "its job waits for resources")
    prep = job.typed(TaskType.NODE_PREP)
    if prep is not None and prep.open and not job.uses.any_in(_READY):
        return "waits for the preparation of its job's nodes"
    if record.spec.max_concurrent:
        most = record.spec.max_concurrent
        return f"waits for a core; at most {most} elements run at once"
    return "waits for a core"


def listed(
    job: Job,
    *,
    elements: bool,
    states: frozenset[int],
    task_id: int,
    after: tuple[int, int],
) -> Iterator[tuple[TaskRecord, int, bool]]:
    """Yield (task, instance, is it a master) of what a list shows, after a position."""
    first = max(task_id or 1, after[0])
    for record in job.tasks[first - 1 :]:
        if task_id and record.task_id != task_id:
            return
        low = after[1] + 1 if record.task_id == after[0] else 0
        if not record.has_elements or not elements:
            if low == 0 and (not states or record.state in states):
                yield record, 0, record.has_elements
            continue
        table = job.table_of(record)
        instance = max(low, record.shown_from + 1)
        while instance <= record.count:
            row = record.row(instance)
            if not states or table.state[row] in states:
                yield record, instance, False
            else:
                last = record.base + record.count - 1
                rows = [table.find(state, row, last) for state in states]
                found = min((one for one in rows if one >= 0), default=-1)
                if found < 0:
                    break
                instance = record.instance(found)
                continue
            instance += 1
