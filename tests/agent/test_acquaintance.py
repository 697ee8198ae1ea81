"""What a node remembers of its head, over restarts, and whom it goes to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from node_agent.acquaintance import WRITE_S, Acquaintance
from node_agent.term import TermFile
from tests.support.manual_clock import ManualClock

if TYPE_CHECKING:
    from pathlib import Path


async def test_it_is_there_after_a_restart_a_few_seconds_old(tmp_path: Path) -> None:
    clock = ManualClock()
    known = Acquaintance(tmp_path / "head.json", clock)
    assert (known.cluster, known.run, known.position) == ("", "", 0)
    known.meet("here", "one")
    known.hear(7)
    await clock.advance(WRITE_S)
    known.hear(9)
    known.hear(8)
    again = Acquaintance(tmp_path / "head.json", clock)

    assert (again.cluster, again.run, again.position) == ("here", "one", 9)
    again.meet("here", "two")
    assert again.position == 0
    assert json.loads((tmp_path / "head.json").read_text())["run"] == "two"


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"cluster": 1}', "\0\1\2"])
def test_a_damaged_file_means_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "head.json"
    path.write_text(text)
    known = Acquaintance(path, ManualClock())

    assert (known.cluster, known.run, known.position) == ("", "", 0)


def test_a_disk_that_takes_nothing_does_not_end_the_agent(tmp_path: Path) -> None:
    known = Acquaintance(tmp_path / "none" / "head.json", ManualClock())
    known.meet("here", "one")

    assert known.cluster == "here"


def test_a_node_that_moves_to_another_cluster_begins_with_its_terms(
    tmp_path: Path,
) -> None:
    term = TermFile(tmp_path / "term")
    term.raise_to(9)
    term.forget()
    term.raise_to(2)

    assert term.value == TermFile(tmp_path / "term").value == 2
