"""The activation filter (J9, lifecycle.md 3.2, D8): what each answer leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.core.job.states import PendingReason
from hpcsched.runtime.activation import RETRY_S
from hpcsched.runtime.filter_program import FilterOutcome
from hpcsched.runtime.front import Stop
from tests.support.fake_filters import FakePrograms, exits, kit, rewrites
from tests.support.head_bench import ANN, NO_ID, ROOT, Bench, a_sweep, a_task
from tests.support.manual_clock import settle
from tests.support.polling import wait_for_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.manual_clock import ManualClock
    from tests.support.seeded_ids import SeededIds


@pytest.fixture
def programs() -> FakePrograms:
    return FakePrograms()


@pytest.fixture
async def bench(
    clock: ManualClock, ids: SeededIds, programs: FakePrograms
) -> AsyncIterator[Bench]:
    async with Bench(clock, ids, filters=kit(programs)) as made:
        await set_filter(made, "/filter")
        yield made


async def set_filter(bench: Bench, program: str) -> None:
    values = {"ActivationFilterProgram": program}
    await bench.head.set_parameters(ROOT, values, NO_ID)


async def why(bench: Bench, job_id: int) -> tuple[str, str]:
    reason, lines = await bench.head.explain(ANN, job_id, None)
    return reason, "\n".join(lines)


async def test_a_job_starts_when_the_filter_says_0(
    bench: Bench, programs: FakePrograms
) -> None:
    await bench.node()
    job_id = await bench.submit()

    await bench.until_state(job_id, "Finished")

    assert programs.jobs == [job_id]
    assert programs.calls[0].timeout_s == 15
    assert b'State="Queued"' in programs.calls[0].document()
    bench.check_at_rest()


async def test_cores_are_booked_while_the_filter_runs_and_free_when_it_refuses(
    bench: Bench, programs: FakePrograms
) -> None:
    await bench.node(cores=2)
    programs.open.clear()
    programs.answers = [exits(9, "no licence"), exits(0)]
    job_id = await bench.submit(a_sweep(2))
    await settle()

    assert await bench.state(job_id) == "Queued"
    assert bench.world.scheduler.cores_in_use(1) == 2
    assert (await why(bench, job_id))[0] == "ActivationFilter"
    programs.open.set()
    await settle()

    assert bench.world.scheduler.cores_in_use(1) == 0
    reason, text = await why(bench, job_id)
    assert reason == "ActivationFilter"
    assert "no licence" in text
    assert (await bench.job(job_id)).pending_reason is PendingReason.ACTIVATION_FILTER
    await bench.clock.advance(RETRY_S + 1)
    await bench.until_state(job_id, "Finished")
    assert programs.jobs == [job_id, job_id]
    bench.check_at_rest()


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (exits(5), "the activation filter: exit code 5"),
        (
            FilterOutcome(timed_out=True, problem="it was killed after 15 s"),
            "the activation filter did not answer: it was killed after 15 s",
        ),
        (
            FilterOutcome(problem="there is no file /filter"),
            "could not be run (-2147213989): there is no file /filter",
        ),
    ],
)
async def test_whatever_is_no_answer_starts_nothing_and_is_asked_again(
    bench: Bench, programs: FakePrograms, outcome: FilterOutcome, text: str
) -> None:
    await bench.node()
    programs.answers = [outcome, exits(0)]
    job_id = await bench.submit()
    await settle()

    assert await bench.state(job_id) == "Queued"
    said = (await why(bench, job_id))[1]
    assert text in said
    assert "free" not in said, "there are cores enough"
    await bench.clock.advance(RETRY_S + 1)
    await bench.until_state(job_id, "Finished")


async def test_a_job_that_is_not_started_lets_others_go_first(
    bench: Bench, programs: FakePrograms
) -> None:
    await bench.node(cores=1)
    programs.answers = [exits(7), exits(0)]
    first, second = await bench.submit_two()

    await bench.until_state(second, "Finished", seconds=RETRY_S / 2)

    assert await bench.state(first) == "Queued"


async def test_exit_code_1_blocks_the_queue_until_the_next_pass(
    bench: Bench, programs: FakePrograms
) -> None:
    await bench.node(cores=4)
    programs.answers = [exits(1, "wait"), exits(0)]
    first, second = await bench.submit_two()
    await bench.clock.advance(RETRY_S - 1)

    assert [await bench.state(n) for n in (first, second)] == ["Queued", "Queued"]
    assert programs.jobs == [first]
    await bench.clock.advance(2)
    await bench.until_state(second, "Finished")
    assert programs.jobs == [first, first, second]


async def test_exit_code_2_keeps_the_cores_for_the_job_and_lets_others_run(
    bench: Bench, programs: FakePrograms
) -> None:
    agent = await bench.node(cores=3)
    agent.plan = lambda _: None
    programs.answers = [exits(2), exits(0)]
    first = await bench.submit(a_sweep(2), min_cores=2, max_cores=2)
    second = await bench.submit(a_sweep(3), min_cores=1)
    await settle()

    assert await bench.state(first) == "Queued"
    assert await bench.state(second) == "Running"
    assert bench.world.scheduler.cores_in_use(1) == 3
    assert (await bench.job(second)).allocated_cores == 1
    assert (await why(bench, first))[0] == "ActivationFilter"
    await bench.clock.advance(RETRY_S + 1)
    assert await bench.state(first) == "Running"
    assert (await bench.job(first)).allocated_cores == 2


async def test_what_was_reserved_is_free_when_the_job_is_canceled(
    bench: Bench, programs: FakePrograms
) -> None:
    await bench.node(cores=2)
    programs.answers = [exits(2)]
    job_id = await bench.submit(a_sweep(2))
    await settle()
    assert bench.world.scheduler.cores_in_use(1) == 2

    await bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID)
    await settle()

    bench.check_at_rest()


async def test_what_was_reserved_on_a_node_that_has_gone_is_not_given(
    bench: Bench, programs: FakePrograms
) -> None:
    await bench.node("n1", cores=2)
    programs.answers = [exits(2), exits(0)]
    job_id = await bench.submit(a_sweep(2))
    await settle()
    await bench.head.offline_nodes(ROOT, ["n1"], NO_ID, drain=False, reason="")
    await bench.clock.advance(RETRY_S + 1)

    assert await bench.state(job_id) == "Queued"
    await bench.node("n2", cores=2)
    await bench.until_state(job_id, "Finished")


@pytest.mark.parametrize("said", [False, True])
async def test_exit_code_3_holds_the_job_for_a_time(
    bench: Bench, programs: FakePrograms, *, said: bool
) -> None:
    await bench.node()
    now = bench.clock.wall()
    hold = exits(3, "come back later")
    programs.answers = [hold, exits(0)]
    if said:
        mark = '<Job HoldUntil="2027-01-15T08:30:00Z"'
        programs.answers = [rewrites(3, "<Job", mark), exits(0)]
    job_id = await bench.submit()
    actor = bench.world.jobs.get(job_id)
    # Its XML is read in a thread.
    await wait_for_async(lambda: actor.job.held_by and not actor.committing)

    job = actor.job
    assert job.held_by is PendingReason.HELD_BY_ACTIVATION_FILTER
    assert job.hold_until == now + (1800 if said else 900)
    _, why = await bench.head.explain(ANN, job_id, None)
    assert why[0].startswith("the activation filter holds it until 20")
    assert said or why[1:] == ["come back later"]
    await bench.crash()
    await bench.clock.advance(job.hold_until - bench.clock.wall() - 1)
    assert await bench.state(job_id) == "Queued"
    assert len(programs.calls) == 1
    await bench.clock.advance(2)
    await bench.until_state(job_id, "Finished")


async def test_exit_code_4_fails_the_job(bench: Bench, programs: FakePrograms) -> None:
    await bench.node()
    programs.answers = [exits(4, "never")]
    job_id = await bench.submit(a_task(), a_sweep(2))
    await settle()

    job = await bench.job(job_id)
    assert (job.state.label, job.error_code) == ("Failed", -2147218966)
    assert job.error_message == "never"
    assert (await bench.task(job_id)).state.label == "Canceled"
    bench.check_at_rest()


async def test_a_running_job_is_asked_about_before_it_grows(
    bench: Bench, programs: FakePrograms
) -> None:
    agent = await bench.node(cores=1)
    agent.plan = lambda _: None
    job_id = await bench.submit(a_sweep(4))
    await settle()
    programs.answers = [exits(4), exits(0)]

    other = await bench.node("n2", cores=1)
    other.plan = lambda _: None
    await settle()

    job = await bench.job(job_id)
    assert (job.state.label, job.allocated_cores) == ("Running", 1)
    assert programs.jobs == [job_id, job_id]
    await bench.clock.advance(901)
    assert (await bench.job(job_id)).allocated_cores == 2


async def test_a_cancel_while_the_filter_runs_kills_it(
    bench: Bench, programs: FakePrograms
) -> None:
    await bench.node()
    programs.open.clear()
    job_id = await bench.submit()
    await settle()

    await bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID)
    await settle()

    assert programs.killed == 1
    bench.check_at_rest()
    programs.open.set()
    other = await bench.submit()
    await bench.until_state(other, "Finished")


async def test_one_question_at_a_time_in_queue_order(
    bench: Bench, programs: FakePrograms
) -> None:
    await bench.node(cores=4)
    programs.open.clear()
    first, second = await bench.submit_two()
    await settle()

    assert programs.running == 1
    programs.open.set()
    await bench.until_state(second, "Finished")
    assert programs.jobs == [first, second]


async def test_when_the_filter_is_taken_away_what_was_kept_back_starts(
    bench: Bench, programs: FakePrograms
) -> None:
    await bench.node(cores=4)
    programs.answers = [exits(2), exits(7), exits(0)]
    ids = await bench.submit_two()
    await settle()
    assert [await bench.state(n) for n in ids] == ["Queued", "Queued"]

    await set_filter(bench, "")

    for job_id in ids:
        await bench.until_state(job_id, "Finished", seconds=1)
    bench.check_at_rest()


async def test_commands_are_never_asked_about(
    bench: Bench, programs: FakePrograms
) -> None:
    await bench.node()
    task: Any = a_task()

    job = await bench.head.create_command(ROOT, ["n1"], task, NO_ID)

    await bench.until_state(job.job_id, "Finished")
    assert not programs.calls
