"""What running tasks use, as the supervisor tells when it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.polling import wait_for
from tests.support.task_supervisor import (
    JOB,
    TASK,
    AgentEnd,
    TaskSupervisor,
    task_supervisor,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

BUSY = "(while :; do :; done) & sleep 60 & wait"


@pytest.fixture(scope="module", params=["off", "auto"])
def supervisor(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TaskSupervisor]:
    place = tmp_path_factory.mktemp("usage") / "node"
    with task_supervisor(place, "--cgroup", request.param) as running:
        yield running.start()


@pytest.fixture
def agent(supervisor: TaskSupervisor) -> Iterator[AgentEnd]:
    agent = supervisor.agent()
    yield agent
    agent.send(["stop_all", 0])
    agent.expect("all_stopped")
    last = max((m[1] for m in agent.messages if m[0] == "ended"), default=0)
    agent.send(["ack", last], ["end_job", JOB])
    agent.expect("job_ended", JOB)
    agent.send(["purge", JOB])
    agent.sync()
    agent.close()


def told(agent: AgentEnd) -> dict[int, list[Any]]:
    agent.messages = [m for m in agent.messages if m[0] != "usage"]
    agent.send(["usage"])
    (entries,) = agent.expect("usage")[1:]
    return {entry[2]: entry for entry in entries}


def test_a_busy_task_tells_its_times_memory_and_processes(agent: AgentEnd) -> None:
    agent.shell(BUSY)
    agent.start(1)
    pid = agent.started(1)["pid"]

    found = wait_for(lambda: told(agent), until=lambda f: 1 in f and f[1][4] >= 100)

    job, task, _, attempt, user, kernel, resident, count, pids = found[1]
    assert (job, task, attempt) == (JOB, TASK, 1)
    assert user >= 100
    assert kernel >= 0
    assert resident > 500
    assert count == len(pids) >= 3
    assert pid in pids


def test_a_task_that_has_just_started_or_has_ended_tells_nothing(
    agent: AgentEnd,
) -> None:
    agent.shell("sleep 60")
    agent.start(1)
    agent.started(1)
    assert 1 not in told(agent)

    agent.stop(1, grace_s=0)
    agent.ended(1)
    assert 1 not in told(agent)


def test_no_more_processes_are_named_than_fit(agent: AgentEnd) -> None:
    agent.shell("for i in $(seq 80); do sleep 60 & done; wait")
    agent.start(2)
    agent.started(2)

    found = wait_for(lambda: told(agent), until=lambda f: 2 in f and f[2][7] > 60)

    assert len(found[2][8]) <= 64
