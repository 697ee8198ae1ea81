"""Tasks with the account of their job's owner: who they are, and who they never are."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from node_agent.supervisor import procfs
from tests.support.accounts import can_have_accounts, make_etc, with_etc
from tests.support.polling import wait_for
from tests.support.task_supervisor import (
    JOB,
    AgentEnd,
    TaskSupervisor,
    containments,
    kill_spawner,
    task_supervisor,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

LIBC_OWN = 0b11 << 31
"""Signals 32 and 33, which no program can set; this machine's may come ignored."""

ANN, BOB, TEAM = 12001, 12002, 12100
CI = bool(os.environ.get("CI"))

pytestmark = pytest.mark.skipif(
    not CI and not can_have_accounts(),
    reason="needs root and mount namespaces, to give tasks other accounts",
)

PROBE = (
    "umask; pwd; cat /proc/self/oom_score_adj; ls /proc/self/fd | tr '\\n' ' '; echo;"
    " ulimit -Sc; ulimit -Sn; ulimit -Hn; cat /proc/self/status; echo ENV; env -0"
)


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory that other accounts can reach."""
    path = Path(tempfile.mkdtemp(prefix="hpc-accounts-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def home(place: Path) -> Path:
    make_etc(place)
    return place / "home" / "ann"


@pytest.fixture(scope="module")
def supervisor(place: Path, home: Path) -> Iterator[TaskSupervisor]:
    options = ("--cgroup", containments()[-1], "--run-as", "owner")
    with task_supervisor(place / "node", *options) as running:
        running.wrapper = with_etc(home.parent.parent / "etc")
        yield running.start()


@pytest.fixture
def agent(supervisor: TaskSupervisor) -> Iterator[AgentEnd]:
    agent = supervisor.agent()
    yield agent
    forget(agent)


def forget(agent: AgentEnd) -> None:
    """End everything, so that the next test may use the same numbers."""
    agent.send(["stop_all", 0])
    agent.expect("all_stopped")
    last = max((m[1] for m in agent.messages if m[0] == "ended"), default=0)
    agent.send(["ack", last], ["end_job", JOB])
    agent.expect("job_ended", JOB)
    agent.send(["purge", JOB])
    agent.sync()
    agent.close()


def test_a_task_is_its_owner_and_nothing_of_root(agent: AgentEnd, home: Path) -> None:
    end = agent.run(PROBE, owner="ann", env={"GREETING": "hello"}, output_limit=9999)

    assert end["exit_code"] == 0, end
    before, _, variables = end["output"].partition("ENV\n")
    umask, directory, oom, files, core, soft, hard, *lines = before.splitlines()
    status = dict(line.split(":\t", 1) for line in lines)
    assert status["Uid"].split() == [str(ANN)] * 4
    assert status["Gid"].split() == [str(ANN)] * 4
    assert sorted(map(int, status["Groups"].split())) == [ANN, TEAM]
    for name in ("CapEff", "CapPrm", "CapInh", "CapAmb", "SigBlk", "SigIgn"):
        assert int(status[name], 16) & ~LIBC_OWN == 0, name
    assert status["NoNewPrivs"] == "1"
    assert (umask, directory, oom, core) == ("0022", str(home), "0", "0")
    assert files.split() == ["0", "1", "2", "3"]  # 3: ls reads the directory
    assert int(soft) <= int(hard)
    environment = dict(
        entry.split("=", 1) for entry in variables.split("\0") if "=" in entry
    )
    shell_s = {"PWD", "SHLVL", "OLDPWD", "_"}
    assert environment.keys() - shell_s == {
        *("HOME", "USER", "LOGNAME", "SHELL", "PATH", "GREETING"),
        *("HPC_TASK", "HPC_ATTEMPT", "CCP_TASKINSTANCEID"),
    }
    assert environment["HOME"] == str(home)
    assert environment["USER"] == environment["LOGNAME"] == "ann"
    assert environment["SHELL"] == "/bin/sh"


def test_the_account_that_a_job_names_comes_before_its_owner(agent: AgentEnd) -> None:
    end = agent.run("id -u", owner="ann", user="bob")

    assert end["output"] == f"{BOB}\n"


def test_the_files_of_a_task_are_its_owners(agent: AgentEnd, home: Path) -> None:
    (home / "in").write_text("some text")
    more = {"stdin": ["in"], "stdout": ["out"], "stderr": ["./out"]}
    end = agent.run("mkdir made; cat; echo error >&2", owner="ann", **more)

    assert end["exit_code"] == 0, end
    assert (home / "out").read_text() == "some texterror\n"
    for name in ("out", "made"):
        info = (home / name).stat()
        assert (info.st_uid, info.st_gid) == (ANN, ANN)


def test_private_output_can_be_opened_again_by_name(agent: AgentEnd) -> None:
    """Scripts write to /dev/stderr and /dev/stdout."""
    end = agent.run("echo 1 >>/dev/stdout; echo 2 >>/dev/stderr", owner="ann")

    assert (end["exit_code"], end["output"]) == (0, "1\n2\n")


def test_no_file_that_a_task_had_open_serves_another(
    agent: AgentEnd, place: Path
) -> None:
    """Its owner may have it open elsewhere, and would read a stranger's output."""
    line = "stat -L -c '%i %u' /proc/self/fd/1 /proc/self/fd/2"
    quiet = agent.run(f"{line} >seen; true", owner="ann")
    seen = (place / "home" / "ann" / "seen").read_text().split()
    slots = place / "node" / "output" / "slots"

    assert quiet["output"] == ""
    assert not list(slots.iterdir())
    assert seen[3] == str(ANN)


