"""Fields of messages as the reference's texts, driven by their descriptors.

``written`` may lose something (a fraction of a second, a character that XML has no form
for); ``exact`` never does, and is what goes under a name of ours beside it then.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from hpcsched.jobfile.problems import JobFileError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.descriptor import EnumDescriptor
    from google.protobuf.message import Message

_ILLEGAL: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BOOLS: Final = {"true": True, "1": True, "false": False, "0": False}
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_SECONDS: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?", re.ASCII)
_DATES: Final = ("%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y")
_INTEGERS: Final = frozenset(
    {
        *(FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64),
        *(FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64),
    }
)
_BARE: Final = frozenset(
    {
        *_INTEGERS,
        *(FieldDescriptor.CPPTYPE_BOOL, FieldDescriptor.CPPTYPE_ENUM),
        *(FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE),
    }
)
_DURATION: Final = "google.protobuf.Duration"
_TIMESTAMP: Final = "google.protobuf.Timestamp"


def plain(text: str) -> str:
    """Return a text with U+FFFD for what no XML document can contain."""
    return _ILLEGAL.sub("\ufffd", text)


def camel(field: str) -> str:
    """Return ``MaxConcurrent`` for ``max_concurrent``."""
    return "".join(part.capitalize() for part in field.split("_"))


def fields_of(message: Message) -> dict[str, FieldDescriptor]:
    """Return a message's fields by name."""
    return cast("dict[str, FieldDescriptor]", message.DESCRIPTOR.fields_by_name)


def of_message(field: FieldDescriptor) -> str:
    """Return the full name of a field's message type; empty for other kinds."""
    kind = field.message_type
    return "" if kind is None else kind.full_name


def label(enum: EnumDescriptor, number: int) -> str:
    """Return ``ParametricSweep`` for the number of TASK_TYPE_PARAMETRIC_SWEEP."""
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    value = enum.values_by_number.get(number)
    return str(number) if value is None else camel(value.name.removeprefix(prefix))


# As the reference writes it


def written(message: Message, field: FieldDescriptor) -> str | None:
    """Return the text of a field's value; None: the reference has no form for it."""
    value = getattr(message, field.name)
    if not field.is_repeated:
        return _one(field, value)
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return ";".join(value)
    if field.cpp_type in _INTEGERS:
        return ",".join(str(item) for item in value)
    return None


def _one(field: FieldDescriptor, value: Any) -> str | None:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_BOOL:
            return "true" if value else "false"
        case FieldDescriptor.CPPTYPE_ENUM:
            return label(cast("EnumDescriptor", field.enum_type), value)
        case FieldDescriptor.CPPTYPE_MESSAGE if of_message(field) == _DURATION:
            return str(value.seconds + (value.nanos > 0))
        case FieldDescriptor.CPPTYPE_MESSAGE if of_message(field) == _TIMESTAMP:
            return str(value.ToJsonString())
        case FieldDescriptor.CPPTYPE_MESSAGE:
            return None
        case _:
            return str(value)


# As it is read


def read(message: Message, field: FieldDescriptor, text: str) -> None:
    """Set a field from the reference's text of it.

    Raises:
        JobFileError: the text is none of a value of this kind.
    """
    if field.is_repeated:
        items: Iterable[Any] = items_of(text)
        if field.cpp_type in _INTEGERS:
            items = [whole(item) for item in items]
        getattr(message, field.name).extend(items)
        return
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_BOOL:
            setattr(message, field.name, truth(text))
        case FieldDescriptor.CPPTYPE_ENUM:
            kind = cast("EnumDescriptor", field.enum_type)
            setattr(message, field.name, _member(kind, text))
        case FieldDescriptor.CPPTYPE_MESSAGE if of_message(field) == _DURATION:
            _seconds(getattr(message, field.name), text)
        case FieldDescriptor.CPPTYPE_MESSAGE if of_message(field) == _TIMESTAMP:
            getattr(message, field.name).FromDatetime(moment(text))
        case FieldDescriptor.CPPTYPE_STRING:
            setattr(message, field.name, text)
        case FieldDescriptor.CPPTYPE_FLOAT | FieldDescriptor.CPPTYPE_DOUBLE:
            setattr(message, field.name, _real(text))
        case _:
            number = whole(text)
            try:
                setattr(message, field.name, number)
            except ValueError:
                raise JobFileError(f"{number} is out of range") from None


