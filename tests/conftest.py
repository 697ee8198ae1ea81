"""What every test gets: a clock, chance, and the loop that was asked for."""

from __future__ import annotations

import asyncio
import signal
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.support import cluster
from tests.support.leftovers import left_behind, run_mark
from tests.support.manual_clock import ManualClock
from tests.support.seeded_ids import SeededIds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# A laptop under load is slow, not wrong; pytest's own timeout catches what hangs.
settings.register_profile("hpcsched", deadline=None, max_examples=60)
settings.load_profile("hpcsched")

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
}
if find_spec("uvloop"):  # not everywhere: the head runs without it, too
    LOOPS["uvloop"] = import_module("uvloop").new_event_loop


#: They take longest: begun last, they would keep one worker busy alone.
LONG = ("systemd/test_units.py", "e2e/test_restarts.py", "docs/test_guides.py")

LEFT = pytest.StashKey[dict[int, str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--loop", choices=sorted(LOOPS), default="asyncio")


def pytest_configure(config: pytest.Config) -> None:
    text = "every_loop: run with each event loop, not only with the one of --loop"
    config.addinivalue_line("markers", text)
    run_mark()
    # Programs inherit it; a suite in the background would make them ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; the sort keeps the order of chance of the rest."""
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONG))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail if a process of this run is still there, after all fixtures have ended."""
    cluster.forget_warm_hpc()
    if hasattr(session.config, "workerinput"):
        return
    left = session.config.stash[LEFT] = left_behind(folders_of(session.config))
    if left and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def folders_of(config: pytest.Config) -> list[Path]:
    factory = getattr(config, "_tmp_path_factory", None)
    return [] if factory is None else [factory.getbasetemp()]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    left = config.stash.get(LEFT, {})
    if left:
        terminalreporter.section("processes that were left behind", red=True)
    for pid, line in left.items():
        terminalreporter.line(f"{pid}  {line[:400]}")


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
