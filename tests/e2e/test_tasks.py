"""What a task is given, and what becomes of its end."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hpcsched.api.v1 import task_pb2
from tests.support.cluster import state_of

if TYPE_CHECKING:
    from tests.support.cluster import Cluster

Reason = task_pb2.EndReason


def reason_of(task: task_pb2.Task) -> str:
    return Reason.Name(task.end_reason).removeprefix("END_REASON_")


def test_run_shows_the_output_of_a_task_and_nothing_else_on_stdout(
    cluster: Cluster,
) -> None:
    done = cluster.hpc("run", "--shell", "echo out; echo err >&2")

    assert done.out == "out\n"
    job_id, *rest = done.err.splitlines()
    assert job_id.isdecimal()
    assert rest == ["err"]


def test_a_task_finds_its_place_in_the_cluster_in_its_environment(
    cluster: Cluster,
) -> None:
    job_id = cluster.submit("--name", "env", "--cores", "2", "--", "env")
    cluster.ended(job_id)

    found = dict(x.split("=", 1) for x in cluster.output(job_id).splitlines())
    node = cluster.task(job_id).nodes[0]
    assert found["CCP_JOBID"] == str(job_id)
    assert found["CCP_JOBNAME"] == "env"
    assert found["CCP_JOBTYPE"] == "Batch"
    assert found["CCP_SCHEDULER"] == cluster.address
    assert found["CCP_TASKID"] == "1"
    assert found["CCP_TASKINSTANCEID"] == "0"
    assert found["CCP_NODES"] == f"1 {node} 2"
    assert found["CCP_NODES_CORES"] == f"1 {node} 2"
    assert found["CCP_NUMCPUS"] == "2"
    assert len(found["CCP_COREIDS"].split()) == 2
    assert found["CCP_RETRY_COUNT"] == "0"
    assert found["CCP_RERUNNABLE"] == "True"
    assert found["CCP_WORKDIR"] == str(cluster.cwd)
    assert found["HOME"] == str(Path.home())
    assert found["PATH"]


def test_the_variables_of_a_task_win_over_those_of_its_job(cluster: Cluster) -> None:
    job_id = int(cluster.hpc("job", "new", "--env", "A=job", "--env", "B=job").out)
    line = "echo $A $B"
    cluster.hpc("job", "add", job_id, "--env", "B=task", "--shell", line)
    cluster.hpc("job", "submit", job_id)
    cluster.ended(job_id)

    assert cluster.output(job_id) == "job task\n"


def test_the_callers_own_environment_is_not_forwarded(cluster: Cluster) -> None:
    done = cluster.hpc("run", "--shell", "echo ${MINE-unset}", MINE="secret")

    assert done.out == "unset\n"


def test_a_task_starts_in_the_callers_directory_or_in_the_given_one(
    cluster: Cluster,
) -> None:
    elsewhere = cluster.cwd / "else where"
    elsewhere.mkdir()

    assert cluster.hpc("run", "--", "pwd").out == f"{cluster.cwd}\n"
    assert cluster.hpc("run", "--workdir", elsewhere, "--", "pwd").out == (
        f"{elsewhere}\n"
    )


def test_each_element_of_a_sweep_reads_and_writes_files_of_its_own(
    cluster: Cluster,
) -> None:
    for number in (1, 2, 3):
        (cluster.cwd / f"in-00{number}").write_text(f"line {number}\n")

    job_id = cluster.submit(
        "--array", "1-3", "--stdin", "in-***", "--stdout", "out-*", "--stderr", "e-*",
        "--shell", "cat; echo done ** >&2",
    )  # fmt: skip
    cluster.ended(job_id)

    for number in (1, 2, 3):
        assert (cluster.cwd / f"out-{number}").read_text() == f"line {number}\n"
        assert (cluster.cwd / f"e-{number}").read_text() == f"done 0{number}\n"
        assert state_of(cluster.task(job_id, 1, number)) == "FINISHED"


def test_one_file_for_both_streams_holds_them_in_the_order_of_writing(
    cluster: Cluster,
) -> None:
    cluster.hpc(
        "run", "--stdout", "both", "--stderr", "both",
        "--shell", "echo 1; echo 2 >&2; echo 3",
    )  # fmt: skip

    assert (cluster.cwd / "both").read_text() == "1\n2\n3\n"


def test_the_exit_status_of_run_is_the_one_of_its_task(cluster: Cluster) -> None:
    cluster.hpc("run", "--", "true", status=0)
    cluster.hpc("run", "--shell", "exit 7", status=7)
    cluster.hpc("run", "--shell", "kill -SEGV $$", status=128 + signal.SIGSEGV)


def test_a_task_that_died_of_a_signal_failed_with_128_and_its_number(
    cluster: Cluster,
) -> None:
    job_id = cluster.submit("--shell", "kill -KILL $$")
    job = cluster.ended(job_id)

    task = cluster.task(job_id)
    assert state_of(job) == state_of(task) == "FAILED"
    assert task.exit_code == 128 + signal.SIGKILL
    assert reason_of(task) == "SIGNALED"
    assert "SIGKILL" in task.error_message or "9" in task.error_message


def test_an_exit_code_counts_as_success_only_if_it_is_a_valid_one(
    cluster: Cluster,
) -> None:
    job_id = cluster.submit(
        "--array", "1-6", "--valid-exit", "0,3..5", "--shell", "exit *"
    )
    cluster.ended(job_id)

    states = {n: state_of(cluster.task(job_id, 1, n)) for n in range(1, 7)}
    assert [n for n, state in states.items() if state == "FINISHED"] == [3, 4, 5]
    assert {states[n] for n in (1, 2, 6)} == {"FAILED"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--", "no-such-program"], "no-such-program"),
        (["--", "/etc/passwd"], "/etc/passwd"),
        (["--workdir", "/no/such/dir", "--", "true"], "/no/such/dir"),
        (["--stdin", "/no/such/file", "--", "cat"], "/no/such/file"),
        (["--stdout", "/no/such/dir/file", "--", "true"], "/no/such/dir/file"),
    ],
    ids=["no program", "not executable", "no directory", "no input", "no output"],
)
def test_what_cannot_be_started_fails_with_the_reason_and_without_an_exit_code(
    cluster: Cluster, arguments: list[str], words: str
) -> None:
    done = cluster.hpc("run", *arguments, status=10)

    (job,) = cluster.client.jobs(limit=1)
    task = cluster.task(job.id)
    assert state_of(job) == state_of(task) == "FAILED"
    assert reason_of(task) == "START_FAILED"
    assert not task.HasField("exit_code")
    assert words in task.error_message
    assert words in done.err, "the caller is not told why"
    assert task.attempt == 1, "a task error is not retried"


def test_a_task_leaves_no_daemon_behind(cluster: Cluster) -> None:
    line = (
        "setsid sh -c 'echo $$ >pid; exec sleep 300' & while ! [ -s pid ]; do :; done"
    )
    cluster.hpc("run", "--shell", line)

    pid = int((cluster.cwd / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_failed_tasks_are_retried_as_often_as_the_job_allows(
    cluster: Cluster,
) -> None:
    line = "echo x >>runs; [ $(wc -l <runs) = 3 ]"
    job_id = cluster.submit("--retries", "5", "--shell", line)
    job = cluster.ended(job_id)

    assert state_of(job) == "FINISHED"
    assert (cluster.cwd / "runs").read_text() == "x\n" * 3
    assert cluster.task(job_id).attempt == 3


def test_a_task_that_depends_on_others_by_name_starts_after_all_of_them(
    cluster: Cluster,
) -> None:
    job_id = int(cluster.hpc("job", "new", "--cores", "1-4").out)
    cluster.hpc("job", "add", job_id, "--name", "a", "--array", "1-4", "--shell",
                "sleep 0.2; echo a >>log")  # fmt: skip
    cluster.hpc("job", "add", job_id, "--name", "b", "--shell", "echo b >>log; exit 1")
    cluster.hpc("job", "add", job_id, "--name", "last", "--depends", "a,b", "--shell",
                "echo last >>log")  # fmt: skip
    cluster.hpc("job", "submit", job_id)
    cluster.ended(job_id)

    lines = (cluster.cwd / "log").read_text().split()
    assert sorted(lines[:-1]) == ["a", "a", "a", "a", "b"]
    assert lines[-1] == "last", "a failed task satisfies a dependency, too"


def test_a_job_that_is_too_large_for_the_nodes_waits_and_says_why(
    cluster: Cluster,
) -> None:
    job_id = cluster.submit("--cores", "99", "--", "true")

    assert cluster.job(job_id).pending_reason == "NotEnoughResource"
    assert "needs 99 cores" in cluster.hpc("job", "why", job_id).out
