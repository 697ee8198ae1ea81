"""The process that tasks of other accounts come from: one start per order at most."""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
import threading
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from node_agent.supervisor import commands, delegating, procfs
from node_agent.supervisor.nursery import Gate, Nursery
from node_agent.supervisor.slots import Slot
from tests.support.accounts import can_have_accounts, make_etc, with_etc
from tests.support.polling import wait_for
from tests.support.task_supervisor import (
    TaskSupervisor,
    containments,
    kill,
    kill_spawner,
    task_supervisor,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

CI = bool(os.environ.get("CI"))
HAS_STRACE = shutil.which("strace") is not None

pytestmark = pytest.mark.skipif(
    not CI and not can_have_accounts(),
    reason="needs root and mount namespaces, to give tasks other accounts",
)
with_strace = pytest.mark.skipif(
    not CI and not HAS_STRACE, reason="needs Debian's package strace"
)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that other accounts can reach."""
    path = Path(tempfile.mkdtemp(prefix="hpc-nursery-"))
    path.chmod(0o755)
    make_etc(path)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def supervisor(place: Path) -> Iterator[TaskSupervisor]:
    options = ("--cgroup", containments()[-1], "--run-as", "owner")
    with task_supervisor(place / "node", *options) as running:
        running.wrapper = with_etc(place / "etc")
        yield running


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A nursery is a cold Python: on a busy machine it may take its time."""
    monkeypatch.setattr("node_agent.supervisor.nursery.PATIENCE_MS", 60_000)


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    mains: set[int] = set()
    nursery = Nursery(mains, None)
    nursery.make_ready()
    yield nursery
    nursery.close()
    for pid in mains:
        os.waitpid(pid, 0)


def bear(nursery: Nursery, slot: Slot, null: int) -> Gate:
    order = {"account": "nobody-of-this-name", "min_uid": 1, "privileged": []}
    return delegating.spawn(nursery, order, slot, [null] * 3, contained=False)


def nursery_of(supervisor: TaskSupervisor) -> int:
    wanted = commands.NURSERY_PROGRAM.encode()
    spawner = supervisor.pid_of("spawner")

    def look() -> list[int]:
        return [
            pid
            for pid in procfs.children_of(spawner)
            if wanted in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]

    return wait_for(look, until=lambda found: len(found) == 1, what="the nursery")[0]


def test_who_is_not_let_go_was_never_started(tmp_path: Path, nursery: Nursery) -> None:
    """The spawner has died, say: its end of the gate is closed with it."""
    slot = Slot(str(tmp_path), 0)
    with Path(os.devnull).open("r+b") as null:
        gate = bear(nursery, slot, null.fileno())
    stat = procfs.read_stat(gate.pid)
    gate.close()
    _, status = os.waitpid(gate.pid, 0)
    ending = delegating.failure_of(slot)

    assert stat is not None
    assert (stat.parent, stat.session) == (os.getpid(), gate.pid)
    assert os.waitstatus_to_exitcode(status) == 126
    assert ending is not None
    assert "before the program was executed" in ending.message


def test_who_is_let_go_begins(tmp_path: Path, nursery: Nursery) -> None:
    slot = Slot(str(tmp_path), 0)
    with Path(os.devnull).open("r+b") as null:
        gate = bear(nursery, slot, null.fileno())
    gate.open()
    os.waitpid(gate.pid, 0)
    ending = delegating.failure_of(slot)

    assert ending is not None
    assert "UNKNOWN_ACCOUNT" in ending.message


def test_a_nursery_that_dies_with_an_order_makes_one_process_at_most(
    tmp_path: Path,
) -> None:
    """It hangs, has been given the order, and is killed: another one is given it."""
    mains: set[int] = set()
    nursery = Nursery(mains, None)
    nursery.make_ready()
    first = nursery.pid
    os.kill(first, signal.SIGSTOP)
    gates: list[Gate] = []
    slot = Slot(str(tmp_path), 0)
    try:
        with Path(os.devnull).open("r+b") as null:
            thread = threading.Thread(
                target=lambda: gates.append(bear(nursery, slot, null.fileno()))
            )
            thread.start()
            os.kill(first, signal.SIGKILL)
            thread.join()
        (gate,) = gates
        second = nursery.pid
        children = set(procfs.children_of(os.getpid()))
        gate.close()
        os.waitpid(gate.pid, 0)
    finally:
        nursery.close()
        for pid in mains:
            os.waitpid(pid, 0)

    assert first != second
    assert gate.pid in children
    assert not procfs.children_of(gate.pid)


def test_a_killed_nursery_costs_no_start(
    supervisor: TaskSupervisor, place: Path
) -> None:
    agent = supervisor.start().agent()
    agent.shell("echo $CCP_TASKINSTANCEID >>ran", owner="ann")
    for number in range(4):
        kill(nursery_of(supervisor))
        agent.start(number)
        assert agent.ended(number)["exit_code"] == 0

    assert (place / "home" / "ann" / "ran").read_text() == "0\n1\n2\n3\n"


def test_a_killed_spawner_loses_no_task_of_another_account(
    supervisor: TaskSupervisor, place: Path
) -> None:
    go = place / "home" / "ann" / "go"
    os.mkfifo(go)
    os.chown(go, 12001, 12001)
    agent = supervisor.start().agent()
    agent.shell("echo up >>ran; read code <go; exit $code", owner="ann")
    agent.start(0)
    agent.started(0)
    ran = place / "home" / "ann" / "ran"
    wait_for(lambda: ran.read_text() if ran.exists() else "", what="the task")
    old = nursery_of(supervisor)
    kill_spawner(supervisor)
    wait_for(lambda: procfs.read_stat(old) is None, what="the end of its nursery")
    go.write_text("3\n")
    agent = supervisor.agent()

    assert agent.ended(0)["exit_code"] == 3
    assert ran.read_text() == "up\n"
    assert nursery_of(supervisor) != old


def test_a_task_cannot_touch_what_belongs_to_others(
    supervisor: TaskSupervisor, place: Path
) -> None:
    agent = supervisor.start().agent()
    agent.shell("echo $$ >pid; exec sleep 600", owner="ann", task=2)
    agent.start(0, task=2)
    path = place / "home" / "ann" / "pid"
    other = int(wait_for(lambda: path.read_text() if path.exists() else "", what="pid"))
    pids = [other, nursery_of(supervisor), supervisor.pid_of("spawner")]
    line = "; ".join(
        f"kill -0 {pid} && echo {pid}; cat /proc/{pid}/environ; ls /proc/{pid}/fd"
        for pid in pids
    )
    end = agent.run(f"{line}; true", owner="bob", output_limit=9999)

    assert end["exit_code"] == 0, end
    denied = "not permitted|denied"
    assert len(re.findall(denied, end["output"])) == 3 * len(pids), end["output"]
    assert end["out_bytes"] == 0


CALLS = (
    *("%file", "setsid", "setgroups", "setresgid", "setresuid", "clone3"),
    *("prctl", "dup2", "dup3"),
)
ORDER = ("setsid", "setgroups", "setresgid", "setresuid", "chdir", "execve")
STARTS = 25
LINE = re.compile(r"^(\d+) +(\w+)\((.*)")


@with_strace
def test_root_follows_no_path_of_a_users_and_identity_changes_in_order(
    supervisor: TaskSupervisor, place: Path
) -> None:
    """RELIABILITY, "Security tests" 3: every call of these starts is looked at."""
    trace = place / "trace"
    strace = ("strace", "-f", "-qq", "-o", str(trace), "-e", "trace=" + ",".join(CALLS))
    supervisor.wrapper = (*with_etc(place / "etc"), *strace)
    agent = supervisor.start().agent()
    agent.define("true", owner="ann", cwd="work", stdout=["out"], stdin=["in"])
    home = place / "home" / "ann"
    (home / "work").mkdir()
    (home / "work" / "in").write_text("")
    os.chown(home / "work", 12001, 12001)
    agent.start(*range(STARTS))
    for number in range(STARTS):
        assert agent.ended(number)["exit_code"] == 0
    calls: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for line in trace.read_text().splitlines():
        if found := LINE.match(line):
            calls[found[1]].append((found[2], found[3]))
    starts = [made for made in calls.values() if ("setresuid", "12001") in _brief(made)]

    assert len(starts) == STARTS
    for made in starts:
        names = [name for name, _ in made]
        changed = names.index("setresuid")
        assert not [call for call in made[:changed] if str(home) in call[1]]
        order = [names.index(name) for name in ORDER]
        assert order == sorted(order), names
        assert names.count("setresuid") == names.count("setgroups") == 1
        hidden = [args for name, args in made[changed:] if name == "prctl"]
        assert hidden[0].startswith("PR_SET_DUMPABLE, SUID_DUMP_DISABLE")
        assert hidden[1].startswith("PR_SET_NO_NEW_PRIVS, 1")
        assert names.count("execve") == 1


def _brief(made: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the calls with their first argument alone."""
    return [(name, arguments.split(",")[0]) for name, arguments in made]


SWAP = """
import ctypes, os
libc = ctypes.CDLL(None)
while True:
    for other in (b"a-link", b"a-fifo", b"a-file"):
        libc.renameat2(-100, b"work", -100, other, 2)
        libc.renameat2(-100, b"work", -100, other, 2)
"""


def test_a_user_who_swaps_paths_during_starts_gains_nothing(
    supervisor: TaskSupervisor, place: Path
) -> None:
    """RELIABILITY, "Security tests" 2: directory, link to root's, FIFO and file."""
    agent = supervisor.start().agent()
    roots, home = place / "roots", place / "home" / "ann"
    roots.mkdir(mode=0o755)
    (roots / "out").write_text("root's")
    (roots / "out").chmod(0o600)
    (home / "a-link").symlink_to(roots)
    os.mkfifo(home / "a-fifo")
    (home / "a-file").write_text("")
    (home / "work").mkdir()
    for path in (home / "work", home / "a-fifo", home / "a-file"):
        os.chown(path, 12001, 12001)
    python = shutil.which("python3", path="/usr/bin:/bin") or "python3"
    agent.define(python, "-I", "-c", SWAP, owner="ann", task=2)
    agent.start(0, task=2)
    agent.shell("echo mine", owner="ann", cwd="work", stdout=["out"])
    outcomes = set()
    for begin in range(0, 200, 20):
        agent.start(*range(begin, begin + 20))
        for number in range(begin, begin + 20):
            outcomes.add(agent.ended(number)["reason"])

    assert not [m for m in agent.messages if m[0] == "ended" and m[3] == 2]  # it swaps
    assert outcomes <= {"EXITED", "START_FAILED"}
    assert [path.name for path in roots.iterdir()] == ["out"]
    assert (roots / "out").read_text() == "root's"
    assert (roots / "out").stat().st_uid == 0
