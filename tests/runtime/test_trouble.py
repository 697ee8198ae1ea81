"""A full disk, a broken store, too much mail (F18, P14)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.reports import EndDetail, Ended
from hpcsched.runtime import job_actor
from hpcsched.runtime.front import Stop
from hpcsched.runtime.turns import turns_delta
from hpcsched.store.errors import StoreBrokenError, StoreFullError
from tests.support.head_bench import (
    ANN,
    NO_ID,
    a_sweep,
    once,
    turns_until,
)
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from tests.support.head_bench import Bench


async def test_a_full_disk_refuses_a_submission_and_leaves_no_trace(
    bench: Bench,
) -> None:
    last = bench.world.feed.last
    bench.store.fail_next(StoreFullError("full"))

    with pytest.raises(HpcError) as refusal:
        await bench.submit()

    assert refusal.value.reason == "DISK_FULL"
    assert bench.world.feed.last == last
    assert len(bench.world.jobs) == 0
    assert await bench.submit() > 0


async def test_a_full_disk_changes_nothing_of_a_job_that_goes_on_later(
    bench: Bench,
) -> None:
    agent = await bench.node()
    agent.plan = lambda _: (30.0, 0)
    job_id = await bench.submit()
    await bench.until_state(job_id, "Running")
    bench.store.fail_next(StoreFullError("full"))

    with pytest.raises(HpcError) as refusal:
        await bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID)

    assert refusal.value.reason == "DISK_FULL"
    assert await bench.state(job_id) == "Running"
    await bench.until_state(job_id, "Finished")
    bench.check_at_rest()


async def test_a_read_in_the_batch_of_a_refused_commit_is_answered_truly(
    bench: Bench,
) -> None:
    job_id = await bench.submit()
    bench.store.fail_next(StoreFullError("full"))
    cancel = bench.begin(bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID))
    read = bench.begin(bench.job(job_id))
    again = bench.begin(bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID))

    assert (await read).state.label == "Queued"
    with pytest.raises(HpcError, match="disk is full"):
        await cancel
    (view,) = await again  # its refusal saw what was not true
    assert view.state.label == "Canceled"


async def test_a_grant_that_the_disk_refuses_is_given_later_and_not_in_a_busy_loop(
    bench: Bench,
) -> None:
    await bench.node()
    call = bench.begin(bench.submit_two())
    await turns_until(call)
    bench.store.fail_next(StoreFullError("full"), times=9)
    before = bench.store.transactions

    await bench.clock.advance(3.5)

    assert 1 < bench.store.transactions - before < 11
    for job_id in call.result():
        assert await bench.state(job_id) == "Queued"
    for job_id in call.result():
        await bench.until_state(job_id, "Finished")
    bench.check_at_rest()


async def test_results_that_the_disk_refuses_come_again(bench: Bench) -> None:
    agent = await bench.node()
    agent.silent_starts = True
    job_id = await bench.submit()
    await bench.clock.advance(0.5)
    bench.store.fail_next(StoreFullError("full"))

    await bench.clock.advance(1.0)  # it ends, and the report cannot be kept

    assert "DISK_FULL" in agent.refusals
    assert agent.journal
    await bench.until_state(job_id, "Finished")
    assert (await bench.task(job_id)).exit_code == 0
    bench.check_at_rest()


async def test_a_lost_node_is_not_forgotten_by_a_full_disk(bench: Bench) -> None:
    agent = await bench.node()
    agent.plan = lambda _: None
    job_id = await bench.submit()
    await bench.until_state(job_id, "Running")
    agent.retry = None
    agent.cut()
    await bench.clock.advance(80)
    bench.store.fail_next(StoreFullError("full"), times=2)

    await bench.clock.advance(30)

    assert await bench.state(job_id) == "Queued"


async def test_a_drain_that_the_disk_refuses_is_no_drain(bench: Bench) -> None:
    await bench.node()
    bench.store.fail_next(StoreFullError("full"))
    root = type(ANN)(user="root", administrator=True)

    with pytest.raises(HpcError, match="disk is full"):
        await bench.head.offline_nodes(root, ["n1"], NO_ID, drain=False, reason="x")

    (view,) = await bench.nodes("n1")
    assert (view.state, view.reason) == (3, "")
    job_id = await bench.submit()
    await bench.until_state(job_id, "Finished")


async def test_a_node_whose_registration_the_disk_refuses_is_none(
    bench: Bench,
) -> None:
    bench.store.fail_next(StoreFullError("full"))

    with pytest.raises(HpcError, match="disk is full"):
        await bench.node()

    assert await bench.nodes() == []


async def test_a_broken_store_answers_nobody_that_all_is_well(bench: Bench) -> None:
    job_id = await bench.submit()
    bench.store.fail_next(StoreBrokenError("I/O error"))

    for _ in range(3):
        with pytest.raises(HpcError) as refusal:
            await bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID)
        assert refusal.value.reason == "OUTCOME_UNKNOWN"
    assert await bench.state(job_id) == "Queued"  # reads go on


async def test_a_fault_in_a_look_is_that_callers_alone(bench: Bench) -> None:
    job_id = await bench.submit()

    def broken(job: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(HpcError, match="internal error"):
        await bench.world.jobs.look(job_id, broken)
    assert await bench.state(job_id) == "Queued"


async def test_a_fault_while_a_commit_is_made_hits_only_its_cause(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = turns_delta
    job_id = await bench.submit()

    def broken(job: Any, first: int, decided: Any, now: float) -> Any:
        if any(getattr(m.command, "message", "") == "bad" for _, m in decided):
            raise ZeroDivisionError
        return real(job, first, decided, now)

    monkeypatch.setattr(job_actor, "turns_delta", broken)
    bad = bench.begin(bench.head.cancel_jobs(ANN, [job_id], Stop(message="bad"), NO_ID))
    read = bench.begin(bench.job(job_id))

    with pytest.raises(HpcError, match="internal error"):
        await bad
    assert (await read).state.label == "Queued"
    assert await bench.state(job_id) == "Queued"


async def test_a_node_that_reports_nonsense_harms_nobody(bench: Bench) -> None:
    agent = await bench.node()
    agent.plan = lambda _: (20.0, 0)
    job_id = await bench.submit(a_sweep(2))
    await bench.until_state(job_id, "Running")
    lies: list[dict[str, Any]] = [
        {"task_id": 99},
        {"instances": [77]},
        {"attempts": [9]},
        {"job_id": 4_000_000_000},
        {"job_id": 0},
        {"starts": [-1e300], "ends": [1e300]},
        {"exit_codes": [2**31], "attempts": [8]},
        {"reasons": [200], "attempts": [8]},
    ]
    for lie in lies:
        agent.say(a_lie(**{"job_id": job_id, **lie}))
    await bench.clock.advance(2)

    assert await bench.state(job_id) == "Running"
    assert not agent.journal, "and all of it is acknowledged"
    await bench.until_state(job_id, "Finished")


def a_lie(**changes: Any) -> Ended:
    whole: dict[str, Any] = {
        "task_id": 1,
        "instances": [1],
        "attempts": [7],
        "reasons": [1],
        "exit_codes": [0],
        "starts": [1.0],
        "ends": [2.0],
        "cores": [0],
        "user_ms": [0],
        "kernel_ms": [0],
        "max_rss_kib": [0],
        "details": {0: EndDetail(output="lie"), 5: EndDetail(output="far out")},
    }
    return Ended(**{**whole, **changes})


async def test_too_much_mail_is_refused_and_what_waits_is_still_answered(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_actor, "MAIL_LIMIT", 1000)
    job_id = await bench.submit()
    bench.store.hold()
    bench.begin(bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID))
    await settle()
    reads = [bench.begin(bench.job(job_id)) for _ in range(1001)]
    await settle()

    with pytest.raises(HpcError) as refusal:
        await reads[-1]
    assert refusal.value.reason == "QUEUE_FULL"
    assert not reads[0].done()
    bench.store.release()
    states = [(await read).state.label for read in reads[:-1]]
    assert set(states) == {"Canceled"}


async def test_reports_for_a_job_with_too_much_mail_are_not_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_actor, "MAIL_LIMIT", 10)
    agent = await bench.node()
    job_id = await bench.submit()
    await settle()
    bench.store.hold()
    await bench.clock.advance(0.1)
    bench.begin(bench.head.add_tasks(ANN, job_id, [a_sweep(2)], NO_ID, submit=True))
    await settle()
    reads = [bench.begin(bench.job(job_id)) for _ in range(10)]
    await bench.clock.advance(2)  # the task ends meanwhile
    bench.store.release()
    for read in reads:
        await read

    await bench.until_state(job_id, "Finished")
    assert (await bench.task(job_id)).exit_code == 0
    assert "QUEUE_FULL" in agent.refusals
    bench.check_at_rest()


async def test_a_job_that_cannot_be_decoded_keeps_nobody_else_from_starting(
    bench: Bench,
) -> None:
    bad = await bench.submit()
    good = await bench.submit()
    stored = bench.store._state.jobs[bad]
    stored.specs = {}

    await bench.crash()
    await bench.node()

    await bench.until_state(good, "Finished")
    assert await bench.state(bad) == "Queued"  # as its row has it
    assert bad in bench.world.apart


async def test_reports_of_an_unknown_job_are_acknowledged(bench: Bench) -> None:
    agent = await bench.node()
    agent.say(a_lie(job_id=17))
    await settle()

    assert not agent.journal
    assert len(bench.world.jobs) == 0


async def test_the_same_request_after_a_full_disk_is_carried_out(
    bench: Bench,
) -> None:
    job_id = await bench.submit()
    bench.store.fail_next(StoreFullError("full"))
    with pytest.raises(HpcError, match="disk is full"):
        await bench.head.cancel_jobs(ANN, [job_id], Stop(), once("r"))

    (view,) = await bench.head.cancel_jobs(ANN, [job_id], Stop(), once("r"))

    assert view.state.label == "Canceled"
