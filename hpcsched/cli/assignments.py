"""``key=value`` arguments: properties of a job or a task, as the API has them."""

from __future__ import annotations

import difflib
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click
from google.protobuf.descriptor import FieldDescriptor

from hpcsched.cli.arguments import LIST, NODES, PRIORITY
from hpcsched.cli.moments import parse_moment
from hpcsched.cli.specs import KINDS
from hpcsched.common.clock import SystemClock
from hpcsched.common.units import UnitError, parse_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message

    from hpcsched.jobfile.changing import FileChange

_TRUE: Final = ("true", "yes", "on", "1")
_FALSE: Final = ("false", "no", "off", "0")
_NODES: Final = ("requested_nodes", "excluded_nodes", "required_nodes")
_EXCLUDING: Final = ("excluded_nodes+", "excluded_nodes-")
_NONE_EXCLUDED: Final = "excluded_nodes="
_NOT_HERE: Final = ("tasks", "explicit")


def assign(spec: Message, words: Sequence[str]) -> tuple[str, ...]:
    """Write ``key=value`` words into a specification; return what they name.

    An empty value clears: what is named and not written gets its default.

    Args:
        spec: A JobSpec or a TaskSpec, empty.
        words: Names of its fields in snake_case; ``environment.NAME`` and
            ``custom_properties.NAME`` name one entry. Lists are separated by commas.

    Raises:
        click.UsageError: a name or a value is malformed.
        UnicodeEncodeError: a word is no UTF-8 text.
    """
    names: list[str] = []
    for word in words:
        word.encode()
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{word!r} is not KEY=VALUE")
        property_, dot, key = name.partition(".")
        field = spec.DESCRIPTOR.fields_by_name.get(property_)
        if field is None or property_ in _NOT_HERE:
            raise click.UsageError(_unknown(property_, spec))
        if name in names:
            raise click.UsageError(f"{name} is given twice")
        names.append(name)
        if dot:
            if not _is_map(field) or not key:
                raise click.UsageError(f"{name!r} names no entry of a map")
            if text:
                getattr(spec, property_)[key] = text
        elif text:
            try:
                _write(spec, field, text)
            except (ValueError, click.BadParameter) as error:
                raise click.UsageError(f"{name}: {_problem(error)}") from None
    return tuple(names)


def assignment(words: Sequence[str]) -> FileChange:
    """Return what ``key=value`` words change of a job.

    Raises:
        click.UsageError: a name or a value is malformed.
    """
    from hpcsched.api.v1 import job_pb2
    from hpcsched.jobfile.changing import FileChange

    spec = job_pb2.JobSpec()
    return FileChange(spec=spec, fields=assign(spec, words), tasks=())


def overlay(change: FileChange, words: Sequence[str]) -> FileChange:
    """Return what a file changes, where ``key=value`` words win.

    Raises:
        click.UsageError: a name or a value is malformed.
    """
    if not words:
        return change
    from hpcsched.api.v1 import job_pb2
    from hpcsched.jobfile.names import NOT_OF_TEMPLATES

    over = job_pb2.JobSpec()
    fields = assign(over, words)
    spec = job_pb2.JobSpec()
    spec.CopyFrom(change.spec)
    message: Message = spec
    for name in fields:
        property_, dot, key = name.partition(".")
        if not dot:
            message.ClearField(property_)
            if property_ not in NOT_OF_TEMPLATES:
                spec.explicit.append(property_)  # it is meant, whatever its value
        elif key in getattr(spec, property_):
            del getattr(spec, property_)[key]
    spec.MergeFrom(over)
    both = tuple(dict.fromkeys((*change.fields, *fields)))
    return replace(change, spec=spec, fields=both)


