"""P14, F67, F68: what is too much is refused at once, with a hint, and harms nobody."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from hpcsched.api.v1 import job_service_pb2 as pb
from hpcsched.api.v1 import job_service_pb2_grpc, watch_service_pb2
from hpcsched.common.errors import HpcError
from hpcsched.common.limits import CallLimits
from hpcsched.rpc import options
from hpcsched.rpc.addresses import Address
from hpcsched.rpc.channel import client_channel
from hpcsched.rpc.errors import RETRY_AFTER_S
from hpcsched.services.admission import AT_ONCE, HEAVY_BYTES, Admission, FairTurns
from hpcsched.services.server import Servers
from tests.support.fake_front import ADMINISTRATOR, USER, FakeFront
from tests.support.manual_clock import settle
from tests.support.polling import wait_for_async
from tests.support.served import Served, refusal
from tests.support.views import job_view

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.support.manual_clock import ManualClock
    from tests.support.seeded_ids import SeededIds

ANY = Address("127.0.0.1", 0)
SMALL = CallLimits(
    connections=2,
    connections_per_address=8,
    connections_per_user=2,
    calls=6,
    calls_per_user=4,
    streams=4,
    streams_per_user=3,
    megabytes=2,
    megabytes_per_user=1,
)


def entered(stack: contextlib.ExitStack, admission: Admission, *calls: Any) -> None:
    for user, peer, size in calls:
        stack.enter_context(admission.call(user, peer, size))


def refused(work: Callable[[], contextlib.AbstractContextManager[None]]) -> HpcError:
    with pytest.raises(HpcError) as caught, work():
        pass
    return caught.value


def test_a_user_has_so_many_calls_under_way_and_others_have_theirs() -> None:
    admission = Admission(SMALL)
    with contextlib.ExitStack() as stack:
        entered(stack, admission, *[("ann", "ipv4:1.1.1.1:1", 10)] * 4)

        error = refused(lambda: admission.call("ann", "ipv4:1.1.1.1:1", 10))

        assert error.reason == "TOO_MANY_CALLS"
        assert error.facts == {
            "user": "ann",
            "limit": "4",
            "setting": "limits.calls_per_user",
        }
        entered(stack, admission, ("bob", "ipv4:1.1.1.1:1", 10))
        assert admission.refused == {"TOO_MANY_CALLS": 1}
    assert admission.idle


def test_when_the_head_is_full_only_who_has_more_than_a_share_is_refused() -> None:
    admission = Admission(SMALL)
    with contextlib.ExitStack() as stack:
        entered(stack, admission, *[("ann", "ipv4:1.1.1.1:1", 1)] * 3)
        entered(stack, admission, *[("bob", "ipv4:1.1.1.1:1", 1)] * 3)

        error = refused(lambda: admission.call("ann", "ipv4:1.1.1.1:1", 1))

        assert error.facts["setting"] == "limits.calls"
        entered(stack, admission, ("eve", "ipv4:1.1.1.1:1", 1))
        entered(stack, admission, ("eve", "ipv4:1.1.1.1:1", 1))
    assert admission.idle


def test_requests_have_so_many_bytes_together_but_a_single_one_is_let_in() -> None:
    admission = Admission(SMALL)
    mega = 1 << 20
    with contextlib.ExitStack() as stack:
        entered(stack, admission, ("ann", "ipv4:1.1.1.1:1", 3 * mega))

        error = refused(lambda: admission.call("ann", "ipv4:1.1.1.1:1", 1))

        assert (error.reason, error.facts["setting"]) == (
            ("TOO_MANY_BYTES", "limits.megabytes_per_user")
        )
        entered(stack, admission, ("bob", "ipv4:1.1.1.1:1", mega // 2))
    assert admission.idle


def test_streams_are_counted_by_user_and_together() -> None:
    admission = Admission(SMALL)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(admission.stream("ann", "ipv4:1.1.1.1:1"))

        mine = refused(lambda: admission.stream("ann", "ipv4:1.1.1.1:1"))
        stack.enter_context(admission.stream("bob", "ipv4:1.1.1.1:1"))
        all_of_them = refused(lambda: admission.stream("bob", "ipv4:1.1.1.1:1"))

        assert mine.facts["setting"] == "limits.streams_per_user"
        assert all_of_them.facts["setting"] == "limits.streams"
    assert admission.idle


def test_connections_are_counted_by_user_and_by_address() -> None:
    admission = Admission(CallLimits(connections_per_user=2, connections_per_address=3))
    with contextlib.ExitStack() as stack:
        entered(stack, admission, ("ann", "ipv4:1.1.1.1:1", 1))
        entered(stack, admission, ("ann", "ipv4:1.1.1.1:2", 1))
        entered(stack, admission, ("ann", "ipv4:1.1.1.1:2", 1))

        mine = refused(lambda: admission.call("ann", "ipv4:2.2.2.2:1", 1))
        entered(stack, admission, ("bob", "ipv4:1.1.1.1:3", 1))
        ours = refused(lambda: admission.call("eve", "ipv4:1.1.1.1:4", 1))

        assert mine.facts["setting"] == "limits.connections_per_user"
        assert ours.facts["setting"] == "limits.connections_per_address"
        entered(stack, admission, ("eve", "ipv4:2.2.2.2:1", 1))
    assert admission.idle


async def test_f67_heavy_requests_of_a_greedy_user_wait_for_each_other_only() -> None:
    turns = FairTurns(lambda: asyncio.get_running_loop().create_future())
    done: list[str] = []
    gates: list[asyncio.Future[None]] = []

    async def heavy(user: str) -> None:
        async with turns.turn(user):
            done.append(user)
            gates.append(asyncio.get_running_loop().create_future())
            await gates[-1]

    async with asyncio.TaskGroup() as tasks:
        greedy = [tasks.create_task(heavy("greedy")) for _ in range(50)]
        await settle()
        for user in ("ann", "bob"):
            tasks.create_task(heavy(user))
        await settle()
        assert done == ["greedy"] * AT_ONCE
        greedy[10].cancel()
        for turn in range(2 + 49):
            gates[turn].set_result(None)
            await wait_for_async(
                lambda turn=turn: len(done) > min(turn + AT_ONCE, 50)  # type: ignore[misc]
            )

    assert len(done) == 51
    assert set(done[: AT_ONCE + 3]) == {"greedy", "ann", "bob"}
    assert not turns._waiting
    assert not turns._busy


@pytest.fixture
async def small(
    front: FakeFront, clock: ManualClock, ids: SeededIds
) -> AsyncIterator[Served]:
    servers = Servers(front, clock, ids, SMALL)
    clients, agents = servers.bind(ANY, ANY, None)
    await servers.start()
    servers.serving()
    try:
        async with client_channel(clients, None) as channel:
            yield Served(
                servers=servers, clients=clients, agents=agents, channel=channel
            )
    finally:
        await servers.stop(0)


async def test_p14_a_flood_of_submits_is_told_to_come_again_and_others_are_served(
    small: Served, front: FakeFront
) -> None:
    jobs = small.stub(job_service_pb2_grpc.JobServiceStub)
    root = small.stub(job_service_pb2_grpc.JobServiceStub, ADMINISTRATOR)
    gate = asyncio.Event()

    async def submit(**_: object) -> list[int]:
        await gate.wait()
        return [1]

    front.answers["submit_jobs"] = submit
    front.answers["get_job"] = job_view()
    front.answers["cancel_jobs"] = [job_view()]
    request = pb.SubmitJobsRequest()
    request.specs.add().tasks.add(command_line="true")

    flood = [asyncio.ensure_future(jobs.SubmitJobs(request)) for _ in range(20)]
    await wait_for_async(
        lambda: sum(one.done() for one in flood), until=lambda n: n == 16
    )
    answer = await root.CancelJobs(pb.CancelJobsRequest(job_ids=[1]))
    gate.set()
    told = await asyncio.gather(*flood, return_exceptions=True)

    assert answer.jobs
    errors = [one for one in told if isinstance(one, grpc.aio.AioRpcError)]
    assert len(errors) == 16
    assert {one.code() for one in errors} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    error = await refusal(_raised(errors[0]))
    assert error.reason == "TOO_MANY_CALLS"
    assert error.retry_after_s == RETRY_AFTER_S
    await wait_for_async(lambda: small.servers.gate.admission.idle)


async def _raised(error: Exception) -> None:
    raise error


async def test_watches_beyond_the_limit_are_refused_and_room_comes_back(
    small: Served, front: FakeFront
) -> None:
    front.answers["watch"] = [...]
    kind: Any = small.channel.unary_stream("/hpcsched.api.v1.WatchService/Watch")
    data = watch_service_pb2.WatchRequest().SerializeToString()
    metadata = (("authorization", f"Bearer {USER}"),)
    open_ones = [kind(data, metadata=metadata) for _ in range(3)]
    await wait_for_async(lambda: len(front.calls) == 3)

    error = await refusal(kind(data, metadata=metadata).read())

    assert (error.reason, error.facts["limit"]) == ("TOO_MANY_STREAMS", "3")
    for one in open_ones:
        one.cancel()
    await wait_for_async(lambda: small.servers.gate.admission.idle)


async def test_a_heavy_request_that_is_given_up_leaves_nothing_behind(
    small: Served, front: FakeFront
) -> None:
    jobs = small.stub(job_service_pb2_grpc.JobServiceStub)
    front.answers["submit_jobs"] = _for_ever
    request = pb.SubmitJobsRequest()
    request.specs.add(name="x" * 2 * HEAVY_BYTES).tasks.add(command_line="true")

    calls = [jobs.SubmitJobs(request) for _ in range(4)]
    await wait_for_async(lambda: len(front.calls) == AT_ONCE)
    for call in calls:
        call.cancel()

    await wait_for_async(lambda: small.servers.gate.admission.idle)
    turns = small.servers.gate._turns
    assert not turns._waiting
    assert not turns._busy


async def _for_ever(**_: object) -> None:
    await asyncio.get_running_loop().create_future()


async def test_f68_connections_beyond_the_limit_are_closed_as_they_come(
    small: Served, front: FakeFront
) -> None:
    front.answers["get_job"] = job_view()
    jobs = small.stub(job_service_pb2_grpc.JobServiceStub)
    await jobs.GetJob(pb.GetJobRequest(job_id=1))
    async with _idle(small.clients) as first, _idle(small.clients) as second:
        ends = [asyncio.ensure_future(one.read()) for one in (first, second)]
        await asyncio.wait(ends, timeout=60, return_when=asyncio.FIRST_COMPLETED)

        assert any(end.done() for end in ends)
        await jobs.GetJob(pb.GetJobRequest(job_id=1))
        for end in ends:
            end.cancel()


@contextlib.asynccontextmanager
async def _idle(address: Address) -> AsyncIterator[asyncio.StreamReader]:
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        yield reader
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_f68_who_connects_and_says_nothing_is_let_go(
    front: FakeFront,
    clock: ManualClock,
    ids: SeededIds,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quick = [(k, 300 if "handshake" in k else v) for k, v in options._SERVER]
    monkeypatch.setattr(options, "_SERVER", quick)
    servers = Servers(front, clock, ids)
    clients, _ = servers.bind(ANY, ANY, None)
    await servers.start()
    try:
        async with _idle(clients) as reader:
            await asyncio.wait_for(_to_its_end(reader), 60)
    finally:
        await servers.stop(0)


async def _to_its_end(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        while await reader.read(1000):
            pass
