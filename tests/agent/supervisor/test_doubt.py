"""P3 and P5 where a new spawner cannot know at once: it asks, and guesses nothing.

What counts as lost or as not started is run again by the head, so a wrong answer is a
second run of a task that has run.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from node_agent.supervisor import ending, procfs, recovery, reports
from node_agent.supervisor.attempt import Attempt
from node_agent.supervisor.clock import Clock
from node_agent.supervisor.definition import Definition, User
from node_agent.supervisor.exits import Exit
from node_agent.supervisor.recovery import Recovery
from tests.support.polling import wait_for
from tests.support.task_supervisor import (
    begin,
    containments,
    is_alive,
    kill_spawner,
    pids_in,
    place_of_waiting,
    task_supervisor,
    tell,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.task_supervisor import TaskSupervisor


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[TaskSupervisor]:
    options = ("--cgroup", containments()[-1])
    with task_supervisor(tmp_path / "node", *options) as running:
        yield running.start()


@pytest.mark.parametrize("is_reaped_late", [False, True])
def test_a_status_that_its_parent_is_slow_to_tell_is_not_lost(
    supervisor: TaskSupervisor, tmp_path: Path, *, is_reaped_late: bool
) -> None:
    """The reaper syncs the journal itself: a slow disk may hold it up for seconds."""
    place = place_of_waiting(tmp_path)
    begin(supervisor, place, 1)
    (pid,) = pids_in(place / "pids", 1)
    kill_spawner(supervisor)
    agent = supervisor.agent()
    agent.sync()
    reaper = supervisor.pid_of("reaper")
    if not is_reaped_late:
        os.kill(reaper, signal.SIGSTOP)
    tell(place, 0, 77)
    if is_reaped_late:
        os.kill(reaper, signal.SIGSTOP)
    wait_for(lambda: not is_alive(pid), what="the end of the task")
    deadline = time.monotonic() + 2 * ending.LATE_STATUS_S
    while (left := deadline - time.monotonic()) > 0:
        agent.receive(left)
    early = [message for message in agent.messages if message[0] == "ended"]
    os.kill(reaper, signal.SIGCONT)

    assert [message[6]["reason"] for message in early] in ([], ["EXITED"])
    assert agent.ended(0)["exit_code"] == 77


class Doubt:
    """A recovery with one intent whose process id is not on record."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        raw = {"job": 7, "task": 1, "def": 1, "argv": [["true"]]}
        definition = Definition(raw, User())
        self.clock = Clock()
        self.attempt = Attempt(
            definition,
            0,
            1,
            slot=0,
            cores=0,
            contained=False,
            tried_at=self.clock.boot(),
        )
        self.exits: list[Exit] = []
        self.endings: list[reports.Ending] = []
        table = SimpleNamespace(live={(7, 1, 0): self.attempt}, jobs={})
        slots = SimpleNamespace(slot=lambda _: None)
        self.node: Any = SimpleNamespace(
            table=table, clock=self.clock, slots=slots, boot_id="boot"
        )
        close = lambda _, ending: self.endings.append(ending)  # noqa: E731
        parts: list[Any] = [
            self.node,
            SimpleNamespace(report_started=lambda *_: None),
            None,
            SimpleNamespace(close=close),
        ]
        self.recovery = Recovery(*parts, ask_reaper=self.ask)
        self.recovery._reaper = os.getpid()
        self.asked = 0
        monkeypatch.setattr(procfs, "processes", lambda: iter(()))

    def ask(self) -> None:
        self.asked += 1

    def resolve(self) -> None:
        self.recovery._resolve(self.attempt, {}, self.exits)


def test_who_ended_while_the_living_were_looked_at_has_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ends are asked for after the look, so nobody is in neither."""
    doubt = Doubt(monkeypatch)
    ticks = int(doubt.clock.boot() * procfs.TICKS_PER_S)
    end = Exit("boot", 4711, ticks, 4711, 0, doubt.clock.wall())

    def ask() -> None:
        doubt.exits.append(end)

    monkeypatch.setattr(doubt.recovery, "_ask_reaper", ask)
    doubt.resolve()

    assert doubt.attempt.pid == 4711
    assert not doubt.endings


@pytest.mark.parametrize("only", [None, 0, 1])
def test_ends_of_several_that_were_being_made_are_told_apart_by_their_cores(
    monkeypatch: pytest.MonkeyPatch, only: int | None
) -> None:
    """Some get cores of their own and are made at once: each has its own end (P5)."""
    doubt = Doubt(monkeypatch)
    raw = {"job": 7, "task": 1, "def": 1, "argv": [["true"]], "pin": True}
    definition = Definition(raw, User())
    when = doubt.clock.boot()
    first, second = (
        Attempt(definition, n, 1, slot=n, cores=1 << n, contained=False, tried_at=when)
        for n in range(2)
    )
    doubt.recovery._in_doubt = [first, second]
    doubt.node.table.live = {(7, 1, 0): first, (7, 1, 1): second}
    ticks = int(when * procfs.TICKS_PER_S)
    for number, core in ((4712, 1), (4711, 0)):  # the second was made first
        if only in (None, core):
            end = Exit("boot", number, ticks - core, number, core << 8, 1.0)
            end.cores = 1 << core
            doubt.exits.append(end)
    for attempt in (first, second):
        doubt.attempt = attempt
        doubt.resolve()

    found = {0: first.pid, 1: second.pid}
    there = {0: 4711, 1: 4712}
    assert found == {n: there[n] if only in (None, n) else 0 for n in (0, 1)}
    reasons = [ending.reason for ending in doubt.endings]
    assert reasons == ([] if only is None else ["NOT_STARTED"])


def test_an_end_that_the_reaper_collects_tells_its_cores() -> None:
    core = min(os.sched_getaffinity(0))
    stay = f"import os; os.sched_setaffinity(0, {{{core}}})"
    with subprocess.Popen([sys.executable, "-c", stay]) as child:
        wait_for(lambda: (procfs.read_stat(child.pid) or Dead).state == "Z")

        assert procfs.allowed_cores(child.pid) == 1 << core


class Dead:
    state = "Z"


def test_a_process_that_never_came_to_its_program_never_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It waits for a file system, say: not started means that it never will be."""
    doubt = Doubt(monkeypatch)
    monkeypatch.setattr(recovery, "EXEC_PATIENCE_S", 0.05)
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(
        [*command, "hpc-task-supervisor", "spawner"], start_new_session=True
    ) as child:

        def is_ours() -> bool:
            return procfs.runs_supervisor_code(child.pid)

        wait_for(is_ours, what="the process")
        monkeypatch.setattr(procfs, "children_of", lambda _: [child.pid])

        def ask() -> None:
            child.wait()
            ticks = int(doubt.clock.boot() * procfs.TICKS_PER_S)
            doubt.exits.append(Exit("boot", child.pid, ticks, child.pid, 9, 0.0))

        monkeypatch.setattr(doubt.recovery, "_ask_reaper", ask)
        doubt.resolve()

        assert child.returncode == -signal.SIGKILL
        assert [ending.reason for ending in doubt.endings] == ["NOT_STARTED"]
        assert doubt.attempt.pid == 0
