"""Who wants something of jobs that wait on a node that says no word, or on many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job.commands import LoseNode, ReleaseJob
from hpcsched.core.orders import RecallTasks, StartTasks
from hpcsched.runtime.edit_front import Edit
from hpcsched.runtime.front import Stop
from hpcsched.runtime.mail import Mail
from tests.support.ahead_bench import exit_of, many, node, taught, there, waiting_there
from tests.support.head_bench import ANN, NO_ID, ROOT, Bench
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.manual_clock import ManualClock
    from tests.support.seeded_ids import SeededIds


@pytest.fixture
async def bench(clock: ManualClock, ids: SeededIds) -> AsyncIterator[Bench]:
    async with Bench(clock, ids) as bench:
        await taught(bench)
        yield bench


async def test_a_frozen_node_does_not_keep_who_cancels_waiting(bench: Bench) -> None:
    _, others = await waiting_there(bench)
    node(bench).mute = True
    cancel = bench.begin(bench.head.cancel_jobs(ANN, others, Stop(), NO_ID))
    await bench.clock.advance(3)

    assert cancel.done()
    await cancel
    assert {await bench.state(n) for n in others} == {"Canceling"}
    await bench.clock.advance(100)
    assert {await bench.state(n) for n in others} == {"Canceled"}


async def test_a_cancel_that_a_frozen_node_hears_later_has_run_nothing(
    bench: Bench,
) -> None:
    running, others = await waiting_there(bench)
    node(bench).mute = True
    cancel = bench.begin(bench.head.cancel_jobs(ANN, [others[0]], Stop(), NO_ID))
    await bench.clock.advance(3)
    await cancel
    node(bench).cut()
    node(bench).mute = False
    node(bench).reconnect()
    await bench.clock.advance(20)

    assert await bench.state(others[0]) == "Canceled"
    assert not [key for key in node(bench).starts if key[0] == others[0]]
    for job_id in running:
        exit_of(bench, job_id)
    await settle()
    assert {await bench.state(n) for n in others[1:3]} == {"Running"}


async def test_an_edit_of_a_job_on_a_frozen_node_is_refused_and_says_why(
    bench: Bench,
) -> None:
    _, others = await waiting_there(bench)
    node(bench).mute = True
    hold = bench.begin(bench.head.hold_jobs(ROOT, [others[0]], None, NO_ID))
    await bench.clock.advance(15)

    with pytest.raises(HpcError, match="node n1 does not say whether job"):
        await hold
    assert await bench.state(others[0]) == "Queued"


async def edited(bench: Bench, job_id: int, revision: int) -> Any:
    """Change a job as it was read, and return it as it is then."""
    edit = Edit(changes={"priority": 1000}, expected_revision=revision)
    call = bench.begin(bench.head.modify_job(ROOT, job_id, edit, NO_ID))
    await bench.clock.advance(1)
    return (await call).job


async def test_an_edit_of_what_its_editor_has_seen_is_no_conflict(
    bench: Bench,
) -> None:
    """That the job was given back for it is the edit's own doing."""
    _, others = await waiting_there(bench)
    seen = (await bench.job(others[0])).revision

    assert (await edited(bench, others[0], seen)).priority == 1000
    with pytest.raises(HpcError, match="revision"):
        await edited(bench, others[0], seen)


async def test_an_edit_of_what_has_started_meanwhile_is_a_conflict(
    bench: Bench,
) -> None:
    running, others = await waiting_there(bench)
    seen = (await bench.job(others[0])).revision
    exit_of(bench, running[0])  # the node starts the next one before it is asked
    with pytest.raises(HpcError, match="revision"):
        await edited(bench, others[0], seen)
    assert await bench.state(others[0]) == "Running"


async def test_what_came_first_is_done_first_when_the_node_has_said_its_word(
    bench: Bench,
) -> None:
    _, others = await waiting_there(bench)
    hold = bench.begin(bench.head.hold_jobs(ROOT, [others[0]], None, NO_ID))
    node(bench).mute = True
    await settle()
    actor = bench.world.jobs.get(others[0])
    assert actor is not None
    actor.post(Mail(None, command=LoseNode(node_id=1, node="n1")))
    actor.post(Mail(None, command=ReleaseJob(caller=ROOT)))
    await settle()
    await hold

    assert actor.job is not None
    assert not actor.job.held_by


async def test_a_call_on_many_asks_for_those_on_nodes_together_and_sends_no_more(
    bench: Bench,
) -> None:
    node(bench).plan = lambda _: None
    jobs = await many(bench, 300)
    await settle()
    sent = len(there(bench))
    before, took = len(node(bench).orders), len(node(bench).links[0].frames)
    await bench.head.cancel_jobs(ANN, jobs, Stop(), NO_ID)

    orders = node(bench).orders[before:]
    assert 0 < sent < 200
    assert 0 < sum(isinstance(o, RecallTasks) for o in orders) <= sent
    assert sum(isinstance(o, StartTasks) for o in orders) <= 4  # on free cores
    assert len(node(bench).links[0].frames) - took < 20
