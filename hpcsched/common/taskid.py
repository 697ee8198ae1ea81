"""Names of jobs, tasks and sweep elements: ``42``, ``42.3``, ``42.3.17``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

#: Ids are positive 32-bit integers and never used again.
LARGEST_ID: Final = (1 << 31) - 1

_REF: Final = r"([1-9][0-9]{0,9})(?:\.([1-9][0-9]{0,9})(?:\.([1-9][0-9]{0,9}))?)?"


class TaskRefError(ValueError):
    """A text names no job, task or element; the message quotes it."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class TaskRef:
    """A job, a task of it, or an element of a sweep of it.

    Attributes:
        job: The job's id, from 1.
        task: The task's number in its job, from 1; 0 is the job itself.
        instance: The element's number in its sweep, from 1; 0 is the task itself.
    """

    job: int
    task: int = 0
    instance: int = 0

    def __post_init__(self) -> None:
        for name, value, least in (
            ("job", self.job, 1),
            ("task", self.task, 1 if self.instance else 0),
            ("instance", self.instance, 0),
        ):
            if not least <= value <= LARGEST_ID:
                problem = f"{name} {value} is not between {least} and {LARGEST_ID}"
                raise TaskRefError(problem)

    def __str__(self) -> str:
        if self.instance:
            return f"{self.job}.{self.task}.{self.instance}"
        return f"{self.job}.{self.task}" if self.task else str(self.job)

    @property
    def master(self) -> TaskRef:
        """The task of an element; itself for what is no element."""
        return TaskRef(job=self.job, task=self.task) if self.instance else self


def parse_task_ref(text: str) -> TaskRef:
    """Return what a text such as ``42.3.17`` names.

    Raises:
        TaskRefError: the text has another form, or a number is too large.
    """
    match = re.fullmatch(_REF, text, re.ASCII)
    if match is None:
        raise TaskRefError(f"{text[:40]!r} is no id such as 42, 42.3 or 42.3.17")
    job, task, instance = (int(number or 0) for number in match.groups())
    return TaskRef(job=job, task=task, instance=instance)
