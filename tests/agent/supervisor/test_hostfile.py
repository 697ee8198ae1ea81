"""The list of hosts of a task that wants one, and how long it lives."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from node_agent.supervisor.hostfile import text_of
from tests.support.polling import wait_for
from tests.support.task_supervisor import (
    WAITS,
    TaskSupervisor,
    kill_spawner,
    pids_in,
    place_of_waiting,
    task_supervisor,
    tell,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

NODES = "2 n1 4 n2 2"


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        ("1", "n1:4\nn2:2\n"),
        ("2", "n1 slots=4\nn2 slots=2\n"),
        ("3", "n1 4\nn2 2\n"),
        ("4", "n1\nn2\n"),
        ("", "n1\nn2\n"),
    ],
)
def test_the_format_decides_the_layout(layout: str, text: str) -> None:
    assert text_of(layout.encode(), NODES.encode()) == text.encode()


def test_a_strange_list_of_nodes_makes_a_shorter_file() -> None:
    assert text_of(b"1", b"") == b""
    assert text_of(b"1", b"2 n1 4 n2") == b"n1:4\n"


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[TaskSupervisor]:
    with task_supervisor(tmp_path / "node", "--cgroup", "off") as running:
        yield running.start()


def test_a_task_finds_its_hosts_in_a_file_of_its_own_that_goes_with_it(
    supervisor: TaskSupervisor,
) -> None:
    agent = supervisor.agent()
    env = {"CCP_MPI_HOSTFILE_FORMAT": "2", "CCP_NODES_CORES": NODES}

    end = agent.run("echo $CCP_MPI_HOSTFILE; cat $CCP_MPI_HOSTFILE", env=env)

    path, *lines = end["output"].splitlines()
    assert lines == ["n1 slots=4", "n2 slots=2"]
    assert not Path(path).exists()


def test_the_file_is_private_and_outlives_the_spawner_but_not_the_task(
    supervisor: TaskSupervisor, tmp_path: Path
) -> None:
    place = place_of_waiting(tmp_path)
    env = {"CCP_MPI_HOSTFILE_FORMAT": "1", "CCP_NODES_CORES": NODES}
    agent = supervisor.agent()
    agent.shell("echo $CCP_MPI_HOSTFILE >hosts; " + WAITS, cwd=str(place), env=env)
    agent.start(0)
    pids_in(place / "pids", 1)
    path = Path((place / "hosts").read_text().strip())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    kill_spawner(supervisor)
    again = supervisor.agent()
    assert path.read_text() == "n1:4\nn2:2\n"
    tell(place, 0, 3)

    assert again.ended(0)["reason"] == "EXITED"
    wait_for(lambda: not path.exists(), what="its removal")
