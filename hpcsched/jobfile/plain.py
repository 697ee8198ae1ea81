"""Job files in JSON and TOML: the protobuf JSON of a job's specification, same keys."""

from __future__ import annotations

import difflib
import json
import re
from datetime import UTC, date, datetime, time
from typing import Any, Final

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from hpcsched.api.v1 import job_pb2
from hpcsched.common.toml import TomlError, parse_toml
from hpcsched.common.units import parse_duration
from hpcsched.jobfile.problems import JobFileError
from hpcsched.jobfile.texts import of_message

_PROTO_DURATION: Final = re.compile(r"-?[0-9]+(\.[0-9]{1,9})?s", re.ASCII)
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_ESCAPED_HALF: Final = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
_DEEPEST: Final = 20


def read_json(text: str) -> job_pb2.JobSpec:
    """Return the job of a JSON text.

    Raises:
        JobFileError: it is malformed.
    """
    return job_of(parse_json(text))


def parse_json(text: str) -> Any:
    """Return what a JSON text says.

    Raises:
        JobFileError: it is malformed.
    """
    try:
        found = json.loads(text)
        if _ESCAPED_HALF.search(text):
            json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise JobFileError("a text has half of a surrogate pair in it") from None
    except (ValueError, RecursionError) as error:
        raise JobFileError(str(error)) from None
    return found


def read_toml(text: str) -> job_pb2.JobSpec:
    """Return the job of a TOML text.

    Raises:
        JobFileError: it is malformed.
    """
    return job_of(parse_of_toml(text))


def parse_of_toml(text: str) -> Any:
    """Return what a TOML text says, as JSON has it.

    Raises:
        JobFileError: it is malformed.
    """
    try:
        found = parse_toml(text)
    except TomlError as error:
        raise JobFileError(str(error)) from None
    return _times_as_text(found)


def job_of(found: Any) -> job_pb2.JobSpec:
    """Return the job of an object with the keys of JobSpec.

    Durations may be written as people write them, ``1h30m``.

    Raises:
        JobFileError: it is malformed.
    """
    if not isinstance(found, dict):
        raise JobFileError("a job is an object with the keys of JobSpec")
    spec = job_pb2.JobSpec()
    try:
        _prepare(found, spec.DESCRIPTOR, "")
        ParseDict(found, spec, max_recursion_depth=_DEEPEST)
    except JobFileError:
        raise
    except (ParseError, ValueError, OverflowError, RecursionError) as error:
        # Protobuf's own reader lets some of Python's errors through: of surrogates,
        # of numbers that have no text, of infinities.
        raise JobFileError(str(error)) from None
    return spec


def write_json(spec: job_pb2.JobSpec) -> str:
    """Return a job as a JSON file."""
    return json.dumps(_dict_of(spec), indent=2, ensure_ascii=False) + "\n"


def write_toml(spec: job_pb2.JobSpec) -> str:
    """Return a job as a TOML file."""
    lines: list[str] = []
    _table(_dict_of(spec), "", lines)
    return "\n".join(lines) + "\n"


def _dict_of(spec: job_pb2.JobSpec) -> dict[str, Any]:
    return dict(MessageToDict(spec, preserving_proto_field_name=True))


def _prepare(part: Any, kind: Any, path: str) -> None:
    """Write ``1h30m`` as protobuf's JSON has it, ``5400s``.

    Raises:
        JobFileError: it is no duration, or there is no such field; the text names it.
    """
    if not isinstance(part, dict):
        return
    known = {name for field in kind.fields for name in (field.name, field.json_name)}
    for key in part:
        if key not in known:
            raise JobFileError(
                _unknown(key, [field.name for field in kind.fields], path)
            )
    for field in kind.fields:
        for name in {field.name, field.json_name} & part.keys():
            value = part[name]
            inner = field.message_type
            if of_message(field) == "google.protobuf.Duration":
                part[name] = _spelled(value, f"{path}{name}")
            elif inner is not None and not inner.GetOptions().map_entry:
                if not isinstance(value, list):
                    _prepare(value, inner, f"{path}{name}.")
                    continue
                for place, item in enumerate(value):
                    _prepare(item, inner, f"{path}{name}[{place}].")


def _unknown(key: str, known: list[str], path: str) -> str:
    small = key.lower().replace("-", "_")
    close = difflib.get_close_matches(small, known, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
    return f"no key is called {path}{key[:80]}; {hint}"


def _spelled(value: Any, name: str) -> Any:
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and not _PROTO_DURATION.fullmatch(value):
            return f"{parse_duration(value):.3f}s"
    except (ValueError, OverflowError) as error:
        # Of many digits neither a text nor a floating point number can be made.
        raise JobFileError(f"{name}: {error}") from None
    return value


# TOML


def _times_as_text(value: Any) -> Any:
    """Return TOML's own dates as protobuf's JSON has them; local ones are UTC."""
    if isinstance(value, dict):
        return {name: _times_as_text(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_times_as_text(item) for item in value]
    if isinstance(value, datetime):
        if value.tzinfo is None:
            value = value.replace(tzinfo=UTC)
        return value.isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    return value


def _table(table: dict[str, Any], path: str, lines: list[str]) -> None:
    """Add a table: its values first, then the tables in it."""
    inner = []
    for name, value in table.items():
        if isinstance(value, dict) or _is_tables(value):
            inner.append((name, value))
        else:
            lines.append(f"{_key(name)} = {_value(value)}")
    for name, value in inner:
        where = f"{path}.{_key(name)}" if path else _key(name)
        for item in value if isinstance(value, list) else [value]:
            lines.append("")
            lines.append(f"[[{where}]]" if isinstance(value, list) else f"[{where}]")
            _table(item, where, lines)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in value)}]"
    # JSON's texts and numbers are TOML's too, but for one character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
