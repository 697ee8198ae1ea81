"""Getting to a head, staying with it, and leaving it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from hpcsched.common.errors import HpcError
from node_agent.link.stream import StreamEnd
from tests.support.agents import RunningAgent, agent_config, running_agent
from tests.support.fake_head import FakeHead
from tests.support.polling import wait_for_async

if TYPE_CHECKING:
    from pathlib import Path

    from node_agent.link.heads import Heads
    from tests.support.fake_supervisor import FakeSupervisor
    from tests.support.manual_clock import ManualClock


async def test_the_hello_says_who_the_node_is(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    config = agent_config(tmp_path, head.port, cores=16, groups=["gpu", "fast"])
    async with running_agent(config):
        stream = await head.stream()

    (hello,) = stream.hellos
    assert (hello.node, hello.boot_id, hello.instance) == (
        "cn007",
        "boot-1",
        "journal-1",
    )
    assert (hello.protocol_min, hello.protocol_max, hello.term) == (1, 1, 0)
    assert (hello.machine_id, hello.agent_version) == ("machine-1", "1.2")
    assert hello.resources.cores == 16
    assert hello.resources.memory_bytes == 1 << 30
    assert hello.resources.containment == "group"
    assert list(hello.resources.groups) == ["gpu", "fast"]
    assert stream.metadata["authorization"] == "Bearer secret-of-node"


async def test_no_head_is_called_before_the_supervisor_has_told_what_lives(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    supervisor.answers_pings = False  # the journal may still be on its way
    async with running_agent(agent_config(tmp_path, head.port)) as running:
        await supervisor.connected()
        await wait_for_async(lambda: running.agent._settling, what="the agent's ping")
        assert not running.agent.ready.is_set()
        assert head.streams == []
        supervisor.answers_pings = True
        supervisor.hang_up()
        await head.stream()


async def test_a_long_hello_comes_in_frames_below_a_mebibyte(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    cores = list(range(100, 164))
    supervisor.running = [
        [7, 1, instance, 1, 99, 5.0, cores, None, None, "running"]
        for instance in range(20_000)
    ]
    async with running_agent(agent_config(tmp_path, head.port)):
        stream = await head.stream()

    assert len(stream.hellos) > 2
    assert [hello.more for hello in stream.hellos][-1] is False
    assert all(hello.more for hello in stream.hellos[:-1])
    assert all(hello.node == "cn007" for hello in stream.hellos)
    assert max(hello.ByteSize() for hello in stream.hellos) < 1 << 20
    assert [a.instance_id for a in stream.live] == list(range(20_000))
    assert list(stream.live[-1].cores) == cores


async def test_a_head_of_an_older_term_is_refused_even_after_a_restart(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    assert head.welcome is not None
    head.welcome["term"] = 5
    config = agent_config(tmp_path, head.port)
    async with running_agent(config):
        await head.stream()
        await wait_for_async(lambda: (tmp_path / "term").read_text() == "5\n")

    head.welcome["term"] = 4
    async with running_agent(config) as running:
        await head.stream(3)
        await wait_for_async(lambda: "term is 4; 5 was seen" in running.statuses[-1])
        supervisor.ran((7, 1, 0, 1))
        head.welcome["term"] = 6
        await wait_for_async(lambda: head.streams[-1].finished)

    assert all(stream.news == [] for stream in head.streams[:-1])
    assert [s.hellos[0].term for s in head.streams] == [0] + [5] * (
        len(head.streams) - 1
    )
    assert (tmp_path / "term").read_text() == "6\n"


async def test_a_silent_head_is_left_after_three_missed_heartbeats(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    assert head.welcome is not None
    head.welcome["heartbeat_ms"] = 50
    head.answers_heartbeats = False
    supervisor.running = [[7, 1, 0, 1, 99, 5.0, [2], None, None, "running"]]
    supervisor.queued = [[7, 2, 0, 1]]
    async with running_agent(agent_config(tmp_path, head.port)) as running:
        first = await head.stream()
        await head.stream(2)
        assert any("the head has been silent" in s for s in running.statuses)

    beats = [frame.heartbeat for frame in first.frames if frame.HasField("heartbeat")]
    assert len(beats) >= 2
    assert (beats[0].running, beats[0].queued) == (1, 1)


async def test_answered_heartbeats_keep_the_stream(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    assert head.welcome is not None
    head.welcome["heartbeat_ms"] = 30
    async with running_agent(agent_config(tmp_path, head.port)):
        stream = await head.stream()
        await wait_for_async(lambda: stream.frames, until=lambda f: len(f) > 12)

    assert len(head.streams) == 1


async def test_the_next_head_is_tried_when_one_does_not_answer(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    async with running_agent(agent_config(tmp_path, 1, head.port)):
        first = await head.stream()
        first.hang_up()
        await head.stream(2)


async def test_a_head_that_stops_names_the_time_of_return_and_the_other_is_tried(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    other = FakeHead()
    await other.start()
    try:
        async with running_agent(agent_config(tmp_path, head.port, other.port)):
            first = await head.stream()
            first.send(goodbye_retry_ms=30_000)
            await other.stream()
    finally:
        await other.close()
    assert len(head.streams) == 1


async def test_a_head_that_comes_back_is_found_again(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    async with running_agent(agent_config(tmp_path, head.port)) as running:
        await head.stream()
        await head.close()
        await wait_for_async(
            lambda: running.statuses, until=lambda s: s and "not connected" in s[-1]
        )
        await head.start(head.port)
        supervisor.ran((7, 1, 0, 1))
        await wait_for_async(lambda: head.streams[-1].finished)


async def test_a_refusal_is_told_and_the_next_attempt_is_not_hurried(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    head.refuse = (grpc.StatusCode.PERMISSION_DENIED, "this token is of another node")
    async with running_agent(agent_config(tmp_path, head.port)) as running:
        await wait_for_async(
            lambda: running.statuses, until=lambda s: s and "another node" in s[-1]
        )

    assert len(head.streams) == 1


def end(**fields: Any) -> StreamEnd:
    return StreamEnd(**{"why": "", "welcomed": False, "lasted_s": 0.0, **fields})


@pytest.fixture
def heads(tmp_path: Path, clock: ManualClock) -> Heads:
    config = agent_config(tmp_path)
    return RunningAgent(config, None, clock).heads


def test_pauses_grow_to_ten_seconds_and_are_spread(heads: Heads) -> None:
    pauses = [heads._pause(end(), 1) for _ in range(10)]

    longest = [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10, 10]
    for pause, most in zip(pauses, longest, strict=True):
        assert most / 2 <= pause <= most


def test_each_head_is_asked_before_there_is_a_pause(heads: Heads) -> None:
    pauses = [heads._pause(end(), 3) for _ in range(6)]

    assert [pause > 0 for pause in pauses] == [False, False, True] * 2


def test_a_session_that_lasted_makes_the_next_pause_short_again(heads: Heads) -> None:
    for _ in range(10):
        heads._pause(end(), 1)

    assert heads._pause(end(welcomed=True, lasted_s=60.0), 1) <= 0.2


def test_a_head_that_is_killed_again_and_again_is_found_again_each_time(
    heads: Heads,
) -> None:
    pauses = []
    for _ in range(12):  # it is down for a moment, welcomes, and is killed soon after
        pauses += [heads._pause(end(), 1) for _ in range(3)]
        pauses.append(heads._pause(end(welcomed=True, lasted_s=1.0), 1))

    assert max(pauses) <= 2.0
    assert pauses[-1] >= 1.0, "one that breaks each session at once is not hammered"


def test_a_refusal_is_answered_by_patience(heads: Heads) -> None:
    refusal = HpcError("PERMISSION_DENIED", user="cn007", operation="connect")

    assert heads._pause(end(refusal=refusal), 1) >= 5


def test_the_time_that_a_stopping_head_asks_for_is_kept_and_bounded(
    heads: Heads,
) -> None:
    asked = end(welcomed=True, lasted_s=60.0, retry_after_s=3.0)
    absurd = end(welcomed=True, lasted_s=60.0, retry_after_s=1e6)

    assert 3.0 <= heads._pause(asked, 1) <= 3.2
    assert heads._pause(absurd, 1) <= 60.2


async def test_a_token_that_cannot_be_read_is_told_and_read_again(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    config = agent_config(tmp_path, head.port)
    config.token_file.unlink()
    async with running_agent(config) as running:
        await wait_for_async(lambda: "No such file" in running.statuses[-1])
        config.token_file.write_text("secret-2")
        stream = await head.stream()

    assert stream.metadata["authorization"] == "Bearer secret-2"


async def test_a_goodbye_follows_the_last_reports_and_ends_the_stream(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    async with running_agent(agent_config(tmp_path, head.port)) as running:
        stream = await head.stream()
        await wait_for_async(lambda: "connected" in running.statuses[-1])
        supervisor.started((7, 1, 0, 1))
        await wait_for_async(lambda: stream.started)
        await running.heads.leave()
        await asyncio.wait_for(stream.ended.wait(), 60)

    assert [frame.goodbye for frame in stream.frames][-1] is True
    assert stream.frames[-1].seq > 0
    assert supervisor.of_kind("stop") == []
    assert len(head.streams) == 1


async def test_a_head_that_speaks_another_protocol_is_left(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    assert head.welcome is not None
    head.welcome["protocol"] = 9
    async with running_agent(agent_config(tmp_path, head.port)) as running:
        await wait_for_async(lambda: "speaks protocol 9" in running.statuses[-1])


async def test_a_lost_supervisor_ends_the_stream_until_it_is_back(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    async with running_agent(agent_config(tmp_path, head.port)):
        first = await head.stream()
        supervisor.ran((7, 1, 0, 1))
        await wait_for_async(lambda: first.finished)
        await wait_for_async(lambda: not supervisor.journal)
        await supervisor.close()
        await asyncio.wait_for(first.ended.wait(), 60)
        assert len(head.streams) == 1
        supervisor.running = [[7, 3, 0, 1, 99, 5.0, [2], None, None, "running"]]
        await supervisor.start()
        second = await head.stream(2)
        supervisor.ran((7, 2, 0, 1))
        await wait_for_async(lambda: second.finished)

    assert [attempt.task_id for attempt in second.live] == [3]
    assert second.finished == [(7, 2, 0, 1)]
