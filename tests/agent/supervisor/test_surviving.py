"""Deaths, restarts, upgrades of the supervisor's processes: no status is lost."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from node_agent.supervisor import procfs
from tests.support.polling import wait_for
from tests.support.task_supervisor import (
    JOB,
    WAITS,
    AgentEnd,
    TaskSupervisor,
    begin,
    containments,
    is_alive,
    kill,
    kill_spawner,
    pids_in,
    place_of_waiting,
    task_supervisor,
    tell,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=containments())
def supervisor(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[TaskSupervisor]:
    with task_supervisor(tmp_path / "node", "--cgroup", request.param) as running:
        yield running.start()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return place_of_waiting(tmp_path)


def test_a_killed_spawner_is_replaced_and_every_status_stays_exact(
    supervisor: TaskSupervisor, place: Path
) -> None:
    begin(supervisor, place)
    kill_spawner(supervisor)
    agent = supervisor.agent()
    assert sorted(m[2] for m in agent.hello["running"]) == [0, 1]
    tell(place, 0, 41)
    tell(place, 1, 42)

    assert [agent.ended(n)["exit_code"] for n in (0, 1)] == [41, 42]
    assert [agent.ended(n)["reason"] for n in (0, 1)] == ["EXITED"] * 2
    agent.start(0)
    agent.sync()
    assert len((place / "pids").read_text().split()) == 2


def test_a_task_that_ends_while_no_spawner_lives_keeps_its_status(
    supervisor: TaskSupervisor, place: Path
) -> None:
    begin(supervisor, place)
    spawner, reaper = supervisor.pid_of("spawner"), supervisor.pid_of("reaper")
    first, second = pids_in(place / "pids", 2)
    os.kill(reaper, signal.SIGSTOP)
    kill_unreaped(spawner)
    tell(place, 0, 17)
    os.kill(second, signal.SIGUSR1)
    wait_for(lambda: not is_alive(first) and not is_alive(second))
    os.kill(reaper, signal.SIGCONT)
    agent = supervisor.agent()

    assert agent.ended(0)["exit_code"] == 17
    end = agent.ended(1)
    assert (end["reason"], end["signal"]) == ("SIGNALED", signal.SIGUSR1)
    assert end["max_rss_kb"] > 0


def test_what_writes_after_a_task_that_ended_while_no_spawner_lived_is_kept(
    supervisor: TaskSupervisor, place: Path
) -> None:
    begin(supervisor, place, 1)
    spawner, reaper = supervisor.pid_of("spawner"), supervisor.pid_of("reaper")
    (first,) = pids_in(place / "pids", 1)
    os.kill(reaper, signal.SIGSTOP)
    kill_unreaped(spawner)
    tell(place, 0, 0)
    wait_for(lambda: not is_alive(first))
    os.kill(reaper, signal.SIGCONT)
    agent = supervisor.agent()
    agent.ended(0)
    agent.shell("echo kept", task=2)
    agent.start(0, task=2)

    assert agent.ended(0, task=2)["output"] == "kept\n"
    kept = supervisor.directory / "output" / str(JOB) / "2.0.1.out"
    assert kept.read_text() == "kept\n"


def kill_unreaped(pid: int) -> None:
    """Kill a process whose parent cannot reap it now."""
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(pid), what=f"end of {pid}")


def test_what_a_task_leaves_behind_dies_after_a_restart_too(
    supervisor: TaskSupervisor, place: Path
) -> None:
    agent = supervisor.agent()
    line = "(setsid sh -c 'echo $$ >>pids; sleep 600; :' &); " + WAITS
    agent.shell(line, cwd=str(place))
    agent.start(0)
    left = pids_in(place / "pids", 2)
    kill_spawner(supervisor)
    tell(place, 0, 3)
    agent = supervisor.agent()

    assert agent.ended(0)["exit_code"] == 3
    assert not [pid for pid in left if is_alive(pid)]


def test_a_stop_and_its_deadline_survive_the_spawner(
    supervisor: TaskSupervisor, place: Path
) -> None:
    agent = supervisor.agent()
    agent.shell(
        "trap 'echo got >>trapped' TERM; echo $$ >>pids; while :; do sleep 0.02; done",
        cwd=str(place),
    )
    agent.start(0)
    pids_in(place / "pids", 1)
    agent.stop(0, grace_s=0.7, reason="PREEMPTED")
    wait_for((place / "trapped").read_text)
    agent.sync()  # that the signal was sent is on record: else it is sent again
    kill_spawner(supervisor)
    end = supervisor.agent().ended(0)

    assert (end["reason"], end["why"]) == ("KILLED", "PREEMPTED")
    assert end["end"] - end["start"] >= 0.7
    assert (place / "trapped").read_text() == "got\n"


def test_a_run_time_limit_survives_the_spawner(
    supervisor: TaskSupervisor, place: Path
) -> None:
    agent = supervisor.agent()
    agent.shell("exec sleep 600", limit_s=0.6)
    agent.start(0)
    agent.started()
    kill_spawner(supervisor)

    assert supervisor.agent().ended(0)["reason"] == "TIME_LIMIT"


def test_the_queue_goes_on_without_the_agent_after_a_restart(
    supervisor: TaskSupervisor, place: Path
) -> None:
    agent = supervisor.agent()
    agent.shell(WAITS, cwd=str(place))
    agent.grant(4)
    agent.start(0, 1, 2, ncores=1)
    pids_in(place / "pids", 1)
    agent.close()
    kill_spawner(supervisor)
    for number in range(3):
        tell(place, number, number)
    agent = supervisor.agent()

    assert [agent.ended(n)["exit_code"] for n in range(3)] == [0, 1, 2]
    assert [agent.ended(n)["cores"] for n in range(3)] == [[4]] * 3


def test_an_attempt_goes_on_waiting_for_an_older_one_after_a_restart(
    supervisor: TaskSupervisor, place: Path
) -> None:
    agent = begin(supervisor, place, 1)
    agent.start(0, attempt=2)
    agent.sync()
    kill_spawner(supervisor)
    agent = supervisor.agent()
    assert [one[3] for one in agent.hello["queued"]] == [2]
    kill_spawner(supervisor)  # what the second has read was a snapshot
    agent = supervisor.agent()
    assert [one[3] for one in agent.hello["queued"]] == [2]
    tell(place, 0, 3)

    assert agent.ended(0)["exit_code"] == 3
    agent.started(0, 2)
    tell(place, 0, 4)
    assert agent.ended(0, 2)["exit_code"] == 4


def test_a_stopped_supervisor_leaves_its_tasks_and_the_next_start_finds_them(
    supervisor: TaskSupervisor, place: Path
) -> None:
    begin(supervisor, place, 3)
    pids = pids_in(place / "pids", 3)

    assert supervisor.stop() == 0
    assert all(is_alive(pid) for pid in pids)
    assert supervisor.pid_of("reaper")
    assert not supervisor.processes("spawner")
    tell(place, 0, 21)
    wait_for(lambda: not is_alive(pids[0]))
    agent = supervisor.start().agent()
    tell(place, 1, 22)
    assert [agent.ended(n)["exit_code"] for n in (0, 1)] == [21, 22]
    assert supervisor.stop(signal.SIGINT) == 0
    tell(place, 2, 23)
    wait_for(lambda: not supervisor.processes(), what="the reaper leaves, too")
    assert supervisor.start().agent().ended(2)["exit_code"] == 23


def test_an_upgrade_keeps_process_id_children_and_statuses(
    supervisor: TaskSupervisor, place: Path
) -> None:
    agent = begin(supervisor, place)
    spawner = supervisor.pid_of("spawner")
    agent.send(["upgrade"])
    while agent.receive():
        pass
    agent = supervisor.agent()
    pids = pids_in(place / "pids", 2)

    assert supervisor.pid_of("spawner") == spawner
    stats = [procfs.read_stat(pid) for pid in pids]
    assert [stat and stat.parent for stat in stats] == [spawner, spawner]
    tell(place, 0, 5)
    assert agent.ended(0)["exit_code"] == 5
    assert supervisor.front is not None
    supervisor.front.send_signal(signal.SIGHUP)
    while agent.receive():
        pass
    tell(place, 1, 6)
    assert supervisor.agent().ended(1)["exit_code"] == 6
    assert supervisor.pid_of("spawner") == spawner


def test_a_killed_reaper_is_succeeded_by_the_spawner(
    supervisor: TaskSupervisor, place: Path
) -> None:
    begin(supervisor, place)
    spawner = supervisor.pid_of("spawner")
    kill(supervisor.pid_of("reaper"))
    wait_for(lambda: supervisor.pid_of("reaper") == spawner, what="succession")
    agent = supervisor.agent()
    tell(place, 0, 31)
    assert agent.ended(0)["exit_code"] == 31
    kill_spawner(supervisor)
    tell(place, 1, 32)

    agent = supervisor.agent()
    assert agent.ended(1)["exit_code"] == 32
    assert supervisor.stop() == 0
    wait_for(lambda: not supervisor.processes())


def test_tasks_of_a_dead_reaper_are_reaped_by_the_front(
    supervisor: TaskSupervisor, place: Path
) -> None:
    begin(supervisor, place)
    kill_spawner(supervisor)  # now they are the reaper's
    kill(supervisor.pid_of("reaper"))
    tell(place, 0, 51)
    agent = wait_for(lambda: attached(supervisor))
    tell(place, 1, 52)

    assert [agent.ended(n)["exit_code"] for n in (0, 1)] == [51, 52]


def attached(supervisor: TaskSupervisor) -> AgentEnd:
    """Return a connection that has seen the inventory."""
    agent = supervisor.agent()
    agent.sync()
    return agent


def test_a_killed_front_changes_nothing_and_the_next_one_attaches(
    supervisor: TaskSupervisor, place: Path
) -> None:
    begin(supervisor, place)
    assert supervisor.front is not None
    supervisor.front.kill()
    supervisor.front.wait()
    agent = supervisor.agent()
    tell(place, 0, 61)
    assert agent.ended(0)["exit_code"] == 61
    reaper = supervisor.pid_of("reaper")
    supervisor.start()
    tell(place, 1, 62)

    assert wait_for(lambda: attached(supervisor)).ended(1)["exit_code"] == 62
    assert supervisor.pid_of("reaper") == reaper
    assert supervisor.stop() == 0


def test_a_status_that_nobody_can_know_is_lost_and_never_a_success(
    supervisor: TaskSupervisor, place: Path
) -> None:
    begin(supervisor, place)
    assert supervisor.front is not None
    for pid in (
        supervisor.front.pid,
        supervisor.pid_of("reaper"),
        supervisor.pid_of("spawner"),
    ):
        os.kill(pid, signal.SIGKILL)
    supervisor.front.wait()
    wait_for(lambda: not supervisor.processes())
    tell(place, 0, 0)
    agent = supervisor.start().agent()
    lost = agent.ended(0)
    tell(place, 1, 0)

    assert (lost["reason"], lost["exit_code"]) == ("STATUS_LOST", None)
    assert agent.ended(1)["reason"] == "STATUS_LOST"


def test_a_stopped_task_of_a_dead_supervisor_is_ended_with_its_processes(
    supervisor: TaskSupervisor, place: Path
) -> None:
    begin(supervisor, place, 1)
    (pid,) = pids_in(place / "pids", 1)
    assert supervisor.front is not None
    for role in ("reaper", "spawner"):
        os.kill(supervisor.pid_of(role), signal.SIGSTOP)
    supervisor.front.kill()
    supervisor.front.wait()
    for role in ("reaper", "spawner"):
        os.kill(supervisor.pid_of(role), signal.SIGKILL)
    wait_for(lambda: not supervisor.processes())
    agent = supervisor.start().agent()
    agent.stop(0, grace_s=0)
    end = agent.ended(0)

    assert end["reason"] in {"KILLED", "STATUS_LOST"}
    assert not is_alive(pid)
