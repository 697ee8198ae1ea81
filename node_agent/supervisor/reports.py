"""The texts of ``started`` and ``ended``, made once for the journal and the agent."""

from __future__ import annotations

import os
import signal
from json.encoder import encode_basestring_ascii as quoted

from node_agent.supervisor import protocol
from node_agent.supervisor.attempt import core_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from node_agent.supervisor.attempt import Attempt
    from node_agent.supervisor.procfs import TaskKey
    from node_agent.supervisor.slots import Slot

SIGNAL_OFFSET = 128
CORE_DUMPED = 0x80


class Ending:
    """What an ``ended`` report says beyond the attempt's own facts.

    Attributes:
        reason: One of the end reasons of ``protocol``.
        code: What failed, for programs: ``cwd``, ``exec``, ``KILL_FAILED``, ...
        message: The same for people.
        output: The beginning of the private output.
        sizes: Bytes of private stdout and stderr.
    """

    __slots__ = ("code", "exit_code", "message", "output", "reason", "signal", "sizes")

    def __init__(
        self,
        reason: str,
        *,
        code: str | None = None,
        message: str = "",
        exit_code: int | None = None,
        signal_number: int | None = None,
    ) -> None:
        self.reason = reason
        self.code = code
        self.message = message
        self.exit_code = exit_code
        self.signal = signal_number
        self.output = ""
        self.sizes = (0, 0)


def started_text(position: int, attempt: Attempt, slot: Slot) -> bytes:
    """Return the report of an attempt whose process exists."""
    job, task, instance, number = attempt.key
    cores = core_text(attempt.cores)
    definition = attempt.definition
    out = slot.json_paths[0] if definition.stdout is None else "null"
    err = slot.json_paths[1] if definition.stderr is None else "null"
    return (
        f'["started",{position},{job},{task},{instance},{number},{attempt.pid},'
        f"{attempt.started_at:.6f},[{cores}],{out},{err}]"
    ).encode()


def ended_text(
    position: int,
    key: TaskKey,
    attempt: Attempt | None,
    end: float,
    ending: Ending,
    *,
    why: str | None = None,
) -> bytes:
    """Return the report of an attempt that has ended, or was never tried (None)."""
    job, task, instance, number = key
    start, cores = "null", ""
    user_ms = system_ms = max_rss_kb = 0
    if attempt is not None:
        if attempt.started_at is not None:
            start = f"{attempt.started_at:.6f}"
        cores = core_text(attempt.cores)
        user_ms, system_ms = attempt.user_ms, attempt.system_ms
        max_rss_kb = attempt.max_rss_kb
        why = attempt.why
    return (
        f'["ended",{position},{job},{task},{instance},{number},'
        f'{{"reason":"{ending.reason}","exit_code":{_number(ending.exit_code)},'
        f'"signal":{_number(ending.signal)},"start":{start},"end":{end:.6f},'
        f'"output":{_text(ending.output)},"out_bytes":{ending.sizes[0]},'
        f'"err_bytes":{ending.sizes[1]},"code":{_text(ending.code)},'
        f'"message":{_text(ending.message)},"user_ms":{user_ms},'
        f'"system_ms":{system_ms},"max_rss_kb":{max_rss_kb},"why":{_text(why)},'
        f'"cores":[{cores}]}}]'
    ).encode()


def _number(value: int | None) -> str:
    return "null" if value is None else str(value)


def _text(value: str | None) -> str:
    if value is None:
        return "null"
    return quoted(value) if value else '""'


def ending_of(attempt: Attempt, *, out_of_memory: bool) -> Ending:
    """Return how an attempt ended whose main process's status is known.

    Source: node-agent.md 8 (exit codes and end reasons).
    """
    status = attempt.status or 0
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        ending = Ending(protocol.EXITED, exit_code=code)
        number = None
    else:
        number = -code
        ending = Ending(
            protocol.SIGNALED, exit_code=SIGNAL_OFFSET + number, signal_number=number
        )
        ending.message = f"ended by signal {number} ({_signal_name(number)})"
        if status & CORE_DUMPED:
            ending.message += ", core dumped"
    if attempt.stopping == "limit":
        ending.reason = protocol.TIME_LIMIT
        ending.message = f"run-time limit of {attempt.definition.limit_s:g} s reached"
    elif attempt.stopping:
        if attempt.why == protocol.NODE_SHUTDOWN:
            ending.reason = protocol.NODE_SHUTDOWN
        elif attempt.killed and number == signal.SIGKILL:
            ending.reason = protocol.KILLED
        else:
            ending.reason = protocol.CANCELED
    elif number == signal.SIGKILL and out_of_memory:
        ending.reason = protocol.OUT_OF_MEMORY
        ending.message = "killed by the kernel: the node ran out of memory"
    return ending


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"
