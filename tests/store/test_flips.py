"""A bit that flips in a store's file is found, wherever it is (RELIABILITY F23)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.flips import FOUND, HARMLESS, SILENT, campaign

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.timeout(120)
def test_a_flipped_bit_is_found_or_is_where_nothing_is(tmp_path: Path) -> None:
    counts = campaign(tmp_path, seed=3, flips=40, seconds=60)

    assert not counts[SILENT], counts
    assert counts[FOUND]
    assert counts[HARMLESS]
