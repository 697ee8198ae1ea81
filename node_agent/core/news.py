"""What the supervisor says, as values.

The supervisor is a program of ours, yet another version of it may run here: a message
that cannot be read is an error that names the field, never a crash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from node_agent.core.attempts import Ended, Live
from node_agent.core.reports import (
    END_REASONS,
    MOST_OUTPUT,
    NO_CORE,
    NO_EXIT_CODE,
    NOT_STARTED,
    STATUS_LOST,
    End,
    Start,
)
from node_agent.core.text import readable, to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from node_agent.core.orders import Key

#: Longest text for people in a report, characters.
LONGEST_MESSAGE: Final = 4096


class NewsError(Exception):
    """A message of the supervisor cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """The supervisor's hello.

    Attributes:
        boot_id: Boot of the kernel.
        instance: Name of the journal.
        containment: ``cgroup`` or ``group``.
        live: What runs, or waits for a core.
        tells_usage: Can it be asked what running tasks use?
        takes_alike: Does it take orders for several jobs that are alike?
        holds_starts: Does it keep a start back for a moment, to tell it with its end?
    """

    boot_id: str
    instance: str
    containment: str
    live: Sequence[tuple[Key, Live]]
    tells_usage: bool = False
    takes_alike: bool = False
    holds_starts: bool = False


def inventory_of(body: Mapping[str, Any]) -> Inventory:
    """Return the supervisor's hello as a value.

    Raises:
        NewsError: it cannot be read.
    """
    try:
        live = [
            (
                _key(j, t, i, a),
                Live(
                    running=pid is not None,
                    start_time=float(start or 0.0),
                    cores=tuple(cores or ()),
                    out_path=out,
                    err_path=err,
                ),
            )
            for j, t, i, a, pid, start, cores, out, err, *_ in body["running"]
        ]
        live += [(_key(j, t, i, a), Live()) for j, t, i, a, *_ in body["queued"]]
        return Inventory(
            boot_id=str(body["boot_id"]),
            instance=str(body["instance"]),
            containment=str(body["containment"]),
            live=live,
            tells_usage=bool(body.get("usage")),
            takes_alike=bool(body.get("alike")),
            holds_starts=bool(body.get("holds_starts")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise NewsError(f"hello: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Started:
    """A process has started: what the head is told, and what only we need."""

    position: int
    report: Start
    cores: Sequence[int]
    out_path: str | None
    err_path: str | None


def started_of(message: Sequence[Any]) -> Started:
    """Return a ``started`` as a value.

    Raises:
        NewsError: it cannot be read.
    """
    try:
        _, position, j, t, i, a, pid, start, cores, out, err = message
        core, several = _cores(cores)
        report = Start(_key(j, t, i, a), float(start), core, int(pid), several)
        return Started(int(position), report, cores, out, err)
    except (TypeError, ValueError) as error:
        raise NewsError(f"started: {error!r}") from error


def ended_of(message: Sequence[Any]) -> tuple[int, End, Ended]:
    """Return the journal position of an ``ended``, the report, and what was left.

    Raises:
        NewsError: it cannot be read.
    """
    try:
        _, position, j, t, i, a, body = message
        left = Ended(int(body.get("out_bytes") or 0), int(body.get("err_bytes") or 0))
        return int(position), _end(_key(j, t, i, a), body), left
    except (AttributeError, TypeError, ValueError) as error:
        raise NewsError(f"ended: {error!r}") from error


def refused_of(message: Sequence[Any], now: float) -> End:
    """Return a ``refused`` as the end of an attempt that never began.

    Raises:
        NewsError: it cannot be read.
    """
    try:
        _, j, t, i, a, text = message
        key = _key(j, t, i, a)
    except (TypeError, ValueError) as error:
        raise NewsError(f"refused: {error!r}") from error
    return End(
        key=key,
        reason=NOT_STARTED,
        exit_code=NO_EXIT_CODE,
        start=0.0,
        end=now,
        core=NO_CORE,
        user_ms=0,
        kernel_ms=0,
        max_rss_kib=0,
        message=readable(str(text))[:LONGEST_MESSAGE],
    )


def _key(job: Any, task: Any, instance: Any, attempt: Any) -> Key:
    return int(job), int(task), int(instance), int(attempt)


def _cores(cores: Sequence[Any] | None) -> tuple[int, tuple[int, ...]]:
    """Return the first core, and all of them if there are several."""
    if not cores:
        return NO_CORE, ()
    if len(cores) == 1:
        return int(cores[0]), ()
    several = tuple(sorted(map(int, cores)))
    return several[0], several


def _end(key: Key, body: Mapping[str, Any]) -> End:
    word = str(body.get("reason"))
    message = readable(str(body.get("message") or ""))[:LONGEST_MESSAGE]
    if word not in END_REASONS:
        message = f"unknown end reason {readable(word)}: {message}"[:LONGEST_MESSAGE]
    core, several = _cores(body.get("cores"))
    return End(
        key=key,
        reason=END_REASONS.get(word, STATUS_LOST),
        exit_code=_exit_code(body.get("exit_code"), body.get("signal")),
        start=float(body.get("start") or 0.0),
        end=float(body.get("end") or 0.0),
        core=core,
        user_ms=int(body.get("user_ms") or 0),
        kernel_ms=int(body.get("system_ms") or 0),
        max_rss_kib=int(body.get("max_rss_kb") or 0),
        output=to_bytes(str(body.get("output") or ""))[:MOST_OUTPUT],
        message=message,
        code=readable(str(body.get("code") or "")),
        cores=several,
    )


def _exit_code(code: int | None, signal: int | None) -> int:
    """Return the process's own code, 128 + n after signal n (node-agent.md 8)."""
    if code is not None:
        return int(code)
    return 128 + int(signal) if signal else NO_EXIT_CODE
