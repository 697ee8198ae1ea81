"""Stopping jobs and tasks: signal, grace, kill, and what they are afterwards."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from hpcsched.api.v1 import task_pb2
from tests.support.cluster import state_of
from tests.support.polling import wait_for

if TYPE_CHECKING:
    from tests.support.cluster import Cluster

#: Says that it has started, and goes on until it is told to stop.
POLITE = (
    "trap 'exit 0' TERM; touch started-$CCP_TASKINSTANCEID; "
    "while :; do sleep 0.02; done"
)
STUBBORN = (
    "trap '' TERM; touch started-$CCP_TASKINSTANCEID; while :; do sleep 0.02; done"
)


def started(cluster: Cluster, *instances: int) -> None:
    for instance in instances or (0,):
        wait_for((cluster.cwd / f"started-{instance}").exists, what="the task's start")


def reason_of(task: task_pb2.Task) -> str:
    return task_pb2.EndReason.Name(task.end_reason).removeprefix("END_REASON_")


def test_a_task_that_ends_politely_after_a_cancel_is_failed_all_the_same(
    cluster: Cluster,
) -> None:
    job_id = cluster.submit("--shell", POLITE)
    started(cluster)
    cluster.hpc("job", "cancel", job_id)
    job = cluster.ended(job_id)

    task = cluster.task(job_id)
    assert state_of(job) == "CANCELED"
    assert (state_of(task), task.exit_code, reason_of(task)) == (
        "FAILED",
        0,
        "CANCELED",
    )


def test_a_task_that_ignores_the_signal_is_killed_when_its_grace_is_over(
    cluster: Cluster,
) -> None:
    job_id = cluster.submit("--grace", "600ms", "--shell", STUBBORN)
    started(cluster)
    cluster.hpc("job", "cancel", job_id)
    job = cluster.ended(job_id)

    task = cluster.task(job_id)
    assert state_of(task) == "FAILED"
    assert (task.exit_code, reason_of(task)) == (128 + signal.SIGKILL, "KILLED")
    canceled = job.change_time.ToMilliseconds()
    assert task.end_time.ToMilliseconds() <= canceled
    assert task.end_time.ToMilliseconds() - task.start_time.ToMilliseconds() >= 600


def test_a_forced_cancel_grants_no_grace(cluster: Cluster) -> None:
    job_id = cluster.submit("--grace", "50s", "--shell", STUBBORN)
    started(cluster)
    cluster.hpc("job", "cancel", "--force", job_id)
    cluster.ended(job_id)

    assert reason_of(cluster.task(job_id)) == "KILLED"


def test_a_forced_cancel_cuts_short_the_grace_of_an_earlier_one(
    cluster: Cluster,
) -> None:
    job_id = cluster.submit("--grace", "50s", "--shell", STUBBORN)
    started(cluster)
    cluster.hpc("job", "cancel", job_id, "--message", "please")
    assert state_of(cluster.job(job_id)) == "CANCELING"
    error = cluster.refused("job", "cancel", job_id)
    assert error["reason"] == "INVALID_CANCEL_JOB_STATE"

    cluster.hpc("job", "cancel", "--force", job_id)

    job = cluster.ended(job_id)
    assert (state_of(job), job.error_message) == ("CANCELED", "please")


@pytest.mark.parametrize(
    "message", ["", "wrong camera; 'quotes' \"too\" \n second line", "€" * 320]
)
def test_the_message_of_a_cancel_is_read_back_unchanged(
    cluster: Cluster, message: str
) -> None:
    job_id = cluster.submit("--shell", POLITE)
    started(cluster)
    cluster.hpc("job", "cancel", job_id, "--message", message)
    job = cluster.ended(job_id)

    assert job.error_message == message


def test_a_message_of_321_characters_is_refused_and_nothing_is_canceled(
    cluster: Cluster,
) -> None:
    job_id = cluster.submit("--shell", POLITE)
    started(cluster)

    error = cluster.refused("job", "cancel", job_id, "--message", "€" * 321)

    assert error["reason"] == "CANCEL_MESSAGE_TOO_LONG"
    assert error["metadata"]["limit"] == "320"
    assert error["metadata"]["length"] == "321"
    assert error["metadata"]["hresult"] == "-2147220781"
    assert state_of(cluster.job(job_id)) == "RUNNING"


def test_a_graceful_cancel_lets_running_tasks_end_and_starts_no_more(
    cluster: Cluster,
) -> None:
    line = "touch started-$CCP_TASKINSTANCEID; until [ -e go ]; do sleep 0.02; done"
    job_id = cluster.submit("--array", "1-4%2", "--shell", line)
    started(cluster, 1, 2)
    cluster.hpc("job", "cancel", "--graceful", job_id, "--message", "enough")
    assert state_of(cluster.job(job_id)) == "CANCELING"
    (cluster.cwd / "go").touch()
    job = cluster.ended(job_id)

    assert (state_of(job), job.error_message) == ("CANCELED", "enough")
    states = [state_of(t) for t in cluster.client.tasks(job_id, elements=True)]
    assert states == ["FINISHED", "FINISHED", "CANCELED", "CANCELED"]


def test_a_queued_job_is_canceled_at_once_with_its_tasks(cluster: Cluster) -> None:
    job_id = cluster.submit("--cores", "99", "--", "true")
    cluster.hpc("job", "cancel", job_id)

    assert state_of(cluster.job(job_id)) == "CANCELED"
    assert state_of(cluster.task(job_id)) == "CANCELED"


def test_canceling_one_element_leaves_the_others_alone(cluster: Cluster) -> None:
    line = f"[ * = 2 ] || exit 0; {POLITE}"
    job_id = cluster.submit("--array", "1-4", "--shell", line)
    started(cluster, 2)
    cluster.hpc("task", "cancel", f"{job_id}.1.2", "--message", "not this one")
    job = cluster.ended(job_id)

    states = [state_of(t) for t in cluster.client.tasks(job_id, elements=True)]
    assert states == ["FINISHED", "FAILED", "FINISHED", "FINISHED"]
    assert cluster.task(job_id, 1, 2).error_message == "not this one"
    assert state_of(job) == "FAILED"


def test_canceling_a_master_cancels_what_waits_and_fails_what_runs(
    cluster: Cluster,
) -> None:
    job_id = cluster.submit("--array", "1-4%2", "--shell", POLITE)
    started(cluster, 1, 2)
    cluster.hpc("task", "cancel", f"{job_id}.1")
    cluster.ended(job_id)

    assert state_of(cluster.task(job_id)) == "CANCELED"
    states = [state_of(t) for t in cluster.client.tasks(job_id, elements=True)]
    assert states == ["FAILED", "FAILED", "CANCELED", "CANCELED"]


def test_a_cancel_reaches_every_process_of_a_task(cluster: Cluster) -> None:
    line = "for i in 1 2; do setsid sleep 300 & done; touch started-0; wait"
    job_id = cluster.submit("--shell", line)
    started(cluster)
    cluster.hpc("job", "cancel", job_id)
    cluster.ended(job_id)

    assert not [line for line in cluster.belongings().values() if "sleep 300" in line]


def test_several_cancels_stop_at_the_first_refusal_and_keep_what_was_done(
    cluster: Cluster,
) -> None:
    first, second, third = (
        cluster.submit("--cores", "99", "--", "true") for _ in range(3)
    )
    cluster.hpc("job", "cancel", second)

    done = cluster.hpc("job", "cancel", first, second, third, status=1)

    assert "INVALID_CANCEL_JOB_STATE" in done.err
    states = [state_of(cluster.job(j)) for j in (first, second, third)]
    assert states == ["CANCELED", "CANCELED", "QUEUED"]


def test_a_finished_job_ends_finished_and_so_do_its_running_tasks(
    cluster: Cluster,
) -> None:
    job_id = cluster.submit("--array", "1-4%2", "--shell", POLITE)
    started(cluster, 1, 2)
    cluster.hpc("job", "finish", job_id)
    job = cluster.ended(job_id)

    assert state_of(job) == "FINISHED"
    states = [state_of(t) for t in cluster.client.tasks(job_id, elements=True)]
    assert states == ["FINISHED", "FINISHED", "CANCELED", "CANCELED"]


def test_a_finished_task_is_finished_and_its_job_goes_on(cluster: Cluster) -> None:
    line = f"[ * = 1 ] || exit 0; {POLITE}"
    job_id = cluster.submit("--array", "1-3", "--shell", line)
    started(cluster, 1)
    cluster.hpc("task", "finish", f"{job_id}.1.1")

    assert state_of(cluster.ended(job_id)) == "FINISHED"
    assert state_of(cluster.task(job_id, 1, 1)) == "FINISHED"


def test_a_task_over_its_limit_fails_and_the_job_goes_on(cluster: Cluster) -> None:
    job_id = int(cluster.hpc("job", "new").out)
    cluster.hpc("job", "add", job_id, "--runtime", "1s", "--shell", POLITE)
    cluster.hpc("job", "add", job_id, "--", "true")
    cluster.hpc("job", "submit", job_id)
    job = cluster.ended(job_id)

    task = cluster.task(job_id)
    assert (state_of(task), reason_of(task)) == ("FAILED", "TIME_LIMIT")
    assert state_of(cluster.task(job_id, 2)) == "FINISHED"
    assert state_of(job) == "FAILED"


def test_a_job_over_its_limit_is_canceled_and_its_running_task_failed(
    cluster: Cluster,
) -> None:
    job_id = cluster.submit("--array", "1-3%1", "--runtime", "1s", "--shell", POLITE)
    job = cluster.ended(job_id)

    assert state_of(job) == "CANCELED"
    states = [state_of(t) for t in cluster.client.tasks(job_id, elements=True)]
    assert states == ["FAILED", "CANCELED", "CANCELED"]
    assert cluster.hpc("job", "wait", job_id, status=11)
