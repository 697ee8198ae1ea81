"""Orders of the head as messages of the agent stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.agent.v1 import agent_service_pb2, order_pb2
from hpcsched.core import orders

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from hpcsched.runtime.frames import HeadFrame


def to_bytes(text: str) -> bytes:
    """Return what the operating system takes."""
    return text.encode(errors="surrogateescape")


def head_message(frame: HeadFrame) -> agent_service_pb2.ConnectResponse:
    """Return a frame of the head."""
    message = agent_service_pb2.ConnectResponse(
        seq=frame.seq,
        ack=frame.ack,
        heartbeat=frame.heartbeat,
        goodbye_retry_ms=frame.goodbye_retry_ms,
        position=frame.position,
        orders=map(order_message, frame.orders),
    )
    if frame.welcome is not None:
        w = frame.welcome
        message.welcome.CopyFrom(
            order_pb2.Welcome(
                session=w.session,
                term=w.term,
                heartbeat_ms=w.heartbeat_ms,
                lease_ms=w.lease_ms,
                protocol=w.protocol,
                cluster_name=w.cluster_name,
                node_id=w.node_id,
                output_quota_bytes=w.output_quota_bytes,
                cluster_id=w.cluster,
                head_run=w.run,
                takes_lived=True,
            )
        )
    return message


def order_message(order: orders.Order) -> order_pb2.Order:
    """Return one order."""
    return _MAKERS[type(order)](order)


def _define(o: orders.DefineTask) -> order_pb2.Order:
    return order_pb2.Order(
        define=order_pb2.DefineTask(
            job_id=o.job_id,
            task_id=o.task_id,
            definition=o.definition,
            arguments=map(to_bytes, o.arguments),
            command_line=to_bytes(o.command_line),
            environment={
                name: value.encode(errors="surrogateescape")
                for name, value in o.environment.items()
            },
            work_directory=to_bytes(o.work_directory),
            stdin_path=to_bytes(o.stdin_path),
            stdout_path=to_bytes(o.stdout_path),
            stderr_path=to_bytes(o.stderr_path),
            user=o.user,
            owner=o.owner,
            runtime_ms=o.runtime_ms,
            grace_ms=o.grace_ms,
            signal=o.signal,
            role=order_pb2.Role.ValueType(int(o.role)),
            pin=o.pin,
            output_limit=o.output_limit,
            substitute=o.substitute,
        )
    )


def _grant(o: orders.SetGrant) -> order_pb2.Order:
    return order_pb2.Order(grant=order_pb2.SetGrant(job_id=o.job_id, cores=o.cores))


def _start(o: orders.StartTasks) -> order_pb2.Order:
    start = order_pb2.StartTasks(
        job_id=o.job_id,
        task_id=o.task_id,
        definition=o.definition,
        instances=o.instances,
        count=len(o.instances),
        attempts=o.attempts,
        cores=o.cores,
        retries=o.retries if any(o.retries) else (),
        allocation=(
            order_pb2.NodeCores(node=node, cores=cores) for node, cores in o.allocation
        ),
    )
    if o.lines:
        start.lines.extend(map(to_bytes, o.lines))
    else:
        start.values.extend(o.values)
    return order_pb2.Order(start=start)


def _stop(o: orders.StopTasks) -> order_pb2.Order:
    return order_pb2.Order(
        stop=order_pb2.StopTasks(
            job_id=o.job_id,
            task_id=o.task_id,
            instances=o.instances,
            attempts=o.attempts,
            grace_ms=o.grace_ms,
            reason=o.reason,
        )
    )


def _recall(o: orders.RecallTasks) -> order_pb2.Order:
    return order_pb2.Order(
        recall=order_pb2.RecallTasks(
            job_id=o.job_id,
            task_id=o.task_id,
            instances=o.instances,
            attempts=o.attempts,
        )
    )


def _end_job(o: orders.EndJob) -> order_pb2.Order:
    return order_pb2.Order(end_job=order_pb2.EndJob(job_id=o.job_id))


def _end_jobs(o: orders.EndJobs) -> order_pb2.Order:
    return order_pb2.Order(end_jobs=order_pb2.EndJobs(job_ids=o.job_ids))


def _start_alike(o: orders.StartAlike) -> order_pb2.Order:
    alike = order_pb2.StartAlike(
        job_ids=o.job_ids,
        grant=_grant(o.grant).grant,
        define=_define(o.define).define,
        start=_start(o.start).start,
    )
    return order_pb2.Order(start_alike=alike)


def _purge(o: orders.PurgeJob) -> order_pb2.Order:
    return order_pb2.Order(purge=order_pb2.PurgeJob(job_id=o.job_id))


def _read(o: orders.ReadOutput) -> order_pb2.Order:
    return order_pb2.Order(
        read=order_pb2.ReadOutput(
            read_id=o.read_id,
            job_id=o.job_id,
            task_id=o.task_id,
            instance_id=o.instance_id,
            attempt=o.attempt,
            stderr=o.stderr,
            offset=o.offset,
            follow=o.follow,
            limit=o.limit,
        )
    )


def _stop_reading(o: orders.StopReading) -> order_pb2.Order:
    return order_pb2.Order(stop_reading=order_pb2.StopReading(read_id=o.read_id))


_MAKERS: Mapping[type[Any], Callable[[Any], order_pb2.Order]] = {
    orders.DefineTask: _define,
    orders.SetGrant: _grant,
    orders.StartTasks: _start,
    orders.StopTasks: _stop,
    orders.RecallTasks: _recall,
    orders.EndJob: _end_job,
    orders.EndJobs: _end_jobs,
    orders.StartAlike: _start_alike,
    orders.PurgeJob: _purge,
    orders.ReadOutput: _read,
    orders.StopReading: _stop_reading,
}
