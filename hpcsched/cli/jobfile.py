"""Job files: the protobuf JSON of a job's specification, or TOML with the same keys."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from google.protobuf.json_format import ParseDict, ParseError

from hpcsched.api.v1 import job_pb2
from hpcsched.cli.specs import CLIENT_SOURCE
from hpcsched.common.units import UnitError, format_duration, parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PROTO_DURATION: Final = re.compile(r"-?[0-9]+(\.[0-9]{1,9})?s", re.ASCII)
_DURATIONS: Final = frozenset({"runtime", "grace_period", "gracePeriod"})

#: What one call takes (api: 100,000 jobs and 16 MiB), with room for the rest.
LARGEST_CALL_JOBS: Final = 100_000
LARGEST_CALL_BYTES: Final = 15 * 1024 * 1024


def read_job(path: str, *, directory: Path) -> job_pb2.JobSpec:
    """Return the job in a file.

    Args:
        path: Ends in ``.json`` or ``.toml``; ``-`` is standard input, of either kind.
        directory: Where tasks start that name no directory.

    Raises:
        click.UsageError: it cannot be read, or is malformed.
    """
    if path.lower().endswith(".xml"):
        raise click.UsageError("job files in XML are not in this version")
    text = _read(path)
    kind = Path(path).suffix.lower()
    if kind not in {".json", ".toml"}:
        kind = ".json" if text.lstrip().startswith("{") else ".toml"
    try:
        found = json.loads(text) if kind == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise click.UsageError(f"{path}: {error}") from None
    return _to_spec(found, path, directory)


def read_batch(path: str, *, directory: Path) -> Sequence[job_pb2.JobSpec]:
    """Return the jobs in a file of JSON Lines; blank lines are left out.

    Raises:
        click.UsageError: it cannot be read, holds no job, or a line is malformed.
    """
    specs = []
    for number, line in enumerate(_read(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            found = json.loads(line)
        except ValueError as error:
            raise click.UsageError(f"{where}: {error}") from None
        specs.append(_to_spec(found, where, directory))
    if not specs:
        raise click.UsageError(f"{path} holds no job")
    return specs


def calls_of(specs: Sequence[job_pb2.JobSpec]) -> Iterator[Sequence[job_pb2.JobSpec]]:
    """Yield the jobs in as many pieces as calls are needed."""
    piece: list[job_pb2.JobSpec] = []
    size = 0
    for spec in specs:
        more = spec.ByteSize() + 8
        full = len(piece) == LARGEST_CALL_JOBS or size + more > LARGEST_CALL_BYTES
        if piece and full:
            yield piece
            piece, size = [], 0
        piece.append(spec)
        size += more
    if piece:
        yield piece


def _read(path: str) -> str:
    try:
        with click.open_file(path, encoding="utf-8") as file:
            text: str = file.read()
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.UsageError(f"{path} is not UTF-8 text") from None
    return text


def _to_spec(found: Any, where: str, directory: Path) -> job_pb2.JobSpec:
    if not isinstance(found, dict):
        raise click.UsageError(f"{where}: a job is an object with the keys of JobSpec")
    tasks = found.get("tasks")
    parts = [found, *(tasks if isinstance(tasks, list) else ())]
    spec = job_pb2.JobSpec()
    try:
        for part in parts:
            _spell_durations(part)
        ParseDict(found, spec, max_recursion_depth=20)
    except (ParseError, UnitError) as error:
        raise click.UsageError(f"{where}: {error}") from None
    spec.client_source = spec.client_source or CLIENT_SOURCE
    for task in spec.tasks:
        task.work_directory = task.work_directory or str(directory)
    return spec


def _spell_durations(part: Any) -> None:
    """Write ``1h30m`` as protobuf's JSON has it, ``5400s``.

    Raises:
        UnitError: it is no duration.
    """
    if not isinstance(part, dict):
        return
    for name in _DURATIONS & part.keys():
        value = part[name]
        if isinstance(value, int | float):
            value = format(value, "g")
        if isinstance(value, str) and not _PROTO_DURATION.fullmatch(value):
            part[name] = f"{parse_duration(value):.3f}s"


def describe(spec: job_pb2.JobSpec) -> str:
    """Return one line about a job that was only checked."""
    tasks = len(spec.tasks)
    limit = spec.runtime.ToMilliseconds() / 1000
    runtime = f", limit {format_duration(limit)}" if limit else ""
    return f"{spec.name or 'job'}: {tasks} task{'' if tasks == 1 else 's'}{runtime}"
