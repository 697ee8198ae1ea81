"""News about attempts, and how many of them become few columns.

The supervisor tells of one attempt at a time. A frame to the head speaks of many: per
task one set of columns for starts and one for ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from node_agent.core.orders import Key

#: Numbers of hpcsched.api.v1.EndReason by the supervisor's words (node-agent.md 8).
END_REASONS: Final[Mapping[str, int]] = {
    "EXITED": 1,
    "SIGNALED": 2,
    "CANCELED": 3,
    "KILLED": 4,
    "TIME_LIMIT": 5,
    "OUT_OF_MEMORY": 6,
    "START_FAILED": 7,
    "NOT_STARTED": 8,
    "PREEMPTED": 9,
    "NODE_LOST": 10,
    "NODE_REBOOTED": 11,
    "NODE_SHUTDOWN": 12,
    "STATUS_LOST": 13,
}
EXITED: Final = END_REASONS["EXITED"]
NOT_STARTED: Final = END_REASONS["NOT_STARTED"]
STATUS_LOST: Final = END_REASONS["STATUS_LOST"]

NO_CORE: Final = -1
NO_EXIT_CODE: Final = -1

#: Most bytes of output in a report: its frame stays below 1 MiB.
MOST_OUTPUT: Final = 512 * 1024

#: What a report takes in a frame beside its texts, bytes, at the most.
REPORT_BYTES: Final = 120
CORE_BYTES: Final = 3


class Start(NamedTuple):
    """A process has started.

    Attributes:
        time: Seconds since 1970 by the node's clock.
        core: Its first core; -1: none.
        cores: All of them, if there are several.
    """

    key: Key
    time: float
    core: int
    pid: int
    cores: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Bytes that it takes in a frame, about."""
        return REPORT_BYTES + CORE_BYTES * len(self.cores)


