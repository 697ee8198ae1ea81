"""What a state of the model is made of. All values are immutable and hashable."""

from __future__ import annotations

from typing import Any, NamedTuple

MAIN, RELEASE = 0, 1
"""The two tasks of the model's one job; the release is node-agent.md 7's."""

QUEUED, DISPATCHING, RUNNING, CANCELING, FINISHED, FAILED = "QDRCFX"
"""States of a task that matter to the protocol; Failed stands for Canceled as well."""

LIVE = (DISPATCHING, RUNNING, CANCELING)
OVER = (FINISHED, FAILED)

STARTED, EXITED, KILLED, NOT_STARTED, REBOOTED, STATUS_LOST = "sxknbl"
"""Kinds of reports."""

INTENT, SPAWNED, RECORDED, DEAD, ORPHANED, UNKNOWN = "ipsdou"
"""How far an attempt has come on its node: its intent is in the journal; its process
exists; that is in the journal, too; its process has ended, which is not in the journal.
Orphaned: spawner and reaper died, it lives, and its status will be unknown.
"""

WITH_PROCESS = (SPAWNED, RECORDED, ORPHANED)

FREE, READY, LEAVING, RELEASING = 0, 1, 2, 3
"""What a node is to the job."""

Key = tuple[int, int]
"""Task and attempt."""

Report = tuple[int, str, int, int]
"""Position in the journal (0: refused, not in it), kind, task, attempt."""

Alive = tuple[int, int, str, bool]
"""Task, attempt, how far it has come, whether it was told to stop."""

Order = tuple[str, int, int]
"""``start``, ``stop`` or ``end`` (of the job), task, attempt; ``ack``, position, 0."""

Frame = tuple[object, ...]
"""Up: ("hello", boot, live), ("frame", seq, reports, beat). Down: ("welcome",),
("orders", seq, orders), ("ack", seq)."""

Mail = tuple[object, ...]
"""To the job's actor: ("reports", node, sid, seq, reports), ("lose", node),
("sync", node, sid, live, rebooted), ("grant", node), ("cancel",), ("evict", node)."""


class Config(NamedTuple):
    """What may happen, and how often.

    Attributes:
        attempts: Most attempts of a task.
        cuts: Streams that break, noticed by both ends or by one.
        mischief: Frames lost, doubled or overtaken within a stream.
        power_cuts: Of a node: processes are gone, and what was not synced.
        both_killed: Spawner and reaper killed at once: statuses are lost.
        losses: Times that the head declares a node unreachable.
        refusals: Starts that a node cannot take, for want of space.
        hold: The job's ``node_loss`` is ``hold``, otherwise ``rerun``.
        release: The job has a node release task.
        endless: Tasks end only when they are stopped.
        mutant: What is left out or done wrongly, to see that it is found.
    """

    attempts: int = 2
    nodes: int = 1
    head_crashes: int = 0
    agent_crashes: int = 0
    spawner_crashes: int = 0
    both_killed: int = 0
    power_cuts: int = 0
    cuts: int = 0
    mischief: int = 0
    losses: int = 0
    cancels: int = 0
    evictions: int = 0
    refusals: int = 0
    hold: bool = False
    release: bool = False
    endless: bool = False
    mutant: str = ""


class Disk(NamedTuple):
    """What the supervisor's journal says: it survives every ``kill -9``.

    Attributes:
        queued: Accepted attempts.
        alive: Attempts that were tried and have not ended.
        seen: By task, the newest attempt that has ended here.
        early: Attempts that were stopped before they came.
        reports: Those that the head has not acknowledged.
    """

    queued: tuple[Key, ...] = ()
    alive: tuple[Alive, ...] = ()
    seen: tuple[int, ...] = (0, 0)
    early: tuple[Key, ...] = ()
    reports: tuple[Report, ...] = ()
    position: int = 0


