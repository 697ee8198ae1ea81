"""What every store promises of the state that it keeps (store.base)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from hpcsched.store.base import Delta, NodeRow, TaskOutput, TokenRow
from hpcsched.store.errors import (
    DuplicateRequestError,
)
from tests.support.store_kit import (
    a_delta,
    a_node_event,
    a_request,
    a_row,
    an_ended_row,
    settle,
)

if TYPE_CHECKING:
    from tests.support.store_kit import StoreKit


async def test_dropping_a_table_comes_before_the_chunks_of_the_same_delta(
    kit: StoreKit,
) -> None:
    old = {(1, 0): b"a", (1, 1): b"b", (2, 0): b"c"}
    await kit.commit(a_delta(1, 1, chunks=old))
    await kit.commit(a_delta(1, 2, drop_tables=(1,), chunks={(1, 0): b"new"}))

    job = await kit.store.load_job(1)
    assert job is not None
    assert dict(job.chunks) == {(1, 0): b"new", (2, 0): b"c"}


async def test_dropping_a_table_reaches_what_is_queued_before_it(kit: StoreKit) -> None:
    first = asyncio.get_running_loop().create_future()
    kit.store.commit(a_delta(1, 1, chunks={(1, 0): b"a", (1, 1): b"b"}), settle(first))
    await kit.commit(a_delta(1, 2, drop_tables=(1,), chunks={(1, 1): b"c"}))
    await first

    job = await kit.store.load_job(1)
    assert job is not None
    assert dict(job.chunks) == {(1, 1): b"c"}


async def test_labels_are_written_with_the_first_event_and_with_the_specification(
    kit: StoreKit,
) -> None:
    def labels(number: int) -> dict[str, str]:
        return {"run": str(number), f"only {number}": "x"}

    await kit.commit(a_delta(1, 1, job=a_row(1, labels=labels(1))))
    await kit.commit(a_delta(1, 2, job=a_row(1, labels=labels(2))))
    job = await kit.store.load_job(1)
    assert job is not None
    assert dict(job.row.labels) == labels(1)

    edited = a_delta(1, 3, job=a_row(1, labels=labels(3)), specs={0: b"spec"})
    await kit.commit(edited)
    job = await kit.store.load_job(1)
    assert job is not None
    assert dict(job.row.labels) == labels(3)


async def test_only_jobs_that_are_not_terminal_are_loaded_at_the_start(
    kit: StoreKit,
) -> None:
    deltas = [
        a_delta(n, specs={0: b"%d" % n}, chunks={(1, 0): b"%d" % n})
        if n % 3
        else a_delta(n, job=an_ended_row(n, 5.0), specs={0: b"old"})
        for n in range(1, 2501)
    ]
    await kit.commit_together(*deltas)

    jobs = list(await kit.store.load_active())
    assert [job.row.job_id for job in jobs] == [n for n in range(1, 2501) if n % 3]
    for job in jobs:
        text = b"%d" % job.row.job_id
        assert dict(job.specs) == {0: text}
        assert dict(job.chunks) == {(1, 0): text}


async def test_the_cluster_is_loaded_as_it_was_left(kit: StoreKit) -> None:
    token = TokenRow(
        token_id="t1",  # noqa: S106 - a name
        digest=b"d",
        user="ada",
        role="user",
        create_time=1.0,
        expire_time=None,
    )
    gone = TokenRow(
        token_id="t2",  # noqa: S106 - a name
        digest=b"e",
        user="bob",
        role="node",
        create_time=1.0,
        expire_time=9.5,
    )
    nodes = [NodeRow(node_id=n, name=f"n{n}", blob=b"1") for n in (2, 1)]
    await kit.commit(
        Delta(
            nodes=nodes,
            tokens=(token, gone),
            parameters={"A": "1", "B": "2"},
            counters={"job": 7, "term": 2**40},
            events=(a_node_event(),),
        )
    )
    changed = NodeRow(node_id=1, name="n1", blob=b"2")
    await kit.commit(
        Delta(
            nodes=(changed,),
            revoked_tokens=("t2", "never"),
            parameters={"A": None, "B": "3", "C": None},
            counters={"job": 8},
        )
    )
    await kit.reopen()

    cluster = await kit.store.load_cluster()
    assert list(cluster.nodes) == [changed, nodes[0]]
    assert list(cluster.tokens) == [token]
    assert dict(cluster.parameters) == {"B": "3"}
    assert dict(cluster.counters) == {"job": 8, "term": 2**40}
    assert (cluster.last_seq, cluster.floor_seq) == (1, 0)


async def test_what_is_defined_is_kept_by_kind_and_name_until_it_is_deleted(
    kit: StoreKit,
) -> None:
    one, two, other = ("group", "a"), ("group", "b"), ("pool", "a")
    await kit.commit(Delta(entries={one: b"1", two: b"2", other: b""}))
    await kit.commit(Delta(entries={one: b"3", two: None, ("group", "never"): None}))
    await kit.reopen()

    cluster = await kit.store.load_cluster()
    assert dict(cluster.entries) == {one: b"3", other: b""}


async def test_the_output_of_a_later_attempt_replaces_the_earlier(
    kit: StoreKit,
) -> None:
    def output(attempt: int) -> TaskOutput:
        return TaskOutput(
            task_id=2, instance_id=3, attempt=attempt, text=f"try {attempt}\x00ü"
        )

    await kit.commit(a_delta(1, 1, outputs=(output(1),)))
    await kit.commit(a_delta(1, 2, outputs=(output(2),)))

    assert await kit.store.read_output(1, 2, 3) == output(2)
    assert await kit.store.read_output(1, 2, 4) is None


async def test_a_request_id_is_answered_once_for_each_principal(kit: StoreKit) -> None:
    row = a_request("r1")
    other = a_request("r1", principal="bob", answer=b"b")
    await kit.commit(a_delta(1, 1, requests=(row, other)))

    with pytest.raises(DuplicateRequestError):
        await kit.commit(a_delta(2, 1, requests=(a_request("r1", answer=b"x"),)))
    assert await kit.store.load_job(2) is None
    assert await kit.store.find_request("ada", "r1") == row
    assert await kit.store.find_request("bob", "r1") == other
    assert await kit.store.find_request("ada", "r2") is None


async def test_answers_to_requests_are_dropped_by_their_time(kit: StoreKit) -> None:
    rows = tuple(a_request(f"r{n}", time=float(n)) for n in range(2500))
    await kit.commit(Delta(requests=rows))
    await kit.store.forget_requests(2400.0)

    assert await kit.store.find_request("ada", "r2399") is None
    assert await kit.store.find_request("ada", "r2400") == rows[2400]
    await kit.commit(Delta(requests=(a_request("r5"),)))  # free again


async def test_a_purged_job_leaves_no_trace_and_raises_the_floor(kit: StoreKit) -> None:
    output = TaskOutput(task_id=1, instance_id=1, attempt=1, text="out")
    full = a_delta(
        1,
        1,
        job=an_ended_row(1, 5.0, labels={"a": "b"}),
        specs={0: b"s"},
        chunks={(1, 0): b"c"},
        notes={1: b"n"},
        outputs=(output,),
    )
    await kit.commit_together(full, a_delta(2, 1), a_delta(1, 2, job=full.job))
    await kit.commit(a_delta(2, 2))
    await kit.commit(Delta(purge_job=1))

    assert await kit.store.load_job(1) is None
    assert await kit.store.read_output(1, 1, 1) is None
    assert [e.seq for e in await kit.store.read_events(0, 10)] == [2, 4]
    assert list(await kit.store.read_events(0, 10, 1)) == []
    assert await kit.store.floor() == 3
    assert list(await kit.store.expired_jobs(100.0, 10)) == []


async def test_a_number_is_not_given_twice_when_the_newest_event_was_purged(
    kit: StoreKit,
) -> None:
    await kit.commit(a_delta(1, 1))
    await kit.commit(a_delta(2, 1, job=an_ended_row(2, 5.0)))
    await kit.commit(Delta(purge_job=2))
    await kit.reopen()

    cluster = await kit.store.load_cluster()
    assert (cluster.last_seq, cluster.floor_seq) == (2, 2)
    assert await kit.commit(a_delta(1, 2)) == 3


async def test_purging_a_job_that_there_is_not_changes_nothing(kit: StoreKit) -> None:
    await kit.commit(a_delta(1))
    await kit.commit(Delta(purge_job=9))

    assert await kit.store.floor() == 0
    assert len(await kit.store.read_events(0, 10)) == 1


async def test_jobs_expire_in_the_order_of_their_ends(kit: StoreKit) -> None:
    for job_id, end_time in ((1, 30.0), (2, 10.0), (3, 20.0), (4, 40.0)):
        await kit.commit(a_delta(job_id, job=an_ended_row(job_id, end_time)))
    await kit.commit(a_delta(5, job=a_row(5, end_time=1.0)))  # runs again

    assert list(await kit.store.expired_jobs(40.0, 10)) == [2, 3, 1]
    assert list(await kit.store.expired_jobs(40.0, 2)) == [2, 3]


async def test_jobs_are_counted_by_state(kit: StoreKit) -> None:
    for job_id, state in ((1, 5), (2, 5), (3, 7)):
        await kit.commit(a_delta(job_id, job=a_row(job_id, state=state)))

    assert dict(await kit.store.job_counts()) == {5: 2, 7: 1}


async def test_children_are_found_by_their_parent_and_follow_every_edit(
    kit: StoreKit,
) -> None:
    assert not await kit.store.has_families()
    await kit.commit(a_delta(1, 1))
    await kit.commit(a_delta(3, 1, parents=(1,)))
    await kit.commit(a_delta(2, 1, parents=(1, 1)))
    assert await kit.store.has_families()
    assert list(await kit.store.children(1, 10)) == [2, 3]
    assert list(await kit.store.children(1, 1)) == [2]

    await kit.commit(a_delta(3, 2, parents=(2,)))
    await kit.commit(Delta(purge_job=2))

    assert list(await kit.store.children(1, 10)) == []
    assert list(await kit.store.children(2, 10)) == [3]