def items_of(text: str) -> list[str]:
    """Return the items of a list; neither separator can be in a node's or task's name.

    The reference separates with semicolons here and with commas in V1 and REST.
    """
    items = (item.strip() for item in text.replace(",", ";").split(";"))
    return [item for item in items if item]


def whole(text: str) -> int:
    """Return a whole number.

    Raises:
        JobFileError: it is none.
    """
    if not _NUMBER.fullmatch(text.strip()):
        raise JobFileError(f"{text!r} is not a whole number")
    return int(text)


def truth(text: str) -> bool:
    """Return a truth value; any case, and 0 and 1, as the reference takes them.

    Raises:
        JobFileError: it is none.
    """
    found = _BOOLS.get(text.strip().lower())
    if found is None:
        raise JobFileError(f"{text!r} is neither true nor false")
    return found


def moment(text: str) -> datetime:
    """Return a time, UTC: ISO 8601, or as the reference's own files have it.

    Raises:
        JobFileError: it is none.
    """
    text = text.strip()
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        for form in _DATES:
            try:
                found = datetime.strptime(text, form)  # noqa: DTZ007  UTC, see below
            except ValueError:
                continue
            break
        else:
            raise JobFileError(f"{text!r} is no time") from None
    if found.tzinfo is None:
        return found
    try:
        return found.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        raise JobFileError(f"{text!r} is no time") from None


def _seconds(duration: Any, text: str) -> None:
    if not _SECONDS.fullmatch(text.strip()):
        raise JobFileError(f"{text!r} is not a number of seconds")
    seconds, _, fraction = text.strip().partition(".")
    duration.seconds = int(seconds)
    duration.nanos = int(f"{fraction:0<9}") if fraction else 0


def _real(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise JobFileError(f"{text!r} is not a number") from None


def _member(enum: EnumDescriptor, text: str) -> int:
    sought = text.strip().replace("_", "").lower()
    names = {label(enum, number): number for number in enum.values_by_number if number}
    for name, number in names.items():
        if name.lower() == sought:
            return number
    raise JobFileError(f"{text!r} is not one of {', '.join(names)}")


# Exactly


def exact(message: Message, field: FieldDescriptor) -> str:
    """Return a field's value so that nothing is lost, in characters that XML has."""
    value = _only(message, field)
    if not field.is_repeated and (field.cpp_type in _BARE or _is_time(field)):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _only(message: Message, field: FieldDescriptor) -> Any:
    part = type(message)()
    value = getattr(message, field.name)
    if field.is_repeated or of_message(field):
        getattr(part, field.name).MergeFrom(value)
    else:
        setattr(part, field.name, value)
    shown = MessageToDict(
        part,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )
    return shown[field.name]


def _is_time(field: FieldDescriptor) -> bool:
    return of_message(field) in {_DURATION, _TIMESTAMP}


def read_exact(message: Message, field: FieldDescriptor, text: str) -> None:
    """Set a field from what ``exact`` wrote.

    Raises:
        JobFileError: it is malformed.
    """
    value: Any = text
    try:
        if field.is_repeated or not (field.cpp_type in _BARE or _is_time(field)):
            value = json.loads(text)
        elif field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            value = truth(text)
        ParseDict({field.name: value}, message, max_recursion_depth=20)
    except (ParseError, ValueError, RecursionError) as error:
        raise JobFileError(str(error)) from None
