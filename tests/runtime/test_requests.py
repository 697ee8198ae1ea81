"""Request ids: the same answer and one effect, whatever is repeated (P2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.caller import Caller
from hpcsched.runtime.front import Request, Stop
from tests.support.head_bench import (
    ANN,
    BOB,
    NO_ID,
    ROOT,
    a_job,
    a_sweep,
    a_task,
    once,
)
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.head_bench import Bench


async def submit(
    bench: Bench, request: Request, caller: Caller = ANN, count: int = 1
) -> Sequence[int]:
    new = [a_job() for _ in range(count)]
    return await bench.head.submit_jobs(caller, new, request, validate_only=False)


async def test_a_repeated_submission_gives_the_same_job(bench: Bench) -> None:
    first = await submit(bench, once("a"), count=3)
    again = await submit(bench, once("a"), count=3)

    assert list(again) == list(first)
    assert len(bench.world.jobs) == 3


async def test_a_repetition_that_comes_while_the_first_is_under_way_waits_for_it(
    bench: Bench,
) -> None:
    bench.store.hold()
    calls = [bench.begin(submit(bench, once("a"))) for _ in range(3)]
    await settle()
    assert not any(call.done() for call in calls)
    bench.store.release()

    assert [list(await call) for call in calls] == [[1], [1], [1]]


async def test_another_request_with_the_same_id_is_refused(bench: Bench) -> None:
    await submit(bench, once("a", b"one"))

    with pytest.raises(HpcError) as refusal:
        await submit(bench, once("a", b"two"))

    assert refusal.value.reason == "REQUEST_ID_REUSED"


async def test_another_request_with_the_id_of_one_under_way_is_refused(
    bench: Bench,
) -> None:
    bench.store.hold()
    first = bench.begin(submit(bench, once("a", b"one")))
    await settle()

    with pytest.raises(HpcError) as refusal:
        await submit(bench, once("a", b"two"))

    assert refusal.value.reason == "REQUEST_ID_REUSED"
    bench.store.release()
    assert list(await first) == [1]


async def test_ids_of_different_users_do_not_meet(bench: Bench) -> None:
    ours = await submit(bench, once("a"))
    theirs = await submit(bench, once("a"), BOB)

    assert list(ours) != list(theirs)


async def test_the_answer_outlives_the_head(bench: Bench) -> None:
    first = await submit(bench, once("a"))
    await bench.crash()

    assert list(await submit(bench, once("a"))) == list(first)
    with pytest.raises(HpcError):
        await submit(bench, once("a", b"other"))


async def test_who_goes_away_and_asks_again_at_once_gets_the_first_answer(
    bench: Bench,
) -> None:
    bench.store.hold()
    call = bench.begin(submit(bench, once("a")))
    await settle()
    call.cancel()
    again = bench.begin(submit(bench, once("a")))
    await settle()
    bench.store.release()

    assert list(await again) == [1]
    assert len(bench.world.jobs) == 1


async def test_an_id_that_is_too_long_is_refused_with_its_limit(bench: Bench) -> None:
    with pytest.raises(HpcError, match="37 characters; the limit is 36"):
        await submit(bench, once("x" * 37))


async def test_tasks_are_added_once_however_often_it_is_asked(bench: Bench) -> None:
    job_id = await bench.submit()

    async def add() -> Sequence[int]:
        return await bench.head.add_tasks(
            ANN, job_id, [a_sweep(3), a_task()], once("a"), submit=True
        )

    first = list(await add())
    await bench.crash()

    assert list(await add()) == first == [2, 3]


async def test_a_plural_call_that_broke_half_way_goes_on_where_it_was(
    bench: Bench,
) -> None:
    ids = [await bench.submit() for _ in range(3)]

    async def cancel() -> object:
        return await bench.head.cancel_jobs(ANN, ids, Stop(message="m"), once("a"))

    # The first is a commit of its own; those behind it are committed together.
    bench.store.crash_at = bench.store.transactions + 1
    call = bench.begin(cancel())
    await settle()
    assert bench.store.crashed
    assert not call.done()
    await bench.crash()
    assert [await bench.state(i) for i in ids] == ["Canceled", "Queued", "Queued"]

    await cancel()

    assert {await bench.state(i) for i in ids} == {"Canceled"}
    events = [e for e in await bench.events() if e.name == "JobCancelRequested"]
    assert len(events) == 3


async def test_a_plural_call_stops_at_the_first_refusal_and_says_how_far_it_came(
    bench: Bench,
) -> None:
    ids = [await bench.submit() for _ in range(3)]
    await bench.head.cancel_jobs(ANN, [ids[1]], Stop(), NO_ID)

    with pytest.raises(HpcError) as refusal:
        await bench.head.cancel_jobs(ANN, ids, Stop(), once("a"))

    assert refusal.value.reason == "INVALID_CANCEL_JOB_STATE"
    assert refusal.value.facts["done"] == "1"
    assert [await bench.state(i) for i in ids] == ["Canceled", "Canceled", "Queued"]


async def test_a_refusal_half_way_is_told_again(bench: Bench) -> None:
    job_id = await bench.submit(a_task(), a_task())
    await bench.head.cancel_tasks(ANN, job_id, [(2, 0)], Stop(), NO_ID)

    async def cancel() -> object:
        return await bench.head.cancel_tasks(
            ANN, job_id, [(1, 0), (2, 0)], Stop(), once("a")
        )

    told = []
    for _ in range(2):
        with pytest.raises(HpcError) as refusal:
            await cancel()
        told.append((refusal.value.reason, str(refusal.value)))
        await bench.crash()

    assert told[0] == told[1]
    assert told[0][0] == "INVALID_CANCEL_TASK_STATE"


async def test_a_job_is_forgotten_once_and_the_repetition_is_no_error(
    bench: Bench,
) -> None:
    job_id = await bench.submit()
    await bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID)
    for _ in range(2):
        await bench.head.forget_jobs(ANN, [job_id], once("a"))
        await bench.crash()

    with pytest.raises(HpcError, match="not found"):
        await bench.job(job_id)


async def test_a_clone_is_made_once_even_if_the_original_is_forgotten_meanwhile(
    bench: Bench,
) -> None:
    job_id = await bench.submit()
    await bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID)
    first = await bench.head.clone_job(ANN, job_id, once("a"))
    await bench.head.forget_jobs(ANN, [job_id], NO_ID)

    again = await bench.head.clone_job(ANN, job_id, once("a"))

    assert again.job_id == first.job_id


async def test_nodes_and_parameters_are_changed_once(bench: Bench) -> None:
    await bench.node()
    for _ in range(2):
        await bench.head.offline_nodes(
            ROOT, ["n1"], once("off"), drain=False, reason="r"
        )
        await bench.head.set_parameters(ROOT, {"TTLCompletedJobs": "7"}, once("set"))
    names = [e.name for e in await bench.events()]

    assert names.count("NodeOffline") == 1


async def test_a_batch_is_submitted_whole_or_not_at_all(bench: Bench) -> None:
    good, bad = a_job(), a_job(requested_nodes=("nowhere",))

    with pytest.raises(HpcError) as refusal:
        await bench.head.submit_jobs(
            ANN, [good, good, bad], once("a"), validate_only=False
        )

    assert refusal.value.facts["field"] == "specs[2].requested_nodes"
    assert len(bench.world.jobs) == 0
    assert await bench.events() == []
    assert await bench.submit() == 1, "no number was used up"


async def test_a_batch_that_the_crash_cuts_short_is_there_whole_or_not_at_all(
    bench: Bench,
) -> None:
    for written in (False, True):
        bench.store.crash_at = bench.store.transactions + 1
        bench.store.written = written
        bench.begin(submit(bench, once("a"), count=5))
        await settle()
        assert bench.store.crashed
        await bench.crash()
        assert len(bench.world.jobs) == (5 if written else 0)

    assert len(await submit(bench, once("a"), count=5)) == 5
    assert len(bench.world.jobs) == 5


async def test_numbers_are_never_given_out_twice(bench: Bench) -> None:
    first = await bench.submit()
    await bench.head.cancel_jobs(ANN, [first], Stop(), NO_ID)
    await bench.head.forget_jobs(ANN, [first], NO_ID)
    await bench.crash()

    assert await bench.submit() == first + 1


async def test_validating_only_makes_nothing(bench: Bench) -> None:
    assert (
        list(await bench.head.submit_jobs(ANN, [a_job()], NO_ID, validate_only=True))
        == []
    )
    view = await bench.head.create_job(ANN, a_job(), NO_ID, validate_only=True)

    assert view.job_id == 0
    assert len(bench.world.jobs) == 0
    assert await bench.submit() == 1


async def test_what_is_done_to_many_jobs_is_committed_together(bench: Bench) -> None:
    ids = [await bench.submit() for _ in range(200)]
    before = bench.store.transactions

    await bench.head.cancel_jobs(ANN, ids, Stop(), once("a"))

    assert {await bench.state(i) for i in ids} == {"Canceled"}
    assert bench.store.transactions - before <= 20


async def test_a_refusal_among_many_stops_what_is_behind_it(bench: Bench) -> None:
    ids = [await bench.submit() for _ in range(100)]
    await bench.head.cancel_jobs(ANN, [ids[60]], Stop(), NO_ID)

    with pytest.raises(HpcError) as refusal:
        await bench.head.cancel_jobs(ANN, ids, Stop(), once("a"))

    assert refusal.value.facts["done"] == "60"
    states = [await bench.state(i) for i in ids]
    assert states == ["Canceled"] * 61 + ["Queued"] * 39


async def test_a_job_with_mail_of_its_own_is_waited_for_in_its_turn(
    bench: Bench,
) -> None:
    ids = [await bench.submit() for _ in range(5)]
    # It is being canceled by somebody else at the same time: one of the two is refused.
    other = bench.begin(bench.head.cancel_jobs(ANN, [ids[2]], Stop(), NO_ID))
    call = bench.begin(bench.head.cancel_jobs(ANN, ids, Stop(), once("a")))
    await settle()

    assert other.exception() is None
    error = call.exception()
    assert isinstance(error, HpcError)
    assert error.facts["done"] == "2"
    assert await bench.state(ids[3]) == "Queued"


async def test_a_repeated_call_leaves_other_mail_of_its_job_alone(
    bench: Bench,
) -> None:
    job_id = await bench.submit(a_task(), a_task(), a_task())

    async def cancel(task: int, name: str) -> object:
        keys = [(task, 0)]
        return await bench.head.cancel_tasks(ANN, job_id, keys, Stop(), once(name))

    await cancel(1, "a")
    repeated = bench.begin(cancel(1, "a"))
    other = bench.begin(cancel(2, "b"))
    await settle()

    assert repeated.exception() is None
    assert other.exception() is None
