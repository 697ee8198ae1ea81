"""Events for people: what, from what, why, by whom."""

from __future__ import annotations

from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from hpcsched.api.v1 import node_pb2, watch_service_pb2
from hpcsched.cli.event_lines import event_lines

QUEUED, RUNNING, FAILED, CANCELING = 5, 6, 9, 11


def lines(*changes: dict[str, Any], **fields: Any) -> list[str]:
    event = watch_service_pb2.Event(
        time=Timestamp(seconds=1_800_000_000),
        job_id=7,
        name="Something",
        changes=[watch_service_pb2.Change(**change) for change in changes],
        **fields,
    )
    return [line.split("  ", 1)[1] for line in event_lines(event)]


def test_a_line_says_why_and_which_person_it_was() -> None:
    job = {"state": CANCELING, "previous_state": RUNNING, "reason": "enough"}
    task = {"task_id": 1, "state": CANCELING, "previous_state": 6, "reason": "enough"}

    assert lines(job, task, actor="ann", message="enough") == [
        "job 7  Running -> Canceling (enough) by ann",
        "task 7.1  Running -> Canceling",
    ]


def test_a_job_that_passes_a_state_on_its_way_says_why_with_its_end() -> None:
    passed = {"state": 7, "previous_state": RUNNING}
    ended = {"state": FAILED, "previous_state": 7, "reason": "1 task failed"}

    assert lines(passed, ended, actor="system", message="1 task failed") == [
        "job 7  Running -> Finishing",
        "job 7  Finishing -> Failed (1 task failed)",
    ]


def test_each_reason_is_told_once() -> None:
    def failed(task: int, why: str) -> dict[str, Any]:
        state = {"state": FAILED, "previous_state": 7}
        return {"task_id": task, "elements": "1-3", "reason": why, **state}

    found = lines(
        failed(1, "exited with code 1"),
        failed(2, "exited with code 1"),
        failed(3, "ended by signal 9 (SIGKILL)"),
        actor="node:n1",
    )

    assert found == [
        "task 7.1.[1-3]  Finishing -> Failed (exited with code 1)",
        "task 7.2.[1-3]  Finishing -> Failed",
        "task 7.3.[1-3]  Finishing -> Failed (ended by signal 9 (SIGKILL))",
    ]


def test_an_event_without_changes_of_state_has_its_name() -> None:
    assert lines(actor="bob") == ["job 7  Something by bob"]
    assert lines(actor="system", message="m") == ["job 7  Something (m)"]


def test_an_event_of_a_node_says_which_person_it_was() -> None:
    change = watch_service_pb2.NodeChange(
        node="n1",
        state=node_pb2.Node.STATE_OFFLINE,
        previous_state=node_pb2.Node.STATE_ONLINE,
        reachable=True,
    )

    found = lines(node_change=change, actor="root", message="repair")

    assert found == ["node n1  Online -> Offline (repair) by root"]
