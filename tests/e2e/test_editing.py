"""Edits, holds and parents on real processes, with the head killed in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.cluster import state_of
from tests.support.polling import wait_for

if TYPE_CHECKING:
    from tests.support.cluster import Cluster


def restart_the_head(cluster: Cluster) -> None:
    cluster.kill("head")
    cluster.up()


def test_a_failed_job_is_edited_and_runs_as_it_was_changed(cluster: Cluster) -> None:
    job_id = cluster.submit("--array", "1-2", "--shell", "test * = 1 -o -e go")
    cluster.ended(job_id)
    assert state_of(cluster.job(job_id)) == "FAILED"

    cluster.hpc("job", "modify", job_id, "project=p", "environment.WORD=hello")
    assert state_of(cluster.job(job_id)) == "CONFIGURING"
    line = "command_line=echo $WORD * >out-*"
    cluster.hpc("task", "modify", f"{job_id}.1", line, "end_value=3")
    restart_the_head(cluster)
    cluster.hpc("job", "submit", job_id)
    job = cluster.ended(job_id)

    assert state_of(job) == "FINISHED"
    assert (job.project, job.requeue_count, job.task_counts.finished) == ("p", 1, 3)
    # The first element had finished before, and was kept.
    found = sorted(path.read_text() for path in cluster.cwd.glob("out-*"))
    assert found == ["hello 2\n", "hello 3\n"]


def test_a_running_job_takes_what_it_may_and_refuses_the_rest(cluster: Cluster) -> None:
    job_id = cluster.submit("--", "sleep", "300")
    cluster.until_job(job_id, "RUNNING")

    error = cluster.refused("job", "modify", job_id, "project=p", "name=other")
    assert error["reason"] == "PROPERTY_NOT_MODIFIABLE"
    assert error["metadata"]["hresult"] == "-2147220962"
    assert cluster.job(job_id).project == ""
    cluster.hpc("job", "modify", job_id, "progress=40", "progress_message=half")
    job = cluster.job(job_id)
    assert (job.progress, job.progress_message) == (40, "half")

    cluster.hpc("job", "modify", job_id, "runtime=1s")
    job = cluster.ended(job_id)
    assert state_of(job) == "CANCELED"
    assert job.error_code == -2147218987


def test_a_clone_is_its_original_again_when_its_file_is_restored(
    cluster: Cluster,
) -> None:
    first = int(
        cluster.hpc(
            *("job", "new", "--name", "a", "--priority", "normal", "--runtime", "2h"),
            *("--env", "A=1", "--label", "k=v", "--cores", "2-8", "--exclude", "n2"),
        ).out
    )
    cluster.hpc("job", "add", first, "--name", "one", "--", "echo", "a b")
    cluster.hpc("job", "add", first, "--array", "1-9:2", "--shell", "echo * >out-*")
    cluster.hpc("job", "add", first, "--depends", "one", "--name", "two", "--", "true")
    for form in ("xml", "toml", "json"):
        file = cluster.cwd / f"original.{form}"
        cluster.hpc("job", "export", first, "--format", form, "--output", file)
        clone = int(cluster.hpc("--quiet", "job", "clone", first).out)
        wrong = cluster.refused(
            "job", "modify", clone, "--file", file, "min_cores=9", "max_cores=1"
        )
        assert wrong["reason"] == "MIN_GREATER_THAN_MAX"
        cluster.hpc("job", "modify", clone, "name=b", "runtime=", "environment.A=2")
        cluster.hpc("task", "modify", f"{clone}.2", "end_value=30", "runtime=1m")
        cluster.hpc("task", "modify", f"{clone}.2", "runtime=")
        cluster.hpc("task", "modify", f"{clone}.3", "depends_on=")

        cluster.hpc("job", "modify", clone, "--file", file, "--dry-run")
        assert cluster.job(clone).name == "b"
        cluster.hpc("job", "modify", clone, "--file", file)

        # What XML says of times and numbers of the job itself is another's.
        exports = [
            cluster.hpc("job", "export", one, "--format", "toml").out
            for one in (first, clone)
        ]
        assert exports[0] == exports[1]


def test_two_editors_do_not_overwrite_each_other(cluster: Cluster) -> None:
    job_id = int(cluster.hpc("job", "new", "--name", "a").out)
    revision = cluster.job(job_id).revision
    cluster.hpc("job", "modify", job_id, "name=b", "--if-revision", revision)

    late = ("job", "modify", job_id, "name=c", "--if-revision", revision)

    assert cluster.refused(*late)["reason"] == "REVISION_CONFLICT"
    assert cluster.job(job_id).name == "b"


def test_a_hold_outlives_the_head_and_ends_at_its_time(cluster: Cluster) -> None:
    long = cluster.submit("--hold-until", "+1h", "--", "true")
    short = cluster.submit("--hold-until", "+6s", "--", "true")
    held_until = cluster.job(short).hold_until.ToNanoseconds()
    assert held_until
    restart_the_head(cluster)
    assert "its owner holds it until" in cluster.hpc("job", "why", long).out

    job = cluster.ended(short)

    # However long the restart took, it was not over before its hold.
    assert state_of(job) == "FINISHED"
    assert job.start_time.ToNanoseconds() >= held_until
    assert state_of(cluster.job(long)) == "QUEUED"
    cluster.hpc("job", "release", long)
    assert state_of(cluster.ended(long)) == "FINISHED"


def test_a_child_waits_for_its_parent_through_restarts(cluster: Cluster) -> None:
    parent = cluster.submit("--shell", "test -e go")
    cluster.ended(parent)
    first = cluster.submit("--", "true")
    cluster.ended(first)
    child = cluster.submit("--parent", f"{parent},{first}", "--", "true")
    orphan = cluster.submit("--parent", parent, "--", "true")
    assert cluster.job(child).pending_reason == "ParentJobsCanceledOrFailed"
    assert list(cluster.job(parent).child_job_ids) == [child, orphan]
    restart_the_head(cluster)
    assert cluster.job(child).pending_reason == "ParentJobsCanceledOrFailed"

    (cluster.cwd / "go").touch()
    cluster.hpc("job", "requeue", parent)

    assert state_of(cluster.ended(child)) == "FINISHED"
    assert state_of(cluster.ended(orphan)) == "FINISHED"
    ended = cluster.job(parent).end_time.ToNanoseconds()
    assert cluster.job(child).start_time.ToNanoseconds() >= ended


def test_a_child_whose_parent_is_forgotten_is_canceled(cluster: Cluster) -> None:
    parent = cluster.submit("--", "false")
    cluster.ended(parent)
    child = cluster.submit("--parent", parent, "--", "true")

    cluster.hpc("job", "forget", parent)

    wait_for(lambda: state_of(cluster.job(child)) == "CANCELED", what="the end")
    assert cluster.job(child).error_code == -2147220563
