"""Accounting on real processes: what ran is in the books, whatever becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.cluster import state_of

if TYPE_CHECKING:
    from tests.support.cluster import Cluster


def test_ends_and_allocations_of_a_job_outlive_its_record(cluster: Cluster) -> None:
    job_id = cluster.submit("--name", "kept", "--shell", "sleep 0.2; exit 3")
    assert state_of(cluster.ended(job_id)) == "FAILED"
    cluster.hpc("job", "requeue", job_id)
    assert state_of(cluster.ended(job_id)) == "FAILED"

    cluster.hpc("job", "forget", job_id)

    cluster.hpc("job", "show", job_id, status=1)
    ends = cluster.hpc("--json", "job", "history", job_id, "--ends").json["history"]
    assert [(row["requeue_id"], row["state"]) for row in ends] == [
        (0, "STATE_FAILED"),
        (1, "STATE_FAILED"),
    ]
    assert all(int(row["core_ms"]) >= 200 for row in ends)
    held = cluster.hpc("--json", "job", "history", job_id, "--allocations").json
    assert [row["requeue_id"] for row in held["allocations"]] == [0, 1]
    assert sum(
        int(row["core_ms"])
        for row in cluster.hpc("--json", "cluster", "usage", "--by", "owner").json[
            "usage"
        ]
    ) >= sum(int(row["core_ms"]) for row in ends)
    events = cluster.hpc("--json", "node", "history").json["history"]
    assert "NODE_EVENT_REACHABLE" in {row["event"] for row in events}
