"""F8: a job whose mail is a fault of ours is set aside, and loses no report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job.commands import LoseNode, NoteAside, SyncNode, TakeReports
from hpcsched.core.job.decide import decide
from hpcsched.core.reports import EndDetail, Ended, Started
from hpcsched.runtime import acting, apart, demand, job_actor
from hpcsched.runtime.front import Stop
from hpcsched.store.base import JobQuery
from tests.support.head_bench import ANN, NO_ID, ROOT, Bench, a_sweep
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcsched.core.reports import Report


class Broken:
    """Makes ``decide`` fail for some commands of one job."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.job_id = 0
        self.kinds: tuple[type, ...] = ()
        self.count = 0
        monkeypatch.setattr(job_actor, "decide", self.decide)

    def decide(self, job: Any, command: Any, *more: Any) -> Any:
        if job.job_id == self.job_id and isinstance(command, self.kinds):
            self.count += 1
            raise ZeroDivisionError("a fault of ours")
        return decide(job, command, *more)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Broken:
    return Broken(monkeypatch)


async def why(bench: Bench, job_id: int) -> str:
    _, lines = await bench.head.explain(ANN, job_id, None)
    return "\n".join(lines)


async def set_aside(bench: Bench, broken: Broken) -> int:
    """Return a job that is set aside, with a report of its end that waits for it."""
    await bench.node()
    job_id = await bench.submit(a_sweep(4))
    broken.job_id, broken.kinds = job_id, (TakeReports,)
    await bench.until(lambda: _is(lambda: job_id in bench.world.apart))
    return job_id


async def _is(look: Callable[[], bool]) -> bool:
    return look()


async def test_f8_the_job_is_visible_others_go_on_and_it_can_be_released(
    bench: Bench, broken: Broken
) -> None:
    job_id = await set_aside(bench, broken)
    seen = await bench.state(job_id)
    told = await why(bench, job_id)
    with pytest.raises(HpcError) as refused:
        await bench.head.requeue_jobs(ANN, [job_id], NO_ID)
    with pytest.raises(HpcError) as denied:
        await bench.head.release_jobs(ANN, [job_id], NO_ID)
    await bench.node("n2")
    other = await bench.submit()
    await bench.until_state(other, "Finished")

    broken.kinds = ()
    await bench.head.release_jobs(ROOT, [job_id], NO_ID)
    await bench.until_state(job_id, "Finished")

    assert seen == "Running"
    assert "set aside after a fault of the head in TakeReports" in told
    assert f"hpc job release {job_id}" in told
    assert refused.value.reason == "JOB_QUARANTINED"
    assert denied.value.reason == "PERMISSION_DENIED"
    assert "set aside" not in await why(bench, job_id)
    assert not _entries(bench)
    bench.check_at_rest()


async def test_f8_its_reports_are_acknowledged_when_they_are_kept_and_not_before(
    bench: Bench, broken: Broken
) -> None:
    job_id = await set_aside(bench, broken)
    await bench.until(lambda: _is(lambda: not bench.agents["n1"].journal))

    assert _entries(bench)
    await bench.crash()
    broken.kinds = ()
    await bench.crash()  # the start of a head is another try

    await bench.until_state(job_id, "Finished")
    assert not _entries(bench)
    bench.check_at_rest()


async def test_f8_what_faults_again_is_set_aside_again_and_still_not_lost(
    bench: Bench, broken: Broken
) -> None:
    job_id = await set_aside(bench, broken)

    for _ in range(3):
        await bench.head.release_jobs(ROOT, [job_id], NO_ID)
        await bench.clock.advance(5)
        assert job_id in bench.world.apart
        assert _entries(bench), "acknowledged to the node, and no longer in the store"
    broken.kinds = ()
    await bench.head.release_jobs(ROOT, [job_id], NO_ID)

    await bench.until_state(job_id, "Finished")
    assert not _entries(bench)
    bench.check_at_rest()


