"""Processes that nothing kills (F36, P10)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hpcsched.core.reports import EndDetail
from hpcsched.core.task.states import EndReason
from tests.support.fake_node import ended
from tests.support.head_bench import a_task

if TYPE_CHECKING:
    from tests.support.head_bench import Bench


async def test_a_node_on_which_processes_survive_a_kill_is_drained(
    bench: Bench,
) -> None:
    """Its cores stay taken there, and nobody waits for them (F36, P10)."""
    agent = await bench.node()
    agent.plan = lambda _: None
    job_id = await bench.submit(a_task(), a_task(), a_task())
    await bench.clock.advance(1)
    key = next(iter(agent.live))
    process = agent.live.pop(key)
    end = ended(process, EndReason.KILLED, 137, agent)
    detail = EndDetail(code="KILL_FAILED", message="processes survive")
    agent.say(replace(end, details={0: detail}))
    await bench.clock.advance(1)

    (shown,) = await bench.nodes("n1")
    assert shown.state == 2, "Draining"
    assert f"task {job_id}.{key[1]} survive" in shown.reason
    other = await bench.node("n2")
    for one in list(agent.live):
        agent.exit(one, 0)
    await bench.until_state(job_id, "Finished")
    assert other.starts, "what was left ran elsewhere"
    (shown,) = await bench.nodes("n1")
    assert shown.state == 1, "Offline"
