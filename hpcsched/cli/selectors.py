"""Which jobs and tasks a command line names.

An id that is written out, and ``last``, are acted on in the order given and refused if
they cannot be. A range, ``all``, ``state=`` and ``label:`` choose among the caller's
own jobs, by ascending id, those whose state allows the verb (cli.md section 2).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import click

from hpcsched.cli.arguments import JOB_STATES, parse_state
from hpcsched.common.taskid import LARGEST_ID, TaskRefError, parse_task_ref

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_RANGE: Final = r"([1-9][0-9]{0,9})-([1-9][0-9]{0,9})"
_TASK: Final = r"(last|[1-9][0-9]{0,9})\.([1-9][0-9]{0,9})(?:\.([1-9][0-9]{0,9}))?"

#: The id of the caller's newest job is looked up later.
LAST: Final = 0


@dataclass(frozen=True, slots=True)
class Named:
    """A job that was written out; ``LAST`` is the caller's newest."""

    job_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Jobs of the caller's that match; the defaults match all.

    Attributes:
        first: Smallest id; 0 for no bound.
        last: Largest id; 0 for no bound.
        states: Numbers of the API's states; empty for any.
        labels: Custom properties that they have.
    """

    first: int = 0
    last: int = 0
    states: tuple[int, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)


Selector = Named | Chosen


@dataclass(frozen=True, slots=True)
class TaskName:
    """A task of a job, or an element; job ``LAST`` is the caller's newest."""

    job_id: int
    task_id: int
    instance_id: int


def parse_selectors(texts: Iterable[str]) -> tuple[Selector, ...]:
    """Return the selectors in the words of a command line.

    Raises:
        ValueError: a word is none; the message quotes it.
    """
    return tuple(selector for text in texts for selector in _parse_word(text))


def _parse_word(text: str) -> Iterator[Selector]:
    if text.startswith("label:"):
        name, equals, value = text.removeprefix("label:").partition("=")
        if not (name and equals):
            raise ValueError(f"{text!r} is not label:NAME=VALUE")
        yield Chosen(labels={name: value})
        return
    in_states = False
    for part in text.split(","):
        if part.startswith("state="):
            in_states = True
            yield Chosen(states=(parse_state(part[len("state=") :], JOB_STATES),))
        elif in_states and part[:1].isalpha() and part not in {"last", "all"}:
            yield Chosen(states=(parse_state(part, JOB_STATES),))
        else:
            yield _parse_part(part.strip())


def _parse_part(text: str) -> Selector:
    if text == "last":
        return Named(LAST)
    if text == "all":
        return Chosen()
    if match := re.fullmatch(_RANGE, text, re.ASCII):
        first, last = int(match[1]), int(match[2])
        if last < first:
            raise ValueError(f"{text!r} ends before it starts")
        if first > LARGEST_ID:
            raise ValueError(f"{text!r} is beyond the largest id, {LARGEST_ID}")
        return Chosen(first=first, last=min(last, LARGEST_ID))
    return Named(parse_job(text))


def parse_job(text: str) -> int:
    """Return the id of the one job that a word names; ``LAST`` for ``last``.

    Raises:
        ValueError: it names no single job.
    """
    if text == "last":
        return LAST
    try:
        ref = parse_task_ref(text)
    except TaskRefError:
        raise ValueError(f"{text!r} is no job such as 42 or last") from None
    if ref.task:
        raise ValueError(f"{text!r} is a task; a job is wanted, such as {ref.job}")
    return ref.job


def parse_task(text: str) -> TaskName:
    """Return the task or element that a word such as ``42.3.17`` names.

    Raises:
        ValueError: it names none.
    """
    match = re.fullmatch(_TASK, text, re.ASCII)
    if match is None:
        raise ValueError(f"{text!r} is no task such as 42.3 or 42.3.17")
    job = LAST if match[1] == "last" else int(match[1])
    numbers = (job, int(match[2]), int(match[3] or 0))
    if max(numbers) > LARGEST_ID:
        raise ValueError(f"{text!r} has a number above {LARGEST_ID}")
    return TaskName(*numbers)


class JobType(click.ParamType[int]):
    """One job."""

    name = "job"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_job(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class TaskType(click.ParamType[TaskName]):
    """One task or element."""

    name = "task"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> TaskName:
        if isinstance(value, TaskName):
            return value
        try:
            return parse_task(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class TaskListType(click.ParamType[tuple[TaskName, ...]]):
    """Tasks and elements, comma-separated."""

    name = "tasks"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[TaskName, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(parse_task(one) for one in value.split(","))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class SelectorType(click.ParamType[tuple[Selector, ...]]):
    """Selectors of jobs in one word."""

    name = "selector"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Selector, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return parse_selectors([value])
        except ValueError as error:
            self.fail(str(error), param, ctx)


JOB: Final = JobType()
TASK: Final = TaskType()
TASKS: Final = TaskListType()
SELECTOR: Final = SelectorType()
