"""A job as a file in the reference's XML (properties.md 9).

What the reference has a name for is written as the reference writes it. What only we
have, and what the reference's form cannot say exactly, stands beside it in a namespace
of ours: programs made for the reference pass over it, and we lose nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hpcsched.api.v1 import task_pb2
from hpcsched.jobfile import names
from hpcsched.jobfile.command import shown_command
from hpcsched.jobfile.groups import grouped
from hpcsched.jobfile.markup import Markup
from hpcsched.jobfile.priority import BAND, HIGHEST, named
from hpcsched.jobfile.problems import JobFileError
from hpcsched.jobfile.standing import job_standing, task_standing
from hpcsched.jobfile.texts import camel, exact, fields_of, plain, read, written

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from google.protobuf.descriptor import FieldDescriptor
    from google.protobuf.message import Message

    from hpcsched.api.v1 import job_pb2

PREFIX: Final = "hpcsched"


def write_xml(
    spec: job_pb2.JobSpec,
    *,
    job: job_pb2.Job | None = None,
    tasks: Sequence[task_pb2.Task] = (),
) -> bytes:
    """Return a job file.

    Args:
        spec: The job with its tasks.
        job: The live job, whose state and results are written too.
        tasks: The live tasks: the same ones as in ``spec``, in the same order.
    """
    xml = Markup()
    attributes = {
        "Version": names.VERSION,
        "xmlns": names.V2,
        f"xmlns:{PREFIX}": names.OURS,
        f"{PREFIX}:Version": "1",
    }
    if job is not None:
        attributes |= job_standing(job)
    attributes |= _job(spec)
    xml.open("Job", attributes)
    groups, children = grouped(spec.tasks)
    _dependencies(xml, children)
    _pairs(xml, spec)
    if spec.tasks:
        xml.open("Tasks")
        for place, task in enumerate(spec.tasks):
            head = {"NiceId": str(place + 1)}
            group = groups[place] or getattr(task, "group_id", 0)
            if group:
                head["GroupId"] = str(group)
            if place < len(tasks):
                head["NiceId"] = str(tasks[place].task_id)
                head |= task_standing(tasks[place], job)
            _task(xml, task, head)
        xml.close("Tasks")
    else:
        xml.empty("Tasks")
    xml.close("Job")
    return xml.document()


def _dependencies(xml: Markup, children: Mapping[int, Sequence[int]]) -> None:
    if not children:
        xml.empty("Dependencies")
        return
    xml.open("Dependencies")
    for parent, found in children.items():
        xml.open("Parent", {"GroupId": str(parent)})
        for child in found:
            xml.empty("Child", {"GroupId": str(child)})
        xml.close("Parent")
    xml.close("Dependencies")


def _pairs(xml: Markup, message: Any) -> None:
    for field, (section, item) in names.PAIRS.items():
        found = getattr(message, field)
        if found:
            xml.pairs(section, item, sorted(found.items()))


def _job(spec: job_pb2.JobSpec) -> dict[str, str]:
    attributes: dict[str, str] = {}
    if spec.HasField("priority"):
        if 0 <= spec.priority <= HIGHEST:
            attributes["Priority"] = named(spec.priority)
        if attributes.get("Priority") is None or spec.priority % BAND:
            attributes["ExpandedPriority"] = str(spec.priority)
    attributes |= _fields(spec, names.JOB, names.JOB_ELSEWHERE)
    return attributes


def _task(xml: Markup, task: task_pb2.TaskSpec, attributes: dict[str, str]) -> None:
    kind = task.type
    if not kind:
        sweep = task.end_value or task.lines
        kind = (
            task_pb2.TASK_TYPE_PARAMETRIC_SWEEP if sweep else task_pb2.TASK_TYPE_BASIC
        )
    shown = task_pb2.TaskSpec()
    shown.CopyFrom(task)
    shown.type = kind
    if task.arguments:
        line = shown_command(task.arguments)
        shown.command_line = task.command_line or line
    attributes |= _fields(shown, names.TASK, names.TASK_ELSEWHERE)
    if task.arguments:
        field = fields_of(task)["arguments"]
        attributes[f"{PREFIX}:{camel(field.name)}"] = exact(task, field)
    attributes["IsParametric"] = (
        "true" if kind == task_pb2.TASK_TYPE_PARAMETRIC_SWEEP else "false"
    )
    if task.environment or task.custom_properties:
        xml.open("Task", attributes)
        _pairs(xml, task)
        xml.close("Task")
    else:
        xml.empty("Task", attributes)


def _fields(
    message: Message, known: Mapping[str, str], elsewhere: Collection[str]
) -> dict[str, str]:
    """Return the attributes of every field that is set."""
    by_field = {field: name for name, field in known.items()}
    attributes: dict[str, str] = {}
    ours: dict[str, str] = {}
    for field, value in message.ListFields():
        name = by_field.get(field.name)
        if field.name in names.PAIRS:
            told = {*value, *value.values()}
            if any(plain(text) != text for text in told):
                ours[field.name] = exact(message, field)
            continue
        if field.name in elsewhere:
            continue
        text = None if name is None else written(message, field)
        if name is not None and text is not None:
            attributes[name] = plain(text)
            if _survives(message, field, plain(text)):
                continue
        ours[field.name] = exact(message, field)
    for field_name, text in ours.items():
        attributes[f"{PREFIX}:{camel(field_name)}"] = text
    return attributes


def _survives(message: Message, field: FieldDescriptor, text: str) -> bool:
    """Does the reference's form of a value say all of it?"""
    again = type(message)()
    try:
        read(again, field, text)
    except JobFileError:
        return False
    return bool(getattr(again, field.name) == getattr(message, field.name))
