"""Tasks as messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from hpcsched.api.v1 import task_pb2
from hpcsched.core.job.codes import failure_of
from hpcsched.core.task.states import V1_TASK_STATUS, CancelOrigin
from hpcsched.services.convert_job import CANCEL_REQUESTS, counts_message
from hpcsched.services.convert_job_spec import task_spec_message
from hpcsched.services.convert_time import timestamp

if TYPE_CHECKING:
    from hpcsched.core.views import TaskView

_ORIGINS: Final = {
    origin: "" if origin is CancelOrigin.NONE else origin.name.lower()
    for origin in CancelOrigin
}


def task_message(view: TaskView) -> task_pb2.Task:
    """Return a task, master or element as it is shown."""
    state = view.state
    return task_pb2.Task(
        job_id=view.job_id,
        task_id=view.task_id,
        instance_id=view.instance_id,
        name=view.name,
        type=cast("task_pb2.TaskType.ValueType", int(view.type)),
        state=cast("task_pb2.Task.State.ValueType", int(state)),
        previous_state=cast("task_pb2.Task.State.ValueType", view.previous_state or 0),
        v1_status="Cancelled" if view.v1_canceled else V1_TASK_STATUS[state],
        exit_code=view.exit_code,
        end_reason=cast("task_pb2.EndReason.ValueType", int(view.end_reason)),
        attempt=view.attempt,
        requeue_count=view.requeue_count,
        auto_requeue_count=view.auto_requeue_count,
        execution_failure_retry_count=view.execution_retry_count,
        error_code=view.error_code,
        error_params=view.error_params,
        error_message=view.error_message,
        nodes=view.nodes,
        cores=view.cores,
        create_time=timestamp(view.create_time),
        submit_time=timestamp(view.submit_time),
        start_time=timestamp(view.start_time),
        end_time=timestamp(view.end_time),
        output=view.output,
        instance_value=view.instance_value,
        element_counts=None if view.counts is None else counts_message(view.counts),
        spec=None if view.spec is None else task_spec_message(view.spec),
        cancel_origin=_ORIGINS[view.cancel_origin],
        failure_reason=failure_of(view.state, view.error_code).label,
        request_cancel=CANCEL_REQUESTS[view.request_cancel],
        pending_reason=view.pending_reason,
        user_cpu_ms=view.user_ms,
        kernel_cpu_ms=view.kernel_ms,
        max_memory_bytes=view.max_rss_kib * 1024,
        allocated_cores=view.allocated_cores,
        allocated_sockets=view.allocated_sockets,
        allocated_core_ids=view.core_ids,
        is_service_concluded=view.concluded,
        exit_if_possible=view.exit_if_possible,
        process_ids=view.process_ids,
        process_count=view.process_count,
        change_time=timestamp(view.change_time),
        failed_node=view.failed_node,
    )
