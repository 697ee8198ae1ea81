"""Positions in lists, which come back from outside."""

from __future__ import annotations

import pytest

from hpcsched.common.errors import HpcError
from hpcsched.core.listing.ordering import decode_position, encode_position, sort_key
from hpcsched.core.listing.properties import JOB_PROPERTIES

KEYS = (
    sort_key(JOB_PROPERTIES, "priority", descending=True),
    sort_key(JOB_PROPERTIES, "name", descending=False),
)


@pytest.mark.parametrize("position", [(5, "a", 7), (None, None, 1), (1.5, "é", 3)])
def test_a_position_comes_back_as_it_was_given_out(position: tuple[int, ...]) -> None:
    assert decode_position(encode_position(position), KEYS, 1) == position


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1, 2]",
        '[1, "a", 1.0]',
        '[1, "a", null]',
        '[1, "a", 9223372036854775808]',
        '[1, "a", -9223372036854775809]',
        '[1, "a", Infinity]',
        '[NaN, "a", 1]',
        '[1e400, "a", 1]',
        '["1", "a", 1]',
        "[1, 2, 3]",
        '[1, "\\ud800", 3]',
        '[1, "a", ' + "9" * 5000 + "]",
        "[" * 100_000,
    ],
)
def test_a_position_that_nobody_gave_out_is_refused(text: str) -> None:
    with pytest.raises(HpcError) as caught:
        decode_position(text, KEYS, 1)

    assert caught.value.reason == "PAGE_TOKEN_INVALID"
