"""Jobs that wait on a node go on in the order of the queue, whoever starts again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.ahead_bench import exit_of, node, taught, there, waiting_there
from tests.support.head_bench import ANN, NO_ID, Bench, a_job, a_task
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from hpcsched.store.base import Delta
    from tests.support.manual_clock import ManualClock
    from tests.support.seeded_ids import SeededIds


@pytest.fixture
async def bench(clock: ManualClock, ids: SeededIds) -> AsyncIterator[Bench]:
    async with Bench(clock, ids) as bench:
        await taught(bench)
        yield bench


async def crowd(bench: Bench) -> list[int]:
    """Return jobs that wait on the node in order: those of the highest numbers first.

    They were submitted last, and go before all others.
    """
    running, others = await waiting_there(bench)
    new = [a_job(a_task(), priority=3500) for _ in range(3)]
    first = await bench.head.submit_jobs(ANN, new, NO_ID, validate_only=False)
    await settle()
    exit_of(bench, running[0])
    await settle()
    queue = [process.key[0] for process in node(bench).queue]
    assert queue == [*first[1:], *others]
    return queue


def claimed(bench: Bench) -> list[int]:
    """Return the jobs that wait on the node, in the order that the head goes by."""
    ((_, claims),) = bench.world.scheduler.books.claims.items()
    return list(claims)


async def test_a_head_that_is_started_again_knows_their_order(bench: Bench) -> None:
    queue = await crowd(bench)
    assert claimed(bench) == queue

    await bench.crash()

    assert claimed(bench) == queue


@pytest.mark.parametrize("crash", [True, False])
async def test_what_a_node_has_lost_is_sent_again_in_their_order(
    bench: Bench, *, crash: bool
) -> None:
    queue = await crowd(bench)
    node(bench).cut()
    for process in node(bench).queue:
        del node(bench).seen[process.key[:3]]
    node(bench).queue.clear()

    if crash:
        await bench.crash()
    node(bench).reconnect()
    await settle()

    assert there(bench) == set(queue)
    assert [process.key[0] for process in node(bench).queue] == queue


async def test_one_that_is_asked_for_while_they_are_sent_holds_up_no_other(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    node(bench).plan = lambda _: None
    commit = bench.store.commit_together

    def slowly(deltas: Sequence[Delta], done: Any) -> None:
        if any(one.alike is not None and not one.specs for one in deltas):
            bench.store.hold()
        commit(deltas, done)

    monkeypatch.setattr(bench.store, "commit_together", slowly)
    one = a_job()
    tasks = [(a_task(arguments=("/bin/echo", str(n))),) for n in range(12)]
    new = [replace(one, tasks=own) for own in tasks]
    jobs = list(await bench.head.submit_jobs(ANN, new, NO_ID, validate_only=False))
    await settle()
    assert not there(bench), "they are being sent"
    looks = [bench.begin(bench.job(job_id)) for job_id in jobs[4:6]]
    await settle()
    monkeypatch.undo()
    bench.store.release()
    await settle()

    assert {(await look).state.label for look in looks} == {"Queued"}
    assert there(bench) == set(jobs[2:])