@pytest.mark.parametrize(
    ("account", "reason", "words"),
    [
        ("nobody-of-this-name", "START_FAILED", "UNKNOWN_ACCOUNT"),
        ("0", "START_FAILED", "UNKNOWN_ACCOUNT"),
        ("12001", "START_FAILED", "UNKNOWN_ACCOUNT"),
        ("ann\0", "START_FAILED", "UNKNOWN_ACCOUNT"),
        ("root", "START_FAILED", "ROOT"),
        ("toor", "START_FAILED", "ROOT"),
        ("daemon1", "START_FAILED", "MIN_UID"),
        ("locked", "START_FAILED", "LOCKED"),
        ("former", "START_FAILED", "LOCKED"),
        ("quiet", "START_FAILED", "LOCKED"),
        ("dora", "START_FAILED", "PRIVILEGED_GROUP"),
        ("zero", "START_FAILED", "PRIVILEGED_GROUP"),
        ("", "START_FAILED", "does not say whose task"),
    ],
)
def test_an_account_that_is_not_for_tasks_is_refused_with_the_rule(
    agent: AgentEnd, place: Path, account: str, reason: str, words: str
) -> None:
    witness = place / "witness"
    witness.mkdir(exist_ok=True)
    witness.chmod(0o777)
    end = agent.run(f"touch {witness}/ran", owner=account)

    assert (end["reason"], end["code"]) == (reason, "user")
    assert words in end["message"]
    assert (end["exit_code"], end["start"]) == (None, None)
    assert not list(witness.iterdir())


@pytest.mark.parametrize(
    ("code", "errno_name", "more"),
    [
        ("cwd", "ENOENT", {"cwd": "/no/such/place"}),
        ("cwd", "EACCES", {"cwd": "../bob"}),
        ("stdin", "EACCES", {"stdin": ["/etc/shadow"]}),
        ("stdout", "EACCES", {"stdout": ["/etc/made-by-a-task"]}),
        ("stdout", "EACCES", {"stdout": ["link/made-by-a-task"]}),
        ("stderr", "EACCES", {"stderr": ["file-link"]}),
        ("stdout", "EISDIR", {"stdout": ["/"]}),
        ("exec", "ENOENT", {"argv": [["no-such-program"]]}),
        ("exec", "EACCES", {"argv": [["/etc/passwd"]]}),
        ("exec", "EINVAL", {"argv": [["echo"], ["a\0b"]]}),
        ("exec", "E2BIG", {"argv": [["echo"], ["x" * 200_000]]}),
    ],
)
def test_what_fails_fails_with_the_users_rights_and_names_the_part(
    agent: AgentEnd,
    place: Path,
    code: str,
    errno_name: str,
    more: dict[str, Any],
) -> None:
    """A link in the user's own home leads to a directory of root's: nothing is made."""
    roots, home = place / "roots", place / "home" / "ann"
    roots.mkdir(mode=0o755, exist_ok=True)
    (roots / "secret").write_text("root's")
    (roots / "secret").chmod(0o600)
    for name, target in (("link", roots), ("file-link", roots / "secret")):
        (home / name).unlink(missing_ok=True)
        (home / name).symlink_to(target)
    agent.define(**{"argv": [["true"]], "owner": "ann", **more})
    agent.start(0)
    end = agent.ended(0)

    assert (end["reason"], end["code"]) == ("START_FAILED", code), end
    assert errno_name in end["message"]
    assert (end["exit_code"], end["start"]) == (None, None)
    assert [path.name for path in roots.iterdir()] == ["secret"]
    assert (roots / "secret").read_text() == "root's"
    assert not (place / "etc" / "made-by-a-task").exists()


