"""Streams of events and of output on the wire."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hpcsched.api.v1 import job_service_pb2
from hpcsched.api.v1 import watch_service_pb2 as pb
from hpcsched.common.errors import HpcError
from hpcsched.core.job.states import JobState
from hpcsched.core.views import ChangeView, EventView, OutputPiece
from hpcsched.runtime.front import WatchItem
from hpcsched.services.cursors import decode_cursor, encode_cursor
from hpcsched.services.limits import (
    MAX_EVENTS_PER_MESSAGE,
    MAX_JOBS_PER_MESSAGE,
    MAX_OUTPUT_BYTES,
)
from tests.support.fake_front import FakeFront
from tests.support.served import drain, refusal
from tests.support.views import job_view


def event(seq: int) -> EventView:
    change = ChangeView(
        task_id=2, elements=((1, 64), (70, 70)), state=6, previous_state=5
    )
    return EventView(
        seq=seq,
        job_id=7,
        revision=seq,
        time=1.5,
        owner="ann",
        name="TasksStarted",
        actor="scheduler",
        changes=(change,),
        message="why",
    )


async def test_steps_of_a_watch_arrive_in_order_with_their_marks(
    watches: Any, front: FakeFront
) -> None:
    front.answers["watch"] = [
        WatchItem(seq=2, events=(event(1), event(2))),
        WatchItem(seq=2, caught_up=True),
        WatchItem(seq=3, events=(event(3),)),
        WatchItem(seq=9, bookmark=True),
    ]

    got = await drain(watches.Watch(pb.WatchRequest()))

    assert [len(one.events) for one in got] == [2, 0, 1, 0]
    assert [decode_cursor(one.cursor) for one in got] == [2, 2, 3, 9]
    assert [one.caught_up for one in got] == [False, True, False, False]
    assert [one.bookmark for one in got] == [False, False, False, True]
    first = got[0].events[0]
    assert (decode_cursor(first.cursor), first.job_id, first.revision) == (1, 7, 1)
    assert (first.name, first.actor, first.message) == (
        "TasksStarted",
        "scheduler",
        "why",
    )
    assert first.time.ToMilliseconds() == 1500
    (change,) = first.changes
    assert (change.task_id, change.elements) == (2, "1-64,70")
    assert (change.state, change.previous_state) == (6, 5)


async def test_an_event_of_a_node_tells_its_states(
    watches: Any, front: FakeFront
) -> None:
    node = EventView(
        seq=1,
        job_id=0,
        revision=0,
        time=1.0,
        owner="",
        name="NodeChanged",
        actor="root",
        node="n1",
        node_state=(3, 1),
        node_reachable=False,
    )
    front.answers["watch"] = [WatchItem(seq=1, events=(node, event(2)))]

    (got,) = await drain(watches.Watch(pb.WatchRequest()))

    change = got.events[0].node_change
    assert (change.node, change.state, change.previous_state) == ("n1", 3, 1)
    assert not change.reachable
    assert not got.events[1].HasField("node_change")


async def test_the_filter_reaches_the_front_door(
    watches: Any, front: FakeFront
) -> None:
    wanted = pb.WatchFilter(job_ids=[4, 5], owner="ann", jobs_only=True, nodes=True)
    request = pb.WatchRequest(
        after=encode_cursor(41), filter=wanted, snapshot=True, backlog_only=True
    )

    await drain(watches.Watch(request))

    query = front.last["query"]
    assert (query.after, query.job_ids, query.owner) == (41, {4, 5}, "ann")
    assert query.jobs_only
    assert query.nodes
    assert query.snapshot
    assert query.backlog_only


@pytest.mark.parametrize(("after", "position"), [("", None), ("0", 0)])
async def test_a_watch_may_begin_now_or_at_the_oldest_event(
    after: str, position: int | None, watches: Any, front: FakeFront
) -> None:
    await drain(watches.Watch(pb.WatchRequest(after=after)))

    assert front.last["query"].after == position


@pytest.mark.parametrize(
    "cursor",
    [
        "1",
        "x",
        "e-5",
        "ü",
        " ",
        "a" * 90_000,
        encode_cursor(5) + "=",
        "mexgc",
        "\u0661",
    ],
)
async def test_a_cursor_that_was_never_given_out_is_refused(
    cursor: str, watches: Any, front: FakeFront
) -> None:
    for call in (
        watches.Watch(pb.WatchRequest(after=cursor)),
        watches.WatchJob(pb.WatchJobRequest(job_id=1, after=cursor)),
    ):
        assert (await refusal(drain(call))).reason == "CURSOR_UNKNOWN"
    assert not front.calls


async def test_positions_in_refusals_become_cursors(
    watches: Any, front: FakeFront
) -> None:
    front.answers["watch"] = [HpcError("CURSOR_EXPIRED", oldest_cursor=17)]

    error = await refusal(drain(watches.Watch(pb.WatchRequest(after="0"))))

    assert decode_cursor(error.facts["oldest_cursor"]) == 17


async def test_many_events_are_cut_into_messages_that_can_each_be_resumed_from(
    watches: Any, front: FakeFront
) -> None:
    many = tuple(event(seq) for seq in range(1, 2 * MAX_EVENTS_PER_MESSAGE + 3))
    item = WatchItem(seq=5000, events=many, caught_up=True)
    front.answers["watch"] = front.answers["watch_job"] = [item]

    for call in (
        watches.Watch(pb.WatchRequest()),
        watches.WatchJob(pb.WatchJobRequest(job_id=7)),
    ):
        got = await drain(call)

        assert [len(one.events) for one in got] == [
            MAX_EVENTS_PER_MESSAGE,
            MAX_EVENTS_PER_MESSAGE,
            2,
        ]
        assert [one.caught_up for one in got] == [False, False, True]
        assert [one.cursor for one in got[:2]] == [
            one.events[-1].cursor for one in got[:2]
        ]
        assert decode_cursor(got[-1].cursor) == 5000


async def test_a_part_of_a_snapshot_has_no_cursor(
    watches: Any, front: FakeFront
) -> None:
    views = tuple(job_view(job_id=n) for n in range(1, 2 * MAX_JOBS_PER_MESSAGE + 1))
    front.answers["watch"] = [WatchItem(seq=3, jobs=views, caught_up=True)]

    got = await drain(watches.Watch(pb.WatchRequest(snapshot=True)))

    assert [len(one.jobs) for one in got] == [MAX_JOBS_PER_MESSAGE] * 2 + [0]
    assert [one.cursor for one in got[:2]] == ["", ""]
    assert (decode_cursor(got[2].cursor), got[2].caught_up) == (3, True)


async def test_a_watch_of_a_job_tells_the_job_and_its_counts(
    watches: Any, front: FakeFront
) -> None:
    front.answers["watch_job"] = [
        WatchItem(seq=1, job=job_view(job_id=7, state=JobState.RUNNING), counts={6: 3})
    ]

    (got,) = await drain(watches.WatchJob(pb.WatchJobRequest(job_id=7, jobs_only=True)))

    assert (got.job.id, got.job.state) == (7, JobState.RUNNING)
    assert got.task_counts.total == 3
    assert front.last["jobs_only"]


async def test_a_watch_of_a_job_needs_the_job(watches: Any) -> None:
    error = await refusal(drain(watches.WatchJob(pb.WatchJobRequest())))

    assert (error.reason, error.facts) == ("REQUIRED_FIELD", {"field": "job_id"})


@pytest.mark.parametrize("method", ["watch", "watch_job", "read_output"])
async def test_a_client_that_goes_away_closes_the_generator_behind_its_stream(
    method: str, watches: Any, jobs: Any, front: FakeFront
) -> None:
    first = OutputPiece(offset=0, data=b"x") if method == "read_output" else None
    front.answers[method] = [first or WatchItem(seq=1), ...]
    calls: dict[str, Any] = {
        "watch": lambda: watches.Watch(pb.WatchRequest()),
        "watch_job": lambda: watches.WatchJob(pb.WatchJobRequest(job_id=1)),
        "read_output": lambda: jobs.ReadOutput(
            job_service_pb2.ReadOutputRequest(
                job_id=1, task=job_service_pb2.TaskRef(task_id=1)
            )
        ),
    }
    stream = calls[method]()
    await stream.read()

    stream.cancel()

    await asyncio.wait_for(front.stream_ended.wait(), 60)
    assert front.ended == [method]


async def test_output_is_cut_into_pieces_that_join_to_what_was_written(
    jobs: Any, front: FakeFront
) -> None:
    data = bytes(n % 251 for n in range(3 * MAX_OUTPUT_BYTES + 10))
    front.answers["read_output"] = [
        OutputPiece(offset=100, data=data),
        OutputPiece(offset=100 + len(data), data=b"", eof=True),
    ]
    request = job_service_pb2.ReadOutputRequest(
        job_id=1,
        task=job_service_pb2.TaskRef(task_id=2, instance_id=3),
        stream=job_service_pb2.OUTPUT_STREAM_STDERR,
        offset=100,
        follow=True,
        attempt=4,
    )

    got = await drain(jobs.ReadOutput(request))

    assert b"".join(one.data for one in got) == data
    assert max(len(one.data) for one in got) <= MAX_OUTPUT_BYTES
    offset = 100
    for one in got:
        assert one.offset == offset
        offset += len(one.data)
    assert [one.eof for one in got] == [False] * (len(got) - 1) + [True]
    asked = front.last
    assert (asked["job_id"], asked["task"], asked["offset"]) == (1, (2, 3), 100)
    assert (asked["stderr"], asked["follow"], asked["attempt"]) == (True, True, 4)
