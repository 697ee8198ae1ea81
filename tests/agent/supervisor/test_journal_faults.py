"""Journals that were damaged, removed or lost (F24, F25, P3)."""

from __future__ import annotations

import json
import random
import shutil
from typing import TYPE_CHECKING

import pytest

from node_agent.supervisor.definition import User
from node_agent.supervisor.journal import Journal
from node_agent.supervisor.records import Fold, snapshot
from node_agent.supervisor.replay import read_journal
from node_agent.supervisor.table import Table
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
    from pathlib import Path

    from tests.support.task_supervisor import TaskSupervisor

ATTEMPTS = 20
MUTATIONS = 1500


@pytest.fixture(params=containments())
def supervisor(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[TaskSupervisor]:
    with task_supervisor(tmp_path / "node", "--cgroup", request.param) as running:
        yield running.start()


def a_journal(directory: Path) -> bytes:
    """Write a journal in which attempts start and half of them end; return it."""
    directory.mkdir(parents=True)
    journal = Journal(str(directory))
    assert journal.rotate(snapshot(Table("boot", "instance")))
    definition = {"job": 7, "task": 1, "def": 1, "argv": [["true"]]}
    journal.add(b"D" + json.dumps(definition).encode())
    items = [[number, 1, number, 0, None] for number in range(ATTEMPTS)]
    journal.add(b"Q" + json.dumps([7, 1, 1, items]).encode())
    for number in range(ATTEMPTS):
        journal.add(f"I7 1 {number} 1 1 {number} 0 0 5.000".encode())
        start = ["started", 2 * number + 1, 7, 1, number, 1, 100 + number, 9.0]
        text = json.dumps([*start, [], None, None])
        journal.add(f"S5.000 5.001 {text}".encode())
        if number % 2:
            body = {"reason": "EXITED", "exit_code": number}
            end = ["ended", 2 * number + 2, 7, 1, number, 1, body]
            journal.add(b"E" + json.dumps(end).encode())
    journal.close()
    return max(directory.glob("*.log")).read_bytes()


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Return the data with some bytes changed, lost or added."""
    at = rng.randrange(len(data.rstrip(b"\0")) + 32)
    length = rng.choice((1, 1, 4, 40, 400))
    noise = bytes(rng.randrange(256) for _ in range(length))
    return rng.choice(
        (
            data[:at] + noise + data[at + length :],
            data[:at] + data[at + length :],
            data[:at] + noise + data[at:],
            data[:at] + bytes(length) + data[at + length :],
            data[:at],
        )
    )


def test_whatever_is_damaged_costs_itself_and_what_is_told_of_it_only(
    tmp_path: Path,
) -> None:
    data = a_journal(tmp_path / "good")
    whole = read_journal(str(tmp_path / "good")).payloads
    place = tmp_path / "damaged"
    user, rng = User(), random.Random(24)
    for _ in range(MUTATIONS):
        place.mkdir()
        (place / "0000000001.log").write_bytes(mutated(data, rng))
        replay = read_journal(str(place))
        fold = Fold(Table("boot", "new"), user)
        for payload in replay.payloads:
            fold.apply(payload)
        for position, (text, key) in fold.finish().reports.items():
            report = json.loads(text)
            assert report[1] == position
            assert key is None or report[6]["exit_code"] == key[2], "another's end"
        assert [one for one in whole if one in replay.payloads] == replay.payloads
        cut_short = replay.payloads == whole[: len(replay.payloads)]
        assert cut_short or replay.warnings, "what is missing is told"
        if replay.segment and not cut_short:
            assert list(place.glob("*.damaged")), "and kept aside"
        shutil.rmtree(place)


def test_a_journal_that_is_removed_is_written_again(
    supervisor: TaskSupervisor, tmp_path: Path
) -> None:
    place = place_of_waiting(tmp_path)
    agent = begin(supervisor, place, 1)
    shutil.rmtree(supervisor.directory / "journal")
    agent.define("true", task=2)
    agent.start(0, task=2)
    agent.ended(0, task=2)
    wait_for(lambda: [*(supervisor.directory / "journal").glob("*.log")])
    kill_spawner(supervisor)
    tell(place, 0, 25)

    agent = supervisor.agent()
    assert agent.ended(0)["exit_code"] == 25
    assert agent.ended(0, task=2)["exit_code"] == 0


def test_processes_of_a_journal_that_is_lost_are_killed(
    supervisor: TaskSupervisor, tmp_path: Path
) -> None:
    """Nobody knows them any more: the head runs them again, and two would run."""
    place = place_of_waiting(tmp_path)
    agent = begin(supervisor, place, 1)
    (main,) = pids_in(place / "pids", 1)
    instance = agent.hello["instance"]
    assert supervisor.stop() == 0
    shutil.rmtree(supervisor.directory / "journal")
    agent = supervisor.start().agent()

    assert agent.hello["instance"] != instance
    assert agent.hello["running"] == []
    wait_for(lambda: not is_alive(main), what="the end of the forgotten task")
