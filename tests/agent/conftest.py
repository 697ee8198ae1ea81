"""A fake head and a fake supervisor for each test that asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.fake_head import FakeHead
from tests.support.fake_supervisor import FakeSupervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def head() -> AsyncIterator[FakeHead]:
    head = FakeHead()
    await head.start()
    yield head
    await head.close()


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[FakeSupervisor]:
    supervisor = FakeSupervisor(tmp_path / "supervisor.sock")
    await supervisor.start()
    yield supervisor
    await supervisor.close()
