"""The check of a store finds what no head could have written, and nothing else."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from hpcsched.core.job import codec
from hpcsched.runtime.checking import check_store
from hpcsched.runtime.front import Stop
from hpcsched.store.base import Delta, RequestRow
from tests.support.head_bench import ANN, ROOT, Bench, a_sweep, a_task, once
from tests.support.store_kit import SqliteKit
from tests.support.stored_lives import deltas

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.support.manual_clock import ManualClock
    from tests.support.seeded_ids import SeededIds

LIVES = 60


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of many jobs with random lives."""
    path = tmp_path_factory.mktemp("lives") / "hpcsched.db"

    async def write() -> None:
        kit = SqliteKit(path)
        for delta in deltas(range(LIVES)):
            await kit.commit(delta)
        answer = RequestRow(
            principal="ann",
            request_id="r",
            digest=b"d",
            answer=codec.pack((1, None)),
            time=1.0,
        )
        await kit.commit(Delta(requests=[answer]))
        await kit.store.close()

    asyncio.run(write())
    return path


@pytest.fixture
def kept(lives: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "hpcsched.db"
    copy.write_bytes(lives.read_bytes())
    return copy


def test_folding_the_events_of_any_life_gives_the_state_that_is_kept(
    lives: Path,
) -> None:
    before = lives.read_bytes()
    report = check_store(lives)

    assert report.findings == []
    assert report.counts["job"] == LIVES
    assert report.last_seq == report.counts["event"] > LIVES
    assert lives.read_bytes() == before


def blob(**changes: object) -> Callable[[bytes], bytes]:
    """Return what changes fields of a job's state."""

    def change(body: bytes) -> bytes:
        return codec.pack({**codec.unpack(body), **changes})

    return change


def first_event(body: bytes) -> bytes:
    """Let a job have been made by somebody else, with one task less."""
    value = codec.unpack(body)
    return codec.pack({**value, "d": value.get("d", ())[1:], "m": ()})


def other_state(body: bytes) -> bytes:
    """Let the first element of a chunk have ended some other way."""
    value = codec.unpack(body)
    other = 8 if value["state"][0] != 8 else 9
    return codec.pack({**value, "state": bytes([other]) + value["state"][1:]})


USES = {9: ((0, 0), 2, True)}
ENDED = "SELECT min(id) FROM job WHERE active = 0"
LIVING = "SELECT min(id) FROM job WHERE active = 1"


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("UPDATE job SET name = 'other' WHERE id = 3", {"lists"}),
        ("UPDATE job SET priority = 1 WHERE id = 3", {"lists"}),
        (f"UPDATE job SET active = 1 WHERE id = ({ENDED})", {"lists"}),  # noqa: S608
        ("UPDATE job_terms SET min_cores = 99 WHERE job_id = 3", {"lists"}),
        ("DELETE FROM job_terms WHERE job_id = 3", {"lists"}),
        ("INSERT INTO job_parent VALUES (3, 2)", {"lists"}),
        ("INSERT INTO job_terms (job_id) VALUES (999)", {"orphans"}),
        ("UPDATE counter SET value = 3 WHERE name = 'next_job'", {"counters", "sums"}),
        (
            "UPDATE counter SET value = value + 1 WHERE name LIKE 'ended tasks %'",
            {"counters", "sums"},
        ),
        ("UPDATE request SET answer = x'c1'", {"requests", "sums"}),
        ("UPDATE event SET owner = 'eve' WHERE job_id = 3", {"events", "sums"}),
        (
            f"UPDATE job_spec SET body = x'c1' WHERE job_id = ({LIVING})",  # noqa: S608
            {"decode", "sums"},
        ),
        ("UPDATE parameter SET value = 'x'", set()),  # there is none
        (
            "INSERT INTO parameter VALUES ('TaskCancelGracePeriod', 'soon', NULL)",
            {"decode"},
        ),
        (
            "INSERT INTO node (node_id, name, blob) VALUES (1, 'n1', x'80')",
            {"decode"},
        ),
    ],
)
def test_a_row_that_no_head_wrote_is_found(
    kept: Path, damage: str, found: set[str]
) -> None:
    with closing(sqlite3.connect(kept)) as connection:
        connection.execute(damage)
        connection.commit()

    assert {finding.rule for finding in check_store(kept).findings} == found


@pytest.mark.parametrize(
    ("table", "where", "change", "found"),
    [
        ("job", f"id = ({ENDED})", blob(requeue_count=7), {"events", "lists"}),
        ("job", f"id = ({ENDED})", blob(pending_end=8), {"events", "state"}),
        ("job", f"id = ({LIVING})", blob(end_time=5.0), {"events", "lists", "state"}),
        ("job", f"id = ({LIVING})", blob(uses=USES), {"events", "state"}),
        ("event", "revision = 1 AND job_id = 2", first_event, {"events"}),
        ("chunk", "job_id = 2 AND tbl = 0", other_state, {"events", "state"}),
    ],
)  # fmt: skip
def test_a_state_that_its_events_do_not_lead_to_is_found(
    kept: Path,
    table: str,
    where: str,
    change: Callable[[bytes], bytes],
    found: set[str],
) -> None:
    column = "blob" if table == "job" else "body"
    with closing(sqlite3.connect(kept)) as connection:
        query = f"SELECT {column} FROM {table} WHERE {where}"  # noqa: S608
        (body,) = connection.execute(query).fetchone()
        statement = f"UPDATE {table} SET {column} = ? WHERE {where}"  # noqa: S608
        connection.execute(statement, (change(body),))
        connection.commit()
    findings = check_store(kept).findings

    assert found <= {finding.rule for finding in findings}
    of_jobs = [f for f in findings if f.rule not in {"counters", "sums"}]
    assert len({f.job_id for f in of_jobs}) == 1
    assert all(f.text.startswith("job ") for f in of_jobs)


async def test_what_a_head_writes_is_sound_at_every_moment(
    clock: ManualClock, ids: SeededIds, tmp_path: Path
) -> None:
    kit = SqliteKit(tmp_path / "hpcsched.db")
    async with Bench(clock, ids, kit.store) as bench:
        agent = await bench.node(cores=8)
        agent.plan = lambda p: (0.4, p.key[2] % 2)
        await bench.until(_ready(bench))
        await bench.head.set_parameters(ROOT, {"TTLCompletedJobs": "9"}, once("set"))
        first = await bench.submit(a_sweep(40), a_task(name="last"))
        later = await bench.submit(a_task(), parent_job_ids=(first,))
        gone = await bench.submit()
        await bench.head.cancel_jobs(ANN, [gone], Stop(), once("c"))
        for _ in range(12):
            await clock.advance(0.3)
            assert check_store(kit.path).findings == []
        await bench.head.forget_jobs(ROOT, [gone], once("p"))
        await bench.until_state(first, "Failed")
        await bench.head.cancel_jobs(ANN, [later], Stop(), once("l"))

        report = check_store(kit.path)
        assert report.findings == []
        assert report.counts["node"] == 1
    await kit.store.close()


def _ready(bench: Bench) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return bool(bench.world.nodes.find("n1").ready)

    return look
