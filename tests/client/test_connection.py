"""Calls that survive the weather: retries, addresses in turn, one deadline."""

from __future__ import annotations

import asyncio
import socket
from contextlib import aclosing, closing
from typing import TYPE_CHECKING

import grpc
import pytest

from hpcsched.api.v1 import job_pb2
from hpcsched.client import AsyncClient, Client, Patience, Target
from hpcsched.client.patience import Retries
from hpcsched.client.tasks import ref
from hpcsched.common.errors import HpcError
from hpcsched.rpc.addresses import parse_address
from hpcsched.rpc.channel import client_channel
from hpcsched.rpc.credentials import CredentialsError
from tests.support.fake_api import FakeApi
from tests.support.polling import PATIENCE_S, wait_for_async

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.manual_clock import ManualClock
    from tests.support.seeded_ids import SeededIds

#: Long enough for a busy machine; a test of what is given up has less.
PATIENT = Patience(call_s=PATIENCE_S, connect_s=PATIENCE_S)
HURRIED = Patience(call_s=PATIENCE_S, connect_s=0.3)
#: Enough to find a head that is there; less than what busy and broken calls take.
SOME = Patience(call_s=PATIENCE_S, connect_s=1.0)
TOKEN = "secret"  # noqa: S105 - of a fake
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with FakeApi() as api:
        yield api


def client_of(*addresses: str, patience: Patience = PATIENT) -> AsyncClient:
    target = Target(
        addresses=[parse_address(one, 7470) for one in addresses], token=TOKEN
    )
    return AsyncClient(target, patience=patience)


def dead_address() -> str:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{found.getsockname()[1]}"


async def test_a_call_that_got_no_answer_is_made_again_unchanged(api: FakeApi) -> None:
    api.faults["SubmitJobs"] += [UNAVAILABLE, HpcError("OUTCOME_UNKNOWN")]

    async with client_of(api.address) as client:
        assert list(await client.jobs.submit_all([job_pb2.JobSpec()])) == [1]

    first, *others = api.asked("SubmitJobs")
    assert len(first.request_id) == 36
    assert others == [first, first]


async def test_a_refusal_is_not_tried_again(api: FakeApi) -> None:
    async with client_of(api.address) as client:
        with pytest.raises(HpcError) as caught:
            await client.jobs.get(1)

    assert caught.value.reason == "JOB_NOT_FOUND"
    assert caught.value.facts["job_id"] == "1"
    assert len(api.asked("GetJob")) == 1


async def test_a_busy_head_is_asked_again_beyond_the_patience_with_a_silent_one(
    api: FakeApi,
) -> None:
    api.add_job()
    api.faults["GetJob"] += [HpcError("QUEUE_FULL", what="test")] * 3

    async with client_of(api.address, patience=SOME) as client:
        assert (await client.jobs.get(1)).id == 1


async def test_a_disk_that_is_full_is_told_at_once(api: FakeApi) -> None:
    api.faults["CreateJob"].append(HpcError("DISK_FULL"))

    async with client_of(api.address) as client:
        with pytest.raises(HpcError, match="disk is full"):
            await client.jobs.create(job_pb2.JobSpec())

    assert len(api.asked("CreateJob")) == 1


async def test_a_head_that_is_not_there_is_given_up_after_the_patience() -> None:
    async with client_of(dead_address(), patience=HURRIED) as client:
        with pytest.raises(HpcError) as caught:
            await client.jobs.get(1)

    assert caught.value.reason == "HEAD_UNREACHABLE"


async def test_a_head_that_accepts_and_says_nothing_is_given_up_as_well() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        async with client_of(address, patience=HURRIED) as client:
            with pytest.raises(HpcError) as caught:
                async with asyncio.timeout(PATIENCE_S):
                    await client.jobs.get(1)

    assert caught.value.reason == "HEAD_UNREACHABLE"


async def test_the_next_address_is_tried_at_once(api: FakeApi) -> None:
    api.add_job()

    async with client_of(dead_address(), dead_address(), api.address) as client:
        assert (await client.jobs.get(1)).id == 1


async def test_a_cancelled_call_stays_cancelled(api: FakeApi) -> None:
    api.add_job("RUNNING")

    async with client_of(api.address) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.jobs.wait(1)


