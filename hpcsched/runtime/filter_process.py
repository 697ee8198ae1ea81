"""Running a filter program: a process of its own, outside of everything of ours.

The head speaks gRPC, so it must never fork. ``posix_spawn`` does not: no code of ours
runs in the child, and no handler of gRPC's. It knows no working directory, so a shell
of three words changes to it. The program has a session of its own that is killed as a
whole when the program has ended or its time is over; nothing of the head's is open in
it. Its files are in a private directory that is gone afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hpcsched.runtime.filter_program import FilterOutcome

if TYPE_CHECKING:
    from hpcsched.common.clock import Clock
    from hpcsched.runtime.filter_program import FilterCall

log = logging.getLogger(__name__)

OUTPUT_LIMIT: Final = 64 * 1024
"""Bytes of each of its streams that are kept; the rest is read and dropped."""
DOCUMENT_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of the XML that it leaves behind."""
NAME: Final = "job.xml"
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROC: Final = Path("/proc")
_SHELL: Final = "/bin/sh"
_SCRIPT: Final = 'cd "$1" && shift && exec "$@"'
_CANNOT_RUN: Final = (126, 127)
"""What a shell says where there is nothing that can be executed."""
_DEFAULTED: Final = (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGXFSZ)
_CHUNK: Final = 65536


