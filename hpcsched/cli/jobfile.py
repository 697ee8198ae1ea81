"""Job files as the command line takes them: the reference's XML, JSON or TOML."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from hpcsched.cli.problems import note
from hpcsched.cli.specs import CLIENT_SOURCE
from hpcsched.common.units import format_duration
from hpcsched.jobfile.plain import parse_json, parse_of_toml, read_json, read_toml
from hpcsched.jobfile.problems import JobFileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hpcsched.api.v1 import job_pb2
    from hpcsched.jobfile.changing import FileChange

_KINDS: Final = frozenset({".json", ".toml", ".xml"})
#: What one call takes (api: 100,000 jobs and 16 MiB), with room for the rest.
LARGEST_CALL_JOBS: Final = 100_000
LARGEST_CALL_BYTES: Final = 15 * 1024 * 1024
#: Bytes of one file, be it a batch of many jobs.
LARGEST_FILE: Final = 1024 * 1024 * 1024


def read_job(path: str, *, directory: Path) -> job_pb2.JobSpec:
    """Return the job in a file; what was left out of it is told on stderr.

    Args:
        path: Ends in ``.xml``, ``.json`` or ``.toml``; ``-`` is standard input, which
            like a file of another name is looked into.
        directory: Where tasks start that name no directory.

    Raises:
        click.UsageError: it cannot be read, or is malformed.
        HpcError: TEXT_TOO_LONG, a limit of the reference in its own XML.
    """
    kind, body = _body_of(path)
    try:
        if kind == ".xml":
            spec = _read_xml(path, body)
        else:
            text = _decoded(path, body)
            spec = read_json(text) if kind == ".json" else read_toml(text)
    except JobFileError as error:
        raise click.UsageError(f"{path}: {error}") from None
    if not spec.ListFields():
        raise click.UsageError(f"{path} says nothing of a job")
    return _completed(spec, directory)


def read_change(path: str, *, directory: Path) -> FileChange:
    """Return what a file changes of a job that there is; warnings go to stderr.

    Args:
        path: As of ``read_job``.
        directory: Where tasks start that are added and name no directory.

    Raises:
        click.UsageError: it cannot be read, or is malformed.
        HpcError: TEXT_TOO_LONG, a limit of the reference in its own XML.
    """
    from hpcsched.jobfile.changing import change_in, change_in_xml

    kind, body = _body_of(path)
    try:
        if kind == ".xml":
            change = change_in_xml(body)
        else:
            text = _decoded(path, body)
            parse = parse_json if kind == ".json" else parse_of_toml
            change = change_in(parse(text))
    except JobFileError as error:
        raise click.UsageError(f"{path}: {error}") from None
    for warning in change.warnings:
        note(f"{path}: {warning}")
    if change.fields == ("explicit",) and not change.tasks:
        raise click.UsageError(f"{path} says nothing of a job")
    for task in change.tasks:
        if task.fields:  # what is changed is named there; this is for what is added
            spec = task.spec
            spec.work_directory = spec.work_directory or str(directory)
    return change


def _body_of(path: str) -> tuple[str, bytes]:
    """Return the kind of a file, and what is in it."""
    body = _read(path)
    if not body.strip():
        raise click.UsageError(f"{path} is empty: it describes no job")
    kind = Path(path).suffix.lower()
    return (kind if kind in _KINDS else _kind_of(body)), body


def _kind_of(body: bytes) -> str:
    # XML may begin with a mark of its encoding, and be in one with zeros.
    head = body.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")[:1]
    return {b"<": ".xml", b"{": ".json"}.get(head, ".toml")


def _read_xml(path: str, body: bytes) -> job_pb2.JobSpec:
    from hpcsched.jobfile.reading import read_xml

    file = read_xml(body)
    for warning in file.warnings:
        note(f"{path}: {warning}")
    return file.spec


def _completed(spec: job_pb2.JobSpec, directory: Path) -> job_pb2.JobSpec:
    spec.client_source = spec.client_source or CLIENT_SOURCE
    for task in spec.tasks:
        task.work_directory = task.work_directory or str(directory)
    return spec


def read_batch(path: str, *, directory: Path) -> Sequence[job_pb2.JobSpec]:
    """Return the jobs in a file of JSON Lines; blank lines are left out.

    Raises:
        click.UsageError: it cannot be read, holds no job, or a line is malformed.
    """
    specs = []
    text = _decoded(path, _read(path))
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            spec = read_json(line)
        except JobFileError as error:
            raise click.UsageError(f"{path}, line {number}: {error}") from None
        specs.append(_completed(spec, directory))
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


def _read(path: str) -> bytes:
    try:
        with click.open_file(path, "rb") as file:
            body: bytes = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}") from None
    if len(body) > LARGEST_FILE:
        raise click.UsageError(f"{path} has more than {LARGEST_FILE} bytes")
    return body


def _decoded(path: str, body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise click.UsageError(f"{path} is not UTF-8 text") from None


def describe(spec: job_pb2.JobSpec) -> str:
    """Return one line about a job that was only checked."""
    tasks = len(spec.tasks)
    limit = spec.runtime.ToMilliseconds() / 1000
    runtime = f", limit {format_duration(limit)}" if limit else ""
    return f"{spec.name or 'job'}: {tasks} task{'' if tasks == 1 else 's'}{runtime}"
