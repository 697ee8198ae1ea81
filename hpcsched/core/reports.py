"""Reports of a node, as values: columns, one entry per attempt, in parallel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(slots=True, kw_only=True)  # made too often to be frozen
class Started:
    """Processes of one task have started.

    Attributes:
        times: Seconds since 1970 by the node's clock.
        cores: First core of each; -1: none.
        widths: Number of cores of each; empty: not known.
        sets: Those that do not follow each other, by position.
    """

    job_id: int
    task_id: int
    instances: Sequence[int]
    attempts: Sequence[int]
    times: Sequence[float]
    cores: Sequence[int]
    widths: Sequence[int] = ()
    sets: Mapping[int, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EndDetail:
    """What only some ended attempts have.

    Attributes:
        code: What could not be done (``exec``, ``cwd``, ``stdin``, …); empty otherwise.
    """

    output: str = ""
    message: str = ""
    code: str = ""


@dataclass(slots=True, kw_only=True)  # made too often to be frozen
class Ended:
    """Attempts of one task have ended, or were refused.

    Attributes:
        reasons: EndReason numbers.
        exit_codes: 128 + n after signal n; -1 where no process ended.
        starts: 0.0: it never started.
        details: By position.
        widths, sets: As of those that have started.
    """

    job_id: int
    task_id: int
    instances: Sequence[int]
    attempts: Sequence[int]
    reasons: Sequence[int]
    exit_codes: Sequence[int]
    starts: Sequence[float]
    ends: Sequence[float]
    cores: Sequence[int]
    user_ms: Sequence[int]
    kernel_ms: Sequence[int]
    max_rss_kib: Sequence[int]
    details: Mapping[int, EndDetail] = field(default_factory=dict)
    widths: Sequence[int] = ()
    sets: Mapping[int, tuple[int, ...]] = field(default_factory=dict)


Report = Started | Ended


@dataclass(frozen=True, slots=True)
class LiveAttempt:
    """An attempt that lives on a node: it runs, or waits there for a core.

    Attributes:
        core: Its first core; -1: none.
        cores: All of them; empty: not known.
    """

    job_id: int
    task_id: int
    instance_id: int
    attempt: int
    running: bool
    start_time: float = 0.0
    core: int = -1
    cores: tuple[int, ...] = ()
