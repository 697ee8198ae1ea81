"""File systems that do not answer hold up nobody but who needs them (F40)."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from node_agent.supervisor import probing
from node_agent.supervisor.attempt import Queued
from tests.support.hanging_fs import hanging_fs
from tests.support.node_kit import NodeKit
from tests.support.polling import wait_for
from tests.support.task_supervisor import (
    begin,
    place_of_waiting,
    task_supervisor,
    tell,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.task_supervisor import TaskSupervisor


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[TaskSupervisor]:
    place = tmp_path / "node"
    with task_supervisor(place, "--cgroup", "off", "--patience", "1.5") as running:
        yield running.start()


@pytest.mark.parametrize("what", ["cwd", "link", "stdout"])
def test_a_task_on_a_file_system_that_hangs_holds_up_no_other(
    supervisor: TaskSupervisor, tmp_path: Path, what: str
) -> None:
    agent = supervisor.agent()
    hung, link = tmp_path / "hung", tmp_path / "link"
    hung.mkdir()
    link.symlink_to(hung)
    with hanging_fs(hung) as descriptor:
        needs: dict[str, dict[str, Any]] = {
            "cwd": {"cwd": str(hung)},
            "link": {"cwd": str(link / "below")},
            "stdout": {"stdout": [str(hung / "out")]},
        }
        agent.shell("true", task=2)
        agent.define("true", **needs[what])
        agent.start(0, 1)
        agent.start(0, task=2)
        assert agent.ended(0, task=2)["exit_code"] == 0
        agent.stop(1)
        assert agent.ended(1)["reason"] == "NOT_STARTED"
        spawner = supervisor.pid_of("spawner")
        os.close(descriptor)  # whoever waits gets an answer: ENOTCONN
        end = agent.ended(0)

    assert end["reason"] == "START_FAILED"
    assert end["message"].startswith(
        f"{'stdout' if what == 'stdout' else 'cwd'}: ENOTC"
    )
    assert supervisor.pid_of("spawner") == spawner


def test_a_spawner_that_hangs_is_replaced_and_its_tasks_run_on(
    supervisor: TaskSupervisor, tmp_path: Path
) -> None:
    place = place_of_waiting(tmp_path)
    begin(supervisor, place, 1)
    spawner = supervisor.pid_of("spawner")
    os.kill(spawner, signal.SIGSTOP)
    wait_for(lambda: supervisor.pid_of("spawner") != spawner, what="another")
    agent = supervisor.agent()
    tell(place, 0, 37)

    assert agent.ended(0)["exit_code"] == 37


def test_who_waits_for_a_file_system_is_tried_elsewhere_after_30_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "_is_local", lambda _: False)
    monkeypatch.setattr(probing, "LOOK", "exec sleep 600")
    kit = NodeKit(tmp_path / "node", cwd="/far")
    given_up: list[tuple[int, bytes]] = []
    probes = probing.Probes(
        kit.node, lambda queued, path: given_up.append((queued.instance, path))
    )

    def waiting(instance: int) -> Queued:
        return Queued(
            kit.definition, instance, 1, value=None, ncores=0, extra=None, arrival=0
        )

    assert probes.must_wait(waiting(1))
    kit.sleep(29)
    assert probes.must_wait(waiting(2))
    assert given_up == []
    kit.sleep(2)
    assert given_up == [(1, b"/far"), (2, b"/far")]
    assert probes.must_wait(waiting(3)), "the same again is not waited for"
    assert given_up[2:] == [(3, b"/far")]

    (pid,) = kit.node.own.mains
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert probes.reaped(pid)
    assert not probes.reaped(pid)
    kit.close()


@pytest.mark.parametrize(
    ("path", "local"),
    [
        (b"/", True),
        (b"/home/ann", True),
        (b"/net/a/b", False),
        (b"/net", False),
        (b"/home/../net/x", False),
        (b"/nets", True),
        (b"/with space/x", False),
    ],
)
def test_where_a_path_lies_is_told_by_the_table_of_mounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: bytes, *, local: bool
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "2 1 0:50 / /net rw shared:1 - nfs4 srv:/ rw\n"
        "3 1 0:51 / /with\\040space rw - fuse.sshfs x rw\n"
    )
    monkeypatch.setattr(probing, "MOUNTS", str(table))

    assert probing._is_local(path) is local
