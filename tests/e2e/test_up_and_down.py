"""A cluster on one machine: started twice, interrupted, stopped, found again."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.cluster import PATIENCE_S, Cluster, state_of
from tests.support.polling import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster that has not been started yet."""
    cluster = Cluster()
    try:
        yield cluster
    finally:
        cluster.destroy()


def test_of_two_that_start_it_at_once_one_does_and_one_is_told(
    cluster: Cluster,
) -> None:
    command = ("--json", "up", "--detach", "--dir", cluster.dir, "--cores", "1")
    with cluster.popen(*command) as first, cluster.popen(*command) as second:
        outcomes = [
            process.communicate(timeout=PATIENCE_S) for process in (first, second)
        ]
        statuses = [first.returncode, second.returncode]

    assert 0 in statuses, outcomes
    for status, (_, err) in zip(statuses, outcomes, strict=True):
        assert status == 0 or "CLUSTER_BUSY" in err
    heads = [x for x in cluster.belongings().values() if "--state-dir" in x]
    assert len(heads) == 1


def test_a_stopped_cluster_is_said_to_be_stopped_and_keeps_its_jobs(
    cluster: Cluster,
) -> None:
    start = ("up", "--detach", "--dir", cluster.dir, "--cores", "1")
    cluster.hpc(*start)
    job_id = int(cluster.hpc("submit", "--wait", "--", "echo", "kept").out)
    cluster.hpc("down", "--dir", cluster.dir)
    assert not cluster.belongings()

    stopped = cluster.hpc("job", "list", status=3)
    cluster.hpc("down", "--dir", cluster.dir)
    cluster.hpc(*start)

    assert "NO_CLUSTER" in stopped.err
    assert str(cluster.dir) in stopped.err
    assert cluster.hpc("job", "output", job_id).out == "kept\n"
    assert int(cluster.hpc("submit", "--", "true").out) == job_id + 1


def test_a_cluster_in_the_foreground_ends_with_ctrl_c_and_takes_its_tasks_along(
    cluster: Cluster,
) -> None:
    with cluster.popen("up", "--dir", cluster.dir, "--cores", "1") as process:
        assert process.stdout is not None
        assert "takes work" in process.stdout.readline()
        cluster.hpc("submit", "--shell", "touch started; sleep 300")
        wait_for((cluster.cwd / "started").exists, what="the task's start")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 0
    assert not cluster.belongings()


def test_a_ctrl_c_right_after_the_cluster_took_work_stops_it(cluster: Cluster) -> None:
    with cluster.popen("up", "--dir", cluster.dir, "--cores", "1") as process:
        assert process.stdout is not None
        assert "takes work" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 0
    assert not cluster.belongings()


def test_ctrl_c_leaves_a_job_alone_unless_it_is_to_be_canceled(
    cluster: Cluster,
) -> None:
    cluster.up(nodes=1)
    for options, state in (((), "RUNNING"), (("--cancel-on-interrupt",), "CANCELED")):
        with cluster.popen(
            "run", *options, "--shell", "echo ready; exec sleep 300"
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            os.kill(process.pid, signal.SIGINT)
            _, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 130
        cluster.until_job(int(err.split()[0]), state)
    cluster.clear()
    assert {state_of(job) for job in cluster.client.jobs()} == {"CANCELED"}
