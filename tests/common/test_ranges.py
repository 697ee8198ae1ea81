from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsched.common import ranges
from hpcsched.common.ranges import Ranges, RangesError

numbers = st.sets(st.integers(0, 60))


def of(members: set[int]) -> Ranges:
    return ranges.from_sorted_iterable(sorted(members))


def test_a_text_has_numbers_and_ranges_in_any_order() -> None:
    assert ranges.parse_ranges("70, 1-32,30-64 ,65") == ((1, 65), (70, 70))
    assert ranges.parse_ranges(" ") == ranges.NOTHING


@pytest.mark.parametrize(
    "text", ["a", "1-", "-1", "1--2", "1,", ",", "5-3", "1 2", "٣"]
)
def test_what_is_no_set_is_refused_with_the_part_that_is_wrong(text: str) -> None:
    with pytest.raises(RangesError, match="'"):
        ranges.parse_ranges(text)


def test_a_range_of_ten_thousand_million_costs_nothing() -> None:
    huge = ranges.parse_ranges("0-9999999999")

    assert ranges.count(huge) == 10**10
    assert ranges.contains(huge, 123_456_789)
    assert ranges.count(ranges.difference(huge, ((5, 5),))) == 10**10 - 1


@given(numbers)
def test_a_set_survives_its_text(members: set[int]) -> None:
    made = of(members)

    assert ranges.parse_ranges(ranges.format_ranges(made)) == made


@given(st.lists(st.integers(-5, 60)))
def test_doubles_in_sorted_numbers_do_not_matter(values: list[int]) -> None:
    made = ranges.from_sorted_iterable(sorted(values))

    assert list(ranges.iterate(made)) == sorted(set(values))
    assert ranges.count(made) == len(set(values))


@given(numbers)
def test_pairs_of_a_set_are_ordered_with_gaps_between(members: set[int]) -> None:
    made = of(members)

    assert all(first <= last for first, last in made)
    assert all(a[1] + 1 < b[0] for a, b in pairwise(made))


@given(numbers, st.integers(-1, 61))
def test_contains_agrees_with_sets(members: set[int], number: int) -> None:
    assert ranges.contains(of(members), number) == (number in members)


@given(numbers, numbers)
def test_set_operations_agree_with_sets(one: set[int], other: set[int]) -> None:
    assert ranges.union(of(one), of(other)) == of(one | other)
    assert ranges.intersect(of(one), of(other)) == of(one & other)
    assert ranges.difference(of(one), of(other)) == of(one - other)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 20))))
def test_overlapping_pairs_become_one_set(pairs: list[tuple[int, int]]) -> None:
    spans = [(first, first + length) for first, length in pairs]
    members = {n for first, last in spans for n in range(first, last + 1)}

    assert ranges.normalize(spans) == of(members)
