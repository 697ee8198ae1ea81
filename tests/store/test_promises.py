"""What every store promises (store.base)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from hpcsched.store.base import Delta
from hpcsched.store.errors import (
    DuplicateRequestError,
    InvalidDeltaError,
    StaleRevisionError,
    StoreClosedError,
)
from tests.support.store_kit import (
    a_delta,
    a_node_event,
    a_request,
    a_row,
    an_event,
    settle,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.store_kit import StoreKit


async def test_events_are_numbered_from_one_without_gaps_in_the_order_of_the_calls(
    kit: StoreKit,
) -> None:
    told: list[int] = []
    last = asyncio.get_running_loop().create_future()
    for job_id in range(1, 301):
        events = (an_event(job_id, 1), an_event(job_id, 2))
        delta = Delta(events=events, job=a_row(job_id))
        kit.store.commit(delta, lambda seq, error: told.append(seq))
    kit.store.commit(Delta(counters={"end": 1}), settle(last))
    await last

    assert told == list(range(1, 601, 2))
    stored = await kit.store.read_events(0, 1000)
    assert [(e.seq, e.job_id, e.revision) for e in stored] == [
        (2 * job_id + part, job_id, part + 2)
        for job_id in range(1, 301)
        for part in (-1, 0)
    ]


async def test_a_commit_never_answers_before_it_returns(kit: StoreKit) -> None:
    answer = asyncio.get_running_loop().create_future()
    kit.store.commit(a_delta(), settle(answer))

    assert not answer.done()
    assert await answer == 1


async def test_what_was_answered_is_seen_by_readers(kit: StoreKit) -> None:
    for revision in range(1, 51):
        seq = await kit.commit(a_delta(1, revision))

        events = await kit.store.read_events(seq - 1, 10)
        assert [e.revision for e in events] == [revision]


async def test_what_was_answered_is_there_after_a_restart(kit: StoreKit) -> None:
    delta = a_delta(
        7,
        specs={0: b"job", 2: b"task"},
        chunks={(2, 0): b"zero", (2, 1): b"one"},
        notes={4: b"note"},
        job=a_row(7, labels={"team": "red"}, submit_time=2.25),
    )
    await kit.commit(delta)
    await kit.reopen()

    job = await kit.store.load_job(7)
    assert job is not None
    assert job.row == delta.job
    assert job.revision == 1
    assert dict(job.specs) == {0: b"job", 2: b"task"}
    assert dict(job.chunks) == {(2, 0): b"zero", (2, 1): b"one"}
    assert dict(job.notes) == {4: b"note"}
    assert await kit.commit(a_delta(7, 2)) == 2


async def test_a_delta_without_events_is_answered_with_nought(kit: StoreKit) -> None:
    assert await kit.commit(Delta(counters={"job": 5})) == 0
    assert await kit.commit(a_delta()) == 1


async def test_events_of_nodes_and_of_jobs_share_one_sequence(kit: StoreKit) -> None:
    await kit.commit(Delta(events=(a_node_event(),)))
    await kit.commit(a_delta(3))
    await kit.commit(Delta(events=(a_node_event(), a_node_event())))

    events = await kit.store.read_events(0, 10)
    assert [(e.seq, e.job_id) for e in events] == [(1, 0), (2, 3), (3, 0), (4, 0)]


async def test_events_are_read_above_a_number_up_to_a_limit_of_one_job_or_of_all(
    kit: StoreKit,
) -> None:
    for revision in range(1, 6):
        await kit.commit_together(a_delta(1, revision), a_delta(2, revision))

    some = await kit.store.read_events(3, 4)
    assert [e.seq for e in some] == [4, 5, 6, 7]
    of_job = await kit.store.read_events(3, 2, 1)
    assert [(e.seq, e.job_id) for e in of_job] == [(5, 1), (7, 1)]
    assert list(await kit.store.read_events(10, 5)) == []


async def test_more_events_than_a_store_reads_at_once_come_complete(
    kit: StoreKit,
) -> None:
    events = tuple(an_event(1, n) for n in range(1, 5002))
    await kit.commit(Delta(events=events, job=a_row()))

    found = await kit.store.read_events(0, 5000, 1)
    assert [e.seq for e in found] == list(range(1, 5001))


async def test_events_that_do_not_follow_the_kept_revision_are_refused_without_trace(
    kit: StoreKit,
) -> None:
    await kit.commit(a_delta(1, 1))

    for wrong in (1, 3):
        bad = a_delta(1, wrong, counters={"x": 1}, requests=(a_request(),))
        with pytest.raises(StaleRevisionError):
            await kit.commit(bad)
    with pytest.raises(StaleRevisionError):
        await kit.commit(Delta(events=(an_event(9, 4),), job=a_row(9)))
    with pytest.raises(StaleRevisionError):
        await kit.commit(Delta(events=(an_event(9, 1),)))

    assert [e.seq for e in await kit.store.read_events(0, 10)] == [1]
    assert await kit.store.load_job(9) is None
    assert (await kit.store.load_cluster()).counters == {}
    assert await kit.store.find_request("ada", "r1") is None
    assert await kit.commit(a_delta(1, 2)) == 2  # no gap


async def test_an_event_without_its_row_moves_the_job_on(kit: StoreKit) -> None:
    await kit.commit(a_delta(1, 1))
    await kit.commit(Delta(events=(an_event(1, 2),)))

    job = await kit.store.load_job(1)
    assert job is not None
    assert job.revision == 2
    assert await kit.commit(a_delta(1, 3)) == 3


async def test_a_row_without_an_event_leaves_the_revision(kit: StoreKit) -> None:
    await kit.commit(a_delta(1, 1))
    await kit.commit(Delta(job=a_row(1, name="new")))

    job = await kit.store.load_job(1)
    assert job is not None
    assert (job.revision, job.row.name) == (1, "new")
    assert await kit.commit(a_delta(1, 2)) == 2


@pytest.mark.parametrize(
    "delta",
    [
        Delta(events=(an_event(1, 1), an_event(1, 3)), job=a_row(1)),
        Delta(events=(an_event(1, 1), an_event(2, 2)), job=a_row(1)),
        Delta(events=(an_event(2, 1),), job=a_row(1)),
        Delta(events=(an_event(1, 0),), job=a_row(1)),
        Delta(specs={0: b"whose?"}),
    ],
    ids=["gap", "two jobs", "another job", "revision 0", "no job"],
)
async def test_a_delta_that_contradicts_itself_is_refused(
    kit: StoreKit, delta: Delta
) -> None:
    with pytest.raises(InvalidDeltaError):
        await kit.commit(delta)
    assert list(await kit.store.read_events(0, 10)) == []


async def test_one_bad_delta_does_not_fail_those_it_is_joined_with(
    kit: StoreKit,
) -> None:
    answers: list[tuple[int, type[BaseException] | None]] = []
    last = asyncio.get_running_loop().create_future()
    deltas = [
        a_delta(1, 1),
        a_delta(2, 5),  # stale
        a_delta(3, 1, requests=(a_request("same"),)),
        a_delta(4, 1, requests=(a_request("same"),)),  # answered just before
        a_delta(5, 1),
    ]

    def note(seq: int, error: BaseException | None) -> None:
        answers.append((seq, None if error is None else type(error)))

    for delta in deltas:
        kit.store.commit(delta, note)
    kit.store.commit(Delta(), settle(last))
    await last

    assert answers == [
        (1, None),
        (0, StaleRevisionError),
        (2, None),
        (0, DuplicateRequestError),
        (3, None),
    ]
    stored = await kit.store.read_events(0, 10)
    assert [(e.seq, e.job_id) for e in stored] == [(1, 1), (2, 3), (3, 5)]


async def test_deltas_committed_together_become_durable_together_or_not_at_all(
    kit: StoreKit,
) -> None:
    with pytest.raises(StaleRevisionError):
        await kit.commit_together(a_delta(1, 1), a_delta(2, 2), a_delta(3, 1))
    assert list(await kit.store.read_events(0, 10)) == []
    assert await kit.store.load_job(1) is None

    none = Delta(counters={"next": 4})
    assert list(await kit.commit_together(a_delta(1), none, a_delta(2))) == [1, 0, 2]


async def test_several_deltas_of_one_job_may_queue(kit: StoreKit) -> None:
    answers: list[asyncio.Future[int]] = []
    for revision in range(1, 21):
        answer = asyncio.get_running_loop().create_future()
        row = a_row(1, name=f"at {revision}")
        chunks = {(1, 0): b"%d" % revision}
        kit.store.commit(a_delta(1, revision, job=row, chunks=chunks), settle(answer))
        answers.append(answer)
    for answer in answers:
        await answer

    job = await kit.store.load_job(1)
    assert job is not None
    assert (job.revision, job.row.name) == (20, "at 20")
    assert dict(job.chunks) == {(1, 0): b"20"}


async def test_an_owner_that_fails_when_told_does_not_keep_others_from_it(
    kit: StoreKit, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(seq: int, error: BaseException | None) -> None:
        raise RuntimeError("mine")

    kit.store.commit(a_delta(1), fail)
    assert await kit.commit(a_delta(2)) == 2
    assert "an owner failed" in caplog.text


async def test_closing_writes_what_has_queued(kit: StoreKit) -> None:
    told: list[int] = []
    for job_id in range(1, 101):
        kit.store.commit(a_delta(job_id), lambda seq, error: told.append(seq))
    await kit.reopen()

    assert told == list(range(1, 101))
    assert len(await kit.store.read_events(0, 1000)) == 100


async def test_a_closed_store_refuses(kit: StoreKit) -> None:
    await kit.store.close()

    with pytest.raises(StoreClosedError):
        await kit.commit(a_delta(1))
    with pytest.raises(StoreClosedError):
        await kit.store.forget_requests(1.0)


async def test_answers_come_in_the_order_of_the_calls_of_either_kind(
    kit: StoreKit,
) -> None:
    order: list[int] = []

    def note(number: int) -> None:
        order.append(number)

    def together(seqs: Sequence[int], error: BaseException | None) -> None:
        note(seqs[-1])

    for number in range(0, 60, 3):
        job_id = number + 1
        kit.store.commit(a_delta(job_id), lambda seq, error: note(seq))
        kit.store.commit_together([a_delta(job_id + 1), a_delta(job_id + 2)], together)
    await kit.commit(Delta())

    assert order == [n for k in range(0, 60, 3) for n in (k + 1, k + 3)]
