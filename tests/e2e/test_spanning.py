"""Tasks over several nodes, with real processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import Cluster

HOSTS = 'echo "$CCP_NODES"; cat "$CCP_MPI_HOSTFILE"; echo $CCP_NUMCPUS'


def test_a_task_over_two_nodes_sees_its_list_of_hosts(cluster: Cluster) -> None:
    job_id = cluster.submit(
        *("--cores", "4", "--env", "CCP_MPI_HOSTFILE_FORMAT=1", "--shell", HOSTS)
    )
    cluster.ended(job_id)

    task = cluster.task(job_id)
    first, second = task.nodes
    assert cluster.output(job_id).splitlines() == [
        f"2 {first} 2 {second} 2",
        f"{first}:2",
        f"{second}:2",
        "4",
    ]
    assert task.allocated_cores == 4


@pytest.fixture
def hurried(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, quick to notice a node that is gone; whole again afterwards."""
    cluster.hpc("cluster", "set", "HeartbeatInterval=1", "InactivityCount=3")
    yield cluster
    cluster.up()
    cluster.hpc("cluster", "set", "HeartbeatInterval=30", "InactivityCount=3")


def test_the_loss_of_a_node_beside_ends_the_attempt_and_it_runs_again(
    hurried: Cluster,
) -> None:
    line = "echo attempt $HPC_ATTEMPT; until [ -e go ]; do sleep 0.05; done"
    job_id = hurried.submit("--cores", "4", "--shell", line)
    hurried.until_task(job_id, "RUNNING")
    beside = hurried.task(job_id).nodes[1]

    hurried.kill(f"{beside}.agent")
    hurried.until_job(job_id, "QUEUED")

    task = hurried.task(job_id)
    assert (task.attempt, task.auto_requeue_count) == (2, 1)
    (hurried.cwd / "go").touch()
    hurried.up()
    hurried.ended(job_id)
    assert hurried.output(job_id) == "attempt 2\n"
