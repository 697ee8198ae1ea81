"""Frames as protobuf messages, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.agent.v1 import agent_service_pb2, report_pb2
from node_agent.core import orders as o
from node_agent.core.frames import HeadFrame, Welcome
from node_agent.core.reports import LivedColumns, StartColumns
from node_agent.core.text import readable
from node_agent.link.read_orders import MOST_STARTS, OrderError, order_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hpcsched.agent.v1 import order_pb2
    from node_agent.core.attempts import Inhabitant
    from node_agent.core.frames import AgentFrame, NodeFacts
    from node_agent.core.reports import Columns, EndColumns

PROTOCOL_MIN: Final = 1
PROTOCOL_MAX: Final = 1

#: A Hello frame is closed when its attempts take so many bytes: it stays below 1 MiB.
HELLO_BYTES: Final = 900 * 1024

#: Orders of one frame that are told of one by one when they make no sense.
MOST_PROBLEMS: Final = 20
#: What a field of the protocol takes; a kernel that says more is wrong.
MOST_MHZ: Final = 2**31 - 1


def hello_requests(
    facts: NodeFacts, live: Iterable[Inhabitant]
) -> Iterator[agent_service_pb2.ConnectRequest]:
    """Yield the Hello in as many frames as it takes."""
    part = _hello(facts)
    size = 0
    for attempt in live:
        entry = _inhabitant(attempt)
        size += entry.ByteSize() + 4
        if size > HELLO_BYTES:
            part.more = True
            yield agent_service_pb2.ConnectRequest(hello=part)
            part = _hello(facts)
            size = entry.ByteSize() + 4
        part.live.append(entry)
    yield agent_service_pb2.ConnectRequest(hello=part)


def request_of(frame: AgentFrame) -> agent_service_pb2.ConnectRequest:
    """Return a frame of ours as it travels."""
    request = agent_service_pb2.ConnectRequest(
        seq=frame.seq,
        ack=frame.ack,
        reports=[_report(columns) for columns in frame.reports],
        goodbye=frame.goodbye,
    )
    if frame.load is not None:
        request.heartbeat.CopyFrom(
            report_pb2.Heartbeat(
                running=frame.load.running,
                queued=frame.load.queued,
                load=frame.load.load,
                time=frame.load.time,
            )
        )
    for (job, task, instance, number), usage in frame.usages:
        request.usages.add(
            job_id=job,
            task_id=task,
            instance_id=instance,
            attempt=number,
            user_ms=usage.user_ms,
            kernel_ms=usage.kernel_ms,
            resident_kib=usage.resident_kib,
            processes=min(usage.processes, MOST_MHZ),
            pids=usage.pids,
        )
    for chunk in frame.chunks:
        request.outputs.add(
            read_id=chunk.read_id,
            offset=chunk.offset,
            data=chunk.data,
            eof=chunk.eof,
            error=chunk.error,
        )
    return request


def head_frame(response: agent_service_pb2.ConnectResponse) -> HeadFrame:
    """Return a frame of the head as a value.

    Orders that make no sense are left out, and their problems are told instead: what a
    peer sends never ends this program.
    """
    orders: list[o.Order] = []
    problems: list[str] = []
    starts = failed = 0
    for order in response.orders:
        try:
            made = order_of(order)
            starts = _counted(starts, made)
            orders.append(made)
        except OrderError as error:
            failed += 1
            if failed <= MOST_PROBLEMS:
                problems.append(str(error))
    if failed > MOST_PROBLEMS:
        more = failed - MOST_PROBLEMS
        problems.append(f"{more} more orders were not understood")
    welcome = response.welcome if response.HasField("welcome") else None
    return HeadFrame(
        seq=response.seq,
        ack=response.ack,
        welcome=None if welcome is None else _welcome(welcome),
        orders=orders,
        problems=problems,
        goodbye_retry_ms=response.goodbye_retry_ms,
        position=response.position,
    )


def _counted(starts: int, order: o.Order) -> int:
    """Return the starts of a frame with those of one more order.

    Raises:
        OrderError: they are too many together.
    """
    if isinstance(order, o.StartTasks):
        starts += len(order.instances)
    elif isinstance(order, o.StartAlike):
        starts += len(order.job_ids) * len(order.start.instances)
    if starts > MOST_STARTS:
        raise OrderError(f"one frame orders more than {MOST_STARTS} starts")
    return starts


def _hello(facts: NodeFacts) -> report_pb2.Hello:
    return report_pb2.Hello(
        node=facts.node,
        boot_id=facts.boot_id,
        instance=facts.instance,
        protocol_min=PROTOCOL_MIN,
        protocol_max=PROTOCOL_MAX,
        agent_version=facts.version,
        resources=_resources(facts),
        term=facts.term,
        machine_id=facts.machine_id,
        cluster_id=facts.cluster,
        head_run=facts.run,
        position=facts.position,
        takes_alike=True,
    )


def _resources(facts: NodeFacts) -> report_pb2.Resources:
    hardware = facts.hardware
    return report_pb2.Resources(
        cores=facts.cores,
        sockets=facts.sockets,
        memory_bytes=facts.memory_bytes,
        containment=facts.containment,
        os=readable(facts.os),
        groups=facts.groups,
        kernel=readable(hardware.kernel),
        architecture=readable(hardware.architecture),
        cpu_model=readable(hardware.cpu_model),
        cpu_mhz=min(hardware.cpu_mhz, MOST_MHZ),
        gpus=len(hardware.gpu_info),
        gpu_info=[readable(text) for text in hardware.gpu_info],
        addresses=[readable(text) for text in hardware.addresses],
        dns_suffix=readable(hardware.dns_suffix),
    )


def _inhabitant(attempt: Inhabitant) -> report_pb2.LiveAttempt:
    job, task, instance, number = attempt.key
    return report_pb2.LiveAttempt(
        job_id=job,
        task_id=task,
        instance_id=instance,
        attempt=number,
        running=attempt.running,
        start_time=attempt.start_time,
        cores=attempt.cores,
    )


def _report(columns: Columns) -> report_pb2.Report:
    if isinstance(columns, StartColumns):
        return report_pb2.Report(
            started=report_pb2.TasksStarted(
                job_id=columns.job_id,
                task_id=columns.task_id,
                instances=columns.instances,
                attempts=columns.attempts,
                start_times=columns.times,
                cores=columns.cores,
                pids=columns.pids,
                core_counts=columns.counts,
                core_sets=_sets(columns.sets),
            )
        )
    if isinstance(columns, LivedColumns):
        return report_pb2.Report(lived=_lived(columns))
    return report_pb2.Report(ended=_ended(columns))


def _lived(columns: LivedColumns) -> report_pb2.TasksLived:
    return report_pb2.TasksLived(
        task_id=columns.task_id,
        job_ids=columns.jobs,
        attempts=columns.attempts,
        start_times=columns.starts,
        end_times=columns.ends,
        user_ms=columns.user_ms,
        kernel_ms=columns.kernel_ms,
        max_rss_kib=columns.max_rss_kib,
        cores=columns.cores,
    )


def _sets(sets: Mapping[int, Sequence[int]]) -> Iterator[report_pb2.CoreSet]:
    for index, cores in sets.items():
        yield report_pb2.CoreSet(index=index, cores=cores)


def _ended(columns: EndColumns) -> report_pb2.TasksEnded:
    return report_pb2.TasksEnded(
        job_id=columns.job_id,
        task_id=columns.task_id,
        instances=columns.instances,
        attempts=columns.attempts,
        reasons=columns.reasons,
        exit_codes=columns.exit_codes,
        start_times=columns.starts,
        end_times=columns.ends,
        user_ms=columns.user_ms,
        kernel_ms=columns.kernel_ms,
        max_rss_kib=columns.max_rss_kib,
        cores=columns.cores,
        core_counts=columns.counts,
        core_sets=_sets(columns.sets),
        details=[
            report_pb2.EndDetail(
                index=detail.index,
                output=detail.output,
                message=detail.message,
                code=detail.code,
            )
            for detail in columns.details
        ],
    )


def _welcome(welcome: order_pb2.Welcome) -> Welcome:
    return Welcome(
        session=welcome.session,
        term=welcome.term,
        heartbeat_ms=welcome.heartbeat_ms,
        protocol=welcome.protocol,
        cluster_name=welcome.cluster_name,
        output_quota_bytes=welcome.output_quota_bytes,
        cluster=welcome.cluster_id,
        run=welcome.head_run,
        takes_lived=welcome.takes_lived,
    )
