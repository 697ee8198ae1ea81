"""Packed columns: what was written is read, stored in chunks, and read again."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hpcsched.core.task.elements import (
    CHUNK,
    EARLIER,
    FORCED,
    SENT,
    STARTED,
    ElementTable,
)
from tests.support.job_invariants import COLUMNS

SIZE = 3 * CHUNK + 17
NAMES = sorted(set(COLUMNS) - {"state", "attempt"})
SPAN = st.tuples(st.integers(0, SIZE - 1), st.integers(1, 300)).map(
    lambda s: (s[0], min(SIZE, s[0] + s[1]) - 1)
)
STEP = st.tuples(st.sampled_from(NAMES), SPAN, st.integers(0, 200), st.booleans())


@given(steps=st.lists(STEP, max_size=12), save=st.integers(0, 12))
def test_rows_survive_being_stored_in_the_chunks_that_changed(
    steps: list[tuple[str, tuple[int, int], int, bool]], save: int
) -> None:
    table = ElementTable(SIZE, 4)
    model: dict[str, list[Any]] = {name: [0] * SIZE for name in NAMES}
    stored = table.take_dirty()
    for number, (name, (first, last), value, each) in enumerate(steps):
        count = last - first + 1
        values = [(value + k) % 200 for k in range(count)] if each else [value] * count
        if each:
            table.write(name, first, values)
        else:
            table.fill(name, first, last, value)
        model[name][first : last + 1] = values
        if number >= save:
            stored |= table.take_dirty()
    stored |= table.take_dirty()

    again = ElementTable.decode([stored[n] for n in sorted(stored)])

    for one in (table, again):
        assert bytes(one.state) == b"\x04" * SIZE
        for name in NAMES:
            assert [one.get(name, row) for row in range(SIZE)] == model[name], name


def test_only_touched_chunks_are_stored_again() -> None:
    table = ElementTable(SIZE, 1)
    assert set(table.take_dirty()) == {0, 1, 2, 3}

    table.fill("exit", CHUNK - 1, CHUNK, 7)

    assert set(table.take_dirty()) == {0, 1}
    assert not table.take_dirty()


def test_clearing_counts_the_attempts_that_were_sent_and_remembers_a_start() -> None:
    table = ElementTable(4, 4)
    table.fill("exit", 0, 3, 9)
    table.merge_flags(1, 1, SENT)
    table.merge_flags(2, 2, SENT | STARTED | FORCED)

    table.clear_results(0, 3)

    assert [table.get("attempt", row) for row in range(4)] == [1, 2, 2, 1]
    assert list(table.column("flags", 0, 3)) == [0, 0, EARLIER, 0]
    assert [table.get("exit", row) for row in range(4)] == [0] * 4
    table.clear_results(0, 3)
    assert list(table.column("flags", 0, 3)) == [0, 0, EARLIER, 0]
    assert [table.get("attempt", row) for row in range(4)] == [1, 2, 2, 1]


def test_rows_that_are_added_start_empty() -> None:
    table = ElementTable(1, 1)
    table.fill("node", 0, 0, 3)
    table.fill("origin", 0, 0, 3)

    first = table.append(2, 4)

    assert first == 1
    assert [table.get("node", row) for row in range(3)] == [3, 0, 0]
    assert [table.get("origin", row) for row in range(3)] == [3, 0, 0]
    assert list(table.state) == [1, 4, 4]


def test_runs_are_found_side_by_side() -> None:
    table = ElementTable(6, 4)
    table.fill("state", 2, 3, 8)

    assert list(table.runs(0, 5)) == [(4, 0, 1), (8, 2, 3), (4, 4, 5)]
    assert list(table.runs(3, 4)) == [(8, 3, 3), (4, 4, 4)]
    assert list(table.runs(0, 5, "origin")) == [(0, 0, 5)]
    assert table.find(8, 0, 1) == -1
    assert table.find(8, 0, 5) == 2


def test_a_counter_is_raised_row_by_row() -> None:
    table = ElementTable(3, 4)
    table.fill("auto", 1, 1, 5)

    table.bump("auto", 0, 1)

    assert [table.get("auto", row) for row in range(3)] == [1, 6, 0]
