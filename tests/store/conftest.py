from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.store_kit import MemoryKit, SqliteKit, StoreKit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture(params=["memory", "sqlite"])
async def kit(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[StoreKit]:
    """A store of each backend: what passes here is a promise of ``store.base``."""
    made: StoreKit
    made = MemoryKit() if request.param == "memory" else SqliteKit(tmp_path / "s.db")
    yield made
    await made.store.close()


@pytest.fixture
async def sqlite_kit(tmp_path: Path) -> AsyncIterator[SqliteKit]:
    made = SqliteKit(tmp_path / "state" / "s.db")
    yield made
    await made.store.close()
