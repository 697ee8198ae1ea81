"""A head that lets short jobs wait on its node, and jobs that do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.head_bench import ANN, NO_ID, Bench, a_job
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from tests.support.fake_agent import FakeAgent

RUN_S = 0.002


async def taught(bench: Bench) -> None:
    """Let the head learn how long such jobs take, on a node of two cores."""
    agent = await bench.node(cores=2)
    agent.plan = lambda _: (RUN_S, 0)
    for _ in range(4):
        await bench.submit()
        await bench.clock.advance(10 * RUN_S)


def node(bench: Bench) -> FakeAgent:
    return bench.agents["n1"]


async def many(bench: Bench, count: int = 20, **spec: Any) -> list[int]:
    """Return the numbers of small jobs of one call."""
    new = [a_job(**spec)] * count
    return list(await bench.head.submit_jobs(ANN, new, NO_ID, validate_only=False))


async def waiting_there(bench: Bench) -> tuple[list[int], list[int]]:
    """Return two jobs that run for long, and others that wait behind them."""
    node(bench).plan = lambda _: None
    jobs = await many(bench, 12)
    await settle()
    return jobs[:2], jobs[2:]


def there(bench: Bench) -> set[int]:
    """Return the jobs that wait on the node, as the node sees it."""
    return {process.key[0] for process in node(bench).queue}


def exit_of(bench: Bench, job_id: int) -> None:
    node(bench).exit((job_id, 1, 0, 1))
