"""Reading what tasks wrote, from their nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.orders import StopReading
from hpcsched.core.task.states import EndReason
from hpcsched.runtime.frames import AgentFrame, OutputChunk
from hpcsched.runtime.front import Stop
from hpcsched.runtime.reading import SMALLEST, WINDOW
from tests.support.fake_node import ended
from tests.support.head_bench import ANN, BOB, NO_ID, ROOT, a_sweep, a_task
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hpcsched.core.views import OutputPiece
    from tests.support.fake_agent import FakeAgent
    from tests.support.head_bench import Bench


def stream(bench: Bench, job_id: int, **more: Any) -> AsyncIterator[OutputPiece]:
    whole = {
        "task": (1, 0),
        "stderr": False,
        "offset": 0,
        "follow": False,
        "attempt": 0,
        **more,
    }
    return bench.head.read_output(whole.pop("caller", ANN), job_id, **whole)


async def read(bench: Bench, job_id: int, **more: Any) -> bytes:
    data = b""
    async for piece in stream(bench, job_id, **more):
        data += piece.data
    return data


async def refused(bench: Bench, job_id: int, **more: Any) -> str:
    with pytest.raises(HpcError) as refusal:
        await read(bench, job_id, **more)
    return refusal.value.reason


async def ran(bench: Bench, text: bytes) -> tuple[FakeAgent, int]:
    """Return a node and a job whose task wrote something and ended."""
    agent = await bench.node()
    job_id = await bench.submit()
    await bench.until_state(job_id, "Finished")
    agent.output[(job_id, 1, 0, 1), False] = text
    return agent, job_id


@pytest.mark.parametrize("size", [0, 1, WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW])
async def test_output_is_read_in_windows(bench: Bench, size: int) -> None:
    text = bytes(n % 251 for n in range(size))
    agent, job_id = await ran(bench, text)

    assert await read(bench, job_id) == text
    assert {order.limit for order in agent.reads} == {WINDOW}
    assert not len(bench.world.nodes.find("n1").readings)
    stops = [o for o in agent.orders if isinstance(o, StopReading)]
    assert not stops, "a window that ended needs no stop"


@pytest.mark.parametrize(("offset", "rest"), [(3, b"defg"), (-2, b"fg"), (99, b"")])
async def test_it_is_read_from_an_offset(
    bench: Bench, offset: int, rest: bytes
) -> None:
    _, job_id = await ran(bench, b"abcdefg")

    assert await read(bench, job_id, offset=offset) == rest


async def test_a_slow_reader_holds_one_window(bench: Bench) -> None:
    agent, job_id = await ran(bench, bytes(4 * WINDOW))
    pieces = stream(bench, job_id)
    await anext(pieces)
    await bench.clock.advance(5)

    assert len(agent.reads) == 1
    await pieces.aclose()  # type: ignore[attr-defined]
    await settle()
    assert not len(bench.world.nodes.find("n1").readings)
    assert any(isinstance(o, StopReading) for o in agent.orders)


async def test_a_node_that_sends_more_than_was_asked_for_is_cut_off(
    bench: Bench,
) -> None:
    agent, job_id = await ran(bench, b"x")
    agent.serve_limit = 0
    pieces = stream(bench, job_id)
    call = bench.begin(anext(pieces))  # type: ignore[arg-type]
    await settle()
    assert agent.session is not None
    number = agent.reads[-1].read_id
    chunk = OutputChunk(read_id=number, offset=0, data=b"")
    agent.session.receive(AgentFrame(outputs=(chunk,) * (WINDOW // SMALLEST + 10)))
    await settle()

    assert number not in bench.world.nodes.find("n1").readings._open
    agent.serve_limit = None
    await settle()
    del call


async def test_following_waits_for_the_start_and_ends_with_the_task(
    bench: Bench,
) -> None:
    job_id = await bench.submit()
    assert await refused(bench, job_id) == "OUTPUT_NOT_YET"
    call = bench.begin(read(bench, job_id, follow=True))
    await bench.clock.advance(5)
    assert not call.done()
    bench.store.hold()
    joining = bench.begin(bench.node())
    await settle()
    bench.agents["n1"].output[(job_id, 1, 0, 1), False] = b"hello"
    bench.store.release()
    await joining
    await bench.until_state(job_id, "Finished")

    assert call.done()
    assert call.result() == b"hello"


async def test_following_a_task_that_never_starts_ends_with_it(bench: Bench) -> None:
    job_id = await bench.submit()
    call = bench.begin(read(bench, job_id, follow=True))
    await bench.clock.advance(1)
    await bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID)
    await settle()

    assert await call == b""


async def test_a_broken_stream_is_taken_up_where_it_was(bench: Bench) -> None:
    text = bytes(n % 251 for n in range(200_000))
    agent, job_id = await ran(bench, text)
    agent.serve_limit = 2  # of four chunks
    call = bench.begin(read(bench, job_id, follow=True))
    await settle()
    agent.cut()
    agent.serve_limit = None
    await bench.clock.advance(2)
    assert not call.done()
    await agent.connect()
    await bench.clock.advance(2)

    assert call.result() == text
    assert [order.offset for order in agent.reads] == [0, 131072]


async def test_a_node_that_is_away_says_so_unless_it_is_followed(
    bench: Bench,
) -> None:
    agent, job_id = await ran(bench, b"abc")
    agent.retry = None
    agent.cut()
    assert await refused(bench, job_id) == "NODE_UNREACHABLE"
    call = bench.begin(read(bench, job_id, follow=True))
    await bench.clock.advance(10)
    assert not call.done()

    await bench.clock.advance(100)

    assert call.done()
    assert isinstance(call.exception(), HpcError)


async def test_following_does_not_wait_for_an_attempt_that_was_superseded(
    bench: Bench,
) -> None:
    agent = await bench.node()
    agent.plan = lambda _: None
    agent.retry = None
    job_id = await bench.submit()
    await bench.clock.advance(1)
    agent.output[(job_id, 1, 0, 1), False] = b"abc"
    agent.serve_limit = 1
    call = bench.begin(read(bench, job_id, follow=True))
    await settle()
    agent.cut()
    await bench.clock.advance(100)

    assert call.done()
    error = call.exception()
    assert isinstance(error, HpcError)
    assert error.reason == "NODE_UNREACHABLE"


async def forgotten(bench: Bench, output: str, **task: Any) -> int:
    """Return a job that has ended, of whose output its node knows nothing any more."""
    agent = await bench.node()
    agent.plan = lambda _: None
    job_id = await bench.submit(a_task(**task))
    await bench.clock.advance(1)
    agent.exit((job_id, 1, 0, 1), 0, output=output)
    await bench.until_state(job_id, "Finished")
    agent.output.clear()
    agent.starts.clear()
    return job_id


async def test_what_the_node_no_longer_keeps_is_gone(bench: Bench) -> None:
    job_id = await forgotten(bench, "abc")

    assert await refused(bench, job_id) == "OUTPUT_GONE"
    assert await refused(bench, job_id, attempt=5) == "OUTPUT_GONE"


@pytest.mark.parametrize("said", ["gone", "unknown"])
async def test_what_wrote_nothing_is_empty_when_the_node_knows_nothing_of_it(
    bench: Bench, said: str
) -> None:
    job_id = await forgotten(bench, "")
    bench.agents["n1"].no_output = said

    assert await read(bench, job_id) == b""
    assert await read(bench, job_id, stderr=True, offset=7, follow=True) == b""
    assert await refused(bench, job_id, attempt=5) == "OUTPUT_GONE"


async def test_a_users_file_is_not_taken_for_an_empty_one(bench: Bench) -> None:
    job_id = await forgotten(bench, "", stdout_path="/data/out")

    assert await refused(bench, job_id) == "OUTPUT_GONE"


async def test_output_in_a_users_file_is_named(bench: Bench) -> None:
    agent = await bench.node()
    job_id = await bench.submit(a_task(stdout_path="/data/out"))
    await bench.until_state(job_id, "Finished")
    agent.serve_limit = 0
    call = bench.begin(read(bench, job_id))
    await settle()
    assert agent.session is not None
    chunk = OutputChunk(
        read_id=agent.reads[-1].read_id,
        offset=0,
        data=b"",
        eof=True,
        error="user_file",
    )
    agent.session.receive(AgentFrame(outputs=(chunk,)))

    with pytest.raises(HpcError, match="/data/out"):
        await call


async def test_output_is_its_owners_and_the_administrators(bench: Bench) -> None:
    _, job_id = await ran(bench, b"abc")

    assert await refused(bench, job_id, caller=BOB) == "PERMISSION_DENIED"
    assert await read(bench, job_id, caller=ROOT) == b"abc"


async def test_a_sweep_is_read_by_element(bench: Bench) -> None:
    agent = await bench.node()
    job_id = await bench.submit(a_sweep(3))
    await bench.until_state(job_id, "Finished")
    agent.output[(job_id, 1, 2, 1), True] = b"two"

    assert await refused(bench, job_id) == "INVALID_FIELD"
    assert await refused(bench, job_id, task=(1, 9)) == "TASK_NOT_FOUND"
    assert await read(bench, job_id, task=(1, 2), stderr=True) == b"two"


async def test_the_first_bytes_come_with_the_task_from_the_store(
    bench: Bench,
) -> None:
    agent = await bench.node()
    agent.plan = lambda _: None
    job_id = await bench.submit()
    await bench.clock.advance(1)
    (key,) = agent.live
    agent.exit(key, 0, output="x" * 5000)
    await bench.until_state(job_id, "Finished")
    await bench.crash()

    assert (await bench.task(job_id)).output == "x" * 4096


async def test_output_of_an_old_attempt_does_not_replace_that_of_a_newer(
    bench: Bench,
) -> None:
    agent = await bench.node()
    agent.plan = lambda _: None
    job_id = await bench.submit()
    await bench.clock.advance(1)
    old = next(iter(agent.live.values()))
    agent.reboot()
    await agent.connect()
    await bench.clock.advance(1)
    (key,) = agent.live
    agent.exit(key, 0, output="new")
    await bench.until_state(job_id, "Finished")
    agent.say(ended(old, EndReason.EXITED, 0, agent, "old"))
    await settle()

    assert (await bench.task(job_id)).output == "new"
