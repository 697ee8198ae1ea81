"""What the journal restores: reports, another boot, and kills under load."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from node_agent.supervisor.clock import Clock
from node_agent.supervisor.journal import MAGIC, Journal
from node_agent.supervisor.replay import read_journal
from tests.support.polling import wait_for
from tests.support.task_supervisor import (
    JOB,
    TASK,
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

KILLS = 12


@pytest.fixture(params=containments())
def supervisor(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[TaskSupervisor]:
    with task_supervisor(tmp_path / "node", "--cgroup", request.param) as running:
        yield running.start()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return place_of_waiting(tmp_path)


def test_every_report_is_delivered_again_until_it_is_acknowledged(
    supervisor: TaskSupervisor, place: Path
) -> None:
    agent = supervisor.agent()
    agent.shell("exit 1")
    agent.start(0, 1)
    first = [agent.expect("started"), agent.expect("ended")]
    agent.ended(0)
    agent.ended(1)
    agent.close()
    again = supervisor.agent()
    again.ended(0)
    again.ended(1)
    positions = [m[1] for m in again.messages if m[0] in {"started", "ended"}]
    assert positions == sorted(positions)
    assert len(positions) == 4
    assert again.hello["position"] == positions[-1]
    assert all(message in again.messages for message in first)

    again.send(["ack", positions[-2]])
    again.sync()
    kill_spawner(supervisor)
    third = supervisor.agent()
    third.expect("ended")
    third.send(["ack", positions[-1]])
    third.sync()
    assert [m[1] for m in third.messages if m[0] in {"started", "ended"}] == (
        positions[-1:]
    )
    kill_spawner(supervisor)
    fourth = supervisor.agent()
    fourth.sync()
    assert not [m for m in fourth.messages if m[0] in {"started", "ended"}]
    fourth.start(0)
    assert "has ended here" in fourth.expect("refused", JOB, TASK, 0, 1)[5]


def test_another_boot_ends_what_ran_and_starts_nothing(
    tmp_path: Path, place: Path
) -> None:
    boot = tmp_path / "boot_id"
    boot.write_text("first\n")
    with task_supervisor(tmp_path / "node", "--boot-id-file", str(boot)) as supervisor:
        supervisor.start()
        agent = begin(supervisor, place, 1)
        agent.grant(0)
        agent.define("false", task=2)
        agent.start(8, 9, ncores=2, task=2)
        agent.sync()
        assert supervisor.front is not None
        supervisor.front.kill()
        supervisor.front.wait()
        for pid in [supervisor.pid_of("reaper"), supervisor.pid_of("spawner")]:
            os.kill(pid, signal.SIGKILL)
        for pid in pids_in(place / "pids", 1):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not supervisor.processes())
        boot.write_text("second\n")
        agent = supervisor.start().agent()
        agent.grant(0, 1)

        assert agent.hello["boot_id"] == "second"
        assert agent.ended(0)["reason"] == "NODE_REBOOTED"
        assert [agent.ended(n, task=2)["reason"] for n in (8, 9)] == (
            ["NODE_REBOOTED"] * 2
        )
        assert agent.hello["running"] == agent.hello["queued"] == []


def test_no_attempt_is_lost_doubled_or_changed_by_kills_under_load(
    supervisor: TaskSupervisor, place: Path
) -> None:
    """Kill the spawner again and again while it starts and reaps as fast as it can."""
    count = 600
    ended: dict[int, tuple[str, int | None]] = {}
    line = "echo $CCP_TASKINSTANCEID >>ran; exit $((CCP_TASKINSTANCEID % 251))"
    agent = supervisor.agent()
    agent.shell(line, cwd=str(place))
    agent.grant(0, 1, 2)
    agent.start(*range(count), ncores=1)
    agent.sync()  # what a spawner that is killed has not read nobody sends again
    for kills in range(KILLS):
        take_until(agent, ended, 40 * kills)
        kill_spawner(supervisor)
        agent = supervisor.agent()
    take_until(agent, ended, count)
    ran = (place / "ran").read_text().split()
    started = {number for number, end in ended.items() if end[0] != "NOT_STARTED"}

    assert len(ran) == len(set(ran))
    assert {int(word) for word in ran} == started
    assert len(started) >= count - KILLS
    assert all(
        end == ("EXITED", number % 251)
        for number, end in ended.items()
        if number in started
    )


def take_until(
    agent: AgentEnd, ended: dict[int, tuple[str, int | None]], count: int
) -> None:
    """Take in ends until so many attempts have ended. Two ends of one must agree."""

    def take() -> int:
        agent.receive(0.01)
        for message in agent.messages:
            if message[0] == "ended":
                end = message[6]["reason"], message[6]["exit_code"]
                assert ended.setdefault(message[4], end) == end
        agent.messages.clear()
        return len(ended)

    wait_for(take, until=lambda seen: seen >= count)


def journal_file(supervisor: TaskSupervisor) -> Path:
    """Return the journal's present segment."""
    return max((supervisor.directory / "journal").glob("*.log"))


