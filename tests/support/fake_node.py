"""What runs on a node, by a ManualClock: cores, a queue, processes, a journal.

What really happened is on record for checks: every start of every attempt, every exit
code, every moment at which two processes had one core.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hpcsched.core import orders as o
from hpcsched.core.job.environment import one_by_one
from hpcsched.core.reports import EndDetail, Ended, Report, Started
from hpcsched.core.task.states import EndReason
from hpcsched.runtime.frames import AgentFrame, OutputChunk

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcsched.common.clock import Clock, Timer

Key = tuple[int, int, int, int]
"""(job, task, instance, attempt)."""


@dataclass
class Process:
    """An attempt that waits for a core, or runs."""

    key: Key
    cores: int
    value: int = 0
    core: int = -1
    taken: tuple[int, ...] = ()
    start: float = 0.0
    code: int = 0
    timer: Timer | None = None

    @property
    def running(self) -> bool:
        return self.start > 0


class FakeNode:
    """See the module. What it says goes through ``flush`` and ``send``.

    Attributes:
        plan: Says how long an attempt runs, and its exit code; None: until stopped.
        silent_starts: Starts are not reported, only ends.
        starts: How often each attempt was really started.
        exits: Exit code of each attempt that ended by itself or was stopped.
        overlaps: (time, core, attempts) where two processes had one core.
        ended_jobs, purged_jobs: EndJob and PurgeJob, in order.
        seen: Newest attempt of each element that was ordered here.
        early: Attempts that were stopped before they came: they will be refused.
        journal: Reports that are not acknowledged, with the frame that they went with.
    """

    def __init__(self, clock: Clock, name: str, cores: int) -> None:
        self.clock = clock
        self.name = name
        self.cores = cores
        self.plan: Callable[[Process], tuple[float, int] | None] = lambda _: (1.0, 0)
        self.silent_starts = False
        self.starts: Counter[Key] = Counter()
        self.exits: dict[Key, int] = {}
        self.overlaps: list[tuple[float, int, Key, Key]] = []
        self.ended_jobs: list[int] = []
        self.purged_jobs: list[int] = []
        self.orders: list[o.Order] = []
        self.reads: list[o.ReadOutput] = []
        self.output: dict[tuple[Key, bool], bytes] = {}
        self.serve_limit: int | None = None
        self.no_output = "gone"
        self.seen: dict[tuple[int, int, int], int] = {}
        self.early: set[Key] = set()
        self.grants: dict[int, tuple[int, ...]] = {}
        self.queue: list[Process] = []
        self.live: dict[Key, Process] = {}
        self.journal: list[tuple[Report, int]] = []

    def send(self, frame: AgentFrame) -> None:
        """Send a frame to the head, if there is a stream."""
        raise NotImplementedError

    def flush(self) -> None:
        """Send what the journal has and the stream has not."""
        raise NotImplementedError

    def carry_out(self, order: o.Order) -> None:
        if isinstance(order, (o.StartAlike, o.EndJobs)):
            for one in one_by_one(order):
                self.carry_out(one)
            return
        self.orders.append(order)
        match order:
            case o.StartTasks():
                self._start_tasks(order)
            case o.StopTasks():
                self._stop_tasks(order)
            case o.RecallTasks():
                self._give_back(order)
            case o.SetGrant():
                self.grants[order.job_id] = order.cores
            case o.EndJob():
                self._end_job(order.job_id)
            case o.PurgeJob():
                self.purged_jobs.append(order.job_id)
            case o.ReadOutput():
                self.reads.append(order)
                self._serve(order)
            case _:
                pass

    def _start_tasks(self, order: o.StartTasks) -> None:
        columns = zip(order.instances, order.attempts, order.values, strict=True)
        for instance, attempt, value in columns:
            self._order(order, instance, attempt, value)

    def _stop_tasks(self, order: o.StopTasks) -> None:
        for instance, attempt in zip(order.instances, order.attempts, strict=True):
            key = (order.job_id, order.task_id, instance, attempt)
            self._stop(key, order.grace_ms / 1000)

    def _give_back(self, order: o.RecallTasks) -> None:
        for instance, attempt in zip(order.instances, order.attempts, strict=True):
            key = (order.job_id, order.task_id, instance, attempt)
            for process in self.queue:
                if process.key == key:
                    self.queue.remove(process)
                    back = ended(process, EndReason.NOT_STARTED, -1, self)
                    detail = {0: EndDetail(message="not started", code="recalled")}
                    self.journal.append((replace(back, details=detail), 0))
                    break

    def _end_job(self, job_id: int) -> None:
        self.ended_jobs.append(job_id)
        self.grants.pop(job_id, None)
        for process in [*self.live.values(), *self.queue]:
            if process.key[0] == job_id:
                self._stop(process.key, 0)

    def _order(
        self, order: o.StartTasks, instance: int, attempt: int, value: int
    ) -> None:
        task = (order.job_id, order.task_id, instance)
        if attempt <= self.seen.get(task, 0):
            return  # seen, or older
        self.seen[task] = attempt
        process = Process((*task, attempt), order.cores, value)
        if process.key in self.early:
            self.early.discard(process.key)
            self.journal.append((ended(process, EndReason.CANCELED, -1, self), 0))
            return
        self.queue.append(process)

    def _pump(self) -> None:
        used = {core for p in self.live.values() for core in p.taken}
        waiting = []
        blocked: set[int] = set()
        for process in self.queue:
            job_id = process.key[0]
            free = [c for c in self.grants.get(job_id, ()) if c not in used]
            if job_id in blocked or len(free) < process.cores:
                blocked.add(job_id)
                waiting.append(process)
                continue
            process.taken = tuple(free[: process.cores])
            used.update(process.taken)
            self._start(process)
        self.queue = waiting

    def _start(self, process: Process) -> None:
        for other in self.live.values():
            for core in set(other.taken) & set(process.taken):
                now = self.clock.mono()
                self.overlaps.append((now, core, other.key, process.key))
        self.starts[process.key] += 1
        self.live[process.key] = process
        process.core = process.taken[0] if process.taken else -1
        process.start = self.clock.wall()
        job_id, task_id, instance, attempt = process.key
        if not self.silent_starts:
            started = Started(
                job_id=job_id,
                task_id=task_id,
                instances=[instance],
                attempts=[attempt],
                times=[process.start],
                cores=[process.core],
                **widths(process),
            )
            self.journal.append((started, 0))
        planned = self.plan(process)
        if planned is not None:
            seconds, process.code = planned
            process.timer = self.clock.call_at(
                self.clock.mono() + seconds, lambda: self.exit(process.key)
            )

    def exit(
        self,
        key: Key,
        code: int | None = None,
        reason: EndReason = EndReason.EXITED,
        output: str = "",
    ) -> None:
        """A process ends."""
        process = self.live.pop(key, None)
        if process is None:
            return
        if process.timer is not None:
            process.timer.cancel()
        exit_code = process.code if code is None else code
        self.exits[key] = exit_code
        self.journal.append((ended(process, reason, exit_code, self, output), 0))
        self._pump()
        self.flush()

    def _stop(self, key: Key, grace: float) -> None:
        for process in self.queue:
            if process.key == key:
                self.queue.remove(process)
                report = ended(process, EndReason.CANCELED, -1, self)
                self.journal.append((report, 0))
                return
        if key not in self.live:
            if key[3] > self.seen.get(key[:3], 0):
                self.early.add(key)
            return
        if grace and self.live[key].value >= 0:
            self.exit(key, 143, EndReason.CANCELED)
        else:
            self.exit(key, 137, EndReason.KILLED)

    def _serve(self, order: o.ReadOutput) -> None:
        key = (order.job_id, order.task_id, order.instance_id, order.attempt)
        data = self.output.get((key, order.stderr))
        if data is None and key in self.starts:
            data = b""
        if data is None:
            gone = OutputChunk(
                read_id=order.read_id,
                offset=0,
                data=b"",
                eof=True,
                error=self.no_output,
            )
            self.send(AgentFrame(outputs=(gone,)))
            return
        start = order.offset if order.offset >= 0 else max(0, len(data) + order.offset)
        part = data[start : start + (order.limit or len(data))]
        chunks = [
            OutputChunk(
                read_id=order.read_id, offset=start + at, data=part[at : at + 65536]
            )
            for at in range(0, len(part), 65536)
        ]
        chunks.append(
            OutputChunk(
                read_id=order.read_id, offset=start + len(part), data=b"", eof=True
            )
        )
        self.send(AgentFrame(outputs=tuple(chunks[: self.serve_limit])))


def widths(process: Process) -> dict[str, Any]:
    """Return what a report says of a process of several cores."""
    if len(process.taken) < 2:
        return {}
    return {"widths": [len(process.taken)], "sets": {0: process.taken}}


def ended(
    process: Process,
    reason: EndReason,
    code: int,
    agent: FakeNode,
    output: str = "",
) -> Ended:
    job_id, task_id, instance, attempt = process.key
    return Ended(
        job_id=job_id,
        task_id=task_id,
        instances=[instance],
        attempts=[attempt],
        reasons=[int(reason)],
        exit_codes=[code],
        starts=[process.start],
        ends=[agent.clock.wall()],
        cores=[process.core],
        **widths(process),
        user_ms=[1],
        kernel_ms=[1],
        max_rss_kib=[100],
        details={0: EndDetail(output=output)} if output else {},
    )
