"""Programs with nothing in them but the hops of a job: what no scheduler can go below.

``python -m bench.empty head|agent|spawner JSON``: a head that commits some rows and
passes a message on, an agent that passes it on, a spawner that starts the process (or
signals it), with messages as long as ours. They know one job, one node, one watcher.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import socket
import sqlite3
import sys
import threading
from dataclasses import asdict, dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import grpc
import uvloop
from grpc import aio

from hpcsched.rpc.addresses import parse_address
from hpcsched.rpc.channel import agent_channel
from hpcsched.rpc.options import agent_server_options, client_server_options

if TYPE_CHECKING:
    from collections.abc import Callable

JOB, SLEEPER, CANCEL, END = b"j", b"s", b"c", b"e"
TABLES = 8
ROW, CALL, ORDER, REPORT, EVENT = 250, 150, 1000, 200, 300
"""Bytes of a row, and of messages, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What an empty cluster is made of.

    Attributes:
        commits: How a change becomes durable: by a thread that writes, in the loop's
            own thread, or not at all.
        rows: In each commit, each in a table of its own.
        processes: Are there any? Else the spawner answers at once.
        loop: ``uvloop`` or ``asyncio``.
    """

    commits: str = "thread"
    rows: int = TABLES
    processes: bool = True
    loop: str = "uvloop"


class Store:
    """A database with the settings of ours."""

    def __init__(self, path: str, design: Design) -> None:
        self._design = design
        self._loop = asyncio.get_running_loop()
        self._numbers = 0
        self._queue: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for text in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=0"):
            self._db.execute(f"PRAGMA {text}").fetchall()
        for table in range(TABLES):
            self._db.execute(f"CREATE TABLE t{table} (id INTEGER PRIMARY KEY, b BLOB)")
        threading.Thread(target=self._run, daemon=True).start()

    def commit(self, done: Callable[[], None]) -> None:
        """Call back when some rows are durable."""
        if self._design.commits == "thread":
            self._queue.put(done)
            return
        if self._design.commits == "inline":
            self._write()
        self._loop.call_soon(done)

    def _write(self) -> None:
        self._numbers += 1
        self._db.execute("BEGIN IMMEDIATE")
        for table in range(self._design.rows):
            values = (self._numbers, os.urandom(ROW))
            self._db.execute(f"INSERT INTO t{table} VALUES (?, ?)", values)  # noqa: S608
        self._db.execute("COMMIT")

    def _run(self) -> None:
        while True:
            done = self._queue.get()
            self._write()
            self._loop.call_soon_threadsafe(done)


class Out:
    """Messages on their way into a stream."""

    def __init__(self, write: Any) -> None:
        self._write = write
        self._waiting: list[bytes] = []
        self._some = asyncio.Event()

    def put(self, message: bytes) -> None:
        """Queue a message."""
        self._waiting.append(message)
        self._some.set()

    async def run(self) -> None:
        """Write what is queued."""
        while True:
            await self._some.wait()
            self._some.clear()
            while self._waiting:
                await self._write(self._waiting.pop(0))


class Head(grpc.GenericRpcHandler):
    """Two commits for a job, and two events."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._out: dict[str, Out] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        match handler_call_details.method:
            case "/empty/Call":
                return grpc.unary_unary_rpc_method_handler(self._call)
            case "/empty/Watch":
                return grpc.unary_stream_rpc_method_handler(self._watch)
            case _:
                return grpc.stream_stream_rpc_method_handler(self._connect)

    async def _call(self, request: bytes, _: Any) -> bytes:
        durable = asyncio.get_running_loop().create_future()

        def done() -> None:
            durable.set_result(None)
            self._out["agent"].put(request[:1] * ORDER)
            self._out["watcher"].put(request[:1] * EVENT)

        self._store.commit(done)
        await durable
        return request[:1] * 20

    async def _watch(self, _: bytes, context: Any) -> None:
        out = self._out["watcher"] = Out(context.write)
        out.put(b"ready")
        await out.run()

    async def _connect(self, _: Any, context: Any) -> None:
        out = self._out["agent"] = Out(context.write)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(out.run())
            while await context.read() is not aio.EOF:
                self._store.commit(lambda: self._out["watcher"].put(END * EVENT))


async def head(told: dict[str, Any]) -> None:
    """Serve, and say where."""
    service = Head(Store(told["database"], Design(**told["design"])))
    ports = []
    servers = []
    for options in (client_server_options(8), agent_server_options(8)):
        server = aio.server(options=options)
        server.add_generic_rpc_handlers((service,))
        ports.append(server.add_insecure_port("127.0.0.1:0"))
        await server.start()
        servers.append(server)
    _say(ports)
    await asyncio.Event().wait()


async def agent(told: dict[str, Any]) -> None:
    """Pass on what comes, both ways."""
    channel = agent_channel(parse_address(f"127.0.0.1:{told['port']}", 0), None)
    call: Any = channel.stream_stream("/empty/Connect")()
    out = Out(call.write)

    class Wire(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            for _ in range(data.count(b"\n")):
                out.put(END * REPORT)

    loop = asyncio.get_running_loop()
    wire, _ = await loop.create_unix_connection(Wire, told["socket"])
    await call.wait_for_connection()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(out.run())
        _say([])
        while (message := await call.read()) is not aio.EOF:
            wire.write(message[:1] * (ORDER // 2) + b"\n")


class Spawner:
    """Starts, signals and reaps; one process at a time."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._processes = Design(**told["design"]).processes
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(told["socket"])
        listener.listen()
        _say([])
        self._agent, _ = listener.accept()
        self._null = os.open(os.devnull, os.O_RDWR)
        self._poll = select.epoll()
        self._poll.register(self._agent, select.EPOLLIN)
        self._pidfd = -1
        self._pid = 0

    def run(self) -> None:
        """Serve until the agent is gone."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._pidfd:
                    self._reap()
                elif not self._obey():
                    return

    def _obey(self) -> bool:
        orders = self._agent.recv(1 << 16)
        for order in orders.split(b"\n")[:-1]:
            kind = order[:1]
            if not self._processes and kind != SLEEPER:
                self._tell()
            elif kind == CANCEL:
                os.kill(self._pid, signal.SIGTERM)
            elif self._processes:
                self._start(["/bin/true"] if kind == JOB else ["/bin/sleep", "600"])
        return bool(orders)

    def _start(self, words: list[str]) -> None:
        streams = [(os.POSIX_SPAWN_DUP2, self._null, one) for one in range(3)]
        self._pid = os.posix_spawn(
            words[0], words, {}, file_actions=streams, setsid=True
        )
        self._pidfd = os.pidfd_open(self._pid)
        self._poll.register(self._pidfd, select.EPOLLIN)

    def _reap(self) -> None:
        os.waitpid(self._pid, 0)
        os.close(self._pidfd)  # epoll forgets it with that
        self._pidfd = -1
        self._tell()

    def _tell(self) -> None:
        self._agent.send(END * REPORT + b"\n")


def _say(ports: list[int]) -> None:
    print(json.dumps({"ports": ports}), flush=True)


def told(design: Design, **more: Any) -> str:
    """Return what a program is told on its command line."""
    return json.dumps({"design": asdict(design), **more})


def main() -> None:
    """Be one of the programs."""
    words = json.loads(sys.argv[2])
    if sys.argv[1] == "spawner":
        Spawner(words).run()
        return
    program = (head if sys.argv[1] == "head" else agent)(words)
    if Design(**words["design"]).loop == "uvloop":
        uvloop.run(program)
    else:
        asyncio.run(program)


if __name__ == "__main__":
    main()
