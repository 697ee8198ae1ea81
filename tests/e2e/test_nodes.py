"""Taking nodes out, bringing them back, and running commands on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.api.v1 import node_pb2
from tests.support.cluster import state_of
from tests.support.polling import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import Cluster

LOOP = "touch started; until [ -e go ]; do sleep 0.02; done"


@pytest.fixture
def nodes(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, whose nodes are all Online again afterwards."""
    yield cluster
    cluster.hpc("node", "online", "all")


def state_of_node(cluster: Cluster, name: str) -> str:
    (node,) = [n for n in cluster.client.nodes() if n.name == name]
    return node_pb2.Node.State.Name(node.state).removeprefix("STATE_")


def begin(cluster: Cluster, *options: str) -> int:
    job_id = cluster.submit("--nodelist", "n1", *options, "--shell", LOOP)
    wait_for((cluster.cwd / "started").exists, what="the task's start")
    return job_id


def test_a_draining_node_ends_its_work_and_is_offline_then(nodes: Cluster) -> None:
    job_id = begin(nodes)
    nodes.hpc("node", "drain", "n1", "--reason", "new disk")
    assert state_of_node(nodes, "n1") == "DRAINING"
    later = nodes.submit("--nodelist", "n1", "--", "true")
    (nodes.cwd / "go").touch()

    assert state_of(nodes.ended(job_id)) == "FINISHED"
    wait_for(lambda: state_of_node(nodes, "n1") == "OFFLINE", what="n1 offline")
    assert "new disk" in nodes.hpc("node", "why", "n1").out
    assert state_of(nodes.job(later)) == "QUEUED"
    nodes.hpc("node", "online", "n1")
    assert state_of(nodes.ended(later)) == "FINISHED"


def test_a_node_that_goes_offline_stops_its_tasks_which_run_again_elsewhere(
    nodes: Cluster,
) -> None:
    line = "echo $(echo $CCP_NODES | cut -d' ' -f2) >>ran; " + LOOP
    job_id = nodes.submit("--grace", "1s", "--shell", line)
    wait_for((nodes.cwd / "started").exists, what="the task's start")
    (first,) = nodes.task(job_id).nodes
    (other,) = set(nodes.nodes) - {first}
    nodes.hpc("node", "offline", first)
    wait_for(
        lambda: (nodes.cwd / "ran").read_text().split() == [first, other],
        what="the second run",
    )
    (nodes.cwd / "go").touch()

    assert state_of(nodes.ended(job_id)) == "FINISHED"
    assert nodes.task(job_id).attempt == 2


def test_a_command_runs_on_each_named_node_beside_the_queue(nodes: Cluster) -> None:
    blocker = nodes.submit("--array", "1-4", "--shell", LOOP)
    nodes.until_job(blocker, "RUNNING")

    done = nodes.hpc("node", "exec", "n[1-2]", "--shell", "echo on ${CCP_NODES#* }")

    assert sorted(line.split()[-2] for line in done.lines) == ["n1", "n2"]
    failed = nodes.hpc("node", "exec", "n2", "--", "false", status=10)
    assert failed.out == ""


def test_unknown_nodes_are_refused_and_none_is_changed(nodes: Cluster) -> None:
    error = nodes.refused("node", "offline", "n1", "n77")

    assert error["reason"] == "NODE_NOT_FOUND"
    assert state_of_node(nodes, "n1") == "ONLINE"


def test_the_cores_in_use_are_those_of_running_jobs(nodes: Cluster) -> None:
    job_id = begin(nodes)
    used = {n.name: n.cores_in_use for n in nodes.client.nodes()}
    (nodes.cwd / "go").touch()
    nodes.ended(job_id)

    assert used == {"n1": 1, "n2": 0}
    assert {n.cores_in_use for n in nodes.client.nodes()} == {0}
