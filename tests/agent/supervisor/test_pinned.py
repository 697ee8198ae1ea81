"""Processes with cores of their own, which other threads of the spawner make."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from node_agent.supervisor.pinned import MOST_THREADS
from tests.support.task_supervisor import (
    AgentEnd,
    TaskSupervisor,
    containments,
    is_alive,
    kill_spawner,
    pids_in,
    task_supervisor,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

CORES = sorted(os.sched_getaffinity(0))
FIRST = CORES[0]
BUSY = "import time\nwhile time.process_time() < 0.05: pass\n"
WAITS = "echo $$ >>pids; read code <go; exit $code"
MANY = 40


@pytest.fixture
def supervisor(
    tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[TaskSupervisor]:
    containment = getattr(request, "param", "auto")
    with task_supervisor(tmp_path / "node", "--cgroup", containment) as running:
        yield running.start()


contained_or_not = pytest.mark.parametrize("supervisor", containments(), indirect=True)


@pytest.fixture
def agent(supervisor: TaskSupervisor) -> AgentEnd:
    return supervisor.agent()


def threads_of(pid: int) -> list[int]:
    return [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()]


def test_the_spawner_itself_waits_on_no_tasks_core(
    agent: AgentEnd, supervisor: TaskSupervisor
) -> None:
    agent.grant(FIRST)
    agent.define(sys.executable, "-c", BUSY, pin=True)
    agent.start(*range(5), ncores=1)
    spawner = supervisor.pid_of("spawner")
    for number in range(5):
        agent.ended(number)
        assert os.sched_getaffinity(spawner) == set(CORES)

    assert 2 <= len(threads_of(spawner)) <= 1 + MOST_THREADS


@contained_or_not
def test_a_process_is_on_its_cores_from_its_first_instruction(agent: AgentEnd) -> None:
    agent.grant(*CORES)
    line = "sed -n 's/Cpus_allowed_list:.//p' /proc/self/status; echo $CCP_COREIDS"
    agent.shell(line, pin=True)
    agent.start(*range(MANY), ncores=1)

    for number in range(MANY):
        seen, told = agent.ended(number)["output"].split()
        assert seen == told


def test_a_program_that_is_not_there_is_told_as_without_cores(agent: AgentEnd) -> None:
    agent.grant(FIRST)
    agent.define("/no/such/program", pin=True)
    agent.start(0, 1, 2, ncores=1)

    for number in range(3):
        end = agent.ended(number)
        assert (end["reason"], end["code"]) == ("START_FAILED", "exec")
        assert "ENOENT" in end["message"]


def test_a_directory_that_is_not_there_is_told_as_without_cores(
    agent: AgentEnd,
) -> None:
    agent.grant(FIRST)
    agent.define("/bin/true", pin=True, cwd="/no/such/place")
    agent.start(0, ncores=1)

    end = agent.ended(0)
    assert (end["reason"], end["code"]) == ("START_FAILED", "cwd")


def test_a_script_without_an_interpreters_line_runs(
    agent: AgentEnd, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text("echo by the shell\n")
    script.chmod(0o755)
    agent.grant(FIRST)
    agent.define(str(script), pin=True)
    agent.start(0, ncores=1)

    assert agent.ended(0)["output"] == "by the shell\n"


def test_a_word_with_a_zero_byte_is_no_argument_of_a_pinned_task(
    agent: AgentEnd,
) -> None:
    agent.grant(FIRST)
    agent.define("/bin/echo", "a\0b", pin=True)
    agent.start(0, ncores=1)

    assert agent.ended(0)["reason"] == "START_FAILED"


def test_each_runs_in_its_own_directory_and_writes_to_its_own_files(
    agent: AgentEnd, tmp_path: Path
) -> None:
    agent.grant(*CORES)
    for task in range(1, 9):
        place = tmp_path / str(task)
        place.mkdir()
        agent.shell("pwd; pwd >&2; pwd >here", task=task, cwd=str(place), pin=True)
    for task in range(1, 9):
        agent.start(0, task=task, ncores=1)

    for task in range(1, 9):
        place = tmp_path / str(task)
        assert agent.ended(0, task=task)["output"] == f"{place}\n{place}\n"
        assert (place / "here").read_text() == f"{place}\n"


@contained_or_not
def test_a_stop_that_comes_with_the_start_finds_the_process(agent: AgentEnd) -> None:
    agent.grant(*CORES)
    agent.shell("exec sleep 600", pin=True)
    for number in range(MANY):
        start = ["start", 7, 1, 1, [[number, 1, number, 1, None]]]
        agent.send(start, ["ping", number], ["stop", 7, 1, [[number, 1]], 0.0, "TOLD"])

    ends = {agent.ended(number)["reason"] for number in range(MANY)}
    assert ends <= {"KILLED", "TOLD", "NOT_STARTED"}


@contained_or_not
def test_what_a_pinned_task_leaves_behind_is_killed_with_its_end(
    agent: AgentEnd, tmp_path: Path
) -> None:
    line = "setsid sleep 600 & echo $! >>pids; true"
    agent.grant(*CORES)
    agent.shell(line, cwd=str(tmp_path), pin=True)
    agent.start(0, 1, 2, 3, ncores=1)

    for number in range(4):
        agent.ended(number)
    assert not any(map(is_alive, pids_in(tmp_path / "pids", 4)))


def test_each_pinned_task_is_born_in_the_cgroup_of_its_own_slot(
    agent: AgentEnd,
) -> None:
    if agent.hello["containment"] != "cgroup":
        pytest.skip("there are no cgroups in this case")
    agent.grant(*CORES)
    agent.shell("grep ^0:: /proc/self/cgroup; sleep 0.01", pin=True)
    agent.start(*range(MANY), ncores=1)

    for number in range(MANY):
        end = agent.ended(number)
        # Slots are used again, so only that it is one can be told from here.
        assert "/slot-" in end["output"]
        assert end["reason"] == "EXITED"


def test_two_that_run_at_once_are_in_two_cgroups(
    agent: AgentEnd, tmp_path: Path
) -> None:
    if agent.hello["containment"] != "cgroup" or len(CORES) == 1:
        pytest.skip("there are no cgroups in this case, or no two cores")
    agent.grant(*CORES)
    line = "grep ^0:: /proc/self/cgroup >>places; echo $$ >>pids; read code <go"
    os.mkfifo(tmp_path / "go")
    agent.shell(line, cwd=str(tmp_path), pin=True)
    agent.start(0, 1, ncores=1)
    pids_in(tmp_path / "pids", 2)

    assert len(set((tmp_path / "places").read_text().splitlines())) == 2


@contained_or_not
def test_a_spawner_that_dies_leaves_pinned_tasks_to_the_next_one(
    agent: AgentEnd, supervisor: TaskSupervisor, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "go")
    agent.grant(FIRST)
    agent.shell(
        "echo $$ >>pids; read code <go; exit $code", cwd=str(tmp_path), pin=True
    )
    agent.start(0, 1, ncores=1)
    pids_in(tmp_path / "pids", 1)
    kill_spawner(supervisor)
    again = supervisor.agent()
    for code in (3, 4):
        with (tmp_path / "go").open("w") as fifo:
            fifo.write(f"{code}\n")
        assert again.ended(code - 3)["exit_code"] == code


def test_new_code_in_place_keeps_what_was_just_made(
    agent: AgentEnd, supervisor: TaskSupervisor, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "go")
    agent.grant(FIRST)
    agent.shell(
        "echo $$ >>pids; read code <go; exit $code", cwd=str(tmp_path), pin=True
    )
    agent.start(0, ncores=1)
    agent.send(["upgrade"])
    (pid,) = pids_in(tmp_path / "pids", 1)
    spawner = supervisor.pid_of("spawner")
    again = supervisor.agent()

    assert again.hello["running"][0][4] == pid
    with (tmp_path / "go").open("w") as fifo:
        fifo.write("5\n")
    assert again.ended(0)["exit_code"] == 5
    assert supervisor.pid_of("spawner") == spawner


def test_what_is_alone_on_the_node_is_made_by_the_spawner_itself(
    agent: AgentEnd, supervisor: TaskSupervisor
) -> None:
    agent.grant(FIRST)
    agent.define("/bin/true", pin=True)
    spawner = supervisor.pid_of("spawner")
    for number in range(3):
        agent.start(number, ncores=1)
        agent.ended(number)

    assert len(threads_of(spawner)) == 1
