"""Services on real processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.cluster import state_of
from tests.support.polling import wait_for

if TYPE_CHECKING:
    from tests.support.cluster import Cluster


def test_a_service_fills_the_cluster_until_it_is_concluded(cluster: Cluster) -> None:
    line = "touch i-*; while [ ! -e stop ]; do sleep 0.02; done"
    job_id = cluster.submit("--type", "service", "--shell", line)
    wait_for(lambda: cluster.job(job_id).task_counts.running, until=lambda n: n == 4)
    (task,) = cluster.hpc("task", "list", job_id, "--json").json["tasks"]
    assert task["element_counts"]["running"] == 4
    assert not task["is_service_concluded"]

    cluster.hpc("task", "conclude", f"{job_id}.1")
    (cluster.cwd / "stop").touch()
    job = cluster.ended(job_id)

    assert state_of(job) == "FINISHED"
    assert job.task_counts.finished == 4
    assert sorted(path.name for path in cluster.cwd.glob("i-*")) == [
        f"i-{n}" for n in (1, 2, 3, 4)
    ]
    assert cluster.task(job_id).is_service_concluded


def test_conclude_refuses_what_is_no_service(cluster: Cluster) -> None:
    job_id = cluster.submit("--", "sleep", "60")

    error = cluster.refused("task", "conclude", f"{job_id}.1")

    assert error["reason"] == "NOT_A_SERVICE_TASK"
    assert error["metadata"]["hresult"] == "-2147220778"
