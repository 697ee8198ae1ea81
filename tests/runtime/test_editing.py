"""Edits and holds in a head: durable, all or nothing, repeatable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.job.edits import TaskEdit
from hpcsched.core.job.spec import JobSpec
from hpcsched.core.job.states import PendingReason
from hpcsched.core.task.states import TaskType
from hpcsched.runtime.front import Edit
from hpcsched.store.base import JobQuery
from tests.support.head_bench import (
    ANN,
    NO_ID,
    ROOT,
    Bench,
    a_job,
    a_sweep,
    a_task,
    once,
)
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from hpcsched.core.task.spec import TaskSpec
    from tests.support.manual_clock import ManualClock
    from tests.support.seeded_ids import SeededIds


@pytest.fixture
def bench(clock: ManualClock, ids: SeededIds) -> Bench:
    return Bench(clock, ids)


async def draft(bench: Bench, *tasks: TaskSpec, **spec: Any) -> int:
    new = a_job(*tasks, **spec)
    view = await bench.head.create_job(ANN, new, NO_ID, validate_only=False)
    return view.job_id


async def test_an_edit_survives_the_head(bench: Bench) -> None:
    async with bench:
        job_id = await draft(bench, a_task(), a_sweep(2))
        changes = {"name": "new", "custom_properties": {"k": "v"}, "priority": 2500}
        await bench.head.modify_job(ANN, job_id, Edit(changes=changes), NO_ID)
        await bench.head.modify_task(ANN, job_id, 2, Edit(changes={"end": 5}), NO_ID)
        task = Edit(changes={"type": TaskType.PARAMETRIC_SWEEP, "end": 3})
        await bench.head.modify_task(ANN, job_id, 1, task, NO_ID)

        await bench.crash()
        await bench.node(cores=9)

        view = await bench.head.get_job(ANN, job_id, full=True)
        assert (view.name, view.priority) == ("new", 2500)
        assert sum(view.counts.values()) == 8
        query = JobQuery(labels={"k": "v"})
        assert [v.job_id for v in await bench.head.list_jobs(ANN, query)] == [job_id]
        await bench.head.submit_job(ANN, job_id, NO_ID)
        await bench.until_state(job_id, "Finished")
        bench.check_at_rest()


async def test_an_edit_that_was_not_committed_is_not_there(bench: Bench) -> None:
    async with bench:
        job_id = await draft(bench, a_sweep(2))
        bench.store.fail_next(OSError("full"))
        edit = Edit(changes={"end": 7})
        with pytest.raises(HpcError):
            await bench.head.modify_task(ANN, job_id, 1, edit, NO_ID)
        await bench.clock.advance(2)

        view = await bench.job(job_id)

        assert sum(view.counts.values()) == 2


async def test_a_repeated_edit_has_one_effect(bench: Bench) -> None:
    async with bench:
        job_id = await draft(bench)
        edit = Edit(changes={"name": "a"}, expected_revision=1)
        request = once("r1")
        await bench.head.modify_job(ANN, job_id, edit, request)

        edited = await bench.head.modify_job(ANN, job_id, edit, request)

        assert (edited.job.name, edited.job.revision) == ("a", 2)


def restored(name: str, *, task_id: int = 0, **changes: Any) -> TaskEdit:
    return TaskEdit(
        task_id=task_id,
        changes={"name": name, **changes},
        spec=a_task(name=name, **changes),
    )


async def test_what_a_file_made_of_a_job_survives_the_head(bench: Bench) -> None:
    async with bench:
        job_id = await draft(bench, a_task(name="a"), a_sweep(2))
        edits = (
            restored("a", type=TaskType.PARAMETRIC_SWEEP, end=3),
            restored("new", user_blob=b"secret"),
            restored("s", task_id=2, end=4),
            restored("more", min_cores=2),
        )
        edit = Edit(changes={"name": "file"}, tasks=edits)
        request = once("r1")
        edited = await bench.head.modify_job(ANN, job_id, edit, request)
        assert edited.task_ids == (1, 3, 2, 4)

        await bench.crash()
        await bench.node(cores=20)

        again = await bench.head.modify_job(ANN, job_id, edit, request)
        assert again.task_ids == (1, 3, 2, 4)
        view = await bench.head.get_job(ANN, job_id, full=True)
        assert (view.name, view.task_count) == ("file", 4)
        assert sum(view.counts.values()) == 9
        await bench.head.submit_job(ANN, job_id, NO_ID)
        await bench.until_state(job_id, "Finished")


async def test_a_check_of_an_edit_changes_nothing(bench: Bench) -> None:
    async with bench:
        job_id = await draft(bench, a_task(name="a"))
        good = Edit(changes={"name": "b"}, tasks=(restored("new"),))
        bad = Edit(changes={}, tasks=(restored("x"), restored("y", min_cores=0)))

        await bench.head.modify_job(ANN, job_id, good, NO_ID, validate_only=True)
        with pytest.raises(HpcError, match=r"tasks\[1\].spec.min_cores"):
            await bench.head.modify_job(ANN, job_id, bad, NO_ID, validate_only=True)
        with pytest.raises(HpcError, match=r"tasks\[1\].spec.min_cores"):
            await bench.head.modify_job(ANN, job_id, bad, NO_ID)

        view = await bench.head.get_job(ANN, job_id, full=False)
        assert (view.name, view.task_count, view.revision) == ("job", 1, 1)


async def test_an_edit_needs_something_to_change(bench: Bench) -> None:
    async with bench:
        job_id = await draft(bench)
        with pytest.raises(HpcError, match="fields is required"):
            await bench.head.modify_job(ANN, job_id, Edit(changes={}), NO_ID)


async def test_a_lower_limit_ends_a_running_job(bench: Bench) -> None:
    async with bench:
        agent = await bench.node()
        agent.plan = lambda _: None
        job_id = await bench.submit()
        await bench.until_state(job_id, "Running")
        await bench.clock.advance(20)

        edit = Edit(changes={"runtime": 40.0})
        await bench.head.modify_job(ANN, job_id, edit, NO_ID)
        await bench.clock.advance(10)
        assert await bench.state(job_id) == "Running"
        await bench.until_state(job_id, "Canceled", 40)


async def test_progress_is_computed_until_the_user_says_it(bench: Bench) -> None:
    async with bench:
        await bench.node(cores=1)
        job_id = await bench.submit(a_task(), a_task())
        edit = Edit(changes={"progress": 7, "progress_message": "slow"})
        await bench.head.modify_job(ANN, job_id, edit, NO_ID)
        await bench.until_state(job_id, "Finished")

        view = await bench.job(job_id)
        (listed,) = await bench.head.list_jobs(ANN, JobQuery())
        assert (view.progress, view.progress_message) == (7, "slow")
        assert (listed.progress, listed.progress_message) == (7, "slow")
        edit = Edit(changes={"progress": None})
        edited = await bench.head.modify_job(ANN, job_id, edit, NO_ID)
        assert edited.job.progress == 100


async def test_a_hold_ends_at_its_time_even_if_the_head_died_meanwhile(
    bench: Bench,
) -> None:
    async with bench:
        await bench.node()
        until = bench.clock.wall() + 60
        job_id = await bench.submit(hold_until=until)
        view = await bench.job(job_id)
        assert view.pending_reason is PendingReason.HELD_BY_USER
        assert view.hold_until == until
        (listed,) = await bench.head.list_jobs(ANN, JobQuery())
        assert listed.pending_reason is PendingReason.HELD_BY_USER
        assert listed.hold_until == until

        await bench.clock.advance(30)
        await bench.crash()
        await bench.clock.advance(25)
        assert await bench.state(job_id) == "Queued"
        await bench.clock.advance(10)

        assert await bench.state(job_id) != "Queued"
        view = await bench.job(job_id)
        assert view.hold_until is None
        assert 60 <= view.wait_s < 70


async def test_a_held_job_holds_back_nobody(bench: Bench) -> None:
    async with bench:
        held = await bench.submit(priority=4000)
        await bench.head.hold_jobs(ANN, [held], None, NO_ID)
        other = await bench.submit()
        await bench.node(cores=1)

        await bench.until_state(other, "Finished")

        assert await bench.state(held) == "Queued"
        await bench.head.release_jobs(ANN, [held], NO_ID)
        await bench.until_state(held, "Finished")


async def test_why_a_held_job_waits(bench: Bench) -> None:
    async with bench:
        job_id = await bench.submit()
        await bench.head.hold_jobs(ROOT, [job_id], None, NO_ID)

        why, lines = await bench.head.explain(ANN, job_id, None)

        assert why == "HeldByAdmin"
        assert lines == [
            f"an administrator holds it until one releases it: hpc job release {job_id}"
        ]


async def test_holding_several_stops_at_the_first_refusal(bench: Bench) -> None:
    async with bench:
        first = await bench.submit()
        second = await draft(bench)
        third = await bench.submit()

        with pytest.raises(HpcError) as refused:
            await bench.head.hold_jobs(ANN, [first, second, third], None, NO_ID)

        assert refused.value.facts["done"] == "1"
        held = [(await bench.job(n)).pending_reason for n in (first, third)]
        assert held[0] is PendingReason.HELD_BY_USER
        assert held[1] is not PendingReason.HELD_BY_USER


async def test_a_clone_takes_over_what_makes_the_job(bench: Bench) -> None:
    async with bench:
        await bench.node()
        parent = await bench.submit()
        spec: dict[str, Any] = {
            "name": "n",
            "project": "p",
            "priority": 2500,
            "environment": {"A": "b"},
            "custom_properties": {"k": "v"},
            "software_license": "a:1",
            "parent_job_ids": (parent,),
            "runtime": 60.0,
        }
        fresh: dict[str, Any] = {
            "can_preempt": True,
            "progress": 5,
            "progress_message": "m",
            "email_address": "a@b.c",
            "notify_on_start": True,
            "notify_on_completion": True,
            "excluded_nodes": ("n1",),
            "hold_until": bench.clock.wall() + 60,
        }
        job_id = await bench.submit(a_task(name="t"), a_sweep(3), **spec, **fresh)

        copy = await bench.head.clone_job(ROOT, job_id, NO_ID)

        view = await bench.head.get_job(ANN, copy.job_id, full=True)
        assert view.owner == "ann"
        assert view.state.label == "Configuring"
        assert {n: getattr(view.spec, n) for n in spec} == spec
        default = JobSpec()
        for name in fresh:
            assert getattr(view.spec, name) == getattr(default, name), name
        assert sum(view.counts.values()) == 4
        await settle()


async def test_excluding_an_unknown_node_is_refused_when_it_is_said(
    bench: Bench,
) -> None:
    edit = Edit(changes={"excluded_nodes": ("n9",)})
    async with bench:
        await bench.node()
        job_id = await draft(bench)
        with pytest.raises(HpcError) as changed:
            await bench.head.modify_job(ANN, job_id, edit, NO_ID)
        with pytest.raises(HpcError) as submitted:
            await bench.submit(excluded_nodes=("n9",))

    for refused in (changed, submitted):
        assert refused.value.reason == "EXCLUDED_NODE_UNKNOWN"
        assert refused.value.facts["field"] == "spec.excluded_nodes"
