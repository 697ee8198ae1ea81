"""Queued jobs that are alike: what of one of them says where it stands in the queue.

Two jobs of one call that ask for the same, and to which nothing has happened since,
differ in two numbers: their own, which is nowhere in what is encoded of a job, and
their place in the queue. So one that is encoded with another place shows where it is.

Jobs of one task may also differ in what that task runs. The scheduler does not look at
it, and it is kept in one place: the task's specification, which the first event names.
"""

from __future__ import annotations

from dataclasses import fields, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from hpcsched.core.job import codec
from hpcsched.core.job.packing import Cut, pack
from hpcsched.core.job.states import JobState, JobType
from hpcsched.core.task.spec import TaskSpec
from hpcsched.core.task.states import TaskType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.core.job.events import Change, Event
    from hpcsched.core.job.model import Job

_STRANGE: Final = 0xE9B371C5
"""A place in the queue that no job has."""
TEXTS: Final = frozenset(
    (
        *("arguments", "command_line", "environment", "custom_properties"),
        *("work_directory", "stdin_path", "stdout_path", "stderr_path"),
    )
)
"""Fields of a task that only its node reads, and people."""
_SHAPE: Final = attrgetter(
    *(one.name for one in fields(TaskSpec) if one.name not in TEXTS)
)


def have_one_shape(one: Sequence[TaskSpec], other: Sequence[TaskSpec]) -> bool:
    """Do the tasks of two jobs differ in nothing that the scheduler looks at?

    That is said of jobs of a single plain task only.
    """
    if len(one) != 1 or len(other) != 1:
        return False
    (first,), (second,) = one, other
    return (
        first.type is TaskType.BASIC
        and not first.user_blob  # each is sealed by itself
        and bool(_SHAPE(first) == _SHAPE(second))
    )


def is_plain(job: Job) -> bool:
    """Has nothing happened to a job but that it was queued, and nothing to come?

    Its state then is that of every other job of its specification but for the two
    numbers, and time changes nothing about it.
    """
    spec = job.spec
    return (
        job.state is JobState.QUEUED
        and spec.job_type is not JobType.ADMIN
        and not spec.parent_job_ids
        and not spec.is_exclusive
        and not spec.estimated_process_memory
        and not job.held_by
        and not job.uses
        and not job.ahead
        and not job.requeue_count
    )


def cut_job(job: Job) -> Cut | None:
    """Return the blob of a job without its place in the queue.

    None: it is not clear where that is, so the job is like no other.
    """
    order = job.submit_order
    job.submit_order = _STRANGE
    try:
        strange = codec.encode_job(job)
    finally:
        job.submit_order = order
    return _cut(strange, codec.encode_job(job), order)


def cut_event(event: Event, changes: Sequence[Change]) -> Cut | None:
    """Return an encoded event without the place in the queue that it gave; the same."""
    body = codec.encode_event(event, changes)
    order = event.patch.get("submit_order")
    if order is None:
        return Cut(body, has_number=False)
    strange = replace(event, patch={**event.patch, "submit_order": _STRANGE})
    return _cut(codec.encode_event(strange, changes), body, order)


def cut_creation(event: Event, changes: Sequence[Change]) -> Cut | None:
    """Return the first event of a job of one task without the task's specification."""
    body = codec.encode_event(event, changes)
    if len(event.added) != 1:
        return None
    own = codec.encode_spec(event.added[0])
    before, hole, after = body.partition(pack(own))
    cut = Cut(before, after)
    other = replace(event.added[0], arguments=("strange",), command_line="")
    strange = codec.encode_event(replace(event, added=(other,)), changes)
    fits = hole and cut.filled_with(codec.encode_spec(other)) == strange
    return cut if fits and cut.filled_with(own) == body else None


def _cut(strange: bytes, body: bytes, order: int) -> Cut | None:
    before, hole, after = strange.partition(pack(_STRANGE))
    cut = Cut(before, after)
    return cut if hole and cut.filled(order) == body else None
