"""Specifications of every shape that the descriptors allow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor
from hypothesis import strategies as st

from hpcsched.api.v1 import job_pb2, task_pb2

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NAMES = st.text(st.sampled_from("abz_-.19é "), min_size=1, max_size=6)
SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_DOUBLE: st.floats(allow_nan=False),
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
    FieldDescriptor.CPPTYPE_STRING: TEXTS,
}


def scalars(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.enum_type is not None:
        return st.sampled_from(sorted(field.enum_type.values_by_number))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=8)
    return SCALARS[field.cpp_type]


def fill(message: Any, draw: st.DrawFn, kind: Descriptor, *, most: int = 3) -> None:
    """Set some of a message's fields to anything."""
    chosen = draw(st.sets(st.sampled_from(list(kind.fields)), max_size=8))
    for field in sorted(chosen, key=lambda f: f.number):
        _set(message, field, draw, most)


def _set(message: Any, field: FieldDescriptor, draw: st.DrawFn, most: int) -> None:
    inner = field.message_type
    name = inner.full_name if inner is not None else ""
    if inner is not None and inner.GetOptions().map_entry:
        key, value = inner.fields_by_name["key"], inner.fields_by_name["value"]
        pairs = st.dictionaries(TEXTS.filter(bool), scalars(value), max_size=most)
        assert key.cpp_type == FieldDescriptor.CPPTYPE_STRING
        getattr(message, field.name).update(draw(pairs))
    elif name == "google.protobuf.Duration":
        getattr(message, field.name).seconds = draw(st.integers(0, 10**9))
        getattr(message, field.name).nanos = draw(st.sampled_from([0, 1, 500_000_000]))
    elif name == "google.protobuf.Timestamp":
        # Times of 1970 say in the reference's files that there is none.
        getattr(message, field.name).seconds = draw(st.integers(2**25, 2**33))
        getattr(message, field.name).nanos = draw(st.sampled_from([0, 1000]))
    elif inner is not None and field.is_repeated:
        for _ in range(draw(st.integers(0, most))):
            fill(getattr(message, field.name).add(), draw, inner)
    elif inner is not None:
        fill(getattr(message, field.name), draw, inner)
    elif field.is_repeated:
        items = st.lists(scalars(field), max_size=most)
        getattr(message, field.name).extend(draw(items))
    else:
        setattr(message, field.name, draw(scalars(field)))


@st.composite
def specs(draw: st.DrawFn) -> job_pb2.JobSpec:
    spec = job_pb2.JobSpec()
    fill(spec, draw, spec.DESCRIPTOR)
    for task in spec.tasks:
        if task.arguments and task.command_line:  # a contradiction that heads refuse
            task.command_line = ""
        if not task.type:
            task.type = kind_of(task)
    return spec


def kind_of(task: task_pb2.TaskSpec) -> task_pb2.TaskType.ValueType:
    """The type that the head takes where none is given."""
    sweep = task.end_value or task.lines
    return task_pb2.TASK_TYPE_PARAMETRIC_SWEEP if sweep else task_pb2.TASK_TYPE_BASIC


def same(message: Message) -> Message:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy
