"""Reports gather while tasks wait on the node, or for an end, for a moment at most."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from node_agent.supervisor.gathering import END_S, GATHER_S, Gathering
from node_agent.supervisor.timers import Timers
from tests.support.task_supervisor import AgentEnd, TaskSupervisor, task_supervisor

if TYPE_CHECKING:
    from pathlib import Path

    from node_agent.supervisor.clock import Clock


class Still:
    """A clock that the test moves."""

    now = 100.0

    def boot(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Still:
    return Still()


@pytest.fixture
def gathering(clock: Still) -> Gathering:
    return Gathering(cast("Clock", clock))


@pytest.mark.parametrize(
    ("reports", "queued", "live"),
    [(2, 0, 0), (2, 0, 1), (2, 1, 2), (8, 7, 2), (0, 0, 2)],
)
def test_nothing_waits_where_the_node_may_soon_have_no_work(
    gathering: Gathering, reports: int, queued: int, live: int
) -> None:
    assert not gathering.goes_on(reports, queued=queued, live=live)


def test_reports_wait_for_a_moment_from_the_first_of_them(
    gathering: Gathering, clock: Still
) -> None:
    timers = Timers(cast("Clock", clock))
    assert gathering.goes_on(2, queued=60, live=2)
    assert timers.patience_s(gathering.due) == pytest.approx(GATHER_S)
    clock.now += GATHER_S * 0.9
    assert gathering.goes_on(16, queued=45, live=2)
    clock.now += GATHER_S * 0.2
    assert not gathering.goes_on(18, queued=43, live=2)
    assert gathering.goes_on(2, queued=41, live=2), "the next ones gather anew"


def test_a_moment_that_was_cut_short_does_not_shorten_the_next(
    gathering: Gathering, clock: Still
) -> None:
    assert gathering.goes_on(2, queued=3, live=2)
    clock.now += GATHER_S * 0.9
    assert not gathering.goes_on(4, queued=1, live=2)
    assert gathering.goes_on(2, queued=60, live=2)
    clock.now += GATHER_S * 0.9
    assert gathering.goes_on(12, queued=50, live=2)


def test_a_start_waits_for_its_end_and_no_longer_than_a_moment(
    gathering: Gathering, clock: Still
) -> None:
    gathering.expect_end(clock.now)
    assert gathering.goes_on(2, queued=0, live=1)
    clock.now += END_S * 0.9
    gathering.expect_end(clock.now)  # another one: the first does not wait longer
    assert gathering.goes_on(3, queued=0, live=2)
    clock.now += END_S * 0.2
    assert not gathering.goes_on(3, queued=0, live=2)
    assert gathering.due is None
    assert not gathering.goes_on(1, queued=0, live=2), "what comes later goes at once"


def test_an_end_goes_at_once_with_the_start_that_waited_for_it(
    gathering: Gathering, clock: Still
) -> None:
    gathering.expect_end(clock.now)
    assert gathering.goes_on(2, queued=0, live=1)
    assert not gathering.goes_on(3, queued=0, live=0, tells_end=True)
    assert gathering.due is None, "no turn for what has been sent"


def test_an_answer_is_kept_back_no_longer_behind_a_long_queue(
    gathering: Gathering, clock: Still
) -> None:
    assert gathering.goes_on(2, queued=60, live=2)
    gathering.answer()
    assert gathering.goes_on(3, queued=60, live=2)
    assert gathering.due == pytest.approx(clock.now + END_S)
    clock.now += END_S * 1.1
    assert not gathering.goes_on(3, queued=60, live=2)


@pytest.mark.parametrize(
    ("seconds", "names"), [("0", ["started", "ended"]), ("600", ["started"])]
)
def test_a_start_is_told_before_its_end_and_without_one(
    tmp_path: Path, seconds: str, names: list[str]
) -> None:
    with task_supervisor(tmp_path / "node", "--cgroup", "off") as running:
        agent: AgentEnd = running.start().agent()
        agent.define("sleep", seconds)
        agent.start(0)
        agent.expect(names[-1])
        told = [m[0] for m in agent.messages if m[0] in {"started", "ended"}]
        assert told == names
        agent.close()


def test_every_report_of_a_long_queue_arrives_and_questions_are_answered(
    tmp_path: Path,
) -> None:
    count = 60
    with task_supervisor(tmp_path / "node", "--cgroup", "off") as running:
        supervisor: TaskSupervisor = running.start()
        agent: AgentEnd = supervisor.agent()
        agent.grant(0)
        agent.define("/bin/true")
        agent.start(*range(1, count + 1), ncores=1)
        agent.sync()
        for instance in range(1, count + 1):
            agent.started(instance)
            assert agent.ended(instance)["exit_code"] == 0
        agent.close()
