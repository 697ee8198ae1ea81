"""Deadlines, processes that do not die, and the small parts that keep time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from node_agent.supervisor.oom import OomCounter
from node_agent.supervisor.seen import Seen
from node_agent.supervisor.timers import Timers
from tests.support.node_kit import BootClock, NodeKit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WEEK_S = 7 * 24 * 3600.0


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[NodeKit]:
    kit = NodeKit(tmp_path / "node", limit_s=WEEK_S, grace_s=15.0)
    yield kit
    kit.close()


def end_of(kit: NodeKit) -> dict[str, Any]:
    """Return the attempt's end as it is reported."""
    ((text, _),) = kit.node.table.reports.values()
    end: dict[str, Any] = json.loads(text)[6]
    return end


def test_a_limit_holds_over_a_week_of_sleep(kit: NodeKit) -> None:
    kit.clock.now += WEEK_S - 1
    kit.node.timers.run()
    assert not kit.cgroups.sent
    kit.sleep(2)

    assert [signal for _, signal in kit.cgroups.sent] == [15]
    kit.cgroups.populated = False
    kit.main_ends(15)
    assert end_of(kit)["reason"] == "TIME_LIMIT"


def test_signal_grace_and_kill_come_in_time(kit: NodeKit) -> None:
    begin = kit.clock.now
    kit.stopper.stop_attempt(kit.attempt, 15.0, "CANCELED")
    kit.sleep(14)
    assert kit.cgroups.sent == [(begin, 15)]
    kit.sleep(2)

    assert kit.cgroups.sent == [(begin, 15), (begin + 15, 9)]


def test_leftovers_that_survive_sigkill_hold_the_end_back_for_30_s(
    kit: NodeKit,
) -> None:
    kit.main_ends(0)
    kit.sleep(29)
    assert not kit.node.table.reports
    kit.sleep(2)
    end = end_of(kit)

    assert (end["reason"], end["exit_code"]) == ("EXITED", 0)
    assert end["code"] == "KILL_FAILED"
    assert kit.node.busy == 0b10  # nobody else gets the core
    kit.cgroups.populated = False
    kit.sleep(1)
    assert kit.node.busy == 0
    assert len(kit.node.table.reports) == 1


def test_a_main_process_that_survives_sigkill_is_reported_after_30_s(
    kit: NodeKit,
) -> None:
    kit.stopper.stop_attempt(kit.attempt, 15.0, "CANCELED")
    kit.sleep(1)
    kit.stopper.stop_attempt(kit.attempt, 0.0, "CANCELED")
    kit.sleep(29)
    assert not kit.node.table.reports
    kit.sleep(2)
    end = end_of(kit)

    assert (end["reason"], end["exit_code"]) == ("KILLED", None)
    assert end["code"] == "KILL_FAILED"
    assert kit.node.busy == 0b10
    kit.cgroups.populated = False
    kit.main_ends(9)
    assert kit.node.busy == 0
    assert len(kit.node.table.reports) == 1


def test_timers_of_ended_attempts_do_not_pile_up(kit: NodeKit) -> None:
    timers = Timers(kit.node.clock)
    kit.attempt.over = True
    for _ in range(10_000):
        timers.at(kit.clock.now + WEEK_S, kit.close, kit.attempt)
        timers.one_is_over()

    assert len(timers) < 200


def test_timers_come_in_order_and_only_when_due() -> None:
    clock = BootClock()
    timers = Timers(clock)  # type: ignore[arg-type]
    came: list[int] = []
    for delay in (3, 1, 2):
        timers.after(delay, lambda delay=delay: came.append(delay))  # type: ignore[misc]
    assert timers.patience_s() == 1
    clock.now += 2
    timers.run()

    assert came == [1, 2]
    assert timers.patience_s() == 1


def test_a_million_ended_elements_are_remembered_in_little_memory() -> None:
    seen = Seen()
    for instance in range(0, 1_000_000, 7):
        seen.add(instance, 1)
    seen.add(14, 3)
    copy = Seen()
    for attempt, masks in seen.masks():
        copy.merge(attempt, masks)

    assert seen.newest(14) == copy.newest(14) == 3
    assert seen.newest(21) == copy.newest(21) == 1
    assert seen.newest(22) is copy.newest(22) is None
    assert sum(len(masks) for _, masks in seen.masks()) < 4000


def test_the_oom_killer_explains_a_death_only_if_it_struck_lately(
    tmp_path: Path,
) -> None:
    counter = tmp_path / "vmstat"
    counter.write_text("pgfault 7\noom_kill 3\n")
    oom = OomCounter([str(tmp_path / "missing"), str(counter)])
    oom.sample(1.0)
    assert not oom.has_struck()
    counter.write_text("pgfault 9\noom_kill 4\n")
    assert oom.has_struck()
    for now in range(2, 12):
        oom.sample(float(now))

    assert not oom.has_struck()
