"""Sweeps: values, lines, how many run at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.cluster import state_of

if TYPE_CHECKING:
    from tests.support.cluster import Cluster


def test_a_sweep_runs_once_for_each_value_and_spreads_over_the_nodes(
    cluster: Cluster,
) -> None:
    done = cluster.hpc("run", "--array", "3-17:2", "--", "echo", "value", "*")

    assert sorted(done.lines) == sorted(f"value {n}" for n in range(3, 18, 2))
    (job,) = cluster.client.jobs(limit=1)
    assert sorted(job.allocated_nodes) == cluster.nodes
    assert job.task_counts.total == job.task_counts.finished == 8
    elements = cluster.client.tasks(job.id, elements=True)
    assert [e.instance_id for e in elements] == list(range(1, 9))
    assert [e.instance_value for e in elements] == list(range(3, 18, 2))


def test_stars_pad_and_a_caret_keeps_one(cluster: Cluster) -> None:
    done = cluster.hpc("run", "--array", "7-7", "--", "echo", "*", "***", "^*")

    assert done.out == "7 007 *\n"


def test_a_sweep_over_lines_gives_each_element_its_line(cluster: Cluster) -> None:
    (cluster.cwd / "lines").write_text("one two\n\nd'ri $HOME\n  \n*last é\n")

    done = cluster.hpc(
        "run", "--each-line", "lines", "--", "sh", "-c", 'echo "$1|$HPC_LINE"', "x", "*"
    )

    wanted = ["one two", "d'ri $HOME", "*last é"]
    assert sorted(done.lines) == sorted(f"{line}|{line}" for line in wanted)


def test_no_more_elements_run_at_once_than_the_sweep_allows(cluster: Cluster) -> None:
    # The first two go on together, so two are seen at once however slow the nodes are.
    line = (
        "echo + >>log; until [ $(grep -c + log) -gt 1 ]; do sleep 0.02; done; "
        "sleep 0.05; echo - >>log"
    )
    job_id = cluster.submit("--array", "1-8%2", "--shell", line)
    cluster.ended(job_id)

    running = most = 0
    for mark in (cluster.cwd / "log").read_text().split():
        running += 1 if mark == "+" else -1
        most = max(most, running)
    assert most == 2


def test_a_sweep_uses_all_cores_of_all_nodes_at_once(cluster: Cluster) -> None:
    line = "touch here-*; while [ $(ls here-? | wc -l) -lt 4 ]; do sleep 0.02; done"

    job = cluster.ended(cluster.submit("--array", "1-4", "--shell", line))

    assert state_of(job) == "FINISHED", "four elements never ran side by side"


def test_elements_of_two_cores_get_two_cores_each(cluster: Cluster) -> None:
    done = cluster.hpc("run", "--array", "1-3", "--cores", "2", "--shell",
                       "echo $CCP_NUMCPUS")  # fmt: skip

    assert done.lines == ["2", "2", "2"]


def test_a_sweep_with_a_failed_element_fails_after_all_others_have_run(
    cluster: Cluster,
) -> None:
    job_id = cluster.submit("--array", "1-6", "--shell", "[ * != 2 ]")
    job = cluster.ended(job_id)

    assert state_of(job) == "FAILED"
    assert (job.task_counts.finished, job.task_counts.failed) == (5, 1)
    assert state_of(cluster.task(job_id)) == "FAILED"
    assert cluster.task(job_id, 1, 2).exit_code == 1


def test_a_critical_task_that_fails_ends_its_job_at_once(cluster: Cluster) -> None:
    job_id = cluster.submit(
        "--array", "1-40", "--critical", "--grace", "1s",
        "--shell", "[ * = 1 ] && exit 1; sleep 60",
    )  # fmt: skip
    job = cluster.ended(job_id)

    assert state_of(job) == "FAILED"
    assert job.task_counts.finished == 0
    assert job.task_counts.canceled >= 36


def test_a_thousand_elements_run_and_each_has_a_record(cluster: Cluster) -> None:
    job_id = cluster.submit("--array", "1-1000", "--", "true")
    job = cluster.ended(job_id)

    assert job.task_counts.finished == 1000
    assert cluster.task(job_id, 1, 1000).exit_code == 0
