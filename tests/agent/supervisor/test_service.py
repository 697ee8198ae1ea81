"""The supervisor as a service: one per directory, systemd's signs, the socket."""

from __future__ import annotations

import grp
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from node_agent.supervisor import main as main_module
from tests.support.polling import PATIENCE_S, wait_for
from tests.support.task_supervisor import TaskSupervisor, task_supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[TaskSupervisor]:
    with task_supervisor(tmp_path / "node", "--cgroup", "off") as supervisor:
        yield supervisor


def test_a_directory_has_one_supervisor(
    supervisor: TaskSupervisor, capfd: pytest.CaptureFixture[str]
) -> None:
    supervisor.start().agent()
    second = subprocess.run(
        [sys.executable, "-m", "node_agent.supervisor", "--dir", supervisor.directory],
        check=False,
        capture_output=True,
        timeout=PATIENCE_S,
    )

    assert second.returncode == 1
    assert b"another supervisor is running" in second.stderr
    supervisor.agent().sync()


def test_two_directories_do_not_disturb_each_other(
    supervisor: TaskSupervisor, tmp_path: Path
) -> None:
    with task_supervisor(tmp_path / "other", "--cgroup", "auto") as other:
        first, second = supervisor.start().agent(), other.start().agent()
        for agent, code in ((first, 1), (second, 2)):
            agent.shell(f"exit {code}")
            agent.start(0)

        assert first.ended(0)["exit_code"] == 1
        assert second.ended(0)["exit_code"] == 2
        assert first.hello["instance"] != second.hello["instance"]


def test_every_process_carries_program_and_directory_in_its_command_line(
    supervisor: TaskSupervisor,
) -> None:
    supervisor.start().agent()

    assert len(supervisor.processes("reaper")) == 1
    assert len(supervisor.processes("spawner")) == 1


def test_the_service_manager_hears_ready_signs_of_life_and_stopping(
    supervisor: TaskSupervisor, tmp_path: Path
) -> None:
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE_S)
        supervisor.start(
            env={
                **os.environ,
                "NOTIFY_SOCKET": str(tmp_path / "notify"),
                "WATCHDOG_USEC": "60000",
            }
        )
        assert b"READY=1" in manager.recv(1000)
        assert supervisor.agent().hello
        assert {manager.recv(1000) for _ in range(3)} == {b"WATCHDOG=1"}
        spawner = supervisor.pid_of("spawner")
        os.kill(spawner, signal.SIGSTOP)
        manager.settimeout(0.3)
        wait_for(lambda: is_silent(manager))
        os.kill(spawner, signal.SIGCONT)
        manager.settimeout(PATIENCE_S)
        assert supervisor.stop() == 0
        wait_for(lambda: manager.recv(1000), until=lambda said: said == b"STOPPING=1")


def is_silent(manager: socket.socket) -> bool:
    """Say whether nothing comes for a while."""
    try:
        manager.recv(1000)
    except TimeoutError:
        return True
    return False


def test_the_socket_is_for_its_owner_alone(supervisor: TaskSupervisor) -> None:
    supervisor.start().agent()
    mode = (supervisor.directory / "supervisor.sock").stat().st_mode

    assert stat.S_IMODE(mode) == 0o600
    assert stat.S_IMODE(supervisor.directory.stat().st_mode) == 0o700


def test_a_group_may_connect_and_read_outputs(supervisor: TaskSupervisor) -> None:
    group = grp.getgrgid(os.getgid())
    agent = supervisor.start("--socket-group", group.gr_name).agent()
    agent.run("echo x")
    place = supervisor.directory
    modes = {
        name: stat.S_IMODE((place / name).stat().st_mode)
        for name in (".", "supervisor.sock", "output/7", "output/7/1.0.1.out")
    }

    assert modes == {
        ".": 0o710,
        "supervisor.sock": 0o660,
        "output/7": 0o750,
        "output/7/1.0.1.out": 0o640,
    }


def test_a_path_that_is_too_long_for_a_socket_works(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 80) / ("e" * 80)
    deep.parent.mkdir()
    with task_supervisor(deep, "--cgroup", "off") as supervisor:
        assert supervisor.start().agent().run("exit 3")["exit_code"] == 3
        assert supervisor.stop() == 0


def test_the_socket_may_be_elsewhere(
    supervisor: TaskSupervisor, tmp_path: Path
) -> None:
    supervisor.start("--socket", str(tmp_path / "there"))

    wait_for((tmp_path / "there").exists)
    assert not (supervisor.directory / "supervisor.sock").exists()


def test_shutdown_ends_everything_if_no_task_lives(
    supervisor: TaskSupervisor,
) -> None:
    agent = supervisor.start().agent()
    agent.define("sleep", "600")
    agent.start(0)
    agent.started()
    agent.send(["shutdown"])
    assert "tasks live" in agent.expect("error")[1]
    agent.stop(0)
    agent.ended(0)
    agent.send(["shutdown"])

    assert supervisor.front is not None
    assert supervisor.front.wait(PATIENCE_S) == 0
    wait_for(lambda: not supervisor.processes())


def test_a_spawner_that_cannot_begin_fails_the_start(
    supervisor: TaskSupervisor, tmp_path: Path
) -> None:
    supervisor.directory.mkdir()
    (supervisor.directory / "output").write_text("in the way")
    supervisor.start()

    assert supervisor.front is not None
    assert supervisor.front.wait(PATIENCE_S) == 1
    wait_for(lambda: not supervisor.processes())
    assert "output" in supervisor.log.read_text()


def test_an_upgrade_to_code_that_cannot_be_loaded_changes_nothing(
    supervisor: TaskSupervisor, tmp_path: Path
) -> None:
    code = tmp_path / "code" / "node_agent"
    shutil.copytree(Path(main_module.__file__).parent.parent, code)
    supervisor.start(
        cwd=tmp_path / "code", env={**os.environ, "PYTHONPATH": str(tmp_path / "code")}
    )
    agent = supervisor.agent()
    spawner = supervisor.pid_of("spawner")
    (code / "supervisor" / "table.py").write_text("this is no python")
    agent.send(["upgrade"])

    assert "cannot be loaded" in agent.expect("error")[1]
    assert supervisor.pid_of("spawner") == spawner
    assert agent.run("exit 4")["exit_code"] == 4


@pytest.mark.parametrize(
    "arguments",
    [[], ["--dir", "x", "--cgroup", "maybe"], ["--dir", "x", "--sync-ms", "-1"]],
)
def test_wrong_arguments_end_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as error:
        main_module.main(arguments)

    assert error.value.code == 2
    assert "usage" in capsys.readouterr().err
