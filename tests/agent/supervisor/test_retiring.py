"""``--end-tasks``: what happens to a node's tasks when the machine goes down."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.polling import PATIENCE_S, wait_for
from tests.support.task_supervisor import (
    JOB,
    TASK,
    AgentEnd,
    TaskSupervisor,
    begin,
    is_alive,
    kill_spawner,
    pids_in,
    place_of_waiting,
    task_supervisor,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEAF = "trap 'echo >>told' TERM; echo $$ >pids; while :; do sleep 600; done"
POLITE = "trap 'exit 7' TERM; echo $$ >pids; while :; do sleep 0.02; done"


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[TaskSupervisor]:
    with task_supervisor(tmp_path / "node", "--cgroup", "off") as supervisor:
        yield supervisor.start()


def end_tasks(supervisor: TaskSupervisor, *options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            sys.executable,
            *("-m", "node_agent.supervisor", "--dir", str(supervisor.directory)),
            *("--end-tasks", *options),
        ]
    )


def acknowledge(agent: AgentEnd) -> None:
    """Say that the head has every end that has been told."""
    agent.send(["ack", max(m[1] for m in agent.messages if m[0] == "ended")])


def test_every_task_is_ended_with_its_own_grace_and_then_the_supervisor(
    supervisor: TaskSupervisor, tmp_path: Path
) -> None:
    agent = supervisor.agent()
    agent.shell(POLITE, cwd=str(tmp_path))
    agent.start(0)
    (task,) = pids_in(tmp_path / "pids", 1)

    ending = end_tasks(supervisor)
    end = agent.ended(0)
    acknowledge(agent)

    assert ending.wait(PATIENCE_S) == 0
    assert (end["reason"], end["exit_code"]) == ("NODE_SHUTDOWN", 7)
    assert not is_alive(task)
    assert supervisor.front is not None
    assert supervisor.front.wait(PATIENCE_S) == 0
    assert supervisor.processes() == []


def test_a_task_that_does_not_listen_is_killed_after_the_grace_that_was_asked_for(
    supervisor: TaskSupervisor, tmp_path: Path
) -> None:
    agent = supervisor.agent()
    agent.shell(DEAF, cwd=str(tmp_path), grace_s=600.0)
    agent.start(0)
    (task,) = pids_in(tmp_path / "pids", 1)
    agent.close()

    assert end_tasks(supervisor, "--grace", "0.2").wait(PATIENCE_S) == 0
    assert not is_alive(task)


def test_it_stays_until_the_agent_has_passed_the_last_ends_on(
    supervisor: TaskSupervisor, tmp_path: Path
) -> None:
    agent = begin(supervisor, place_of_waiting(tmp_path), 1)

    ending = end_tasks(supervisor)
    agent.ended(0)
    agent.sync()
    assert ending.poll() is None
    acknowledge(agent)

    assert ending.wait(PATIENCE_S) == 0


def test_nothing_is_started_meanwhile_and_nothing_refused(
    supervisor: TaskSupervisor, tmp_path: Path
) -> None:
    agent = begin(supervisor, place_of_waiting(tmp_path), 1)

    ending = end_tasks(supervisor)
    agent.ended(0)
    agent.start(1)
    agent.sync()

    told = {(m[0], *m[2:5]) for m in agent.messages}
    assert ("ended", JOB, TASK, 0) in told
    assert ("started", JOB, TASK, 1) not in told
    assert not [m for m in agent.messages if m[0] == "refused"]
    agent.close()
    assert ending.wait(PATIENCE_S) == 0


def test_tasks_of_a_stopped_supervisor_are_ended_too(
    supervisor: TaskSupervisor, tmp_path: Path
) -> None:
    begin(supervisor, place_of_waiting(tmp_path))
    tasks = pids_in(tmp_path / "place" / "pids", 2)
    assert supervisor.stop() == 0
    assert all(is_alive(task) for task in tasks)

    assert end_tasks(supervisor).wait(PATIENCE_S) == 0
    assert not any(is_alive(task) for task in tasks)
    wait_for(lambda: not supervisor.processes(), what="the end of the reaper")


def test_a_spawner_that_dies_meanwhile_is_followed_by_one_that_goes_on(
    supervisor: TaskSupervisor, tmp_path: Path
) -> None:
    agent = supervisor.agent()
    agent.shell(DEAF, cwd=str(tmp_path), grace_s=1.0)
    agent.start(0)
    (task,) = pids_in(tmp_path / "pids", 1)
    agent.sync()

    ending = end_tasks(supervisor)
    wait_for((tmp_path / "told").exists, what="the signal")
    kill_spawner(supervisor)

    assert ending.wait(PATIENCE_S) == 0
    assert not is_alive(task)


def test_where_nothing_runs_there_is_nothing_to_end(tmp_path: Path) -> None:
    assert end_tasks(TaskSupervisor(tmp_path)).wait(PATIENCE_S) == 0


def test_a_grace_that_means_nothing_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert end_tasks(TaskSupervisor(tmp_path), "--grace", "-1").wait(PATIENCE_S) == 2
    assert "--grace" in capfd.readouterr().err