def prepare_filters(directory: Path) -> None:
    """Make the directory; what a head that was killed has left there is ended and gone.

    Raises:
        OSError: it cannot be made.
    """
    if directory.exists():
        for pid in _left_running(directory):
            log.warning("ending process %d of a filter of a head that was killed", pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(directory)
    directory.mkdir(mode=0o700)


def _left_running(directory: Path) -> list[int]:
    """Return the processes whose private place is below a directory.

    Nobody else has such an environment, and what a filter starts inherits it.
    """
    mark = f"TMPDIR={directory}/".encode()
    found = []
    for process in _PROC.iterdir():
        if process.name.isdecimal():
            with contextlib.suppress(OSError):  # it has ended, or is another user's
                variables = (process / "environ").read_bytes().split(b"\0")
                if any(one.startswith(mark) for one in variables):
                    found.append(int(process.name))
    return found


class FilterProcesses:
    """See the module (``filter_program.FilterPrograms``).

    Args:
        directory: Of ours alone, see ``prepare_filters``.
        clock: The time.
        loop: The head's.
    """

    def __init__(
        self, directory: Path, clock: Clock, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._loop = loop
        self._number = 0
        self._left: set[int] = set()
        # Two: a slow disk under one job's files is not every other job's.
        self._pool = ThreadPoolExecutor(2, "hpcsched-filter")

    def close(self) -> None:
        """Wait for what its threads do."""
        self._pool.shutdown()

    async def run(self, call: FilterCall) -> FilterOutcome:
        """Ask a filter; cancelling this kills it. Never raises but when cancelled."""
        self._number += 1
        home = self._directory / str(self._number)
        in_thread = self._loop.run_in_executor
        try:
            await in_thread(self._pool, _lay_out, home, call)
            running = await self._started(home, call)
            outcome = await self._wait(running, call.timeout_s)
            if outcome.problem:
                return outcome
            return await in_thread(self._pool, _with_document, home, outcome)
        except _NotStartedError as error:
            return FilterOutcome(problem=str(error))
        except OSError as error:
            return FilterOutcome(problem=f"its files: {error.strerror or error}")
        except Exception as error:
            log.exception("the XML for filter %s could not be made", call.program)
            return FilterOutcome(problem=f"the job's XML could not be made: {error}")
        finally:
            self._pool.submit(shutil.rmtree, home, ignore_errors=True)

    async def _started(self, home: Path, call: FilterCall) -> _Running:
        self._reap_left()
        starting = self._loop.run_in_executor(self._pool, _start, home, call)
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(self._abandon)
            raise

    def _abandon(self, starting: asyncio.Future[_Running]) -> None:
        """Nobody waits any more for what was being started."""
        if not starting.cancelled() and starting.exception() is None:
            starting.result().kill()
            self._reap(starting.result())

    def _reap(self, running: _Running) -> int | None:
        """Return the exit status, negative for a signal; None: not known yet."""
        running.close()
        self._left.add(running.pid)
        return self._reap_left().get(running.pid)

    def _reap_left(self) -> dict[int, int]:
        """Take the statuses of processes that have ended."""
        found: dict[int, int] = {}
        for pid in list(self._left):
            try:
                ended, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                ended = pid
            else:
                found[pid] = os.waitstatus_to_exitcode(status)
            if ended:
                self._left.discard(pid)
            else:
                found.pop(pid, None)
        return found

    async def _wait(self, running: _Running, timeout_s: float) -> FilterOutcome:
        ended = asyncio.Event()
        late = False

        def out_of_time() -> None:
            nonlocal late
            late = True
            running.kill()

        loop = self._loop
        timer = self._clock.call_at(self._clock.mono() + timeout_s, out_of_time)
        loop.add_reader(running.pidfd, ended.set)
        for pipe in running.pipes:
            loop.add_reader(pipe.descriptor, pipe.read_some)
        try:
            await ended.wait()
        except BaseException:
            running.kill()
            # Killed, it ends at once; whoever has cancelled waits for no corpse.
            raise
        finally:
            timer.cancel()
            loop.remove_reader(running.pidfd)
            for pipe in running.pipes:
                loop.remove_reader(pipe.descriptor)
            running.kill()  # what it has left behind; it is not reaped yet
            status = self._reap(running)
        stderr = running.pipes[1].text()
        if late:
            problem = f"it was killed after {timeout_s:g} s"
            return FilterOutcome(timed_out=True, problem=problem, stderr=stderr)
        if status is None or status < 0:
            problem = f"it was ended by signal {-(status or 0)}"
            return FilterOutcome(problem=problem, stderr=stderr)
        if status in _CANNOT_RUN:
            said = stderr.strip().splitlines()
            problem = f"it cannot be executed: {said[0] if said else f'exit {status}'}"
            return FilterOutcome(problem=problem, stderr=stderr)
        return FilterOutcome(exit_code=status, stderr=stderr)


class _NotStartedError(Exception):
    """There is no process, and why."""


@dataclass(slots=True)
class _Pipe:
    """The reading end of one stream."""

    descriptor: int
    kept: bytearray = field(default_factory=bytearray)

    def read_some(self) -> bool:
        """Read what is there; return whether there may be more."""
        try:
            chunk = os.read(self.descriptor, _CHUNK)
        except BlockingIOError:
            return False
        self.kept += chunk[: OUTPUT_LIMIT - len(self.kept)]
        if not chunk:
            # Its end would be told again and again.
            with contextlib.suppress(RuntimeError):
                asyncio.get_running_loop().remove_reader(self.descriptor)
        return bool(chunk)

    def finish(self) -> None:
        """Read what is left and close; who may still write is not waited for."""
        for _ in range(OUTPUT_LIMIT // 4096):
            if not self.read_some():
                break
        os.close(self.descriptor)

    def text(self) -> str:
        return self.kept.decode(errors="replace")


@dataclass(slots=True)
class _Running:
    """A process with its streams."""

    pid: int
    pidfd: int
    pipes: tuple[_Pipe, _Pipe]

    def kill(self) -> None:
        """Kill its whole group. It is not reaped yet, so the number is its own."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Read the rest of what it wrote, and let go of it."""
        for pipe in self.pipes:
            pipe.finish()
        os.close(self.pidfd)


def _lay_out(home: Path, call: FilterCall) -> None:
    """Make the private directory with the XML in it."""
    home.mkdir(mode=0o700)
    descriptor = os.open(home / NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(call.document())


def _start(home: Path, call: FilterCall) -> _Running:
    """Start the program.

    Raises:
        _NotStartedError: it cannot be.
    """
    program = call.program
    if not os.path.isabs(program):  # noqa: PTH117  the text as it was given
        raise _NotStartedError(f"{program!r} is no absolute path")
    if not os.path.isfile(program):  # noqa: PTH113
        raise _NotStartedError(f"there is no file {program}")
    if not os.access(program, os.X_OK):
        raise _NotStartedError(f"{program} is not executable for this user")
    environment = {
        "PATH": PATH,
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "TMPDIR": str(home),
        **call.environment,
    }
    words = [_SHELL, "-c", _SCRIPT, "sh", str(home), program, str(home / NAME)]
    ends: list[int] = []
    try:
        out, out_end = os.pipe2(os.O_CLOEXEC)
        ends += [out, out_end]
        err, err_end = os.pipe2(os.O_CLOEXEC)
        ends += [err, err_end]
        pid = os.posix_spawn(
            _SHELL,
            words,
            environment,
            file_actions=[
                *((os.POSIX_SPAWN_CLOSE, one) for one in _inherited()),
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, out_end, 1),
                (os.POSIX_SPAWN_DUP2, err_end, 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=_DEFAULTED,
        )
    except (OSError, ValueError) as error:
        for end in ends:
            os.close(end)
        raise _NotStartedError(f"it could not be started: {error}") from None
    os.close(out_end)
    os.close(err_end)
    for end in (out, err):
        os.set_blocking(end, False)
    return _Running(pid, os.pidfd_open(pid), (_Pipe(out), _Pipe(err)))


def _inherited() -> list[int]:
    """Return what whoever started the head has left open in it, beside the streams."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  numbers, not paths
        with contextlib.suppress(OSError):
            if int(name) > 2 and os.get_inheritable(int(name)):  # noqa: PLR2004
                found.append(int(name))
    return found


def _with_document(home: Path, outcome: FilterOutcome) -> FilterOutcome:
    """Return the outcome with the XML as the program has left it."""
    # It may have put anything there; a link or a device is not followed.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(home / NAME, flags), "rb") as file:
        body = file.read(DOCUMENT_LIMIT + 1)
    return FilterOutcome(
        exit_code=outcome.exit_code, stderr=outcome.stderr, document=body
    )
