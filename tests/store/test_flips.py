"""A bit that flips in a store's file is found, wherever it is (RELIABILITY F23)."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from hpcsched.runtime.checking import check_store
from hpcsched.store.base import Delta
from hpcsched.store.errors import StoreBrokenError
from hpcsched.store.history import HistoryQuery
from hpcsched.store.sql.check import check
from hpcsched.store.sql.seals import sealed
from tests.support.cells import a_full_store, try_cells
from tests.support.flips import FOUND, HARMLESS, SILENT, campaign
from tests.support.polling import wait_for_async
from tests.support.store_kit import (
    SqliteKit,
    a_delta,
    a_node_event,
    an_ended_row,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound store that has rows of every kind."""
    path = a_full_store(tmp_path_factory.mktemp("whole"), seed=3)
    assert check_store(path).findings == []
    return path


@pytest.mark.timeout(120)
def test_a_flipped_bit_is_found_or_is_where_nothing_is(whole: Path) -> None:
    counts = campaign(whole, seed=3, flips=40, seconds=60)

    assert not counts[SILENT], counts
    assert counts[FOUND]
    assert counts[HARMLESS]


@pytest.mark.timeout(120)
def test_a_value_that_has_changed_is_found_in_every_column_of_every_table(
    whole: Path,
) -> None:
    found, silent = try_cells(whole, seed=3, each=1)

    assert found > 100
    assert silent == []


READS: dict[str, Callable[[SqliteKit], Awaitable[object]]] = {
    "the cluster": lambda kit: kit.store.load_cluster(),
    "history": lambda kit: kit.store.job_history(HistoryQuery()),
    "allocations": lambda kit: kit.store.allocations(HistoryQuery()),
    "events": lambda kit: kit.store.read_events(0, 10_000),
}


@pytest.mark.parametrize(
    ("damage", "read"),
    [
        ("UPDATE counter SET value = value + 8 WHERE name = 'next_job'", "the cluster"),
        ("UPDATE counter SET name = 'tern' WHERE name = 'term'", "the cluster"),
        ("UPDATE parameter SET value = value || '0'", "the cluster"),
        ("UPDATE parameter SET value = CAST(x'39ff' AS TEXT)", "the cluster"),
        ("UPDATE job_history SET state = state + 1", "history"),
        ("UPDATE job_history SET job_id = job_id + (1 << 40)", "history"),
        ("UPDATE allocation SET node_id = node_id + 1", "allocations"),
        ("UPDATE event SET owner = CAST(x'61ff' AS TEXT)", "events"),
    ],
)
async def test_a_damaged_row_is_not_served(
    whole: Path, tmp_path: Path, damage: str, read: str
) -> None:
    path = tmp_path / "hpcsched.db"
    shutil.copyfile(whole, path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(damage)
        connection.commit()
    kit = SqliteKit(path)

    with pytest.raises(StoreBrokenError, match=r"damaged|decode"):
        await READS[read](kit)
    await wait_for_async(lambda: kit.broken, what="a head that is told")
    await kit.store.close()


async def test_a_damaged_number_of_a_job_to_be_deleted_deletes_no_other(
    tmp_path: Path,
) -> None:
    kit = SqliteKit(tmp_path / "s.db")
    await kit.commit(a_delta(6, job=an_ended_row(6, 1.0)))
    await kit.commit(a_delta(7))
    await kit.store.close()
    with closing(sqlite3.connect(kit.path)) as connection:
        connection.execute("DELETE FROM job WHERE id = 6")
        connection.execute("INSERT INTO purge VALUES (7, ?)", sealed((6,))[1:])
        connection.commit()
    kit.store = kit._open()
    await wait_for_async(lambda: kit.broken, what="a head that is told")
    await kit.store.close()

    with closing(sqlite3.connect(kit.path)) as connection:
        events = connection.execute("SELECT job_id FROM event").fetchall()
    assert events == [(6,), (7,)], "nothing was deleted"


async def test_what_was_damaged_is_found_whatever_is_added_to_it_later(
    sqlite_kit: SqliteKit,
) -> None:
    await sqlite_kit.commit(Delta(sums={"ended": 3}, events=(a_node_event(),)))
    await sqlite_kit.store.close()
    with closing(sqlite3.connect(sqlite_kit.path)) as connection:
        connection.execute("UPDATE counter SET value = value + 1")
        connection.commit()
    sqlite_kit.store = sqlite_kit._open()
    for count in (5, -2, 2**40):
        await sqlite_kit.commit(Delta(sums={"ended": count}))

    assert [one.text for one in check(sqlite_kit.path)] == [
        "counter ended is not what was written"
    ]
