"""Lists, single objects, JSON, streams and errors (cli.md section 4)."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.api.v1 import job_pb2, task_pb2
from hpcsched.cli.arguments import JOB_STATES, TASK_STATES
from hpcsched.common.errors import HpcError

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine
    from tests.support.fake_api import FakeApi


def test_json_keys_that_scripts_may_rely_on_are_there(
    hpc: CommandLine, api: FakeApi
) -> None:
    api.add_job("QUEUED", pending_reason="None")
    api.add_node("n1", memory_bytes=8 << 30)

    (job,) = hpc("job", "list", "--json").json["jobs"]
    (task,) = hpc("task", "list", "1", "--json").json["tasks"]
    (node,) = hpc("node", "list", "--json").json["nodes"]

    keys = "id name owner state previous_state priority task_counts error_message"
    keys += " requeue_count pending_reason"
    assert set(keys.split()) <= job.keys()
    assert (job["state"], job["name"], job["priority"]) == ("STATE_QUEUED", "", 0)
    assert (job["task_counts"]["total"], job["task_counts"]["running"]) == (1, 0)
    assert "start_time" not in job, "what has no value yet is left out"
    keys = "job_id task_id instance_id name state attempt requeue_count error_message"
    keys += " nodes output end_reason"
    assert set(keys.split()) <= task.keys()
    assert "exit_code" not in task
    assert (task["instance_id"], task["nodes"]) == (0, [])
    assert task["end_reason"] == "END_REASON_UNSPECIFIED"
    keys = "name state reachable cores cores_in_use memory_bytes groups"
    assert set(keys.split()) <= node.keys()
    assert node["memory_bytes"] == str(8 << 30), "64-bit integers are strings"


def test_an_exit_code_of_nought_is_printed(hpc: CommandLine, api: FakeApi) -> None:
    api.add_job()
    api.tasks[1] = []
    api.add_task(1, "FINISHED", exit_code=0)

    assert hpc("task", "show", "1.1", "--json").json["exit_code"] == 0


def test_list_shows_my_active_jobs_unless_asked_for_others(
    hpc: CommandLine, api: FakeApi
) -> None:
    api.add_job("RUNNING")
    api.add_job("FINISHED")
    api.add_job("QUEUED", owner="bob")

    assert hpc("job", "list", "-q").out.split() == ["1"]
    assert hpc("job", "list", "--all", "-q").out.split() == ["2", "1"]
    assert hpc("job", "list", "--state", "finished", "-q").out.split() == ["2"]
    assert hpc("job", "list", "--owner", "bob", "-q").out.split() == ["3"]
    assert hpc("job", "list", "--owner", "all", "-q").out.split() == ["3", "1"]


def test_list_fetches_every_page_unless_limited(
    hpc: CommandLine, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpcsched.client.jobs.LARGEST_PAGE", 2)
    for _ in range(5):
        api.add_job()

    assert hpc("job", "list", "-q").out.split() == ["5", "4", "3", "2", "1"]
    page = hpc("job", "list", "--limit", 3, "--json").json
    assert [job["id"] for job in page["jobs"]] == [5, 4, 3]
    token = page["next_page_token"]
    rest = hpc("job", "list", "--page-token", token, "--json").json
    assert [job["id"] for job in rest["jobs"]] == [2, 1]
    assert rest["next_page_token"] == ""


def test_piped_tables_are_plain_and_untruncated(hpc: CommandLine, api: FakeApi) -> None:
    name = "x" * 80
    api.add_job("RUNNING", name=name, error_message="a\x1b[31mb\nc")

    head, row = hpc("job", "list").out.splitlines()

    assert head.split()[:4] == ["ID", "NAME", "OWNER", "STATE"]
    assert name in row
    assert "\x1b" not in row


def test_task_list_shows_sweeps_as_their_master_unless_elements_are_asked_for(
    hpc: CommandLine, api: FakeApi
) -> None:
    job_id = api.add_job()
    api.tasks[job_id] = []
    api.add_task(job_id, type=task_pb2.TASK_TYPE_PARAMETRIC_SWEEP)
    api.add_task(job_id, "FAILED", task_id=1, instance_id=1)
    api.add_task(job_id, "QUEUED", task_id=1, instance_id=2)

    assert hpc("task", "list", 1, "-q").out.split() == ["1.1"]
    assert hpc("job", "tasks", 1, "--elements", "-q").out.split() == ["1.1.1", "1.1.2"]
    assert hpc("task", "list", 1, "--state", "Failed", "-q").out.split() == ["1.1.1"]


def test_history_is_one_event_per_line_with_states_by_name(
    hpc: CommandLine, api: FakeApi
) -> None:
    api.add_job()
    api.add_event(1, (1, "1-64,70", 6, 5))

    first, second = hpc("job", "history", 1, "--json").lines

    assert first["changes"] == [
        {
            "task_id": 0,
            "elements": "",
            "state": "STATE_QUEUED",
            "previous_state": "STATE_UNSPECIFIED",
            "reason_code": 0,
            "reason": "",
        }
    ]
    assert second["changes"] == [
        {
            "task_id": 1,
            "elements": "1-64,70",
            "state": "STATE_RUNNING",
            "previous_state": "STATE_DISPATCHING",
            "reason_code": 0,
            "reason": "",
        }
    ]
    assert (first["cursor"], first["job_id"], first["revision"]) == ("c1", 1, "1")
    assert first["time"].endswith("Z")


def test_watch_ends_with_the_job_and_with_status_0(
    hpc: CommandLine, api: FakeApi
) -> None:
    api.add_job()
    api.end_job(1, "FAILED")

    *events, mark = hpc("job", "watch", 1, "--json").lines

    assert [event["changes"][0]["state"] for event in events] == [
        "STATE_QUEUED",
        "STATE_FAILED",
    ]
    assert mark == {"cursor": "c2", "caught_up": True}


def test_a_watch_resumes_where_it_was_without_gap_or_repeat(
    hpc: CommandLine, api: FakeApi
) -> None:
    api.add_job()
    for _ in range(4):
        api.add_event(1, (1, "", 4, 4))
    api.end_job(1)
    api.drops["WatchJob"] = [2, 1, 0, 2]

    lines = hpc("job", "watch", 1, "--json").lines

    assert [line["cursor"] for line in lines if "changes" in line] == [
        f"c{n}" for n in range(1, 7)
    ]
    assert sum("caught_up" in line for line in lines) == 1
    assert [call.after for call in api.asked("WatchJob")] == [
        "",
        "c2",
        "c3",
        "c3",
        "c5",
    ]


def test_events_without_follow_end_at_the_present(
    hpc: CommandLine, api: FakeApi
) -> None:
    api.add_job()
    api.add_job()

    assert [line["cursor"] for line in hpc("events", "--json").lines] == [
        "c1",
        "c2",
        "c2",
    ]
    lines = hpc("events", "--json", "--after", "c1").lines
    assert [line["cursor"] for line in lines] == ["c2", "c2"]
    assert lines[-1] == {"cursor": "c2", "caught_up": True}
    (event, _) = hpc("events", "--json", "--job", 2).lines
    assert event["job_id"] == 2


def test_an_expired_cursor_is_refused_with_the_oldest_one(
    hpc: CommandLine, api: FakeApi
) -> None:
    error = hpc("events", "--after", "expired", "--json", status=1).error

    assert (error["code"], error["reason"]) == ("OUT_OF_RANGE", "CURSOR_EXPIRED")
    assert error["metadata"]["oldest_cursor"] == "c1"


def test_output_resumes_by_offset(hpc: CommandLine, api: FakeApi) -> None:
    api.add_job()
    api.outputs[1, 1, 0, 1] = b"0123456789abcdef"
    api.drops["ReadOutput"] = [1, 2]

    assert hpc("task", "output", "1.1", "--follow").out == "0123456789abcdef"
    assert [call.offset for call in api.asked("ReadOutput")] == [0, 4, 12]


def test_output_has_streams_and_offsets(hpc: CommandLine, api: FakeApi) -> None:
    api.add_job()
    api.outputs[1, 1, 0, 1] = b"out"
    api.outputs[1, 1, 0, 2] = b"0123456789"

    assert hpc("job", "output", "1").out == "out"
    assert hpc("task", "output", "1.1", "--stderr", "--offset", "4").out == "456789"
    assert hpc("task", "output", "1.1", "--stderr", "--offset", "-3").out == "789"
    pieces = hpc("task", "output", "1.1", "--json").lines
    assert base64.b64decode(pieces[0]["data"]) == b"out"
    assert pieces[-1]["eof"] is True


def test_a_task_whose_output_is_gone_does_not_keep_that_of_others_back(
    hpc: CommandLine, api: FakeApi
) -> None:
    api.add_job()
    api.add_task(1)
    api.outputs[1, 2, 0, 1] = b"mine"
    api.faults["ReadOutput"].append(HpcError("OUTPUT_GONE", task="1.1", node="n1"))

    result = hpc("job", "output", "1", status=1)

    assert result.out == "mine"
    assert "the output of task 1.1 is no longer kept" in result.err


def test_an_error_is_one_line_or_one_object_on_stderr(
    hpc: CommandLine, api: FakeApi
) -> None:
    text = hpc("job", "show", 7, status=1)
    as_json = hpc("job", "show", 7, "--json", status=1)

    assert (text.out, text.err) == ("", "hpc: JOB_NOT_FOUND: job 7 not found.\n")
    assert json.loads(as_json.err) == {
        "error": {
            "code": "NOT_FOUND",
            "reason": "JOB_NOT_FOUND",
            "message": "job 7 not found",
            "metadata": {"job_id": "7", "hresult": "-2147220986"},
        }
    }


def test_a_hint_follows_the_sentence(hpc: CommandLine, api: FakeApi) -> None:
    refusal = HpcError("PARAMETER_NOT_FOUND", name="X")
    api.faults["ListParameters"].append(refusal)

    assert hpc("cluster", "get", "X", status=1).err == (
        "hpc: PARAMETER_NOT_FOUND: no cluster parameter is called X. "
        "hint: hpc cluster get\n"
    )


@pytest.mark.parametrize(
    ("reason", "facts", "status"),
    [
        ("UNAUTHENTICATED", {"problem": "the token is void"}, 4),
        ("PERMISSION_DENIED", {"user": "ada", "operation": "cancel"}, 4),
        ("INTERNAL", {"incident": "1"}, 1),
        ("DISK_FULL", {}, 1),
        ("NODE_UNREACHABLE", {"node": "n1"}, 1),
    ],
)
def test_refusals_have_their_exit_status(
    hpc: CommandLine, api: FakeApi, reason: str, facts: dict[str, Any], status: int
) -> None:
    api.faults["ExplainJob"].append(HpcError(reason, **facts))

    assert hpc("job", "why", 1, "--json", status=status).error["reason"] == reason


def test_of_anothers_job_what_everybody_may_see_is_shown(
    hpc: CommandLine, api: FakeApi
) -> None:
    api.add_job(owner="bob")
    refusal = HpcError("PERMISSION_DENIED", user="ada", operation="read job 1")
    api.faults["GetJob"].append(refusal)

    assert hpc("job", "show", 1, "--json").json["owner"] == "bob"


def test_why_prints_a_reason_per_line(hpc: CommandLine, api: FakeApi) -> None:
    api.add_job()

    assert hpc("job", "why", 1).out == "it waits for 4 cores\n2 are free\n"
    assert hpc("task", "why", "1.1", "--json").json == {
        "pending_reason": "NotEnoughFreeResources",
        "reasons": ["it waits for 4 cores", "2 are free"],
    }


@pytest.mark.parametrize(
    ("states", "status"),
    [
        (("FINISHED",), 0),
        (("FINISHED", "CANCELED"), 11),
        (("CANCELED", "FAILED"), 10),
    ],
)
def test_wait_ends_with_the_worst_status(
    hpc: CommandLine, api: FakeApi, states: tuple[str, ...], status: int
) -> None:
    for state in states:
        api.add_job(state)

    found = hpc("job", "wait", "all", "--json", status=status).json

    assert [job["id"] for job in found["jobs"]] == list(range(1, len(states) + 1))
    assert found["next_page_token"] == ""


def test_wait_gives_up_after_its_timeout(hpc: CommandLine, api: FakeApi) -> None:
    api.add_job("FINISHED")
    api.add_job("RUNNING")

    result = hpc("job", "wait", "1", "2", "--timeout", "100ms", "--json", status=5)

    assert [job["id"] for job in result.json["jobs"]] == [1]
    assert result.error["reason"] == "WAIT_TIMEOUT"


def test_progress_is_lines_where_it_is_piped(hpc: CommandLine, api: FakeApi) -> None:
    api.add_job("FINISHED", name="x")

    result = hpc("job", "wait", "1", "--progress")

    assert result.out == "job 1 Finished\n"
    assert "hpc: job 1 Finished 0/1\n" in result.err


def test_states_of_the_command_line_are_the_apis_numbers() -> None:
    assert tuple(_short(job_pb2.Job.State.keys())) == JOB_STATES
    assert tuple(_short(task_pb2.Task.State.keys())) == TASK_STATES


def _short(names: Any) -> list[str]:
    return [name.removeprefix("STATE_").lower() for name in names][1:]
