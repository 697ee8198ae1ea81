"""The head dies at every commit of a scenario, before it and after it (P1, P3, P7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.core.task.states import TaskType
from hpcsched.runtime.front import Stop, TaskPage
from tests.support.head_bench import (
    ANN,
    Bench,
    a_job,
    a_sweep,
    a_task,
    once,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hpcsched.runtime.head import Head
    from tests.support.fake_node import Process
    from tests.support.manual_clock import ManualClock
    from tests.support.seeded_ids import SeededIds

    Step = Callable[[Head], Awaitable[Any]]


def behaviour(process: Process) -> tuple[float, int] | None:
    """What a process does follows from its name, so that it can be checked."""
    job_id, task_id, instance, attempt = process.key
    if job_id == 3 and attempt == 1:
        return None  # until it is canceled or requeued
    if job_id == 5:
        return 8.0, 0
    return 0.3 + 0.1 * (instance % 4), (job_id + task_id + instance) % 2


STEPS: list[Step] = [
    lambda head: head.submit_jobs(
        ANN,
        [
            a_job(a_sweep(5), a_task()),
            a_job(
                a_task(type=TaskType.NODE_PREP),
                a_sweep(4),
                a_task(type=TaskType.NODE_RELEASE),
            ),
            a_job(a_task(), a_task()),
        ],
        once("s1"),
        validate_only=False,
    ),
    lambda head: head.create_job(ANN, a_job(), once("s2"), validate_only=False),
    lambda head: head.add_tasks(ANN, 4, [a_sweep(3)], once("s3"), submit=False),
    lambda head: head.submit_job(ANN, 4, once("s4")),
    lambda head: head._world.clock.sleep(2.0),
    lambda head: head.requeue_jobs(ANN, [3], once("s5")),
    lambda head: head._world.clock.sleep(1.5),
    lambda head: head.submit_jobs(
        ANN, [a_job(a_sweep(50))], once("s6"), validate_only=False
    ),
    lambda head: head._world.clock.sleep(1.0),
    lambda head: head.cancel_jobs(ANN, [5], Stop(message="enough"), once("s7")),
]


class Crashing(Bench):
    """Goes through the steps whatever happens, as clients do.

    Attributes:
        crashes: How often the head has died.
        total: Transactions of the whole scenario.
    """

    def __init__(self, clock: ManualClock, ids: SeededIds) -> None:
        super().__init__(clock, ids)
        self.crashes = 0
        self.total = 0
        self._broken = False

    async def play(self) -> None:
        for step in STEPS:
            call = self.begin(self._call(step))
            while not call.done():
                await self._tick()
                if self._broken:
                    self._broken = False
                    call.cancel()
                    call = self.begin(self._call(step))
            call.result()

    async def _call(self, step: Step) -> None:
        await step(self.head)

    async def _tick(self) -> None:
        await self.clock.advance(0.1)
        if self.store.crashed:
            self.crashes += 1
            self._broken = True
            await self.crash()

    async def end(self) -> None:
        """Let time pass until all jobs have ended."""
        deadline = self.clock.mono() + 120
        while True:
            jobs = [await self.job(n) for n in range(1, 6)]
            if all(job.state.terminal for job in jobs):
                break
            assert self.clock.mono() < deadline, [(j.job_id, j.state) for j in jobs]
            await self._tick()
        await self.clock.advance(5)


async def scenario(
    clock: ManualClock, ids: SeededIds, crash_at: int, *, written: bool
) -> Crashing:
    bench = Crashing(clock, ids)
    async with bench:
        for name, cores in (("n1", 2), ("n2", 3)):
            agent = await bench.node(name, cores)
            agent.plan = behaviour
        if crash_at:
            bench.store.crash_at = bench.store.transactions + crash_at
            bench.store.written = written
        first = bench.store.transactions
        await bench.play()
        await bench.end()
        bench.total = bench.store.transactions - first
        await check(bench)
    return bench


async def check(bench: Crashing) -> None:
    bench.check_at_rest()
    labels = [await bench.state(n) for n in range(1, 6)]
    assert labels[:2] == ["Failed", "Failed"]
    assert labels[2] in ("Failed", "Finished")
    assert labels[3] == "Failed"
    assert labels[4] == "Canceled"
    exits = {}
    for agent in bench.agents.values():
        exits.update(agent.exits)
    for job_id in range(1, 6):
        page = TaskPage(elements=True, limit=1000)
        tasks, _ = await bench.head.list_tasks(ANN, job_id, page)
        for task in tasks:
            if task.counts is not None:
                continue
            assert task.state.terminal, task
            key = (job_id, task.task_id, task.instance_id, task.attempt)
            if task.exit_code is not None and task.exit_code >= 0:
                assert task.exit_code == exits[key], key
            if job_id < 5 and task.type in (1, 2):
                assert key in exits, f"{key} ended without having run"
    numbers = [event.seq for event in await bench.events()]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_the_scenario_goes_well_without_a_crash(
    clock: ManualClock, ids: SeededIds
) -> None:
    bench = await scenario(clock, ids, 0, written=True)

    assert bench.total > 20


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("part", range(6))
async def test_a_crash_at_any_commit_loses_nothing_and_starts_nothing_twice(
    clock: ManualClock, ids: SeededIds, part: int, written: bool
) -> None:
    """After the commit and before anybody was answered; or just before the commit."""
    for crash_at in range(part + 1, 60, 6):
        bench = await scenario(clock, ids, crash_at, written=written)
        if not bench.crashes:
            break


async def test_one_crash_after_the_other_ends_well_too(
    clock: ManualClock, ids: SeededIds
) -> None:
    class Often(Crashing):
        async def crash(self) -> None:
            await super().crash()
            self.store.crash_at = self.store.transactions + 9
            self.store.written = bool(self.crashes % 2)

    bench = Often(clock, ids)
    async with bench:
        agent = await bench.node("n1", 4)
        agent.plan = behaviour
        bench.store.crash_at = bench.store.transactions + 3
        await bench.play()
        await bench.end()
        assert bench.crashes > 3
        await check(bench)
