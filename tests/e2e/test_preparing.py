"""Node preparation and release: where they run, in which order, and when not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.cluster import state_of
from tests.support.polling import wait_for

if TYPE_CHECKING:
    from tests.support.cluster import Cluster

HERE = "$(echo $CCP_NODES | cut -d' ' -f2)"
WAIT = "touch started; until [ -e go ]; do sleep 0.02; done"


def log(cluster: Cluster) -> list[str]:
    path = cluster.cwd / "log"
    return path.read_text().splitlines() if path.exists() else []


def test_preparation_runs_before_and_release_after_all_tasks_of_each_node(
    cluster: Cluster,
) -> None:
    job_id = cluster.submit(
        "--array", "1-8",
        "--prep", f"sleep 0.2; echo prep {HERE} >>log",
        "--release", f"echo release {HERE} >>log",
        # Not before both are prepared: one node alone could have done it all meanwhile.
        "--shell", "until [ `grep -c prep log` = 2 ]; do sleep 0.05; done; "
        f"echo task {HERE} >>log",
    )  # fmt: skip
    job = cluster.ended(job_id)

    assert state_of(job) == "FINISHED"
    assert job.task_counts.total == 8, "preparation and release are not counted"
    for node in cluster.nodes:
        steps = [line.split()[0] for line in log(cluster) if line.split()[1] == node]
        assert steps[0] == "prep"
        assert steps[-1] == "release"
        assert set(steps[1:-1]) == {"task"}


def test_a_node_whose_preparation_fails_is_excluded_and_the_job_runs_elsewhere(
    cluster: Cluster,
) -> None:
    bad, good = cluster.nodes
    job_id = cluster.submit(
        "--array", "1-4", "--prep", f"[ {HERE} != {bad} ]",
        "--shell", f"{WAIT}; echo task {HERE} >>log",
    )  # fmt: skip
    # Not before: the good node alone could have done it all meanwhile.
    wait_for(lambda: list(cluster.job(job_id).excluded_nodes) == [bad])
    (cluster.cwd / "go").touch()
    job = cluster.ended(job_id)

    assert state_of(job) == "FINISHED"
    assert log(cluster) == [f"task {good}"] * 4
    assert list(job.excluded_nodes) == [bad]


def test_a_canceled_job_releases_its_nodes_and_a_forcibly_canceled_one_does_not(
    cluster: Cluster,
) -> None:
    for force in (False, True):
        (cluster.cwd / "started").unlink(missing_ok=True)
        job_id = cluster.submit(
            "--release", f"echo force={force} >>log", "--shell", WAIT
        )
        wait_for((cluster.cwd / "started").exists, what="the task's start")
        cluster.hpc("job", "cancel", job_id, *(["--force"] if force else []))
        assert state_of(cluster.ended(job_id)) == "CANCELED"

    assert log(cluster) == ["force=False"]


def test_release_runs_where_tasks_failed_and_its_own_failure_changes_nothing(
    cluster: Cluster,
) -> None:
    failed = cluster.submit("--release", "echo a >>log", "--", "false")
    finished = cluster.submit("--release", "echo b >>log; exit 1", "--", "true")

    assert state_of(cluster.ended(failed)) == "FAILED"
    assert state_of(cluster.ended(finished)) == "FINISHED"
    assert sorted(log(cluster)) == ["a", "b"]


def test_a_requeued_job_prepares_its_nodes_again(cluster: Cluster) -> None:
    job_id = cluster.submit("--prep", "echo prep >>log", "--shell", "[ -e go ]")
    cluster.ended(job_id)
    (cluster.cwd / "go").touch()
    cluster.hpc("job", "requeue", job_id)

    assert state_of(cluster.ended(job_id)) == "FINISHED"
    assert log(cluster) == ["prep", "prep"]


def test_a_job_of_preparation_and_release_alone_is_refused(cluster: Cluster) -> None:
    job_id = int(cluster.hpc("job", "new").out)
    cluster.hpc("job", "add", job_id, "--type", "prep", "--shell", "true")

    error = cluster.refused("job", "submit", job_id)

    assert error["reason"] == "ONLY_PREP_AND_RELEASE"
