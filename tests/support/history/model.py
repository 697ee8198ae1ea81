"""What a history is made of: what clients, watchers, nodes and the head saw.

Each part is written down by another witness, and none asks another: the checker finds
out whether they can all be true.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Key = tuple[int, int, int]
"""Job, task, element (0 for a plain task)."""

ACKED, REFUSED, UNKNOWN = "acked", "refused", "unknown"

BASIC, SWEEP, PREP, RELEASE = "basic", "sweep", "prep", "release"
ORDINARY = (BASIC, SWEEP)

#: What a run that ended by itself, without a stop or a fault, is recorded with.
EXITED = "EXITED"

TERMINAL = ("FINISHED", "FAILED", "CANCELED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A mutation, as its client knows it.

    Attributes:
        request_id: The same in each retry.
        verb: submit, cancel, finish, requeue, requeue_tasks, modify, add, forget or
            set.
        job_id: Whose; 0 for a submission that was not answered.
        name: Name of the job that is submitted, or of the parameter that is set.
        outcome: acked, refused or unknown.
        reason: Of the refusal.
        sent: Boot clock, seconds.
        answered: Boot clock, seconds; when it was given up where it is unknown.
        facts: submit: ``sizes``, elements per task; add: the same; modify:
            ``priority``; cancel: ``message``; set: ``value``.
    """

    request_id: str
    verb: str
    job_id: int = 0
    name: str = ""
    outcome: str = ACKED
    reason: str = ""
    sent: float = 0.0
    answered: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Run:
    """One process of a task, as it wrote itself into the journal of its node.

    Attributes:
        key: Of the element.
        attempt: As the process was told.
        node: Where.
        cores: As the process was told; empty where it was told none.
        pid: Process id.
        began: Number of its first line in the journal.
        ended: Number of its last line; None: it was killed.
        code: Exit code that it was about to end with.
        overlapped: Another attempt of the element was still alive when it began.
    """

    key: Key
    attempt: int
    node: str = "n1"
    cores: tuple[int, ...] = ()
    pid: int = 0
    began: int = 0
    ended: int | None = None
    code: int | None = None
    overlapped: bool = False

    def __post_init__(self) -> None:
        self.key = (self.key[0], self.key[1], self.key[2])
        self.cores = tuple(self.cores)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A change of state in an event; ``task`` 0 is the job."""

    task: int
    elements: tuple[tuple[int, int], ...] = ()
    state: str
    previous: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """An event of a job, as a watcher was told it."""

    job_id: int
    revision: int
    name: str
    cursor: str = ""
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalTask:
    """An element, or a plain task, as the head shows it at the end."""

    key: Key
    kind: str = BASIC
    state: str
    exit_code: int | None = None
    end_reason: str = ""
    attempt: int = 1
    valid: tuple[int, ...] = (0,)
    reruns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalJob:
    """A job as the head shows it at the end; ``counts`` are of its elements."""

    job_id: int
    name: str
    state: str
    priority: int = 2000
    requeues: int = 0
    message: str = ""
    revision: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    tasks: tuple[FinalTask, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalNode:
    """A node as the head shows it at the end."""

    name: str
    cores: int
    cores_in_use: int = 0


@dataclass(slots=True, kw_only=True)
class History:
    """Everything about one round.

    Attributes:
        calls: In the order in which they were begun; calls about one job are made by
            one client, one after the other.
        runs: Ground truth of the nodes.
        watchers: What each watcher was told, in order. One that came late, or left
            early, has a part of each job's events.
        jobs: Jobs of this round, at the end.
        nodes: At the end, at rest.
        parameters: Cluster parameters at the end.
        leftovers: Processes of tasks that live although everything has ended.
        losses: Causes, injected in this round, for which a task's end may honestly
            be unknown or be the system's, such as "spawner+reaper" or "unreachable".
        rerun_limit: Automatic reruns after system errors, at the most.
    """

    calls: list[Call] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    watchers: dict[str, list[Heard]] = field(default_factory=dict)
    jobs: dict[int, FinalJob] = field(default_factory=dict)
    nodes: list[FinalNode] = field(default_factory=list)
    parameters: dict[str, str] = field(default_factory=dict)
    leftovers: list[str] = field(default_factory=list)
    losses: set[str] = field(default_factory=set)
    rerun_limit: int = 3

    def tasks(self) -> Iterable[FinalTask]:
        """Yield every element of every job."""
        for job in self.jobs.values():
            yield from job.tasks

    def kind_of(self, key: Key) -> str:
        """Return the kind of an element's task; basic where the job is gone."""
        job = self.jobs.get(key[0])
        for task in job.tasks if job else ():
            if task.key[1] == key[1]:
                return task.kind
        return BASIC

    def save(self, path: Path) -> None:
        """Keep it as JSON, to be looked at and checked again."""
        value = asdict(self)
        value["losses"] = sorted(self.losses)
        path.write_text(json.dumps(value, indent=0))


def load(path: Path) -> History:
    """Return a history that was saved."""
    value = json.loads(path.read_text())
    return History(
        calls=[Call(**each) for each in value["calls"]],
        runs=[Run(**each) for each in value["runs"]],
        watchers={
            name: [_heard(each) for each in told]
            for name, told in value["watchers"].items()
        },
        jobs={int(number): _job(each) for number, each in value["jobs"].items()},
        nodes=[FinalNode(**each) for each in value["nodes"]],
        parameters=value["parameters"],
        leftovers=value["leftovers"],
        losses=set(value["losses"]),
        rerun_limit=value["rerun_limit"],
    )


def _heard(value: dict[str, Any]) -> Heard:
    steps = [
        Step(**{**step, "elements": tuple((a, b) for a, b in step["elements"])})
        for step in value["steps"]
    ]
    return Heard(**{**value, "steps": tuple(steps)})


def _job(value: dict[str, Any]) -> FinalJob:
    tasks = []
    for each in value["tasks"]:
        job, task, element = each["key"]
        plain = {"key": (job, task, element), "valid": tuple(each["valid"])}
        tasks.append(FinalTask(**{**each, **plain}))
    return FinalJob(**{**value, "tasks": tuple(tasks)})
