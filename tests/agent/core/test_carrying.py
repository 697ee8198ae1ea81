"""What the head orders reaches the supervisor in words that it understands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from node_agent.carrying import Carrier
from node_agent.core import definitions
from node_agent.core.attempts import Attempts
from node_agent.core.definitions import Definitions
from node_agent.core.orders import EndJobs
from tests.agent.core.test_definitions import alike

if TYPE_CHECKING:
    from node_agent.supervised import Supervisor


class Scene:
    """A carrier and what the supervisor would have been told."""

    def __init__(self, *, takes_alike: bool) -> None:
        self.told: list[list[Any]] = []
        self.attempts = Attempts()
        self.definitions = Definitions("n1")
        supervisor = cast("Supervisor", self)
        self.carrier = Carrier(self.definitions, self.attempts, supervisor)
        self.carrier.takes_alike = takes_alike

    def send(self, message: list[Any]) -> None:
        self.told.append(message)

    @property
    def words(self) -> list[str]:
        return [message[0] for message in self.told]


def test_jobs_that_are_alike_are_one_message_to_a_supervisor_that_takes_it() -> None:
    scene = Scene(takes_alike=True)
    scene.carrier.carry_out(alike(4, 5))
    scene.carrier.carry_out(EndJobs(job_ids=(4, 5)))

    assert scene.words == ["alike", "end_jobs"]
    assert scene.told[0][-1] == [[0, 1, 0, 1, None]]
    assert scene.told[1] == ["end_jobs", [4, 5]]
    assert scene.attempts.queued == 2
    assert not list(scene.definitions.replay())


def test_a_supervisor_of_before_is_told_one_by_one() -> None:
    scene = Scene(takes_alike=False)
    scene.carrier.carry_out(alike(4, 5))
    scene.carrier.carry_out(EndJobs(job_ids=(4, 5)))

    assert scene.words == [*["grant", "define", "start"] * 2, "end_job", "end_job"]
    assert scene.told[4][1]["env"]["CCP_JOBID"] == "5"
    assert scene.attempts.queued == 2


def test_as_many_as_find_room_are_defined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definitions, "MOST_DEFINITIONS", 1)
    scene = Scene(takes_alike=True)
    scene.carrier.carry_out(alike(4, 5))

    assert scene.words == ["grant", "define", "start", "grant", "start"]


def test_jobs_that_are_told_of_twice_stay_one_each() -> None:
    scene = Scene(takes_alike=True)
    scene.carrier.carry_out(alike(4, 5))
    scene.carrier.carry_out(alike(4, 5))

    assert scene.words == ["alike", *["grant", "start"] * 2]
    assert scene.attempts.queued == 2
