"""Bytes with holes are those of the job whose values are put into them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hpcsched.core.job.packing import pack
from hpcsched.core.job.stencils import Stencil, numbers, short_numbers, times

STRANGE = (1_700_000_000.015625, 0xB7C1D3E5, 0xE1F3)


def words(time: float, number: int, short: int) -> list[bytes]:
    return [*times(time), *numbers(number), *short_numbers(short)]


def body(time: float, number: int, short: int) -> bytes:
    """Return what may be written of a job: values, and packed columns."""
    column = number.to_bytes(4, "little") + short.to_bytes(2, "little")
    return pack({"t": time, "n": [number, 7], "c": column, "s": short, "again": time})


@given(
    st.floats(allow_nan=False),
    st.integers(0, (1 << 32) - 1),
    st.integers(0, (1 << 16) - 1),
)
def test_a_filled_stencil_is_what_would_have_been_written(
    time: float, number: int, short: int
) -> None:
    stencil = Stencil(body(*STRANGE), words(*STRANGE))

    assert stencil.filled(words(time, number, short)) == body(time, number, short)


def test_bytes_without_strange_values_have_no_holes() -> None:
    plain = pack({"a": 0, "b": b"\0\0\0\0"})
    stencil = Stencil(plain, words(STRANGE[0], 0, STRANGE[2]))

    assert stencil.filled(words(1.0, 2, 3)) == plain
