"""``--type service`` and ``hpc task conclude``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsched.api.v1 import task_pb2

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine
    from tests.support.fake_api import FakeApi


def test_a_service_gets_the_minimum_of_cores_for_each_instance(
    hpc: CommandLine, api: FakeApi
) -> None:
    hpc("submit", "--type", "service", "--cores", "2-8", "--critical=3", "--", "serve")

    (spec,) = api.specs
    (task,) = spec.tasks
    assert task.type == task_pb2.TASK_TYPE_SERVICE
    assert (task.min_cores, task.max_cores) == (2, 0)
    assert (spec.min_cores, spec.max_cores) == (2, 8)
    assert task.fail_job_on_failure_count == 3


def test_conclude_names_services_and_stops_at_the_first_refusal(
    hpc: CommandLine, api: FakeApi
) -> None:
    api.add_job()
    api.tasks[1] = []
    api.add_task(1, "RUNNING", type=task_pb2.TASK_TYPE_SERVICE)
    api.add_task(1, "RUNNING")

    result = hpc("task", "conclude", "1.1", "1.2", "--cancel", "--json", status=1)

    (task,) = result.json["tasks"]
    assert (task["task_id"], task["is_service_concluded"]) == (1, True)
    assert [call.cancel_sub_tasks for call in api.asked("ConcludeService")] == [
        True,
        True,
    ]
    assert "NOT_A_SERVICE_TASK" in result.err


def test_an_instance_cannot_be_concluded(hpc: CommandLine) -> None:
    result = hpc("task", "conclude", "1.1.4", status=2)

    assert "as a whole" in result.err
