"""Reading what tasks wrote: live, afterwards, from an offset."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from tests.support.cluster import PATIENCE_S
from tests.support.polling import wait_for

if TYPE_CHECKING:
    from tests.support.cluster import Cluster

#: Writes a line, waits for a file, writes another.
TWO_LINES = "echo first; until [ -e go ]; do sleep 0.02; done; echo second; exit 3"


def line_of(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


def test_follow_shows_lines_while_the_task_runs_and_ends_with_it(
    cluster: Cluster,
) -> None:
    job_id = cluster.submit("--shell", TWO_LINES)
    with cluster.popen("task", "output", f"{job_id}.1", "--follow") as follower:
        assert line_of(follower.stdout) == "first\n"
        (cluster.cwd / "go").touch()
        rest, err = follower.communicate(timeout=PATIENCE_S)

    assert rest == "second\n"
    assert (follower.returncode, err) == (0, "")


def test_run_shows_lines_while_the_task_runs(cluster: Cluster) -> None:
    with cluster.popen("run", "--shell", TWO_LINES) as runner:
        assert line_of(runner.stdout) == "first\n"
        (cluster.cwd / "go").touch()
        rest, _ = runner.communicate(timeout=PATIENCE_S)

    assert rest == "second\n"
    assert runner.returncode == 3


def test_follow_may_start_before_the_task_does(cluster: Cluster) -> None:
    blocker = cluster.submit("--nodelist", "n1", "--exclusive", "--shell", TWO_LINES)
    cluster.until_job(blocker, "RUNNING")
    job_id = cluster.submit("--nodelist", "n1", "--", "echo", "at last")
    with cluster.popen("job", "output", job_id, "--follow") as follower:
        (cluster.cwd / "go").touch()
        out, err = follower.communicate(timeout=PATIENCE_S)

    assert (out, err) == ("at last\n", "")


def test_output_can_be_read_from_an_offset_and_from_the_end(cluster: Cluster) -> None:
    job_id = cluster.submit("--shell", "printf 0123456789; printf abc >&2")
    cluster.ended(job_id)
    name = f"{job_id}.1"

    assert cluster.hpc("task", "output", name).out == "0123456789"
    assert cluster.hpc("task", "output", name, "--offset", "4").out == "456789"
    assert cluster.hpc("task", "output", name, "--offset", "-3").out == "789"
    assert cluster.hpc("task", "output", name, "--offset", "99").out == ""
    assert cluster.hpc("task", "output", name, "--stderr").out == "abc"


def test_a_large_output_is_kept_whole(cluster: Cluster) -> None:
    job_id = cluster.submit("--shell", "seq 1 300000")
    cluster.ended(job_id)

    lines = cluster.hpc("task", "output", f"{job_id}.1").lines
    assert lines == [str(n) for n in range(1, 300_001)]
    assert len(cluster.task(job_id).output) == 4096


def test_a_task_that_floods_its_output_does_not_stop_the_others(
    cluster: Cluster,
) -> None:
    flood = cluster.submit("--shell", "yes | head -c 50000000")

    assert cluster.hpc("run", "--", "echo", "hello").out == "hello\n"
    assert cluster.ended(flood).state
    assert cluster.task(flood).exit_code == 0


def test_bytes_that_are_no_text_come_through_unchanged(cluster: Cluster) -> None:
    job_id = cluster.submit("--shell", r"printf '\377\000\200x'")
    cluster.ended(job_id)

    pieces = cluster.client.output(job_id, 1)
    assert b"".join(pieces) == b"\xff\x00\x80x"


def test_the_output_of_a_job_is_that_of_its_tasks_one_after_the_other(
    cluster: Cluster,
) -> None:
    job_id = cluster.submit("--array", "1-5", "--shell", "sleep 0.0$((6-*)); echo *")
    cluster.ended(job_id)

    assert cluster.hpc("job", "output", job_id).lines == ["1", "2", "3", "4", "5"]


def test_a_file_of_the_users_is_shown_too_for_as_long_as_it_is_there(
    cluster: Cluster,
) -> None:
    job_id = cluster.submit("--stdout", "mine", "--", "echo", "x")
    cluster.ended(job_id)

    assert cluster.hpc("task", "output", f"{job_id}.1").out == "x\n"
    (cluster.cwd / "mine").unlink()
    error = cluster.refused("task", "output", f"{job_id}.1")
    assert error["reason"] == "OUTPUT_IN_FILE"
    assert "mine" in error["message"]


def test_a_closed_pipe_ends_the_reader_quietly(cluster: Cluster) -> None:
    job_id = cluster.submit("--shell", "seq 1 300000")
    cluster.ended(job_id)
    with cluster.popen("task", "output", f"{job_id}.1") as reader:
        assert line_of(reader.stdout) == "1\n"
        assert reader.stdout is not None
        reader.stdout.close()
        assert reader.stderr is not None
        assert reader.stderr.read() == ""
        wait_for(lambda: reader.poll() is not None, what="the reader's end")
