"""The highest term is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from node_agent.term import TermError, TermFile

if TYPE_CHECKING:
    from pathlib import Path


def test_a_term_only_ever_grows_and_survives(tmp_path: Path) -> None:
    path = tmp_path / "term"
    term = TermFile(path)
    assert term.value == 0
    term.raise_to(4)
    term.raise_to(3)

    assert TermFile(path).value == 4
    assert [file.name for file in tmp_path.iterdir()] == ["term"]


@pytest.mark.parametrize("text", ["", "four", "-1"])
def test_a_file_without_a_term_is_an_error_and_not_a_term_of_nought(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "term"
    path.write_text(text)

    with pytest.raises(TermError, match="not a number"):
        TermFile(path)


def test_a_term_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    term = TermFile(tmp_path / "term")
    term.raise_to(4)
    (tmp_path / "term.new").mkdir()

    with pytest.raises(OSError, match="directory"):
        term.raise_to(5)
    assert term.value == TermFile(tmp_path / "term").value == 4
