"""At most one start per attempt, and the order in which cores are given out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.polling import wait_for
from tests.support.task_supervisor import (
    JOB,
    TASK,
    AgentEnd,
    TaskSupervisor,
    pids_in,
    task_supervisor,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

UNTIL_TOLD = "echo $CCP_TASKINSTANCEID >>ran; read x <go$CCP_TASKINSTANCEID"


@pytest.fixture(scope="module")
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TaskSupervisor]:
    place = tmp_path_factory.mktemp("starting") / "node"
    with task_supervisor(place, "--cgroup", "off") as running:
        yield running.start()


@pytest.fixture
def agent(supervisor: TaskSupervisor) -> Iterator[AgentEnd]:
    agent = supervisor.agent()
    yield agent
    agent.send(["stop_all", 0])
    agent.expect("all_stopped")
    last = max((m[1] for m in agent.messages if m[0] == "ended"), default=0)
    agent.send(["ack", last])
    for job in (JOB, JOB + 1):
        agent.send(["end_job", job])
        agent.expect("job_ended", job)
        agent.send(["purge", job])
    agent.sync()
    agent.close()


def go(place: Path, instance: int) -> None:
    """Let a task end that runs UNTIL_TOLD."""
    with (place / f"go{instance}").open("w") as fifo:
        fifo.write("\n")


def waiting_tasks(agent: AgentEnd, place: Path, count: int) -> None:
    """Define a task of which each instance runs until it is told to end."""
    for number in range(count):
        os.mkfifo(place / f"go{number}")
    agent.shell(UNTIL_TOLD, cwd=str(place))


def order_of_starts(agent: AgentEnd) -> list[int]:
    """Return the instances in the order of their starts."""
    return [m[4] for m in agent.messages if m[0] == "started"]


def test_an_attempt_is_started_once_however_often_it_is_asked_for(
    agent: AgentEnd, tmp_path: Path
) -> None:
    waiting_tasks(agent, tmp_path, 1)
    for _ in range(3):
        agent.start(0)
    agent.started()
    agent.start(0)
    agent.sync()
    running = [m for m in agent.messages if m[0] == "started"]
    assert running[0] == running[-1]
    go(tmp_path, 0)
    agent.ended(0)
    agent.start(0)
    agent.sync()

    assert [m for m in agent.messages if m[0] == "ended"][1:] != []
    assert (tmp_path / "ran").read_text() == "0\n"


def test_an_attempt_whose_end_was_acknowledged_is_refused(agent: AgentEnd) -> None:
    agent.run("true")
    end = agent.expect("ended")
    agent.send(["ack", end[1]])
    agent.start(0)

    assert "has ended here" in agent.expect("refused", JOB, TASK, 0, 1)[5]


def test_an_older_attempt_is_refused(agent: AgentEnd) -> None:
    agent.shell("exit 2")
    agent.start(0, attempt=3)
    agent.ended(0, 3)
    agent.start(0, attempt=2)

    assert "attempt 3" in agent.expect("refused", JOB, TASK, 0, 2)[5]


def test_a_newer_attempt_waits_for_the_end_of_the_older_one(
    agent: AgentEnd, tmp_path: Path
) -> None:
    waiting_tasks(agent, tmp_path, 1)
    agent.grant(0)
    agent.start(0, ncores=1)
    agent.started()
    agent.start(0, attempt=2, ncores=1)
    agent.sync()
    assert len(order_of_starts(agent)) == 1
    go(tmp_path, 0)
    agent.ended(0)

    assert agent.started(0, 2)
    go(tmp_path, 0)
    agent.ended(0, 2)


def test_an_attempt_that_is_stopped_makes_way_for_the_next_one_by_itself(
    agent: AgentEnd, tmp_path: Path
) -> None:
    """As when a node is back that was lost: the head says both in one breath."""
    agent.shell("trap '' TERM; echo $HPC_ATTEMPT >>ran; sleep 600", cwd=str(tmp_path))
    agent.start(0)
    agent.started()
    agent.stop(0, grace_s=0)
    agent.start(0, attempt=2)

    assert agent.started(0, 2)
    messages = [message[0] for message in agent.messages]
    assert "refused" not in messages
    assert messages.index("ended") < len(messages) - messages[::-1].index("started")
    agent.stop(0, attempt=2, grace_s=0)
    agent.ended(0, 2)


def test_an_attempt_that_was_refused_is_never_started_afterwards(
    agent: AgentEnd,
) -> None:
    """The head asks for it again before it has read the refusal (P5)."""
    agent.start(0)
    assert "not known" in agent.expect("refused", JOB, TASK, 0, 1)[5]
    agent.shell("true")
    agent.start(0, 1)

    agent.ended(1)
    agent.expect("refused", JOB, TASK, 0, 1, "it was refused before")
    agent.start(0, attempt=2)
    agent.ended(0, 2)
    assert not [m for m in agent.messages if m[0] == "started" and m[4:6] == [0, 1]]


def test_an_attempt_that_waits_is_dropped_for_a_newer_one(
    agent: AgentEnd, tmp_path: Path
) -> None:
    waiting_tasks(agent, tmp_path, 1)
    agent.start(0)
    agent.started()
    agent.start(0, attempt=2)
    agent.start(0, attempt=3)

    assert agent.ended(0, 2)["reason"] == "NOT_STARTED"
    go(tmp_path, 0)
    assert agent.started(0, 3)
    go(tmp_path, 0)
    agent.ended(0, 3)


def test_attempts_start_in_order_of_arrival_without_a_round_trip(
    agent: AgentEnd, tmp_path: Path
) -> None:
    agent.shell("echo $CCP_TASKINSTANCEID >>ran", cwd=str(tmp_path))
    agent.grant(0)
    agent.start(*range(5, 25), ncores=1)
    agent.start(*range(5), ncores=1)
    for number in range(25):
        agent.ended(number)
    expected = [*range(5, 25), *range(5)]

    assert order_of_starts(agent) == expected
    assert [int(n) for n in (tmp_path / "ran").read_text().split()] == expected


def test_a_task_starts_when_enough_of_its_job_s_cores_are_idle(
    agent: AgentEnd, tmp_path: Path
) -> None:
    waiting_tasks(agent, tmp_path, 4)
    agent.grant(3, 5, 9)
    agent.start(0, 1, ncores=1)
    agent.start(2, ncores=2)
    agent.start(3, ncores=1)
    assert agent.started(0)["cores"] == [3]
    assert agent.started(1)["cores"] == [5]
    agent.sync()
    assert order_of_starts(agent) == [0, 1]  # 2 needs two, and 3 does not overtake

    go(tmp_path, 1)
    assert agent.started(2)["cores"] == [5, 9]
    go(tmp_path, 0)
    assert agent.started(3)["cores"] == [3]
    for number in (2, 3):
        go(tmp_path, number)
        agent.ended(number)


def test_a_core_is_never_given_twice_even_if_two_jobs_may_use_it(
    agent: AgentEnd, tmp_path: Path
) -> None:
    waiting_tasks(agent, tmp_path, 2)
    agent.shell("true", job=JOB + 1)
    agent.grant(0, 1)
    agent.grant(1, 2, job=JOB + 1)
    agent.start(0, 1, ncores=1)
    agent.started(1)
    agent.start(0, 1, ncores=1, job=JOB + 1)
    ends = [agent.ended(n, job=JOB + 1) for n in (0, 1)]

    assert [end["cores"] for end in ends] == [[2], [2]]
    for number in (0, 1):
        go(tmp_path, number)
        agent.ended(number)


def test_a_larger_grant_starts_what_waits(agent: AgentEnd, tmp_path: Path) -> None:
    agent.shell("true")
    agent.start(0, ncores=2)
    agent.sync()
    assert not order_of_starts(agent)
    agent.grant(0)
    agent.sync()
    assert not order_of_starts(agent)
    agent.grant(0, 7)

    assert agent.ended(0)["cores"] == [0, 7]


def test_a_smaller_grant_leaves_what_runs(agent: AgentEnd, tmp_path: Path) -> None:
    waiting_tasks(agent, tmp_path, 3)
    agent.grant(0, 1)
    agent.start(0, 1, 2, ncores=1)
    agent.started(1)
    agent.grant(1)
    go(tmp_path, 0)
    agent.ended(0)
    agent.sync()
    assert order_of_starts(agent) == [0, 1]
    go(tmp_path, 1)

    assert agent.started(2)["cores"] == [1]
    go(tmp_path, 2)
    agent.ended(2)


def test_a_task_without_cores_starts_at_once(agent: AgentEnd, tmp_path: Path) -> None:
    waiting_tasks(agent, tmp_path, 2)
    agent.grant(0)
    agent.start(0, 1, ncores=1)
    agent.shell("echo [$CCP_COREIDS]", task=2)
    agent.start(0, task=2)
    end = agent.ended(0, task=2)

    assert (end["output"], end["cores"]) == ("[]\n", [])
    for number in (0, 1):
        go(tmp_path, number)
        agent.ended(number)


def test_a_start_without_its_definition_is_refused(agent: AgentEnd) -> None:
    agent.start(0)

    assert "not known" in agent.expect("refused", JOB, TASK, 0, 1)[5]


def test_a_later_definition_holds_for_later_starts(
    agent: AgentEnd, tmp_path: Path
) -> None:
    agent.shell("echo first")
    agent.grant(0)
    agent.start(0, ncores=1)
    agent.send(["define", {"job": JOB, "task": TASK, "def": 2, "argv": [["env"]]}])
    agent.send(["start", JOB, TASK, 2, [[1, 1, 1, 1, {"X": "second"}]]])

    assert agent.ended(0)["output"] == "first\n"
    assert "X=second" in agent.ended(1)["output"]


def test_many_tasks_end_as_many_times(agent: AgentEnd) -> None:
    agent.define("true")
    agent.grant(0, 1)
    agent.start(*range(400), ncores=1)
    for number in range(400):
        agent.ended(number)
    ended = [tuple(m[2:6]) for m in agent.messages if m[0] == "ended"]

    assert len(ended) == len(set(ended)) == 400


def test_the_supervisor_keeps_nobody_s_directory_busy_when_idle(
    agent: AgentEnd, supervisor: TaskSupervisor, tmp_path: Path
) -> None:
    agent.run("true", cwd=str(tmp_path))
    spawner = supervisor.pid_of("spawner")

    wait_for(
        lambda: Path(f"/proc/{spawner}/cwd").readlink(),
        until=lambda cwd: cwd == Path("/"),
    )


def test_tasks_of_the_same_instance_number_in_two_jobs_are_two(
    agent: AgentEnd, tmp_path: Path
) -> None:
    agent.shell("echo $$ >>pids", cwd=str(tmp_path))
    agent.shell("echo $$ >>pids", cwd=str(tmp_path), job=JOB + 1)
    agent.start(0)
    agent.start(0, job=JOB + 1)

    assert len(set(pids_in(tmp_path / "pids", 2))) == 2
    agent.ended(0)
    agent.ended(0, job=JOB + 1)


def test_many_tasks_at_once_keep_the_limit_of_descriptors_they_should_have(
    tmp_path: Path,
) -> None:
    with task_supervisor(tmp_path / "node", "--cgroup", "off") as supervisor:
        # Not this process's own limit: it has files of other tests open.
        supervisor.wrapper = ("sh", "-c", 'ulimit -Sn 300; exec "$@"', "sh")
        supervisor.start()
        agent = supervisor.agent()
        os.mkfifo(tmp_path / "go")
        agent.shell("echo x >>ran; read x <go; ulimit -Sn", cwd=str(tmp_path))
        agent.start(*range(160))
        for number in range(160):
            agent.started(number)
        ran = tmp_path / "ran"
        wait_for(ran.read_text, until=lambda text: len(text) == 320)
        with (tmp_path / "go").open("w") as fifo:
            fifo.write("\n" * 160)
            fifo.flush()
            ends = [agent.ended(number)["output"] for number in range(160)]

    assert set(ends) == {"300\n"}


def test_what_waits_is_given_back_for_good_and_what_runs_is_not(
    agent: AgentEnd, tmp_path: Path
) -> None:
    waiting_tasks(agent, tmp_path, 3)
    agent.send(["grant", JOB, [0]])
    for instance in (0, 1, 2):
        agent.start(instance, ncores=1)
    agent.started(0)

    agent.send(["recall", JOB, TASK, [[0, 1], [1, 1], [2, 7], [9, 1]]])
    end = agent.ended(1)
    assert (end["reason"], end["code"], end["start"]) == (
        "NOT_STARTED",
        "recalled",
        None,
    )
    agent.start(1, ncores=1)
    go(tmp_path, 0)
    agent.ended(0)
    agent.started(2)
    go(tmp_path, 2)
    agent.ended(2)
    assert (tmp_path / "ran").read_text().split() == ["0", "2"]
