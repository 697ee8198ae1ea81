"""Preemption, backfill, why, and pools on real processes, from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.cluster import state_of
from tests.support.polling import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import Cluster

SETTINGS = ("PreemptionType", "EnablePools", "TaskCancelGracePeriod")


@pytest.fixture
def policy(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, whose parameters are the defaults again afterwards."""
    yield cluster
    cluster.hpc("cluster", "set", *(f"{name}=" for name in SETTINGS))


def test_a_job_of_high_priority_takes_what_it_needs_and_the_rest_runs_on(
    policy: Cluster,
) -> None:
    policy.hpc("cluster", "set", "PreemptionType=Immediate", "TaskCancelGracePeriod=1")
    line = "until [ -e go ]; do sleep 0.02; done"
    options = ("--priority", "lowest", "--can-preempt", "--array", "1-4")
    low = policy.submit(*options, "--shell", line)
    wait_for(
        lambda: policy.job(low).task_counts.running == 4, what="four running elements"
    )

    high = policy.submit("--priority", "Highest", "--", "true")

    assert state_of(policy.ended(high)) == "FINISHED"
    assert state_of(policy.job(low)) == "RUNNING"
    (policy.cwd / "go").touch()
    assert state_of(policy.ended(low)) == "FINISHED"
    elements = [policy.task(low, 1, number + 1) for number in range(4)]
    assert sorted(one.attempt for one in elements) == [1, 1, 1, 2]
    assert {one.auto_requeue_count for one in elements} == {0}


def test_pools_are_made_shown_changed_and_deleted(policy: Cluster) -> None:
    error = policy.refused("--json", "pool", "create", "fast", "--weight", "3")
    assert error["reason"] == "POOLS_NOT_ENABLED"
    policy.hpc("cluster", "set", "EnablePools=True")
    policy.hpc("pool", "create", "fast", "--weight", "3")

    (default, fast) = policy.hpc("pool", "list", "--json").json["pools"]
    assert (default["name"], default["weight"], default["guarantee"]) == (
        "Default",
        1,
        1,
    )
    assert (fast["name"], fast["guarantee"]) == ("fast", 3)
    assert "3 cores" in policy.hpc("pool", "show", "fast").out
    policy.hpc("pool", "set", "fast", "--weight", "1")
    assert policy.hpc("pool", "show", "fast", "--json").json["guarantee"] == 2
    policy.hpc("pool", "delete", "fast")
    assert policy.hpc("pool", "list", "-q").lines == ["Default"]
