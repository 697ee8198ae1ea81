"""What a node remembers of its head, over restarts, and whom it goes to."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING

import pytest

from node_agent.acquaintance import WRITE_S, Acquaintance
from node_agent.core.frames import Welcome
from node_agent.term import TermFile
from tests.support.agents import RunningAgent, agent_config
from tests.support.manual_clock import ManualClock
from tests.support.polling import wait_for_async

if TYPE_CHECKING:
    from pathlib import Path


def welcome(run: str, term: int) -> Welcome:
    return Welcome(
        session=1, term=term, heartbeat_ms=1000, protocol=1, cluster="here", run=run
    )


async def test_it_is_there_after_a_restart_a_few_seconds_old(tmp_path: Path) -> None:
    clock = ManualClock()
    known = Acquaintance(tmp_path / "head.json", clock)
    assert (known.cluster, known.run, known.position) == ("", "", 0)
    known.meet("here", "one", 4)
    known.hear(7)
    await clock.advance(WRITE_S)
    known.hear(9)
    known.hear(8)
    again = Acquaintance(tmp_path / "head.json", clock)

    assert (again.cluster, again.run, again.position) == ("here", "one", 9)
    again.meet("here", "two", 5)
    assert again.position == 0
    assert json.loads((tmp_path / "head.json").read_text())["run"] == "two"


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"cluster": 1}', "\0\1\2"])
def test_a_damaged_file_means_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "head.json"
    path.write_text(text)
    known = Acquaintance(path, ManualClock())

    assert (known.cluster, known.run, known.position) == ("", "", 0)


def test_what_was_heard_of_a_run_holds_under_its_term_only(tmp_path: Path) -> None:
    known = Acquaintance(tmp_path / "head.json", ManualClock())
    known.meet("here", "one", 4)
    known.hear(7)

    assert known.under(4) == ("one", 7)
    assert known.under(5) == ("", 0)
    known.meet("here", "one", 5)
    assert known.under(5) == ("one", 7)
    assert Acquaintance(tmp_path / "head.json", ManualClock()).term == 5


def test_the_file_of_an_agent_of_old_names_a_cluster_and_no_run(tmp_path: Path) -> None:
    path = tmp_path / "head.json"
    path.write_text('{"cluster": "here", "run": "one", "position": 9}')
    known = Acquaintance(path, ManualClock())

    assert known.cluster == "here"
    assert known.under(4) == ("", 0)
    known.meet("here", "one", 4)
    assert known.under(4) == ("one", 9)


def test_a_node_whose_disk_kept_the_term_and_lost_the_run_names_no_run(
    tmp_path: Path,
) -> None:
    config = agent_config(tmp_path, 1)
    Acquaintance(config.dir / "head.json", ManualClock()).meet("here", "one", 1)
    term = TermFile(config.dir / "term")
    term.raise_to(1)
    facts = RunningAgent(config, None, ManualClock()).agent.facts()
    assert (facts.cluster, facts.term, facts.run) == ("here", 1, "one")

    term.raise_to(2)
    facts = RunningAgent(config, None, ManualClock()).agent.facts()
    assert (facts.cluster, facts.term, facts.run) == ("here", 2, "")


async def test_a_node_whose_welcome_came_to_nothing_half_way_names_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = RunningAgent(agent_config(tmp_path, 1), None, ManualClock()).agent
    await agent.welcomed(welcome("one", 1))
    agent.heard_of(7)
    assert agent.facts().run == "one"
    raise_to, gone = agent._term.raise_to, threading.Event()

    def raise_slowly(term: int) -> None:
        raise_to(term)
        gone.wait(60)

    monkeypatch.setattr(agent._term, "raise_to", raise_slowly)
    half_way = asyncio.create_task(agent.welcomed(welcome("two", 2)))
    await wait_for_async(lambda: agent.term == 2)
    half_way.cancel()
    with pytest.raises(asyncio.CancelledError):
        await half_way
    gone.set()

    facts = agent.facts()
    assert (facts.term, facts.run, facts.position) == (2, "", 0)


def test_a_disk_that_takes_nothing_does_not_end_the_agent(tmp_path: Path) -> None:
    known = Acquaintance(tmp_path / "none" / "head.json", ManualClock())
    known.meet("here", "one", 1)

    assert known.cluster == "here"


def test_a_node_that_moves_to_another_cluster_begins_with_its_terms(
    tmp_path: Path,
) -> None:
    term = TermFile(tmp_path / "term")
    term.raise_to(9)
    term.forget()
    term.raise_to(2)

    assert term.value == TermFile(tmp_path / "term").value == 2
