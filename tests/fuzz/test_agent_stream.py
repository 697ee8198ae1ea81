"""F52, F58, F59: what an agent may say, true or not, harms nobody but its own node."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from google.protobuf import text_format
from hypothesis import strategies as st

from hpcsched.agent.v1 import agent_service_pb2 as pb
from hpcsched.rpc.metadata import call_metadata
from hpcsched.runtime.head import Head
from tests.support.campaign import campaign, time_limit
from tests.support.head_bench import ANN, NO_ID, a_job, a_sweep
from tests.support.site import Site, is_fault, outcome_of
from tests.support.wild import mutated, spoiled, wild

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Draw = Callable[[st.SearchStrategy[Any]], Any]

pytestmark = pytest.mark.timeout(time_limit())
PATIENCE_S: Final = 20.0
#: gRPC's client gives this in place of the status, if it was writing when that came.
BROKEN_WRITE: Final = "Internal error from Core"
#: A frame that is neither of these is anything.
HELLO: Final = """
hello { node: "%s" boot_id: "boot-1" instance: "i1" protocol_min: 1 protocol_max: 1
  agent_version: "1" machine_id: "m-%s" resources { cores: 2 sockets: 1
  memory_bytes: 4096 containment: "cgroup" groups: "ComputeNodes" os: "Linux" } %s }
"""
LIVE: Final = "live { job_id: %d task_id: 1 instance_id: 3 attempt: 1 running: true }"
STARTED: Final = """
seq: %d reports { started { job_id: %d task_id: 1 instances: 1 instances: 2
  attempts: 1 attempts: 1 start_times: 1700000000 start_times: 1700000000 cores: 0 } }
heartbeat { running: 1 load: 0.5 }
"""
ENDED: Final = """
seq: %d reports { ended { job_id: %d task_id: 1 instances: 1 instances: 2 attempts: 1
  attempts: 1 reasons: 1 reasons: 1 exit_codes: 0 exit_codes: 7
  start_times: 1700000000 start_times: 1700000000 end_times: 1700000009
  end_times: 1700000009 user_ms: 5 kernel_ms: 5 max_rss_kib: 100 cores: 0 cores: 1
  details { index: 0 output: "hello" message: "why" code: "ENOENT" } } }
"""
BEAT: Final = "heartbeat { running: 2 queued: 1 load: 1.5 }"
CHUNK: Final = 'outputs { read_id: 1 offset: 0 data: "abc" }'


def _parsed(text: str) -> pb.ConnectRequest:
    return text_format.Parse(text, pb.ConnectRequest())


@st.composite
def streams(draw: Draw) -> tuple[int, list[bytes]]:
    """Return the number of a bad node, and the frames that it sends."""
    number = draw(st.integers(1, 3))
    name = f"bad{number}"
    job_id = draw(st.integers(1, 30))
    live = draw(st.sampled_from(["", LIVE % job_id, (LIVE % job_id) * 50]))
    hello = _parsed(HELLO % (name, name, live))
    if not draw(st.integers(0, 3)):
        hello = draw(mutated(hello))
    frames = [hello.SerializeToString()]
    count = draw(st.integers(1, 8))
    frames += [draw(_frame(seq, job_id)) for seq in range(1, count)]
    if not draw(st.integers(0, 5)):
        frames.append(frames[draw(st.integers(0, len(frames) - 1))])
    return number, frames


@st.composite
def _frame(draw: Draw, seq: int, job_id: int) -> bytes:
    text = draw(st.sampled_from([STARTED, ENDED, ENDED, BEAT, BEAT, CHUNK]))
    if "%d" in text:
        text %= (seq, job_id)
    message = _parsed(text)
    what = draw(st.integers(0, 7))
    if what == 0:
        message = draw(wild(pb.ConnectRequest.DESCRIPTOR))
    elif what < 4:
        message = draw(mutated(message))
    elif what == 4:
        message.seq = draw(st.sampled_from([0, seq - 1, seq + 1, 1 << 62, -1]))
    elif what == 5:
        # What a node may not do: say too much.
        ended = message.reports.add().ended
        ended.job_id, ended.task_id = job_id, 1
        for column in ("instances", "attempts", "reasons", "exit_codes"):
            getattr(ended, column).extend([1] * 20_000)
        ended.end_times.extend([1.0] * 20_000)
    elif what == 6:
        spoilt: bytes = draw(spoiled(message.SerializeToString()))
        return spoilt
    return message.SerializeToString()


async def speak(site: Site, frames: list[bytes]) -> str:
    """Open a stream, say all frames, end it; return how it ended."""
    path = "/hpcsched.agent.v1.AgentService/Connect"
    streams: Any = site.agent_channel.stream_stream(path)
    call = streams(metadata=call_metadata(token="node-secret"), timeout=PATIENCE_S)  # noqa: S106
    # What breaks a write is not why the stream has ended: its status is.
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        for frame in frames:
            await call.write(frame)
        await call.done_writing()
        while await call.read() is not grpc.aio.EOF:
            pass
    code = await call.code()
    if code is grpc.StatusCode.OK or await call.details() == BROKEN_WRITE:
        return "OK"
    trailing = await call.trailing_metadata()
    details = await call.details()
    return outcome_of(
        grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details)
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("site"), nodes=()) as made:
        yield made


async def work(head: Head) -> int:
    """Return a new job, of which the nodes that are there get tasks."""
    new = [a_job(a_sweep(40), name="work", max_cores=4)]
    (job_id,) = await head.submit_jobs(ANN, new, NO_ID, validate_only=False)
    return job_id


def test_f59_any_frames_of_an_agent_end_with_a_reason_and_harm_no_job(
    site: Site,
) -> None:
    for _ in range(10):
        site.run(work(site.head))

    def check(example: tuple[int, list[bytes]]) -> None:
        _, frames = example
        told = site.run(speak(site, frames))

        faults, site.faults[:] = list(site.faults), []
        shown = [frame[:300] for frame in frames]
        assert not is_fault(told), (told, [f[-1500:] for f in faults], shown)
        assert not faults, shown

    campaign(check, streams(), examples=120)

    async def look() -> str:
        job_id = await work(site.head)
        return (await site.head.get_job(ANN, job_id, full=True)).state.label

    assert site.run(look()) in {"Queued", "Running"}
