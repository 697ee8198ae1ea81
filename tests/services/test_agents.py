"""The stream of one agent, over a real connection."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from hpcsched.agent.v1 import agent_service_pb2 as pb
from hpcsched.agent.v1 import agent_service_pb2_grpc, report_pb2
from hpcsched.common.errors import HpcError
from hpcsched.core.orders import DefineTask, EndJob
from hpcsched.core.reports import Ended, Started
from hpcsched.rpc.channel import agent_channel
from hpcsched.rpc.metadata import call_metadata
from hpcsched.runtime.frames import HeadFrame
from hpcsched.services.limits import (
    ABORT_DEADLINE_S,
    HELLO_DEADLINE_S,
    REAUTHENTICATE_S,
    WRITE_DEADLINE_S,
)
from tests.support.fake_front import NODE, FakeFront, FakeSession
from tests.support.polling import wait_for_async
from tests.support.served import PATIENCE_S, Served, no_timer_is_left, refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.manual_clock import ManualClock

HELLO = report_pb2.Hello(
    node="n1", boot_id="b", protocol_min=1, protocol_max=1, agent_version="1"
)

#: Says Hello on a stream and then does nothing.
PEER = """
import sys, grpc
from hpcsched.agent.v1 import agent_service_pb2 as pb
from hpcsched.agent.v1 import agent_service_pb2_grpc, report_pb2
import threading
def frames():
    yield pb.ConnectRequest(hello=report_pb2.Hello(node="n1"))
    threading.Event().wait()
channel = grpc.insecure_channel(sys.argv[1])
stub = agent_service_pb2_grpc.AgentServiceStub(channel)
call = stub.Connect(frames(), metadata=(("authorization", "Bearer " + sys.argv[2]),))
for frame in call:
    pass
