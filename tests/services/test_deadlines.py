"""Calls and streams end: at a deadline, with their token, when nobody reads."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from hpcsched.api.v1 import job_service_pb2 as pb
from hpcsched.api.v1 import watch_service_pb2 as watch_pb
from hpcsched.core.views import OutputPiece
from hpcsched.runtime.front import WatchItem
from hpcsched.services.limits import (
    ABORT_DEADLINE_S,
    DEFAULT_DEADLINE_S,
    REAUTHENTICATE_S,
    WRITE_DEADLINE_S,
)
from tests.support.fake_front import USER, FakeFront, token_row
from tests.support.manual_clock import ManualClock
from tests.support.polling import wait_for_async
from tests.support.served import drain, no_timer_is_left, refusal, rpc_error

ASK = pb.ReadOutputRequest(job_id=1, task=pb.TaskRef(task_id=2))


async def never(**_: object) -> None:
    await asyncio.Event().wait()


async def called(front: FakeFront, times: int = 1) -> None:
    await wait_for_async(lambda: len(front.calls) == times, what="the call")


async def test_a_unary_call_without_a_deadline_gets_one(
    jobs: Any, front: FakeFront, clock: ManualClock
) -> None:
    front.answers["get_job"] = never
    call = jobs.GetJob(pb.GetJobRequest(job_id=1), timeout=None)
    ended = asyncio.ensure_future(rpc_error(call))
    await called(front)

    await clock.advance(DEFAULT_DEADLINE_S - 1)
    assert not call.done()
    await clock.advance(1.5)

    assert (await ended).code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await no_timer_is_left(clock)


async def test_a_call_with_a_deadline_keeps_its_own(
    jobs: Any, front: FakeFront, clock: ManualClock
) -> None:
    front.answers["get_job"] = never
    call = jobs.GetJob(pb.GetJobRequest(job_id=1), timeout=60)
    await called(front)

    assert clock.waiting == ()
    call.cancel()


async def test_a_revoked_token_ends_its_open_streams(
    watches: Any, front: FakeFront, clock: ManualClock
) -> None:
    front.answers["watch"] = [WatchItem(seq=1), ...]
    stream = watches.Watch(watch_pb.WatchRequest())
    messages = aiter(stream)
    await anext(messages)
    await clock.advance(REAUTHENTICATE_S + 1)
    assert not stream.done(), "a valid token keeps its stream"

    del front.tokens[USER]
    ended = asyncio.ensure_future(refusal(drain(messages)))
    await clock.advance(REAUTHENTICATE_S + 1)

    assert (await ended).reason == "UNAUTHENTICATED"
    await asyncio.wait_for(front.stream_ended.wait(), 60)
    await no_timer_is_left(clock)


async def test_tokens_of_streams_are_looked_at_often_enough() -> None:
    assert REAUTHENTICATE_S <= 60, "the promise: a token is revocable within 60 s"


async def test_another_token_of_the_same_user_is_left_alone(
    watches: Any, front: FakeFront, clock: ManualClock
) -> None:
    front.tokens["other"] = token_row("ann", "user")
    front.answers["watch"] = [WatchItem(seq=1), ...]
    stream = watches.Watch(watch_pb.WatchRequest())
    await stream.read()

    del front.tokens["other"]
    await clock.advance(3 * REAUTHENTICATE_S)

    assert not stream.done()
    stream.cancel()


async def test_a_reader_that_takes_nothing_is_let_go(
    jobs: Any, front: FakeFront, clock: ManualClock
) -> None:
    sent = 0

    def pieces() -> Any:
        nonlocal sent
        while True:
            sent += 1
            yield OutputPiece(offset=0, data=bytes(60_000))

    front.answers["read_output"] = pieces()
    stream = jobs.ReadOutput(ASK, timeout=60)
    await called(front)
    await wait_for_async(lambda: sent, until=Parked(), what="a parked write")

    await clock.advance(WRITE_DEADLINE_S + 1)
    await asyncio.wait_for(front.stream_ended.wait(), 60)
    await clock.advance(ABORT_DEADLINE_S + 1)

    with_what = await asyncio.wait_for(refusal(drain(stream)), 60)
    assert with_what.reason in {"QUEUE_FULL", "HEAD_UNREACHABLE"}
    await no_timer_is_left(clock)


class Parked:
    """Says that a number that only grows no longer does."""

    def __init__(self) -> None:
        self._last = -1
        self._times = 0

    def __call__(self, number: int) -> bool:
        self._times = self._times + 1 if number == self._last else 0
        self._last = number
        return number > 0 and self._times >= 4
