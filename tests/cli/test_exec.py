"""Commands on nodes: live output per node, states, exit statuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpcsched.api.v1 import job_pb2, task_pb2

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine
    from tests.support.fake_api import FakeApi

STDOUT, STDERR = 1, 2
FAILED = task_pb2.Task.STATE_FAILED


@pytest.fixture
def nodes(api: FakeApi) -> FakeApi:
    api.add_node("n1")
    api.add_node("n2")
    return api


def wrote(api: FakeApi, task_id: int, data: bytes, stream: int = STDOUT) -> None:
    """Have the next command's node write something else than its name."""

    def put(job_id: int) -> None:
        for key, value in api.later.items():
            api.outputs[job_id, key[0], 0, key[1]] = value

    api.later[task_id, stream] = data
    api.on_command = put


def failed(api: FakeApi, task_id: int, code: int | None, problem: str) -> None:
    """Have the next command fail on a node."""

    def end(job_id: int) -> None:
        task = api.tasks[job_id][task_id - 1]
        task.state, task.error_message = FAILED, problem
        if code is not None:
            task.exit_code = code
        api.jobs[job_id].state = job_pb2.Job.STATE_FAILED

    api.on_command = end


def test_lines_follow_their_nodes_name_on_the_stream_they_were_written_to(
    hpc: CommandLine, nodes: FakeApi
) -> None:
    wrote(nodes, 1, b"one\n\nlast")
    wrote(nodes, 2, b"oops\n", STDERR)

    result = hpc("node", "exec", "n1,n2", "--", "x")

    assert result.out.splitlines() == ["n1: one", "n1: ", "n1: last", "n2: on n2"]
    assert result.err.splitlines() == ["1", "n2: oops"]


def test_a_broken_stream_repeats_and_loses_nothing(
    hpc: CommandLine, nodes: FakeApi
) -> None:
    wrote(nodes, 1, b"0123456789abcdefghij\n")
    nodes.drops["FollowCommand"] = [2, 3, 1]

    result = hpc("node", "exec", "all", "--json", "--", "x")

    texts = [line["text"] for line in result.lines if "text" in line]
    assert texts == ["0123456789abcdefghij", "on n2"]
    states = [line["node"] for line in result.lines if "state" in line]
    assert states == ["n1", "n2"]
    assert nodes.asked("FollowCommand")[1].positions[0].offset == 8


def test_json_lines_tell_output_ends_states_and_the_job(
    hpc: CommandLine, nodes: FakeApi
) -> None:
    failed(nodes, 2, 7, "it went wrong")

    lines = hpc("node", "exec", "all", "--json", "--", "x", status=10).lines

    assert {line["job_id"] for line in lines} == {1}
    assert lines[0] == {"job_id": 1, "node": "n1", "stream": "stdout", "text": "on n1"}
    assert lines[1] == {
        "job_id": 1,
        "node": "n1",
        "stream": "stdout",
        "eof": True,
        "error": "",
    }
    end = next(line for line in lines if line.get("task_id") == 2)
    assert (end["state"], end["exit_code"]) == ("STATE_FAILED", 7)
    assert end["error_message"] == "it went wrong"
    assert lines[-1]["job"]["state"] == "STATE_FAILED"


def test_where_it_failed_is_told_at_the_end(hpc: CommandLine, nodes: FakeApi) -> None:
    failed(nodes, 2, None, "node n2 is not reachable")

    result = hpc("node", "exec", "all", "--", "x", status=10)

    assert result.err.splitlines()[-1].endswith("n2: node n2 is not reachable")


def test_without_prefix_bytes_are_as_they_were_written(
    hpc: CommandLine, nodes: FakeApi
) -> None:
    wrote(nodes, 1, b"a\nb")

    assert hpc("node", "exec", "n1", "--no-prefix", "--", "x").out == "a\nb"


def test_a_line_without_end_is_shown_in_parts(hpc: CommandLine, nodes: FakeApi) -> None:
    wrote(nodes, 1, b"x" * 150_000)

    out = hpc("node", "exec", "n1", "--", "x").out

    assert [len(line) for line in out.splitlines()] == [65540, 65540, 18932]


def test_no_wait_prints_the_id_and_follows_nothing(
    hpc: CommandLine, nodes: FakeApi
) -> None:
    assert hpc("node", "exec", "n1", "--no-wait", "--", "x").out == "1\n"

    assert not nodes.asked("FollowCommand")
