"""Views with defaults, for tests that care about one of their fields."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hpcsched.core.job.states import (
    CancelRequest,
    FailureReason,
    JobState,
    PendingReason,
    UnitType,
)
from hpcsched.core.task.states import CancelOrigin, EndReason, TaskState, TaskType
from hpcsched.core.views import JobView, NodeView, TaskView

_JOB = JobView(
    job_id=1,
    name="j",
    owner="ann",
    state=JobState.QUEUED,
    previous_state=None,
    priority=2000,
    job_type="Batch",
    counts={},
    task_count=0,
    error_code=0,
    error_message="",
    failure_reason=FailureReason(0),
    request_cancel=CancelRequest(0),
    pending_reason=PendingReason(0),
    create_time=1.0,
    submit_time=None,
    start_time=None,
    end_time=None,
    change_time=1.0,
    requeue_count=0,
    auto_requeue_count=0,
    allocated_nodes=(),
    allocated_cores=0,
    unit_type=UnitType.CORE,
    least=1,
    most=1,
    auto_min=False,
    auto_max=False,
    units_held=dict.fromkeys(UnitType, 0),
    has_grown=False,
    has_shrunk=False,
    revision=1,
    project="",
    progress=0,
    custom_properties={},
    excluded_nodes=(),
    user_name="",
)
_TASK = TaskView(
    job_id=1,
    task_id=1,
    instance_id=0,
    name="",
    type=TaskType.BASIC,
    state=TaskState.QUEUED,
    previous_state=None,
    exit_code=None,
    end_reason=EndReason(0),
    attempt=0,
    requeue_count=0,
    auto_requeue_count=0,
    execution_retry_count=0,
    error_code=0,
    error_message="",
    nodes=(),
    cores=(),
    create_time=1.0,
    submit_time=None,
    start_time=None,
    end_time=None,
    instance_value=0,
    cancel_origin=CancelOrigin.NONE,
    request_cancel=CancelRequest(0),
    v1_canceled=False,
)
_NODE = NodeView(
    node_id=1,
    name="n1",
    state=3,
    previous_state=1,
    reachable=True,
    cores=4,
    cores_in_use=1,
    sockets=1,
    memory_bytes=1 << 40,
    groups=(),
    agent_version="1",
    boot_id="b",
    last_heartbeat_time=2.0,
    online_time=1.0,
    offline_time=None,
    reason="",
    containment="cgroup",
    job_ids=(),
    running_tasks=0,
)


def job_view(**fields: Any) -> JobView:
    """Return a queued job."""
    return replace(_JOB, **fields)


def task_view(**fields: Any) -> TaskView:
    """Return a queued task."""
    return replace(_TASK, **fields)


def node_view(**fields: Any) -> NodeView:
    """Return a node that is online."""
    return replace(_NODE, **fields)
