"""Rows of accounting as messages."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Final, cast

from hpcsched.api.v1 import accounting_service_pb2 as pb
from hpcsched.api.v1 import job_pb2
from hpcsched.common.ranges import count, parse_ranges
from hpcsched.core.job.accounting import decode_end
from hpcsched.services.convert_time import timestamp

if TYPE_CHECKING:
    from hpcsched.core.past_views import AllocationView, NodeHistoryView
    from hpcsched.store.history import JobHistoryRow, UsageQuery, UsageRow

_EPOCH: Final = date(1970, 1, 1)
_NODE_EVENTS: Final = {
    "NodeAdded": pb.NODE_EVENT_ADDED,
    "NodeRemoved": pb.NODE_EVENT_REMOVED,
    "NodeOnline": pb.NODE_EVENT_ONLINE,
    "NodeOffline": pb.NODE_EVENT_OFFLINE,
    "NodeReachable": pb.NODE_EVENT_REACHABLE,
    "NodeUnreachable": pb.NODE_EVENT_UNREACHABLE,
    "NodeDraining": pb.NODE_EVENT_DRAINING,
}
"""Events of nodes by the names that the log has for them."""


def job_history_message(row: JobHistoryRow) -> pb.JobHistory:
    """Return how a job ended."""
    end = decode_end(row.requeue_id, row.state, row.event_time, row.body)
    return pb.JobHistory(
        id=row.history_id,
        job_id=row.job_id,
        requeue_id=row.requeue_id,
        name=end.name,
        state=cast("job_pb2.Job.State.ValueType", row.state),
        event_time=timestamp(row.event_time),
        submit_time=timestamp(end.submit_time),
        start_time=timestamp(end.start_time),
        owner=row.owner,
        project=row.project,
        template=end.template,
        type=end.job_type,
        priority=end.priority,
        preemptable=end.preemptable,
        tasks=end.tasks,
        finished_tasks=end.finished_tasks,
        failed_tasks=end.failed_tasks,
        canceled_tasks=end.canceled_tasks,
        user_cpu_ms=end.user_ms,
        kernel_cpu_ms=end.kernel_ms,
        memory_kib=end.memory_kib,
        core_ms=end.core_ms,
        wait_ms=end.wait_ms,
        software_license=end.software_license,
        run_until_canceled=end.run_until_canceled,
        is_exclusive=end.is_exclusive,
        fail_on_task_failure=end.fail_on_task_failure,
        canceled_by=end.canceled_by,
        error_message=end.error_message,
    )


def allocation_message(view: AllocationView) -> pb.Allocation:
    """Return what a job holds or held."""
    return pb.Allocation(
        id=view.history_id,
        job_id=view.job_id,
        requeue_id=view.requeue_id,
        node=view.node,
        cores=view.cores,
        core_count=count(parse_ranges(view.cores)),
        start_time=timestamp(view.start_time),
        end_time=timestamp(view.end_time),
    )


def node_history_message(view: NodeHistoryView) -> pb.NodeHistory:
    """Return what happened to a node."""
    return pb.NodeHistory(
        id=view.seq,
        node=view.node,
        event=_NODE_EVENTS.get(view.name, pb.NODE_EVENT_UNSPECIFIED),
        time=timestamp(view.time),
        message=view.message,
    )


def usage_message(row: UsageRow, query: UsageQuery) -> pb.Usage:
    """Return what was used, with what was told apart."""
    by_day = "day" in query.by
    return pb.Usage(
        day=(_EPOCH + timedelta(days=row.day)).isoformat() if by_day else "",
        owner=row.owner,
        project=row.project,
        core_ms=row.core_ms,
        user_cpu_ms=row.user_ms,
        kernel_cpu_ms=row.kernel_ms,
        jobs_finished=row.finished,
        jobs_failed=row.failed,
        jobs_canceled=row.canceled,
    )
