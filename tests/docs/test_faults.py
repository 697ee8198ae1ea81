"""docs/faults.md names every fault, and tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (F\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
ROWS = ROW.findall(PAGE)
TEST = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
FAULTS = 70


def test_no_fault_is_missing_and_none_is_told_twice() -> None:
    assert [row[0] for row in ROWS] == [f"F{n}" for n in range(1, FAULTS + 1)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_each_fault_has_a_test_or_a_reason_for_none(row: tuple[str, ...]) -> None:
    number, _, happens, proof = row
    named = TEST.findall(proof)

    assert named or (proof == "none" and "*not proven*" in happens.lower()), number
    for path, name in named:
        text = (ROOT / "tests" / path).read_text(encoding="utf-8")
        assert f"def {name}(" in text, f"{number}: tests/{path} has no {name}"


def test_what_the_page_says_of_tests_is_nothing_else_than_tests() -> None:
    for path, name in TEST.findall(PAGE):
        assert f"def {name}(" in (ROOT / "tests" / path).read_text(encoding="utf-8")