class End(NamedTuple):
    """An attempt has ended, or was refused.

    Attributes:
        reason: Number of an EndReason.
        exit_code: 128 + n after signal n; -1 where no process ended.
        start: Seconds since 1970; 0.0: it never started.
        end: Seconds since 1970.
        core: Its first core; -1: none.
        output: First bytes of the streams that the node kept.
        message: What went wrong, for people.
        code: What could not be done (``exec``, ``cwd``, …); empty otherwise.
        cores: All of its cores, if there are several.
    """

    key: Key
    reason: int
    exit_code: int
    start: float
    end: float
    core: int
    user_ms: int
    kernel_ms: int
    max_rss_kib: int
    output: bytes = b""
    message: str = ""
    code: str = ""
    cores: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Bytes that it takes in a frame, about."""
        cores = CORE_BYTES * len(self.cores)
        return REPORT_BYTES + len(self.output) + 4 * len(self.message) + cores


Report: TypeAlias = Start | End


@dataclass(frozen=True, slots=True)
class Detail:
    """What only some ended attempts have; ``index`` is the position in the columns."""

    index: int
    output: bytes
    message: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartColumns:
    """Processes of one task have started.

    Attributes:
        counts: Number of cores of each; empty: one or none each.
        sets: By position, those that do not follow the first one.
    """

    job_id: int
    task_id: int
    instances: Sequence[int]
    attempts: Sequence[int]
    times: Sequence[float]
    cores: Sequence[int]
    pids: Sequence[int]
    counts: Sequence[int] = ()
    sets: Mapping[int, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndColumns:
    """Attempts of one task have ended; ``counts`` and ``sets`` as of starts."""

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
    details: Sequence[Detail] = field(default=())
    counts: Sequence[int] = ()
    sets: Mapping[int, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LivedColumns:
    """Plain tasks of several jobs, one each, have run on one core and ended well."""

    task_id: int
    jobs: Sequence[int]
    attempts: Sequence[int]
    starts: Sequence[float]
    ends: Sequence[float]
    cores: Sequence[int]
    user_ms: Sequence[int]
    kernel_ms: Sequence[int]
    max_rss_kib: Sequence[int]


Columns: TypeAlias = StartColumns | EndColumns | LivedColumns


def in_columns(reports: Iterable[Report], *, lived: bool = False) -> list[Columns]:
    """Return the reports as columns: all starts, then all ends, by task.

    An attempt starts before it ends, so its own order is kept. Tasks come in the order
    of their first report, attempts in the order of theirs. Of one whose end is among
    the reports the start is left out: the end tells when and where it started.

    Args:
        reports: In their order.
        lived: Tasks of several jobs that ended well may be told of together, behind all
            others.
    """
    starts: dict[tuple[int, int], list[Start]] = {}
    ends: dict[tuple[int, int], list[End]] = {}
    started: list[Start] = []
    over: set[Key] = set()
    for report in reports:
        if isinstance(report, Start):
            started.append(report)
        else:
            ends.setdefault(report.key[:2], []).append(report)
            if report.start:
                over.add(report.key)
    for start in started:
        if start.key not in over:
            starts.setdefault(start.key[:2], []).append(start)
    together = _take_lived(ends) if lived else {}
    columns: list[Columns] = [_starts(task, rows) for task, rows in starts.items()]
    columns += [_ends(task, rows) for task, rows in ends.items()]
    columns += [_lived(task_id, rows) for task_id, rows in together.items()]
    return columns


def _take_lived(ends: dict[tuple[int, int], list[End]]) -> dict[int, list[End]]:
    """Take out what may be told of together, by the number of the task."""
    found: dict[int, list[End]] = {}
    for (_, task_id), rows in ends.items():
        if len(rows) == 1 and _has_lived(rows[0]):
            found.setdefault(task_id, []).append(rows[0])
    together = {task_id: rows for task_id, rows in found.items() if len(rows) > 1}
    for task_id, rows in together.items():
        for end in rows:
            del ends[end.key[0], task_id]
    return together


def _has_lived(end: End) -> bool:
    """Has it run as a plain task on one core, and well, with nothing to tell?"""
    return (
        end.reason == EXITED
        and not end.exit_code
        and not end.key[2]
        and end.start > 0
        and end.core >= 0
        and not (end.output or end.message or end.code or end.cores)
    )


def _lived(task_id: int, rows: list[End]) -> LivedColumns:
    keys, _, _, starts, ends, cores, user, kernel, memory, *_ = zip(*rows, strict=True)
    jobs, _, _, attempts = zip(*keys, strict=True)
    return LivedColumns(
        task_id=task_id,
        jobs=jobs,
        attempts=attempts,
        starts=starts,
        ends=ends,
        cores=cores,
        user_ms=user,
        kernel_ms=kernel,
        max_rss_kib=memory,
    )


def _starts(task: tuple[int, int], rows: list[Start]) -> StartColumns:
    keys, times, cores, pids, several = zip(*rows, strict=True)
    _, _, instances, attempts = zip(*keys, strict=True)
    return StartColumns(
        job_id=task[0],
        task_id=task[1],
        instances=instances,
        attempts=attempts,
        times=times,
        cores=cores,
        pids=pids,
        counts=_counts(cores, several),
        sets=_sets(several),
    )


def _counts(cores: Sequence[int], several: Sequence[tuple[int, ...]]) -> Sequence[int]:
    if not any(several):
        return ()
    pairs = zip(cores, several, strict=True)
    return [len(own) or int(core != NO_CORE) for core, own in pairs]


def _sets(several: Sequence[tuple[int, ...]]) -> dict[int, tuple[int, ...]]:
    return {
        position: own
        for position, own in enumerate(several)
        if own and own[-1] - own[0] != len(own) - 1
    }


def _ends(task: tuple[int, int], rows: list[End]) -> EndColumns:
    (
        keys,
        reasons,
        exit_codes,
        starts,
        ends,
        cores,
        user_ms,
        kernel_ms,
        max_rss_kib,
        outputs,
        messages,
        codes,
        several,
    ) = zip(*rows, strict=True)
    _, _, instances, attempts = zip(*keys, strict=True)
    texts = zip(outputs, messages, codes, strict=True)
    return EndColumns(
        job_id=task[0],
        task_id=task[1],
        instances=instances,
        attempts=attempts,
        reasons=reasons,
        exit_codes=exit_codes,
        starts=starts,
        ends=ends,
        cores=cores,
        user_ms=user_ms,
        kernel_ms=kernel_ms,
        max_rss_kib=max_rss_kib,
        details=tuple(
            Detail(index, *text) for index, text in enumerate(texts) if any(text)
        ),
        counts=_counts(cores, several),
        sets=_sets(several),
    )
