"""Numbers of many jobs are packed as any other value is."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from hpcsched.core.job.packing import pack, pack_number


@given(st.integers(-(1 << 40), 1 << 62))
@example(0)
@example(127)
@example(128)
@example(255)
@example(256)
@example(65_535)
@example(65_536)
@example(2**32 - 1)
@example(2**32)
@example(-1)
def test_a_number_is_packed_as_any_value_is(number: int) -> None:
    assert pack_number(number) == pack(number)
