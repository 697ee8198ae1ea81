"""What is shown of jobs that are not in memory: made from their stored rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsched.core.job.codec import BLANK, NOTHING_TOLD, unpack
from hpcsched.core.job.nodeuse import NodeUse
from hpcsched.core.job.show import progress_of, units_held
from hpcsched.core.job.spec import DEFAULT_POOL
from hpcsched.core.job.states import (
    CancelRequest,
    FailureReason,
    JobState,
    JobType,
    PendingReason,
    UnitType,
)
from hpcsched.core.views import JobView

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcsched.core.settings import Settings
    from hpcsched.store.base import JobRow


def stored_view(
    row: JobRow, name_of: Callable[[int], str], settings: Settings
) -> JobView:
    """Return a job from its stored row alone, as lists need it."""
    body: dict[str, Any] = {**BLANK, **unpack(row.blob)}
    counts = {n: count for n, count in enumerate(body["counts"]) if count and n}
    user_name, project, job_type = body["spec"]
    pool, can_preempt = body.get("policy", (DEFAULT_POOL, False))
    unit, auto_min, auto_max = body.get("unit", (UnitType.CORE, False, False))
    uses = [NodeUse.decode(n, encoded) for n, encoded in body["uses"].items()]
    held, until, limited, progress, message, template, parents = body.get(
        "told", NOTHING_TOLD
    )
    excluded, required = body.get("nodes", ((), ()))
    prep, release = body.get("pernode", (0, 0))
    previous = body["previous_state"]
    return JobView(
        job_id=row.job_id,
        name=row.name,
        owner=row.owner,
        state=JobState(row.state),
        previous_state=None if previous is None else JobState(previous),
        priority=row.priority,
        job_type="Admin" if job_type == JobType.ADMIN else "Batch",
        counts=counts,
        task_count=body["size"],
        error_code=body["error_code"],
        error_message=body["error_message"],
        error_params=body["error_params"],
        failure_reason=FailureReason(body["failure_reason"]),
        request_cancel=CancelRequest(body["request_cancel"]),
        pending_reason=PendingReason(held or body["pending_reason"]),
        create_time=body["create_time"],
        submit_time=body["submit_time"],
        start_time=body["start_time"],
        end_time=body["end_time"],
        change_time=body["change_time"],
        requeue_count=body["requeue_count"],
        auto_requeue_count=body["auto_requeue_count"],
        allocated_nodes=tuple(name_of(n) for n in body["last_nodes"]),
        allocated_cores=sum(len(use.cores) for use in uses),
        unit_type=UnitType(unit),
        least=body["cores"][0],
        most=body["cores"][1],
        auto_min=auto_min,
        auto_max=auto_max,
        units_held=units_held(uses),
        has_grown=body.get("has_grown", False),
        can_grow=settings.grow,
        can_shrink=settings.shrink,
        has_shrunk=body.get("has_shrunk", False),
        revision=body["revision"],
        project=project,
        progress=progress_of(counts) if progress is None else progress,
        progress_message=message,
        job_template=template,
        has_runtime=limited,
        hold_until=until,
        parent_job_ids=tuple(parents),
        custom_properties=row.labels,
        excluded_nodes=tuple(dict.fromkeys((*excluded, *body["excluded"]))),
        user_name=user_name or row.owner,
        is_backfill=body.get("is_backfill", False),
        pool=pool,
        can_preempt=can_preempt,
        user_ms=body.get("user_ms", 0),
        kernel_ms=body.get("kernel_ms", 0),
        memory_kib=body.get("memory_kib", 0),
        required_nodes=tuple(required),
        peak_cores=body["peak_cores"],
        peak_sockets=body["peak_sockets"],
        prep_task=prep,
        release_task=release,
    )
