"""Running again: the three-way table, lists that stop, attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.cluster import state_of
from tests.support.polling import wait_for

if TYPE_CHECKING:
    from tests.support.cluster import Cluster


def runs(cluster: Cluster) -> list[str]:
    """Return which elements ran, a word for each run."""
    path = cluster.cwd / "runs"
    return sorted(path.read_text().split()) if path.exists() else []


def test_a_requeued_job_keeps_what_finished_and_what_was_taken_out_by_hand(
    cluster: Cluster,
) -> None:
    # 1 finishes, 2 fails, 3 runs, 4 is canceled by hand, 5 is swept up by the cancel.
    line = "echo * >>runs; case * in 2) exit 1;; 3) [ -e go ] || exec sleep 300;; esac"
    job_id = cluster.submit("--array", "1-5%1", "--shell", line)
    wait_for(lambda: "3" in runs(cluster), what="the third element")
    cluster.hpc("task", "cancel", f"{job_id}.1.4")
    cluster.hpc("job", "cancel", job_id)
    job = cluster.ended(job_id)
    states = [state_of(t) for t in cluster.client.tasks(job_id, elements=True)]
    assert state_of(job) == "CANCELED"
    assert states == ["FINISHED", "FAILED", "FAILED", "CANCELED", "CANCELED"]
    (cluster.cwd / "go").touch()

    cluster.hpc("job", "requeue", job_id)
    job = cluster.ended(job_id)

    assert runs(cluster) == ["1", "2", "2", "3", "3", "5"]
    elements = cluster.client.tasks(job_id, elements=True)
    assert [state_of(t) for t in elements] == [
        "FINISHED", "FAILED", "FINISHED", "CANCELED", "FINISHED",
    ]  # fmt: skip
    assert elements[1].attempt == elements[2].attempt == 2
    assert job.requeue_count == 1
    assert state_of(job) == "FAILED"


def test_a_finished_job_is_not_queued_again(cluster: Cluster) -> None:
    job_id = cluster.submit("--", "true")
    cluster.ended(job_id)

    error = cluster.refused("job", "requeue", job_id)

    assert error["reason"] == "INVALID_OPERATION"
    assert error["metadata"]["hresult"] == "-2147220977"
    assert state_of(cluster.job(job_id)) == "FINISHED"


def test_a_running_job_that_is_requeued_stops_its_tasks_and_runs_them_again(
    cluster: Cluster,
) -> None:
    line = "echo x >>runs; [ $(wc -l <runs) -gt 1 ] || exec sleep 300"
    job_id = cluster.submit("--shell", line)
    wait_for(lambda: runs(cluster), what="the first run")
    cluster.hpc("job", "requeue", job_id)
    job = cluster.ended(job_id)

    assert state_of(job) == "FINISHED"
    assert runs(cluster) == ["x", "x"]
    assert cluster.task(job_id).attempt == 2


def test_a_job_with_a_task_that_must_not_run_twice_is_not_queued_again(
    cluster: Cluster,
) -> None:
    job_id = cluster.submit("--no-rerunnable", "--", "false")
    cluster.ended(job_id)

    error = cluster.refused("job", "requeue", job_id)

    assert error["reason"] == "TASK_NOT_RERUNNABLE"
    assert state_of(cluster.job(job_id)) == "FAILED"


def test_a_list_of_tasks_stops_at_the_first_that_cannot_be_queued(
    cluster: Cluster,
) -> None:
    line = "echo * >>runs; [ * = 2 ] || [ -e go ]"
    job_id = cluster.submit("--array", "1-3", "--shell", line)
    cluster.ended(job_id)
    (cluster.cwd / "go").touch()
    ids = [f"{job_id}.1.{n}" for n in (1, 2, 3)]

    done = cluster.hpc("--json", "task", "requeue", *ids, status=1)
    job = cluster.ended(job_id)

    assert done.error["reason"] == "TASK_NOT_REQUEUEABLE"
    assert done.error["metadata"]["task"] == ids[1]
    assert done.error["metadata"]["done"] == "1"
    assert [task["instance_id"] for task in done.json["tasks"]] == [1]
    assert runs(cluster) == ["1", "1", "2", "3"]
    states = [state_of(t) for t in cluster.client.tasks(job_id, elements=True)]
    assert states == ["FINISHED", "FINISHED", "FAILED"]
    assert state_of(job) == "FAILED"


def test_only_the_named_tasks_of_an_ended_job_run_again(cluster: Cluster) -> None:
    job_id = cluster.submit("--array", "1-3", "--shell", "echo * >>runs; [ -e go ]")
    cluster.ended(job_id)
    (cluster.cwd / "go").touch()

    cluster.hpc("task", "requeue", f"{job_id}.1.1", f"{job_id}.1.3")
    job = cluster.ended(job_id)

    assert runs(cluster) == ["1", "1", "2", "3", "3"]
    assert state_of(job) == "FAILED", "element 2 has failed and still counts"
    assert [t.requeue_count for t in cluster.client.tasks(job_id, elements=True)] == [
        1, 0, 1,
    ]  # fmt: skip


def test_a_running_task_that_is_requeued_is_stopped_and_runs_again(
    cluster: Cluster,
) -> None:
    # It has looked for the file when it says that it runs.
    line = "[ -e go ]; found=$?; echo * >>runs; [ $found = 0 ] || exec sleep 300"
    job_id = cluster.submit("--array", "1-2", "--shell", line)
    wait_for(lambda: runs(cluster) == ["1", "2"], what="both elements")
    (cluster.cwd / "go").touch()
    cluster.hpc("task", "requeue", f"{job_id}.1.1")
    cluster.until_task(job_id, "FINISHED", instance=1)
    assert state_of(cluster.task(job_id, 1, 2)) == "RUNNING"
    cluster.hpc("task", "requeue", f"{job_id}.1.2")
    job = cluster.ended(job_id)

    assert state_of(job) == "FINISHED"
    assert runs(cluster) == ["1", "1", "2", "2"]


def test_a_task_canceled_by_hand_runs_when_it_is_named(cluster: Cluster) -> None:
    job_id = cluster.submit("--cores", "99", "--array", "1-2", "--", "true")
    cluster.hpc("task", "cancel", f"{job_id}.1.2")

    cluster.hpc("task", "requeue", f"{job_id}.1.2")

    assert state_of(cluster.task(job_id, 1, 2)) == "QUEUED"


def test_a_failed_job_can_be_changed_and_submitted_again(cluster: Cluster) -> None:
    job_id = cluster.submit("--shell", "[ -e go ]")
    cluster.ended(job_id)
    cluster.hpc("job", "configure", job_id)
    assert state_of(cluster.job(job_id)) == "CONFIGURING"
    (cluster.cwd / "go").touch()
    cluster.hpc("job", "submit", job_id)

    job = cluster.ended(job_id)
    assert (state_of(job), job.requeue_count) == ("FINISHED", 1)


def test_a_clone_is_a_new_job_of_the_same_tasks(cluster: Cluster) -> None:
    job_id = cluster.submit("--name", "twin", "--", "echo", "again")
    cluster.ended(job_id)
    clone = int(cluster.hpc("--quiet", "job", "clone", job_id).out)
    assert clone != job_id
    assert state_of(cluster.job(clone)) == "CONFIGURING"
    cluster.hpc("job", "submit", clone)

    assert state_of(cluster.ended(clone)) == "FINISHED"
    assert cluster.job(clone).name == "twin"
    assert cluster.output(clone) == "again\n"
