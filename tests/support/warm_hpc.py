"""``hpc`` without its start: a process that has loaded it forks one for each command.

Loading the interpreter, click and gRPC costs a command ten times what its call does,
and the suite runs hundreds. Each is a process of its own all the same, with its
arguments, environment, directory and streams, and ends with its own exit status. What
a cold start does is tested where it matters: commands in the background, those of the
guide's pages, and those of ``tests/cli`` that look at it are started from nothing.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import pkgutil
import select
import signal
import socket
import struct
import subprocess
import sys
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[2]
STREAMS = 3
_SIZE = struct.Struct(">I")


class WarmHpc:
    """The client's end, one for each process of the tests."""

    def __init__(self) -> None:
        self._running = 0
        self._channel, other = socket.socketpair()
        with other:
            command = [sys.executable, "-m", __name__, str(other.fileno())]
            self._server = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
                start_new_session=True,
            )
        atexit.register(self.close)

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        environment: Mapping[str, str],
        stdin: str,
        timeout: float,
    ) -> tuple[int, str, str]:
        """Return a command's exit status, negative for a signal, and what it prints.

        Raises:
            TimeoutError: it was killed after so many seconds.
        """
        with ExitStack() as stack:
            streams = [
                stack.enter_context(open(os.memfd_create(name), "w+b"))  # noqa: PTH123 - no path
                for name in ("stdin", "stdout", "stderr")
            ]
            streams[0].write(stdin.encode())
            streams[0].seek(0)
            request = {
                "argv": list(argv),
                "cwd": str(cwd),
                "environment": dict(environment),
            }
            body = json.dumps(request).encode()
            numbers = [stream.fileno() for stream in streams]
            socket.send_fds(self._channel, [_SIZE.pack(len(body))], numbers)
            self._channel.sendall(body)
            self._running = _receive(self._channel)
            late = self._wait(timeout)
            status = _receive(self._channel)
            self._running = 0
            out, err = (_text(stream) for stream in streams[1:])
        if late:
            what = f"hpc {argv[1:]} still ran after {timeout:g} s\n{out}\n{err}"
            raise TimeoutError(what)
        return status, out, err

    def close(self) -> None:
        """End it, and a command that still runs."""
        atexit.unregister(self.close)
        self._channel.close()
        if self._running:
            os.kill(self._running, signal.SIGKILL)
        self._server.wait()

    def _wait(self, timeout: float) -> bool:
        """Return whether the command had to be killed."""
        ready, _, _ = select.select([self._channel], [], [], timeout)
        if not ready:  # the number is its own until its end has been told
            os.kill(self._running, signal.SIGKILL)
        return not ready


def _text(stream: Any) -> str:
    stream.seek(0)
    text: str = stream.read().decode()
    return text


def _receive(channel: socket.socket) -> int:
    data = b""
    while len(data) < _SIZE.size:
        part = channel.recv(_SIZE.size - len(data))
        if not part:
            raise AssertionError("the process that forks hpc has died")
        data += part
    return struct.unpack(">i", data)[0]  # type: ignore[no-any-return]


# --- The other end --------------------------------------------------------


def load() -> None:
    """Load whatever a command may need; nothing of it may start a thread."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    package = import_module("hpcsched.cli")
    for module in pkgutil.walk_packages(package.__path__, "hpcsched.cli."):
        import_module(module.name)
    for name in ("hpcsched.client.aio", "grpc.aio", "rich.table", "rich.console"):
        import_module(name)
    gc.collect()
    gc.freeze()  # a fork copies no page of it only because it is looked at
    threads = len(list(Path("/proc/self/task").iterdir()))
    assert threads == 1, f"{threads} threads: a fork would lose them"


def serve(channel: socket.socket) -> None:
    """Carry out one command after the other, until nobody asks any more."""
    while True:
        head, streams, _, _ = socket.recv_fds(channel, _SIZE.size, STREAMS)
        if not head:
            return
        (left,) = _SIZE.unpack(head)
        body = b""
        while len(body) < left:
            body += channel.recv(left - len(body))
        pid = os.fork()
        if not pid:
            channel.close()
            become(json.loads(body), streams)
            return
        for stream in streams:
            os.close(stream)
        channel.sendall(struct.pack(">i", pid))
        _, status = os.waitpid(pid, 0)
        channel.sendall(struct.pack(">i", os.waitstatus_to_exitcode(status)))


def become(request: dict[str, Any], streams: list[int]) -> None:
    """Be a command: end with its status."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = request["argv"]
    from hpcsched.cli.main import main  # noqa: PLC0415 - loaded already, see load

    main()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    load()
    serve(socket.socket(fileno=int(sys.argv[1])))