def test_a_setuid_program_gives_a_task_nothing(agent: AgentEnd, place: Path) -> None:
    tool = place / "id"
    shutil.copy(shutil.which("id") or "/usr/bin/id", tool)
    tool.chmod(0o4755)

    assert agent.run(f"{tool} -u", owner="ann")["output"] == f"{ANN}\n"


def test_tasks_of_others_are_stopped_with_all_that_they_have_started(
    agent: AgentEnd, home: Path
) -> None:
    line = "trap 'echo asked >asked; exit 3' TERM; setsid sleep 600 & echo $! >left; "
    agent.shell(line + "while :; do sleep 0.05; done", owner="ann")
    agent.start(0)
    agent.started(0)
    left = int(wait_for((home / "left").read_text, until=lambda t: t.endswith("\n")))
    agent.stop(0)
    end = agent.ended(0)

    assert (end["reason"], end["exit_code"]) == ("CANCELED", 3)
    assert (home / "asked").read_text() == "asked\n"
    found = procfs.read_stat(left)
    assert found is None or found.state == "Z"


def test_usage_of_a_task_of_others_is_counted(agent: AgentEnd) -> None:
    end = agent.run("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done", owner="ann")

    assert end["user_ms"] + end["system_ms"] > 0


def test_a_name_service_that_hangs_holds_up_its_start_alone(
    agent: AgentEnd, place: Path
) -> None:
    passwd = place / "etc" / "passwd"
    kept = passwd.rename(place / "passwd")
    os.mkfifo(passwd)
    try:
        agent.shell("touch never", owner="ann")
        agent.start(0)
        agent.started(0)
        agent.sync()  # the supervisor answers meanwhile
        agent.stop(0)
        end = agent.ended(0)
    finally:
        passwd.unlink()
        kept.rename(passwd)

    assert end["reason"] == "CANCELED"
    assert not (place / "home" / "ann" / "never").exists()


def test_the_reason_of_a_failed_start_outlives_the_spawner(
    supervisor: TaskSupervisor, place: Path
) -> None:
    """Which knows of the process, and not yet why it ends."""
    passwd = place / "etc" / "passwd"
    kept = passwd.rename(place / "passwd")
    os.mkfifo(passwd)
    agent = supervisor.agent()
    try:
        agent.shell("true", owner="nobody-of-this-name")
        agent.start(0, attempt=90)
        agent.started(0, attempt=90)
        kill_spawner(supervisor)
        writer = os.open(passwd, os.O_WRONLY)  # an empty file, for who reads it now
        os.close(writer)
    finally:
        passwd.unlink()
        kept.rename(passwd)
    agent = supervisor.agent()
    end = agent.ended(0, attempt=90)

    assert (end["reason"], end["code"]) == ("START_FAILED", "user"), end
    forget(agent)


def test_a_list_of_hosts_can_be_read_by_the_task(agent: AgentEnd) -> None:
    env = {"CCP_MPI_HOSTFILE_FORMAT": "1", "CCP_NODES_CORES": "1 n1 4"}
    end = agent.run('cat "$CCP_MPI_HOSTFILE"', owner="ann", env=env)

    assert "n1" in end["output"], end


def test_a_task_can_enter_nothing_of_the_supervisors(
    agent: AgentEnd, place: Path
) -> None:
    node = place / "node"
    end = agent.run(f"ls {node} {node}/output {node}/journal; true", owner="ann")
    modes = [
        stat.S_IMODE(path.stat().st_mode) & 0o077
        for path in node.iterdir()
        if path.name != "hosts"
    ]

    assert end["output"].count("Permission denied") == 3
    assert not any(modes)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--min-uid", "0"), "no task runs as root"),
        (("--run-as", "anybody"), "invalid choice"),
    ],
)
def test_wrong_options_are_refused(
    tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    command = (sys.executable, "-m", "node_agent.supervisor", "--dir", str(tmp_path))
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert words in done.stderr
