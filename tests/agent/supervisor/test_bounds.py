"""A head that orders without end costs a node no more than so much (F59)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from node_agent.supervisor.starting import MOST_WAITING
from node_agent.supervisor.stopping import MOST_EARLY
from tests.support.measuring import memory_kib
from tests.support.task_supervisor import containments, task_supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.task_supervisor import TaskSupervisor

pytestmark = pytest.mark.timeout(240)
PIECE = 4096
MOST_KIB = 150_000


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[TaskSupervisor]:
    options = ("--cgroup", containments()[-1])
    with task_supervisor(tmp_path / "node", *options) as running:
        yield running.start()


def test_f59_no_more_attempts_wait_and_are_stopped_ahead_than_a_node_can_need(
    supervisor: TaskSupervisor,
) -> None:
    agent = supervisor.agent()
    agent.define("true")
    for first in range(0, MOST_WAITING + 2 * PIECE, PIECE):
        agent.start(*range(first, first + PIECE), ncores=1)
    agent.sync()
    for first in range(10**6, 10**6 + 2 * MOST_EARLY, PIECE):
        agent.stop(*range(first, first + PIECE))
    agent.sync()
    refused = [one for one in agent.messages if one[0] == "refused"]
    again = supervisor.agent()

    assert "attempts wait on this node" in refused[0][-1]
    assert len(again.hello["queued"]) == MOST_WAITING
    assert memory_kib(supervisor.pid_of("spawner")) < MOST_KIB
    again.grant(0)
    assert again.ended(0)["exit_code"] == 0
