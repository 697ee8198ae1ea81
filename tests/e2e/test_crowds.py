"""Crowds of short jobs wait on nodes for a core: whatever is killed, each runs once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.api.v1 import job_pb2, task_pb2
from tests.e2e.conftest import running
from tests.support.cluster import PATIENCE_S, state_of
from tests.support.polling import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import Cluster

CROWD = 120


@pytest.fixture(scope="module")
def victim() -> Iterator[Cluster]:
    yield from running()


@pytest.fixture
def cluster(victim: Cluster, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    victim.cwd = victim.base / f"work-{id(request.node):x}"
    victim.cwd.mkdir()
    yield victim
    victim.up()
    victim.clear()


def crowd(cluster: Cluster) -> list[int]:
    """Submit the crowd; each of its tasks appends a line with its job's number."""
    task = task_pb2.TaskSpec(
        command_line="echo $CCP_JOBID >>runs", work_directory=str(cluster.cwd)
    )
    return list(cluster.client.submit(*[job_pb2.JobSpec(tasks=[task])] * CROWD))


def runs(cluster: Cluster) -> list[int]:
    path = cluster.cwd / "runs"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


@pytest.mark.parametrize(
    "names",
    [
        ["head"],
        ["n1.agent", "n2.agent"],
        ["head", "n1.agent", "n2.agent", "n1.spawner", "n2.spawner"],
    ],
    ids=["head", "agents", "most"],
)
def test_each_of_a_crowd_runs_exactly_once_whatever_is_killed(
    cluster: Cluster, names: list[str]
) -> None:
    job_ids = crowd(cluster)
    wait_for(lambda: len(runs(cluster)) > CROWD // 6, what="the first of them")

    cluster.kill(*names)
    cluster.up()
    last = [cluster.ended(one, PATIENCE_S) for one in job_ids]

    assert {state_of(job) for job in last} == {"FINISHED"}
    assert sorted(runs(cluster)) == job_ids
