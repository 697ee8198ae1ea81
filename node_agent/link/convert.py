"""Frames as protobuf messages, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hpcsched.agent.v1 import agent_service_pb2, order_pb2, report_pb2
from node_agent.core import orders as o
from node_agent.core.frames import HeadFrame, Welcome
from node_agent.core.reports import StartColumns
from node_agent.core.text import from_bytes, readable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from node_agent.core.attempts import Inhabitant
    from node_agent.core.frames import AgentFrame, NodeFacts
    from node_agent.core.reports import Columns, EndColumns

PROTOCOL_MIN: Final = 1
PROTOCOL_MAX: Final = 1

#: A Hello frame is closed when its attempts take so many bytes: it stays below 1 MiB.
HELLO_BYTES: Final = 900 * 1024

#: Most attempts that one order may name, and all orders of a frame.
MOST_STARTS: Final = 1_000_000
#: Orders of one frame that are told of one by one when they make no sense.
MOST_PROBLEMS: Final = 20
#: Most cores that one process may have.
MOST_CORES: Final = 1 << 16
#: What a field of the protocol takes; a kernel that says more is wrong.
MOST_MHZ: Final = 2**31 - 1


class OrderError(ValueError):
    """An order of the head makes no sense; the text names the field."""


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
            made = _order(order)
            if isinstance(made, o.StartTasks):
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


def _counted(starts: int, order: o.StartTasks) -> int:
    """Return the starts of a frame with those of one more order.

    Raises:
        OrderError: they are too many together.
    """
    if starts + len(order.instances) > MOST_STARTS:
        raise OrderError(f"one frame orders more than {MOST_STARTS} starts")
    return starts + len(order.instances)


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
    return report_pb2.Report(ended=_ended(columns))


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
    )


def _order(order: order_pb2.Order) -> o.Order:
    kind = order.WhichOneof("order")
    if kind is None:
        raise OrderError("an order of a kind that this agent does not know")
    return _READERS[kind](getattr(order, kind))


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
    "end_job": lambda end: o.EndJob(job_id=end.job_id),
    "read": _read,
    "stop_reading": lambda stop: o.StopReading(read_id=stop.read_id),
    "purge": lambda purge: o.PurgeJob(job_id=purge.job_id),
}
