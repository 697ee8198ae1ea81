"""Following a command: every node's output and state over one stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.task.states import TaskState
from hpcsched.runtime import following
from hpcsched.runtime.front import Stop
from tests.support.head_bench import ANN, NO_ID, ROOT, a_task
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from hpcsched.core.views import JobView
    from tests.support.fake_agent import FakeAgent
    from tests.support.head_bench import Bench

S = TaskState


class Seen:
    """What a follower was told so far."""

    def __init__(self) -> None:
        self.data: dict[tuple[str, bool], bytes] = {}
        self.ends: dict[tuple[str, bool], str] = {}
        self.states: dict[int, list[TaskState]] = {}
        self.job: JobView | None = None
        self.largest = 0

    def take(self, item: Any) -> None:
        self.largest = max(self.largest, sum(len(o.data) for o in item.outputs))
        for output in item.outputs:
            key = (output.node, output.stderr)
            assert key not in self.ends, "nothing follows the end"
            known = self.data.get(key, b"")
            assert output.offset == len(known), "no gap, no repetition"
            self.data[key] = known + output.data
            if output.eof:
                self.ends[key] = output.error
        for task in item.tasks:
            self.states.setdefault(task.task_id, []).append(task.state)
        self.job = item.job or self.job


async def command(bench: Bench, *nodes: str) -> int:
    job = await bench.head.create_command(ROOT, nodes, a_task(), NO_ID)
    return int(job.job_id)


def follow(bench: Bench, job_id: int, positions: Any = None) -> tuple[Seen, Any]:
    """Begin to follow; return what was seen, which grows, and the call."""
    seen = Seen()

    async def run() -> None:
        async for item in bench.head.follow_command(ROOT, job_id, positions or {}):
            seen.take(item)

    return seen, bench.begin(run())


async def lasting(bench: Bench, name: str) -> FakeAgent:
    """Return a node whose processes, and reads of what they write, do not end."""
    agent = await bench.node(name)
    agent.serve_limit = 0
    agent.plan = lambda _: None
    agent.retry = None
    return agent


def writes(agent: FakeAgent, job_id: int, task_id: int, text: bytes) -> None:
    agent.output[(job_id, task_id, 0, 1), False] = text


async def test_all_nodes_are_followed_to_the_end_over_one_stream(bench: Bench) -> None:
    agents = [await bench.node(f"n{n}") for n in range(1, 4)]
    text = bytes(n % 251 for n in range(5 * following.WINDOW + 17))
    job_id = await command(bench, "n1", "n2", "n3")
    for task_id, agent in enumerate(agents, 1):
        writes(agent, job_id, task_id, text)
        agent.output[(job_id, task_id, 0, 1), True] = b"err"

    seen, call = follow(bench, job_id)
    await bench.clock.advance(20)

    assert call.done()
    assert seen.data == {
        (f"n{n}", stderr): b"err" if stderr else text
        for n in range(1, 4)
        for stderr in (False, True)
    }
    assert set(seen.ends.values()) == {""}
    assert [states[-1] for states in seen.states.values()] == [S.FINISHED] * 3
    assert seen.job is not None
    assert seen.job.state.label == "Finished"
    assert not any(len(node.readings) for node in bench.world.nodes)


async def test_states_are_told_as_they_change(bench: Bench) -> None:
    agent = await lasting(bench, "n1")
    agent.serve_limit = None
    job_id = await command(bench, "n1")
    seen, call = follow(bench, job_id)
    await bench.clock.advance(2)
    assert seen.states == {1: [S.RUNNING]}

    await bench.head.cancel_jobs(ROOT, [job_id], Stop(message="enough"), NO_ID)
    await bench.clock.advance(60)

    assert call.done()
    assert seen.states[1][-1] == S.FAILED
    assert seen.job is not None
    assert seen.job.error_message == "enough"


async def test_a_node_that_cannot_be_reached_is_told_of_while_others_run(
    bench: Bench,
) -> None:
    await lasting(bench, "n1")
    gone = await lasting(bench, "n2")
    gone.cut()
    await bench.clock.advance(91)
    job_id = await command(bench, "n1", "n2")

    seen, call = follow(bench, job_id)
    await bench.clock.advance(2)

    assert not call.done()
    assert seen.states[2] == [S.FAILED]
    assert seen.ends == {("n2", False): "", ("n2", True): ""}


async def test_a_node_that_is_lost_ends_its_streams_with_a_reason(bench: Bench) -> None:
    agent = await lasting(bench, "n1")
    job_id = await command(bench, "n1")
    seen, call = follow(bench, job_id)
    await bench.clock.advance(2)

    agent.cut()
    await bench.clock.advance(120)

    assert call.done()
    assert all(seen.ends.values())
    assert seen.job is not None
    assert seen.job.state.label == "Failed"


async def test_it_goes_on_where_the_reader_was(bench: Bench) -> None:
    agent = await bench.node("n1")
    job_id = await command(bench, "n1")
    writes(agent, job_id, 1, b"0123456789")
    agent.output[(job_id, 1, 0, 1), True] = b"err"
    await bench.until_state(job_id, "Finished")
    got = []

    async for item in bench.head.follow_command(
        ROOT, job_id, {(1, False): 4, (1, True): None}
    ):
        got += [(o.stderr, o.offset, o.data) for o in item.outputs if o.data]

    assert got == [(False, 4, b"456789")]


async def test_a_reader_that_takes_nothing_is_owed_a_bounded_amount(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "ROOM", 64 * 1024)
    agents = [await bench.node(f"n{n}") for n in range(1, 9)]
    job_id = await command(bench, *bench.agents)
    for task_id, agent in enumerate(agents, 1):
        writes(agent, job_id, task_id, bytes(512 * 1024))
    items = bench.head.follow_command(ROOT, job_id, {})
    await anext(items)
    await bench.clock.advance(20)

    item = await anext(items)

    assert sum(len(o.data) for o in item.outputs) <= 64 * 1024 + 9 * following.WINDOW
    assert max(len(agent.reads) for agent in agents) < 8
    await items.aclose()  # type: ignore[attr-defined]
    await settle()
    await bench.clock.advance(1)
    assert not any(len(node.readings) for node in bench.world.nodes)


async def test_only_commands_are_followed_and_only_by_those_who_may(
    bench: Bench,
) -> None:
    await bench.node("n1")
    job_id = await bench.submit()
    own = await command(bench, "n1")

    async def refused(caller: Any, number: int) -> str:
        with pytest.raises(HpcError) as caught:
            async for _ in bench.head.follow_command(caller, number, {}):
                pass
        return caught.value.reason

    assert await refused(ROOT, job_id) == "INVALID_OPERATION"
    assert await refused(ANN, own) == "PERMISSION_DENIED"
    assert await refused(ROOT, 99) == "JOB_NOT_FOUND"


async def test_a_reader_who_goes_leaves_no_reads_behind(bench: Bench) -> None:
    await lasting(bench, "n1")
    job_id = await command(bench, "n1")
    _, call = follow(bench, job_id)
    await bench.clock.advance(1)
    assert len(bench.world.nodes.find("n1").readings) == 2

    call.cancel()
    await settle()

    assert call.cancelled()
    assert not any(len(node.readings) for node in bench.world.nodes)
