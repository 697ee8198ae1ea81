"""What requests have in common: request ids, required fields, lists, page sizes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol, TypeVar

from hpcsched.common.errors import HpcError
from hpcsched.runtime.front import Request
from hpcsched.services.limits import MAX_REQUEST_ID, MAX_TARGETS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from google.protobuf.message import Message

    from hpcsched.api.v1.job_service_pb2 import TaskRef
    from hpcsched.common.clock import Clock
    from hpcsched.runtime.front import TaskKey

T = TypeVar("T")
R = TypeVar("R")

#: A conversion lets the loop run after so much work, seconds.
_SLICE_S = 0.005
#: How often it looks at the clock, items.
_LOOK_EVERY = 16


class HasRequestId(Protocol):
    """A request of a mutation."""

    request_id: str


def request_of(message: Message) -> Request:
    """Return what makes a mutation safe to repeat.

    The digest is over the request's type, which each method has for itself, and its
    deterministic serialization without the request id.

    Raises:
        HpcError: REQUEST_ID_INVALID.
    """
    request_id: str = getattr(message, "request_id")  # noqa: B009 - of any mutation
    if not request_id:
        return Request()
    if len(request_id) > MAX_REQUEST_ID:
        raise HpcError(
            "REQUEST_ID_INVALID",
            field="request_id",
            length=len(request_id),
            limit=MAX_REQUEST_ID,
        )
    bare = type(message)()
    bare.CopyFrom(message)
    bare.ClearField("request_id")
    data = bare.SerializeToString(deterministic=True)
    name = message.DESCRIPTOR.full_name.encode()
    return Request(
        request_id=request_id, digest=hashlib.sha256(name + b"\0" + data).digest()
    )


def number(value: int, field: str) -> int:
    """Return a number that must be given: 1 and above.

    Raises:
        HpcError: REQUIRED_FIELD for 0, OUT_OF_RANGE for less.
    """
    if value > 0:
        return value
    if value == 0:
        raise HpcError("REQUIRED_FIELD", field=field)
    raise HpcError("OUT_OF_RANGE", field=field, value=value, limit="at least 1")


def not_negative(value: int, field: str) -> int:
    """Return a number that is 0 or above.

    Raises:
        HpcError: OUT_OF_RANGE.
    """
    if value < 0:
        raise HpcError("OUT_OF_RANGE", field=field, value=value, limit="at least 0")
    return value


def some(items: Sequence[T], field: str, limit: int = MAX_TARGETS) -> Sequence[T]:
    """Return a list that must not be empty, nor longer than the limit.

    Raises:
        HpcError: REQUIRED_FIELD or OUT_OF_RANGE.
    """
    if not items:
        raise HpcError("REQUIRED_FIELD", field=field)
    if len(items) > limit:
        raise HpcError(
            "OUT_OF_RANGE",
            field=field,
            value=f"a list of {len(items)}",
            limit=f"1 to {limit} long",
        )
    return items


def numbers(
    values: Sequence[int], field: str, limit: int = MAX_TARGETS
) -> tuple[int, ...]:
    """Return a list of numbers that are 1 and above.

    Raises:
        HpcError: REQUIRED_FIELD or OUT_OF_RANGE.
    """
    for position, value in enumerate(some(values, field, limit)):
        if value <= 0:
            number(value, f"{field}[{position}]")
    return tuple(values)


def texts(values: Sequence[str], field: str) -> tuple[str, ...]:
    """Return a list of texts, none of them empty.

    Raises:
        HpcError: REQUIRED_FIELD or OUT_OF_RANGE.
    """
    for position, value in enumerate(some(values, field)):
        if not value:
            raise HpcError("REQUIRED_FIELD", field=f"{field}[{position}]")
    return tuple(values)


def task_key(ref: TaskRef, field: str) -> TaskKey:
    """Return the task or element that a reference names.

    Raises:
        HpcError: REQUIRED_FIELD or OUT_OF_RANGE.
    """
    return (
        number(ref.task_id, f"{field}.task_id"),
        not_negative(ref.instance_id, f"{field}.instance_id"),
    )


def task_keys(refs: Sequence[TaskRef], field: str) -> tuple[TaskKey, ...]:
    """Return what a list of references names.

    Raises:
        HpcError: REQUIRED_FIELD or OUT_OF_RANGE.
    """
    return tuple(
        task_key(ref, f"{field}[{position}]")
        for position, ref in enumerate(some(refs, field))
    )


def page_size(value: int, *, default: int, largest: int) -> int:
    """Return the size of a page; 0 is the default.

    Raises:
        HpcError: OUT_OF_RANGE.
    """
    if value == 0:
        return default
    if not 1 <= value <= largest:
        raise HpcError(
            "OUT_OF_RANGE", field="page_size", value=value, limit=f"1 to {largest}"
        )
    return value


async def in_slices(
    items: Sequence[T], convert: Callable[[int, T], R], clock: Clock
) -> list[R]:
    """Convert a long list without keeping the loop from others for long (G23).

    Args:
        items: What to convert.
        convert: Called with position and item.
        clock: Tells when a slice is over.
    """
    converted: list[R] = []
    started = clock.mono()
    for position, item in enumerate(items):
        converted.append(convert(position, item))
        if position % _LOOK_EVERY == 0 and clock.mono() - started > _SLICE_S:
            await clock.sleep(0)
            started = clock.mono()
    return converted
