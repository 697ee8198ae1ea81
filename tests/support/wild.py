"""Messages that nobody in their right mind sends, drawn by hypothesis.

Three kinds: wild ones of the right type, valid ones that something happened to, and
bytes that are no message at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor as Field
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

    Draw = Callable[[st.SearchStrategy[Any]], Any]

DEEPEST: Final = 6
MOST_ITEMS: Final = 4
_SIGNED: Final = {
    Field.CPPTYPE_INT32: 32,
    Field.CPPTYPE_INT64: 64,
}
_UNSIGNED: Final = {
    Field.CPPTYPE_UINT32: 32,
    Field.CPPTYPE_UINT64: 64,
}
_NUMBERS: Final = (0, 1, 2, 3, 5, 17, 100, 1000, 4001, 65_536, 1_000_001)
_DOUBLES: Final = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    1e-320,
    1e9,
    4e9,
    1e18,
    1e308,
    float("inf"),
    float("-inf"),
    float("nan"),
)
_SIMPLE: Final[dict[int, st.SearchStrategy[Any]]] = {
    Field.CPPTYPE_DOUBLE: st.sampled_from(_DOUBLES),
    Field.CPPTYPE_FLOAT: st.sampled_from(_DOUBLES),
    Field.CPPTYPE_BOOL: st.booleans(),
}
#: Texts that mean something somewhere, and texts that should mean nothing anywhere.
TEXTS: Final = (
    "",
    "a",
    "0",
    "1",
    "-1",
    "*",
    "Default",
    "n1",
    "n2",
    "n[1-2]",
    "n[1-999999999999]",
    "n[1-9]" * 30,
    "ComputeNodes",
    "ann",
    "job",
    "alpha",
    "2024-01-01T00:00:00Z",
    "9999-99-99",
    "1-1000000",
    "MustRun",
    "state",
    "priority",
    "owner",
    "name",
    "id",
    "create_time",
    "end_time",
    "True",
    "HeartbeatInterval",
    "echo hi",
    "\0",
    "a\0b",
    "\r\nSubject: x",
    "%s%n{0}{field}{}",
    "{",
    "../../../etc/passwd",
    "é" * 90,
    "\U0010ffff" * 30,
    "\u202e",
    "\ufeff",
    "x" * 81,
    "x" * 129,
    "x" * 1025,
    "x" * 70_000,
    "9" * 20,
    "9" * 5000,
    "' OR 1=1; --",
    "🦀",
)


def scalar(field: Field) -> st.SearchStrategy[Any]:
    """Return values of one field that is no message."""
    if bits := _SIGNED.get(field.cpp_type):
        low, high = -(1 << bits - 1), (1 << bits - 1) - 1
        edges = [low, low + 1, -1, high - 1, high, *_NUMBERS]
        return st.sampled_from(edges) | st.integers(1, 40) | st.integers(low, high)
    if bits := _UNSIGNED.get(field.cpp_type):
        high = (1 << bits) - 1
        return st.sampled_from([*_NUMBERS, high]) | st.integers(0, high)
    if field.cpp_type in _SIMPLE:
        return _SIMPLE[field.cpp_type]
    if field.cpp_type == Field.CPPTYPE_ENUM:
        assert field.enum_type is not None
        known = [value.number for value in field.enum_type.values]
        return st.sampled_from([*known, *known, -1, 99, (1 << 31) - 1])
    if field.type != Field.TYPE_BYTES:
        return st.sampled_from(TEXTS) | st.text(max_size=20)
    some = [b"", b"\0", b"true", b"\xff\xfe", b"x" * 70_000]
    return st.sampled_from(some) | st.binary(max_size=40)


def _draw_value(draw: Draw, field: Field, depth: int) -> Any:
    if field.cpp_type == Field.CPPTYPE_MESSAGE:
        return _draw_message(draw, field.message_type, depth + 1)
    return draw(scalar(field))


def _draw_message(draw: Draw, kind: Descriptor | None, depth: int = 0) -> Message:
    assert kind is not None
    made = message_factory.GetMessageClass(kind)()
    fields = list(kind.fields)
    if not fields or depth > DEEPEST:
        return made
    sparse = draw(st.integers(0, 4))
    for field in fields:
        if sparse and draw(st.integers(0, sparse)):
            continue
        put(draw, made, field, depth)
    return made


def put(draw: Draw, message: Message, field: Field, depth: int = 0) -> None:
    """Give one field of a message some value."""
    if field.is_repeated:
        entry = field.message_type
        count = draw(st.integers(0, MOST_ITEMS))
        if entry is not None and entry.GetOptions().map_entry:
            _put_entries(draw, message, field, count, depth)
            return
        items = getattr(message, field.name)
        for _ in range(count):
            value = _draw_value(draw, field, depth)
            items.append(value)
        if count and not draw(st.integers(0, 30)):
            items.extend([items[0]] * draw(st.sampled_from([100, 2_000, 20_000])))
    elif field.cpp_type == Field.CPPTYPE_MESSAGE:
        value = _draw_value(draw, field, depth)
        getattr(message, field.name).CopyFrom(value)
        getattr(message, field.name).SetInParent()
    else:
        setattr(message, field.name, _draw_value(draw, field, depth))


def _put_entries(
    draw: Draw, message: Message, field: Field, count: int, depth: int
) -> None:
    assert field.message_type is not None
    keys = field.message_type.fields_by_name["key"]
    values = field.message_type.fields_by_name["value"]
    target = getattr(message, field.name)
    for _ in range(count):
        key = draw(scalar(keys))
        if values.cpp_type == Field.CPPTYPE_MESSAGE:
            target[key].CopyFrom(_draw_value(draw, values, depth))
        else:
            target[key] = draw(scalar(values))


@st.composite
def wild(draw: Draw, kind: Descriptor) -> Message:
    """Return a message of a type, with anything in its fields."""
    return _draw_message(draw, kind)


@st.composite
def mutated(draw: Draw, valid: Message) -> Message:
    """Return a valid message in which some fields have become something else."""
    made = type(valid)()
    made.CopyFrom(valid)
    for _ in range(draw(st.integers(1, 3))):
        target: Message = made
        depth = 0
        while True:
            fields = list(target.DESCRIPTOR.fields)
            if not fields:
                break
            present = [field for field, _ in target.ListFields()]
            inside = [f for f in present if f.cpp_type == Field.CPPTYPE_MESSAGE]
            if inside and draw(st.integers(0, 2)) and depth < DEEPEST:
                field = draw(st.sampled_from(inside))
                value = getattr(target, field.name)
                if not field.is_repeated:
                    target, depth = value, depth + 1
                    continue
                if not field.message_type.GetOptions().map_entry:
                    target, depth = draw(st.sampled_from(list(value))), depth + 1
                    continue
            chosen = present if present and draw(st.booleans()) else fields
            field = draw(st.sampled_from(chosen))
            if field in present and not draw(st.integers(0, 3)):
                target.ClearField(field.name)
            else:
                put(draw, target, field, depth)
            break
    return made


@st.composite
def spoiled(draw: Draw, data: bytes) -> Any:
    """Return bytes that something happened to on the way."""
    at = draw(st.integers(0, len(data)))
    flipped = bytearray(data or b"\0")
    flipped[at % len(flipped)] ^= 1 << draw(st.integers(0, 7))
    number = draw(st.integers(1, 15))
    ways = (
        data[:at],
        data[:at] + draw(st.binary(max_size=8)) + data[at:],
        bytes(flipped),
        data + data,
        data + draw(st.sampled_from(UNKNOWN)),
        data + bytes([number << 3 | 2, 2, 0xFF, 0xFE]),  # a text that is no UTF-8
        draw(st.binary(max_size=200)),
    )
    return draw(st.sampled_from(ways))


#: A group of a million, a length that lies, numbers that never end, field number 0.
UNKNOWN: Final = (
    b"\xfb\xff\x01" * 30_000,
    b"\x0b" * 100_000,
    b"\xfa\xff\x01\xff\xff\xff\xff\x0f",
    b"\xf8\xff\x01" + b"\xff" * 11,
    b"\x00\x00",
    b"\xfa\xff\x01\x03abc",
    b"\x0a\x80\x80\x80\x80\x08",
    (b"\x0a\x02" * 50_000),
)
