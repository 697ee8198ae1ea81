"""Orders and the comparison that begins each stream (node-agent.md 9.1).

Each of these moments was found by the model (tests/model/README.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.runtime.frames import AgentFrame, Heartbeat
from hpcsched.runtime.front import Stop
from tests.support.head_bench import ANN, NO_ID, a_task
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from tests.support.fake_agent import FakeAgent
    from tests.support.fake_node import Key
    from tests.support.head_bench import Bench


async def connected_silently(bench: Bench) -> FakeAgent:
    """Return a node whose new stream has said hello and nothing else yet."""
    agent = bench.agents["n1"]
    agent.mute = True
    await agent.connect()
    await settle()
    agent.mute = False
    agent.welcomed, agent.acks = True, []
    return agent


async def beats(agent: FakeAgent) -> None:
    assert agent.session is not None
    agent.session.receive(AgentFrame(heartbeat=Heartbeat()))
    await settle()


async def one_runs_and_others_wait(
    bench: Bench, waiting: int
) -> tuple[FakeAgent, int, Key]:
    """Return a node with one core, its job, and the attempt that runs."""
    agent = await bench.node(cores=1)
    agent.plan = lambda _: None
    agent.retry = None
    job_id = await bench.submit(*[a_task() for _ in range(1 + waiting)])
    await bench.clock.advance(1)
    (key,) = agent.live
    return agent, job_id, key


async def test_a_rebooted_node_gets_no_start_that_the_comparison_takes_for_lost(
    bench: Bench,
) -> None:
    """The second task is dispatched while the node of a new boot begins to talk."""
    agent, job_id, first = await one_runs_and_others_wait(bench, 1)
    agent.cut()
    agent.exit(first, 0)
    agent.reboot()
    await connected_silently(bench)
    bench.store.hold()
    agent.flush()  # the end of the first: the second is dispatched, not yet committed
    await settle()
    await beats(agent)
    bench.store.release()
    await bench.clock.advance(1)

    second = await bench.task(job_id, 2)
    assert second.state.label == "Running"
    assert [key[3] for key in agent.live] == [second.attempt]
    assert not agent.queue
    assert [key for key in agent.starts if key[1] == 2] == list(agent.live)


async def test_an_attempt_that_is_stopped_within_the_comparison_ends(
    bench: Bench,
) -> None:
    """Its node has never heard of it, so of a stop alone it would never speak."""
    agent, job_id, first = await one_runs_and_others_wait(bench, 2)
    bench.store.hold()
    agent.exit(first, 0)
    await settle()
    agent.cut()
    bench.store.release()
    await settle()
    assert (await bench.task(job_id, 2)).state.label == "Dispatching"
    await connected_silently(bench)
    bench.store.hold()
    one = bench.begin(bench.head.cancel_tasks(ANN, job_id, [(3, 0)], Stop(), NO_ID))
    await settle()
    await beats(agent)
    whole = bench.begin(bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID))
    await settle()
    bench.store.release()
    await bench.clock.advance(5)

    await one
    await whole
    assert await bench.state(job_id) == "Canceled"
    assert not [key for key in agent.starts if key[1] == 2]
    bench.check_at_rest()
