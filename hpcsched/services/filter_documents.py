"""The XML that filter programs are given, and read again when they have changed it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from hpcsched.api.v1 import task_pb2
from hpcsched.jobfile.reading import read_xml
from hpcsched.jobfile.writing import write_xml
from hpcsched.runtime.filter_documents import Rewritten
from hpcsched.services.convert_job import job_message
from hpcsched.services.convert_job_spec import (
    job_spec,
    job_spec_message,
    task_spec,
    task_spec_message,
)
from hpcsched.services.convert_time import seconds_since_epoch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.core.task.spec import TaskSpec
    from hpcsched.runtime.filter_documents import JobSnapshot


class XmlDocuments:
    """``runtime.filter_documents.FilterDocuments`` in the reference's XML."""

    def write(self, snapshot: JobSnapshot) -> bytes:
        """Return the XML of a job."""
        job = snapshot.job
        assert job.spec is not None  # noqa: S101  a snapshot has it
        spec = job_spec_message(job.spec)
        tasks = []
        for task_id, asked, state in snapshot.tasks:
            spec.tasks.append(task_spec_message(asked))
            shown = cast("task_pb2.Task.State.ValueType", int(state))
            tasks.append(task_pb2.Task(job_id=job.job_id, task_id=task_id, state=shown))
        return write_xml(spec, job=job_message(job), tasks=tasks)

    def read(self, document: bytes, snapshot: JobSnapshot) -> Rewritten:
        """Return what a filter has made of it.

        Raises:
            ValueError: it is malformed, or a task is missing; the text says where.
            HpcError: INVALID_FIELD, TEXT_TOO_LONG.
        """
        before = snapshot.job.spec
        assert before is not None  # noqa: S101  a snapshot has it
        file = read_xml(document)
        spec = replace(job_spec(file.spec, "spec"), job_type=before.job_type)
        numbers = _numbers(file.nice_ids, len(snapshot.tasks))
        found = [
            task_spec(message, f"spec.tasks[{place}]")
            for place, message in enumerate(file.spec.tasks)
        ]
        kept: dict[int, TaskSpec] = {}
        added: list[TaskSpec] = []
        for number, one in zip(numbers, found, strict=True):
            if not number:
                added.append(one)
                continue
            old = snapshot.tasks[number - 1][1]
            kept[number] = replace(one, node=old.node)
        until = None
        if file.hold_until is not None:
            until = seconds_since_epoch(file.hold_until, "hold_until")
        return Rewritten(
            spec=spec,
            tasks=kept,
            added=added,
            hold_until=until,
            warnings=file.warnings,
        )


def _numbers(nice_ids: Sequence[int], count: int) -> Sequence[int]:
    """Return the number of each task; 0 for those that are new.

    Raises:
        ValueError: a number is none of the job's, occurs twice, or is missing.
    """
    seen: set[int] = set()
    for number in nice_ids:
        if number in seen:
            raise ValueError(f"two tasks have NiceId {number}")
        if number < 0 or number > count:
            raise ValueError(f"NiceId {number}: the job has tasks 1 to {count}")
        if number:
            seen.add(number)
    missing = [number for number in range(1, count + 1) if number not in seen]
    if missing:
        raise ValueError(f"task {missing[0]} is missing; tasks cannot be taken out")
    return nice_ids
