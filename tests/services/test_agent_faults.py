"""Agents that send what is no frame, or too much, or take nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest

from hpcsched.agent.v1 import agent_service_pb2 as pb
from hpcsched.agent.v1 import report_pb2
from hpcsched.core.orders import DefineTask
from hpcsched.rpc.channel import agent_channel
from hpcsched.rpc.metadata import call_metadata
from hpcsched.runtime.frames import HeadFrame
from hpcsched.services import agents
from tests.support.fake_front import NODE, FakeFront
from tests.support.polling import wait_for_async
from tests.support.served import PATIENCE_S, Served, refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HELLO: Final = report_pb2.Hello(node="n1", boot_id="b1")
GARBAGE: Final = b"\xff\xff\xff"


@pytest.fixture
async def channel(served: Served) -> AsyncIterator[grpc.aio.Channel]:
    async with agent_channel(served.agents, None) as made:
        yield made


def raw_stream(channel: grpc.aio.Channel) -> Any:
    """Return a stream that takes bytes for messages."""
    streams: Any = channel.stream_stream(
        "/hpcsched.agent.v1.AgentService/Connect",
        request_serializer=lambda one: (
            one if isinstance(one, bytes) else one.SerializeToString()
        ),
        response_deserializer=pb.ConnectResponse.FromString,
    )
    return streams(metadata=call_metadata(token=NODE), timeout=PATIENCE_S)


async def read_all(stream: Any) -> None:
    while await stream.read() is not grpc.aio.EOF:
        pass


async def test_f59_a_frame_that_is_none_ends_the_stream_with_a_reason(
    channel: grpc.aio.Channel, front: FakeFront
) -> None:
    stream = raw_stream(channel)
    await stream.write(pb.ConnectRequest(hello=HELLO))
    await wait_for_async(lambda: front.sessions, what="the session")

    await stream.write(GARBAGE)

    assert (await refusal(read_all(stream))).reason == "MALFORMED_REQUEST"
    await front.sessions[-1].gone.wait()


async def test_f59_the_reason_comes_while_the_head_is_writing_as_well(
    channel: grpc.aio.Channel, front: FakeFront
) -> None:
    """A write that is broken off takes the status along: the peer waits for ever."""
    variables = {"A": "x" * 500_000}
    order = DefineTask(
        job_id=1, task_id=1, definition=1, arguments=("a",), environment=variables
    )
    for number in range(1, 6):
        stream = raw_stream(channel)
        await stream.write(pb.ConnectRequest(hello=HELLO))
        await wait_for_async(
            lambda number=number: len(front.sessions) == number,  # type: ignore[misc]
            what="the session",
        )
        for seq in (1, 2, 3):
            front.sessions[-1].link.send(HeadFrame(seq=seq, orders=(order,)))
        await stream.write(GARBAGE)

        assert (await refusal(read_all(stream))).reason == "MALFORMED_REQUEST"


async def test_a_hello_that_does_not_end_is_not_kept(
    channel: grpc.aio.Channel, front: FakeFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "MAX_HELLO_BYTES", 10_000)
    stream = raw_stream(channel)
    part = report_pb2.Hello(node="x" * 3_000, more=True)
    for _ in range(4):
        await stream.write(pb.ConnectRequest(hello=part))

    error = await refusal(read_all(stream))

    assert (error.reason, error.facts["field"]) == ("OUT_OF_RANGE", "hello")
    assert "10000" in error.facts["limit"]
    assert not front.sessions
