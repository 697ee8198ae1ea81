"""F69, F70: a head without descriptors, and one whose log nobody reads."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from hpcsched.api.v1 import job_pb2
from tests.support.measuring import descriptors
from tests.support.polling import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.daemon import Daemon

pytestmark = pytest.mark.timeout(180)
SPARE = 12


def spec() -> job_pb2.JobSpec:
    made = job_pb2.JobSpec(name="x")
    made.tasks.add(command_line="true")
    return made


@contextlib.contextmanager
def full_pipe() -> Iterator[int]:
    """Yield the end for writing of a pipe that takes nothing any more."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    try:
        yield writer
    finally:
        os.close(reader)
        os.close(writer)


def test_f69_without_descriptors_calls_are_served_and_new_ones_later(
    daemon: Daemon,
) -> None:
    daemon.start()
    pid = daemon.process.pid
    host, _, port = daemon.ready["address"].rpartition(":")
    with daemon.client() as client:
        first = client.submit(spec())[0]
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        few = descriptors(pid) + SPARE
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (few, before[1]))
        with contextlib.ExitStack() as stack:
            for _ in range(4 * SPARE):
                stack.enter_context(socket.create_connection((host, int(port))))
            wait_for(lambda: descriptors(pid) >= few - 1, what="no descriptor left")
            ids = [client.submit(spec())[0] for _ in range(5)]
            names = [client.job(one).name for one in (first, *ids)]
    with daemon.client() as client:
        again = client.submit(spec())[0]

    assert names == ["x"] * 6
    assert again > max(ids)
    assert daemon.stop(signal.SIGTERM) == 0
    daemon.start()
    with daemon.client() as client:
        assert client.job(again).id == again


def test_f70_a_log_that_nobody_reads_holds_up_nobody(daemon: Daemon) -> None:
    with full_pipe() as log:
        daemon.start("--log-level", "DEBUG", log=log)
        with daemon.client() as client:
            job_id = client.submit(spec())[0]

            assert client.job(job_id).id == job_id
        assert daemon.stop(signal.SIGTERM) == 0