def exclusion(
    words: Sequence[str], *, alone: bool = True
) -> tuple[str, Sequence[str]] | None:
    """Return how excluded nodes are changed by a call of their own; None: they are not.

    Args:
        words: As they were given.
        alone: There is nothing beside them; else ``excluded_nodes=`` clears like any
            other property.

    Returns:
        "+" or "-" with the nodes, or "" when all are allowed again.

    Raises:
        click.UsageError: other properties are named too, or nodes are malformed.
    """
    for word in words:
        name, _, text = word.partition("=")
        if name not in _EXCLUDING and (word != _NONE_EXCLUDED or not alone):
            continue
        if len(words) > 1 or not alone:
            raise click.UsageError(f"{word} stands alone: it is a call of its own")
        how = name.removeprefix("excluded_nodes")
        if how and not text:
            raise click.UsageError(f"{word} names no node")
        try:
            return how, NODES.convert(text, None, None) if text else ()
        except click.BadParameter as error:
            raise click.UsageError(f"excluded_nodes: {error.message}") from None
    return None


def _problem(error: Exception) -> str:
    return error.message if isinstance(error, click.BadParameter) else str(error)


def _unknown(name: str, spec: Message) -> str:
    known = [n for n in spec.DESCRIPTOR.fields_by_name if n not in _NOT_HERE]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
    return f"no property is called {name!r}; {hint}"


def _is_map(field: Any) -> bool:
    kind = field.message_type
    return kind is not None and bool(kind.GetOptions().map_entry)


def _write(spec: Message, field: Any, text: str) -> None:
    name = field.name
    if _is_map(field):
        pairs = getattr(spec, name)
        for part in LIST.convert(text, None, None):
            key, equals, value = part.partition("=")
            if not equals or not key:
                raise ValueError(f"{part!r} is not NAME=VALUE")
            pairs[key] = value
    elif field.is_repeated:
        getattr(spec, name).extend(_items(field, text))
    elif field.message_type is not None:
        _write_time(getattr(spec, name), field.message_type.name, text)
    else:
        try:
            setattr(spec, name, _scalar(field, text))
        except (ValueError, TypeError) as error:
            raise ValueError(str(error)) from None


def _items(field: Any, text: str) -> Sequence[Any]:
    if field.name == "arguments":
        return shlex.split(text)
    if field.name in _NODES:
        return NODES.convert(text, None, None)
    return [_scalar(field, one) for one in LIST.convert(text, None, None)]


def _scalar(field: Any, text: str) -> Any:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_BOOL:
            if text.lower() not in (*_TRUE, *_FALSE):
                raise ValueError(f"{text!r} is neither true nor false")
            return text.lower() in _TRUE
        case FieldDescriptor.CPPTYPE_INT32 | FieldDescriptor.CPPTYPE_INT64:
            if field.name == "priority":
                return PRIORITY.convert(text, None, None)
            try:
                return int(text)
            except ValueError:
                raise ValueError(f"{text!r} is no whole number") from None
        case FieldDescriptor.CPPTYPE_ENUM:
            return _enum(field, text)
        case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
            return text.encode()
        case _:
            return text


def _enum(field: Any, text: str) -> int:
    if field.name == "type" and text.lower() in KINDS:
        return int(KINDS[text.lower()])
    values = {value.name: value.number for value in field.enum_type.values}
    prefix = next(iter(values)).removesuffix("UNSPECIFIED")
    short = {name.removeprefix(prefix).lower(): n for name, n in values.items() if n}
    found = short.get(text.lower().replace("-", "_"), values.get(text.upper()))
    if found is None:
        raise ValueError(f"{text!r} is none of {', '.join(short)}")
    return int(found)


def _write_time(message: Any, kind: str, text: str) -> None:
    if kind == "Timestamp":
        moment = parse_moment(text, SystemClock().wall())
        message.FromMilliseconds(round(moment * 1000))
        return
    try:
        message.FromMilliseconds(round(parse_duration(text) * 1000))
    except UnitError as error:
        raise ValueError(f"{text!r} {error.problem}: {error.hint}") from None
