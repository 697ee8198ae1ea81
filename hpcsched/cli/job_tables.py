"""Jobs and tasks for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.api.v1 import task_pb2
from hpcsched.cli.shapes import ended_count, job_state, short, task_state
from hpcsched.cli.tables import Table, facts
from hpcsched.cli.times import shown, span
from hpcsched.common.clock import SystemClock
from hpcsched.common.units import format_duration, format_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hpcsched.api.v1 import job_pb2

_KINDS = {
    task_pb2.TASK_TYPE_BASIC: "Basic",
    task_pb2.TASK_TYPE_PARAMETRIC_SWEEP: "Sweep",
    task_pb2.TASK_TYPE_NODE_PREP: "Prep",
    task_pb2.TASK_TYPE_NODE_RELEASE: "Release",
    task_pb2.TASK_TYPE_SERVICE: "Service",
}

JOB_COLUMNS: Final = (
    "ID",
    "NAME",
    "OWNER",
    "STATE",
    "TASKS",
    "FAILED",
    "CORES",
    "PRIORITY",
    "TIME",
    "NODES",
    "REASON",
)
TASK_COLUMNS: Final = (
    "ID",
    "NAME",
    "TYPE",
    "STATE",
    "EXIT",
    "ATTEMPT",
    "TIME",
    "NODES",
    "ELEMENTS",
    "REASON",
)


def fold(names: Sequence[str]) -> str:
    """Return names of nodes, written short; empty for none."""
    if not names:
        return ""
    from hpcsched.common import nodelist

    return nodelist.fold(names)


def job_table(jobs: Iterable[job_pb2.Job]) -> Table:
    """Return a line per job."""
    table = Table(
        columns=JOB_COLUMNS,
        numbers=frozenset({0, 4, 5, 6, 7, 8}),
    )
    now = SystemClock().wall()
    for job in jobs:
        counts = job.task_counts
        table.add(
            job.id,
            job.name,
            job.owner,
            _state(job),
            f"{ended_count(counts)}/{counts.total}",
            counts.failed or "",
            job.allocated_cores or "",
            job.priority,
            span(job, "start_time", "end_time", now=now),
            fold(job.allocated_nodes),
            job_reason(job),
        )
    return table


def job_reason(job: job_pb2.Job) -> str:
    """Return why a job waits, or what is wrong with it; may be empty."""
    if job.error_message:
        return job.error_message
    return "" if job.pending_reason == "None" else job.pending_reason


def task_name(task: task_pb2.Task) -> str:
    """Return the id of a task as people write it."""
    name = f"{task.job_id}.{task.task_id}"
    return f"{name}.{task.instance_id}" if task.instance_id else name


def task_table(tasks: Iterable[task_pb2.Task]) -> Table:
    """Return a line per task, element or sweep."""
    table = Table(
        columns=TASK_COLUMNS,
        numbers=frozenset({4, 5, 6}),
    )
    now = SystemClock().wall()
    for task in tasks:
        elements = ""
        if task.HasField("element_counts"):
            counts = task.element_counts
            elements = f"{ended_count(counts)}/{counts.total}"
        table.add(
            task_name(task),
            task.name,
            _KINDS.get(task.type, ""),
            short(task_state(task.state)),
            task.exit_code if task.HasField("exit_code") else "",
            task.attempt or "",
            span(task, "start_time", "end_time", now=now),
            fold(task.nodes),
            elements,
            task.error_message or task.pending_reason,
        )
    return table


def job_facts(job: job_pb2.Job) -> str:
    """Return all about one job."""
    counts = job.task_counts
    states = [
        f"{getattr(counts, field.name)} {field.name}"
        for field in counts.DESCRIPTOR.fields
        if field.name != "total" and getattr(counts, field.name)
    ]
    limit = job.spec.runtime.ToMilliseconds() / 1000 if job.HasField("spec") else 0
    return facts(
        (
            ("Job", job.id),
            ("Name", job.name),
            ("Owner", job.owner),
            ("Project", job.project),
            ("State", short(job_state(job.state))),
            ("Set aside", job.set_aside),
            ("Tasks", f"{counts.total}: " + (", ".join(states) or "none")),
            ("Progress", f"{job.progress}% {job.progress_message}".rstrip()),
            ("Priority", job.priority),
            ("Cores", _size(job)),
            ("Nodes", fold(job.allocated_nodes)),
            ("Pool", "" if job.pool == "Default" else job.pool),
            ("Backfill", "runs ahead of one that waits" if job.is_backfill else ""),
            ("Groups", ", ".join(job.spec.node_groups)),
            ("Excluded", fold(job.excluded_nodes) if job.excluded_nodes else ""),
            ("Run time limit", format_duration(limit) if limit else ""),
            ("Created", shown(job, "create_time")),
            ("Submitted", shown(job, "submit_time")),
            ("Started", shown(job, "start_time")),
            ("Ended", shown(job, "end_time")),
            ("CPU time", _cpu_time(job)),
            ("Memory", format_size(job.memory_bytes) if job.memory_bytes else ""),
            ("Processes", _processes(job)),
            ("Requeued", job.requeue_count or ""),
            ("Waits for", "" if job.pending_reason == "None" else job.pending_reason),
            ("Held until", shown(job, "hold_until")),
            ("Parents", " ".join(map(str, job.parent_job_ids))),
            ("Children", " ".join(map(str, job.child_job_ids))),
            ("Message", job.error_message),
            ("Labels", " ".join(f"{k}={v}" for k, v in job.custom_properties.items())),
        )
    )


def _state(job: job_pb2.Job) -> str:
    """Return a job's state, with a mark where nothing is decided for it."""
    mark = " (set aside)" if job.set_aside else ""
    return short(job_state(job.state)) + mark