async def test_a_wait_goes_on_when_the_head_was_reached_once(api: FakeApi) -> None:
    api.add_job("RUNNING")
    # Far more attempts than the patience with a silent head allows.
    api.faults["WaitJob"] += [UNAVAILABLE] * 5

    found = client_of(api.address, patience=SOME)
    async with found as client, asyncio.TaskGroup() as tasks:
        await client.jobs.get(1)
        wait = tasks.create_task(client.jobs.wait(1))
        await wait_for_async(lambda: len(api.asked("WaitJob")) > 4)
        api.end_job(1)

    assert wait.result().state == job_pb2.Job.STATE_FINISHED


async def test_a_watch_hands_out_every_event_once_over_broken_connections(
    api: FakeApi,
) -> None:
    for _ in range(6):
        api.add_job()
    api.drops["Watch"] = [2, 0, 3]
    cursors: list[str] = []
    marks = 0

    async with (
        client_of(api.address) as client,
        aclosing(client.watch(after="0")) as watch,
    ):
        async for message in watch:
            cursors += [event.cursor for event in message.events]
            marks += message.caught_up
            if message.caught_up:
                api.add_job()
            if len(cursors) == 7:
                break

    assert cursors == [f"c{n}" for n in range(1, 8)]
    assert marks == 1
    assert [call.after for call in api.asked("Watch")] == ["0", "c2", "c2", "c5"]


async def test_a_watch_from_now_on_resumes_behind_its_mark(api: FakeApi) -> None:
    api.add_job()
    api.drops["Watch"] = [1]

    async with client_of(api.address) as client, aclosing(client.watch()) as watch:
        first = await anext(watch)
        api.add_job()
        second = await anext(watch)

    assert (first.caught_up, list(first.events)) == (True, [])
    assert [event.cursor for event in second.events] == ["c2"]


async def test_output_is_handed_out_once_over_broken_connections(api: FakeApi) -> None:
    api.add_job()
    api.outputs[1, 1, 0, 1] = bytes(range(40))
    api.drops["ReadOutput"] = [3, 1, 0]

    async with client_of(api.address) as client:
        pieces = client.read_output(1, ref(1), follow=True)
        data = b"".join([piece.data async for piece in pieces])

    assert data == bytes(range(40))


async def test_every_call_carries_the_token(api: FakeApi) -> None:
    async with client_of(api.address) as client:
        await client.cluster.info()
        async with aclosing(client.watch()) as watch:
            await anext(watch)

    assert api.secrets == {TOKEN}


async def test_plain_text_is_never_spoken_beyond_loopback() -> None:
    with pytest.raises(CredentialsError):
        client_channel(parse_address("192.0.2.1", 7470), None)


def test_a_token_is_not_shown() -> None:
    assert TOKEN not in repr(Target.parse("h", token=TOKEN))


def test_the_pauses_grow_and_end_with_the_patience(
    clock: ManualClock, ids: SeededIds
) -> None:
    retries = Retries(Patience(), clock, ids, limit=60)
    refusal = HpcError("HEAD_UNREACHABLE", address="a", problem="b")
    pauses = []
    while (pause := retries.next_pause(refusal, heads=1)) is not None:
        pauses.append(pause)
        clock._mono += pause

    assert 8 < sum(pauses) < 10
    assert max(pauses) <= 2
    assert pauses[0] < 0.2 < pauses[-1]


def test_with_several_heads_the_first_pause_is_after_all_of_them(
    clock: ManualClock, ids: SeededIds
) -> None:
    retries = Retries(Patience(), clock, ids, limit=60)
    refusal = HpcError("HEAD_UNREACHABLE", address="a", problem="b")

    pauses = [retries.next_pause(refusal, heads=3) for _ in range(3)]

    assert pauses[:2] == [0, 0]
    assert pauses[2]


def test_a_script_needs_no_event_loop(api: FakeApi) -> None:
    api.add_node("n1")
    api.outputs[1, 1, 0, 1] = b"0123456789"
    with Client.to(api.address, token=TOKEN) as client:
        (job_id,) = client.submit(job_pb2.JobSpec(name="x"))
        api.add_task(job_id)
        with pytest.raises(TimeoutError):
            client.wait(job_id, timeout_s=0.05)
        assert b"".join(client.output(job_id, 1)) == b"0123456789"
        (job,) = client.jobs()
        client.cancel(job_id, message="m")

        assert job.name == "x"
        assert client.wait(job_id).error_message == "m"
        assert [node.name for node in client.nodes()] == ["n1"]
        assert [task.task_id for task in client.tasks(job_id)] == [1]
        *_, last = client.watch_job(job_id)
        assert last.job.state == job_pb2.Job.STATE_CANCELED
        watch = client.watch(after="0")
        assert [event.cursor for event in next(watch).events] == ["c1"]
        watch.close()  # type: ignore[attr-defined] # a generator
