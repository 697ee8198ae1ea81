"""Events, waiting, and calls that are made twice."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from tests.support.cluster import state_of

if TYPE_CHECKING:
    from tests.support.cluster import Cluster

JOB_KEYS = frozenset(
    [
        "id",
        "name",
        "owner",
        "state",
        "previous_state",
        "priority",
        "task_counts",
        "error_message",
        "submit_time",
        "start_time",
        "end_time",
        "requeue_count",
        "pending_reason",
    ]
)

TASK_KEYS = frozenset(
    [
        "job_id",
        "task_id",
        "instance_id",
        "name",
        "state",
        "exit_code",
        "attempt",
        "requeue_count",
        "error_message",
        "nodes",
        "start_time",
        "end_time",
        "output",
        "end_reason",
    ]
)

NODE_KEYS = frozenset(
    ["name", "state", "reachable", "cores", "cores_in_use", "memory_bytes", "groups"]
)


def events(cluster: Cluster, *arguments: object) -> list[Any]:
    done = cluster.hpc("--json", "events", *arguments)
    return [json.loads(line) for line in done.lines]


def test_the_events_of_a_job_pass_every_state_and_its_revisions_have_no_gap(
    cluster: Cluster,
) -> None:
    job_id = cluster.submit("--", "true")
    cluster.ended(job_id)

    found = [e for e in events(cluster, "--job", job_id) if e.get("job_id") == job_id]
    assert [int(e["revision"]) for e in found] == list(range(1, len(found) + 1))
    changes = [c for e in found for c in e["changes"]]
    for task, states in {
        0: "SUBMITTED VALIDATING QUEUED RUNNING FINISHING FINISHED",
        1: "SUBMITTED VALIDATING QUEUED DISPATCHING RUNNING FINISHING FINISHED",
    }.items():
        passed = [c for c in changes if c["task_id"] == task]
        assert [c["state"] for c in passed] == [f"STATE_{s}" for s in states.split()]
        before = ["STATE_CONFIGURING", *(c["state"] for c in passed)]
        assert [c["previous_state"] for c in passed] == before[:-1]


def test_events_go_on_behind_a_cursor_without_a_gap_or_a_repeat(
    cluster: Cluster,
) -> None:
    # Its own events: older ones may be gone, with a job that a test has deleted.
    job_id = cluster.submit("--array", "1-20", "--", "true")
    cluster.ended(job_id)
    whole = [e for e in events(cluster) if e.get("job_id") == job_id]
    middle = len(whole) // 2

    rest = events(cluster, "--after", whole[middle]["cursor"])

    cursors = [e["cursor"] for e in whole]
    found = [e["cursor"] for e in rest if e.get("job_id") == job_id]
    assert found == cursors[middle + 1 :]
    assert len(set(cursors)) == len(cursors)


def test_a_follower_is_told_what_happens_while_it_listens(cluster: Cluster) -> None:
    with cluster.popen("--json", "events", "--follow") as follower:
        assert follower.stdout is not None
        for line in follower.stdout:
            if json.loads(line).get("caught_up"):
                break
        job_id = cluster.submit("--", "true")
        for line in follower.stdout:
            event = json.loads(line)
            last = (event.get("changes") or [{}])[-1]
            ended = {
                "task_id": 0,
                "elements": "",
                "state": "STATE_FINISHED",
                "previous_state": "STATE_FINISHING",
            }
            if event.get("job_id") == job_id and ended.items() <= last.items():
                break
        follower.terminate()
    assert state_of(cluster.job(job_id)) == "FINISHED"


def test_wait_ends_with_the_worst_of_the_jobs(cluster: Cluster) -> None:
    good = cluster.submit("--", "true")
    bad = cluster.submit("--", "false")
    gone = cluster.submit("--cores", "99", "--", "true")
    cluster.hpc("job", "cancel", gone)

    cluster.hpc("job", "wait", good, status=0)
    cluster.hpc("job", "wait", good, gone, status=11)
    done = cluster.hpc("--json", "job", "wait", good, gone, bad, status=10)
    assert [job["id"] for job in done.json["jobs"]] == [good, gone, bad]


def test_wait_gives_up_when_its_time_is_over(cluster: Cluster) -> None:
    job_id = cluster.submit("--cores", "99", "--", "true")

    done = cluster.hpc("job", "wait", job_id, "--timeout", "300ms", status=5)

    assert "WAIT_TIMEOUT" in done.err
    assert state_of(cluster.job(job_id)) == "QUEUED"


def test_watch_shows_the_changes_of_a_job_until_it_has_ended(cluster: Cluster) -> None:
    job_id = cluster.submit("--shell", "exit 1")

    done = cluster.hpc("--json", "job", "watch", job_id, status=0)

    found = [json.loads(line) for line in done.lines]
    states = [
        c["state"] for e in found for c in e.get("changes", ()) if c["task_id"] == 0
    ]
    assert states[-1] == "STATE_FAILED"


def test_a_submission_that_is_repeated_with_its_request_id_makes_one_job(
    cluster: Cluster,
) -> None:
    request_id = uuid.uuid4()
    first = cluster.submit("--request-id", request_id, "--", "echo", "once")
    cluster.ended(first)

    again = cluster.submit("--request-id", request_id, "--", "echo", "once")
    error = cluster.refused(
        "submit", "--request-id", request_id, "--", "echo", "something else"
    )

    assert again == first
    assert error["reason"] == "REQUEST_ID_REUSED"
    (newest,) = cluster.client.jobs(limit=1)
    assert newest.id == first


def test_a_batch_is_submitted_whole_or_not_at_all(cluster: Cluster) -> None:
    line = '{{"name": "b{}", "tasks": [{{"arguments": ["echo", "{}"]}}]}}\n'
    lines = "".join(line.format(n, n) for n in range(1, 6))
    (cluster.cwd / "good").write_text(lines)
    (cluster.cwd / "bad").write_text(f'{lines}{{"name": "b6", "tasks": [{{}}]}}\n')

    before = cluster.client.jobs(limit=1)
    error = cluster.refused("submit", "--batch", "bad")
    assert error["reason"] == "MISSING_COMMAND"
    assert [j.id for j in cluster.client.jobs(limit=1)] == [j.id for j in before]
    ids = [int(x) for x in cluster.hpc("submit", "--batch", "good", "--wait").lines]

    assert len(ids) == 5
    assert [cluster.job(j).name for j in ids] == ["b1", "b2", "b3", "b4", "b5"]
    assert [cluster.output(j) for j in ids] == ["1\n", "2\n", "3\n", "4\n", "5\n"]


def test_a_job_file_describes_a_whole_job(cluster: Cluster) -> None:
    (cluster.cwd / "job.toml").write_text(
        """
        name = "pipeline"
        runtime = "1h"
        [[tasks]]
        name = "first"
        arguments = ["echo", "one"]
        [[tasks]]
        name = "second"
        depends_on = ["first"]
        command_line = "echo two"
        """
    )

    job_id = int(cluster.hpc("submit", "--wait", "--file", "job.toml").out)

    assert cluster.hpc("job", "output", job_id).lines == ["one", "two"]
    assert cluster.job(job_id).name == "pipeline"


def test_the_keys_that_scripts_rely_on_are_there(cluster: Cluster) -> None:
    job_id = cluster.submit("--name", "k", "--", "true")
    cluster.ended(job_id)
    job = cluster.hpc("--json", "job", "show", job_id).json
    task = cluster.hpc("--json", "task", "show", f"{job_id}.1").json
    node = cluster.hpc("--json", "node", "show", "n1").json

    assert set(job) >= JOB_KEYS
    assert set(task) >= TASK_KEYS
    assert set(node) >= NODE_KEYS
    assert (job["state"], task["end_reason"]) == (
        "STATE_FINISHED",
        "END_REASON_EXITED",
    )
    assert isinstance(node["memory_bytes"], str)
    assert task["exit_code"] == task["instance_id"] == 0
