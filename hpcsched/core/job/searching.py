"""Listing the tasks of a job by any of their properties, in any order (api.md 11)."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.lifetime import created
from hpcsched.core.job.show import changed_time, element_name, listed, submitted
from hpcsched.core.listing.ordering import Place, decode_position, encode_position
from hpcsched.core.task.elements import HAS_EXIT
from hpcsched.core.task.states import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcsched.core.job.model import Job, TaskRecord
    from hpcsched.core.listing.conditions import Condition
    from hpcsched.core.listing.ordering import SortKey
    from hpcsched.core.listing.properties import Value

    Found = list[tuple[TaskRecord, int]]

SORTED_LIMIT: Final = 50_000
"""Entries that are sorted: some 200 ms of the one thread that serves everybody."""
SCAN_LIMIT: Final = 20_000
"""Entries looked at for one page; one with fewer matches than asked for is short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSearch:
    """Which tasks of a job, and where the page begins.

    Attributes:
        states: TaskState numbers; empty: all.
        elements: One entry per element in place of one per sweep.
        task_id: Only this task; 0: all.
        token: What ``search_tasks`` gave with the page before.
    """

    states: frozenset[int] = frozenset()
    elements: bool = False
    task_id: int = 0
    conditions: tuple[Condition, ...] = ()
    sort: tuple[SortKey, ...] = ()
    limit: int = 100
    token: str = ""


def search_tasks(job: Job, search: TaskSearch) -> tuple[Found, str]:
    """Return (task, instance) of a page, and the token of the next one.

    Raises:
        HpcError: PAGE_TOKEN_INVALID, LIST_TOO_LONG_TO_SORT.
    """
    states, rest = _split(search)
    if not states:
        return [], ""
    if search.sort:
        return _sorted_page(job, search, states, rest)
    after = (0, -1)
    if search.token:
        position: Any = decode_position(search.token, (), 2)
        after = (int(position[0]), int(position[1]))
    found: Found = []
    at = after
    for looked, one in enumerate(_candidates(job, search, states, after)):
        if len(found) == search.limit or looked == SCAN_LIMIT:
            return found, encode_position(at)
        record, instance = one
        at = (record.task_id, instance)
        if _matches(job, record, instance, rest):
            found.append((record, instance))
    return found, ""


def _split(search: TaskSearch) -> tuple[frozenset[int], tuple[Condition, ...]]:
    """Return the states that pass, which are found fast, and the other conditions."""
    on_state = [c for c in search.conditions if c.property.name == "state"]
    states = frozenset(
        int(state)
        for state in TaskState
        if (not search.states or state in search.states)
        and all(condition.holds(int(state)) for condition in on_state)
    )
    rest = tuple(c for c in search.conditions if c.property.name != "state")
    return states, rest


def _candidates(
    job: Job, search: TaskSearch, states: frozenset[int], after: tuple[int, int]
) -> Iterator[tuple[TaskRecord, int]]:
    every = len(states) == len(TaskState)
    chosen = frozenset[int]() if every else states
    for record, instance, _ in listed(
        job,
        elements=search.elements,
        states=chosen,
        task_id=search.task_id,
        after=after,
    ):
        yield record, instance


def _matches(
    job: Job, record: TaskRecord, instance: int, conditions: tuple[Condition, ...]
) -> bool:
    return all(
        condition.holds(value_of(job, record, instance, condition.property.name))
        for condition in conditions
    )


def _sorted_page(
    job: Job,
    search: TaskSearch,
    states: frozenset[int],
    conditions: tuple[Condition, ...],
) -> tuple[Found, str]:
    names = [key.property.name for key in search.sort]
    entries: list[tuple[tuple[Value | None, ...], TaskRecord, int]] = []
    for record, instance in _candidates(job, search, states, (0, -1)):
        if not _matches(job, record, instance, conditions):
            continue
        if len(entries) == SORTED_LIMIT:
            raise HpcError(
                "LIST_TOO_LONG_TO_SORT",
                count=f"more than {SORTED_LIMIT}",
                limit=SORTED_LIMIT,
            )
        values = [value_of(job, record, instance, name) for name in names]
        position = (*values, record.task_id, instance)
        entries.append((position, record, instance))
    # Sorting keeps the order of what is equal, so the primary key comes last.
    for place, key in reversed(list(enumerate(search.sort))):
        entries.sort(
            key=lambda entry, at=place: (entry[0][at] is not None, entry[0][at]),  # type: ignore[misc]
            reverse=key.descending,
        )
    first = 0
    if search.token:
        falling = [key.descending for key in search.sort] + [False, False]
        after = Place(decode_position(search.token, search.sort, 2), falling)
        first = bisect_right(entries, after, key=lambda e: Place(e[0], falling))
    page = entries[first : first + search.limit]
    more = first + len(page) < len(entries)
    token = encode_position(page[-1][0]) if more and page else ""
    return [(record, instance) for _, record, instance in page], token


def value_of(  # noqa: C901, PLR0911, PLR0912  one line per property
    job: Job, record: TaskRecord, instance: int, name: str
) -> Value | None:
    """Return a property of a task, a master or an element; None: it has no value."""
    spec = record.spec
    match name:
        case "job_id":
            return job.job_id
        case "task_id":
            return record.task_id
        case "instance_id":
            return instance
        case "type":
            return int(spec.type)
        case "create_time":
            return created(job, record)
        case "change_time":
            return changed_time(job, record, instance)
        case "runtime":
            return int(spec.runtime)
        case "is_rerunnable" | "is_exclusive":
            return int(getattr(spec, name))
        case "is_parametric":
            return int(spec.is_sweep)
        case _ if name.startswith(("min_", "max_")):
            value: int | None = getattr(spec, name)
            return value or getattr(spec, name.replace("max_", "min_"))
    if record.has_elements and not instance:
        return _of_master(job, record, name)
    table, row = job.table_of(record), record.row(instance)
    match name:
        case "name":
            shown: int | str = spec.value_of(instance) if spec.is_sweep else instance
            return element_name(record, instance, shown)
        case "state":
            return int(table.state[row])
        case "previous_state":
            return table.get("prev", row) or None
        case "exit_code":
            flags = table.get("flags", row)
            return int(table.get("exit", row)) if flags & HAS_EXIT else None
        case "requeue_count":
            return int(table.get("requeues", row))
        case "start_time":
            return table.get("start", row) or None
        case "end_time":
            ended = TaskState(table.state[row]).terminal
            return (table.get("end", row) or None) if ended else None
    return submitted(job, record, TaskState(table.state[row]))


def _of_master(  # noqa: PLR0911  one line per property
    job: Job, record: TaskRecord, name: str
) -> Value | None:
    match name:
        case "name":
            return record.spec.name
        case "state":
            return int(record.state)
        case "previous_state":
            return None if record.previous is None else int(record.previous)
        case "requeue_count":
            return record.requeues
        case "submit_time":
            return submitted(job, record, record.state)
        case "start_time":
            return record.first_start or None
        case "end_time":
            return (record.last_end or None) if record.state.terminal else None
    return None
