"""Edits: which properties of a specification are to be changed, and to what."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.edits import TaskEdit
from hpcsched.runtime.front import Edit
from hpcsched.services.convert_job_spec import check_size, job_spec, task_spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from google.protobuf.message import Message

    from hpcsched.api.v1 import job_service_pb2 as pb

_MOST: Final = 10_000
"""Properties that one call may name: entries of maps count."""
_INNER: Final[Mapping[str, str]] = {
    "task_execution_failure_retry_limit": "retry_limit",
    "start_value": "start",
    "end_value": "end",
    "increment_value": "step",
    "fail_job_on_failure": "critical",
    "fail_job_on_failure_count": "critical_count",
    "grace_period": "grace",
}
"""Properties that the core calls otherwise."""
_MAPS: Final = ("environment", "custom_properties")
_NOT_HERE: Final = ("tasks",)
_MOST_TASKS: Final = 100_000


def job_edit(request: pb.ModifyJobRequest) -> Edit:
    """Return what to change of a job.

    Raises:
        HpcError: INVALID_FIELD, OUT_OF_RANGE, SPEC_TOO_LARGE.
    """
    size = request.spec.ByteSize() + sum(task.ByteSize() for task in request.tasks)
    check_size(size, "spec with tasks" if request.tasks else "spec")
    values = job_spec(request.spec, "spec")
    edit = _edit(request.spec, request.fields, values, request.expected_revision)
    if not request.tasks:
        return edit
    if len(request.tasks) > _MOST_TASKS:
        _too_many("tasks", len(request.tasks), _MOST_TASKS)
    return replace(edit, tasks=tuple(_task_edits(request.tasks)))


def _task_edits(edits: Iterable[pb.TaskEdit]) -> Iterator[TaskEdit]:
    for place, one in enumerate(edits):
        where = f"tasks[{place}]"
        if one.task_id < 0:
            raise HpcError(
                "OUT_OF_RANGE",
                field=f"{where}.task_id",
                value=one.task_id,
                limit=">= 0",
            )
        values = task_spec(one.spec, f"{where}.spec")
        edit = _edit(one.spec, one.fields, values, 0, f"{where}.")
        yield TaskEdit(
            task_id=one.task_id,
            changes=edit.changes,
            entries=edit.entries,
            spec=values,
        )


def task_edit(request: pb.ModifyTaskRequest) -> Edit:
    """Return what to change of a task.

    Raises:
        HpcError: INVALID_FIELD, OUT_OF_RANGE, SPEC_TOO_LARGE.
    """
    check_size(request.spec.ByteSize(), "spec")
    values = task_spec(request.spec, "spec")
    return _edit(request.spec, request.fields, values, request.expected_revision)


def _edit(
    message: Message, names: Sequence[str], values: object, revision: int, at: str = ""
) -> Edit:
    if len(names) > _MOST:
        _too_many(f"{at}fields", len(names), _MOST)
    if revision < 0:
        raise HpcError(
            "OUT_OF_RANGE", field="expected_revision", value=revision, limit=">= 0"
        )
    known = message.DESCRIPTOR.fields_by_name
    changes: dict[str, Any] = {}
    entries: dict[str, dict[str, str | None]] = {}
    given = names or [field.name for field, _ in message.ListFields()]
    for position, name in enumerate(given):
        field = f"{at}fields[{position}]"
        property_, dot, key = name.partition(".")
        if property_ not in known or property_ in _NOT_HERE:
            _refuse(field, f"{property_!r} is no property that can be changed here")
        if not dot:
            inner = _INNER.get(property_, property_)
            changes[inner] = getattr(values, inner)
        elif property_ not in _MAPS or not key:
            _refuse(field, f"{name!r} names no entry of a map")
        else:
            pairs = getattr(message, property_)
            found = pairs[key] if key in pairs else None  # noqa: SIM401  no dict
            entries.setdefault(property_, {})[key] = found
    return Edit(changes=changes, entries=entries, expected_revision=revision)


def _too_many(field: str, count: int, most: int) -> None:
    value, limit = f"a list of {count}", f"at most {most} long"
    raise HpcError("OUT_OF_RANGE", field=field, value=value, limit=limit)


def _refuse(field: str, problem: str) -> None:
    raise HpcError("INVALID_FIELD", field=field, problem=problem)
