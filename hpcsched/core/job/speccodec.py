"""How specifications are kept: msgpack of what is not default."""

from __future__ import annotations

from dataclasses import MISSING, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeVar

from hpcsched.core.job.packing import pack, unpack
from hpcsched.core.job.spec import JobSpec
from hpcsched.core.job.states import JobType, NodeGroupOp, NodeLoss, UnitType
from hpcsched.core.task.spec import TaskSpec
from hpcsched.core.task.states import TaskType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from enum import Enum

    Shape = tuple[Callable[[Any], tuple[Any, ...]], tuple[tuple[str, Any], ...]]

T = TypeVar("T", JobSpec, TaskSpec)
_ENUMS: Final[Mapping[str, type[Enum]]] = {
    "type": TaskType,
    "node_loss": NodeLoss,
    "job_type": JobType,
    "unit_type": UnitType,
    "node_group_op": NodeGroupOp,
}


def encode_spec(spec: JobSpec | TaskSpec) -> bytes:
    """Return a specification without what is default.

    Many jobs of one call often share theirs, so the last one of each kind is kept.
    """
    kept = _ENCODED.get(type(spec))
    if kept is not None and kept[0] is spec:
        return kept[1]
    values, defaults = _SHAPES[type(spec)]
    body = pack(
        {
            name: value
            for (name, default), value in zip(defaults, values(spec), strict=True)
            if value is not default and value != default
        }
    )
    _ENCODED[type(spec)] = (spec, body)
    return body


def _shape(kind: type[Any]) -> Shape:
    """Return what reads all fields of a kind at once, and their names and defaults."""
    defaults = tuple(
        (one.name, one.default if one.default_factory is MISSING else {})
        for one in fields(kind)
    )
    return attrgetter(*(name for name, _ in defaults)), defaults


_ENCODED: Final[dict[type[Any], tuple[JobSpec | TaskSpec, bytes]]] = {}
_SHAPES: Final = {kind: _shape(kind) for kind in (JobSpec, TaskSpec)}


def decode_spec(kind: type[T], body: bytes) -> T:
    """Return the specification of such bytes.

    Jobs that share theirs are often read one after the other, so the last one of each
    kind is kept, and they share it again.
    """
    kept: tuple[bytes, T] | None = _DECODED.get(kind)
    if kept is not None and kept[0] == body:
        return kept[1]
    known = _KNOWN[kind]
    values: dict[str, Any] = {}
    for name, value in unpack(body).items():
        if name in known:
            values[name] = _ENUMS[name](value) if name in _ENUMS else value
    spec = kind(**values)
    _DECODED[kind] = (body, spec)
    return spec


_DECODED: Final[dict[type[Any], tuple[bytes, Any]]] = {}
_KNOWN: Final = {
    kind: frozenset(one.name for one in fields(kind)) for kind in (JobSpec, TaskSpec)
}
