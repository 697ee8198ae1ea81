"""What a diagnosis is made of: facts of one moment, times in seconds since 1970."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """A node.

    Attributes:
        state: As people read it: Online, Offline or Draining.
        ready: It takes work now.
        silent_s: For how long it has not been heard of; None: not since the head began.
        connections: How often it has connected within ``FLAPPING_S``.
        clock_ahead_s: By how much its clock is ahead of the head's.
        job_ids: Jobs that hold something there.
        grouped: It is in a group of the administrator's.
    """

    name: str
    state: str
    reason: str = ""
    reachable: bool = True
    ready: bool = True
    takes_jobs: bool = True
    silent_s: float | None = 0.0
    connections: int = 1
    clock_ahead_s: float = 0.0
    agent_version: str = ""
    orphans: int = 0
    job_ids: tuple[int, ...] = ()
    grouped: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StuckJobs:
    """Queued jobs that want the same, which no nodes can give.

    Attributes:
        ever: Not even all nodes that are known could, if they took work.
        needs: What they need, and what there is, in words.
        count: How many they are.
        job_ids: The first of them.
    """

    ever: bool
    needs: str
    count: int
    job_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """A token that ends."""

    token_id: str
    user: str
    role: str
    create_time: float
    expire_time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFacts:
    """What a look through the store has found.

    Attributes:
        problems: Sentences.
        whole: It was looked through to its end.
    """

    problems: tuple[str, ...] = ()
    whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFacts:
    """The cluster.

    Attributes:
        queued: Jobs in the queue.
        lag_s: The longest delay of the head's loop within a minute.
        apart: Jobs that are set aside.
        unreadable: Those of them of which nobody can read what is stored.
        backup_time: When the newest backup was made; None: there was none.
        age_s: For how long there has been something to back up.
        groups: Are there node groups of the administrator's?
        certificate_end: When the head's certificate ends; None: it has none.
        store: None: it was not looked through.
    """

    now: float
    version: str = ""
    safe_mode: str = ""
    restore_mode: bool = False
    disk_problem: str = ""
    lag_s: float = 0.0
    alarms: tuple[str, ...] = ()
    nodes: tuple[NodeFacts, ...] = ()
    queued: int = 0
    apart: tuple[int, ...] = ()
    unreadable: tuple[int, ...] = ()
    stuck: tuple[StuckJobs, ...] = ()
    backup_time: float | None = None
    age_s: float = 0.0
    groups: bool = False
    tokens: tuple[TokenFacts, ...] = ()
    certificate_end: float | None = None
    store: StoreFacts | None = None