async def test_f8_it_can_be_canceled_which_stops_what_runs_of_it(
    bench: Bench, broken: Broken
) -> None:
    agent = await bench.node()
    agent.plan = lambda key: (1000.0, 0)
    job_id = await bench.submit()
    broken.job_id, broken.kinds = job_id, (TakeReports,)
    await bench.until(lambda: _is(lambda: job_id in bench.world.apart))
    assert agent.live

    await bench.head.cancel_jobs(ANN, [job_id], Stop(force=True), NO_ID)
    await bench.until(lambda: _is(lambda: not agent.live))
    seen = await bench.state(job_id)
    broken.kinds = ()
    await bench.head.release_jobs(ROOT, [job_id], NO_ID)
    await bench.until_state(job_id, "Canceled")
    await bench.head.forget_jobs(ANN, [job_id], NO_ID)
    await settle()

    assert seen == "Canceling"
    assert not len(bench.world.apart)
    assert not _entries(bench)


@pytest.mark.parametrize("kind", [LoseNode, SyncNode])
async def test_f8_what_it_missed_of_its_nodes_it_hears_when_it_goes_on(
    kind: type, bench: Bench, broken: Broken
) -> None:
    agent = await bench.node()
    agent.plan = lambda key: (1000.0, 0)
    job_id = await bench.submit()
    await bench.until_state(job_id, "Running")
    await bench.clock.advance(5)
    broken.job_id, broken.kinds = job_id, (kind,)
    agent.cut()
    if kind is LoseNode:
        await bench.until(lambda: _is(lambda: job_id in bench.world.apart), 300)
    agent.reboot()
    await agent.connect()
    await bench.clock.advance(30)
    assert job_id in bench.world.apart
    assert await bench.state(job_id) == "Running"

    broken.kinds = ()
    agent.plan = lambda key: (1.0, 0)
    await bench.head.release_jobs(ROOT, [job_id], NO_ID)

    await bench.until_state(job_id, "Finished", 300)
    bench.check_at_rest()


