from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsched.common.units import (
    UnitError,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        (" 2D ", 172_800),
        ("1w", 604_800),
        ("250ms", 0.25),
        ("1s500ms", 1.5),
        ("1.5h", 5400),
        ("0s", 0),
        ("1:30:00", 5400),
        ("36:00:00", 129_600),
        ("1-12:00:00", 129_600),
        ("1-12:30", 131_400),
        ("0:00:01", 1),
    ],
)
def test_a_duration_has_units_or_colons(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["90", "0", "1.5", " 15 "])
def test_a_bare_number_is_refused_with_the_units_it_may_have_meant(text: str) -> None:
    with pytest.raises(UnitError, match="without a unit") as refusal:
        parse_duration(text)

    assert refusal.value.hint == f"write {text.strip()}s or {text.strip()}m"


def test_two_numbers_with_a_colon_are_refused_as_ambiguous() -> None:
    with pytest.raises(UnitError, match="hours and minutes or minutes and seconds"):
        parse_duration("1:30")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "h",
        "-5s",
        "5 s 3",
        "30m1h",
        "1h1h",
        "1x",
        "1e3s",
        "1:60:00",
        "1:00:60",
        "1-24:00:00",
        "1-12",
        "1:2:3:4",
        "1:30:00s",
        "\u0661s",
        "infs",
        "nans",
        "9" * 65 + "s",
        "1.s",
    ],
)
def test_what_is_no_duration_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(UnitError) as refusal:
        parse_duration(text)

    assert refusal.value.hint
    assert len(str(refusal.value)) < 300


@given(st.integers(0, 10**12))
def test_a_formatted_duration_reads_back_to_the_millisecond(milliseconds: int) -> None:
    seconds = milliseconds / 1000

    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0004, "0s"),
        (-0.0004, "0s"),
        (0.25, "250ms"),
        (90, "1m30s"),
        (5400, "1h30m"),
        (129_600, "1d12h"),
        (694_861.5, "8d1h1m1s500ms"),
        (-90, "-1m30s"),
    ],
)
def test_a_duration_is_formatted_largest_unit_first(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("512M", 512 << 20),
        ("4G", 4 << 30),
        ("4g", 4 << 30),
        ("4 GB", 4 << 30),
        ("4GiB", 4 << 30),
        ("1.5G", 3 << 29),
        ("100B", 100),
        ("1K", 1024),
        ("2T", 2 << 40),
        ("1P", 1 << 50),
        ("0M", 0),
        ("0.1K", 102),
    ],
)
def test_a_size_is_in_powers_of_1024(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["4096", "", "M", "-1G", "1E", "1GG", "1 2G", "1,5G"])
def test_what_is_no_size_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(UnitError) as refusal:
        parse_size(text)

    assert refusal.value.hint
    assert refusal.value.text == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0B"),
        (1000, "1000B"),
        (1023, "1023B"),
        (1024, "1K"),
        (1 << 20, "1M"),
        ((1 << 20) - 1, "1M"),
        (3 << 29, "1.5G"),
        (16_435_654_656, "15.3G"),
        (2048 << 50, "2048P"),
        (-1536, "-1.5K"),
    ],
)
def test_a_size_is_formatted_with_one_decimal_at_most(count: int, text: str) -> None:
    assert format_size(count) == text


@given(st.integers(0, 1 << 60))
def test_a_formatted_size_reads_back_within_a_tenth_of_its_unit(count: int) -> None:
    again = parse_size(format_size(count))

    assert abs(again - count) <= max(1, count * 0.051)


@given(st.text(max_size=80))
def test_no_text_makes_the_parsers_raise_anything_else(text: str) -> None:
    for parse in (parse_duration, parse_size):
        try:
            assert parse(text) >= 0
        except UnitError as refusal:
            assert refusal.hint  # noqa: PT017 - most texts are refused, some are not
