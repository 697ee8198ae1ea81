"""Ends and stops in the same instant, and what exec refuses (F39, F43, I4)."""

from __future__ import annotations

import os
import random
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.task_supervisor import containments, task_supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.task_supervisor import AgentEnd, TaskSupervisor

RACES = 150
CODE = 43
RACING = 5


@pytest.fixture(scope="module", params=containments())
def supervisor(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TaskSupervisor]:
    place = tmp_path_factory.mktemp("races") / "node"
    with task_supervisor(place, "--cgroup", request.param) as running:
        yield running.start()


@pytest.fixture
def agent(supervisor: TaskSupervisor) -> Iterator[AgentEnd]:
    agent = supervisor.agent()
    yield agent
    agent.close()


def is_of(attempt: int, message: list[Any]) -> bool:
    return bool(message[3] == RACING and message[5] == attempt)


def test_a_task_that_ends_as_it_is_stopped_has_one_end_and_the_true_one(
    agent: AgentEnd,
) -> None:
    rng = random.Random(43)
    agent.shell(f"sleep 0.0$CCP_TASKINSTANCEID; exit {CODE}", task=5)
    ways = set()
    for race in range(RACES):
        instance = rng.randrange(3)
        attempt = race + 1
        agent.start(instance, attempt=attempt, task=5)
        if rng.random() < 0.9:
            agent.expect("started", where=partial(is_of, attempt))
        agent.receive(rng.uniform(0, 0.03))
        grace = rng.choice((0, 0, 5.0))
        agent.send(["stop", 7, 5, [[instance, attempt]], grace, "CANCELED"])
        end = agent.ended(instance, attempt, task=5)
        way = end["reason"]
        ways.add(way)
        if way == "EXITED":
            assert end["exit_code"] == CODE
        elif way == "NOT_STARTED":
            assert end["start"] is None
        elif way == "CANCELED":
            assert end["exit_code"] in {CODE, 143}
        else:
            assert (way, end["signal"]) == ("KILLED", 9)
    agent.sync()

    ends = [tuple(m[2:6]) for m in agent.messages if m[0] == "ended" and m[3] == 5]
    assert len(ends) == len(set(ends)) == RACES
    assert {"EXITED", "KILLED"} <= ways, "the race was none"


def long(_: Path) -> dict[str, object]:
    return {"argv": [["/bin/true"], ["x" * 200_000]]}


def busy(place: Path) -> dict[str, object]:
    path = place / "busy"
    path.write_bytes(b"#!/bin/sh\n")
    path.chmod(0o755)
    return {"argv": [[str(path)]]}


def plain(place: Path) -> dict[str, object]:
    path = place / "plain"
    path.write_text("true\n")
    path.chmod(0o644)
    return {"argv": [[str(path)]]}


def empty_loader(place: Path) -> dict[str, object]:
    path = place / "script"
    path.write_text("#!/no/such/interpreter\n")
    path.chmod(0o755)
    return {"argv": [[str(path)]]}


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (lambda _: {"argv": [["/no/such/program"]]}, "ENOENT"),
        (empty_loader, "ENOENT"),
        (plain, "EACCES"),
        (lambda place: {"argv": [[str(place)]]}, "EACCES"),
        (long, "E2BIG"),
        (busy, "ETXTBSY"),
    ],
)
def test_what_exec_refuses_is_named_and_is_no_exit_code(
    agent: AgentEnd, tmp_path: Path, made: object, name: str
) -> None:
    assert callable(made)
    definition = made(tmp_path)
    held = os.open(tmp_path / "busy", os.O_WRONLY) if name == "ETXTBSY" else -1
    try:
        agent.define(task=6, **definition)
        attempt = int(time.monotonic_ns())
        agent.start(0, attempt=attempt, task=6)
        end = agent.ended(0, attempt, task=6)
    finally:
        if held >= 0:
            os.close(held)

    assert (end["reason"], end["code"]) == ("START_FAILED", "exec")
    assert f"exec: {name}:" in end["message"]
    assert end["exit_code"] is None
    assert end["start"] is None
