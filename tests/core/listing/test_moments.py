"""Times in texts are those of the calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsched.core.listing.moments import parse_moment

ZONES = st.integers(-840, 840).map(lambda m: timezone(timedelta(minutes=m)))


@given(st.datetimes(timezones=ZONES | st.just(UTC)))
def test_a_time_is_read_as_the_calendar_has_it(moment: datetime) -> None:
    assert parse_moment(moment.isoformat()) == pytest.approx(
        (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds(), abs=1e-3
    )


def test_the_time_of_day_and_the_zone_may_be_left_out() -> None:
    assert parse_moment("1970-01-02") == 86400
    assert parse_moment("1970-01-01 00:01") == 60
    assert parse_moment("1970-01-01T00:00:00.5Z") == 0.5


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "2026", "2026-13-01", "2026-02-29", "2026-01-01T24:00"),
        *("2026-01-01T00:60", "2026-01-01T00:00:60", "2026-01-01T00:00+1"),
    ],
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert parse_moment(text) is None