"""


@pytest.fixture
async def channel(served: Served) -> AsyncIterator[grpc.aio.Channel]:
    async with agent_channel(served.agents, None) as channel:
        yield channel


@pytest.fixture
def stream(channel: grpc.aio.Channel) -> Any:
    stub: Any = agent_service_pb2_grpc.AgentServiceStub(channel)
    return stub.Connect(metadata=call_metadata(token=NODE), timeout=PATIENCE_S)


async def connected(stream: Any, front: FakeFront) -> FakeSession:
    await stream.write(pb.ConnectRequest(hello=HELLO))
    await wait_for_async(lambda: front.sessions, what="the session")
    return front.sessions[-1]


async def end_of(stream: Any) -> HpcError:
    async def read_all() -> None:
        while await stream.read() is not grpc.aio.EOF:
            pass

    return await refusal(read_all())


async def gone(session: FakeSession) -> None:
    await asyncio.wait_for(session.gone.wait(), 60)
    assert session.closings == 1


async def test_a_hello_in_parts_is_joined(stream: Any, front: FakeFront) -> None:
    for task, more in ((1, True), (2, True), (3, False)):
        live = report_pb2.LiveAttempt(job_id=7, task_id=task, attempt=1, cores=[4])
        hello = report_pb2.Hello(node="n1", live=[live], more=more)
        await stream.write(pb.ConnectRequest(hello=hello))

    await wait_for_async(lambda: front.sessions, what="the session")

    session = front.sessions[0]
    assert session.hello.node == "n1"
    assert [one.task_id for one in session.hello.live] == [1, 2, 3]
    assert {one.core for one in session.hello.live} == {4}
    assert session.token_node == front.tokens[NODE].user


async def test_frames_of_the_head_arrive_in_order(
    stream: Any, front: FakeFront
) -> None:
    session = await connected(stream, front)

    for seq in range(1, 301):
        session.link.send(HeadFrame(seq=seq, orders=(EndJob(job_id=seq),)))

    got = [await stream.read() for _ in range(300)]
    assert [frame.seq for frame in got] == list(range(1, 301))
    assert [frame.orders[0].end_job.job_id for frame in got] == list(range(1, 301))


async def test_acknowledgements_and_heartbeats_join_the_frame_that_still_waits(
    stream: Any, front: FakeFront
) -> None:
    session = await connected(stream, front)

    session.link.send(HeadFrame(seq=1))  # it leaves at once
    session.link.send(HeadFrame(seq=2, orders=(EndJob(job_id=1),)))
    session.link.send(HeadFrame(ack=9))
    session.link.send(HeadFrame(ack=8, heartbeat=True))
    session.link.send(HeadFrame(goodbye_retry_ms=50))
    session.link.send(HeadFrame(seq=3))

    assert (await stream.read()).seq == 1
    second, third = await stream.read(), await stream.read()
    assert (second.seq, second.ack, second.heartbeat, second.goodbye_retry_ms) == (
        (2, 9, True, 50)
    )
    assert len(second.orders) == 1
    assert (third.seq, third.ack) == (3, 0)


async def test_frames_of_the_agent_arrive_in_order(
    stream: Any, front: FakeFront
) -> None:
    session = await connected(stream, front)

    for seq in range(1, 101):
        await stream.write(pb.ConnectRequest(seq=seq, ack=seq // 2))

    await wait_for_async(lambda: len(session.frames), until=lambda n: n == 100)
    assert [frame.seq for frame in session.frames] == list(range(1, 101))
    assert session.frames[-1].ack == 50


async def test_a_polite_end_closes_the_session_once(
    stream: Any, front: FakeFront
) -> None:
    session = await connected(stream, front)

    await stream.done_writing()

    await gone(session)
    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() is grpc.StatusCode.OK


async def test_a_cancelled_stream_closes_the_session_once(
    stream: Any, front: FakeFront
) -> None:
    session = await connected(stream, front)

    stream.cancel()

    await gone(session)


async def test_the_kill_of_the_peer_closes_the_session_once(
    served: Served, front: FakeFront
) -> None:
    peer = await create_subprocess_exec(
        sys.executable, "-c", PEER, str(served.agents), NODE, stderr=PIPE
    )
    try:
        await wait_for_async(lambda: front.sessions, what="the session")
    finally:
        peer.send_signal(signal.SIGKILL)
        await peer.communicate()

    await gone(front.sessions[0])


@pytest.mark.parametrize(
    "reason", ["NODE_CONFLICT", "PROTOCOL_MISMATCH", "PERMISSION_DENIED"]
)
async def test_a_refused_connection_arrives_as_its_status(
    reason: str, stream: Any, front: FakeFront
) -> None:
    front.refuse_agents = HpcError(reason, node="n1")

    await stream.write(pb.ConnectRequest(hello=HELLO))

    assert (await end_of(stream)).reason == reason


async def test_a_link_that_is_closed_sends_what_is_queued_and_then_its_reason(
    stream: Any, front: FakeFront
) -> None:
    session = await connected(stream, front)

    session.link.send(HeadFrame(seq=1, goodbye_retry_ms=7))
    session.link.close("STALE_SESSION", "another agent of node n1 has connected")

    assert (await stream.read()).goodbye_retry_ms == 7
    error = await end_of(stream)
    assert error.reason == "STALE_SESSION"
    assert str(error) == "another agent of node n1 has connected"
    await gone(session)


async def test_a_stream_must_begin_with_a_hello(stream: Any, front: FakeFront) -> None:
    await stream.write(pb.ConnectRequest(seq=1))

    error = await end_of(stream)

    assert (error.reason, error.facts["field"]) == ("INVALID_FIELD", "hello")
    assert not front.sessions


async def test_an_agent_that_says_no_hello_is_let_go(
    stream: Any, front: FakeFront, clock: ManualClock
) -> None:
    await stream.wait_for_connection()
    await wait_for_async(lambda: len(clock.waiting) == 2, what="the deadline")

    await clock.advance(HELLO_DEADLINE_S)

    error = await end_of(stream)
    assert (error.reason, error.facts["field"]) == ("INVALID_FIELD", "hello")
    assert f"{HELLO_DEADLINE_S:g} s" in str(error)
    await no_timer_is_left(clock)


async def test_a_revoked_token_ends_the_stream_of_its_agent(
    stream: Any, front: FakeFront, clock: ManualClock
) -> None:
    session = await connected(stream, front)

    del front.tokens[NODE]
    await clock.advance(REAUTHENTICATE_S + 1)

    assert (await end_of(stream)).reason == "UNAUTHENTICATED"
    await gone(session)
    await no_timer_is_left(clock)


async def test_an_agent_that_reads_nothing_is_let_go(
    stream: Any, front: FakeFront, clock: ManualClock
) -> None:
    session = await connected(stream, front)
    big = "x" * 500_000
    for seq in range(1, 60):
        session.link.send(HeadFrame(seq=seq, orders=(_define(seq, big),)))
    writes = WRITE_DEADLINE_S + clock.mono()
    await wait_for_async(lambda: writes in clock.waiting, what="a write")

    async def pass_time() -> int:
        await clock.advance(REAUTHENTICATE_S)
        return session.closings

    await wait_for_async(pass_time, what="the end of the session")
    await clock.advance(ABORT_DEADLINE_S + 1)

    await gone(session)
    assert (await end_of(stream)).reason in {"QUEUE_FULL", "HEAD_UNREACHABLE"}
    await no_timer_is_left(clock)


def _define(number: int, text: str) -> Any:
    return DefineTask(job_id=number, task_id=1, definition=1, command_line=text)


async def test_columns_of_uneven_length_are_cut(stream: Any, front: FakeFront) -> None:
    session = await connected(stream, front)
    started = report_pb2.TasksStarted(
        job_id=1, task_id=1, instances=[1, 2, 3], attempts=[1, 1], start_times=[1.0] * 9
    )
    ended = report_pb2.TasksEnded(
        job_id=1,
        task_id=1,
        instances=[1, 2],
        attempts=[1, 1],
        reasons=[1, 1, 1],
        exit_codes=[0, 0],
        end_times=[1.0, 2.0],
        user_ms=[5],
        details=[
            report_pb2.EndDetail(index=-1, message="before"),
            report_pb2.EndDetail(index=2, message="behind"),
            report_pb2.EndDetail(index=1, output=b"\xff\xfe", message="here"),
        ],
    )
    reports = [
        report_pb2.Report(started=started),
        report_pb2.Report(),
        report_pb2.Report(ended=ended),
    ]

    await stream.write(pb.ConnectRequest(seq=1, reports=reports))

    await wait_for_async(lambda: session.frames, what="the frame")
    first, last = session.frames[0].reports
    assert isinstance(first, Started)
    assert (first.instances, first.attempts, first.cores) == ([1, 2], [1, 1], [-1, -1])
    assert isinstance(last, Ended)
    assert (last.instances, last.user_ms, last.starts) == ([1, 2], [5, 0], [0.0, 0.0])
    assert list(last.details) == [1]
    assert last.details[1].output == "\ufffd\ufffd"


async def test_too_many_live_attempts_are_refused(
    stream: Any, front: FakeFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpcsched.services.agents.MAX_LIVE_ATTEMPTS", 5)
    live = [report_pb2.LiveAttempt(job_id=1, task_id=n) for n in range(3)]
    for _ in range(2):
        hello = report_pb2.Hello(node="n1", live=live, more=True)
        await stream.write(pb.ConnectRequest(hello=hello))

    error = await end_of(stream)

    assert (error.reason, error.facts["field"]) == ("OUT_OF_RANGE", "hello.live")


async def test_a_fault_of_the_session_is_an_incident_of_that_stream_only(
    stream: Any,
    channel: grpc.aio.Channel,
    front: FakeFront,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = await connected(stream, front)

    def fault(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(session, "receive", fault)
    await stream.write(pb.ConnectRequest(seq=1))

    assert (await end_of(stream)).reason == "INTERNAL"
    await gone(session)
    stub: Any = agent_service_pb2_grpc.AgentServiceStub(channel)
    again = stub.Connect(metadata=call_metadata(token=NODE), timeout=PATIENCE_S)
    await again.write(pb.ConnectRequest(hello=HELLO))
    await wait_for_async(lambda: len(front.sessions) == 2, what="the next session")
    again.cancel()