async def test_f8_a_job_whose_wishes_are_a_fault_does_not_keep_the_head_from_starting(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim, other = await bench.submit_two()
    real = demand.demand_of

    def demand_of(job: Any, *more: Any) -> Any:
        if job.job_id == victim:
            raise ZeroDivisionError
        return real(job, *more)

    monkeypatch.setattr(acting, "demand_of", demand_of)
    await bench.crash()
    await bench.node()

    await bench.until_state(other, "Finished")
    assert "set aside" in await why(bench, victim)
    monkeypatch.setattr(acting, "demand_of", real)
    await bench.head.release_jobs(ROOT, [victim], NO_ID)
    await bench.until_state(victim, "Finished")


async def test_reports_for_it_are_bounded(
    bench: Bench, broken: Broken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "KEPT_LIMIT", 0)
    job_id = await set_aside(bench, broken)
    await bench.clock.advance(10)

    assert not _entries(bench)
    assert "QUEUE_FULL" in bench.agents["n1"].refusals
    assert bench.agents["n1"].journal, "acknowledged, and kept nowhere"
    broken.kinds = ()
    await bench.head.release_jobs(ROOT, [job_id], NO_ID)
    await bench.until_state(job_id, "Finished")


def test_a_kept_report_comes_back_as_it_was() -> None:
    columns: dict[str, Any] = {
        "instances": [1, 2],
        "attempts": [1, 1],
        "cores": [0, -1],
        "widths": [3],
        "sets": {1: (0, 2)},
    }
    reports: list[Report] = [
        Started(job_id=7, task_id=1, times=[1.5, 2.5], **columns),
        Ended(
            job_id=7,
            task_id=1,
            reasons=[1, 2],
            exit_codes=[0, 137],
            starts=[1.5, 0.0],
            ends=[2.5, 3.5],
            user_ms=[1, 2],
            kernel_ms=[3, 4],
            max_rss_kib=[5, 6],
            details={1: EndDetail("é", "why", "exec")},
            **columns,
        ),
    ]
    command = TakeReports(node_id=3, node="n3", reports=reports)

    assert apart._unpacked(apart._packed(command)) == command


def _entries(bench: Bench) -> list[Any]:
    kept = bench.store._state.entries
    return [key for key in kept if key[0] == apart.KIND]


async def test_f8_that_a_job_is_set_aside_is_seen_wherever_an_operator_looks(
    bench: Bench, broken: Broken
) -> None:
    job_id = await set_aside(bench, broken)
    other = await bench.submit()
    await bench.clock.advance(1)

    aside, plain = [await bench.job(one) for one in (job_id, other)]
    listed = {
        one.job_id: one.set_aside for one in await bench.head.list_jobs(ANN, JobQuery())
    }
    info = await bench.head.cluster(ANN)
    broken.kinds = ()
    await bench.head.release_jobs(ROOT, [job_id], NO_ID)
    await bench.until_state(job_id, "Finished")
    await bench.until_state(other, "Finished")
    told = [
        (event.name, event.message)
        for event in await bench.events()
        if event.job_id == job_id
    ]
    after = await bench.head.cluster(ANN)

    assert "after a fault of the head in TakeReports: incident " in aside.set_aside
    assert not plain.set_aside
    assert listed == {job_id: aside.set_aside, other: ""}
    assert (info.jobs_set_aside, after.jobs_set_aside) == (1, 0)
    incident = aside.set_aside.rpartition(" ")[2]
    assert ("JobSetAside", aside.set_aside) in told
    assert ("JobGoesOn", f"after incident {incident}") in told
    assert [name for name, _ in told].count("JobSetAside") == 1
    bench.check_at_rest()


async def test_f8_a_canceled_job_that_is_set_aside_says_why_it_stays_canceling(
    bench: Bench, broken: Broken
) -> None:
    agent = await bench.node()
    agent.plan = lambda key: (1000.0, 0)
    job_id = await bench.submit()
    broken.job_id, broken.kinds = job_id, (TakeReports,)
    await bench.until(lambda: _is(lambda: job_id in bench.world.apart))
    before = await why(bench, job_id)

    await bench.head.cancel_jobs(ANN, [job_id], Stop(force=True), NO_ID)
    await bench.until(lambda: _is(lambda: not agent.live))
    await bench.clock.advance(600)

    told = "it was told to end, and does not before it goes on"
    assert told not in before
    assert await bench.state(job_id) == "Canceling"
    assert told in await why(bench, job_id)
    assert f"hpc job release {job_id}" in await why(bench, job_id)


async def test_f8_a_note_that_is_a_fault_itself_is_not_said_again_and_again(
    bench: Bench, broken: Broken
) -> None:
    await bench.node()
    job_id = await bench.submit(a_sweep(4))
    broken.job_id, broken.kinds = job_id, (TakeReports, NoteAside)
    await bench.until(lambda: _is(lambda: job_id in bench.world.apart))
    count = broken.count
    await bench.clock.advance(100)

    assert broken.count <= count + 1
    broken.kinds = ()
    await bench.head.release_jobs(ROOT, [job_id], NO_ID)
    await bench.until_state(job_id, "Finished")


async def test_f8_a_kept_report_that_a_full_disk_refuses_is_given_again(
    bench: Bench, broken: Broken, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await set_aside(bench, broken)
    real = bench.world.jobs.tell
    refused: list[int] = []

    def tell(to: int, command: Any, reply: Any) -> None:
        if isinstance(command, TakeReports) and not refused:
            refused.append(to)
            reply(None, HpcError("QUEUE_FULL", what="calls"))
        else:
            real(to, command, reply)

    monkeypatch.setattr(bench.world.jobs, "tell", tell)
    broken.kinds = ()
    await bench.head.release_jobs(ROOT, [job_id], NO_ID)
    await bench.until_state(job_id, "Finished")

    assert refused == [job_id]
    assert _entries(bench)
    await bench.clock.advance(apart.AGAIN_S + 1)
    assert not _entries(bench)
