"""A whole head in a thread of this process: its store, both servers, fake nodes.

For tests that are not on an event loop themselves, such as those that hypothesis draws.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import grpc
from google.rpc import error_details_pb2, status_pb2

from hpcsched.common.clock import SystemClock
from hpcsched.common.errors import REASONS
from hpcsched.common.rng import SystemIds
from hpcsched.rpc.addresses import Address
from hpcsched.rpc.metadata import STATUS_DETAILS, call_metadata
from hpcsched.runtime.head import Head
from hpcsched.services.server import Servers
from hpcsched.store.opener import DATABASE, open_store
from tests.support.fake_agent import FakeAgent

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from pathlib import Path
    from types import TracebackType

    from hpcsched.store.sql.store import SqlStore

T = TypeVar("T")
ANY: Final = Address("127.0.0.1", 0)
#: Secret to (user, role).
SECRETS: Final = {
    "root-secret": ("root", "administrator"),
    "ann-secret": ("ann", "user"),
    "bob-secret": ("bob", "user"),
    "node-secret": ("*", "node"),
}
PEOPLE: Final = ("root-secret", "ann-secret", "bob-secret")
PATIENCE_S: Final = 60.0
#: A stream is read for so long, or so many messages.
STREAM_S: Final = 0.1
MOST_MESSAGES: Final = 20


#: Who logs errors that are not the head's own: nodes of another cluster, a rollback.
NO_FAULTS: Final = frozenset({"hpcsched.runtime.safety"})


class Faults(logging.Handler):
    """Collects what a head logs when something of its own went wrong."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name not in NO_FAULTS:
            self.seen.append(logging.Formatter().format(record))


class Site:
    """See the module. Use it as a context manager.

    Attributes:
        faults: Lines of level ERROR that the head has logged.
    """

    def __init__(self, folder: Path, *, nodes: Sequence[str] = ("n1", "n2")) -> None:
        self._folder = folder
        self._names = nodes
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._run: asyncio.Task[None] | None = None
        self._store: SqlStore | None = None
        self._servers: Servers | None = None
        self._log = Faults()
        self.clock = SystemClock()
        self.agents: list[FakeAgent] = []
        self.head: Head
        self.clients: Address
        self.agents_at: Address
        self.channel: grpc.aio.Channel
        self.agent_channel: grpc.aio.Channel

    @property
    def servers(self) -> Servers:
        assert self._servers is not None
        return self._servers

    @property
    def faults(self) -> list[str]:
        return self._log.seen

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self._log)
        self._thread.start()
        self.run(self._start())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.run(self._stop())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE_S)
            self._loop.close()
            logging.getLogger().removeHandler(self._log)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something on the head's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    async def _start(self) -> None:
        ids = SystemIds(self.clock)
        self._store = open_store(self._folder, loop=self._loop)
        self.head = Head(
            store=self._store, clock=self.clock, ids=ids, name="site", version="1"
        )
        await self.head.recover()
        for secret, (user, role) in SECRETS.items():
            await self.head.adopt_token(user, role, secret)
        self._servers = Servers(self.head, self.clock, ids)
        self.clients, self.agents_at = self._servers.bind(ANY, ANY, None)
        self._run = self._loop.create_task(self.head.run())
        await self._servers.start()
        await self.clock.sleep(0)
        self._servers.serving()
        self.channel = grpc.aio.insecure_channel(str(self.clients))
        self.agent_channel = grpc.aio.insecure_channel(str(self.agents_at))
        for name in self._names:
            agent = FakeAgent(self.head, self.clock, name, 4)
            self.agents.append(agent)
            await agent.connect()

    async def _stop(self) -> None:
        for agent in self.agents:
            agent.retry = None
            agent.cut()
        await self.channel.close()
        await self.agent_channel.close()
        if self._servers is not None:
            await self._servers.stop(0)
        if self._run is not None:
            self._run.cancel()
            await asyncio.gather(self._run, return_exceptions=True)
        if self._store is not None:
            await self._store.close()

    @staticmethod
    def metadata(secret: str) -> Any:
        """Return what a call with a token carries."""
        return call_metadata(token=secret)

    async def ask(self, method: str, request: Any, secret: str) -> bytes:
        """Return the answer of JobService; a refusal is raised."""
        unary: Any = self.channel.unary_unary(f"/hpcsched.api.v1.JobService/{method}")
        data = request.SerializeToString()
        answer: bytes = await unary(
            data, metadata=call_metadata(token=secret), timeout=PATIENCE_S
        )
        return answer

    def rows(self) -> dict[str, int]:
        """Return how many rows each table has."""
        uri = f"file:{self._folder / DATABASE}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as store:
            names = store.execute("SELECT name FROM sqlite_master WHERE type='table'")
            return {
                name: store.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608
                for (name,) in names.fetchall()
            }

    async def call(
        self, path: str, data: bytes, secret: str, *, streams: bool = False
    ) -> str:
        """Make a call with these bytes; return ``OK``, or why it was refused."""
        metadata = call_metadata(token=secret)
        waits = path.endswith("/WaitJob")
        try:
            if streams:
                return await self._stream(path, data, metadata)
            unary: Any = self.channel.unary_unary(path)
            patience = STREAM_S if waits else PATIENCE_S
            await unary(data, metadata=metadata, timeout=patience)
        except grpc.aio.AioRpcError as error:
            late = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            return "OK" if late and (streams or waits) else outcome_of(error)
        return "OK"

    async def _stream(self, path: str, data: bytes, metadata: Any) -> str:
        stream: Any = self.channel.unary_stream(path)
        call = stream(data, metadata=metadata, timeout=STREAM_S)
        try:
            for _ in range(MOST_MESSAGES):
                if await call.read() is grpc.aio.EOF:
                    return "OK"
        finally:
            call.cancel()
        return "OK"


def outcome_of(error: grpc.aio.AioRpcError) -> str:
    """Return the reason in a status; one without is named by its code and details."""
    for key, value in error.trailing_metadata() or ():
        if key != STATUS_DETAILS or not isinstance(value, bytes):
            continue
        for detail in status_pb2.Status.FromString(value).details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info) and info.domain == "hpcsched":
                return str(info.reason)
    return f"{error.code().name} without a reason: {error.details()}"


def is_fault(outcome: str) -> bool:
    """Is this what a caller may never be told?"""
    if "Received message larger than max" in outcome:
        return False  # of gRPC itself, which does not even read it
    return outcome != "OK" and (outcome not in REASONS or outcome == "INTERNAL")
