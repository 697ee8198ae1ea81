"""Specifications of jobs and tasks: messages and values, both ways.

Only the form is checked here; what a specification may ask for is the core's to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from hpcsched.api.v1 import job_pb2, task_pb2
from hpcsched.common.errors import HpcError
from hpcsched.core.job.spec import (
    DEFAULT_TEMPLATE,
    NORMAL_PRIORITY,
    ORDER_BY,
    JobSpec,
)
from hpcsched.core.job.states import NodeGroupOp, NodeLoss, UnitType
from hpcsched.core.task.spec import TaskSpec
from hpcsched.core.task.states import TaskType
from hpcsched.core.template.properties import find, shown
from hpcsched.runtime.front import NewJob
from hpcsched.services.convert_time import (
    duration,
    seconds_of,
    seconds_since_epoch,
    timestamp,
)
from hpcsched.services.limits import MAX_SPEC_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from google.protobuf.message import Message

E = TypeVar("E")

_TASK_TYPES = {int(kind): kind for kind in TaskType}
UNIT_TYPES: Final = {
    UnitType.CORE: job_pb2.UNIT_TYPE_CORE,
    UnitType.SOCKET: job_pb2.UNIT_TYPE_SOCKET,
    UnitType.NODE: job_pb2.UNIT_TYPE_NODE,
}
GROUP_OPS: Final = {
    NodeGroupOp.INTERSECT: job_pb2.NODE_GROUP_OP_INTERSECT,
    NodeGroupOp.UNIFORM: job_pb2.NODE_GROUP_OP_UNIFORM,
    NodeGroupOp.UNION: job_pb2.NODE_GROUP_OP_UNION,
}
_UNITS: Final = {int(number): unit for unit, number in UNIT_TYPES.items()}
_GROUP_OPS: Final = {int(number): op for op, number in GROUP_OPS.items()}
_OPTIONAL: Final = (
    *("min_sockets", "max_sockets", "min_nodes", "max_nodes"),
    *("auto_calculate_min", "auto_calculate_max"),
    *("min_memory", "max_memory", "min_cores_per_node", "max_cores_per_node"),
)
SIMPLE: Final[Mapping[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(("name", "command_line", "work_directory"), str),
    **dict.fromkeys(("stdin_path", "stdout_path", "stderr_path"), str),
    "arguments": tuple,
    "environment": dict,
    "custom_properties": dict,
}
"""Fields of a task that mean the same in message and value, absent or not."""
_NODE_LOSSES = {int(loss): loss for loss in NodeLoss}


def new_job(
    message: job_pb2.JobSpec, field: str, known: dict[bytes, JobSpec] | None = None
) -> NewJob:
    """Return a job to create.

    Args:
        message: From the request.
        field: Where it is in the request, for refusals.
        known: Specifications of jobs without their tasks, by their messages, so that
            jobs which differ in their tasks alone share theirs.

    Raises:
        HpcError: SPEC_TOO_LARGE or INVALID_FIELD.
    """
    check_size(message.ByteSize(), field)
    tasks = tuple(
        task_spec(task, f"{field}.tasks[{position}]")
        for position, task in enumerate(message.tasks)
    )
    if known is None:
        return NewJob(spec=job_spec(message, field), tasks=tasks)
    body = b""
    if len(message.ListFields()) > bool(tasks):
        bare = job_pb2.JobSpec()
        bare.CopyFrom(message)
        bare.ClearField("tasks")
        body = bare.SerializeToString(deterministic=True)
    spec = known.get(body)
    if spec is None:
        spec = known[body] = job_spec(message, field)
    return NewJob(spec=spec, tasks=tasks)


def check_size(length: int, field: str) -> None:
    """Refuse what is too large for one job.

    Raises:
        HpcError: SPEC_TOO_LARGE.
    """
    if length > MAX_SPEC_BYTES:
        raise HpcError(
            "SPEC_TOO_LARGE", field=field, length=length, limit=MAX_SPEC_BYTES
        )


def job_spec(message: job_pb2.JobSpec, field: str) -> JobSpec:
    """Return a job's specification without its tasks; what is absent gets its default.

    Raises:
        HpcError: INVALID_FIELD.
    """
    has = message.HasField
    return JobSpec(
        name=message.name,
        project=message.project,
        priority=message.priority if has("priority") else NORMAL_PRIORITY,
        min_cores=message.min_cores if has("min_cores") else None,
        max_cores=message.max_cores if has("max_cores") else None,
        **_resources(message, field),
        environment=dict(message.environment),
        custom_properties=dict(message.custom_properties),
        runtime=_runtime(message, f"{field}.runtime"),
        run_until_canceled=message.run_until_canceled,
        fail_on_task_failure=message.fail_on_task_failure,
        fail_dependent_tasks=message.fail_dependent_tasks,
        can_preempt=message.can_preempt,
        is_exclusive=message.is_exclusive,
        requested_nodes=tuple(message.requested_nodes),
        excluded_nodes=tuple(message.excluded_nodes),
        valid_exit_codes=message.valid_exit_codes or "0",
        retry_limit=message.task_execution_failure_retry_limit,
        node_loss=_node_loss(message.node_loss, f"{field}.node_loss"),
        user_name=message.user_name,
        client_source=message.client_source,
        **_more(message, field),
        target_resource_count=message.target_resource_count,
        explicit=tuple(sorted({find(name) for name in message.explicit})),
    )


def _resources(message: job_pb2.JobSpec, field: str) -> dict[str, Any]:
    """Return what is asked of nodes, as far as it is given (properties.md 3.2)."""
    found: dict[str, Any] = {
        name: getattr(message, name) for name in _OPTIONAL if message.HasField(name)
    }
    unit, op = message.unit_type, message.node_group_op
    if unit:
        found["unit_type"] = _known(unit, _UNITS, f"{field}.unit_type")
    if op:
        found["node_group_op"] = _known(op, _GROUP_OPS, f"{field}.node_group_op")
    return {
        **found,
        "single_node": message.single_node,
        "estimated_process_memory": message.estimated_process_memory,
        "order_by": message.order_by or ORDER_BY,
        "node_groups": tuple(message.node_groups),
    }


def task_spec(message: task_pb2.TaskSpec, field: str) -> TaskSpec:
    """Return a task's specification; what is absent gets its default.

    Raises:
        HpcError: INVALID_FIELD.
    """
    given = {one.name: value for one, value in message.ListFields()}
    if given.keys() <= SIMPLE.keys():  # most give little, and there are many of them
        return TaskSpec(**{name: SIMPLE[name](given[name]) for name in given})
    has = message.HasField
    return TaskSpec(
        name=message.name,
        type=_task_type(message, f"{field}.type"),
        arguments=tuple(message.arguments),
        command_line=message.command_line,
        start=message.start_value or 1,
        end=message.end_value,
        step=message.increment_value or 1,
        lines=tuple(message.lines),
        max_concurrent=message.max_concurrent,
        work_directory=message.work_directory,
        stdin_path=message.stdin_path,
        stdout_path=message.stdout_path,
        stderr_path=message.stderr_path,
        environment=dict(message.environment),
        depends_on=tuple(message.depends_on),
        is_rerunnable=message.is_rerunnable if has("is_rerunnable") else True,
        min_cores=message.min_cores or 1,
        max_cores=message.max_cores,
        min_sockets=message.min_sockets or 1,
        max_sockets=message.max_sockets,
        min_nodes=message.min_nodes or 1,
        max_nodes=message.max_nodes,
        required_nodes=tuple(message.required_nodes),
        requested_node_group=message.requested_node_group,
        is_exclusive=message.is_exclusive,
        runtime=_runtime(message, f"{field}.runtime"),
        valid_exit_codes=message.valid_exit_codes,
        critical=message.fail_job_on_failure if has("fail_job_on_failure") else None,
        critical_count=message.fail_job_on_failure_count,
        grace=(
            seconds_of(message.grace_period, f"{field}.grace_period")
            if has("grace_period")
            else None
        ),
        custom_properties=dict(message.custom_properties),
        group_id=message.group_id,
        user_blob=message.user_blob,
    )


def _more(message: job_pb2.JobSpec, field: str) -> dict[str, Any]:
    """Return what describes the job, and whom and what it waits for."""
    has = message.HasField
    until = None
    if has("hold_until"):
        until = seconds_since_epoch(message.hold_until, f"{field}.hold_until")
    return {
        "job_template": message.job_template or DEFAULT_TEMPLATE,
        "email_address": message.email_address,
        "notify_on_start": message.notify_on_start,
        "notify_on_completion": message.notify_on_completion,
        "progress": message.progress if has("progress") else None,
        "progress_message": message.progress_message,
        "software_license": message.software_license,
        "service_name": message.service_name,
        "hold_until": until,
        "parent_job_ids": tuple(dict.fromkeys(message.parent_job_ids)),
    }


def job_spec_message(spec: JobSpec) -> job_pb2.JobSpec:
    """Return a specification as it is shown: defaults filled in, without tasks."""
    return job_pb2.JobSpec(
        name=spec.name,
        project=spec.project,
        priority=spec.priority,
        min_cores=spec.min_cores,
        max_cores=spec.max_cores,
        unit_type=UNIT_TYPES[spec.unit_type],
        min_sockets=spec.min_sockets,
        max_sockets=spec.max_sockets,
        min_nodes=spec.min_nodes,
        max_nodes=spec.max_nodes,
        auto_calculate_min=spec.auto_calculate_min,
        auto_calculate_max=spec.auto_calculate_max,
        single_node=spec.single_node,
        min_memory=spec.min_memory,
        max_memory=spec.max_memory,
        min_cores_per_node=spec.min_cores_per_node,
        max_cores_per_node=spec.max_cores_per_node,
        estimated_process_memory=spec.estimated_process_memory,
        order_by=spec.order_by,
        node_groups=spec.node_groups,
        node_group_op=GROUP_OPS[spec.node_group_op],
        environment=spec.environment,
        custom_properties=spec.custom_properties,
        runtime=duration(spec.runtime) if spec.runtime else None,
        run_until_canceled=spec.run_until_canceled,
        fail_on_task_failure=spec.fail_on_task_failure,
        is_exclusive=spec.is_exclusive,
        requested_nodes=spec.requested_nodes,
        excluded_nodes=spec.excluded_nodes,
        valid_exit_codes=spec.valid_exit_codes,
        task_execution_failure_retry_limit=spec.retry_limit,
        node_loss=cast("job_pb2.NodeLoss.ValueType", spec.node_loss.value),
        user_name=spec.user_name,
        client_source=spec.client_source,
        fail_dependent_tasks=spec.fail_dependent_tasks,
        can_preempt=spec.can_preempt,
        job_template=spec.job_template,
        email_address=spec.email_address,
        notify_on_start=spec.notify_on_start,
        notify_on_completion=spec.notify_on_completion,
        progress=spec.progress,
        progress_message=spec.progress_message,
        software_license=spec.software_license,
        service_name=spec.service_name,
        hold_until=timestamp(spec.hold_until),
        parent_job_ids=spec.parent_job_ids,
        target_resource_count=spec.target_resource_count,
        explicit=map(shown, spec.explicit),
    )


def task_spec_message(spec: TaskSpec) -> task_pb2.TaskSpec:
    """Return a specification as it is shown: defaults filled in."""
    message = task_pb2.TaskSpec(
        name=spec.name,
        type=cast("task_pb2.TaskType.ValueType", spec.type.value),
        arguments=spec.arguments,
        command_line=spec.command_line,
        lines=spec.lines,
        max_concurrent=spec.max_concurrent,
        work_directory=spec.work_directory,
        stdin_path=spec.stdin_path,
        stdout_path=spec.stdout_path,
        stderr_path=spec.stderr_path,
        environment=spec.environment,
        depends_on=spec.depends_on,
        is_rerunnable=spec.is_rerunnable,
        min_cores=spec.min_cores,
        max_cores=spec.max_cores,
        min_sockets=spec.min_sockets,
        max_sockets=spec.max_sockets,
        min_nodes=spec.min_nodes,
        max_nodes=spec.max_nodes,
        required_nodes=spec.required_nodes,
        requested_node_group=spec.requested_node_group,
        is_exclusive=spec.is_exclusive,
        runtime=duration(spec.runtime) if spec.runtime else None,
        valid_exit_codes=spec.valid_exit_codes,
        fail_job_on_failure=spec.critical,
        fail_job_on_failure_count=spec.critical_count,
        grace_period=None if spec.grace is None else duration(spec.grace),
        custom_properties=spec.custom_properties,
        group_id=spec.group_id,
        user_blob=spec.user_blob,
    )
    if spec.is_sweep and not spec.lines:
        message.start_value = spec.start
        message.end_value = spec.end
        message.increment_value = spec.step
    return message


def _runtime(message: job_pb2.JobSpec | task_pb2.TaskSpec, field: str) -> float:
    if not cast("Message", message).HasField("runtime"):
        return 0.0
    return seconds_of(message.runtime, field)


def _node_loss(value: int, field: str) -> NodeLoss:
    if value == 0:
        return NodeLoss.RERUN
    return _known(value, _NODE_LOSSES, field)


def _task_type(message: task_pb2.TaskSpec, field: str) -> TaskType:
    if message.type == 0:
        sweep = message.end_value or message.lines
        return TaskType.PARAMETRIC_SWEEP if sweep else TaskType.BASIC
    return _known(message.type, _TASK_TYPES, field)


def _known(value: int, values: Mapping[int, E], field: str) -> E:
    found = values.get(value)
    if found is None:
        raise HpcError(
            "INVALID_FIELD", field=field, problem=f"{value} is no value of it"
        )
    return found
