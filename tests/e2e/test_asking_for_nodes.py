"""Jobs that ask for whole nodes, groups, memory, and leave nodes, on real processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.cluster import state_of
from tests.support.polling import wait_for

if TYPE_CHECKING:
    from tests.support.cluster import Cluster

LOOP = "touch started; until [ -e go ]; do sleep 0.02; done"


def test_a_job_in_nodes_gets_whole_ones_and_says_so(cluster: Cluster) -> None:
    job_id = cluster.submit("--nodes", "2", "--shell", LOOP)
    wait_for((cluster.cwd / "started").exists, what="the task's start")
    waiting = cluster.submit("--nodes", "1", "--", "true")

    job = cluster.job(job_id)
    assert sorted(job.allocated_nodes) == ["n1", "n2"]
    assert (job.allocated_cores, job.current_node_count) == (4, 2)
    assert state_of(cluster.job(waiting)) == "QUEUED"
    (cluster.cwd / "go").touch()
    assert state_of(cluster.ended(job_id)) == "FINISHED"
    assert state_of(cluster.ended(waiting)) == "FINISHED"


def test_a_job_stays_in_its_group_and_says_what_rules_nodes_out(
    cluster: Cluster,
) -> None:
    cluster.hpc("group", "create", "fast", "n2")
    try:
        job_id = cluster.submit("--group", "fast", "--", "true")
        assert list(cluster.ended(job_id).allocated_nodes) == ["n2"]

        wide = cluster.submit("--group", "fast", "--nodes", "2", "--", "true")
        why = cluster.hpc("job", "why", wide).out
        assert "it needs 2 nodes; the nodes that it may use have 1" in why
        assert "1 is not in node group fast" in why
        refused = cluster.refused("submit", "--group", "none", "--", "true")
        assert refused["reason"] == "UNKNOWN_NODE_GROUP"
        assert refused["metadata"]["hresult"] == "-2147220937"
    finally:
        cluster.clear()
        cluster.hpc("group", "delete", "fast")


def test_a_task_leaves_a_node_that_is_excluded_and_runs_elsewhere(
    cluster: Cluster,
) -> None:
    line = f"echo $(echo $CCP_NODES | cut -d' ' -f2) >>ran; {LOOP}"
    job_id = cluster.submit("--cores", "1-1", "--grace", "1s", "--shell", line)
    wait_for((cluster.cwd / "started").exists, what="the task's start")
    (first,) = (cluster.cwd / "ran").read_text().split()

    cluster.hpc("job", "modify", job_id, f"excluded_nodes+={first}")

    wait_for(
        lambda: len((cluster.cwd / "ran").read_text().split()) > 1,
        what="the task's second start",
    )
    (cluster.cwd / "go").touch()
    ended = cluster.ended(job_id)
    assert state_of(ended) == "FINISHED"
    assert list(ended.excluded_nodes) == [first]
    assert ended.auto_requeue_count == 0
    assert (cluster.cwd / "ran").read_text().split()[1] != first
