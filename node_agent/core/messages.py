"""Orders as messages to the supervisor.

Definitions and grants have their own module, ``definitions``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.substitution import render
from node_agent.core.orders import RecallTasks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from node_agent.core.definitions import Definition, Message
    from node_agent.core.orders import EndJobs, StartTasks, StopTasks

#: Most attempts in one message, so that a frame stays far below the protocol's limit.
MOST_ENTRIES: Final = 4096

#: Longest reason of a stop that the supervisor takes, characters.
LONGEST_REASON: Final = 40

RETRY_COUNT: Final = "CCP_RETRY_COUNT"
LINE: Final = "HPC_LINE"


def start_messages(
    order: StartTasks, definition: Definition | None
) -> Iterator[Message]:
    """Yield the messages that start the attempts of an order."""
    entries = entries_of(order, definition)
    for begin in range(0, len(entries), MOST_ENTRIES):
        part = entries[begin : begin + MOST_ENTRIES]
        yield ["start", order.job_id, order.task_id, order.definition, part]


def entries_of(order: StartTasks, definition: Definition | None) -> list[list[Any]]:
    """Return the attempts of an order as the supervisor is told of them."""
    return [list(entry) for entry in _entries(order, definition)]


def stop_messages(order: StopTasks | RecallTasks) -> Iterator[Message]:
    """Yield the messages that stop the attempts of an order, or ask for them back."""
    entries = [list(e) for e in zip(order.instances, order.attempts, strict=True)]
    task = (order.job_id, order.task_id)
    for begin in range(0, len(entries), MOST_ENTRIES):
        part = entries[begin : begin + MOST_ENTRIES]
        if isinstance(order, RecallTasks):
            yield ["recall", *task, part]
        else:
            grace_s = max(0, order.grace_ms) / 1000
            yield ["stop", *task, part, grace_s, _word(order.reason)]


def end_messages(order: EndJobs, *, together: bool) -> Iterator[Message]:
    """Yield the messages that end jobs, for all of them or for each."""
    jobs = list(order.job_ids)
    if not together:
        yield from (["end_job", job_id] for job_id in jobs)
        return
    for begin in range(0, len(jobs), MOST_ENTRIES):
        yield ["end_jobs", jobs[begin : begin + MOST_ENTRIES]]


def _word(reason: str) -> str | None:
    fit = reason.isascii() and 0 < len(reason) <= LONGEST_REASON
    return reason if fit else None


def _entries(
    order: StartTasks, definition: Definition | None
) -> Iterator[tuple[int, int, int | str, int, dict[str, str] | None]]:
    own: dict[str, str] = {}
    if definition is not None:
        own = definition.variables_for(order.cores, order.allocation)
    columns = zip(
        order.instances, order.attempts, order.values, order.retries, strict=True
    )
    for instance, attempt, value, retries in columns:
        extra: dict[str, Any] = dict(own)
        if retries > 0:
            extra[RETRY_COUNT] = str(retries)
        if isinstance(value, str):
            extra[LINE] = value
        if definition is not None and definition.variables:
            for name, template in definition.variables.items():
                extra[name] = render(template, value)
        yield instance, attempt, value, order.cores, extra or None
