"""A head that does what the test says: a real gRPC server behind the real stream."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc

from hpcsched.agent.v1 import agent_service_pb2 as pb
from hpcsched.agent.v1 import agent_service_pb2_grpc, order_pb2
from hpcsched.rpc.options import agent_server_options
from tests.support.polling import wait_for_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class FakeStream:
    """One stream of an agent, as the head sees it.

    Attributes:
        hellos: Hello frames, in order.
        frames: Later frames, in order.
        metadata: Of the call.
        ended: The agent's half is over.
    """

    def __init__(self, metadata: dict[str, str]) -> None:
        self.metadata = metadata
        self.hellos: list[Any] = []
        self.frames: list[pb.ConnectRequest] = []
        self.outbox: asyncio.Queue[pb.ConnectResponse | None] = asyncio.Queue()
        self.seq = 0
        self.acks: list[int] = []
        self.ended = asyncio.Event()

    @property
    def live(self) -> list[Any]:
        """What the Hello says that lives on the node."""
        return [attempt for hello in self.hellos for attempt in hello.live]

    @property
    def started(self) -> list[tuple[int, int, int, int]]:
        """Every start that was reported, in order."""
        return [key for kind, key in self.news if kind == "started"]

    @property
    def finished(self) -> list[tuple[int, int, int, int]]:
        """Every end that was reported, in order."""
        return [key for kind, key in self.news if kind == "ended"]

    @property
    def news(self) -> list[tuple[str, tuple[int, int, int, int]]]:
        """Every report of one attempt, in order."""
        found: list[tuple[str, tuple[int, int, int, int]]] = []
        for frame in self.frames:
            for report in frame.reports:
                kind = report.WhichOneof("report") or ""
                columns = getattr(report, kind)
                pairs = zip(columns.instances, columns.attempts, strict=True)
                for instance, attempt in pairs:
                    key = (columns.job_id, columns.task_id, instance, attempt)
                    found.append((kind, key))
        return found

    def chunks(self, read_id: int) -> list[Any]:
        """The answers to one request to read."""
        found = [chunk for frame in self.frames for chunk in frame.outputs]
        return [chunk for chunk in found if chunk.read_id == read_id]

    def send(self, **fields: Any) -> None:
        self.outbox.put_nowait(pb.ConnectResponse(**fields))

    def order(self, *orders: order_pb2.Order, seq: int | None = None) -> None:
        """Send orders in a frame with the next number, or with this one."""
        if seq is None:
            self.seq += 1
            seq = self.seq
        self.send(seq=seq, orders=orders)

    def ack(self, seq: int) -> None:
        self.send(ack=seq)

    def hang_up(self) -> None:
        """End the stream politely, which looks like a kill -9."""
        self.outbox.put_nowait(None)


class FakeHead(agent_service_pb2_grpc.AgentServiceServicer):
    """Accepts agents.

    Attributes:
        streams: Every stream so far, in order.
        welcome: What is answered to a Hello; None: nothing.
        acks_reports: Acknowledge frames with reports at once.
        answers_heartbeats: Answer heartbeats.
        refuse: Status and text for every stream instead of a Welcome.
    """

    def __init__(self) -> None:
        self.streams: list[FakeStream] = []
        self.welcome: dict[str, Any] | None = {
            "session": 1,
            "term": 1,
            "heartbeat_ms": 10_000,
            "protocol": 1,
            "cluster_name": "test",
        }
        self.acks_reports = True
        self.answers_heartbeats = True
        self.refuse: tuple[grpc.StatusCode, str] | None = None
        self.on_frame: Callable[[FakeStream, pb.ConnectRequest], None] | None = None
        self.port = 0
        self._server: grpc.aio.Server | None = None

    async def start(
        self, port: int = 0, credentials: grpc.ServerCredentials | None = None
    ) -> None:
        self._server = grpc.aio.server(options=agent_server_options(100))
        agent_service_pb2_grpc.add_AgentServiceServicer_to_server(self, self._server)
        address = f"127.0.0.1:{port}"
        if credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, credentials)
        await self._server.start()

    async def close(self) -> None:
        for stream in self.streams:
            stream.hang_up()
        if self._server is not None:
            await self._server.stop(0)
            self._server = None

    async def stream(self, number: int = 1) -> FakeStream:
        """Return the n-th stream once its Hello is complete."""
        return await wait_for_async(
            lambda: self.streams[number - 1],
            until=lambda s: s.hellos and not s.hellos[-1].more,
            what=f"stream {number}",
        )

    async def Connect(  # noqa: N802 - the proto's name
        self,
        request_iterator: AsyncIterator[pb.ConnectRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[pb.ConnectResponse]:
        pairs = context.invocation_metadata() or ()
        stream = FakeStream({key: str(value) for key, value in pairs})
        self.streams.append(stream)
        if self.refuse is not None:
            await context.abort(*self.refuse)
        async with asyncio.TaskGroup() as tasks:
            reader = tasks.create_task(self._read(stream, request_iterator))
            while (response := await stream.outbox.get()) is not None:
                yield response
            reader.cancel()

    async def _read(
        self, stream: FakeStream, requests: AsyncIterator[pb.ConnectRequest]
    ) -> None:
        async for request in requests:
            if request.HasField("hello"):
                stream.hellos.append(request.hello)
                if not request.hello.more and self.welcome is not None:
                    stream.send(welcome=order_pb2.Welcome(**self.welcome))
                continue
            stream.frames.append(request)
            stream.acks.append(request.ack)
            if request.seq and self.acks_reports:
                stream.ack(request.seq)
            if request.HasField("heartbeat") and self.answers_heartbeats:
                stream.send(heartbeat=True)
            if self.on_frame is not None:
                self.on_frame(stream, request)
        stream.ended.set()
        stream.hang_up()
