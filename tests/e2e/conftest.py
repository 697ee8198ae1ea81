"""One cluster for all tests that leave it whole; others make their own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(300))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    found = getattr(item, "funcargs", {}).get("cluster")
    if report.failed and isinstance(found, Cluster):
        report.sections.append(("logs of the cluster", found.logs()))
    return report


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[Cluster]:
    """Two nodes of two cores."""
    yield from running()


@pytest.fixture
def cluster(
    shared_cluster: Cluster, request: pytest.FixtureRequest
) -> Iterator[Cluster]:
    """The shared cluster, idle, in a working directory of the test's own."""
    shared_cluster.cwd = shared_cluster.base / f"work-{id(request.node):x}"
    shared_cluster.cwd.mkdir()
    yield shared_cluster
    shared_cluster.clear()


def running() -> Iterator[Cluster]:
    """Yield a cluster that runs; end it whatever happens."""
    cluster = Cluster()
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.destroy()