class Node(NamedTuple):
    """A node, its stream, and the head's session of it.

    Attributes:
        boot: Boot of the machine.
        disk: The journal; ``synced`` is what a power cut leaves of it.
        linked: The agent is connected to its supervisor.
        table: The agent's attempts: task, attempt, whether it runs.
        ended: Attempts that this agent has seen end.
        refused: Attempts that this spawner has refused.
        waiting: Reports that this stream has not carried.
        sent: Frame and reports that were not acknowledged.
        handed: What the agent has said and the supervisor has not read.
        stage: Of the agent's stream: 0 none, 1 hello said, 2 welcomed.
        due: The first heartbeat of the stream is still to come.
        said: Numbered frames of the agent on this stream; ``heard``: of the head.
        sid: Number of the agent's stream; ``session``: of the head's, 0 without.
        up: Frames to the head; ``late``: of an older stream, which the head has and
            the agent has given up.
        down: Frames to the agent.
        taken: Numbered frames that the head has taken; ``told``: those it has sent.
        asked: The head has begun to compare; ``compared``: it has done so.
        live: Inventory of the session's hello; ``rebooted``: its boot is a new one.
        told_boot: The boot of that hello.
    """

    boot: int = 1
    disk: Disk = Disk()
    synced: Disk = Disk()
    linked: bool = False
    table: tuple[tuple[int, int, bool], ...] = ()
    ended: tuple[Key, ...] = ()
    refused: tuple[Key, ...] = ()
    waiting: tuple[Report, ...] = ()
    sent: tuple[tuple[int, tuple[Report, ...]], ...] = ()
    handed: tuple[Order, ...] = ()
    stage: int = 0
    due: bool = False
    said: int = 0
    heard: int = 0
    sid: int = 0
    session: int = 0
    up: tuple[Frame, ...] = ()
    late: tuple[Frame, ...] = ()
    down: tuple[Frame, ...] = ()
    taken: int = 0
    told: int = 0
    asked: bool = False
    compared: bool = False
    live: tuple[tuple[int, int, bool], ...] = ()
    rebooted: bool = False
    told_boot: int = 1


class Task(NamedTuple):
    """A task in the head's store.

    Attributes:
        pending: Where a Canceling one goes: QUEUED or FAILED.
    """

    state: str = QUEUED
    attempt: int = 0
    node: int = -1
    started: bool = False
    pending: str = FAILED


class Job(NamedTuple):
    """The job in the head's store.

    Attributes:
        uses: By node, what it is to the job.
        released: Nodes on which the release was dispatched.
    """

    tasks: tuple[Task, Task] = (Task(), Task())
    uses: tuple[int, ...] = (FREE,)
    released: tuple[int, ...] = ()


class Turn(NamedTuple):
    """A commit on its way: the job after it, and what follows from it.

    Attributes:
        answered: Mail whose senders hear of it.
        touched: Tasks whose orders are due; ``fresh``: dispatched within it.
        gone: Nodes that the job has left.
        verdicts: How attempts ended, for the observer: task, attempt, node, kind.
    """

    job: Job
    answered: tuple[Mail, ...]
    touched: tuple[int, ...]
    fresh: tuple[Key, ...]
    gone: tuple[int, ...]
    verdicts: tuple[tuple[int, int, int, str], ...]


class Ghost(NamedTuple):
    """What an observer outside knows; no part of the model reads it.

    Attributes:
        execs: Attempts whose process was started.
        exits: Attempts that ended by themselves.
        excused: Attempts given up because their node was unreachable.
        void: Attempts that the head was told never ran.
        canceled: The newest attempt when the cancel was answered; -1: none was.
    """

    execs: tuple[Key, ...] = ()
    exits: tuple[Key, ...] = ()
    excused: tuple[Key, ...] = ()
    void: tuple[Key, ...] = ()
    canceled: int = -1


class State(NamedTuple):
    """The whole.

    Attributes:
        known: By node, the boot of which the head has durably recorded that every
            job has learned what lives there.
        budget: What may still happen, in the order of ``BUDGETS``.
    """

    job: Job
    mail: tuple[Mail, ...]
    turn: Turn | None
    known: tuple[int, ...]
    nodes: tuple[Node, ...]
    ghost: Ghost
    budget: tuple[int, ...]


BUDGETS = (
    "head_crashes",
    "agent_crashes",
    "spawner_crashes",
    "both_killed",
    "power_cuts",
    "cuts",
    "mischief",
    "losses",
    "cancels",
    "evictions",
    "refusals",
)


def beginning(config: Config) -> State:
    """Return the state in which nothing has happened."""
    return State(
        job=Job(uses=(FREE,) * config.nodes),
        mail=(),
        turn=None,
        known=(1,) * config.nodes,
        nodes=(Node(),) * config.nodes,
        ghost=Ghost(),
        budget=tuple(getattr(config, name) for name in BUDGETS),
    )


class Step(NamedTuple):
    """One step of a node."""

    label: str
    node: Node
    mail: tuple[Mail, ...] = ()
    fact: tuple[Any, ...] = ()
