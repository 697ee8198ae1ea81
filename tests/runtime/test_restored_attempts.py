"""After an older store was put back no number of an attempt is given out twice (P3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.core.job.numbering import ATTEMPTS_AHEAD
from hpcsched.core.task.states import TaskType
from hpcsched.store.progress import GENERATION_BITS, RESTORED_JOBS
from tests.support.ahead_bench import RUN_S, exit_of, taught, waiting_there
from tests.support.head_bench import (
    NO_ID,
    ROOT,
    Bench,
    CrashingStore,
    a_sweep,
    a_task,
    once,
)
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from hpcsched.store.memory_state import MemoryState
    from tests.support.fake_node import Process

GENERATION = 1 << GENERATION_BITS


async def restored(bench: Bench, older: MemoryState, generation: int = 1) -> None:
    """Let a head begin on an older copy, as after ``hpc cluster restore``."""
    next_job = 10 * generation
    for agent in bench.agents.values():
        agent.cut()
    await bench.stop()
    older.counters["term"] = generation * GENERATION
    older.counters["next_job"] = older.counters[RESTORED_JOBS] = next_job
    older.parameters["RestoreMode"] = "True"
    bench.store = CrashingStore(older)
    await bench.start()
    for agent in bench.agents.values():
        await agent.connect()
    await bench.clock.advance(60)
    await bench.head.set_parameters(ROOT, {"RestoreMode": "False"}, once("end"))
    for agent in bench.agents.values():  # the head has told them to come again
        agent.cut()
        await agent.connect()
    await bench.clock.advance(1)


def fails(process: Process) -> tuple[float, int]:
    """Let each task fail, and the preparation succeed."""
    return 1.0, 0 if process.key[1] == 1 else 3


async def taken_away(bench: Bench) -> None:
    """Let the node take nothing."""
    await bench.head.offline_nodes(ROOT, ["n1"], NO_ID, drain=False, reason="")


async def given_back(bench: Bench) -> None:
    await bench.head.online_nodes(ROOT, ["n1"], NO_ID)


def attempts(bench: Bench, job_id: int) -> set[tuple[int, int, int]]:
    """Return (task, instance, attempt) of what was started of a job."""
    return {key[1:] for key in bench.agents["n1"].starts if key[0] == job_id}


@pytest.mark.parametrize("had_run", [False, True])
async def test_what_ran_since_the_backup_has_other_numbers_than_what_runs_after_it(
    bench: Bench, had_run: bool
) -> None:
    agent = await bench.node(cores=2)
    agent.plan = fails
    await taken_away(bench)
    job_id = await bench.submit(a_task(type=TaskType.NODE_PREP), a_sweep(2), a_task())
    if had_run:
        await given_back(bench)
        await bench.until_state(job_id, "Failed")
        await taken_away(bench)
    older: MemoryState = bench.store._state.copy()
    await given_back(bench)
    for number in range(2):  # what the backup knows nothing of
        if had_run or number:
            await bench.head.requeue_jobs(ROOT, [job_id], once(f"{number}"))
        await bench.until_state(job_id, "Failed")
    lost = attempts(bench, job_id)
    agent.plan = lambda _: (1.0, 0)
    await restored(bench, older)
    await given_back(bench)
    if had_run:
        await bench.head.requeue_jobs(ROOT, [job_id], once("again"))
    await bench.until_state(job_id, "Finished")

    new = attempts(bench, job_id) - lost
    prepared = 2 if had_run else 1  # each activation prepares the node anew
    assert {key[:2] for key in new} == {(1, prepared), (2, 1), (2, 2), (3, 0)}
    assert all(attempt > ATTEMPTS_AHEAD for *_, attempt in new)
    assert all(count == 1 for count in agent.starts.values())


async def test_what_lives_of_a_lost_attempt_is_not_taken_for_the_new_one(
    bench: Bench,
) -> None:
    agent = await bench.node(cores=1)
    await taken_away(bench)
    job_id = await bench.submit()
    await bench.clock.advance(5)
    older: MemoryState = bench.store._state.copy()
    agent.plan = lambda _: None
    await given_back(bench)
    await bench.until_state(job_id, "Running")
    (lost,) = agent.live
    agent.plan = lambda _: (1.0, 0)
    await restored(bench, older)
    await given_back(bench)
    await bench.until_state(job_id, "Finished")

    assert lost == (job_id, 1, 0, 1)
    assert attempts(bench, job_id) == {(1, 0, 1), (1, 0, ATTEMPTS_AHEAD + 1)}
    assert agent.exits[lost] != 0, "it was stopped"


async def test_jobs_of_after_the_restore_begin_at_one_and_each_generation_has_its_own(
    bench: Bench,
) -> None:
    agent = await bench.node(cores=1)
    agent.plan = lambda _: (1.0, 3)
    await taken_away(bench)
    old = await bench.submit()
    older: MemoryState = bench.store._state.copy()
    for generation in (1, 2):
        await restored(bench, older.copy(), generation)
        await given_back(bench)
        await bench.until_state(old, "Failed")
        new = await bench.submit()
        await bench.until_state(new, "Failed")
    ahead = {a for *_, a in attempts(bench, old)}

    assert min(attempts(bench, new)) == (1, 0, 1)
    assert {a // ATTEMPTS_AHEAD for a in ahead} == {1, 2}


async def test_what_was_on_its_way_in_the_backup_and_has_run_since_runs_again(
    bench: Bench,
) -> None:
    agent = await bench.node(cores=1)
    agent.plan = lambda _: (1.0, 0)
    agent.mute = True
    job_id = await bench.submit()
    await settle()
    older: MemoryState = bench.store._state.copy()
    agent.cut()
    agent.mute = False
    await agent.connect()
    await bench.until_state(job_id, "Finished")
    await restored(bench, older)
    await bench.until_state(job_id, "Finished")

    assert attempts(bench, job_id) == {(1, 0, 1), (1, 0, ATTEMPTS_AHEAD + 1)}


async def test_what_waited_on_a_node_in_the_backup_and_has_run_since_runs_again(
    bench: Bench,
) -> None:
    await taught(bench)
    agent = bench.agents["n1"]
    running, waiting = await waiting_there(bench)
    older: MemoryState = bench.store._state.copy()
    agent.plan = lambda _: (RUN_S, 0)
    for job_id in running:
        exit_of(bench, job_id)
    await bench.until_state(waiting[-1], "Finished")
    await restored(bench, older, generation=3)
    for job_id in waiting:
        await bench.until_state(job_id, "Finished")

    again = {(1, 0, 1), (1, 0, 3 * ATTEMPTS_AHEAD + 1)}
    assert all(attempts(bench, job_id) == again for job_id in waiting)
