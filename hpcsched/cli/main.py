"""``hpc``: the command line of hpcsched, as a process."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import sys
import threading
from typing import TYPE_CHECKING, Final

from hpcsched.cli import deferred

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Objects between two looks for cycles: while programs start there are none to find.
COLLECT_AFTER: Final = 50_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command line and end the process with its exit status."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    gc.set_threshold(COLLECT_AFTER, 10, 10)
    # Before gRPC is loaded: what breaks is told by us, once, and not by its core.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    _take_closed_streams()
    _buffer_streams()
    deferred.install()
    # Only now, for they import what is deferred.
    from hpcsched.cli import problems
    from hpcsched.cli.root import run

    try:
        status = run(argv)
        sys.stdout.flush()
    except BrokenPipeError:
        status = problems.PIPE_CLOSED
        close_pipe()
    except OSError as error:
        status = problems.REFUSED
        with contextlib.suppress(OSError):
            sys.stderr.write(f"hpc: OUTPUT_FAILED: {error.strerror}.\n")
            sys.stderr.flush()
        close_pipe()
    if arguments is None:
        _leave(status)
    raise SystemExit(status)


def _leave(status: int) -> None:
    """End the process now: nothing is open, and taking gRPC apart takes 30 ms."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            sys.stderr.flush()
    main_thread = threading.main_thread()
    if all(one is main_thread or one.daemon for one in threading.enumerate()):
        os._exit(status)


def _take_closed_streams() -> None:
    """Open what the caller has closed, so that no connection gets its number."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # The lowest number that is free: this one.
    # The type says that they are there; Python sets None where they were closed.
    streams: dict[str, object] = vars(sys)
    if streams["stdin"] is None:
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    if streams["stdout"] is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if streams["stderr"] is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)


def _buffer_streams() -> None:
    """Let whole texts be written, or fail; everybody who has to be quick flushes.

    With PYTHONUNBUFFERED, which containers like to set, Python writes once: what did
    not fit into a pipe that is closed then, or on a disk, is lost without a word.
    """
    streams: dict[str, object] = vars(sys)
    for name in ("stdout", "stderr"):
        stream = streams[name]
        raw = getattr(stream, "buffer", None)
        if isinstance(stream, io.TextIOWrapper) and isinstance(raw, io.RawIOBase):
            streams[name] = io.TextIOWrapper(
                io.BufferedWriter(raw),
                encoding=stream.encoding,
                errors=stream.errors,
                line_buffering=name == "stderr" or stream.isatty(),
            )
            stream.detach()


def close_pipe() -> None:
    """Let the interpreter's own flush at the end go nowhere, in silence."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
