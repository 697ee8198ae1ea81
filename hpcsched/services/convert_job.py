"""Jobs as messages. Lists of 100,000 jobs pass through here: tables, no properties."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from hpcsched.api.v1 import job_pb2, job_service_pb2, task_pb2
from hpcsched.common.errors import HpcError
from hpcsched.core.job.states import (
    V1_JOB_STATUS,
    CancelRequest,
    FailureReason,
    JobState,
    PendingReason,
    UnitType,
)
from hpcsched.core.jobviews import JobViews
from hpcsched.core.task.states import TaskState
from hpcsched.services.convert_job_spec import UNIT_TYPES, job_spec_message
from hpcsched.services.convert_time import duration, timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hpcsched.core.views import JobView

FAILURE_REASONS: Final = {reason: reason.label for reason in FailureReason}
CANCEL_REQUESTS: Final = {request: request.label for request in CancelRequest}
PENDING_REASONS: Final = {reason: reason.label for reason in PendingReason}

_COUNT_FIELDS: Final = {int(state): state.name.lower() for state in TaskState}
_JOB_STATES: Final = frozenset(int(state) for state in JobState)
_TASK_STATES: Final = frozenset(int(state) for state in TaskState)


def job_message(view: JobView) -> job_pb2.Job:
    """Return a job as it is shown."""
    state = view.state
    in_cores = view.unit_type is UnitType.CORE
    return job_pb2.Job(
        id=view.job_id,
        name=view.name,
        owner=view.owner,
        state=cast("job_pb2.Job.State.ValueType", int(state)),
        previous_state=cast("job_pb2.Job.State.ValueType", view.previous_state or 0),
        v1_status=V1_JOB_STATUS[state],
        priority=view.priority,
        job_type=view.job_type,
        task_counts=counts_message(view.counts),
        error_code=view.error_code,
        error_message=view.error_message,
        failure_reason=FAILURE_REASONS[view.failure_reason],
        request_cancel=CANCEL_REQUESTS[view.request_cancel],
        pending_reason=PENDING_REASONS[view.pending_reason],
        create_time=timestamp(view.create_time),
        submit_time=timestamp(view.submit_time),
        start_time=timestamp(view.start_time),
        end_time=timestamp(view.end_time),
        change_time=timestamp(view.change_time),
        requeue_count=view.requeue_count,
        auto_requeue_count=view.auto_requeue_count,
        allocated_nodes=view.allocated_nodes,
        allocated_cores=view.allocated_cores,
        min_cores=view.least if in_cores else 0,
        max_cores=view.most if in_cores else 0,
        unit_type=UNIT_TYPES[view.unit_type],
        min_units=view.least,
        max_units=view.most,
        auto_calculate_min=view.auto_min,
        auto_calculate_max=view.auto_max,
        computed_min=view.least if view.auto_min else 0,
        computed_max=view.most if view.auto_max else 0,
        current_core_count=view.allocated_cores,
        current_socket_count=view.units_held[UnitType.SOCKET],
        current_node_count=view.units_held[UnitType.NODE],
        can_grow=view.can_grow,
        can_shrink=view.can_shrink,
        has_grown=view.has_grown,
        has_shrunk=view.has_shrunk,
        revision=view.revision,
        project=view.project,
        progress=view.progress,
        custom_properties=view.custom_properties,
        task_count=view.task_count,
        hold_until=timestamp(view.hold_until),
        progress_message=view.progress_message,
        parent_job_ids=view.parent_job_ids,
        child_job_ids=view.child_job_ids,
        wait_time=None if view.wait_s is None else duration(view.wait_s),
        has_runtime=view.has_runtime,
        job_template=view.job_template,
        spec=None if view.spec is None else job_spec_message(view.spec),
        excluded_nodes=view.excluded_nodes,
        user_name=view.user_name,
        is_backfill=view.is_backfill,
        pool=view.pool,
        can_preempt=view.can_preempt,
        user_cpu_ms=view.user_ms,
        kernel_cpu_ms=view.kernel_ms,
        memory_bytes=view.memory_kib * 1024,
        required_nodes=view.required_nodes,
        process_ids=view.process_ids,
        process_count=view.process_count,
        planned_core_count=view.planned_cores,
        peak_core_count=view.peak_cores,
        peak_socket_count=view.peak_sockets,
        error_params=view.error_params,
        min_max_update_time=timestamp(
            view.change_time if view.auto_min or view.auto_max else None
        ),
        node_prep_task_id=view.prep_task,
        node_release_task_id=view.release_task,
        set_aside=view.set_aside,
    )


def job_messages(views: Sequence[JobView]) -> Iterator[job_pb2.Job]:
    """Yield jobs as they are shown; each is to be copied before the next is asked for.

    Those that are alike but for their number are converted once.
    """
    if not isinstance(views, JobViews):
        yield from map(job_message, views)
        return
    for view, ids in views.runs:
        message = job_message(view)
        for job_id in ids:
            message.id = job_id
            yield message


def counts_message(counts: Mapping[int, int]) -> task_pb2.TaskCounts:
    """Return elements per state; the total is their sum."""
    fields = {_COUNT_FIELDS[state]: count for state, count in counts.items()}
    return task_pb2.TaskCounts(total=sum(fields.values()), **fields)


def job_states(values: Iterable[int], field: str) -> tuple[int, ...]:
    """Return states of jobs to choose by.

    Raises:
        HpcError: INVALID_FIELD, a number is none.
    """
    return _states(values, _JOB_STATES, field)


def task_states(values: Iterable[int], field: str) -> tuple[int, ...]:
    """Return states of tasks to choose by.

    Raises:
        HpcError: INVALID_FIELD, a number is none.
    """
    return _states(values, _TASK_STATES, field)


def is_full(view: int) -> bool:
    """Is the full view asked for?

    Raises:
        HpcError: INVALID_FIELD, it is neither of the two.
    """
    if view not in job_service_pb2.View.values():
        raise HpcError("INVALID_FIELD", field="view", problem=f"{view} is no view")
    return view == job_service_pb2.VIEW_FULL


def _states(
    values: Iterable[int], known: frozenset[int], field: str
) -> tuple[int, ...]:
    states = tuple(values)
    for position, state in enumerate(states):
        if state not in known:
            raise HpcError(
                "INVALID_FIELD",
                field=f"{field}[{position}]",
                problem=f"{state} is no state",
            )
    return states
