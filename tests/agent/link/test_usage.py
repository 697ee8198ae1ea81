"""What running tasks use, on its way from the supervisor to the head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from node_agent.core.news import NewsError
from node_agent.core.usage import MOST_IN_FRAME, TaskUsage, Usages, usage_of
from tests.support.agents import agent_config, running_agent
from tests.support.polling import wait_for_async

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fake_head import FakeHead, FakeStream
    from tests.support.fake_supervisor import FakeSupervisor

KEY = (7, 1, 1, 1)


def entry(user: int = 100, **fields: Any) -> list[Any]:
    return [*KEY, user, 10, 2000, 2, fields.get("pids", [40, 41])]


def told(stream: FakeStream) -> list[tuple[int, ...]]:
    return [
        (one.instance_id, one.user_ms, one.kernel_ms, one.resident_kib, *one.pids)
        for frame in stream.frames
        for one in frame.usages
    ]


async def test_the_head_is_told_as_it_changes_and_anew_on_each_stream(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    assert head.welcome is not None
    head.welcome["heartbeat_ms"] = 40
    supervisor.uses = [entry()]
    supervisor.running = [[*KEY, 40, 5.0, [1], None, None, "running"]]
    async with running_agent(agent_config(tmp_path, head.port)):
        stream = await head.stream()
        await wait_for_async(lambda: told(stream))
        asked = len(supervisor.of_kind("usage"))
        await supervisor.hears("usage", asked + 3)
        assert told(stream) == [(1, 100, 10, 2000, 40, 41)], "nothing had changed"
        supervisor.uses = [entry(300, pids=[40])]
        await wait_for_async(lambda: told(stream)[1:])
        stream.hang_up()
        second = await head.stream(2)
        await wait_for_async(lambda: told(second))

    assert told(stream)[1] == (1, 300, 10, 2000, 40)
    assert told(second)[0] == (1, 300, 10, 2000, 40)


async def test_what_has_ended_is_told_no_more(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    assert head.welcome is not None
    head.welcome["heartbeat_ms"] = 40
    supervisor.uses = []
    async with running_agent(agent_config(tmp_path, head.port)):
        stream = await head.stream()
        supervisor.started(KEY)
        await wait_for_async(lambda: stream.started)
        supervisor.ended(KEY)
        await wait_for_async(lambda: stream.finished)
        supervisor.say(["usage", [entry()]])
        supervisor.started((7, 1, 2, 1))
        await wait_for_async(lambda: stream.started, until=lambda s: len(s) > 1)
        await supervisor.hears("usage")

    assert told(stream) == []


async def test_a_supervisor_that_cannot_tell_is_not_asked(
    tmp_path: Path, head: FakeHead, supervisor: FakeSupervisor
) -> None:
    assert head.welcome is not None
    head.welcome["heartbeat_ms"] = 30
    async with running_agent(agent_config(tmp_path, head.port)):
        stream = await head.stream()
        supervisor.started(KEY)
        await wait_for_async(
            lambda: [f for f in stream.frames if f.HasField("heartbeat")],
            until=lambda beats: len(beats) > 3,
        )

    assert supervisor.of_kind("usage") == []


@pytest.mark.parametrize("bad", [[], [1], [[[1, 2]]], [[[7, 1, 1, 1, 0, 0, 0, 0, 5]]]])
def test_what_cannot_be_read_is_an_error_that_names_it(bad: list[Any]) -> None:
    with pytest.raises(NewsError, match="usage"):
        usage_of(["usage", *bad])


def test_times_never_go_back_and_a_frame_is_bounded() -> None:
    usages = Usages()
    usages.take(KEY, TaskUsage(50, 5, 10, 2, (1,)))
    usages.take(KEY, TaskUsage(20, 9, 8, 1, (1,)))
    assert usages.news() == [(KEY, TaskUsage(50, 9, 8, 1, (1,)))]
    for number in range(MOST_IN_FRAME + 5):
        usages.take((7, 1, number, 1), TaskUsage(1, 1, 1, 1, (1,)))
    assert len(usages.news()) == MOST_IN_FRAME
    assert len(usages.news()) == 5
    assert not usages.has_news
