"""Ends: leftovers, stops, grace periods, kills, limits, with and without cgroups."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.polling import wait_for
from tests.support.task_supervisor import (
    JOB,
    AgentEnd,
    TaskSupervisor,
    containments,
    is_alive,
    pids_in,
    task_supervisor,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAEMON = (
    "import os, time\n"
    "if os.fork(): os._exit(0)\n"
    "os.setsid()\n"
    "if os.fork(): os._exit(0)\n"
    "open('pids', 'a').write(f'{os.getpid()}\\n')\n"
    "time.sleep(600)\n"
)
ZOO = (
    "sleep 600 & echo $! >>pids\n"
    "nohup sleep 600 >/dev/null 2>&1 & echo $! >>pids\n"
    "setsid sh -c 'echo $$ >>pids; sleep 600; :' &\n"
    f'{sys.executable} -I -S -c "$DAEMON"\n'
    f'env -i {sys.executable} -I -S -c "$DAEMON"\n'
    "(trap '' TERM HUP INT; sh -c 'trap \"\" TERM; echo $$ >>pids; sleep 600; :' &)\n"
    "while [ $(wc -l <pids) -lt 6 ]; do sleep 0.01; done\n"
)
DEAF = "trap '' TERM; echo $$ >pids; while :; do sleep 600; done"
POLITE = "trap 'exit 7' TERM; echo $$ >pids; while :; do sleep 0.02; done"


@pytest.fixture(scope="module", params=containments())
def supervisor(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TaskSupervisor]:
    place = tmp_path_factory.mktemp("ending") / "node"
    with task_supervisor(place, "--cgroup", request.param) as running:
        yield running.start()


@pytest.fixture
def agent(supervisor: TaskSupervisor) -> Iterator[AgentEnd]:
    agent = supervisor.agent()
    yield agent
    agent.send(["end_job", JOB])
    agent.expect("job_ended", JOB)
    agent.send(["ack", max(m[1] for m in agent.messages if m[0] == "ended")])
    agent.send(["purge", JOB])
    agent.sync()
    agent.close()


def test_whatever_a_task_leaves_behind_dies_with_it(
    agent: AgentEnd, tmp_path: Path
) -> None:
    end = agent.run(ZOO + "exit 5", cwd=str(tmp_path), env={"DAEMON": DAEMON})
    left = pids_in(tmp_path / "pids", 6)

    assert (end["reason"], end["exit_code"]) == ("EXITED", 5)
    assert not [pid for pid in left if is_alive(pid)]


def test_a_daemon_lives_as_long_as_its_task_and_another_end_spares_it(
    agent: AgentEnd, tmp_path: Path
) -> None:
    line = f'{sys.executable} -I -S -c "$DAEMON"; read x <fifo'
    (tmp_path / "pids").touch()
    agent.shell(f"mkfifo fifo; {line}", cwd=str(tmp_path), env={"DAEMON": DAEMON})
    agent.start(0)
    (daemon,) = pids_in(tmp_path / "pids", 1)
    agent.shell("true", task=2)
    agent.start(0, task=2)
    agent.ended(0, task=2)

    assert is_alive(daemon)
    with (tmp_path / "fifo").open("w") as fifo:
        fifo.write("\n")
    agent.ended(0)
    assert not is_alive(daemon)


def test_a_stop_signals_every_process_and_keeps_the_exit_code(
    agent: AgentEnd, tmp_path: Path
) -> None:
    agent.shell(
        f'setsid sh -c "{POLITE.replace("pids", "two")}" &\n{POLITE}', cwd=str(tmp_path)
    )
    agent.start(0)
    (tmp_path / "two").touch()
    (other,) = pids_in(tmp_path / "two", 1)
    pids_in(tmp_path / "pids", 1)
    agent.stop(0)
    end = agent.ended(0)

    assert (end["reason"], end["exit_code"]) == ("CANCELED", 7)
    assert (end["why"], end["signal"]) == ("CANCELED", None)
    assert not is_alive(other)


def test_a_task_that_dies_of_the_signal_is_canceled(agent: AgentEnd) -> None:
    agent.define("sleep", "600")
    agent.start(0)
    agent.started()
    agent.stop(0, reason="PREEMPTED")
    end = agent.ended(0)

    assert (end["reason"], end["signal"]) == ("CANCELED", 15)
    assert end["why"] == "PREEMPTED"


def test_the_signal_is_the_definition_s(agent: AgentEnd, tmp_path: Path) -> None:
    line = "trap 'exit 9' INT; echo $$ >pids; while :; do sleep 0.02; done"
    agent.shell(line, cwd=str(tmp_path), signal=2)
    agent.start(0)
    pids_in(tmp_path / "pids", 1)
    agent.stop(0)

    assert agent.ended(0)["exit_code"] == 9


def test_a_task_that_ignores_the_signal_is_killed_after_the_grace_period(
    agent: AgentEnd, tmp_path: Path
) -> None:
    agent.shell(DEAF, cwd=str(tmp_path))
    agent.start(0)
    pids_in(tmp_path / "pids", 1)
    agent.stop(0, grace_s=0.3)
    end = agent.ended(0)

    assert (end["reason"], end["signal"]) == ("KILLED", 9)
    assert end["exit_code"] == 137
    assert end["end"] - end["start"] >= 0.3


def test_a_forced_stop_kills_at_once(agent: AgentEnd, tmp_path: Path) -> None:
    agent.shell(POLITE, cwd=str(tmp_path))
    agent.start(0)
    pids_in(tmp_path / "pids", 1)
    agent.stop(0, grace_s=0)

    assert agent.ended(0)["reason"] == "KILLED"


def test_a_second_stop_can_only_shorten_the_grace_period(
    agent: AgentEnd, tmp_path: Path
) -> None:
    agent.shell(DEAF, cwd=str(tmp_path))
    agent.start(0)
    pids_in(tmp_path / "pids", 1)
    agent.stop(0, grace_s=0.4, reason="PREEMPTED")
    agent.stop(0, grace_s=60)
    end = agent.ended(0)
    assert end["why"] == "PREEMPTED"

    (tmp_path / "pids").unlink()
    agent.start(0, attempt=2)
    pids_in(tmp_path / "pids", 1)
    agent.stop(0, attempt=2, grace_s=60)
    agent.stop(0, attempt=2, grace_s=0)
    assert agent.ended(0, 2)["reason"] == "KILLED"


def test_a_run_time_limit_is_kept_with_signal_and_grace(
    agent: AgentEnd, tmp_path: Path
) -> None:
    agent.shell(DEAF, cwd=str(tmp_path), limit_s=0.1, grace_s=0.2)
    agent.start(0)
    end = agent.ended(0)

    assert (end["reason"], end["signal"]) == ("TIME_LIMIT", 9)
    assert 0.3 <= end["end"] - end["start"] < 5
    assert "0.1 s" in end["message"]


def test_a_task_that_ends_in_time_has_not_met_its_limit(agent: AgentEnd) -> None:
    assert agent.run("exit 1", limit_s=60)["reason"] == "EXITED"


def test_a_stop_before_the_start_refuses_that_attempt_and_no_other(
    agent: AgentEnd, tmp_path: Path
) -> None:
    agent.shell("touch ran", cwd=str(tmp_path))
    agent.stop(3)
    agent.start(3)
    end = agent.ended(3)

    assert (end["reason"], end["start"]) == ("CANCELED", None)
    assert not (tmp_path / "ran").exists()
    agent.start(3, attempt=2)
    assert agent.ended(3, 2)["reason"] == "EXITED"


def test_a_stop_of_what_has_ended_changes_nothing(agent: AgentEnd) -> None:
    agent.run("exit 4")
    agent.stop(0)
    agent.sync()

    assert len([m for m in agent.messages if m[0] == "ended"]) == 1
    agent.start(0)
    assert agent.ended(0)["exit_code"] == 4


def test_a_queued_attempt_that_is_stopped_was_never_started(agent: AgentEnd) -> None:
    agent.define("sleep", "600")
    agent.grant(0)
    agent.start(0, 1, ncores=1)
    agent.stop(1, reason="PREEMPTED")
    end = agent.ended(1)

    assert (end["reason"], end["why"]) == ("NOT_STARTED", "PREEMPTED")
    assert end["exit_code"] is None


def test_ending_a_job_kills_what_lives_and_drops_what_waits(
    agent: AgentEnd, tmp_path: Path
) -> None:
    agent.shell(DEAF, cwd=str(tmp_path))
    agent.grant(0)
    agent.start(0, 1, 2, ncores=1)
    (pid,) = pids_in(tmp_path / "pids", 1)
    agent.send(["end_job", JOB])
    agent.expect("job_ended", JOB)
    names = [m[0] for m in agent.messages]

    assert agent.ended(0)["reason"] == "KILLED"
    assert [agent.ended(n)["reason"] for n in (1, 2)] == ["NOT_STARTED"] * 2
    assert names.index("job_ended") > max(
        place for place, name in enumerate(names) if name == "ended"
    )
    assert not is_alive(pid)
    agent.start(4)
    assert "not known" in agent.expect("refused", JOB, 1, 4)[5]


def test_ending_an_unknown_job_succeeds(agent: AgentEnd) -> None:
    agent.run("true")
    agent.send(["end_job", 4711])

    assert agent.expect("job_ended", 4711)


def test_stopping_the_node_ends_every_task(agent: AgentEnd, tmp_path: Path) -> None:
    agent.grant(0)
    agent.shell(POLITE, cwd=str(tmp_path))
    agent.start(0, 1, ncores=1)
    pids_in(tmp_path / "pids", 1)
    agent.send(["stop_all", 5.0, "NODE_SHUTDOWN"])
    agent.expect("all_stopped")
    end = agent.ended(0)

    assert (end["reason"], end["exit_code"]) == ("NODE_SHUTDOWN", 7)
    assert agent.ended(1)["reason"] == "NOT_STARTED"
    agent.messages = [m for m in agent.messages if m[0] != "all_stopped"]
    agent.send(["stop_all", 5.0])
    agent.expect("all_stopped")


def test_a_fork_bomb_dies_when_it_is_killed(agent: AgentEnd, tmp_path: Path) -> None:
    bomb = "f() { while :; do sleep 0.01; f & done; }; ulimit -u 2000; f"
    agent.shell(f'echo $$ >pids; timeout 5 bash -c "{bomb}"', cwd=str(tmp_path))
    agent.start(0)
    pids_in(tmp_path / "pids", 1)
    agent.stop(0, grace_s=0)

    assert agent.ended(0)["reason"] == "KILLED"


def test_a_process_that_flees_by_forking_is_caught(agent: AgentEnd) -> None:
    comet = (
        "import os\nos.setsid() if os.fork() == 0 else os._exit(3)\n"
        "while True:\n  if os.fork(): os._exit(0)\n"
    )
    agent.define(sys.executable, "-I", "-S", "-c", comet)
    agent.start(0)

    assert agent.ended(0)["exit_code"] == 3


def test_a_killed_parent_does_not_free_its_grandchildren(
    agent: AgentEnd, tmp_path: Path
) -> None:
    line = "sh -c 'sh -c \"echo \\$\\$ >>pids; sleep 600; :\" & wait' & sleep 600"
    agent.shell(line, cwd=str(tmp_path))
    agent.start(0)
    (tmp_path / "pids").touch()
    (deep,) = pids_in(tmp_path / "pids", 1)
    agent.stop(0, grace_s=0)
    agent.ended(0)

    assert not is_alive(deep)


def test_nothing_is_left_of_the_supervisor_when_it_stops_without_tasks(
    tmp_path: Path,
) -> None:
    with task_supervisor(tmp_path / "node") as supervisor:
        agent = supervisor.start().agent()
        agent.run("true")

        assert supervisor.stop() == 0
        wait_for(lambda: not supervisor.processes(), what="no process left")
        assert not (tmp_path / "node" / "supervisor.sock").exists()
