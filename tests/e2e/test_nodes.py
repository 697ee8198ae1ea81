"""Taking nodes out, bringing them back, and running commands on them."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

from hpcsched.api.v1 import node_pb2
from tests.support.cluster import PATIENCE_S, state_of
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


def test_output_of_a_command_is_shown_while_it_runs_and_ctrl_c_ends_it(
    nodes: Cluster,
) -> None:
    line = f"cd {nodes.cwd}; echo begun; trap 'echo told; exit 3' TERM; {LOOP}"
    with nodes.popen("node", "exec", "all", "--json", "--shell", line) as running:
        assert running.stdout is not None
        begun: set[str] = set()
        try:
            while begun < set(nodes.nodes):
                event = json.loads(running.stdout.readline())
                begun |= {event["node"]} if event.get("text") == "begun" else set()
        finally:
            running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=PATIENCE_S)

    rest = [json.loads(line) for line in out.splitlines()]
    told = [one["node"] for one in rest if one.get("text") == "told"]
    assert sorted(told) == sorted(nodes.nodes)
    assert rest[-1]["job"]["state"] == "STATE_CANCELED"
    assert "canceling job" in err
    assert running.returncode == 130


def test_much_output_of_a_command_comes_whole_from_every_node(nodes: Cluster) -> None:
    line = "seq 1 60000; echo over >&2"

    done = nodes.hpc("node", "exec", "n[1-2]", "--shell", line)

    for name in nodes.nodes:
        lines = [one for one in done.lines if one.startswith(f"{name}: ")]
        assert lines == [f"{name}: {n}" for n in range(1, 60001)]
        assert f"{name}: over" in done.err


def test_an_offline_node_runs_commands_and_groups_stand_for_nodes(
    nodes: Cluster,
) -> None:
    nodes.hpc("group", "create", "these", "n1", "n2")
    nodes.hpc("node", "offline", "n1")

    done = nodes.hpc("node", "exec", "group:these", "--", "echo", "here")

    assert sorted(done.lines) == ["n1: here", "n2: here"]
    (node,) = nodes.hpc("node", "list", "n1", "--json").json["nodes"]
    assert node["groups"] == ["ComputeNodes", "these"]
    assert node["os"]
    nodes.hpc("group", "delete", "these")


def test_what_is_held_on_a_lost_node_goes_on_when_an_administrator_fences_it(
    nodes: Cluster,
) -> None:
    nodes.hpc("cluster", "set", "HeartbeatInterval=1", "InactivityCount=3")
    try:
        file = nodes.cwd / "held.toml"
        line = "echo attempt $HPC_ATTEMPT; until [ -e go ]; do sleep 0.05; done"
        file.write_text(
            f'node_loss = "NODE_LOSS_HOLD"\n[[tasks]]\ncommand_line = "{line}"\n'
        )
        job_id = int(nodes.hpc("job", "submit", "--file", file).out)
        nodes.until_task(job_id, "RUNNING")
        lost = nodes.task(job_id).nodes[0]
        assert nodes.refused("node", "fence", lost)["reason"] == "NODE_NOT_LOST"

        nodes.kill(f"{lost}.agent")
        why = f"what runs on {lost}, which is lost"
        wait_for(lambda: why in nodes.hpc("job", "why", job_id).out, what="the loss")
        assert state_of(nodes.task(job_id)) == "RUNNING"
        nodes.hpc("node", "fence", lost, "--reason", "no power")

        wait_for(lambda: nodes.task(job_id).attempt == 2, what="the second attempt")
        assert nodes.task(job_id).nodes[0] != lost
        (nodes.cwd / "go").touch()
        assert state_of(nodes.ended(job_id)) == "FINISHED"
        assert nodes.output(job_id) == "attempt 2\n"
    finally:
        nodes.up()
        nodes.hpc("cluster", "set", "HeartbeatInterval=30", "InactivityCount=3")


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
    # They are given back after the end is visible, not before.
    wait_for(
        lambda: {n.cores_in_use for n in nodes.client.nodes()},
        until=lambda found: found == {0},
        what="cores that are given back",
    )