def test_an_intent_whose_process_nobody_could_reap_is_lost_and_never_runs_again(
    supervisor: TaskSupervisor, place: Path
) -> None:
    """Whether it had begun before all of the supervisor ended, nobody can tell."""
    agent = supervisor.agent()
    agent.shell("touch ran", cwd=str(place))
    agent.sync()
    assert supervisor.stop() == 0
    wait_for(lambda: not supervisor.processes())
    replay = read_journal(str(supervisor.directory / "journal"))
    journal = Journal(str(supervisor.directory / "journal"))
    journal.resume(replay.segment, replay.offset, replay.old)
    journal.add(f"I{JOB} {TASK} 0 1 1 0 0 0 {Clock().boot():.3f}".encode())
    journal.close()
    agent = supervisor.start().agent()

    assert agent.ended(0)["reason"] == "STATUS_LOST"
    agent.start(0)
    agent.sync()
    assert {m[6]["reason"] for m in agent.messages if m[0] == "ended"} == {
        "STATUS_LOST"
    }
    assert not (place / "ran").exists()


@pytest.mark.parametrize("ends_first", [False, True])
def test_a_process_that_was_made_but_not_recorded_is_found_by_its_parent(
    supervisor: TaskSupervisor, place: Path, *, ends_first: bool
) -> None:
    """As if the spawner had died between the start and the record of the pid."""
    begin(supervisor, place, 1)
    (pid,) = pids_in(place / "pids", 1)
    reaper, spawner = supervisor.pid_of("reaper"), supervisor.pid_of("spawner")
    os.kill(reaper, signal.SIGSTOP)
    kill(spawner)
    path = journal_file(supervisor)
    data = path.read_bytes()
    record = data.rindex(MAGIC, 0, data.index(b'["started",'))
    path.write_bytes(data[:record] + bytes(len(data) - record))
    if ends_first:
        tell(place, 0, 77)
        wait_for(lambda: not is_alive(pid))
    os.kill(reaper, signal.SIGCONT)
    agent = supervisor.agent()
    if not ends_first:
        assert agent.hello["running"][0][4] == pid
        tell(place, 0, 77)

    assert agent.started(0)["pid"] == pid
    assert agent.ended(0)["exit_code"] == 77
    assert (place / "pids").read_text().split() == [str(pid)]


