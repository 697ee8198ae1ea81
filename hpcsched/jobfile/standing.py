"""What the scheduler alone writes: state, times and counts of a live job (9.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hpcsched.api.v1 import job_pb2, task_pb2
from hpcsched.jobfile.texts import fields_of, label, written

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from google.protobuf.message import Message

_TIMES: Final = ("create_time", "submit_time", "start_time", "end_time", "change_time")
_COUNTED: Final = {
    state: f"{state.capitalize()}TaskCount"
    for state in (
        *("configuring", "submitted", "validating", "queued", "dispatching"),
        *("running", "finishing", "finished", "failed", "canceled", "canceling"),
    )
}
_OF_JOB: Final = {
    "is_backfill": "IsBackfill",
    "pool": "Pool",
    "wait_time": "WaitTime",
    "user_cpu_ms": "TotalUserTime",
    "kernel_cpu_ms": "TotalKernelTime",
    "current_core_count": "CurrentCoreCount",
    "has_runtime": "HasRuntime",
    "current_socket_count": "CurrentSocketCount",
    "has_grown": "HasGrown",
    "current_node_count": "CurrentNodeCount",
    "has_shrunk": "HasShrunk",
    "can_grow": "CanGrow",
    "can_shrink": "CanShrink",
    "child_job_ids": "ChildJobIds",
    "progress_message": "ProgressMessage",
    "planned_core_count": "PlannedCoreCount",
    "peak_core_count": "AllocatedCores",
    "peak_socket_count": "AllocatedSockets",
    "node_prep_task_id": "NodePrepareTask",
    "node_release_task_id": "NodeReleaseTask",
    "process_ids": "ProcessIds",
    "min_max_update_time": "MinMaxUpdateTime",
}
_OF_TASK: Final = {
    "user_cpu_ms": "TotalUserTime",
    "kernel_cpu_ms": "TotalKernelTime",
    "allocated_cores": "AllocatedCores",
    "allocated_sockets": "AllocatedSockets",
    "allocated_core_ids": "AllocatedCoreIds",
    "is_service_concluded": "IsServiceConcluded",
}
_JOB_STATE: Final = job_pb2.Job.State.DESCRIPTOR
_TASK_STATE: Final = task_pb2.Task.State.DESCRIPTOR


def job_standing(job: job_pb2.Job) -> dict[str, str]:
    """Return the attributes of a live job that an import passes over."""
    attributes = {
        "Id": str(job.id),
        "Owner": job.owner,
        "State": label(_JOB_STATE, job.state),
        "PreviousState": _state(_JOB_STATE, job.previous_state),
        "JobType": job.job_type,
        "RequeueCount": str(job.requeue_count),
        "AutoRequeueCount": str(job.auto_requeue_count),
        "NextTaskNiceID": str(job.task_count + 1),
        "TaskCount": str(job.task_counts.total),
        "Progress": str(job.progress),
        "ComputedMinCores": str(job.min_cores),
        "ComputedMaxCores": str(job.max_cores),
        "CurrentCoreCount": str(job.allocated_cores),
        "AllocatedNodes": ";".join(job.allocated_nodes),
        "PendingReason": job.pending_reason,
        "FailureReason": job.failure_reason,
        "RequestCancel": job.request_cancel,
        **dict(_times(job)),
        **dict(_more(job, _OF_JOB)),
        **_error(job),
    }
    for state, name in _COUNTED.items():
        attributes[name] = str(getattr(job.task_counts, state))
    return {name: value for name, value in attributes.items() if value}


def task_standing(task: task_pb2.Task, job: job_pb2.Job | None) -> dict[str, str]:
    """Return the attributes of a live task that an import passes over."""
    attributes = {
        "ParentJobId": str(task.job_id),
        "ParentJobState": "" if job is None else label(_JOB_STATE, job.state),
        "State": label(_TASK_STATE, task.state),
        "PreviousState": _state(_TASK_STATE, task.previous_state),
        "ExitCode": str(task.exit_code) if task.HasField("exit_code") else "",
        "RequeueCount": str(task.requeue_count),
        "AutoRequeueCount": str(task.auto_requeue_count),
        "AllocatedNodes": ";".join(task.nodes),
        "PendingReason": task.pending_reason,
        "RequestCancel": task.request_cancel,
        "Output": task.output,
        **dict(_times(task)),
        **dict(_more(task, _OF_TASK)),
        **_error(task),
    }
    if task.HasField("element_counts"):
        counts = task.element_counts
        attributes |= {
            "ParametricQueuedCount": str(counts.queued),
            "ParametricRunningCount": str(counts.running),
            "ParametricFailedCount": str(counts.failed),
            "ParametricCanceledCount": str(counts.canceled),
            "TotalSubTaskNumber": str(counts.total),
        }
    return {name: value for name, value in attributes.items() if value}


def _state(states: Any, number: int) -> str:
    return label(states, number) if number else ""


def _times(message: Message) -> Iterator[tuple[str, str]]:
    for field in _TIMES:
        if field in message.DESCRIPTOR.fields_by_name and message.HasField(field):
            name = "".join(part.capitalize() for part in field.split("_"))
            yield name, getattr(message, field).ToJsonString()


def _more(message: Message, known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    fields = fields_of(message)
    for name, attribute in known.items():
        field = fields.get(name)
        text = None if field is None else written(message, field)
        if text:
            yield attribute, text


def _error(message: Any) -> dict[str, str]:
    if not message.error_code and not message.error_message:
        return {}
    params = sorted(message.error_params.items())
    return {
        "ErrorCode": str(message.error_code),
        "ErrorMessage": message.error_message,
        "ErrorParams": ";".join(f"{name}={value}" for name, value in params),
    }