def _size(job: job_pb2.Job) -> str:
    """Return what a job holds, of what it may, in its unit."""
    from hpcsched.api.v1 import job_pb2

    bounds = f"{job.min_units}-{job.max_units}"
    if job.unit_type == job_pb2.UNIT_TYPE_SOCKET:
        held = f"{job.current_socket_count} of {bounds} sockets"
    elif job.unit_type == job_pb2.UNIT_TYPE_NODE:
        held = f"{job.current_node_count} of {bounds} nodes"
    else:
        return f"{job.allocated_cores} of {job.min_cores}-{job.max_cores}"
    return f"{job.allocated_cores} on {held}"


def _cpu_time(one: job_pb2.Job | task_pb2.Task) -> str:
    seconds = (one.user_cpu_ms + one.kernel_cpu_ms) / 1000
    return format_duration(seconds) if seconds else ""


def _processes(one: job_pb2.Job | task_pb2.Task) -> str:
    if not one.process_count:
        return ""
    return (
        f"{one.process_count} ({one.process_ids})"
        if one.process_ids
        else str(one.process_count)
    )


def task_facts(task: task_pb2.Task) -> str:
    """Return all about one task, with the beginning of its output."""
    reason = task_pb2.EndReason.Name(task.end_reason).removeprefix("END_REASON_")
    command = task.spec.command_line or " ".join(task.spec.arguments)
    text = facts(
        (
            ("Task", task_name(task)),
            ("Name", task.name),
            ("Type", _KINDS.get(task.type, "")),
            ("State", short(task_state(task.state))),
            ("Command", command),
            ("Directory", task.spec.work_directory),
            ("Exit code", task.exit_code if task.HasField("exit_code") else None),
            ("End", "" if reason == "UNSPECIFIED" else reason),
            ("Attempt", task.attempt or ""),
            ("Nodes", fold(task.nodes)),
            ("Cores", ",".join(str(core) for core in task.cores)),
            ("Submitted", shown(task, "submit_time")),
            ("Started", shown(task, "start_time")),
            ("Ended", shown(task, "end_time")),
            ("CPU time", _cpu_time(task)),
            (
                "Memory",
                format_size(task.max_memory_bytes) if task.max_memory_bytes else "",
            ),
            ("Processes", _processes(task)),
            ("Waits for", task.pending_reason),
            ("Message", task.error_message),
        )
    )
    return f"{text}\nOutput:\n{task.output}" if task.output else text
