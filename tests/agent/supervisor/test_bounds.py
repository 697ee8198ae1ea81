"""A head that orders without end costs a node no more than so much (F59)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from node_agent.supervisor import protocol, stopping, table
from node_agent.supervisor.definition import User
from node_agent.supervisor.orders import Orders
from node_agent.supervisor.records import Fold
from node_agent.supervisor.replay import read_journal
from node_agent.supervisor.starting import MOST_WAITING, Starter
from node_agent.supervisor.stopping import MOST_EARLY
from tests.support.measuring import memory_kib
from tests.support.node_kit import NodeKit
from tests.support.task_supervisor import containments, task_supervisor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
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


class Inside:
    """A spawner's orders without a process: what it says is kept."""

    def __init__(self, kit: NodeKit) -> None:
        self.kit = kit
        self.table = kit.node.table
        self._link = _Link()
        link: Any = self._link
        kit.node.link = link
        self.starter = Starter(kit.node, kit.ender, kit.stopper)
        self.orders = Orders(
            *(kit.node, self.starter, kit.stopper, kit.ender),
            on_upgrade=lambda: None,
            on_shutdown=lambda: None,
        )

    def obey(self, *messages: list[Any]) -> list[list[Any]]:
        """Carry out messages; return the answers to them."""
        before = len(self._link.said)
        self.orders.obey(list(messages))
        return list(self._link.said[before:])


class _Link:
    greeted = True
    tells_job_ends = True

    def __init__(self) -> None:
        self.said: list[list[Any]] = []

    def send(self, text: bytes, *, urgent: bool = True) -> None:
        self.said.append(json.loads(text))

    def report(self, texts: Iterable[bytes]) -> None:
        for text in texts:
            self.send(text)


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Inside]:
    kit = NodeKit(tmp_path / "node")
    yield Inside(kit)
    kit.close()


def definition(job: int) -> dict[str, Any]:
    return {"job": job, "task": 1, "def": 1, "argv": [["true"]]}


def test_f59_no_more_jobs_are_here_than_a_node_can_need(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "MOST_JOBS", 3)
    assert not inside.obey(["grant", 8, [0]], ["define", definition(9)])
    for message in (["grant", 10, [0]], ["define", definition(10)]):
        ((kind, text),) = inside.obey(message)
        assert kind == protocol.ERROR
        assert text.endswith("job 10: 3 jobs are on this node, no more are taken")
    inside.obey(["stop", 10, 1, [[0, 1]], 0])

    assert sorted(inside.table.jobs) == [7, 8, 9]
    assert not inside.obey(["grant", 8, [0, 1]], ["define", definition(8)])
    ((kind, *_, text),) = inside.obey(["start", 10, 1, 1, [[0, 1, 0, 1, None]]])
    assert (kind, text) == (protocol.REFUSED, "definition 1 not known")


def test_f59_jobs_that_are_alike_find_no_more_room_than_others(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "MOST_JOBS", 3)
    jobs = [[8], [9], [10]]
    answers = inside.obey(["alike", definition(8), [], jobs, [0], [[0, 1, 0, 1, None]]])

    assert sorted(inside.table.jobs) == [7, 8, 9]
    assert [answer[0] for answer in answers].count(protocol.REFUSED) == 1


def test_f59_stops_of_all_jobs_together_come_ahead_only_so_often(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "MOST_EARLY", 5)
    for job in (8, 9, 10):
        inside.obey(["stop", job, 1, [[1, 1], [2, 1], [2, 1]], 0])
    known = inside.table.jobs
    assert [len(known[job].stopped) for job in (8, 9, 10)] == [2, 2, 1]

    inside.obey(["define", definition(8)])
    inside.obey(["start", 8, 1, 1, [[1, 1, 0, 1, None]]])

    assert inside.table.early == 4
    inside.obey(["stop", 10, 1, [[2, 1], [3, 1]], 0])
    assert len(known[10].stopped) == 2


def test_f59_of_refusals_without_end_the_oldest_are_forgotten(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "MOST_REFUSALS", 4)
    for job in range(8, 20):
        for attempt in (1, 2):
            inside.obey(["start", job, 1, 1, [[0, attempt, 0, 1, None]]])

    assert sorted(inside.table.refused) == [18, 19]
    inside.obey(["end_job", 18], ["end_job", 19])
    assert not inside.table.refused
    assert inside.table._refusals == 0
    inside.obey(["start", 5, 1, 1, [[n * 256, 1, 0, 1, None] for n in range(9)]])
    assert sum(map(len, inside.table.refused.get(5, {}).values())) <= 4


def test_what_was_stopped_ahead_counts_after_a_restart_as_well(inside: Inside) -> None:
    inside.obey(["stop", 8, 1, [[1, 1], [2, 1]], 0])
    node = inside.kit.node
    node.journal.flush()
    replay = read_journal(node.journal.directory)
    again = table.Table("boot", "other")
    fold = Fold(again, User())
    for payload in replay.payloads[1:]:
        fold.apply(payload)

    assert again.early == 2
