"""Reports reach the head once, in order, through whatever happens to the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.agents import agent_config, running_agent
from tests.support.polling import wait_for_async

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fake_head import FakeHead
    from tests.support.fake_supervisor import FakeSupervisor

KEYS = [(7, 1, instance, 1) for instance in range(1, 201)]


async def test_a_batch_of_ends_is_one_frame_of_columns_and_tells_the_starts_too(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    async with running_agent(agent_config(tmp_path, head.port)):
        stream = await head.stream()
        supervisor.ran(*KEYS)
        await wait_for_async(lambda: stream.finished, until=lambda f: len(f) == 200)

    (frame,) = [frame for frame in stream.frames if frame.reports]
    assert [r.WhichOneof("report") for r in frame.reports] == ["ended"]
    ended = frame.reports[0].ended
    assert list(ended.instances) == list(range(1, 201))
    assert set(ended.reasons) == {1}
    assert set(ended.user_ms) == {3}
    assert set(ended.kernel_ms) == {4}
    assert set(ended.max_rss_kib) == {5}
    assert all(start > 0 for start in ended.start_times)


async def test_the_details_of_an_end_are_told_with_its_position(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    async with running_agent(agent_config(tmp_path, head.port)):
        stream = await head.stream()
        supervisor._report(
            [
                supervisor._ended((7, 1, 1, 1)),
                supervisor._ended(
                    (7, 1, 2, 1),
                    reason="START_FAILED",
                    exit_code=None,
                    start=None,
                    code="exec",
                    message="ENOENT: caf\udce9",
                    output="a\udcff",
                    cores=[],
                ),
                supervisor._ended(
                    (7, 1, 3, 1), reason="SIGNALED", exit_code=None, signal=9
                ),
            ]
        )
        await wait_for_async(lambda: stream.finished, until=lambda f: len(f) == 3)

    ended = stream.frames[-1].reports[0].ended
    assert list(ended.exit_codes) == [0, -1, 137]
    assert list(ended.reasons) == [1, 7, 2]
    assert list(ended.cores) == [1, -1, 1]
    assert ended.start_times[1] == 0
    (detail,) = ended.details
    assert detail.index == 1
    assert detail.code == "exec"
    assert detail.message == "ENOENT: caf\N{REPLACEMENT CHARACTER}"
    assert detail.output == b"a\xff"


async def test_the_supervisor_may_forget_only_what_the_head_has_acknowledged(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    head.acks_reports = False
    async with running_agent(agent_config(tmp_path, head.port)):
        stream = await head.stream()
        supervisor.ran(KEYS[0])
        await wait_for_async(lambda: stream.finished)
        supervisor.ran(KEYS[1])
        await wait_for_async(lambda: stream.finished, until=lambda f: len(f) == 2)
        assert supervisor.acks == []
        stream.ack(1)
        await wait_for_async(lambda: supervisor.acks)
        assert supervisor.acks == [2]
        stream.ack(2)
        await wait_for_async(lambda: supervisor.acks, until=lambda a: a[-1:] == [4])

    assert supervisor.acks == sorted(supervisor.acks)
    assert supervisor.journal == []


async def test_a_lost_stream_loses_no_report_and_keeps_their_order(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    head.acks_reports = False
    async with running_agent(agent_config(tmp_path, head.port)):
        first = await head.stream()
        supervisor.ran(*KEYS[:10])
        await wait_for_async(lambda: first.finished, until=lambda f: len(f) == 10)
        first.ack(1)
        await wait_for_async(lambda: supervisor.acks, until=lambda a: a == [20])
        supervisor.ran(*KEYS[10:20])
        await wait_for_async(lambda: first.finished, until=lambda f: len(f) == 20)
        first.hang_up()  # nothing of the second ten was acknowledged
        head.acks_reports = True
        second = await head.stream(2)
        supervisor.ran(*KEYS[20:30])
        await wait_for_async(
            lambda: second.finished, until=lambda f: f[-1:] == [KEYS[29]]
        )
        await wait_for_async(lambda: supervisor.acks, until=lambda a: a[-1:] == [60])

    assert second.finished == KEYS[10:30]
    assert next(frame.seq for frame in second.frames if frame.seq) == 1
    assert supervisor.acks == sorted(supervisor.acks)


async def test_ends_that_the_head_does_not_know_are_named_in_the_hello_as_alive(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    supervisor.started((7, 1, 0, 1))
    supervisor.ended((7, 1, 0, 1))
    supervisor.ended((7, 2, 0, 1), start=None, reason="NOT_STARTED")
    supervisor.running = [[7, 3, 0, 1, 99, 5.0, [2], None, None, "running"]]
    supervisor.queued = [[7, 4, 0, 1]]
    async with running_agent(agent_config(tmp_path, head.port)):
        stream = await head.stream()
        await wait_for_async(lambda: stream.finished, until=lambda f: len(f) == 2)

    found = {(a.task_id, a.running): list(a.cores) for a in stream.live}
    assert found == {(1, True): [1], (2, False): [1], (3, True): [2], (4, False): []}


async def test_reports_gather_while_the_head_is_slow_but_not_for_long(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    head.acks_reports = False
    async with running_agent(agent_config(tmp_path, head.port)):
        stream = await head.stream()
        for key in KEYS:
            supervisor.ran(key)
            await wait_for_async(lambda: True)
        await wait_for_async(lambda: stream.finished, until=lambda f: len(f) == 200)

    assert stream.finished == KEYS  # without a single acknowledgement
    assert [frame.seq for frame in stream.frames if frame.seq] == list(
        range(1, len([f for f in stream.frames if f.seq]) + 1)
    )


async def test_a_report_that_the_supervisor_repeats_is_sent_once(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    async with running_agent(agent_config(tmp_path, head.port)):
        stream = await head.stream()
        supervisor.started(KEYS[0])
        supervisor.say(supervisor.journal[0])
        supervisor.ended(KEYS[0])
        await wait_for_async(lambda: stream.finished)

    assert [key for kind, key in stream.news if kind == "ended"] == KEYS[:1]
    assert stream.started in ([], KEYS[:1])


async def test_news_that_cannot_be_read_do_not_stop_the_ones_behind_them(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    async with running_agent(agent_config(tmp_path, head.port)):
        stream = await head.stream()
        supervisor.say(
            ["started", 1], ["what?"], ["ended", 1, 1, 1, 1, 1, None], ["pong"]
        )
        supervisor.position = 1
        supervisor.ran(KEYS[0])
        await wait_for_async(lambda: stream.finished)

    assert stream.finished == [KEYS[0]]
    assert supervisor.connections == 1


async def test_the_first_heartbeat_of_a_stream_follows_all_that_was_unacknowledged(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    supervisor.ran(*KEYS)
    supervisor.queued = [[8, 1, instance, 1] for instance in range(100)]
    async with running_agent(agent_config(tmp_path, head.port)):
        stream = await head.stream()
        await wait_for_async(
            lambda: stream.frames, until=lambda f: f and f[-1].HasField("heartbeat")
        )

    assert stream.finished == KEYS
    assert stream.frames[-1].heartbeat.queued == 100
    assert not any(frame.HasField("heartbeat") for frame in stream.frames[:-1])


async def test_a_node_with_a_deep_queue_gathers_reports_and_loses_none(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    supervisor.queued = [[8, 1, instance, 1] for instance in range(100)]
    async with running_agent(agent_config(tmp_path, head.port)) as agent:
        stream = await head.stream()
        await wait_for_async(lambda: stream.frames)
        for key in KEYS:
            supervisor.ran(key)
            await agent.clock.sleep(0)
        await wait_for_async(lambda: stream.finished, until=lambda f: len(f) == 200)

    assert stream.finished == KEYS
    assert len([frame for frame in stream.frames if frame.reports]) < 50


async def test_a_start_waits_a_moment_for_its_end_and_is_told_without_one(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    async with running_agent(agent_config(tmp_path, head.port)):
        stream = await head.stream()
        supervisor.started(KEYS[0])
        await wait_for_async(lambda: stream.started)
        supervisor.ran(KEYS[1])
        await wait_for_async(lambda: stream.finished)

    assert stream.news[0] == ("started", KEYS[0])
    assert ("ended", KEYS[1]) in stream.news
