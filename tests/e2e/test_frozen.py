"""Nodes that freeze and wake (F5, F32), and two machines under one name (F47)."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import running
from tests.support.cluster import PATIENCE_S, state_of
from tests.support.polling import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import Cluster

#: Notes element, run and node; lasts until it is told to end.
NOTED = (
    "echo $CCP_TASKINSTANCEID:$CCP_RETRY_COUNT:$(echo $CCP_NODES | cut -d' ' -f2)"
    " >>runs; until [ -e go.$CCP_TASKINSTANCEID.$CCP_RETRY_COUNT ]; do sleep 0.05; done"
)


@pytest.fixture(scope="module")
def frozen() -> Iterator[Cluster]:
    yield from running()


@pytest.fixture
def cluster(frozen: Cluster, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    frozen.cwd = frozen.base / f"work-{id(request.node):x}"
    frozen.cwd.mkdir()
    yield frozen
    frozen.clear()


def runs(cluster: Cluster) -> list[list[str]]:
    path = cluster.cwd / "runs"
    lines = path.read_text().split() if path.exists() else []
    return [line.split(":") for line in lines]


def is_reachable(cluster: Cluster, name: str) -> bool:
    return next(n.reachable for n in cluster.client.nodes() if n.name == name)


def test_f5_what_a_frozen_node_ran_runs_again_once_and_is_stopped_when_it_wakes(
    cluster: Cluster,
) -> None:
    cluster.hpc("cluster", "set", "HeartbeatInterval=1", "InactivityCount=100")
    cluster.kill("n1.agent", "n2.agent")  # a beat is told at the beginning of a stream
    cluster.up()
    job_id = cluster.submit("--array", "1-4", "--shell", NOTED)
    wait_for(lambda: len(runs(cluster)) == 4, PATIENCE_S, what="four elements that run")
    on_first = [one[0] for one in runs(cluster) if one[2] == "n1"]
    on_other = [one[0] for one in runs(cluster) if one[2] == "n2"]
    assert len(on_first) == len(on_other) == 2
    spawner = cluster.spawner("n1")
    pids = [cluster.pid("n1.agent"), cluster.pid("n1.supervisor"), spawner]
    for pid in pids:
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
    try:
        cluster.hpc("cluster", "set", "InactivityCount=5")
        wait_for(
            lambda: not is_reachable(cluster, "n1"), PATIENCE_S, what="n1 unreachable"
        )
        cluster.hpc("cluster", "set", "InactivityCount=100")  # n2 may be slow
        for element in on_other:
            (cluster.cwd / f"go.{element}.0").touch()
        again = [[element, "1", "n2"] for element in on_first]
        wait_for(
            lambda: sorted(runs(cluster)[4:]) == sorted(again),
            PATIENCE_S,
            what="the lost elements on n2",
        )
    finally:
        for pid in pids:
            if pid is not None:
                os.kill(pid, signal.SIGCONT)
    wait_for(lambda: is_reachable(cluster, "n1"), PATIENCE_S, what="n1 again")
    wait_for(
        lambda: [c for c in cluster.belongings().values() if c.count("go.") == 1],
        PATIENCE_S,
        until=lambda left: len(left) == 2,
        what="the end of the old attempts",
    )
    for element in on_first:
        (cluster.cwd / f"go.{element}.1").touch()
    job = cluster.ended(job_id)
    elements = cluster.client.tasks(job_id, elements=True)

    assert state_of(job) == "FINISHED"
    assert {str(t.instance_id): t.attempt for t in elements} == {
        **dict.fromkeys(on_first, 2),
        **dict.fromkeys(on_other, 1),
    }
    assert len(runs(cluster)) == 6
    assert [node.cores_in_use for node in cluster.client.nodes()] == [0, 0]
    later = cluster.submit("--nodelist", "n1", "--", "true")
    assert state_of(cluster.ended(later)) == "FINISHED"


def test_f47_a_clone_of_a_node_is_refused_and_the_node_goes_on(
    cluster: Cluster,
) -> None:
    """It has the name, the token and the machine id; its kernel has booted itself."""
    twin = cluster.base / "twin"
    twin.mkdir(exist_ok=True)
    boot = twin / "boot_id"
    boot.write_text("another-boot\n")
    place = str(cluster.dir / "nodes" / "n1")
    job_id = cluster.submit("--nodelist", "n1", "--shell", NOTED)
    wait_for(lambda: runs(cluster), PATIENCE_S, what="the task")
    started = []
    try:
        for name in ("supervisor", "agent"):
            line = Path(f"/proc/{cluster.pid(f'n1.{name}')}/cmdline").read_text()
            words = line.replace(place, str(twin)).split("\0")[:-1]
            more = ["--boot-id-file", str(boot)] if name == "supervisor" else []
            with (twin / f"{name}.log").open("wb") as log:
                command = [*words, *more]
                process = subprocess.Popen(command, stdout=log, stderr=log)
                started.append(process)
        refused = wait_for(
            (twin / "agent.log").read_text,
            PATIENCE_S,
            until=lambda text: "connected already" in text,
            what="the refusal in the clone's log",
        )
        told = cluster.hpc("cluster", "info").out
        (cluster.cwd / "go.0.0").touch()
        job = cluster.ended(job_id)
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(PATIENCE_S)

    assert "another-boot" in refused
    assert "Alarm" in told
    assert "n1 is connected already" in " ".join(told.split())
    assert state_of(job) == "FINISHED"
    assert len(runs(cluster)) == 1
    assert cluster.task(job_id).attempt == 1