def test_a_process_that_was_made_but_not_recorded_is_found_wherever_it_is(
    supervisor: TaskSupervisor, place: Path
) -> None:
    """As if spawner and reaper had both died between the start and its record."""
    begin(supervisor, place, 1)
    (pid,) = pids_in(place / "pids", 1)
    reaper, spawner = supervisor.pid_of("reaper"), supervisor.pid_of("spawner")
    assert supervisor.front is not None
    supervisor.front.send_signal(signal.SIGSTOP)
    os.kill(spawner, signal.SIGSTOP)
    os.kill(reaper, signal.SIGKILL)
    os.kill(spawner, signal.SIGKILL)
    wait_for(lambda: not is_alive(spawner))
    path = journal_file(supervisor)
    data = path.read_bytes()
    record = data.rindex(MAGIC, 0, data.index(b'["started",'))
    path.write_bytes(data[:record] + bytes(len(data) - record))
    supervisor.front.send_signal(signal.SIGCONT)
    agent = supervisor.agent()

    assert agent.started(0)["pid"] == pid
    agent.stop(0, grace_s=0)
    agent.ended(0)
    assert not is_alive(pid)
    assert (place / "pids").read_text().split() == [str(pid)]


def test_a_task_of_the_same_number_in_another_cluster_is_left_alone(
    supervisor: TaskSupervisor, place: Path, tmp_path: Path
) -> None:
    """A lost status makes the spawner look for its processes by their tag (F37)."""
    other_place = tmp_path / "other"
    other_place.mkdir()
    with task_supervisor(tmp_path / "other-node", "--cgroup", "off") as other:
        other.start()
        stranger = other.agent()
        stranger.shell("echo $$ >pids; sleep 600 & sleep 600", cwd=str(other_place))
        stranger.start(0)
        (theirs,) = pids_in(other_place / "pids", 1)
        begin(supervisor, place, 1)
        (ours,) = pids_in(place / "pids", 1)
        assert supervisor.front is not None
        supervisor.front.kill()
        supervisor.front.wait()
        os.kill(supervisor.pid_of("spawner"), signal.SIGSTOP)
        for role in ("reaper", "spawner"):
            os.kill(supervisor.pid_of(role), signal.SIGKILL)
        kill(ours)
        agent = supervisor.start().agent()

        assert agent.ended(0)["reason"] == "STATUS_LOST"
        assert is_alive(theirs)
        stranger.stop(0, grace_s=0)
        assert stranger.ended(0)["reason"] == "KILLED"


def test_the_journal_is_synced_by_the_reaper_and_not_by_the_spawner(
    supervisor: TaskSupervisor, place: Path
) -> None:
    agent = supervisor.agent()
    before = [path.name for path in (supervisor.directory / "journal").iterdir()]
    agent.run("true")
    kill_spawner(supervisor)
    supervisor.agent().sync()

    # Only a synced segment lets the one before it go.
    wait_for(
        lambda: [p.name for p in (supervisor.directory / "journal").glob("*.log")],
        until=lambda names: len(names) == 1 and names[0] not in before,
    )


@pytest.mark.parametrize("restarts", [False, True])
def test_attempts_of_several_jobs_start_in_the_order_in_which_they_came(
    supervisor: TaskSupervisor, tmp_path: Path, *, restarts: bool
) -> None:
    agent = supervisor.agent()
    for job in (JOB, JOB + 1, JOB + 2):
        agent.grant(0, job=job)
        line = (
            f"echo $HPC_TASK >>{tmp_path}/ran; until [ -e {tmp_path}/go ]; do :; done"
        )
        agent.shell(line, job=job)
    agent.start(0, ncores=1)
    agent.started(0)
    order = [(JOB, 1), (JOB + 1, 1), (JOB, 2), (JOB + 2, 1), (JOB + 1, 2)]
    for job, instance in order:
        agent.start(instance, ncores=1, job=job)
    agent.sync()
    if restarts:
        agent.close()
        kill_spawner(supervisor)
        agent = supervisor.agent()
    (tmp_path / "go").touch()
    for job, instance in order:
        agent.ended(instance, job=job)

    ran = (tmp_path / "ran").read_text().split()
    assert ran == [f"{job}.{TASK}.{n}" for job, n in [(JOB, 0), *order]]
