"""F59: whatever a head says, an agent obeys valid orders only, and comes back."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

import pytest
from google.protobuf import text_format
from hypothesis import strategies as st

from hpcsched.agent.v1 import agent_service_pb2 as pb
from node_agent.core.session import GENERATION_BITS, MOST_GENERATIONS
from node_agent.link import heads
from node_agent.link.convert import MOST_PROBLEMS, head_frame
from node_agent.link.read_orders import MOST_STARTS
from tests.support.agents import agent_config, running_agent
from tests.support.campaign import campaign, time_limit
from tests.support.fake_head import FakeHead, FakeStream
from tests.support.fake_supervisor import FakeSupervisor
from tests.support.measuring import memory_kib
from tests.support.polling import wait_for_async
from tests.support.wild import mutated, wild

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.support.agents import RunningAgent

    Draw = Callable[[st.SearchStrategy[Any]], Any]

pytestmark = pytest.mark.timeout(time_limit())

WELCOME: Final = """
welcome { session: 1 term: 1 heartbeat_ms: 10000 protocol: 1 cluster_name: "test" }
"""
ORDERS: Final = (
    """orders { define { job_id: 1 task_id: 1 definition: 1 arguments: "a"
       environment { key: "A" value: "1" } work_directory: "/w" stdout_path: "o.*"
       runtime_ms: 1000 grace_ms: 5 signal: 10 output_limit: 9 substitute: true } }
       orders { start { job_id: 1 task_id: 1 definition: 1 first_instance: 1 count: 3
       attempts: 1 cores: 1 start_value: 1 increment_value: 2 } }""",
    """orders { start { job_id: 1 task_id: 1 definition: 1 instances: 4 instances: 5
       attempts: 1 attempts: 2 cores: 2 lines: "x" lines: "y" retries: 0
       allocation { node: "n1" cores: 2 } } }""",
    "orders { grant { job_id: 1 cores: 0 cores: 1 } }",
    """orders { stop { job_id: 1 task_id: 1 instances: 1 attempts: 1 grace_ms: 9
       reason: "CancelByUser" } }""",
    "orders { recall { job_id: 1 task_id: 1 instances: 1 attempts: 1 } }",
    "orders { end_job { job_id: 1 } } orders { purge { job_id: 1 } }",
    "orders { read { read_id: 1 job_id: 1 task_id: 1 instance_id: 1 attempt: 1 } }",
    "orders { stop_reading { read_id: 1 } }",
    "heartbeat: true",
    "goodbye_retry_ms: 5",
    WELCOME,
)


@st.composite
def frames(draw: Draw) -> tuple[bool, list[pb.ConnectResponse]]:
    """Return whether a sane Welcome comes first, and what follows."""
    found = []
    for seq in range(1, draw(st.integers(2, 9))):
        text = draw(st.sampled_from(ORDERS))
        frame = text_format.Parse(text, pb.ConnectResponse())
        if frame.orders:
            frame.seq = seq
        how = draw(st.integers(0, 7))
        if how == 0:
            frame = draw(wild(pb.ConnectResponse.DESCRIPTOR))
        elif how < 4:
            frame = draw(mutated(frame))
        elif how == 4:
            frame.seq = draw(st.sampled_from([0, 1, seq + 1, 1 << 62, -1]))
            frame.ack = draw(st.sampled_from([0, 0, 1, 99, -1, 1 << 62]))
        found.append(frame)
    return draw(st.integers(0, 4)) > 0, found


def ordered(sent: Iterable[pb.ConnectResponse]) -> set[tuple[int, int, int, int]]:
    """Return the job, task and definition, and instance of all that may be started."""
    found = set()
    for frame in sent:
        for order in frame.orders:
            start = order.start
            named: Iterable[int] = start.instances
            if not start.instances and 0 <= start.count <= MOST_STARTS:
                named = range(start.first_instance, start.first_instance + start.count)
            key = (start.job_id, start.task_id, start.definition)
            found |= {(*key, instance) for instance in named}
    return found


class Errors(logging.Handler):
    """Collects exceptions that somebody caught and logged."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.seen.append(logging.Formatter().format(record))


