"""What every test gets: a clock, chance, and the loop that was asked for."""

from __future__ import annotations

import asyncio
import signal
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.support.manual_clock import ManualClock
from tests.support.seeded_ids import SeededIds

if TYPE_CHECKING:
    from collections.abc import Callable

# A laptop under load is slow, not wrong; pytest's own timeout catches what hangs.
settings.register_profile("hpcsched", deadline=None, max_examples=60)
settings.load_profile("hpcsched")

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
}
if find_spec("uvloop"):  # not everywhere: the head runs without it, too
    LOOPS["uvloop"] = import_module("uvloop").new_event_loop


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--loop", choices=sorted(LOOPS), default="asyncio")


def pytest_configure(config: pytest.Config) -> None:
    text = "every_loop: run with each event loop, not only with the one of --loop"
    config.addinivalue_line("markers", text)
    # Programs inherit it; a suite in the background would make them ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.get_closest_marker("every_loop"):
        return LOOPS
    name = str(config.getoption("--loop"))
    return {name: LOOPS[name]}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ids(clock: ManualClock) -> SeededIds:
    return SeededIds(clock)
