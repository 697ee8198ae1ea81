"""Messages of an agent as values. Columns of uneven length are cut to the shortest."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final, TypeVar

from hpcsched.core.reports import EndDetail, Ended, LiveAttempt, Report, Started
from hpcsched.core.task.states import EndReason
from hpcsched.core.usage import TaskUsage
from hpcsched.core.views import Inventory
from hpcsched.runtime.frames import AgentFrame, Heartbeat, Hello, OutputChunk, Resources

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hpcsched.agent.v1 import agent_service_pb2, report_pb2

T = TypeVar("T", int, float)

#: Of what a node says about itself: characters of a text, texts of a list.
LONGEST_FACT: Final = 200
MOST_FACTS: Final = 32
#: Process ids of one attempt.
MOST_PIDS: Final = 64

#: What ``TasksLived`` does not say, as it is so of each.
_PLAIN: Final = (0,)
_EXITED: Final = (int(EndReason.EXITED),)
_WELL: Final = (0,)


def hello_value(parts: Sequence[report_pb2.Hello]) -> Hello:
    """Return a Hello, all frames joined."""
    first = parts[0]
    r = first.resources
    return Hello(
        node=first.node,
        boot_id=first.boot_id,
        instance=first.instance,
        protocol_min=first.protocol_min,
        protocol_max=first.protocol_max,
        agent_version=first.agent_version,
        resources=Resources(
            cores=r.cores,
            sockets=r.sockets,
            memory_bytes=r.memory_bytes,
            containment=r.containment,
            groups=tuple(r.groups),
            inventory=_inventory(r),
        ),
        live=tuple(_live(one) for part in parts for one in part.live),
        term=first.term,
        machine_id=first.machine_id,
        cluster=first.cluster_id,
        run=first.head_run,
        position=first.position,
        takes_alike=first.takes_alike,
    )


def _inventory(r: report_pb2.Resources) -> Inventory:
    """Return what a node says about itself, cut to what is bearable."""
    return Inventory(
        os=r.os[:LONGEST_FACT],
        kernel=r.kernel[:LONGEST_FACT],
        architecture=r.architecture[:LONGEST_FACT],
        cpu_model=r.cpu_model[:LONGEST_FACT],
        cpu_mhz=max(0, r.cpu_mhz),
        gpus=max(0, r.gpus),
        gpu_info=tuple(text[:LONGEST_FACT] for text in r.gpu_info[:MOST_FACTS]),
        addresses=tuple(text[:LONGEST_FACT] for text in r.addresses[:MOST_FACTS]),
        dns_suffix=r.dns_suffix[:LONGEST_FACT],
    )


def _live(one: report_pb2.LiveAttempt) -> LiveAttempt:
    cores = tuple(one.cores)
    core = cores[0] if cores else -1
    return LiveAttempt(
        one.job_id,
        one.task_id,
        one.instance_id,
        one.attempt,
        one.running,
        one.start_time,
        core,
        cores if len(cores) > 1 else (),
    )


def agent_value(message: agent_service_pb2.ConnectRequest) -> AgentFrame:
    """Return a frame of the agent."""
    heartbeat = None
    if message.HasField("heartbeat"):
        beat = message.heartbeat
        heartbeat = Heartbeat(
            running=beat.running, queued=beat.queued, load=beat.load, time=beat.time
        )
    return AgentFrame(
        seq=message.seq,
        ack=message.ack,
        reports=tuple(chain.from_iterable(map(report_values, message.reports))),
        heartbeat=heartbeat,
        outputs=tuple(
            OutputChunk(
                read_id=c.read_id,
                offset=c.offset,
                data=c.data,
                eof=c.eof,
                error=c.error,
            )
            for c in message.outputs
        ),
        usages=tuple(map(_usage, message.usages)),
        goodbye=message.goodbye,
    )


def _usage(one: report_pb2.TaskUsage) -> TaskUsage:
    return TaskUsage(
        job_id=one.job_id,
        task_id=one.task_id,
        instance_id=one.instance_id,
        attempt=one.attempt,
        user_ms=one.user_ms,
        kernel_ms=one.kernel_ms,
        resident_kib=one.resident_kib,
        processes=one.processes,
        pids=tuple(one.pids[:MOST_PIDS]),
    )


def report_values(message: report_pb2.Report) -> Iterable[Report]:
    """Return what a report tells; nothing if it is of a kind that nobody knows here."""
    match message.WhichOneof("report"):
        case "started":
            return (_started(message.started),)
        case "ended":
            return (_ended(message.ended),)
        case "lived":
            return _lived(message.lived)
        case _:
            return ()


def _lived(m: report_pb2.TasksLived) -> Iterator[Ended]:
    """Yield the end of each: it is told of by its job."""
    task_id = m.task_id
    rows = zip(
        m.job_ids,
        m.attempts,
        m.start_times,
        m.end_times,
        m.user_ms,
        m.kernel_ms,
        m.max_rss_kib,
        m.cores,
        strict=False,
    )
    for job_id, attempt, start, end, user, kernel, memory, core in rows:
        yield Ended(
            job_id=job_id,
            task_id=task_id,
            instances=_PLAIN,
            attempts=(attempt,),
            reasons=_EXITED,
            exit_codes=_WELL,
            starts=(start,),
            ends=(end,),
            cores=(core,),
            user_ms=(user,),
            kernel_ms=(kernel,),
            max_rss_kib=(memory,),
        )


def _started(s: report_pb2.TasksStarted) -> Started:
    size = min(len(s.instances), len(s.attempts), len(s.start_times))
    return Started(
        job_id=s.job_id,
        task_id=s.task_id,
        instances=list(s.instances)[:size],
        attempts=list(s.attempts)[:size],
        times=list(s.start_times)[:size],
        cores=_filled(s.cores, size, -1),
        widths=_filled(s.core_counts, size, 0) if s.core_counts else (),
        sets=_sets(s.core_sets, size),
    )


def _ended(e: report_pb2.TasksEnded) -> Ended:
    size = min(
        len(e.instances),
        len(e.attempts),
        len(e.reasons),
        len(e.exit_codes),
        len(e.end_times),
    )
    details = {
        d.index: EndDetail(d.output.decode(errors="replace"), d.message, d.code)
        for d in e.details
        if 0 <= d.index < size
    }
    return Ended(
        job_id=e.job_id,
        task_id=e.task_id,
        instances=list(e.instances)[:size],
        attempts=list(e.attempts)[:size],
        reasons=list(e.reasons)[:size],
        exit_codes=list(e.exit_codes)[:size],
        starts=_filled(e.start_times, size, 0.0),
        ends=list(e.end_times)[:size],
        cores=_filled(e.cores, size, -1),
        user_ms=_filled(e.user_ms, size, 0),
        kernel_ms=_filled(e.kernel_ms, size, 0),
        max_rss_kib=_filled(e.max_rss_kib, size, 0),
        details=details,
        widths=_filled(e.core_counts, size, 0) if e.core_counts else (),
        sets=_sets(e.core_sets, size),
    )


def _sets(
    messages: Iterable[report_pb2.CoreSet], size: int
) -> dict[int, tuple[int, ...]]:
    return {one.index: tuple(one.cores) for one in messages if 0 <= one.index < size}


def _filled(values: Sequence[T], size: int, default: T) -> list[T]:
    column = list(values)
    if len(column) == size:
        return column
    return column[:size] + [default] * (size - len(column))