class Scene:
    """An agent between a head and a supervisor of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.head = FakeHead()
        self.supervisor = FakeSupervisor(folder / "supervisor.sock")
        self.number = 1_000_000
        self.errors = Errors()

    async def visit(
        self, running: RunningAgent, sane: bool, sent: list[pb.ConnectResponse]
    ) -> None:
        """Let the agent meet a head that says this, and then one that is sane."""
        head, heard = self.head, self.supervisor.heard
        heard.clear()
        head.welcome = self.welcome(running) if sane else None
        term = running.agent.term
        stream = await self.next_stream()
        for frame in sent:
            stream.outbox.put_nowait(frame)
        stream.hang_up()
        head.welcome = self.welcome(running)
        await self.obeys()
        may = ordered(sent) | {(self.number, 1, 1, 1)}
        for message in self.supervisor.of_kind("start"):
            job, task, definition, entries = message[1:]
            assert {(job, task, definition, one[0]) for one in entries} <= may
        highest = term + (len(sent) + 1) * ((MOST_GENERATIONS + 1) << GENERATION_BITS)
        assert running.agent.term <= highest

    def welcome(self, running: RunningAgent) -> dict[str, Any]:
        return {
            "session": 1,
            "term": max(1, running.agent.term),
            "heartbeat_ms": 10_000,
            "protocol": 1,
            "cluster_id": running.agent.facts().cluster,
        }

    async def next_stream(self) -> Any:
        """Hang up, and return the stream that the agent opens then."""
        count = len(self.head.streams)
        for stream in self.head.streams[-1:]:
            stream.hang_up()
        return await self.head.stream(count + 1)

    async def obeys(self) -> None:
        """An order of a sane head is carried out, by now or at the next stream."""
        self.number += 1
        while True:
            stream = await self.next_stream()
            order = text_format.Parse(ORDERS[0], pb.ConnectResponse())
            del order.orders[0]
            order.orders[0].start.job_id = self.number
            order.orders[0].start.count = 1
            stream.order(*order.orders)
            await self.answered(stream)
            if self.was_started():
                return

    async def answered(self, stream: FakeStream) -> None:
        await wait_for_async(
            lambda: self.was_started() or stream.ended.is_set(),
            until=bool,
            what="a sane order is obeyed",
        )

    def was_started(self) -> bool:
        return any(m[1] == self.number for m in self.supervisor.of_kind("start"))


def test_f59_any_frames_of_a_head_are_outlived_and_only_valid_orders_obeyed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["FIRST_PAUSE_S", "LONGEST_PAUSE_S", "LONGEST_PAUSE_WELCOMED_S"]
    for name in (*names, "LONGEST_RETRY_S"):
        monkeypatch.setattr(heads, name, 0.002)
    scene = Scene(tmp_path)
    logging.getLogger("node_agent").addHandler(scene.errors)
    loop = asyncio.new_event_loop()
    do: Callable[[Any], Any] = loop.run_until_complete
    do(scene.head.start())
    do(scene.supervisor.start())
    running = running_agent(agent_config(tmp_path, scene.head.port))
    agent = do(running.__aenter__())
    before = memory_kib()

    def check(example: tuple[bool, list[pb.ConnectResponse]]) -> None:
        do(scene.visit(agent, *example))
        seen, scene.errors.seen[:] = list(scene.errors.seen), []
        assert not seen, seen[0]

    try:
        campaign(check, frames(), examples=40)
        assert memory_kib() - before < 400_000
    finally:
        do(running.__aexit__(None, None, None))
        do(scene.head.close())
        do(scene.supervisor.close())
        loop.close()
        logging.getLogger("node_agent").removeHandler(scene.errors)


def test_f59_one_frame_cannot_order_more_starts_than_one_order_may() -> None:
    frame = pb.ConnectResponse(seq=1)
    for job_id in range(1, 301):
        start = frame.orders.add().start
        start.job_id, start.task_id, start.definition = job_id, 1, 1
        start.first_instance, start.count = 1, MOST_STARTS // 100
        start.attempts.append(1)

    found = head_frame(frame)

    assert len(found.orders) == 100
    assert 0 < len(found.problems) <= MOST_PROBLEMS + 1
    assert "one frame" in found.problems[0]
    assert found.problems[-1].endswith("more orders were not understood")
