"""A job file as a change of a job that there is (the reference's RestoreFromXml)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hpcsched.api.v1 import job_pb2, job_service_pb2
from hpcsched.jobfile.plain import job_of
from hpcsched.jobfile.reading import read_xml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from google.protobuf.message import Message

_NOT_OF_THE_JOB: Final = ("tasks",)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """What a file changes.

    Attributes:
        spec: The job, without its tasks.
        fields: What of it the file sets, be it to its default. ``explicit`` is always
            among them: a file says of built-in values which of them are meant.
        tasks: Its tasks, each with what the file sets of it.
        lines: Where in the file each task begins; empty: not known.
        warnings: What was left out of the file, a sentence each.
    """

    spec: job_pb2.JobSpec
    fields: tuple[str, ...]
    tasks: Sequence[job_service_pb2.TaskEdit]
    lines: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()


def change_in_xml(text: bytes) -> FileChange:
    """Return the change of a file in XML.

    Raises:
        JobFileError: it is malformed; the text says where.
        HpcError: TEXT_TOO_LONG, a limit of the reference.
    """
    file = read_xml(text)
    tasks = [
        job_service_pb2.TaskEdit(
            task_id=number if 0 < number < 1 << 31 else 0, spec=task, fields=given
        )
        for number, task, given in zip(
            file.nice_ids, file.spec.tasks, file.task_given, strict=True
        )
    ]
    return _change(file.spec, file.given, tasks, file.lines, file.warnings)


def change_in(found: Any) -> FileChange:
    """Return the change of an object with the keys of JobSpec, as of JSON or TOML.

    Raises:
        JobFileError: it is malformed.
    """
    said = list(_keys(found, job_pb2.JobSpec())) if isinstance(found, dict) else []
    spec = job_of(found)
    listed = found.get("tasks") or []
    tasks = [
        job_service_pb2.TaskEdit(spec=task, fields=_keys(listed[place], task))
        for place, task in enumerate(spec.tasks)
    ]
    return _change(spec, said, tasks)


def _keys(found: dict[str, Any], message: Message) -> Iterator[str]:
    """Yield the fields that an object has, under whichever of their two names."""
    for field in message.DESCRIPTOR.fields:
        if field.name in found or field.json_name in found:
            yield field.name


def _change(
    spec: job_pb2.JobSpec,
    given: Sequence[str],
    tasks: Sequence[job_service_pb2.TaskEdit],
    lines: tuple[int, ...] = (),
    warnings: tuple[str, ...] = (),
) -> FileChange:
    del spec.tasks[:]
    fields = [name for name in given if name not in _NOT_OF_THE_JOB]
    return FileChange(
        spec=spec,
        fields=tuple(dict.fromkeys((*fields, "explicit"))),
        tasks=tasks,
        lines=lines,
        warnings=warnings,
    )
