"""Streams of nodes: who may open one, and which of two counts (F52)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.reports import Ended
from hpcsched.runtime.frames import AgentFrame, Heartbeat, Resources
from tests.support.head_bench import ANN
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from tests.support.fake_agent import FakeAgent
    from tests.support.head_bench import Bench


async def running(bench: Bench, *tasks: Any, **spec: Any) -> tuple[FakeAgent, int]:
    """Return a node on which a job's tasks run until they are told to end."""
    agent = await bench.node()
    agent.plan = lambda _: None
    agent.retry = None
    job_id = await bench.submit(*tasks, **spec)
    await bench.clock.advance(0.5)
    assert agent.live
    return agent, job_id


def the_key(agent: FakeAgent) -> tuple[int, int, int, int]:
    (key,) = agent.live
    return key


async def test_nothing_is_dispatched_before_the_comparison(bench: Bench) -> None:
    agent = await bench.node()
    agent.retry = None
    agent.cut()
    agent.mute = True
    await agent.connect()
    job_id = await bench.submit()
    await bench.clock.advance(5)
    assert agent.links[-1].open
    assert not any(frame.orders for frame in agent.links[-1].frames)

    agent.mute = False
    assert agent.session is not None
    agent.welcomed = True
    agent.session.receive(AgentFrame(heartbeat=Heartbeat()))
    await bench.until_state(job_id, "Finished")


async def test_frames_of_an_older_stream_are_ignored(bench: Bench) -> None:
    agent, job_id = await running(bench)
    old = agent.session
    key = the_key(agent)
    assert old is not None
    await agent.connect()
    await settle()
    stale = AgentFrame(
        seq=old.in_seq + 1,  # type: ignore[attr-defined]
        reports=(
            Ended(
                job_id=job_id,
                task_id=key[1],
                instances=[key[2]],
                attempts=[key[3]],
                reasons=[1],
                exit_codes=[99],
                starts=[1.0],
                ends=[2.0],
                cores=[0],
                user_ms=[0],
                kernel_ms=[0],
                max_rss_kib=[0],
            ),
        ),
    )

    old.receive(stale)
    old.closed()
    await settle()

    assert await bench.state(job_id) == "Running"
    (view,) = await bench.nodes("n1")
    assert view.reachable


async def test_the_second_stream_of_a_node_wins(bench: Bench) -> None:
    agent = await bench.node()
    first = agent.links[-1]

    await agent.connect()
    await settle()
    job_id = await bench.submit()

    assert first.closed_for == "STALE_SESSION"
    await bench.until_state(job_id, "Finished")
    assert not any(frame.orders for frame in first.frames)


async def test_the_newest_stream_wins_even_if_an_older_is_still_being_recorded(
    bench: Bench,
) -> None:
    agent = await bench.node()
    agent.cut()
    bench.store.hold()
    older = bench.begin(agent.connect(agent_version="2"))
    await settle()
    newer = bench.begin(agent.connect(agent_version="3"))
    await settle()
    bench.store.release()
    await settle()

    with pytest.raises(HpcError) as refusal:
        await older
    assert refusal.value.reason == "STALE_SESSION"
    await newer
    (view,) = await bench.nodes("n1")
    assert view.agent_version == "3"


async def test_another_machine_of_the_same_name_is_refused_while_the_first_lives(
    bench: Bench,
) -> None:
    agent, job_id = await running(bench)

    with pytest.raises(HpcError) as refusal:
        await bench.head.connect(
            agent.hello(machine_id="other", boot_id="b9", live=()),
            agent.links[-1],
            token_node="*",  # noqa: S106  a name
        )

    assert refusal.value.reason == "NODE_CONFLICT"
    agent.exit(the_key(agent), 0)
    await bench.until_state(job_id, "Finished")


@pytest.mark.parametrize(
    "twin",
    [{"boot_id": "b9"}, {"instance": "another directory"}],
    ids=["a cloned image", "a second supervisor"],
)
async def test_a_twin_is_refused_while_the_first_lives_and_taken_when_it_is_silent(
    bench: Bench, twin: dict[str, str]
) -> None:
    """F47: it has the machine id too. The two would end each other's streams."""
    agent, job_id = await running(bench)
    for _ in range(4):
        with pytest.raises(HpcError) as refusal:
            await bench.head.connect(
                agent.hello(live=(), **twin),
                agent.links[-1],
                token_node="*",  # noqa: S106  a name
            )
        await bench.clock.advance(10)
    alarms = (await bench.head.cluster(ANN)).alarms

    assert refusal.value.reason == "NODE_CONFLICT"
    assert "machine-id" in refusal.value.hint
    assert next(iter(twin.values())) in str(refusal.value)
    assert len(alarms) == 1
    assert len(agent.links) == 1
    agent.exit(the_key(agent), 0)
    await bench.until_state(job_id, "Finished")

    agent.mute = True  # as after a power cut: no end of its stream ever comes
    await bench.clock.advance(16)
    await bench.head.connect(
        agent.hello(live=(), **twin),
        agent.links[-1],
        token_node="*",  # noqa: S106  a name
    )


async def test_another_machine_may_take_a_name_that_nobody_uses(bench: Bench) -> None:
    agent, job_id = await running(bench)
    agent.reboot()
    agent.machine_id = "new hardware"
    agent.plan = lambda _: (1.0, 0)

    await agent.connect()

    await bench.until_state(job_id, "Finished")


@pytest.mark.parametrize(
    ("token", "reason"), [("n2", "PERMISSION_DENIED"), ("n1", ""), ("*", "")]
)
async def test_a_node_joins_only_with_a_token_of_its_own(
    bench: Bench, token: str, reason: str
) -> None:
    agent = await bench.node()
    agent.cut()
    agent.token = token

    if reason:
        with pytest.raises(HpcError) as refusal:
            await agent.connect()
        assert refusal.value.reason == reason
    else:
        await agent.connect()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"protocol_min": 2, "protocol_max": 3}, "PROTOCOL_MISMATCH"),
        ({"node": ""}, "INVALID_FIELD"),
        ({"node": "a b"}, "INVALID_FIELD"),
        ({"node": "x" * 81}, "INVALID_FIELD"),
        ({"resources": Resources(cores=0)}, "OUT_OF_RANGE"),
        ({"resources": Resources(cores=65536)}, "OUT_OF_RANGE"),
    ],
)
async def test_a_hello_that_cannot_be_is_refused(
    bench: Bench, changes: dict[str, Any], reason: str
) -> None:
    agent = await bench.node()
    agent.cut()

    with pytest.raises(HpcError) as refusal:
        await agent.connect(**changes)

    assert refusal.value.reason == reason
    assert len(await bench.nodes()) == 1


async def test_a_gap_in_an_agents_frames_ends_the_stream(bench: Bench) -> None:
    """What is acknowledged cumulatively must have come."""
    agent = await bench.node()
    assert agent.session is not None

    agent.session.receive(AgentFrame(seq=5))
    await settle()

    assert agent.links[-1].closed_for == "INVALID_FIELD"
    assert not any(frame.ack for frame in agent.links[-1].frames)


async def test_a_numbered_frame_without_reports_is_acknowledged(bench: Bench) -> None:
    agent = await bench.node()
    assert agent.session is not None

    agent.session.receive(AgentFrame(seq=1, goodbye=True))
    await settle()

    assert agent.links[-1].frames[-1].ack == 1
