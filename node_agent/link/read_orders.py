"""Orders of the head as values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from node_agent.core import orders as o
from node_agent.core.text import from_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hpcsched.agent.v1 import order_pb2

#: Most attempts that one order may name, and all orders of a frame.
MOST_STARTS: Final = 1_000_000
#: Most cores that one process may have.
MOST_CORES: Final = 1 << 16


class OrderError(ValueError):
    """An order of the head makes no sense; the text names the field."""


def order_of(order: order_pb2.Order) -> o.Order:
    """Return an order of the head as a value.

    Raises:
        OrderError: it makes no sense.
    """
    kind = order.WhichOneof("order")
    if kind is None:
        raise OrderError("an order of a kind that this agent does not know")
    return _READERS[kind](getattr(order, kind))


def _start_alike(alike: order_pb2.StartAlike) -> o.StartAlike:
    if len(alike.job_ids) > MOST_STARTS:
        raise OrderError(f"start of many: {len(alike.job_ids)} jobs")
    return o.StartAlike(
        job_ids=tuple(dict.fromkeys(alike.job_ids)),
        grant=_grant(alike.grant),
        define=_define(alike.define),
        start=_start(alike.start),
    )


def _grant(grant: order_pb2.SetGrant) -> o.SetGrant:
    return o.SetGrant(job_id=grant.job_id, cores=list(grant.cores))


def _define(define: order_pb2.DefineTask) -> o.DefineTask:
    # Going through the items of a map of protobuf takes twice as long.
    variables = define.environment
    return o.DefineTask(
        job_id=define.job_id,
        task_id=define.task_id,
        definition=define.definition,
        arguments=tuple(map(from_bytes, define.arguments)),
        command_line=from_bytes(define.command_line),
        environment={
            name: variables[name].decode("utf-8", "surrogateescape")
            for name in variables
        },
        work_directory=from_bytes(define.work_directory),
        stdin_path=from_bytes(define.stdin_path),
        stdout_path=from_bytes(define.stdout_path),
        stderr_path=from_bytes(define.stderr_path),
        user=define.user,
        owner=define.owner,
        runtime_ms=define.runtime_ms,
        grace_ms=define.grace_ms,
        signal=define.signal,
        pin=define.pin,
        output_limit=define.output_limit,
        substitute=define.substitute,
    )


def _start(start: order_pb2.StartTasks) -> o.StartTasks:
    what = f"start of {start.job_id}.{start.task_id}"
    instances: Sequence[int] = list(start.instances)
    if not instances:
        if not 0 <= start.count <= MOST_STARTS:
            raise OrderError(f"{what}: count is {start.count}")
        instances = range(start.first_instance, start.first_instance + start.count)
    count = len(instances)
    values: Sequence[int | str]
    if start.lines:
        values = [from_bytes(line) for line in start.lines]
    elif start.values:
        values = list(start.values)
    else:
        first, step = start.start_value, start.increment_value
        values = [first + (instance - 1) * step for instance in instances]
    if len(set(instances)) != count:
        raise OrderError(f"{what}: an instance is named twice")
    if not 0 <= start.cores <= MOST_CORES:
        raise OrderError(f"{what}: cores is {start.cores}")
    if len(values) != count:
        raise OrderError(f"{what}: {len(values)} values for {count} attempts")
    return o.StartTasks(
        job_id=start.job_id,
        task_id=start.task_id,
        definition=start.definition,
        instances=instances,
        attempts=_column(f"{what}: attempts", start.attempts, count),
        values=values,
        cores=start.cores,
        retries=_column(f"{what}: retries", start.retries or (0,), count),
        allocation=[(one.node, max(0, one.cores)) for one in start.allocation],
    )


def _stop(stop: order_pb2.StopTasks) -> o.StopTasks:
    what = f"stop of {stop.job_id}.{stop.task_id}: attempts"
    instances = list(stop.instances)
    return o.StopTasks(
        job_id=stop.job_id,
        task_id=stop.task_id,
        instances=instances,
        attempts=_column(what, stop.attempts, len(instances)),
        grace_ms=stop.grace_ms,
        reason=stop.reason,
    )


def _recall(recall: order_pb2.RecallTasks) -> o.RecallTasks:
    what = f"recall of {recall.job_id}.{recall.task_id}: attempts"
    instances = list(recall.instances)
    return o.RecallTasks(
        job_id=recall.job_id,
        task_id=recall.task_id,
        instances=instances,
        attempts=_column(what, recall.attempts, len(instances)),
    )


def _read(read: order_pb2.ReadOutput) -> o.ReadOutput:
    return o.ReadOutput(
        read_id=read.read_id,
        job_id=read.job_id,
        task_id=read.task_id,
        instance_id=read.instance_id,
        attempt=read.attempt,
        stderr=read.stderr,
        offset=read.offset,
        follow=read.follow,
        limit=read.limit,
    )


def _column(field: str, column: Sequence[int], count: int) -> Sequence[int]:
    """Return a column of one entry for each, or one entry repeated for all."""
    if len(column) == count:
        return list(column)
    if len(column) == 1:
        return [column[0]] * count
    raise OrderError(f"{field}: {len(column)} for {count} attempts")


_READERS: Final[Mapping[str, Callable[[Any], o.Order]]] = {
    "define": _define,
    "grant": _grant,
    "start": _start,
    "stop": _stop,
    "recall": _recall,
    "start_alike": _start_alike,
    "end_job": lambda end: o.EndJob(job_id=end.job_id),
    "end_jobs": lambda end: o.EndJobs(job_ids=tuple(end.job_ids)),
    "read": _read,
    "stop_reading": lambda stop: o.StopReading(read_id=stop.read_id),
    "purge": lambda purge: o.PurgeJob(job_id=purge.job_id),
}
