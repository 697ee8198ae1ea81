"""Calls without an event loop survive the same weather as those with one."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import grpc
import pytest

from hpcsched.api.v1 import job_pb2
from hpcsched.client import Patience, Target
from hpcsched.client.blocking import BlockingClient
from hpcsched.common.errors import HpcError
from tests.support.fake_api import FakeApi
from tests.support.polling import PATIENCE_S, wait_for

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

PATIENT = Patience(call_s=PATIENCE_S, connect_s=PATIENCE_S)
HURRIED = Patience(call_s=PATIENCE_S, connect_s=0.3)
SOME = Patience(call_s=PATIENCE_S, connect_s=1.0)
TOKEN = "secret"  # noqa: S105 - of a fake
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with FakeApi() as api:
        yield api


def client_of(*addresses: str, patience: Patience = PATIENT) -> BlockingClient:
    target = Target.parse(",".join(addresses), token=TOKEN)
    return BlockingClient(target, patience=patience)


def dead_address() -> str:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{found.getsockname()[1]}"


def test_a_call_that_got_no_answer_is_made_again_unchanged(api: FakeApi) -> None:
    api.faults["SubmitJobs"] += [UNAVAILABLE, HpcError("OUTCOME_UNKNOWN")]

    with client_of(api.address) as client:
        specs = [job_pb2.JobSpec()]
        assert list(client.run(client.jobs.submit_all(specs))) == [1]

    first, *others = api.asked("SubmitJobs")
    assert len(first.request_id) == 36
    assert others == [first, first]
    assert api.secrets == {TOKEN}


def test_a_refusal_is_not_tried_again(api: FakeApi) -> None:
    with client_of(api.address) as client, pytest.raises(HpcError) as caught:
        client.run(client.jobs.get(1))

    assert caught.value.reason == "JOB_NOT_FOUND"
    assert caught.value.facts["job_id"] == "1"
    assert len(api.asked("GetJob")) == 1


def test_a_busy_head_is_asked_again_beyond_the_patience_with_a_silent_one(
    api: FakeApi,
) -> None:
    api.add_job()
    api.faults["GetJob"] += [HpcError("QUEUE_FULL", what="test")] * 3

    with client_of(api.address, patience=SOME) as client:
        assert client.run(client.jobs.get(1)).id == 1


def test_a_head_that_is_not_there_is_given_up_after_the_patience() -> None:
    with (
        client_of(dead_address(), patience=HURRIED) as client,
        pytest.raises(HpcError) as caught,
    ):
        client.run(client.jobs.get(1))

    assert caught.value.reason == "HEAD_UNREACHABLE"


def test_a_head_that_accepts_and_says_nothing_is_given_up_as_well() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with (
            client_of(address, patience=HURRIED) as client,
            pytest.raises(HpcError) as caught,
        ):
            client.run(client.jobs.get(1))

    assert caught.value.reason == "HEAD_UNREACHABLE"


def test_a_head_that_is_connected_may_take_longer_than_a_connection(
    api: FakeApi,
) -> None:
    api.add_job("RUNNING")
    with client_of(api.address, patience=HURRIED) as client:
        timer = threading.Timer(4 * HURRIED.connect_s, lambda: api.end_job(1))
        timer.start()
        job = client.run(client.jobs.wait(1))

    assert job.state == job_pb2.Job.STATE_FINISHED


def test_the_next_address_is_tried_at_once(api: FakeApi) -> None:
    api.add_job()

    with client_of(dead_address(), dead_address(), api.address) as client:
        assert client.run(client.jobs.get(1)).id == 1
        assert client.run(client.jobs.get(1)).id == 1


def test_a_wait_goes_on_when_the_head_was_reached_once(api: FakeApi) -> None:
    api.add_job("RUNNING")
    # Far more attempts than the patience with a silent head allows.
    api.faults["WaitJob"] += [UNAVAILABLE] * 5

    def end_after_four() -> None:
        wait_for(lambda: len(api.asked("WaitJob")) > 4)
        api.end_job(1)

    with client_of(api.address, patience=SOME) as client:
        client.run(client.jobs.get(1))
        enders = threading.Thread(target=end_after_four)
        enders.start()
        job = client.run(client.jobs.wait(1))
        enders.join()

    assert job.state == job_pb2.Job.STATE_FINISHED


def test_what_waits_for_anything_but_a_call_is_refused(api: FakeApi) -> None:
    class Never:
        def __await__(self) -> Generator[None]:
            yield

    async def work() -> None:
        await Never()

    with client_of(api.address) as client, pytest.raises(RuntimeError) as caught:
        client.run(work())

    assert "AsyncClient" in str(caught.value)


def test_calls_block_inside_a_loop_of_somebody_else(api: FakeApi) -> None:
    api.add_job()

    async def within() -> int:
        with client_of(api.address) as client:
            return client.run(client.jobs.get(1)).id

    assert asyncio.run(within()) == 1


def test_ctrl_c_ends_a_call_at_once_and_cancels_it(api: FakeApi) -> None:
    api.add_job("RUNNING")
    code = (
        "import sys; from hpcsched.client import Target;"
        "from hpcsched.client.blocking import BlockingClient as C;"
        "c = C(Target.parse(sys.argv[1])); c.run(c.jobs.wait(1))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, api.address], stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: bool(api.asked("WaitJob")))
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)

    assert err.splitlines()[-1] == "KeyboardInterrupt"
