"""Everything the supervisor knows: jobs, attempts, reports. What the journal restores.

Only plain state and the rules on it; processes, files and sockets are elsewhere.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from node_agent.supervisor.attempt import Queued
from node_agent.supervisor.seen import Seen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from node_agent.supervisor.attempt import Attempt, InstanceKey
    from node_agent.supervisor.definition import Definition, Value

KEPT_ENDED_JOBS = 1024
"""So many jobs that have ended here are remembered, to refuse their attempts."""

MOST_JOBS = 100_000
"""Jobs of which something is here. A head that never ends one is not believed."""

MOST_REFUSALS = 100_000
"""Masks of refused attempts, of 256 instances each. A head that is answered asks for
none of them again; one that asks on makes the oldest be forgotten."""


class Job:
    """What is known of one job.

    Attributes:
        definitions: By task and definition number.
        grant: Bit mask of the cores that the job may use here.
        queue: Accepted attempts that need cores, in order of arrival.
        seen: By task, the attempts that have ended here.
        stopped: Attempts that were stopped before they came: task, instance, attempt.
        ending: The agent has ended the job; it is told when nothing of it lives.
        accepted: How many attempts of it have not been tried, wherever they wait.
    """

    __slots__ = (
        "accepted",
        "definitions",
        "ending",
        "grant",
        "number",
        "queue",
        "seen",
        "stopped",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.definitions: dict[tuple[int, int], Definition] = {}
        self.grant = 0
        self.queue: deque[Queued] = deque()
        self.seen: dict[int, Seen] = {}
        self.stopped: set[tuple[int, int, int]] = set()
        self.ending = False
        self.accepted = 0


class Table:
    """The state of the node.

    Attributes:
        boot_id: The boot in which the attempts of the table ran.
        instance: Names this journal; a new one knows nothing of older attempts.
        position: Number of the newest report.
        acknowledged: Every report up to this one is stored by the head.
        reports: Unacknowledged reports by position: text and, for ends, the attempt.
        settings: What the agent set, kept over restarts.
        behind: Accepted attempts that wait for the end of an older one.
        refused: By job and task, attempts that the agent was told will not be started.
            Not in the journal: a new spawner's agent begins anew, too.
        stuck: Instances whose end was reported although processes of theirs live.
        urgent: Accepted attempts that need no cores.
        waiting: Jobs whose queues may not be empty.
        in_order: They are in the order in which what they start next has arrived.
        granted: Every core that any job was ever granted, as a bit mask.
        early: How many attempts were stopped before they came, of all jobs.
    """

    def __init__(self, boot_id: str, instance: str) -> None:
        self.boot_id = boot_id
        self.instance = instance
        self.position = 0
        self.acknowledged = 0
        self.jobs: dict[int, Job] = {}
        # A plain dict is slow to find its first item once others have gone before it.
        self.ended_jobs: OrderedDict[int, None] = OrderedDict()
        self.queued: dict[InstanceKey, Queued] = {}
        self.live: dict[InstanceKey, Attempt] = {}
        self.reports: dict[int, tuple[bytes, InstanceKey | None]] = {}
        self.ends: dict[InstanceKey, int] = {}
        self.settings: dict[str, Any] = {}
        self.behind: dict[InstanceKey, Queued] = {}
        self.refused: dict[int, dict[int, Seen]] = {}
        self.stuck: set[InstanceKey] = set()
        self.urgent: deque[Queued] = deque()
        self.waiting: dict[int, Job] = {}
        self.in_order = True
        self.granted = 0
        self.early = 0
        self.arrivals = 0
        self._refusals = 0

    def job(self, number: int) -> Job:
        """Return the job, new if it is not known."""
        job = self.jobs.get(number)
        if job is None:
            job = self.jobs[number] = Job(number)
        return job

    @property
    def room_for_jobs(self) -> int:
        """How many more jobs may be here."""
        return max(0, MOST_JOBS - len(self.jobs))

    def stop_early(self, number: int, attempts: Iterable[tuple[int, int, int]]) -> None:
        """Remember attempts (task, instance, attempt) that are refused if they come."""
        stopped = self.job(number).stopped
        self.early -= len(stopped)
        stopped.update(attempts)
        self.early += len(stopped)

    def take_early(self, owner: Job, attempt: tuple[int, int, int]) -> bool:
        """Say whether an attempt that has come was stopped before; it is told now."""
        if attempt not in owner.stopped:
            return False
        owner.stopped.discard(attempt)
        self.early -= 1
        return True

    def grant(self, number: int, cores: int) -> None:
        """Let a job use these cores, a bit mask, and no others."""
        self.job(number).grant = cores
        self.granted |= cores

    def define(self, definition: Definition) -> None:
        """Take over a definition; one of the same number is replaced."""
        job = self.job(definition.job)
        job.definitions[definition.task, definition.number] = definition
        self.ended_jobs.pop(definition.job, None)
        job.ending = False

    def accept(  # noqa: PLR0917  as a start names them
        self,
        definition: Definition,
        instance: int,
        attempt: int,
        value: Value,
        ncores: int,
        extra: Mapping[str, str] | None,
    ) -> Queued:
        """Let an attempt wait for its turn, behind all that came before it."""
        queued = Queued(
            definition,
            instance,
            attempt,
            value=value,
            ncores=ncores,
            extra=extra,
            arrival=self.next_arrival(),
        )
        self.enqueue(queued)
        return queued

    def enqueue(self, queued: Queued) -> None:
        """Append an accepted attempt to its job's queue."""
        self.queued[queued.instance_key] = queued
        self.job(queued.definition.job).accepted += 1
        self.line_up(queued)

    def line_up(self, queued: Queued) -> None:
        """Let an accepted attempt wait for its turn."""
        if not queued.ncores:
            self.urgent.append(queued)
            return
        job = self.job(queued.definition.job)
        job.queue.append(queued)
        if not self.waiting:
            self.in_order = True
        elif job.number in self.waiting or queued.arrival < self.arrivals:
            self.in_order = False
        self.waiting[job.number] = job

    def must_wait(self, queued: Queued) -> bool:
        """Keep an attempt out of the queue while an older one of it has processes."""
        key = queued.instance_key
        if key not in self.live and key not in self.stuck:
            return False
        self.behind[key] = queued
        return True

    def is_over(self, key: InstanceKey) -> None:
        """Nothing is left of an attempt: let a newer one start."""
        self.stuck.discard(key)
        queued = self.behind.pop(key, None)
        if queued is not None and not queued.dropped:
            self.line_up(queued)

    def refuse(self, key: InstanceKey, attempt: int) -> None:
        """Remember that an attempt is not to be started, whoever asks for it again."""
        job, task, instance = key
        seen = self.refused.setdefault(job, {}).setdefault(task, Seen())
        self._refusals += seen.add(instance, attempt)
        while self._refusals > MOST_REFUSALS:
            self.forget_refusals(next(iter(self.refused)))

    def forget_refusals(self, number: int) -> None:
        """Nothing of a job is asked for any more, or too much of all jobs was."""
        for seen in self.refused.pop(number, {}).values():
            self._refusals -= len(seen)

    def was_refused(self, key: InstanceKey, attempt: int) -> bool:
        """Was it, or a newer one?"""
        seen = self.refused.get(key[0], {}).get(key[1])
        newest = None if seen is None else seen.newest(key[2])
        return newest is not None and attempt <= newest

    def next_arrival(self) -> int:
        """Return the place of the next accepted attempt."""
        self.arrivals += 1
        return self.arrivals

    def unqueue(self, key: InstanceKey) -> Queued | None:
        """Take an attempt out of the queue before its turn, if it is there."""
        queued = self.queued.pop(key, None)
        if queued is not None:
            queued.dropped = True
            if key[0] in self.jobs:
                self.jobs[key[0]].accepted -= 1
        return queued

    def try_attempt(self, attempt: Attempt) -> None:
        """Count the attempt as tried: from now on it is never started again."""
        key = attempt.instance_key
        queued = self.queued.get(key)
        if queued is not None and queued.attempt == attempt.attempt:
            self.unqueue(key)
        self.live[key] = attempt

    def newest_ended(self, key: InstanceKey) -> int | None:
        """Return the newest attempt of the instance that has ended here."""
        job = self.jobs.get(key[0])
        seen = job.seen.get(key[1]) if job is not None else None
        return seen.newest(key[2]) if seen is not None else None

    def mark_seen(self, key: InstanceKey, attempt: int) -> None:
        """Remember that the attempt has ended here."""
        self.job(key[0]).seen.setdefault(key[1], Seen()).add(key[2], attempt)

    def add_started(self, position: int, text: bytes) -> None:
        """Keep a ``started`` report until it is acknowledged."""
        self.position = max(self.position, position)
        if position > self.acknowledged:
            self.reports[position] = text, None

    def add_ended(
        self, position: int, text: bytes, key: InstanceKey, attempt: int
    ) -> None:
        """Keep an ``ended`` report, and forget the attempt but for having been here."""
        self.position = max(self.position, position)
        queued = self.queued.get(key)
        if queued is not None and queued.attempt == attempt:
            self.unqueue(key)
        alive = self.live.get(key)
        if alive is not None and alive.attempt == attempt:
            del self.live[key]
        self.mark_seen(key, attempt)
        if position > self.acknowledged:
            self.reports[position] = text, key
            self.ends[key] = position

    def acknowledge(self, position: int) -> None:
        """Forget every report up to the position."""
        self.acknowledged = max(self.acknowledged, min(position, self.position))
        gone = []
        for number in self.reports:
            if number > position:
                break
            gone.append(number)
        for number in gone:
            _, key = self.reports.pop(number)
            if key is not None and self.ends.get(key) == number:
                del self.ends[key]

    def end_job(self, number: int) -> None:
        """Forget a job that has ended here, except which attempts it had."""
        job = self.jobs.get(number)
        if job is None:
            return
        job.definitions.clear()
        job.grant = 0
        job.queue.clear()
        job.ending = False
        self.ended_jobs[number] = None
        while len(self.ended_jobs) > KEPT_ENDED_JOBS:
            oldest, _ = self.ended_jobs.popitem(last=False)
            self._forget(oldest)

    def purge(self, number: int) -> None:
        """Forget a job altogether if it has ended here: the head has deleted it."""
        if number in self.ended_jobs:
            del self.ended_jobs[number]
            self._forget(number)

    def _forget(self, number: int) -> None:
        self.early -= len(self.jobs.pop(number).stopped)

    def live_of(self, number: int) -> list[Attempt]:
        """Return the living attempts of a job."""
        return [item for item in self.live.values() if item.definition.job == number]

    def has_work(self) -> bool:
        """Say whether anything lives or waits."""
        return bool(self.live or self.queued)
