"""Parameters, tokens, and what is deleted in time."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.orders import StopTasks
from hpcsched.runtime.cleaning import RETRY_S
from hpcsched.runtime.front import Stop
from hpcsched.store.errors import StoreFullError
from tests.support.head_bench import ANN, BOB, NO_ID, ROOT, a_job, a_sweep, a_task, once
from tests.support.manual_clock import settle

if TYPE_CHECKING:
    from hpcsched.runtime.front import Request
    from tests.support.head_bench import Bench

DAY = 86400.0


async def put(bench: Bench, **values: str) -> None:
    await bench.head.set_parameters(ROOT, values, NO_ID)


async def test_parameters_are_validated_all_or_none(bench: Bench) -> None:
    for values, reason in (
        ({"TaskRetryCount": "5", "JobRetryCount": "-1"}, "PARAMETER_INVALID"),
        ({"TaskRetryCount": "5", "Nonsense": ""}, "PARAMETER_NOT_FOUND"),
        ({"TaskRetryCount": "5", "taskretrycount": "6"}, "PARAMETER_INVALID"),
        ({"TaskRetryCount": "5", "No sense": "1"}, "PARAMETER_INVALID"),
        ({"Nonsense": "x" * 1025}, "PARAMETER_INVALID"),
        ({"Nonsense": "two\nlines"}, "PARAMETER_INVALID"),
        ({}, "REQUIRED_FIELD"),
    ):
        with pytest.raises(HpcError) as refusal:
            await bench.head.set_parameters(ROOT, values, NO_ID)
        assert refusal.value.reason == reason
    ((_, value, default, _),) = await bench.head.parameters(ANN, ["taskretrycount"])
    assert (value, default) == ("3", "3")
    with pytest.raises(HpcError, match="may not"):
        await bench.head.set_parameters(ANN, {"TaskRetryCount": "5"}, NO_ID)


async def test_parameters_survive_the_head_and_an_empty_text_is_the_default(
    bench: Bench,
) -> None:
    await put(bench, taskretrycount="7", JobRetryCount="9")
    await put(bench, JobRetryCount="")
    await bench.crash()

    assert bench.world.settings.task_retries == 7
    assert bench.world.settings.job_retries == 3


async def test_the_grace_period_is_obeyed_at_once(bench: Bench) -> None:
    agent = await bench.node()
    agent.plan = lambda _: None
    job_id = await bench.submit()
    await bench.clock.advance(1)
    await put(bench, TaskCancelGracePeriod="3")
    await bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID)
    await settle()

    (stop,) = [o for o in agent.orders if isinstance(o, StopTasks)]
    assert stop.grace_ms == 3000


async def test_the_number_of_retries_is_obeyed_at_once(bench: Bench) -> None:
    agent = await bench.node()
    agent.plan = lambda _: None
    job_id = await bench.submit()
    await bench.clock.advance(1)
    await put(bench, TaskRetryCount="1")
    for _ in range(2):
        agent.reboot()
        await agent.connect()
        await bench.clock.advance(1)

    assert await bench.state(job_id) == "Failed"
    assert len(agent.starts) == 2


async def test_growth_begins_when_it_is_allowed(bench: Bench) -> None:
    await put(bench, AutomaticGrowthEnabled="False")
    first = await bench.node("n1", 1)
    first.plan = lambda _: (5.0, 0)
    job_id = await bench.submit(a_sweep(10))
    await bench.clock.advance(1)
    second = await bench.node("n2", 4)
    second.plan = first.plan
    await bench.clock.advance(1)
    assert not second.live

    await put(bench, AutomaticGrowthEnabled="True")
    await settle()

    assert len(second.live) == 4
    await bench.until_state(job_id, "Finished")


async def test_users_are_kept_out_when_they_are_not_allowed(bench: Bench) -> None:
    await put(bench, AllowNewUserConnections="False")
    with pytest.raises(HpcError) as refusal:
        await bench.submit()
    assert refusal.value.reason == "PERMISSION_DENIED"

    assert await bench.submit(caller=ROOT)
    assert not bench.head.admits(ANN)
    assert bench.head.admits(ROOT)
    await put(bench, AllowNewUserConnections="True")
    assert bench.head.admits(ANN)


async def test_a_token_is_worth_its_user_until_it_ends(bench: Bench) -> None:
    row, secret = await bench.head.create_token(ROOT, "ann", "user", 100.0)
    found = bench.head.authenticate(secret)
    assert found is not None
    assert (found.user, found.role) == ("ann", "user")
    assert bench.head.authenticate(secret + "x") is None
    await bench.crash()
    assert bench.head.authenticate(secret) == row

    await bench.clock.advance(101)

    assert bench.head.authenticate(secret) is None


async def test_a_revoked_token_is_worth_nothing_for_ever(bench: Bench) -> None:
    row, secret = await bench.head.create_token(ROOT, "ann", "user", None)
    with pytest.raises(HpcError) as refusal:
        await bench.head.revoke_tokens(ROOT, [row.token_id, "nobody's"])
    assert refusal.value.reason == "TOKEN_NOT_FOUND"
    assert bench.head.authenticate(secret) is not None

    await bench.head.revoke_tokens(ROOT, [row.token_id])

    assert bench.head.authenticate(secret) is None
    await bench.crash()
    assert bench.head.authenticate(secret) is None
    assert await bench.head.list_tokens(ROOT) == []


async def test_a_repeated_request_makes_no_second_token_and_voids_the_lost_secret(
    bench: Bench,
) -> None:
    asked = (ROOT, "ann", "user", 100.0, once("r1"))
    row, lost = await bench.head.create_token(*asked)
    await bench.crash()

    again, secret = await bench.head.create_token(*asked)

    assert again.token_id == row.token_id
    assert bench.head.authenticate(lost) is None
    assert bench.head.authenticate(secret) == again
    await bench.crash()
    assert bench.head.authenticate(lost) is None
    assert bench.head.authenticate(secret) == again
    assert len(await bench.head.list_tokens(ROOT)) == 1


async def test_a_repeated_request_does_not_bring_a_revoked_token_back(
    bench: Bench,
) -> None:
    asked = (ROOT, "ann", "user", None, once("r1"))
    row, _ = await bench.head.create_token(*asked)
    await bench.head.revoke_tokens(ROOT, [row.token_id])

    with pytest.raises(HpcError) as refusal:
        await bench.head.create_token(*asked)

    assert refusal.value.reason == "TOKEN_NOT_FOUND"
    assert await bench.head.list_tokens(ROOT) == []


async def test_a_secret_of_a_file_is_adopted_once(bench: Bench) -> None:
    first = await bench.head.adopt_token("root", "administrator", "from a file")
    await bench.crash()
    again = await bench.head.adopt_token("root", "administrator", "from a file")

    assert again == first
    assert bench.head.authenticate("from a file") == first
    assert len(await bench.head.list_tokens(ROOT)) == 1


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"role": "king"}, "INVALID_FIELD"),
        ({"user": ""}, "REQUIRED_FIELD"),
        ({"user": "x" * 81}, "TEXT_TOO_LONG"),
        ({"lifetime_s": 0.0}, "OUT_OF_RANGE"),
    ],
)
async def test_a_token_that_cannot_be_is_refused(
    bench: Bench, fields: dict[str, Any], reason: str
) -> None:
    whole = {"user": "ann", "role": "user", "lifetime_s": None, **fields}
    with pytest.raises(HpcError) as refusal:
        await bench.head.create_token(ROOT, **whole)

    assert refusal.value.reason == reason


async def test_tokens_are_the_administrators_business(bench: Bench) -> None:
    for call in (
        bench.head.create_token(ANN, "ann", "user", None),
        bench.head.list_tokens(ANN),
        bench.head.revoke_tokens(ANN, ["x"]),
    ):
        with pytest.raises(HpcError) as refusal:
            await call
        assert refusal.value.reason == "PERMISSION_DENIED"


async def ended(bench: Bench) -> int:
    job_id = await bench.submit()
    await bench.until_state(job_id, "Finished")
    return job_id


async def test_ended_jobs_are_deleted_after_five_days_with_their_output(
    bench: Bench,
) -> None:
    agent = await bench.node()
    old = await ended(bench)
    bench.clock.jump_wall(DAY)
    young = await ended(bench)
    bench.clock.jump_wall(4.2 * DAY)
    await bench.head.clean_up()
    await settle()

    with pytest.raises(HpcError, match="not found"):
        await bench.job(old)
    assert await bench.state(young) == "Finished"
    assert agent.purged_jobs == [old]
    assert bench.world.feed.floor > 0


async def test_the_purge_comes_by_itself_once_a_day_at_the_hour(
    bench: Bench,
) -> None:
    await bench.node()
    await ended(bench)
    await put(bench, TTLCompletedJobs="1", JobCleanupHour="4")
    agent = bench.agents["n1"]
    agent.retry = None
    agent.cut()
    hours = 0
    while not bench.store._state.floor_seq:
        bench.clock.jump_wall(3600 - 60)
        await bench.clock.advance(60)
        hours += 1
        assert hours < 60

    assert hours >= 23
    assert datetime.fromtimestamp(bench.clock.wall()).astimezone().hour == 4


async def test_a_job_that_was_queued_again_is_not_deleted(bench: Bench) -> None:
    old = await bench.submit()
    await bench.head.cancel_jobs(ANN, [old], Stop(), NO_ID)
    bench.clock.jump_wall(6 * DAY)
    bench.store.hold()
    requeue = bench.begin(bench.head.requeue_jobs(ANN, [old], NO_ID))
    await settle()  # it asks for the job's parents first
    purge = bench.begin(bench.head.clean_up())
    await settle()
    bench.store.release()
    await requeue
    await purge

    assert await bench.state(old) == "Queued"


async def test_a_job_cannot_be_queued_again_while_it_is_deleted(bench: Bench) -> None:
    job_id = await bench.submit()
    await bench.head.cancel_jobs(ANN, [job_id], Stop(), NO_ID)
    bench.store.hold()
    forget = bench.begin(bench.head.forget_jobs(ANN, [job_id], NO_ID))
    await settle()
    requeue = bench.begin(bench.head.requeue_jobs(ANN, [job_id], NO_ID))
    await settle()
    bench.store.release()
    await forget

    with pytest.raises(HpcError, match="not found"):
        await requeue


async def test_only_ended_jobs_of_ones_own_can_be_forgotten(bench: Bench) -> None:
    job_id = await bench.submit()
    with pytest.raises(HpcError, match="forget is not possible"):
        await bench.head.forget_jobs(ANN, [job_id], NO_ID)
    with pytest.raises(HpcError, match="may not"):
        await bench.head.forget_jobs(BOB, [job_id], NO_ID)


async def test_request_ids_are_forgotten_after_a_day(bench: Bench) -> None:
    job_id = await bench.submit()
    await bench.head.add_tasks(ANN, job_id, [a_task()], once("a"), submit=True)
    bench.clock.jump_wall(1.01 * DAY)
    await bench.head.clean_up()

    ids = await bench.head.add_tasks(ANN, job_id, [a_task()], once("a"), submit=True)

    assert list(ids) == [3]


@pytest.mark.parametrize("submitted", [True, False])
async def test_a_repeated_submission_is_answered_though_it_would_be_refused_by_now(
    bench: Bench, submitted: bool
) -> None:
    new = a_job(hold_until=bench.clock.wall() + 5)

    async def make(request: Request) -> int:
        if submitted:
            ids = await bench.head.submit_jobs(ANN, [new], request, validate_only=False)
            return ids[0]
        return (
            await bench.head.create_job(ANN, new, request, validate_only=False)
        ).job_id

    first = await make(once("a"))
    await bench.crash()
    await bench.clock.advance(10)

    assert await make(once("a")) == first
    with pytest.raises(HpcError, match="not in the future"):
        await make(once("b"))


async def test_a_purge_that_a_full_disk_refuses_waits_and_is_no_fault(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.clock.jump_wall(6 * DAY)
    bench.store.fail_next(StoreFullError("full"))
    bench.clock.jump_wall(DAY)
    await bench.clock.advance(120)

    told = [one for one in caplog.records if "purge" in one.getMessage()]
    assert [one.levelname for one in told] == ["WARNING"]
    assert not told[0].exc_info


async def test_old_answers_that_a_full_disk_keeps_are_no_fault_either(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(before: float) -> None:
        raise StoreFullError("full")

    monkeypatch.setattr(bench.store, "forget_requests", refuse)
    bench.clock.jump_wall(DAY)
    await bench.clock.advance(120)

    told = [one for one in caplog.records if "purge" in one.getMessage()]
    assert [one.levelname for one in told] == ["WARNING"]
    assert not told[0].exc_info


async def test_a_purge_that_fails_does_not_end_the_head(bench: Bench) -> None:
    agent = await bench.node()
    await ended(bench)
    agent.retry = None
    agent.cut()
    bench.clock.jump_wall(6 * DAY)
    bench.store.fail_next(StoreFullError("full"))
    bench.clock.jump_wall(DAY)
    await bench.clock.advance(120)
    assert not bench.store._failures, "it was tried"
    assert bench._run is not None
    assert not bench._run.done()
    await bench.clock.advance(RETRY_S + 120)

    with pytest.raises(HpcError, match="not found"):
        await bench.job(1)
