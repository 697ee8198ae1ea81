from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsched.common.exitcodes import (
    LARGEST,
    SMALLEST,
    ZERO,
    ExitCodesError,
    parse_exit_codes,
)

codes = st.integers(SMALLEST, LARGEST)


def test_without_a_word_only_zero_is_success() -> None:
    assert ZERO.matches(0)
    assert not any(ZERO.matches(code) for code in (-1, 1, 137))


@pytest.mark.parametrize(
    ("text", "valid", "invalid"),
    [
        ("0,3..5", [0, 3, 4, 5], [1, 2, 6, -3]),
        (" 0 , 3..5 ", [0, 3, 5], [2]),
        ("0..max", [0, 1, LARGEST], [-1]),
        ("min..-1", [SMALLEST, -1], [0]),
        ("min..max", [SMALLEST, 0, LARGEST], []),
        ("max", [LARGEST], [0]),
        ("-5..-3", [-5, -4, -3], [-6, -2, 3]),
        ("2147483647", [LARGEST], [0]),
    ],
)
def test_a_code_matches_if_it_is_in_an_item(
    text: str, valid: list[int], invalid: list[int]
) -> None:
    matcher = parse_exit_codes(text)

    assert all(matcher.matches(code) for code in valid)
    assert not any(matcher.matches(code) for code in invalid)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "0,",
        "a",
        "1.5",
        "1...3",
        "..",
        "1..",
        "..1",
        "1..2..3",
        "5..3",
        "0 1",
        "max..min",
        "2147483648",
        "-2147483649",
        "9" * 5000,
        "+1",
        "0-3",
    ],
)
def test_a_syntax_error_is_refused(text: str) -> None:
    with pytest.raises(ExitCodesError) as refusal:
        parse_exit_codes(text)

    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("5,3..4,0", "0,3..5"),
        ("0,1", "0..1"),
        ("min..2147483647", "min..max"),
        ("7..7", "7"),
        ("-3..-1,1..max", "-3..-1,1..max"),
    ],
)
def test_equal_sets_have_one_text(text: str, canonical: str) -> None:
    assert str(parse_exit_codes(text)) == canonical
    assert parse_exit_codes(text) == parse_exit_codes(canonical)


@given(st.lists(st.tuples(codes, codes), min_size=1), codes)
def test_the_text_of_a_set_means_the_set(
    pairs: list[tuple[int, int]], code: int
) -> None:
    spans = [(min(pair), max(pair)) for pair in pairs]
    matcher = parse_exit_codes(",".join(f"{a}..{b}" for a, b in spans))

    assert matcher.matches(code) == any(a <= code <= b for a, b in spans)
    assert parse_exit_codes(str(matcher)) == matcher
