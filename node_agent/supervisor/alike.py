"""Jobs that want the same and differ in a few variables: what they have is kept once.

One order, one record and one definition stand for all of them, where each job's own
would be read, checked, journalled and made an environment by itself.
"""

from __future__ import annotations

from node_agent.supervisor.attempt import mask_of
from node_agent.supervisor.checks import check_cores, check_id, check_starts
from node_agent.supervisor.definition import Definition, FieldError, encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from node_agent.supervisor.definition import User
    from node_agent.supervisor.protocol import Message
    from node_agent.supervisor.table import Table

MOST_JOBS = 4096
FIXED = ("HOME", "PATH")
"""Variables that decide where a task runs and what: they cannot differ."""


class Alike:
    """Jobs of which each has one task, defined, granted cores and started alike.

    Attributes:
        count: How many attempts they have together.
        items: The message's items, for the journal.
        numbers: Of the jobs, in the order in which they are to start.

    Raises:
        FieldError: the message makes no sense.
    """

    __slots__ = ("_cores", "_first", "_names", "_owns", "_starts", "items", "numbers")

    def __init__(self, items: list[Any], user: User) -> None:
        raw, names, jobs, self._cores, self._starts = self.items = items
        if not isinstance(raw, dict):
            raise FieldError("alike: must begin with an object")
        self._first = Definition(raw, user)
        self._names = _names(names, raw.get("env") or {})
        check_cores("alike", self._cores)
        check_starts("alike", self._starts)
        if not isinstance(jobs, list) or not len(jobs) <= MOST_JOBS:
            raise FieldError(f"alike: jobs: must be a list of up to {MOST_JOBS}")
        keys = [encoded(name) for name in self._names]
        self._owns: dict[int, dict[bytes, bytes]] = {}
        for job in jobs:
            number, values = _own(job, len(keys))
            self._owns[number] = dict(zip(keys, values, strict=True))
        if len(self._owns) != len(jobs):
            raise FieldError("alike: jobs: one is named twice")
        self.numbers = self._owns.keys()

    @property
    def count(self) -> int:
        """How many attempts they have together."""
        return len(self._owns) * len(self._starts)

    def take_in(self, table: Table) -> None:
        """Put all of it into the table."""
        first, cores = self._first, mask_of(self._cores)
        for number, own in self._owns.items():
            definition = first.like(number, own)
            table.define(definition)
            table.grant(number, cores)
            for item in self._starts:
                table.accept(definition, *item)

    def one_by_one(self) -> Iterator[Message]:
        """Yield the messages that would have said the same of one job each."""
        first = self._first
        for number, own in self._owns.items():
            yield ["grant", number, self._cores]
            yield ["define", first.like(number, own).raw]
            yield ["start", number, first.task, first.number, self._starts]


def _names(names: object, environment: object) -> list[str]:
    """Return the names of what differs.

    Raises:
        FieldError: they are no names of variables that may differ.
    """
    if not isinstance(names, list) or not isinstance(environment, dict):
        raise FieldError("alike: names: must be a list of variables")
    for name in names:
        if not isinstance(name, str) or name not in environment or name in FIXED:
            raise FieldError(f"alike: names: {name!r:.40} cannot differ")
    return names


def _own(job: object, count: int) -> tuple[int, list[bytes]]:
    """Return a job's number and the values of its variables.

    Raises:
        FieldError: it is not [job, value, ...].
    """
    if not isinstance(job, list) or len(job) != count + 1:
        raise FieldError("alike: a job is [job, value of each variable]")
    number, *values = job
    check_id("alike: job", number)
    for value in values:
        if type(value) is not str or "\0" in value:
            raise FieldError(f"alike: {value!r:.40}: must be a string without NUL")
    return number, list(map(encoded, values))
